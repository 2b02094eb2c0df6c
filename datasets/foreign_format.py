"""What a format of others must tell so that its files can be read as our own."""

import abc
from collections.abc import Sequence
from typing import Generic, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from physgen.datasets import store

Source = TypeVar("Source")
"""An opened file: HDF5, or what numpy or torch hold."""
NOT_KNOWN = -1
"""The seed of what others made, where they do not tell it."""


class Format(abc.ABC, Generic[Source]):
    """A layout that some project keeps its data in."""

    name: str
    """Whose it is."""
    layout: str
    """What a file holds, for people whose file does not."""

    @abc.abstractmethod
    def recognises(self, source: Source) -> bool:
        """Whether a file is of this format, by a glance at it."""

    @abc.abstractmethod
    def count(self, source: Source) -> int:
        """Samples in a file."""

    @abc.abstractmethod
    def read(self, source: Source, samples: slice) -> store.Trajectories:
        """Some samples.

        Raises:
            ValueError: something is missing, or not of the shape it should have.
        """


def part(place: h5py.Group, name: str) -> h5py.Dataset:
    """A data set of a file.

    Raises:
        ValueError: there is none of that name.
    """
    found = place.get(name)
    if isinstance(found, h5py.Dataset):
        return found
    raise ValueError(f"data set {name} is missing, got {', '.join(map(str, place))}")


def single(values: object) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def of_cells(count: int) -> NDArray[np.float32]:
    """Centres of so many cells of one metre, where a file does not tell its places."""
    return single((np.arange(count) + 0.5) / count)


def spaced(lines: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Axes by their names."""
    return dict(zip("xyz", lines, strict=False))


def numbers_of(place: h5py.Group | h5py.File) -> dict[str, float]:
    """The attributes that are single numbers."""
    found = {name: np.asarray(value) for name, value in place.attrs.items()}
    return {
        str(name): float(value)
        for name, value in found.items()
        if value.size == 1 and np.issubdtype(value.dtype, np.number)
    }


def the_same(rows: NDArray[np.floating], what: str) -> NDArray[np.float32]:
    """The one row that all are.

    Raises:
        ValueError: they are not.
    """
    if rows.ndim == 1:
        return single(rows)
    first: NDArray[np.floating] = rows[0]
    if not np.allclose(rows, first, rtol=1e-5, atol=1e-6 * float(np.abs(first).max())):
        raise ValueError(
            f"samples have {what} of their own, and a file of ours has one for all: "
            "take one sample, by --first and --count 1"
        )
    return single(first)


def expect(shape: tuple[int, ...], wanted: tuple[int | None, ...], what: str) -> None:
    """Refuse a shape; None stands for any size.

    Raises:
        ValueError: it is another.
    """
    fits = len(shape) == len(wanted)
    if not fits or any(w not in (None, s) for s, w in zip(shape, wanted, strict=True)):
        told = ", ".join("any" if size is None else str(size) for size in wanted)
        raise ValueError(f"{what} must have the shape ({told}), got {shape}")
