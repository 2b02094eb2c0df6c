r"""Energies that are learned: contrastive divergence with chains that persist.

A network :math:`E_\theta` becomes the energy of data by following

.. math:: \nabla_\theta\, \mathbb{E}[-\log p_\theta] =
    \mathbb{E}_\text{data}[\nabla_\theta E_\theta] - \mathbb{E}_{p_\theta}[\nabla_\theta E_\theta]

down, where draws of :math:`p_\theta` come from chains that are kept in a replay buffer and moved
a little at each step of training, while the density changes slowly under them. Any kernel moves
them. What comes out is ``Density(network)``: it adds to others, mixes and is divided out, and the
product of two learned energies needs no training of its own.

References:
    Training Restricted Boltzmann Machines Using Approximations to the Likelihood Gradient
    (Tieleman, 2008), for persistent chains.
    Implicit Generation and Modeling with Energy-Based Models (Du & Mordatch, 2019),
    https://arxiv.org/abs/1903.08689, for the replay buffer and the penalty on energies.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from physgen.density import Density, Drawable
from physgen.kernel import Kernel
from physgen.shapes import PerSample, Sample


class Contrastive(nn.Module):
    """A network with its chains, in the form that is trained: call it for the loss.

    Its state holds the buffer beside the weights, so that a run that is resumed finds its chains
    where it left them. Processes that share a batch move their chains by chances of their own.

    Arguments:
        network: The energy of every sample.
        kernel: Moves the chains, by sizes in units of one, as for any density without levels.
        start: Where chains begin, and begin again; wide enough to reach all data.
        buffer: Chains that are kept; each step moves as many as there are samples in a batch.
        generator: Draws the first chains.
        moves: Of a chain in a step.
        fresh: Share of the chains that begin again in a step: they find modes that were lost,
            and as they are not done within one step, they blur the density a little.
        penalty: Weight of the squared energies, which keeps their level near zero.

    Raises:
        ValueError: a buffer without chains, or a share that is none.
    """

    buffer: Tensor

    def __init__(
        self,
        network: nn.Module,
        kernel: Kernel,
        start: Drawable,
        buffer: int,
        generator: torch.Generator,
        moves: int = 10,
        fresh: float = 0.02,
        penalty: float = 0.01,
    ) -> None:
        super().__init__()
        if buffer < 1 or not 0 <= fresh <= 1:
            raise ValueError(
                f"a buffer needs chains and a share from 0 to 1 that begin again, got {buffer} "
                f"and {fresh}"
            )
        self.network = network
        self.kernel = kernel
        self.start = start
        self.moves = moves
        self.fresh = fresh
        self.penalty = penalty
        self.register_buffer("buffer", start.sample(buffer, generator))

    def draw(self, x: Sample, generator: torch.Generator) -> tuple[Sample, Int[Tensor, " batch"]]:
        """Data, and a seed with each row: that of a process's first moves its chains."""
        seeds = torch.randint(2**62, (len(x),), generator=generator, device=generator.device)
        return x, seeds

    def forward(self, x: Sample, seed: Int[Tensor, " batch"]) -> PerSample:
        generator = torch.Generator(x.device).manual_seed(int(seed[0]))
        made = self.follow(len(x), generator)
        real, false = self.network(x), self.network(made)
        loss: PerSample = real - false + self.penalty * (real.square() + false.square())
        return loss

    @torch.no_grad()
    def follow(self, count: int, generator: torch.Generator) -> Float[Tensor, "chain *shape"]:
        """Move some of the chains, and put them back where they are now.

        Raises:
            ValueError: more are wanted than there are.
            FloatingPointError: a chain is not finite.
        """
        if count > len(self.buffer):
            raise ValueError(
                f"{count} chains are wanted of a buffer of {len(self.buffer)}: enlarge it"
            )
        device = self.buffer.device
        chosen = torch.randperm(len(self.buffer), generator=generator, device=device)[:count]
        z = self.buffer[chosen]
        coin = torch.rand(count, generator=generator, device=device)
        again = (coin < self.fresh).view(-1, *[1] * (z.ndim - 1))
        z = torch.where(again, self.start.sample(count, generator).to(z), z)
        term = Density(self.network)
        chain = self.kernel.init(term, z, 1.0)
        for _ in range(self.moves):
            chain, _ = self.kernel.step(chain, term, 1.0, generator)
        if not chain.z.isfinite().all():
            raise FloatingPointError("chains left the finite numbers: try a smaller step")
        self.buffer[chosen] = chain.z
        return chain.z


def divergence(model: Contrastive, x: Sample, seed: Int[Tensor, " batch"]) -> PerSample:
    """The objective of training: what the model makes of a batch."""
    loss: PerSample = model(x, seed)
    return loss
