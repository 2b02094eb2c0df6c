r"""One network trained on one observation, asked about many.

Given a parameter, observations are independent, so that what all of them say is

.. math:: p(\theta | x_1 \dots x_n) \propto p(\theta)^{1-n} \prod_i p(\theta | x_i),

which needs the prior and a posterior for *one* observation, and hence a network that was trained
on single simulations. Two classes carry this to the noise levels, and differ there.

:class:`Composed` adds scores. The sum agrees with the posterior's score without noise only, so
that it needs moves at every level, :func:`physgen.sampler.anneal` with a kernel.

:class:`Corrected` multiplies what each term says of the *clean* parameter, given the noisy one:
as the noise is the same for all, :math:`p(\theta | z, x_1 \dots x_n) \propto
p(\theta | z)^{1-n} \prod_i p(\theta | z, x_i)` holds at every level. With each factor a Gaussian
by Tweedie's formulas, the clean estimate is the precision-weighted mean

.. math:: D = \Lambda^{-1} \Bigl[\sum_i C_i^{-1} D_i + (1 - n)\, C_0^{-1} D_0\Bigr], \qquad
    \Lambda = \sum_i C_i^{-1} + (1 - n)\, C_0^{-1},

exact where posteriors and prior are Gaussian, and any predictor may carry it.

References:
    Compositional Score Modeling for Simulation-Based Inference (Geffner et al., 2023),
    https://arxiv.org/abs/2209.14249, without its factor on the prior's score, which the noise
    axis used here does not need.
    Diffusion posterior sampling for simulation-based inference in tall data settings (Linhart et
    al., 2024), https://arxiv.org/abs/2404.07593, for the covariances by Jacobians.
"""

import abc

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import Precision, Score, check_score, wide
from physgen.shapes import Level, Sample


class Conditional(abc.ABC):
    """Posteriors given one observation each, such as a network that is shown it."""

    @abc.abstractmethod
    def given(self, observed: Float[Tensor, "batch *observation"]) -> Score:
        """The term whose every row is given the observation of that row."""


class Composed(Score):
    """The sum of the scores of all posteriors, less the prior's for all but one of them.

    Arguments:
        posterior: For one observation; one call evaluates it for all.
        prior: Of the parameters, before anything is seen.
        observed: What was seen, the same for every sample.
    """

    def __init__(
        self,
        posterior: Conditional,
        prior: Score,
        observed: Float[Tensor, "observation *shape"],
    ) -> None:
        check_score(prior)
        self.posterior = posterior
        self.prior = prior
        self.observed = observed

    def shift(self, z: Sample, s: Level) -> Sample:
        count = len(self.observed)
        rows, levels, given = _rows(self.posterior, self.observed, z, s)
        each = given.shift(rows, levels).unflatten(0, (len(z), count))
        total: Sample = each.sum(1) + (1 - count) * self.prior.shift(z, s)
        return total

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        prior = self.prior.precision(s, shape)
        if prior is None:
            return None
        rest = len(self.observed) - 1
        low, high = -rest * prior.high, -rest * prior.low
        for one in self.observed.split(1):
            each = self.posterior.given(one).precision(s, shape)
            if each is None:
                return None
            low, high = low + each.low, high + each.high
        return Precision(low, high)


class Corrected(Score):
    """What all posteriors together say of the clean parameter, each taken to be Gaussian.

    A covariance is a Jacobian of the denoiser, one gradient for each parameter: for vectors of
    few parameters.

    Arguments:
        posterior: For one observation; one call evaluates it for all.
        prior: Of the parameters, before anything is seen.
        observed: What was seen, the same for every sample.

    Raises:
        ValueError: at the first level and sample where one observation is taken to widen the
            prior, so that all of them together have no density.
    """

    def __init__(
        self,
        posterior: Conditional,
        prior: Score,
        observed: Float[Tensor, "observation *shape"],
    ) -> None:
        check_score(prior)
        self.posterior = posterior
        self.prior = prior
        self.observed = observed

    @property
    def marginal(self) -> bool:
        return True

    def shift(self, z: Float[Tensor, "batch parameter"], s: Level) -> Sample:
        count = len(self.observed)
        rows, levels, given = _rows(self.posterior, self.observed, z, s)
        each, inverse = (v.unflatten(0, (len(z), count)) for v in _moments(given, rows, levels))
        prior, rest = _moments(self.prior, z, s)
        precision = inverse.sum(1) + (1 - count) * rest
        pull = torch.einsum("bnij,bnj->bi", inverse, each)
        pull = pull + (1 - count) * torch.einsum("bij,bj->bi", rest, prior)
        factor, failed = torch.linalg.cholesky_ex((precision + precision.mT) / 2)
        if failed.any():
            level = torch.as_tensor(s).expand(len(z))[failed.cpu() > 0][0]
            raise ValueError(
                f"{count} observations together are improper at noise level {level.item():.4g}: "
                f"the precision of {int((failed > 0).sum())} of {len(z)} samples is not positive, "
                "as posteriors given one are no narrower than the prior. Start at a lower level, "
                "or train longer"
            )
        shift: Sample = torch.cholesky_solve(pull[..., None], factor)[..., 0]
        return shift


def _rows(
    posterior: Conditional, observed: Tensor, z: Sample, s: Level
) -> tuple[Tensor, float | Tensor, Score]:
    """Every sample with every observation, as one batch, its levels and the term for it."""
    count = len(observed)
    given = posterior.given(observed.repeat(len(z), *[1] * (observed.ndim - 1)))
    levels = s.repeat_interleave(count) if isinstance(s, Tensor) else s
    return z.repeat_interleave(count, dim=0), levels, given


def _moments(term: Score, z: Tensor, s: Level) -> tuple[Tensor, Tensor]:
    """The shift to the clean estimate, and the inverse of its covariance, of every row."""
    with torch.enable_grad():
        x = z.detach().requires_grad_()
        shift = term.shift(x, s)
        slopes = [
            torch.autograd.grad(shift[:, k].sum(), x, retain_graph=True)[0]
            for k in range(z.shape[1])
        ]
    jacobian = torch.stack(slopes, 1) + torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    covariance = wide(s, jacobian) ** 2 * (jacobian + jacobian.mT) / 2
    return shift.detach(), torch.linalg.inv(covariance)
