# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""PhiFlow on jax: semi-Lagrangian advection, one Euler step, the pressure by CG to 1e-3.

A circle is a soft mask for the velocity and a set of closed cells, so stairs, for the pressure.
There is no routine for drag. What the obstacle takes from the stream in a step is known all the
same: the velocity before the pressure step less that after, summed over all faces between two
columns, less the pressure on those columns.
"""

from phi.jax.flow import (
    ZERO_GRADIENT,
    Box,
    Field,
    Solve,
    Sphere,
    StaggeredGrid,
    advect,
    diffuse,
    fluid,
    jit_compile,
    math,
    vec,
)

from peers.circle import Circle, Simulation, main

DT = 0.5
TOLERANCE = 1e-3
EDGE = 2
"""Columns and rows at the rim that the balance leaves out."""


def simulate(circle: Circle) -> Simulation:
    nx, ny = circle.cells
    body = Sphere(x=circle.centre[0], y=circle.centre[1], radius=circle.diameter / 2)
    sides = {"x-": vec(x=1, y=0), "x+": ZERO_GRADIENT, "y": vec(x=1, y=0)}

    def start(at: math.Tensor) -> math.Tensor:
        x, y = at.vector
        square = (x - circle.spot[0]) ** 2 + (y - circle.spot[1]) ** 2
        return vec(x=1 + 0 * x, y=0.3 * math.exp(-square / circle.diameter**2))

    def project(velocity: Field, guess: Field | None = None) -> tuple:
        return fluid.make_incompressible(
            velocity, body, Solve("CG", TOLERANCE, TOLERANCE, x0=guess)
        )

    def taken(before: Field, after: Field, pressure: Field) -> math.Tensor:
        # Face i lies between cells i and i + 1: the grid does not store its lower rim.
        lost, p = before.values - after.values, pressure.values
        right, top = nx - EDGE - 1, ny - EDGE - 1
        drag = math.sum(lost.vector.dual["x"].x[EDGE:right]) - math.sum(p.x[right] - p.x[EDGE])
        lift = math.sum(lost.vector.dual["y"].y[EDGE:top]) - math.sum(p.y[top] - p.y[EDGE])
        return 2 * vec(x=drag, y=lift) / (DT * circle.diameter)

    @jit_compile
    def step(velocity: Field, pressure: Field) -> tuple:
        moved = advect.semi_lagrangian(velocity, velocity, DT)
        moved = diffuse.explicit(moved, circle.viscosity, DT)
        after, pressure = project(moved, pressure)
        return after, pressure, taken(moved, after, pressure)

    state = project(StaggeredGrid(start, sides, x=nx, y=ny, bounds=Box(x=nx, y=ny)))

    def march(steps: int) -> list[math.Tensor]:
        nonlocal state
        forces = []
        for _ in range(steps):
            *state, force = step(*state)
            forces.append(force)
        return forces

    def advance(steps: int) -> float:
        march(steps)
        velocity, _ = state
        return float(math.max(math.abs(velocity.at_centers().values)))

    def forces(steps: int) -> tuple[float, float]:
        mean = math.mean(math.stack(march(steps), math.batch("step")), "step")
        return float(mean.vector["x"]), float(mean.vector["y"])

    return Simulation(DT, advance, forces)


if __name__ == "__main__":
    main(simulate)
