"""N-body design: the whole table, one command a row.

``python benchmarks/nbody.py --bodies 4 --frames 44`` draws 500 designs and prints the row: mean
and 95 % interval of objective and MAE beside the numbers that CinDM's authors logged
(``nbody_sampling_parameters/`` of their repository), the geometric bound, and searches on the
true solver. Second numbers are means by the finer solver. ``--all`` prints all rows of 500
designs; rows that are already in ``--out`` are taken from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from readme_rows import head, row

from physgen.cli import stages
from physgen.design_tasks.nbody_design import Descent
from physgen.design_tasks.nbody_run import NBodyOptions, design_nbody
from physgen.verdict import Figure, Verdict, load_verdict

LOGGED = {
    (2, 24): (0.116, 0.012),
    (2, 34): (0.127, 0.008),
    (2, 44): (0.141, 0.008),
    (2, 54): (0.156, 0.008),
    (2, 94): (0.272, 0.038),
    (4, 24): (0.204, 0.037),
    (4, 44): (0.219, 0.032),
    (8, 24): (0.302, 0.089),
    (8, 44): (0.317, 0.096),
}
"""Objective and MAE of CinDM, by bodies and frames."""


@dataclass(frozen=True)
class Row:
    """Rows of the N-body table."""

    bodies: int = 2
    """How many discs."""
    frames: int = 24
    """Instants."""
    variant: str = "classic"
    """classic or moving."""
    polish: int = 0
    """Simulations to improve each design with."""
    candidates: int = 1
    """Samples for each design, of which one is kept."""
    steps: int = Descent().steps
    """Noise levels."""
    highest: float = Descent().highest
    """The first of them."""
    designs: int = 500
    """Designs in the row."""
    baselines: int = 100
    """Designs that the searches on the true solver are given."""
    method: str = "factor"
    """Composition, or cindm."""
    seed: int = 0
    """Of everything random."""
    all: bool = False
    """All rows of both variants; only designs, baselines, seed and out are used."""
    out: Path = Path("runs/benchmark-nbody")
    """Folder for the verdicts."""

    def rows(self) -> list["Row"]:
        if not self.all:
            return [self]
        sizes = [replace(self, bodies=n, frames=frames) for n, frames in LOGGED]
        two = replace(self, variant="moving", method="mean")
        two = replace(two, candidates=3, steps=15, highest=20.0)
        moving = [replace(two, bodies=n, polish=polish) for n in (2, 4, 8) for polish in (0, 20)]
        return [*sizes, *moving]

    @property
    def folder(self) -> Path:
        name = f"{self.variant}-{self.bodies}-{self.frames}-{self.method}-{self.polish}"
        how = f"{self.candidates}-{self.steps}-{self.highest:g}"
        return self.out / f"{name}-{how}-{self.designs}-{self.seed}"

    def verdict(self) -> Verdict:
        kept = self.folder / "verdict.json"
        if kept.exists():
            return load_verdict(kept)
        options = NBodyOptions(
            bodies=self.bodies,
            frames=self.frames,
            designs=self.designs,
            variant=self.variant,
            polish=self.polish,
            method=self.method,
            descent=Descent(self.steps, self.highest, candidates=self.candidates),
            baselines=self.baselines,
            seed=self.seed,
            out=self.folder,
        )
        with stages() as shown:
            return design_nbody(options, shown)


HEAD = (
    *("discs", "instants", "calls", "objective, finer", "MAE", "CinDM", "bound", "random"),
    *("best of 1000", "CMA-ES (720)", "random + polish", "designs", "NFE"),
)


def shown(figure: Figure, digits: int = 3) -> str:
    return figure.written(digits=digits)


def both(figures: Mapping[str, Figure]) -> str:
    """The mean objective, and the same by the finer solver."""
    return ", ".join(f"{figures[name].mean:.3f}" for name in ("objective", "objective_fine"))


def cells(row: Row, verdict: Verdict) -> tuple[object, ...]:
    logged = LOGGED.get((row.bodies, row.frames)) if row.variant == "classic" else None
    found, searches = verdict.figures, verdict.baselines
    names = ("random", "best of 1000", "CMA-ES", f"random + {row.polish} polish")
    return (
        row.bodies if row.variant == "classic" else f"{row.bodies} {row.variant}",
        row.frames,
        verdict.solver_calls,
        f"**{shown(found['objective'])}**, {found['objective_fine'].mean:.3f}",
        shown(found["mae"], 4),
        f"{logged[0]:.3f}, {logged[1]:.3f}" if logged else "–",
        f"{verdict.bound:.3f}" if verdict.bound is not None else "–",
        *(both(searches[name].figures) if name in searches else "–" for name in names),
        verdict.designs,
        f"{verdict.network_evaluations:.0f}",
    )


if __name__ == "__main__":
    asked = tyro.cli(Row)
    head(*HEAD)
    for each in asked.rows():
        row(*cells(each, each.verdict()))
