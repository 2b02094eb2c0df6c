"""``physgen train burgers-control``: the prior of a velocity between walls and its force."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from physgen import __version__
from physgen.datasets.burgers_control import (
    BurgersControlData,
    Driven,
    load_driven,
    origin,
    simulate,
)
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
from physgen.files import writable_folder, write_json
from physgen.preconditioned import Preconditioned
from physgen.training import Report, Schedule, Trainer, draw_curve, processes


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


def train_burgers(options: BurgersTraining, report: Callable[[int], Report]) -> Path:
    """Train, and write ``burgers-control.safetensors`` with its scores beside it.

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
        average = trainer.run(report(options.schedule.steps))
        if trainer.rank == 0:
            assert isinstance(average, Preconditioned)
            facts: dict[str, object] = {
                "command": "physgen train burgers-control",
                "recipe": made_of,
                "schedule": asdict(options.schedule),
                "version": __version__,
            }
            weights = folder / "burgers-control.safetensors"
            save_prior(weights, average, options.network, facts)
            scores = score(load_prior(weights))  # of what is kept, rounded
            kept = {**facts, "scores": scores, "seconds": trainer.seconds}
            write_json(folder / "burgers-control.json", kept)
            draw_curve(folder / "loss.png", trainer.losses)
    return folder / "burgers-control.safetensors"


def _first(options: BurgersTraining) -> tuple[Preconditioned, object]:
    """The network to begin with, and what is known of its making.

    Raises:
        ValueError: the weights to begin with are those of another network.
    """
    if options.initial is None:
        return options.network.build(), None
    model, facts = read_prior(options.initial)
    if facts["architecture"] != asdict(options.network):
        raise ValueError(
            f"{options.initial} holds a network with {facts['architecture']}, this run trains "
            f"{asdict(options.network)}: choose the same --network"
        )
    return model.requires_grad_(True), {k: v for k, v in facts.items() if k != "architecture"}


def _data(folder: Path | None, outer: bool, runs: int) -> Driven:
    return simulate(range(runs), outer) if folder is None else load_driven(folder, outer)


def _origin(folder: Path | None, outer: bool, runs: int) -> dict[str, object]:
    """How the data are made, whether they are kept or made anew."""
    if folder is not None:
        return origin(folder, outer)
    data = BurgersControlData(forced="outer" if outer else "everywhere", simulations=runs)
    return {**data.recipe, "seeds": [0, runs - 1], "simulations": runs}


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
