r"""Windows of a field on a ring as a Gaussian, where all places are alike.

A window has some frames of a field at evenly spaced points of a ring. Where its law does not change
as the ring is turned, Fourier modes of different wave number know nothing of each other,

.. math:: u_t(x) = \sum_k a_{t,k}\, e^{2 \pi i k x}, \qquad
    \mathbb{E}[a_{t,k}\, \bar a_{t',k'}] = \delta_{kk'} \Sigma_k(t, t'),

and a window's Gaussian is one small matrix over its frames for each :math:`k`. If the law is the same
seen in a mirror that also turns signs, as that of velocities is, these matrices are real. Each frame may
have a noise level of its own, :math:`S = \mathrm{diag}(s_t^2)`: posterior means
:math:`\Sigma_k (\Sigma_k + S)^{-1} z_k` and variances are closed forms, and a frame that is
known is one whose level is low. Prediction of a frame from those before it by least squares (Wiener,
1949) is the case of low levels before and high ones behind.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

Windows = Float[Tensor, "batch frame x"]
"""Frames of a field on a ring, one after another."""
FrameLevels = Float[Tensor, "row frame"]
"""A noise level for each frame: one row for all windows, or one for each."""
Amplitudes = Complex[Tensor, "batch frame wave"]
PerWave = Float[Tensor, "row frame wave"]

LEAST_VARIANCE = 1e-10
"""Of an amplitude of unit noise: where a law has less, it counts as having that."""


class Stationary:
    r"""Windows on a ring as a Gaussian of mean zero.

    Arguments:
        covariance: :math:`\Sigma_k` for the wave numbers from zero to half the points, of
            orthonormal amplitudes (unit noise has variance one in each).

    Raises:
        ValueError: a matrix is not symmetric and positive.
    """

    def __init__(self, covariance: Float[Tensor, "wave frame frame"]) -> None:
        sharp = covariance.double()
        if not torch.allclose(sharp, sharp.mT, rtol=1e-5, atol=1e-9):
            raise ValueError("covariances between frames must be symmetric")
        values, axes = torch.linalg.eigh((sharp + sharp.mT) / 2)
        if values.min() < -1e-6 * values.max():
            raise ValueError(
                f"covariances must be positive, got an eigenvalue of {values.min().item():.3g}"
            )
        values = values.clamp(min=LEAST_VARIANCE)
        self.covariance: Tensor = (axes * values[:, None]) @ axes.mT

    @property
    def frames(self) -> int:
        return self.covariance.shape[1]

    @property
    def points(self) -> int:
        return 2 * (len(self.covariance) - 1)

    @property
    def spectrum(self) -> Float[Tensor, " wave"]:
        """The mean square of each amplitude, over all frames."""
        return self.covariance.diagonal(dim1=1, dim2=2).mean(1)

    def first(self, frames: int) -> "Stationary":
        """The law of the first frames."""
        return Stationary(self.covariance[:, :frames, :frames])

    def gains(self, levels: FrameLevels) -> Float[Tensor, "row wave frame frame"]:
        r""":math:`\Sigma_k (\Sigma_k + S)^{-1}`, in double precision."""
        known = self.covariance.to(levels.device)
        noise = torch.diag_embed(levels.double().square())[:, None]
        factor = torch.linalg.cholesky(known + noise)
        found: Tensor = torch.cholesky_solve(known.expand_as(factor), factor).mT
        return found

    def clean(self, z: Windows, levels: FrameLevels) -> tuple[Windows, PerWave]:
        """The posterior mean, and how far each amplitude may be from it, as a root mean square."""
        gains = self.gains(levels)
        amplitude = ring_modes(z).movedim(2, 1)[..., None]
        mean = (gains.to(z.dtype) + 0j) @ amplitude
        own = gains.diagonal(dim1=2, dim2=3).mT
        left = (own * levels.double()[..., None].square()).clamp(min=0).sqrt()
        return ring_fields(mean[..., 0].movedim(1, 2), z.shape[2]), left.to(z.dtype)


def ring_modes(z: Windows) -> Amplitudes:
    """Orthonormal amplitudes of fields: those of unit noise have a mean square of one."""
    found: Tensor = torch.fft.rfft(z, dim=2, norm="ortho")
    return found


def ring_fields(amplitude: Amplitudes, points: int) -> Windows:
    """The fields of orthonormal amplitudes."""
    found: Tensor = torch.fft.irfft(amplitude, n=points, dim=2, norm="ortho")
    return found


def over_points(square: PerWave) -> Float[Tensor, "row frame"]:
    """The mean square of a field from those of its amplitudes: all wave numbers but the first and
    the last stand for two."""
    waves = square.shape[2]
    count = torch.full((waves,), 2.0, dtype=square.dtype, device=square.device)
    count[0] = count[-1] = 1.0
    return square @ count / (2 * (waves - 1))


def stationary_law(windows: Windows) -> Stationary:
    """The Gaussian of windows of mean zero, of all their turns, and of these in the mirror that
    also turns signs.

    Raises:
        ValueError: the points are odd, or there are fewer windows than frames.
    """
    if windows.shape[2] % 2 or len(windows) < windows.shape[1]:
        raise ValueError(
            "a law on a ring is measured from at least as many windows as they have frames, with an "
            f"even number of points, got {tuple(windows.shape)}"
        )
    amplitude = ring_modes(windows.double()).movedim(2, 0)
    product = amplitude.mT @ amplitude.conj() / len(windows)
    real: Tensor = product.real
    return Stationary((real + real.mT) / 2)
