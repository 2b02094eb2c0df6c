"""Files of other projects: what they are, and what is in them, as ours would hold it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import h5py
import numpy as np
import torch
import tyro

from physgen.datasets import store
from physgen.datasets.apebench_files import Arrays
from physgen.datasets.foreign_format import Format
from physgen.datasets.neuralop_files import Burgers, Darcy
from physgen.datasets.pdearena_files import Line, Smoke
from physgen.datasets.pdebench_files import IncompressibleFlow, OneFile, SeedGroups
from physgen.datasets.well_files import Well

HDF5: Sequence[Format[Any]] = (
    Well(), OneFile(), SeedGroups(), IncompressibleFlow(), Smoke(), Line()
)  # fmt: skip
NUMPY: Sequence[Format[Any]] = (Arrays(),)
TORCH: Sequence[Format[Any]] = (Darcy(), Burgers())
ENDINGS = (".npy", ".pt")
ALL = slice(None)


class Foreign(NamedTuple):
    """What was found in a file of others."""

    format: str
    """Whose it is."""
    samples: int
    """How many the file holds."""
    data: store.Trajectories
    """Those that were asked for."""


def open_foreign(path: Path, samples: slice = ALL) -> Foreign:
    """Some or all samples of a file of PDEBench, PDEArena, The Well, APEBench or neuralop.

    Raises:
        ValueError: the file is missing or damaged, of no known format, or lacks something that
            its format has; the message says what was expected and what came.
    """
    if not path.is_file():
        raise ValueError(f"there is no data file {path}")
    with _opened(path) as (source, formats, holds):
        for one in formats:
            if one.recognises(source):
                try:
                    count = one.count(source)
                    if not len(range(count)[samples]):
                        raise ValueError(f"there is none of the samples asked for, of {count}")
                    data = one.read(source, samples)
                except (ValueError, KeyError, OSError) as error:
                    raise ValueError(f"{path} is of {one.name}, but {error}") from error
                told = {"format": one.name, "file": path.name, **data.recipe}
                return Foreign(one.name, count, replace(data, recipe=told))
    known = "; ".join(f"{one.name}: {one.layout}" for one in formats)
    raise ValueError(f"{path} is {holds}. Known are {known}")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[object, Sequence[Format[Any]], str]]:
    """The contents of a file, formats that it may have, and what it holds, in words."""
    if path.suffix == ".npy":
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise ValueError(f"{path} is no array of numbers: {error}") from error
        yield array, NUMPY, f"an array {array.shape} of {array.dtype}"
    elif path.suffix == ".pt":
        held = _tensors(path)
        yield held, TORCH, f"a file of torch with {', '.join(held) or 'nothing'}"
    else:
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise ValueError(f"{path} is no HDF5 file, or is truncated: {error}") from error
        with file:
            some = [str(name) for name in file][:8]
            yield file, HDF5, f"an HDF5 file, but not of physgen, with {', '.join(some)}"


def _tensors(path: Path) -> dict[str, object]:
    """Tensors and numbers of a file, by name; nothing in it is run."""
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the loader raises what it likes
        raise ValueError(
            f"{path} is damaged or holds more than tensors, which is not loaded as it could run "
            "code: keep tensors and numbers only"
        ) from error
    if isinstance(held, dict):
        return {str(name): value for name, value in held.items()}
    raise ValueError(f"{path} must hold tensors by name, got {type(held).__name__}")


@dataclass(frozen=True)
class ConvertOptions:
    """Write a file of PDEBench, PDEArena, The Well, APEBench or neuralop as one of ours."""

    path: Annotated[Path, tyro.conf.Positional]
    """The file."""
    out: Path = Path("data/converted.h5")
    """The file to write."""
    first: int = 0
    """The first sample to take."""
    count: int | None = None
    """How many; all that follow if it is not told. They must fit into memory."""

    def __post_init__(self) -> None:
        if self.first < 0 or (self.count is not None and self.count < 1):
            raise ValueError(
                f"first must not be negative and count at least 1, got {self.first} and {self.count}"
            )
        if self.out.exists():
            raise ValueError(
                f"{self.out} exists already: choose another file with --out, or remove it"
            )


def convert(options: ConvertOptions) -> Foreign:
    """Read samples of a foreign file, and write them in the native layout.

    Raises:
        ValueError: the file is of no known format.
    """
    last = None if options.count is None else options.first + options.count
    found = open_foreign(options.path, slice(options.first, last))
    store.write(options.out, found.data)
    return found
