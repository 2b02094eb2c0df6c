r"""Training: one loop for everything that has a loss.

A step draws a batch, takes the mean loss, and moves the weights; an exponential moving average
of the weights is what is kept. Everything random in step :math:`k` comes from a generator
seeded by ``(seed, k)`` alone, so a run that is killed and resumed follows the same curve as one
that was not, and so does a run on several processes, each of which takes its share of the same
global batch.

Hidden matrices are moved by :mod:`physgen.muon`, the other weights by AdamW. On trajectories of two
discs, this reached after 400 steps of 256 windows what AdamW alone had not after 600: 0.155
against 0.209 of the variance at noise 0.05, and the gap was growing.

The learning rate rises over ``warmup`` steps, stays, and falls linearly to zero over the last
``decay`` share of ``steps``. A run can thus be lengthened, or ended early, by resuming it with
another number of ``steps``, as long as the fall has not begun.
"""

import copy
import csv
import functools
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from physgen.checkpoint import load_kept, save_tensors
from physgen.files import whole
from physgen.muon import Muon
from physgen.network import hidden_matrices
from physgen.options import check_least, check_positive, check_shares
from physgen.sharing import Gradients, Sharing

GRADIENTS = Gradients()

Batch = tuple[Tensor, ...]
"""Tensors that share their first axis: the clean samples, their noise, and so on."""

Draw = Callable[[int, torch.Generator], Batch]
"""The global batch of a step, everything random in it included."""

Objective = Callable[..., Tensor]
"""``objective(model, *batch)``, the loss of every sample."""


Report = Callable[[int, float], None]
"""Told the number of steps made and the loss of the last."""


def silent(steps: int) -> Report:
    """The report of a training that is told to nobody, whatever its steps."""
    return lambda step, loss: None


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    steps: int = 26_000
    """Batches in all."""
    batch: int = 256
    """Samples in a batch, over all processes."""
    rate: float = 0.02
    """Learning rate of the hidden matrices (Muon)."""
    other_rate: float = 2e-3
    """Learning rate of all other weights (AdamW)."""
    warmup: int = 200
    """Steps over which the rates rise."""
    decay: float = 0.3
    """Share of the steps over which the rates fall to zero, at the end."""
    average: float = 0.999
    """Memory of the moving average of the weights, a step."""
    clip: float = 1.0
    """Longest gradient."""
    seed: int = 0
    """Seed of the first weights, batches and noise."""
    save_every: int = 500
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        check_least(self, 1, "steps", "batch", "save_every")
        check_least(self, 0, "rate", "other_rate", "warmup")
        check_positive(self, "clip")
        check_shares(self, "decay", "average")

    def factor(self, step: int) -> float:
        """The learning rate of a step, relative to the full one."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        fall = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min(rise, 1.0, fall)


def step_generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    """The source of everything random in one step."""
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 1) % 2**63
    return torch.Generator(device).manual_seed(mixed)


@functools.cache
def bfloat16_pays(device: torch.device) -> bool:
    """Whether matrices multiply faster in bfloat16 here: measured, once for each device.

    A processor that has no such instructions needs a hundred times as long for them, so that it is
    asked for little; a GPU for enough to be busy.
    """
    a = torch.ones(4096 if device.type == "cuda" else 512, 256, device=device)
    b = torch.ones(256, 256, device=device)
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        left, right = a.to(dtype), b.to(dtype)
        times = []
        for _ in range(4):
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            start = time.perf_counter()
            torch.mm(left, right)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
        seconds.append(min(times))
    return seconds[1] < 0.7 * seconds[0]


class Trainer:
    """A model, its average, and their optimisers, on one process or several.

    Arguments:
        model: What is trained, on the device it shall be trained on.
        objective: The loss of every sample.
        draw: The global batch of a step, from that step's generator.
        schedule: How long and how fast.
        folder: Where checkpoint and log go; a run found there is resumed.
        recipe: What else makes the result: data, network, command. A run found in ``folder``
            with another recipe is refused.
        bfloat16: Whether to multiply in bfloat16; where it is measured to pay, if not said.
        sharing: What processes tell each other, where there are several.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        draw: Draw,
        schedule: Schedule,
        folder: Path,
        recipe: dict[str, object],
        bfloat16: bool | None = None,
        sharing: Sharing = GRADIENTS,
    ) -> None:
        self.model = model
        self.objective = objective
        self.draw = draw
        self.schedule = schedule
        self.folder = folder
        self.recipe = recipe
        self.device = next(model.parameters()).device
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        self.step = 0
        self.losses: list[tuple[int, float, float]] = []
        self.bfloat16 = bfloat16_pays(self.device) if bfloat16 is None else bfloat16
        hidden = hidden_matrices(model)
        chosen = {id(weight) for weight in hidden}
        others = [weight for weight in model.parameters() if id(weight) not in chosen]
        adam = torch.optim.AdamW(
            others, lr=schedule.other_rate, betas=(0.9, 0.95), weight_decay=0.0
        )
        self.optimisers: list[torch.optim.Optimizer] = [adam]
        if hidden:
            self.optimisers.append(Muon(hidden, schedule.rate))
        self.full_rates = [o.param_groups[0]["lr"] for o in self.optimisers]
        self.sharing = sharing
        self.parallel = sharing.shared(model)
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.processes = dist.get_world_size() if dist.is_initialized() else 1
        if schedule.batch % self.processes:
            raise ValueError(
                f"batch {schedule.batch} cannot be shared by {self.processes} processes: "
                "choose a multiple"
            )

    @property
    def checkpoint_file(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def log_file(self) -> Path:
        return self.folder / "loss.csv"

    @property
    def seconds(self) -> float:
        """Spent on all steps, those before the run was resumed included."""
        return sum(wall for _, _, wall in self.losses)

    def run(self, report: Report = lambda step, loss: None) -> nn.Module:
        """Train to the last step and return the averaged model.

        Arguments:
            report: Called after each step with its number and loss.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        if self.checkpoint_file.exists():
            self.resume()
        while self.step < self.schedule.steps:
            started = time.perf_counter()
            loss = self.advance()
            self.losses.append((self.step, loss, time.perf_counter() - started))
            self.step += 1
            report(self.step, loss)
            last = self.step % self.schedule.save_every == 0 or self.step == self.schedule.steps
            self.sharing.after(self.step, last, (self.model, self.average))
            if last:
                self.save()
        return self.average

    def advance(self) -> float:
        """One step: this process's share of the batch, the gradient of all, the move."""
        generator = step_generator(self.schedule.seed, self.step, self.device)
        batch = self.draw(self.step, generator)
        share = tuple(part[self.rank :: self.processes] for part in batch)
        factor = self.schedule.factor(self.step)
        for optimiser, rate in zip(self.optimisers, self.full_rates, strict=True):
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss = self.objective(self.parallel, *share).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        memory = min(self.schedule.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.model.parameters(), strict=True)
            for average, value in pairs:
                average.lerp_(value, 1 - memory)
            held = zip(self.average.buffers(), self.model.buffers(), strict=True)
            for kept, current in held:
                kept.copy_(current)
        return self._agree(loss.detach())

    def _agree(self, loss: Tensor) -> float:
        """The mean loss over all processes."""
        if self.processes > 1:
            dist.all_reduce(loss)
            loss = loss / self.processes
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} at step {self.step}: the last checkpoint is kept in "
                f"{self.folder}; a smaller learning rate may help"
            )
        return value

    def save(self) -> None:
        """Keep everything that the next step needs; only the first process writes."""
        if self.rank:
            return
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, optimiser in enumerate(self.optimisers):
            for weight, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{index}.{weight}.{k}": v for k, v in state.items()}
        facts = {"step": self.step, "recipe": self.recipe, "bfloat16": self.bfloat16}
        save_tensors(self.checkpoint_file, tensors, facts)
        self._write_log()

    def resume(self) -> None:
        """Take up the run whose checkpoint lies in the folder.

        Raises:
            ValueError: the run there has another recipe, has gone beyond ``steps``, or is damaged.
        """
        tensors, facts = load_kept(self.checkpoint_file)
        if facts.get("recipe") != json.loads(json.dumps(self.recipe)):
            raise ValueError(
                f"{self.folder} holds a run with another recipe: resume it with the options it "
                f"was begun with, or choose another folder. It was {facts.get('recipe')}, "
                f"this is {self.recipe}"
            )
        step = int(str(facts["step"]))
        if step > self.schedule.steps:
            raise ValueError(
                f"{self.folder} has made {step} steps already, more than {self.schedule.steps}"
            )
        self.step, self.bfloat16 = step, bool(facts["bfloat16"])
        self.model.load_state_dict(_below(tensors, "model."))
        self.average.load_state_dict(_below(tensors, "average."))
        for index, optimiser in enumerate(self.optimisers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _below(tensors, f"optimiser.{index}.").items():
                weight, key = name.split(".", 1)
                state.setdefault(int(weight), {})[key] = tensor
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": state, "param_groups": groups})
        with self.log_file.open(newline="") as file:
            rows = list(csv.reader(file))[1 : self.step + 1]
        self.losses = [(int(step), float(loss), float(wall)) for step, loss, wall in rows]

    def _write_log(self) -> None:
        part = self.log_file.with_name(f".{self.log_file.name}.part")
        with part.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["step", "loss", "seconds"])
            writer.writerows(
                (step, f"{loss:.6g}", f"{wall:.4f}") for step, loss, wall in self.losses
            )
        part.replace(self.log_file)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


@contextmanager
def processes() -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, if it did, and say which device is ours.

    On GPUs the processes talk through NCCL, elsewhere through gloo.
    """
    cuda = torch.cuda.is_available()
    if "RANK" not in os.environ:
        yield torch.device("cuda" if cuda else "cpu")
        return
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        yield torch.device("cuda", local) if cuda else torch.device("cpu")
    finally:
        dist.destroy_process_group()


def draw_curve(path: Path, losses: list[tuple[int, float, float]]) -> None:
    """A picture of the loss, each point the mean of some steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = max(1, len(losses) // 400)
    groups = [losses[k : k + width] for k in range(0, len(losses), width)]
    canvas = Figure(figsize=(7, 3.6), layout="constrained")
    axis = canvas.subplots()
    axis.plot(
        [group[0][0] for group in groups],
        [sum(loss for _, loss, _ in group) / len(group) for group in groups],
        color="#0072B2",
    )
    axis.set_yscale("log")
    axis.set_xlabel("step")
    axis.set_ylabel("loss (1 for an untrained network)")
    axis.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(canvas)
    with whole(path) as part:
        canvas.savefig(part, format="png", dpi=150)
