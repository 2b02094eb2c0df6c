r"""Symmetries of laws of fields: images that are as likely, and the Gaussian that knows of them.

Of a law whose places are alike along an axis that closes on itself, the principal components are
waves there, known before any data; what is measured is how much of each there is. On a torus that
looks alike from all four sides and in a mirror that turns signs, as of a vorticity, these are all
components, and the covariance of several fields is one small matrix for each wave. On a ring whose
field is known at many instants, components are waves along it times profiles in time
(:mod:`physgen.stationary`). A law on a square with walls has its eight images only
(:func:`physgen.principal.square`).
"""

import abc
from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen.principal import Basis, Fields, Images, Principal, fitted, square
from physgen.stationary import stationary_law


class Symmetry(abc.ABC):
    """Images of a sample ``(field, *space)`` that are as likely as itself."""

    periodic: tuple[bool, bool]
    """Whether each axis closes on itself."""

    @abc.abstractmethod
    def mean(self, samples: Fields) -> Float[Tensor, "field *space"]:
        """The mean of samples and all their images."""

    @abc.abstractmethod
    def drawn(self, samples: Fields, generator: torch.Generator) -> Fields:
        """One image of each sample, drawn by chance."""

    @abc.abstractmethod
    def fitted(self, samples: Fields, kept: Sequence[int]) -> Principal:
        """The Gaussian of samples of mean zero and all their images.

        Arguments:
            samples: ``(batch, field, *space)``.
            kept: How much of each field is kept.

        Raises:
            ValueError: more is asked for than the samples or their grid can tell of.
        """

    @abc.abstractmethod
    def tensors(self, gaussian: Principal) -> dict[str, Tensor]:
        """What a file has to keep of such a Gaussian."""

    @abc.abstractmethod
    def principal(self, tensors: Mapping[str, Tensor], space: tuple[int, ...]) -> Principal:
        """The Gaussian of what a file has kept."""


@final
class Square(Symmetry):
    """The eight images of a square with walls. Components are principal ones, so many of each field."""

    periodic = (False, False)

    def __init__(self, cells: int) -> None:
        self.images: Images = square(cells)

    def mean(self, samples: Fields) -> Float[Tensor, "field *space"]:
        flat = samples.flatten(2).mean(0)
        return flat[:, self.images].mean(1).view(samples.shape[1:])

    def drawn(self, samples: Fields, generator: torch.Generator) -> Fields:
        like = {"generator": generator, "device": samples.device}
        image = torch.randint(len(self.images), (len(samples),), **like)  # type: ignore[call-overload]
        places = self.images.to(samples.device)[image, None].expand(-1, samples.shape[1], -1)
        return samples.flatten(2).gather(2, places).view_as(samples)

    def fitted(self, samples: Fields, kept: Sequence[int]) -> Principal:
        return fitted(samples, kept, self.images)

    def tensors(self, gaussian: Principal) -> dict[str, Tensor]:
        bases = {f"basis.{k}": basis.half() for k, basis in enumerate(gaussian.bases)}
        return {**bases, "covariance": gaussian.covariance.float(), "rest": gaussian.rest}

    def principal(self, tensors: Mapping[str, Tensor], space: tuple[int, ...]) -> Principal:
        rest = tensors["rest"]
        bases = [orthonormal(tensors[f"basis.{k}"].double()) for k in range(len(rest))]
        return Principal(space, bases, tensors["covariance"], rest)


def orthonormal(basis: Basis) -> Basis:
    """Columns that rounding has moved, made orthonormal again."""
    found, turn = torch.linalg.qr(basis)
    signed: Tensor = found * turn.diagonal().sign()
    return signed


def waves(points: int) -> Float[Tensor, "point wave"]:
    """All waves of a ring, orthonormal, by rising number: a constant, then cosines and sines."""
    place = torch.arange(points, dtype=torch.float64) / points
    number = wave_numbers(points)
    odd = torch.arange(points) % 2 == 1
    phase = 2 * torch.pi * place[:, None] * number
    found = torch.where(odd, phase.cos(), phase.sin())
    found[:, 0] = 1
    unit: Tensor = found / found.norm(dim=0)
    return unit


def cosines(points: int) -> Float[Tensor, "point wave"]:
    """All waves of a line without slope at its ends, orthonormal, by rising number."""
    place = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    found = torch.cos(torch.pi * place[:, None] * torch.arange(points))
    unit: Tensor = found / found.norm(dim=0)
    return unit


def wave_numbers(points: int) -> Int[Tensor, " wave"]:
    """Periods of each of them; points are even."""
    return (torch.arange(points) + 1) // 2


@final
class Torus(Symmetry):
    """Moved along either axis, turned by quarters, and in a mirror that turns signs.

    That is the symmetry of the vorticity of a plane flow. Its mean is zero. Kept are all waves of a field
    whose wave vector is no longer than so many periods along a side.
    """

    periodic = (True, True)

    def mean(self, samples: Fields) -> Float[Tensor, "field *space"]:
        return torch.zeros_like(samples[0])

    def drawn(self, samples: Fields, generator: torch.Generator) -> Fields:
        like = {"generator": generator, "device": samples.device}
        size = (len(samples),)
        kind = torch.randint(8, size, **like)[:, None, None, None]  # type: ignore[call-overload]
        mirrored = torch.where(kind % 2 == 1, -samples.flip(2), samples)
        turned = torch.where(kind // 2 % 2 == 1, -mirrored.mT, mirrored)
        half = torch.where(kind // 4 == 1, turned.flip(2, 3), turned)
        return moved(moved(half, 2, generator), 3, generator)

    def fitted(self, samples: Fields, kept: Sequence[int]) -> Principal:
        points = samples.shape[2]
        if samples.shape[3] != points or not 0 < min(kept) <= max(kept) < points // 2:
            raise ValueError(
                f"waves on {tuple(samples.shape[2:])} points have from 1 to {points // 2 - 1} "
                f"periods along sides that are equal, got {tuple(kept)}"
            )
        x = waves(points)
        amplitude = x.mT @ samples.double() @ x
        moments = torch.einsum("nfxy,ngxy->fgxy", amplitude, amplitude) / len(samples)
        # Cosines and sines of one number are alike, along both axes, and so are the axes.
        member = torch.nn.functional.one_hot(wave_numbers(points)).double()
        share = member / member.sum(0)
        alike = member @ (share.mT @ moments @ share) @ member.mT
        spectrum = ((alike + alike.mT) / 2).flatten(2)[:, :, _by_length(points)]
        counts = [int((_squares(points) <= most**2).sum()) for most in kept]
        rest = [spectrum[f, f, count:].mean() for f, count in enumerate(counts)]
        return _of_waves(tuple(samples.shape[2:]), counts, spectrum, torch.stack(rest))

    def tensors(self, gaussian: Principal) -> dict[str, Tensor]:
        blocks = [
            [block.diagonal() for block in row.split(gaussian.sizes, 1)]
            for row in gaussian.covariance.split(gaussian.sizes, 0)
        ]
        spectrum = torch.zeros(gaussian.fields, gaussian.fields, max(gaussian.sizes))
        for f, row in enumerate(blocks):
            for g, shared in enumerate(row):
                spectrum[f, g, : len(shared)] = shared
        return {
            "spectrum": spectrum,
            "counts": torch.tensor(gaussian.sizes),
            "rest": gaussian.rest,
        }

    def principal(self, tensors: Mapping[str, Tensor], space: tuple[int, ...]) -> Principal:
        return _of_waves(space, tensors["counts"].tolist(), tensors["spectrum"], tensors["rest"])


def _squares(points: int) -> Int[Tensor, " mode"]:
    """Square lengths of the wave vectors of products of two waves, in periods along a side."""
    square = wave_numbers(points).square()
    return (square[:, None] + square).flatten()


def _by_length(points: int) -> Int[Tensor, " mode"]:
    """Products of two waves, the longest waves first."""
    return _squares(points).argsort(stable=True)


def _of_waves(
    space: tuple[int, ...],
    counts: Sequence[int],
    spectrum: Float[Tensor, "field field mode"],
    rest: Float[Tensor, " field"],
) -> Principal:
    """The Gaussian of so many of the longest waves, of which each knows of none but itself."""
    line, order = waves(space[0]), _by_length(space[0])[: max(counts)]
    x, y = line[:, order // space[0]], line[:, order % space[0]]
    both = (x[:, None] * y).flatten(0, 1)
    covariance = torch.zeros(sum(counts), sum(counts), dtype=torch.float64)
    rows = covariance.split(list(counts), 0)
    for f, row in enumerate(rows):
        for g, block in enumerate(row.split(list(counts), 1)):
            shared = min(counts[f], counts[g])
            block.diagonal().copy_(spectrum[f, g, :shared])
    return Principal(space, [both[:, :count] for count in counts], covariance, rest)


@final
class Ring(Symmetry):
    """Moved along the second axis, and in a mirror there that turns signs.

    That is the symmetry of a velocity on a ring; the first axis is time. Its mean is zero. Kept are at
    least so many components, each a wave along the ring times a profile in time.
    """

    periodic = (False, True)

    def mean(self, samples: Fields) -> Float[Tensor, "field *space"]:
        return torch.zeros_like(samples[0])

    def drawn(self, samples: Fields, generator: torch.Generator) -> Fields:
        like = {"generator": generator, "device": samples.device}
        seen = torch.rand(len(samples), **like) < 0.5  # type: ignore[call-overload]
        mirrored = torch.where(seen[:, None, None, None], -samples.flip(3), samples)
        return moved(mirrored, 3, generator)

    def fitted(self, samples: Fields, kept: Sequence[int]) -> Principal:
        (count,), (instants, points) = kept, samples.shape[2:]
        law = stationary_law(samples[:, 0])
        known = instants * (points - 1)
        if not 0 < count < known:
            raise ValueError(
                f"fields on {instants} x {points} points have fewer than {known} components, got "
                f"{count}: keep fewer"
            )
        values, axes = torch.linalg.eigh(law.covariance)
        number = wave_numbers(points)
        each = values[number].flatten()
        chosen = (each >= each.sort(descending=True).values[count - 1]).nonzero()[:, 0]
        wave, profile = chosen // instants, chosen % instants
        profiles = axes[number[wave], :, profile].mT
        rest = (each.sum() - each[chosen].sum()) / (len(each) - len(chosen))
        return _of_profiles(points, profiles, wave, each[chosen], rest[None])

    def tensors(self, gaussian: Principal) -> dict[str, Tensor]:
        points = gaussian.space[1]
        split = gaussian.bases[0].double().view(*gaussian.space, -1)
        along = torch.einsum("txc,xw->wtc", split, waves(points))
        wave = along.square().sum(1).argmax(0)
        profiles = along.gather(0, wave.expand(1, gaussian.space[0], -1))[0]
        return {
            "profiles": profiles.float(),
            "waves": wave,
            "variances": gaussian.covariance.diagonal(),
            "rest": gaussian.rest,
        }

    def principal(self, tensors: Mapping[str, Tensor], space: tuple[int, ...]) -> Principal:
        names = ("profiles", "waves", "variances", "rest")
        profiles, wave, variances, rest = (tensors[name] for name in names)
        return _of_profiles(space[1], profiles.double(), wave, variances, rest)


def _of_profiles(
    points: int,
    profiles: Float[Tensor, "instant component"],
    wave: Int[Tensor, " component"],
    variances: Float[Tensor, " component"],
    rest: Float[Tensor, " 1"],
) -> Principal:
    """The Gaussian of waves along a ring, each with a profile in time, that know nothing of each other."""
    basis = profiles[:, None] * waves(points)[:, wave]
    space = (len(profiles), points)
    return Principal(space, [basis.flatten(0, 1)], torch.diag(variances), rest)


def moved(samples: Fields, dim: int, generator: torch.Generator) -> Fields:
    """Each sample by points of its own along an axis that closes on itself, drawn by chance."""
    points, device = samples.shape[dim], samples.device
    far = torch.randint(points, (len(samples), 1), generator=generator, device=device)
    place = (torch.arange(points, device=device) - far) % points
    shape = [1] * samples.ndim
    shape[0], shape[dim] = len(samples), points
    return samples.gather(dim, place.view(shape).expand_as(samples))
