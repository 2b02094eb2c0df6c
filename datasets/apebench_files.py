"""Arrays of APEBench (Koehler et al., 2024, https://arxiv.org/abs/2411.00180) and Exponax.

A ``.npy`` file is ``(sample, time, channel, *space)`` with as many points on each axis of a
periodic box. What it does not tell is taken for what APEBench means by its numbers without units: a
box of side 1, and one unit of time between instants.
"""

import numpy as np
from numpy.typing import NDArray

from physgen.datasets import store
from physgen.datasets.foreign_format import NOT_KNOWN, Format, single, spaced


class Arrays(Format[NDArray[np.generic]]):
    """Trajectories in one array."""

    name = "APEBench"
    layout = "an array of numbers (sample, time, channel, *space) with one size for all axes"

    def recognises(self, source: NDArray[np.generic]) -> bool:
        space = source.shape[3:]
        numbers = np.issubdtype(source.dtype, np.floating)
        return numbers and 1 <= len(space) <= 3 and len(set(space)) == 1

    def count(self, source: NDArray[np.generic]) -> int:
        return len(source)

    def read(self, source: NDArray[np.generic], samples: slice) -> store.Trajectories:
        values = single(source[samples])
        count, instants, channels, points, *rest = values.shape
        axes = 1 + len(rest)
        names = ["u"] if channels == 1 else [f"u_{k}" for k in range(channels)]
        sides = ("left", "right", "bottom", "top")[: 2 * axes]
        return store.Trajectories(
            name="apebench",
            time=single(np.arange(instants)),
            space=spaced([single(np.arange(points) / points)] * axes),
            fields={name: store.Field(values[:, :, k], "1", 0) for k, name in enumerate(names)},
            parameters={},
            boundaries=dict.fromkeys(sides, "PERIODIC"),
            recipe={},
            seed=np.full(count, NOT_KNOWN, np.int64),
            centring="cell",
        )
