"""A residual beside a prior that was learned from few and noisy fields."""

from collections.abc import Callable
from functools import cache

import torch

from physgen.consistent import Consistent, Relaxation
from physgen.energy import Score
from physgen.gaussian import GaussianMixture
from physgen.guidance import Guidance
from physgen.meter import Metered
from physgen.observed import Observed
from physgen.predictor import DPMpp2M
from physgen.sampler import sample
from physgen.shapes import Sample
from physgen.testbeds import source
from physgen.testbeds.catalog import Bed, Figures, Gate, Measured, Method, Size
from physgen.testbeds.catalog_fields import (
    NOISE,
    drawn,
    exact,
    figures,
    grid,
    problems,
    start,
)
from physgen.testbeds.fields import Transport
from physgen.testbeds.inverse import Inverse, fitted

EXAMPLES = 60
ERROR = 0.05
"""Of every value of the examples."""


@cache
def learned(size: Size) -> GaussianMixture:
    """A Gaussian of noisy fields, what a network at its best would make of them."""
    fields = problems(size).prior.sample(EXAMPLES, source(7))
    error = torch.randn(fields.shape, generator=source(8), dtype=fields.dtype)
    return fitted(fields + ERROR * error, ERROR)


def linear(size: Size) -> Figures:
    bed = problems(size)
    return figures(bed, size, bed.draw(size.draws, source(6), learned(size)))


def guided(weight: float) -> Callable[[Size], Figures]:
    """By the observations, and by the residual with a weight."""

    def guide(prior: Score, bed: Inverse, size: Size) -> Score:
        def residual(x: torch.Tensor) -> torch.Tensor:
            return Transport(size.cells).residual(x).square().flatten(1).sum(1) / 2

        seen = Observed(prior, bed.see, bed.rows(size.draws), NOISE, len(bed.operator))
        return seen + Guidance(prior, residual, weight) if weight else seen

    def run(size: Size) -> Figures:
        return drawn(guide, prior=learned(size))(size)

    return run


def seen_as_zero(size: Size) -> Figures:
    """The residual as one more observation: zero, with the equation's own forcing as noise."""
    bed, system = problems(size), Transport(size.cells)
    meter = Metered(learned(size))
    weight = NOISE / system.forcing

    def both(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([bed.see(x), weight * system.residual(x).flatten(1)], 1)

    count = size.problems * size.draws
    nothing = torch.zeros(count, (system.instants - 1) * system.cells, dtype=torch.float64)
    observed = torch.cat([bed.rows(size.draws), nothing], 1)
    # of 237 observations: a rough solution, of which the gate below says that it is of use
    term = Observed(meter, both, observed, NOISE, iterations=20, tolerance=0.5)
    x = sample(term, start(size), grid(size), DPMpp2M(), source(5))
    return figures(bed, size, x, meter)


class Solved(Relaxation):
    """The nearest field that satisfies the equation without forcing."""

    def __init__(self, system: Transport) -> None:
        one = torch.eye(system.dimension, dtype=torch.float64)
        operator = system.residual(one).flatten(1)
        self.project = one - operator @ torch.linalg.pinv(operator)

    def mend(self, x: Sample) -> Sample:
        mended: Sample = x @ self.project
        return mended


def led(prior: Score, bed: Inverse, size: Size) -> Score:
    seen = Observed(prior, bed.see, bed.rows(size.draws), NOISE, len(bed.operator))
    return Consistent(seen, Solved(Transport(size.cells)), weight=0.9)


def consistent(size: Size) -> Figures:
    return drawn(led, DPMpp2M(), learned(size))(size)


WEIGHTS = (0.0, 100.0, 300.0)
SHU = "[Shu et al., 2023](https://arxiv.org/abs/2211.14680), on the clean estimate"
ZERO = "residual seen as zero"
LED = "clean estimates led to the equation"
LINEAR = "linear MMSE from the same fields"

RESIDUAL = Bed(
    "residual",
    "The same fields, but the prior is a Gaussian of 60 fields with noise 0.05; all figures are "
    "against the posterior of the true prior",
    (
        Method("exact posterior", "`testbeds.inverse.Inverse.draw`", "Gaussian regression", exact),
        Method(LINEAR, "`testbeds.inverse.fitted`", "a Gaussian fit", linear),
        *(
            Method(
                f"Tweedie covariance, residual's weight {weight:g}",
                "`observed.Observed` + `guidance.Guidance`",
                SHU,
                guided(weight),
            )
            for weight in WEIGHTS
        ),
        Method(
            ZERO,
            "`observed.Observed`",
            "[Rozet et al., 2024](https://arxiv.org/abs/2405.13712), its noise the "
            "equation's forcing",
            seen_as_zero,
        ),
        Method(
            LED,
            "`consistent.Consistent`",
            "a share of 0.9 of a step to it, at each level",
            consistent,
        ),
    ),
    (
        Gate(
            "seen as zero, the residual falls to a third or less for at most 2 % more error",
            lambda m: (
                m[ZERO].others["residual"] < _other(m, 0, "residual") / 3
                and m[ZERO].others["error"] < 1.02 * _other(m, 0, "error")
            ),
        ),
        Gate(
            "by its weight on the clean estimate, it halves",
            lambda m: _other(m, 300, "residual") < _other(m, 0, "residual") / 2,
        ),
        Gate(
            "led to the equation, estimates have a tenth of it for at most 10 % more error, and "
            "coverage to 0.03",
            lambda m: (
                m[LED].others["residual"] < _other(m, 0, "residual") / 10
                and m[LED].others["error"] < 1.1 * _other(m, 0, "error")
                and abs(m[LED].quality.coverage - _row(m, 0).quality.coverage) < 0.03
            ),
        ),
        Gate(
            "by weight and seen as zero, coverage falls by more than 0.05",
            lambda m: (
                max(_row(m, 300).quality.coverage, m[ZERO].quality.coverage)
                < _row(m, 0).quality.coverage - 0.05
            ),
        ),
        Gate(
            "without the residual, the error is the linear estimate's, within 10 %",
            lambda m: abs(_other(m, 0, "error") / m[LINEAR].others["error"] - 1) < 0.1,
        ),
    ),
)


def _row(measured: Measured, weight: float) -> Figures:
    return measured[f"Tweedie covariance, residual's weight {weight:g}"]


def _other(measured: Measured, weight: float, name: str) -> float:
    return _row(measured, weight).others[name]
