"""Priors in files: trained, kept in half precision with how they were made, and read again."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from physgen import __version__
from physgen.checkpoint import load_tensors, save_tensors
from physgen.files import write_json
from physgen.training import Report, Schedule, Trainer, draw_curve

Network = TypeVar("Network", bound=nn.Module)
Facts = dict[str, object]


def save_network(path: Path, prior: str, model: nn.Module, facts: Mapping[str, object]) -> None:
    """Keep a network in half precision.

    Arguments:
        path: Where.
        prior: What it is the prior of.
        model: The network.
        facts: How it was made; its ``architecture``, for it to be built again.
    """
    tensors = {name: value.half() for name, value in model.state_dict().items()}
    save_tensors(path, tensors, {**facts, "prior": prior})


def read_network(path: Path, prior: str, build: Callable[..., Network]) -> tuple[Network, Facts]:
    """A network that was kept, and the facts that were kept with it.

    Arguments:
        path: Where.
        prior: What it must be the prior of.
        build: Makes the network of its described architecture, given by keyword.

    Raises:
        ValueError: the file is missing, truncated, foreign, or another prior.
    """
    tensors, facts = load_tensors(path)
    if facts.get("prior") != prior:
        raise ValueError(f"{path} holds no prior for {prior}: it says {facts.get('prior')!r}")
    described = facts["architecture"]
    assert isinstance(described, dict)
    return filled(path, build(**described), tensors), facts


def filled(path: Path, model: Network, tensors: Mapping[str, Tensor]) -> Network:
    """A network with the weights of a file, ready to be asked.

    Raises:
        ValueError: they are those of another network.
    """
    try:
        model.load_state_dict({name: value.float() for name, value in tensors.items()})
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the network it describes: {error}") from error
    return model.eval().requires_grad_(False)


def begun_with(
    path: Path, architecture: Mapping[str, object], read: Callable[[Path], tuple[Network, Facts]]
) -> tuple[Network, Facts]:
    """A kept network to go on with, and what is known of its making.

    Raises:
        ValueError: it is another network.
    """
    model, facts = read(path)
    if facts["architecture"] != architecture:
        raise ValueError(
            f"{path} holds a network with {facts['architecture']}, this run trains "
            f"{architecture}: choose the same --network"
        )
    return model.requires_grad_(True), {k: v for k, v in facts.items() if k != "architecture"}


def train_prior(
    name: str,
    told: str,
    trainer: Trainer,
    schedule: Schedule,
    recipe: Facts,
    report: Callable[[int], Report],
    save: Callable[[Path, nn.Module, Facts], None],
    score: Callable[[Path], dict[str, float]],
) -> Path:
    """Train, and write the weights with their scores beside them.

    Arguments:
        name: Of the prior and its file.
        told: The command that makes the same again.
        trainer: In the folder of the run.
        schedule: How long and how fast.
        recipe: What makes the weights.
        report: Given the number of steps, what to tell of each.
        save: Keeps a trained network with facts.
        score: Of what is kept, rounded as it is.
    """
    average = trainer.run(report(schedule.steps))
    weights = trainer.folder / f"{name}.safetensors"
    if trainer.rank == 0:
        facts: Facts = {
            "command": told,
            "recipe": recipe,
            "schedule": asdict(schedule),
            "version": __version__,
        }
        save(weights, average, facts)
        kept = {**facts, "scores": score(weights), "seconds": trainer.seconds}
        write_json(weights.with_suffix(".json"), kept)
        draw_curve(trainer.folder / "loss.png", trainer.losses)
    return weights
