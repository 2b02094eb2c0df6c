"""Files of airfoil designs: HDF5, one row a design as CSV, sections in Selig's format."""

import csv
from pathlib import Path

import numpy as np
import torch

from physgen.datasets import store
from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks.airfoil_decode import points
from physgen.design_tasks.airfoil_design import Drawn
from physgen.design_tasks.airfoils import Judged
from physgen.files import whole
from physgen.solvers.sections import kulfan, write_dat
from physgen.verdict import Verdict

COLUMNS = (
    "drag_change",
    "lift_to_drag_change",
    "drag",
    "lift",
    "lift_to_drag",
    "reference",
    "turn",
    "swing",
    "valid",
)


def write_designs(path: Path, drawn: Drawn, judged: Judged, verdict: Verdict) -> None:
    """What the prior expects around each airfoil, in its own window, and what was found."""
    x, y = (axis.numpy() for axis in points())
    fields = {}
    for body in range(drawn.flow.shape[1]):
        flow = drawn.flow[:, body].float().numpy()
        velocity = np.moveaxis(flow[:, :2], 1, -1)[:, None]
        said = f"what airfoil {body} adds to its stream, by the prior"
        fields[f"velocity_{body}"] = store.Field(velocity, "m s-1", 1, said)
        fields[f"pressure_{body}"] = store.Field(flow[:, 2][:, None], "Pa", 0, said)
    quality = {name: getattr(judged, name).double().numpy() for name in COLUMNS}
    for body in range(drawn.flow.shape[1]):
        for name in ("x", "y", "incidence"):
            values = getattr(drawn.airfoils, name)[:, body]
            quality[f"{name}_{body}"] = values.double().numpy()
        for side in ("upper", "lower"):
            for k, weight in enumerate(getattr(drawn.airfoils, side)[:, body].unbind(-1)):
                quality[f"{side}_{body}_{k}"] = weight.double().numpy()
    store.write(
        path,
        store.Trajectories(
            name="airfoil designs",
            time=np.zeros(1, np.float32),
            space={"x": x[:, 0], "y": y[0]},
            fields=fields,
            parameters={"chord": 1.0, "stream": 1.0},
            boundaries={},
            recipe={"options": verdict.options, "versions": verdict.versions},
            seed=np.full(len(judged.valid), verdict.seed),
            quality=quality,
            centring="cell",
        ),
    )


def write_csv(path: Path, drawn: Drawn, judged: Judged) -> None:
    """One row a design."""
    bodies = drawn.airfoils.x.shape[1]
    table = {name: getattr(judged, name) for name in COLUMNS}
    for body in range(bodies):
        table[f"drag_{body}"], table[f"lift_{body}"] = judged.force[:, body].unbind(-1)
        table[f"x_{body}"], table[f"y_{body}"] = (
            drawn.airfoils.x[:, body],
            drawn.airfoils.y[:, body],
        )
        table[f"incidence_{body}"] = torch.rad2deg(drawn.airfoils.incidence[:, body])
        table[f"refit_{body}"] = drawn.refit[:, body]
    rows = torch.stack([column.float() for column in table.values()], 1).tolist()
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("design", *table))
        writer.writerows((k, *(f"{value:.6g}" for value in row)) for k, row in enumerate(rows))


def write_sections(folder: Path, airfoils: Airfoils) -> None:
    """Each section in its own frame, as a .dat file; poses are in the table of designs."""
    lines = kulfan(airfoils.upper.double(), airfoils.lower.double())
    for design, bodies in enumerate(lines):
        for body, line in enumerate(bodies):
            name = f"physgen design {design} airfoil {body}"
            write_dat(folder / f"design_{design:03d}_{body}.dat", name, line)


def read_designs(path: Path) -> tuple[Airfoils, dict[str, torch.Tensor]]:
    """The designs of a file, and the figures that were found of each.

    Raises:
        ValueError: it is missing, damaged, or holds no airfoils.
    """
    data = store.read(path)
    found = {name: torch.from_numpy(values).float() for name, values in data.quality.items()}
    bodies = sum(name.startswith("incidence_") for name in found)
    if not bodies:
        raise ValueError(f"{path} holds no designs of airfoils, but {data.name}")

    def weights(side: str, body: int) -> torch.Tensor:
        count = sum(name.startswith(f"{side}_{body}_") for name in found)
        return torch.stack([found[f"{side}_{body}_{k}"] for k in range(count)], -1)

    sides = [torch.stack([weights(s, b) for b in range(bodies)], 1) for s in ("upper", "lower")]
    poses = [
        torch.stack([found[f"{name}_{b}"] for b in range(bodies)], 1)
        for name in ("x", "y", "incidence")
    ]
    return Airfoils(*sides, *poses), found
