"""Files of Burgers control: trajectories as HDF5 and for ParaView, one row a design as CSV."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from physgen.datasets import store
from physgen.datasets.burgers_control import Driven, instants, stored
from physgen.datasets.field import Fields
from physgen.datasets.vtk import write_images
from physgen.design_tasks.burgers_control import BurgersControl, Judged
from physgen.design_tasks.burgers_design import Drawn
from physgen.files import whole
from physgen.solvers.walled_burgers import WalledBurgers
from physgen.verdict import Verdict


def write_designs(
    path: Path, task: BurgersControl, drawn: Drawn, judged: Judged, verdict: Verdict
) -> None:
    """Simulated velocities, forces, and velocities as the prior has them, of all designs."""
    found = Driven(judged.simulated, task.allowed(drawn.force))
    columns = {
        name: getattr(judged, name).double().numpy()
        for name in _columns(verdict)
        if name != "energy"
    }
    recipe = {"options": verdict.options, "versions": verdict.versions}
    seeds = np.array(task.seeds)
    store.write(path, stored(found, seeds, recipe, columns, drawn.velocity))


def _columns(verdict: Verdict) -> tuple[str, ...]:
    """Of a design: its figures, and the force where none may act."""
    return (*verdict.figures, "violation")


def write_csv(path: Path, task: BurgersControl, judged: Judged, verdict: Verdict) -> None:
    """One row a design."""
    columns = _columns(verdict)
    table = torch.stack([getattr(judged, name) for name in columns], dim=1).tolist()
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("target_seed", *columns))
        for seed, row in zip(task.seeds, table, strict=True):
            writer.writerow((seed, *(f"{value:.6g}" for value in row)))


def write_calls(path: Path, helped: Tensor, scratch: Tensor) -> None:
    """The mean objective met until each call of the solver; a column is empty where it has ended."""
    named = {"from_the_prior": helped, "from_no_force": scratch}
    means = {name: costs.mean(1).tolist() for name, costs in named.items() if costs.numel()}
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("calls", *means))
        for k in range(max((len(row) for row in means.values()), default=0)):
            cells = (f"{row[k]:.6g}" if k < len(row) else "" for row in means.values())
            writer.writerow((k + 1, *cells))


def write_vtk(
    folder: Path, task: BurgersControl, drawn: Drawn, judged: Judged, design: int
) -> Path:
    """One design as a time series for ParaView, ``fields.pvd``."""
    one = slice(design, design + 1)
    values = {
        "velocity": judged.simulated[one],
        "claimed_velocity": drawn.velocity[one],
        "wanted_velocity": task.last[one, None].expand_as(judged.simulated[one]),
        "force": task.allowed(drawn.force)[one],
    }
    return write_series(folder, "burgers-control", values, task.seeds[design])


def write_series(folder: Path, name: str, values: Mapping[str, Tensor], seed: int) -> Path:
    """Velocities and the force of one trajectory as a time series for ParaView, ``fields.pvd``.

    Arguments:
        folder: Of the series.
        name: Of the task.
        values: ``(1, time, 1, x)``, in m/s; ``force``, in m/s², is of each interval, and nothing acts at the
            last instant.
        seed: Of the trajectory.
    """
    solver, force = WalledBurgers(), values["force"]
    (place,) = solver.grid.places(torch.zeros(1))
    held = {**values, "force": torch.cat([force, torch.zeros_like(force[:, :1])], dim=1)}
    fields = Fields(
        name=name,
        time=instants(force.shape[1]),
        axes={"x": place.numpy()},
        values={name: value[:, :, 0].float().numpy() for name, value in held.items()},
        units={name: "m s-2" if name == "force" else "m s-1" for name in held},
        parameters={"viscosity": solver.viscosity},
        recipe={},
        seed=np.array([seed]),
        side="WALL",
        centring="point",
    )
    return write_images(folder, fields, 0)
