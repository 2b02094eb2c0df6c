"""Samplers for a given density, on densities whose draws are known."""

import math
from collections.abc import Callable
from statistics import fmean

import torch
from torch import Tensor

from physgen.bridge import cross
from physgen.density import Drawable
from physgen.diagnostics import summarise
from physgen.energy import Score
from physgen.gaussian import gaussian
from physgen.importance import importance
from physgen.kernel import HMC, MALA, ULA, Kernel, Sized, UnadjustedHMC, noise_like
from physgen.meter import Metered, MeteredEnergy
from physgen.metric import Dense, Diagonal, Metric
from physgen.metropolis import Independent, LogWalk, MetropolisHastings, RandomWalk
from physgen.rejection import reject, reject_adaptively
from physgen.sampler import Draws, chains
from physgen.sgld import SGLD
from physgen.shapes import Level, Sample
from physgen.svgd import svgd
from physgen.tabulated import Tabulated
from physgen.tempering import temper
from physgen.testbeds import isotropic, source
from physgen.testbeds.catalog import Bed, Figures, Gate, Measured, Method, Size
from physgen.testbeds.densities import (
    BANANA,
    BELL,
    FAR,
    FUNNEL,
    HIDDEN,
    HILLS,
    HUNDRED,
    RING,
    TARGETS,
    WAITING,
    WIDE,
    Target,
)
from physgen.testbeds.quality import Quality
from physgen.tuning import tune
from physgen.weighted import Weighted


def _count(size: Size) -> int:
    return 8 * size.draws


def _figures(target: Target, x: Tensor, rows: float, **others: float) -> Figures:
    """Of independent draws, and how many samples the density was asked about."""
    return Figures(target.judge(x), rows / len(x), others={**others, "p": target.fit(x)})


def exact(size: Size) -> Figures:
    """Of all densities, the banana's held to Stein's test."""
    each = [target.judge(target.law.sample(_count(size), source(6))) for target in TARGETS]
    bias, spread, coverage = (
        fmean(getattr(quality, name) for quality in each)
        for name in ("bias", "spread", "coverage")
    )
    p = BANANA.fit(BANANA.law.sample(_count(size), source(6)))
    return Figures(Quality(bias, spread, coverage), others={"p": p})


def moved(size: Size) -> Figures:
    """Exact draws that are a little off, for the test that asks for nothing but the score."""
    x = BANANA.law.sample(_count(size), source(6))
    return _figures(BANANA, x + torch.tensor([0.15, 0.0]), 0)


def tabulated(size: Size) -> Figures:
    meter = MeteredEnergy(HILLS.energy)
    table = Tabulated.of(meter, low=-4.0, high=4.0)
    return _figures(HILLS, table.sample(_count(size), source(5)), meter.rows)


def rejected(size: Size) -> Figures:
    meter = MeteredEnergy(RING.energy)
    log_bound = 0.7 - math.log(8 * 0.15**2) - HIDDEN
    drawn = reject(meter, WIDE, log_bound, _count(size), source(5))
    log_z = log_bound + math.log(drawn.acceptance)
    said = {"acceptance": drawn.acceptance, "log Z": log_z, "exact": -HIDDEN}
    return _figures(RING, drawn.x, meter.rows, **said)


def rejected_adaptively(size: Size) -> Figures:
    asked = 0

    def log_density(x: Tensor) -> Tensor:
        nonlocal asked
        asked += x.numel()
        return 2 * x.log() - x

    points = torch.tensor([[0.5, 4.0]]).expand(2, 2)
    x = reject_adaptively(log_density, points, _count(size), source(5), low=0.0)
    return _figures(WAITING, x.T, asked / 2)


def _weighed(target: Target, drawn: Weighted, rows: int, **others: float) -> Figures:
    """Of every fourth that weights leave, of every sixteenth for the test: some stand twice."""
    mean = drawn.mean(drawn.x)
    off = ((mean.value - target.mean()) / mean.error).abs().max().item()
    said = {
        "log Z": drawn.log_z,
        "exact": -HIDDEN,
        "ESS": drawn.ess,
        "tail": drawn.tail,
        "weighted mean off by standard errors": off,
    }
    x = drawn.resample(source(8))
    said = {**said, **others, "p": target.fit(x[::16])}
    return Figures(target.judge(x[::4]), 4 * rows / len(x), others=said)


def important(size: Size) -> Figures:
    meter = MeteredEnergy(BANANA.energy)
    drawn = importance(meter, PROPOSAL, 4 * _count(size), source(5))
    return _weighed(BANANA, drawn, meter.rows)


def bridged(kernel: Kernel) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        meter = MeteredEnergy(RING.energy)
        steps = 2 * size.levels
        shares = [k / steps for k in range(steps + 1)]
        over = cross(WIDE, meter, kernel, shares, 2 * _count(size), source(5))
        return _weighed(RING, over.drawn, meter.rows, bound=over.bound)

    return run


def _chained(target: Target, drawn: Draws, rows: int) -> Figures:
    """Of all that chains went through; Stein's test has where they end."""
    found = summarise(drawn.z)
    x = drawn.z.flatten(0, 1)
    said = {
        "acceptance": drawn.acceptance.mean().item(),
        "R-hat": found.r_hat.max().item(),
        "ESS": min(found.ess_bulk.min().item(), found.ess_tail.min().item()) / len(x),
        "p": target.fit(drawn.z[-1]),
    }
    return Figures(target.judge(x), rows / len(x), others=said | target.told(x))


def _start(target: Target, size: Size) -> Tensor:
    """Around one, where nearly all is positive; fewer of a hundred entries."""
    chosen = target.law.sample(size.draws // 2 if target is HUNDRED else 2 * size.draws, source(4))
    unit = torch.ones_like(chosen)
    return unit + target.apart * noise_like(unit, source(4))


def walked(target: Target, kernel: Kernel, thin: int = 1) -> Callable[[Size], Figures]:
    """With as many moves to arrive as are kept."""

    def run(size: Size) -> Figures:
        meter, kept = MeteredEnergy(target.energy), 3 * size.levels // 2
        start = _start(target, size)
        drawn = chains(meter, kernel, start, thin * kept, kept, source(5), thin=thin)
        return _chained(target, drawn, meter.rows)

    return run


def tuned(
    target: Target, kernel: Sized, metric: type[Metric] = Diagonal, turn: float | None = 0.25
) -> Callable[[Size], Figures]:
    """With twice as many moves to be tuned in as are kept; as many for a hundred entries."""

    def run(size: Size) -> Figures:
        meter = MeteredEnergy(target.energy)
        start = _start(target, size)
        moves = size.levels if target is HUNDRED else 2 * size.levels
        warm = tune(meter, kernel, start, moves, source(7), metric=metric, turn=turn)
        drawn = chains(meter, warm.kernel, warm.z, 0, size.levels, source(5))
        return _chained(target, drawn, meter.rows)

    return run


ROUGH = 2.0
"""Deviation of a rough score."""


class Rough(Score):
    """A score that is never the same twice, as one by part of the data is."""

    def __init__(self, term: Score, noise: float, generator: torch.Generator) -> None:
        self.term = term
        self.noise = noise
        self.generator = generator

    def shift(self, z: Sample, s: Level) -> Sample:
        return self.term.shift(z, s) + self.noise * noise_like(z, self.generator)


def by_rough_scores(size: Size) -> Figures:
    meter, kept = Metered(BELL.energy), 2 * size.levels
    term = Rough(meter, ROUGH, source(6))
    kernel, start = SGLD(0.1), _start(BELL, size)
    drawn = chains(term, kernel, start, 8 * kept, kept, source(5), thin=8)
    return _chained(BELL, drawn, meter.rows)


def tempered(
    target: Target, base: Drawable, kernel: Kernel, shares: list[float]
) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        meter, kept = MeteredEnergy(target.energy), 2 * size.levels
        unit = noise_like(base.sample(2 * size.draws, source(4)), source(4))
        start = 0.3 * unit - 1  # where the lesser of far modes is nearer, and a funnel narrow
        found = temper(base, meter, kernel, shares, start, kept, kept, source(5))
        still = torch.zeros(len(start), dtype=torch.long)
        accepted = found.acceptance[-1:].expand(len(start))
        told = _chained(target, Draws(found.z, accepted, still), meter.rows)
        others = {**told.others, "least trades": found.traded.min().item()}
        return Figures(told.quality, told.evaluations, others=others)

    return run


def pushed(size: Size) -> Figures:
    """A hundred particles, which are not independent of one another."""
    meter = MeteredEnergy(BANANA.energy)
    x = svgd(meter, torch.randn(100, 2, generator=source(4)), 5 * size.levels)
    return _figures(BANANA, x, meter.rows)


PROPOSAL = isotropic(
    torch.tensor([[0.3, 0.3], [1.2, 1.5], [2.0, 4.2], [2.8, 8.0]]),
    0.9,
    torch.tensor([0.35, 0.35, 0.2, 0.1]),
)
"""Wider than the banana all along it."""
HOT = gaussian(torch.zeros(2), 16 * torch.eye(2))
MOUTH = gaussian(torch.zeros(4), torch.diag(torch.tensor([9.0, 4.0, 4.0, 4.0])))
SEVEN = [k / 6 for k in range(7)]


def _said(measured: Measured, name: str, what: str) -> float:
    return measured[name].others[what]


def _right(measured: Measured, name: str) -> bool:
    quality = measured[name].quality
    return (
        quality.bias < 0.12
        and abs(quality.spread - 1) < 0.08
        and abs(quality.coverage - 0.9) < 0.04
    )


SHIFTED = "banana, moved by a fifth of its width: seen by Stein's test"
STEIN = "[Liu et al., 2016](https://arxiv.org/abs/1602.03253)"
VEHTARI = "R-hat and ESS of [Vehtari et al., 2021](https://arxiv.org/abs/1903.08008)"
NEAL = "[Neal, 2011](https://arxiv.org/abs/1206.1901)"
DUAL = "eq. 6 of [Hoffman & Gelman, 2014](https://arxiv.org/abs/1111.4246)"
SYED = "[Syed et al., 2022](https://arxiv.org/abs/1905.02939)"
BRIDGE = "[Neal, 2001](https://arxiv.org/abs/physics/9803008)"

SURE = (
    Method(
        "hills: inverse distribution function",
        "`tabulated.Tabulated`",
        "by a table, linear in pieces",
        tabulated,
    ),
    Method("ring: rejection", "`rejection.reject`", "von Neumann, 1951", rejected),
    Method(
        "waiting times: adaptive rejection",
        "`rejection.reject_adaptively`",
        "Gilks & Wild, 1992",
        rejected_adaptively,
    ),
    Method(
        "banana: importance sampling",
        "`importance.importance`, `weighted.Weighted.mean`",
        "Liu, 2001, section 2.5",
        important,
    ),
    Method(
        "banana: Metropolis' walk",
        "`metropolis.RandomWalk`",
        "Metropolis et al., 1953",
        walked(BANANA, RandomWalk(0.7), 16),
    ),
    Method(
        "banana: Metropolis-Hastings, independent",
        "`metropolis.Independent`",
        "Hastings, 1970",
        walked(BANANA, MetropolisHastings(Independent(PROPOSAL)), 4),
    ),
    Method(
        "waiting times: Metropolis-Hastings, by factors",
        "`metropolis.LogWalk`",
        "Hastings, 1970",
        walked(WAITING, MetropolisHastings(LogWalk(0.8)), 2),
    ),
    Method(
        "banana: MALA",
        "`kernel.MALA`",
        "Roberts & Rosenthal, 1998",
        walked(BANANA, MALA(0.06), 16),
    ),
    Method(
        "banana: HMC, tuned", "`tuning.tune`, `metric.Diagonal`", DUAL, tuned(BANANA, HMC(0.2))
    ),
    Method(
        "banana: HMC, momentum kept in part",
        "`kernel.HMC`, `kept=0.9`",
        "Horowitz, 1991",
        walked(BANANA, HMC(0.12, leapfrogs=1, kept=0.9), 16),
    ),
    Method(
        "hundred entries: HMC, tuned",
        "`tuning.tune`, `metric.Diagonal`",
        DUAL,
        tuned(HUNDRED, HMC(0.2)),
    ),
    Method(
        "hundred entries: HMC, dense metric",
        "`metric.Dense`",
        NEAL + ", section 4.1",
        tuned(HUNDRED, HMC(0.2), Dense),
    ),
    Method("ring: annealed importance sampling", "`bridge.cross`", BRIDGE, bridged(HMC(0.12))),
    Method(
        "ring: uncorrected Hamiltonian annealing",
        "`bridge.cross`, `kernel.UnadjustedHMC`",
        "[Geffner & Domke, 2021](https://arxiv.org/abs/2107.04150)",
        bridged(UnadjustedHMC(0.08, leapfrogs=3, kept=0.8)),
    ),
    Method(
        "far modes: parallel tempering",
        "`tempering.temper`",
        SYED,
        tempered(FAR, HOT, HMC(0.5), [0.0, 0.05, 0.2, 1.0]),
    ),
    Method(
        "funnel: parallel tempering",
        "`tempering.temper`",
        SYED,
        tempered(FUNNEL, MOUTH, HMC(0.5, 16, jitter=1.0), SEVEN),
    ),
)
BIASED = (
    Method("bell: Langevin, untested", "`kernel.ULA`", "Euler's steps", walked(BELL, ULA(0.3), 8)),
    Method(
        "bell: Langevin by rough scores", "`sgld.SGLD`", "Welling & Teh, 2011", by_rough_scores
    ),
    Method(
        "bell: HMC, untested",
        "`kernel.UnadjustedHMC`",
        NEAL,
        walked(BELL, UnadjustedHMC(1.0, leapfrogs=2, jitter=0.0), 2),
    ),
    Method(
        "banana: Stein variational descent",
        "`svgd.svgd`",
        "alg. 1 of [Liu & Wang, 2016](https://arxiv.org/abs/1608.04471)",
        pushed,
    ),
    Method("far modes: HMC, tuned", "`diagnostics.summarise`", VEHTARI, tuned(FAR, HMC(0.2))),
    Method(
        "funnel: HMC, tuned",
        "`diagnostics.summarise`",
        VEHTARI,
        tuned(FUNNEL, HMC(0.2), turn=None),
    ),
)
SURE_NAMES = tuple(method.name for method in SURE)
KNOWS_LOG_Z = (
    "ring: rejection",
    "banana: importance sampling",
    "ring: annealed importance sampling",
    "ring: uncorrected Hamiltonian annealing",
)
WIDENED = {
    "bell: Langevin, untested": math.sqrt(1 / (1 - 0.3 / 2)),
    "bell: Langevin by rough scores": math.sqrt((2 + 0.1 * ROUGH**2) / (2 - 0.1)),
    "bell: HMC, untested": math.sqrt(1 / (1 - 1 / 4)),
}
"""Deviations that follow from the size of the steps, and the roughness of the score."""
DIAGONAL, DENSE = "hundred entries: HMC, tuned", "hundred entries: HMC, dense metric"
FUNNELLED, STUCK = "funnel: parallel tempering", "funnel: HMC, tuned"

DENSITIES = Bed(
    "densities",
    "Densities that exact draws are known of: two hills on a line, waiting times (a gamma density), a "
    "ring of eight modes, a banana, two far modes, a hundred correlated entries, Neal's funnel of "
    "four (judged by its first entry, whose mean is 0 and deviation 3), a bell (unit Gaussian); "
    "biases in units of their deviations, evaluations for each draw, ESS for each draw too, p of "
    "Stein's test. Nothing is observed here, so that a linear estimate has no meaning",
    (
        Method("exact draws", "`density.Drawable.sample`", "closed forms", exact),
        Method(SHIFTED, "`stein.stein_test`", STEIN, moved),
        *SURE,
        *BIASED,
    ),
    (
        Gate(
            "what is tested, weighed or tempered is right: bias at most 0.12, spread to 8 %, "
            "coverage 0.86 to 0.94",
            lambda m: all(_right(m, name) for name in SURE_NAMES),
        ),
        Gate(
            "log Z is known to 0.1 by rejection, importance and both bridges, whose bounds lie below",
            lambda m: (
                all(abs(_said(m, name, "log Z") + HIDDEN) < 0.1 for name in KNOWS_LOG_Z)
                and all(_said(m, name, "bound") < -HIDDEN for name in KNOWS_LOG_Z[2:])
            ),
        ),
        Gate(
            "parallel tempering has the funnel's mean and deviation, and its width everywhere to 3 %; "
            "HMC alone loses more than a tenth of the deviation",
            lambda m: (
                _right(m, FUNNELLED)
                and abs(_said(m, FUNNELLED, "width") - 1) < 0.03
                and m[STUCK].quality.spread < 0.9
            ),
        ),
        Gate(
            "Stein's test has p at most 0.003 for moved draws, and more for all that is right: 5 %, "
            "shared by seventeen rows",
            lambda m: (
                _said(m, SHIFTED, "p") <= 0.003
                and all(_said(m, name, "p") > 0.003 for name in ("exact draws", *SURE_NAMES))
            ),
        ),
        Gate(
            "R-hat tells of chains that have not met, above 1.3, also where Stein's test does not, for "
            "far modes, and of those that have, below 1.1",
            lambda m: (
                _said(m, "far modes: HMC, tuned", "p") > 0.05
                and all(_said(m, name, "R-hat") > 1.3 for name in ("far modes: HMC, tuned", STUCK))
                and all(
                    _said(m, name, "R-hat") < 1.1
                    for name in ("banana: HMC, tuned", DIAGONAL, DENSE)
                )
            ),
        ),
        Gate(
            "untested moves and rough scores widen a Gaussian as their formulae say, to 3 %",
            lambda m: all(
                abs(m[name].quality.spread / std - 1) < 0.03 for name, std in WIDENED.items()
            ),
        ),
        Gate(
            "a dense metric needs a quarter of the evaluations or less",
            lambda m: 4 * m[DENSE].evaluations < m[DIAGONAL].evaluations,
        ),
    ),
)
