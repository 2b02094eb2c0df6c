r"""A denoiser from a network, scaled so that the network sees and gives numbers of order one.

.. math:: D(z, s) = c_\mathrm{skip} z + c_\mathrm{out} F(c_\mathrm{in} z, \tfrac14 \ln s)

References:
    Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022),
    https://arxiv.org/abs/2206.00364, table 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from physgen.shapes import Level, PerSample, Sample


class Preconditioned(nn.Module):
    r"""The denoiser :math:`\mathbb{E}[x \mid z = x + s \varepsilon]` of data with a known spread.

    Arguments:
        network: Called as ``network(scaled sample, condition)``, ``condition`` one number a sample,
            and behind it whatever else is given.
        sigma_data: The standard deviation of the data, which must be measured, not guessed.
    """

    def __init__(self, network: nn.Module, sigma_data: float = 1.0) -> None:
        super().__init__()
        if not sigma_data > 0:
            raise ValueError(f"sigma_data must be positive, got {sigma_data}")
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, z: Sample, s: Level, *given: Tensor) -> Sample:
        level = torch.as_tensor(s, dtype=z.dtype, device=z.device).expand(len(z))
        wide = level.reshape(-1, *[1] * (z.ndim - 1))
        total = wide.square() + self.sigma_data**2
        skip = self.sigma_data**2 / total
        out = wide * self.sigma_data * total.rsqrt()
        raw = self.network(z * total.rsqrt(), level.log() / 4, *given)
        clean: Sample = skip * z + out * raw.to(z.dtype)
        return clean


@dataclass(frozen=True)
class Denoising:
    r"""The loss of a denoiser, at noise levels drawn from a log-normal law.

    .. math:: \frac{s^2 + \sigma_d^2}{s^2 \sigma_d^2}\, \overline{|D(x + s \varepsilon, s) - x|^2},
        \qquad \ln s \sim \mathcal N(\text{mean}, \text{spread}^2)

    The weight makes the loss of an untrained network one at every level (Karras et al., 2022).
    """

    sigma_data: float = 1.0
    """Standard deviation of the data."""
    mean: float = -1.0
    """Mean of the logarithm of the noise level."""
    spread: float = 1.4
    """Standard deviation of the logarithm of the noise level."""

    def draw(self, x: Sample, generator: torch.Generator) -> tuple[Sample, PerSample, Sample]:
        """Clean samples, a noise level for each, and unit noise."""
        unit = torch.randn(len(x), generator=generator, device=x.device, dtype=x.dtype)
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return x, (self.mean + self.spread * unit).exp(), noise

    def __call__(
        self, denoiser: nn.Module, x: Sample, level: PerSample, noise: Sample
    ) -> PerSample:
        wide = level.reshape(-1, *[1] * (x.ndim - 1))
        error: Sample = denoiser(x + wide * noise, level) - x
        weight = level.pow(-2) + self.sigma_data**-2
        return weight * error.square().flatten(1).mean(1)
