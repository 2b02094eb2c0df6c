"""Every method of the catalog on its bed: what it draws, what that costs, which gates hold.

Prints one table a bed, and writes them, with the source and module of every method, as a page.
A bed joins by being listed in ``physgen.testbeds.beds``.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table

from physgen.testbeds.beds import BEDS
from physgen.testbeds.catalog import FULL, Bed, Figures, Measured

HEAD = """# Methods

Every method of physgen for products and other compositions, posteriors and densities that are given,
every family of models and how it is trained, the module it is in,
where it is from, and what it was measured to do where the answer is known. Written by `python benchmarks/testbeds.py`,
from one run with {draws} draws for each of {problems} problems, {levels} noise levels and fields
of {cells} cells; seeds are fixed. Products take three fifths
of the levels, observations half as many more, and heat three steps for each; plane beds take five to
ten times the draws, and chains as many moves as there are levels, or twice as many. Figures without
spread are of a point. What is for windows of evolving fields alone (`asynchronous`, `stationary`, `symmetry`,
`unrolled`, `corrected`) is held to Gaussians in its tests.

*Bias* is the distance of the draws' mean from the exact one, relative to a size the bed names;
*spread* their standard deviation over the exact one; *coverage* the probability, by the exact
density, of their central 90 % interval. Exact draws have 0, 1 and 0.9 up to chance, the first
row of each table. *Evaluations* are of priors, for each draw, and after the plus sign the
gradients passed back through them.
"""


@dataclass(frozen=True)
class Options:
    """What is measured."""

    beds: tuple[str, ...] = tuple(bed.name for bed in BEDS)
    """By name."""
    draws: int = FULL.draws
    problems: int = FULL.problems
    levels: int = FULL.levels
    cells: int = FULL.cells
    out: Path = Path("docs/methods.md")
    """The page."""


def said(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def cost(figures: Figures) -> str:
    if not figures.evaluations:
        return "–"
    gradients = f" + {figures.gradients:.0f}" if figures.gradients else ""
    return f"{figures.evaluations:.0f}{gradients}"


def row(figures: Figures) -> tuple[str, ...]:
    quality = figures.quality
    others = ", ".join(f"{name} {value:.3g}" for name, value in figures.others.items())
    return (
        said(quality.bias, 3),
        said(quality.spread, 2),
        said(quality.coverage, 2),
        cost(figures),
        others,
    )


COLUMNS = ("bias", "spread", "coverage", "evaluations", "also")


def shown(bed: Bed, measured: Measured) -> Table:
    table = Table("method", *COLUMNS, title=bed.name)
    for method in bed.methods:
        table.add_row(method.name, *row(measured[method.name]))
    return table


def page(bed: Bed, measured: Measured) -> str:
    """The section of a bed."""
    columns = ("method", "module", "equation and source", *COLUMNS)
    lines = [f"## {bed.name[0].upper()}{bed.name[1:]}", "", f"Oracle: {bed.oracle}.", ""]
    lines += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    lines += [
        f"| {' | '.join((m.name, m.where, m.source, *row(measured[m.name])))} |"
        for m in bed.methods
    ]
    lines += ["", "Gates:", ""]
    lines += [f"- {gate.said}: {held(gate.holds(measured))}." for gate in bed.gates]
    return "\n".join(lines) + "\n"


def held(holds: bool) -> str:
    return "holds" if holds else "**does not hold**"


def main(options: Options) -> None:
    torch.set_num_threads(1)
    known = {bed.name: bed for bed in BEDS}
    unknown = [name for name in options.beds if name not in known]
    if unknown:
        raise SystemExit(f"beds are {', '.join(known)}; got {', '.join(unknown)}")
    size = replace(
        FULL,
        draws=options.draws,
        problems=options.problems,
        levels=options.levels,
        cells=options.cells,
    )
    head = HEAD.format(
        draws=size.draws, problems=size.problems, levels=size.levels, cells=size.cells
    )
    sections = []
    console = Console(width=180)
    for name in options.beds:
        measured = known[name].measure(size)
        console.print(shown(known[name], measured))
        for gate in known[name].gates:
            console.print(f"{gate.said}: {held(gate.holds(measured)).strip('*')}")
        sections.append(page(known[name], measured))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join([head, *sections]), encoding="utf-8")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main(tyro.cli(Options))
