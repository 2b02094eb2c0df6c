r"""What carries noise to samples: a clean estimate at every level, be it that of a score or not.

The flow of probability :math:`\mathrm{d}z / \mathrm{d}\ln s = z - D(z, s)` needs no more than
:math:`D`. Where :math:`D` is the mean of the clean samples given a noisy one, it makes a
:class:`~physgen.energy.Score` too, which adds, tilts and moves. Where noise was coupled with the data,
by transport or by where a teacher led it, the flow still goes from noise to data, but
:math:`(D - z) / s^2` is the gradient of nothing.
"""

import abc

from physgen.shapes import Level, Sample


class Carrier(abc.ABC):
    """A flow from noise to samples."""

    @abc.abstractmethod
    def shift(self, z: Sample, s: Level) -> Sample:
        """Where the clean sample is thought to be, from here."""

    def denoise(self, z: Sample, s: Level) -> Sample:
        """The clean estimate."""
        return z + self.shift(z, s)
