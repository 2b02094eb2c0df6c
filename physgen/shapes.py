"""The shapes that travel through physgen, each named once.

``batch`` counts samples, ``time`` saved instants, ``channel`` physical fields, ``control``
boundary fields, and ``space`` grid axes, or the particles.
"""

from jaxtyping import Float
from torch import Tensor

Sample = Float[Tensor, "batch *shape"]
"""Whatever a prior is trained on."""

Level = float | Float[Tensor, " batch"]
r"""A noise-to-signal ratio :math:`s = \sigma / \alpha`: one float in loops, one a sample in training."""

PerSample = Float[Tensor, " batch"]
"""One number a sample: an energy, a cost, an objective."""

State = Float[Tensor, "batch channel *space"]
"""A physical state at one instant."""

Boundary = Float[Tensor, "batch control *space"]
"""What surrounds or forces a state."""

Trajectory = Float[Tensor, "batch time channel *space"]
"""Saved states, the first of them the initial one."""
