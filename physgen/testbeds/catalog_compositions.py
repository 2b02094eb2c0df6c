"""Ways to compose priors and to hold what is drawn to conditions, where the answer is Gaussian."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from physgen.classifier import ClassifierFree
from physgen.condition import Projected
from physgen.energy import Average, Energy, Mixture, Score, positions
from physgen.gaussian import GaussianMixture, gaussian
from physgen.grid import Grid, log_snr
from physgen.guidance import Constraint, Fixed, Guided
from physgen.kernel import MALA
from physgen.meter import Metered, MeteredEnergy
from physgen.predictor import Ancestral, Heun, Predictor
from physgen.sampler import anneal, sample, unit_noise
from physgen.testbeds import bars, ring, source
from physgen.testbeds.catalog import Bed, Figures, Gate, Measured, Method, Size
from physgen.testbeds.quality import Quality, discrepancy, judge_mixture

DRAWS = 8


def _plane(mean: tuple[float, float], covariance: list[list[float]]) -> GaussianMixture:
    return gaussian(torch.tensor(mean), torch.tensor(covariance))


def _of_precision(precision: Tensor, pull: Tensor) -> GaussianMixture:
    r"""The Gaussian of :math:`-\tfrac12 x^\top \Lambda x + b^\top x`."""
    covariance = torch.linalg.inv(precision)
    return gaussian(covariance @ pull, (covariance + covariance.mT) / 2)


def combined(*terms: tuple[GaussianMixture, float]) -> GaussianMixture:
    """The product of powers of Gaussians, negative ones too."""
    dimension = terms[0][0].mean.shape[1]
    precision, pull = torch.zeros(dimension, dimension), torch.zeros(dimension)
    for law, weight in terms:
        inverse = torch.linalg.inv(law.covariance[0])
        precision = precision + weight * inverse
        pull = pull + weight * inverse @ law.mean[0]
    return _of_precision(precision, pull)


def spread_over(law: GaussianMixture, cover: Tensor, size: int) -> Tensor:
    """The precision of a product of one centred Gaussian over many parts."""
    inverse = torch.linalg.inv(law.covariance[0])
    precision = torch.zeros(size, size)
    for part in cover:
        precision[part[:, None], part] += inverse
    return precision


FIRST = _plane((0.6, 0.0), [[1.0, 0.6], [0.6, 0.8]])
SECOND = _plane((-0.4, 0.5), [[0.5, 0.0], [0.0, 1.2]])
BROAD = _plane((0.0, 1.0), [[1.5, 0.0], [0.0, 1.5]])
TOLD = _plane((0.8, -0.3), [[0.5, 0.2], [0.2, 0.4]])
BELL = _plane((0.0, 0.0), [[1.0, 0.0], [0.0, 1.0]])
FRAMES, KEPT = 8, 0.8
PAIR = _plane((0.0, 0.0), [[1.0, KEPT], [KEPT, 1.0]])
ONE = gaussian(torch.zeros(1), torch.eye(1))
NEIGHBOURS = positions(FRAMES).unfold(0, 2, 1)
BETWEEN = positions(FRAMES)[1:-1, None]
AROUND = torch.stack([positions(FRAMES), positions(FRAMES).roll(-1)], 1)
PLACE, WIDTH = 0.4, 0.3


def _chain() -> GaussianMixture:
    """Frames of a process of first order, which windows of two know all of."""
    index = torch.arange(FRAMES)
    return gaussian(torch.zeros(FRAMES), KEPT ** (index[:, None] - index).abs().float())


def _either() -> GaussianMixture:
    """The ring or the bars, with equal odds."""
    parts = ring(), bars()
    weights = torch.cat([part.log_weight for part in parts]).log_softmax(0)
    means, covariances = (
        torch.cat([getattr(p, n) for p in parts]) for n in ("mean", "covariance")
    )
    return GaussianMixture(weights, means, covariances)


def _near(law: GaussianMixture, noise: float) -> GaussianMixture:
    """With its first entry seen at a place."""
    seen = torch.tensor([PLACE])
    return law.observe(torch.tensor([[1.0, 0.0]]), seen, noise**2 * torch.eye(1)).normalised()


EITHER = _either()
LESS = combined((FIRST, 1.0), (BROAD, -0.7))
WARM = combined((FIRST, 0.5), (SECOND, 0.5))
CHAIN = _chain()
AVERAGED = _of_precision(spread_over(PAIR, AROUND, FRAMES) / 2, torch.zeros(FRAMES))
WEIGHT = 3.0
EXAGGERATED = combined((TOLD, WEIGHT), (BELL, 1 - WEIGHT))
CLOSE = _near(FIRST, WIDTH)
SLICE = _near(FIRST, 1e-3).marginalise(torch.tensor([1]))
RING = ring()
TARGETS = (EITHER, LESS, WARM, CHAIN, AVERAGED, EXAGGERATED, CLOSE, SLICE, RING)


def _figures(exact: GaussianMixture, x: Tensor, rows: float, **others: float) -> Figures:
    """Biases are relative to the root of the exact density's total variance."""
    size = exact.moments().variance.sum().sqrt().item()
    measured = {"MMD²": discrepancy(x, exact.sample(2 * len(x), source(11)))}
    return Figures(judge_mixture(x, exact, size), rows / len(x), others=measured | others)


def _count(size: Size) -> int:
    return DRAWS * size.draws


def exact(size: Size) -> Figures:
    each = [_figures(law, law.sample(_count(size), source(6)), 0) for law in TARGETS]
    bias, spread, coverage = (
        fmean(getattr(figures.quality, name) for figures in each)
        for name in ("bias", "spread", "coverage")
    )
    mean = fmean(figures.others["MMD²"] for figures in each)
    return Figures(Quality(bias, spread, coverage), others={"MMD²": mean})


def _grid(size: Size) -> Grid:
    return log_snr(size.levels, 0.03, 10.0)


def _start(size: Size, law: GaussianMixture) -> Tensor:
    return unit_noise(_count(size), (law.mean.shape[1],), source(4))


Compose = Callable[[], tuple[Score, Callable[[], int]]]
"""Makes a composition, and what tells how many samples its terms were asked about."""
Meter = type[Metered] | type[MeteredEnergy]


def of(compose: Callable[..., Score], *laws: GaussianMixture, meter: Meter = Metered) -> Compose:
    """A composition of laws, by scores alone or with their values."""

    def made() -> tuple[Score, Callable[[], int]]:
        meters = [meter(law) for law in laws]
        return compose(*meters), lambda: sum(each.rows for each in meters)

    return made


def carried(exact: GaussianMixture, compose: Compose) -> Callable[[Size], Figures]:
    """Down the levels by reverse diffusion, and no more."""

    def run(size: Size) -> Figures:
        term, rows = compose()
        x = sample(term, _start(size, exact), _grid(size), Ancestral(), source(5))
        return _figures(exact, x, rows())

    return run


def moved(
    exact: GaussianMixture, compose: Compose, spread: float, inner: int = 3
) -> Callable[[Size], Figures]:
    """And moved at each level."""

    def run(size: Size) -> Figures:
        term, rows = compose()
        kernel, start = MALA(0.5, spread), _start(size, exact)
        x = anneal(term, start, _grid(size), source(5), Ancestral(), kernel, inner).x
        return _figures(exact, x, rows())

    return run


def windows(pair: Energy, one: Energy) -> Energy:
    """Of neighbours, less what two of them have in common."""
    return pair.over(NEIGHBOURS) - one.over(BETWEEN)


def averaged(pair: Score) -> Score:
    return Average(pair, AROUND)


def constrained(prior: Score) -> Score:
    def misfit(x: Tensor) -> Tensor:
        return ((x[:, 0] - PLACE) / WIDTH).square() / 2

    def nothing(x: Tensor) -> Tensor:
        return 0 * x[:, 0]

    return Guided(prior, nothing, Fixed(1.0), constraints=(Constraint(misfit, 0.5),))


def projected(size: Size) -> Figures:
    """Judged by the entry that is left open."""

    def onto(x: Tensor) -> Tensor:
        return torch.cat([torch.full_like(x[:, :1], PLACE), x[:, 1:]], 1)

    meter = Metered(FIRST)
    start = _start(size, FIRST)
    x = sample(meter, start, _grid(size), Ancestral(), source(5), Projected(onto))
    off = (x[:, 0] - PLACE).abs().max().item()
    return _figures(SLICE, x[:, 1:], meter.rows, **{"off the set": off})


def stepped(predictor: Predictor) -> Callable[[Size], Figures]:
    """In half the levels, where steps are coarse."""

    def run(size: Size) -> Figures:
        meter, grid = Metered(RING), log_snr(size.levels // 2, 0.03, 10.0)
        x = sample(meter, _start(size, RING), grid, predictor, source(5))
        return _figures(RING, x, meter.rows)

    return run


def _right(measured: Measured, name: str) -> bool:
    quality = measured[name].quality
    return (
        quality.bias < 0.1
        and abs(quality.spread - 1) < 0.06
        and abs(quality.coverage - 0.9) < 0.05
    )


def _mixed(first: Energy, second: Energy) -> Energy:
    return Mixture((first, 0.5), (second, 0.5))


def _less(first: Energy, second: Energy) -> Energy:
    return first - 0.7 * second


def _warm(first: Energy, second: Energy) -> Energy:
    return 0.5 * (first + second)


def _exaggerated(told: Score, untold: Score) -> Score:
    return ClassifierFree(told, untold, WEIGHT)


DU = "[Du et al., 2020](https://arxiv.org/abs/2004.06030)"
HO = "eq. 6 of [Ho & Salimans, 2022](https://arxiv.org/abs/2207.12598)"
KARRAS = "alg. 2 of [Karras et al., 2022](https://arxiv.org/abs/2206.00364)"
GUIDED = "guidance without a classifier, weight 3"
WU = "[Wu et al., 2024](https://arxiv.org/abs/2401.13171)"
BANSAL = "[Bansal et al., 2023](https://arxiv.org/abs/2302.07121), asked late"
LUGMAYR = "[Lugmayr et al., 2022](https://arxiv.org/abs/2201.09865), for any set"
MOVED = ", and MALA"


@dataclass(frozen=True)
class Kind:
    """A composition, by reverse diffusion alone and with moves at each level."""

    name: str
    where: str
    source: str
    exact: GaussianMixture
    compose: Compose
    narrowest: float

    def rows(self) -> tuple[Method, Method]:
        """Both ways to draw."""
        alone = carried(self.exact, self.compose)
        with_moves = moved(self.exact, self.compose, self.narrowest)
        return (
            Method(self.name, self.where, self.source, alone),
            Method(self.name + MOVED, self.where + ", `kernel.MALA`", self.source, with_moves),
        )


KINDS = (
    Kind(
        "mixture",
        "`energy.Mixture`",
        DU,
        EITHER,
        of(_mixed, ring(), bars(), meter=MeteredEnergy),
        0.1,
    ),
    Kind("negation", "`energy.Sum`", DU, LESS, of(_less, FIRST, BROAD, meter=MeteredEnergy), 0.5),
    Kind(
        "sum at twice the temperature",
        "`energy.Sum`",
        DU,
        WARM,
        of(_warm, FIRST, SECOND, meter=MeteredEnergy),
        0.5,
    ),
    Kind(
        "windows less their overlaps",
        "`energy.Over`",
        WU,
        CHAIN,
        of(windows, PAIR, ONE, meter=MeteredEnergy),
        0.3,
    ),
    Kind("windows on a ring, averaged", "`energy.Average`", WU, AVERAGED, of(averaged, PAIR), 0.3),
    Kind(
        GUIDED, "`classifier.ClassifierFree`", HO, EXAGGERATED, of(_exaggerated, TOLD, BELL), 0.3
    ),
    Kind("constraint", "`guidance.Constraint`", BANSAL, CLOSE, of(constrained, FIRST), 0.2),
)
SUMS = ("negation", GUIDED)
"""Where reverse diffusion alone is furthest off."""
PROJECTED, CHURNED = "projection of estimates", "coarse steps, Heun with churn"

COMPOSITIONS = Bed(
    "compositions",
    "Gaussians and mixtures of the plane, and a chain of eight frames, with what is made of them in "
    "closed form: their mixture, quotient, power, product of windows, average of windows on a ring "
    "(their product at twice the temperature), the Gaussian at weight 3 from one with a label and "
    "one without, the posterior of a soft constraint and the slice of a hard one; biases relative "
    "to the root of the total variance. A linear estimate is meant for what is seen, and there is "
    "nothing but for the constraints, whose exact posterior it is",
    (
        Method("exact draws", "`gaussian.GaussianMixture.sample`", "closed form", exact),
        *(method for kind in KINDS for method in kind.rows()),
        Method(PROJECTED, "`condition.Projected`", LUGMAYR, projected),
        Method("coarse steps, Heun", "`predictor.Heun`", KARRAS, stepped(Heun())),
        Method(CHURNED, "`predictor.Heun`, `churn=4`", KARRAS, stepped(Heun(churn=4.0))),
    ),
    (
        Gate(
            "with moves at each level all are right: bias at most 0.1, spread to 6 %, coverage "
            "0.85 to 0.95",
            lambda m: all(_right(m, kind.name + MOVED) for kind in KINDS),
        ),
        Gate(
            "without moves, negation and guidance at weight 3 are not: spread off by more than a "
            "tenth, bias more than 0.1",
            lambda m: all(
                abs(m[name].quality.spread - 1) > 0.1 and m[name].quality.bias > 0.1
                for name in SUMS
            ),
        ),
        Gate(
            "a mixture and windows averaged on a ring need no moves: spread to 6 %",
            lambda m: _right(m, "mixture") and _right(m, "windows on a ring, averaged"),
        ),
        Gate(
            "what is projected is in the set to rounding, and as wide there as the slice to 15 %",
            lambda m: (
                m[PROJECTED].others["off the set"] < 1e-6
                and abs(m[PROJECTED].quality.spread - 1) < 0.15
            ),
        ),
        Gate("churn leaves the density as it is", lambda m: _right(m, CHURNED)),
    ),
)
