"""``physgen train simulate``: the prior of windows of a chaotic velocity, and its surrogate."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from physgen import __version__
from physgen.corrected_windows import (
    CorrectedWindows,
    CorrectingWindows,
    Lead,
    Stepping,
)
from physgen.design_tasks.simulate import TRAINED, data, trajectories
from physgen.design_tasks.simulate_prior import FRAMES, Architecture, save_prior
from physgen.files import writable_folder, write_json
from physgen.options import command
from physgen.stationary import Windows, stationary_law
from physgen.training import Batch, Report, Schedule, Trainer, draw_curve, processes

HELD_OUT = 8
"""Trajectories behind those of the training, of which shares are measured."""
SHARES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Noise levels at which they are."""
Objective = CorrectingWindows | Stepping
Known = Float[Tensor, "trajectory time x"]
"""Over their spread."""


@dataclass(frozen=True)
class SimulateTraining:
    """Train the prior of simulations and the surrogate beside it, by default as those that ship.

    Runs in the folder are resumed.
    """

    simulations: int = 400
    """Trajectories to make, of the first training seeds."""
    frames: int = 150
    """Of a trajectory, after its first."""
    schedule: Schedule = field(
        default_factory=lambda: Schedule(
            steps=4000, batch=32, rate=0.02, decay=0.6, warmup=100, average=0.998, save_every=200
        )
    )
    """How long and how fast, for each of the two."""
    network: Architecture = field(default_factory=Architecture)
    """The network of each of the two."""
    lead: Lead = field(default_factory=Lead)
    """What the prior is asked for, given what."""
    out: Path = Path("runs/train-simulate")
    """Folder for checkpoints, loss logs, curves and weights."""

    def __post_init__(self) -> None:
        for name, least in (("simulations", 1), ("frames", 2 * FRAMES)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


class WindowDraw:
    """Batches of windows at any instant of some trajectories, half of them in the mirror.

    In the mirror that turns signs as well, a velocity is as likely as before.

    Arguments:
        known: Trajectories over their spread.
        batch: Windows in a batch.
        loss: What draws the rest.
    """

    def __init__(self, known: Known, batch: int, loss: Objective) -> None:
        self.known, self.batch, self.loss = known, batch, loss

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        windows = drawn_windows(self.known, self.batch, generator)
        return self.loss.draw(windows, generator)


def drawn_windows(known: Known, count: int, generator: torch.Generator) -> Windows:
    """Windows at places drawn by chance."""
    like = {"generator": generator, "device": known.device}
    chosen = torch.randint(len(known), (count, 1), **like)  # type: ignore[call-overload]
    start = torch.randint(known.shape[1] - FRAMES + 1, (count, 1), **like)  # type: ignore[call-overload]
    windows = known[chosen, start + torch.arange(FRAMES, device=known.device)]
    mirrored = torch.rand(count, 1, 1, **like) < 0.5  # type: ignore[call-overload]
    found: Tensor = torch.where(mirrored, -windows.flip(2), windows)
    return found


@torch.no_grad()
def shares_of(model: CorrectedWindows, known: Known, noise: float) -> dict[str, float]:
    """Of the Gaussian's squared error, what is left by level, the first frame seen with noise."""
    generator = torch.Generator().manual_seed(0)
    windows = drawn_windows(known, 256, generator)
    unit = torch.randn(windows.shape, generator=generator)
    found = {}
    for s in SHARES:
        levels = torch.tensor([[noise, *[s] * (FRAMES - 1)]])
        z = windows + levels[..., None] * unit
        errors = [
            (clean - windows)[:, 1:].square().mean()
            for clean in (model(z, levels), model.base.clean(z, levels)[0])
        ]
        found[f"{s:g}"] = (errors[0] / errors[1]).item()
    return found


def train_simulate(options: SimulateTraining, report: Callable[[int], Report]) -> Path:
    """Train both, and write ``simulate.safetensors`` with its recipe beside it.

    Arguments:
        report: Given the number of steps, what to tell of each.
    """
    folder = writable_folder(options.out)
    weights = folder / "simulate.safetensors"
    made = data(*TRAINED, options.frames)
    seeds = range(options.simulations)
    raw = trajectories(made, seeds)
    scale = raw.square().mean().sqrt().item()
    known = (raw / scale).float()
    windows = known.unfold(1, FRAMES, FRAMES // 2).flatten(0, 1).mT
    base = stationary_law(windows)
    plan = options.schedule
    recipe: dict[str, object] = {
        "data": {**made.recipe, "seeds": [seeds.start, seeds.stop - 1]},
        "network": asdict(options.network),
        "lead": asdict(options.lead),
        "batch": plan.batch,
        "rates": [plan.rate, plan.other_rate],
        "seed": plan.seed,
    }
    said = command("train simulate", options)
    facts: dict[str, object] = {"command": said, "version": __version__}
    tell = report(2 * plan.steps)
    with processes() as device:
        runs: dict[str, Trainer] = {}
        for name, law, loss in (
            ("prior", base, CorrectingWindows(options.lead)),
            ("surrogate", base.first(2), Stepping()),
        ):
            torch.manual_seed(plan.seed)
            trainer = Trainer(
                options.network.build(law).to(device),
                loss,
                WindowDraw(known.to(device), plan.batch, loss),
                plan,
                writable_folder(folder / name),
                {**recipe, "of": name},
                bfloat16=None if device.type == "cuda" else False,
            )
            if trainer.checkpoint_file.exists():
                facts["resumed"] = "runs in the folder, whose schedule until then may differ"
            trainer.run(_behind(tell, len(runs) * plan.steps))
            runs[name] = trainer
        if runs["prior"].rank == 0:
            facts |= {"recipe": recipe, "schedule": asdict(plan), "device": device.type}
            networks = {name: _kept(run) for name, run in runs.items()}
            save_prior(weights, scale, base, options.network, networks, facts)
            held = trajectories(made, range(seeds.stop, seeds.stop + HELD_OUT))
            seconds = {name: run.seconds for name, run in runs.items()}
            scores = _scores(networks, (held / scale).float())
            write_json(weights.with_suffix(".json"), {**facts, "seconds": seconds, **scores})
            for name, run in runs.items():
                draw_curve(folder / f"{name}.png", run.losses)
    return weights


def _scores(networks: Mapping[str, CorrectedWindows], unseen: Known) -> dict[str, object]:
    """What both networks leave of the squared error of linear estimates."""
    return {
        "shares": shares_of(networks["prior"], unseen, 0.02),
        "surrogate_share": surrogate_share(networks["surrogate"], unseen),
    }


def _kept(run: Trainer) -> CorrectedWindows:
    """The averaged network of a run, where files are written from."""
    average = run.average.cpu()
    assert isinstance(average, CorrectedWindows)
    return average


def _behind(tell: Report, done: int) -> Report:
    """The report of a run that follows so many steps of others."""
    return lambda step, loss: tell(done + step, loss)


@torch.no_grad()
def surrogate_share(model: CorrectedWindows, known: Known) -> float:
    """Of the squared error of linear prediction, what the surrogate leaves."""
    generator = torch.Generator().manual_seed(0)
    loss = Stepping()
    return loss(model, *loss.draw(drawn_windows(known, 512, generator), generator)).mean().item()
