"""``physgen design simulate``: see a start, draw what becomes of it, judge, compare, show."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from physgen.checkpoint import fingerprint, load_tensors
from physgen.design_tasks.simulate import INTERVAL, Ensembles, Judged, SimulateTask
from physgen.design_tasks.simulate_design import Walk, draw
from physgen.design_tasks.simulate_prior import WEIGHTS, SimulatePrior, load_prior
from physgen.design_tasks.simulate_searches import compare, rivals
from physgen.ensemble import check_members
from physgen.options import check_default, command, plain
from physgen.progress import Progress, Silent
from physgen.results import clear, design_folder
from physgen.rounds import OWN_LEVELS
from physgen.verdict import Baseline, Best, Figure, Verdict, figure, versions

UNITS = {"horizon": "s"}
"""Of figures that have one."""
LONGEST = 1e5
"""Of an ensemble, in s."""
WALKED = ("walk.levels",)
"""Options that a distilled prior, which has levels of its own, does not heed."""


@dataclass(frozen=True)
class SimulateOptions:
    """Simulate a chaotic velocity from a start that is known up to noise, as an ensemble."""

    cases: int = 4
    """Test starts."""
    members: int = 19
    """Of each ensemble: 19, 39, 59, ..."""
    time: float = 45.0
    """How long, in s: a whole number."""
    noise: float = 0.02
    """Standard deviation of what is seen of the start, over the spread; from 0.002 to 0.2."""
    walk: Walk = field(default_factory=Walk)
    """Levels, overlap of windows, and how far the equation is heeded."""
    seed: int = 0
    """Seed of noise and draws; test starts have their own."""
    skip: int = 0
    """Test starts to leave out before the first."""
    baselines: bool = True
    """Whether to compare with a surrogate, solvers and others."""
    weights: Path | None = None
    """A trained prior, or a distilled one; the one that ships if not given."""
    out: Path = Path("runs/simulate")
    """Folder for verdict, fields, pictures and report."""

    def __post_init__(self) -> None:
        for name, least in (("cases", 1), ("skip", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 2 * INTERVAL <= self.time <= LONGEST or self.time % INTERVAL:
            raise ValueError(
                f"time must be a whole number of intervals of {INTERVAL:g} s, from two to "
                f"{LONGEST:g} s, got {self.time:g}"
            )
        if not 0.002 <= self.noise <= 0.2:
            raise ValueError(
                "noise must be from 0.002 to 0.2 of the spread, as the prior has met it, got "
                f"{self.noise:g}"
            )
        check_members(self.members)

    def task(self, prior: SimulatePrior) -> SimulateTask:
        return SimulateTask(
            self.cases,
            round(self.time / INTERVAL),
            self.noise,
            prior.scale,
            prior.base.spectrum,
            torch.Generator().manual_seed(self.seed),
            self.skip,
        )


FILES = (
    "config.json",
    "verdict.json",
    "report.html",
    "fields.h5",
    "cases.csv",
    "curves.csv",
    "simulate.png",
    "fields.pvd",
)

MEANINGS = {
    "crps": "Continuous ranked probability score of the members, over lead times and points.",
    "coverage90": "Share of points and times whose truth lies in the 90 % interval of the members.",
    "spread_skill": "Spread of the members over the error of their mean; one is right.",
    "rmse": "Error of the mean of the members, over the spread on the attractor.",
    "horizon": "Time until the mean and the truth correlate by less than 0.8.",
    "spectrum": "Off the attractor's, in powers of ten, over the last third.",
    "residual": "What a member owes its equation over an interval, by the solver.",
}
"""Of figures, for the report."""


def design_simulate(options: SimulateOptions, progress: Progress | None = None) -> Verdict:
    """Do all of it, and leave the results in the output folder."""
    progress = Silent() if progress is None else progress
    prior = load_prior(options.weights)
    if prior.route is not None:
        check_default(options, WALKED, OWN_LEVELS)
    options.walk.unrolled(prior.route)  # refuse an overlap that was not taught
    folder = design_folder(options.out, FILES)
    began = time.perf_counter()
    progress.stage(f"solving {options.cases} test cases")
    task = options.task(prior)
    start = time.perf_counter()
    progress.stage(f"drawing {options.members} members for each")
    generator = torch.Generator().manual_seed(options.seed + 1)
    drawn = draw(prior, task, options.members, generator, options.walk, progress=progress)
    judging = time.perf_counter()
    progress.stage("judging by truth and by the true solver")
    found = figures(task.judge(drawn.members))
    path = WEIGHTS if options.weights is None else options.weights
    verdict = Verdict(
        task=f"simulate {options.time:g} s from a start with noise {options.noise:g}",
        method="prior and residual" if options.walk.residual else "prior",
        options=plain(options, () if prior.route is None else WALKED),
        seed=options.seed,
        versions={**versions(), "weights": fingerprint(load_tensors(path)[0])},
        designs=options.cases,
        invalid_fraction=(~drawn.members.isfinite()).flatten(1).any(1).float().mean().item(),
        figures=found,
        bound=None,
        baselines={},
        network_evaluations=drawn.evaluations * options.members,
        solver_calls=drawn.intervals * options.members // task.frames,
        seconds={
            "cases": start - began,
            "sampling": drawn.seconds,
            "judging": time.perf_counter() - judging,
            "total": time.perf_counter() - began,
        },
        files=FILES,
    )
    clear(folder, FILES)
    verdict.save(folder / "verdict.json")  # whatever becomes of the baselines
    ensembles: dict[str, Ensembles] = {}
    if options.baselines:
        progress.stage("comparing with a surrogate and with solvers")
        begun = drawn.members[:, :, 0].flatten(0, 1).double()
        others = rivals(prior, task, options.members, options.walk, begun, generator)
        compared, lost = compare(others, task, lambda members: figures(task.judge(members)))
        ensembles = {name: row.members for name, row in compared.items()}
        rows = {name: row.baseline for name, row in compared.items()}
        said = break_even(found["crps"].mean, drawn.seconds, rows)
        said += tuple(f"'{name}' left the finite numbers and has no row." for name in lost)
        verdict = replace(verdict, baselines=rows, warnings=said)
    progress.stage("writing pictures, VTK images and the report")
    ensembles = {**ensembles, verdict.method: drawn.members}
    _write(folder, verdict, task, ensembles)
    seconds = {**verdict.seconds, "total": time.perf_counter() - began}
    verdict = replace(verdict, seconds=seconds)
    _report(folder, options, verdict)
    verdict.save(folder / "verdict.json")
    return verdict


WANTED: dict[str, Best | None] = {
    "coverage90": None,
    "spread_skill": None,
    "horizon": torch.amax,
}
"""What is best of those figures of which it is not the least."""


def figures(judged: Judged) -> dict[str, Figure]:
    """All that there are: a single run has no intervals."""
    return {
        name: figure(values, UNITS.get(name, "1"), WANTED.get(name, torch.amin))
        for name, values in vars(judged).items()
        if values is not None
    }


def break_even(error: float, seconds: float, rows: Mapping[str, Baseline]) -> tuple[str, ...]:
    """Which coarse solver is as good as the prior, and what it costs.

    Arguments:
        error: CRPS of the prior.
        seconds: It took to draw.
        rows: Others; those of coarse solvers have their grid in their name.
    """
    solvers = {name: row for name, row in rows.items() if name.startswith("solver ")}
    good = {name: row for name, row in solvers.items() if row.figures["crps"].mean <= error}
    if not good:
        return ("No coarse solver that was tried has a CRPS as low as that of the prior.",)
    name, row = min(good.items(), key=lambda pair: pair[1].seconds)
    ratio = seconds / row.seconds
    said = (
        f"Break-even: '{name}' has a CRPS of {row.figures['crps'].mean:.3f}, no more than the prior's "
        f"{error:.3f}, and was {ratio:.3g} times as fast. Where an equation is known and as "
        "cheap as this one, it should be solved; a prior is for what lies between."
    )
    return (said,)


def _write(
    folder: Path, verdict: Verdict, task: SimulateTask, ensembles: Mapping[str, Ensembles]
) -> None:
    from physgen.datasets.field import write_fields
    from physgen.datasets.vtk import write_images
    from physgen.design_tasks.simulate_files import fields_of, write_cases, write_curves
    from physgen.design_tasks.simulate_view import draw_simulation
    from physgen.files import write_json

    write_json(folder / "config.json", verdict.options)
    own = ensembles[verdict.method]
    judged = task.judge(own)
    order = judged.crps.argsort()
    middling = int(order[(len(order) - 1) // 2])
    found = fields_of(task, own, judged, verdict)
    write_fields(folder / "fields.h5", found)
    write_cases(folder / "cases.csv", task, judged)
    curves = {name: task.curves(members) for name, members in ensembles.items()}
    write_curves(folder / "curves.csv", curves)
    draw_simulation(folder / "simulate.png", task, own, middling, curves)
    write_images(folder, found, middling)


def _report(folder: Path, options: SimulateOptions, verdict: Verdict) -> None:
    from physgen.report import Picture, write_report

    found = verdict.figures
    summary = (
        f"{verdict.designs} states of a chaotic flame front were seen with noise of {options.noise:g} "
        f"of their spread, and {options.members} futures drawn for each. Their CRPS over "
        f"{options.time:g} s is {found['crps']} of the spread, their spread is "
        f"{found['spread_skill'].mean:.2f} times the error of their mean, which is correlated with the "
        f"truth by {0.8} or more for {found['horizon'].mean:.0f} s."
    )
    caption = (
        "A middling case: truth, mean and spread of the members, two of them; below, figures of all "
        "methods by lead time."
    )
    pictures = [Picture(folder / "simulate.png", caption)]
    again = command("design simulate", options)
    write_report(folder / "report.html", verdict, summary, again, pictures, MEANINGS, main="crps")
