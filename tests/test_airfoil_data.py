"""Flows past airfoils: what is drawn, simulated and kept."""

from pathlib import Path

import numpy as np
import pytest
import torch

from physgen.datasets import airfoil, store
from physgen.datasets.airfoil import (
    Actuators,
    AirfoilData,
    draw_airfoils,
    draw_stream,
    generate,
    mean_flow,
)
from physgen.datasets.sections import SectionsOptions, gather, library
from physgen.datasets.seeds import TEST_SEEDS, TRAINING_SEEDS
from physgen.solvers.bodies import Ellipse, NoBody
from physgen.solvers.poisson import Room
from physgen.solvers.sections import kulfan, naca4, thickness, write_dat
from physgen.solvers.staggered import Grid


def test_sections_of_the_table_are_as_thick_as_it_says() -> None:
    table = library()
    assert len(table) > 1500
    some = slice(0, None, 40)
    upper = table.camber[some] + table.thick[some]
    lower = table.camber[some] - table.thick[some]
    height = thickness(kulfan(upper, lower))
    torch.testing.assert_close(height.float(), table.height[some], atol=2e-3, rtol=0.02)


def test_a_table_of_own_sections_is_fitted_and_read_again(tmp_path: Path) -> None:
    for code, t in (("12", 0.12), ("18", 0.18)):
        write_dat(tmp_path / f"naca00{code}.dat", f"NACA 00{code}", naca4(0.0, 0.4, t))
    (tmp_path / "broken.dat").write_text("no section\n1 2\n")
    out = tmp_path / "table.safetensors"
    kept = gather(SectionsOptions(tmp_path, out), lambda done, total: None)
    again = library(out)
    assert len(kept) == len(again) == 2
    torch.testing.assert_close(again.height, torch.tensor([0.12, 0.18]), atol=5e-4, rtol=0)
    with pytest.raises(ValueError, match=r"no \.dat files"):
        gather(SectionsOptions(tmp_path / "none", out), lambda done, total: None)


def test_no_test_seed_is_a_training_seed_and_pairs_have_test_seeds_only() -> None:
    assert not set(TRAINING_SEEDS[:: 10**8]) & set(TEST_SEEDS[:: 10**8])
    assert TRAINING_SEEDS.stop <= TEST_SEEDS.start
    AirfoilData(bodies=2, seed=TEST_SEEDS.start, simulations=4)
    with pytest.raises(ValueError, match="must lie within"):
        AirfoilData(bodies=2, seed=0, simulations=4)
    with pytest.raises(ValueError, match="must lie within"):
        AirfoilData(seed=TEST_SEEDS.start - 4, simulations=8)


def test_what_is_drawn_depends_on_its_own_seed_alone() -> None:
    many, one = draw_airfoils(range(8), 1, 24), draw_airfoils(range(5, 6), 1, 24)
    for a, b in zip(many, one, strict=True):
        assert torch.equal(a[5:6], b)
    assert draw_stream(8, AirfoilData()) == draw_stream(8, AirfoilData(simulations=16))


def test_pairs_that_are_drawn_do_not_touch() -> None:
    from physgen.design_tasks.airfoils import clearance

    assert float(clearance(draw_airfoils(range(10**9, 10**9 + 200), 2, 24)).min()) > 0.1


def test_actuators_push_as_hard_as_the_airfoil_they_stand_for() -> None:
    grid = Grid(9 * 24, 6 * 24, 1 / 24, -3.0, -3.0)
    one = [torch.tensor([[value]]) for value in (-1.5, 0.2, 0.3, -0.4, 0.1)]
    force = Actuators(*one).forcing(grid)
    assert isinstance(force.x, torch.Tensor) and isinstance(force.y, torch.Tensor)
    total = torch.stack([force.x.sum(), force.y.sum()]) * grid.spacing**2
    torch.testing.assert_close(total, torch.tensor([-0.15, 0.2]), atol=1e-4, rtol=0)


def test_the_wake_of_an_actuator_carries_its_drag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Momentum through a line behind it, less that through one before it."""
    for name, value in (("SPIN", 5.0), ("SETTLE", 1.0), ("MEAN", 1.0)):
        monkeypatch.setattr(airfoil, name, value)
    drag = 0.4
    one = [torch.tensor([[value]]) for value in (-1.0, 0.0, drag, 0.0, 0.12)]
    data = AirfoilData()
    nu = torch.full((1, 1, 1), 1 / 100)
    found = mean_flow(data.grid, lambda c: None, 12, NoBody(), nu, Actuators(*one).forcing)

    def through(column: int) -> float:
        flux = found.u[0, column].square() + found.pressure[0, column]
        return float(flux.mean()) * 6.0

    assert through(6) - through(24) == pytest.approx(0.5 * drag, rel=0.03)


def test_flows_are_written_once_and_nothing_else_is_taken_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SPIN", "SETTLE", "MEAN"):
        monkeypatch.setattr(airfoil, name, 0.5)
    data = AirfoilData(simulations=4, shard=4, cells=12, compile=False, out=tmp_path)
    told: list[int] = []
    (path,) = generate(data, told.append)
    assert told == [0, 4]
    kept = store.read(path)
    shape = kept.fields["velocity"].values.shape
    assert shape == (4, 1, 36, 24, 2)
    inside = kept.bodies["body_0"].distance[:, 0] < -0.02
    assert np.abs(kept.fields["velocity"].values[:, 0][inside]).max() < 0.2
    before = path.stat().st_mtime_ns
    assert generate(data, told.append) == [path] and path.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"another recipe \(disturbed is"):
        generate(AirfoilData(4, disturbed=0.1, shard=4, cells=12, compile=False, out=tmp_path))


def test_a_dask_cluster_writes_the_same_flows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    for name in ("SPIN", "SETTLE", "MEAN"):
        monkeypatch.setattr(airfoil, name, 0.5)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as cluster:
        data = AirfoilData(
            simulations=8,
            shard=4,
            cells=12,
            compile=False,
            out=tmp_path / "a",
            scheduler=cluster.scheduler_address,
        )
        files = generate(data)
    alone = generate(AirfoilData(8, shard=4, cells=12, compile=False, out=tmp_path / "b"))
    for one, other in zip(files, alone, strict=True):
        a, b = store.read(one), store.read(other)
        np.testing.assert_allclose(
            a.fields["velocity"].values, b.fields["velocity"].values, atol=1e-5
        )


def test_a_room_changes_nothing_but_the_size_of_what_is_computed() -> None:
    from physgen.solvers.fluid import Fixed, Flow

    grid = Grid(48, 32, 1 / 8, -2.0, -2.0)
    body = Ellipse(0.03, 0.01, 0.6, 0.3, 0.2)
    like = torch.zeros(1, dtype=torch.float64)
    found = []
    for room in (None, Room(8, 28, 8, 26, 200)):
        flow = Flow(grid, 0.01, clock=Fixed(0.03), room=room)
        immersed = flow.immerse(body, like)
        state = flow.start(immersed)
        for _ in range(5):
            state = flow.step(state, immersed)
        found.append(state)
    torch.testing.assert_close(found[0].u, found[1].u, atol=1e-12, rtol=0)
    torch.testing.assert_close(found[0].force, found[1].force, atol=1e-12, rtol=0)
    with pytest.raises(ValueError, match="make it larger"):
        Flow(grid, 0.01, room=Room(8, 28, 12, 20, 100)).immerse(body, like)
    with pytest.raises(ValueError, match="bodies touch"):
        Flow(grid, 0.01, room=Room(8, 28, 8, 26, 20)).immerse(body, like)
    with pytest.raises(ValueError, match="low ends below"):
        Room(8, 8, 8, 26, 20)
