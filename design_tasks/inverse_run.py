"""``physgen design inverse``: see a little, draw both parts, judge, compare, show."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch

from physgen.asked import among
from physgen.checkpoint import fingerprint, load_tensors
from physgen.design_tasks.inverse import (
    COEFFICIENT,
    EQUATIONS,
    PROBLEMS,
    STATE,
    AroundHole,
    Coarse,
    Draws,
    InverseTask,
    Judged,
    Look,
    Scattered,
    Spread,
    Stations,
    check_draws,
)
from physgen.design_tasks.inverse_design import Guidance, draw
from physgen.design_tasks.inverse_equation import Equation
from physgen.design_tasks.inverse_prior import InversePrior, load_prior, weights_of
from physgen.design_tasks.inverse_searches import compare
from physgen.distillation import Student
from physgen.options import check_default, command, plain
from physgen.progress import Progress, Silent
from physgen.results import clear, design_folder
from physgen.rounds import OWN_LEVELS
from physgen.verdict import Figure, Verdict, figure, versions

STATIONS = 4
"""Places that are watched, if nobody says how many."""
LOOKS: dict[str, Callable[["InverseOptions"], Look]] = {
    "spread": lambda options: Spread(options.count),
    "scattered": lambda options: Scattered(options.count),
    "stations": lambda options: Stations(options.count),
    "coarse": lambda options: Coarse(options.blocks),
    "hole": lambda options: AroundHole(options.hole),
    "whole": lambda options: AroundHole(0.0),
}
HEEDED = {
    "sensors": ("spread", "scattered", "stations"),
    "blocks": ("coarse",),
    "hole": ("hole",),
}
"""Options of some looks only, and of which."""
WALKED = ("guidance.levels",)
"""Options that a distilled prior, which has levels of its own, does not heed."""


@dataclass(frozen=True)
class InverseOptions:
    """Tell a coefficient, source or start and its state from a few noisy sensors, with intervals."""

    equation: Annotated[str, among(EQUATIONS)] = "darcy"
    """darcy, poisson or helmholtz, which are steady; navier-stokes (vorticity at the start and 1 s later)
    or burgers (a velocity on a ring over 1 s)."""
    problem: Annotated[str, among(PROBLEMS)] = "forward"
    """forward (the coefficient, source or start is seen, the state wanted), inverse (the state is seen,
    of burgers its last instant; the other wanted) or both (of burgers, sensors in space and time)."""
    look: Annotated[str, among(LOOKS)] = "spread"
    """What is seen of a field: spread (a sensor somewhere in each of as many blocks), scattered
    (sensors anywhere), stations (of burgers: a few places at all instants), coarse (means over blocks:
    super-resolution), hole (all around a square: inpainting) or whole (with --problem forward:
    simulation)."""
    sensors: int | None = None
    """Of each field that is seen. If not given 123, 3 % of the cells; 16 of burgers' start or last instant, and
    4 stations."""
    blocks: int = 8
    """Of a coarse look, along each side."""
    hole: float = 0.5
    """Side of the square that is not seen, over that of the domain."""
    noise: float = 0.01
    """Standard deviation of what is seen, over the spread of its field."""
    cases: int = 10
    """Test cases."""
    draws: int = 19
    """For each case: 19, 39, 59, ..."""
    guidance: Guidance = field(default_factory=Guidance)
    """Levels, and how far the equation is heeded."""
    seed: int = 0
    """Seed of sensors, noise and draws; test fields have their own."""
    skip: int = 0
    """Test cases to leave out before the first."""
    baselines: int = 5
    """Cases for which descent through the solver is run; 0 for no baselines at all."""
    gradients: int = 40
    """Of descent."""
    weights: Path | None = None
    """A trained prior; the one that ships if not given."""
    out: Path = Path("runs/inverse")
    """Folder for verdict, fields, pictures and report."""

    def __post_init__(self) -> None:
        kinds = (("equation", EQUATIONS), ("problem", PROBLEMS), ("look", LOOKS))
        for name, allowed in kinds:
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} must be one of {list(allowed)}, got {value!r}")
        if self.look == "stations" and not EQUATIONS[self.equation].data().timed:
            raise ValueError(
                f"stations watch a place over time, {self.equation} has no axis of it: take spread"
            )
        if self.look == "stations" and self.problem != "both":
            raise ValueError(
                f"stations watch a place over time, and in {self.problem} one instant is seen: take "
                "both, or spread"
            )
        least = (("count", 1), ("cases", 1), ("skip", 0), ("baselines", 0), ("gradients", 1))
        for name, smallest in least:
            if getattr(self, name) < smallest:
                said = "sensors" if name == "count" else name
                raise ValueError(f"{said} must be at least {smallest}, got {getattr(self, name)}")
        if not self.noise > 0:
            raise ValueError(f"noise must be positive, got {self.noise}")
        check_draws(self.draws)
        unheeded = [name for name, looks in HEEDED.items() if self.look not in looks]
        check_default(self, unheeded, f"a look that is {self.look} does not heed it")

    @property
    def count(self) -> int:
        """Sensors in each field that is seen."""
        if self.sensors is not None:
            return self.sensors
        usual = EQUATIONS[self.equation].sensors[self.problem]
        return STATIONS if self.look == "stations" else usual

    def task(self, prior: InversePrior) -> InverseTask:
        return InverseTask(
            EQUATIONS[self.equation],
            PROBLEMS[self.problem],
            LOOKS[self.look](self),
            self.noise,
            self.cases,
            prior.standard.mean,
            prior.standard.scale,
            torch.Generator().manual_seed(self.seed),
            self.skip,
        )


FILES = (
    "config.json",
    "verdict.json",
    "report.html",
    "fields.h5",
    "cases.csv",
    "observed.csv",
    "fields.png",
    "fields.pvd",
)

MEANINGS = {
    "relative_error": "Of the mean of the draws, in what was wanted; of the norm of the truth.",
    "error_coefficient": "The same of the coefficient, source or start.",
    "error_state": "The same of the state.",
    "coverage90": "Share of cells of what was wanted whose truth lies in the 90 % interval.",
    "coverage_coefficient": "The same of the coefficient, source or start.",
    "coverage_state": "The same of the state.",
    "crps": "Continuous ranked probability score of the draws, over the spread of the field.",
    "residual": "What a draw owes its equation, by the solver.",
    "solver_error": "Of the drawn state, relative to what the solver makes of the drawn first part.",
}
"""Of figures, for the report."""


def design_inverse(options: InverseOptions, progress: Progress | None = None) -> Verdict:
    """Do all of it, and leave the results in the output folder."""
    progress = Silent() if progress is None else progress
    prior = load_prior(EQUATIONS[options.equation], options.weights)
    if isinstance(prior.denoiser, Student):
        check_default(options, WALKED, OWN_LEVELS)
    folder = design_folder(options.out, FILES)
    began = time.perf_counter()
    progress.stage(f"solving {options.cases} test cases")
    task = options.task(prior)
    start = time.perf_counter()
    progress.stage(f"drawing {options.draws} samples for each")
    generator = torch.Generator().manual_seed(options.seed + 1)
    drawn = draw(prior, task, options.draws, generator, options.guidance, progress=progress)
    judging = time.perf_counter()
    progress.stage("judging by truth and by the true solver")
    judged = task.judge(drawn.draws)
    done = time.perf_counter()
    path = weights_of(options.equation) if options.weights is None else options.weights
    verdict = Verdict(
        task=f"inverse {options.equation}, {options.problem}: {_seen(options)}",
        method="prior and residual" if drawn.heeded else "prior",
        options=plain(options, WALKED if isinstance(prior.denoiser, Student) else ()),
        seed=options.seed,
        versions={**versions(), "weights": fingerprint(load_tensors(path)[0])},
        designs=options.cases,
        invalid_fraction=(~drawn.draws.isfinite()).flatten(1).any(1).float().mean().item(),
        figures=figures(judged),
        bound=None,
        baselines={},
        network_evaluations=drawn.evaluations * options.draws,
        solver_calls=drawn.solutions * options.draws,
        seconds={
            "cases": start - began,
            "sampling": drawn.seconds,
            "judging": done - judging,
            "total": time.perf_counter() - began,
        },
        warnings=warnings(options, judged, drawn.heeded),
        files=FILES,
    )
    progress.stage("writing pictures, VTK images and the report")
    _write(folder, verdict, task, drawn.draws, judged)
    verdict.save(folder / "verdict.json")  # whatever becomes of the baselines
    if options.baselines:
        progress.stage("comparing with linear estimates and descent through the solver")
        few = task.part(slice(options.baselines))
        baselines = compare(prior, task, few, options.gradients, judged.relative_error)
        seconds = {**verdict.seconds, "total": time.perf_counter() - began}
        verdict = replace(verdict, baselines=baselines, seconds=seconds)
    _report(folder, options, verdict)
    verdict.save(folder / "verdict.json")
    return verdict


def _seen(options: InverseOptions) -> str:
    said = {
        "spread": f"{options.count} sensors, spread",
        "scattered": f"{options.count} sensors, scattered",
        "stations": f"{options.count} places, at all instants",
        "coarse": f"means over {options.blocks} blocks along each side that is seen",
        "hole": f"all but a square of {options.hole:g} of the side",
        "whole": "all cells",
    }
    return f"{said[options.look]}, noise {options.noise:g}"


def figures(judged: Judged) -> dict[str, Figure]:
    """All of them, none with a unit."""
    found = {}
    for name, values in vars(judged).items():
        best = None if name.startswith("coverage") else torch.amin
        found[name] = figure(values, "1", best)
    return found


COVERED = (0.85, 0.95)
"""Mean coverage of 90 % intervals which cases must exclude for these to be called wrong."""


def _of(equation: Equation) -> str:
    """What coverage is told of, where it is not of what was wanted."""
    return "" if equation.coverage == "coverage90" else f" of the {equation.fields[STATE]}"


def warnings(options: InverseOptions, judged: Judged, heeded: int) -> tuple[str, ...]:
    """What a reader of the figures should know.

    Arguments:
        heeded: Steps of each draw towards the equation.
    """
    said = []
    equation = EQUATIONS[options.equation]
    coverage = figure(getattr(judged, equation.coverage), "1", None)
    covered, (low, high) = coverage.mean, coverage.ci95 or (0.0, 1.0)
    if high < COVERED[0] or low > COVERED[1]:
        said.append(
            f"The 90 % intervals hold the truth in {100 * covered:.0f} % of the cells"
            f"{_of(equation)}: "
            + ("they are too narrow." if covered < COVERED[0] else "they are too wide.")
        )
    of_values = judged.coverage_coefficient.mean().item()
    if equation.two_valued and of_values < COVERED[0]:
        said.append(
            f"The 90 % intervals hold the truth in {100 * of_values:.0f} % of the cells of the "
            f"{equation.fields[COEFFICIENT]}: they are too narrow."
        )
    if equation.gaussian:
        said.append(
            "Both fields are Gaussian here: no estimate has less squared error in the mean than the "
            "linear one by their exact law. The row 'linear' measures that law from data; what "
            "draws add are intervals."
        )
    elif heeded and not (equation.two_valued or equation.data().solutions):
        flows = heeded * options.draws
        said.append(
            f"The equation was heeded by {flows} runs of its solver on a coarser grid for each case, which "
            "are not counted as calls of the solver."
        )
    elif heeded and equation.two_valued:
        sweeps = heeded * options.guidance.sweeps * options.draws
        said.append(
            f"The equation was heeded by {sweeps} sweeps of its residual for each case, which are no "
            "solutions and not counted as calls of the solver."
        )
    return tuple(said)


def _write(
    folder: Path, verdict: Verdict, task: InverseTask, draws: Draws, judged: Judged
) -> None:
    from physgen.datasets.field import write_fields
    from physgen.datasets.vtk import write_images
    from physgen.design_tasks.inverse_files import fields_of, write_cases, write_observed
    from physgen.design_tasks.inverse_view import draw_case
    from physgen.files import write_json

    clear(folder, FILES)
    write_json(folder / "config.json", verdict.options)
    order = judged.relative_error.argsort()
    middling = int(order[len(order) // 2])
    found = fields_of(task, draws, judged, verdict)
    write_fields(folder / "fields.h5", found)
    write_cases(folder / "cases.csv", task, judged)
    write_observed(folder / "observed.csv", task)
    draw_case(folder / "fields.png", task, draws, middling)
    write_images(folder, found, middling)


def _report(folder: Path, options: InverseOptions, verdict: Verdict) -> None:
    from physgen.report import Picture, write_report

    equation = EQUATIONS[options.equation]
    summary = (
        f"Of {verdict.designs} test cases {_seen(options)} were told. {options.draws} samples "
        f"were drawn for each. Their mean misses what was wanted by "
        f"{verdict.figures['relative_error']} of its norm, and their 90 % intervals hold the truth in "
        f"{100 * verdict.figures[equation.coverage].mean:.0f} % of the cells{_of(equation)}."
    )
    for name, row in verdict.baselines.items():
        if row.designs < verdict.designs:
            above = row.figures["relative_error_above"]
            summary += (
                f" '{name}' was run for the first {row.designs} cases, where its error less "
                f"that of the draws is {above}."
            )
    caption = "A middling case: truth and what is seen of it, mean, width of the interval, draws."
    pictures = [Picture(folder / "fields.png", caption)]
    write_report(
        folder / "report.html",
        verdict,
        summary,
        command("design inverse", options),
        pictures,
        MEANINGS,
        main="relative_error",
    )
