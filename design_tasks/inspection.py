"""What is in a file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from physgen.checkpoint import load_tensors
from physgen.datasets import store
from physgen.datasets.foreign import open_foreign
from physgen.datasets.shards import MANIFEST, read_manifest
from physgen.verdict import load_verdict

FEW = 100
"""Samples that are read."""
CONVERT = "physgen convert"


@dataclass(frozen=True)
class InspectOptions:
    """Tell what is in a data file, ours or of others, a weights or verdict file, or a folder of data."""

    path: Annotated[Path, tyro.conf.Positional]
    """The file or folder."""


def describe(path: Path) -> dict[str, object]:
    """Facts on a file, by name.

    Raises:
        ValueError: the file is of no format that we know, or is damaged.
    """
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise ValueError(f"there is no file or folder {path}")
    if path.suffix == ".safetensors":
        return _weights(path)
    if path.suffix == ".json":
        verdict = load_verdict(path)
        figures = {name: str(value) for name, value in verdict.figures.items()}
        return {"kind": "verdict", "task": verdict.task, "method": verdict.method, **figures}
    return _trajectories(path)


def _trajectories(path: Path) -> dict[str, object]:
    if not store.is_ours(path):
        found = open_foreign(path, slice(0, FEW))
        return {
            **_facts(found.data, found.samples),
            "kind": found.format,
            "to make it ours": CONVERT,
        }
    with store.opened(path) as file:
        count = len(store.seeds(file))
    return _facts(store.read(path, slice(0, min(count, FEW))), count)


def _facts(data: store.Trajectories, count: int) -> dict[str, object]:
    """What there is, with the spread of the samples that were read, of so many."""
    facts: dict[str, object] = {
        "kind": "trajectories",
        "name": data.name,
        "samples": count,
        "instants": f"{len(data.time)}, {data.time[0]:.4g} to {data.time[-1]:.4g} s",
    }
    facts |= {f"axis {name}": len(axis) for name, axis in data.space.items()}
    for name, one in data.fields.items():
        spread = f"{one.values.min():.4g} to {one.values.max():.4g}"
        facts[f"field {name}"] = f"{one.values.shape[1:]} {one.units}, {spread}"
    facts |= {f"parameter {name}": value for name, value in data.parameters.items()}
    facts |= {f"boundary {name}": kind for name, kind in data.boundaries.items()}
    facts |= {f"body {name}": _body(body) for name, body in data.bodies.items()}
    for name, history in data.histories.items():
        spread = f"{history.values.min():.4g} to {history.values.max():.4g}"
        facts[f"history {name}"] = f"{len(history.time)} instants, {history.units}, {spread}"
    facts |= {f"figure {n}": f"{v.min():.3g} to {v.max():.3g}" for n, v in data.quality.items()}
    facts["recipe"] = json.dumps(data.recipe)
    return facts


def _body(body: store.Body) -> str:
    corners = max(len(outline) for poses in body.outline for outline in poses)
    moves = "moving" if body.distance.shape[1] > 1 else "still"
    return f"{moves}, up to {corners} vertices"


def _weights(path: Path) -> dict[str, object]:
    tensors, facts = load_tensors(path)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    return {"kind": "weights", "tensors": len(tensors), "numbers": numbers, **facts}


def _folder(path: Path) -> dict[str, object]:
    if not (path / MANIFEST).is_file():
        raise ValueError(f"{path} is no data folder: it has no {MANIFEST}")
    made = read_manifest(path)
    missing = [name for name in made.files if not (path / name).is_file()]
    return {
        "kind": "folder of trajectories",
        "files": len(made.files),
        "missing": ", ".join(missing) or "none",
        "recipe": json.dumps(made.recipe),
    }
