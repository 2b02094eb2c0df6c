# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""exponax: the whole march jitted, the batch by vmap."""

import exponax
import jax
import jax.numpy as jnp

from peers.periodic import Advance, Work, main


def prepare(work: Work) -> Advance:
    stepper, length, axes = {
        "burgers": (
            exponax.stepper.Burgers(
                1, 1.0, work.points, work.dt, diffusivity=0.02, conservative=True, order=work.order
            ),
            1.0,
            1,
        ),
        "kuramoto": (
            exponax.stepper.KuramotoSivashinskyConservative(
                1, 22.0, work.points, work.dt, order=work.order
            ),
            22.0,
            1,
        ),
        "vorticity": (
            exponax.stepper.NavierStokesVorticity(
                2,
                1.0,
                work.points,
                work.dt,
                diffusivity=0.01,
                vorticity_convection_scale=-1.0,
                order=work.order,
            ),
            1.0,
            2,
        ),
    }[work.equation]
    line = length * jnp.arange(work.points) / work.points
    places = jnp.meshgrid(*[line] * axes, indexing="ij")
    waves = sum(jnp.sin(2 * jnp.pi * (k + 1) * x / length) for k, x in enumerate(places))
    state = jnp.stack([phase * waves for phase in jnp.linspace(0.5, 1, work.batch)])[:, None]

    @jax.jit
    def march(state: jax.Array, steps: int) -> jax.Array:
        return jax.lax.fori_loop(0, steps, lambda _, now: jax.vmap(stepper)(now), state)

    def advance(steps: int) -> float:
        return float(jnp.sqrt(jnp.square(march(state, steps)[0]).mean()))

    return advance


if __name__ == "__main__":
    main(prepare)
