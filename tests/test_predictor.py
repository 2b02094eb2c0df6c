"""Predictors: their orders, measured against the exact flow, and their laws."""

import math

import pytest
import torch
from torch import Tensor

from physgen.condition import Known, Projected
from physgen.grid import Grid, from_path, karras, log_snr
from physgen.path import Rectified
from physgen.predictor import DDIM, Ancestral, DPMpp2M, Heun, Predictor
from physgen.sampler import sample, unit_noise
from physgen.testbeds import mode_error, ring, some_gaussian, source

LAW = some_gaussian(1)
ALL: list[Predictor] = [DDIM(), Heun(), Heun(churn=10.0), DPMpp2M(), Ancestral(), Ancestral(0.5)]


def name(value: object) -> str:
    return repr(value)


def flow(z: Tensor, high: float, low: float) -> Tensor:
    """The exact solution of the probability-flow equation of a Gaussian."""
    variance, axes = LAW.variance[0], LAW.axes[0]
    gain = ((variance + low**2) / (variance + high**2)).sqrt()
    exact: Tensor = LAW.mean[0] + ((z - LAW.mean[0]) @ axes * gain) @ axes.mT
    return exact


@torch.no_grad()
def error(predictor: Predictor, steps: int) -> float:
    """Of the walk to the last positive level, before the step to zero."""
    high, low = 5.0, 0.05
    grid = log_snr(steps + 1, low, high)
    z = LAW.mean[0] + high * torch.randn(20, 3, generator=source(), dtype=torch.float64)
    walk = predictor.plan(grid)
    x = z
    for i in range(steps):
        x = walk.step(x, i, LAW.denoise, source())
    return float((x - flow(z, high, low)).norm())


@pytest.mark.parametrize(
    ("predictor", "order"),
    [(DDIM(), 1), (Heun(), 2), (DPMpp2M(), 2), (Ancestral(0.0), 1)],
    ids=name,
)
def test_a_predictor_has_its_order(predictor: Predictor, order: int) -> None:
    measured = math.log2(error(predictor, 80) / error(predictor, 160))
    assert measured == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("predictor", ALL, ids=name)
def test_every_predictor_recovers_a_mixture_through_its_exact_score(predictor: Predictor) -> None:
    target = ring()
    x = sample(
        target, unit_noise(2000, (2,), source(1)), karras(80, 0.01, 10.0), predictor, source(2)
    )
    nearest = target.mean[target.responsibilities(x, 0.0).argmax(1)]
    assert mode_error(x, target) < 0.05
    assert (x - nearest).std().item() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("predictor", ALL, ids=name)
def test_a_gaussian_keeps_its_mean_and_covariance(predictor: Predictor) -> None:
    start = unit_noise(20_000, (3,), source(3), torch.float64)
    x = sample(LAW, start, log_snr(300, 0.02, 30.0), predictor, source(4))
    torch.testing.assert_close(x.mean(0), LAW.mean[0], atol=0.04, rtol=0)
    torch.testing.assert_close(x.T.cov(), LAW.covariance[0], atol=0.06, rtol=0)


@pytest.mark.parametrize(("churn", "lift"), [(0.5, 1.05), (1e3, 2**0.5)])
def test_churn_lifts_a_level_by_its_share_of_the_steps_and_no_further(
    churn: float, lift: float
) -> None:
    asked = []

    def denoise(z: Tensor, s: float) -> Tensor:
        asked.append(s)
        return 0 * z

    walk = Heun(churn).plan(log_snr(10, 0.1, 5.0))
    walk.step(torch.ones(1, 3), 0, denoise, source())
    assert asked[0] == pytest.approx(5.0 * lift)


@pytest.mark.parametrize("predictor", [DDIM(), Heun(), DPMpp2M()], ids=name)
def test_a_sample_does_not_see_its_batch(predictor: Predictor) -> None:
    start = unit_noise(5, (3,), source(3), torch.float64)
    grid = log_snr(10, 0.02, 30.0)
    together = sample(LAW, start, grid, predictor, source())
    alone = [sample(LAW, start[k : k + 1], grid, predictor, source()) for k in range(5)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-12, rtol=1e-10)


def test_ancestral_noise_is_drawn_row_by_row() -> None:
    grid = log_snr(10, 0.02, 30.0)
    start = unit_noise(1, (3,), source(3), torch.float64)
    together = sample(LAW, start.expand(1, 3), grid, Ancestral(), source(7))
    again = sample(LAW, start, grid, Ancestral(), source(7))
    assert torch.equal(together, again)
    assert not torch.equal(again, sample(LAW, start, grid, Ancestral(), source(8)))


@pytest.mark.parametrize("levels", [(1.0, 1.0, 0.0), (1.0, 0.5), (0.5, 1.0, 0.0), (0.0,)])
def test_a_grid_that_does_not_fall_to_zero_is_refused(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="fall strictly and end in zero"):
        Grid(levels)


def test_grids_have_their_ends_and_one_step_for_each_evaluation() -> None:
    for grid in (log_snr(7, 0.1, 5.0), karras(7, 0.1, 5.0)):
        assert grid.steps == 7
        assert grid.levels[0] == pytest.approx(5.0)
        assert grid.levels[-2] == pytest.approx(0.1)
    flow_grid = from_path(Rectified(), 4, first=0.8)
    assert flow_grid.levels == pytest.approx([4.0, 1.5, 2 / 3, 0.25, 0.0])


def test_known_entries_return_as_they_are_and_repeats_bring_the_others_along() -> None:
    law = some_gaussian(2, dimension=2)
    mask, values = torch.tensor([True, False]), torch.tensor([1.5, 0.0], dtype=torch.float64)
    gain = law.covariance[0, 1, 0] / law.covariance[0, 0, 0]
    expected = law.mean[0, 1] + gain * (1.5 - law.mean[0, 0])
    start = unit_noise(4000, (2,), source(1), torch.float64)
    errors = []
    for repeats in (1, 8):
        x = sample(
            law,
            start,
            log_snr(30, 0.02, 10.0),
            Ancestral(),
            source(2),
            condition=Known(mask, values),
            repeats=repeats,
        )
        assert torch.equal(x[:, 0], torch.full((4000,), 1.5, dtype=torch.float64))
        errors.append(abs(x[:, 1].mean().item() - expected.item()))
    assert errors[1] < 0.06
    assert errors[1] < errors[0] or errors[0] < 0.03


def test_a_projection_holds_in_what_is_returned() -> None:
    def plane(x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)

    start = unit_noise(100, (3,), source(1), torch.float64)
    x = sample(LAW, start, log_snr(20, 0.02, 10.0), DDIM(), source(2), condition=Projected(plane))
    torch.testing.assert_close(x.sum(1), torch.zeros(100, dtype=torch.float64), atol=1e-12, rtol=0)


def test_the_callers_noise_is_left_alone() -> None:
    start = unit_noise(10, (3,), source(1), torch.float64)
    kept = start.clone()
    for predictor in ALL:
        sample(LAW, start, log_snr(5, 0.1, 5.0), predictor, source(2))
    assert torch.equal(start, kept)


def test_samples_that_are_not_finite_are_told() -> None:
    start = torch.full((2, 3), float("inf"), dtype=torch.float64)
    with pytest.raises(FloatingPointError, match="2 of 2 samples are not finite"):
        sample(LAW, start, log_snr(5, 0.1, 5.0), DDIM(), source())
