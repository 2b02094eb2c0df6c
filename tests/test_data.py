"""Data: what is written is read, by others too; and every simulation can be made again."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray

from physgen.datasets import equation, equations, store
from physgen.datasets.nbody import (
    LAWS,
    Motion,
    NBodyData,
    generate,
    load_motion,
    simulate,
)
from physgen.datasets.seeds import TEST_SEEDS, TRAINING_SEEDS
from physgen.design_tasks.inspection import describe
from physgen.solvers.discs import Discs


def small(folder: Path) -> NBodyData:
    return NBodyData(simulations=50, steps=40, shard=20, out=folder)


def test_a_file_opens_in_xarray_with_named_dimensions(tmp_path: Path) -> None:
    path = generate(small(tmp_path))[0]
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        position = tree["t1_fields/position"]
        assert position.dims == ("sample", "time", "body", "component")
        assert position.shape == (20, 11, 2, 2)
        assert position.attrs["units"] == "px"
        assert float(position.time[-1]) == pytest.approx(40 / 60)
        assert tree["quality/energy_drift"].dims == ("sample",)


def named(place: h5py.Group | h5py.Dataset | h5py.Datatype, attribute: str) -> list[str]:
    return [str(name) for name in np.asarray(place.attrs[attribute])]


def test_a_file_has_the_groups_and_attributes_of_the_well(tmp_path: Path) -> None:
    with h5py.File(generate(small(tmp_path))[0]) as file:
        assert file.attrs["grid_type"] == "cartesian"
        assert file.attrs["n_trajectories"] == 20
        assert named(file["dimensions"], "spatial_dims") == ["body"]
        assert file["dimensions/time"].attrs["time_varying"]
        for name in named(file, "simulation_parameters"):
            assert f"scalars/{name}" in file and name in file.attrs
        assert named(file["t1_fields"], "field_names") == ["position", "velocity"]
        assert file["boundary_conditions/box"].attrs["bc_type"] == "WALL"


def test_reading_gives_what_was_written(tmp_path: Path) -> None:
    data = store.read(generate(small(tmp_path / "a"))[1])
    store.write(tmp_path / "copy.h5", data)
    again = store.read(tmp_path / "copy.h5")
    assert again.recipe == data.recipe and again.boundaries == data.boundaries
    for name, one in data.fields.items():
        assert np.array_equal(again.fields[name].values, one.values)
    assert np.array_equal(again.seed, data.seed)


def test_one_simulation_is_made_again_from_its_seed(tmp_path: Path) -> None:
    data = store.read(generate(small(tmp_path))[1])
    seed = int(data.seed[7])
    again = simulate(range(seed, seed + 1), 2, 40, 4, LAWS["separate"], Discs())
    stored = data.fields["position"].values[7]
    np.testing.assert_array_equal(again[0, ..., :2].float().numpy(), stored)


def test_an_interrupted_generation_is_taken_up(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int) -> None:
        if done >= 20:
            raise Stopped

    with pytest.raises(Stopped):
        generate(small(tmp_path / "a"), stop)
    assert len(list((tmp_path / "a").glob("*.h5"))) == 1
    generate(small(tmp_path / "a"))
    generate(small(tmp_path / "b"))
    assert torch.equal(load_motion(tmp_path / "a"), load_motion(tmp_path / "b"))
    assert load_motion(tmp_path / "a").shape == (50, 11, 2, 4)


def test_workers_write_what_one_writes(tmp_path: Path) -> None:
    generate(small(tmp_path / "a"))
    generate(replace(small(tmp_path / "b"), workers=2))
    assert torch.equal(load_motion(tmp_path / "a"), load_motion(tmp_path / "b"))


def test_shards_of_another_recipe_are_refused(tmp_path: Path) -> None:
    generate(small(tmp_path))
    said = r"made by another recipe \(start is separate, not cindm\): choose another --out"
    before = (tmp_path / "manifest.json").read_text()
    with pytest.raises(ValueError, match=said):
        generate(replace(small(tmp_path), start="cindm"))
    with pytest.raises(ValueError, match=r"recipe \(bodies is 2, not 3\)"):
        generate(replace(small(tmp_path), bodies=3))  # whose files have other names
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(ValueError, match=said):
        generate(replace(small(tmp_path), start="cindm"))
    generate(small(tmp_path))
    assert (tmp_path / "manifest.json").read_text() == before


def test_more_of_the_same_data_joins_them(tmp_path: Path) -> None:
    whole = load_motion_of(small(tmp_path / "whole"))
    parts = small(tmp_path / "parts")
    generate(replace(parts, simulations=10, seed=40))
    generate(replace(parts, simulations=20))
    assert torch.equal(load_motion(parts.out), torch.cat([whole[:20], whole[40:]]))
    assert torch.equal(load_motion_of(parts), whole)
    assert torch.equal(load_motion_of(replace(parts, simulations=20)), whole), "all stay listed"
    longer = load_motion_of(replace(parts, simulations=60))
    assert len(longer) == 60 and torch.equal(longer[:50], whole), "no seed is held twice"
    with pytest.raises(
        ValueError, match=r"holds the seeds 0 to 19, and .* would hold 0 to 9, some"
    ):
        generate(replace(parts, simulations=10))
    with pytest.raises(ValueError, match="must lie within the training seeds"):
        generate(replace(parts, simulations=10, seed=10**9))


def load_motion_of(data: NBodyData) -> Motion:
    generate(data)
    return load_motion(data.out)


def test_a_manifest_that_is_damaged_is_refused_by_name(tmp_path: Path) -> None:
    generate(small(tmp_path))
    (tmp_path / "manifest.json").write_text('{"recipe": {},\n files}')
    for use in (load_motion, describe, lambda folder: generate(small(folder))):
        with pytest.raises(ValueError, match=r"manifest\.json is no list of data files .* remove"):
            use(tmp_path)


def test_a_shard_that_is_truncated_can_be_made_anew(tmp_path: Path) -> None:
    whole, path = load_motion_of(small(tmp_path)), generate(small(tmp_path))[1]
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"truncated.*remove it, and ask for its seeds"):
        generate(small(tmp_path))
    path.unlink()
    assert torch.equal(load_motion_of(small(tmp_path)), whole)


def test_training_and_test_seeds_do_not_meet() -> None:
    assert not set(TRAINING_SEEDS[:: 10**6]) & set(TEST_SEEDS[:: 10**6])
    assert TRAINING_SEEDS.stop <= TEST_SEEDS.start
    with pytest.raises(ValueError, match="must lie within"):
        NBodyData(seed=10**9 - 5, simulations=10)


def test_a_truncated_file_is_refused_by_name(tmp_path: Path) -> None:
    path = generate(small(tmp_path))[0]
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=rf"{path.name} is no HDF5 file, or is truncated"):
        store.read(path)
    with pytest.raises(ValueError, match="truncated"):
        generate(small(tmp_path))


def test_a_foreign_file_is_refused_by_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["tensor"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"foreign\.h5 is an HDF5 file, but not of physgen"):
        describe(tmp_path / "foreign.h5")


def test_data_of_something_else_are_no_motion_of_discs(tmp_path: Path) -> None:
    equation.generate(equations.HeatData(simulations=2, points=16, frames=2, out=tmp_path))
    with pytest.raises(
        ValueError, match="holds 'heat', no discs in a box: make those by 'physgen"
    ):
        load_motion(tmp_path)


def test_a_file_that_lacks_something_says_what(tmp_path: Path) -> None:
    path = generate(small(tmp_path))[0]
    with h5py.File(path, "a") as file:
        del file["seed"], file["t0_fields"]
    with pytest.raises(ValueError, match="incomplete: t0_fields, seed missing"):
        store.read(path)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    data = store.read(generate(small(tmp_path / "a"))[0])
    bad = replace(data, fields={"position": replace(data.fields["position"], order=0)})
    with pytest.raises(ValueError, match=r"position must have shape \(20, 11, 2\)"):
        store.write(tmp_path / "bad.h5", bad)
    broken = replace(data, recipe={"no json": object()})
    with pytest.raises(TypeError):
        store.write(tmp_path / "bad.h5", broken)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_grid_is_stored_as_well_as_particles(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
    axis = {
        "x": np.linspace(0, 1, 5, dtype=np.float32),
        "y": np.linspace(0, 2, 6, dtype=np.float32),
    }
    data = store.Trajectories(
        name="heat",
        time=np.arange(4, dtype=np.float32),
        space=axis,
        fields={"temperature": store.Field(values, "K", 0)},
        parameters={"diffusivity": 0.1},
        boundaries={"walls": "WALL"},
        recipe={},
        seed=np.arange(3),
    )
    store.write(tmp_path / "heat.h5", data)
    with xarray.open_datatree(tmp_path / "heat.h5", engine="h5netcdf") as tree:
        assert tree["t0_fields/temperature"].dims == ("sample", "time", "x", "y")
        np.testing.assert_array_equal(tree["t0_fields/temperature"], values)


def test_inspect_tells_what_is_there(tmp_path: Path) -> None:
    path = generate(small(tmp_path))[0]
    facts = describe(path)
    assert facts["samples"] == 20
    assert facts["parameter radius"] == 20
    assert describe(tmp_path)["files"] == 3
    path.unlink()
    assert path.name in str(describe(tmp_path)["missing"])
