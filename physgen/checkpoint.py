"""Weights and facts in one safetensors file, which never runs code when it is opened."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

MARK = "physgen"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> None:
    """Write tensors, and facts that JSON can hold, in one piece or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    owned = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(owned, part, metadata={MARK: json.dumps(facts, sort_keys=True)})
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """A short mark of tensors, another one as soon as a number, a type, a shape or a name is."""
    mark = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        mark.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        mark.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return mark.hexdigest()[:16]


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The tensors and facts of a file that :func:`save_tensors` wrote.

    Raises:
        ValueError: the file is missing, truncated, or not one of ours.
    """
    if not path.is_file():
        raise ValueError(f"there is no weights file {path}: train one, or check the path")
    try:
        with safe_open(path, framework="pt") as file:
            facts = (file.metadata() or {}).get(MARK)
            if facts is None:
                raise ValueError(
                    f"{path} is a safetensors file, but not one that physgen wrote: "
                    f"it has no '{MARK}' entry"
                )
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(facts)  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is not a readable safetensors file, or is truncated: {error}"
        ) from error


def load_kept(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """What a run kept of itself.

    Raises:
        ValueError: the file is damaged, or not one of ours; the message says what to do.
    """
    try:
        return load_tensors(path)
    except ValueError as error:
        raise ValueError(f"{error}: remove it to begin anew") from error
