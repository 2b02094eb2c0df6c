"""Designs of airfoils from the composed prior: drawn, decoded, and refined by the prior."""

import math
import time
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks.airfoil_decode import (
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
)
from physgen.design_tasks.airfoil_polish import adam
from physgen.design_tasks.airfoil_price import Prices, crowding, price, smallness
from physgen.design_tasks.airfoil_prior import AirfoilPrior, distance_of
from physgen.design_tasks.airfoils import Formations
from physgen.grid import log_snr
from physgen.guidance import Capped, Guided
from physgen.predictor import Ancestral
from physgen.progress import Progress
from physgen.sampler import sample, unit_noise
from physgen.shapes import PerSample


class Silent(Progress):
    """Tells nobody."""

    def stage(self, what: str) -> None:
        pass

    def share(self, done: float) -> None:
        pass


SILENT = Silent()


@dataclass(frozen=True)
class Descent:
    """Noise levels, and what follows them."""

    steps: int = 20
    """Levels."""
    low: float = 0.05
    high: float = 40.0
    refine: int = 16
    """Steps down the price by the prior's gradient, of the decoded airfoils themselves."""
    trust: float = 2.0
    """How far, in standard deviations of real sections, a step of refinement may lead."""


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
    """
    began = time.perf_counter()
    formation = Formation(prior, task.bodies, task.reynolds, composition, law)
    layout = formation.layout
    grid = log_snr(descent.steps, descent.low, descent.high)
    term: Guided | Formation = formation
    if prices is not None:
        term = Guided(
            formation,
            lambda x: cost_of(task, prices, prior, law, layout.split(x)),
            Capped(prices.weight, prices.share, 0.05),
        )
    start = unit_noise(designs, (layout.size,), generator)
    parts = layout.split(sample(term, start, grid, Ancestral(), generator))
    body = prior.physical_body(parts["body"])
    decoded = decode(body.flatten(0, 1))
    parameters = parameters_of(decoded.airfoils).float().unflatten(0, body.shape[:2])
    place = law.of(parts["step"])
    evaluations = float(descent.steps)
    if prices is not None and descent.refine:
        parameters, place = refine(prior, task, parameters, place, composition, prices, descent)
        evaluations += descent.refine
    image = prior.scaled_body(drawn(parameters.flatten(0, 1)).unflatten(0, body.shape[:2]))
    with torch.no_grad():
        last = Coupled(2) if isinstance(composition, Coupled) else composition
        found = last.together(prior, image, 0.0, place, task.reynolds, None)
    seconds = time.perf_counter() - began
    return Drawn(
        placed(parameters, place),
        found.force,
        found.flow,
        decoded.error.unflatten(0, body.shape[:2]).float(),
        evaluations + 2,
        seconds,
        seconds,
    )


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


def refine(
    prior: AirfoilPrior,
    task: Formations,
    parameters: Tensor,
    place: Tensor,
    composition: Composition,
    prices: Prices,
    descent: Descent,
) -> tuple[Tensor, Tensor]:
    """Decoded airfoils moved down the price, as the prior's forces have it, by their parameters.

    Adam's steps in units of real sections' spreads, held to the law of real sections. The best
    met is kept.
    """
    unit = unit_of(parameters).detach()
    here = place.detach()
    best_unit, best_place = unit.clone(), here.clone()
    least = torch.full((len(unit),), math.inf)
    moments = [torch.zeros_like(unit), torch.zeros_like(unit)]
    place_moments = [torch.zeros_like(here), torch.zeros_like(here)]
    before: Tensor | None = None
    for step in range(1, descent.refine + 1):
        unit, here = unit.detach().requires_grad_(), here.detach().requires_grad_()
        with torch.enable_grad():
            own = parameters_at(unit)
            image = drawn(own.flatten(0, 1)).unflatten(0, own.shape[:2])
            distance = distance_of(image)
            found = composition.together(
                prior, prior.scaled_body(image), 0.0, here, task.reynolds, before
            )
            cost = price(task, prices, found.force)
            cost = cost + prices.gap * crowding(task, distance, here)
            cost = cost + prices.area * smallness(task, distance)
            total = cost + unit.square().sum((1, 2)) / (2 * prices.weight)
            slopes = torch.autograd.grad(total.sum(), [unit, here])
        before = found.flow.detach()
        with torch.no_grad():
            better = total < least
            least = torch.where(better, total, least)
            best_unit = torch.where(better[:, None, None], unit, best_unit)
            best_place = torch.where(better[:, None, None], here, best_place)
            fade = 1 - (step - 1) / descent.refine
            unit = unit - 0.12 * fade * adam(slopes[0], moments, step)
            move = 0.05 * fade * adam(slopes[1], place_moments, step)
            here = here - move * torch.tensor([[0.0], *[[1.0]] * (task.bodies - 1)])
    return parameters_at(best_unit), best_place.detach()
