"""Inverse problems of equations in time, held to their symmetries, closed forms and the solver."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import xarray
from matplotlib.image import imread
from torch import Tensor

from physgen.cli import main
from physgen.datasets import store
from physgen.datasets.seeds import TEST_SEEDS, TRAINING_SEEDS
from physgen.design_tasks.inverse import (
    EQUATIONS,
    PROBLEMS,
    AroundHole,
    Coarse,
    InverseTask,
    Look,
    Spread,
    Stations,
)
from physgen.design_tasks.inverse_design import Guidance, Sweeps, draw
from physgen.design_tasks.inverse_evolving import BURGERS, NAVIER_STOKES, Advancing, Vortices
from physgen.design_tasks.inverse_prior import (
    LEVELS,
    InversePrior,
    gaussian_of,
    load_prior,
    measured,
)
from physgen.design_tasks.inverse_searches import adjoint, kriging, linear
from physgen.design_tasks.inverse_train import InverseTraining, Network, train_inverse
from physgen.solvers.periodic import Periodic
from physgen.solvers.random_field import PeriodicField
from physgen.training import Schedule

every_equation = pytest.mark.parametrize("name", ["navier-stokes", "burgers"])
CELLS = {"navier-stokes": 32, "burgers": 64}
KEPT = {"navier-stokes": (6, 8), "burgers": (200,)}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def priors() -> dict[str, InversePrior]:
    """Gaussians, from a few simulations and all their images."""
    found = {}
    for name, kept in KEPT.items():
        law = EQUATIONS[name].data(CELLS[name])
        made = law.pairs(range(90))
        standard = measured(made, law.symmetry)
        gaussian = gaussian_of(standard.sample(made), kept, law.symmetry)
        shares = torch.ones(len(LEVELS), gaussian.fields)
        found[name] = InversePrior(EQUATIONS[name], standard, gaussian, gaussian, shares, {})
    return found


def task_of(
    prior: InversePrior, problem: str = "both", look: Look | None = None, cases: int = 2
) -> InverseTask:
    known = (prior.standard.mean, prior.standard.scale)
    asked = PROBLEMS[problem]
    return InverseTask(
        prior.equation, asked, look or Spread(16), 0.05, cases, *known, generator(4)
    )


@every_equation
def test_images_of_solutions_are_solutions(name: str, priors: dict[str, InversePrior]) -> None:
    law = EQUATIONS[name].data(CELLS[name])
    truth = law.pairs(range(4))
    assert (law.owed(truth).residual < 3e-3).all()
    for seed in range(3):
        assert (law.owed(law.symmetry.drawn(truth, generator(seed))).residual < 3e-3).all()
    assert (law.owed(truth.flip(2)).residual > 0.1).all()  # no image: signs, or time, turned alone


@every_equation
def test_truth_is_of_test_seeds_and_of_a_finer_solver(
    name: str, priors: dict[str, InversePrior]
) -> None:
    task = task_of(priors[name])
    assert all(seed in TEST_SEEDS and seed not in TRAINING_SEEDS for seed in task.seeds)
    again = task.law.truth(task.seeds[1:])
    torch.testing.assert_close(again[0], task.truth[1], atol=1e-5, rtol=1e-5)
    coarse = task.law.pairs(task.seeds)
    apart = (coarse - task.truth).flatten(1).norm(dim=1) / task.truth.flatten(1).norm(dim=1)
    assert (apart > 1e-6).all() and (apart < 0.05).all()
    start = task.given
    torch.testing.assert_close(start.of(coarse), start.of(task.truth))


@every_equation
def test_a_step_leads_to_the_state_of_its_start(
    name: str, priors: dict[str, InversePrior]
) -> None:
    prior = priors[name]
    task = task_of(prior)
    first, state = prior.equation.parts
    off = state.instead(task.truth, 1.3 * state.of(task.truth))
    step = Sweeps(task.law, prior.equation, prior.standard, 1)
    mended = prior.standard.physical(step.mend(prior.standard.sample(off)).double())
    torch.testing.assert_close(first.of(mended), first.of(off), atol=1e-4, rtol=1e-4)
    assert (task.law.owed(mended).solver_error < 0.03).all()
    assert (task.law.owed(off).solver_error > 0.25).all()


def test_the_later_vorticity_is_no_linear_function_of_the_first(
    priors: dict[str, InversePrior],
) -> None:
    """Even if all of it is seen, the best linear estimate misses more than a half."""
    prior = priors["navier-stokes"]
    law = prior.equation.data(CELLS["navier-stokes"])
    given, later = prior.standard.sample(law.pairs(range(150, 160))).unbind(1)
    known = torch.stack([given, torch.zeros_like(given)], 1)
    basis = prior.gaussian.bases[0]
    shared = basis.shape[1]
    c = prior.gaussian.covariance
    gain = c[shared : 2 * shared, :shared].diagonal() / c[:shared, :shared].diagonal()
    best = prior.gaussian.amplitudes(known)[:, :shared] * gain
    told = (best @ basis.mT).view_as(later)
    assert ((told - later).norm() / later.norm()).item() > 0.5
    assert ((told - later).norm() / later.norm()).item() < 0.9


def test_a_periodic_field_has_its_deviation_and_the_covariance_of_its_waves() -> None:
    law, grid = PeriodicField(3.0, 9.0, 0.7, 3), Periodic((8, 16), (1.0, 1.0))
    unit = torch.eye(49, dtype=torch.float64).view(49, 7, 7)
    basis = law.compose(grid, unit).flatten(1)
    places = torch.tensor([0, 17, 127])
    found = law.covariance(grid, places).flatten(1)
    torch.testing.assert_close(found, basis[:, places].mT @ basis)
    torch.testing.assert_close(found[[0, 1, 2], places].sqrt(), torch.full((3,), 0.7).double())
    fine = law.draw(Periodic((16, 16), (1.0, 1.0)), 2, generator(1))
    torch.testing.assert_close(fine[:, ::2], law.draw(grid, 2, generator(1)))
    assert fine.mean((1, 2)).abs().max() < 1e-12
    with pytest.raises(ValueError, match="alpha > 1"):
        PeriodicField(1.0, 9.0, 0.7, 3)


def test_sensors_are_where_each_problem_has_them(priors: dict[str, InversePrior]) -> None:
    rows = {}
    for problem in PROBLEMS:
        task = task_of(priors["burgers"], problem)
        place = task.seen.places[..., 0]
        rows[problem] = set((place // 64).flatten().tolist())
        column = (place % 64).sort(1).values
        if problem != "both":  # one in each four points
            assert (column // 4 == torch.arange(16)).all()
    assert (rows["forward"], rows["inverse"]) == ({0}, {63})
    assert len(rows["both"]) > 8
    watched = task_of(priors["burgers"], "both", Stations(3)).seen.places[0, :, 0]
    assert sorted((watched // 64).tolist()) == sorted(list(range(64)) * 3)
    assert len(set((watched % 64).tolist())) == 3
    first, state = BURGERS.parts
    every = torch.cat([part.places(1, (64, 64)).flatten() for part in (first, state)])
    assert every.tolist() == list(range(64 * 64))


def test_descent_from_the_law_ends_at_the_kriged_start(priors: dict[str, InversePrior]) -> None:
    prior = priors["burgers"]
    task = task_of(prior, "forward")
    descended, kriged = adjoint(prior, task, 60), kriging(task)
    first = task.given
    apart = first.of(descended.pairs - kriged.pairs).flatten(1).norm(dim=1)
    assert (apart < 0.02 * first.of(kriged.pairs).flatten(1).norm(dim=1)).all()
    assert (descended.calls, kriged.calls) == (1, 1)
    assert (task.law.owed(kriged.pairs).solver_error < 1e-5).all()


@pytest.mark.slow
@every_equation
def test_descent_through_the_solver_finds_a_start_from_its_state(
    name: str, priors: dict[str, InversePrior]
) -> None:
    prior = priors[name]
    task = task_of(prior, "inverse", Spread(60 if name == "navier-stokes" else 16))
    found, best = adjoint(prior, task, 12), linear(prior, task)
    assert found.calls == 25
    assert task.errors(found.pairs)[:, 0].mean() < task.errors(best.pairs)[:, 0].mean()


@every_equation
def test_draws_agree_with_sensors_equation_and_truth(
    name: str, priors: dict[str, InversePrior]
) -> None:
    prior = priors[name]
    task = task_of(prior, "both", Spread(64), 1)
    free = draw(prior, task, 19, generator(1), Guidance(levels=6, residual=0.0))
    led = draw(prior, task, 19, generator(1), Guidance(levels=6))
    alone, with_equation = task.judge(free.draws), task.judge(led.draws)
    fall = 1.3 if prior.equation.keeps_seen else 3  # waves that sensors know are left to them
    assert (with_equation.residual < alone.residual / fall).all()
    assert (with_equation.solver_error < alone.solver_error / fall).all()
    assert (alone.relative_error < 0.7).all()
    assert led.solutions == led.heeded * task.law.solutions and free.solutions == 0
    assert 2 < led.heeded < 6 and free.heeded == 0
    seen = task.seen.see(prior.standard.sample(free.draws.flatten(0, 1)))
    missed = (seen - task.seen.values.repeat_interleave(19, 0)).square().mean().sqrt()
    assert missed < 0.15


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small priors on 16 points, hardly trained."""
    schedule = Schedule(steps=2, batch=4, save_every=2)
    found = {}
    for name, kept in (("navier-stokes", (4, 6)), ("burgers", (60,))):
        out = tmp_path_factory.mktemp(name)
        options = InverseTraining(name, 40, 16, kept, schedule, Network((8, 16), 2), out=out)
        found[name] = train_inverse(options, lambda steps: lambda step, loss: None)
    return found


@every_equation
def test_a_run_leaves_what_it_names(
    name: str, weights: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = f"design inverse --equation {name} --problem forward --sensors 12 --cases 1"
    more = f"--baselines 1 --gradients 2 --weights {weights[name]} --guidance.levels 3 --out {out} --json"
    assert main([*words.split(), *more.split()]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["baselines"]) == ["prior mean", "linear", "kriging and solver", "adjoint, 2"]
    assert set(told["files"]) <= {path.name for path in out.iterdir()}
    with store.opened(out / "fields.h5") as file:
        assert store.seeds(file).tolist() == [TEST_SEEDS.start]
    with xarray.open_dataset(out / "fields.h5", group="t0_fields", engine="h5netcdf") as fields:
        if name == "burgers":
            assert fields["velocity"].dims == ("sample", "time", "x")
            assert fields["velocity"].attrs["units"] == "m s-1"
            assert fields["velocity"].shape == (1, 16, 16)
        else:
            assert fields["initial_vorticity"].dims == ("sample", "time", "x", "y")
            assert fields["vorticity"].attrs["units"] == "s-1"
    with xarray.open_dataset(out / "fields.h5", engine="h5netcdf") as root:
        assert root["time"].values[-1] == (1 if name == "burgers" else 0)
    with (out / "observed.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    if name == "burgers":
        assert {row["t"] for row in rows} == {"0"}
    assert imread(out / "fields.png").std() > 0.1


LOOKED: dict[str, tuple[Look, float]] = {
    "stations": (Stations(4), 0.7),
    "coarse": (Coarse(8), 0.4),
    "hole": (AroundHole(), 0.9),
    "whole": (AroundHole(0.0), 0.4),
}


@pytest.mark.parametrize("look", list(LOOKED))
@every_equation
def test_means_holes_and_whole_states_are_looks_of_the_same_prior(
    name: str, look: str, weights: dict[str, Path]
) -> None:
    where, most = LOOKED[look]
    prior = load_prior(EQUATIONS[name], weights[name])
    task = task_of(prior, "both" if look == "stations" else "forward", where, 1)
    drawn = draw(prior, task, 19, generator(1), Guidance(levels=5)).draws
    errors = task.errors(drawn.mean(1))[0]
    assert errors[1] < most
    if look == "whole":
        assert errors[0] < 0.1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--equation navier-stokes --look stations", "navier-stokes has no axis of it"),
        ("--equation burgers --sensors 65", "from 1 to the 64 cells"),
        ("--equation burgers --look coarse --blocks 7", "must divide the 64 cells"),
    ],
)
def test_bad_options_are_refused_in_one_line(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(f"design inverse --out {tmp_path} {words}".split()) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_grids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8, got 20"):
        Vortices(20)
    with pytest.raises(ValueError, match="divide 128, got 24"):
        Advancing(24)


@every_equation
def test_the_prior_that_ships_knows_more_than_its_gaussian(name: str) -> None:
    prior = load_prior({"navier-stokes": NAVIER_STOKES, "burgers": BURGERS}[name])
    x = prior.standard.sample(
        prior.equation.data().pairs(range(TEST_SEEDS.start, TEST_SEEDS.start + 3))
    )
    noise: Tensor = torch.randn(x.shape, generator=generator())
    for s in (0.3, 1.0, 3.0):
        error = (prior.denoiser.denoise(x + s * noise, s) - x).square().mean()
        plain = (prior.gaussian.denoise(x + s * noise, s) - x).square().mean()
        assert error < 0.9 * plain


def test_a_start_too_fast_for_the_steps_is_solved_by_shorter_ones() -> None:
    law = BURGERS.data(64)
    assert isinstance(law, Advancing)
    (x,) = Periodic((64,), (1.0,)).places(torch.zeros(1, dtype=torch.float64))
    fast = 12 * torch.sin(2 * torch.pi * x)[None, None]
    points, steps = law.made
    with pytest.raises(FloatingPointError):
        law._after(fast, (points, steps))
    found, sharp = law.after(fast, law.made), law.after(fast, (2 * points, 16 * steps))
    assert (found - sharp).norm() < 0.1 * sharp.norm()  # its front is too thin for the points
    with pytest.raises(FloatingPointError):
        law.after(torch.full_like(fast, torch.inf), law.made)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"equation": "burgers", "kept": (200, 100)}, "must be 1 numbers"),
        ({"equation": "navier-stokes", "kept": (8,)}, "must be 2 numbers"),
        ({"equation": "darcy", "kept": (0, 5)}, "at least 1"),
    ],
)
def test_components_of_another_equation_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        InverseTraining(**options)
    with pytest.raises(ValueError, match="widths and patch"):
        Network(patch=0)
