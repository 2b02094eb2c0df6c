"""Data of an equation: many samples of one law, each with a seed of its own, kept in shards."""

import abc
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from physgen import __version__
from physgen.datasets.field import Fields, axes_of, write_fields
from physgen.datasets.seeds import refuse_mixed
from physgen.datasets.shards import Shard, write_shards
from physgen.shapes import PerSample

NOT_OF_THE_LAW = ("simulations", "seed", "shard", "workers", "scheduler", "out")
"""Options that decide which samples are made and where, and not what a sample is."""


class Drawn(NamedTuple):
    """Some samples, one for each seed."""

    time: Float[Tensor, " time"]
    """In s; one instant of a steady equation."""
    values: Float[Tensor, "sample time field *space"]
    """All fields, in the order of ``units``."""
    quality: Mapping[str, PerSample]
    about: Mapping[str, str]
    """What fields are, where their names do not say it."""


class Site(NamedTuple):
    """Where the fields of a data set live."""

    places: tuple[Float[Tensor, "*space"], ...]
    """In m, for each axis."""
    side: str
    """What all sides are: PERIODIC or WALL."""
    centring: str
    """``cell`` for centres of cells, ``point`` for points between walls."""


@dataclass(frozen=True, kw_only=True)
class EquationData(abc.ABC):
    """Samples of one law, and how they are made and kept."""

    simulations: int = 100
    """How many."""
    seed: int = 0
    """Seed of the first; the others follow it."""
    shard: int = 50
    """Simulations in a file, which are made in one batch."""
    workers: int = 1
    """Processes that write files."""
    scheduler: str = ""
    """Address of a dask scheduler whose workers write files instead."""
    out: Path
    """Folder of the files."""

    def __post_init__(self) -> None:
        for name in ("simulations", "shard", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        refuse_mixed(self.seed, self.simulations)
        self.check()

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What the command calls it."""

    @property
    @abc.abstractmethod
    def facts(self) -> dict[str, float]:
        """Numbers of the equation, in SI units."""

    @property
    @abc.abstractmethod
    def units(self) -> dict[str, str]:
        """The fields and their units: those of the state, then those of the boundary data."""

    @abc.abstractmethod
    def check(self) -> None:
        """Raises a ValueError if an option makes no sense."""

    @property
    @abc.abstractmethod
    def site(self) -> Site:
        """Where the fields live."""

    @abc.abstractmethod
    def simulate(self, seeds: range) -> Drawn:
        """One sample for each seed, which does not depend on the others.

        Raises:
            FloatingPointError: a sample left the finite numbers.
        """

    @property
    @final
    def recipe(self) -> dict[str, object]:
        """All that decides what a sample is."""
        options = {k: v for k, v in asdict(self).items() if k not in NOT_OF_THE_LAW}
        return {"dataset": self.name, "version": __version__, **options}

    @final
    def shards(self) -> dict[range, Shard]:
        """Every file, by its seeds."""
        last = self.seed + self.simulations
        starts = range(self.seed, last, self.shard)
        found = {}
        for seeds in (range(k, min(k + self.shard, last)) for k in starts):
            file = self.out / f"{self.name}_{seeds.start:010d}_{len(seeds):05d}.h5"
            found[seeds] = Shard(file, len(seeds))
        return found


def own_generators(seeds: range) -> list[torch.Generator]:
    """A source of randomness for each seed."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def write_shard(data: EquationData, seeds: range) -> None:
    """Make and keep one file."""
    torch.set_num_threads(1)
    with torch.no_grad():
        drawn = data.simulate(seeds)
    site, single = data.site, drawn.values.float()
    finite = single.isfinite().flatten(1).double().mean(1)
    quality = {name: one.double().numpy() for name, one in drawn.quality.items()}
    names = zip(data.units, single.unbind(2), strict=True)
    fields = Fields(
        name=data.name,
        time=drawn.time.float().numpy(),
        axes=axes_of(site.places),
        values={name: one.numpy() for name, one in names},
        units=data.units,
        parameters=data.facts,
        recipe=data.recipe,
        seed=np.array(seeds, np.int64),
        side=site.side,
        centring=site.centring,
        quality={**quality, "finite": finite.numpy()},
        about=drawn.about,
    )
    write_fields(data.shards()[seeds].path, fields)


def generate(data: EquationData, report: Callable[[int], None] = lambda done: None) -> list[Path]:
    """All files; those that are there already, and whole, are kept.

    Arguments:
        report: Told how many samples are there, after each file.

    Raises:
        ValueError: a file in the folder was made by another recipe, or is damaged.
    """
    wanted = data.shards()
    return write_shards(
        data.out, data.recipe, wanted, write_shard, data, data.workers, data.scheduler, report
    )
