r"""Gaussian fields in a principal basis: what second moments know of several fields at once.

A sample has some fields on one grid, ``(batch, field, *space)``, each of mean zero. With the
orthonormal columns of :math:`V_f` the first principal components of field :math:`f`, and
:math:`V` all of them, the law is :math:`\mathcal N(0, \Sigma)`,

.. math:: \Sigma = V C V^\top + \sum_f \rho_f (1 - V_f V_f^\top):

the covariance :math:`C` of the components of all fields together, and for what they leave out
of a field independent noise of variance :math:`\rho_f` in every entry. Posterior means and
covariances given noise of a level are closed forms, in two products with the basis. For data that
are Gaussian it is the prior, and what a learned denoiser would be at its best; for others it is what
a network can be spared from learning (:mod:`physgen.corrected`).

References:
    Probabilistic Principal Component Analysis (Tipping & Bishop, 1999),
    https://doi.org/10.1111/1467-9868.00196, for one field and a diagonal :math:`C`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen.denoiser import Denoiser, per_sample
from physgen.shapes import Level, Sample

Fields = Float[Tensor, "batch field *space"]
Basis = Float[Tensor, "point component"]


class Principal(Denoiser):
    r"""Some fields as a Gaussian of mean zero.

    Arguments:
        space: Points of the grid along each axis.
        bases: :math:`V_f` of each field, orthonormal.
        covariance: :math:`C`, over the components of all fields in their order.
        rest: :math:`\rho_f`.

    Raises:
        ValueError: the sizes do not fit one another, or a variance is not positive.
    """

    def __init__(
        self,
        space: tuple[int, ...],
        bases: Sequence[Float[Tensor, "point _"]],
        covariance: Float[Tensor, "total total"],
        rest: Float[Tensor, " field"],
    ) -> None:
        points = torch.Size(space).numel()
        sizes = [basis.shape[1] for basis in bases]
        if any(len(basis) != points for basis in bases) or len(rest) != len(bases):
            raise ValueError(
                f"bases of {len(rest)} fields must have {points} points, got "
                f"{[tuple(basis.shape) for basis in bases]}"
            )
        if covariance.shape != (sum(sizes),) * 2:
            raise ValueError(
                f"the covariance must be over {sum(sizes)} components, got "
                f"{tuple(covariance.shape)}"
            )
        if not (rest > 0).all():
            raise ValueError(f"what components leave out must have variance, got {rest.tolist()}")
        values, axes = torch.linalg.eigh(covariance.double())
        super().__init__(values[-1].item() ** 0.5)
        self.space, self.sizes = space, sizes
        self.bases = tuple(basis.float() for basis in bases)
        self.covariance = covariance.float()
        self.rest = rest.float()
        self.variances = values.clamp(min=float(values[-1]) * 1e-12).float()
        self.axes = axes.float()

    @property
    def fields(self) -> int:
        return len(self.bases)

    def clean(self, z: Fields, s: Level) -> Fields:
        r""":math:`\Sigma (\Sigma + s^2)^{-1} z`"""
        noise = per_sample(s, z)[:, None].square()
        variances, axes, rest = (part.to(z) for part in (self.variances, self.axes, self.rest))
        kept = rest / (rest + noise)
        amplitude = self.amplitudes(z)
        moved = (amplitude @ axes * (variances / (variances + noise))) @ axes.mT
        less = kept.repeat_interleave(torch.tensor(self.sizes, device=z.device), 1) * amplitude
        scale = kept.view(len(z), self.fields, *[1] * len(self.space))
        return scale * z + self.compose(moved - less)

    def amplitudes(self, x: Fields) -> Float[Tensor, "batch component"]:
        r""":math:`V^\top x`"""
        flat = x.flatten(2)
        parts = [flat[:, field] @ basis.to(x) for field, basis in enumerate(self.bases)]
        return torch.cat(parts, 1)

    def compose(self, amplitude: Float[Tensor, "batch component"]) -> Fields:
        r""":math:`V` times amplitudes."""
        parts = amplitude.split(self.sizes, 1)
        fields = [part @ basis.to(part).mT for part, basis in zip(parts, self.bases, strict=True)]
        found: Fields = torch.stack(fields, 1).unflatten(2, self.space)
        return found

    def between(self, s: float) -> Float[Tensor, "component component"]:
        r"""What that covariance is among components, over that of what they leave out:
        :math:`B` in :math:`V B V^\top + \text{diag}(r_f)`."""
        values = s**2 * self.variances / (self.variances + s**2)
        own = self.left(s).repeat_interleave(torch.tensor(self.sizes))
        found: Tensor = (self.axes * values) @ self.axes.mT - torch.diag(own)
        return found

    def left(self, s: float) -> Float[Tensor, " field"]:
        r"""The variance :math:`r_f = s^2 \rho_f / (s^2 + \rho_f)` of what components leave out."""
        found: Tensor = s**2 * self.rest / (s**2 + self.rest)
        return found

    def deviations(self, s: Float[Tensor, " batch"]) -> Float[Tensor, "batch field"]:
        """The root mean square, over a field, of what a noisy sample leaves open of the clean one."""
        noise = s[:, None].square()
        variances, axes, rest = (part.to(s) for part in (self.variances, self.axes, self.rest))
        each = (noise * variances / (variances + noise)) @ axes.square().mT
        inside = torch.stack([part.sum(1) for part in each.split(self.sizes, 1)], 1)
        points = torch.Size(self.space).numel()
        beyond = points - torch.tensor(self.sizes, device=s.device)
        found: Tensor = ((inside + beyond * noise * rest / (noise + rest)) / points).sqrt()
        return found


Images = Int[Tensor, "image point"]
"""Where each point of a grid comes from in each image of it that is as likely as itself."""


def square(cells: int) -> Images:
    """The eight images of a square: turned, and seen in a mirror."""
    places = torch.arange(cells**2).view(cells, cells)
    turned = (places, places.mT)
    flips: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 1))
    return torch.stack([one.flip(flip).flatten() for one in turned for flip in flips])


def fitted(samples: Sample, kept: Sequence[int], images: Images) -> Principal:
    """The Gaussian of some fields of mean zero.

    Arguments:
        samples: ``(batch, field, *space)``.
        kept: How many components of each field.
        images: Symmetries of the law, over all of which moments are averaged.

    Raises:
        ValueError: more components are asked for than samples and their images can tell of.
    """
    points, known = samples[0, 0].numel(), len(samples) * len(images)
    if max(kept) >= min(points, known):
        raise ValueError(
            f"{known} samples and images of {points} points tell of fewer than "
            f"{min(points, known)} components, got {max(kept)}: keep fewer"
        )
    flat = samples.flatten(2).double().unbind(1)
    bases, rest = [], []
    for field, count in zip(flat, kept, strict=True):
        moments = _moments(field, field, images)
        values, basis = _largest(moments, count)
        bases.append(basis)
        rest.append((moments.trace() - values.sum()) / (points - count))
    blocks = [
        torch.cat(
            [
                basis.mT @ (_moments(field, other, images) @ across)
                for other, across in zip(flat, bases, strict=True)
            ],
            1,
        )
        for field, basis in zip(flat, bases, strict=True)
    ]
    covariance = torch.cat(blocks)
    space = tuple(samples.shape[2:])
    return Principal(space, bases, (covariance + covariance.mT) / 2, torch.stack(rest))


def _moments(
    left: Float[Tensor, "sample point"], right: Float[Tensor, "sample point"], images: Images
) -> Float[Tensor, "point point"]:
    found = left.mT @ right / len(left)
    total = torch.zeros_like(found)
    for image in images:
        total += found[image][:, image]
    return total / len(images)


def _largest(
    moments: Float[Tensor, "point point"], count: int
) -> tuple[Float[Tensor, " component"], Basis]:
    """The largest eigenvalues and their vectors, by iteration of a somewhat larger subspace."""
    width = min(len(moments), count + EXTRA)
    start = torch.Generator(moments.device).manual_seed(0)
    basis = torch.randn(len(moments), width, generator=start, dtype=moments.dtype)
    for _ in range(PASSES):
        basis = torch.linalg.qr(moments @ basis).Q
    values, turn = torch.linalg.eigh(basis.mT @ (moments @ basis))
    return values[-count:], (basis @ turn)[:, -count:]


EXTRA = 40
"""Components beyond those that are kept, so that these are found to rounding."""
PASSES = 12
"""Products with the moments; spectra of smooth fields fall fast."""
