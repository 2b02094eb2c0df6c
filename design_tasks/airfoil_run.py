"""``physgen design airfoils``: draw, judge, verify, compare, show."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from physgen import workers
from physgen.asked import among
from physgen.checkpoint import fingerprint, load_tensors
from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks import airfoil_view
from physgen.design_tasks.airfoil_averaged import Averaged
from physgen.design_tasks.airfoil_design import Descent, Drawn, draw, expected
from physgen.design_tasks.airfoil_files import write_csv, write_designs, write_sections
from physgen.design_tasks.airfoil_formation import Composition, Coupled, PlaceLaw, Superposed
from physgen.design_tasks.airfoil_polish import Polish, polish
from physgen.design_tasks.airfoil_price import Prices, price
from physgen.design_tasks.airfoil_prior import WEIGHTS, AirfoilPrior, load_prior
from physgen.design_tasks.airfoil_screen import choice, solver_price
from physgen.design_tasks.airfoils import Formations, Judged, Trial, judge_each
from physgen.design_tasks.flow_cases import Formation
from physgen.design_tasks.flow_simulate import simulate
from physgen.files import write_json
from physgen.options import check_default, command, plain
from physgen.progress import Progress, Silent
from physgen.report import Picture, write_report
from physgen.results import clear, design_folder
from physgen.rounds import OWN_LEVELS
from physgen.solvers.sections import fit_cst, naca4
from physgen.verdict import Baseline, Best, Figure, Verdict, figure, versions

METHODS: dict[str, Composition] = {
    "coupled": Coupled(),
    "cindm": Averaged(),
    "superposed": Superposed(),
}
"""How airfoils see one another; ``unguided`` draws formations and asks for nothing."""

WALKED = ("descent.steps", "descent.low", "descent.high")
"""Options that a distilled prior, which has levels of its own, does not heed."""
SINGLE = "single"
"""The trial of airfoils that fly alone."""
REFERENCE = "of the reference"
"""Unit of changes against the same airfoils alone at the same lift."""

FILES = (
    "config.json",
    "verdict.json",
    "report.html",
    "designs.h5",
    "designs.csv",
    "sections",
    "best.png",
    "designs.png",
    "front.png",
    "flow",
)

MEANINGS = {
    "drag_change": "Relative to the same airfoils each alone, turned by one angle to the same lift.",
    "lift_to_drag_change": "Lift over drag, relative to the same airfoils alone at their own incidences.",
    "drag": "Of allowed designs, by the sum of the chords.",
    "lift": "Likewise.",
    "lift_to_drag": "Likewise.",
    "drag_alone": "Of the same airfoils alone, at the lift of the formation.",
    "turn_alone": "The angle that gives them that lift.",
    "drag_claimed": "What the prior takes the drag to be.",
    "lift_claimed": "What it takes the lift to be.",
    "refit": "How far a drawn outline is from the smooth section fitted to it, at most.",
    "best_finer": "The best design's, on finer cells.",
    "best_wider": "The best design's, in a domain twice as large.",
    "drag_change_single": "Relative to the best single airfoil of the same method, at the same lift.",
}
"""Of figures, for the report."""


@dataclass(frozen=True)
class AirfoilsOptions:
    """Airfoils that fly together with less drag than each alone, at the same lift."""

    bodies: int = 2
    """How many airfoils."""
    reynolds: float = 500.0
    """Of the chord, from 200 to 1000."""
    lift: float = 0.3
    """Lift coefficient that is wanted, by the sum of the chords."""
    designs: int = 5
    """How many designs to draw."""
    seed: int = 0
    """Seed of everything random."""
    method: Annotated[str, among((*METHODS, "unguided"))] = "coupled"
    """coupled; cindm (answers averaged on one flow); superposed (each as if it were alone); or
    unguided (drawn, nothing asked)."""
    candidates: int = 1
    """Formations to draw for each design; the solver chooses, by a simulation of each (some
    seconds) if there are more than one."""
    polish: int = 0
    """Gradients of the true solver to spend on each design; some seconds each."""
    baselines: int = 2
    """Formations drawn without guidance that are simulated too; 0 for no comparison."""
    cells: int = 24
    """Cells of the true solver for a chord."""
    finer: int = 48
    """Cells of a chord by which the best design is verified, and again in a domain twice as large;
    0 for no verification."""
    prices: Prices = field(default_factory=Prices)
    """Weights of the costs."""
    descent: Descent = field(default_factory=Descent)
    """Noise levels."""
    law: PlaceLaw = field(default_factory=PlaceLaw)
    """Where airfoils are before anything is wanted."""
    weights: Path = WEIGHTS
    """The trained prior."""
    out: Path = Path("runs/airfoils")
    """Folder for verdict, designs, pictures and report."""

    @property
    def way(self) -> str:
        """In words, what makes a design."""
        chosen = f", best of {self.candidates}" if self.candidates > 1 else ""
        return self.method + chosen + (f" + {self.polish} polish" if self.polish else "")

    @property
    def solver_calls(self) -> int:
        """Simulations for each design, before the verdict."""
        choosing = self.candidates if self.candidates > 1 else 0
        return choosing + (self.polish + 1 if self.polish else 0)

    def task(self) -> Formations:
        """What is asked.

        Raises:
            ValueError: an option is out of its range.
        """
        if self.method not in (*METHODS, "unguided"):
            raise ValueError(
                f"method must be one of {[*METHODS, 'unguided']}, got {self.method!r}"
            )
        for name, least in (("designs", 1), ("candidates", 1), ("polish", 0), ("baselines", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.cells < 12 or self.cells % 4:
            raise ValueError(f"cells must be a multiple of 4, at least 12, got {self.cells}")
        if self.finer and (self.finer <= self.cells or self.finer % 4):
            raise ValueError(
                f"finer must be a multiple of 4 above cells ({self.cells}), or 0 for no "
                f"verification, got {self.finer}"
            )
        # Nearer than four cells the solver cannot tell two bodies apart.
        return Formations(self.bodies, self.reynolds, self.lift, gap=max(0.2, 4.5 / self.cells))


def generate(
    options: AirfoilsOptions, task: Formations, prior: AirfoilPrior, progress: Progress
) -> Drawn:
    """Designs by the chosen method, no solver asked."""
    generator = torch.Generator().manual_seed(options.seed)
    unguided = options.method == "unguided"
    return draw(
        prior,
        task,
        options.designs * options.candidates,
        generator,
        METHODS["coupled" if unguided else options.method],
        None if unguided else options.prices,
        options.descent,
        options.law,
        progress,
    )


def in_line(task: Formations, gap: float = 1.9, angle: float | None = None) -> Airfoils:
    """The formation that is placed by hand: equal sections one behind the other.

    Arguments:
        task: What is asked.
        gap: From quarter point to quarter point, in chords.
        angle: Of incidence, in radians; None for one that gives about the lift that is wanted.
    """
    section, _ = fit_cst(naca4(0.0, 0.4, 0.12), 6)
    shape = (1, task.bodies)
    angle = math.radians(45.0 * task.lift) if angle is None else angle
    return Airfoils(
        section.upper.float().expand(*shape, -1).clone(),
        section.lower.float().expand(*shape, -1).clone(),
        gap * torch.arange(task.bodies, dtype=torch.float32)[None],
        torch.zeros(shape),
        torch.full(shape, angle),
    )


def contenders(
    options: AirfoilsOptions, task: Formations, prior: AirfoilPrior
) -> dict[str, tuple[Trial, float]]:
    """Formations that designs are compared with, in line by hand and drawn without a wish, and the
    seconds that it took to make them."""
    generator = torch.Generator().manual_seed(options.seed + 1)
    began = time.perf_counter()
    drawn = draw(prior, task, options.baselines, generator, prices=None, law=options.law)
    seconds = time.perf_counter() - began
    return {
        "in line, by hand": (Trial(task, in_line(task), options.cells), 0.0),
        "random": (Trial(task, drawn.airfoils, options.cells), seconds),
    }


def singles(options: AirfoilsOptions, task: Formations, prior: AirfoilPrior) -> Trial:
    """The three single airfoils that the prior holds best, of as many as there are formations."""
    alone = replace(task, bodies=1)
    generator = torch.Generator().manual_seed(options.seed)
    drawn = draw(
        prior, alone, options.designs, generator, prices=options.prices, descent=options.descent
    )
    first = price(alone, options.prices, drawn.claimed).argsort()[:3]
    return Trial(alone, Airfoils(*(part[first] for part in drawn.airfoils)), options.cells)


def best_single(task: Formations, judged: Judged, single: Judged) -> Tensor:
    """Drag, at the lift of each formation, of the single airfoil that has the least at their mean
    lift: what flies in their place."""
    allowed = judged.valid > 0
    middle = judged.lift[allowed].mean() if bool(allowed.any()) else torch.tensor(task.lift)
    drag = torch.where(single.valid > 0, single.drag_at(middle[None])[:, 0], torch.inf)
    return single.drag_at(judged.lift)[int(drag.argmin())]


def figures_of(judged: Judged) -> dict[str, Figure]:
    """All figures; drag and lift of allowed designs only, if there are any."""
    allowed = judged.valid > 0

    def of(values: Tensor, unit: str, best: Best | None = None) -> Figure:
        return figure(values[allowed] if bool(allowed.any()) else torch.zeros(1), unit, best)

    gain = judged.lift_to_drag_change
    return {
        "drag_change": figure(judged.drag_change, REFERENCE),
        "lift_to_drag_change": figure(gain, "of the same alone", torch.amax),
        "drag": of(judged.drag, "coefficient", torch.amin),
        "lift": of(judged.lift, "coefficient"),
        "lift_to_drag": of(judged.lift_to_drag, "1", torch.amax),
        "drag_alone": of(judged.reference, "coefficient"),
        "turn_alone": of(judged.turn, "degrees"),
    }


def verification(
    options: AirfoilsOptions, task: Formations, judged: Judged, chosen: Airfoils, best: int
) -> dict[str, Trial]:
    """One design again: on finer cells, and in a domain twice as large."""
    turn = round(float(judged.turn[best]), 1)
    turns = (turn if turn < -1 else -3.0, 0.0)
    return {
        "finer": Trial(task, chosen, options.finer, 1.0, turns),
        "wider": Trial(task, chosen, options.cells, 2.0, turns),
    }


@dataclass
class Clock:
    """Seconds of each part of a run."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - began


def make(
    options: AirfoilsOptions,
    task: Formations,
    prior: AirfoilPrior,
    progress: Progress,
    clock: Clock,
) -> Drawn:
    """Designs, drawn and polished as the options have it."""
    count = options.designs * options.candidates
    progress.stage(f"drawing {count} formations of {options.bodies} airfoils")
    with clock.of("sampling"):
        drawn = generate(options, task, prior, progress)
    if options.candidates > 1:
        progress.stage(f"choosing {options.designs} of them by the true solver")
        with clock.of("choosing"):
            cost = solver_price(
                task, drawn.airfoils, options.prices, options.cells, progress.share
            )
            drawn = drawn.some(choice(cost, options.candidates))
    if not options.polish:
        return drawn
    progress.stage(f"polishing with {options.polish} gradients of the true solver a design")
    with clock.of("polishing"):
        how = Polish(calls=options.polish, judge=options.cells)
        better = polish(task, drawn.airfoils, options.prices, how, progress)
    found = expected(prior, task, better, METHODS["coupled"])
    return replace(drawn, airfoils=better, claimed=found.force, flow=found.flow)


def claims_of(drawn: Drawn) -> dict[str, Figure]:
    """What the prior said of its designs, and how well they were decoded."""
    return {
        "drag_claimed": figure(drawn.claimed[..., 0].mean(1), "coefficient"),
        "lift_claimed": figure(drawn.claimed[..., 1].mean(1), "coefficient", None),
        "refit": figure(drawn.refit.amax(1), "chords"),
    }


@dataclass(frozen=True)
class Later:
    """What is known of designs once the best one is."""

    verified: dict[str, Judged]
    """The best one again, on finer cells and in a larger domain."""
    baselines: dict[str, Baseline]
    figures: dict[str, Figure]


def judge_later(
    options: AirfoilsOptions,
    task: Formations,
    prior: AirfoilPrior,
    judged: Judged,
    chosen: Airfoils,
    best: int,
    progress: Progress,
    clock: Clock,
) -> Later:
    """Verify the best design and judge what all are compared with, as one piece of work."""
    trials: dict[str, Trial] = {}
    if options.finer and judged.valid[best] > 0:
        trials |= verification(options, task, judged, chosen, best)
    verifying = tuple(trials)
    seconds: dict[str, float] = {}
    if options.baselines:
        progress.stage("drawing what to compare with")
        for name, (trial, spent) in contenders(options, task, prior).items():
            trials[name], seconds[name] = trial, spent
        trials[SINGLE] = singles(options, task, prior)
    if trials:
        progress.stage("verifying the best one, and judging what to compare with")
    with clock.of("verifying and comparing"):
        each = judge_each(list(trials.values()), progress.share)
    found = dict(zip(trials, each, strict=True))
    verified = {name: found[name] for name in verifying}
    figures = {f"best_{name}": figure(v.drag_change, REFERENCE) for name, v in verified.items()}
    if SINGLE in found:
        single = best_single(task, judged, found[SINGLE])
        change = torch.where(judged.valid > 0, judged.drag / single - 1, 0.0)
        figures["drag_change_single"] = figure(change, "of the best single airfoil")
    baselines = {
        name: Baseline(figures_of(found[name]), 0, spent, len(found[name].valid))
        for name, spent in seconds.items()
    }
    return Later(verified, baselines, figures)


def design_airfoils(options: AirfoilsOptions, progress: Progress) -> Verdict:
    """Do all of it, and leave the results in the output folder."""
    task = options.task()
    prior = load_prior(options.weights)
    if prior.route is not None:
        check_default(options, WALKED, OWN_LEVELS)
    folder = design_folder(options.out, FILES)
    clock, began = Clock(), time.perf_counter()
    drawn = make(options, task, prior, progress, clock)
    progress.stage("judging by the true solver, together and each alone")
    with clock.of("judging"):
        judged = task.judge(drawn.airfoils, options.cells, tell=progress.share)
    best = int(judged.drag_change.argmin())
    chosen = Airfoils(*(part[best : best + 1] for part in drawn.airfoils))
    later = judge_later(options, task, prior, judged, chosen, best, progress, clock)
    figures = {**figures_of(judged), **claims_of(drawn), **later.figures}
    verdict = Verdict(
        task=f"airfoils, {options.bodies} at Reynolds number {options.reynolds:g}",
        method=options.way,
        options=plain(options, () if prior.route is None else WALKED),
        seed=options.seed,
        versions={**versions(), "weights": fingerprint(load_tensors(options.weights)[0])},
        designs=options.designs,
        invalid_fraction=1 - judged.valid.mean().item(),
        figures=figures,
        bound=None,
        baselines=later.baselines,
        network_evaluations=options.candidates * drawn.evaluations,
        solver_calls=options.solver_calls,
        seconds={
            **clock.seconds,
            "network": drawn.network_seconds,
            "total": time.perf_counter() - began,
        },
        warnings=_warnings(judged, later.verified, best),
        files=FILES,
    )
    progress.stage("pictures, VTK series and the report")
    _write(folder, options, task, verdict, drawn, judged, best, progress)
    return verdict


def _warnings(judged: Judged, verified: dict[str, Judged], best: int) -> tuple[str, ...]:
    said = []
    gain = -float(judged.drag_change[best])
    for name, one in verified.items():
        other = -float(one.drag_change[0])
        if gain > 0 and abs(other - gain) > 0.2 * gain:
            where = "on finer cells" if name == "finer" else "in a larger domain"
            said.append(
                f"The best design's drag changes by {-100 * gain:.1f} % here and by "
                f"{-100 * other:.1f} % {where}: more than a fifth of the gain is the grid's."
            )
    invalid = int((judged.valid == 0).sum())
    if invalid:
        said.append(
            f"{invalid} of {len(judged.valid)} designs are not allowed (too thin, too small or "
            "too close) and count as no change."
        )
    return tuple(said)


def _write(
    folder: Path,
    options: AirfoilsOptions,
    task: Formations,
    verdict: Verdict,
    drawn: Drawn,
    judged: Judged,
    best: int,
    progress: Progress,
) -> None:
    clear(folder, FILES)
    write_json(folder / "config.json", verdict.options)
    verdict.save(folder / "verdict.json")
    write_designs(folder / "designs.h5", drawn, judged, verdict)
    write_csv(folder / "designs.csv", drawn, judged)
    write_sections(folder / "sections", drawn.airfoils)
    chosen = Airfoils(*(part[best : best + 1] for part in drawn.airfoils))
    case = Formation.of(chosen, options.reynolds, options.cells, folder / "flow")
    best_png = folder / "best.png"

    def film() -> None:
        simulate(case, Silent())

    def picture() -> None:
        airfoil_view.draw_best(best_png, task, chosen, judged, best, options.cells)

    workers.each(lambda make: make(), (film, picture), progress.share)
    airfoil_view.draw_designs(folder / "designs.png", drawn, judged)
    airfoil_view.draw_front(folder / "front.png", judged, verdict)
    change = verdict.figures["drag_change"]
    summary = (
        f"{options.designs} formations of {options.bodies} airfoils at a Reynolds number of "
        f"{options.reynolds:g}, drawn from a prior of one airfoil. By the true solver their drag "
        f"changes by {100 * change.mean:+.1f} % from what the same airfoils have alone at the same "
        f"lift (median {100 * change.median:+.1f} %, best {100 * judged.drag_change.min():+.1f} %)."
    )
    again = command("design airfoils", options)
    pictures = [
        Picture(folder / "best.png", "The best formation, and each of its airfoils alone: speed."),
        Picture(folder / "front.png", "Drag and lift of all designs, beside the same alone."),
        Picture(folder / "designs.png", "All designs, from the best to the worst."),
        Picture(folder / "flow" / "flow.gif", "The best formation: vorticity."),
        Picture(folder / "flow" / "sheet.png", "The best formation: vorticity and forces."),
    ]
    write_report(
        folder / "report.html", verdict, summary, again, pictures, MEANINGS, "drag_change"
    )
