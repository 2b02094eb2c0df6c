"""Muon: the rule of torch.optim.Muon, in the precision of the weights."""

import pytest
import torch
from torch import nn

from physgen.muon import Muon, orthogonal
from physgen.testbeds import source


@pytest.mark.parametrize("shape", [(3, 20, 20), (2, 12, 40), (2, 40, 12)])
def test_singular_values_are_brought_near_one(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=source())
    values = torch.linalg.svdvals(orthogonal(x))
    assert values.max() < 1.3
    assert values.median() > 0.6


def test_the_directions_of_a_matrix_are_kept() -> None:
    """Away from tiny singular values the result is close to the polar factor U V^T."""
    x = torch.eye(10) + 0.3 * torch.randn(10, 10, generator=source(1))
    left, _, right = torch.linalg.svd(x)
    near = orthogonal(x[None])[0]
    assert (near - left @ right).norm() < 0.35 * 10**0.5
    assert ((left @ right) * near).sum() / (10**0.5 * near.norm()) > 0.98


def test_it_walks_as_torchs_muon_does_up_to_bfloat16() -> None:
    start = torch.randn(24, 8, generator=source(2))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimisers = (Muon([ours], 0.02), torch.optim.Muon([theirs], lr=0.02, weight_decay=0.0))
    for step in range(5):
        slope = torch.randn(24, 8, generator=source(10 + step))
        for weight, optimiser in zip((ours, theirs), optimisers, strict=True):
            weight.grad = slope.clone()
            optimiser.step()
    moved = (theirs - start).norm()
    assert moved > 0.1
    assert (ours - theirs).norm() < 0.02 * moved


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="Muon moves matrices"):
        Muon([nn.Parameter(torch.zeros(3))], 0.1)
