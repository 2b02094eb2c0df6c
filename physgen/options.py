"""Options of commands: as a verdict keeps them, and as the words that ask for the same again.

Options are frozen dataclasses, some of whose fields are such themselves. A field of one of these is
called by both names, as in ``walk.levels``.
"""

import math
import shlex
from collections.abc import Collection, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


MOST_SEEDS = 2**62
"""Seeds are smaller: some are counted on from the one that is given."""

KIND = object()
"""Said of an option that is of another kind than by default, and called by it, as ``sharing:weights``."""


def plain(options: "DataclassInstance", unused: Collection[str] = ()) -> dict[str, object]:
    """As JSON keeps them: paths as text.

    Arguments:
        options: All of them.
        unused: Names of those that had no say in what was done, which are left out.
    """
    found: dict[str, object] = {}
    for one in fields(options):
        value = getattr(options, one.name)
        if one.name in unused:
            continue
        if is_dataclass(value) and not isinstance(value, type):
            value = plain(value, _within(one.name, unused))
        found[one.name] = str(value) if isinstance(value, Path) else value
    return found


def command(name: str, options: "DataclassInstance") -> str:
    """What makes the same figures again: all options that are not the default, but the folder.

    Arguments:
        name: Of the command, without ``physgen``.
        options: What it was told.
    """
    words, chosen, kinds = ["physgen", *name.split()], list[str](), list[str]()
    for option, value in _changed(options):
        if value is KIND:
            kinds.append(option.partition(":")[0] + ".")
        if (
            option != "out"
        ):  # what chooses a kind is a command within, which comes last with its options
            inner = value is KIND or any(option.startswith(kind) for kind in kinds)
            (chosen if inner else words).extend(_words(option, value))
    return shlex.join([*words, *chosen])


def check_finite(options: object) -> None:
    """Refuse numbers that are none, unless they are the default.

    Arguments:
        options: A dataclass.

    Raises:
        ValueError: an option is not finite.
    """
    assert is_dataclass(options) and not isinstance(options, type)
    for name, value in _changed(options):
        values = value if isinstance(value, tuple) else (value,)
        for one in values:
            if isinstance(one, float) and not math.isfinite(one):
                raise ValueError(f"{_words(name, value)[0]} must be a finite number, got {one}")


def check_default(options: "DataclassInstance", names: Collection[str], why: str) -> None:
    """Refuse options that would have no say.

    Arguments:
        options: What was asked for.
        names: Of those that must be as they are by default.
        why: Why they have none.

    Raises:
        ValueError: one of them was changed.
    """
    for option, value in _changed(options):
        if option in names:
            raise ValueError(f"{why}: leave out {_words(option, value)[0]}, got {value}")


def check_seeds(options: object) -> None:
    """Refuse seeds that not every generator takes.

    Arguments:
        options: A dataclass.

    Raises:
        ValueError: there is one.
    """
    assert is_dataclass(options) and not isinstance(options, type)
    for name, value in _changed(options):
        if name.rpartition(".")[2] == "seed" and not 0 <= int(str(value)) < MOST_SEEDS:
            flag, most = _words(name, value)[0], MOST_SEEDS - 1
            raise ValueError(f"{flag} must be from 0 to {most}, got {value}")


def check_positive(options: "DataclassInstance", *names: str) -> None:
    """Refuse numbers that must be positive and are not.

    Arguments:
        options: What was asked for.
        names: Of the numbers, or of lists of them.

    Raises:
        ValueError: one of them is zero, negative, infinite or none.
    """
    for name in names:
        value = getattr(options, name)
        if not all(
            0 < one < math.inf for one in (value if isinstance(value, tuple) else (value,))
        ):
            raise ValueError(f"{name} must be positive and finite, got {value}")


def check_least(options: "DataclassInstance", least: float, *names: str) -> None:
    """Refuse numbers that are too small.

    Arguments:
        options: What was asked for.
        least: The smallest that is allowed.
        names: Of the numbers.

    Raises:
        ValueError: one of them is smaller, or none.
    """
    for name in names:
        if not getattr(options, name) >= least:
            raise ValueError(f"{name} must be at least {least:g}, got {getattr(options, name)}")


def check_shares(options: "DataclassInstance", *names: str) -> None:
    """Refuse shares of a whole that are none.

    Arguments:
        options: What was asked for.
        names: Of the shares.

    Raises:
        ValueError: one of them is below 0 or above 1.
    """
    for name in names:
        if not 0 <= getattr(options, name) <= 1:
            raise ValueError(f"{name} must be between 0 and 1, got {getattr(options, name)}")


def _within(name: str, names: Collection[str]) -> list[str]:
    """Names of the fields of one that is a dataclass itself."""
    return [inner.removeprefix(f"{name}.") for inner in names if inner.startswith(f"{name}.")]


def _changed(
    options: "DataclassInstance", usual: object = None, outer: str = ""
) -> Iterator[tuple[str, object]]:
    """Options that are not the default, by their names.

    Arguments:
        options: All of them.
        usual: What they are by default; as their fields have it, if not given.
        outer: What their names begin with.
    """
    for one in fields(options):
        value, name = getattr(options, one.name), outer + one.name
        default = _default(one) if usual is None else getattr(usual, one.name)
        if value == default:
            continue
        if is_dataclass(value) and not isinstance(value, type):
            known = None if default is MISSING else default
            if known is not None and type(known) is not type(value):
                yield f"{name}:{type(value).__name__.lower()}", KIND
                known = None
            yield from _changed(value, known, f"{name}.")
        else:
            yield name, value


def _default(one: "Field[object]") -> object:
    """The default of a field; what equals nothing, where there is none."""
    if one.default_factory is not MISSING:
        return one.default_factory()
    return one.default


def _words(name: str, value: object) -> list[str]:
    """The words of one option."""
    if value is KIND:
        return [name]
    *outer, last = name.replace("_", "-").split(".")
    if isinstance(value, bool):
        return ["--" + ".".join([*outer, last if value else f"no-{last}"])]
    values = value if isinstance(value, tuple) else (value,)
    return ["--" + ".".join([*outer, last]), *map(str, values)]
