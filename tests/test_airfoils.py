"""Airfoils that fly together: the prior that ships, and the whole command."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from physgen.cli import main
from physgen.datasets import airfoil
from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks.airfoil_averaged import Averaged, parted, seen_noise, shared
from physgen.design_tasks.airfoil_decode import parameters_of
from physgen.design_tasks.airfoil_design import Descent, draw, expected
from physgen.design_tasks.airfoil_formation import Composition, Coupled, Superposed
from physgen.design_tasks.airfoil_price import Prices, price
from physgen.design_tasks.airfoil_prior import CELL, SHAPE, load_prior
from physgen.design_tasks.airfoil_run import in_line
from physgen.design_tasks.airfoil_screen import choice, solver_price
from physgen.design_tasks.airfoils import Formations, Judged, Trial, judge_each
from physgen.design_tasks.flow_cases import Formation
from physgen.verdict import load_verdict

ROOT = Path(__file__).parent.parent
QUICK = Descent(steps=3, refine=1)


@pytest.fixture(scope="module")
def simulated() -> tuple[Airfoils, torch.Tensor]:
    """Two airfoils in line, and their drag and lift by the solver."""
    pair = in_line(Formations(), 1.7, 0.1)
    return pair, 2 * Formations().simulate(pair).force


def claimed(way: Composition, pair: Airfoils) -> torch.Tensor:
    return expected(load_prior(), Formations(), pair, way).force


def test_what_a_follower_saves_is_known_from_a_prior_of_one(
    simulated: tuple[Airfoils, torch.Tensor],
) -> None:
    pair, force = simulated
    together, apart = claimed(Coupled(2), pair), claimed(Superposed(), pair)
    drag = force[0, :, 0].sum()
    assert abs(together[0, :, 0].sum() / drag - 1) < 0.1
    assert apart[0, :, 0].sum() / drag - 1 > 0.2
    assert (together[0, :, 1].mean() - force[0, :, 1].mean()).abs() < 0.06


def test_averaging_a_shared_flow_knows_less_of_a_pair(
    simulated: tuple[Airfoils, torch.Tensor],
) -> None:
    """A mean of what two airfoils do is half of it where only one does anything."""
    pair, force = simulated
    averaged, coupled = claimed(Averaged(steps=8), pair), claimed(Coupled(2), pair)
    drag = force[0, :, 0].sum()
    assert (averaged[0, :, 0].sum() - drag).abs() > 2 * (coupled[0, :, 0].sum() - drag).abs()


def test_windows_of_one_flow_share_it_and_its_noise() -> None:
    place = torch.tensor([[[0.0, 0.0], [1.5, 0.25]]])
    ones = torch.ones(1, 2, 3, *SHAPE)
    inside = shared(parted(ones, place), place)[:, :, :, 8:-8, 8:-8]
    torch.testing.assert_close(inside, torch.ones_like(inside))
    noise = seen_noise(place, torch.Generator().manual_seed(0))
    dx, dy = round(1.5 / CELL), round(0.25 / CELL)
    assert torch.equal(noise[0, 0, :, dx:, dy:], noise[0, 1, :, :-dx, :-dy])


def test_the_same_seed_draws_the_same_designs_and_more_are_more_of_them() -> None:
    prior, task = load_prior(), Formations()
    few = draw(prior, task, 2, torch.Generator().manual_seed(3), descent=QUICK)
    same = draw(prior, task, 2, torch.Generator().manual_seed(3), descent=QUICK)
    assert torch.equal(few.claimed, same.claimed)
    assert few.evaluations == 3 + 1 + 2


def test_a_leader_that_is_given_stays_as_it_is() -> None:
    prior, task = load_prior(), Formations()
    first = Airfoils(*(part[0, :1][:, None] for part in in_line(task)))
    leader = parameters_of(first)
    found = draw(prior, task, 2, torch.Generator().manual_seed(3), descent=QUICK, leader=leader)
    for given, own in zip(first, found.airfoils, strict=True):
        torch.testing.assert_close(own[:, :1], given.expand_as(own[:, :1]), atol=1e-5, rtol=0)


def test_three_airfoils_take_as_much_for_each_as_two() -> None:
    prior = load_prior()
    spent = [
        draw(prior, Formations(n), 1, torch.Generator().manual_seed(0), descent=QUICK).evaluations
        for n in (2, 3, 4)
    ]
    assert spent == [6, 6, 6]


@pytest.mark.filterwarnings("ignore:body .* cells thick")
def test_what_is_found_of_a_design_depends_on_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPIN", "SETTLE", "MEAN"):
        monkeypatch.setattr(airfoil, name, 0.5)
    task = Formations(gap=0.4)
    near, far = in_line(task, 1.6), in_line(task, 2.6)
    both = Airfoils(*(torch.cat(pair) for pair in zip(near, far, strict=True)))
    together, alone = judge_each([Trial(task, both, 12), Trial(task, near, 12)])
    assert torch.equal(together.force[:1], alone.force)
    assert torch.equal(together.alone[:1], alone.alone)


@pytest.mark.filterwarnings("ignore:body .* cells thick")
def test_the_solver_chooses_the_cheapest_of_each_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPIN", "SETTLE", "MEAN"):
        monkeypatch.setattr(airfoil, name, 0.5)
    task = Formations(gap=0.4)
    near, far, touching = in_line(task, 1.6), in_line(task, 2.6), in_line(task, 1.0)
    rows = [near, touching, touching, far]
    some = Airfoils(*(torch.cat(parts) for parts in zip(*rows, strict=True)))
    cost = solver_price(task, some, Prices(lift=0.0), 12)
    forces = torch.cat([2 * task.simulate(one, 12).force for one in (near, far)])
    faith = cost[[0, 3]] - price(task, Prices(lift=0.0), forces)
    # How unusual the sections are, which are the same, wherever they are.
    assert 0 < faith[0] < 0.02
    torch.testing.assert_close(faith[0], faith[1])
    assert cost[1] == cost[2] > 1
    assert choice(cost, 2).tolist() == [0, 3]


def test_the_reference_has_the_lift_of_the_formation() -> None:
    """Drag is a parabola of the turn and lift a line: three turns know both, two know the line."""

    def judged(turns: tuple[float, ...]) -> Judged:
        turn = torch.tensor(turns)
        alone = torch.stack([0.2 + 0.001 * (turn + 4) ** 2, 0.5 + 0.05 * turn], -1)[None, None]
        force = torch.tensor([[[0.15, 0.3]]])
        return Judged(force, alone, torch.zeros(1), torch.ones(1), turns)

    three, two = judged((-6.0, -3.0, 0.0)), judged((-4.1, 0.0))
    torch.testing.assert_close(three.turn, torch.tensor([-4.0]))
    torch.testing.assert_close(two.turn, torch.tensor([-4.0]))
    torch.testing.assert_close(three.drag_change, torch.tensor([0.15 / 0.2 - 1]))
    assert abs(float(two.drag_change - three.drag_change)) < 0.002


@pytest.mark.filterwarnings("ignore:body .* cells thick")
def test_the_command_leaves_everything_that_it_promises(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With less patience than it has."""
    for name in ("SPIN", "SETTLE", "MEAN"):
        monkeypatch.setattr(airfoil, name, 0.5)
    made = Formation.of
    monkeypatch.setattr(Formation, "of", lambda *a: replace(made(*a), time=1.0, frames=2))
    words = "--designs 1 --candidates 2 --baselines 1 --finer 0 --cells 12 "
    words += "--descent.steps 3 --descent.refine 1"
    assert main(["design", "airfoils", *words.split(), "--out", str(tmp_path)]) == 0
    assert "drag_change" in capsys.readouterr().out
    verdict = load_verdict(tmp_path / "verdict.json")
    assert {"drag", "lift", "lift_to_drag", "drag_change", "lift_to_drag_change"} <= set(
        verdict.figures
    )
    assert set(verdict.baselines) == {"in line, by hand", "random"}
    assert verdict.network_evaluations == 2 * (3 + 1 + 2)
    assert verdict.solver_calls == 2 and "best of 2" in verdict.method
    for name in verdict.files:
        assert (tmp_path / name).exists(), name
    assert len(list((tmp_path / "sections").glob("*.dat"))) == 2
    assert (tmp_path / "flow" / "vtk" / "flow.pvd").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--reynolds 5000", "Reynolds number must be from 200 to 1000"),
        ("--reynolds 100", "must be from 200 to 1000, got 100.0"),
        ("--method best", "method must be one of"),
        ("--cells 13", "cells must be a multiple of 4"),
        ("--designs 0", "designs must be at least 1"),
        ("--candidates 0", "candidates must be at least 1"),
        ("--finer 20", "finer must be a multiple of 4 above cells"),
    ],
)
def test_bad_input_is_refused_in_a_line(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["design", "airfoils", *words.split(), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.filterwarnings("ignore:body .* cells thick")
@pytest.mark.parametrize("name", ["airfoils", "follower"])
def test_an_example_runs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With less patience than it has."""
    for part in ("SPIN", "SETTLE", "MEAN"):
        monkeypatch.setattr(airfoil, part, 1.0)
    script = ROOT / "examples" / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--designs", "1", "--cells", "12"])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    assert "equal lift" in capsys.readouterr().out
