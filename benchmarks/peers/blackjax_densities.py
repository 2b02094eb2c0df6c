# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""BlackJAX: HMC with the trajectory length that ChEES finds, tuned by all chains together.

ChEES learns no dense metric. Asked for one, a first warm-up and as many draws of all chains tell
the covariance, and a second warm-up goes on in the coordinates that take it apart.
"""

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from peers.densities import DENSITIES, Array, answer, asked
from peers.jax_densities import log_density


def main() -> None:
    question = asked()
    shape = (question.chains, DENSITIES[question.density])
    start = 0.5 * jax.random.normal(jax.random.key(0), shape)
    found = []

    def tuned(log_p, start, key):  # noqa: ANN001, ANN202
        adaptation = blackjax.chees_adaptation(
            log_p, question.chains, mass_matrix_estimation="diagonal"
        )
        (states, parameters), _ = adaptation.run(
            key, start, 0.1, optax.adam(0.02), question.warmup
        )
        jax.block_until_ready(states.position)
        step = jax.vmap(blackjax.dhmc(log_p, **parameters).step)

        @jax.jit
        def sampled(key, states):  # noqa: ANN001, ANN202
            def one(states, key):  # noqa: ANN001, ANN202
                states, info = step(jax.random.split(key, question.chains), states)
                return states, (states.position, info.num_integration_steps)

            return jax.lax.scan(one, states, jax.random.split(key, question.draws))[1]

        return sampled, states

    def warm() -> None:
        log_p, factor = log_density(question.density), None
        sampled, states = tuned(log_p, start, jax.random.key(1))
        if question.metric == "dense":
            z, _ = sampled(jax.random.key(3), states)
            factor = jnp.linalg.cholesky(jnp.cov(z.reshape(-1, shape[1]), rowvar=False))
            inside = jax.scipy.linalg.solve_triangular(factor, states.position.T, lower=True).T
            sampled, states = tuned(lambda y: log_p(factor @ y), inside, jax.random.key(4))
        found.extend((sampled, states, factor))

    def draw() -> tuple[Array, float]:
        sampled, states, factor = found
        z, steps = jax.block_until_ready(sampled(jax.random.key(2), states))
        if factor is not None:
            z = z @ factor.T
        return np.asarray(z), float(np.mean(steps))

    answer(question, warm, draw)


if __name__ == "__main__":
    main()
