"""``physgen train inverse``: the joint prior of a coefficient or source and its state."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from physgen import __version__
from physgen.corrected import Corrected, Correcting
from physgen.design_tasks.inverse import EQUATIONS, pairs
from physgen.design_tasks.inverse_prior import (
    Architecture,
    PairDraw,
    gaussian_of,
    measured,
    save_prior,
    shares_of,
)
from physgen.files import writable_folder, write_json
from physgen.principal import square
from physgen.training import Report, Schedule, Trainer, draw_curve, processes

HELD_OUT = 64
"""Simulations behind those of the training, of which the shares are measured."""


@dataclass(frozen=True)
class InverseTraining:
    """Train the prior of inverse problems of one equation; a run in the folder is resumed."""

    equation: str = "darcy"
    """darcy, poisson or helmholtz. The last two are Gaussian: nothing is learned but moments."""
    simulations: int = 10_000
    """Pairs to make, of the first training seeds."""
    cells: int = 64
    """Along each side."""
    kept: tuple[int, int] = (200, 100)
    """Principal components of a and u."""
    schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=1500, batch=32, decay=0.6, save_every=100)
    )
    """How long and how fast."""
    network: Architecture = field(default_factory=Architecture)
    """The network that corrects the Gaussian."""
    loss: Correcting = field(default_factory=Correcting)
    """Noise levels of the loss."""
    out: Path = Path("runs/train-inverse")
    """Folder for checkpoint, loss log, curve and weights."""

    def __post_init__(self) -> None:
        if self.equation not in EQUATIONS:
            raise ValueError(f"equation must be one of {list(EQUATIONS)}, got {self.equation!r}")
        if self.simulations < 1:
            raise ValueError(f"simulations must be at least 1, got {self.simulations}")


def train_inverse(options: InverseTraining, report: Callable[[int], Report]) -> Path:
    """Train, and write ``inverse-EQUATION.safetensors`` with its recipe beside it.

    Arguments:
        report: Given the number of steps, what to tell of each.
    """
    folder = writable_folder(options.out)
    equation = EQUATIONS[options.equation]
    data = equation.data(options.cells)
    weights = folder / f"inverse-{equation.name}.safetensors"
    with processes() as device:
        made = pairs(data, range(options.simulations))
        images = square(options.cells)
        standard = measured(made, images)
        samples = standard.sample(made)
        gaussian = gaussian_of(samples, options.kept, images)
        recipe: dict[str, object] = {
            "data": {**data.recipe, "seeds": [0, options.simulations - 1]},
            "kept": list(options.kept),
        }
        facts: dict[str, object] = {
            "command": f"physgen train inverse --equation {equation.name} --simulations "
            f"{options.simulations} --cells {options.cells} --kept {options.kept[0]} {options.kept[1]}",
            "version": __version__,
        }
        if equation.gaussian:
            save_prior(weights, equation, standard, gaussian, {**facts, "recipe": recipe})
            write_json(weights.with_suffix(".json"), {**facts, "recipe": recipe})
            return weights
        torch.manual_seed(options.schedule.seed)
        model = options.network.build(gaussian).to(device)
        recipe |= {
            "network": asdict(options.network),
            "loss": asdict(options.loss),
            "batch": options.schedule.batch,
            "rates": [options.schedule.rate, options.schedule.other_rate],
            "seed": options.schedule.seed,
        }
        batches = PairDraw(samples.to(device), images, options.schedule.batch, options.loss)
        # Convolutions in bfloat16 were measured to be slower on processors, not faster.
        narrow = None if device.type == "cuda" else False
        trainer = Trainer(
            model, options.loss, batches, options.schedule, folder, recipe, bfloat16=narrow
        )
        average = trainer.run(report(options.schedule.steps))
        if trainer.rank == 0:
            assert isinstance(average, Corrected)
            average = average.cpu()
            held = range(options.simulations, options.simulations + HELD_OUT)
            unseen = standard.sample(pairs(data, held))
            shares = shares_of(average, unseen, torch.Generator().manual_seed(0))
            facts |= {"recipe": recipe, "schedule": asdict(options.schedule)}
            network = (average, options.network, shares)
            save_prior(weights, equation, standard, gaussian, facts, network)
            kept = {**facts, "seconds": trainer.seconds, "shares": shares.tolist()}
            write_json(weights.with_suffix(".json"), kept)
            draw_curve(folder / "loss.png", trainer.losses)
    return weights
