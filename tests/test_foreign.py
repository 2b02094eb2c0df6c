"""Files of others: small ones in exactly their layout are read, converted, and refused with a reason."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from physgen.cli import main
from physgen.datasets import store
from physgen.datasets.foreign import open_foreign
from physgen.datasets.foreign_format import part
from physgen.design_tasks.inspection import describe


def some(*shape: int) -> np.ndarray:
    """Numbers that are all different, so that a wrong axis shows."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 7


def line(path: Path) -> None:
    """PDEBench's advection: one entry of t more than instants."""
    with h5py.File(path, "w") as file:
        file["tensor"] = some(4, 3, 8)
        file["x-coordinate"] = np.linspace(0.0625, 0.9375, 8)
        file["t-coordinate"] = 0.01 * np.arange(4)
        file.attrs["beta"] = 0.4


def darcy(path: Path) -> None:
    """PDEBench's Darcy: no time, a permeability beside."""
    with h5py.File(path, "w") as file:
        file["tensor"] = some(4, 1, 6, 6)
        file["nu"] = 1 + some(4, 6, 6)
        file["x-coordinate"] = file["y-coordinate"] = np.linspace(0, 1, 6)
        file.attrs["beta"] = 1.0


def compressible(path: Path) -> None:
    """PDEBench's compressible flow in a plane."""
    with h5py.File(path, "w") as file:
        for k, name in enumerate(("Vx", "Vy", "density", "pressure")):
            file[name] = k + some(4, 3, 6, 8)
        file["x-coordinate"], file["y-coordinate"] = np.linspace(0, 1, 6), np.linspace(0, 1, 8)
        file["t-coordinate"] = np.arange(4.0)
        file.attrs.update({"eta": 0.1, "zeta": 0.1, "M": 1.0})


def seeded(path: Path) -> None:
    """PDEBench's diffusion-reaction: groups named by seeds, y before x."""
    with h5py.File(path, "w") as file:
        for seed in (0, 1, 7, 12):
            group = file.create_group(f"{seed:04d}")
            group.attrs["config"] = "sim:\n  Du: 1e-3"
            group["data"] = seed + some(3, 8, 6, 2)
            group["grid/x"], group["grid/y"] = np.linspace(-1, 1, 6), np.linspace(-1, 1, 8)
            group["grid/t"] = np.arange(3.0)


def sorption(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for seed in range(4):
            file[f"{seed:04d}/data"] = seed + some(3, 8, 1)
            file[f"{seed:04d}/grid/x"] = np.linspace(0, 1, 8)
            file[f"{seed:04d}/grid/t"] = np.arange(3.0)


def incompressible(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["velocity"], file["particles"] = some(4, 3, 6, 8, 2), some(4, 3, 6, 8, 1)
        file["force"] = some(4, 6, 8, 2)
        file["t"] = np.tile(0.5 * np.arange(3.0), (4, 1))
        file.attrs["latestIndex"] = 3


def smoke(path: Path) -> None:
    """PDEArena's: one group a split, times and places for each sample."""
    with h5py.File(path, "w") as file:
        group = file.create_group("train")
        for k, name in enumerate(("u", "vx", "vy")):
            group[name] = (k + some(4, 3, 6, 8)).astype(np.float64)
        for name, count in (("t", 3), ("x", 6), ("y", 8)):
            group[name] = np.tile(np.arange(count, dtype=np.float64), (4, 1))
        for name in ("dt", "dx", "dy"):
            group[name] = np.ones(4)
        group["buo_y"] = 0.1 * np.arange(4)


def flames(path: Path) -> None:
    """PDEArena's Kuramoto-Sivashinsky: all samples with one step here."""
    with h5py.File(path, "w") as file:
        group = file.create_group("valid")
        group["pde_3-8"] = some(4, 3, 8)
        group["dt"], group["dx"], group["v"] = np.full(4, 0.2), np.full(4, 0.25), np.ones(4)


def well(path: Path) -> None:
    """The Well's: what does not vary stands once, and its vectors have the axis behind."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"dataset_name": "some", "grid_type": "cartesian", "n_spatial_dims": 2,
                           "n_trajectories": 4, "Re": 100.0})  # fmt: skip
        file.attrs["simulation_parameters"] = ["Re"]
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = ["x", "y"]
        for name, count in (("time", 3), ("x", 6), ("y", 8)):
            dimensions[name] = np.arange(count, dtype=np.float32)
        scalars = file.create_group("scalars")
        scalars.attrs["field_names"] = ["Re", "strength", "pulse"]
        for name, values, varies in (
            ("Re", np.float32(100), (False, False)),
            ("strength", np.arange(4.0), (True, False)),
            ("pulse", np.arange(3.0), (False, True)),
        ):
            scalars[name] = values
            scalars[name].attrs.update({"sample_varying": varies[0], "time_varying": varies[1]})
        for order, name, values, varies in (
            (0, "density", some(4, 3, 6, 8), (True, True)),
            (0, "ground", some(6, 8), (False, False)),
            (1, "velocity", some(4, 3, 6, 8, 2), (True, True)),
        ):
            group = file.require_group(f"t{order}_fields")
            group[name] = values
            told = {"sample_varying": varies[0], "time_varying": varies[1]}
            group[name].attrs.update({**told, "dim_varying": [True, True]})
        file["t0_fields"].attrs["field_names"] = ["density", "ground"]
        file["t1_fields"].attrs["field_names"] = ["velocity"]
        file.create_group("t2_fields").attrs["field_names"] = np.array([], "S1")
        wall = file.create_group("boundary_conditions/y_wall")
        wall.attrs.update({"bc_type": "wall", "associated_dims": ["y"]})
        wall["mask"] = np.array([True, *[False] * 6, True])


def array(path: Path) -> None:
    """APEBench's."""
    np.save(path, some(4, 3, 1, 8))


def tensors(path: Path) -> None:
    """neuralop's Darcy."""
    torch.save({"x": torch.rand(4, 6, 6) > 0.5, "y": torch.from_numpy(some(4, 6, 6))}, path)


def waves(path: Path) -> None:
    """neuralop's Burgers."""
    output = torch.from_numpy(some(4, 3, 8)).double()
    torch.save({"input": output[:, 0], "output": output, "visc": 0.01}, path)


Made = tuple[str, Callable[[Path], None], str, str, tuple[int, ...]]
FILES: dict[str, Made] = {
    "line": (".hdf5", line, "PDEBench, one file a parameter", "u", (3, 8)),
    "darcy": (".hdf5", darcy, "PDEBench, one file a parameter", "nu", (1, 6, 6)),
    "compressible": (".hdf5", compressible, "PDEBench, one file a parameter", "Vy", (3, 6, 8)),
    "seeded": (".h5", seeded, "PDEBench, one group a seed", "inhibitor", (3, 6, 8)),
    "sorption": (".h5", sorption, "PDEBench, one group a seed", "concentration", (3, 8)),
    "incompressible": (".h5", incompressible, "PDEBench, incompressible flow", "force", (3, 6, 8, 2)),
    "smoke": (".h5", smoke, "PDEArena, smoke", "velocity", (3, 6, 8, 2)),
    "flames": (".h5", flames, "PDEArena, Kuramoto-Sivashinsky", "velocity", (3, 8)),
    "well": (".hdf5", well, "The Well", "ground", (3, 6, 8)),
    "array": (".npy", array, "APEBench", "u", (3, 8)),
    "tensors": (".pt", tensors, "neuralop, Darcy", "permeability", (1, 6, 6)),
    "waves": (".pt", waves, "neuralop, Burgers", "velocity", (3, 8)),
}  # fmt: skip
"""Ending, maker, what it is, and a field of it with its shape."""


def made(name: str, folder: Path) -> Path:
    path = folder / f"{name}{FILES[name][0]}"
    FILES[name][1](path)
    return path


@pytest.mark.parametrize("name", FILES)
def test_a_foreign_file_is_recognised_and_converted_without_a_change(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, (_, _, kind, field, shape) = made(name, tmp_path), FILES[name]
    found = open_foreign(path)
    assert (found.format, found.samples) == (kind, 4)
    assert found.data.fields[field].values.shape == (4, *shape)
    some = open_foreign(path, slice(2, 3))
    for one, values in some.data.fields.items():
        assert np.array_equal(values.values, found.data.fields[one].values[2:3])
    facts = describe(path)
    assert facts["kind"] == kind and facts["samples"] == 4
    out = tmp_path / "ours.h5"
    assert main(["convert", str(path), "--out", str(out), "--first", "1", "--count", "2"]) == 0
    assert f"2 of 4 samples of {kind}" in capsys.readouterr().out
    ours = store.read(out)
    assert ours.recipe["format"] == kind and ours.recipe["file"] == path.name
    assert np.array_equal(ours.time, found.data.time) and set(ours.space) == set(found.data.space)
    for one, values in ours.fields.items():
        assert np.array_equal(values.values, found.data.fields[one].values[1:3])
    assert describe(out)["samples"] == 2


def test_quirks_of_pdebench_are_known(tmp_path: Path) -> None:
    advection = open_foreign(made("line", tmp_path)).data
    np.testing.assert_allclose(advection.time, [0, 0.01, 0.02], atol=1e-7)
    assert advection.parameters == {"beta": 0.4}
    reaction = open_foreign(made("seeded", tmp_path)).data
    assert reaction.seed.tolist() == [0, 1, 7, 12]
    assert "Du: 1e-3" in str(reaction.recipe["config"])
    stored = 7 + some(3, 8, 6, 2)  # (time, y, x, channel)
    assert reaction.fields["activator"].values[2, 1, 4, 5] == stored[1, 5, 4, 0]
    assert list(reaction.space) == ["x", "y"] and len(reaction.space["x"]) == 6


def test_what_varies_by_sample_in_the_well_and_what_stands_once_is_known(tmp_path: Path) -> None:
    data = open_foreign(made("well", tmp_path), slice(1, 3)).data
    assert data.parameters == {"Re": 100.0} and data.recipe["left_out"] == ["pulse"]
    assert data.quality["strength"].tolist() == [1, 2]
    assert data.boundaries == {"bottom": "WALL", "top": "WALL"}
    assert np.array_equal(data.fields["ground"].values[1, 2], some(6, 8))
    assert data.fields["velocity"].order == 1


def test_a_file_of_ours_is_one_of_the_well(tmp_path: Path) -> None:
    """Our own files, read as The Well's, say the same."""
    assert main(["convert", str(made("smoke", tmp_path)), "--out", str(tmp_path / "a.h5")]) == 0
    ours, theirs = store.read(tmp_path / "a.h5"), open_foreign(tmp_path / "a.h5")
    assert theirs.format == "The Well" and theirs.samples == 4
    for name, field in ours.fields.items():
        assert np.array_equal(theirs.data.fields[name].values, field.values)


def test_samples_with_steps_of_their_own_are_taken_one_by_one(tmp_path: Path) -> None:
    path = made("flames", tmp_path)
    with h5py.File(path, "a") as file:
        part(file, "valid/dt")[2] = 0.21
    with pytest.raises(ValueError, match=r"have dt of their own.* --first and --count 1"):
        open_foreign(path)
    assert open_foreign(path, slice(2, 3)).data.time[1] == pytest.approx(0.21)


@pytest.mark.parametrize("samples", [slice(None), slice(2, 3)])
def test_times_and_places_may_stand_once_for_all_samples(samples: slice, tmp_path: Path) -> None:
    path = made("smoke", tmp_path)
    theirs = open_foreign(path, samples).data
    with h5py.File(path, "a") as file:
        for name in "txy":
            once = part(file, f"train/{name}")[0]
            del file[f"train/{name}"]
            file[f"train/{name}"] = once
    data = open_foreign(path, samples).data
    assert np.array_equal(data.time, theirs.time)
    assert all(np.array_equal(data.space[name], theirs.space[name]) for name in "xy")


def test_what_is_no_known_format_is_told_what_was_expected_and_what_came(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["weather"] = np.zeros(3)
    with pytest.raises(
        ValueError, match=r"odd\.h5 is an HDF5 file, but not .*with weather\. Kno.*"
    ):
        open_foreign(tmp_path / "odd.h5")
    np.save(tmp_path / "flat.npy", np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"an array \(3, 4\) of float64\. Known are APEBench"):
        open_foreign(tmp_path / "flat.npy")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"with weights\. Known are neuralop, Darcy: tensors x"):
        open_foreign(tmp_path / "net.pt")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match="no HDF5 file, or is truncated"):
        open_foreign(tmp_path / "text.h5")


def test_what_lacks_a_part_or_has_another_shape_is_named(tmp_path: Path) -> None:
    path = made("line", tmp_path)
    with h5py.File(path, "a") as file:
        del file["t-coordinate"]
        file["t-coordinate"] = np.zeros(2)
    with pytest.raises(ValueError, match=r"parameter, but t-coordinate must have the shape \(3\)"):
        open_foreign(path)
    path = made("incompressible", tmp_path)
    with h5py.File(path, "a") as file:
        del file["particles"]
        file["particles"] = some(4, 3, 8, 6, 1)
    with pytest.raises(ValueError, match=r"particles must have the shape \(4, 3, 6, 8, 1\), got"):
        open_foreign(path)
    with pytest.raises(ValueError, match="none of the samples asked for, of 4"):
        open_foreign(made("sorption", tmp_path), slice(9, 12))


class Trap:
    """What a hostile file would have run by whoever loads it."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("sprung"),)


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"x": Trap(), "y": torch.zeros(2)}, "trap.pt")
    np.save("trap.npy", np.array([Trap()], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"trap\.pt is damaged or holds more than tensors"):
        open_foreign(Path("trap.pt"))
    with pytest.raises(ValueError, match=r"trap\.npy is no array of numbers"):
        open_foreign(Path("trap.npy"))
    assert not Path("sprung").exists()
