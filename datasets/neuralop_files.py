"""Files of tensors that come with neuralop (Kossaifi et al., 2024,
https://arxiv.org/abs/2412.10354): small Darcy and Burgers sets.

They are read with torch's loader for weights, which makes tensors and numbers only and runs
nothing. Places are not told: cells of a side of 1 m, and for Burgers instants of one second.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from physgen.datasets import store
from physgen.datasets.foreign_format import NOT_KNOWN, Format, expect, of_cells, single, spaced

Tensors = Mapping[str, object]


def _tensor(source: Tensors, name: str) -> Tensor:
    found = source[name]
    if isinstance(found, Tensor):
        return found
    raise ValueError(f"{name} must be a tensor, got {type(found).__name__}")


class Darcy(Format[Tensors]):
    """Permeabilities and pressures."""

    name = "neuralop, Darcy"
    layout = "tensors x and y (sample, x, y)"

    def recognises(self, source: Tensors) -> bool:
        return {"x", "y"} <= set(source)

    def count(self, source: Tensors) -> int:
        return len(_tensor(source, "x"))

    def read(self, source: Tensors, samples: slice) -> store.Trajectories:
        ground, pressure = (
            single(_tensor(source, name)[samples].to(torch.float32)) for name in ("x", "y")
        )
        expect(ground.shape, (None, None, None), "x")
        expect(pressure.shape, ground.shape, "y")
        return store.Trajectories(
            name="neuralop",
            time=np.zeros(1, np.float32),
            space=spaced([of_cells(n) for n in ground.shape[1:]]),
            fields={
                "permeability": store.Field(ground[:, None], "1", 0, "which of two it is"),
                "pressure": store.Field(pressure[:, None], "1", 0),
            },
            parameters={},
            boundaries=dict.fromkeys(store.SIDES, "WALL"),
            recipe={},
            seed=np.full(len(ground), NOT_KNOWN, np.int64),
            centring="cell",
        )


class Burgers(Format[Tensors]):
    """Velocities on a line, the first of which is the input."""

    name = "neuralop, Burgers"
    layout = "tensors input (sample, x) and output (sample, time, x), and a number visc"

    def recognises(self, source: Tensors) -> bool:
        return {"input", "output", "visc"} <= set(source)

    def count(self, source: Tensors) -> int:
        return len(_tensor(source, "output"))

    def read(self, source: Tensors, samples: slice) -> store.Trajectories:
        values = single(_tensor(source, "output")[samples].to(torch.float32))
        expect(values.shape, (None, None, None), "output")
        begun = _tensor(source, "input")[samples]
        expect(tuple(begun.shape), (len(values), values.shape[2]), "input")
        return store.Trajectories(
            name="neuralop",
            time=single(np.linspace(0, 1, values.shape[1])),
            space=spaced([of_cells(values.shape[2])]),
            fields={"velocity": store.Field(values, "m s-1", 0)},
            parameters={"visc": float(np.asarray(source["visc"]))},
            boundaries={"left": "PERIODIC", "right": "PERIODIC"},
            recipe={},
            seed=np.full(len(values), NOT_KNOWN, np.int64),
            centring="cell",
        )
