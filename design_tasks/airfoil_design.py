"""Designs of airfoils from the composed prior: drawn, decoded, and refined by the prior."""

import math
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from physgen import workers
from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks.airfoil_decode import (
    Parameters,
    decode,
    drawn,
    parameters_at,
    parameters_of,
    placed,
    unit_of,
)
from physgen.design_tasks.airfoil_formation import (
    Composition,
    Coupled,
    Formation,
    PlaceLaw,
    Together,
)
from physgen.design_tasks.airfoil_price import Prices, crowding, price, smallness, thinness
from physgen.design_tasks.airfoil_prior import AirfoilPrior, distance_of
from physgen.design_tasks.airfoils import Formations
from physgen.grid import Grid, log_snr
from physgen.guidance import Capped, Guided
from physgen.predictor import Ancestral
from physgen.progress import Progress, Silent
from physgen.sampler import sample, unit_noise
from physgen.search import adam
from physgen.shapes import PerSample

SILENT = Silent()


@dataclass(frozen=True)
class Descent:
    """Noise levels, and what follows them."""

    steps: int = 20
    """Levels; a distilled prior has its own."""
    low: float = 0.05
    high: float = 40.0
    refine: int = 16
    """Steps down the price by the prior's gradient, of the decoded airfoils themselves."""

    @property
    def grid(self) -> Grid:
        return log_snr(self.steps, self.low, self.high)


COUPLED, PRICES, DESCENT, LAW = Coupled(), Prices(), Descent(), PlaceLaw()


@dataclass(frozen=True)
class Drawn:
    """Designs from the prior."""

    airfoils: Airfoils
    claimed: Float[Tensor, "design body 2"]
    """Forces that the prior expects."""
    flow: Float[Tensor, "design body 3 x y"]
    """What each airfoil adds to its stream, as the prior expects."""
    refit: Float[Tensor, "design body"]
    """How far, in chords, decoded airfoils are from the images they were decoded from."""
    evaluations: float
    """Of the network, for each airfoil."""
    seconds: float
    network_seconds: float

    def some(self, which: Tensor) -> "Drawn":
        """Those of some numbers."""
        return replace(
            self,
            airfoils=Airfoils(*(part[which] for part in self.airfoils)),
            claimed=self.claimed[which],
            flow=self.flow[which],
            refit=self.refit[which],
        )


def draw(
    prior: AirfoilPrior,
    task: Formations,
    designs: int,
    generator: torch.Generator,
    composition: Composition = COUPLED,
    prices: Prices | None = PRICES,
    descent: Descent = DESCENT,
    law: PlaceLaw = LAW,
    progress: Progress = SILENT,
    leader: Parameters | None = None,
) -> Drawn:
    """Designs, no solver asked.

    Arguments:
        prior: Of one airfoil.
        task: What is wanted.
        designs: How many.
        generator: Source of everything random.
        composition: How airfoils see one another.
        prices: What is wanted of them, or None for formations as the prior has them.
        descent: Noise levels and refinement.
        law: Where airfoils are.
        progress: Told the share that is done.
        leader: The first airfoils, if these are given: the others are designed for them.
    """
    began = time.perf_counter()
    counts = [min(PORTION, designs - first) for first in range(0, designs, PORTION)]
    size = (len(counts),)
    seeds = torch.randint(2**62, size, generator=generator, device=generator.device).tolist()
    work = [
        _Portion(prior.metered(), task, count, seed, composition, prices, descent, law, leader)
        for count, seed in zip(counts, seeds, strict=True)
    ]
    parts = workers.each(_Portion.draw, work, progress.share)
    threads = min(torch.get_num_threads(), len(work))
    airfoils = Airfoils(*(torch.cat(c) for c in zip(*(p.airfoils for p in parts), strict=True)))
    return Drawn(
        airfoils,
        torch.cat([part.claimed for part in parts]),
        torch.cat([part.flow for part in parts]),
        torch.cat([part.refit for part in parts]),
        sum(part.rows for part in parts) / (designs * task.bodies),
        time.perf_counter() - began,
        sum(part.seconds for part in parts) / threads,
    )


COARSELY = 25
"""Vertices on each side of an airfoil while it is refined: 1e-4 of its image in the mean square."""
PORTION = 10
"""Designs that are drawn together, by one thread; the first of many are those of few."""


class _Drawn(NamedTuple):
    airfoils: Airfoils
    claimed: Tensor
    flow: Tensor
    refit: Tensor
    rows: int
    """Images that the prior was asked for."""
    seconds: float
    """That took."""


@dataclass(frozen=True)
class _Portion:
    """Some designs, from a seed of their own."""

    prior: AirfoilPrior
    task: Formations
    count: int
    seed: int
    composition: Composition
    prices: Prices | None
    descent: Descent
    law: PlaceLaw
    leader: Parameters | None

    def draw(self) -> _Drawn:
        prior, task, law = self.prior, self.task, self.law
        generator = torch.Generator(prior.device).manual_seed(self.seed)
        given = None if self.leader is None else prior.scaled_body(drawn(self.leader))
        formation = Formation(prior, task.bodies, task.reynolds, self.composition, law, given)
        layout = formation.layout
        grid = self.descent.grid if prior.route is None else prior.route.grid
        term: Guided | Formation = formation
        if self.prices is not None:
            prices = self.prices
            term = Guided(
                formation,
                lambda x: cost_of(task, prices, prior, law, layout.split(x)),
                Capped(prices.weight, prices.share, 0.05),
            )
        start = unit_noise(self.count, (layout.size,), generator)
        parts = layout.split(sample(term, start, grid, Ancestral(), generator))
        body = prior.physical_body(parts["body"])
        decoded = decode(body.flatten(0, 1))
        parameters = parameters_of(decoded.airfoils).float().unflatten(0, body.shape[:2])
        refit = decoded.error.unflatten(0, body.shape[:2]).float()
        if self.leader is not None:
            parameters[:, : len(self.leader)] = self.leader
        place = law.of(parts["step"])
        if self.prices is not None and self.descent.refine:
            parameters, place = self._refined(parameters, place, self.prices)
        airfoils = placed(parameters, place)
        found = expected(prior, task, airfoils, self.composition)
        account = prior.account
        return _Drawn(airfoils, found.force, found.flow, refit, account.rows, account.seconds)

    def _refined(self, parameters: Tensor, place: Tensor, prices: Prices) -> tuple[Tensor, Tensor]:
        """Decoded airfoils moved down the price, as the prior's forces have it.

        Adam's steps in units of real sections' spreads, held to the law of real sections. The
        best met is kept.
        """
        prior, task, steps = self.prior, self.task, self.descent.refine
        unit, here = unit_of(parameters).detach(), place.detach()
        free = unit.new_ones(task.bodies, 1)
        free[: 0 if self.leader is None else len(self.leader)] = 0
        best_unit, best_place = unit, here
        least = unit.new_full((len(unit),), math.inf)
        moments = [torch.zeros_like(unit), torch.zeros_like(unit)]
        place_moments = [torch.zeros_like(here), torch.zeros_like(here)]
        before: Tensor | None = None
        for step in range(1, steps + 1):
            unit, here = unit.detach().requires_grad_(), here.detach().requires_grad_()
            with torch.enable_grad():
                own = parameters_at(unit)
                image = drawn(own.flatten(0, 1), COARSELY).unflatten(0, own.shape[:2])
                distance, scaled = distance_of(image), prior.scaled_body(image)
                found = self.composition.together(prior, scaled, 0.0, here, task.reynolds, before)
                cost = price(task, prices, found.force)
                cost = cost + prices.gap * crowding(task, distance, here)
                cost = cost + prices.area * smallness(task, distance)
                cost = cost + prices.thin * thinness(task, own)
                total = cost + prices.faith * unit.square().sum((1, 2))
                slopes = torch.autograd.grad(total.sum(), [unit, here], materialize_grads=True)
            before = found.flow.detach()
            with torch.no_grad():
                better = (total < least)[:, None, None]
                least = torch.minimum(total, least)
                best_unit = torch.where(better, unit, best_unit)
                best_place = torch.where(better, here, best_place)
                fade = 1 - (step - 1) / steps
                unit = unit - 0.12 * fade * free * adam(slopes[0], moments, step)
                move = 0.08 * fade * adam(slopes[1], place_moments, step)
                move[:, 0] = 0
                here = here - move
        return parameters_at(best_unit).detach(), best_place.detach()


@torch.no_grad()
def expected(
    prior: AirfoilPrior, task: Formations, airfoils: Airfoils, composition: Composition
) -> Together:
    """Flows and forces of given formations, as the composed prior expects them."""
    place = torch.stack([airfoils.x, airfoils.y], -1)
    own = Airfoils(*(part.flatten(0, 1)[:, None] for part in airfoils))
    parameters = parameters_of(own).float()
    parameters[:, 13:] = 0.0
    image = prior.scaled_body(drawn(parameters)).unflatten(0, place.shape[:2])
    way = Coupled(2) if isinstance(composition, Coupled) else composition
    return way.together(prior, image, 0.0, place.float(), task.reynolds, None)


def cost_of(
    task: Formations,
    prices: Prices,
    prior: AirfoilPrior,
    law: PlaceLaw,
    parts: dict[str, Tensor],
) -> PerSample:
    """The price of a clean sample."""
    distance = distance_of(prior.physical_body(parts["body"]))
    cost = price(task, prices, parts["force"])
    cost = cost + prices.gap * crowding(task, distance, law.of(parts["step"]))
    return cost + prices.area * smallness(task, distance)
