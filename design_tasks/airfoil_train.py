"""``physgen train airfoil``: the prior of one airfoil in any stream."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from physgen import __version__
from physgen.datasets.airfoil import AirfoilData, generate
from physgen.design_tasks.airfoil_prior import (
    UNKNOWN,
    AirfoilLoss,
    AirfoilNetwork,
    Architecture,
    Estimate,
    Scales,
    WindowDraw,
    Windows,
    load_windows,
    save_prior,
    scaled,
)
from physgen.files import writable_folder, write_json
from physgen.options import check_least, check_shares, command
from physgen.training import Report, Schedule, Trainer, draw_curve, processes

LEVELS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Noise levels of the body at which a trained prior is scored; at zero it is known."""


@dataclass(frozen=True)
class AirfoilTraining:
    """Train the prior of one airfoil; a run in the folder is resumed."""

    data: Path = Path("data/airfoil")
    """Folder of flows by 'physgen generate airfoil'; what is missing is made there."""
    simulations: int = 3200
    """Flows to train on and to score with."""
    held_out: float = 0.04
    """Share of the flows, the last ones, that are only scored with."""
    workers: int = 2
    """Processes that make missing flows."""
    schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=9000, batch=32, warmup=100, decay=0.5)
    )
    """How long and how fast."""
    network: Architecture = field(default_factory=Architecture)
    """The network."""
    loss: AirfoilLoss = field(default_factory=AirfoilLoss)
    """What it learns to tell."""
    out: Path = Path("runs/train-airfoil")
    """Folder for checkpoint, loss log, curve and weights."""

    def __post_init__(self) -> None:
        check_least(self, 1, "simulations", "workers")
        check_shares(self, "held_out")


def train_airfoil(options: AirfoilTraining, report: Callable[[int], Report]) -> Path:
    """Train, and write ``airfoil.safetensors`` with its scores beside it.

    Arguments:
        report: Given the number of steps, what to tell of each.
    """
    folder = writable_folder(options.out)
    made = AirfoilData(simulations=options.simulations, workers=options.workers, out=options.data)
    with processes() as device:
        generate(made)
        everything = load_windows(options.data)
        everything = everything.some(everything.bodily)
        kept = len(everything.body) - round(options.held_out * len(everything.body))
        training = Windows(*(part[:kept].to(device) for part in everything))
        held_out = Windows(*(part[kept:] for part in everything))
        scales = Scales.of(training)
        torch.manual_seed(options.schedule.seed)
        model = options.network.build(scales, options.loss.velocity).to(device)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        made_of: dict[str, object] = {
            "data": made.recipe,
            "samples": kept,
            "network": asdict(options.network),
            "loss": asdict(options.loss),
            "batch": options.schedule.batch,
            "rates": [options.schedule.rate, options.schedule.other_rate],
            "seed": options.schedule.seed,
        }
        draw = WindowDraw(training, scales, options.schedule.batch, options.loss)
        trainer = Trainer(model, options.loss, draw, options.schedule, folder, made_of)
        average = trainer.run(report(options.schedule.steps))
        if trainer.rank == 0:
            assert isinstance(average, AirfoilNetwork)
            facts: dict[str, object] = {
                "command": command("train airfoil", options),
                "recipe": made_of,
                "schedule": asdict(options.schedule),
                "version": __version__,
            }
            scores = score(average.cpu(), held_out)
            save_prior(folder / "airfoil.safetensors", average, facts)
            told = {**facts, "scores": scores, "seconds": trainer.seconds}
            write_json(folder / "airfoil.json", told)
            draw_curve(folder / "loss.png", trainer.losses)
    return folder / "airfoil.safetensors"


@torch.no_grad()
def score(model: AirfoilNetwork, held_out: Windows, seed: int = 10**9) -> dict[str, float]:
    """Errors on flows that were not trained on, at several noise levels of the body.

    ``body`` and ``flow`` are mean squares over the variance, ``drag`` and ``lift`` root mean
    squares of the coefficients.
    """
    x = scaled(held_out, model.scales)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(x.body.shape, generator=generator)
    spread = torch.tensor(model.scales.force[2:])
    rows = {"samples": float(len(x.body))}
    for level in LEVELS:
        found = []
        for some in torch.arange(len(x.body)).split(64):
            s = torch.full((len(some),), max(level, 0.01))
            body = x.body[some] + level * noise[some]
            unknown = torch.full_like(s, UNKNOWN)
            arguments = (body, s, x.flow[some], unknown, x.background[some], x.reynolds[some])
            found.append(model(*arguments))
        guess = Estimate(*(torch.cat(part) for part in zip(*found, strict=True)))
        error = (guess.force - x.force).square().mean(0).sqrt() * spread
        rows[f"flow at noise {level}"] = (guess.flow - x.flow).square().mean().item()
        rows[f"drag at noise {level}"], rows[f"lift at noise {level}"] = error.tolist()
        if level:
            rows[f"body at noise {level}"] = (guess.body - x.body).square().mean().item()
    return {name: round(value, 5) for name, value in rows.items()}
