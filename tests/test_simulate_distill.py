"""Distilling the prior of simulations, end to end and small."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from physgen.cli import main
from physgen.corrected_windows import KNOWN
from physgen.design_tasks.simulate import POINTS, SimulateTask
from physgen.design_tasks.simulate_design import Walk, draw
from physgen.design_tasks.simulate_distill import (
    LedDraw,
    Lesson,
    SimulateDistilling,
    Unfolding,
    told,
)
from physgen.design_tasks.simulate_prior import (
    FRAMES,
    Architecture,
    SimulatePrior,
    load_prior,
    save_prior,
)
from physgen.predictor import DDIM, DPMpp2M
from physgen.rounds import Round, distill, graduated, leaps, recipe_of
from physgen.testbeds import source
from physgen.training import Report, Schedule, silent
from physgen.verdict import load_verdict


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SimulateDistilling:
    folder = tmp_path_factory.mktemp("simulate")
    torch.manual_seed(0)
    shipped = load_prior()
    architecture = Architecture(8, (1, 2))
    models = {
        "prior": architecture.build(shipped.base),
        "surrogate": architecture.build(shipped.base.first(2)),
    }
    for weight in models["prior"].parameters():
        torch.nn.init.normal_(weight, std=0.2)
    path = folder / "prior.safetensors"
    save_prior(path, shipped.scale, shipped.base, architecture, models, {})
    return SimulateDistilling(
        into=2,
        strides=(2,),
        weights=path,
        simulations=2,
        frames=10,
        cases=1,
        schedule=Schedule(steps=4, batch=4, warmup=1, save_every=4),
        out=folder / "out",
    )


@pytest.fixture(scope="module")
def distilled(small: SimulateDistilling) -> Path:
    return distill(small, silent)


@pytest.fixture(scope="module")
def subject(small: SimulateDistilling) -> Unfolding:
    return small.subject()


@pytest.mark.slow
def test_a_student_draws_windows_in_its_own_number_of_evaluations(
    distilled: Path, tmp_path: Path
) -> None:
    """Every second of the prior's four levels; the first frame has levels of its own, as before."""
    student = load_prior(distilled)
    assert student.route is not None and student.route.predictor == DDIM()
    levels = Walk(levels=4).grid.levels
    assert student.route.grid.levels == pytest.approx(levels[::2], rel=1e-6)
    words = ["--weights", distilled, "--cases", 1, "--time", 9, "--no-baselines"]
    words += ["--out", tmp_path]
    assert main(["design", "simulate", *(str(word) for word in words)]) == 0
    verdict = load_verdict(tmp_path / "verdict.json")
    assert verdict.network_evaluations == 19 * (2 * 2 + 20)
    assert verdict.options["walk"] == {
        name: value for name, value in vars(Walk()).items() if name != "levels"
    }
    assert f"--no-baselines --weights {distilled}" in (tmp_path / "report.html").read_text()


def test_a_student_is_walked_as_its_route_says_and_the_linear_prior_is_not(
    small: SimulateDistilling, distilled: Path
) -> None:
    prior, student = load_prior(small.weights), load_prior(distilled)
    assert student.route is not None
    task = SimulateTask(1, 9, 0.02, prior.scale, prior.base.spectrum, source())
    walk = Walk(levels=4)

    def members(one: SimulatePrior) -> Tensor:
        return draw(one, task, 3, source(1), walk).members

    alike = replace(prior, route=replace(student.route, grid=walk.grid, predictor=DPMpp2M()))
    torch.testing.assert_close(members(alike), members(prior))
    assert draw(student, task, 3, source(1)).evaluations == 2 * 2 + 20
    linear = [draw(one, task, 3, source(1), walk, prior.gaussian) for one in (prior, student)]
    torch.testing.assert_close(linear[0].members, linear[1].members)


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (("--walk.levels", "4"), "levels of its own: leave out --walk.levels, got 4"),
        (("--walk.overlap", "3"), "led by at most 2 frames, got an overlap of 3"),
    ],
)
def test_a_student_is_asked_for_what_it_was_taught_only(
    option: tuple[str, str],
    why: str,
    distilled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--weights", distilled, "--cases", 1, "--time", 9, "--out", tmp_path, *option]
    assert main(["design", "simulate", *(str(word) for word in words)]) == 2
    assert why in capsys.readouterr().err


def test_scores_are_of_the_student_and_of_the_prior_at_its_levels(distilled: Path) -> None:
    facts = json.loads(distilled.with_suffix(".json").read_text())
    scores = facts["scores"]
    names = ("prior, 4", "prior, 2", "student, 2")
    assert [*scores][:3] == [f"crps: {who} evaluations" for who in names]
    assert scores["off: prior, 4 evaluations"] == 0 < scores["off: prior, 2 evaluations"]
    assert facts["command"].startswith("physgen distill simulate --strides 2 --weights")


@pytest.mark.usefixtures("distilled")
def test_a_finished_round_is_not_made_again(small: SimulateDistilling, subject: Unfolding) -> None:
    steps: list[int] = []

    def watched(total: int) -> Report:
        return lambda step, loss: steps.append(step)

    graduated(small, subject, recipe_of(small, subject), torch.device("cpu"), watched)
    assert not steps


def test_windows_are_led_by_what_was_seen_or_is_known_and_first_frames_by_all_others(
    subject: Unfolding,
) -> None:
    taught = Round(subject, leaps, subject.model, None, subject.grid(4), 2)
    batches = LedDraw(subject.known, 8, taught)
    shapes = []
    for step in range(4):
        x, level, noise, held, lows = batches(step, source(step))
        assert x.shape == noise.shape and held.shape[:2] == lows.shape
        assert lows.min() >= KNOWN and (step == 0 or lows.max() <= 1.001 * KNOWN)
        shapes.append((x.shape[1], held.shape[1]))
        if step < 3:
            apart = level[:, None] / torch.tensor(subject.grid(4).levels[:-1:2]) - 1
            assert (apart.abs().amin(1) < 1e-5).all()
    assert shapes == [(7, 1), (6, 2), (6, 2), (1, 7)]


def test_a_leap_is_no_loss_and_of_first_frames_the_prior_is_none(
    subject: Unfolding,
) -> None:
    """The prior itself misses its own leaps; what a leap says is the walk of the same held frames."""
    taught = Round(subject, leaps, subject.model, None, subject.grid(4), 2)
    lesson, batches = Lesson(taught, subject.prior.model), LedDraw(subject.known, 8, taught)
    losses = [lesson(subject.prior.model, *batches(step, source(step))) for step in range(4)]
    assert all(loss.min() > 1e-4 for loss in losses[:3])
    assert not losses[3].any()
    x, level, noise, held, lows = batches(0, source())
    z = x + level[:, None, None] * noise
    wanted = taught.wanted(subject.prior.model, z, level, held, lows)
    above = torch.tensor(subject.grid(4).levels).double()
    first = int((above - level[0]).abs().argmin())
    low = z.double()
    for a, b in zip(above[first : first + 2], above[first + 1 : first + 3], strict=True):
        clean = told(
            subject.prior.model, low[:1].float(), level[:1] * 0 + a.float(), held[:1], lows[:1]
        )
        low = clean.double() + b / a * (low[:1] - clean.double())
    ratio = above[first + 2] / above[first]
    expected = (low - ratio * z[:1].double()) / (1 - ratio)
    torch.testing.assert_close(wanted[:1].double(), expected, rtol=1e-4, atol=1e-4)


def test_what_is_told_of_frames_is_in_the_order_of_the_window() -> None:
    """Held frames come back from nowhere, and each frame is asked at its own level."""
    z = torch.randn(5, 6, POINTS, generator=source())
    held = torch.randn(5, 2, POINTS, generator=source(1))
    level, lows = torch.rand(5, generator=source()), torch.full((5, 2), KNOWN)

    class Mirror(torch.nn.Module):
        def forward(self, z: Tensor, levels: Tensor) -> Tensor:
            assert z.shape[1] == levels.shape[1] == FRAMES
            return z * levels[..., None]

    torch.testing.assert_close(told(Mirror(), z, level, held, lows), z * level[:, None, None])
    first, after = z[:, :1], torch.randn(5, 7, POINTS, generator=source(2))
    lows = torch.full((5, 7), KNOWN)
    torch.testing.assert_close(
        told(Mirror(), first, level, after, lows), first * level[:, None, None]
    )
