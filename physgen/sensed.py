r"""Guidance by observations of fields, solved exactly in a principal basis.

The pull of :mod:`physgen.observed` needs the covariance :math:`C` of a clean sample given a noisy
one. Where a Gaussian of the fields is known (:class:`~physgen.principal.Principal`), it has one in
closed form, with a basis in which the system :math:`A C A^\top + \sigma_y^2` is small: one product
and one factorisation for each problem and level, none of which passes through a network,

.. math:: C = T\, (V B V^\top + R)\, T, \qquad
    s^2 \nabla_z \log p(y | z) \approx C A^\top (A C A^\top + \sigma_y^2)^{-1} (y - A D).

:math:`T^2` is what a learned denoiser leaves of the Gaussian's squared error in each field. For the
Gaussian itself T = 1, and guidance is exact: draws follow the posterior whose mean is the
linear estimate of least squared error (kriging). For a learned denoiser :math:`C` is an approximation,
right on average over its samples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen.energy import Precision, Score, check_score
from physgen.principal import Fields, Principal
from physgen.shapes import Level

Values = Float[Tensor, "problem observation"]
Share = Callable[[float], Float[Tensor, " field"]]
"""At a level, what is left of the Gaussian's squared error in each field."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What is seen of some problems: means over places of one field each, with noise.

    One place for each observation is a sensor, a block of them a coarse picture. No place may be
    seen twice in a problem.

    Raises:
        ValueError: a place is not in the fields, or seen twice, or numbers are not finite, or the
            noise not positive.
    """

    places: Int[Tensor, "problem observation part"]
    """Of the flattened fields of a sample."""
    values: Values
    noise: float
    """Standard deviation."""
    size: int
    """Entries of a sample."""

    def __post_init__(self) -> None:
        outside = (self.places < 0) | (self.places >= self.size)
        if outside.any():
            raise ValueError(
                f"{int(outside.sum())} observations lie outside the fields, whose entries are 0 to "
                f"{self.size - 1}, such as {int(self.places[outside][0])}: was it another grid?"
            )
        twice = self.places.flatten(1).sort(1).values.diff(dim=1) == 0
        if twice.any():
            raise ValueError(
                f"{int(twice.any(1).sum())} problems see a place more than once: average its values "
                "first"
            )
        if not self.values.isfinite().all():
            bad = int((~self.values.isfinite()).sum())
            raise ValueError(f"observations must be finite, {bad} are not: leave them out")
        if not self.noise > 0:
            raise ValueError(f"the noise of observations must be positive, got {self.noise}")

    def see(self, x: Fields) -> Float[Tensor, "batch observation"]:
        """What is seen of samples, those of one problem beside each other."""
        places = self.places.repeat_interleave(len(x) // len(self.places), 0)
        seen: Tensor = x.flatten(1).gather(1, places.flatten(1))
        return seen.view(places.shape).mean(2)

    def back(self, v: Float[Tensor, "batch observation"], like: Fields) -> Fields:
        """The transpose of what is seen."""
        places = self.places.repeat_interleave(len(v) // len(self.places), 0)
        spread = (v / places.shape[2])[..., None].expand(places.shape).to(like)
        found = torch.zeros_like(like).flatten(1)
        return found.scatter_add(1, places.flatten(1), spread.flatten(1)).view_as(like)


class Sensed(Score):
    """A score of fields given what is seen of them; it has no derivatives.

    Arguments:
        base: The score of the prior, of one data density.
        gaussian: Its Gaussian.
        seen: What is seen, of as many problems; samples come in equal numbers for each, side by side.
        share: What ``base`` leaves of the Gaussian's squared error; all, if not said.
    """

    def __init__(
        self, base: Score, gaussian: Principal, seen: Seen, share: Share | None = None
    ) -> None:
        check_score(base)
        self.base = base
        self.gaussian = gaussian
        self.seen = seen
        self.share: Share = share or (lambda s: torch.ones(gaussian.fields))
        self.rows = _rows(gaussian, seen)

    @property
    def marginal(self) -> bool:
        return self.base.marginal

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.base.precision(s, shape)

    @torch.no_grad()
    def shift(self, z: Fields, s: Level) -> Fields:
        if isinstance(s, Tensor):
            raise TypeError("observations guide samples of one level, got a tensor of levels")
        clean = self.base.denoise(z, s)
        problems = len(self.seen.places)
        missed = self.seen.values.repeat_interleave(len(z) // problems, 0) - self.seen.see(clean)
        surprise = missed.double().view(problems, -1, missed.shape[1]).mT
        between, left = self._covariance(s)
        own = left[self._fields] / self.seen.places.shape[2] + self.seen.noise**2
        solved = _solved(self.rows, between, own, surprise)
        amplitude = (self.rows.mT @ solved).mT @ between
        weights = solved.mT.flatten(0, 1)
        rough = left.view(-1, *[1] * len(self.gaussian.space)).to(z)
        pull = self.gaussian.compose(amplitude.flatten(0, 1).to(z))
        return clean - z + pull + rough * self.seen.back(weights, z)

    def _covariance(self, s: float) -> tuple[Tensor, Tensor]:
        """B and the diagonal of R, in double precision."""
        share = self.share(s).double()
        sizes = torch.tensor(self.gaussian.sizes)
        scale = share.sqrt().repeat_interleave(sizes)
        between = scale[:, None] * self.gaussian.between(s).double() * scale
        return between, share * self.gaussian.left(s).double()

    @property
    def _fields(self) -> Int[Tensor, "problem observation"]:
        """The field of each observation."""
        return self.seen.places[..., 0] // (self.seen.size // self.gaussian.fields)


def _rows(gaussian: Principal, seen: Seen) -> Float[Tensor, "problem observation component"]:
    """The basis where it is seen."""
    whole = torch.block_diag(*gaussian.bases).double()
    found: Tensor = whole[seen.places].mean(2)
    return found


def _solved(
    rows: Float[Tensor, "problem observation component"],
    between: Float[Tensor, "component component"],
    own: Float[Tensor, "problem observation"],
    right: Float[Tensor, "problem observation draw"],
) -> Float[Tensor, "problem observation draw"]:
    """The solution of (A B A' + own) w = right, in the smaller of its two spaces."""
    if rows.shape[1] <= rows.shape[2]:
        system = rows @ between @ rows.mT + torch.diag_embed(own)
        found: Tensor = torch.cholesky_solve(right, torch.linalg.cholesky(system))
        return found
    lighter = rows / own[..., None]
    inner = between @ (lighter.mT @ rows)
    inner = inner + torch.eye(len(between), dtype=inner.dtype)
    solved = torch.linalg.solve(inner, between @ (lighter.mT @ right))
    found = right / own[..., None] - lighter @ solved
    return found
