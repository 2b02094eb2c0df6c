r"""A denoiser that begins where second moments end.

.. math:: D(z, s) = G(z, s) + e(s)\, F(\cdot)

with :math:`G` the posterior mean of the Gaussian that has the data's mean and covariance
(:class:`~physgen.principal.Principal`), and :math:`e_f(s)` what that Gaussian leaves open of a field,
as a root mean square. What the network :math:`F` has to give is thus of order one at every level and
in every field, and nothing where the data are Gaussian; an untrained one, which gives nothing, is
the best *linear* denoiser already. It sees the estimate :math:`G` and what is left of the noisy
sample, :math:`(z - G) / \sqrt{s^2 + e_f^2}`.

Preconditioning by an isotropic Gaussian is due to Karras et al. (2022),
https://arxiv.org/abs/2206.00364; this is the same with the covariance of the data.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from physgen.denoiser import Denoiser, per_sample
from physgen.network import UNet
from physgen.principal import Fields, Principal
from physgen.shapes import Level, PerSample

EMBEDDED = 64
"""Numbers that a noise level becomes."""


class Corrected(nn.Module):
    """A Gaussian denoiser and a network that corrects it.

    Arguments:
        base: The Gaussian.
        widths: Channels at each resolution of the network, the finest first.
        patch: Cells of a patch along each axis.
        periodic: Whether each axis closes on itself; none by default.
    """

    frequencies: Tensor

    def __init__(
        self,
        base: Principal,
        widths: tuple[int, ...],
        patch: int,
        periodic: tuple[bool, ...] | None = None,
    ) -> None:
        super().__init__()
        self.base = base
        fields = base.fields
        self.register_buffer("frequencies", torch.linspace(0.25, 4, 16), persistent=False)
        self.embed = nn.Sequential(
            nn.Linear(32, EMBEDDED), nn.SiLU(), nn.Linear(EMBEDDED, EMBEDDED), nn.SiLU()
        )
        self.net = UNet((2 * fields, fields), base.space, EMBEDDED, widths, patch, periodic)
        last = self.net.leave.kernel.bias
        assert last is not None
        nn.init.zeros_(last)

    def forward(self, z: Fields, s: Level) -> Fields:
        level = per_sample(s, z)
        with torch.autocast(z.device.type, enabled=False):  # a small part of large numbers
            gauss = self.base.clean(z, level)
            open_ = self.base.deviations(level).view(*z.shape[:2], *[1] * len(self.base.space))
            wide = level.view(-1, *[1] * (z.ndim - 1))
            left = (z - gauss) / (wide.square() + open_.square()).sqrt()
        phase = level.log()[:, None] / 4 * self.frequencies * math.pi
        condition = self.embed(torch.cat([phase.cos(), phase.sin()], 1))
        raw: Tensor = self.net(torch.cat([gauss, left], 1), condition)
        return gauss + open_ * raw.to(z.dtype)


class CorrectedDenoiser(Denoiser):
    """A trained :class:`Corrected`.

    Arguments:
        model: Trained.
    """

    def __init__(self, model: Corrected) -> None:
        super().__init__(model.base.sigma_data)
        self.model = model

    def clean(self, z: Fields, s: Level) -> Fields:
        found: Fields = self.model(z, s)
        return found


@dataclass(frozen=True)
class Correcting:
    r"""The loss of a corrected denoiser, at noise levels drawn from a log-normal law.

    .. math:: \frac1{|f|} \sum_f \overline{|D_f - x_f|^2} \,/\, e_f(s)^2

    It is one for an untrained network at every level and in every field. What a trained one
    reaches is the share of the Gaussian's squared error that is left.
    """

    mean: float = 0.0
    """Mean of the logarithm of the noise level."""
    spread: float = 1.6
    """Standard deviation of the logarithm of the noise level."""

    def draw(self, x: Fields, generator: torch.Generator) -> tuple[Fields, PerSample, Fields]:
        """Clean samples, a noise level for each, and unit noise."""
        unit = torch.randn(len(x), generator=generator, device=x.device, dtype=x.dtype)
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return x, (self.mean + self.spread * unit).exp(), noise

    def __call__(self, model: nn.Module, x: Fields, level: PerSample, noise: Fields) -> PerSample:
        """The loss of every sample."""
        wide = level.view(-1, *[1] * (x.ndim - 1))
        clean: Fields = model(x + wide * noise, level)
        loss: PerSample = self.shares(model, clean, x, level).mean(1)
        return loss

    def shares(
        self, model: nn.Module, clean: Fields, x: Fields, level: PerSample
    ) -> Float[Tensor, "batch field"]:
        """The mean square error in each field over that of the Gaussian."""
        whole = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
        base = whole.base
        assert isinstance(base, Principal)
        square = (clean - x).square().flatten(2).mean(2)
        found: Tensor = square / base.deviations(level).square()
        return found
