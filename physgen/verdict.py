"""Verdicts: what a run found, with its bound, its baselines and what everything cost.

A verdict is one JSON file of the same form for all tasks. Every figure is a mean over all
designs, the failed ones included, with an interval.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from rich import box
from rich.table import Table
from scipy import stats
from torch import Tensor

from physgen.files import write_json

FORMAT = "physgen verdict 1"
BOUND = "geometric bound"
"""What the objective would be if the solver kept every constraint exactly."""


@dataclass(frozen=True)
class Figure:
    """One quantity over all designs."""

    mean: float
    ci95: tuple[float, float] | None
    """Where the mean of many more designs lies, by Student's t; one design does not tell."""
    median: float
    best: float | None
    """The least or the most, whichever is wanted; nothing where neither is."""
    unit: str

    @property
    def half(self) -> float | None:
        """Of the interval."""
        return None if self.ci95 is None else (self.ci95[1] - self.ci95[0]) / 2

    def written(self, scale: float = 1.0, digits: int = 4) -> str:
        """The mean and its interval, times a scale."""
        half = self.half
        apart = "–" if half is None else f"{scale * half:.{digits}f}"
        return f"{scale * self.mean:.{digits}f} ± {apart}"

    def __str__(self) -> str:
        if 0 < abs(self.mean) < SMALL:
            return f"{self.mean:.1e} ± " + ("–" if self.half is None else f"{self.half:.0e}")
        return self.written()


SMALL = 1e-3
"""Below which numbers are written with their power of ten."""


def shown(value: float | None) -> str:
    """A number in a table, if there is one."""
    if value is None:
        return "–"
    return f"{value:.1e}" if 0 < abs(value) < SMALL else f"{value:.4f}"


Best = Callable[[Tensor], Tensor]
"""Which of all values is wanted: ``torch.amin`` or ``torch.amax``."""


def figure(values: Tensor, unit: str, best: Best | None = torch.amin) -> Figure:
    """The figure of one number a design.

    Arguments:
        values: The numbers.
        unit: Of theirs.
        best: Which is wanted; nothing where neither the least nor the most is.

    Raises:
        ValueError: there is no design.
        FloatingPointError: a value is not finite.
    """
    if not values.numel():
        raise ValueError("a figure needs at least one design")
    if not values.isfinite().all():
        bad = int((~values.isfinite()).sum())
        raise FloatingPointError(f"{bad} of {values.numel()} values are not finite")
    values = values.double()
    count, mean = values.numel(), values.mean().item()
    interval = None
    if count > 1:
        error = values.std().item() / math.sqrt(count)
        half = float(stats.t.ppf(0.975, count - 1)) * error
        interval = (mean - half, mean + half)
    return Figure(
        mean=mean,
        ci95=interval,
        median=middle(values).item(),
        best=None if best is None else best(values).item(),
        unit=unit,
    )


def middle(values: Tensor) -> Tensor:
    """The median of all, halfway between the middle two of an even number."""
    return values.double().flatten().quantile(0.5)


@dataclass(frozen=True)
class Baseline:
    """Another way to the same end."""

    figures: Mapping[str, Figure]
    solver_calls: int
    """Simulations for each design."""
    seconds: float
    designs: int


@dataclass(frozen=True)
class Verdict:
    """Everything a run found."""

    task: str
    method: str
    options: Mapping[str, object]
    seed: int
    versions: Mapping[str, str]
    designs: int
    invalid_fraction: float
    figures: Mapping[str, Figure]
    bound: float | None
    baselines: Mapping[str, Baseline]
    network_evaluations: float
    """For each design and part of it, back-propagation through a network not counted extra."""
    solver_calls: int
    """Simulations for each design before it was judged."""
    seconds: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    files: tuple[str, ...] = field(default=())
    shared_solver_calls: int = 0
    """Simulations made once for all designs, whatever their number."""

    def save(self, path: Path) -> None:
        write_json(path, {"format": FORMAT, **asdict(self)})


def load_verdict(path: Path) -> Verdict:
    """The verdict in a file.

    Raises:
        ValueError: the file is missing, truncated, or no verdict.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file, or is truncated: {error}") from error
    if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is not a verdict of physgen: 'format' is not '{FORMAT}'")
    try:
        raw["figures"] = _figures(raw["figures"])
        raw["baselines"] = {
            name: Baseline(**{**row, "figures": _figures(row["figures"])})
            for name, row in raw["baselines"].items()
        }
        raw["warnings"], raw["files"] = tuple(raw["warnings"]), tuple(raw["files"])
        return Verdict(**raw)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a whole verdict: {error}") from error


def _figures(raw: Mapping[str, Mapping[str, object]]) -> dict[str, Figure]:
    return {
        name: Figure(**{**row, "ci95": _ends(row["ci95"])})  # type: ignore[arg-type]
        for name, row in raw.items()
    }


def _ends(raw: object) -> tuple[float, float] | None:
    return None if raw is None else tuple(raw)  # type: ignore[arg-type, return-value]


COLUMNS = ("method", "mean ± 95 %", "median", "finer", "designs", "calls", "seconds")
"""Of the comparison; *finer* is the mean by a finer solver than designs were searched with."""


def comparison(verdict: Verdict, main: str = "objective") -> list[tuple[str, ...]]:
    """The bound, the baselines and, last, what was designed: one row each, in cells."""

    def cells(
        name: str, figures: Mapping[str, Figure], designs: int, calls: int, seconds: float
    ) -> tuple[str, ...]:
        found, fine = figures[main], figures.get(f"{main}_fine")
        finer = shown(fine.mean) if fine else ""
        means = (str(found), shown(found.median), finer)
        return (name, *means, str(designs), str(calls), f"{seconds:.1f}")

    bound = verdict.bound
    rows: list[tuple[str, ...]] = []
    if bound is not None:
        rows.append((BOUND, f"{bound:.4f}", *[""] * 5))
    rows += [
        cells(name, row.figures, row.designs, row.solver_calls, row.seconds)
        for name, row in verdict.baselines.items()
    ]
    spent = sum(verdict.seconds.get(stage, 0.0) for stage in ("sampling", "polishing"))
    own = (verdict.figures, verdict.designs, verdict.solver_calls, spent)
    return [*rows, cells(verdict.method, *own)]


def filled(rows: Sequence[tuple[str, ...]]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Heads and rows of a comparison without the columns in which nothing stands."""
    kept = [k for k in range(len(COLUMNS)) if any(row[k] for row in rows)]
    return [COLUMNS[k] for k in kept], [tuple(row[k] for k in kept) for row in rows]


def table(verdict: Verdict, main: str = "objective") -> Table:
    """The design beside its bound and its baselines."""
    grid = Table(
        title=f"{verdict.task}\n{main} by the true solver, lower is better",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption_justify="left",
    )
    heads, (*others, own) = filled(comparison(verdict, main))
    for name in heads:  # a narrow window breaks names, and never cuts a number
        words = name == "method"
        grid.add_column(
            name, justify="left" if words else "right", no_wrap=not words, overflow="fold"
        )
    for row in others:
        grid.add_row(*row)
    grid.add_row(*(f"[bold]{cell}" for cell in own))
    facts = [f"{name} {value}" for name, value in verdict.figures.items() if name != main]
    facts.append(f"invalid designs {100 * verdict.invalid_fraction:.1f} %")
    facts.append(f"network evaluations for each part {verdict.network_evaluations:.0f}")
    if verdict.shared_solver_calls:
        facts.append(f"simulations made once for all designs {verdict.shared_solver_calls}")
    legend = "calls: simulations for each design"
    if "finer" in heads:
        legend += "; finer: mean by a finer solver"
    grid.caption = "\n".join((legend, *facts))
    return grid


def versions() -> dict[str, str]:
    """Of what a result depends on."""
    import platform

    import numpy

    from physgen import __version__

    return {
        "physgen": __version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }
