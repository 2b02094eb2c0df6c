"""Distilling the prior of Burgers control, end to end and small."""

import json
from pathlib import Path

import pytest
import torch

from physgen.cli import main
from physgen.datasets.burgers_control import POINTS, outer_quarters
from physgen.design_tasks.burgers_design import Flow
from physgen.design_tasks.burgers_distill import BurgersDistilling
from physgen.design_tasks.burgers_prior import (
    CHANNELS,
    Architecture,
    hints,
    load_prior,
    read_prior,
    save_prior,
)
from physgen.rounds import Round, distill, ends, leaps, route_of
from physgen.testbeds import source
from physgen.training import Schedule, silent
from physgen.verdict import load_verdict


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> BurgersDistilling:
    folder = tmp_path_factory.mktemp("burgers")
    torch.manual_seed(0)
    architecture = Architecture(patch=16, width=32, layers=1)
    model = architecture.build()
    for weight in model.parameters():  # a network that begins at zero answers all alike
        torch.nn.init.normal_(weight, std=0.2)
    save_prior(folder / "prior.safetensors", model, architecture, {})
    return BurgersDistilling(
        into=2,
        strides=(2,),
        weights=folder / "prior.safetensors",
        runs=4,
        targets=1,
        schedule=Schedule(steps=3, batch=4, warmup=1, save_every=3),
        out=folder / "out",
    )


@pytest.fixture(scope="module")
def distilled(small: BurgersDistilling) -> Path:
    return distill(small, silent)


def test_a_student_designs_forces_in_its_own_number_of_evaluations(
    distilled: Path, tmp_path: Path
) -> None:
    route = route_of(read_prior(distilled)[1])
    assert route is not None
    assert route.grid.levels == pytest.approx(Flow(4).grid.levels[::2], rel=1e-6)
    words = ["--weights", distilled, "--designs", 2, "--baselines", 0, "--out", tmp_path]
    assert main(["design", "burgers-control", *(str(word) for word in words)]) == 0
    verdict = load_verdict(tmp_path / "verdict.json")
    assert verdict.network_evaluations == 2
    assert verdict.method == "distilled"
    assert "evaluations" not in verdict.options and "method" not in verdict.options
    said = f"physgen design burgers-control --designs 2 --baselines 0 --weights {distilled}<"
    assert said in (tmp_path / "report.html").read_text()


def test_scores_are_of_the_student_and_of_the_prior_with_as_many_evaluations_and_more(
    distilled: Path,
) -> None:
    scores = json.loads(distilled.with_suffix(".json").read_text())["scores"]
    names = ("prior, 4", "prior, 2", "student, 2")
    assert [*scores] == [
        f"objective {setting}: {who} evaluations"
        for setting in ("fo-pc", "po-fc", "po-pc")
        for who in names
    ]
    assert all(value > 0 for value in scores.values())


@pytest.mark.parametrize("option", [("--gamma", "0.5"), ("--known", "inpainted")])
def test_a_student_is_asked_for_what_it_was_taught_only(
    option: tuple[str, str], distilled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["design", "burgers-control", "--weights", str(distilled), *option]
    assert main(words) == 2
    assert "no density to reweight: choose known told and gamma 1" in capsys.readouterr().err
    with pytest.raises(ValueError, match="holds a distilled prior, which has levels of its own"):
        load_prior(distilled)


@pytest.mark.parametrize("option", [("--method", "diffusion"), ("--evaluations", "4")])
def test_what_a_student_would_not_heed_is_refused(
    option: tuple[str, str], distilled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["design", "burgers-control", "--weights", str(distilled), *option]
    assert main(words) == 2
    assert f"levels of its own: leave out {option[0]}, got {option[1]}" in capsys.readouterr().err


def test_teacher_and_student_are_told_the_same(small: BurgersDistilling) -> None:
    """What a leap says under some hints is no loss under these, and is one under others."""
    subject = small.subject()
    grid = subject.grid(4)
    taught = Round(subject, leaps, subject.model, None, grid, 2)
    first, last = torch.randn(2, 3, 1, POINTS, generator=source()).unbind(0)
    everywhere = torch.ones(POINTS, dtype=torch.bool)
    told = hints(first, last, everywhere, outer_quarters())
    other = hints(last, first, everywhere, outer_quarters())
    x, level, noise = taught.draw(torch.randn(3, CHANNELS, POINTS, generator=source()), source())
    perfect = leaps(taught.teacher(told), grid, 2).target.denoise
    assert not taught.of(perfect, x, level, noise, told).any()
    assert taught.of(perfect, x, level, noise, other).min() > 1e-4
    torch.testing.assert_close(
        taught(subject.model, x, level, noise, told),
        taught.of(lambda z, s: subject.model(z, s, told), x, level, noise, told),
    )
    consistent = Round(subject, ends, subject.model, None, grid, 2)
    assert consistent(subject.model, x, level, noise, told).shape == (3,)
