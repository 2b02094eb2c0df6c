r"""Several airfoils in one stream, composed from the prior of one.

Each airfoil :math:`k` has a window, a body :math:`\psi_k` and a perturbation :math:`w_k` of *its*
background, the stream and what the others do to it:

.. math::
    p(\psi, w, c) \propto p(c) \prod_k p(\psi_k)\, p\Bigl(w_k \,\Big|\, \psi_k,\;
    b_k = U + \sum_{j \ne k} w_j(\cdot + c_k - c_j)\Bigr)

with places :math:`c`. Every factor is the prior of one airfoil in a disturbed stream; energies add.
As a perturbation is a function of body and background, a sample must be a fixed point of these
conditions, the method of reflections of Schwarz: the flow :math:`U + \sum_k w_k` is then at
rest on every body, and a follower is slowed by the wake that it flies in. From the front to the
back one sweep is nearly enough, as a wake goes one way; what goes upstream comes from the sweep
before. The work grows in proportion to the number of airfoils.

Placing one beside the other without a word between them (:class:`Superposed`) is what there is
to beat: the sum of flows that each would have alone.
"""

import abc
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.datasets.airfoil import WINDOW
from physgen.design_tasks.airfoil_decode import points
from physgen.design_tasks.airfoil_prior import SHAPE, AirfoilPrior, Estimate
from physgen.energy import Precision, Score
from physgen.layout import Layout
from physgen.options import check_least
from physgen.shapes import Level, Sample

Bodies = Float[Tensor, "batch body x y"]
Flows = Float[Tensor, "batch body 3 x y"]
Flow = Float[Tensor, "batch 3 x y"]
Levels = float | Float[Tensor, " body"]
Places = Float[Tensor, "batch body 2"]
Forces = Float[Tensor, "batch body 2"]


class Together(NamedTuple):
    """Airfoils in one stream, as the prior sees them."""

    body: Bodies
    """Clean images, scaled."""
    flow: Flows
    """What each adds to its background, in its own window."""
    force: Forces
    """Coefficients of drag and lift."""


def seen_from(flow: Float[Tensor, "batch 3 x y"], offset: Float[Tensor, "batch 2"]) -> Tensor:
    """A window's field in another window, whose airfoil is at ``offset`` from its own.

    Beyond its window a field goes on as it is at the border, as wakes do.
    """
    left, right, bottom, top = WINDOW
    grids = []
    for axis, (low, high) in enumerate(((left, right), (bottom, top))):
        cells = SHAPE[axis]
        own = (2 * torch.arange(cells, device=flow.device, dtype=flow.dtype) + 1) / cells - 1
        grids.append(own + 2 * offset[:, axis, None] / (high - low))
    x, y = grids
    count = len(flow)
    points = torch.stack(
        [y[:, None].expand(count, *SHAPE), x[:, :, None].expand(count, *SHAPE)], -1
    )
    return torch.nn.functional.grid_sample(
        flow, points, padding_mode="border", align_corners=False
    )


class Composition(abc.ABC):
    """How airfoils see one another."""

    @abc.abstractmethod
    def together(
        self,
        prior: AirfoilPrior,
        body: Bodies,
        level: Levels,
        place: Places,
        reynolds: float,
        before: Flows | None,
    ) -> Together:
        """The composed estimate.

        Arguments:
            prior: Of one airfoil.
            body: Scaled images with noise.
            level: Of the noise: one for all, or one for each body.
            place: Of each quarter point, in chords.
            reynolds: Of the chord.
            before: What each was last thought to do to its background, if anything.
        """


@dataclass(frozen=True)
class Superposed(Composition):
    """Each as if it were alone."""

    def together(
        self,
        prior: AirfoilPrior,
        body: Bodies,
        level: Levels,
        place: Places,
        reynolds: float,
        before: Flows | None,
    ) -> Together:
        count, bodies = body.shape[:2]
        flat = body.flatten(0, 1)
        calm = flat.new_zeros(len(flat), 3, *SHAPE)
        levels = levels_of(level, body).repeat(count)
        found = prior.estimate(flat, levels, calm, flat.new_full((len(flat),), reynolds))
        return Together(*(part.unflatten(0, (count, bodies)) for part in found))


@dataclass(frozen=True)
class Coupled(Composition):
    """Each in the stream and what the others add to it, from the first body to the last."""

    sweeps: int = 1
    shielded: bool = True
    """Whether what is ahead sees of what follows only how it parts the stream, not its wake."""

    def __post_init__(self) -> None:
        if self.sweeps < 1:
            raise ValueError(f"at least one sweep is needed, got {self.sweeps}")

    def together(
        self,
        prior: AirfoilPrior,
        body: Bodies,
        level: Levels,
        place: Places,
        reynolds: float,
        before: Flows | None,
    ) -> Together:
        count, bodies = body.shape[:2]
        numbers, levels = body.new_full((count,), reynolds), levels_of(level, body)
        flows: list[Tensor | None] = [None] * bodies
        if before is not None:
            flows = list(before.detach().unbind(1))
        found: list[Estimate] = []
        for _ in range(self.sweeps):
            found = []
            for k in range(bodies):
                background = body.new_zeros(count, 3, *SHAPE)
                for j, flow in enumerate(flows):
                    if j != k and flow is not None:
                        offset = place[:, k] - place[:, j]
                        seen = self.shown(flow, offset) if self.shielded else flow
                        background = background + seen_from(seen, offset)
                one = prior.estimate(body[:, k], levels[k].expand(count), background, numbers)
                flows[k] = one.flow
                found.append(one)
        return Together(*(torch.stack(part, 1) for part in zip(*found, strict=True)))

    def shown(self, flow: Flow, offset: Float[Tensor, "batch 2"]) -> Flow:
        """A flow without the airfoil's own wake, for one that is not behind it.

        What happens in that wake is the follower's answer to its own background; counted in the
        leader's as well it would be there twice.
        """
        x, y = (axis.to(flow) for axis in points())
        own = torch.sigmoid((x + 0.35) / 0.06) * torch.exp(-((y / 0.5) ** 4))
        ahead = torch.sigmoid(-offset[:, 0] / 0.15)[:, None, None]
        visible: Tensor = flow * (1 - ahead * own)[:, None]
        return visible


def levels_of(level: Levels, body: Bodies) -> Float[Tensor, " body"]:
    """The noise level of each body."""
    return torch.as_tensor(level, dtype=torch.float32, device=body.device).expand(body.shape[1])


@dataclass(frozen=True)
class PlaceLaw:
    """Where airfoils are before anything is wanted of them: each behind the one before."""

    gap: float = 1.6
    """Between quarter points along the stream, in chords."""
    spread: float = 0.4
    """Its standard deviation."""
    across: float = 0.2
    """Standard deviation across the stream."""

    def __post_init__(self) -> None:
        check_least(self, 0, "gap", "spread", "across")

    def of(self, unit: Float[Tensor, "batch step 2"]) -> Places:
        """Places from numbers of unit variance; the first is at (0, 0)."""
        scale = unit.new_tensor([self.spread, self.across])
        steps = unit.new_tensor([self.gap, 0.0]) + scale * unit
        first = steps.new_zeros(len(steps), 1, 2)
        return torch.cat([first, steps.cumsum(1)], 1)


class Formation(Score):
    """The composed density of bodies and places, with the flows and forces that go with them.

    A sample holds them all, by :attr:`layout`. What noise makes of its flows and forces is never
    looked at: clean ones are known from the bodies. Between calls it remembers the flows last
    found, for what goes upstream; make a new one for each draw.

    Arguments:
        prior: Of one airfoil.
        bodies: How many.
        reynolds: Of the chord.
        composition: How they see one another.
        law: Where they are.
        given: Scaled images of the first bodies, if these are known: then the others are drawn
            for them.
    """

    def __init__(
        self,
        prior: AirfoilPrior,
        bodies: int,
        reynolds: float,
        composition: Composition,
        law: PlaceLaw,
        given: Float[Tensor, "known x y"] | None = None,
    ) -> None:
        self.given = given
        self.prior, self.reynolds = prior, reynolds
        self.composition, self.law = composition, law
        self.layout = Layout(
            {
                "body": (bodies, *SHAPE),
                "step": (bodies - 1, 2),
                "force": (bodies, 2),
            }
        )
        self.before: Flows | None = None

    def shift(self, z: Sample, s: Level) -> Sample:
        level = float(s)
        parts = self.layout.split(z)
        step = parts["step"] / (1 + level**2)
        body = parts["body"]
        levels = body.new_full((body.shape[1],), level)
        if self.given is not None:
            known = len(self.given)
            levels[:known] = 0.0
            body = torch.cat([self.given.expand(len(z), -1, -1, -1), body[:, known:]], 1)
        found = self.composition.together(
            self.prior, body, levels, self.law.of(step), self.reynolds, self.before
        )
        self.before = found.flow.detach()
        clean = found.body
        if self.given is not None:
            clean = torch.cat([body[:, : len(self.given)], clean[:, len(self.given) :]], 1)
        return self.layout.join(body=clean, step=step, force=found.force) - z

    @property
    def marginal(self) -> bool:
        return False

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        bound = torch.full(shape, 1 / (1 + s**2))
        return Precision(bound, bound)
