"""``physgen design burgers-tracking``: act, see, act again; compare, show."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from physgen.asked import among
from physgen.checkpoint import fingerprint
from physgen.datasets import store
from physgen.datasets.burgers_control import Driven, stored
from physgen.design_tasks.burgers_tracking import (
    REACHES,
    SECONDS,
    BurgersTracking,
    Controller,
    Tracked,
)
from physgen.design_tasks.burgers_tracking_controllers import (
    Asynchronous,
    Idle,
    Receding,
    Recorded,
    Replanned,
    Sampled,
    tuned,
)
from physgen.design_tasks.burgers_tracking_prior import HORIZON, WEIGHTS, load_prior
from physgen.files import write_json
from physgen.options import command, plain
from physgen.progress import Progress, Silent
from physgen.results import clear, design_folder
from physgen.verdict import Baseline, Figure, Verdict, figure, versions


@dataclass(frozen=True)
class TrackingOptions:
    """Make a velocity between walls follow another one under noise (CL-DiffPhyCon's problem)."""

    reach: Annotated[str, among(REACHES)] = "full"
    """full or outer: where a force may act, everywhere or in the outer quarters."""
    targets: int = 50
    """Test trajectories to follow."""
    intervals: int = 10 * SECONDS
    """Of a tenth of a second, for which to follow them."""
    noise: float = 0.05
    """Standard deviation of what each interval adds to the velocity, as a share of its spread."""
    seed: int = 0
    """Of the noise that windows are drawn from; targets have seeds of their own."""
    skip: int = 0
    """Test targets to leave out before the first."""
    evaluations: int = 1
    """Of the network for each interval."""
    first: int | None = None
    """Of the network for the first window; fourteen times those for an interval, if not given."""
    baselines: bool = True
    """Whether to let other controllers follow the same targets under the same noise; L-BFGS through
    the solver in every interval takes longest."""
    gradients: int = 10
    """Of L-BFGS for each interval."""
    ahead: int = 4
    """Intervals that L-BFGS looks ahead."""
    weights: Path = WEIGHTS
    """The trained prior."""
    out: Path = Path("runs/burgers-tracking")
    """Folder for verdict, trajectories, picture and report."""

    def __post_init__(self) -> None:
        if self.reach not in REACHES:
            raise ValueError(f"reach must be one of {list(REACHES)}, got {self.reach!r}")
        for name, least in (
            ("targets", 1),
            ("evaluations", 1),
            ("gradients", 1),
            ("ahead", 1),
            ("skip", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.first is not None and self.first < 1:
            raise ValueError(f"first must be at least 1, got {self.first}")

    def world(self) -> BurgersTracking:
        reach = REACHES[self.reach]
        return BurgersTracking(reach, self.targets, self.intervals, self.noise, self.skip)


def design_tracking(options: TrackingOptions, progress: Progress | None = None) -> Verdict:
    """Do all of it, and leave the results in the output folder."""
    progress = Silent() if progress is None else progress
    model = load_prior(options.weights)
    folder = design_folder(options.out, FILES)
    began = time.perf_counter()
    progress.stage(f"simulating {options.targets} test trajectories")
    world = options.world()
    generator = torch.Generator().manual_seed(options.seed)
    own = Asynchronous(model, world.reach, generator, options.evaluations, options.first)
    progress.stage(f"following them for {options.intervals} intervals")
    found = world.run(own)
    verdict = Verdict(
        task=f"burgers-tracking {world.reach.name}: {world.reach.about}",
        method=NAME,
        options=plain(options),
        seed=options.seed,
        versions={**versions(), "weights": fingerprint(model.state_dict())},
        designs=options.targets,
        invalid_fraction=0.0,
        figures=_figures(found, own.evaluations / options.intervals),
        bound=None,
        baselines={},
        network_evaluations=own.evaluations,
        solver_calls=0,
        seconds={"sampling": found.seconds, "total": time.perf_counter() - began},
        warnings=_warnings(world),
        files=FILES,
    )
    _write(folder, verdict, world, found)
    verdict.save(folder / "verdict.json")  # whatever becomes of the baselines
    verdict, curves = _compared(options, world, model, verdict, found, began, progress)
    progress.stage("writing picture and the report")
    _show(folder, options, verdict, world, found, {**curves, NAME: found})
    verdict.save(folder / "verdict.json")
    return verdict


def _compared(
    options: TrackingOptions,
    world: BurgersTracking,
    model: torch.nn.Module,
    verdict: Verdict,
    found: Tracked,
    began: float,
    progress: Progress,
) -> tuple[Verdict, dict[str, Tracked]]:
    """The verdict with its baselines, and what came of them."""
    if not options.baselines:
        return verdict, {}
    progress.stage("tuning feedback on training trajectories")
    rivals = _rivals(options, world, model)
    progress.stage("following them by other controllers, to compare")
    others = world.side_by_side(list(rivals.values()))
    curves = dict(zip(rivals, others, strict=True))
    baselines = {
        name: _baseline(options, rivals[name], curve, found) for name, curve in curves.items()
    }
    seconds = {**verdict.seconds, "total": time.perf_counter() - began}
    return replace(verdict, baselines=baselines, seconds=seconds), curves


NAME = "moved window"
FILES = (
    "config.json",
    "verdict.json",
    "report.html",
    "tracked.h5",
    "tracking.png",
    "vtk/fields.pvd",
)

MEANINGS = {
    "objective": "Mean square distance to the wanted velocity, over intervals and observed points.",
    "energy": "Sum of the squared force over intervals and points.",
    "evaluations": "Of the network.",
}
"""Of figures, for the report."""


def _warnings(world: BurgersTracking) -> tuple[str, ...]:
    """What a reader of the figures should know."""
    if not world.floor:
        return ()
    floor = f"{world.floor:.1e} m²/s²"
    return (f"No control undoes noise that has just come, which alone misses by {floor}.",)


def _figures(found: Tracked, evaluations: float) -> dict[str, Figure]:
    """Of all targets; evaluations are those of the network for each interval."""
    each = torch.full_like(found.objective, evaluations)
    return {
        "objective": figure(found.objective, "m²/s²"),
        "energy": figure(found.energy, "m²/s⁴"),
        "evaluations": figure(each, "an interval"),
    }


def _rivals(
    options: TrackingOptions, world: BurgersTracking, model: torch.nn.Module
) -> dict[str, Controller]:
    """Other controllers, by their names in the table."""
    reach = world.reach

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(options.seed)

    return {
        "no control": Idle(),
        "true force, unseen noise": Recorded(world.force),
        "PID": tuned(reach, options.noise),
        f"window anew, every {HORIZON}": Replanned(model, reach, generator(), every=HORIZON),
        "window anew, in 1": Replanned(model, reach, generator(), evaluations=1),
        f"window anew, in {HORIZON}": Replanned(model, reach, generator()),
        f"{NAME}, in 4": Asynchronous(model, reach, generator(), evaluations=4),
        f"L-BFGS, {options.gradients} each, {options.ahead} ahead": Receding(
            reach, options.gradients, options.ahead
        ),
    }


def _baseline(
    options: TrackingOptions, controller: Controller, there: Tracked, found: Tracked
) -> Baseline:
    """What another controller makes of the targets, and how much more it misses by, paired."""
    asked = controller.evaluations if isinstance(controller, Sampled) else 0
    figures = {
        **_figures(there, asked / options.intervals),
        "objective_above": figure(there.objective - found.objective, "m²/s²"),
    }
    calls = options.gradients * options.intervals if isinstance(controller, Receding) else 0
    return Baseline(figures, calls, there.seconds, options.targets)


def _write(folder: Path, verdict: Verdict, world: BurgersTracking, found: Tracked) -> None:
    clear(folder, FILES)
    write_json(folder / "config.json", verdict.options)
    recipe = {"options": verdict.options, "versions": verdict.versions}
    quality = {"objective": _column(found.objective)}
    driven = Driven(found.velocity, found.force)
    store.write(folder / "tracked.h5", stored(driven, np.array(world.seeds), recipe, quality))


def _show(
    folder: Path,
    options: TrackingOptions,
    verdict: Verdict,
    world: BurgersTracking,
    found: Tracked,
    curves: dict[str, Tracked],
) -> None:
    from physgen.design_tasks.burgers_files import write_series
    from physgen.design_tasks.burgers_tracking_view import draw_tracking
    from physgen.report import Picture, write_report

    middling = found.middling
    draw_tracking(folder / "tracking.png", world, found, curves)
    values = {
        "velocity": found.velocity[middling, None],
        "wanted_velocity": torch.cat([world.first[middling, None], world.wanted[middling]])[None],
        "force": found.force[middling, None],
    }
    write_series(folder / "vtk", "burgers-tracking", values, world.seeds[middling])
    summary = (
        f"{verdict.designs} velocities follow theirs for {options.intervals} intervals under "
        f"noise, each force after {options.evaluations} evaluations of the prior, and miss "
        f"them by {verdict.figures['objective']} m²/s² in the mean square."
    )
    about = "The middling target: what is wanted, what follows, its force; misses over time."
    pictures = [Picture(folder / "tracking.png", about)]
    again = command("design burgers-tracking", options)
    write_report(folder / "report.html", verdict, summary, again, pictures, MEANINGS)


def _column(values: Tensor) -> np.ndarray:
    column: np.ndarray = values.double().numpy()
    return column
