r"""How good draws are, where the density they should follow is known."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.gaussian import GaussianMixture

SHARE = 0.9
"""Of the draws, between the ends of the central interval."""


@dataclass(frozen=True)
class Quality:
    """What draws are held to; exact draws have bias zero, spread one and coverage 0.9."""

    bias: float
    """Distance of the draws' mean from the exact one, relative to a size the bed names."""
    spread: float
    """Mean standard deviation of the draws over the exact one."""
    coverage: float
    """The probability, by the exact density, that an entry is in the draws' central 90 %."""

    def __str__(self) -> str:
        return f"bias {self.bias:.3f}, spread {self.spread:.2f}, coverage {self.coverage:.2f}"


def judge(
    x: Float[Tensor, "problem draw dimension"],
    mean: Float[Tensor, "problem dimension"],
    std: Float[Tensor, " dimension"],
    size: Float[Tensor, " problem"],
) -> Quality:
    """Hold draws of many problems to Gaussian posteriors, which share their spread.

    Coverage is exact for the interval that the draws have: no truth is drawn for it, and so it
    carries no chance but that of the draws.
    """
    ends = _interval(x)
    inside = torch.special.ndtr((ends - mean[:, None]) / std)
    return Quality(
        bias=((x.mean(1) - mean).norm(dim=1) / size).mean().item(),
        spread=(x.std(1).mean() / std.mean()).item(),
        coverage=(inside[:, 1] - inside[:, 0]).mean().item(),
    )


def judge_mixture(
    x: Float[Tensor, "draw dimension"], exact: GaussianMixture, size: float = 1.0
) -> Quality:
    """Hold draws to a mixture, through its mean and its marginals."""
    weight = exact.log_weight.softmax(0)
    mean = weight @ exact.mean
    apart = exact.mean - mean
    each = exact.covariance.diagonal(dim1=1, dim2=2)
    std = (weight @ (each + apart.square())).sqrt()
    ends = _interval(x[None])[0]
    inside = torch.special.ndtr((ends[:, None] - exact.mean) / each.sqrt())
    covered = torch.einsum("k,kd->d", weight, inside[1] - inside[0])
    return Quality(
        bias=((x.mean(0) - mean).norm() / size).item(),
        spread=(x.std(0).mean() / std.mean()).item(),
        coverage=covered.mean().item(),
    )


def judge_draws(
    x: Float[Tensor, "draw dimension"],
    reference: Float[Tensor, "other dimension"],
    size: float | Float[Tensor, " dimension"],
) -> Quality:
    """Hold draws to others that are right; an entry's bias is relative to its ``size``."""
    ends = _interval(x[None])[0]
    inside = (reference > ends[0]) & (reference < ends[1])
    return Quality(
        bias=((x.mean(0) - reference.mean(0)) / size).square().mean().sqrt().item(),
        spread=(x.std(0) / reference.std(0)).mean().item(),
        coverage=inside.to(x.dtype).mean().item(),
    )


def told_apart(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], neighbours: int = 15) -> float:
    """Which share of draws their nearest neighbours tell the origin of: a half for draws of one
    density, one for two that have nothing in common.

    A classifier two-sample test, whose classifier is a vote among the nearest draws of both
    kinds, in units of the standard deviations of ``b``. As many of each make a half. Figures that
    are published for sbibm are those of another one, a trained perceptron, and not comparable.

    References:
        Revisiting Classifier Two-Sample Tests (Lopez-Paz & Oquab, 2017),
        https://arxiv.org/abs/1610.06545, section 3.
    """
    x = torch.cat([a, b]) / b.std(0)
    from_b = torch.arange(len(x), device=x.device) >= len(a)
    apart = torch.cdist(x, x).fill_diagonal_(torch.inf)
    nearest = apart.topk(neighbours, largest=False).indices
    votes = from_b[nearest].sum(1)
    return ((2 * votes > neighbours) == from_b).double().mean().item()


def discrepancy(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    r"""The squared maximum mean discrepancy, unbiased: zero on average for draws of one density.

    .. math:: \mathrm{MMD}^2 = \overline{k(a, a')} + \overline{k(b, b')} - 2\, \overline{k(a, b)}

    with a mean of five Gaussian kernels, of widths 1/4, 1/2, 1, 2 and 4 times the root mean
    square distance within ``b``.

    References:
        A Kernel Two-Sample Test (Gretton et al., 2012), equation 3.
    """
    scale = torch.cdist(b, b).square().mean()

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        square = torch.cdist(x, y).square() / scale
        return torch.stack([(-square / (2 * width**2)).exp() for width in WIDTHS]).mean(0)

    def within(x: Tensor) -> Tensor:
        return (kernel(x, x).sum() - len(x)) / (len(x) * (len(x) - 1))

    value: float = (within(a) + within(b) - 2 * kernel(a, b).mean()).item()
    return value


WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


def divergence(x: Float[Tensor, "draw dimension"], exact: GaussianMixture) -> float:
    r"""Kullback-Leibler divergence of the Gaussian with the draws' moments from one Gaussian.

    :math:`\tfrac12 [\mathrm{tr}(\Sigma^{-1} S) - d + \delta^\top \Sigma^{-1} \delta +
    \ln |\Sigma| - \ln |S|]`
    """
    covariance, spread = exact.covariance[0], torch.atleast_2d(x.T.cov())
    apart = x.mean(0) - exact.mean[0]
    inverse = torch.linalg.inv(covariance)
    logs = torch.logdet(covariance) - torch.logdet(spread)
    square = (inverse * spread).sum() + apart @ inverse @ apart
    value: float = (square - len(apart) + logs).item() / 2
    return value


def _interval(x: Tensor) -> Tensor:
    """Both ends of the central interval of every entry, after the problem."""
    tail = (1 - SHARE) / 2
    ends = torch.tensor([tail, 1 - tail], dtype=x.dtype, device=x.device)
    return x.quantile(ends, dim=1).movedim(0, 1)
