r"""Linear inverse problems, :math:`y = A x + n`, whose posteriors are known."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.gaussian import GaussianMixture, gaussian
from physgen.testbeds.quality import Quality, judge


@dataclass(frozen=True)
class Inverse:
    r"""Problems that share a Gaussian prior, an operator and the size of the noise.

    Their posteriors differ in the mean only,
    :math:`\mu + K (y - A \mu)` with :math:`K = \Sigma A^\top (A \Sigma A^\top + \sigma^2)^{-1}`,
    and have the covariance :math:`\Sigma - K A \Sigma`.
    """

    prior: GaussianMixture
    """One Gaussian."""
    operator: Float[Tensor, "observation dimension"]
    """:math:`A`"""
    noise: float
    """:math:`\\sigma`"""
    truth: Float[Tensor, "problem dimension"]
    observed: Float[Tensor, "problem observation"]

    def see(self, x: Float[Tensor, "batch dimension"]) -> Float[Tensor, "batch observation"]:
        """:math:`A x`"""
        return x @ self.operator.mT

    def rows(self, draws: int) -> Float[Tensor, "batch observation"]:
        """What was observed, once for each draw, the draws of a problem beside each other."""
        return self.observed.repeat_interleave(draws, dim=0)

    def posterior_by(
        self, prior: GaussianMixture
    ) -> tuple[Float[Tensor, "problem dimension"], Float[Tensor, "dimension dimension"]]:
        """Means and covariance of the posteriors if the prior were another."""
        across = prior.covariance[0] @ self.operator.mT
        noise = self.noise**2 * torch.eye(len(self.operator), dtype=across.dtype)
        gain = torch.linalg.solve(self.operator @ across + noise, across, left=False)
        covariance = prior.covariance[0] - gain @ across.mT
        surprise = self.observed - self.see(prior.mean)
        return prior.mean + surprise @ gain.mT, (covariance + covariance.mT) / 2

    def log_evidence(self) -> Float[Tensor, " problem"]:
        r""":math:`\log \mathcal N(y; A \mu, A \Sigma A^\top + \sigma^2)`"""
        noise = self.noise**2 * torch.eye(len(self.operator), dtype=self.operator.dtype)
        covariance = self.operator @ self.prior.covariance[0] @ self.operator.mT + noise
        return -gaussian(self.see(self.prior.mean)[0], covariance).energy(self.observed, 0.0)

    def draw(
        self, draws: int, generator: torch.Generator, prior: GaussianMixture | None = None
    ) -> Float[Tensor, "batch dimension"]:
        """Exact draws from every posterior, or from what another prior would make of it."""
        mean, covariance = self.posterior_by(prior or self.prior)
        centred = gaussian(torch.zeros_like(mean[0]), covariance)
        unit = centred.sample(draws * len(mean), generator)
        return mean.repeat_interleave(draws, dim=0) + unit

    def judge(self, x: Float[Tensor, "batch dimension"]) -> Quality:
        """Hold draws to the exact posteriors; biases are relative to the truths."""
        mean, covariance = self.posterior_by(self.prior)
        each = x.double().unflatten(0, (len(mean), -1))
        return judge(each, mean, covariance.diagonal().sqrt(), self.truth.norm(dim=1))


def pose(
    prior: GaussianMixture,
    operator: Float[Tensor, "observation dimension"],
    noise: float,
    problems: int,
    generator: torch.Generator,
) -> Inverse:
    """Problems whose truths are drawn from the prior, and observed with noise."""
    truth = prior.sample(problems, generator)
    seen = truth @ operator.mT
    error = torch.randn(seen.shape, generator=generator, dtype=seen.dtype)
    return Inverse(prior, operator, noise, truth, seen + noise * error)


def fitted(examples: Float[Tensor, "example dimension"], floor: float) -> GaussianMixture:
    r"""The Gaussian of some examples, to which the linear estimate from them belongs.

    The posterior mean under it is the linear estimate of least mean square error, what any
    prior that was learned from the same examples has to beat. The variance ``floor``
    :math:`^2` is added, as fewer examples than dimensions leave directions without any.
    """
    covariance = examples.T.cov()
    one = torch.eye(len(covariance), dtype=examples.dtype)
    return gaussian(examples.mean(0), covariance + floor**2 * one)


def linear_posterior(
    truth: Float[Tensor, "example dimension"],
    seen: Float[Tensor, "example observation"],
    observed: Float[Tensor, " observation"],
) -> GaussianMixture:
    """What was learned of truths and what is seen of them by a Gaussian of both, given one sight.

    Its mean is the linear estimate of least mean square error.
    """
    joint = torch.cat([truth, seen], 1).double()
    dimension = truth.shape[1]
    pick = torch.eye(joint.shape[1], dtype=joint.dtype)[dimension:]
    tiny = 1e-6 * torch.eye(len(pick), dtype=joint.dtype)
    law = gaussian(joint.mean(0), joint.T.cov()).observe(pick, observed.double(), tiny)
    return law.normalised().marginalise(torch.arange(dimension))
