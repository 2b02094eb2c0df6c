"""Hard conditions hold in what is returned, and what is free follows the conditional."""

import pytest
import torch
from torch import Tensor

from physgen.condition import Condition, Known, Projected
from physgen.decoupled import Decoupled, Linear
from physgen.energy import Score
from physgen.gaussian import gaussian
from physgen.grid import log_snr
from physgen.kernel import HMC, MALA, Kernel, Renoise
from physgen.meter import Metered
from physgen.predictor import DDIM, Ancestral, DPMpp2M, Heun, Predictor
from physgen.sampler import anneal, sample, unit_noise
from physgen.testbeds import source

PAIR = gaussian(torch.zeros(2), torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
LAW = gaussian(torch.tensor([0.5, -0.3, 0.2]), torch.diag(torch.tensor([2.0, 0.2, 0.5])))
GRID = log_snr(30, 0.02, 10.0)
KNOWN = Known(torch.tensor([True, False]), torch.tensor([1.0, 0.0]))
"""The other entry of a pair then has the mean 0.9, and the variance 0.19."""


def plane(x: Tensor) -> Tensor:
    return x - x.mean(1, keepdim=True)


def start(dimension: int, count: int = 2000) -> Tensor:
    return unit_noise(count, (dimension,), source(1))


@pytest.mark.parametrize("condition", [KNOWN, Projected(plane)], ids=["known", "projected"])
def test_weights_are_refused_where_a_condition_is_hard(condition: Condition) -> None:
    with pytest.raises(ValueError, match="a hard condition leaves no weights"):
        anneal(PAIR, start(2, 4), GRID, source(2), kernel=MALA(0.5), condition=condition)


def test_known_entries_stand_under_the_noise_of_a_level_and_others_are_left_alone() -> None:
    z = start(2, 4000)
    noisy = KNOWN.noisy(z, 3.0, source(4))
    assert torch.equal(noisy[:, 1], z[:, 1])
    assert noisy[:, 0].mean().item() == pytest.approx(1.0, abs=4 * 3 / 4000**0.5)
    assert noisy[:, 0].std().item() == pytest.approx(3.0, rel=0.05)


@pytest.mark.parametrize("inner", [1, 5, 20])
def test_known_entries_stand_while_others_move_to_the_conditional(inner: int) -> None:
    moves = MALA(0.5, spread=0.3)
    x = anneal(PAIR, start(2), GRID, source(2), Ancestral(), moves, inner, condition=KNOWN).x
    assert (x[:, 0] == 1).all()
    assert x[:, 1].mean().item() == pytest.approx(0.9, abs=0.04)
    assert x[:, 1].var().item() == pytest.approx(0.19, abs=0.03)


HAMILTONIAN, AGAIN = HMC(0.5, 2, spread=0.3), Renoise(1.2)


@pytest.mark.parametrize(
    ("kernel", "inner", "term"),
    [(HAMILTONIAN, 3, PAIR), (HAMILTONIAN, 3, Metered(PAIR)), (AGAIN, 12, PAIR)],
    ids=["energy", "score", "Renoise"],
)
def test_so_they_do_for_any_kernel_and_term(kernel: Kernel, inner: int, term: Score) -> None:
    x = anneal(term, start(2), GRID, source(2), Ancestral(), kernel, inner, condition=KNOWN).x
    assert (x[:, 0] == 1).all()
    assert x[:, 1].mean().item() == pytest.approx(0.9, abs=0.05)
    assert x[:, 1].var().item() == pytest.approx(0.19, abs=0.03)


def test_without_a_predictor_a_score_is_moved_to_the_conditional() -> None:
    moves = MALA(0.5, spread=0.3)
    x = anneal(Metered(PAIR), start(2), GRID, source(2), None, moves, 5, condition=KNOWN).x
    assert (x[:, 0] == 1).all()
    assert x[:, 1].mean().item() == pytest.approx(0.9, abs=0.04)
    assert x[:, 1].var().item() == pytest.approx(0.19, abs=0.03)


def test_what_moves_see_of_known_entries_is_one_noise_at_every_level() -> None:
    z, s = start(2, 5), 0.5
    held = KNOWN.held(PAIR, z, s)
    elsewhere = z + torch.tensor([3.0, 0.0])
    twice = torch.stack([1 + 2 * (z[:, 0] - 1), z[:, 1]], 1)
    assert torch.equal(held.shift(elsewhere, s)[:, 0], torch.zeros(5))
    for level, seen in ((s, z), (2 * s, twice)):
        expected = PAIR.shift(seen, level)[:, 1]
        torch.testing.assert_close(held.shift(elsewhere, level)[:, 1], expected)
    assert torch.equal(KNOWN.moved(elsewhere + 1, z), torch.stack([z[:, 0], z[:, 1] + 1], 1))


def test_moves_draw_from_the_density_within_a_plane() -> None:
    """A Gaussian seen to add up to nothing."""
    seen = LAW.observe(torch.ones(1, 3), torch.zeros(1), 1e-4 * torch.eye(1)).normalised()
    moves = MALA(0.3, spread=0.4)
    within = Projected(plane)
    noise = start(3, 8000)
    x = anneal(LAW, noise, GRID, source(2), Ancestral(), moves, 6, condition=within).x
    torch.testing.assert_close(x.sum(1), torch.zeros(8000), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.mean(0), seen.mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(x.T.cov(), seen.covariance[0], atol=0.03, rtol=0)


LOCAL = Linear(lambda x: x[:, 1:2], torch.zeros(50, 1), 0.1, 1)
WALKS: list[Predictor] = [DDIM(), Heun(), DPMpp2M(), Ancestral(), Decoupled(LOCAL, 1.0)]


@pytest.mark.parametrize("predictor", WALKS, ids=lambda walk: type(walk).__name__)
def test_a_condition_holds_whatever_walks(predictor: Predictor) -> None:
    condition = Known(torch.tensor([True, False, False]), torch.tensor([1.0, 0.0, 0.0]))
    noise = start(3, 50)
    x = sample(LAW, noise, GRID, predictor, source(2), condition)
    assert (x[:, 0] == 1).all()
    x = sample(LAW, noise, GRID, predictor, source(2), Projected(plane))
    torch.testing.assert_close(x.sum(1), torch.zeros(50), atol=1e-5, rtol=0)
    x = anneal(LAW, noise, GRID, source(2), predictor, MALA(0.3), condition=condition).x
    assert (x[:, 0] == 1).all()
