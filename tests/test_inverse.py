"""Inverse problems: fields from a few noisy sensors, held to closed forms, truth and the solver."""

import csv
import json
import math
import runpy
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread
from torch import Tensor, distributed

from physgen.cli import main
from physgen.consistent import Consistent, Relaxation
from physgen.corrected import CorrectedDenoiser, Correcting
from physgen.datasets import store
from physgen.datasets.seeds import TEST_SEEDS, TRAINING_SEEDS
from physgen.design_tasks.inverse import (
    EQUATIONS,
    PROBLEMS,
    AroundHole,
    Coarse,
    InverseTask,
    Judged,
    Look,
    Scattered,
    Spread,
    interval,
    pairs,
)
from physgen.design_tasks.inverse_design import Guidance, Sweeps, draw, resolved
from physgen.design_tasks.inverse_prior import (
    LEVELS,
    Architecture,
    InversePrior,
    gaussian_of,
    load_prior,
    measured,
    save_prior,
)
from physgen.design_tasks.inverse_run import InverseOptions, design_inverse, warnings
from physgen.design_tasks.inverse_searches import (
    BLURRED,
    adjoint,
    allowed,
    kriging,
    linear,
)
from physgen.design_tasks.inverse_steady import covariance_of_signs
from physgen.design_tasks.inverse_train import InverseTraining, Network, train_inverse
from physgen.grid import log_snr
from physgen.options import plain
from physgen.predictor import DPMpp2M
from physgen.principal import Principal, fitted, square
from physgen.sampler import sample, unit_noise
from physgen.sensed import Seen, Sensed
from physgen.sharing import Gradients
from physgen.solvers.elliptic import Cells
from physgen.solvers.random_field import GaussianField
from physgen.symmetry import Square
from physgen.training import Schedule, silent
from physgen.verdict import load_verdict

CELLS = 16
every_equation = pytest.mark.parametrize("name", ["darcy", "poisson", "helmholtz"])
every_prior = pytest.mark.parametrize("name", list(EQUATIONS))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_principal() -> Principal:
    """Two fields of twelve points, with five and three components."""
    bases = [torch.linalg.qr(torch.randn(12, k, generator=generator(k))).Q for k in (5, 3)]
    root = torch.randn(8, 8, generator=generator(1))
    return Principal((4, 3), bases, root @ root.mT, torch.tensor([0.2, 0.05]))


def dense(law: Principal) -> Tensor:
    """Its covariance over all 24 entries."""
    basis = torch.block_diag(*law.bases).double()
    own = law.rest.double().repeat_interleave(12)
    shares = (basis.mT @ (own[:, None] * basis)).diagonal()
    beyond = torch.diag(own) - (basis * shares) @ basis.mT
    found: Tensor = basis @ law.covariance.double() @ basis.mT + beyond
    return found


@pytest.fixture(scope="module")
def priors() -> dict[str, InversePrior]:
    """Gaussians of small fields, the prior of the Gaussian equations."""
    found = {}
    for name in ("darcy", "poisson", "helmholtz"):
        equation = EQUATIONS[name]
        data = equation.data(CELLS)
        made = pairs(data, range(400))
        standard = measured(made, data.symmetry)
        law = gaussian_of(standard.sample(made), (90, 50), data.symmetry)
        found[name] = InversePrior(equation, standard, law, law, torch.ones(len(LEVELS), 2), {})
    return found


def task_of(
    prior: InversePrior, problem: str = "both", look: Look | None = None, cases: int = 3
) -> InverseTask:
    return InverseTask(
        prior.equation,
        PROBLEMS[problem],
        look or Spread(12),
        0.05,
        cases,
        prior.standard.mean,
        prior.standard.scale,
        generator(4),
    )


def test_a_principal_gaussian_denoises_as_its_whole_covariance_does() -> None:
    law, z = some_principal(), torch.randn(5, 2, 4, 3, generator=generator(2))
    covariance, levels = dense(law), torch.tensor([0.01, 0.3, 1.0, 5.0, 50.0])
    clean, open_ = law.clean(z, levels), law.deviations(levels)
    for k, s in enumerate(levels.double()):
        gain = torch.linalg.solve(covariance + s**2 * torch.eye(24), covariance)
        expected = gain.mT @ z[k].flatten().double()
        torch.testing.assert_close(clean[k].flatten().double(), expected, atol=1e-4, rtol=1e-4)
        left = (s**2 * gain).diagonal().view(2, 12).mean(1).sqrt()
        torch.testing.assert_close(open_[k].double(), left, atol=1e-4, rtol=1e-3)


def test_moments_are_those_of_samples_and_all_their_images() -> None:
    images = square(4)
    assert len({tuple(image.tolist()) for image in images}) == 8
    x = torch.randn(50, 2, 4, 4, generator=generator(3))
    x[:, 1] = 0.5 * x[:, 0] + 0.1 * x[:, 1]
    law = fitted(x, (15, 15), images)
    whole = torch.cat([x.flatten(2)[:, :, image] for image in images]).flatten(1).double()
    moments = whole.mT @ whole / len(whole)
    basis = torch.block_diag(*law.bases).double()
    torch.testing.assert_close(
        law.covariance.double(), basis.mT @ moments @ basis, atol=1e-5, rtol=1e-4
    )
    beyond = moments.diagonal().view(2, 16).sum(1) - (basis.mT @ moments @ basis).diagonal().view(
        2, 15
    ).sum(1)
    torch.testing.assert_close(law.rest.double(), beyond, atol=1e-5, rtol=1e-3)
    with pytest.raises(ValueError, match="keep fewer"):
        fitted(x, (16, 3), images)


def test_a_principal_gaussian_refuses_what_does_not_fit() -> None:
    law = some_principal()
    with pytest.raises(ValueError, match="must have 9 points"):
        Principal((3, 3), law.bases, law.covariance, law.rest)
    with pytest.raises(ValueError, match="over 8 components"):
        Principal((4, 3), law.bases, law.covariance[:7, :7], law.rest)
    with pytest.raises(ValueError, match="must have variance"):
        Principal((4, 3), law.bases, law.covariance, torch.zeros(2))


def seen_of(law: Principal, places: Tensor) -> Seen:
    values = torch.randn(places.shape[:2], generator=generator(6))
    return Seen(places, values, 0.1, 24)


POINTS = torch.tensor([[0, 5, 13, 20], [3, 7, 12, 23]])[..., None]
"""Of two problems."""
MEANS = torch.tensor([[[0, 1], [5, 6], [13, 14], [20, 23]]] * 2)
ALL = torch.arange(24).expand(2, -1)[..., None]


@pytest.mark.parametrize("places", [POINTS, MEANS, ALL], ids=["sensors", "means", "all"])
def test_sensors_are_exact_for_a_gaussian_at_every_level(places: Tensor) -> None:
    law, seen = some_principal(), seen_of(some_principal(), places)
    covariance, unit = dense(law), torch.eye(24, dtype=torch.float64)
    operator = torch.zeros(2, places.shape[1], 24, dtype=torch.float64)
    operator.scatter_(2, places, 1 / places.shape[2])
    z = torch.randn(4, 2, 4, 3, generator=generator(2))  # two of each problem
    for s in (0.05, 1.0, 20.0):
        drawn = Sensed(law, law, seen).denoise(z, s)
        for k in range(4):
            a, y = operator[k // 2], seen.values[k // 2].double()
            precision = torch.linalg.inv(covariance) + unit / s**2 + a.mT @ a / 0.1**2
            pulled = z[k].flatten().double() / s**2 + a.mT @ y / 0.1**2
            expected = torch.linalg.solve(precision, pulled)
            torch.testing.assert_close(drawn[k].flatten().double(), expected, atol=2e-3, rtol=2e-3)


def test_twenty_levels_draw_the_posterior_of_a_gaussian() -> None:
    law, count = some_principal(), 3000
    seen = seen_of(law, POINTS[:1])
    noise = unit_noise(count, (2, 4, 3), generator(3))
    x = sample(Sensed(law, law, seen), noise, log_snr(20, 0.02, 50.0), DPMpp2M(), generator(4))
    a = torch.eye(24, dtype=torch.float64)[POINTS[0, :, 0]]
    exact = torch.linalg.inv(torch.linalg.inv(dense(law)) + a.mT @ a / 0.1**2)
    mean = exact @ a.mT @ seen.values[0].double() / 0.1**2
    flat = x.flatten(1).double()
    spread = exact.diagonal().sqrt()
    assert ((flat.mean(0) - mean).abs() < 5 * spread / math.sqrt(count) + 0.02).all()
    torch.testing.assert_close(flat.std(0), spread, rtol=0.08, atol=0.01)


def test_a_share_of_the_gaussians_error_is_trusted_as_that_much_less_variance() -> None:
    law, seen, s = some_principal(), seen_of(some_principal(), POINTS), 1.0
    z = torch.zeros(2, 2, 4, 3)
    share = torch.tensor([0.25, 0.25])
    scaled = Principal(
        (4, 3), law.bases, 0 * law.covariance + torch.eye(8), torch.tensor([1.0, 1.0])
    )
    # Of independent entries with variance 1 a level of 1 leaves 1/2, a quarter of which is 1/8.
    pulled = Sensed(scaled, scaled, seen, lambda _: share).denoise(z, s)
    expected = 0.125 / (0.125 + 0.1**2) * seen.values
    torch.testing.assert_close(seen.see(pulled), expected, atol=1e-5, rtol=1e-5)
    assert law.fields == 2


def test_what_cannot_be_seen_is_refused_in_one_line() -> None:
    one = torch.zeros(1, 1)
    with pytest.raises(ValueError, match=r"1 observations lie outside the fields.* such as 24"):
        Seen(torch.tensor([[[24]]]), one, 0.1, 24)
    with pytest.raises(ValueError, match="must be finite, 1 are not"):
        Seen(torch.tensor([[[3]]]), one * math.nan, 0.1, 24)
    with pytest.raises(ValueError, match="1 problems see a place more than once: average"):
        Seen(torch.tensor([[[3], [5], [3]], [[3], [5], [4]]]), torch.zeros(2, 3), 0.1, 24)
    with pytest.raises(ValueError, match="noise of observations must be positive"):
        Seen(torch.tensor([[[3]]]), one, 0.0, 24)


def test_an_untrained_correction_is_the_gaussian_and_its_loss_is_one(
    priors: dict[str, InversePrior],
) -> None:
    prior = priors["darcy"]
    model = Architecture((8, 16), 2).build(prior.gaussian, Square(CELLS))
    x = prior.standard.sample(pairs(prior.equation.data(CELLS), range(400, 600)))
    noise, level = torch.randn(x.shape, generator=generator(1)), torch.full((200,), 0.7)
    torch.testing.assert_close(model(x, level), prior.gaussian.clean(x, 0.7))
    loss = Correcting()(model, x, level, noise)
    assert loss.mean().item() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(CorrectedDenoiser(model).clean(x, 0.7), model(x, 0.7))


def test_the_loss_sees_through_the_wrapper_of_several_processes(
    priors: dict[str, InversePrior], tmp_path: Path
) -> None:
    prior = priors["darcy"]
    model = Architecture((8, 16), 2).build(prior.gaussian, Square(CELLS))
    x = prior.standard.sample(pairs(prior.equation.data(CELLS), range(400, 404)))
    noise, level = torch.randn(x.shape, generator=generator(1)), torch.full((4,), 0.7)
    store = f"file://{tmp_path / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        wrapped = Gradients().shared(model)
        assert wrapped is not model
        loss = Correcting()(wrapped, x, level, noise)
    finally:
        distributed.destroy_process_group()
    torch.testing.assert_close(loss, Correcting()(model, x, level, noise))


class Halving(Relaxation):
    """Towards zero."""

    def mend(self, x: Tensor) -> Tensor:
        return x / 2


def test_a_relaxation_is_taken_by_its_share_at_low_noise_and_left_out_at_high() -> None:
    law, z = some_principal(), torch.randn(2, 2, 4, 3, generator=generator(2))
    term = Consistent(law, Halving(), weight=0.8, level=0.5)
    for s in (0.01, 0.5, 100.0):
        share = 0.8 / (1 + (s / 0.5) ** 2) if s < 4 else 0
        torch.testing.assert_close(term.denoise(z, s), (1 - share / 2) * law.clean(z, s))
    levels = torch.tensor([0.01, 100.0])
    both = term.denoise(z, levels)
    torch.testing.assert_close(both[:1], term.denoise(z[:1], 0.01))
    with pytest.raises(ValueError, match="a weight from 0 to 1"):
        Consistent(law, Halving(), weight=1.5)


@every_equation
def test_sweeps_lead_to_the_true_state_and_leave_the_coefficient(
    name: str, priors: dict[str, InversePrior]
) -> None:
    prior = priors[name]
    task = task_of(prior)
    off = task.truth.clone()
    off[:, 1] *= 1 + 0.3 * torch.rand(off[:, 1].shape, generator=generator(), dtype=off.dtype)
    sweeps = Sweeps(task.law, prior.equation, prior.standard, 4)
    mended = prior.standard.physical(sweeps.mend(prior.standard.sample(off)).double())
    torch.testing.assert_close(mended[:, 0], off[:, 0], atol=1e-5, rtol=1e-5)
    before, after = task.law.owed(off).residual, task.law.owed(mended).residual
    fall = 0.6**4 * 1.5 if name == "darcy" else 1e-4
    assert (after < fall * before).all()
    assert (task.law.owed(task.truth).residual < 1e-6).all()


def test_waves_that_sensors_know_are_left_to_them(priors: dict[str, InversePrior]) -> None:
    """The change of a step has none of these, and all of its others."""
    prior = priors["darcy"]
    task = task_of(prior)
    x = prior.standard.sample(task.truth)
    x = x + 0.1 * torch.randn(x.shape, generator=generator())
    whole, part = (
        (Sweeps(task.law, prior.equation, prior.standard, 4, known).mend(x) - x)[:, 1]
        for known in (None, torch.tensor([5]).expand(len(x)))
    )
    across, along = (wave.float() for wave in task.law.smooth)
    inner, outer = across @ part @ along.mT, across @ whole @ along.mT
    assert inner[:, :5, :5].abs().max() < 1e-3 * outer[:, :5, :5].abs().max()
    inner[:, :5, :5] = outer[:, :5, :5]
    torch.testing.assert_close(inner, outer, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(
    ("look", "problem", "least", "most"),
    [
        (Spread(16), "both", 3, 6),
        (Coarse(4), "both", 4, 4),
        (AroundHole(0.5), "both", 3, 4),
        (AroundHole(0.0), "both", 16, 16),
        (Spread(16), "forward", 0, 0),
    ],
)
def test_sensors_tell_waves_as_short_as_their_gaps(
    look: Look, problem: str, least: int, most: int, priors: dict[str, InversePrior]
) -> None:
    prior = priors["darcy"]
    task = InverseTask(
        EQUATIONS["darcy"], PROBLEMS[problem], look, 0.01, 3, prior.standard.mean, prior.standard.scale, generator()
    )  # fmt: skip
    state = EQUATIONS["darcy"].parts[1].places(2, task.law.space)
    found = resolved(task.seen, state, task.law.space)
    assert least <= int(found.min()) <= int(found.max()) <= most


@every_equation
def test_true_pairs_solve_their_equation_and_come_from_test_seeds(
    name: str, priors: dict[str, InversePrior]
) -> None:
    task = task_of(priors[name])
    assert (task.law.owed(task.truth).solver_error < 1e-6).all()
    assert all(seed in TEST_SEEDS and seed not in TRAINING_SEEDS for seed in task.seeds)
    again = pairs(task.equation.data(CELLS), task.seeds[1:2])
    torch.testing.assert_close(again[0], task.truth[1])


@every_prior
def test_the_priors_that_ship_saw_no_test_seed(name: str) -> None:
    facts = load_prior(EQUATIONS[name]).facts
    recipe = facts["recipe"]
    assert isinstance(recipe, dict)
    first, last = recipe["data"]["seeds"]
    assert first in TRAINING_SEEDS and last in TRAINING_SEEDS
    assert recipe["data"]["dataset"] == name and recipe["data"]["cells"] == 64


def test_sensors_are_spread_or_scattered_and_coarse_looks_cover_all() -> None:
    spread = Spread(12).places((16, 16), 5, generator())[..., 0]
    x, y = spread // 16, spread % 16
    row = torch.tensor([0] * 5 + [1] * 5 + [2] * 6)  # three rows of four blocks
    block = row[x] * 4 + y // 4
    assert all(sorted(row.tolist()) == list(range(12)) for row in block)
    scattered = Scattered(40).places((16, 16), 5, generator())[..., 0]
    assert all(len(set(row.tolist())) == 40 for row in scattered)
    coarse = Coarse(4).places((16, 16), 2, generator())
    assert coarse.shape == (2, 16, 16)
    assert sorted(coarse[1].flatten().tolist()) == list(range(256))
    assert coarse[0, 0].tolist()[:5] == [0, 1, 2, 3, 16]
    hidden = set(range(256)) - set(
        AroundHole(0.5).places((16, 16), 1, generator()).flatten().tolist()
    )
    assert hidden == {16 * i + j for i in range(4, 12) for j in range(4, 12)}
    for look, said in (
        (Spread(257), "from 1 to the 256 cells"),
        (Scattered(0), "from 1 to the 256 cells"),
        (Coarse(5), "must divide the 16 cells"),
        (AroundHole(1.0), "from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=said):
            look.places((16, 16), 1, generator())


def test_the_interval_of_draws_holds_one_more_with_probability_nine_tenths() -> None:
    for count in (19, 39):
        drawn = torch.rand(4000, count + 1, 2, 1, 1, generator=generator(count))
        low, high = interval(drawn[:, :count])
        inside = (drawn[:, count] > low) & (drawn[:, count] < high)
        assert inside.float().mean().item() == pytest.approx(0.9, abs=0.012)
    with pytest.raises(ValueError, match="draws must be 19, 39"):
        interval(drawn[:, :20])


def test_crps_is_the_score_by_its_definition(priors: dict[str, InversePrior]) -> None:
    task = task_of(priors["poisson"], "inverse")
    draws = task.truth[:, None] + 0.01 * torch.randn(
        3, 19, 2, CELLS, CELLS, generator=generator(), dtype=torch.float64
    )
    miss = (draws - task.truth[:, None]).abs().mean(1)[:, 0]
    apart = (draws[:, :, None] - draws[:, None]).abs().sum((1, 2))[:, 0] / (19 * 18)
    expected = (miss - apart / 2).mean((1, 2)) / task.scale[0]
    torch.testing.assert_close(task.judge(draws).crps, expected)


def test_covariances_of_a_random_field_are_those_of_its_modes() -> None:
    law, cells = GaussianField(highest=12), Cells((8, 16), (1.0, 1.0))
    unit = torch.eye(144, dtype=torch.float64).view(144, 12, 12)
    basis = law.compose(cells, unit).flatten(1)
    places = torch.tensor([0, 17, 127])
    found = law.covariance(cells, places).flatten(1)
    torch.testing.assert_close(found, basis[:, places].mT @ basis)


def test_descent_from_the_law_ends_at_the_kriged_field(priors: dict[str, InversePrior]) -> None:
    prior = priors["poisson"]
    task = task_of(prior, "forward")
    descended, kriged = adjoint(prior, task, 60), kriging(task)
    apart = (descended.pairs - kriged.pairs).flatten(2).norm(dim=2)
    assert (apart < 0.02 * kriged.pairs.flatten(2).norm(dim=2)).all()
    assert (descended.calls, kriged.calls) == (1, 1)


def test_kriging_of_two_values_knows_the_covariance_of_signs(
    priors: dict[str, InversePrior],
) -> None:
    rho = torch.tensor([-0.4, 0.3, 0.8, 0.97])
    x, noise = torch.randn(2, 100_000, 1, generator=generator())
    signs = (x.sign() * (rho * x + (1 - rho**2).sqrt() * noise).sign()).mean(0)
    torch.testing.assert_close(covariance_of_signs(rho), signs, atol=0.015, rtol=0)
    task = task_of(priors["darcy"], "forward", Spread(64), cases=6)
    better = task.errors(kriging(task).pairs)
    nothing = task.errors(priors["darcy"].standard.mean.expand(6, -1, -1, -1))
    assert (better.mean(0) < 0.65 * nothing.mean(0)).all()


def test_descent_allows_a_blurred_misfit_to_two_permeabilities_alone(
    priors: dict[str, InversePrior],
) -> None:
    darcy, poisson = (allowed(task_of(priors[name])) for name in ("darcy", "poisson"))
    assert (darcy[:, :12] == torch.tensor(BLURRED)).all()
    assert (darcy[:, 12:] == torch.tensor(0.05)).all() and darcy.shape == (3, 24)
    assert (poisson == torch.tensor(0.05)).all()


def test_descent_through_the_solver_finds_a_source_from_its_state(
    priors: dict[str, InversePrior],
) -> None:
    prior = priors["helmholtz"]
    task = task_of(prior, "inverse", Spread(40))
    found = adjoint(prior, task, 30)
    best = linear(prior, task)
    assert found.calls == 61
    assert task.errors(found.pairs)[:, 0].mean() < 1.15 * task.errors(best.pairs)[:, 0].mean()


@every_equation
def test_draws_agree_with_sensors_equation_and_truth(
    name: str, priors: dict[str, InversePrior]
) -> None:
    prior = priors[name]
    task = task_of(prior, cases=8)
    plain_draws = draw(prior, task, 19, generator(1), Guidance(residual=0.0))
    led = draw(prior, task, 19, generator(1), Guidance(residual=0.9))
    alone, with_equation = task.judge(plain_draws.draws), task.judge(led.draws)
    assert (led.evaluations, plain_draws.solutions) == (20, 0)
    assert led.solutions == (led.heeded if prior.equation.gaussian else 0)
    assert 10 < led.heeded < 20 and plain_draws.heeded == 0
    assert (with_equation.residual < alone.residual / 3).all()
    nothing = task.errors(prior.standard.mean.expand(8, -1, -1, -1)).mean(1)
    assert (alone.relative_error < 0.8 * nothing).all()
    if prior.equation.gaussian:
        assert with_equation.relative_error.mean() < 1.02 * alone.relative_error.mean()
        assert 0.8 < alone.coverage90.mean() < 0.97
        best = task.errors(linear(prior, task).pairs).mean()
        assert alone.relative_error.mean().item() == pytest.approx(best.item(), rel=0.06)


def test_the_prior_that_ships_beats_every_linear_estimate_of_darcys_ground() -> None:
    prior = load_prior(EQUATIONS["darcy"])
    task = InverseTask(
        prior.equation,
        PROBLEMS["forward"],
        Spread(123),
        0.01,
        2,
        prior.standard.mean,
        prior.standard.scale,
        generator(4),
    )
    drawn = draw(prior, task, 19, generator(1), Guidance(levels=12))
    found, best = task.judge(drawn.draws), task.errors(linear(prior, task).pairs)
    assert found.error_state.mean() < 0.95 * best[:, 1].mean()
    assert found.residual.mean() < 0.5


def small(tmp_path: Path, name: str, steps: int = 4, **options: object) -> InverseTraining:
    schedule = Schedule(steps=steps, batch=8, save_every=2)
    network = Network((8, 16), 2)
    found = InverseTraining(name, 60, CELLS, (40, 20), schedule, network, out=tmp_path)
    return replace(found, **options)  # type: ignore[arg-type]


def test_training_is_resumed_and_keeps_what_the_correction_leaves(tmp_path: Path) -> None:
    train_inverse(small(tmp_path / "parts", "darcy", 2), silent)
    parts = train_inverse(small(tmp_path / "parts", "darcy"), silent)
    whole = train_inverse(small(tmp_path / "whole", "darcy"), silent)
    first, second = (load_prior(EQUATIONS["darcy"], path) for path in (parts, whole))
    z = torch.randn(2, 2, CELLS, CELLS, generator=generator())
    torch.testing.assert_close(first.denoiser.denoise(z, 1.0), second.denoiser.denoise(z, 1.0))
    assert (first.denoiser.denoise(z, 1.0) != first.gaussian.clean(z, 1.0)).any()
    assert first.shares.shape == (len(LEVELS), 2)
    torch.testing.assert_close(first.share(LEVELS[3]), first.shares[3])
    torch.testing.assert_close(first.share(1e6), first.shares[-1])
    kept = json.loads((tmp_path / "whole" / "inverse-darcy.json").read_text())
    assert kept["recipe"]["data"]["seeds"] == [0, 59]


def test_a_gaussian_law_needs_no_network_and_survives_its_file(tmp_path: Path) -> None:
    path = train_inverse(small(tmp_path, "poisson"), silent)
    prior = load_prior(EQUATIONS["poisson"], path)
    assert prior.denoiser is prior.gaussian
    again = tmp_path / "again.safetensors"
    save_prior(again, prior.equation, prior.standard, prior.gaussian, {})
    z = torch.randn(2, 2, CELLS, CELLS, generator=generator())
    other = load_prior(EQUATIONS["poisson"], again)
    torch.testing.assert_close(
        other.gaussian.clean(z, 1.0), prior.gaussian.clean(z, 1.0), atol=1e-3, rtol=1e-3
    )
    with pytest.raises(ValueError, match="no prior of inverse problems of darcy"):
        load_prior(EQUATIONS["darcy"], path)


def test_a_run_leaves_what_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = train_inverse(small(tmp_path / "train", "helmholtz"), silent)
    out = tmp_path / "run"
    words = f"design inverse --equation helmholtz --problem both --sensors 20 --cases 3 --weights {weights}"
    assert (
        main([*words.split(), "--baselines", "2", "--gradients", "4", "--out", str(out), "--json"])
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    verdict = load_verdict(out / "verdict.json")
    assert set(verdict.files) <= {path.name for path in out.iterdir()}
    assert told["figures"]["relative_error"]["mean"] == verdict.figures["relative_error"].mean
    assert list(verdict.baselines) == ["prior mean", "linear", "kriging and solver", "adjoint, 4"]
    assert verdict.baselines["adjoint, 4"].solver_calls == 9
    assert any("no estimate has less squared error" in line for line in verdict.warnings)
    with store.opened(out / "fields.h5") as file:
        assert store.seeds(file).tolist() == [TEST_SEEDS.start + k for k in range(3)]
    with (out / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    mean = sum(float(row["relative_error"]) for row in rows) / 3
    assert mean == pytest.approx(verdict.figures["relative_error"].mean, rel=1e-4)
    with (out / "observed.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3 * 2 * 20
    assert imread(out / "fields.png").std() > 0.1
    report = (out / "report.html").read_text()
    assert "was run for the first 2 cases" in report
    assert f"--baselines 2 --gradients 4 --weights {weights}" in report
    assert (verdict.network_evaluations, verdict.solver_calls) == (20 * 19, 14 * 19)
    for row in verdict.baselines.values():
        own = sum(float(case["relative_error"]) for case in rows[: row.designs]) / row.designs
        above = row.figures["relative_error"].mean - own
        assert row.figures["relative_error_above"].mean == pytest.approx(above, abs=1e-4)


def test_intervals_of_two_values_are_judged_by_the_state() -> None:
    half, good, all_ = (torch.full((4,), value) for value in (0.5, 0.9, 1.0))
    judged = Judged(good, good, good, all_, all_, good, good, good, good)

    def said(equation: str, judged: Judged) -> str:
        return " ".join(warnings(InverseOptions(equation, "inverse"), judged, 14))

    assert "too wide" in said("poisson", judged)
    assert "too" not in said("darcy", judged)
    assert "1064 sweeps" in said("darcy", judged)
    assert "of the pressure: they are too wide" in said(
        "darcy", replace(judged, coverage_state=all_)
    )
    assert "of the permeability: they are too narrow" in said(
        "darcy", replace(judged, coverage_coefficient=half)
    )


@every_prior
def test_training_is_by_default_that_of_the_prior_that_ships(name: str) -> None:
    options, facts = InverseTraining(name), load_prior(EQUATIONS[name]).facts
    recipe = facts["recipe"]
    assert isinstance(recipe, dict)
    assert recipe["data"]["seeds"] == [0, options.moments.simulations - 1]
    assert recipe["kept"] == list(options.moments.kept)
    if options.moments.network is not None:
        shorter = {"navier-stokes": 800, "burgers": 900}
        steps = shorter.get(name, options.schedule.steps)
        assert facts["schedule"] == {**vars(options.schedule), "steps": steps}
        assert recipe["network"] == json.loads(json.dumps(asdict(options.moments.network)))
        assert recipe["loss"] == vars(options.loss)


@pytest.mark.parametrize("look", ["coarse", "hole", "whole"])
def test_pictures_holes_and_whole_fields_are_looks_of_the_same_prior(
    look: str, tmp_path: Path
) -> None:
    weights = train_inverse(small(tmp_path / "train", "poisson"), silent)
    options = InverseOptions(
        "poisson", "forward", look, cases=3, baselines=0, weights=weights, out=tmp_path
    )
    if look == "coarse":
        options = replace(options, blocks=4)
    assert plain(options)["look"] == look
    found = design_inverse(options).figures
    assert found["error_state"].mean < 0.5
    if look == "whole":
        assert found["error_state"].mean < 0.05


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--equation stokes", "equation must be one of ['darcy', 'poisson', 'helmholtz',"),
        ("--problem sideways", "problem must be one of"),
        ("--look away", "look must be one of"),
        ("--draws 20", "draws must be 19, 39, 59"),
        ("--noise 0", "noise must be positive"),
        ("--sensors 5000", "from 1 to the 4096 cells of the domain"),
        ("--look coarse --blocks 7", "must divide the 64 cells"),
        ("--guidance.residual 2", "a weight from 0 to 1"),
        ("--weights none.safetensors", "there is no weights file"),
    ],
)
def test_bad_options_are_refused_in_one_line(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"design inverse --equation poisson --out {tmp_path} {words}"
    assert main(line.split()) == 2
    told = capsys.readouterr().err
    assert said in told.replace("\n", " ")


def test_the_example_tells_the_ground_and_paints_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "darcy.png"
    words = ["darcy.py", "--levels", "8", "--problem", "forward", "--out", str(picture)]
    monkeypatch.setattr("sys.argv", words)
    example = Path(__file__).parent.parent / "examples" / "darcy.py"
    runpy.run_path(str(example), run_name="__main__")
    told = capsys.readouterr().out
    assert float(told.split()[1].rstrip("%,")) < 20
    assert imread(picture)[..., :3].std() > 0.1
