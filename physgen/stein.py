r"""Whether samples fit a density of which only the score is known: Stein's discrepancy.

With :math:`g = \nabla \log p` and a kernel :math:`k`,

.. math:: u(x, y) = g(x)^\top g(y)\, k + g(x)^\top \nabla_y k + g(y)^\top \nabla_x k
    + \nabla_x \cdot \nabla_y k

has mean zero over :math:`y \sim p` for every :math:`x`, so the mean of :math:`u` over pairs of
samples, the squared discrepancy, is zero on average for samples of :math:`p` and positive for
others. The kernel :math:`(c^2 + |x - y|^2)^{-1/2}` is heavy-tailed, without which mass far out
goes unseen. Normalisers play no part. Two warnings: the discrepancy is all but blind to the
weights of modes that lie far apart, as the score is; and p-values take samples as independent
unless told how long they stay alike.

References:
    A Kernelized Stein Discrepancy for Goodness-of-fit Tests (Liu, Lee & Jordan, 2016),
    https://arxiv.org/abs/1602.03253, theorem 3.6.
    A Kernel Test of Goodness of Fit (Chwialkowski, Strathmann & Gretton, 2016),
    https://arxiv.org/abs/1602.02964, section 2.2, for the bootstrap.
    Measuring Sample Quality with Kernels (Gorham & Mackey, 2017),
    https://arxiv.org/abs/1703.01717, for the inverse multiquadric kernel.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import Score, check_score
from physgen.shapes import Sample

Pairs = Float[Tensor, "batch batch"]


@dataclass(frozen=True)
class Fit:
    """How well samples fit a density."""

    squared: float
    """The squared discrepancy, without bias: below zero by chance where samples fit."""
    p_value: float
    """How often samples of the density would be as far from it."""


@torch.no_grad()
def stein_discrepancy(term: Score, x: Sample, s: float = 1.0) -> float:
    """The squared discrepancy between samples and a density, without bias.

    Arguments:
        term: The density, by its score.
        x: Samples; their median distance is the width :math:`c` of the kernel.
        s: The level, of no account for a density without levels.
    """
    return _mean_of_pairs(stein_kernel(term, x, s))


@torch.no_grad()
def stein_test(
    term: Score,
    x: Sample,
    generator: torch.Generator,
    s: float = 1.0,
    replicas: int = 1000,
    kept: float = 0.5,
) -> Fit:
    """The discrepancy, and whether it is larger than chance makes it, by a wild bootstrap.

    Arguments:
        term: The density, by its score.
        x: Samples, in the order of the chain if they come from one.
        generator: Source of the signs.
        s: The level, of no account for a density without levels.
        replicas: Of the bootstrap.
        kept: Probability that the sign of a sample is that of the one before. One half for
            independent samples; for a chain, high enough that signs live as long as its memory.
    """
    if not 0.5 <= kept < 1:
        raise ValueError(f"kept must be at least one half and below one, got {kept}")
    pairs = stein_kernel(term, x, s)
    coins = torch.rand((replicas, len(x)), generator=generator, dtype=pairs.dtype, device=x.device)
    turned = torch.where(coins > kept, -1.0, 1.0).to(pairs.dtype)
    turned[:, 0] = torch.where(coins[:, 0] > 0.5, -1.0, 1.0).to(pairs.dtype)
    signs = turned.cumprod(1)
    chance = ((signs @ pairs) * signs).sum(1)
    above = (chance >= pairs.sum()).sum().item()
    return Fit(_mean_of_pairs(pairs), (1 + above) / (1 + replicas))


def squared_distances(places: Float[Tensor, "batch dimension"]) -> tuple[Pairs, Tensor]:
    """Those of all pairs, and their median over pairs of different samples.

    Raises:
        ValueError: most samples coincide, so that their distance is no unit of length.
    """
    # by differences: by products, places that coincide far from zero would seem apart
    apart = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")
    square = apart.square()
    above = torch.triu_indices(len(places), len(places), 1, device=places.device)
    median = square[above[0], above[1]].median()
    if not median > 0:
        raise ValueError(
            f"the samples coincide: the median distance of {len(places)} is {median.item():.3g}"
        )
    return square, median


def stein_kernel(term: Score, x: Sample, s: float = 1.0) -> Pairs:
    """:math:`u` of all pairs of samples, in double precision.

    Raises:
        ValueError: less than two samples, or most of them coincide.
        FloatingPointError: a score is not finite.
    """
    check_score(term)
    if len(x) < 2:
        raise ValueError(f"a discrepancy needs at least two samples, got {len(x)}")
    g = term.score(x, s).flatten(1).double()
    away = ~(g.isfinite() & x.flatten(1).isfinite()).all(1)
    if away.any():
        raise FloatingPointError(
            f"{int(away.sum())} of {len(x)} samples, or the scores there, are not finite"
        )
    places = x.flatten(1).double()
    dimension = places.shape[1]
    square, width = squared_distances(places)
    base = width + square
    root = base.rsqrt()
    along = (g * places).sum(1)
    # g(x)ᵀ(x - y) - g(y)ᵀ(x - y): the kernel's gradient is -(x - y) base^(-3/2) to x
    across = along[:, None] + along - g @ places.T - places @ g.T
    curvature = dimension / base - 3 * square / base.square()
    return root * (g @ g.T + across / base + curvature)


def _mean_of_pairs(pairs: Pairs) -> float:
    count = len(pairs)
    return ((pairs.sum() - pairs.diagonal().sum()) / (count * (count - 1))).item()
