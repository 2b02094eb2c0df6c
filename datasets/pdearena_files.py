"""The HDF5 layouts of PDEArena (Gupta & Brandstetter, 2022, https://arxiv.org/abs/2209.15616).

A file has one group, ``train``, ``valid`` or ``test``. Smoke under buoyancy is ``u`` and its
velocity ``vx``, ``vy``, with times and places for each sample; Kuramoto-Sivashinsky is one data set
that is named by its shape, with a step and a spacing for each sample. Their shallow water is
zarr, which we do not read.
"""

import re

import h5py
import numpy as np
from numpy.typing import NDArray

from physgen.datasets import store
from physgen.datasets.foreign_format import (
    NOT_KNOWN,
    Format,
    expect,
    part,
    single,
    spaced,
    the_same,
)

SPLITS = ("train", "valid", "test")
LINE = re.compile(r"pde_\d+-\d+")


def _split(source: h5py.File) -> h5py.Group | None:
    """The one group, if the file has nothing else."""
    names = list(source)
    if len(names) != 1 or names[0] not in SPLITS:
        return None
    found = source[names[0]]
    return found if isinstance(found, h5py.Group) else None


def _group(source: h5py.File) -> h5py.Group:
    found = _split(source)
    assert found is not None
    return found


def _axis(stored: h5py.Dataset, samples: slice, what: str) -> NDArray[np.float32]:
    """Times or places, which stand once for all samples or once for each."""
    return the_same(stored[:] if stored.ndim == 1 else stored[samples], what)


class Smoke(Format[h5py.File]):
    """Smoke that rises in a plane."""

    name = "PDEArena, smoke"
    layout = "a group train, valid or test with u, vx, vy (sample, time, x, y), t, x and y"

    def recognises(self, source: h5py.File) -> bool:
        group = _split(source)
        return group is not None and {"u", "vx", "vy"} <= set(group)

    def count(self, source: h5py.File) -> int:
        return len(part(_group(source), "u"))

    def read(self, source: h5py.File, samples: slice) -> store.Trajectories:
        group = _group(source)
        smoke, vx, vy = (single(part(group, name)[samples]) for name in ("u", "vx", "vy"))
        time, x, y = (_axis(part(group, name), samples, name) for name in "txy")
        shape = (None, len(time), len(x), len(y))
        for name, values in (("u", smoke), ("vx", vx), ("vy", vy)):
            expect(values.shape, shape, name)
        quality = {}
        if "buo_y" in group:
            quality["buoyancy"] = np.asarray(part(group, "buo_y")[samples], np.float64)
        return store.Trajectories(
            name="pdearena",
            time=time,
            space=spaced([x, y]),
            fields={
                "smoke": store.Field(smoke, "1", 0),
                "velocity": store.Field(np.stack([vx, vy], -1), "m s-1", 1),
            },
            parameters={},
            boundaries={},
            recipe={"split": str(group.name).strip("/")},
            seed=np.full(len(smoke), NOT_KNOWN, np.int64),
            quality=quality,
            centring="cell",
        )


class Line(Format[h5py.File]):
    """Kuramoto-Sivashinsky on intervals of their own lengths, with steps of their own."""

    name = "PDEArena, Kuramoto-Sivashinsky"
    layout = "a group train, valid or test with pde_TIMES-POINTS (sample, time, x), dt and dx"

    def recognises(self, source: h5py.File) -> bool:
        group = _split(source)
        return group is not None and any(LINE.fullmatch(str(name)) for name in group)

    def _stored(self, source: h5py.File) -> h5py.Dataset:
        group = _group(source)
        return part(group, next(str(name) for name in group if LINE.fullmatch(str(name))))

    def count(self, source: h5py.File) -> int:
        return len(self._stored(source))

    def read(self, source: h5py.File, samples: slice) -> store.Trajectories:
        group, values = _group(source), single(self._stored(source)[samples])
        expect(values.shape, (None, None, None), "pde")
        dt, dx = (
            float(the_same(np.reshape(part(group, name)[samples], (-1, 1)), f"{name}")[0])
            for name in ("dt", "dx")
        )
        quality = {}
        if "v" in group:
            numbers = np.reshape(part(group, "v")[samples], (len(values), -1))[:, 0]
            quality["viscosity"] = np.asarray(numbers, np.float64)
        return store.Trajectories(
            name="pdearena",
            time=single(dt * np.arange(values.shape[1])),
            space=spaced([single(dx * np.arange(values.shape[2]))]),
            fields={"velocity": store.Field(values, "m s-1", 0)},
            parameters={"dt": dt, "dx": dx},
            boundaries={"left": "PERIODIC", "right": "PERIODIC"},
            recipe={"split": str(group.name).strip("/")},
            seed=np.full(len(values), NOT_KNOWN, np.int64),
            quality=quality,
            centring="cell",
        )
