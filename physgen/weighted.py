r"""Samples that stand for a density by their weights, however these came about.

Importance sampling, bridges, annealing and particles all end in them.

References:
    Monte Carlo Strategies in Scientific Computing (Liu, 2001), section 2.5, for the effective
    sample size and the error of the self-normalised mean.
    Pareto Smoothed Importance Sampling (Vehtari et al., 2024), https://arxiv.org/abs/1507.02646,
    for the tail index and its bound of 0.7.
    A New and Efficient Estimation Method for the Generalized Pareto Distribution (Zhang &
    Stephens, 2009), for its fit.
    Variance Estimation in the Particle Filter (Lee & Whiteley, 2018),
    https://arxiv.org/abs/1509.00394, for errors by lineages, after Chan & Lai (2013). Theirs is for
    multinomial resampling, whose own chance it takes off once for each time.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen.shapes import PerSample, Sample


class Estimate(NamedTuple):
    """A mean and its standard error."""

    value: Tensor
    error: Tensor


@dataclass(frozen=True)
class Weighted:
    """Samples that stand for a density by their weights."""

    x: Sample
    log_weight: PerSample
    """Logarithms of the density wanted, not normalised, over the one drawn from; all alike where none
    are kept."""
    log_mass: float = 0.0
    """What resampling on the way took out of the weights, and ``nan`` where no weights are kept."""
    lineage: Int[Tensor, " batch"] | None = None
    """Which of as many first samples each descends from; its own, where none were resampled."""

    @property
    def share(self) -> PerSample:
        """Weights that add up to one."""
        return self.log_weight.softmax(0)

    @property
    def ess(self) -> float:
        """Effective sample size, as a share of the samples."""
        return effective(self.share)

    @property
    def log_z(self) -> float:
        """Of the density wanted: the logarithm of the mean weight."""
        return self.log_mass + log_mean(self.log_weight)

    @property
    def log_z_error(self) -> float:
        r"""Standard error of :attr:`log_z`, to first order.

        Samples of one lineage err together, and lineages apart, so that with the share :math:`S_k`
        of what descends from each of :math:`n` first samples its square is
        :math:`(n \sum_k S_k^2 - 1) / (n - 1)`. It is as right as the lineages are many: as they die
        out it tends to one, and of a mode that no sample ever reached it knows nothing.
        """
        count = len(self.log_weight)
        ess = effective(self._by_lineage(self.share))
        return math.sqrt(max(0.0, 1 / ess - 1) / (count - 1))

    @property
    def tail(self) -> float:
        r"""Index :math:`k` of the weights' tail, :math:`P(w > t) \sim t^{-1/k}`.

        Below one half weights have a variance, below one a mean. Above 0.7 the proposal is too
        narrow for any number here to be believed. About as many weights as three square roots of
        their number are fitted, a fifth of them at most; of equal weights there is no tail, and
        the index is minus infinity.
        """
        ordered = self.log_weight.double().sort().values
        count = min(len(ordered) // 5, math.ceil(3 * math.sqrt(len(ordered))))
        if count < 5:
            raise ValueError(f"a tail needs at least 25 weights, got {len(ordered)}")
        ratio = (ordered[-count - 1 :] - ordered[-1]).exp()
        if not ratio[-1] > ratio[0]:
            return -math.inf
        return _pareto_index(ratio[1:] - ratio[0])

    def mean(self, values: Float[Tensor, "batch *shape"]) -> Estimate:
        """Of a function of the samples under the density wanted, whatever its normaliser."""
        share = self.share.view(-1, *[1] * (values.ndim - 1))
        mean = (share * values).sum(0)
        errors = self._by_lineage(share * (values - mean))
        return Estimate(mean, errors.square().sum(0).sqrt())

    def integral(self, values: Float[Tensor, "batch *shape"]) -> Estimate:
        """Of a function times the density wanted, as it stands; without bias."""
        weight = (self.log_mass + self.log_weight).exp().view(-1, *[1] * (values.ndim - 1))
        terms = weight * values
        error = self._by_lineage(terms).std(0) / math.sqrt(len(terms))
        return Estimate(terms.mean(0), error)

    def _by_lineage(self, terms: Tensor) -> Tensor:
        """Summed over the samples of each lineage, which are all that is independent."""
        if self.lineage is None:
            return terms
        return torch.zeros_like(terms).index_add(0, self.lineage, terms)

    def resample(self, generator: torch.Generator) -> Sample:
        """As many samples without weights, some of them several times."""
        return self.x[systematic(self.share, generator)]


def effective(share: PerSample) -> float:
    r"""Of weights that add up to one: how large a share of as many samples of the density itself
    they are worth, :math:`(\sum w)^2 / (n \sum w^2)`."""
    return 1 / (len(share) * share.square().sum().item())


def log_mean(log_weight: PerSample) -> float:
    """The logarithm of the mean weight."""
    return log_weight.logsumexp(0).item() - math.log(len(log_weight))


def systematic(share: Float[Tensor, " batch"], generator: torch.Generator) -> Tensor:
    """Indices in which each sample stands as often as its share says, up to one."""
    count = len(share)
    coin = torch.rand(1, generator=generator, dtype=torch.float64, device=share.device)
    comb = (torch.arange(count, device=share.device) + coin) / count
    return torch.searchsorted(share.double().cumsum(0), comb).clamp(max=count - 1)


def _pareto_index(excess: Float[Tensor, " tail"]) -> float:
    """Zhang and Stephens' posterior mean, drawn towards one half as if by ten more weights."""
    count = len(excess)
    candidates = 30 + math.isqrt(count)
    j = torch.arange(1, candidates + 1, dtype=excess.dtype, device=excess.device) - 0.5
    quarter = excess[count // 4].clamp(min=torch.finfo(excess.dtype).tiny)
    theta = 1 / excess[-1] + (1 - (candidates / j).sqrt()) / (3 * quarter)
    index = torch.log1p(-theta[:, None] * excess).mean(1)
    likelihood = count * ((-theta / index).log() - index - 1)
    theta_mean = (likelihood.softmax(0) * theta).sum()
    fitted = torch.log1p(-theta_mean * excess).mean().item()
    return (count * fitted + 10 * 0.5) / (count + 10)
