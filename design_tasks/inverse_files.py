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
    """Of every case the truth, the mean of the draws, both ends of the interval, and a draw.

    Channels are fields at one instant; where an axis of samples is time they are trajectories.
    """
    low, high = interval(draws)
    kinds = {
        "": task.truth,
        "mean_": draws.mean(1),
        "low_": low,
        "high_": high,
        "drawn_": draws[:, 0],
    }
    law = task.law
    names = list(law.units)
    values = {
        f"{kind}{name}": (samples[:, channel] if law.timed else samples[:, None, channel])
        .float()
        .numpy()
        for channel, name in enumerate(names)
        for kind, samples in kinds.items()
    }
    about = {"": "truth", "mean_": "mean of the draws", "drawn_": "one of the draws"}
    about |= {"low_": "low end of the 90 % interval", "high_": "high end of the 90 % interval"}
    lines = list(axes_of(law.places).values())
    time = lines.pop(0) if law.timed else np.zeros(1, np.float32)
    return Fields(
        name=f"inverse-{task.equation.name}",
        time=time,
        axes=dict(zip("xy", lines, strict=False)),
        values=values,
        units={f"{kind}{name}": law.units[name] for name in names for kind in kinds},
        parameters=law.facts,
        recipe={"options": dict(verdict.options), "versions": dict(verdict.versions)},
        seed=np.array(task.seeds, np.int64),
        side=law.side,
        centring="cell",
        quality={name: one.double().numpy() for name, one in vars(judged).items()},
        about={f"{kind}{name}": said for name in names for kind, said in about.items()},
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
    """One row for each observation: its case, field, the middle of its cells in m (of an axis of time in
    s), and its value."""
    places = [place.expand(len(task.mean), *task.law.space).flatten() for place in task.law.places]
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("test_seed", "field", *task.law.axes, "value_over_spread_less_mean"))
        first = 0
        for field, where in task.sensors.items():
            values = task.seen.values[:, first : first + where.shape[1]]
            first += where.shape[1]
            for seed, here, seen in zip(task.seeds, where, values, strict=True):
                middle = zip(*(place[here].mean(1).tolist() for place in places), strict=True)
                for at, value in zip(middle, seen.tolist(), strict=True):
                    shown = (f"{one:.6g}" for one in (*at, value))
                    writer.writerow((seed, field.name, *shown))
