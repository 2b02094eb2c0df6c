"""Burgers tracking: the world and its noise, controllers, the prior of windows, and a whole run."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvista
import torch
from matplotlib.image import imread
from torch import Tensor

from physgen.asynchronous import PreconditionedSteps
from physgen.cli import main
from physgen.datasets import store
from physgen.datasets.burgers_control import POINTS, BurgersControlData, origin, simulate
from physgen.datasets.burgers_control import generate as generate_data
from physgen.datasets.seeds import TEST_SEEDS, TRAINING_SEEDS
from physgen.design_tasks.burgers_prior import SPREAD, span
from physgen.design_tasks.burgers_tracking import (
    REACHES,
    BurgersTracking,
    Controller,
    smooth_noise,
)
from physgen.design_tasks.burgers_tracking_controllers import (
    PID,
    Asynchronous,
    Idle,
    Receding,
    Recorded,
    Replanned,
)
from physgen.design_tasks.burgers_tracking_prior import (
    CHANNELS,
    HORIZON,
    Architecture,
    TrackingDraw,
    TrackingLoss,
    forces,
    hints,
    joined,
    load_prior,
)
from physgen.design_tasks.burgers_tracking_run import TrackingOptions, design_tracking
from physgen.design_tasks.burgers_tracking_train import score
from physgen.shapes import Boundary, State, Trajectory
from physgen.solvers.walled_burgers import WalledBurgers
from physgen.verdict import load_verdict

FULL, OUTER = REACHES["full"], REACHES["outer"]
QUICK = 5e-4


def world(targets: int = 3, intervals: int = 3, noise: float = 0.05) -> BurgersTracking:
    return BurgersTracking(FULL, targets, intervals, noise, dt=QUICK)


def prior() -> PreconditionedSteps:
    return load_prior()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


class Seen(Controller):
    """No force, and a memory of what was told."""

    def __init__(self) -> None:
        self.states: list[Tensor] = []
        self.wanted: list[int] = []

    def act(self, interval: int, state: State, wanted: Trajectory) -> Boundary:
        self.states.append(state)
        self.wanted.append(wanted.shape[1])
        return torch.zeros_like(state)


def test_without_noise_the_force_of_the_data_follows_exactly() -> None:
    for reach in (FULL, OUTER):
        still = BurgersTracking(reach, 2, 3, noise=0.0, dt=QUICK)
        found = still.run(Recorded(still.force))
        assert found.objective.max() == 0 and still.floor == 0
        assert still.run(Idle()).objective.min() > 1e-4


def test_noise_is_smooth_of_unit_variance_and_nought_at_the_walls() -> None:
    drawn = smooth_noise((4000,), generator())
    assert abs(drawn.square().mean().item() - 1) < 0.03
    assert drawn[:, 0].square().mean() < 0.06 and drawn[:, -1].square().mean() < 0.06
    middle = drawn[:, 40:90]
    near, far = ((middle * middle.roll(k, 1))[:, 30:].mean().item() for k in (3, 26))
    assert near / middle.square().mean().item() > 0.9  # three points are 0.023 m
    assert far / middle.square().mean().item() < 0.25  # 26 are 0.2 m


def test_every_controller_meets_the_noise_of_its_target() -> None:
    one, other = world(), world()
    torch.testing.assert_close(one.disturbances, other.disturbances, atol=0, rtol=0)
    assert (one.disturbances[0] != one.disturbances[1]).any()
    calm = world(noise=0.0).run(Idle()).velocity[:, 1]
    moved = one.run(Idle()).velocity[:, 1] - calm
    expected = 0.05 * SPREAD[0] * one.disturbances[:, 0]
    torch.testing.assert_close(moved, expected, atol=1e-6, rtol=1e-4)


def test_a_controller_sees_the_disturbed_state_and_what_is_still_wanted() -> None:
    seen = Seen()
    found = world().run(seen)
    assert seen.wanted == [3, 2, 1]
    torch.testing.assert_close(torch.stack(seen.states, 1), found.velocity[:, :-1])
    missed = (found.velocity[:, 1:] - world().wanted).square().mean((1, 2, 3))
    torch.testing.assert_close(found.objective, missed)


def test_controllers_side_by_side_do_as_they_do_alone() -> None:
    here = world(targets=2)
    both = here.side_by_side([Idle(), Recorded(here.force)])
    for found, controller in zip(both, (Idle(), Recorded(here.force)), strict=True):
        alone = here.run(controller)
        torch.testing.assert_close(found.velocity, alone.velocity, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(found.force, alone.force, atol=0, rtol=0)
        torch.testing.assert_close(found.objective, alone.objective, atol=1e-8, rtol=1e-4)


def test_force_where_none_may_act_is_left_out() -> None:
    here = BurgersTracking(OUTER, 2, 2, dt=QUICK)
    found = here.run(Recorded(torch.ones(2, 2, 1, POINTS)))
    assert found.force[..., OUTER.forced].min() == 1
    assert found.force[..., ~OUTER.forced].abs().max() == 0
    assert found.energy.tolist() == [2 * 64, 2 * 64]


def test_targets_have_test_seeds_and_are_numbered() -> None:
    later = BurgersTracking(FULL, 2, 1, skip=1, dt=QUICK)
    assert all(seed in TEST_SEEDS and seed not in TRAINING_SEEDS for seed in later.seeds)
    torch.testing.assert_close(later.first[0], world(intervals=1).first[1], atol=0, rtol=0)
    with pytest.raises(ValueError, match="targets must be at least 1, got 0"):
        BurgersTracking(FULL, 0)
    with pytest.raises(ValueError, match="intervals must be between 1 and 80, got 81"):
        BurgersTracking(FULL, 1, 81)
    with pytest.raises(ValueError, match="noise must not be negative, got -1"):
        BurgersTracking(FULL, 1, 1, noise=-1)


def test_a_receding_horizon_leaves_nothing_but_the_noise_that_has_just_come() -> None:
    here = world(intervals=4)
    found = here.run(Receding(FULL, gradients=15, horizon=1))
    last = (0.05 * SPREAD[0] * here.disturbances).square().mean((2, 3))
    assert (found.missed / last - 1).abs().max() < 0.15
    assert here.run(Recorded(here.force)).objective.mean() > 1.3 * last.mean()


def test_feedback_is_of_what_is_missing_so_far_and_lately() -> None:
    state, wanted = torch.zeros(1, 1, POINTS), torch.ones(1, 2, 1, POINTS)
    feedback = PID(2.0, 30.0, 0.5)
    first = feedback.act(0, state, wanted)
    second = feedback.act(1, state + 0.5, wanted[:, 1:])
    assert first.unique().tolist() == pytest.approx([2 + 30 * 0.1])
    assert second.unique().tolist() == pytest.approx([1 + 30 * 0.15 - 0.5 * 5])
    again = feedback.act(0, state, wanted)  # a new run begins with nothing
    torch.testing.assert_close(again, first)


def test_a_moved_window_costs_an_evaluation_an_interval_and_windows_anew_many() -> None:
    here = world(targets=1, intervals=4)
    moved = Asynchronous(prior(), FULL, generator())
    here.run(moved)
    assert moved.evaluations == 4 + HORIZON - 1
    leapt = Asynchronous(prior(), FULL, generator(), first=1)
    here.run(leapt)
    assert leapt.evaluations == 4 + 1
    anew = Replanned(prior(), FULL, generator())
    here.run(anew)
    assert anew.evaluations == 4 * HORIZON
    seldom = Replanned(prior(), FULL, generator(), every=3)
    here.run(seldom)
    assert seldom.evaluations == 2 * HORIZON
    with pytest.raises(ValueError, match="serves for 1 to 15 intervals, got 16"):
        Replanned(prior(), FULL, generator(), every=16)


def test_no_target_sees_another() -> None:
    """A row of a batch gets the force that it would get alone, from the same noise."""
    state, wanted = world().first, world().wanted
    noise = torch.randn(3, HORIZON, CHANNELS, POINTS, generator=generator())
    levels = torch.linspace(0.5, 3, HORIZON)
    model, given = prior(), hints(state, wanted, FULL.forced)
    together = model(noise, levels.expand(3, -1), given)
    alone = model(noise[1:2], levels[None], given[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", list(REACHES))
def test_the_prior_that_ships_misses_by_less_than_half_of_the_force_without_feedback(
    name: str,
) -> None:
    here = BurgersTracking(REACHES[name], 4, 20, dt=QUICK)
    unseen = here.run(Recorded(here.force)).missed[:, 5:].mean()
    moved = here.run(Asynchronous(prior(), here.reach, generator())).missed[:, 5:].mean()
    assert moved < 0.5 * unseen


def test_a_window_is_joined_without_loss_and_told_what_is_wanted_to_the_end() -> None:
    velocity = torch.randn(2, HORIZON, 1, 128, generator=generator())
    force = torch.randn(2, HORIZON, 1, 128, generator=generator())
    torch.testing.assert_close(forces(joined(velocity, force)), force)
    given = hints(velocity[:, 0], velocity[:, 1:4], OUTER.forced)
    assert given.shape == (2, HORIZON + 2, 128)
    torch.testing.assert_close(SPREAD[0] * given[:, :4], velocity[:, :4, 0])
    torch.testing.assert_close(given[:, 4 : HORIZON + 1], given[:, 3:4].expand(-1, 12, -1))
    assert (given[:, -1] == OUTER.forced.float()).all()


@pytest.mark.parametrize("reach", list(REACHES.values()), ids=list(REACHES))
def test_forces_of_the_prior_lie_in_the_span_of_the_data(reach: object) -> None:
    assert reach in (FULL, OUTER)
    forced = FULL.forced if reach is FULL else OUTER.forced
    torch.manual_seed(0)
    model = Architecture(width=16, layers=1).build()
    z = 3 * torch.randn(2, HORIZON, CHANNELS, 128, generator=generator())
    given = hints(torch.zeros(2, 1, 128), torch.zeros(2, 1, 1, 128), forced)
    levels = torch.linspace(0.3, 3, HORIZON).expand(2, -1)
    force = model(z, levels, given)[:, :, 1]
    torch.testing.assert_close(force @ span(forced), force, atol=1e-4, rtol=1e-4)


def test_windows_of_a_batch_obey_the_equation_and_are_told_what_was_wanted() -> None:
    everywhere, outer = (simulate(range(4), kind, seconds=2) for kind in (False, True))
    loss = TrackingLoss(own=0.0)
    x, given, before, rungs, _, walks = TrackingDraw(everywhere, outer, 6, loss)(0, generator())
    velocity, force = SPREAD[0] * x[:, :, :1], forces(x)
    state = SPREAD[0] * given[:, :1]
    after = WalledBurgers(dt=QUICK).march(state, force[:, 0], 200)
    torch.testing.assert_close(after, velocity[:, 0], atol=1e-5, rtol=1e-4)
    later = WalledBurgers(dt=QUICK).march(velocity[:, 7], force[:, 8], 200)
    torch.testing.assert_close(later, velocity[:, 8], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(SPREAD[0] * given[:, 1:-1], velocity[:, :, 0])
    assert (force[:, :, 0] * (given[:, -1:] == 0)).abs().max() == 0
    assert sorted(given[:, -1].mean(1).tolist()) == [0.5] * 3 + [1.0] * 3
    assert walks.max() == 0 and rungs.shape == (6, HORIZON)
    torch.testing.assert_close(before, given)


def test_own_walks_are_surprised_before_their_last_evaluation_and_data_are_not() -> None:
    everywhere, outer = (simulate(range(4), kind, seconds=2) for kind in (False, True))
    loss = TrackingLoss(own=0.5)
    _, given, before, _, _, walks = TrackingDraw(everywhere, outer, 40, loss)(0, generator())
    own = walks[:, 0] > 0
    moved = SPREAD[0] * (given - before)[:, 0].square().mean(1).sqrt()
    assert 8 < own.sum() < 32
    assert moved[~own].max() == 0 and moved[own].min() > 0
    assert (given - before)[:, 1:].abs().max() == 0
    assert moved.max() < 4 * loss.surprise * 0.05 * SPREAD[0]


def test_the_solvers_part_of_the_loss_is_what_is_missed() -> None:
    driven = simulate(range(3), False, 2e-3, seconds=2)
    window = joined(driven.velocity[:, 1 : HORIZON + 1], driven.force[:, :HORIZON])
    given = hints(driven.velocity[:, 0], driven.velocity[:, 1:], FULL.forced)
    loss = TrackingLoss(price=0.0)
    assert loss.missed(window, window, given).max() < 1e-9
    idle = window.clone()
    idle[:, :, 1] = 0
    solver = WalledBurgers(dt=2e-3)
    state, missed = driven.velocity[:, 0], torch.zeros(3)
    for k in range(4):
        state = solver.march(state, torch.zeros_like(state), 50)
        missed = missed + (state - driven.velocity[:, k + 1]).square().mean((1, 2)) / 4
    torch.testing.assert_close(loss.missed(idle, window, given), missed, atol=1e-6, rtol=1e-3)
    price = replace(loss, price=2.0).missed(window, window, given)
    energy = driven.force[:, :4].square().sum((1, 2, 3))
    torch.testing.assert_close(price, 2 * energy, atol=1e-4, rtol=1e-4)


def test_seconds_follow_one_another_under_forces_of_their_own() -> None:
    long, short = (simulate(range(5, 7), True, 2e-3, seconds) for seconds in (3, 1))
    assert long.velocity.shape[1] == 31 and long.force.shape[1] == 30
    torch.testing.assert_close(long.velocity[:, :11], short.velocity, atol=0, rtol=0)
    assert (long.force[:, 10:20] - long.force[:, :10]).abs().max() > 0.1


def test_data_of_another_length_are_refused(tmp_path: Path) -> None:
    data = BurgersControlData(simulations=2, shard=2, seconds=2, dt=2e-3, out=tmp_path)
    (path,) = generate_data(data)
    assert store.read(path).time[-1] == 2
    assert origin(tmp_path, True, 2)["seconds"] == 2
    with pytest.raises(ValueError, match="must hold simulations of 1 s, got 2 s: make some with"):
        origin(tmp_path, True)


def test_training_leaves_weights_and_scores_and_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "physgen.design_tasks.burgers_tracking_train"
    monkeypatch.setattr(f"{module}.score", lambda model: score(model, 1, 1))
    monkeypatch.setattr(f"{module}.SECONDS", 2)
    words = [*["--runs", "2", "--schedule.batch", "8", "--schedule.save-every", "1"], "--out"]
    small = ["--network.width", "16", "--network.layers", "1"]
    for steps in ("1", "2"):
        told = [*words, str(tmp_path), *small, "--schedule.steps", steps]
        assert main(["train", "burgers-tracking", *told]) == 0
    kept = json.loads((tmp_path / "burgers-tracking.json").read_text())
    assert set(kept["scores"]) == {"full moved", "full anew", "outer moved", "outer anew"}
    assert len((tmp_path / "loss.csv").read_text().splitlines()) == 3
    assert load_prior(tmp_path / "burgers-tracking.safetensors").network is not None


def test_a_run_leaves_what_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gains = PID(4.0, 3.0, 0.1)
    monkeypatch.setattr(
        "physgen.design_tasks.burgers_tracking_run.tuned", lambda reach, noise: gains
    )
    few = "--targets 2 --intervals 2 --gradients 3"
    assert main(["design", "burgers-tracking", *few.split(), "--out", str(tmp_path)]) == 0
    assert "moved window" in capsys.readouterr().out
    verdict = load_verdict(tmp_path / "verdict.json")
    assert all((tmp_path / name).is_file() for name in verdict.files)
    assert verdict.network_evaluations == 2 + HORIZON - 1
    assert verdict.baselines["window anew, in 15"].figures["evaluations"].mean == HORIZON
    assert verdict.baselines["L-BFGS, 3 each, 4 ahead"].solver_calls == 6
    lone = verdict.baselines["true force, unseen noise"]
    above = lone.figures["objective"].mean - verdict.figures["objective"].mean
    assert lone.figures["objective_above"].mean == pytest.approx(above, rel=1e-6)
    held = store.read(tmp_path / "tracked.h5")
    assert held.fields["velocity"].values.shape == (2, 3, POINTS)
    assert "misses by 6.5e-04 m²/s²" in verdict.warnings[0]
    assert imread(tmp_path / "tracking.png").shape[2] == 4
    series = pyvista.PVDReader(str(tmp_path / "vtk" / "fields.pvd"))
    assert list(series.time_values) == pytest.approx([0.0, 0.1, 0.2])
    series.set_active_time_value(series.time_values[2])
    image = series.read()[0]
    assert isinstance(image, pyvista.ImageData)
    shown = image.point_data
    errors = held.fields["velocity"].values[:, 2] - shown["velocity"]
    middling = int(np.abs(errors).max(1).argmin())
    assert not errors[middling].any() and not shown["force"].any()
    missed = np.square(shown["velocity"] - shown["wanted_velocity"]).mean()
    assert missed == pytest.approx(0.00065, rel=0.9)


def test_a_rival_that_ends_the_run_leaves_the_own_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(reach: object, noise: float) -> PID:
        raise FloatingPointError("no gains")

    monkeypatch.setattr("physgen.design_tasks.burgers_tracking_run.tuned", lost)
    with pytest.raises(FloatingPointError, match="no gains"):
        design_tracking(TrackingOptions(targets=1, intervals=1, out=tmp_path))
    verdict = load_verdict(tmp_path / "verdict.json")
    assert verdict.baselines == {} and verdict.figures["objective"].mean > 0
    assert store.read(tmp_path / "tracked.h5").fields["velocity"].values.shape == (1, 2, POINTS)


def test_a_descent_whose_last_forces_are_too_strong_begins_with_none() -> None:
    """The other rows keep theirs; a state that is too fast without force is given up alone."""
    state, wanted = world().first.clone(), world().wanted
    receding = Receding(FULL, gradients=2)
    receding.act(0, state, wanted)
    assert receding.numbers is not None
    receding.numbers[0] = 1e6
    state[1] = 1e3
    force = receding.act(1, state, wanted)
    assert force.isfinite().all() and force[0].any() and force[2].any() and not force[1].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reach": "far"}, "reach must be one of"),
        ({"targets": 0}, "targets must be at least 1, got 0"),
        ({"evaluations": 0}, "evaluations must be at least 1, got 0"),
        ({"ahead": 0}, "ahead must be at least 1, got 0"),
        ({"gradients": 0}, "gradients must be at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrackingOptions(**options)  # type: ignore[arg-type]


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    from physgen.design_tasks.burgers_prior import WEIGHTS

    with pytest.raises(ValueError, match="holds no prior for burgers-tracking"):
        design_tracking(TrackingOptions(weights=WEIGHTS, out=tmp_path))


def test_the_example_follows_and_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Path(__file__).parent.parent / "examples" / "burgers_tracking.py"
    words = ["x", "--targets", "2", "--intervals", "2", "--out", str(tmp_path / "a.png")]
    monkeypatch.setattr("sys.argv", words)
    runpy.run_path(str(script))
    assert "moved window" in capsys.readouterr().out
    assert imread(tmp_path / "a.png").shape[2] == 4
