"""Distilling the prior of inverse problems, end to end and small."""

import json
from pathlib import Path

import pytest
import torch

from physgen.cli import main
from physgen.design_tasks.inverse import EQUATIONS, PROBLEMS, InverseTask, Spread, pairs
from physgen.design_tasks.inverse_design import Guidance, draw
from physgen.design_tasks.inverse_distill import Fields, InverseDistilling, Lesson
from physgen.design_tasks.inverse_prior import (
    Architecture,
    gaussian_of,
    load_prior,
    measured,
    save_prior,
    shares_of,
    weights_of,
)
from physgen.distillation import Student
from physgen.predictor import DDIM
from physgen.rounds import Round, distill, graduated, leaps, recipe_of
from physgen.symmetry import Square
from physgen.testbeds import source
from physgen.training import Report, Schedule, silent
from physgen.verdict import load_verdict

DARCY, CELLS = EQUATIONS["darcy"], 16


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> InverseDistilling:
    folder = tmp_path_factory.mktemp("inverse")
    torch.manual_seed(0)
    made = pairs(DARCY.data(CELLS), range(100))
    standard = measured(made, Square(CELLS))
    samples = standard.sample(made)
    law = gaussian_of(samples, (40, 20), Square(CELLS))
    architecture = Architecture((8, 8), 2)
    model = architecture.build(law, Square(CELLS))
    for weight in model.parameters():  # one that begins at zero teaches the Gaussian's walk
        torch.nn.init.normal_(weight, std=0.2)
    shares = shares_of(model, samples[:8], source())
    path = folder / "prior.safetensors"
    save_prior(path, DARCY, standard, law, {}, (model, architecture, shares))
    return InverseDistilling(
        into=2,
        strides=(2,),
        weights=path,
        simulations=8,
        cases=1,
        schedule=Schedule(steps=3, batch=4, warmup=1, save_every=3),
        out=folder / "out",
    )


@pytest.fixture(scope="module")
def distilled(small: InverseDistilling) -> Path:
    return distill(small, silent)


@pytest.fixture(scope="module")
def subject(small: InverseDistilling) -> Fields:
    return small.subject()


def test_the_prior_to_begin_with_is_the_one_of_the_equation_or_the_one_that_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("darcy", "burgers", "navier-stokes"):
        subject = InverseDistilling(equation=name).subject()
        assert isinstance(subject, Fields) and subject.prior.equation.name == name
    with pytest.raises(SystemExit):
        main(["distill", "inverse", "--help"])
    assert "inverse-darcy" not in capsys.readouterr().out
    words = ["--equation", "burgers", "--weights", str(weights_of("darcy"))]
    assert main(["distill", "inverse", *words, "--out", str(tmp_path)]) == 2
    assert "holds no prior of inverse problems of burgers" in capsys.readouterr().err


def test_a_student_is_drawn_from_at_its_own_levels_whatever_guidance_says(
    small: InverseDistilling, distilled: Path
) -> None:
    student, prior = load_prior(DARCY, distilled), load_prior(DARCY, small.weights)
    assert isinstance(student.denoiser, Student)
    assert student.denoiser.predictor == DDIM()
    levels = Guidance(levels=4).grid.levels
    assert student.denoiser.grid.levels == pytest.approx(levels[::2], rel=1e-6)
    torch.testing.assert_close(student.shares, prior.shares)
    task = InverseTask(
        *(DARCY, PROBLEMS["inverse"], Spread(20), 0.01, 1),
        *(prior.standard.mean, prior.standard.scale, source()),
    )
    assert draw(student, task, 3, source()).evaluations == 2
    assert draw(prior, task, 3, source()).evaluations == 20


@pytest.mark.slow
def test_a_student_designs_by_the_same_command(distilled: Path, tmp_path: Path) -> None:
    words = ["design", "inverse", "--weights", distilled, "--sensors", 20, "--cases", 2]
    words += ["--baselines", 0, "--out", tmp_path]
    assert main([str(word) for word in words]) == 0
    verdict = load_verdict(tmp_path / "verdict.json")
    assert verdict.network_evaluations == 2 * 19
    guidance = verdict.options["guidance"]
    assert isinstance(guidance, dict) and "levels" not in guidance
    told = " ".join(str(word) for word in words[:-2])
    report = (tmp_path / "report.html").read_text()
    assert "physgen design inverse --sensors 20 --cases 2 --baselines 0 --weights" in report, told
    assert f"heeded by {2 * 4 * 19} sweeps" in report


def test_a_student_has_levels_of_its_own(
    distilled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--weights", distilled, "--guidance.levels", 5, "--out", tmp_path]
    assert main(["design", "inverse", *(str(word) for word in words)]) == 2
    assert "levels of its own: leave out --guidance.levels, got 5" in capsys.readouterr().err


def test_scores_are_of_the_student_and_of_the_prior_at_its_levels(distilled: Path) -> None:
    facts = json.loads(distilled.with_suffix(".json").read_text())
    scores = facts["scores"]
    assert [*scores][:6] == [
        f"crps {problem}: {who} evaluations"
        for problem in ("forward", "inverse")
        for who in ("prior, 4", "prior, 2", "student, 2")
    ]
    assert scores["off: prior, 4 evaluations"] == 0 < scores["off: prior, 2 evaluations"]
    assert facts["command"].startswith("physgen distill inverse --into 2 --strides 2 --weights")


@pytest.mark.usefixtures("distilled")
def test_a_finished_round_is_not_made_again(small: InverseDistilling, subject: Fields) -> None:
    steps: list[int] = []

    def watched(total: int) -> Report:
        return lambda step, loss: steps.append(step)

    graduated(small, subject, recipe_of(small, subject), torch.device("cpu"), watched)
    assert not steps


def test_errors_count_by_what_the_gaussian_leaves_open(subject: Fields) -> None:
    """One of the size that each field is left open by is a loss of one at every level."""
    taught = Round(subject, leaps, subject.model, None, subject.grid(4), 2)
    x, level, noise = taught.draw(torch.randn(6, 2, CELLS, CELLS, generator=source()), source())
    z = x + level[:, None, None, None] * noise
    base = subject.prior.gaussian

    class Off(torch.nn.Module):
        def __init__(self, size: float) -> None:
            super().__init__()
            self.base, self.size = base, size

        def forward(self, z: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
            wanted = taught.wanted(subject.model, z, s)
            return wanted + self.size * base.deviations(s)[:, :, None, None]

    for size in (0.0, 1.0, 2.0):
        loss = Lesson(taught)(Off(size), x, level, noise)
        torch.testing.assert_close(loss, torch.full((6,), size**2), rtol=1e-3, atol=1e-5)
    assert not torch.equal(taught.wanted(subject.model, z, level), subject.model(z, level))


@pytest.mark.parametrize("equation", ["poisson", "helmholtz"])
def test_what_has_no_network_is_not_distilled(
    equation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["distill", "inverse", "--equation", equation, "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"the prior of {equation} is an exact Gaussian without a network" in said
    assert "lower --guidance.levels" in said
