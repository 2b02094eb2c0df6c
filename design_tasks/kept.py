"""Runs on disk: what is done so far, so that one that was stopped goes on where it was."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from physgen.checkpoint import load_kept, save_tensors

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def told(case: "DataclassInstance") -> dict[str, object]:
    """The options of a case as JSON can hold them, without the folder."""
    options: dict[str, object] = json.loads(json.dumps(asdict(case), default=str))
    options.pop("out")
    return options


class Kept:
    """The checkpoint of one run.

    Arguments:
        path: Where it is.
        case: What is run.
        options: All that decides how it runs.
    """

    def __init__(self, path: Path, case: str, options: Mapping[str, object]) -> None:
        self.path = path
        text = json.dumps({"case": case, **options}, sort_keys=True)
        self.mark = hashlib.sha256(text.encode()).hexdigest()

    def save(self, tensors: Mapping[str, Tensor], seconds: float) -> None:
        """Keep what is done, and how long it took."""
        save_tensors(self.path, dict(tensors), {"run": self.mark, "seconds": seconds})

    def load(self) -> tuple[dict[str, Tensor], float] | None:
        """What was kept, if anything was.

        Raises:
            ValueError: it belongs to a run with other options.
        """
        if not self.path.exists():
            return None
        tensors, facts = load_kept(self.path)
        if facts.get("run") != self.mark:
            raise ValueError(
                f"{self.path} is the checkpoint of a run with other options: "
                "remove it, or choose another folder with --out"
            )
        seconds = facts["seconds"]
        assert isinstance(seconds, float)
        return tensors, seconds
