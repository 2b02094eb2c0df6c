r"""Consistency models: where the flow of a teacher ends, in one evaluation from any level.

All points of one path of the flow of probability lead to one clean sample. A consistent map
:math:`f(z, s)` says which, so that it is the same at neighbouring levels of a path, and
:math:`f(z, 0) = z`:

.. math:: \Bigl(\frac{1}{s^2} + \frac{1}{\sigma_d^2}\Bigr)\,
    \overline{\bigl|f(z, s) - f^-(z', s')\bigr|^2}, \qquad z' = \text{Heun}(z, s \to s')

for neighbouring levels :math:`s > s'` of a grid; :math:`f^-` is the map itself, held still. A
:class:`~physgen.preconditioned.Preconditioned` network has the right value at zero by its form.

One evaluation at the highest level draws. With more, noise is drawn anew at lower levels
(:class:`~physgen.predictor.Anew`), which corrects what the first got wrong.

References:
    Consistency Models (Song et al., 2023), https://arxiv.org/abs/2303.01469, algorithms 1 and 2,
    Improved Techniques for Training Consistency Models (Song & Dhariwal, 2024),
    https://arxiv.org/abs/2310.14189, section 3.2, for :math:`f^-` without an average of weights.
"""

from dataclasses import dataclass

import torch

from physgen.carrier import Carrier
from physgen.distillation import Model, OnGrid, check_walks, place, weighed
from physgen.energy import wide
from physgen.grid import Grid
from physgen.sampler import AsMarginal
from physgen.shapes import PerSample, Sample


@dataclass(frozen=True)
class Consistency:
    """The loss of a map to the ends of a teacher's paths."""

    teacher: Carrier
    grid: Grid
    """Levels between which the map is held to agree: some dozens."""
    sigma_data: float = 1.0
    """Standard deviation of the data."""
    consent: AsMarginal | None = None
    """Needed to follow a sum."""

    def __post_init__(self) -> None:
        check_walks(self.teacher, self.consent)

    def draw(self, x: Sample, generator: torch.Generator) -> tuple[Sample, PerSample, Sample]:
        return OnGrid(self.grid).draw(x, generator)

    @torch.no_grad()
    def wanted(self, student: Model, z: Sample, level: PerSample) -> Sample:
        """What the map should say: what it says itself at the level below."""
        levels = torch.tensor(self.grid.levels, dtype=z.dtype, device=z.device)
        return self.ahead(student, z, level, levels[place(self.grid, level) + 1])

    def __call__(self, student: Model, x: Sample, level: PerSample, noise: Sample) -> PerSample:
        z = x + wide(level, x) * noise
        error = student(z, level) - self.wanted(student, z, level)
        return weighed(error, level, self.sigma_data)

    def ahead(self, student: Model, z: Sample, level: PerSample, below: PerSample) -> Sample:
        """What the map says one step of the teacher further on."""
        slope = (z - self.teacher.denoise(z, level)) / wide(level, z)
        step = wide(below - level, z)
        ahead = z + step * slope
        last = (below == 0).view(-1, *[1] * (z.ndim - 1))
        somewhere = torch.where(below == 0, level, below)  # where nothing is asked of the answer
        again = (ahead - self.teacher.denoise(ahead, somewhere)) / wide(somewhere, z)
        ahead = z + step * torch.where(last, slope, (slope + again) / 2)
        said = student(ahead, somewhere)
        out: Sample = torch.where(last, ahead, said.to(ahead))
        return out
