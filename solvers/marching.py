"""A flow from one time to another: the checks at the door and on the way, and its gradient."""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from typing import TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.solvers.bodies import Body
from physgen.solvers.fluid import Fixed, Flow, FlowState
from physgen.solvers.immersion import Immersed

WEIGHT = 7
"""Memory that one step's derivative takes, in states: two that it keeps, and gaps between them."""
MEMORY = 1.6e9
"""Bytes of derivatives from which on steps are rather made once more."""
LOOKS = 25
"""Steps between two looks at whether the flow is still sound."""


def check(flow: Flow, immersed: Immersed, warn: bool = True) -> None:
    """Look at bodies before a run.

    Bodies that are thinner than the kernel are warned of, if wished: their forces depend on the
    grid.

    Raises:
        ValueError: bodies overlap or come too close, or one lies outside the domain or at a side.
    """
    if immersed.bodies == 0:
        return
    h, reach = flow.grid.spacing, flow.kernel.cells
    cells = immersed.distance / h
    nearest = cells.amin(1)
    rim = torch.cat([nearest[:, 0], nearest[:, -1], nearest[:, :, 0], nearest[:, :, -1]], 1)
    close = int(rim.amin(1).argmin())
    if float(rim.min()) < reach + 1.5:
        raise ValueError(
            f"a body of sample {close} comes within {float(rim.min()) + 0.5:.1f} cells of a side "
            f"of the domain, at least {reach + 2:g} are needed: move it, or widen the domain"
        )
    for body in range(immersed.bodies):
        depth = -cells[:, body].amin((1, 2))
        if float(depth.min()) < -0.71:
            raise ValueError(
                f"body {body} of sample {int(depth.argmin())} lies between the points of the "
                "grid or outside the domain: refine the grid, or move the body"
            )
        if warn and float(depth.min()) < reach:
            warnings.warn(
                f"body {body} of sample {int(depth.argmin())} is "
                f"{2 * max(float(depth.min()), 0):.1f} cells thick at its thickest, thinner than "
                f"the kernel ({2 * reach:g} cells): its force depends on the grid; refine it",
                stacklevel=2,
            )
    if immersed.bodies > 1:
        two = cells.topk(2, dim=1, largest=False).values.sum(1)
        gap, least = two.amin((1, 2)), 2 * reach + 2
        if float(gap.min()) < least:
            raise ValueError(
                f"bodies of sample {int(gap.argmin())} overlap or are only "
                f"{max(float(gap.min()), 0.0):.1f} cells apart, at least {least:g} are needed "
                "for their forces to be told apart: move them, or refine the grid"
            )


def sound(flow: Flow, state: FlowState) -> None:
    """Look at a state on the way.

    Raises:
        FloatingPointError: it is not finite, or faster than a flow of this inflow can be.
        ValueError: a fixed time step is too long.
    """
    top = torch.stack([state.u.abs().amax((1, 2)), state.v.abs().amax((1, 2))]).amax(0)
    bad = ~(top < 1e3 * max(flow.speed, 1e-30))
    time = float(state.time)
    if bool(bad.any()):
        raise FloatingPointError(
            f"the flow blew up: {int(bad.sum())} of {len(bad)} samples (first {int(bad.int().argmax())}) "
            f"are not finite or too fast at time {time:.4g} s: use a shorter time step or a finer grid"
        )
    if isinstance(flow.clock, Fixed):
        courant = flow.clock.dt * float(flow.fastest(state).max())
        # Viscosity alone is stable up to nu dt / h² = 1/4, which counts as 1.25 here.
        if courant > 1.3:
            raise ValueError(
                f"the time step {flow.clock.dt:g} s is too long: its Courant number is "
                f"{courant:.2f} at time {time:.4g} s, {flow.scheme.stable:g} is safe: use at most "
                f"{flow.clock.dt * flow.scheme.stable / courant:.3g} s"
            )


Watch = Callable[[FlowState], object]
Step = Callable[[FlowState, Immersed, Tensor], FlowState]


def silent(state: FlowState) -> None:
    """Watch nothing."""


@dataclass(frozen=True)
class Record:
    """The time and the forces of every step that it watches.

    They are kept as numbers: a small tensor that stays takes the head of memory that a field has
    given back, and no field fits there again, which came to a quarter of a field a step.
    """

    times: list[float] = field(default_factory=list)
    forces: list[list[list[list[float]]]] = field(default_factory=list)
    """Of each step ``[batch][body][2]``."""

    def __call__(self, state: FlowState) -> None:
        self.times.append(float(state.time))
        self.forces.append(state.force.tolist())

    def __len__(self) -> int:
        return len(self.times)

    @property
    def time(self) -> Float[Tensor, " step"]:
        """In double precision."""
        return torch.tensor(self.times, dtype=torch.float64)

    def force(self, like: Tensor, since: int = 0) -> Float[Tensor, "batch step body 2"]:
        """From a step on, in the precision and on the device of a tensor."""
        kept = torch.tensor(self.forces[since:], dtype=like.dtype, device=like.device)
        size = len(self.forces[0]), len(self.forces[0][0])  # no bodies at all, it may be
        return kept.view(-1 if size[1] else len(kept), *size, 2).movedim(0, 1)


class Course:
    """Bodies in a flow, stepped to any time; what moves is immersed anew at each step."""

    def __init__(
        self, flow: Flow, bodies: Body, like: Tensor, batch: int = 1, warn: bool = True
    ) -> None:
        """Look at the bodies at time zero; see :func:`check` for what is refused."""
        self.warn = warn
        self.flow, self.bodies, self.like, self.batch = flow, bodies, like, batch
        self._advance: Step = flow.advance
        self.immersed = self._at(0.0)
        check(flow, self.immersed, warn)

    def _at(self, time: float) -> Immersed:
        return self.flow.immerse(self.bodies.at(time), self.like, self.batch)

    def start(self, scalars: int = 0) -> FlowState:
        return self.flow.start(self.immersed, scalars)

    def compile(self) -> None:
        """Step by compiled code from now on: the first step then takes a minute or so.

        The code is for this size and these places of bodies. In one process torch compiles eight,
        and goes on without; ``torch.compiler.reset()`` lets it begin anew.
        """
        # Called by C++: Python between some forty kernels is a tenth of the time of 128 x 128 cells.
        step = torch.compile(Flow.advance, dynamic=False, options={"cpp_wrapper": True})
        self._advance = partial(step, self.flow)

    @torch.no_grad()
    def march(self, state: FlowState, until: float, watch: Watch = silent) -> FlowState:
        """Step until a time, which is met exactly: all steps on the way are shortened alike.

        The step is kept as long as it is stable: forces jump where it changes, as a body's
        boundary holds the flow within a step. So ask for times that lie many steps apart.

        ``watch`` sees the state after every step. No gradient is kept.

        Raises:
            FloatingPointError: the flow blew up, or the pressure did not converge.
            ValueError: a fixed time step is too long.
        """
        now, count, dt = float(state.time), 0, math.inf
        stride = state.u.new_tensor(dt)
        while until - now > 1e-9 * max(abs(until), 1e-30):
            longest = float(self.flow.clock.step(self.flow, state))
            if not (longest > 0 and math.isfinite(longest)):
                sound(self.flow, state)
            if dt > longest:
                # In single precision a fixed step of 0.35 s is 0.34999999 s, and none is added for it.
                steps = math.ceil((until - now) / self.flow.clock.rounded(longest) * (1 - 1e-6))
                dt = (until - now) / steps
                stride = state.u.new_tensor(dt)
            last = until - now < 1.5 * dt
            if self.bodies.moves:
                self.immersed = self._at(now + dt)
                check(self.flow, self.immersed, self.warn)
            state = self._advance(state, self.immersed, stride)
            now = until if last else now + dt
            # The step was rounded to the flow's precision; the time is not.
            state = state._replace(time=state.time.new_tensor(now))
            count += 1
            if count % LOOKS == 0:
                sound(self.flow, state)
            watch(state)
        sound(self.flow, state)
        return state


@torch.no_grad()
def refined(state: FlowState, flow: Flow, immersed: Immersed) -> FlowState:
    """A flow carried to cells of half the width, at time zero: a cheap way to be past the start.

    Velocity is linear between the faces it was known on.

    Arguments:
        state: On a grid with half as many cells along both axes as that of ``flow``.
        flow: Of the same domain.
        immersed: The same bodies on its grid.

    Raises:
        ValueError: the grids do not fit.
    """
    nx, ny = state.pressure.shape[1:]
    if (2 * nx, 2 * ny) != (flow.grid.nx, flow.grid.ny):
        raise ValueError(
            f"a flow of {nx} x {ny} cells can be carried to {2 * nx} x {2 * ny}, "
            f"got a grid of {flow.grid.nx} x {flow.grid.ny}"
        )
    u = _halved(_between(state.u, 1), 2)
    v = _halved(_between(state.v, 2), 1)
    return flow.begin(immersed, u, v)


def _between(field: Tensor, dim: int) -> Tensor:
    """Values at points, and half way between them."""
    first, last = field.narrow(dim, 0, field.shape[dim] - 1), field.narrow(dim, -1, 1)
    both = torch.stack([first, first + 0.5 * torch.diff(field, dim=dim)], dim + 1)
    return torch.cat([both.flatten(dim, dim + 1), last], dim)


def _halved(field: Tensor, dim: int) -> Tensor:
    """Values at middles of cells, at the middles of their halves; level at both ends."""
    n = field.shape[dim]
    wide = torch.cat([field.narrow(dim, 0, 1), field, field.narrow(dim, n - 1, 1)], dim)
    slope = 0.125 * (wide.narrow(dim, 2, n) - wide.narrow(dim, 0, n))
    return torch.stack([field - slope, field + slope], dim + 1).flatten(dim, dim + 1)


def differentiable(
    flow: Flow, state: FlowState, immersed: Immersed, steps: int, every: int | None = None
) -> tuple[FlowState, Float[Tensor, "batch steps body 2"]]:
    """``steps`` steps and the force at each, with a gradient that needs bounded memory.

    What a step leaves for its derivative takes :data:`WEIGHT` times a state. The last ``every``
    steps keep it. Of those before only each ``every``-th state is kept, and the steps between are
    made once more on the way back, which costs them another forward pass. By default ``every`` is
    what fits into :data:`MEMORY`, or what needs the least, the root of ``steps / WEIGHT``, if that
    is more.

    Raises:
        ValueError: no step is asked for.
    """
    if steps < 1:
        raise ValueError(f"a gradient needs at least one step, got {steps}")
    if every is None:
        size = sum(part.numel() * part.element_size() for part in state)
        every = max(1, round(max(MEMORY / (WEIGHT * size), math.sqrt(steps / WEIGHT))))
    # All that a gradient may be wanted of, apart from the state: numbers of the flow and bodies.
    wanted = _wanted((flow, immersed))
    apply: Callable[..., tuple[Tensor, ...]] = _Again.apply
    forces: list[Tensor] = []
    *before, last = (steps - 1) % every + 1, *[every] * ((steps - 1) // every)
    for count in before:
        *parts, found = apply(_stretch(flow, immersed, wanted, count), *state, *wanted)
        state = FlowState(*parts)
        forces.append(found)
    state, found = _stepped(flow, state, immersed, last)
    return state, torch.cat([*forces, found], 1)


def _stepped(
    flow: Flow, state: FlowState, immersed: Immersed, count: int
) -> tuple[FlowState, Float[Tensor, "batch count body 2"]]:
    forces = []
    for _ in range(count):
        state = flow.step(state, immersed)
        forces.append(state.force)
    return state, torch.stack(forces, 1)


def _stretch(
    flow: Flow, immersed: Immersed, wanted: list[Tensor], count: int
) -> Callable[..., tuple[Tensor, ...]]:
    """Some steps and their forces, as a function of a state's fields and the wanted tensors."""
    size = len(FlowState._fields)

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        own = dict(zip(map(id, wanted), tensors[size:], strict=True))
        inner_flow, inner_immersed = _exchanged((flow, immersed), own)
        state, forces = _stepped(inner_flow, FlowState(*tensors[:size]), inner_immersed, count)
        return (*state, forces)

    return run


class _Again(torch.autograd.Function):
    """A piece of work that keeps its inputs only, and is done again for its derivative."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        work: Callable[..., tuple[Tensor, ...]],
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.work = work  # type: ignore[attr-defined]
        ctx.save_for_backward(*tensors)
        # An output becomes part of the graph, so none may be a tensor that others hold.
        return tuple(one.clone() for one in work(*tensors))

    @staticmethod
    def backward(ctx, *gradients: Tensor):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        needed = ctx.needs_input_grad[1:]
        pairs = zip(ctx.saved_tensors, needed, strict=True)
        tensors = [one.detach().requires_grad_(need) for one, need in pairs]
        with torch.enable_grad():
            results = ctx.work(*tensors)
        kept = [(r, g) for r, g in zip(results, gradients, strict=True) if r.requires_grad]
        inputs = [one for one, need in zip(tensors, needed, strict=True) if need]
        found = iter(
            torch.autograd.grad(
                [r for r, _ in kept], inputs, [g for _, g in kept], allow_unused=True
            )
        )
        return (None, *(next(found) if need else None for need in needed))


def _wanted(part: object) -> list[Tensor]:
    """The tensors within dataclasses and tuples that want a gradient, each once."""
    if isinstance(part, Tensor):
        return [part] if part.requires_grad else []
    found: dict[int, Tensor] = {}
    for inner in _parts(part):
        found |= {id(one): one for one in _wanted(inner)}
    return list(found.values())


def _parts(part: object) -> list[object]:
    if isinstance(part, tuple):
        return list(part)
    if is_dataclass(part) and not isinstance(part, type):
        return [getattr(part, one.name) for one in fields(part)]
    return []


Part = TypeVar("Part")


def _exchanged(part: Part, own: Mapping[int, Tensor]) -> Part:
    """The same with other tensors in the place of some."""
    if isinstance(part, Tensor):
        return cast("Part", own.get(id(part), part))
    if not _wanted(part):
        return part
    if isinstance(part, tuple):
        return cast("Part", tuple(_exchanged(one, own) for one in part))
    names = [one.name for one in fields(cast("Flow", part))]
    changed = {name: _exchanged(getattr(part, name), own) for name in names}
    return cast("Part", replace(cast("Flow", part), **changed))
