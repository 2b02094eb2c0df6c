"""physgen: the step compiled, in single precision; the force is the body's momentum balance."""

import torch

from peers.circle import Circle, Simulation, main
from physgen.solvers import bodies
from physgen.solvers.fluid import Fixed, Flow
from physgen.solvers.marching import Course
from physgen.solvers.staggered import Grid

DT = 0.35
"""Cells over speed: a Courant number of 0.85 at the circle's shoulders."""


def simulate(circle: Circle) -> Simulation:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    like = torch.zeros(1)
    flow = Flow(Grid(*circle.cells), circle.viscosity, clock=Fixed(DT))
    course = Course(flow, bodies.Circle(*circle.centre, circle.diameter / 2), like)
    course.compile()
    state = course.start()
    x, y = flow.grid.faces_y(like)
    square = (x - circle.spot[0]).square() + (y - circle.spot[1]).square()
    kick = 0.3 * torch.exp(-square / circle.diameter**2)
    kick[:, 0] = kick[:, -1] = 0
    state = state._replace(v=state.v + kick)
    total = torch.zeros(2)

    def go(steps: int) -> torch.Tensor:
        """The force over so many steps."""
        nonlocal state
        total.zero_()
        end = float(state.time) + steps * DT
        state = course.march(state, end, lambda one: total.add_(one.force[0, 0]))
        return total / steps

    def advance(steps: int) -> float:
        go(steps)
        return float(state.u.abs().max())

    def forces(steps: int) -> tuple[float, float]:
        drag, lift = (2 * go(steps) / circle.diameter).tolist()
        return drag, lift

    return Simulation(DT, advance, forces)


if __name__ == "__main__":
    main(simulate)
