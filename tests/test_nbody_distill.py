"""Distilling the N-body prior, end to end and small."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from physgen.cli import main
from physgen.design_tasks.nbody import VARIANTS, NBody
from physgen.design_tasks.nbody_design import Descent, draw
from physgen.design_tasks.nbody_distill import NBodyDistilling
from physgen.design_tasks.nbody_prior import Architecture, load_prior, read_prior, save_prior
from physgen.distillation import Student
from physgen.predictor import DDIM, Anew
from physgen.rounds import distill
from physgen.testbeds import source
from physgen.training import Report, Schedule, silent


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> NBodyDistilling:
    folder = tmp_path_factory.mktemp("distilled")
    torch.manual_seed(0)
    architecture = Architecture(width=16, layers=1, heads=2)
    save_prior(folder / "prior.safetensors", architecture.build(), architecture, {})
    return NBodyDistilling(
        into=2,
        strides=(2, 2),
        weights=folder / "prior.safetensors",
        schedule=Schedule(steps=3, batch=8, warmup=1, save_every=1),
        runs=20,
        out=folder / "out",
    )


@pytest.fixture(scope="module")
def distilled(small: NBodyDistilling) -> Path:
    return distill(small, silent)


def test_a_student_knows_its_levels_and_designs_in_as_many_evaluations(distilled: Path) -> None:
    """Every fourth of the prior's eight, and so it is drawn from, whatever the descent says."""
    student = load_prior(distilled)
    assert isinstance(student, Student)
    assert student.predictor == DDIM()
    assert student.grid.levels == pytest.approx(Descent(steps=8).grid.levels[::4], rel=1e-6)
    task = NBody(2, 24, VARIANTS["classic"])
    assert draw(student, task, 3, source()).evaluations == 2
    with pytest.raises(ValueError, match="choose one candidate, got 2"):
        draw(student, task, 3, source(), descent=Descent(candidates=2))


def test_levels_that_a_student_would_not_heed_are_refused(
    distilled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--weights", distilled, "--descent.steps", 5, "--out", tmp_path]
    assert main(["design", "nbody", *(str(word) for word in words)]) == 2
    assert "levels of its own: leave out --descent.steps, got 5" in capsys.readouterr().err


def test_scores_compare_the_student_with_as_few_evaluations_of_the_prior(distilled: Path) -> None:
    facts = json.loads(distilled.with_suffix(".json").read_text())
    scores = facts["scores"]
    assert scores["off: prior, 8 evaluations"] == 0
    assert scores["off: prior, 2 evaluations"] > 0
    assert "off: student, 2 evaluations" in scores
    assert facts["recipe"]["strides"] == [2, 2]


def test_a_finished_round_is_not_made_again(small: NBodyDistilling, distilled: Path) -> None:
    steps: list[int] = []

    def watched(total: int) -> Report:
        return lambda step, loss: steps.append(step)

    before = distilled.read_bytes()
    distill(small, watched)
    assert not steps
    assert distilled.read_bytes() == before


@pytest.mark.parametrize("changed", ["longer", "other weights"])
def test_a_round_of_another_teacher_is_not_resumed(
    changed: str, small: NBodyDistilling, distilled: Path, tmp_path: Path
) -> None:
    """A first round that goes on changes what the second learns, and a prior what both learn."""
    shutil.copytree(distilled.parent, tmp_path / "out")
    again = replace(small, out=tmp_path / "out")
    if changed == "longer":
        again = replace(again, schedule=replace(small.schedule, steps=4))
    else:
        model, _ = read_prior(small.weights)
        next(model.parameters())[0] += 0.5
        again = replace(again, weights=tmp_path / "other.safetensors")
        save_prior(again.weights, model, Architecture(width=16, layers=1, heads=2), {})
    with pytest.raises(ValueError, match="another recipe"):
        distill(again, silent)


def test_consistency_is_one_round_and_is_walked_with_fresh_noise(
    small: NBodyDistilling, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="one round: choose one stride, such as 4"):
        replace(small, method="consistency")
    path = distill(replace(small, method="consistency", strides=(4,), out=tmp_path), silent)
    student = load_prior(path)
    assert isinstance(student, Student)
    assert student.predictor == Anew()


def test_a_student_is_no_prior_to_distil(
    small: NBodyDistilling, distilled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["distill", "nbody", "--weights", distilled, "--runs", 10, "--out", tmp_path]
    assert main([str(word) for word in words]) == 2
    assert "holds a distilled prior" in capsys.readouterr().err
