"""``physgen train nbody``: the prior of two discs over a short window."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from physgen.datasets.nbody import load_motion
from physgen.design_tasks.nbody_prior import (
    FRAMES,
    Architecture,
    WindowDraw,
    read_prior,
    save_prior,
    scaled,
    simulated,
)
from physgen.files import writable_folder
from physgen.options import check_least, check_shares, command
from physgen.preconditioned import Denoising, Preconditioned
from physgen.priors import begun_with, train_prior
from physgen.sharing import Gradients, Weights
from physgen.training import Report, Schedule, Trainer, processes

LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Noise levels at which a trained prior is scored."""


@dataclass(frozen=True)
class NBodyTraining:
    """Train the prior of two discs over 24 instants; a run in the folder is resumed."""

    data: Path | None = None
    """Folder of simulations by 'physgen generate nbody'; they are made anew if not given."""
    schedule: Schedule = field(default_factory=Schedule)
    """How long and how fast."""
    network: Architecture = field(default_factory=Architecture)
    """The network."""
    noise: Denoising = field(default_factory=Denoising)
    """Noise levels of the loss."""
    initial: Path | None = None
    """Weights of the same network to begin with, such as those that ship; random if not given."""
    runs: int = 20_000
    """Simulations to make anew."""
    slowed: float = 0.5
    """Share of them in which each disc is slowed by a factor of its own between 0 and 1."""
    instants: int = 200
    """Instants of each, 1/15 s apart."""
    sharing: Gradients | Weights = field(default_factory=Gradients)
    """What processes of a run by torchrun tell each other: their gradients at every step, or, by
    'sharing:weights --sharing.every 50' at the end of the line, the mean of their weights once in as
    many steps (federated averaging)."""
    out: Path = Path("runs/train-nbody")
    """Folder for checkpoint, loss log, curve and weights."""

    def __post_init__(self) -> None:
        check_least(self, 1, "runs")
        check_least(self, FRAMES, "instants")
        check_shares(self, "slowed")


def train_nbody(options: NBodyTraining, report: Callable[[int], Report]) -> Path:
    """Train, and write ``nbody.safetensors`` with its scores beside it.

    Arguments:
        report: Given the number of steps, what to tell of each.
    """
    folder = writable_folder(options.out)
    with processes() as device:
        motion = (
            simulated(options.runs, options.instants, options.schedule.seed, options.slowed)
            if options.data is None
            else load_motion(options.data)
        )
        motion = scaled(motion).to(device)
        torch.manual_seed(options.schedule.seed)
        model, begun = _first(options)
        model = model.to(device)
        made_of: dict[str, object] = {
            "data": "simulated" if options.data is None else str(options.data),
            "slowed": options.slowed if options.data is None else None,
            "start": begun,
            "runs": len(motion),
            "instants": motion.shape[1],
            "network": asdict(options.network),
            "noise": asdict(options.noise),
            "batch": options.schedule.batch,
            "rates": [options.schedule.rate, options.schedule.other_rate],
            "seed": options.schedule.seed,
        }
        if isinstance(options.sharing, Weights):
            made_of["steps between means of weights"] = options.sharing.every
        draw = WindowDraw(motion, options.schedule.batch, options.noise)
        trainer = Trainer(
            *(model, options.noise, draw, options.schedule, folder, made_of),
            sharing=options.sharing,
        )

        def save(path: Path, model: nn.Module, facts: dict[str, object]) -> None:
            assert isinstance(model, Preconditioned)
            save_prior(path, model, options.network, facts)

        def scored(path: Path) -> dict[str, float]:
            return score(read_prior(path)[0], options.noise)

        told = command("train nbody", options)
        return train_prior("nbody", told, trainer, options.schedule, made_of, report, save, scored)


def _first(options: NBodyTraining) -> tuple[Preconditioned, object]:
    """The network to begin with, and what is known of its making.

    Raises:
        ValueError: the weights to begin with are those of another network.
    """
    if options.initial is None:
        return options.network.build(), None
    return begun_with(options.initial, asdict(options.network), read_prior)


@torch.no_grad()
def score(model: Preconditioned, noise: Denoising, seed: int = 10**9) -> dict[str, float]:
    """The loss on simulations with other seeds, at several noise levels."""
    held_out = scaled(simulated(1000, FRAMES + 30, seed))[:, 30:]
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn(held_out.shape, generator=generator)
    rows = {}
    for level in LEVELS:
        losses: Tensor = noise(model, held_out, torch.full((len(held_out),), level), eps)
        rows[f"loss at noise {level}"] = round(losses.mean().item(), 5)
    return rows
