"""``physgen generate`` of equations: one contract for every data set, and what each is held to."""

import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray

from physgen.cli import COMMANDS, main
from physgen.datasets import store
from physgen.datasets.catalogue import DATA
from physgen.datasets.equation import EquationData, generate
from physgen.datasets.equations import (
    EVOLVING,
    AdvectionData,
    BurgersData,
    FisherData,
    FitzHughNagumoData,
    GrayScottData,
    HeatData,
    KdvData,
    KuramotoData,
    TurbulenceData,
    WalledBurgersData,
    WaveData,
)
from physgen.datasets.pdebench import ReactionData, SorptionData
from physgen.datasets.steady import DarcyData, HelmholtzData, PoissonData
from physgen.design_tasks.inspection import describe
from physgen.solvers.darcy import Darcy
from physgen.solvers.elliptic import Cells
from physgen.solvers.random_field import GaussianField

SMALL: dict[str, EquationData] = {
    "advection": AdvectionData(points=32, axes=2, waves=3, frames=25, dt=0.2),
    "heat": HeatData(points=32, frames=5, dt=0.2),
    "burgers": BurgersData(points=64, viscosity=0.03, time=0.3, frames=6, dt=0.01),
    "kdv": KdvData(points=64, length=20.0, waves=2, time=0.4, frames=20, dt=0.005),
    "kuramoto": KuramotoData(points=64, length=22.0, before=2.0, time=1.0, frames=10, dt=0.1),
    "fisher": FisherData(points=64, time=1.0, frames=5),
    "gray-scott": GrayScottData(points=32, length=24.0, time=40.0, frames=10, dt=1.0),
    "fitzhugh-nagumo": FitzHughNagumoData(points=32, waves=5, time=1.0, frames=10),
    "turbulence": TurbulenceData(points=48, viscosity=0.02, waves=4, strength=3.0, time=0.4, frames=8),
    "wave": WaveData(points=31, axes=1, time=0.2, frames=20, dt=0.005),
    "walled-burgers": WalledBurgersData(points=63, viscosity=0.02, time=0.2, frames=5, dt=1e-3),
    "pdebench-diffusion-reaction": ReactionData(points=16, time=0.5, frames=5),
    "pdebench-diffusion-sorption": SorptionData(points=64, time=50.0, frames=5),
    "darcy": DarcyData(cells=24),
    "helmholtz": HelmholtzData(cells=24),
    "poisson": PoissonData(cells=24),
}  # fmt: skip
"""Every data set, with less to do."""
LARGEST = {"residual": 0.4, "step_error": 1e-3, "energy_drift": 1e-2, "momentum_drift": 1e-6}
"""What figures may be; what the scheme itself keeps is kept to 1e-10."""
every = pytest.mark.parametrize("name", DATA)


def placed(name: str, out: Path, simulations: int = 3) -> EquationData:
    return replace(SMALL[name], out=out, simulations=simulations, shard=2, seed=7)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every data set is made once."""
    return tmp_path_factory.mktemp("data")


def made(name: str, desk: Path) -> tuple[EquationData, list[Path]]:
    data = placed(name, desk / name)
    return data, generate(data)


def test_every_data_set_is_a_command() -> None:
    named = {c.words[1] for c in COMMANDS if c.words[0] == "generate"}
    assert set(DATA) <= named and set(SMALL) == set(DATA)


@every
def test_a_sample_is_made_again_from_its_seed_alone(name: str, desk: Path) -> None:
    data, paths = made(name, desk)
    first, last = (store.read(path) for path in paths)
    assert first.seed.tolist() == [7, 8] and last.seed.tolist() == [9]
    assert last.recipe == data.recipe and last.recipe["dataset"] == name
    alone = data.simulate(range(8, 9)).values[0].float()
    for channel, (field, kept) in enumerate(first.fields.items()):
        scale = max(float(np.abs(kept.values).max()), 1e-6)
        np.testing.assert_allclose(alone[:, channel] / scale, kept.values[1] / scale, atol=2e-6)
        some_differ = not np.array_equal(kept.values[0], kept.values[1])
        assert some_differ or (name, field) == ("darcy", "source")


@every
def test_a_file_tells_how_good_it_is(name: str, desk: Path) -> None:
    _, (path, _) = made(name, desk)
    quality = store.read(path).quality
    assert "finite" in quality and {"residual", "step_error"} & set(quality)
    for figure, values in quality.items():
        assert values.shape == (2,)
        if figure == "finite":
            assert (values == 1).all()
        else:
            assert (values < LARGEST.get(figure, 1e-10)).all(), (figure, values)


@every
def test_a_file_opens_in_xarray_and_is_laid_out_as_the_well_does(name: str, desk: Path) -> None:
    data, (path, _) = made(name, desk)
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        space = tree["dimensions"].attrs["spatial_dims"]
        axes = tuple(np.atleast_1d(space).tolist())
        for field, units in data.units.items():
            stored = tree[f"t0_fields/{field}"]
            assert stored.dims == ("sample", "time", *axes)
            assert stored.attrs["units"] == units
            assert np.isfinite(stored).all()
        assert tree["quality/finite"].dims == ("sample",)
        assert set(np.atleast_1d(tree.attrs["simulation_parameters"])) == set(data.facts)
        sides = tree["boundary_conditions"].children.values()
        assert len(sides) == 2 * len(axes)
        walls = name not in EVOLVING or name in ("wave", "walled-burgers")
        assert {side.attrs["bc_type"] for side in sides} == {"WALL" if walls else "PERIODIC"}
    facts = describe(path)
    assert facts["samples"] == 2 and facts["figure finite"] == "1 to 1"


def test_what_is_carried_along_is_where_it_was_before(desk: Path) -> None:
    _, (path, _) = made("advection", desk)
    field = store.read(path).fields["concentration"].values
    np.testing.assert_allclose(field[:, -1], field[:, 0], atol=1e-6)  # once around
    np.testing.assert_allclose(
        store.read(path).time, np.linspace(0, 1, 26, dtype=np.float32), atol=1e-7
    )


def test_forces_that_are_kept_make_the_motion_that_is_kept(desk: Path) -> None:
    data, (path, _) = made("walled-burgers", desk)
    assert isinstance(data, WalledBurgersData)
    velocity, force = (
        torch.from_numpy(store.read(path).fields[name].values).double()[:, :, None]
        for name in ("velocity", "force")
    )
    solver = data.problem.with_step(data.step)
    steps = round(data.interval / data.step)
    for k in (0, 3):
        found = solver.march(velocity[:, k], force[:, k], steps)
        torch.testing.assert_close(found, velocity[:, k + 1], atol=1e-5, rtol=0)
    assert (force[:, -1] == 0).all()
    assert store.read(path).fields["force"].about.startswith("constant from its instant")


def test_a_trajectory_may_begin_late() -> None:
    data = replace(SMALL["heat"], simulations=1)
    assert isinstance(data, HeatData)
    late = replace(data, before=data.interval).simulate(range(1)).values
    torch.testing.assert_close(late[:, :-1], data.simulate(range(1)).values[:, 1:])


def test_grounds_have_two_permeabilities_and_bear_their_pressure(desk: Path) -> None:
    _, (path, _) = made("darcy", desk)
    fields = {k: one.values[:, 0] for k, one in store.read(path).fields.items()}
    assert set(np.unique(fields["permeability"])) == {3.0, 12.0}
    boundary = torch.from_numpy(np.stack([fields["permeability"], fields["source"]], 1)).double()
    found = Darcy(Cells((24, 24), (1.0, 1.0))).solve(boundary)[:, 0]
    np.testing.assert_allclose(found, fields["pressure"], rtol=1e-5, atol=1e-8)


# Gaussian random fields


def test_random_fields_have_the_spread_of_their_modes() -> None:
    """On any cells the mean square of a field is the sum of its modes' variances."""
    law, cells = GaussianField(2.0, 3.0, highest=12), Cells((12, 16), (1.0, 1.0))
    fields = law.draw(cells, 4000, torch.Generator().manual_seed(0))
    expected = sum(
        9 / (math.pi**2 * (i**2 + j**2) + 9) ** 2
        for i in range(12) for j in range(12) if i or j
    )  # fmt: skip
    assert float(fields.square().mean()) == pytest.approx(expected, rel=0.05)
    assert float(fields.mean((1, 2)).abs().max()) < 1e-12
    corner = float(fields[:, 0, 0].square().mean())  # cosines are largest at the walls
    assert corner > 1.5 * float(fields[:, 6, 8].square().mean())


def test_one_seed_gives_one_random_field_on_cells_of_any_fineness() -> None:
    law = GaussianField(3.0, 3.0, highest=16)
    coarse, fine = (
        law.draw(Cells((n, n), (1.0, 2.0)), 2, torch.Generator().manual_seed(0)) for n in (16, 48)
    )
    torch.testing.assert_close(fine[:, 1::3, 1::3], coarse, atol=1e-12, rtol=0)


# Shards


def test_a_generation_that_was_stopped_goes_on_and_others_files_are_refused(
    tmp_path: Path,
) -> None:
    data = HeatData(points=32, simulations=5, shard=2, seed=7, out=tmp_path / "a")
    whole = [store.read(path) for path in generate(replace(data, out=tmp_path / "b"))]
    paths = generate(data)
    stamp = paths[0].stat().st_mtime_ns
    paths[1].unlink()
    assert generate(data) == paths and paths[0].stat().st_mtime_ns == stamp
    for path, other in zip(paths, whole, strict=True):
        values = store.read(path).fields["temperature"].values
        assert np.array_equal(values, other.fields["temperature"].values)
    with pytest.raises(ValueError, match=r"another recipe \(diffusivity is 0\.01, not 0\.02"):
        generate(replace(data, diffusivity=0.02))
    paths[0].replace(paths[1])
    with pytest.raises(ValueError, match="must hold the seeds 9 to 10, got 7 to 8"):
        generate(data)


@pytest.mark.filterwarnings("ignore")
def test_two_workers_of_a_cluster_write_what_one_process_writes(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    data = placed("burgers", tmp_path / "alone", 4)
    alone = [store.read(path) for path in generate(data)]
    with closing(distributed.LocalCluster(2, threads_per_worker=1)) as cluster:
        spread = replace(data, out=tmp_path / "spread", scheduler=cluster.scheduler_address)
        reported: list[int] = []
        paths = generate(spread, reported.append)
    assert reported == [0, 2, 4]
    for path, one in zip(paths, alone, strict=True):
        read = store.read(path)
        assert np.array_equal(read.seed, one.seed) and read.recipe == one.recipe
        velocity = read.fields["velocity"].values
        np.testing.assert_allclose(velocity, one.fields["velocity"].values, atol=1e-6)
    assert describe(tmp_path / "spread")["missing"] == "none"


# The command


def test_the_command_writes_a_folder_that_inspect_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", "poisson", "--cells", "16", "--simulations", "3", "--shard", "2"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert "3 simulations in 2 files" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path)]) == 0
    assert "poisson" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("burgers --viscosity -1", "viscosity must be positive, got -1.0"),
        ("heat --frames 0", "a run needs a time, frames and a time step, got 1.0, 0"),
        ("kuramoto --before -1", "before must not be negative, got -1.0"),
        ("kdv --simulations 0", "simulations must be at least 1, got 0"),
        ("wave --dt 1 --frames 1", "the CFL condition"),
        ("fisher --seed 999999990", "must lie within the training seeds"),
        ("darcy --low 0", "permeabilities must be positive, got low 0.0"),
        ("poisson --alpha 1", "a field needs alpha > 1, tau > 0"),
        ("helmholtz --wavenumber -1", "must not be negative, got -1.0"),
        ("heat --axes 2 --points 15", "must be even and at least 4, got (15, 15)"),
    ],
)
def test_bad_input_is_one_line(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", *words.split(), "--out", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("physgen: ") and error.count("\n") == 1
    assert not (tmp_path / "none").exists()
