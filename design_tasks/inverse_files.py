"""Files of inverse problems: fields as HDF5 and for ParaView, cases and what is seen as CSV."""

import csv
from pathlib import Path

import numpy as np
import torch

from physgen.datasets.field import Fields, axes_of
from physgen.design_tasks.inverse import Draws, InverseTask, Judged, interval
from physgen.files import whole
from physgen.verdict import Verdict


def fields_of(task: InverseTask, draws: Draws, judged: Judged, verdict: Verdict) -> Fields:
    """Of every case the truth, the mean of the draws, both ends of the interval, and a draw."""
    low, high = interval(draws)
    kinds = {
        "": task.truth,
        "mean_": draws.mean(1),
        "low_": low,
        "high_": high,
        "drawn_": draws[:, 0],
    }
    data = task.equation.data(task.cells.cells[0])
    state, coefficient = list(data.units)[:2]
    named = ((0, coefficient), (1, state))
    values = {
        f"{kind}{name}": pairs[:, None, field].float().numpy()
        for field, name in named
        for kind, pairs in kinds.items()
    }
    about = {"": "truth", "mean_": "mean of the draws", "drawn_": "one of the draws"}
    about |= {"low_": "low end of the 90 % interval", "high_": "high end of the 90 % interval"}
    return Fields(
        name=f"inverse-{task.equation.name}",
        time=np.zeros(1, np.float32),
        axes=axes_of(task.cells.places(torch.zeros(1, dtype=torch.float64))),
        values=values,
        units={f"{kind}{name}": data.units[name] for _, name in named for kind in kinds},
        parameters=data.facts,
        recipe={"options": dict(verdict.options), "versions": dict(verdict.versions)},
        seed=np.array(task.seeds, np.int64),
        side="WALL",
        centring="cell",
        quality={name: one.double().numpy() for name, one in vars(judged).items()},
        about={f"{kind}{name}": said for _, name in named for kind, said in about.items()},
    )


def write_cases(path: Path, task: InverseTask, judged: Judged) -> None:
    """One row a case."""
    columns = vars(judged)
    table = torch.stack(list(columns.values()), 1).tolist()
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("test_seed", *columns))
        for seed, row in zip(task.seeds, table, strict=True):
            writer.writerow((seed, *(f"{value:.6g}" for value in row)))


def write_observed(path: Path, task: InverseTask) -> None:
    """One row for each observation: its case, field, the middle of its cells in m, and its value."""
    x, y = (place.flatten() for place in task.cells.places(torch.zeros(1)))
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("test_seed", "field", "x", "y", "value_over_spread_less_mean"))
        first = 0
        for field, places in task.sensors.items():
            name, count = task.equation.fields[field], places.shape[1]
            values = task.seen.values[:, first : first + count]
            first += count
            for seed, here, seen in zip(task.seeds, places, values, strict=True):
                middle = zip(x[here].mean(1).tolist(), y[here].mean(1).tolist(), strict=True)
                for (a, b), value in zip(middle, seen.tolist(), strict=True):
                    writer.writerow((seed, name, f"{a:.6g}", f"{b:.6g}", f"{value:.6g}"))
