# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""NumPyro: the no-U-turn sampler with its own warm-up, chains in one vectorised batch.

Its runs compile anew each time, so the warmed sampler is scanned here.
"""

import jax
import numpy as np
from numpyro.infer import MCMC, NUTS

from peers.densities import DENSITIES, Array, answer, asked
from peers.jax_densities import log_density


def main() -> None:
    question = asked()
    log_p = log_density(question.density)
    shape = (question.chains, DENSITIES[question.density])
    start = 0.5 * jax.random.normal(jax.random.key(0), shape)
    kernel = NUTS(potential_fn=lambda z: -log_p(z), dense_mass=question.metric == "dense")
    run = MCMC(
        kernel,
        num_warmup=question.warmup,
        num_samples=1,
        num_chains=question.chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    states = []

    def warm() -> None:
        run.warmup(jax.random.key(1), init_params=start)
        states.append(jax.block_until_ready(run.last_state))

    @jax.jit
    def sampled(state):  # noqa: ANN001, ANN202
        def one(state, _):  # noqa: ANN001, ANN202
            state = kernel.sample(state, (), {})
            return state, (state.z, state.num_steps)

        return jax.lax.scan(one, state, None, question.draws)[1]

    def draw() -> tuple[Array, float]:
        z, steps = jax.block_until_ready(sampled(states[0]))
        return np.asarray(z), float(np.mean(steps))

    answer(question, warm, draw)


if __name__ == "__main__":
    main()
