r"""Rejection: exact draws from below an envelope, given or grown.

A point drawn under the curve :math:`M q(x)` that lies under :math:`\tilde p(x)` as well is an exact
draw from :math:`p`; the share that does is :math:`Z / M`. In one dimension and for a log-concave
density the envelope need not be given: tangents of :math:`\log \tilde p` lie above it, and one more
where the gap was largest brings them closer.

References:
    Various techniques used in connection with random digits (von Neumann, 1951).
    Adaptive Rejection Sampling for Gibbs Sampling (Gilks & Wild, 1992). Its squeeze from below
    saves evaluations one by one; here all candidates are evaluated as one batch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physgen.density import Drawable, check_normalised
from physgen.energy import SAMPLES, Energy, check_count
from physgen.shapes import Sample

Points = Float[Tensor, "density point"]
LogDensity = Callable[[Tensor], Tensor]
"""Logarithms, up to a constant each, of many densities on the line: a row of points for each."""


PATIENCE = 1_000_000
"""Candidates for each draw accepted, beyond which an envelope is of no use."""

ROUNDS = 1000
"""More tangents than any log-concave density needs."""


@dataclass(frozen=True)
class Accepted:
    """Exact draws, and what share of the candidates they are."""

    x: Sample
    acceptance: float


@torch.no_grad()
def reject(
    term: Energy, envelope: Drawable, log_bound: float, count: int, generator: torch.Generator
) -> Accepted:
    """Draw exactly from a clean density, not necessarily normalised.

    Arguments:
        term: The density wanted.
        envelope: Drawn from.
        log_bound: :math:`\\log M`, such that the envelope times :math:`M` is nowhere below the
            density wanted.
        count: How many draws.
        generator: Source of chance.

    Raises:
        ValueError: the density wanted rises above the bound, where nothing would be exact, or
            the mass of the envelope is not one, or no draws are wanted.
        FloatingPointError: an energy is not a number.
        RuntimeError: next to nothing is accepted.
    """
    check_normalised(envelope)
    check_count(count, SAMPLES)
    kept: list[Tensor] = []
    have, tried = 0, 0
    while have < count:
        rate = max(have, 1) / max(tried, 1)
        wanted, most = math.ceil(1.1 * (count - have) / rate), max(10 * count, 10_000)
        x = envelope.sample(min(wanted, most), generator)
        log_ratio = envelope.energy(x, 0.0) - term.energy(x, 0.0) - log_bound
        _refuse_nan(log_ratio)
        above = log_ratio.max().item()
        if above > 1e-6:
            raise ValueError(
                f"the density rises above its envelope by a factor of {math.exp(above):.4g}: "
                f"log_bound must be at least {log_bound + above:.6g}"
            )
        coin = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        kept.append(x[coin.log() < log_ratio])
        have, tried = have + len(kept[-1]), tried + len(x)
        if have < count and tried > PATIENCE * max(1, have):
            raise RuntimeError(
                f"{have} of {tried} candidates were accepted, {count} wanted: take an envelope "
                "closer to the density, or a smaller log_bound"
            )
    return Accepted(torch.cat(kept)[:count], have / tried)


def _refuse_nan(log_density: Tensor) -> None:
    if log_density.isnan().any():
        raise FloatingPointError(
            f"{int(log_density.isnan().sum())} of {log_density.numel()} candidates have a log "
            "density that is not a number"
        )


class Tangents:
    r"""The least of the tangents of :math:`\log \tilde p` at some points, and its exponential.

    Arguments:
        log_density: Concave in each row, and differentiable.
        points: Where tangents touch. On a side without an end there must be one from which the
            density falls outwards.
        low, high: Ends of the line.

    Raises:
        ValueError: a density is not log-concave, or its envelope has no finite mass.
    """

    def __init__(
        self,
        log_density: LogDensity,
        points: Points,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> None:
        self.log_density = log_density
        self.low, self.high = low, high
        points = points.double().sort(1).values
        self.points = points
        with torch.enable_grad():
            x = points.detach().requires_grad_()
            value = log_density(x)
            (self.slope,) = torch.autograd.grad(value.sum(), x)
        self.value = value.detach()
        _refuse_nan(self.value)
        self._check()
        self.edges = self._edges()
        self.steep = self.slope.abs().clamp(min=1e-12)
        rising = self.slope > 0
        self.anchor = torch.where(rising, self.edges[:, 1:], self.edges[:, :-1])
        self.inwards = torch.where(rising, -1.0, 1.0).double()
        self.width = self.edges.diff(dim=1)
        self.faded = torch.expm1(-self.steep * self.width)
        top = self.value + self.slope * (self.anchor - points)
        self.log_mass = top + (-self.faded).log() - self.steep.log()

    def _check(self) -> None:
        rise = (self.slope.diff(dim=1) / (1 + self.slope.abs()[:, 1:])).max().item()
        if rise > 1e-6:
            raise ValueError("a density is not log-concave: its slope rises from left to right")
        if self.low == -math.inf and not (self.slope[:, 0] > 0).all():
            raise ValueError("the leftmost point must be where every density still rises")
        if self.high == math.inf and not (self.slope[:, -1] < 0).all():
            raise ValueError("the rightmost point must be where every density falls")

    def _edges(self) -> Float[Tensor, "density edge"]:
        """Where one tangent takes over from the next."""
        left, right = self.points[:, :-1], self.points[:, 1:]
        bend = self.slope[:, :-1] - self.slope[:, 1:]
        rise = self.value.diff(dim=1) - self.slope[:, 1:] * (right - left)
        meet = left + rise / bend
        straight = bend <= 1e-12 * (1 + self.slope.abs()[:, 1:])
        meet = torch.where(straight, (left + right) / 2, meet)
        meet = torch.minimum(torch.maximum(meet, left), right)
        end = torch.full_like(meet[:, :1], 1.0)
        return torch.cat([self.low * end, meet, self.high * end], 1)

    def above(self, x: Points) -> Points:
        """The envelope's logarithm."""
        lines = self.value[:, None] + self.slope[:, None] * (x[..., None] - self.points[:, None])
        return lines.amin(2)

    def sample(self, count: int, generator: torch.Generator) -> Points:
        """Draws from the normalised envelope of every density."""
        piece = torch.multinomial(
            self.log_mass.softmax(1), count, replacement=True, generator=generator
        )
        coin = torch.rand(
            piece.shape, generator=generator, dtype=torch.float64, device=piece.device
        )
        faded, steep = self.faded.gather(1, piece), self.steep.gather(1, piece)
        inwards = self.inwards.gather(1, piece) * -torch.log1p(coin * faded) / steep
        return self.anchor.gather(1, piece) + inwards

    def touching(self, x: Float[Tensor, "density more"]) -> "Tangents":
        """With more tangents."""
        return Tangents(self.log_density, torch.cat([self.points, x], 1), self.low, self.high)


@torch.no_grad()
def reject_adaptively(
    log_density: LogDensity,
    points: Points,
    count: int,
    generator: torch.Generator,
    low: float = -math.inf,
    high: float = math.inf,
) -> Float[Tensor, "density count"]:
    """Draw exactly from many log-concave densities on the line, all at once.

    Arguments:
        log_density: Logarithms, up to a constant each; a row of points for every density.
        points: Where the first tangents touch, a row for every density, see :class:`Tangents`.
        count: Draws from each.
        generator: Source of chance.
        low, high: Ends of the line.

    Raises:
        ValueError: a density is not log-concave, or its first envelope has no finite mass.
        FloatingPointError: a log density is not a number.
        RuntimeError: a thousand tangents do not bring the envelope close enough.
    """
    hull = Tangents(log_density, points, low, high)
    drawn = torch.empty(len(points), count, dtype=torch.float64, device=points.device)
    missing: Bool[Tensor, "density count"] = torch.ones_like(drawn, dtype=torch.bool)
    for _ in range(ROUNDS):
        if not missing.any():
            break
        x = hull.sample(count, generator)
        gap = hull.above(x) - log_density(x)
        _refuse_nan(gap)
        if (gap < -1e-6).any():
            raise ValueError("a density is not log-concave: it rises above its tangents")
        coin = torch.rand(gap.shape, generator=generator, dtype=gap.dtype, device=gap.device)
        accepted = missing & (coin.log() < -gap)
        drawn = torch.where(accepted, x, drawn)
        missing = missing & ~accepted
        if missing.any():
            hull = hull.touching(x.gather(1, gap.argmax(1, keepdim=True)))
    if missing.any():
        raise RuntimeError(
            f"{int((~missing).sum())} of {missing.numel()} draws were accepted in {ROUNDS} rounds: "
            "begin with more points"
        )
    return drawn.to(points.dtype)
