"""Diagnostics of chains, against processes whose memory is known, and against ArviZ."""

import math

import pytest
import torch

from physgen.diagnostics import effective, summarise
from physgen.testbeds import source

MEMORY = torch.tensor([-0.5, 0.0, 0.5, 0.9])
"""Autocorrelation from one draw to the next, of each entry."""


ARVIZ = {
    "ess_bulk": [172.9800073884, 433.8932082722, 182.9794289912],
    "ess_tail": [213.8136912204, 400.0, 213.8136912204],
    "error": [0.0326794262, 0.1040326667, 0.1081292311],
    "r_hat": [1.0423686998, 1.0090057855, 1.0285091458],
}
"""Of :func:`waves`, by arviz-stats 1.3.3."""


def autoregressive(draws: int, chains: int, seed: int = 0) -> torch.Tensor:
    """Stationary chains of unit variance, each entry with a memory of its own."""
    g = source(seed)
    x, kept = torch.randn(chains, 4, generator=g), []
    for _ in range(draws):
        x = MEMORY * x + (1 - MEMORY**2).sqrt() * torch.randn(chains, 4, generator=g)
        kept.append(x)
    return torch.stack(kept)


def waves(draws: int = 101, chains: int = 4) -> torch.Tensor:
    """Chains without chance: smoothed chirps, with ties, one entry of heavy tails."""
    i = torch.arange(1, draws + 1, dtype=torch.float64)[:, None]
    c = torch.arange(chains, dtype=torch.float64)
    x = (0.37 * i.square() + c).sin()
    smooth = 0.5 * x + 0.3 * x.roll(1, 0) + 0.2 * x.roll(2, 0)
    return torch.stack([smooth, (3 * x).round(), (1.5 * smooth).tan() + 0.1 * c], 2)


def test_the_effective_size_of_an_autoregression_is_the_known_one() -> None:
    ratio = effective(autoregressive(1000, 64)) / 64_000
    torch.testing.assert_close(ratio, (1 - MEMORY) / (1 + MEMORY), rtol=0.15, atol=0)


def test_means_lie_within_their_errors() -> None:
    found = [summarise(autoregressive(200, 16, seed)) for seed in range(40)]
    z = torch.stack([(each.mean / each.error) for each in found])
    assert 0.8 < z.square().mean().sqrt().item() < 1.2
    assert (z.square().mean(0).sqrt() < 1.4).all()


def test_one_chain_that_lies_elsewhere_is_seen() -> None:
    x = autoregressive(1000, 8)
    assert summarise(x).r_hat.max().item() < 1.04
    x[:, 3] += 1.0
    assert (summarise(x).r_hat > 1.05).all()


def test_chains_that_differ_in_spread_alone_are_seen() -> None:
    x = torch.randn(400, 4, 1, generator=source(1))
    x[:, 0] *= 2
    assert summarise(x).r_hat.item() > 1.02


def test_chains_that_drift_are_not_taken_for_settled() -> None:
    x = torch.randn(400, 1, 1, generator=source(1)) + torch.linspace(0, 2, 400)[:, None, None]
    assert summarise(x).r_hat.item() > 1.1


def test_ranks_bear_heavy_tails() -> None:
    x = torch.randn(400, 8, 2, generator=source(1)).prod(2, keepdim=True)
    cauchy = torch.randn(400, 8, 1, generator=source(2)) / x
    found = summarise(cauchy)
    assert 0.995 < found.r_hat.item() < 1.01
    assert found.ess_bulk.item() > 2000


def test_rescaling_changes_nothing_but_the_scale() -> None:
    x = autoregressive(100, 4)
    one, other = summarise(x), summarise(-5 * x + 3)
    torch.testing.assert_close(other.ess_bulk, one.ess_bulk)
    torch.testing.assert_close(other.r_hat, one.r_hat)
    torch.testing.assert_close(other.error, 5 * one.error)


def test_entries_of_any_shape_are_judged_each_for_itself() -> None:
    x = autoregressive(50, 6)
    found = summarise(x.view(50, 6, 2, 2))
    assert found.r_hat.shape == (2, 2)
    torch.testing.assert_close(found.ess_tail.flatten(), summarise(x).ess_tail)
    torch.testing.assert_close(found.ess_bulk[1, 0], summarise(x[..., 2:3]).ess_bulk[0])


def test_figures_are_those_of_arviz() -> None:
    found = summarise(waves())
    for name, wanted in ARVIZ.items():
        got = getattr(found, name)
        torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64), msg=name)


def test_figures_are_those_of_an_installed_arviz() -> None:
    stats = pytest.importorskip("arviz_stats.base").array_stats
    x = waves()
    found = summarise(x)
    for entry in range(3):
        one = x[..., entry].T.numpy()
        axes = {"chain_axis": 0, "draw_axis": 1}
        for name, value in {
            "ess_bulk": stats.ess(one, method="bulk", **axes),
            "ess_tail": stats.ess(one, method="tail", prob=(0.05, 0.95), **axes),
            "error": stats.mcse(one, method="mean", **axes),
            "r_hat": stats.rhat(one, method="rank", **axes),
        }.items():
            assert getattr(found, name)[entry].item() == pytest.approx(float(value), rel=1e-9)


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 8 draws"):
        summarise(torch.zeros(7, 4, 2))
    with pytest.raises(ValueError, match="finite"):
        summarise(torch.full((20, 4, 2), math.nan))
