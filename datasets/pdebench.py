r"""Two data sets of PDEBench, made again seed for seed.

``2D_diff-react_NA_NA.h5`` and ``1D_diff-sorp_NA_NA.h5`` of PDEBench (Takamoto et al., 2022,
https://arxiv.org/abs/2210.07182) began from numpy's legacy generator, whose stream is frozen, with
the key of each group as its seed, as the code says that made them: the first value of group 0000 is
1.76405, and 0.10976. Later versions of that code draw other numbers. What followed was integrated by
SciPy's explicit Runge-Kutta method of order 5(4) at its default tolerances, each sample with steps
of its own, and so it is here: initial states are the same numbers, later ones agree to the
tolerance. The published files themselves we have not held beside ours.

Figures of each sample: ``step_error``, how far the last interval by our own fourth-order steps leads
elsewhere, over the state; ``finite``.

PDEBench takes the last tenth of the keys for tests.
"""

import abc
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from physgen.datasets.equation import Drawn, EquationData, Site
from physgen.shapes import State
from physgen.solvers.elliptic import Cells
from physgen.solvers.evolution import whole_steps
from physgen.solvers.explicit import STABLE, Explicit
from physgen.solvers.fitzhugh_nagumo import FitzHughNagumo
from physgen.solvers.insulated_fitzhugh_nagumo import InsulatedFitzHughNagumo
from physgen.solvers.sorption import Ground, Sorption


@dataclass(frozen=True, kw_only=True)
class PDEBenchData(EquationData):
    """Trajectories from a legacy seed, integrated one by one."""

    points: int
    """Along each side; the published number makes the published data."""
    time: float
    """How long, in s."""
    frames: int = 100
    """Instants to keep, besides the first."""
    shard: int = 10

    @abc.abstractmethod
    def solver(self, dt: float) -> Explicit:
        """The equation, with our own steps."""

    @property
    @abc.abstractmethod
    def fastest(self) -> float:
        """The fastest decay, in 1/s."""

    @abc.abstractmethod
    def start(self, source: np.random.RandomState) -> State:
        """The first state of one sample."""

    @final
    def check(self) -> None:
        whole_steps(self.time, self.frames, 1.0)
        self.solver(1e-9)

    @final
    def simulate(self, seeds: range) -> Drawn:
        instants = np.linspace(0, self.time, self.frames + 1)
        dt = 0.5 * STABLE / self.fastest
        steps = whole_steps(self.time, self.frames, dt)
        solver = self.solver(self.time / self.frames / steps)
        begun = [self.start(np.random.RandomState(seed)) for seed in seeds]
        trajectory = torch.cat([_followed(solver, state, instants) for state in begun])
        last, none = trajectory[:, -1], trajectory[:, -1, :0]
        again = solver.march(trajectory[:, -2], none, steps)
        error = (again - last).flatten(1).norm(dim=1) / last.flatten(1).norm(dim=1)
        return Drawn(torch.from_numpy(instants), trajectory, {"step_error": error}, {})


def _followed(solver: Explicit, state: State, instants: NDArray[np.float64]) -> torch.Tensor:
    """One sample at all instants, ``(1, time, channel, *space)``."""
    none, shape = state[:, :0], state.shape

    def rate(_: float, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = solver.rate(torch.from_numpy(flat).view(shape), none).numpy()
        return found.ravel()

    span = float(instants[0]), float(instants[-1])
    found = solve_ivp(rate, span, state.numpy().ravel(), t_eval=instants)
    if not found.success:
        raise FloatingPointError(f"the integration stopped at {found.t[-1]:g} s: {found.message}")
    return torch.from_numpy(found.y.T.reshape(1, len(instants), *shape[1:]))


@dataclass(frozen=True, kw_only=True)
class ReactionData(PDEBenchData):
    """PDEBench's two-dimensional diffusion-reaction, seed for seed."""

    points: int = 128
    time: float = 5.0
    simulations: int = 1000
    out: Path = Path("data/pdebench-diffusion-reaction")

    @property
    def name(self) -> str:
        return "pdebench-diffusion-reaction"

    @property
    def facts(self) -> dict[str, float]:
        return {"diffusivity_u": 1e-3, "diffusivity_v": 5e-3, "threshold": 5e-3}

    @property
    def units(self) -> dict[str, str]:
        return {"activator": "1", "inhibitor": "1"}

    @property
    def _cells(self) -> Cells:
        return Cells((self.points, self.points), (2.0, 2.0))

    @property
    def site(self) -> Site:
        """The square from -1 m to 1 m."""
        x, y = self._cells.places(torch.zeros(1, dtype=torch.float64))
        return Site((x - 1, y - 1), "WALL", "cell")

    @property
    def fastest(self) -> float:
        return 8 * self.facts["diffusivity_v"] / self._cells.spacing[0] ** 2

    def solver(self, dt: float) -> Explicit:
        return InsulatedFitzHughNagumo(self._cells, dt, FitzHughNagumo(**self.facts))

    def start(self, source: np.random.RandomState) -> State:
        """White noise; PDEBench counts along x first, and here x is the first axis."""
        noise = [source.randn(self.points, self.points).T for _ in ("u", "v")]
        return torch.from_numpy(np.stack(noise)[None])


@dataclass(frozen=True, kw_only=True)
class SorptionData(PDEBenchData):
    """PDEBench's one-dimensional diffusion-sorption, seed for seed."""

    points: int = 1024
    time: float = 500.0
    simulations: int = 10_000
    out: Path = Path("data/pdebench-diffusion-sorption")

    @property
    def name(self) -> str:
        return "pdebench-diffusion-sorption"

    @property
    def facts(self) -> dict[str, float]:
        return {"diffusivity": 5e-4, "porosity": 0.29, "density": 2880.0, "affinity": 3.5e-4,
                "exponent": 0.874}  # fmt: skip

    @property
    def units(self) -> dict[str, str]:
        return {"concentration": "1"}

    @property
    def _cells(self) -> Cells:
        return Cells((self.points,), (1.0,))

    @property
    def site(self) -> Site:
        return Site(self._cells.places(torch.zeros(1, dtype=torch.float64)), "WALL", "cell")

    @property
    def fastest(self) -> float:
        return 4 * self.facts["diffusivity"] / self._cells.spacing[0] ** 2

    def solver(self, dt: float) -> Explicit:
        return Sorption(self._cells, dt, Ground(**self.facts))

    def start(self, source: np.random.RandomState) -> State:
        """The same little everywhere."""
        return torch.full((1, 1, self.points), source.uniform(0, 0.2), dtype=torch.float64)


PDEBENCH: dict[str, type[PDEBenchData]] = {
    "pdebench-diffusion-reaction": ReactionData,
    "pdebench-diffusion-sorption": SorptionData,
}
