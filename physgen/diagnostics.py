r"""How far chains can be believed: R-hat, effective sample sizes, Monte-Carlo errors.

Chains that agree with one another, and each with itself earlier on, have the same variance within
as between them. All chains and all entries of a sample are treated in one call.

With :math:`W` the mean variance within chains of length :math:`n` and :math:`B` the variance of
their means, the variance is estimated by :math:`V = \frac{n-1}{n} W + B`; then
:math:`\hat R = \sqrt{V / W}`, and the autocorrelation at lag :math:`t` is
:math:`\rho_t = 1 - (W - \bar\gamma_t) / V`, :math:`\bar\gamma_t` being the mean autocovariance.
The effective size of :math:`S` draws is :math:`S / \tau`, with
:math:`\tau = -1 + 2 \sum_k P_k` over the pairs :math:`P_k = \rho_{2k} + \rho_{2k+1}` as long as
they are positive, each made no larger than the one before.

References:
    Rank-normalization, folding, and localization: An improved R-hat (Vehtari et al., 2021),
    https://arxiv.org/abs/1903.08008, equations 1 to 4, 10 and 14.
    Practical Markov Chain Monte Carlo (Geyer, 1992), for the initial monotone sequence.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Chains = Float[Tensor, "draw batch *shape"]
"""Draws of every chain, one after the other."""

Columns = Float[Tensor, "entry chain draw"]
"""The same, an entry of the sample at a time, draws innermost, in double precision."""

Entries = Float[Tensor, " entry"]

TAIL = 0.05
"""Share of the draws that each tail holds."""


@dataclass(frozen=True)
class Summary:
    """What chains say of every entry of a sample, and how well they know it."""

    mean: Tensor
    std: Tensor
    error: Tensor
    """Standard error of the mean."""
    r_hat: Tensor
    """Rank-normalised, of split chains, the larger of location's and scale's; below 1.01 is
    good. ``nan`` for an entry that never moved."""
    ess_bulk: Tensor
    """Effective number of draws for the middle of the distribution."""
    ess_tail: Tensor
    """The same for its quantiles at 5 and 95 %, the lesser."""

    def __str__(self) -> str:
        return (
            f"R-hat to {self.r_hat.max().item():.3f}, effective draws from "
            f"{self.ess_bulk.min().item():.0f} (bulk) and {self.ess_tail.min().item():.0f} (tail)"
        )


@torch.no_grad()
def summarise(draws: Chains) -> Summary:
    """Mean and spread of every entry of a sample, and what chains tell of their own worth.

    Arguments:
        draws: Of one chain or, better, several from different starts.

    Raises:
        ValueError: less than eight draws, or some that are not finite.
    """
    shape = draws.shape[2:]
    columns = _columns(draws)
    split = _split(columns)
    middle, *tails = (_quantile(split, q) for q in (0.5, TAIL, 1 - TAIL))
    bulk, spread = _rank_normalised(split), _rank_normalised((split - middle).abs())
    std = columns.flatten(1).std(1)
    ess_bulk = _effective(bulk)
    ess_tail = torch.minimum(*(_effective((split <= q).double()) for q in tails))
    moved = ess_bulk.isfinite()
    found = {
        "mean": columns.mean((1, 2)),
        "std": std,
        "error": std / _effective(split).sqrt(),
        "r_hat": torch.maximum(_r_hat(bulk), _r_hat(spread)),
        "ess_bulk": ess_bulk,
        # a tail that ties have made empty is known exactly
        "ess_tail": torch.where(moved & ess_tail.isnan(), split[0].numel(), ess_tail),
    }
    return Summary(**{name: value.to(draws.dtype).view(shape) for name, value in found.items()})


@torch.no_grad()
def effective(draws: Chains) -> Float[Tensor, "*shape"]:
    """The number of independent draws that would tell the mean of each entry as well."""
    return _effective(_split(_columns(draws))).to(draws.dtype).view(draws.shape[2:])


def _columns(draws: Tensor) -> Columns:
    if len(draws) < 8:
        raise ValueError(f"diagnostics need at least 8 draws of each chain, got {len(draws)}")
    if not draws.isfinite().all():
        raise ValueError("diagnostics need finite draws: did a chain diverge?")
    return draws.double().flatten(2).permute(2, 1, 0) if draws.ndim > 2 else draws.double().T[None]


def _split(columns: Columns) -> Float[Tensor, "entry half half_draw"]:
    """Both halves of every chain as chains of their own; the middle draw of odd ones goes."""
    half = columns.shape[2] // 2
    return torch.cat([columns[..., :half], columns[..., -half:]], 1)


def _rank_normalised(columns: Columns) -> Columns:
    """Normal quantiles of the ranks among all chains, ties sharing theirs (equation 14)."""
    flat = columns.flatten(1).contiguous()
    count = flat.shape[1]
    ordered = flat.sort(1).values
    below = torch.searchsorted(ordered, flat)
    upto = torch.searchsorted(ordered, flat, right=True)
    rank = (below + upto + 1).double() / 2
    normal: Tensor = torch.special.ndtri((rank - 3 / 8) / (count + 1 / 4))
    return normal.view(columns.shape)


def _quantile(columns: Columns, q: float) -> Float[Tensor, "entry 1 1"]:
    """Of all draws, between the two next to it."""
    ordered = columns.flatten(1).sort(1).values
    place = q * (ordered.shape[1] - 1)
    low, high = ordered[:, math.floor(place)], ordered[:, math.ceil(place)]
    return torch.lerp(low, high, place - math.floor(place))[:, None, None]


def _variances(columns: Columns) -> tuple[Entries, Entries]:
    """Within chains, and the pooled estimate; the latter is the former for a single chain."""
    count = columns.shape[2]
    within = columns.var(2).mean(1)
    between = columns.mean(2).var(1) if columns.shape[1] > 1 else torch.zeros_like(within)
    return within, (count - 1) / count * within + between


def _r_hat(columns: Columns) -> Entries:
    within, pooled = _variances(columns)
    ratio: Tensor = pooled / within
    return ratio.sqrt()


def _effective(columns: Columns) -> Entries:
    _, chains, count = columns.shape
    within, pooled = _variances(columns)
    covariance = _autocovariance(columns)
    rho = 1 - (within[:, None] - covariance) / pooled[:, None]
    rho[:, 0] = 1
    pairs = rho[:, : count // 2 * 2].unflatten(1, (-1, 2)).sum(2)
    kept = (pairs >= 0).cumprod(1)
    sums = (pairs.cummin(1).values * kept).sum(1)
    first_out = (2 * kept.sum(1)).clamp(max=count - 1)
    beyond = rho.gather(1, first_out[:, None])[:, 0].clamp(min=0)
    total = chains * count
    tau = (2 * sums - 1 + beyond).clamp(min=1 / math.log10(total))
    size: Tensor = total / tau
    return size


def _autocovariance(columns: Columns) -> Float[Tensor, "entry draw"]:
    """Mean over chains, at every lag, by Fourier transform."""
    count = columns.shape[2]
    length = 2 ** math.ceil(math.log2(2 * count))
    centred = columns - columns.mean(2, keepdim=True)
    power = torch.fft.rfft(centred, length).abs().square().mean(1)
    summed: Tensor = torch.fft.irfft(power, length)[:, :count]
    return summed / count
