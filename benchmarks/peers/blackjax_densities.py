# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""BlackJAX: HMC with the trajectory length that ChEES finds, tuned by all chains together."""

import blackjax
import jax
import numpy as np
import optax

from peers.densities import DENSITIES, Array, answer, asked
from peers.jax_densities import log_density


def main() -> None:
    question = asked()
    log_p = log_density(question.density)
    shape = (question.chains, DENSITIES[question.density])
    start = 0.5 * jax.random.normal(jax.random.key(0), shape)
    found = []

    def warm() -> None:
        adaptation = blackjax.chees_adaptation(
            log_p, question.chains, mass_matrix_estimation="diagonal"
        )
        (states, parameters), _ = adaptation.run(
            jax.random.key(1), start, 0.1, optax.adam(0.02), question.warmup
        )
        jax.block_until_ready(states.position)
        step = jax.vmap(blackjax.dhmc(log_p, **parameters).step)

        @jax.jit
        def sampled(key, states):  # noqa: ANN001, ANN202
            def one(states, key):  # noqa: ANN001, ANN202
                states, info = step(jax.random.split(key, question.chains), states)
                return states, (states.position, info.num_integration_steps)

            return jax.lax.scan(one, states, jax.random.split(key, question.draws))[1]

        found.extend((sampled, states))

    def draw() -> tuple[Array, float]:
        sampled, states = found
        z, steps = jax.block_until_ready(sampled(jax.random.key(2), states))
        return np.asarray(z), float(np.mean(steps))

    answer(question, warm, draw)


if __name__ == "__main__":
    main()
