"""Designs improved by the gradient of the true solver.

The flow around a design is carried from step to step of the descent, so a step needs no start from
rest: it goes on for a chord's time around the new shapes, and then for two more with a gradient of
the mean force. A call is one such stretch; it sees what a shape does within two chords' time, which
is its wake as far as the next airfoil.

A stretch has coarse cells and is short, which makes its lift wrong by a tenth. The gradient is
right all the same; and what the forces lack at the start, by one simulation as the judge makes it,
is added to those of all calls (an additive correction, Alexandrov et al., 2001,
https://doi.org/10.2514/2.2877). The best design met is hence the best as the judge would have it, as far
as the correction stays what it was.
"""

import math
import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from physgen import workers
from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks.airfoil_decode import (
    drawn,
    parameters_at,
    parameters_of,
    placed,
    unit_of,
)
from physgen.design_tasks.airfoil_price import Prices, crowding, price, smallness, thinness
from physgen.design_tasks.airfoil_prior import distance_of
from physgen.design_tasks.airfoils import Formations, clearance, portions
from physgen.progress import Progress
from physgen.search import adam
from physgen.shapes import PerSample
from physgen.solvers.fluid import Fixed, Flow, FlowState
from physgen.solvers.marching import Course, differentiable


@dataclass(frozen=True)
class Polish:
    """How the descent goes."""

    calls: int = 20
    """Of the solver with its gradient, for each design."""
    cells: int = 16
    """For a chord."""
    judge: int = 24
    """Cells of the simulation that the forces of the start are corrected by."""
    spin: float = 20.0
    """Chords of stream that pass before the first call."""
    settle: float = 1.0
    """Chords of stream that pass before the gradient is taken."""
    window: float = 2.0
    """Chords of stream over which it is."""
    rate: float = 0.12
    """Longest step, in standard deviations of real sections."""
    shift: float = 0.04
    """Longest step of a place, in chords."""


def polish(
    task: Formations, airfoils: Airfoils, prices: Prices, options: Polish, progress: Progress
) -> Airfoils:
    """The designs met with the lowest price, each on its own; those not allowed stay.

    Coarse cells tell bodies apart only if these are some cells apart: airfoils that are too close
    for that are drawn apart first.
    """
    task = replace(task, gap=max(task.gap, 4.5 / options.cells))
    lack = (task.gap + 0.01 - clearance(airfoils)).clamp(min=0).float()
    back = lack[:, None] * torch.arange(task.bodies).to(lack)
    airfoils = airfoils._replace(x=airfoils.x + back)
    allowed = task.violation(airfoils) == 0
    if not bool(allowed.any()):
        return airfoils
    some = Airfoils(*(part[allowed] for part in airfoils))
    work = portions(some, 2)
    found = workers.each(lambda part: _descend(task, part, prices, options), work, progress.share)
    better = Airfoils(*(torch.cat(column) for column in zip(*found, strict=True)))
    result = [part.clone() for part in airfoils]
    for part, new in zip(result, better, strict=True):
        part[allowed] = new
    return Airfoils(*result)


def _descend(task: Formations, airfoils: Airfoils, prices: Prices, options: Polish) -> Airfoils:
    count, bodies = airfoils.x.shape
    place = torch.stack([airfoils.x, airfoils.y], -1)
    own = Airfoils(*(part.flatten(0, 1)[:, None] for part in airfoils))
    parameters = parameters_of(own).unflatten(0, (count, bodies)).clone()
    parameters[..., 13:] = 0.0
    unit = unit_of(parameters)
    grid = task.grid(airfoils, options.cells, 1.0, spare=0.5)
    flow = Flow(grid, 1 / task.reynolds)
    like = unit.new_zeros(1)
    course = Course(flow, airfoils.bodies(), like, count, warn=False)
    state = course.march(course.start(), options.spin)
    believed = 2 * task.simulate(airfoils, options.judge).force
    lack: Tensor | None = None
    best_unit, best_place, best = unit, place, unit.new_full((count,), math.inf)
    memory = [torch.zeros_like(unit), torch.zeros_like(unit)]
    place_memory = [torch.zeros_like(place), torch.zeros_like(place)]
    for call in range(1, options.calls + 1):
        stretch = _priced(task, flow, state, unit, place, prices, options, believed, lack)
        cost, slopes, after, lack = stretch
        sound = torch.stack([cost.isfinite(), *(one.isfinite().all(2).all(1) for one in slopes)])
        if not bool(sound.all()):
            warnings.warn(SPOILED.format(call, int((~sound.all(0)).sum())), stacklevel=2)
        state, cost, slopes, lack = _mended(sound.all(0), state, after, cost, slopes, lack)
        better = cost < best
        best = torch.where(better, cost, best)
        best_unit = torch.where(better[:, None, None], unit, best_unit)
        best_place = torch.where(better[:, None, None], place, best_place)
        fade = 1 - 0.7 * (call - 1) / options.calls
        step = -options.rate * fade * adam(slopes[0], memory, call)
        move = -options.shift * fade * adam(slopes[1], place_memory, call)
        # A place is where the formation has it, and not moved within its window as well.
        step[..., 13:] = 0.0
        move[:, 0] = 0.0
        unit, place = within(task, unit, place, step, move)
    return placed(parameters_at(best_unit), best_place)


SPOILED = (
    "call {}: {} designs have a gradient that is not finite, and are not moved by it; if it goes "
    "on, take more cells"
)


def _mended(
    sound: Tensor,
    before: FlowState,
    after: FlowState,
    cost: PerSample,
    slopes: tuple[Tensor, ...],
    lack: Tensor,
) -> tuple[FlowState, PerSample, tuple[Tensor, ...], Tensor]:
    """A stretch, undone for the designs of which it found nothing that is finite."""

    def kept(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(sound.view(-1, *[1] * (new.ndim - 1)), new, old) if new.ndim else new

    state = FlowState(*(kept(new, old) for new, old in zip(after, before, strict=True)))
    none = [torch.zeros_like(one) for one in (*slopes, lack)]
    *still, lacking = (kept(one, zero) for one, zero in zip((*slopes, lack), none, strict=True))
    return state, torch.where(sound, cost, math.inf), tuple(still), lacking


def _priced(
    task: Formations,
    flow: Flow,
    state: FlowState,
    unit: Tensor,
    place: Tensor,
    prices: Prices,
    options: Polish,
    believed: Tensor,
    lack: Tensor | None,
) -> tuple[PerSample, tuple[Tensor, ...], FlowState, Tensor]:
    """The price of designs, its gradient, the flow that they leave, and what forces lack.

    Arguments:
        believed: Forces of the first of all designs.
        lack: What those of a stretch lack, or None for it to be found of this one.
    """
    unit, place = unit.detach().requires_grad_(), place.detach().requires_grad_()
    with torch.enable_grad():
        own = parameters_at(unit)
        airfoils = placed(own, place)
        immersed = flow.immerse(airfoils.bodies(), unit)
    with torch.no_grad():
        course = Course(flow, airfoils.bodies(), unit, len(unit), warn=False)
        state = flow.begin(course.immersed, state.u, state.v)
        state = course.march(state, options.settle)
        dt = 0.8 * float(flow.clock.step(flow, state))
    steps = max(8, round(options.window / dt))
    steady = Flow(flow.grid, flow.viscosity, clock=Fixed(options.window / steps))
    with torch.enable_grad():
        state, force = differentiable(steady, state, immersed, steps)
        mean = 2 * force[:, steps // 2 :].mean(1)
        lack = (believed - mean).detach() if lack is None else lack
        cost = price(task, prices, mean + lack)
        distance = distance_of(drawn(own.flatten(0, 1)).unflatten(0, own.shape[:2]))
        shape = prices.gap * crowding(task, distance, place)
        shape = shape + prices.area * smallness(task, distance)
        shape = shape + prices.thin * thinness(task, own)
        shape = shape + prices.faith * unit.square().sum((1, 2))
        slopes = torch.autograd.grad((cost + shape).sum(), [unit, place], materialize_grads=True)
    parts = (part.detach() for part in state)
    return (cost + shape).detach(), slopes, FlowState(*parts), lack


def within(
    task: Formations, unit: Tensor, place: Tensor, step: Tensor, move: Tensor
) -> tuple[Tensor, Tensor]:
    """The step, halved for each design until it is allowed; none if nothing helps."""
    share = unit.new_ones(len(unit), 1, 1)
    for _ in range(4):
        trial = unit + share * step, place + share * move
        bad = task.violation(placed(parameters_at(trial[0]), trial[1])) > 0
        if not bool(bad.any()):
            return trial
        share = torch.where(bad[:, None, None], 0.5 * share, share)
    share = torch.where(bad[:, None, None], 0.0, share)
    return unit + share * step, place + share * move
