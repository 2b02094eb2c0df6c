"""``physgen train inverse``: the joint prior of a coefficient or source and its state."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import torch

from physgen import __version__
from physgen.asked import among
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
from physgen.options import command
from physgen.training import Report, Schedule, Trainer, draw_curve, processes

HELD_OUT = 64
"""Simulations behind those of the training, of which the shares are measured."""


@dataclass(frozen=True)
class Moments:
    """Of what a Gaussian is measured, how much of it is kept, and what corrects it."""

    simulations: int
    kept: tuple[int, ...]
    network: Architecture | None = None
    """None of a Gaussian law."""


SHIPPED = {
    "darcy": Moments(10_000, (200, 100), Architecture((32, 48, 64), 2)),
    "poisson": Moments(6000, (256, 112)),
    "helmholtz": Moments(6000, (256, 112)),
    "navier-stokes": Moments(3000, (8, 12), Architecture((64, 96), 4)),
    "burgers": Moments(6000, (300,), Architecture((64, 96), 4)),
}
"""Those of the priors that ship."""


@dataclass(frozen=True)
class Network:
    """The network that corrects a Gaussian, by default that of the prior that ships."""

    widths: tuple[int, ...] | None = None
    """Channels at each resolution; 32, 48 and 64 for darcy, 64 and 96 for navier-stokes and burgers,
    if not given."""
    patch: int | None = None
    """Cells of a patch along each axis; 2 for darcy, 4 for the other two, if not given."""

    def __post_init__(self) -> None:
        if min(self.widths or (1,)) < 1 or (self.patch is not None and self.patch < 1):
            raise ValueError(
                f"widths and patch must be at least 1, got {self.widths} and {self.patch}"
            )

    def architecture(self, shipped: Architecture) -> Architecture:
        """What was asked for, or else what ships."""
        return Architecture(self.widths or shipped.widths, self.patch or shipped.patch)


@dataclass(frozen=True)
class InverseTraining:
    """Train the prior of inverse problems of one equation, by default as the one that ships.

    A run in the folder is resumed.
    """

    equation: Annotated[str, among(EQUATIONS)] = "darcy"
    """darcy, poisson, helmholtz, navier-stokes or burgers. Poisson's and Helmholtz' fields are
    Gaussian: nothing is learned but moments."""
    simulations: int | None = None
    """Samples to make, of the first training seeds; 10000 for darcy, 3000 for navier-stokes and 6000
    for the others, if not given."""
    cells: int = 64
    """Along each side."""
    kept: tuple[int, ...] | None = None
    """Principal components of a and u, or of a whole field for burgers; for navier-stokes the
    longest wave vectors of both, in periods along a side. If not given 200 and 100 for darcy, 256 and 112
    for poisson and helmholtz, 8 and 12 for navier-stokes and 300 for burgers."""
    schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=1500, batch=32, decay=0.6, save_every=100)
    )
    """How long and how fast; navier-stokes and burgers that ship had 800 and 900 steps."""
    network: Network = field(default_factory=Network)
    """The network that corrects the Gaussian."""
    loss: Correcting = field(default_factory=Correcting)
    """Noise levels of the loss."""
    out: Path = Path("runs/train-inverse")
    """Folder for checkpoint, loss log, curve and weights."""

    def __post_init__(self) -> None:
        if self.equation not in EQUATIONS:
            raise ValueError(f"equation must be one of {list(EQUATIONS)}, got {self.equation!r}")
        if self.simulations is not None and self.simulations < 1:
            raise ValueError(f"simulations must be at least 1, got {self.simulations}")
        count = len(SHIPPED[self.equation].kept)
        if self.kept is not None and (len(self.kept) != count or min(self.kept) < 1):
            raise ValueError(
                f"kept of {self.equation} must be {count} numbers of at least 1, got {self.kept}"
            )

    @property
    def moments(self) -> Moments:
        """What was asked for, or else what ships."""
        shipped = SHIPPED[self.equation]
        network = shipped.network
        return Moments(
            self.simulations or shipped.simulations,
            self.kept or shipped.kept,
            None if network is None else self.network.architecture(network),
        )


def _recipe(options: InverseTraining) -> dict[str, object]:
    """What makes the result; of a Gaussian without a network its data alone."""
    moments, schedule = options.moments, options.schedule
    data = EQUATIONS[options.equation].data(options.cells).recipe
    recipe: dict[str, object] = {
        "data": {**data, "seeds": [0, moments.simulations - 1]},
        "kept": list(moments.kept),
    }
    if moments.network is None:
        return recipe
    return {
        **recipe,
        "network": asdict(moments.network),
        "loss": asdict(options.loss),
        "batch": schedule.batch,
        "rates": [schedule.rate, schedule.other_rate],
        "seed": schedule.seed,
    }


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
        moments = options.moments
        made = pairs(data, range(moments.simulations))
        symmetry = data.symmetry
        standard = measured(made, symmetry)
        samples = standard.sample(made)
        gaussian = gaussian_of(samples, moments.kept, symmetry)
        recipe = _recipe(options)
        facts: dict[str, object] = {
            "command": command("train inverse", options),
            "version": __version__,
        }
        if moments.network is None:
            save_prior(weights, equation, standard, gaussian, {**facts, "recipe": recipe})
            write_json(weights.with_suffix(".json"), {**facts, "recipe": recipe})
            return weights
        torch.manual_seed(options.schedule.seed)
        model = moments.network.build(gaussian, symmetry).to(device)
        batches = PairDraw(samples.to(device), symmetry, options.schedule.batch, options.loss)
        # Convolutions in bfloat16 were measured to be slower on processors, not faster.
        narrow = None if device.type == "cuda" else False
        trainer = Trainer(
            model, options.loss, batches, options.schedule, folder, recipe, bfloat16=narrow
        )
        if trainer.checkpoint_file.exists():
            facts["resumed"] = (
                "a run in the folder, whose schedule until then may have been another"
            )
        average = trainer.run(report(options.schedule.steps))
        if trainer.rank == 0:
            assert isinstance(average, Corrected)
            average = average.cpu()
            held = range(moments.simulations, moments.simulations + HELD_OUT)
            unseen = standard.sample(pairs(data, held))
            shares = shares_of(average, unseen, torch.Generator().manual_seed(0))
            facts |= {"recipe": recipe, "schedule": asdict(options.schedule)}
            network = (average, moments.network, shares)
            save_prior(weights, equation, standard, gaussian, facts, network)
            kept = {**facts, "seconds": trainer.seconds, "shares": shares.tolist()}
            write_json(weights.with_suffix(".json"), kept)
            draw_curve(folder / "loss.png", trainer.losses)
    return weights
