# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""jax-cfd: van Leer advection, Heun's method, the pressure by fast diagonalisation (FFT).

It has no bodies and its FFT wants a periodic box, so users do what is done here: the circle is a
penalty that takes 0.9 of the velocity each step, with an edge of one cell, and a sponge at the
left end drives what comes round back to the free stream. (A tanh for an edge, as is often seen,
has tails: a drag of 2.0 where this gives 1.5.)

A periodic box keeps its momentum, so the body takes what the sponge gives, less what the box
gains. Continuity makes the mean velocity the flux through every column: coefficients are made
with it, as the sponge leaves the stream a little slower than one.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax_cfd.base as cfd

from peers.circle import Circle, Simulation, main

DT = 0.25


def stepping(circle: Circle, grid: cfd.grids.Grid) -> tuple[Callable, Callable]:
    """A step, and what the sponge gives the flow on each face."""
    meshes = [grid.mesh(offset) for offset in grid.cell_faces]

    def solid(x: jax.Array, y: jax.Array) -> jax.Array:
        distance = jnp.hypot(x - circle.centre[0], y - circle.centre[1]) - circle.diameter / 2
        return jnp.clip(0.5 - distance, 0, 1)

    def sponge(x: jax.Array) -> jax.Array:
        return jnp.exp(-((4 * x / circle.diameter - 2) ** 2))

    penalties = [0.9 / DT * solid(x, y) for x, y in meshes]
    sponges = [sponge(x) for x, _ in meshes]

    def driven(v: tuple) -> list[jax.Array]:
        return [s * (u - one.data) for s, u, one in zip(sponges, (1.0, 0.0), v, strict=True)]

    def forcing(v: tuple) -> tuple:
        return tuple(
            cfd.grids.GridArray(drive - rate * one.data, one.offset, grid)
            for drive, rate, one in zip(driven(v), penalties, v, strict=True)
        )

    step = cfd.equations.semi_implicit_navier_stokes(
        density=1.0,
        viscosity=circle.viscosity,
        dt=DT,
        grid=grid,
        forcing=forcing,
        pressure_solve=cfd.pressure.solve_fast_diag,
        time_stepper=cfd.time_stepping.heun_rk2,
    )
    return step, driven


def simulate(circle: Circle) -> Simulation:
    nx, ny = circle.cells
    grid = cfd.grids.Grid(circle.cells, domain=((0.0, nx), (0.0, ny)))
    periodic = cfd.boundaries.periodic_boundary_conditions(2)
    step, driven = stepping(circle, grid)

    def momentum(v: tuple) -> jax.Array:
        return jnp.stack([one.data.sum() for one in v])

    @jax.jit
    def march(v: tuple, steps: int) -> tuple:
        return jax.lax.fori_loop(0, steps, lambda _, now: step(now), v)

    @jax.jit
    def weigh(v: tuple, steps: int) -> tuple[tuple, jax.Array]:
        def one(_: int, carried: tuple) -> tuple:
            now, given = carried
            now = step(now)
            return now, given + jnp.stack([drive.sum() for drive in driven(now)])

        then, given = jax.lax.fori_loop(0, steps, one, (v, jnp.zeros(2)))
        taken = given / steps - (momentum(then) - momentum(v)) / (steps * DT)
        speed = then[0].data.mean()
        return then, 2 * taken / (speed**2 * circle.diameter)

    x, y = grid.mesh(grid.cell_faces[1])
    square = (x - circle.spot[0]) ** 2 + (y - circle.spot[1]) ** 2
    start = (jnp.ones(circle.cells), 0.3 * jnp.exp(-square / circle.diameter**2))
    state = tuple(
        cfd.grids.GridVariable(cfd.grids.GridArray(one, offset, grid), periodic)
        for one, offset in zip(start, grid.cell_faces, strict=True)
    )

    def advance(steps: int) -> float:
        nonlocal state
        state = march(state, steps)
        return float(jnp.stack([jnp.abs(one.data).max() for one in state]).max())

    def forces(steps: int) -> tuple[float, float]:
        nonlocal state
        state, (drag, lift) = weigh(state, steps)
        return float(drag), float(lift)

    return Simulation(DT, advance, forces)


if __name__ == "__main__":
    main(simulate)
