"""Numbers of an equation: one for a whole batch, or one for each sample, with a gradient if wanted."""

import math

from jaxtyping import Float
from torch import Tensor

Number = float | Float[Tensor, "batch 1 *one"]
"""A float, or a tensor with an axis of size one for channels and for each axis of space."""


def lowest(*numbers: Number) -> float:
    """The smallest of batches, what a bound must hold for; NaN if one of them is."""
    least = [float(n.detach().min()) if isinstance(n, Tensor) else n for n in numbers]
    return math.nan if any(map(math.isnan, least)) else min(least)


def refuse_other_axes(number: Number, axes: int) -> None:
    """Refuse a tensor that does not stand for one number a sample of so many axes of space.

    Raises:
        ValueError: it does not.
    """
    if isinstance(number, Tensor) and number.shape[1:] != (1,) * (axes + 1):
        expected = ", ".join(["batch", *["1"] * (axes + 1)])
        raise ValueError(
            f"a number for each sample must have the shape ({expected}), got {tuple(number.shape)}"
        )
