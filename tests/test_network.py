"""The trajectory network: symmetry under relabelling, marginals, and its door."""

import pytest
import torch

from physgen.network import LineMixer, TrajectoryTransformer, hidden_matrices


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


def mixer(layers: int) -> LineMixer:
    torch.manual_seed(0)
    net = LineMixer((3, 2), points=32, patch=4, width=16, layers=layers)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return net.eval()


def test_along_a_line_every_point_reaches_every_other_in_one_block() -> None:
    net, x = mixer(1), torch.randn(1, 3, 32)

    def reached(net: LineMixer) -> torch.Tensor:
        slopes = torch.func.jacrev(lambda x: net(x, torch.zeros(1))[0, 0])(x)
        return torch.as_tensor(slopes)[:, 0, 1].abs()

    assert (reached(net) > 1e-6).all()
    blocks = reached(mixer(0)).reshape(8, 4, 8, 4).amax((1, 3))
    assert torch.equal(blocks > 0, torch.eye(8, dtype=torch.bool))


def test_a_line_mixer_knows_where_it_is_and_what_noise_there_is() -> None:
    net, x = mixer(2), torch.randn(2, 3, 32)
    level = torch.tensor([0.1, 0.7])
    assert net(x, level).shape == (2, 2, 32)
    moved = net(x.roll(4, -1), level).roll(-4, -1)
    assert (moved - net(x, level)).abs().max() > 1e-3
    assert (net(x, level.flip(0)) - net(x, level)).abs().max() > 1e-3
    assert len(hidden_matrices(net)) == 8
    with pytest.raises(ValueError, match="points must be a multiple of patch 8, got 100"):
        LineMixer((3, 2), points=100)
