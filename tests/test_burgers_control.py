"""Burgers control: the task, the prior that proposes forces, and what the solver makes of them."""

import csv
import json
import runpy
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure as Canvas
from matplotlib.image import imread
from torch import Tensor, nn

from physgen.cli import main
from physgen.datasets import store
from physgen.datasets.burgers_control import simulate
from physgen.datasets.seeds import TEST_SEEDS, TRAINING_SEEDS
from physgen.denoiser import Learned
from physgen.design_tasks import burgers_view
from physgen.design_tasks.burgers_control import SETTINGS, BurgersControl, Judged
from physgen.design_tasks.burgers_control import simulate as simulate_from
from physgen.design_tasks.burgers_design import (
    Diffusion,
    Drawn,
    Flow,
    Inpainted,
    Told,
    aim,
    energy,
    felt_alike,
    polish,
    proposer,
)
from physgen.design_tasks.burgers_prior import (
    CHANNELS,
    INSTANTS,
    Architecture,
    ControlDraw,
    ControlLoss,
    ForcesAlone,
    hints,
    joined,
    known,
    load_prior,
    span,
    split,
    walk,
    without_states,
    without_velocities,
)
from physgen.design_tasks.burgers_run import BurgersOptions, design_burgers, warnings
from physgen.design_tasks.burgers_searches import PID, from_scratch, tuned
from physgen.design_tasks.burgers_train import BurgersTraining, train_burgers
from physgen.files import write_text
from physgen.options import plain
from physgen.preconditioned import Denoising
from physgen.sampler import sample
from physgen.solvers.walled_burgers import WalledBurgers
from physgen.training import Schedule
from physgen.verdict import load_verdict

settings = pytest.mark.parametrize("name", list(SETTINGS))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def tasks() -> dict[str, BurgersControl]:
    return {name: BurgersControl(setting, 4) for name, setting in SETTINGS.items()}


# The task.


@settings
def test_targets_are_test_trajectories_and_their_own_force_misses_them_by_nothing(
    name: str, tasks: dict[str, BurgersControl]
) -> None:
    task = tasks[name]
    assert all(seed in TEST_SEEDS and seed not in TRAINING_SEEDS for seed in task.seeds)
    true = simulate(task.seeds, task.setting.outer, 1e-4)
    judged = task.judge(true.force, true.velocity)
    assert judged.objective.max() < 1e-10 and judged.mae.max() < 1e-6
    assert judged.objective_search.max() < 1e-5 and not judged.violation.any()
    assert task.objective(task.none(), 2e-3).mean() > 0.01
    assert task.objective(task.random(generator()), 2e-3).mean() > 0.01


def test_targets_are_numbered_and_there_is_at_least_one(
    tasks: dict[str, BurgersControl],
) -> None:
    later = BurgersControl(SETTINGS["fo-pc"], 2, skip=2)
    torch.testing.assert_close(later.last, tasks["fo-pc"].last[2:])
    with pytest.raises(ValueError, match="targets must be at least 1"):
        BurgersControl(SETTINGS["fo-pc"], 0)


def test_only_what_is_observed_counts_and_only_what_is_allowed_acts(
    tasks: dict[str, BurgersControl],
) -> None:
    partly = tasks["po-pc"]
    other = partly.last.clone()
    other[..., 40:90] += 1
    assert not partly.missed(other, partly.last).any()
    assert (tasks["fo-pc"].missed(other, partly.last) - 50 / 128).abs().max() < 1e-5
    force = torch.zeros_like(partly.none())
    force[:, 3, 0, 64] = 2.0
    judged = partly.judge(force, torch.zeros(4, 11, 1, 128))
    assert (judged.violation == 2).all() and not judged.energy.any()
    torch.testing.assert_close(judged.objective_search, partly.objective(partly.none()))


# Searches on the solver.


def test_descent_from_scratch_finds_a_force(tasks: dict[str, BurgersControl]) -> None:
    task = tasks["fo-pc"]
    found = from_scratch(task, 6)
    costs = found.costs.mean(1)
    assert len(costs) == found.calls == 6 and (costs.diff() <= 0).all()
    assert costs[-1] < 0.1 * costs[0]
    assert not task.violation(found.force).any()


def test_feedback_holds_a_state_and_its_gains_are_the_best_of_their_grid() -> None:
    setting = SETTINGS["fo-pc"]
    states = simulate(range(6), True, 2e-3).velocity
    first, last = states[:, 0], states[:, -1]
    gains = tuned(setting)

    def miss(pid: PID) -> Tensor:
        return (pid.control(first, last, setting, 2e-3)[1] - last).square().mean()

    assert miss(gains) < 0.7 * miss(PID(0.0, 0.0, 0.0))
    force, _ = gains.control(first, last, setting, 2e-3)
    assert not force[..., 40:90].any()
    still = torch.zeros_like(first)
    assert not gains.control(still, still, setting, 2e-3)[0].any()


def test_a_force_that_the_step_cannot_bear_is_infinitely_far_and_alone_in_it() -> None:
    """Others are as far as without it, gradients included."""
    task = BurgersControl(SETTINGS["po-fc"], 3)
    force = simulate(task.seeds, False, 2e-3).force * 0.5
    wild = force.clone()
    wild[1] = 1e3
    costs, slopes = [], []
    for one in (force, wild):
        x = one.clone().requires_grad_()
        cost = task.objective(x, 2e-3)
        (slope,) = torch.autograd.grad(cost.sum(), x)
        costs.append(cost.detach())
        slopes.append(slope)
    calm = torch.tensor([True, False, True])
    assert costs[1].isfinite().equal(calm)
    torch.testing.assert_close(costs[1][calm], costs[0][calm])
    torch.testing.assert_close(slopes[1][calm], slopes[0][calm])
    assert not slopes[1][1].any()


def test_the_loss_leaves_out_forces_that_the_step_cannot_bear() -> None:
    setting = SETTINGS["po-fc"]
    true = simulate(range(2), False, 2e-3)
    x = joined(*true)
    ends = (true.velocity[:, 0], true.velocity[:, -1])
    given = hints(*ends, setting.observed, setting.forced)
    wild = x.clone()
    wild[1, INSTANTS:] = 1e3
    wild.requires_grad_()
    loss = ControlLoss(price=1e-6)
    found = loss.missed(wild, x, given)
    torch.testing.assert_close(found[1], 1e-6 * energy(wild)[1])
    torch.testing.assert_close(found[0], 1e-6 * energy(x)[0], atol=1e-8, rtol=1e-3)
    (slope,) = torch.autograd.grad(found.sum(), wild)
    assert slope.isfinite().all() and slope[1].any()


# The prior.


def test_a_sample_is_joined_and_split_without_loss() -> None:
    data = simulate(range(3), True, 2e-3)
    again = split(joined(*data))
    torch.testing.assert_close(again.velocity, data.velocity)
    torch.testing.assert_close(again.force, data.force)
    total = data.force.square().flatten(1).sum(1)
    torch.testing.assert_close(energy(joined(*data)), total)


def test_the_data_have_unit_spread_in_the_units_of_the_prior() -> None:
    data = [simulate(range(200), outer, 2e-3) for outer in (False, True)]
    x = torch.cat([joined(*one) for one in data])
    assert x[:, :INSTANTS].std().item() == pytest.approx(1, abs=0.1)
    assert x[:, INSTANTS:].std().item() == pytest.approx(1, abs=0.1)


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = Architecture(patch=16, width=32, layers=1).build()
    for weight in model.parameters():  # the last layer is zero to begin with
        nn.init.normal_(weight, std=0.2)
    return model.eval()


def test_the_network_is_not_told_what_is_not_observed() -> None:
    """Changing a hidden part of the states changes nothing, an observed part does."""
    setting, model = SETTINGS["po-pc"], small()
    first, last = torch.randn(2, 2, 1, 128, generator=generator())
    z = torch.randn(2, CHANNELS, 128, generator=generator(1))
    level = torch.ones(2)

    def clean(first: Tensor, last: Tensor) -> Tensor:
        found: Tensor = model(z, level, hints(first, last, setting.observed, setting.forced))
        return found

    hidden, seen = last.clone(), last.clone()
    hidden[..., 32:96] += 1
    seen[..., :32] += 1
    assert torch.equal(clean(first, last), clean(first, hidden))
    assert not torch.equal(clean(first, last), clean(first, seen))
    told = hints(first, last, setting.observed, setting.forced)
    other = hints(seen, hidden, setting.observed, setting.forced)
    assert torch.equal(without_states(told), without_states(other))


def test_the_density_of_forces_alone_knows_no_velocities() -> None:
    setting, model = SETTINGS["fo-pc"], small()
    first, last = torch.randn(2, 2, 1, 128, generator=generator())
    given = hints(first, last, setting.observed, setting.forced)
    z = torch.randn(2, CHANNELS, 128, generator=generator(1))
    other = z.clone()
    other[:, 1:5] += 1
    alone = ForcesAlone(model, given)  # type: ignore[arg-type]
    a, b = alone.shift(z, 1.0), alone.shift(other, 1.0)
    assert torch.equal(a, b) and not a[:, :INSTANTS].any() and a[:, INSTANTS:].any()
    assert without_velocities(given)[:, -1].all()


@settings
def test_every_design_has_the_known_states_and_no_forbidden_force(
    name: str, tasks: dict[str, BurgersControl]
) -> None:
    task, model = tasks[name], small()
    for asking in (Told(), Inpainted(2)):
        ask = proposer(model, task, Flow(2), generator(), asking)  # type: ignore[arg-type]
        drawn = ask(task.first, task.last)
        seen = task.setting.observed
        for instant, state in ((0, task.first), (-1, task.last)):
            torch.testing.assert_close(drawn.velocity[:, instant, :, seen], state[..., seen])
        assert not task.violation(drawn.force).any()


def test_forces_of_the_prior_are_as_smooth_as_those_of_the_data() -> None:
    """The span holds the data's forces, is a projection, and nothing the network says leaves it."""
    setting, model = SETTINGS["fo-pc"], small()
    for outer, mask in ((False, SETTINGS["po-fc"].forced), (True, setting.forced)):
        basis = span(mask)
        force = simulate(range(20), outer, 2e-3).force[:, :, 0]
        assert (force - force @ basis).square().sum() < 1e-4 * force.square().sum()
        torch.testing.assert_close(basis @ basis, basis)
        assert 8 < basis.trace() < 24 and not basis[~mask].any()
    first, last = torch.randn(2, 2, 1, 128, generator=generator())
    given = hints(first, last, setting.observed, setting.forced)
    z = 3 * torch.randn(2, CHANNELS, 128, generator=generator(1))
    clean = model(z, torch.tensor([0.1, 5.0]), given)[:, INSTANTS:]
    torch.testing.assert_close(clean @ span(setting.forced), clean, atol=2e-5, rtol=1e-4)


def test_a_condition_replaces_what_is_known_and_nothing_else() -> None:
    setting = SETTINGS["po-pc"]
    first, last = torch.randn(2, 3, 1, 128, generator=generator())
    x = torch.randn(3, CHANNELS, 128, generator=generator(1))
    clean = known(first, last, setting.observed, setting.forced).clean(x)
    changed = (clean != x).any(0)
    expected = torch.zeros(CHANNELS, 128, dtype=torch.bool)
    expected[0, setting.observed] = expected[10, setting.observed] = True
    expected[INSTANTS:, ~setting.forced] = True
    assert torch.equal(changed, expected)


# Training.


def batch(loss: ControlLoss, count: int = 32) -> tuple[Tensor, ...]:
    everywhere, outer = (simulate(range(4), kind, 2e-3) for kind in (False, True))
    return ControlDraw(everywhere, outer, count, loss)(0, generator())


def test_without_own_samples_the_loss_is_that_of_a_denoiser() -> None:
    loss = ControlLoss(own=0.0, alone=0.0, free=0.0)
    x, given, level, noise, times = batch(loss)
    model = small()
    assert not times.any()
    found = loss(model, x, given, level, noise, times)

    class OfThese(nn.Module):
        def forward(self, z: Tensor, s: Tensor) -> Tensor:
            clean: Tensor = model(z, s, given)
            return clean

    torch.testing.assert_close(found, Denoising()(OfThese(), x, level, noise))


def test_batches_are_true_trajectories_and_told_as_asked() -> None:
    """Half in a mirror: the solver confirms each, and what is observed is what the task observes."""
    x, given, _, _, times = batch(ControlLoss(alone=0.0, free=0.0), 24)
    true = split(x)
    again = true.velocity[:, 0]
    solver = WalledBurgers(dt=2e-3)
    with torch.no_grad():
        for k in range(10):
            again = solver.march(again, true.force[:, k], 50)
    torch.testing.assert_close(again, true.velocity[:, -1], atol=1e-4, rtol=1e-4)
    assert (given[:, 3, None] * x[:, INSTANTS:] == x[:, INSTANTS:]).all()
    for row in given:
        matching = [
            setting.name
            for setting in SETTINGS.values()
            if torch.equal(row[2] > 0, setting.observed)
            and torch.equal(row[3] > 0, setting.forced)
        ]
        assert len(matching) == 1
    assert (times.diff(dim=1) <= 0).all() and 0.2 < (times[:, -1] > 0).float().mean() < 0.8


def test_an_own_walk_is_the_flow_of_the_sampler(tasks: dict[str, BurgersControl]) -> None:
    """Up to the last level, from where the sampler's last step is the clean estimate."""
    task, model = tasks["fo-pc"], small()
    given = hints(task.first, task.last, task.setting.observed, task.setting.forced)
    noise = torch.randn(4, CHANNELS, 128, generator=generator())
    flow = Flow(4)
    scaled = torch.tensor(flow.grid.levels[1:-1])
    times = (scaled / (1 + scaled)).expand(4, -1)
    z, level = walk(model, noise, given, times)
    last = model(z, level, given)
    drawn = sample(Learned(model, given), noise, flow.grid, flow.predictor, generator())  # type: ignore[arg-type]
    torch.testing.assert_close(last, drawn, atol=1e-4, rtol=1e-4)


def test_the_solvers_miss_is_the_objective_and_its_price(
    tasks: dict[str, BurgersControl],
) -> None:
    task = tasks["po-fc"]
    true = simulate(task.seeds, False, 2e-3)
    x = joined(*true)
    given = hints(task.first, true.velocity[:, -1], task.setting.observed, task.setting.forced)
    loss = ControlLoss(price=1e-6)
    total = energy(x)
    torch.testing.assert_close(loss.missed(x, x, given), 1e-6 * total, atol=1e-8, rtol=1e-3)
    idle = torch.cat([x[:, :INSTANTS], 0 * x[:, INSTANTS:]], dim=1)
    left = simulate_from(task.first, task.none(), 2e-3)[:, -1]
    missed = task.missed(left, true.velocity[:, -1])
    torch.testing.assert_close(loss.missed(idle, x, given), missed, atol=1e-7, rtol=1e-4)


@pytest.mark.slow
def test_training_lowers_what_the_solver_finds_missed(tmp_path: Path) -> None:
    words = ["--runs", "64", "--schedule.steps", "15", "--schedule.batch", "16"]
    network = ["--network.patch", "16", "--network.width", "32", "--network.layers", "1"]
    where = ["--schedule.warmup", "1", "--out", str(tmp_path)]
    assert main(["train", "burgers-control", *words, *network, *where]) == 0
    facts = json.loads((tmp_path / "burgers-control.json").read_text())
    assert facts["scores"]["objective po-fc"] < 0.9 * facts["scores"]["objective without force"]
    load_prior(tmp_path / "burgers-control.safetensors")


def test_scores_are_of_the_weights_that_are_kept_and_seconds_of_all_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = []

    def count(model: nn.Module) -> dict[str, float]:
        scored.append(model)
        return {}

    monkeypatch.setattr("physgen.design_tasks.burgers_train.score", count)
    options = BurgersTraining(
        runs=4,
        schedule=Schedule(steps=2, batch=4),
        network=Architecture(patch=16, width=32, layers=1),
        out=tmp_path,
    )
    weights = train_burgers(options, lambda steps: lambda step, loss: None)
    kept = load_prior(weights).state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in scored[0].state_dict().items())
    with (tmp_path / "loss.csv").open() as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    train_burgers(options, lambda steps: lambda step, loss: None)  # nothing is left to do
    facts = json.loads((tmp_path / "burgers-control.json").read_text())
    assert facts["seconds"] == pytest.approx(sum(seconds))
    assert [made["forced"] for made in facts["recipe"]["data"]] == ["everywhere", "outer"]


# The prior that ships.


def designed(task: BurgersControl, steps: int = 8) -> Drawn:
    return proposer(load_prior(), task, Flow(steps), generator())(task.first, task.last)


@settings
def test_the_prior_that_ships_leads_near_the_target(
    name: str, tasks: dict[str, BurgersControl]
) -> None:
    task = tasks[name]
    drawn = designed(task)
    assert drawn.evaluations == 8
    with torch.no_grad():
        found, idle = task.objective(drawn.force), task.objective(task.none())
    assert found.mean() < 0.2 * idle.mean()


def test_flow_and_diffusion_are_the_same_prior_from_the_same_weights(
    tasks: dict[str, BurgersControl],
) -> None:
    """Both lead the same noise to the same force, and other noise to another."""
    task, model = tasks["fo-pc"], load_prior()
    flow, diffusion, other = (
        proposer(model, task, way, generator(seed))(task.first, task.last).force
        for way, seed in ((Flow(40), 0), (Diffusion(20), 0), (Diffusion(20), 1))
    )
    assert (flow - diffusion).norm() < 0.1 * diffusion.norm()
    assert (other - diffusion).norm() > 0.5 * diffusion.norm()


def test_aiming_again_misses_by_less_and_never_by_more(tasks: dict[str, BurgersControl]) -> None:
    task = tasks["po-fc"]
    ask = proposer(load_prior(), task, Flow(4), generator())
    found = aim(task, ask, 3)
    costs = found.costs
    assert (costs.diff(dim=0) <= 0).all() and costs[-1].mean() < 0.7 * costs[0].mean()
    assert found.drawn.evaluations == 12
    none = aim(task, ask, 0)
    assert none.drawn.evaluations == 4 and not none.costs.numel()


def test_aims_and_polish_miss_by_less_by_the_judge_where_all_is_observed(
    tasks: dict[str, BurgersControl],
) -> None:
    """By its own finer step and from the true first states, not by those that a search knows."""
    task = tasks["fo-pc"]
    ask = proposer(load_prior(), task, Flow(2), generator())
    drawn = ask(task.first, task.last)
    aimed = aim(task, ask, 2).drawn
    found = (drawn, aimed, polish(task, aimed, 3).drawn)
    alone, again, better = (task.judge(one.force, one.velocity).objective.mean() for one in found)
    assert again < 0.7 * alone and better < 0.7 * again


def test_a_polish_goes_on_from_the_prior(tasks: dict[str, BurgersControl]) -> None:
    task = tasks["fo-pc"]
    drawn = designed(task)
    found = polish(task, drawn, 5)
    with torch.no_grad():
        torch.testing.assert_close(found.costs[0], task.objective(drawn.force))
        torch.testing.assert_close(found.costs[-1], task.objective(found.drawn.force))
    assert found.costs[-1].mean() < 0.3 * found.costs[0].mean()
    assert torch.equal(found.drawn.velocity, drawn.velocity)


def test_numbers_that_are_felt_alike_stand_for_the_forces_of_the_span() -> None:
    setting = SETTINGS["fo-pc"]
    coordinates = felt_alike(setting, 2)
    force = simulate(range(3), True, 2e-3).force
    smooth = force @ span(setting.forced)
    again = coordinates.force(coordinates.of(smooth))
    torch.testing.assert_close(again, smooth, atol=1e-3, rtol=1e-3)
    assert felt_alike(setting, 2) is coordinates
    early, late = (coordinates.forces[:, k].square().sum() for k in (0, -1))
    assert early > late  # what is late is felt more, so that a number stands for less of it


def test_a_price_on_energy_lowers_it_and_reweighting_asks_the_network_twice(
    tasks: dict[str, BurgersControl],
) -> None:
    task, model = tasks["po-pc"], load_prior()
    plain, dear = (
        proposer(model, task, Flow(8), generator(), price=price)(task.first, task.last)
        for price in (0.0, 0.003)
    )
    assert dear.force.square().sum() < 0.9 * plain.force.square().sum()
    twice = proposer(model, task, Flow(8), generator(), gamma=1.5)(task.first, task.last)
    assert twice.evaluations == 16 and not torch.equal(twice.force, plain.force)
    with pytest.raises(ValueError, match="inpainted prior is not reweighted"):
        proposer(model, task, Flow(2), generator(), Inpainted(), 1.5)(task.first, task.last)


# The command.


def test_a_run_leaves_what_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["design", "burgers-control", "--setting", "po-pc", "--designs", "3"]
    spent = ["--baselines", "2", "--scratch", "3", "--aims", "2", "--polish", "2"]
    assert main([*words, *spent, "--out", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    verdict = load_verdict(tmp_path / "verdict.json")
    assert said["figures"]["objective"]["mean"] == verdict.figures["objective"].mean
    assert all((tmp_path / name).stat().st_size for name in verdict.files)
    assert verdict.solver_calls == 4 and verdict.network_evaluations == 16
    assert verdict.shared_solver_calls == 16 * 121  # a slope for each number, 16 times
    assert list(verdict.figures) == ["objective", "objective_search", "energy"]
    assert list(verdict.baselines) == ["no control", "random force", "PID", "L-BFGS, 3"]
    data = store.read(tmp_path / "designs.h5")
    assert data.fields["claimed_velocity"].values.shape == (3, 11, 128)
    assert data.seed.tolist() == [TEST_SEEDS.start + k for k in range(3)]
    with (tmp_path / "designs.csv").open() as file:
        rows = list(csv.DictReader(file))
    mean = sum(float(row["objective"]) for row in rows) / 3
    assert mean == pytest.approx(verdict.figures["objective"].mean, rel=1e-4)


class Failed(Exception):
    pass


def test_designs_outlive_a_failing_baseline_and_a_table_takes_its_own_runs_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Failed

    options = BurgersOptions(designs=1, evaluations=1, baselines=1, out=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("physgen.design_tasks.burgers_run.compare", fail)
        with pytest.raises(Failed):
            design_burgers(options)
    assert store.read(tmp_path / "designs.h5").seed.tolist() == [TEST_SEEDS.start]
    verdict = load_verdict(tmp_path / "verdict.json")
    assert "mae" in verdict.figures and not verdict.shared_solver_calls
    benchmarks = Path(__file__).parent.parent / "benchmarks"
    monkeypatch.syspath_prepend(str(benchmarks))
    table = runpy.run_path(str(benchmarks / "burgers_control.py"))
    kept = table["verdict"]
    alone = replace(options, baselines=0)
    with pytest.raises(ValueError, match=r"another run \(baselines that were not finished differ"):
        kept(options)
    replace(verdict, options=plain(alone)).save(tmp_path / "verdict.json")
    assert kept(alone).figures == verdict.figures
    with pytest.raises(ValueError, match=r"another run \(seed, gamma differ"):
        kept(replace(alone, seed=1, gamma=2.0))
    changed = {**verdict.versions, "weights": "others"}
    replace(verdict, options=plain(alone), versions=changed).save(tmp_path / "verdict.json")
    with pytest.raises(ValueError, match=r"another run \(the weights themselves differ"):
        kept(alone)


@pytest.mark.parametrize(
    ("name", "helped", "told"),
    [
        ("fo-pc", False, ["aim again, or polish"]),
        ("fo-pc", True, []),
        ("po-pc", False, ["no force is exact but by luck"]),
        ("po-fc", True, ["no force is exact but by luck", "one imagined first state"]),
        ("po-pc", True, ["no force is exact but by luck", "one imagined first state"]),
    ],
)
def test_help_is_advised_where_it_helps_and_doubted_where_the_first_state_is_imagined(
    name: str, helped: bool, told: list[str]
) -> None:
    far = Judged(
        **{
            field.name: torch.zeros(4, 11, 1, 128)
            if field.name == "simulated"
            else torch.full((4,), 0.1)
            for field in fields(Judged)
        }
    )
    options = BurgersOptions(setting=name, aims=int(helped), polish=int(helped))
    found = warnings(options, far)
    assert len(found) == len(told)
    assert all(words in one for words, one in zip(told, found, strict=True))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--setting", "fc-fo"), "setting must be one of"),
        (("--method", "euler"), "method must be one of"),
        (("--polish", "-1"), "polish must be at least 0, got -1"),
        (("--known", "guessed"), "known must be one of"),
        (("--weights", "nowhere.safetensors"), "there is no weights file"),
    ],
)
def test_bad_options_are_refused_in_one_line(
    words: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["design", "burgers-control", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and said in err


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    from physgen.design_tasks.nbody_prior import WEIGHTS

    with pytest.raises(ValueError, match="holds no prior for burgers-control"):
        load_prior(WEIGHTS)
    write_text(tmp_path / "w.safetensors", "no weights")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_prior(tmp_path / "w.safetensors")


def test_a_picture_shows_instants_and_intervals_where_they_are(
    tasks: dict[str, BurgersControl], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, kept = tasks["po-fc"], list[Canvas]()
    monkeypatch.setattr(burgers_view, "_save", lambda canvas, path: kept.append(canvas))
    force = torch.ones(len(task.first), INSTANTS - 1, *task.first.shape[1:])
    judged = task.judge(force, torch.zeros(len(force), INSTANTS, *task.first.shape[1:]))
    drawn = Drawn(judged.simulated, force, 0.0, 0.0)
    burgers_view.draw_designs(tmp_path / "designs.png", task, drawn, judged)
    for axis, many, first in zip(kept[0].axes, (10, 11), (0.05, 0.0), strict=False):
        left, right, low, high = axis.images[0].get_extent()
        cells = axis.images[0].get_array()
        assert cells is not None and cells.shape[0] == many
        height, width = (high - low) / many, (right - left) / cells.shape[1]
        assert height == pytest.approx(0.1) and low + height / 2 == pytest.approx(first)
        assert left + width / 2 == pytest.approx(1 / (cells.shape[1] + 1)), "beside the wall"
        assert axis.get_ylim() == (0, 1) and axis.get_title()


def test_the_example_draws_aims_polishes_and_paints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "example.png"
    words = ["burgers_control.py", "--targets", "2", "--out", str(picture)]
    monkeypatch.setattr("sys.argv", words)
    example = Path(__file__).parent.parent / "examples" / "burgers_control.py"
    runpy.run_path(str(example), run_name="__main__")
    found = [float(line.split()[3]) for line in capsys.readouterr().out.splitlines()[:3]]
    assert found[0] > found[1] > found[2]
    assert imread(picture)[..., :3].std() > 0.05
