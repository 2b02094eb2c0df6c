# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""PhiFlow on jax: semi-Lagrangian advection, explicit friction, the pressure by CG, one jitted step.

Its steps are of first order in time, those of physgen and exponax of the order that is asked for.
"""

import math as scalar

from phi.jax.flow import (
    PERIODIC,
    Box,
    CenteredGrid,
    Field,
    Solve,
    StaggeredGrid,
    advect,
    batch,
    diffuse,
    field,
    fluid,
    jit_compile,
    math,
    tensor,
    vec,
)

from peers.periodic import Advance, Work, main

TOLERANCE = 1e-5
"""Of the pressure."""


def prepare(work: Work) -> Advance:
    phase = tensor(
        [0.5 + 0.5 * k / max(work.batch - 1, 1) for k in range(work.batch)], batch("run")
    )
    return {"burgers": line, "vorticity": plane}[work.equation](work.points, work.dt, phase)


def line(points: int, dt: float, phase: math.Tensor) -> Advance:
    def start(at: math.Tensor) -> math.Tensor:
        return phase * math.sin(2 * scalar.pi * at.vector["x"])

    velocity = CenteredGrid(start, PERIODIC, x=points, bounds=Box(x=1))

    @jit_compile
    def step(u: Field) -> Field:
        moved = advect.semi_lagrangian(u, field.stack([u], math.channel(vector="x")), dt)
        return diffuse.explicit(moved, 0.02, dt, substeps=4)

    def advance(steps: int) -> float:
        u = velocity
        for _ in range(steps):
            u = step(u)
        return float(math.sqrt(math.mean(u.values.run[0] ** 2, "x")))

    return advance


def plane(points: int, dt: float, phase: math.Tensor) -> Advance:
    def start(at: math.Tensor) -> math.Tensor:
        x, y = at.vector
        along = math.cos(4 * scalar.pi * y) / (4 * scalar.pi)
        across = -math.cos(2 * scalar.pi * x) / (2 * scalar.pi)
        return phase * vec(x=along, y=across)

    velocity = StaggeredGrid(start, PERIODIC, x=points, y=points, bounds=Box(x=1, y=1))

    @jit_compile
    def step(u: Field, pressure: Field | None) -> tuple:
        moved = diffuse.explicit(advect.semi_lagrangian(u, u, dt), 0.01, dt)
        return fluid.make_incompressible(moved, (), Solve("CG", TOLERANCE, TOLERANCE, x0=pressure))

    state = fluid.make_incompressible(velocity, (), Solve("CG", TOLERANCE, TOLERANCE))

    def advance(steps: int) -> float:
        u, pressure = state
        for _ in range(steps):
            u, pressure = step(u, pressure)
        curl = field.curl(u)
        return float(math.sqrt(math.mean(curl.values.run[0] ** 2, "x,y")))

    return advance


if __name__ == "__main__":
    main(prepare)
