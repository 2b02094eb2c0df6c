"""Burgers' control data: what is published, drawn again from its seed, and kept whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray

from physgen.datasets import store
from physgen.datasets.burgers_control import (
    BurgersControlData,
    draw,
    generate,
    load_driven,
    origin,
    outer_quarters,
    simulate,
)
from physgen.datasets.seeds import TEST_SEEDS, TRAINING_SEEDS
from physgen.solvers.walled_burgers import WalledBurgers


def small(folder: Path) -> BurgersControlData:
    return BurgersControlData(simulations=5, shard=3, out=folder, dt=2e-3)


def test_partial_control_is_twice_as_strong_and_in_the_outer_quarters_only() -> None:
    solver = WalledBurgers()
    state, force = draw(range(20), False, solver)
    again, outer = draw(range(20), True, solver)
    assert torch.equal(state, again)
    assert not outer[..., 32:96].any()
    for part in (slice(0, 32), slice(96, 128)):
        assert torch.equal(outer[..., part], 2 * force[..., part])
    assert outer_quarters().nonzero()[:, 0].tolist() == [*range(32), *range(96, 128)]


def test_partial_control_has_the_published_energy() -> None:
    """1285 on average over a few trajectories of the published code."""
    _, force = draw(range(1000), True, WalledBurgers())
    assert force.square().flatten(1).sum(1).mean().item() == pytest.approx(1285, rel=0.1)


def test_data_differ_little_from_those_of_the_published_step() -> None:
    """A step five times as long changes the last state by 1.5e-7 in the mean square."""
    fast, exact = simulate(range(20), False), simulate(range(20), False, 1e-4)
    miss = (fast.velocity - exact.velocity)[:, -1].square().mean()
    assert 0 < miss < 1e-6


def test_one_trajectory_is_made_again_from_its_seed(tmp_path: Path) -> None:
    data = store.read(generate(small(tmp_path))[1])
    seed = int(data.seed[1])
    again = simulate(range(seed, seed + 1), True, 2e-3)
    kept = data.fields["velocity"].values[1]
    torch.testing.assert_close(again.velocity[0, :, 0], torch.from_numpy(kept))


def test_an_interrupted_generation_is_taken_up(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int) -> None:
        if done >= 3:
            raise Stopped

    with pytest.raises(Stopped):
        generate(small(tmp_path / "a"), stop)
    assert len(list((tmp_path / "a").glob("*.h5"))) == 1
    generate(small(tmp_path / "a"))
    generate(small(tmp_path / "b"))
    first, second = (load_driven(tmp_path / kind, True) for kind in "ab")
    assert torch.equal(first.velocity, second.velocity) and first.force.shape == (5, 10, 1, 128)
    with pytest.raises(ValueError, match=r"made by another recipe \(forced is outer"):
        write = replace(small(tmp_path / "a"), forced="everywhere")
        generate(replace(write, out=_renamed(tmp_path / "a", "outer", "everywhere")))


def test_a_recipe_names_its_seconds_only_where_there_are_several(tmp_path: Path) -> None:
    """Data and trainings from before there were longer trajectories are taken up."""
    long = replace(small(tmp_path), seconds=2)
    assert "seconds" not in small(tmp_path).recipe and long.recipe["seconds"] == 2
    generate(long)
    with pytest.raises(ValueError, match=r"made by another recipe \(seconds is 2"):
        generate(small(tmp_path))


def _renamed(folder: Path, old: str, new: str) -> Path:
    for path in folder.glob("*.h5"):
        path.rename(folder / path.name.replace(old, new))
    return folder


def test_a_file_opens_in_xarray_with_points_between_walls(tmp_path: Path) -> None:
    with xarray.open_datatree(generate(small(tmp_path))[0], engine="h5netcdf") as tree:
        assert tree["t0_fields/force"].dims == ("sample", "time", "x")
        force, x = np.asarray(tree["t0_fields/force"]), np.asarray(tree["x"])
    assert force.shape == (3, 11, 128) and x[0] == pytest.approx(1 / 129)
    assert not force[:, -1].any() and force[:, -2].any()


def test_training_and_test_seeds_do_not_meet() -> None:
    assert TRAINING_SEEDS.stop <= TEST_SEEDS.start
    with pytest.raises(ValueError, match="must lie within"):
        BurgersControlData(seed=10**9 - 5, simulations=10)


def test_what_is_trained_on_has_the_forces_and_the_seeds_for_it(tmp_path: Path) -> None:
    here, there = small(tmp_path / "here"), small(tmp_path / "there")
    generate(here)
    generate(replace(there, seed=TEST_SEEDS.start))
    made = origin(here.out, True)
    assert made == {**here.recipe, "seeds": [0, 4], "simulations": 5}
    for read in (origin, load_driven):
        with pytest.raises(
            ValueError, match="must hold simulations forced everywhere, got 'outer'"
        ):
            read(here.out, False)
        with pytest.raises(ValueError, match=r"must hold training seeds.* got 1000000000"):
            read(there.out, True)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"forced must be one of \['everywhere', 'outer'\]"):
        BurgersControlData(forced="inner")
    with pytest.raises(ValueError, match="whole number of steps"):
        BurgersControlData(dt=3e-4)
    with pytest.raises(ValueError, match="must not exceed"):
        BurgersControlData(dt=5e-3)
