"""Layouts: named fields to one tensor and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import Places, positions


@dataclass(frozen=True)
class Layout:
    """Fields of fixed shapes, laid one behind the other in a flat sample.

    Arguments:
        fields: The shape of each field without the batch, by name, in order; ``()`` for one
            number a sample.
    """

    fields: Mapping[str, tuple[int, ...]]

    @property
    def size(self) -> int:
        return sum(prod(shape) for shape in self.fields.values())

    def join(self, **values: Tensor) -> Float[Tensor, "batch size"]:
        """One flat sample from all fields.

        Raises:
            ValueError: a field is missing, unknown, or of another shape.
        """
        if values.keys() != self.fields.keys():
            raise ValueError(f"the layout has fields {list(self.fields)}, got {list(values)}")
        for name, shape in self.fields.items():
            if values[name].shape[1:] != shape:
                raise ValueError(
                    f"field {name} has shape {shape} for each sample, "
                    f"got {tuple(values[name].shape[1:])}"
                )
        rows = [values[name].reshape(len(values[name]), -1) for name in self.fields]
        return torch.cat(rows, dim=1)

    def split(self, joined: Float[Tensor, "batch size"]) -> dict[str, Tensor]:
        """The fields of a flat sample, as views.

        Raises:
            ValueError: the sample has another size.
        """
        if joined.shape[1] != self.size:
            raise ValueError(
                f"the layout has {self.size} numbers for each sample, got {joined.shape[1]}: "
                "was the sample made for another layout?"
            )
        parts = joined.split([prod(shape) for shape in self.fields.values()], dim=1)
        named = zip(self.fields.items(), parts, strict=True)
        return {
            name: part.unflatten(1, shape) if shape else part[:, 0]
            for (name, shape), part in named
        }

    def places(self, name: str) -> Places:
        """Where a field lies, to put a term on it with :meth:`physgen.energy.Score.on`."""
        if name not in self.fields:
            raise ValueError(f"the layout has fields {list(self.fields)}, not {name}")
        before = 0
        for other, shape in self.fields.items():
            if other == name:
                break
            before += prod(shape)
        return before + positions(*self.fields[name])
