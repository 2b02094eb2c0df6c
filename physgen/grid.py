"""Grids of noise levels: one float axis, from most noise to none."""

import math
from dataclasses import dataclass

import torch

from physgen.path import Path


@dataclass(frozen=True)
class Grid:
    """Strictly falling noise levels that end in zero; each but the last is evaluated once."""

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        pairs = zip(self.levels, self.levels[1:], strict=False)
        if len(self.levels) < 2 or self.levels[-1] != 0 or not all(a > b for a, b in pairs):
            raise ValueError(f"noise levels must fall strictly and end in zero, got {self.levels}")
        if not math.isfinite(self.levels[0]):
            raise ValueError(f"the first noise level must be finite, got {self.levels[0]}")

    @property
    def steps(self) -> int:
        return len(self.levels) - 1

    def every(self, stride: int) -> "Grid":
        """Every so many levels, and zero: a walk of as many times fewer steps.

        Raises:
            ValueError: the steps are no multiple of the stride.
        """
        if stride < 1 or self.steps % stride:
            raise ValueError(
                f"a grid of {self.steps} steps has no walk of every {stride}: "
                "choose a divisor of the steps"
            )
        return Grid(self.levels[::stride])


def log_snr(steps: int, low: float, high: float) -> Grid:
    """Levels whose logarithms are evenly spaced from ``high`` to ``low``, then zero."""
    _check(steps, low, high)
    ratio = low / high
    return Grid((*(high * ratio ** (k / max(1, steps - 1)) for k in range(steps)), 0.0))


def karras(steps: int, low: float, high: float, rho: float = 7.0) -> Grid:
    """Levels evenly spaced in their ``1 / rho``-th power (Karras et al., 2022, equation 5)."""
    _check(steps, low, high)
    a, b = high ** (1 / rho), low ** (1 / rho)
    return Grid((*((a + k / max(1, steps - 1) * (b - a)) ** rho for k in range(steps)), 0.0))


def from_path(path: Path, steps: int, first: float, last: float = 0.0) -> Grid:
    """The levels of a path at times evenly spaced from ``first`` down to ``last``."""
    times = torch.linspace(first, last, steps + 1, dtype=torch.float64)[:-1]
    scales = path.at(times)
    return Grid((*(scales.sigma / scales.alpha).tolist(), 0.0))


def _check(steps: int, low: float, high: float) -> None:
    if steps < 1 or not 0 < low < high:
        raise ValueError(
            f"a grid needs at least one step and 0 < low < high, got {steps}, {low}, {high}"
        )
