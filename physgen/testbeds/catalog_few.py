"""Students of a ring of modes: what a few evaluations draw, before and after distillation."""

import copy
import itertools
import pathlib
from collections.abc import Callable
from functools import cache
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from physgen.carrier import Carrier
from physgen.classifier import Classified, Conditioned
from physgen.consistency import Consistency
from physgen.denoiser import Learned
from physgen.distillation import Leap, OnGrid, Student, Taught
from physgen.energy import Score
from physgen.gaussian import GaussianMixture
from physgen.grid import Grid, from_path, log_snr
from physgen.matching import CoupledFlow
from physgen.path import Cosine, Path, Rectified, VariancePreserving
from physgen.perceptron import Modulated
from physgen.preconditioned import Preconditioned
from physgen.predictor import DDIM, Anew, DPMpp2M, Predictor
from physgen.reflow import Coupling, Reflow, bend, couple
from physgen.sampler import sample, unit_noise
from physgen.testbeds import mode_error, ring, source, wasserstein
from physgen.testbeds.catalog import Bed, Figures, Gate, Measured, Method, Size
from physgen.testbeds.quality import judge_mixture
from physgen.training import Batch, Draw, Objective, Schedule, Trainer

LAW = ring()
SPREAD = 0.7
"""Standard deviation of an entry of the ring."""
HIGHEST = 10.0
FINE = log_snr(16, 0.03, HIGHEST)
UPPER = slice(1, 4)
HALF = GaussianMixture(LAW.log_weight[UPPER], LAW.mean[UPPER], LAW.covariance[UPPER]).normalised()
"""Of the modes above the middle."""
EULER = 8
"""Steps along each path."""
DRAWS = 6
BATCH = 256


def _start(size: Size) -> Tensor:
    return unit_noise(DRAWS * size.draws, (2,), source(4))


def _figures(x: Tensor, evaluations: float = 0.0, law: GaussianMixture = LAW) -> Figures:
    apart = [wasserstein(x, law.sample(len(x), source(10 + k))) for k in range(2)]
    others = {"W2": sum(apart) / 2, "modes": mode_error(x, law)}
    return Figures(judge_mixture(x, law), evaluations, others=others)


def exact(size: Size) -> Figures:
    return _figures(LAW.sample(DRAWS * size.draws, source(6)))


Teacher = Callable[[Size], Carrier]


def drawn(
    term: Teacher, grid: Grid, predictor: Predictor, law: GaussianMixture = LAW
) -> Callable[[Size], Figures]:
    """By a predictor that evaluates once a level."""

    def run(size: Size) -> Figures:
        x = sample(term(size), _start(size), grid, predictor, source(5))
        return _figures(x, grid.steps, law)

    return run


@cache
def _ends(size: Size) -> Tensor:
    """Where the flow of probability leads, by many steps."""
    return sample(LAW, _start(size), log_snr(400, 0.001, HIGHEST), DPMpp2M(), source(5))


def along(path: Path) -> Callable[[Size], Figures]:
    """Euler's steps along a path, by the exact velocity of the ring; how far they end from the flow."""

    def run(size: Size) -> Figures:
        begin = path.t_of(torch.tensor(HIGHEST))
        times = torch.linspace(float(begin), 0, EULER + 1)
        x = path.at(begin).sigma * _start(size)
        for t, after in itertools.pairwise(times):
            alpha, sigma, d_alpha, d_sigma = path.at(t)
            clean = LAW.denoise(x / alpha, (sigma / alpha).item())
            noise = (x - alpha * clean) / sigma
            x = x + (after - t) * (d_alpha * clean + d_sigma * noise)
        x = x.detach()
        error = (x - _ends(size)).square().sum(1).mean().sqrt().item()
        found = _figures(x, EULER)
        return Figures(found.quality, EULER, others={**found.others, "error": error})

    return run


def bent(term: Teacher, grid: Grid) -> Callable[[Size], Figures]:
    """By DDIM, and how far the paths are from straight."""

    def run(size: Size) -> Figures:
        found = drawn(term, grid, DDIM())(size)
        others = {**found.others, "bend": bend(term(size), _start(size), FINE).mean().item()}
        return Figures(found.quality, found.evaluations, others=others)

    return run


def trained(model: nn.Module, objective: Objective, draw: Draw, steps: int) -> Preconditioned:
    schedule = Schedule(
        steps, other_rate=4e-3, warmup=20, decay=0.6, average=0.98, save_every=steps
    )
    student = copy.deepcopy(model).requires_grad_(True)  # where it begins may be its teacher
    with TemporaryDirectory() as folder:
        out = Trainer(
            student, objective, draw, schedule, pathlib.Path(folder), {}, bfloat16=False
        ).run()
    assert isinstance(out, Preconditioned)
    return out


def network() -> Preconditioned:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Preconditioned(Modulated(2, width=64, layers=2), SPREAD)


def lessons(size: Size) -> int:
    """Steps of training of a halving; others take two and three times as many."""
    return 8 * (size.levels - 20)


def noised(objective: Taught | Consistency, law: GaussianMixture = LAW) -> Draw:
    return lambda step, generator: objective.draw(law.sample(BATCH, generator), generator)


def law(size: Size) -> Score:
    return LAW


@cache
def halved(size: Size, into: int) -> Student:
    """Four steps in one, and two in one until so many are left; each student teaches the next."""
    if into == 4:
        model: nn.Module = network()
        leap = Leap(LAW, FINE, 4)
    else:
        before = halved(size, 2 * into)
        assert isinstance(before.model, nn.Module)
        model = before.model
        leap = Leap(before, before.grid, 2)
    objective = Taught(leap, OnGrid(leap.grid), SPREAD)
    student = trained(model, objective, noised(objective), lessons(size))
    return Student(student, leap.grid, DDIM(), SPREAD)


def into(steps: int) -> Callable[[Size], Figures]:
    return drawn(lambda size: halved(size, steps), FINE.every(16 // steps), DDIM())


def _upper(z: Tensor, level: Tensor) -> Tensor:
    """Whether a noisy sample is of the upper modes, by the exact classifier."""
    above = LAW.responsibilities(z, level)[:, UPPER].sum(1)
    return torch.stack([1 - above, above], 1).clamp(min=1e-9).log()


def guided_law(size: Size) -> Score:
    return Conditioned(LAW, Classified(_upper, 1))


@cache
def guided(size: Size) -> Student:
    """Four steps in one of a teacher that is told a label."""
    leap = Leap(guided_law(size), FINE, 4)
    objective = Taught(leap, OnGrid(leap.grid), SPREAD)
    student = trained(network(), objective, noised(objective, HALF), 2 * lessons(size))
    return Student(student, leap.grid, DDIM(), SPREAD)


@cache
def reflowed(size: Size) -> Carrier:
    start = unit_noise(10_000, (2,), source(3))
    pairs = couple(LAW, start, log_snr(20, 0.01, HIGHEST), DPMpp2M(), source(4))
    objective = Reflow(HIGHEST, SPREAD)

    def draw(step: int, generator: torch.Generator) -> Batch:
        some = torch.randint(len(pairs.x), (BATCH,), generator=generator)
        return objective.draw(Coupling(pairs.x[some], pairs.noise[some]), generator)

    return CoupledFlow(Learned(trained(network(), objective, draw, 2 * lessons(size))))


@cache
def consistent(size: Size) -> Score:
    objective = Consistency(LAW, log_snr(8, 0.03, HIGHEST), SPREAD)
    return Learned(trained(network(), objective, noised(objective), 3 * lessons(size)))


def _straight(steps: int) -> Grid:
    return from_path(Rectified(), steps, HIGHEST / (1 + HIGHEST))


def _w2(measured: Measured, name: str) -> float:
    return measured[name].others["W2"]


def _error(measured: Measured, path: str) -> float:
    return measured[f"Euler along the {path} path, {EULER}"].others["error"]


FULL_WALK = "teacher, 16 steps"
TOLD, TAUGHT = "teacher with a classifier, 16 steps", "teacher with a classifier, in 4"
DHARIWAL = "section 4.1 of [Dhariwal & Nichol, 2021](https://arxiv.org/abs/2105.05233)"
MENG = "[Meng et al., 2023](https://arxiv.org/abs/2210.03142), one weight"
PATHS = {
    "straight": (Rectified(), "eq. 20 of [Lipman et al., 2023](https://arxiv.org/abs/2210.02747)"),
    "trigonometric": (Cosine(), "[Nichol & Dhariwal, 2021](https://arxiv.org/abs/2102.09672)"),
    "variance-preserving": (
        VariancePreserving(),
        "eq. 33 of [Song et al., 2021](https://arxiv.org/abs/2011.13456)",
    ),
}
SONG = "[Song et al., 2021](https://arxiv.org/abs/2010.02502), eq. 12"
LU = "[Lu et al., 2022](https://arxiv.org/abs/2211.01095), alg. 2"
SALIMANS = "[Salimans & Ho, 2022](https://arxiv.org/abs/2202.00512), alg. 2"
LIU = "[Liu et al., 2023](https://arxiv.org/abs/2209.03003), alg. 1"
CONSISTENT = "[Song et al., 2023](https://arxiv.org/abs/2303.01469), alg. 1 and 2"

FEW_STEPS = Bed(
    "few steps",
    "A ring of eight modes, or the three above its middle for teachers with a classifier; errors along "
    "paths are root mean squares from where the exact flow ends; students are perceptrons of 13 thousand numbers and learn from its exact "
    "denoiser",
    (
        Method("exact draws", "`gaussian.GaussianMixture.sample`", "closed form", exact),
        Method(FULL_WALK, "`predictor.DDIM`", SONG, bent(law, FINE)),
        *(
            Method(
                f"teacher, {n} step{'s' * (n > 1)} by DPM++ 2M",
                "`predictor.DPMpp2M`",
                LU,
                drawn(law, FINE.every(16 // n), DPMpp2M()),
            )
            for n in (8, 4, 2, 1)
        ),
        *(
            Method(
                f"Euler along the {name} path, {EULER}",
                f"`path.{type(path).__name__}`",
                where,
                along(path),
            )
            for name, (path, where) in PATHS.items()
        ),
        Method(TOLD, "`classifier.Conditioned`", DHARIWAL, drawn(guided_law, FINE, DDIM(), HALF)),
        Method(TAUGHT, "`distillation.Taught`", MENG, drawn(guided, FINE.every(4), DDIM(), HALF)),
        *(Method(f"halved to {n}", "`distillation.Leap`", SALIMANS, into(n)) for n in (4, 2, 1)),
        *(
            Method(f"reflowed, {n}", "`reflow.Reflow`", LIU, bent(reflowed, _straight(n)))
            for n in (4, 1)
        ),
        *(
            Method(
                f"consistent, {len(lower) + 1}",
                "`consistency.Consistency`",
                CONSISTENT,
                drawn(consistent, Grid((HIGHEST, *lower, 0.0)), Anew()),
            )
            for lower in ((0.8,), ())
        ),
    ),
    (
        Gate(
            "halved students draw with 4, 2 and 1 evaluations what the teacher does with 16, to a fifth",
            lambda m: all(_w2(m, f"halved to {n}") < 1.2 * _w2(m, FULL_WALK) for n in (4, 2, 1)),
        ),
        Gate(
            "the teacher's own two evaluations are further off than that by half, one by four times",
            lambda m: (
                _w2(m, "teacher, 2 steps by DPM++ 2M") > 1.5 * _w2(m, FULL_WALK)
                and _w2(m, "teacher, 1 step by DPM++ 2M") > 4 * _w2(m, FULL_WALK)
            ),
        ),
        Gate(
            "straight lines (flow matching's optimal-transport path) need no fewer steps than the "
            "trigonometric path, whose errors are as large to 15 %; the variance-preserving path's "
            "are larger by 40 % or more",
            lambda m: (
                abs(_error(m, "trigonometric") / _error(m, "straight") - 1) < 0.15
                and _error(m, "variance-preserving") > 1.4 * _error(m, "straight")
            ),
        ),
        Gate(
            "a student of a teacher with a classifier draws in 4 what that does in 16: W2 at most "
            "0.05 more",
            lambda m: _w2(m, TAUGHT) < _w2(m, TOLD) + 0.05,
        ),
        Gate(
            "reflow straightens paths ten times, and then one evaluation is enough, to a fifth",
            lambda m: (
                m["reflowed, 1"].others["bend"] < m[FULL_WALK].others["bend"] / 10
                and _w2(m, "reflowed, 1") < 1.2 * _w2(m, FULL_WALK)
            ),
        ),
        Gate(
            "a consistent student knows the ends in one evaluation to 40 %",
            lambda m: _w2(m, "consistent, 1") < 1.4 * _w2(m, FULL_WALK),
        ),
    ),
)
