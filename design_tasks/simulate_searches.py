r"""What else tells the future: nothing, the past, linear prediction, a surrogate, and solvers.

An ensemble of a solver begins at what was seen with as much noise again. Where the noise is a Gaussian of
known variance and nothing else is known of the start, its members are as far from one another as the
truth is from them, and the solver does the rest: the classical ensemble. Better starts are draws
from the posterior of the start, by the Gaussian of the attractor (*analysed*: what data assimilation
calls optimal interpolation) or by the prior, which also knows what is not Gaussian.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from physgen.corrected_windows import next_frame
from physgen.design_tasks.simulate import (
    AT_ONCE,
    POINTS,
    TRAINED,
    Ensembles,
    Flow,
    SimulateTask,
    States,
    data,
    trajectories,
)
from physgen.design_tasks.simulate_design import AT_ONCE as MEMBERS_AT_ONCE
from physgen.design_tasks.simulate_design import Walk, draw
from physgen.design_tasks.simulate_prior import SimulatePrior
from physgen.stationary import ring_fields, ring_modes
from physgen.verdict import Baseline, Figure

LATER = 10**6
"""Training seeds from which the climate is taken, behind those that priors are trained on."""
GRIDS = ((48, 0.5), (48, 0.25), (64, 1.0), (64, 0.5), (96, 0.5), (96, 0.25), (128, 0.1))
"""Points and time steps, in s, of coarse solvers."""

Starts = States
"""Of all members, those of one case side by side, over the spread."""


def perturbed(task: SimulateTask, count: int, generator: torch.Generator) -> Starts:
    """What was seen, with as much noise again."""
    seen = task.seen.repeat_interleave(count, 0)
    unit = torch.randn(seen.shape, generator=generator, dtype=seen.dtype)
    found: Starts = seen + task.noise * unit
    return found


def analysed(
    prior: SimulatePrior, task: SimulateTask, count: int, generator: torch.Generator
) -> Starts:
    r"""Draws of the start given what was seen of it, by the Gaussian of the attractor:
    :math:`g\, y_k` and variance :math:`g \sigma^2`, with :math:`g = \Sigma_k / (\Sigma_k + \sigma^2)`."""
    law = prior.base.first(1)
    seen = task.seen[:, None].repeat_interleave(count, 0)
    level = torch.full((1, 1), task.noise, dtype=seen.dtype)
    mean, left = law.clean(seen, level)
    unit = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
    found: Starts = (mean + ring_fields(left * ring_modes(unit), POINTS))[:, 0]
    return found


def solved(task: SimulateTask, starts: Starts, flow: Flow) -> Ensembles:
    """A solver's ensemble."""
    run = [flow.run(task.scale * part, task.frames) for part in starts.split(20 * AT_ONCE)]
    found: Ensembles = (torch.cat(run) / task.scale).unflatten(0, (len(task.seeds), -1))
    return found


@torch.no_grad()
def surrogate(prior: SimulatePrior, task: SimulateTask, starts: Starts) -> Ensembles:
    """The deterministic surrogate, frame after frame."""
    frames = [starts.float()]
    for _ in range(task.frames):
        parts = [next_frame(prior.surrogate, part) for part in frames[-1].split(MEMBERS_AT_ONCE)]
        frames.append(torch.cat(parts))
    found: Ensembles = torch.stack(frames, 1).unflatten(0, (len(task.seeds), -1))
    return found


def still(task: SimulateTask) -> Ensembles:
    """What was seen, for ever."""
    found: Tensor = task.seen[:, None, None].expand(-1, 1, task.frames + 1, -1)
    return found


def climate(task: SimulateTask, count: int) -> Ensembles:
    """States of the attractor, whatever was seen: as many trajectories of other starts."""
    known = trajectories(data(*TRAINED, task.frames), range(LATER, LATER + count)) / task.scale
    return known.expand(len(task.seeds), *known.shape)


@dataclass(frozen=True)
class Rival:
    """Another way to an ensemble, and the solver's runs it takes for each case."""

    run: Callable[[], Ensembles]
    calls: int = 0


def rivals(
    prior: SimulatePrior,
    task: SimulateTask,
    count: int,
    walk: Walk,
    begun: Starts,
    generator: torch.Generator,
) -> dict[str, Rival]:
    """All others, by name; those of the solver by its points and step as well.

    Arguments:
        begun: Starts that the prior drew.
    """
    found = {
        "nothing changes": Rival(lambda: still(task)),
        "climate": Rival(lambda: climate(task, count)),
        "linear prior": Rival(
            lambda: draw(prior, task, count, generator, walk, prior.gaussian).members
        ),
        "surrogate, one run": Rival(lambda: surrogate(prior, task, analysed_mean(prior, task))),
        "surrogate, ensemble": Rival(
            lambda: surrogate(prior, task, analysed(prior, task, count, generator))
        ),
    }
    for points, dt in GRIDS:
        found[f"solver {points} x {dt:g} s"] = _coarse(task, count, Flow(points, dt), generator)
    best = Flow(*TRAINED)
    found["solver, one run"] = Rival(lambda: solved(task, task.seen, best), 1)
    found["solver, analysed starts"] = Rival(
        lambda: solved(task, analysed(prior, task, count, generator), best), count
    )
    found["solver, prior's starts"] = Rival(lambda: solved(task, begun, best), count)
    return found


def _coarse(task: SimulateTask, count: int, flow: Flow, generator: torch.Generator) -> Rival:
    return Rival(lambda: solved(task, perturbed(task, count, generator), flow), count)


def analysed_mean(prior: SimulatePrior, task: SimulateTask) -> Starts:
    """The posterior mean of the start by the Gaussian of the attractor."""
    level = torch.full((1, 1), task.noise, dtype=task.seen.dtype)
    return prior.base.first(1).clean(task.seen[:, None], level)[0][:, 0]


@dataclass(frozen=True)
class Compared:
    """A baseline, and its ensemble for pictures."""

    baseline: Baseline
    members: Ensembles


def compare(
    others: dict[str, Rival],
    task: SimulateTask,
    figures: Callable[[Ensembles], dict[str, Figure]],
) -> tuple[dict[str, Compared], tuple[str, ...]]:
    """Every rival's figures, on all cases, and its seconds; and who left the finite numbers, as a solver
    on too coarse a grid may."""
    found, lost = {}, []
    for name, rival in others.items():
        began = time.perf_counter()
        members = rival.run()
        seconds = time.perf_counter() - began
        if not members.isfinite().all():
            lost.append(name)
            continue
        row = Baseline(figures(members), rival.calls, seconds, len(task.seeds))
        found[name] = Compared(row, members)
    return found, tuple(lost)
