"""``physgen train burgers-control``: the prior of a velocity between walls and its force."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from physgen.datasets.burgers_control import Driven, training_data
from physgen.design_tasks.burgers_control import SETTINGS, BurgersControl
from physgen.design_tasks.burgers_design import Flow, proposer
from physgen.design_tasks.burgers_prior import (
    Architecture,
    ControlDraw,
    ControlLoss,
    load_prior,
    read_prior,
    save_prior,
)
from physgen.files import writable_folder
from physgen.options import check_least, command
from physgen.preconditioned import Preconditioned
from physgen.priors import begun_with, train_prior
from physgen.training import Report, Schedule, Trainer, processes


@dataclass(frozen=True)
class BurgersTraining:
    """Train the prior of Burgers control in all settings; a run in the folder is resumed."""

    everywhere: Path | None = None
    """Folder by 'physgen generate burgers-control --forced everywhere'; made anew if not given."""
    outer: Path | None = None
    """Folder by 'physgen generate burgers-control --forced outer'; made anew if not given."""
    runs: int = 20_000
    """Simulations of each kind to make anew."""
    schedule: Schedule = field(default_factory=lambda: Schedule(steps=6000, batch=128))
    """How long and how fast."""
    network: Architecture = field(default_factory=Architecture)
    """The network."""
    loss: ControlLoss = field(default_factory=ControlLoss)
    """Noise levels of the loss, and the solver's part in it."""
    initial: Path | None = None
    """Weights of the same network to begin with; random if not given."""
    out: Path = Path("runs/train-burgers-control")
    """Folder for checkpoint, loss log, curve and weights."""

    def __post_init__(self) -> None:
        check_least(self, 1, "runs")


def train_burgers(options: BurgersTraining, report: Callable[[int], Report]) -> Path:
    """Train, and write ``burgers-control.safetensors`` with its scores beside it.

    Arguments:
        report: Given the number of steps, what to tell of each.
    """
    folder = writable_folder(options.out)
    with processes() as device:
        kinds = (options.everywhere, False), (options.outer, True)
        found = [training_data(*kind, options.runs) for kind in kinds]
        made = [one for one, _ in found]
        everywhere, outer = (Driven(*(part.to(device) for part in data)) for _, data in found)
        torch.manual_seed(options.schedule.seed)
        model, begun = _first(options)
        model = model.to(device)
        made_of: dict[str, object] = {
            "data": made,
            "start": begun,
            "network": asdict(options.network),
            "loss": asdict(options.loss),
            "batch": options.schedule.batch,
            "rates": [options.schedule.rate, options.schedule.other_rate],
            "seed": options.schedule.seed,
        }
        loss = options.loss
        batches = ControlDraw(everywhere, outer, options.schedule.batch, loss)
        trainer = Trainer(model, loss, batches, options.schedule, folder, made_of)

        def save(path: Path, model: nn.Module, facts: dict[str, object]) -> None:
            assert isinstance(model, Preconditioned)
            save_prior(path, model, options.network, facts)

        def scored(path: Path) -> dict[str, float]:
            return score(load_prior(path))

        name = "burgers-control"
        told = command(f"train {name}", options)
        return train_prior(name, told, trainer, options.schedule, made_of, report, save, scored)


def _first(options: BurgersTraining) -> tuple[Preconditioned, object]:
    """The network to begin with, and what is known of its making.

    Raises:
        ValueError: the weights to begin with are those of another network.
    """
    if options.initial is None:
        return options.network.build(), None
    return begun_with(options.initial, asdict(options.network), read_prior)


def score(model: Preconditioned, targets: int = 50) -> dict[str, float]:
    """The mean objective of one design for each of some held-out targets, in every setting.

    They are not those of any table, so that a network may be chosen by its scores.
    """
    found = {}
    tasks = {name: BurgersControl(one, targets, HELD_OUT) for name, one in SETTINGS.items()}
    for name, task in tasks.items():
        propose = proposer(model, task, Flow(), torch.Generator().manual_seed(0))
        drawn = propose(task.first, task.last)
        with torch.no_grad():
            found[f"objective {name}"] = round(task.objective(drawn.force).mean().item(), 6)
    idle = tasks["po-pc"]
    found["objective without force"] = round(idle.objective(idle.none()).mean().item(), 6)
    return found


HELD_OUT = 10**6
"""Test targets that are left out before those of the scores, which no table is made of."""
