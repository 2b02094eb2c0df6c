"""What commands are asked: names to choose from, and who reads the answer."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import tyro

Options = TypeVar("Options")


@dataclass(frozen=True)
class Asked(Generic[Options]):
    """The options of a command, and who reads its answer."""

    options: Annotated[Options, tyro.conf.arg(name="")]
    """Of the command."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the result as JSON on standard output, and nothing else there."""


def among(names: Iterable[str]) -> object:
    """Said of an option that is one of some names, which help then shows."""
    return tyro.conf.arg(metavar="{" + ",".join(names) + "}")


@dataclass(frozen=True)
class Nothing:
    """Tell what can be designed."""
