"""The named equations of ``physgen simulate``, each with an exact solution or a law it is held to."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from physgen.datasets.field import NO_SEED, axes_of
from physgen.design_tasks.equation_case import EquationCase, Setting
from physgen.design_tasks.flow_case import Row
from physgen.shapes import State, Trajectory
from physgen.solvers.burgers import Burgers, cole_hopf
from physgen.solvers.evolution import constant, drive
from physgen.solvers.exponential import Semilinear, Spectral
from physgen.solvers.fisher import Fisher, two_fronts
from physgen.solvers.fitzhugh_nagumo import FitzHughNagumo
from physgen.solvers.gray_scott import GrayScott
from physgen.solvers.heat import Heat
from physgen.solvers.korteweg_de_vries import KortewegDeVries, two_solitons
from physgen.solvers.kuramoto_sivashinsky import KuramotoSivashinsky
from physgen.solvers.periodic import Modes, Periodic
from physgen.solvers.starts import drops, smooth
from physgen.solvers.transport import Transport
from physgen.solvers.vorticity import Vorticity, velocity
from physgen.solvers.walled import Walled
from physgen.solvers.walled_burgers import WalledBurgers, eight_pushes, two_humps
from physgen.solvers.wave import Wave

LIKE = torch.zeros(1, dtype=torch.float64)


def _periodic(
    case: EquationCase,
    equation: Semilinear,
    grid: Periodic,
    state: State,
    units: str,
    seed: int = NO_SEED,
) -> Setting:
    fields = dict.fromkeys(equation.fields(grid.axes), units)
    none = constant(state[:, :0], case.frames)
    solver = Spectral(equation, grid, case.step)
    return Setting(
        solver, state, axes_of(grid.places(LIKE)), fields, "PERIODIC", none, "cell", seed
    )


def _worst(case: EquationCase, trajectory: Trajectory, exact: Callable[[float], Tensor]) -> float:
    """The largest error of the first field at the saved instants, over its largest value."""
    times = [k * case.interval for k in range(1, case.frames + 1)]
    known = torch.stack([exact(time) for time in times]).to(trajectory)
    return float((trajectory[0, 1:, 0] - known).abs().max() / known.abs().max())


def _drift(amounts: Tensor) -> float:
    """The largest change of what should stay, over its first value."""
    return float((amounts - amounts[0]).abs().max() / amounts[0].abs())


def _budget(stored: Tensor, gained: Tensor, interval: float) -> float:
    """What a budget fails to explain of the largest change, gains by Simpson's rule in time."""
    pairs = gained[: len(gained) - (len(gained) - 1) % 2]
    whole = (pairs[:-2:2] + 4 * pairs[1:-1:2] + pairs[2::2]).cumsum(0) * interval / 3
    change = stored[2 : len(pairs) : 2] - stored[0]
    return float((change - whole).abs().max() / change.abs().max())


@dataclass(frozen=True, kw_only=True)
class AdvectionCase(EquationCase):
    """A bump that is carried along the diagonal of a periodic square of 1 m."""

    speed: float = 1.0
    """Along each side, in m/s."""
    points: int = 64
    """Along each side."""
    time: float = 1.0
    frames: int = 50
    dt: float = 0.02
    out: Path = Path("runs/advection")

    @property
    def name(self) -> str:
        return "advection"

    @property
    def facts(self) -> dict[str, float]:
        return {"speed": self.speed}

    @property
    def _grid(self) -> Periodic:
        return Periodic((self.points, self.points), (1.0, 1.0))

    def _exact(self, time: float) -> Tensor:
        away = [x - 0.25 - self.speed * time for x in self._grid.places(LIKE)]
        across, along = (torch.cos(2 * math.pi * far) for far in away)
        return torch.exp(4 * (across + along) - 8)

    def setting(self) -> Setting:
        equation = Transport((self.speed, self.speed))
        return _periodic(self, equation, self._grid, self._exact(0.0)[None, None], "1")

    def figures(self, trajectory: Trajectory) -> list[Row]:
        field = trajectory[0, :, 0]
        return [
            Row("largest error", _worst(self, trajectory, self._exact), None, (0.0, 0.0), "exact"),
            Row("change of mass", _drift(field.mean((1, 2))), None, (0.0, 0.0), "conservation"),
            Row(
                "change of mean square", _drift(field.square().mean((1, 2))), None, (0.0, 0.0),
                "conservation",
            ),
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class HeatCase(EquationCase):
    """Waves of temperature that fade, the short ones first, in a periodic square of 1 m."""

    diffusivity: float = 0.01
    """In m²/s."""
    points: int = 64
    """Along each side."""
    time: float = 2.0
    frames: int = 50
    dt: float = 0.04
    out: Path = Path("runs/heat")

    @property
    def name(self) -> str:
        return "heat"

    @property
    def facts(self) -> dict[str, float]:
        return {"diffusivity": self.diffusivity}

    @property
    def _grid(self) -> Periodic:
        return Periodic((self.points, self.points), (1.0, 1.0))

    def _exact(self, time: float) -> Tensor:
        x, y = (2 * math.pi * place for place in self._grid.places(LIKE))
        total = torch.full_like(x, 3.0)
        for m, n in ((1, 0), (1, 2), (4, 3)):
            fade = math.exp(-self.diffusivity * (2 * math.pi) ** 2 * (m**2 + n**2) * time)
            total = total + fade * torch.sin(m * x) * torch.cos(n * y)
        return total

    def setting(self) -> Setting:
        equation = Heat(self.diffusivity)
        return _periodic(self, equation, self._grid, self._exact(0.0)[None, None], "K")

    def figures(self, trajectory: Trajectory) -> list[Row]:
        mean = trajectory[0, :, 0].mean((1, 2))
        return [
            Row("largest error", _worst(self, trajectory, self._exact), None, (0.0, 0.0), "exact"),
            Row("change of heat", _drift(mean), None, (0.0, 0.0), "conservation"),
            Row("largest swing left, K", float((trajectory[0, -1] - 3).abs().max())),
        ]


@dataclass(frozen=True, kw_only=True)
class BurgersCase(EquationCase):
    """Two waves that steepen into fronts, on a periodic interval of 1 m."""

    viscosity: float = 0.01
    """In m²/s."""
    points: int = 256
    """Along the interval."""
    time: float = 1.0
    frames: int = 100
    dt: float = 0.002
    out: Path = Path("runs/burgers")

    @property
    def name(self) -> str:
        return "burgers"

    @property
    def facts(self) -> dict[str, float]:
        return {"viscosity": self.viscosity}

    def setting(self) -> Setting:
        grid = Periodic((self.points,), (1.0,))
        turns = 2 * math.pi * grid.places(LIKE)[0]
        state = 0.8 * torch.sin(turns) + 0.3 * torch.cos(2 * turns)
        return _periodic(self, Burgers(self.viscosity), grid, state[None, None], "m s-1")

    def figures(self, trajectory: Trajectory) -> list[Row]:
        (x,) = Periodic((self.points,), (1.0,)).places(LIKE)
        turn = 2 * math.pi

        def potential(y: Tensor) -> Tensor:
            return (0.15 * torch.sin(2 * turn * y) - 0.8 * torch.cos(turn * y)) / turn

        worst = _worst(
            self, trajectory, lambda time: cole_hopf(x, time, self.viscosity, potential)
        )
        momentum = float(trajectory[0, :, 0].mean(-1).abs().max())
        energy = trajectory[0, :, 0].square().mean(-1)
        return [
            Row("largest error", worst, None, (0.0, 0.0), "Cole 1951, Hopf 1950: exact"),
            Row("momentum, m/s", momentum, None, (0.0, 0.0), "conservation"),
            Row("energy left", float(energy[-1] / energy[0])),
        ]


@dataclass(frozen=True, kw_only=True)
class KdvCase(EquationCase):
    """A fast soliton that passes through a slow one, on 60 m."""

    points: int = 256
    """Along the interval."""
    time: float = 8.0
    frames: int = 100
    dt: float = 0.002
    out: Path = Path("runs/kdv")

    @property
    def name(self) -> str:
        return "kdv"

    @property
    def facts(self) -> dict[str, float]:
        return {"steepening": 6.0, "dispersion": 1.0}

    @property
    def _grid(self) -> Periodic:
        return Periodic((self.points,), (60.0,))

    def _exact(self, time: float) -> Tensor:
        return two_solitons(self._grid.places(LIKE)[0], time, (4.0, 1.0), (12.0, 25.0))

    def setting(self) -> Setting:
        return _periodic(self, KortewegDeVries(), self._grid, self._exact(0.0)[None, None], "m")

    def figures(self, trajectory: Trajectory) -> list[Row]:
        height = trajectory[0, :, :]
        modes = Modes(self._grid, 2, height)
        slope = modes.back(modes.slope(modes.forward(height), 0))
        energy = (height**3 - 0.5 * slope.square()).mean((1, 2))
        return [
            Row(
                "largest error", _worst(self, trajectory, self._exact), None, (0.0, 0.0),
                "Hirota 1971: exact",
            ),
            Row("change of mass", _drift(height.mean((1, 2))), None, (0.0, 0.0), "conservation"),
            Row(
                "change of momentum", _drift(height.square().mean((1, 2))), None, (0.0, 0.0),
                "conservation",
            ),
            Row("change of energy", _drift(energy), None, (0.0, 0.0), "conservation"),
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class KuramotoCase(EquationCase):
    """A flame front that grows chaotic, on a periodic interval."""

    length: float = 64.0
    """Of the interval, in m."""
    points: int = 256
    """Along the interval."""
    seed: int = 0
    """Of the smooth field it begins with."""
    time: float = 150.0
    frames: int = 300
    dt: float = 0.05
    out: Path = Path("runs/kuramoto")

    @property
    def name(self) -> str:
        return "kuramoto"

    @property
    def facts(self) -> dict[str, float]:
        return {"length": self.length}

    def setting(self) -> Setting:
        grid = Periodic((self.points,), (self.length,))
        state = smooth(grid, 1, 1, 3, torch.Generator().manual_seed(self.seed))
        return _periodic(self, KuramotoSivashinsky(), grid, state, "m s-1", self.seed)

    def figures(self, trajectory: Trajectory) -> list[Row]:
        u = trajectory[0]
        modes = Modes(Periodic((self.points,), (self.length,)), 2, u)
        spectrum = modes.forward(u)
        slope, bend = modes.back(modes.slope(spectrum, 0)), modes.back(modes.laplacian * spectrum)
        gained = (slope.square() - bend.square()).mean((1, 2))
        stored = 0.5 * u.square().mean((1, 2))
        return [
            Row("mean velocity, m/s", float(u.mean(-1).abs().max()), None, (0.0, 0.0), "stays"),
            Row(
                "energy not explained", _budget(stored, gained, self.interval), None, (0.0, 0.0),
                "what long waves gain and short ones lose",
            ),
            Row("root mean square velocity, m/s", float((2 * stored[len(stored) // 2 :].mean()).sqrt())),
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FisherCase(EquationCase):
    """Two fronts of a population that run away from one another, on 120 m."""

    points: int = 256
    """Along the interval."""
    time: float = 10.0
    frames: int = 50
    dt: float = 0.05
    out: Path = Path("runs/fisher")

    @property
    def name(self) -> str:
        return "fisher"

    @property
    def facts(self) -> dict[str, float]:
        return {"diffusivity": 1.0, "growth": 1.0}

    @property
    def _grid(self) -> Periodic:
        return Periodic((self.points,), (120.0,))

    def _exact(self, time: float) -> Tensor:
        return two_fronts(self._grid.places(LIKE)[0], time, 60.0, 25.0)

    def setting(self) -> Setting:
        return _periodic(self, Fisher(), self._grid, self._exact(0.0)[None, None], "1")

    def figures(self, trajectory: Trajectory) -> list[Row]:
        # Where two fronts move apart, the area between them grows by twice their way.
        grown = float(trajectory[0, -1].mean() - trajectory[0, 0].mean()) * 120
        speed = 5 / math.sqrt(6)
        return [
            Row(
                "speed of the fronts, m/s", grown / (2 * self.time), None, (speed, speed),
                "Ablowitz and Zeppetella 1979: exact",
            ),
            Row(
                "largest error", _worst(self, trajectory, self._exact), None, (0.0, 0.0),
                "Ablowitz and Zeppetella 1979: exact",
            ),
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GrayScottCase(EquationCase):
    """Drops of an activator that grow into a pattern, in a periodic square."""

    feed: float = 0.04
    """In 1/s."""
    kill: float = 0.06
    """In 1/s."""
    length: float = 96.0
    """Of each side, in m."""
    points: int = 128
    """Along each side."""
    seed: int = 0
    """Of the places of the drops."""
    time: float = 2000.0
    frames: int = 100
    dt: float = 1.0
    out: Path = Path("runs/gray-scott")

    @property
    def name(self) -> str:
        return "gray-scott"

    @property
    def facts(self) -> dict[str, float]:
        return {"feed": self.feed, "kill": self.kill}

    def setting(self) -> Setting:
        grid = Periodic((self.points, self.points), (self.length, self.length))
        state = drops(grid, 1, torch.Generator().manual_seed(self.seed))
        equation = GrayScott(feed=self.feed, kill=self.kill)
        return _periodic(self, equation, grid, state, "1", self.seed)

    def figures(self, trajectory: Trajectory) -> list[Row]:
        u, v = trajectory[0].mean((2, 3)).unbind(1)
        gained = self.feed * (1 - u) - (self.feed + self.kill) * v
        left = _budget(u + v, gained, self.interval)
        lowest = float(trajectory.min())
        return [
            Row("matter not explained", left, None, (0.0, 0.0), "what is fed and removed"),
            Row("lowest concentration", lowest, None, (0.0, 1.0), "none is negative"),
            Row("share covered by the activator", float((trajectory[0, -1, 1] > 0.1).double().mean())),
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FitzHughNagumoCase(EquationCase):
    """An excitable medium that settles into spots of two signs, in a periodic square of 2 m."""

    threshold: float = 5e-3
    """In 1/s."""
    points: int = 128
    """Along each side."""
    waves: int = 16
    """Periods of the finest wave along each side at the beginning."""
    seed: int = 0
    """Of the smooth fields it begins with."""
    time: float = 20.0
    frames: int = 100
    dt: float = 0.05
    out: Path = Path("runs/fitzhugh-nagumo")

    @property
    def name(self) -> str:
        return "fitzhugh-nagumo"

    @property
    def facts(self) -> dict[str, float]:
        return {"threshold": self.threshold}

    def setting(self) -> Setting:
        grid = Periodic((self.points, self.points), (2.0, 2.0))
        state = smooth(grid, 2, 1, self.waves, torch.Generator().manual_seed(self.seed))
        equation = FitzHughNagumo(threshold=self.threshold)
        return _periodic(self, equation, grid, state, "1", self.seed)

    def figures(self, trajectory: Trajectory) -> list[Row]:
        u, v = trajectory[0].unbind(1)
        made = (u - u**3 - v).mean((1, 2)) - self.threshold
        activator = _budget(u.mean((1, 2)), made, self.interval)
        inhibitor = _budget(v.mean((1, 2)), (u - v).mean((1, 2)), self.interval)
        return [
            Row("activator not explained", activator, None, (0.0, 0.0), "what reacts"),
            Row("inhibitor not explained", inhibitor, None, (0.0, 0.0), "what reacts"),
            Row("root mean square activator", float(u[-1].square().mean().sqrt())),
            Row("share where it is positive", float((u[-1] > 0).double().mean())),
        ]


@dataclass(frozen=True, kw_only=True)
class TurbulenceCase(EquationCase):
    """Vortices of a plane flow that merge and decay, in a periodic square of 2 pi m."""

    viscosity: float = 1e-3
    """In m²/s."""
    points: int = 128
    """Along each side."""
    seed: int = 0
    """Of the smooth field it begins with."""
    time: float = 8.0
    frames: int = 80
    dt: float = 0.01
    out: Path = Path("runs/turbulence")

    @property
    def name(self) -> str:
        return "turbulence"

    @property
    def facts(self) -> dict[str, float]:
        return {"viscosity": self.viscosity}

    @property
    def _grid(self) -> Periodic:
        return Periodic((self.points, self.points), (2 * math.pi, 2 * math.pi))

    def setting(self) -> Setting:
        state = 10 * smooth(self._grid, 1, 1, 6, torch.Generator().manual_seed(self.seed))
        return _periodic(self, Vorticity(self.viscosity), self._grid, state, "s-1", self.seed)

    def figures(self, trajectory: Trajectory) -> list[Row]:
        vorticity = trajectory[0, :, 0]
        modes = Modes(self._grid, 2, vorticity)
        parts = [modes.back(part) for part in velocity(modes.forward(vorticity), modes)]
        energy = 0.5 * sum((part.square().mean((1, 2)) for part in parts), torch.zeros(()))
        enstrophy = 0.5 * vorticity.square().mean((1, 2))
        lost = -2 * self.viscosity * enstrophy
        return [
            Row(
                "energy not explained", _budget(energy, lost, self.interval), None, (0.0, 0.0),
                "what friction takes: 2 nu times the enstrophy",
            ),
            Row("energy left", float(energy[-1] / energy[0])),
            Row("enstrophy left", float(enstrophy[-1] / enstrophy[0])),
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WaveCase(EquationCase):
    """A membrane that was struck, between walls of 1 m."""

    points: int = 127
    """Along each side."""
    time: float = 2.0
    frames: int = 100
    dt: float = 0.005
    out: Path = Path("runs/wave")

    @property
    def name(self) -> str:
        return "wave"

    @property
    def facts(self) -> dict[str, float]:
        return {"speed": 1.0}

    @property
    def _grid(self) -> Walled:
        return Walled((self.points, self.points), (1.0, 1.0))

    def _exact(self, time: float) -> Tensor:
        """Three tones at once."""
        x, y = self._grid.places(LIKE)
        total = torch.zeros_like(x)
        for m, n in ((1, 1), (2, 1), (2, 3)):
            tone = torch.sin(m * math.pi * x) * torch.sin(n * math.pi * y)
            total = total + tone * math.cos(math.pi * math.hypot(m, n) * time)
        return total

    def setting(self) -> Setting:
        state = torch.stack([self._exact(0.0), torch.zeros_like(self._exact(0.0))])[None]
        units = {"displacement": "m", "velocity": "m s-1"}
        none = constant(state[:, :0], self.frames)
        solver = Wave(self._grid, self.step)
        return Setting(
            solver, state, axes_of(self._grid.places(LIKE)), units, "WALL", none, "point"
        )

    def figures(self, trajectory: Trajectory) -> list[Row]:
        energy = Wave(self._grid, self.step).energy(trajectory[0])
        worst = _worst(self, trajectory, self._exact)
        return [
            Row("largest error", worst, None, (0.0, 0.0), "standing waves: exact"),
            Row("change of energy", _drift(energy), None, (0.0, 0.0), "conservation"),
        ]


@dataclass(frozen=True, kw_only=True)
class WalledBurgersCase(EquationCase):
    """A velocity between walls under random forces: DiffPhyCon's control problem, uncontrolled."""

    seed: int = 0
    """Of the state and the forces."""
    time: float = 1.0
    frames: int = 10
    dt: float = 1e-4
    out: Path = Path("runs/walled-burgers")

    @property
    def name(self) -> str:
        return "walled-burgers"

    @property
    def facts(self) -> dict[str, float]:
        return {"viscosity": 0.01}

    def setting(self) -> Setting:
        solver = WalledBurgers(dt=self.step)
        (place,) = solver.grid.places(LIKE)
        draw = torch.Generator().manual_seed(self.seed)
        state = two_humps(1, place, draw)
        force = eight_pushes(1, self.frames, place, draw)
        units = {"velocity": "m s-1"}
        places = axes_of(solver.grid.places(LIKE))
        return Setting(solver, state, places, units, "WALL", force, "point", self.seed)

    def figures(self, trajectory: Trajectory) -> list[Row]:
        begun = self.setting()
        last = trajectory[:, -1].double()
        steps = 2 * self.steps
        finer = drive(WalledBurgers(dt=self.step / 2), begun.state, begun.controls, steps)[:, -1]
        idle = drive(begun.solver, begun.state, 0 * begun.controls, self.steps)[:, -1]
        return [
            Row("energy of the force", float(begun.controls.square().sum())),
            Row("mean square at the end, m²/s²", float(last.square().mean())),
            Row("mean square of the miss without force", float((last - idle).square().mean())),
            Row(
                "mean square change by steps half as long", float((last - finer).square().mean()),
                None, (0.0, 0.0), "convergence",
            ),
        ]  # fmt: skip


CASES: dict[str, type[EquationCase]] = {
    "advection": AdvectionCase,
    "heat": HeatCase,
    "burgers": BurgersCase,
    "kdv": KdvCase,
    "kuramoto": KuramotoCase,
    "fisher": FisherCase,
    "gray-scott": GrayScottCase,
    "fitzhugh-nagumo": FitzHughNagumoCase,
    "turbulence": TurbulenceCase,
    "wave": WaveCase,
    "walled-burgers": WalledBurgersCase,
}
