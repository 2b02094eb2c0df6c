r"""The density of a trained diffusion or flow-matching model, by its flow of probability.

Noise is added and taken away without chance by :math:`\mathrm{d}z / \mathrm{d}\ln s = z - D(z, s)`,
which carries :math:`p_s` from level to level. Along it, log density changes by the divergence,

.. math:: \log p_s(z) = \log p_S(z_S) + \int_{\ln s}^{\ln S}
    \nabla \cdot \bigl(z - D(z, \sigma)\bigr)\, \mathrm{d}\ln \sigma,

and at a high level :math:`S` the density is all but Gaussian. So a denoiser has a value at
every level: kernels accept by it, weights are made of it, and it may be trained by it.

Networks of any prediction and path are followed on the one axis of noise. For a velocity this is
the flow :math:`\dot x_t = u(x_t, t)` in other coordinates, whatever noise the velocity was
trained to be coupled with; a continuous normalizing flow is this density of a network that
is trained by it.

References:
    Score-Based Generative Modeling through Stochastic Differential Equations (Song et al.,
    2021), https://arxiv.org/abs/2011.13456, equations 39 and 40.
    FFJORD (Grathwohl et al., 2019), https://arxiv.org/abs/1810.01367, for the estimated trace.
"""

import abc
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.carrier import Carrier
from physgen.denoiser import per_sample
from physgen.density import Drawable
from physgen.energy import Precision, Score, wide
from physgen.kernel import noise_like
from physgen.ode import Batches, Integrator, RungeKutta
from physgen.shapes import Level, PerSample, Sample

FORTY = RungeKutta()


class Trace(abc.ABC):
    """A way to find the divergence of a field where it was evaluated."""

    @abc.abstractmethod
    def of(self, field: Sample, z: Sample, graph: bool) -> PerSample:
        """The trace of the field's Jacobian.

        Arguments:
            field: Evaluated for each sample by itself.
            z: Where, requiring a gradient.
            graph: Whether the trace is to be differentiated in turn.
        """


@dataclass(frozen=True)
class Exact(Trace):
    """Entry by entry: one gradient of the denoiser for each number of a sample."""

    def of(self, field: Sample, z: Sample, graph: bool) -> PerSample:
        total = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        for i, entry in enumerate(field.flatten(1).unbind(1)):
            (row,) = torch.autograd.grad(entry.sum(), z, create_graph=graph, retain_graph=True)
            total = total + row.flatten(1)[:, i]
        return total


@dataclass(frozen=True)
class Hutchinson(Trace):
    r"""The mean of :math:`v^\top J v` over a few vectors of signs: a gradient for each of them.

    The vectors are drawn once and are the same for all samples, so that the energy is
    a function, which a chain may accept by; it is right on average over the vectors. For the mean
    over a data set, draw new ones for each batch.
    """

    probes: Float[Tensor, "probe *shape"]
    """Signs :math:`v`, of a sample's shape."""

    def of(self, field: Sample, z: Sample, graph: bool) -> PerSample:
        total = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        for probe in self.probes.to(z):
            along = (field * probe).sum()
            (row,) = torch.autograd.grad(along, z, create_graph=graph, retain_graph=True)
            total = total + (row * probe).flatten(1).sum(1)
        return total / len(self.probes)


def signs(count: int, shape: tuple[int, ...], generator: torch.Generator) -> Hutchinson:
    """A trace by so many random vectors for samples of a shape."""
    coins = torch.randint(2, (count, *shape), generator=generator, device=generator.device)
    return Hutchinson(2.0 * coins - 1)


ENTRIES = Exact()


class FlowDensity(Drawable):
    """A denoiser as a normalised density at every level, and as a sampler of it.

    Arguments:
        term: The denoiser, another family of one noised density, or a flow whose noise was coupled
            with its data: its density at the lowest level is as exact.
        base: What samples are taken to be at the highest level, once noise is added, such as
            :class:`physgen.gaussian.White` of the data's spread. What is wrong in its mean
            costs about so many nats as that is of the highest level, in its variance the square.
        integrator: Follows the flow over the logarithm of the level.
        trace: The divergence of the flow.
        low: The level that stands for no noise, where draws end as well.
        high: The level from which samples are Gaussian.

    Raises:
        ValueError: a sum of scores, which no flow carries, or levels that do not rise from above
            zero.
    """

    def __init__(
        self,
        term: Carrier,
        base: Drawable,
        integrator: Integrator = FORTY,
        trace: Trace = ENTRIES,
        low: float = 0.01,
        high: float = 100.0,
    ) -> None:
        if isinstance(term, Score) and not term.marginal:
            raise ValueError(
                "a sum of scores is not the score of one noised density, so no flow carries it "
                "from level to level: take the density of each term, and add those"
            )
        if not 0 < low < high:
            raise ValueError(f"levels must have 0 < low < high, got {low} and {high}")
        self.term = term
        self.base = base
        self.integrator = integrator
        self.trace = trace
        self.low = low
        self.high = high

    @property
    def marginal(self) -> bool:
        """Of a score; what a coupled flow has on its way is not its data with noise."""
        return isinstance(self.term, Score)

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.term.precision(s, shape) if isinstance(self.term, Score) else None

    def energy(self, z: Sample, s: Level) -> PerSample:
        level = per_sample(s, z).clamp(min=self.low)
        rise = (math.log(self.high) - level.log()).clamp(min=0)

        def field(r: Tensor, state: Batches) -> Batches:
            graph = torch.is_grad_enabled()
            with torch.enable_grad():
                known = graph and state[0].requires_grad
                x = state[0] if known else state[0].detach().requires_grad_()
                flow = -wide(rise, x) * self.term.shift(x, level * (r * rise).exp())
                growth = self.trace.of(flow, x, graph)
            return (flow, growth) if graph else (flow.detach(), growth)

        start = (z, torch.zeros_like(level))
        end, growth = self.integrator.follow(field, start, (0.0, 1.0))
        energy: PerSample = self.base.energy(end, level.clamp(min=self.high)) - growth
        return energy

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Sample:
        clean = self.base.sample(count, generator)
        start = clean + self.high * noise_like(clean, generator)
        rise = math.log(self.high / self.low)

        def field(r: Tensor, state: Batches) -> Batches:
            level = (self.low * (r * rise).exp()).expand(count)
            return (-rise * self.term.shift(state[0], level),)

        (end,) = self.integrator.follow(field, (start,), (1.0, 0.0))
        return end
