"""Where simulations begin: random smooth fields on periodic boxes."""

import torch
from torch import Tensor

from physgen.shapes import State
from physgen.solvers.periodic import Periodic


def smooth(
    grid: Periodic, channels: int, count: int, highest: int, generator: torch.Generator
) -> State:
    r"""White noise without its high modes, of mean zero, scaled to a largest value of 1.

    .. math:: u(x) = \sum_{|k_i| \le K} a_k \prod_i b_{k_i}(x_i), \qquad a_k \sim N(0, 1)

    with the sines and cosines :math:`b_k` of the box. The numbers drawn do not depend on the
    points, so that one seed gives one field on grids of any fineness. For one axis this is the
    default start of APEBench (Koehler et al., 2024, https://arxiv.org/abs/2411.00180), which
    has K = 5.

    Arguments:
        grid: The box.
        channels: Fields of each sample.
        count: Samples.
        highest: K, periods of the finest wave along each side.
        generator: Source of the numbers; the fields are in double precision, where it is.

    Raises:
        ValueError: the grid is too coarse for the finest wave.
    """
    if highest < 1 or 2 * highest >= min(grid.points):
        raise ValueError(
            f"waves of up to {highest} periods need more than {2 * highest} points and "
            f"at least one period, got {grid.points}"
        )
    size = 2 * highest + 1
    device = generator.device
    field = torch.randn(
        (count, channels, *[size] * grid.axes),
        generator=generator, dtype=torch.float64, device=device,
    )  # fmt: skip
    field.flatten(2)[..., 0] = 0
    for points in grid.points:
        # Each pass turns the first axis of amplitudes into the last axis of space.
        field = torch.tensordot(field, _waves(points, highest).to(field), ([2], [0]))
    return field / field.abs().flatten(2).amax(2).view(count, channels, *[1] * grid.axes)


def _waves(points: int, highest: int) -> Tensor:
    """A constant, cosines and sines, ``(2 highest + 1, points)``."""
    turn = 2 * torch.pi * torch.arange(points, dtype=torch.float64) / points
    phase = torch.arange(1, highest + 1, dtype=torch.float64)[:, None] * turn
    return torch.cat([torch.ones(1, points, dtype=torch.float64), phase.cos(), phase.sin()])
