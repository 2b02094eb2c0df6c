"""What a command whose answer a machine may read is asked."""

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


@dataclass(frozen=True)
class Nothing:
    """Tell what can be designed."""
