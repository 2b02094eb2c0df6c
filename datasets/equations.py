"""What ``physgen generate`` knows of equations that evolve: one law each, with its defaults."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from physgen.datasets.evolving import Amount, EvolvingData, mean_of, square_of
from physgen.shapes import State, Trajectory
from physgen.solvers.burgers import Burgers
from physgen.solvers.catalogue import Problem, periodic, walled_burgers, wave
from physgen.solvers.fisher import Fisher
from physgen.solvers.fitzhugh_nagumo import FitzHughNagumo
from physgen.solvers.gray_scott import GrayScott
from physgen.solvers.heat import Heat
from physgen.solvers.korteweg_de_vries import KortewegDeVries
from physgen.solvers.kuramoto_sivashinsky import KuramotoSivashinsky
from physgen.solvers.periodic import Periodic
from physgen.solvers.starts import drops
from physgen.solvers.transport import Transport
from physgen.solvers.vorticity import Vorticity
from physgen.solvers.walled import Walled
from physgen.solvers.wave import Wave


def _box(points: int, length: float, axes: int) -> Periodic:
    return Periodic((points,) * axes, (length,) * axes)


@dataclass(frozen=True, kw_only=True)
class AdvectionData(EvolvingData):
    """Smooth fields that are carried around a periodic box of 1 m, along its diagonal in a plane."""

    speed: float = 1.0
    """Along each axis, in m/s."""
    points: int = 128
    """Along each side."""
    axes: int = 1
    """One, two or three."""
    waves: int = 5
    """Periods of the finest wave along each side."""
    time: float = 1.0
    frames: int = 50
    dt: float = 0.02
    out: Path = Path("data/advection")

    @property
    def name(self) -> str:
        return "advection"

    @property
    def facts(self) -> dict[str, float]:
        return {"speed": self.speed}

    @property
    def units(self) -> dict[str, str]:
        return {"concentration": "1"}

    @property
    def problem(self) -> Problem:
        equation, box = Transport((self.speed,) * self.axes), _box(self.points, 1.0, self.axes)
        return periodic(self.name, equation, box, self.dt, highest=self.waves)

    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        return {"mass": mean_of(trajectory), "square": square_of(trajectory)}


@dataclass(frozen=True, kw_only=True)
class HeatData(EvolvingData):
    """Smooth temperatures that even out in a periodic box of 1 m."""

    diffusivity: float = 0.01
    """In m²/s."""
    points: int = 128
    """Along each side."""
    axes: int = 1
    """One, two or three."""
    waves: int = 5
    """Periods of the finest wave along each side."""
    time: float = 1.0
    frames: int = 50
    dt: float = 0.02
    out: Path = Path("data/heat")

    @property
    def name(self) -> str:
        return "heat"

    @property
    def facts(self) -> dict[str, float]:
        return {"diffusivity": self.diffusivity}

    @property
    def units(self) -> dict[str, str]:
        return {"temperature": "K"}

    @property
    def problem(self) -> Problem:
        equation, box = Heat(self.diffusivity), _box(self.points, 1.0, self.axes)
        return periodic(self.name, equation, box, self.dt, highest=self.waves)

    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        return {"heat": mean_of(trajectory)}


@dataclass(frozen=True, kw_only=True)
class BurgersData(EvolvingData):
    """Waves that steepen into fronts, in a periodic box of 1 m."""

    viscosity: float = 0.01
    """In m²/s."""
    points: int = 256
    """Along each side."""
    axes: int = 1
    """One or two."""
    waves: int = 3
    """Periods of the finest wave along each side."""
    time: float = 1.0
    frames: int = 50
    dt: float = 0.002
    out: Path = Path("data/burgers")

    @property
    def name(self) -> str:
        return "burgers"

    @property
    def facts(self) -> dict[str, float]:
        return {"viscosity": self.viscosity}

    @property
    def units(self) -> dict[str, str]:
        return dict.fromkeys(Burgers(self.viscosity).fields(self.axes), "m s-1")

    @property
    def problem(self) -> Problem:
        equation, box = Burgers(self.viscosity), _box(self.points, 1.0, self.axes)
        return periodic(self.name, equation, box, self.dt, highest=self.waves)

    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        return {"momentum": mean_of(trajectory)} if self.axes == 1 else {}


@dataclass(frozen=True, kw_only=True)
class KdvData(EvolvingData):
    """Waves in shallow water that fall into solitons, on a periodic interval."""

    points: int = 256
    """Along the interval."""
    length: float = 40.0
    """Of the interval, in m."""
    waves: int = 3
    """Periods of the finest wave."""
    time: float = 10.0
    frames: int = 100
    dt: float = 0.005
    out: Path = Path("data/kdv")

    @property
    def name(self) -> str:
        return "kdv"

    @property
    def facts(self) -> dict[str, float]:
        return {"steepening": 6.0, "dispersion": 1.0, "length": self.length}

    @property
    def units(self) -> dict[str, str]:
        return {"height": "m"}

    @property
    def problem(self) -> Problem:
        box = _box(self.points, self.length, 1)
        return periodic(self.name, KortewegDeVries(), box, self.dt, highest=self.waves)

    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        return {"mass": mean_of(trajectory), "momentum": square_of(trajectory)}


@dataclass(frozen=True, kw_only=True)
class KuramotoData(EvolvingData):
    """Chaotic flame fronts that have forgotten how they began, on a periodic interval."""

    length: float = 64.0
    """Of the interval, in m."""
    points: int = 256
    """Along the interval."""
    before: float = 100.0
    time: float = 100.0
    frames: int = 200
    dt: float = 0.05
    out: Path = Path("data/kuramoto")

    @property
    def name(self) -> str:
        return "kuramoto"

    @property
    def facts(self) -> dict[str, float]:
        return {"length": self.length}

    @property
    def units(self) -> dict[str, str]:
        return {"velocity": "m s-1"}

    @property
    def problem(self) -> Problem:
        box = _box(self.points, self.length, 1)
        return periodic(self.name, KuramotoSivashinsky(), box, self.dt)

    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        return {"mean": mean_of(trajectory)}


@dataclass(frozen=True, kw_only=True)
class FisherData(EvolvingData):
    """A population that spreads and grows, in a periodic box."""

    diffusivity: float = 1.0
    """In m²/s."""
    growth: float = 1.0
    """In 1/s."""
    length: float = 20.0
    """Of each side, in m."""
    points: int = 128
    """Along each side."""
    axes: int = 1
    """One, two or three."""
    time: float = 5.0
    frames: int = 50
    dt: float = 0.02
    out: Path = Path("data/fisher")

    @property
    def name(self) -> str:
        return "fisher"

    @property
    def facts(self) -> dict[str, float]:
        return {"diffusivity": self.diffusivity, "growth": self.growth}

    @property
    def units(self) -> dict[str, str]:
        return {"density": "1"}

    @property
    def problem(self) -> Problem:
        equation = Fisher(self.diffusivity, self.growth)
        box = _box(self.points, self.length, self.axes)
        return periodic(self.name, equation, box, self.dt, 0.5, 0.4)

    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        return {}


@dataclass(frozen=True, kw_only=True)
class GrayScottData(EvolvingData):
    """Drops of an activator that grow into a pattern, in a periodic box."""

    feed: float = 0.04
    """In 1/s."""
    kill: float = 0.06
    """In 1/s."""
    length: float = 96.0
    """Of each side, in m."""
    points: int = 128
    """Along each side."""
    axes: int = 2
    """One, two or three."""
    shard: int = 10
    time: float = 2000.0
    frames: int = 50
    dt: float = 1.0
    out: Path = Path("data/gray-scott")

    @property
    def name(self) -> str:
        return "gray-scott"

    @property
    def facts(self) -> dict[str, float]:
        return {"feed": self.feed, "kill": self.kill}

    @property
    def units(self) -> dict[str, str]:
        return {"substrate": "1", "activator": "1"}

    @property
    def problem(self) -> Problem:
        box = _box(self.points, self.length, self.axes)
        equation = GrayScott(feed=self.feed, kill=self.kill)

        def start(count: int, generator: torch.Generator) -> State:
            return drops(box, count, generator)

        return replace(periodic(self.name, equation, box, self.dt), start=start)

    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        return {}


@dataclass(frozen=True, kw_only=True)
class FitzHughNagumoData(EvolvingData):
    """An excitable medium that settles into spots, in a periodic box of 2 m."""

    diffusivity_u: float = 1e-3
    """Of the activator, in m²/s."""
    diffusivity_v: float = 5e-3
    """Of the inhibitor, in m²/s."""
    threshold: float = 5e-3
    """In 1/s."""
    points: int = 64
    """Along each side."""
    axes: int = 2
    """One, two or three."""
    waves: int = 16
    """Periods of the finest wave along each side at the beginning."""
    shard: int = 20
    time: float = 5.0
    frames: int = 50
    dt: float = 0.05
    out: Path = Path("data/fitzhugh-nagumo")

    @property
    def name(self) -> str:
        return "fitzhugh-nagumo"

    @property
    def facts(self) -> dict[str, float]:
        return {
            "diffusivity_u": self.diffusivity_u,
            "diffusivity_v": self.diffusivity_v,
            "threshold": self.threshold,
        }

    @property
    def units(self) -> dict[str, str]:
        return {"activator": "1", "inhibitor": "1"}

    @property
    def problem(self) -> Problem:
        equation = FitzHughNagumo(**self.facts)
        box = _box(self.points, 2.0, self.axes)
        return periodic(self.name, equation, box, self.dt, highest=self.waves)

    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        return {}


@dataclass(frozen=True, kw_only=True)
class TurbulenceData(EvolvingData):
    """Vortices of a plane flow that merge and decay, in a periodic square of 2 pi m."""

    viscosity: float = 1e-3
    """In m²/s."""
    points: int = 128
    """Along each side."""
    waves: int = 6
    """Periods of the finest wave along each side at the beginning."""
    strength: float = 10.0
    """The largest vorticity at the beginning, in 1/s."""
    shard: int = 10
    time: float = 8.0
    frames: int = 40
    dt: float = 0.01
    out: Path = Path("data/turbulence")

    @property
    def name(self) -> str:
        return "turbulence"

    @property
    def facts(self) -> dict[str, float]:
        return {"viscosity": self.viscosity}

    @property
    def units(self) -> dict[str, str]:
        return {"vorticity": "s-1"}

    @property
    def problem(self) -> Problem:
        equation, box = Vorticity(self.viscosity), _box(self.points, 2 * math.pi, 2)
        return periodic(self.name, equation, box, self.dt, 0.0, self.strength, self.waves)

    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        return {"circulation": mean_of(trajectory)}


@dataclass(frozen=True, kw_only=True)
class WaveData(EvolvingData):
    """Waves between walls of 1 m that hold them still."""

    speed: float = 1.0
    """In m/s."""
    points: int = 63
    """Along each side, between the walls."""
    axes: int = 2
    """One or two."""
    shard: int = 20
    time: float = 2.0
    frames: int = 50
    dt: float = 0.005
    out: Path = Path("data/wave")

    @property
    def name(self) -> str:
        return "wave"

    @property
    def facts(self) -> dict[str, float]:
        return {"speed": self.speed}

    @property
    def units(self) -> dict[str, str]:
        return {"displacement": "m", "velocity": "m s-1"}

    @property
    def problem(self) -> Problem:
        grid = Walled((self.points,) * self.axes, (1.0,) * self.axes)
        return wave(self.name, grid, self.dt, self.speed)

    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        solver = self.problem.solver
        assert isinstance(solver, Wave)
        energy = solver.energy(trajectory.flatten(0, 1)).unflatten(0, trajectory.shape[:2])
        return {"energy": energy / energy[:, :1]}


@dataclass(frozen=True, kw_only=True)
class WalledBurgersData(EvolvingData):
    """A velocity between walls under random forces: the data of DiffPhyCon's control problem."""

    viscosity: float = 0.01
    """In m²/s."""
    points: int = 128
    """Between the walls, 1 m apart."""
    shard: int = 1000
    simulations: int = 1000
    time: float = 1.0
    frames: int = 10
    dt: float = 1e-4
    out: Path = Path("data/walled-burgers")

    @property
    def name(self) -> str:
        return "walled-burgers"

    @property
    def facts(self) -> dict[str, float]:
        return {"viscosity": self.viscosity}

    @property
    def units(self) -> dict[str, str]:
        return {"velocity": "m s-1", "force": "m s-2"}

    @property
    def problem(self) -> Problem:
        return walled_burgers(self.name, self.points, self.viscosity, self.dt, 1)

    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        return {}


EVOLVING: dict[str, type[EvolvingData]] = {
    "advection": AdvectionData,
    "heat": HeatData,
    "burgers": BurgersData,
    "kdv": KdvData,
    "kuramoto": KuramotoData,
    "fisher": FisherData,
    "gray-scott": GrayScottData,
    "fitzhugh-nagumo": FitzHughNagumoData,
    "turbulence": TurbulenceData,
    "wave": WaveData,
    "walled-burgers": WalledBurgersData,
}
