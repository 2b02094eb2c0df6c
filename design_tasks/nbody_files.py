"""Files of N-body designs: trajectories as HDF5, one row a design as CSV."""

import csv
from pathlib import Path

import numpy as np
import torch

from physgen.datasets import store
from physgen.design_tasks.nbody import BOX, RADIUS, SECONDS, Judged, Motion
from physgen.files import whole
from physgen.verdict import Verdict

COLUMNS = ("objective", "objective_fine", "objective_claimed", "mae", "mae_published")


def write_designs(path: Path, generated: Motion, judged: Judged, verdict: Verdict) -> None:
    """Generated and simulated motions of all designs, in box units."""
    fields = {}
    for name, motion in (("generated", generated), ("simulated", judged.simulated)):
        values = motion.float().numpy()
        fields[f"{name}_position"] = store.Field(values[..., :2], "boxes", 1)
        fields[f"{name}_velocity"] = store.Field(values[..., 2:], "boxes/s", 1)
    count, frames, bodies, _ = generated.shape
    columns = {name: getattr(judged, name) for name in (*COLUMNS, "violation", "speed")}
    store.write(
        path,
        store.Trajectories(
            name="nbody designs",
            time=np.arange(frames, dtype=np.float32) * np.float32(SECONDS),
            space={"body": np.arange(bodies, dtype=np.float32)},
            fields=fields,
            parameters={"radius": RADIUS, "box": 1.0, "box_px": BOX},
            boundaries={"box": "WALL"},
            recipe={"options": verdict.options, "versions": verdict.versions},
            seed=np.full(count, verdict.seed),
            quality={name: value.double().numpy() for name, value in columns.items()},
        ),
    )


def write_csv(path: Path, judged: Judged) -> None:
    """One row a design."""
    names = (*COLUMNS, "violation", "speed")
    table = torch.stack([getattr(judged, name) for name in names], dim=1).tolist()
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("design", *names))
        writer.writerows((k, *(f"{value:.6g}" for value in row)) for k, row in enumerate(table))
