r"""Simulation: what becomes of a state that is known up to noise?

Kuramoto and Sivashinsky's equation on a ring of 64 m,

.. math:: u_t + u\,u_x + u_{xx} + u_{xxxx} = 0,

is chaotic: a small error grows by e in some ten to fifteen seconds. A state of the attractor is seen at
64 points with noise, and wanted are the states each second after that, as an ensemble: a law, because
what noise hides decides the future. Truth is the true solver's trajectory from the start without noise,
on twice the points and with half the time step of the data that priors are trained on.

Figures, of each test case; fields are over their spread on the attractor:

``crps``
    Continuous ranked probability score of the members, the mean over lead times and points.
``coverage90``
    Share of points and lead times whose truth lies in the 90 % interval of the members.
``spread_skill``
    Over all cases, so the same for each: spread over error of the mean, the mean over lead times.
    One is right.
``rmse``
    Of the mean of the members, over lead times.
``horizon``
    Time in s until the mean of the members and the truth correlate by less than 0.8.
``spectrum``
    Mean over the waves longer than 4 m of :math:`|\log_{10}|` of the members' mean square over that on the
    attractor, over the last third of the lead times.
``residual``
    What a member owes its equation: the root mean square of :math:`u_{n+1} - \Phi(u_n)` over that of
    :math:`\Phi(u_n) - u_n`, with the solver's flow :math:`\Phi` over an interval. No difference
    quotient stands for a derivative, so that the interval may be long; of a state that stays it is one.
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.datasets.equations import KuramotoData
from physgen.datasets.seeds import TEST_SEEDS
from physgen.ensemble import correlation, covered, crps, mean_error, spread_skill
from physgen.shapes import PerSample
from physgen.solvers.exponential import Spectral
from physgen.solvers.kuramoto_sivashinsky import KuramotoSivashinsky
from physgen.solvers.periodic import Periodic

LENGTH = 64.0
"""Of the ring, in m."""
POINTS = 64
"""At which states are known."""
INTERVAL = 1.0
"""Between two frames, in s."""
CORRELATED = 0.8
"""What ends a forecast."""
RESOLVED = 4.0
"""The shortest wave whose energy is compared, in m."""
AT_ONCE = 50
"""Trajectories in one call of the solver."""

States = Float[Tensor, "batch 64"]
"""A velocity at all points, over its spread or in m/s as is said."""
Trajectories = Float[Tensor, "batch time 64"]
Ensembles = Float[Tensor, "case member time 64"]
"""Members from the first instant on, over the spread."""


def data(points: int, dt: float, frames: int) -> KuramotoData:
    """Trajectories on the attractor."""
    return KuramotoData(
        length=LENGTH,
        points=points,
        before=100.0,
        time=frames * INTERVAL,
        frames=frames,
        dt=dt,
        out=Path("data") / "simulate",
    )


def simulated(made: KuramotoData, seeds: range) -> Float[Tensor, "batch time x"]:
    """One trajectory for each seed, in m/s and double precision."""
    found = []
    for first in range(seeds.start, seeds.stop, AT_ONCE):
        found.append(made.simulate(range(first, min(first + AT_ONCE, seeds.stop))).values[:, :, 0])
    return torch.cat(found)


def trajectories(made: KuramotoData, seeds: range) -> Trajectories:
    """The same at the points of a prior."""
    return simulated(made, seeds)[:, :, :: made.points // POINTS]


def resampled(u: Float[Tensor, "batch x"], points: int) -> Float[Tensor, "batch other"]:
    """The trigonometric polynomial through evenly spaced points, at so many others."""
    have = u.shape[1]
    common = math.lcm(have, points)
    amplitude = torch.fft.rfft(u, dim=1, norm="forward")
    if common > have:  # the highest wave is now one of two that are alike
        amplitude = torch.cat([amplitude[:, :-1], amplitude[:, -1:] / 2], 1)
    fine: Tensor = torch.fft.irfft(amplitude, n=common, dim=1, norm="forward")
    return fine[:, :: common // points]


class Flow:
    """The true equation from frame to frame, on a grid and with a time step of its own.

    Arguments:
        points: Of the grid.
        dt: The longest time step, in s.
    """

    def __init__(self, points: int, dt: float) -> None:
        if not dt > 0:
            raise ValueError(f"the time step must be positive, got {dt}")
        self.points, self.dt = points, dt
        self.steps = math.ceil(INTERVAL / dt - 1e-9)
        grid = Periodic((points,), (LENGTH,))
        self.solver = Spectral(KuramotoSivashinsky(), grid, INTERVAL / self.steps)

    def next(self, u: States) -> States:
        """States an interval later, in m/s."""
        state = resampled(u, self.points)[:, None]
        return resampled(self.solver.march(state, state[:, :0], self.steps)[:, 0], POINTS)

    def run(self, u: Float[Tensor, "batch x"], frames: int) -> Trajectories:
        """So many frames more, in m/s, the given ones first; these may be on any points."""
        state = resampled(u, self.points)[:, None]
        found = [resampled(u, POINTS)]
        for _ in range(frames):
            state = self.solver.march(state, state[:, :0], self.steps)
            found.append(resampled(state[:, 0], POINTS))
        return torch.stack(found, 1)


FINE = (256, 0.05)
"""Points and time step of the judge."""
TRAINED = (128, 0.1)
"""Points and time step of the data of priors."""


@dataclass(frozen=True)
class Judged:
    """What the true solver says of ensembles, one row a case."""

    crps: PerSample
    coverage90: PerSample | None
    """None of a single run."""
    spread_skill: PerSample | None
    rmse: PerSample
    horizon: PerSample
    spectrum: PerSample
    residual: PerSample


@dataclass(frozen=True)
class Curves:
    """Figures at each lead time."""

    time: Float[Tensor, " time"]
    """In s."""
    crps: Float[Tensor, " time"]
    rmse: Float[Tensor, " time"]
    spread_skill: Float[Tensor, " time"]


class SimulateTask:
    """Test starts that are seen with noise, and what becomes of them.

    Arguments:
        cases: How many.
        frames: Instants after the first.
        noise: Standard deviation of what is seen, over the spread.
        scale: The spread on the attractor, in m/s.
        spectrum: The mean square of each orthonormal amplitude there, over that of the spread.
        generator: Source of noise.
        skip: Test seeds to leave out before the first.
    """

    def __init__(
        self,
        cases: int,
        frames: int,
        noise: float,
        scale: float,
        spectrum: Float[Tensor, " wave"],
        generator: torch.Generator,
        skip: int = 0,
    ) -> None:
        for name, value, least in (("cases", cases, 1), ("frames", frames, 2), ("skip", skip, 0)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        first = TEST_SEEDS.start + skip
        self.seeds = range(first, first + cases)
        if self.seeds[-1] not in TEST_SEEDS:
            raise ValueError(f"there are {len(TEST_SEEDS)} test seeds, got {skip} + {cases}")
        self.noise, self.scale, self.spectrum = noise, scale, spectrum
        starts = simulated(data(*TRAINED, 1), self.seeds)[:, 0]
        self.truth: Trajectories = Flow(*FINE).run(starts, frames) / scale
        start = self.truth[:, 0]
        error = torch.randn(start.shape, generator=generator, dtype=start.dtype)
        self.seen: States = start + noise * error
        self.judge_flow = Flow(TRAINED[0], TRAINED[1])

    @property
    def frames(self) -> int:
        """Instants after the first."""
        return self.truth.shape[1] - 1

    @property
    def time(self) -> Float[Tensor, " time"]:
        """Of each instant, in s."""
        return INTERVAL * torch.arange(self.frames + 1, dtype=torch.float64)

    def part(self, cases: slice) -> "SimulateTask":
        """Some of the cases."""
        found = copy.copy(self)
        found.seeds = self.seeds[cases]
        found.truth, found.seen = self.truth[cases], self.seen[cases]
        return found

    @torch.no_grad()
    def judge(self, members: Ensembles) -> Judged:
        """Everything that is asked of ensembles; the first instant, which was seen, is left out."""
        members = members.double()
        ahead, truth = members[:, :, 1:], self.truth[:, 1:]
        inside = covered(ahead, truth).mean(1) if ahead.shape[1] > 1 else None
        ratio = (
            spread_skill(ahead, truth).mean().expand(len(truth)) if ahead.shape[1] > 1 else None
        )
        return Judged(
            crps=crps(ahead, truth).mean(1),
            coverage90=inside,
            spread_skill=ratio,
            rmse=mean_error(ahead, truth).mean(1),
            horizon=self._horizon(ahead),
            spectrum=self.spectrum_error(ahead),
            residual=self.residual(members),
        )

    def curves(self, members: Ensembles) -> Curves:
        """Figures at each lead time, the first instant among them."""
        members = members.double()
        return Curves(
            self.time,
            crps(members, self.truth).mean(0),
            mean_error(members, self.truth).square().mean(0).sqrt(),
            spread_skill(members, self.truth),
        )

    def _horizon(self, ahead: Ensembles) -> PerSample:
        good = correlation(ahead, self.truth[:, 1:]) >= CORRELATED
        return INTERVAL * good.long().cumprod(1).sum(1).double()

    def spectrum_error(self, ahead: Ensembles) -> PerSample:
        late = ahead[:, :, -max(1, ahead.shape[2] // 3) :]
        square = torch.fft.rfft(late, dim=3, norm="ortho").abs().square().mean((1, 2))
        last = int(LENGTH / RESOLVED) + 1
        ratio = square[:, 1:last] / self.spectrum[1:last].to(square)
        found: PerSample = ratio.log10().abs().mean(1)
        return found

    def residual(self, members: Ensembles) -> PerSample:
        """What members owe their equation, over what changes in an interval."""
        found = []
        for member in members.unbind(0):
            before, after = member[:, :-1].flatten(0, 1), member[:, 1:].flatten(0, 1)
            due = self.judge_flow.next(self.scale * before) / self.scale
            found.append(((after - due).square().mean() / (due - before).square().mean()).sqrt())
        return torch.stack(found)
