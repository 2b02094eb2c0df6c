"""Files that are there whole or not at all."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, which takes its place when the block ends well.

    If the block raises, what it wrote is removed and what stood at ``path`` stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Numbers that are not finite are refused, as other readers do not know them."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def writable_folder(path: Path) -> Path:
    """The folder, made if need be.

    Raises:
        ValueError: it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"the output folder {path} cannot be written ({reason}): choose another with --out"
        ) from error
    return path
