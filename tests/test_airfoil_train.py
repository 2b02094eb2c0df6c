"""Training the prior of an airfoil, end to end and small."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from physgen.datasets import airfoil
from physgen.datasets.airfoil import AirfoilData, generate
from physgen.design_tasks.airfoil_averaged import Averaged
from physgen.design_tasks.airfoil_design import Descent, draw
from physgen.design_tasks.airfoil_distill import KNOWN, Airfoil, AirfoilDistilling, Lesson
from physgen.design_tasks.airfoil_prior import (
    SHAPE,
    UNKNOWN,
    Architecture,
    Scales,
    load_prior,
    load_windows,
    save_prior,
)
from physgen.design_tasks.airfoil_run import AirfoilsOptions, design_airfoils
from physgen.design_tasks.airfoil_train import AirfoilTraining, train_airfoil
from physgen.design_tasks.airfoils import Formations
from physgen.progress import Silent
from physgen.rounds import Round, distill, leaps
from physgen.testbeds import source
from physgen.training import Schedule, silent

SMALL = AirfoilTraining(
    simulations=8,
    held_out=0.25,
    workers=1,
    schedule=Schedule(steps=4, batch=4, warmup=2, save_every=2),
    network=Architecture(widths=(8, 16), condition=8),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("airfoil")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SPIN", "SETTLE", "MEAN"):
            patch.setattr(airfoil, name, 0.2)
        generate(AirfoilData(8, shard=8, compile=False, out=folder / "data"))
        options = replace(SMALL, data=folder / "data", out=folder / "run")
        patch.setattr("physgen.design_tasks.airfoil_train.generate", lambda made: [])
        return train_airfoil(options, silent)


def test_a_run_leaves_weights_their_making_and_their_scores(trained: Path) -> None:
    prior = load_prior(trained)
    body, calm = torch.randn(3, 72, 48), torch.zeros(3, 3, 72, 48)
    found = prior.estimate(body, torch.full((3,), 0.5), calm, torch.full((3,), 500.0))
    assert found.flow.shape == calm.shape and found.force.isfinite().all()
    assert prior.account.rows == 3
    facts = json.loads(trained.with_suffix(".json").read_text())
    assert facts["recipe"]["samples"] == 6
    assert 0 < facts["scores"]["flow at noise 0.0"] < 3
    assert {"loss.png", "loss.csv", "checkpoint.safetensors"} <= {
        file.name for file in trained.parent.iterdir()
    }


@pytest.fixture(scope="module")
def distilling(trained: Path) -> AirfoilDistilling:
    return AirfoilDistilling(
        into=2,
        strides=(2, 2),
        weights=trained,
        data=trained.parent.parent / "data",
        simulations=8,
        workers=1,
        schedule=Schedule(steps=4, batch=4, warmup=1, save_every=4),
        out=trained.parent.parent / "distilled",
    )


@pytest.fixture(scope="module")
def distilled(distilling: AirfoilDistilling) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("physgen.design_tasks.airfoil_distill.generate", lambda made: [])
        return distill(distilling, silent)


def test_a_student_designs_formations_at_its_own_levels(distilled: Path) -> None:
    """Two evaluations for each airfoil, and what refines it, whatever the descent says."""
    student = load_prior(distilled)
    assert student.route is not None
    assert student.route.grid.levels == pytest.approx(Descent(steps=8).grid.levels[::4], rel=1e-6)
    drawn = draw(student, Formations(), 1, source(), descent=Descent(steps=9, refine=0))
    assert drawn.evaluations == 2 + 2  # and two to tell what is expected of it
    with pytest.raises(ValueError, match=r"no noisy flow, .* choose coupled or superposed"):
        draw(student, Formations(), 1, source(), Averaged(), descent=Descent(refine=0))
    scores = json.loads(distilled.with_suffix(".json").read_text())["scores"]
    assert scores["off: prior, 8 evaluations"] == 0 < scores["off: student, 2 evaluations"]
    assert scores["off: drag"] > 0


def test_levels_that_a_student_would_not_heed_are_refused(distilled: Path, tmp_path: Path) -> None:
    options = AirfoilsOptions(weights=distilled, descent=Descent(low=0.1), out=tmp_path)
    with pytest.raises(ValueError, match=r"levels of its own: leave out --descent\.low, got 0\.1"):
        design_airfoils(options, Silent())


def test_a_body_leaps_while_its_flow_and_force_stay_what_the_prior_tells(
    distilling: AirfoilDistilling,
) -> None:
    """The loss of the prior itself is the leap's alone, and nothing of a known body."""
    subject = distilling.subject()
    assert isinstance(subject, Airfoil)
    torch.manual_seed(0)
    body, calm = torch.randn(3, *SHAPE), torch.zeros(3, 3, *SHAPE)
    told = (calm, torch.full((3,), 500.0))
    grid, model = subject.grid(4), subject.prior.network
    taught = Round(subject, leaps, model, None, grid, 2)
    lesson = Lesson(taught, model, 0.3)
    level, noise = torch.full((3,), grid.levels[2]), torch.randn(3, *SHAPE)
    z = body + level[:, None, None] * noise
    first = model(z, level, calm, torch.full((3,), UNKNOWN), *told).body
    below = first + grid.levels[3] / grid.levels[2] * (z - first)
    second = torch.full((3,), grid.levels[3])
    end = model(below, second, calm, torch.full((3,), UNKNOWN), *told).body
    weight = grid.levels[2] ** -2 + 1
    expected = weight * (first - end).square().mean((1, 2))
    torch.testing.assert_close(lesson(model, body, level, noise, *told), expected)
    assert not lesson(model, body, torch.full((3,), KNOWN), noise, *told).any()
    other = copy.deepcopy(model)
    last = other.read[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias.add_(1.0)
    forces = lesson(other, body, torch.full((3,), KNOWN), noise, *told)
    torch.testing.assert_close(forces, torch.full((3,), 0.3))


def test_what_a_network_tells_is_kept_with_its_weights(tmp_path: Path) -> None:
    scales = Scales((0.0, 1.0), (1.0,) * 3, (1.0,) * 3, (0.0, 0.0, 1.0, 1.0))
    body, calm = torch.randn(2, 72, 48), torch.zeros(2, 3, 72, 48)
    levels, reynolds = torch.full((2,), 3.0), torch.full((2,), 500.0)
    for velocity, skipped in ((True, 1 / 4), (False, 1 / 10)):
        model = SMALL.network.build(scales, velocity)
        for weight in model.parameters():
            torch.nn.init.zeros_(weight)
        save_prior(tmp_path / "some.safetensors", model, {})
        found = load_prior(tmp_path / "some.safetensors").estimate(body, levels, calm, reynolds)
        torch.testing.assert_close(found.body, skipped * body)


def test_flows_on_another_grid_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SPIN", "SETTLE", "MEAN"):
        monkeypatch.setattr(airfoil, name, 0.5)
    generate(AirfoilData(4, shard=4, cells=12, compile=False, out=tmp_path))
    with pytest.raises(ValueError, match=r"windows of \(36, 24\) cells, .* 24 cells a chord"):
        load_windows(tmp_path)


def test_what_is_no_prior_of_airfoils_is_refused() -> None:
    from physgen.design_tasks.nbody_prior import WEIGHTS

    with pytest.raises(ValueError, match="holds no prior of airfoils: it says 'nbody'"):
        load_prior(WEIGHTS)
