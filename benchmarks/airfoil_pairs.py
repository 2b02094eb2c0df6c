"""Composed flows of pairs against simulated ones: does the prior of one know two?

``physgen generate airfoil --bodies 2 --seed 1000000000 --simulations 96 --shard 4 --out data/pairs``
makes the pairs; no prior has seen one. For each way of composing, the error of the flow (root mean
square of u, v and p where both airfoils' windows are, over that of what the airfoils add to the
stream) and of the forces, for pairs in line, one behind the other, and side by side.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from torch import Tensor

from physgen.datasets import store
from physgen.datasets.airfoil import WINDOW, Airfoils
from physgen.datasets.shards import files_of
from physgen.design_tasks.airfoil_averaged import Averaged
from physgen.design_tasks.airfoil_decode import drawn, parameters_of
from physgen.design_tasks.airfoil_formation import Composition, Coupled, Superposed
from physgen.design_tasks.airfoil_prior import CELL, SHAPE, WEIGHTS, AirfoilPrior, load_prior
from physgen.design_tasks.airfoils import clearance
from physgen.design_tasks.nbody_view import COLOURS
from physgen.files import whole


@dataclass(frozen=True)
class AirfoilPairs:
    """Compare compositions on simulated pairs."""

    data: Path = Path("data/pairs")
    """Folder of the pairs."""
    weights: Path = WEIGHTS
    """The prior."""
    picture: Path = Path("runs/pairs.png")
    """Errors against the gap between the airfoils."""


WAYS: dict[str, Composition] = {
    "superposed": Superposed(),
    "averaged (CinDM)": Averaged(),
    "unshielded, 3 sweeps": Coupled(3, shielded=False),
    "coupled, 1 sweep": Coupled(1),
    "coupled, 2 sweeps": Coupled(2),
}


def main(options: AirfoilPairs) -> None:
    torch.set_grad_enabled(False)
    prior = load_prior(options.weights)
    rows: dict[str, list[Tensor]] = {name: [] for name in WAYS}
    kinds: list[Tensor] = []
    gaps: list[Tensor] = []
    seconds = dict.fromkeys(WAYS, 0.0)
    for path in files_of(options.data, "physgen generate airfoil --bodies 2"):
        data = store.read(path)
        airfoils = airfoils_in(data)
        place = torch.stack([airfoils.x, airfoils.y], -1).float()
        kinds.append(torch.stack([place[:, 1, 0] - place[:, 0, 0], place[:, 1, 1]], -1))
        gaps.append(clearance(airfoils))
        reynolds = torch.from_numpy(data.quality["reynolds"]).float()
        own = Airfoils(*(p.flatten(0, 1)[:, None].float() for p in airfoils))
        parameters = parameters_of(own).unflatten(0, place.shape[:2]).clone()
        parameters[..., 13:] = 0
        image = drawn(parameters.flatten(0, 1)).unflatten(0, place.shape[:2])
        truth = flow_in(data)
        force = 2 * torch.from_numpy(data.histories["force"].values[:, 0])
        for name, way in WAYS.items():
            began = time.perf_counter()
            errors = [
                error_of(
                    prior,
                    way,
                    image[k : k + 1],
                    place[k : k + 1],
                    reynolds[k],
                    data,
                    truth[k],
                    force[k],
                )
                for k in range(len(truth))
            ]
            seconds[name] += time.perf_counter() - began
            rows[name] += errors
    kind = torch.cat(kinds)
    tell(rows, kind, seconds)
    draw_gaps(options.picture, torch.cat(gaps), rows)


def airfoils_in(data: store.Trajectories) -> Airfoils:
    q = {name: torch.from_numpy(values) for name, values in data.quality.items()}
    bodies = len(data.bodies)

    def column(name: str) -> Tensor:
        return torch.stack([q[f"{name}_{k}"] for k in range(bodies)], 1)

    def weights(side: str) -> Tensor:
        each = [torch.stack([q[f"{side}_{k}_{i}"] for i in range(6)], -1) for k in range(bodies)]
        return torch.stack(each, 1)

    poses = (column(name) for name in ("x", "y", "incidence"))
    return Airfoils(weights("upper"), weights("lower"), *poses)


def flow_in(data: store.Trajectories) -> Tensor:
    velocity = data.fields["velocity"].values[:, 0]
    pressure = data.fields["pressure"].values[:, 0]
    joined = torch.from_numpy(np.concatenate([velocity, pressure[..., None]], -1)).movedim(-1, 1)
    return joined - torch.tensor([1.0, 0.0, 0.0])[:, None, None]


def error_of(
    prior: AirfoilPrior,
    way: Composition,
    image: Tensor,
    place: Tensor,
    reynolds: Tensor,
    data: store.Trajectories,
    truth: Tensor,
    force: Tensor,
) -> Tensor:
    """Relative error of the flow, and errors of total drag and lift, of one pair."""
    found = way.together(prior, prior.scaled_body(image), 0.0, place, float(reynolds), None)
    x, y = torch.from_numpy(data.space["x"]), torch.from_numpy(data.space["y"])
    inside = ((x > WINDOW[0] + CELL) & (x < WINDOW[1] + float(place[0, 1, 0]) - CELL)).nonzero()[
        :, 0
    ]
    total = torch.zeros(3, len(inside), len(y))
    for k in range(2):
        there_x = (x[inside] - place[0, k, 0] - WINDOW[0]) / (CELL * SHAPE[0]) * 2 - 1
        there_y = (y - place[0, k, 1] - WINDOW[2]) / (CELL * SHAPE[1]) * 2 - 1
        where = torch.stack(
            [there_y.expand(len(inside), -1), there_x[:, None].expand(-1, len(y))], -1
        )
        total += torch.nn.functional.grid_sample(
            found.flow[:, k], where[None], padding_mode="border", align_corners=False
        )[0]
    near = (y > -1.5) & (y < 1.5)
    there = truth[:, inside][:, :, near]
    apart = (total[:, :, near] - there).square().mean().sqrt() / there.square().mean().sqrt()
    off = found.force[0].sum(0) - force.sum(0)
    own = found.force[0, :, 0] - force[:, 0]
    return torch.stack([apart, off[0], off[1], own[0], own[1], force[:, 0].sum()])


def draw_gaps(path: Path, gaps: Tensor, rows: dict[str, list[Tensor]]) -> None:
    """Errors of flow and of total drag of every pair, and their means over a third of all."""
    canvas = Figure(figsize=(8.4, 3.4), layout="constrained")
    titles = ("flow: rms error over rms", "total drag coefficient: error")
    order = gaps.argsort()
    reach = max(3, len(gaps) // 6)
    axes = canvas.subplots(1, 2)
    for axis, column, title in zip(axes, (0, 1), titles, strict=True):
        for k, name in enumerate(("superposed", "averaged (CinDM)", "coupled, 2 sweeps")):
            error = torch.stack(rows[name])[order, column].abs()
            axis.plot(gaps[order], error, "o", ms=3, alpha=0.5, color=COLOURS[k])
            near = [slice(max(0, i - reach), i + reach + 1) for i in range(len(error))]
            mean = [float(error[some].mean()) for some in near]
            axis.plot(gaps[order], mean, color=COLOURS[k], lw=1.8, label=name)
        axis.set_xlabel("gap between the airfoils, in chords")
        axis.set_title(title, fontsize=10)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, fontsize=9)
    FigureCanvasAgg(canvas)
    with whole(path) as part:
        canvas.savefig(part, format="png", dpi=150)


def tell(rows: dict[str, list[Tensor]], kind: Tensor, seconds: dict[str, float]) -> None:
    inline = (kind[:, 0] > 1.1) & (kind[:, 1].abs() < 0.3)
    behind = (kind[:, 0] > 1.1) & ~inline
    groups = {
        "in line": inline,
        "behind": behind,
        "beside": ~(inline | behind),
        "all": inline | True,
    }
    table = Table(
        "", "pairs", "flow", "drag rms", "drag bias", "lift rms", "drag rms, each", title="Errors"
    )
    for group, which in groups.items():
        for name, found in rows.items():
            e = torch.stack(found)[which]
            rms = e.square().mean(0).sqrt()
            table.add_row(
                f"{group}: {name}",
                str(int(which.sum())),
                f"{e[:, 0].mean():.3f}",
                f"{rms[1]:.4f}",
                f"{e[:, 1].mean():+.4f}",
                f"{rms[2]:.4f}",
                f"{rms[3]:.4f}, {rms[4]:.4f}",
            )
    console = Console(width=110)
    console.print(table)
    console.print({name: f"{1e3 * s / len(kind):.0f} ms a pair" for name, s in seconds.items()})


if __name__ == "__main__":
    main(tyro.cli(AirfoilPairs))
