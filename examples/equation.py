"""An equation of your own: Swift and Hohenberg's rolls of a fluid heated from below.

u_t = r u - (1 + laplacian)^2 u - u^3 has a free energy that can only fall.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from physgen.solvers.evolution import constant, drive, residual
from physgen.solvers.exponential import Semilinear, Spectral
from physgen.solvers.periodic import Modes, Periodic
from physgen.solvers.starts import smooth


@dataclass(frozen=True)
class SwiftHohenberg(Semilinear):
    """How far the heating is above the threshold of rolls."""

    excess: float = 0.3
    degree = 3  # fields that are multiplied

    def fields(self, axes: int) -> tuple[str, ...]:
        return ("temperature",)

    def linear(self, modes: Modes) -> Tensor:
        return (self.excess - (1 + modes.laplacian).square())[None]

    def nonlinear(self, spectrum: Tensor, modes: Modes) -> Tensor:
        return -modes.forward(modes.back(spectrum) ** 3)


equation, grid = SwiftHohenberg(), Periodic((64, 64), (40.0, 40.0))
solver = Spectral(equation, grid, dt=0.1)
state = 0.1 * smooth(grid, 1, 2, 8, torch.Generator().manual_seed(0))  # two at once
none = constant(state[:, :0], 10)
rolls = drive(solver, state, none, steps=50)  # ten states, each 5 s after the last
for k, u in enumerate(rolls.unbind(1)):
    modes = Modes(grid, 1, u)
    bend = modes.back((1 + modes.laplacian) * modes.forward(u))
    energy = (0.5 * bend**2 - 0.5 * equation.excess * u**2 + 0.25 * u**4).mean((1, 2, 3))
    print(f"after {5 * k:2d} s the free energies are {energy.tolist()}")
fine = drive(solver, rolls[:, -1], none[:, :1], steps=1)
print(f"residual of a step: {residual(solver, fine, none[:, :1], solver.dt).abs().max():.1e}")
