"""The U-Net: its patches, its sides, and what it can learn."""

import pytest
import torch

from physgen.muon import Muon
from physgen.network import UNet, hidden_matrices

SHAPES = ((16,), (16, 24), (8, 16, 8))


def net(shape: tuple[int, ...], periodic: tuple[bool, ...] | None = None) -> UNet:
    torch.manual_seed(0)
    made = UNet((2, 3), shape, 5, widths=(8, 16), periodic=periodic)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return made


@pytest.mark.parametrize("shape", SHAPES)
def test_patches_are_put_together_as_they_were_cut(shape: tuple[int, ...]) -> None:
    made, x = net(shape), torch.randn(2, 3, *shape)
    assert torch.equal(made._cells(made._patches(x)), x)
    assert made(x[:, :2], torch.randn(2, 5)).shape == x.shape


@pytest.mark.parametrize("shape", SHAPES)
def test_around_periodic_axes_a_shifted_input_shifts_the_output(shape: tuple[int, ...]) -> None:
    made = net(shape, (True,) * len(shape))
    with torch.no_grad():
        made.map.zero_()
    x, condition = torch.randn(1, 2, *shape), torch.randn(1, 5)
    out = made(x, condition)
    for axis in range(2, x.ndim):
        there = made(x.roll(4, axis), condition)
        torch.testing.assert_close(there, out.roll(4, axis), atol=1e-4, rtol=1e-4)


def test_a_wall_is_seen() -> None:
    made = net((16, 24), (True, False))
    with torch.no_grad():
        made.map.zero_()
    x, condition = torch.randn(1, 2, 16, 24), torch.randn(1, 5)
    out = made(x, condition)
    torch.testing.assert_close(made(x.roll(4, 2), condition), out.roll(4, 2), atol=1e-4, rtol=0)
    assert (made(x.roll(4, 3), condition) - out.roll(4, 3)).abs().max() > 1e-2


def test_samples_of_a_batch_do_not_see_one_another() -> None:
    made, x, condition = net((16, 24)), torch.randn(3, 2, 16, 24), torch.randn(3, 5)
    alone = made(x[1:2], condition[1:2])
    torch.testing.assert_close(made(x, condition)[1:2], alone, atol=1e-5, rtol=1e-5)


def test_a_grid_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        UNet((1, 1), (18, 16), 4, widths=(8, 16))
    with pytest.raises(ValueError, match="one to three axes"):
        UNet((1, 1), (8, 8, 8, 8), 4)


def test_muon_moves_kernels_as_the_matrices_that_they_are() -> None:
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
    matrix = torch.nn.Parameter(kernel.detach().flatten(1).clone())
    slope = torch.randn(8, 4, 3, 3)
    kernel.grad, matrix.grad = slope, slope.flatten(1)
    for weight in (kernel, matrix):
        Muon([weight], 0.1).step()
    torch.testing.assert_close(kernel.flatten(1), matrix)
    assert all(weight.ndim > 1 for weight in hidden_matrices(net((16, 24))))
