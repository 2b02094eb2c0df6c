r"""The published procedure of CinDM, on our network, so that quality and cost can be compared.

One step of a thousand, each repeated ten times with noise added back:

.. math:: \hat x = \mathrm{clip}\bigl((x_t - \sigma_t \varepsilon) / \alpha_t\bigr), \quad
    m = \mu_t(\hat x, x_t) - \nabla_{x_t} \Bigl[\lambda \sum_i |p_i(T) - c|
    + \kappa\, \overline{\textstyle\sum_i |p_i(t+1) - p_i(t)|^2}\Bigr]

with the pairs' noise averaged over pairs and windows, the gradient taken at the noisy sample
in box units, and no factor of the noise level on it. The gradient of the last step is left in
what is returned, as published; it moves the last instant by about :math:`\lambda`.

References:
    Compositional Generative Inverse Design (Wu et al., 2024), https://arxiv.org/abs/2401.13171,
    with the options of its tables 1 and 2: cosine schedule, :math:`\lambda = 0.2`,
    :math:`\kappa = 0.2`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from physgen.design_tasks.nbody import Motion, NBody
from physgen.design_tasks.nbody_design import (
    PAIRS_AVERAGED,
    SILENT,
    Drawn,
    drawn,
)
from physgen.design_tasks.nbody_prior import SPREAD, unscaled
from physgen.energy import Score
from physgen.progress import Progress
from physgen.sampler import unit_noise


@dataclass(frozen=True)
class CinDM:
    """Its numbers."""

    steps: int = 1000
    repeats: int = 10
    objective: float = 0.2
    consistency: float = 0.2
    limit: float = 2.2
    """Clean estimates are clipped to this, the box and the fastest disc in scaled units."""

    def alphas(self) -> list[float]:
        """Cumulative squared signal scales (Nichol & Dhariwal, 2021, equation 17)."""
        turns = [(k / self.steps + 0.008) / 1.008 * math.pi / 2 for k in range(self.steps + 1)]
        raw = [math.cos(turn) ** 2 / math.cos(turns[0]) ** 2 for turn in turns]
        kept, product = [], 1.0
        for above, below in zip(raw[1:], raw, strict=False):
            product *= 1 - min(1 - above / below, 0.999)
            kept.append(product)
        return kept


def draw_cindm(
    prior: Score,
    task: NBody,
    designs: int,
    generator: torch.Generator,
    progress: Progress = SILENT,
    recipe: CinDM = CinDM(),
) -> Drawn:
    """Designs by the published procedure."""

    def motions(total: Score, count: int, own: torch.Generator) -> Motion:
        start = unit_noise(count, (task.frames, task.bodies, 4), own)
        return _descend(total, start, recipe, own)

    return drawn(prior, task, designs, generator, PAIRS_AVERAGED, motions, progress)


@torch.no_grad()
def _descend(total: Score, x: Motion, recipe: CinDM, generator: torch.Generator) -> Motion:
    """From unit noise to a sample."""
    spread = torch.tensor(SPREAD, device=x.device)
    bars = recipe.alphas()
    for t in reversed(range(recipe.steps)):
        bar, before = bars[t], bars[t - 1] if t else 1.0
        step = bar / before
        keep = math.sqrt(step) * (1 - before) / (1 - bar)
        take = math.sqrt(before) * (1 - step) / (1 - bar)
        deviation = math.sqrt((1 - step) * (1 - before) / (1 - bar))
        for again in range(recipe.repeats):
            alpha = math.sqrt(bar)
            clean = total.denoise(x / alpha, math.sqrt(1 - bar) / alpha)
            clean = clean.clamp(-recipe.limit, recipe.limit)
            mean = take * clean + keep * x - _gradient(x, recipe) / spread
            noise = torch.randn(x.shape, generator=generator, device=x.device)
            if again + 1 < recipe.repeats:
                x = math.sqrt(step) * mean + math.sqrt(1 - step) * noise
            else:
                x = mean + (deviation if t else 0.0) * noise
    if not x.isfinite().all():
        raise FloatingPointError("the published procedure left the finite numbers")
    return x


def _gradient(x: Tensor, recipe: CinDM) -> Tensor:
    """Of objective and consistency in box units, at the noisy sample."""
    place = unscaled(x)[..., :2]
    out = torch.zeros_like(x)
    last = place[:, -1] - 0.5
    out[:, -1, :, :2] = recipe.objective * last / last.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    hop = 2 * recipe.consistency / (x.shape[1] - 1) * (place[:, 1:] - place[:, :-1])
    out[:, 1:, :, :2] += hop
    out[:, :-1, :, :2] -= hop
    return out
