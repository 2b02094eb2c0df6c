"""``physgen design nbody``: draw, polish, judge, compare, show."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch

from physgen.asked import among
from physgen.checkpoint import fingerprint, load_tensors
from physgen.design_tasks import nbody_view
from physgen.design_tasks.nbody import VARIANTS, Design, Judged, Motion, NBody
from physgen.design_tasks.nbody_cindm import draw_cindm
from physgen.design_tasks.nbody_costs import Prices
from physgen.design_tasks.nbody_design import (
    SILENT,
    Composition,
    Descent,
    Drawn,
    FactorGraph,
    MeanOfPairs,
    SumOfPairs,
    draw,
    windows,
)
from physgen.design_tasks.nbody_prior import WEIGHTS, load_prior
from physgen.distillation import Student
from physgen.energy import Score
from physgen.options import check_default, command, plain
from physgen.progress import Progress
from physgen.report import Picture, write_report
from physgen.results import clear, design_folder
from physgen.rounds import OWN_LEVELS
from physgen.search import Found, best_of, polish
from physgen.verdict import Baseline, Figure, Verdict, figure, versions

METHODS: dict[str, Composition] = {
    "factor": FactorGraph(),
    "mean": MeanOfPairs(),
    "sum": SumOfPairs(),
}
"""Compositions of the prior; ``cindm`` is the published procedure."""
WALKED = ("descent.steps", "descent.highest", "descent.lowest")
"""Options that a distilled prior, which has levels of its own, does not heed."""


@dataclass(frozen=True)
class NBodyOptions:
    """Place and push discs so that they end close to the centre of their box."""

    bodies: int = 4
    """How many discs, from 2 to 8."""
    frames: int = 24
    """Instants, 1/15 s apart: 24, 34, 44, …"""
    designs: int = 100
    """How many designs to draw."""
    seed: int = 0
    """Seed of everything random."""
    variant: Annotated[str, among(VARIANTS)] = "classic"
    """classic (a start may rest) or moving (every disc starts at 100 px/s)."""
    method: Annotated[str, among((*METHODS, "cindm"))] = "factor"
    """factor, mean or sum of the pairs' scores, or cindm, the published procedure."""
    polish: int = 0
    """Simulations to spend on each design to improve it by the solver's gradient."""
    prices: Prices = field(default_factory=Prices)
    """Weights of the costs."""
    descent: Descent = field(default_factory=Descent)
    """Noise levels."""
    baselines: int = 20
    """Designs for which the random and CMA-ES searches are run; 0 for none."""
    weights: Path = WEIGHTS
    """The trained prior, or a distilled one, which has levels of its own."""
    out: Path = Path("runs/nbody")
    """Folder for verdict, designs, pictures and report."""

    def task(self) -> NBody:
        """What is asked.

        Raises:
            ValueError: an option is out of its range.
        """
        if self.variant not in VARIANTS:
            raise ValueError(f"variant must be one of {sorted(VARIANTS)}, got {self.variant!r}")
        if self.method not in (*METHODS, "cindm"):
            raise ValueError(f"method must be one of {[*METHODS, 'cindm']}, got {self.method!r}")
        for name, least in (("designs", 1), ("polish", 0), ("baselines", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if 0 < self.polish <= self.descent.candidates:
            raise ValueError(
                f"polish must be more than candidates, {self.descent.candidates}, which take one "
                f"simulation each, got {self.polish}"
            )
        windows(self.frames)
        return NBody(self.bodies, self.frames, VARIANTS[self.variant])


def generate(options: NBodyOptions, task: NBody, prior: Score, progress: Progress) -> Drawn:
    """The designs of the chosen method, no solver asked; all candidates if it will be."""
    generator = torch.Generator().manual_seed(options.seed)
    if options.method == "cindm":
        return draw_cindm(prior, task, options.designs, generator, progress)
    count, descent = options.designs, options.descent
    if options.polish:
        count, descent = count * descent.candidates, replace(descent, candidates=1)
    composition = METHODS[options.method]
    drawn = draw(prior, task, count, generator, composition, options.prices, descent, progress)
    share = count / options.designs
    return replace(drawn, evaluations=share * drawn.evaluations)


def compare(task: NBody, designs: int, seed: int, polish: int) -> dict[str, Baseline]:
    """Searches on the true solver: random, best of a thousand, CMA-ES, and polish by itself."""
    generator = torch.Generator().manual_seed(seed)

    def random() -> Found:
        design = task.random(max(designs, 500), generator)
        return Found(design, task.objective(design), 0)

    def best() -> Found:
        return best_of(task.random, task.objective, designs, 1000, generator)

    searches = {
        "random": random,
        "best of 1000": best,
        "CMA-ES": lambda: task.evolve(designs, generator),
    }
    if polish:
        start = task.random(designs, generator)
        searches[f"random + {polish} polish"] = lambda: polished(task, start, polish)
    return {name: _baseline(task, search) for name, search in searches.items()}


def _baseline(task: NBody, search: Callable[[], Found]) -> Baseline:
    began = time.perf_counter()
    found = search()
    seconds = time.perf_counter() - began
    figures = {
        "objective": figure(found.cost, "boxes"),
        "objective_fine": figure(task.objective_fine(found.design), "boxes"),
    }
    return Baseline(figures, found.calls, seconds, len(found.cost))


def design_nbody(options: NBodyOptions, progress: Progress = SILENT) -> Verdict:
    """Do all of it, and leave the results in the output folder."""
    task = options.task()
    prior = load_prior(options.weights)
    if isinstance(prior, Student):
        check_default(options, WALKED, OWN_LEVELS)
    folder = design_folder(options.out, FILES)
    began = time.perf_counter()
    progress.stage(
        f"drawing {options.designs} designs of {options.bodies} bodies by {options.method}"
    )
    drawn = generate(options, task, prior, progress)
    sampled = time.perf_counter()
    motion = drawn.motion
    if options.polish:
        progress.stage(f"polishing with {options.polish} simulations a design")
        candidates = len(motion) // options.designs
        found = polished(task, motion[:, 0], options.polish, candidates)
        motion = task.simulate(found.design)
    judging = time.perf_counter()
    progress.stage("judging by the true solver")
    judged = task.judge(motion)
    done = time.perf_counter()
    baselines = {}
    if options.baselines:
        progress.stage(f"searching on the true solver for {options.baselines} designs, to compare")
        baselines = compare(task, options.baselines, options.seed + 1, options.polish)
    verdict = Verdict(
        task=f"nbody {options.variant}, {options.bodies} bodies, {options.frames} instants",
        method=options.method + (f" + {options.polish} polish" if options.polish else ""),
        options=plain(options, WALKED if isinstance(prior, Student) else ()),
        seed=options.seed,
        versions={**versions(), "weights": fingerprint(load_tensors(options.weights)[0])},
        designs=options.designs,
        invalid_fraction=(judged.violation > 0).float().mean().item(),
        figures=_figures(judged),
        bound=task.bound,
        baselines=baselines,
        network_evaluations=drawn.evaluations,
        solver_calls=options.polish,
        seconds={
            "sampling": sampled - began,
            "network": drawn.network_seconds,
            "polishing": judging - sampled,
            "judging": done - judging,
            "total": time.perf_counter() - began,
        },
        warnings=_warnings(task, judged),
        files=FILES,
    )
    progress.stage("writing pictures, VTK series and the report")
    _write(folder, options, verdict, motion, judged)
    return verdict


FILES = (
    "config.json",
    "verdict.json",
    "report.html",
    "designs.h5",
    "designs.csv",
    "trajectories.png",
    "objective.png",
    "design.gif",
    "generated.pvd",
    "simulated.pvd",
    "box.vtp",
)

MEANINGS = {
    "objective": "Distance of a disc to the centre at the last instant, averaged over discs.",
    "objective_fine": "The same with a time step eight times finer.",
    "objective_claimed": "The same of the motion that the prior drew.",
    "mae": "Mean absolute difference between the motion drawn and the simulated one.",
    "mae_published": "The same as the published evaluation reads it, one solver step early.",
    "speed": "Mean first speed of the discs.",
}
"""Of figures, for the report."""


def polished(task: NBody, design: Design, calls: int, candidates: int = 1) -> Found:
    """The best of every so many candidates in a row, improved by the solver's gradient.

    Arguments:
        calls: Simulations for each design that is kept, one for each candidate included.
    """
    if candidates > 1:
        cost = task.objective(design).view(-1, candidates)
        rows = torch.arange(len(cost))
        design = design.unflatten(0, (-1, candidates))[rows, cost.argmin(1)]
        calls -= candidates
    target = 0.8 * (task.bound or 0.0)
    found = polish(task.objective, design, target, calls, task.variant.allowed)
    return replace(found, calls=calls + (candidates if candidates > 1 else 0))


def _figures(judged: Judged) -> dict[str, Figure]:
    boxes = ("objective", "objective_fine", "objective_claimed", "mae", "mae_published")
    figures = {name: figure(getattr(judged, name), "boxes") for name in boxes}
    return {**figures, "speed": figure(judged.speed, "boxes/s", None)}


def _warnings(task: NBody, judged: Judged) -> tuple[str, ...]:
    claimed, true = judged.objective_claimed.mean().item(), judged.objective.mean().item()
    said = []
    if task.bound is not None and claimed < task.bound - 0.005:
        said.append(
            f"The prior's own objective, {claimed:.4f}, is below the bound {task.bound:.4f}: "
            "guidance exploits the prior. Lower the price of the objective."
        )
    if true > claimed + 0.05:
        said.append(
            f"The true solver finds {true:.4f} where the prior claimed {claimed:.4f}: "
            "these designs are beyond what the prior knows."
        )
    if judged.speed.mean() < 0.1:
        said.append(
            "Most designs hardly move. The classic problem allows that, and its optimum is at "
            "rest; for a problem without this way out see the moving variant."
        )
    return tuple(said)


def _write(
    folder: Path, options: NBodyOptions, verdict: Verdict, motion: Motion, judged: Judged
) -> None:
    """Everything there is to look at."""
    from physgen.design_tasks.nbody_files import write_csv, write_designs
    from physgen.files import write_json

    clear(folder, FILES)
    write_json(folder / "config.json", verdict.options)
    write_designs(folder / "designs.h5", motion, judged, verdict)
    write_csv(folder / "designs.csv", judged)
    nbody_view.draw_trajectories(folder / "trajectories.png", motion, judged)
    nbody_view.draw_distribution(folder / "objective.png", verdict, judged.objective)
    nbody_view.animate(folder / "design.gif", motion, judged)
    best = judged.objective.argsort()[:4].tolist()
    motions = {"generated": motion, "simulated": judged.simulated}
    nbody_view.write_vtk(folder, motions, best)
    found = verdict.figures["objective"]
    summary = (
        f"{verdict.designs} designs of {options.bodies} discs over {options.frames} instants, "
        f"drawn from a prior of two discs over 24. The true solver puts them at {found} from "
        "the centre."
    )
    pictures = [
        Picture(folder / "design.gif", "Generated discs (outlines) over simulated ones (filled)."),
        Picture(folder / "trajectories.png", "Designs from the best to the worst."),
        Picture(folder / "objective.png", "All designs, beside the bound and the baselines."),
    ]
    again = command("design nbody", options)
    write_report(folder / "report.html", verdict, summary, again, pictures, MEANINGS)
    verdict.save(folder / "verdict.json")
