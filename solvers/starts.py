"""Where simulations begin: random smooth fields, on periodic boxes and between walls."""

import torch
from torch import Tensor

from physgen.shapes import State
from physgen.solvers.periodic import Periodic
from physgen.solvers.walled import Walled

FINE = 16
"""Points for the finest wave on which the largest value of a field is sought."""


def smooth(
    grid: Periodic, channels: int, count: int, highest: int, generator: torch.Generator
) -> State:
    r"""White noise without its high modes, of mean zero, scaled to a largest value of about 1.

    .. math:: u(x) = \sum_{|k_i| \le K} a_k \prod_i b_{k_i}(x_i), \qquad a_k \sim N(0, 1)

    with the sines and cosines :math:`b_k` of the box. Neither the numbers drawn nor the scale depend
    on the points, so that one seed gives one field on grids of any fineness: the largest value is
    sought on :data:`FINE` points for the finest wave, and missed by 2 % an axis at most. For one axis
    this is the default start of APEBench (Koehler et al., 2024,
    https://arxiv.org/abs/2411.00180), which has K = 5 and scales by the largest of its points.

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
    field = _white((count, channels, *[2 * highest + 1] * grid.axes), generator)
    field.flatten(2)[..., 0] = 0
    scale = _largest(field, _waves(FINE * highest, highest))
    return _synthesis(field, [_waves(points, highest) for points in grid.points]) / scale


def smooth_between_walls(
    grid: Walled, channels: int, count: int, highest: int, generator: torch.Generator
) -> State:
    """The same of sines that vanish at walls, up to ``highest`` half periods along each side."""
    if not 1 <= highest <= min(grid.points):
        raise ValueError(
            f"a wave must have from 1 to {min(grid.points)} half periods here, got {highest}"
        )
    field = _white((count, channels, *[highest] * grid.axes), generator)
    scale = _largest(field, _half_waves(FINE * highest, highest))
    return _synthesis(field, [_half_waves(points, highest) for points in grid.points]) / scale


def drops(grid: Periodic, count: int, generator: torch.Generator) -> State:
    r"""Six drops of Gray-Scott's activator in its substrate, three metres in radius.

    .. math:: v = \tfrac14 \max_i e^{-|x - x_i|^2 / 18}, \qquad u = 1 - 2 v

    with places uniform in the box, which is periodic; lengths in m.

    Arguments:
        grid: The box.
        count: Samples.
        generator: Source of the places; the fields are in double precision, where it is.
    """
    axes, device = grid.axes, generator.device
    places = torch.rand(count, 6, axes, generator=generator, device=device)
    like = torch.zeros((), dtype=torch.float64, device=device)
    apart = torch.zeros((), dtype=torch.float64, device=device)
    for axis, (line, side) in enumerate(zip(grid.places(like), grid.lengths, strict=True)):
        centre = side * places[..., axis].view(count, 6, *[1] * axes)
        apart = apart + ((line - centre + side / 2) % side - side / 2).square()
    drop = torch.exp(-apart / 18).amax(1)
    return torch.stack([1 - 0.5 * drop, 0.25 * drop], 1)


def _white(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device)


def _synthesis(field: Tensor, waves: list[Tensor]) -> State:
    """The field of some amplitudes."""
    for basis in waves:
        # Each pass turns the first axis of amplitudes into the last axis of space.
        field = torch.tensordot(field, basis.to(field), ([2], [0]))
    return field


def _largest(field: Tensor, fine: Tensor) -> Tensor:
    """The largest value of some amplitudes on a grid of its own, with axes of space added."""
    axes = field.ndim - 2
    largest = _synthesis(field, [fine] * axes).abs().flatten(2).amax(2)
    return largest.view(*largest.shape, *[1] * axes)


def _half_waves(points: int, highest: int) -> Tensor:
    """Sines, ``(highest, points)``."""
    place = torch.arange(1, points + 1, dtype=torch.float64) / (points + 1)
    return torch.sin(torch.pi * torch.arange(1, highest + 1)[:, None] * place)


def _waves(points: int, highest: int) -> Tensor:
    """A constant, cosines and sines, ``(2 highest + 1, points)``."""
    turn = 2 * torch.pi * torch.arange(points, dtype=torch.float64) / points
    phase = torch.arange(1, highest + 1, dtype=torch.float64)[:, None] * turn
    return torch.cat([torch.ones(1, points, dtype=torch.float64), phase.cos(), phase.sin()])
