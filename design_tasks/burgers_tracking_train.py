"""``physgen train burgers-tracking``: the prior of windows whose steps have a noise level each."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from physgen.datasets.burgers_control import Driven, training_data
from physgen.design_tasks.burgers_tracking import REACHES, SECONDS, BurgersTracking
from physgen.design_tasks.burgers_tracking_controllers import Asynchronous, Replanned
from physgen.design_tasks.burgers_tracking_prior import (
    Architecture,
    TrackingDraw,
    TrackingLoss,
    load_prior,
    save_prior,
)
from physgen.files import writable_folder
from physgen.options import check_least, command
from physgen.priors import train_prior
from physgen.training import Report, Schedule, Trainer, processes


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

    def __post_init__(self) -> None:
        check_least(self, 1, "runs")


def train_tracking(options: TrackingTraining, report: Callable[[int], Report]) -> Path:
    """Train, and write ``burgers-tracking.safetensors`` with its scores beside it.

    Arguments:
        report: Given the number of steps, what to tell of each.
    """
    folder = writable_folder(options.out)
    with processes() as device:
        kinds = (options.everywhere, False), (options.outer, True)
        found = [training_data(*kind, options.runs, SECONDS) for kind in kinds]
        made = [one for one, _ in found]
        everywhere, outer = (Driven(*(part.to(device) for part in data)) for _, data in found)
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

        def save(path: Path, model: nn.Module, facts: dict[str, object]) -> None:
            save_prior(path, model, options.network, facts)

        def scored(path: Path) -> dict[str, float]:
            return score(load_prior(path))

        name = "burgers-tracking"
        told = command(f"train {name}", options)
        return train_prior(name, told, trainer, options.schedule, made_of, report, save, scored)


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
