"""``physgen train burgers-tracking``: the prior of windows whose steps have a noise level each."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from physgen import __version__
from physgen.datasets.burgers_control import (
    BurgersControlData,
    Driven,
    load_driven,
    origin,
    simulate,
)
from physgen.design_tasks.burgers_tracking import REACHES, SECONDS, BurgersTracking
from physgen.design_tasks.burgers_tracking_controllers import Asynchronous, Replanned
from physgen.design_tasks.burgers_tracking_prior import (
    Architecture,
    TrackingDraw,
    TrackingLoss,
    load_prior,
    save_prior,
)
from physgen.files import writable_folder, write_json
from physgen.training import Report, Schedule, Trainer, draw_curve, processes


@dataclass(frozen=True)
class TrackingTraining:
    """Train the prior of Burgers tracking, for both kinds of force; a run in the folder is resumed."""

    everywhere: Path | None = None
    """Folder by 'physgen generate burgers-control --forced everywhere --seconds 8'; made anew if not
    given."""
    outer: Path | None = None
    """Folder by 'physgen generate burgers-control --forced outer --seconds 8'; made anew if not
    given."""
    runs: int = 2500
    """Simulations of each kind to make anew."""
    schedule: Schedule = field(default_factory=lambda: Schedule(steps=1500, batch=128))
    """How long and how fast."""
    network: Architecture = field(default_factory=Architecture)
    """The network."""
    loss: TrackingLoss = field(default_factory=TrackingLoss)
    """The solver's part in the loss."""
    out: Path = Path("runs/train-burgers-tracking")
    """Folder for checkpoint, loss log, curve and weights."""


def train_tracking(options: TrackingTraining, report: Callable[[int], Report]) -> Path:
    """Train, and write ``burgers-tracking.safetensors`` with its scores beside it.

    Arguments:
        report: Given the number of steps, what to tell of each.
    """
    folder = writable_folder(options.out)
    with processes() as device:
        kinds = (options.everywhere, False), (options.outer, True)
        made = [_origin(source, kind, options.runs) for source, kind in kinds]
        everywhere, outer = (
            Driven(*(part.to(device) for part in _data(source, kind, options.runs)))
            for source, kind in kinds
        )
        torch.manual_seed(options.schedule.seed)
        model = options.network.build().to(device)
        made_of: dict[str, object] = {
            "data": made,
            "network": asdict(options.network),
            "loss": asdict(options.loss),
            "batch": options.schedule.batch,
            "rates": [options.schedule.rate, options.schedule.other_rate],
            "seed": options.schedule.seed,
        }
        batches = TrackingDraw(everywhere, outer, options.schedule.batch, options.loss)
        trainer = Trainer(model, options.loss, batches, options.schedule, folder, made_of)
        average = trainer.run(report(options.schedule.steps))
        if trainer.rank == 0:
            facts: dict[str, object] = {
                "command": "physgen train burgers-tracking",
                "recipe": made_of,
                "schedule": asdict(options.schedule),
                "version": __version__,
            }
            weights = folder / "burgers-tracking.safetensors"
            save_prior(weights, average, options.network, facts)
            scores = score(load_prior(weights))  # of what is kept, rounded
            kept = {**facts, "scores": scores, "seconds": trainer.seconds}
            write_json(folder / "burgers-tracking.json", kept)
            draw_curve(folder / "loss.png", trainer.losses)
    return folder / "burgers-tracking.safetensors"


def _data(folder: Path | None, outer: bool, runs: int) -> Driven:
    if folder is None:
        return simulate(range(runs), outer, seconds=SECONDS)
    return load_driven(folder, outer, SECONDS)


def _origin(folder: Path | None, outer: bool, runs: int) -> dict[str, object]:
    """How the data are made, whether they are kept or made anew."""
    if folder is not None:
        return origin(folder, outer, SECONDS)
    forced = "outer" if outer else "everywhere"
    data = BurgersControlData(forced=forced, simulations=runs, seconds=SECONDS)
    return {**data.recipe, "seeds": [0, runs - 1], "simulations": runs}


def score(model: nn.Module, targets: int = 20, intervals: int = 40) -> dict[str, float]:
    """The mean objective over held-out targets, windows moved and drawn anew.

    They are not those of any table, so that a network may be chosen by its scores.
    """
    found = {}
    for name, reach in REACHES.items():
        world = BurgersTracking(reach, targets, intervals, skip=HELD_OUT, dt=SCORED)
        moved = Asynchronous(model, reach, torch.Generator().manual_seed(0))
        anew = Replanned(model, reach, torch.Generator().manual_seed(0))
        for kind, controller in (("moved", moved), ("anew", anew)):
            found[f"{name} {kind}"] = round(world.run(controller).objective.mean().item(), 6)
    return found


HELD_OUT = 10**6
"""Test targets that are left out before those of the scores, which no table is made of."""
SCORED = 5e-4
"""Time step of the world in scores, in s."""
