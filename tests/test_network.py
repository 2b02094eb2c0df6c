"""The trajectory network: symmetry under relabelling, marginals, and its door."""

import pytest
import torch

from physgen.network import TrajectoryTransformer, hidden_matrices


def network() -> TrajectoryTransformer:
    torch.manual_seed(0)
    net = TrajectoryTransformer(features=4, frames=8, width=16, layers=2, heads=2)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return net.eval()


def test_exchanging_bodies_exchanges_the_output() -> None:
    net, x, level = network(), torch.randn(3, 8, 3, 4), torch.randn(3)
    order = [2, 0, 1]
    torch.testing.assert_close(net(x[:, :, order], level), net(x, level)[:, :, order])


def test_a_body_feels_the_others() -> None:
    net, x, level = network(), torch.randn(1, 8, 2, 4), torch.zeros(1)
    moved = x.clone()
    moved[:, :, 1] += 1
    assert (net(moved, level)[:, :, 0] - net(x, level)[:, :, 0]).abs().max() > 1e-3


def test_every_instant_sees_the_first_and_the_last() -> None:
    net, level = network(), torch.zeros(1)
    x = torch.randn(1, 8, 1, 4, requires_grad=True)
    for instant in range(8):
        (slope,) = torch.autograd.grad(net(x, level)[0, instant].sum(), x)
        assert slope[0, 0].abs().max() > 1e-6
        assert slope[0, -1].abs().max() > 1e-6


def test_the_level_changes_the_answer() -> None:
    net, x = network(), torch.randn(2, 8, 2, 4)
    assert (net(x, torch.zeros(2)) - net(x, torch.ones(2))).abs().max() > 1e-3


def test_a_shorter_window_and_a_single_body_are_fewer_tokens() -> None:
    net = network()
    assert net(torch.randn(2, 4, 1, 4), torch.zeros(2)).shape == (2, 4, 1, 4)


@pytest.mark.parametrize("time", [7, 10, 0])
def test_a_window_of_another_length_is_refused(time: int) -> None:
    with pytest.raises(ValueError, match=f"a multiple of 2 instants, at most 8, got {time}"):
        network()(torch.randn(1, time, 2, 4), torch.zeros(1))


def test_muon_gets_the_matrices_between_hidden_layers_only() -> None:
    net = network()
    assert len(hidden_matrices(net)) == 4 * 2
    assert all(min(weight.shape) == 16 for weight in hidden_matrices(net))
