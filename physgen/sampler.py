"""Samplers: from noise to designs.

:func:`sample` walks a predictor down the levels. :func:`anneal` lets kernels move the samples
at each level as well, which sums of energies need, and keeps weights where energies allow it.
:func:`chains` stays at one density. None of them lets one sample see another, but for
resampling, which is what it is for.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen.carrier import Carrier
from physgen.condition import Condition, Free
from physgen.energy import SAMPLES, Energy, Score, check_count, check_proper, check_score
from physgen.grid import Grid
from physgen.kernel import Chain, Kernel, check_weighable, noise_like
from physgen.predictor import Predictor
from physgen.shapes import PerSample, Sample
from physgen.weighted import Weighted, effective, log_mean, systematic

FREE = Free()


@dataclass(frozen=True)
class AsMarginal:
    """Consent to carry a sum of scores by an ordinary differential equation all the same.

    The result follows neither the product of the densities nor anything else that has a name.
    """


@torch.no_grad()
def sample(
    term: Carrier,
    start: Sample,
    grid: Grid,
    predictor: Predictor,
    generator: torch.Generator,
    condition: Condition = FREE,
    repeats: int = 1,
    consent: AsMarginal | None = None,
) -> Sample:
    """Draw one sample for each row of unit noise.

    Arguments:
        term: What to draw from.
        start: Unit noise, see :func:`unit_noise`; not changed.
        grid: The levels.
        predictor: How to get from one to the next.
        generator: Source of fresh noise.
        condition: What clean estimates must satisfy.
        repeats: How often each level is gone through, with noise added back in between.
        consent: Needed to carry a sum by a deterministic predictor.

    Raises:
        ValueError: a deterministic predictor on a sum, a sum without a density, or no repeats.
        TypeError: fresh noise for a flow that has no score.
        FloatingPointError: samples are not finite.
    """
    check_count(repeats, "repeats")
    if not predictor.deterministic or repeats > 1 or condition.fresh:
        check_score(term)
    if isinstance(term, Score):
        _check(term, grid, predictor, start, consent)

    def denoise(z: Tensor, s: float) -> Tensor:
        return condition.clean(term.denoise(z, s))

    plain = isinstance(condition, Free)
    walk = predictor.plan(grid)
    z = grid.levels[0] * start
    for i in range(grid.steps):
        above, below = grid.levels[i], grid.levels[i + 1]
        for again in range(repeats):
            if again:
                z = _raised(z, below, above, generator)
            if not plain:
                z = condition.noisy(z, above, generator)
            z = walk.step(z, i, term.denoise if plain else denoise, generator)
    return _finite(condition.clean(z), grid)


@dataclass(frozen=True)
class Result:
    """What annealing drew, and how it went."""

    drawn: Weighted
    """Samples of the last density, with its normaliser where weights are kept."""
    ess: tuple[float, ...]
    """Effective sample size, as a share, at each level where weights are kept."""
    acceptance: tuple[float, ...]
    """Mean acceptance of the kernel at each level."""

    @property
    def x(self) -> Sample:
        """The samples, with their weights if any are kept."""
        return self.drawn.x


@dataclass(frozen=True)
class Resample:
    """Systematic resampling when the effective sample size falls below a share.

    Without a predictor and with an energy, annealing is annealed importance sampling; with
    this it is sequential Monte Carlo (Del Moral et al., 2006).
    """

    below: float = 0.5


@torch.no_grad()
def anneal(
    term: Score,
    start: Sample,
    grid: Grid,
    generator: torch.Generator,
    predictor: Predictor | None = None,
    kernel: Kernel | None = None,
    inner: int = 1,
    resample: Resample | None = None,
    condition: Condition = FREE,
) -> Result:
    """Go down the levels, let a kernel move the samples at each, and return the last estimate.

    With a predictor, samples are carried from level to level and the kernel corrects what the
    carrying got wrong. Without one, samples stay where they are while the density changes
    under them; for an energy this keeps importance weights, whose mean estimates the
    normaliser of the last density. What moves owe that are not tested, the weights take up.

    Arguments:
        term: What to draw from.
        start: Unit noise; not changed.
        grid: The levels; kernels move at all but the last, zero.
        generator: Source of fresh noise.
        predictor: How to get from level to level, or nothing.
        kernel: How to move at a level, or nothing.
        inner: Moves at each level.
        resample: When to resample, if weights are kept.
        condition: What clean estimates must satisfy.

    Raises:
        ValueError: neither predictor nor kernel, a deterministic predictor on a sum, a sum
            without a density, resampling without weights, a hard condition with them, or weights
            for a kernel whose moves are neither tested nor accounted for.
        FloatingPointError: samples, or weights, are not finite.
    """
    check_score(term)
    weighted = term if predictor is None and isinstance(term, Energy) else None
    _check_moves(predictor, kernel, resample, condition, weighted is not None)
    _check(term, grid, predictor, start, AsMarginal() if kernel else None)

    def denoise(z: Tensor, s: float) -> Tensor:
        return condition.clean(term.denoise(z, s))

    walk = predictor.plan(grid) if predictor else None
    z = grid.levels[0] * start
    if weighted is not None:
        check_count(len(start), SAMPLES)
    weights = None if weighted is None else _Weights(weighted, z, grid.levels[0])
    acceptance: list[float] = []
    for i in range(grid.steps):
        s, below = grid.levels[i], grid.levels[i + 1]
        z = condition.noisy(z, s, generator)
        if weights is not None:
            z = weights.arrive(z, s, resample, generator)
        if kernel is not None:
            z, rate, owed = _move(kernel, term, condition, z, s, inner, generator)
            acceptance.append(rate)
            if weights is not None:
                weights.take(owed)
        if walk is not None:
            z = walk.step(z, i, denoise, generator)
        elif below == 0:
            z = denoise(z, s) if weights is None else z
    return _result(_finite(condition.clean(z), grid), weights, tuple(acceptance))


def _result(z: Sample, weights: "_Weights | None", acceptance: tuple[float, ...]) -> Result:
    """Samples with their weights, if any are kept."""
    if weights is None:
        alike = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        return Result(Weighted(z, alike, math.nan), (), acceptance)
    drawn = Weighted(z, weights.log_weight, weights.log_mass, weights.lineage)
    return Result(drawn, tuple(weights.ess), acceptance)


def _check_moves(
    predictor: Predictor | None,
    kernel: Kernel | None,
    resample: Resample | None,
    condition: Condition,
    weighted: bool,
) -> None:
    """Refuse to anneal without a way down, or with weights that would not be right."""
    if predictor is None and kernel is None:
        raise ValueError("anneal needs a predictor, a kernel, or both")
    if weighted and kernel is not None:
        check_weighable(kernel)
    if weighted and not isinstance(condition, Free):
        raise ValueError(
            "a hard condition leaves no weights, which anneal keeps for an energy without a "
            "predictor: pass predictor=Ancestral(), or add the condition as an energy"
        )
    if resample is not None and not weighted:
        raise ValueError("resampling needs weights: an energy, and no predictor")


class _Weights:
    """Importance weights of samples that stay while the density changes."""

    def __init__(self, term: Energy, z: Tensor, s: float) -> None:
        self.term = term
        normaliser = z[0].numel() * math.log(s * math.sqrt(math.tau))
        self.behind = (z / s).square().flatten(1).sum(1) / 2 + normaliser
        self.level = s
        self.log_weight = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        self.log_mass = 0.0
        self.lineage = torch.arange(len(z), device=z.device)
        self.ess: list[float] = []
        self.first = True

    def take(self, change: PerSample) -> None:
        """Weights times the exponential of a change.

        Raises:
            FloatingPointError: a weight is not a number, or none is positive.
        """
        self.log_weight = self.log_weight + change
        if self.log_weight.isnan().any() or not self.log_weight.max().isfinite():
            raise FloatingPointError(
                f"weights are not finite after the level {self.level:.4g}: try smaller moves"
            )

    def arrive(
        self, z: Tensor, s: float, resample: Resample | None, generator: torch.Generator
    ) -> Tensor:
        """Reweight to a new level, and resample if the weights have become too uneven."""
        before = self.behind if self.first else self.term.energy(z, self.level)
        self.first = False
        self.take(before - self.term.energy(z, s))
        self.level = s
        share = self.log_weight.softmax(0)
        self.ess.append(effective(share))
        if resample is None or self.ess[-1] >= resample.below:
            return z
        self.log_mass += log_mean(self.log_weight)
        self.log_weight = torch.zeros_like(self.log_weight)
        chosen = systematic(share, generator)
        self.lineage = self.lineage[chosen]
        return z[chosen]


@dataclass(frozen=True)
class Draws:
    """What chains at one density went through; :mod:`physgen.diagnostics` judges it."""

    z: Float[Tensor, "draw batch *shape"]
    acceptance: PerSample
    """Share of its moves that each chain accepted."""
    diverged: Int[Tensor, " batch"]
    """How many moves of each chain ended off the density's scale. Where a kernel follows the
    score, make steps smaller; where it moves blindly, the density may just end there."""


@torch.no_grad()
def chains(
    term: Score,
    kernel: Kernel,
    start: Sample,
    warmup: int,
    draws: int,
    generator: torch.Generator,
    s: float = 1.0,
    thin: int = 1,
) -> Draws:
    """Run one chain from each row of ``start`` at a level, one for a density without levels.

    Raises:
        ValueError: no draws, none of them to be kept, or a level that is not positive.
        TypeError: the density has no score.
        FloatingPointError: a chain is not finite.
    """
    check_score(term)
    check_count(draws, "draws")
    check_count(thin, "thin")
    if not 0 < s < math.inf:
        raise ValueError(f"chains run at a positive level, got {s}: for a density without, take 1")
    chain = kernel.init(term, start, s)
    for _ in range(warmup):
        chain, _ = kernel.step(chain, term, s, generator)
    z = torch.empty((draws, *start.shape), dtype=start.dtype, device=start.device)
    accepted = torch.zeros(len(start), dtype=start.dtype, device=start.device)
    diverged = torch.zeros(len(start), dtype=torch.long, device=start.device)
    for i in range(draws):
        for _ in range(thin):
            chain, info = kernel.step(chain, term, s, generator)
            accepted += info.accepted
            diverged += info.diverged
        z[i] = chain.z
    if not z.isfinite().all():
        raise FloatingPointError("chains left the finite numbers: try a smaller step")
    return Draws(z, accepted / (draws * thin), diverged)


def unit_noise(
    count: int,
    shape: tuple[int, ...],
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Sample:
    """Where samplers start, on the generator's device."""
    size = (count, *shape)
    return torch.randn(size, generator=generator, dtype=dtype, device=generator.device)


def _check(
    term: Score, grid: Grid, predictor: Predictor | None, start: Tensor, consent: AsMarginal | None
) -> None:
    if predictor and predictor.deterministic and not term.marginal and consent is None:
        raise ValueError(
            "a sum of scores is not the score of one noised density, so no deterministic "
            "predictor carries it from level to level: use Ancestral() and, for exact draws, a "
            "kernel in anneal(...), or pass consent=AsMarginal()"
        )
    check_proper(term, grid.levels, start.shape[1:])


def _move(
    kernel: Kernel,
    term: Score,
    condition: Condition,
    z: Sample,
    s: float,
    inner: int,
    generator: torch.Generator,
) -> tuple[Sample, float, PerSample]:
    """Samples moved, the mean acceptance, and what moves without a test owe to the weights."""
    held = condition.held(term, z, s)
    chain: Chain = kernel.init(held, z, s)
    accepted = torch.zeros(len(z), dtype=z.dtype, device=z.device)
    owed = torch.zeros_like(accepted)
    for _ in range(inner):
        chain, info = kernel.step(chain, held, s, generator)
        accepted = accepted + info.accepted
        if info.owed is not None:
            owed = owed + info.owed
    moved = condition.moved(chain.z, z)
    return moved, accepted.mean().item() / max(1, inner), owed


def _raised(z: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Noise added to go back from a level to a higher one."""
    return z + math.sqrt(high**2 - low**2) * noise_like(z, generator)


def _finite(z: Tensor, grid: Grid) -> Tensor:
    bad = (~z.isfinite()).flatten(1).any(1)
    if bad.any():
        raise FloatingPointError(
            f"{int(bad.sum())} of {len(z)} samples are not finite after levels from "
            f"{grid.levels[0]:.4g} to {grid.levels[-2]:.4g}: is a guidance weight too large?"
        )
    return z
