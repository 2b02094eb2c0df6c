r"""Normalizing flows of zuko, as densities that are exact, drawn from, and add.

An invertible network :math:`f` takes samples to unit noise, and

.. math:: \log p(x) = \log \mathcal N(f(x); 0, I) + \log |\det \partial f / \partial x| .

The density has no levels: what is known is the clean one, which is taken for all of them, as of
:class:`physgen.density.Density`. It is normalised, so that it may start a bridge, be an importance
proposal, and carry its weight in a mixture.

References:
    Density Estimation Using Real NVP (Dinh et al., 2017), https://arxiv.org/abs/1605.08803.
    Neural Spline Flows (Durkan et al., 2019), https://arxiv.org/abs/1906.04032.
"""

import math

import torch
from torch import Tensor
from torch.distributions import Independent, Normal
from zuko.flows import Flow

from physgen.density import Drawable
from physgen.shapes import Level, PerSample, Sample


def surprise(flow: Flow, x: Sample) -> PerSample:
    r""":math:`-\log p(x)` in nats: the objective of training by maximum likelihood."""
    nats: PerSample = -flow().log_prob(x.flatten(1))
    return nats


class NormalizingFlow(Drawable):
    """A flow of zuko as a density of samples of any shape.

    Splines act within five units of zero and leave the rest alone: scale data to order one.

    Arguments:
        flow: Of flat vectors, with a Gaussian base and without context, such as
            ``zuko.flows.NSF(2, hidden_features=(64, 64))``.
        shape: Of a sample, without the batch.

    Raises:
        ValueError: the flow is of another size, or begins with another noise than Gaussian.
    """

    def __init__(self, flow: Flow, shape: tuple[int, ...]) -> None:
        base = flow().base
        begins = isinstance(base, Independent) and isinstance(base.base_dist, Normal)
        if not begins:
            raise ValueError(
                f"a flow must begin with independent Gaussian noise, got {type(base).__name__}"
            )
        if base.event_shape[0] != math.prod(shape):
            raise ValueError(
                f"samples of shape {shape} have {math.prod(shape)} entries, the flow was made "
                f"for {base.event_shape[0]}"
            )
        self.flow = flow
        self.shape = shape

    def energy(self, z: Sample, s: Level) -> PerSample:
        return surprise(self.flow, z)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Sample:
        law = self.flow()
        mean, std = law.base.mean, law.base.stddev
        size = (count, len(mean))
        noise = torch.randn(size, generator=generator, dtype=mean.dtype, device=mean.device)
        x: Tensor = law.transform.inv(mean + std * noise)
        return x.view(count, *self.shape)
