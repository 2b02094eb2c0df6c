"""The three layouts of PDEBench (Takamoto et al., 2022, https://arxiv.org/abs/2210.07182).

Their quirks: names are hyphenated, ``t-coordinate`` has one entry more than there are instants,
Darcy's time axis has length one, and planes of the diffusion-reaction data count along x first.
"""

import h5py
import numpy as np
from numpy.typing import NDArray

from physgen.datasets import store
from physgen.datasets.foreign_format import (
    NOT_KNOWN,
    Format,
    expect,
    numbers_of,
    of_cells,
    part,
    single,
    spaced,
    the_same,
)

FLOW = {"density": "kg m-3", "pressure": "Pa", "Vx": "m s-1", "Vy": "m s-1", "Vz": "m s-1"}
"""Data sets of compressible flows, in the order in which PDEBench stacks them."""


def _unknown(count: int) -> NDArray[np.int64]:
    return np.full(count, NOT_KNOWN, np.int64)


class OneFile(Format[h5py.File]):
    """One file a parameter: advection, Burgers, reaction-diffusion, Darcy, compressible flow."""

    name = "PDEBench, one file a parameter"
    layout = "tensor (sample, time, x ...) or density, pressure, Vx ..., and x-coordinate"

    def recognises(self, source: h5py.File) -> bool:
        return "x-coordinate" in source and ("tensor" in source or "density" in source)

    def count(self, source: h5py.File) -> int:
        return len(part(source, "tensor" if "tensor" in source else "density"))

    def read(self, source: h5py.File, samples: slice) -> store.Trajectories:
        names = [n for n in (f"{axis}-coordinate" for axis in "xyz") if n in source]
        lines = [single(part(source, name)[:]) for name in names]
        space = tuple(len(line) for line in lines)
        stored = ["tensor"] if "tensor" in source else [name for name in FLOW if name in source]
        fields = {}
        for name in stored:
            values = single(part(source, name)[samples])
            expect(values.shape, (None, None, *space), name)
            field = "u" if name == "tensor" else name
            fields[field] = store.Field(values, FLOW.get(name, "1"), 0)
        count, instants = next(iter(fields.values())).values.shape[:2]
        if "nu" in source:
            ground = single(part(source, "nu")[samples])
            expect(ground.shape, (count, *space), "nu")
            again = np.broadcast_to(ground[:, None], (count, instants, *space))
            fields["nu"] = store.Field(again, "1", 0, "permeability")
        time = np.zeros(1, np.float32)
        if "t-coordinate" in source:
            time = single(part(source, "t-coordinate")[:])[:instants]
        expect(time.shape, (instants,), "t-coordinate")
        return store.Trajectories(
            name="pdebench",
            time=time,
            space=spaced(lines),
            fields=fields,
            parameters=numbers_of(source),
            boundaries={},
            recipe={},
            seed=_unknown(count),
            centring="cell",
        )


class SeedGroups(Format[h5py.File]):
    """One group a sample, named by its seed: diffusion-reaction, diffusion-sorption, shallow
    water."""

    name = "PDEBench, one group a seed"
    layout = "groups 0000, 0001 ... with data (time, x ..., channel) and grid/x, grid/t"

    def recognises(self, source: h5py.File) -> bool:
        keys = sorted(source)
        if not keys or not all(str(key).isdigit() for key in keys):
            return False
        return f"{keys[0]}/data" in source and f"{keys[0]}/grid/x" in source

    def count(self, source: h5py.File) -> int:
        return len(source)

    def read(self, source: h5py.File, samples: slice) -> store.Trajectories:
        keys = sorted(map(str, source))[samples]
        grids = [f"{keys[0]}/grid/{axis}" for axis in "xy"]
        lines = [single(part(source, name)[:]) for name in grids if name in source]
        time = single(part(source, f"{keys[0]}/grid/t")[:])
        first = part(source, f"{keys[0]}/data")
        space = tuple(len(line) for line in lines)
        names, turned = ["concentration"], False
        if len(space) == 2:
            turned = first.shape[-1] == 2
            names = ["activator", "inhibitor"] if turned else ["height"]
        shape = (len(time), *(space[::-1] if turned else space), len(names))
        values = np.empty((len(keys), *shape), np.float32)
        for k, key in enumerate(keys):
            stored = part(source, f"{key}/data")
            expect(stored.shape, shape, f"{key}/data")
            values[k] = stored[:]
        if turned:
            values = values.swapaxes(2, 3)
        config = source[keys[0]].attrs.get("config", "")
        return store.Trajectories(
            name="pdebench",
            time=time,
            space=spaced(lines),
            fields={
                name: store.Field(values[..., channel], "m" if name == "height" else "1", 0)
                for channel, name in enumerate(names)
            },
            parameters={},
            boundaries={},
            recipe={"config": str(config)},
            seed=np.array([int(key) for key in keys], np.int64),
            centring="cell",
        )


class IncompressibleFlow(Format[h5py.File]):
    """Smoke in an incompressible flow under a force. Places are not told: a square of 1 m."""

    name = "PDEBench, incompressible flow"
    layout = "velocity (sample, time, x, y, 2), particles, force (sample, x, y, 2) and t"

    def recognises(self, source: h5py.File) -> bool:
        return {"velocity", "particles", "force", "t"} <= set(source)

    def count(self, source: h5py.File) -> int:
        return len(part(source, "velocity"))

    def read(self, source: h5py.File, samples: slice) -> store.Trajectories:
        velocity = single(part(source, "velocity")[samples])
        expect(velocity.shape, (None, None, None, None, 2), "velocity")
        count, instants, nx, ny, _ = velocity.shape
        particles = single(part(source, "particles")[samples])
        expect(particles.shape, (count, instants, nx, ny, 1), "particles")
        force = single(part(source, "force")[samples])
        expect(force.shape, (count, nx, ny, 2), "force")
        steady = np.broadcast_to(force[:, None], velocity.shape)
        return store.Trajectories(
            name="pdebench",
            time=the_same(part(source, "t")[samples], "times"),
            space=spaced([of_cells(nx), of_cells(ny)]),
            fields={
                "velocity": store.Field(velocity, "m s-1", 1),
                "particles": store.Field(particles[..., 0], "1", 0),
                "force": store.Field(steady, "m s-2", 1, "the same at all instants"),
            },
            parameters={},
            boundaries={},
            recipe={"config": str(source.attrs.get("config", ""))},
            seed=_unknown(count),
            centring="cell",
        )
