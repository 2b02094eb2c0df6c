"""Simulation as an ensemble: the task, its rivals, the prior that ships, and the commands."""

import csv
import json
import math
import runpy
from pathlib import Path

import pytest
import torch
import xarray
from matplotlib.image import imread
from torch import Tensor

from physgen.cli import main
from physgen.corrected_windows import Stepping
from physgen.datasets.seeds import TEST_SEEDS, TRAINING_SEEDS
from physgen.design_tasks.simulate import (
    FINE,
    POINTS,
    TRAINED,
    Flow,
    SimulateTask,
    resampled,
)
from physgen.design_tasks.simulate_design import Sweep, Walk, draw
from physgen.design_tasks.simulate_prior import FRAMES, Architecture, load_prior
from physgen.design_tasks.simulate_run import (
    SimulateOptions,
    break_even,
    design_simulate,
    figures,
)
from physgen.design_tasks.simulate_searches import (
    LATER,
    Rival,
    analysed,
    analysed_mean,
    climate,
    compare,
    perturbed,
    solved,
    still,
    surrogate,
)
from physgen.design_tasks.simulate_train import SimulateTraining, WindowDraw, train_simulate
from physgen.training import Schedule
from physgen.verdict import Baseline, figure, load_verdict

SMOOTH = torch.ones(POINTS // 2 + 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def task() -> SimulateTask:
    prior = load_prior()
    return SimulateTask(3, 12, 0.02, prior.scale, prior.base.spectrum, generator())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of some steps of training, in the folder of their run."""
    return train_simulate(_training(tmp_path_factory.mktemp("trained")), lambda steps: _silent)


def _training(out: Path, steps: int = 4) -> SimulateTraining:
    return SimulateTraining(
        simulations=4,
        frames=16,
        schedule=Schedule(steps=steps, batch=4, decay=0.0, warmup=1, save_every=2),
        network=Architecture(16, (1, 2)),
        out=out,
    )


def _silent(step: int, loss: float) -> None:
    pass


def waves(points: int) -> Tensor:
    """A polynomial of sines on so many points."""
    x = 2 * math.pi * torch.arange(points, dtype=torch.float64) / points
    return (torch.sin(3 * x) + 0.3 * torch.cos(7 * x + 1) - 0.2)[None]


@pytest.mark.parametrize("other", [32, 48, 64, 96, 256])
def test_a_field_seen_on_other_points_is_the_same_field(other: int) -> None:
    torch.testing.assert_close(resampled(waves(64), other), waves(other))
    torch.testing.assert_close(resampled(waves(other), 64), waves(64))
    rough = torch.randn(2, 64, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(resampled(resampled(rough, 2 * 64), 64), rough)


def test_a_flow_goes_where_the_true_trajectory_goes_and_a_coarse_one_does_not(
    task: SimulateTask,
) -> None:
    truth = task.scale * task.truth[:, :4]
    errors = []
    for points, dt in (TRAINED, (64, 0.5), (48, 0.5)):
        run = Flow(points, dt).run(truth[:, 0], 3)
        errors.append(((run - truth).square().mean() / truth.square().mean()).sqrt().item())
        torch.testing.assert_close(run[:, 1], Flow(points, dt).next(truth[:, 0]))
    assert errors[0] < 5e-3 < errors[1] < errors[2]


def test_test_starts_training_and_climate_share_no_seed() -> None:
    options = SimulateTraining()
    known = SimulateTask(2, 2, 0.02, 1.0, SMOOTH, generator(), skip=5)
    assert list(known.seeds) == [TEST_SEEDS.start + 5, TEST_SEEDS.start + 6]
    held = options.simulations + 1000
    assert held < LATER and LATER + 1000 in TRAINING_SEEDS and known.seeds[0] not in TRAINING_SEEDS
    assert FINE[0] > TRAINED[0] and FINE[1] < TRAINED[1]
    shipped = load_prior().facts["recipe"]
    assert isinstance(shipped, dict) and shipped["data"]["seeds"][1] < LATER


def test_what_is_seen_has_the_noise_that_was_asked_for(task: SimulateTask) -> None:
    error = (task.seen - task.truth[:, 0]).flatten()
    assert error.std().item() == pytest.approx(0.02, rel=0.2)
    again = SimulateTask(2, 2, 0.1, task.scale, SMOOTH, generator(), skip=1)
    torch.testing.assert_close(again.truth[:, 0], task.truth[1:, 0])
    assert task.part(slice(1, 3)).truth.shape[0] == 2


def test_the_truth_as_its_own_ensemble_has_no_error_and_owes_nothing(task: SimulateTask) -> None:
    judged = task.judge(task.truth[:, None].expand(-1, 19, -1, -1))
    assert judged.crps.max() < 1e-12 and judged.rmse.max() < 1e-12
    assert judged.coverage90 is not None and (judged.coverage90 == 1).all()
    assert (judged.horizon == task.frames).all()
    assert judged.residual.max() < 0.02
    curves = task.curves(task.truth[:, None])
    assert len(curves.time) == task.frames + 1 and curves.crps.max() < 1e-12


def test_a_state_that_stays_owes_all_that_the_solver_changes(task: SimulateTask) -> None:
    judged = task.judge(still(task))
    torch.testing.assert_close(judged.residual, torch.ones(3, dtype=torch.float64))
    assert judged.coverage90 is None and judged.spread_skill is None
    assert judged.horizon.max() < 6


def test_the_climate_has_the_spectrum_of_the_law_and_no_skill(task: SimulateTask) -> None:
    judged = task.judge(climate(task, 39))
    assert judged.spectrum.max() < 0.15 and judged.horizon.max() <= 1
    assert judged.crps.mean().item() == pytest.approx(1 / math.sqrt(math.pi), abs=0.1)
    assert judged.residual.max() < 1e-4


def test_a_solver_from_perturbed_starts_is_calibrated(task: SimulateTask) -> None:
    starts = perturbed(task, 19, generator(1))
    judged = task.judge(solved(task, starts, Flow(*TRAINED)))
    assert judged.spread_skill is not None and judged.coverage90 is not None
    assert 0.8 < judged.spread_skill[0] < 1.25
    assert 0.8 < judged.coverage90.mean() < 0.97
    assert judged.residual.max() < 1e-4 and judged.crps.max() < 0.1


def test_analysed_starts_are_nearer_than_what_was_seen_and_spread_as_they_miss(
    task: SimulateTask,
) -> None:
    prior = load_prior()
    noisy = noisier(task, 0.1)
    starts = analysed(prior, noisy, 400, generator(2)).unflatten(0, (3, 400))
    mean = analysed_mean(prior, noisy)
    torch.testing.assert_close(starts.mean(1), mean, atol=0.03, rtol=0)
    missed = (mean - noisy.truth[:, 0]).square().mean().sqrt()
    assert missed < 0.9 * (noisy.seen - noisy.truth[:, 0]).square().mean().sqrt()
    assert starts.var(1).mean().sqrt().item() == pytest.approx(missed.item(), rel=0.2)


def noisier(task: SimulateTask, noise: float) -> SimulateTask:
    return SimulateTask(3, 2, noise, task.scale, task.spectrum, generator(3))


def test_sweeps_as_many_as_frames_are_a_simulation(task: SimulateTask) -> None:
    flow = Flow(64, 0.5)
    before = task.truth[:, 0]
    wanted = flow.run(task.scale * before, 4)[:, 1:] / task.scale
    x = torch.randn(3, 4, POINTS, generator=generator(), dtype=torch.float64)
    led, free = Sweep(flow, task.scale, before), Sweep(flow, task.scale, None)
    torch.testing.assert_close(free.mend(wanted), wanted)
    assert torch.equal(free.mend(x)[:, 0], x[:, 0])
    for _ in range(4):
        x = led.mend(x)
    torch.testing.assert_close(x, wanted)


def test_the_prior_that_ships_foretells_better_than_its_gaussian_and_is_calibrated(
    task: SimulateTask,
) -> None:
    prior = load_prior()
    walk = Walk(levels=8)
    own = task.judge(draw(prior, task, 19, generator(1), walk).members)
    linear = task.judge(draw(prior, task, 19, generator(1), walk, prior.gaussian).members)
    assert own.crps.mean() < 0.35 * linear.crps.mean()
    assert own.residual.mean() < 0.35 * linear.residual.mean()
    assert own.coverage90 is not None and own.coverage90.mean() > 0.7


def test_an_equation_that_is_heeded_lowers_the_residual(task: SimulateTask) -> None:
    prior, few = load_prior(), task.part(slice(1))
    led = draw(prior, few, 19, generator(1), Walk(levels=5, residual=0.9))
    alone = draw(prior, few, 19, generator(1), Walk(levels=5))
    assert few.judge(led.members).residual < 0.85 * few.judge(alone.members).residual
    assert led.intervals == 5 * task.frames and alone.intervals == 0
    assert led.evaluations == alone.evaluations == 5 * 2 + 20


def test_the_surrogate_that_ships_is_near_the_truth_for_a_while(task: SimulateTask) -> None:
    prior = load_prior()
    judged = task.judge(surrogate(prior, task, analysed_mean(prior, task)))
    assert judged.rmse.mean() < 0.5 * task.judge(still(task)).rmse.mean()


def test_windows_are_parts_of_trajectories_or_of_their_mirror_images() -> None:
    known = torch.arange(2 * 20 * POINTS, dtype=torch.float32).view(2, 20, POINTS)
    (pairs,) = WindowDraw(known, 64, Stepping())(0, generator())
    straight = pairs[:, 0, 0] >= 0
    assert 10 < int(straight.sum()) < 54
    for pair in torch.where(straight[:, None, None], pairs, -pairs.flip(2)):
        assert (pair[1] - pair[0] == POINTS).all() and (pair.diff(dim=1) == 1).all()


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(
    trained: Path, tmp_path: Path
) -> None:
    begun = _training(tmp_path, steps=2)
    train_simulate(begun, lambda steps: _silent)
    again = train_simulate(_training(tmp_path), lambda steps: _silent)
    whole, resumed = load_prior(trained), load_prior(again)
    z = torch.randn(2, FRAMES, POINTS, generator=generator())
    levels = torch.tensor([0.02, *[0.3] * (FRAMES - 1)])
    torch.testing.assert_close(whole.denoise(z, levels), resumed.denoise(z, levels))
    assert "resumed" in resumed.facts and "resumed" not in whole.facts


@pytest.mark.slow
def test_a_training_leaves_weights_with_command_recipe_and_scores(trained: Path) -> None:
    prior, about = load_prior(trained), json.loads(trained.with_suffix(".json").read_text())
    assert prior.facts["recipe"] == about["recipe"] and about["recipe"]["data"]["seeds"] == [0, 3]
    assert about["command"].startswith("physgen train simulate") and set(about["shares"])
    assert imread(trained.parent / "prior.png").std() > 0


@pytest.mark.slow
def test_a_design_leaves_all_its_files(tmp_path: Path) -> None:
    import pyvista

    options = SimulateOptions(cases=2, time=9.0, walk=Walk(levels=3), out=tmp_path)
    verdict = design_simulate(options)
    assert load_verdict(tmp_path / "verdict.json") == verdict
    assert all((tmp_path / name).stat().st_size for name in verdict.files)
    assert verdict.network_evaluations == 19 * (2 * 3 + 20)
    for name in ("nothing changes", "linear prior", "surrogate, ensemble", "solver 64 x 0.5 s"):
        assert name in verdict.baselines
    one = verdict.baselines["surrogate, one run"].figures
    assert "crps" in one and "coverage90" not in one
    with xarray.open_dataset(tmp_path / "fields.h5", group="t0_fields") as fields:
        assert fields["velocity"].shape == (2, 10, POINTS)
        spread = fields["spread_velocity"].values
    assert (spread >= 0).all() and spread[:, 5].mean() > spread[:, 0].mean()
    assert pyvista.PVDReader(str(tmp_path / "fields.pvd")).time_values[-1] == pytest.approx(9)
    with (tmp_path / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10 * (len(verdict.baselines) + 1)
    assert "physgen design simulate --cases 2" in (tmp_path / "report.html").read_text()
    assert imread(tmp_path / "simulate.png")[..., :3].std() > 0.05


def test_a_rival_that_leaves_the_finite_numbers_is_named(task: SimulateTask) -> None:
    coarse = Flow(32, 0.5)
    others = {
        "stays": Rival(lambda: still(task)),
        "bursts": Rival(lambda: 1e200 * coarse.run(1e200 * task.seen, task.frames)[:, None]),
    }
    found, lost = compare(others, task, lambda members: figures(task.judge(members)))
    assert lost == ("bursts",) and list(found) == ["stays"]


def test_the_break_even_is_the_fastest_solver_that_is_as_good() -> None:
    def row(error: float, seconds: float) -> Baseline:
        return Baseline({"crps": figure(torch.tensor([error]), "1")}, 19, seconds, 1)

    rows = {
        "solver 48 x 1 s": row(0.9, 0.1),
        "solver 64 x 1 s": row(0.2, 0.5),
        "solver 96 x 0.5 s": row(0.1, 2.0),
        "surrogate, ensemble": row(0.0, 0.01),
    }
    (said,) = break_even(0.3, 10.0, rows)
    assert "'solver 64 x 1 s'" in said and "20 times as fast" in said
    (said,) = break_even(0.05, 10.0, rows)
    assert said.startswith("No coarse solver")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--members 18", "members must be 19, 39, 59"),
        ("--time 10.5", "whole number of intervals"),
        ("--noise 0.5", "noise must be from 0.002 to 0.2"),
        ("--cases 0", "cases must be at least 1"),
        ("--walk.overlap 8", "overlap by 1 to 7"),
        ("--walk.residual 2", "weight from 0 to 1"),
        ("--walk.dt 0", "time step"),
        ("--weights nowhere.safetensors", "there is no weights file"),
    ],
)
def test_bad_input_is_one_clear_line(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["design", "simulate", *words.split(), "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err.strip()
    assert said in told and "\n" not in told


def test_weights_of_another_prior_are_refused() -> None:
    other = Path(__file__).parent.parent / "design_tasks" / "weights" / "inverse-darcy.safetensors"
    with pytest.raises(ValueError, match="no prior of simulations"):
        load_prior(other)


def test_the_example_draws_futures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(__file__).parent.parent / "examples" / "simulate.py"
    arguments = ["--cases", "2", "--time", "8", "--levels", "3", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")
    assert "CRPS" in capsys.readouterr().out
    assert imread(tmp_path / "simulate.png").std() > 0.05
