r"""Paths from data to noise.

A path fixes :math:`x_t = \alpha_t x + \sigma_t \varepsilon` for a time :math:`t \in [0, 1]`.
Everything else in physgen works with :math:`z = x_t / \alpha_t = x + s \varepsilon` and the
noise-to-signal ratio :math:`s = \sigma_t / \alpha_t`, in which all paths are the same; a path
is only needed to put a network that was trained along it on that common axis.
"""

import abc
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Scales(NamedTuple):
    """Signal and noise scale at a time, and their derivatives."""

    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    d_sigma: Tensor


class Path(abc.ABC):
    r"""A pair of scales :math:`(\alpha_t, \sigma_t)` whose ratio :math:`s` rises with time."""

    @abc.abstractmethod
    def at(self, t: Tensor) -> Scales:
        """The scales at a time."""

    @abc.abstractmethod
    def t_of(self, s: Tensor) -> Tensor:
        """The time at which the noise-to-signal ratio is ``s``."""


@dataclass(frozen=True)
class Cosine(Path):
    r"""Variance preserving, :math:`\alpha_t = \cos(\pi t / 2)`.

    References:
        Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal, 2021),
        https://arxiv.org/abs/2102.09672, without its offset.
    """

    def at(self, t: Tensor) -> Scales:
        angle = math.pi / 2 * t
        cos, sin = angle.cos(), angle.sin()
        return Scales(cos, sin, -math.pi / 2 * sin, math.pi / 2 * cos)

    def t_of(self, s: Tensor) -> Tensor:
        return 2 / math.pi * s.atan()


@dataclass(frozen=True)
class VariancePreserving(Path):
    r"""The SDE with linear :math:`\beta`, :math:`\alpha_t = e^{-(\beta_1-\beta_0)t^2/4-\beta_0t/2}`.

    References:
        Score-Based Generative Modeling through Stochastic Differential Equations
        (Song et al., 2021), https://arxiv.org/abs/2011.13456, equation 33.
    """

    first: float = 0.1
    """:math:`\\beta_0`"""
    last: float = 20.0
    """:math:`\\beta_1`"""

    def at(self, t: Tensor) -> Scales:
        slope = self.last - self.first
        log_alpha = -t * (slope * t / 4 + self.first / 2)
        beta = self.first + slope * t
        alpha, sigma = log_alpha.exp(), (-(2 * log_alpha).expm1()).sqrt()
        return Scales(alpha, sigma, -beta / 2 * alpha, beta / 2 * alpha**2 / sigma)

    def t_of(self, s: Tensor) -> Tensor:
        slope = self.last - self.first
        twice = s.square().log1p()
        return 2 * twice / ((self.first**2 + 2 * slope * twice).sqrt() + self.first)


@dataclass(frozen=True)
class VarianceExploding(Path):
    r"""No signal is lost, :math:`\alpha = 1` and :math:`\sigma = t`; time goes beyond one.

    References:
        Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022),
        https://arxiv.org/abs/2206.00364.
    """

    def at(self, t: Tensor) -> Scales:
        one, zero = torch.ones_like(t), torch.zeros_like(t)
        return Scales(one, t, zero, one)

    def t_of(self, s: Tensor) -> Tensor:
        return s


@dataclass(frozen=True)
class Rectified(Path):
    r"""Straight lines from data to noise, :math:`x_t = (1 - t) x + t \varepsilon`.

    This is flow matching along the optimal-transport path, with data at time zero.

    References:
        Flow Matching for Generative Modeling (Lipman et al., 2023),
        https://arxiv.org/abs/2210.02747, equation 20.
    """

    def at(self, t: Tensor) -> Scales:
        one = torch.ones_like(t)
        return Scales(1 - t, t, -one, one)

    def t_of(self, s: Tensor) -> Tensor:
        return s / (1 + s)
