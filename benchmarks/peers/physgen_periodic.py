"""physgen: eager PyTorch, the batch as one tensor."""

import math

import torch

from peers.periodic import Advance, Work, main
from physgen.solvers.burgers import Burgers
from physgen.solvers.exponential import ETDRK2, ETDRK4, Exponential, Spectral
from physgen.solvers.kuramoto_sivashinsky import KuramotoSivashinsky
from physgen.solvers.periodic import Periodic
from physgen.solvers.vorticity import Vorticity

SCHEMES: dict[int, Exponential] = {2: ETDRK2(), 4: ETDRK4()}


def prepare(work: Work) -> Advance:
    torch.set_num_threads(1)
    equation, length, axes = {
        "burgers": (Burgers(0.02), 1.0, 1),
        "kuramoto": (KuramotoSivashinsky(), 22.0, 1),
        "vorticity": (Vorticity(0.01), 1.0, 2),
    }[work.equation]
    grid = Periodic((work.points,) * axes, (length,) * axes)
    places = grid.places(torch.zeros(1, dtype=torch.float64))
    waves = sum(torch.sin(2 * math.pi * (k + 1) * x / length) for k, x in enumerate(places))
    phases = torch.linspace(0.5, 1, work.batch, dtype=torch.float64)
    state = torch.stack([phase * torch.as_tensor(waves) for phase in phases])[:, None].float()
    solver = Spectral(equation, grid, work.dt, SCHEMES[work.order])

    def advance(steps: int) -> float:
        with torch.no_grad():
            found = solver.march(state, state[:, :0], steps)
        return float(found[0].square().mean().sqrt())

    return advance


if __name__ == "__main__":
    main(prepare)
