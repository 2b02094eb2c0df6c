r"""Training along a path: flow matching and DDPM's objectives, which differ in what is asked.

A clean sample and noise are joined by a path, :math:`x_t = \alpha_t x + \sigma_t \varepsilon`, and
a network is shown :math:`x_t` and :math:`t` and asked for the noise, the data, :math:`v`, the score,
or the velocity :math:`\dot\alpha x + \dot\sigma \varepsilon`. The classes of
:mod:`physgen.denoiser` know what each is to be asked, and what its answer says of the clean sample.

Noise may be *coupled* with data. Drawn by itself, it makes the network a denoiser, which any
sampler and any sum takes. Assigned to the data of its batch so that straight ways are short, it
makes a velocity whose flow has straighter lines and needs fewer steps; that flow still goes from
noise to data, but is no longer the one of a denoiser: it is a :class:`CoupledFlow`, which is carried by
deterministic predictors, and which sums and kernels do not take.

References:
    Denoising Diffusion Probabilistic Models (Ho et al., 2020), https://arxiv.org/abs/2006.11239,
    equation 14.
    Flow Matching for Generative Modeling (Lipman et al., 2023),
    https://arxiv.org/abs/2210.02747, equations 14 and 23.
    Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal Transport (Tong
    et al., 2024), https://arxiv.org/abs/2302.00482, section 3.2.3.
"""

import abc
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from physgen.carrier import Carrier
from physgen.denoiser import Adapted, Denoiser, Network
from physgen.kernel import noise_like
from physgen.path import Path
from physgen.shapes import Level, PerSample, Sample


class Coupling(abc.ABC):
    """Which noise goes with which sample of a batch."""

    @abc.abstractmethod
    def pair(self, x: Sample, noise: Sample) -> Sample:
        """The noise in the order of its samples."""


@dataclass(frozen=True)
class Independent(Coupling):
    """As it comes."""

    def pair(self, x: Sample, noise: Sample) -> Sample:
        return noise


@dataclass(frozen=True)
class Transported(Coupling):
    """Such that the squared distances of all pairs of the batch add up to the least.

    The assignment is solved exactly, on the CPU, at a cost that grows as the cube of the batch;
    small batches of large samples are hardly better paired than by chance.
    """

    @torch.no_grad()
    def pair(self, x: Sample, noise: Sample) -> Sample:
        square = torch.cdist(x.flatten(1), noise.flatten(1)).square()
        _, column = linear_sum_assignment(square.double().cpu().numpy())
        return noise[torch.as_tensor(column, device=noise.device)]


class CoupledFlow(Carrier):
    """A flow whose noise was coupled with its data, in the form of a denoiser.

    Arguments:
        form: The trained network as it would be read if noise had been drawn by itself.
    """

    def __init__(self, form: Denoiser) -> None:
        self.form = form

    def shift(self, z: Sample, s: Level) -> Sample:
        return self.form.shift(z, s)


@dataclass(frozen=True)
class Matching:
    """The loss of a network along a path, at times drawn evenly.

    A ``kind`` of :mod:`physgen.denoiser` says what is asked:
    ``Matching(VelocityPrediction, Rectified())`` is flow matching along straight lines,
    ``Matching(NoisePrediction, Cosine())`` is DDPM's objective in continuous time.
    """

    kind: type[Adapted]
    """What is predicted."""
    path: Path
    coupling: Coupling = Independent()
    first: float = 1e-3
    """The earliest time; away from zero where the path or what is asked has no value there."""
    last: float = 1.0
    """The latest time."""

    def draw(self, x: Sample, generator: torch.Generator) -> tuple[Sample, Sample, PerSample]:
        """Clean samples, the noise of each, and a time for each."""
        noise = self.coupling.pair(x, noise_like(x, generator))
        coin = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        return x, noise, self.first + (self.last - self.first) * coin

    def of(self, network: Network, sigma_data: float = 1.0) -> Adapted | CoupledFlow:
        """What a trained network is: a denoiser, or a flow only, if noise was not drawn by itself."""
        form = self.kind(network, self.path, sigma_data)
        return form if isinstance(self.coupling, Independent) else CoupledFlow(form)

    def __call__(self, network: nn.Module, x: Sample, noise: Sample, t: PerSample) -> PerSample:
        return self.kind(network, self.path).loss(x, noise, t)
