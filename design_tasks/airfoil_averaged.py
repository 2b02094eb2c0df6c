r"""CinDM's composition: airfoils share one noisy flow, and their priors' answers are averaged.

Every airfoil has the joint prior of its body and of the flow around it in an undisturbed stream;
of a cell that several windows see, the score is the mean of theirs (Wu et al., 2024,
https://arxiv.org/abs/2401.13171, section 3.3). The flow :math:`w` has noise of the same level as
the bodies, and each level's clean estimate is noised afresh for the next,

.. math::
    w \leftarrow \frac{\sum_k m_k \, \mathbb E_k[w \mid \psi_k + s \varepsilon,\,
    w + s \varepsilon]}{\sum_k m_k},

:math:`m_k` being one within window :math:`k`, and falling to zero at its border. A prior of one
airfoil alone has never seen the wake of another; what to make of it is left to the mean.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from physgen.datasets.airfoil import WINDOW
from physgen.design_tasks.airfoil_decode import points
from physgen.design_tasks.airfoil_formation import (
    Bodies,
    Composition,
    Flows,
    Levels,
    Places,
    Together,
    levels_of,
    seen_from,
)
from physgen.design_tasks.airfoil_prior import CELL, SHAPE, AirfoilPrior
from physgen.grid import Grid, log_snr


@dataclass(frozen=True)
class Averaged(Composition):
    """The composition of the module's docstring."""

    steps: int = 20
    """Levels by which the flow of known bodies is found."""
    least: float = 0.05
    """The lowest level: a flow without noise is nothing to be estimated."""
    seed: int = 0
    """Of the flow's noise."""

    def together(
        self,
        prior: AirfoilPrior,
        body: Bodies,
        level: Levels,
        place: Places,
        reynolds: float,
        before: Flows | None,
    ) -> Together:
        levels = levels_of(level, body)
        wanted = max(float(levels.max()), self.least)
        grid = Grid((wanted, 0.0))
        if before is None:
            before = torch.zeros(*body.shape[:2], 3, *SHAPE).to(body)
            if wanted < 1:
                grid = log_snr(self.steps, wanted, 40.0)
        generator = torch.Generator(body.device).manual_seed(self.seed)
        whole = shared(before, place)
        for s in grid.levels[:-1]:
            noise = seen_noise(place, generator).to(body)
            more = torch.randn(body.shape, generator=generator, device=body.device)
            # Where less noise is on a body than on the flow, as much is added.
            own = (s**2 - levels.square()).clamp(min=0).sqrt()[:, None, None].to(body)
            flow = prior.scaled_flow(whole.flatten(0, 1)) + s * noise.flatten(0, 1)
            flat = (body + own * more).flatten(0, 1)
            calm = torch.zeros_like(flow)
            at = flat.new_full((len(flat),), s)
            found = prior.estimate(flat, at, calm, torch.full_like(at, reynolds), flow)
            answer = Together(*(part.unflatten(0, body.shape[:2]) for part in found))
            flows = parted(answer.flow, place)
            whole = shared(flows.detach(), place)
        return Together(answer.body, flows, answer.force)


def _weight(like: Tensor) -> Tensor:
    """One within a window, and nearly zero at its border."""
    x, y = (axis.to(like) for axis in points())
    left, right, bottom, top = WINDOW
    inside = torch.minimum(torch.minimum(x - left, right - x), torch.minimum(y - bottom, top - y))
    return (inside / 0.5).clamp(1e-3, 1.0)


def parted(flow: Flows, place: Places) -> Flows:
    """Each window's share of the mean, so that the shares add up to it."""
    own = _weight(flow)
    wide = own.expand(len(flow), 3, *SHAPE)
    rows = []
    for k in range(flow.shape[1]):
        total = own.expand(len(flow), *SHAPE)
        for j in range(flow.shape[1]):
            if j != k:
                total = total + seen_from(wide, place[:, k] - place[:, j])[:, 0]
        rows.append(flow[:, k] * (own / total)[:, None])
    return torch.stack(rows, 1)


def shared(flow: Flows, place: Places) -> Flows:
    """The sum of all shares, in each window."""
    rows = []
    for k in range(flow.shape[1]):
        others = [j for j in range(flow.shape[1]) if j != k]
        seen = [seen_from(flow[:, j], place[:, k] - place[:, j]) for j in others]
        rows.append(torch.stack([flow[:, k], *seen]).sum(0))
    return torch.stack(rows, 1)


def seen_noise(place: Places, generator: torch.Generator) -> Flows:
    """White noise of one field, as each window sees it, to the nearest cell."""
    count = len(place)
    # The field repeats: windows as far apart as this have nothing to do with one another.
    size = (4 * SHAPE[0], 4 * SHAPE[1])
    field = torch.randn(count, 3, *size, generator=generator, device=place.device)
    cell = (place.detach() / CELL).round().long()
    x = (cell[..., 0, None] + torch.arange(SHAPE[0], device=place.device)) % size[0]
    y = (cell[..., 1, None] + torch.arange(SHAPE[1], device=place.device)) % size[1]
    which = torch.arange(count, device=place.device)[:, None, None, None, None]
    channel = torch.arange(3, device=place.device)[:, None, None]
    found: Tensor = field[which, channel, x[:, :, None, :, None], y[:, :, None, None, :]]
    return found
