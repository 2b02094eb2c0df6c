"""Files of simulations: ensembles as HDF5 and for ParaView, cases and lead times as CSV."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from physgen.datasets.field import Fields, axes_of
from physgen.design_tasks.simulate import (
    LENGTH,
    POINTS,
    TRAINED,
    Curves,
    Ensembles,
    Judged,
    SimulateTask,
    data,
)
from physgen.files import whole
from physgen.solvers.periodic import Periodic
from physgen.verdict import Verdict


def fields_of(task: SimulateTask, members: Ensembles, judged: Judged, verdict: Verdict) -> Fields:
    """Of every case the truth, mean and spread of the members, and each of them, in m/s."""
    kinds = {
        "velocity": task.truth,
        "mean_velocity": members.mean(1),
        "spread_velocity": members.std(1),
        **{f"member_{k}_velocity": members[:, k] for k in range(members.shape[1])},
    }
    made = data(*TRAINED, task.frames)
    places = Periodic((POINTS,), (LENGTH,)).places(torch.zeros(1, dtype=torch.float64))
    about = {
        "velocity": "truth",
        "mean_velocity": "mean of the members",
        "spread_velocity": "standard deviation of the members",
    }
    return Fields(
        name="simulate",
        time=task.time.float().numpy(),
        axes=axes_of(places),
        values={name: (task.scale * u).float().numpy() for name, u in kinds.items()},
        units=dict.fromkeys(kinds, made.units["velocity"]),
        parameters=made.facts,
        recipe={"options": dict(verdict.options), "versions": dict(verdict.versions)},
        seed=np.array(task.seeds, np.int64),
        side="PERIODIC",
        centring="cell",
        quality={k: v.double().numpy() for k, v in vars(judged).items() if v is not None},
        about=about,
    )


def write_cases(path: Path, task: SimulateTask, judged: Judged) -> None:
    """One row a case."""
    columns = {name: values for name, values in vars(judged).items() if values is not None}
    table = torch.stack(list(columns.values()), 1).tolist()
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("test_seed", *columns))
        for seed, row in zip(task.seeds, table, strict=True):
            writer.writerow((seed, *(f"{value:.6g}" for value in row)))


def write_curves(path: Path, curves: Mapping[str, Curves]) -> None:
    """One row for each method and lead time."""
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("method", "lead_time_s", "crps", "rmse", "spread_skill"))
        for name, found in curves.items():
            columns = (found.time, found.crps, found.rmse, found.spread_skill)
            for row in torch.stack(columns, 1).tolist():
                writer.writerow((name, *(f"{value:.6g}" for value in row)))
