r"""Denoisers: the one model primitive.

A denoiser knows :math:`D(z, s) = \mathbb{E}[x \mid z = x + s \varepsilon]` for a data density,
and hence the score of that density with noise added, :math:`(D - z) / s^2`. Networks that were
trained to predict noise, data, velocity or score, along whatever path, are adapted to it in a
few lines, and then share one noise axis: they add.

References:
    Tweedie's Formula and Selection Bias (Efron, 2011), for the identity.
    Progressive Distillation for Fast Sampling (Salimans & Ho, 2022),
    https://arxiv.org/abs/2202.00512, for the v-prediction.
"""

import abc
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from physgen.energy import Energy, Precision, Score, wide
from physgen.path import Path
from physgen.preconditioned import Preconditioned
from physgen.shapes import Level, PerSample, Sample

Network = Callable[[Tensor, Tensor], Tensor]
"""Called with the noisy sample :math:`x_t` and the time of every sample."""


def per_sample(s: Level, z: Sample) -> PerSample:
    """A level as one number a sample."""
    return torch.as_tensor(s, dtype=z.dtype, device=z.device).expand(len(z))


class Denoiser(Score):
    """The clean estimate of a data density, from samples with noise.

    Arguments:
        sigma_data: Standard deviation of the data, which bounds the curvature far out.
    """

    def __init__(self, sigma_data: float = 1.0) -> None:
        self.sigma_data = sigma_data

    @abc.abstractmethod
    def clean(self, z: Sample, s: Level) -> Sample:
        r""":math:`\mathbb{E}[x \mid z = x + s \varepsilon]`"""

    def shift(self, z: Sample, s: Level) -> Sample:
        return self.clean(z, s) - z

    def denoise(self, z: Sample, s: Level) -> Sample:
        """Known as it is: there and back by the shift costs a quarter of a loop's step."""
        return self.clean(z, s)

    @property
    def marginal(self) -> bool:
        return True

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        bound = torch.full(shape, 1 / (self.sigma_data**2 + s**2))
        return Precision(bound, bound)


class Learned(Denoiser):
    """A trained :class:`~physgen.preconditioned.Preconditioned` network.

    Arguments:
        model: The network.
        given: What else it is told, one row for all samples or one for each, such as the unit
            vector of a label.
    """

    def __init__(self, model: Preconditioned, *given: Float[Tensor, "rows ..."]) -> None:
        super().__init__(model.sigma_data)
        self.model = model
        self.given = given

    def clean(self, z: Sample, s: Level) -> Sample:
        given = (value.expand(len(z), *value.shape[1:]) for value in self.given)
        out: Sample = self.model(z, per_sample(s, z), *given)
        return out


class Adapted(Denoiser):
    """A network trained along a path; what it predicts is the subclass's to say.

    :mod:`physgen.matching` trains it.
    """

    def __init__(self, network: Network, path: Path, sigma_data: float = 1.0) -> None:
        super().__init__(sigma_data)
        self.network = network
        self.path = path

    @abc.abstractmethod
    def read(self, predicted: Tensor, z: Sample, t: PerSample) -> Sample:
        """The clean estimate from what the network said."""

    @abc.abstractmethod
    def asked(self, x: Sample, noise: Sample, t: PerSample) -> Sample:
        """What the network should say of clean samples and unit noise at a time, on average."""

    def weight(self, t: PerSample) -> PerSample:
        """What a squared error counts at a time: one, where what is asked is of the same size."""
        return torch.ones_like(t)

    def loss(self, x: Sample, noise: Sample, t: PerSample) -> PerSample:
        r"""The mean squared error of what the network says of :math:`x_t`, by its weight."""
        alpha, sigma, *_ = (wide(scale, x) for scale in self.path.at(t))
        error = self.network(alpha * x + sigma * noise, t) - self.asked(x, noise, t)
        return self.weight(t) * error.square().flatten(1).mean(1)

    def clean(self, z: Sample, s: Level) -> Sample:
        t = self.path.t_of(per_sample(s, z))
        x_t = wide(self.path.at(t).alpha, z) * z
        return self.read(self.network(x_t, t), z, t)


class NoisePrediction(Adapted):
    r""":math:`\hat\varepsilon`, as in DDPM: :math:`D = z - s \hat\varepsilon`."""

    def read(self, predicted: Tensor, z: Sample, t: PerSample) -> Sample:
        scales = self.path.at(t)
        return z - wide(scales.sigma / scales.alpha, z) * predicted

    def asked(self, x: Sample, noise: Sample, t: PerSample) -> Sample:
        return noise


class DataPrediction(Adapted):
    r""":math:`\hat x`, which is :math:`D` itself."""

    def read(self, predicted: Tensor, z: Sample, t: PerSample) -> Sample:
        return predicted

    def asked(self, x: Sample, noise: Sample, t: PerSample) -> Sample:
        return x


class VPrediction(Adapted):
    r""":math:`\hat v = \alpha \varepsilon - \sigma x`:
    :math:`D = (\alpha x_t - \sigma \hat v) / (\alpha^2 + \sigma^2)`."""

    def read(self, predicted: Tensor, z: Sample, t: PerSample) -> Sample:
        alpha, sigma, *_ = (wide(scale, z) for scale in self.path.at(t))
        return (alpha**2 * z - sigma * predicted) / (alpha**2 + sigma**2)

    def asked(self, x: Sample, noise: Sample, t: PerSample) -> Sample:
        alpha, sigma, *_ = (wide(scale, x) for scale in self.path.at(t))
        return alpha * noise - sigma * x


class VelocityPrediction(Adapted):
    r"""The velocity of a flow, :math:`\hat u = \dot\alpha x + \dot\sigma \varepsilon`:
    :math:`D = (\dot\sigma x_t - \sigma \hat u) / (\alpha \dot\sigma - \sigma \dot\alpha)`."""

    def read(self, predicted: Tensor, z: Sample, t: PerSample) -> Sample:
        alpha, sigma, d_alpha, d_sigma = (wide(scale, z) for scale in self.path.at(t))
        return (d_sigma * alpha * z - sigma * predicted) / (alpha * d_sigma - sigma * d_alpha)

    def asked(self, x: Sample, noise: Sample, t: PerSample) -> Sample:
        _, _, d_alpha, d_sigma = (wide(scale, x) for scale in self.path.at(t))
        return d_alpha * x + d_sigma * noise


class ScorePrediction(Adapted):
    r""":math:`\nabla \log p_t(x_t)`: :math:`D = (x_t + \sigma^2 \hat s) / \alpha`.

    Errors count by :math:`\sigma^2`, as scores grow like :math:`1 / \sigma` and the earliest times
    would drown all others (Song et al., 2021, https://arxiv.org/abs/2011.13456, section 3.3).
    """

    def weight(self, t: PerSample) -> PerSample:
        return self.path.at(t).sigma.square()

    def read(self, predicted: Tensor, z: Sample, t: PerSample) -> Sample:
        alpha, sigma, *_ = (wide(scale, z) for scale in self.path.at(t))
        return z + sigma**2 / alpha * predicted

    def asked(self, x: Sample, noise: Sample, t: PerSample) -> Sample:
        return -noise / wide(self.path.at(t).sigma, x)


class EnergyNetwork(Energy):
    r"""A network with a scalar value, whose gradient is as well scaled as a denoiser's.

    .. math:: E_s(z) = \frac{|z|^2}{2 (s^2 + \sigma_d^2)} - \frac{\sigma_d}{s} \,
        \bigl\langle u, F(u, \tfrac14 \ln s) \bigr\rangle, \qquad
        u = \frac{z}{\sqrt{s^2 + \sigma_d^2}}

    Its clean estimate :math:`z - s^2 \nabla E_s` is
    :math:`c_\mathrm{skip} z + c_\mathrm{out} \nabla_u \langle u, F \rangle`, the preconditioned
    form of Karras et al. (2022) with the gradient of a scalar in place of the network. It is
    trained by the same loss, at about twice the cost of a network without a value.

    References:
        Reduce, Reuse, Recycle (Du et al., 2023), https://arxiv.org/abs/2302.11552, section 3.3.
    """

    def __init__(self, network: nn.Module, sigma_data: float = 1.0) -> None:
        self.network = network
        self.sigma_data = sigma_data

    @property
    def marginal(self) -> bool:
        return True

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        bound = torch.full(shape, 1 / (self.sigma_data**2 + s**2))
        return Precision(bound, bound)

    def energy(self, z: Sample, s: Level) -> PerSample:
        level = per_sample(s, z)
        total = level.square() + self.sigma_data**2
        u = z * wide(total.rsqrt(), z)
        value = (u * self.network(u, level.log() / 4)).flatten(1).sum(1)
        energy: PerSample = u.square().flatten(1).sum(1) / 2 - self.sigma_data / level * value
        return energy


class EnergyDenoiser(nn.Module):
    """An :class:`EnergyNetwork` in the form that :class:`~physgen.preconditioned.Denoising` trains."""

    def __init__(self, network: nn.Module, sigma_data: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, z: Sample, s: Level) -> Sample:
        with torch.enable_grad():
            return EnergyNetwork(self.network, self.sigma_data).denoise(z, per_sample(s, z))
