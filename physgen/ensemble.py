r"""Ensembles: is the truth as likely to be where members are as each of these?

All figures are means over the last axis, the points of a field. References:
    Strictly Proper Scoring Rules, Prediction, and Estimation (Gneiting & Raftery, 2007),
    https://doi.org/10.1198/016214506000001437, equation 21, for the score.
    Fortin et al. (2014), Why Should Ensemble Spread Match the RMSE of the Ensemble Mean?,
    https://doi.org/10.1175/JHM-D-14-0008.1, for the ratio and its factor for few members.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Members = Float[Tensor, "case member *time point"]
Truths = Float[Tensor, "case *time point"]
Scores = Float[Tensor, "case *time"]


def crps(members: Members, truth: Truths) -> Scores:
    r"""The continuous ranked probability score, without bias for any number of members,

    .. math:: \overline{|x_i - x^*|} - \tfrac12\, \overline{|x_i - x_j|}_{i \ne j}.

    Of members that are all alike, or of one, it is their mean absolute error.
    """
    miss = (members - truth[:, None]).abs().mean(1)
    count = members.shape[1]
    if count > 1:
        rank = 2 * torch.arange(count, dtype=members.dtype, device=members.device) + 1 - count
        apart = torch.einsum("cm...,m->c...", members.sort(1).values, rank)
        miss = miss - apart / (count * (count - 1))
    return miss.mean(-1)


def mean_error(members: Members, truth: Truths) -> Scores:
    """The root mean square by which the mean of the members misses the truth."""
    return (members.mean(1) - truth).square().mean(-1).sqrt()


def spread_skill(members: Members, truth: Truths) -> Float[Tensor, "*time"]:
    r"""The spread of members over the error of their mean, over all cases:

    .. math:: \sqrt{\frac{(m + 1)\, \overline{\mathrm{var}}}{m\, \overline{|\bar x - x^*|^2}}}

    which is one where the truth might be one of the m members, and zero for a single one.
    """
    count = members.shape[1]
    error = (members.mean(1) - truth).square().mean((0, -1))
    if count < 2:
        return torch.zeros_like(error)
    variance = members.var(1).mean((0, -1))
    return ((count + 1) / count * variance / error).sqrt()


def covered(members: Members, truth: Truths) -> Scores:
    """The share of points whose truth lies in the 90 % interval of the members.

    A further member lies between the order statistics that are taken with probability 0.9.
    """
    count = members.shape[1]
    check_members(count)
    outer = (count + 1) // 20
    ordered = members.sort(1).values
    inside = (truth >= ordered[:, outer - 1]) & (truth <= ordered[:, count - outer])
    return inside.to(members.dtype).mean(-1)


def correlation(members: Members, truth: Truths) -> Scores:
    """The correlation over the points between the mean of the members and the truth."""
    mean = members.mean(1)
    mean = mean - mean.mean(-1, keepdim=True)
    true = truth - truth.mean(-1, keepdim=True)
    least = torch.finfo(mean.dtype).tiny
    both = (mean.square().mean(-1) * true.square().mean(-1)).sqrt().clamp(min=least)
    return (mean * true).mean(-1) / both


def check_members(count: int) -> None:
    """Refuse a number of members that has no 90 % interval between two of them."""
    if count < 19 or (count + 1) % 20:
        raise ValueError(
            "members must be 19, 39, 59, ..., so that 90 % intervals lie between two of them, got "
            f"{count}"
        )
