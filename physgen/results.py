"""Folders of results: of one command, and of one run.

A design leaves a verdict beside its files, a simulation a ``simulation.json``. What one command made is
not taken for another's: a folder that holds something else is refused before anything is computed, and
what an earlier run of the same command left is removed before the first new file is written, its
verdict first, so that a run which is stopped leaves no verdict of other files.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from physgen.files import writable_folder

VERDICT, SIMULATION = "verdict.json", "simulation.json"


def design_folder(path: Path, files: Sequence[str]) -> Path:
    """The writable folder of a design whose results have these names.

    Raises:
        ValueError: it holds results of another kind, or cannot be written.
    """
    folder = writable_folder(path)
    if (folder / SIMULATION).exists():
        raise ValueError(_other(folder, "a simulation"))
    verdict = folder / VERDICT
    if verdict.exists():
        try:
            held = json.loads(verdict.read_text(encoding="utf-8"))
            kind, known = str(held["task"]), set(held["files"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(_other(folder, f"a {VERDICT} that cannot be read")) from error
        if known != set(files):
            raise ValueError(_other(folder, f"the results of {kind!r}"))
    return folder


def simulation_folder(path: Path) -> Path:
    """The writable folder of a simulation.

    Raises:
        ValueError: it holds a design's results, or cannot be written.
    """
    folder = writable_folder(path)
    if (folder / VERDICT).exists():
        raise ValueError(_other(folder, "the results of a design"))
    return folder


def clear(folder: Path, files: Sequence[str]) -> None:
    """Remove what an earlier run left under these names, its verdict first."""
    for name in sorted(files, key=lambda name: name != VERDICT):
        found = folder / name
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink(missing_ok=True)


def _other(folder: Path, what: str) -> str:
    return f"{folder} holds {what}: choose another folder with --out, or remove it"
