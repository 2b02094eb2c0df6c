r"""Generators against discriminators, and what a discriminator is worth afterwards.

A discriminator's logit :math:`l` that tells draws of :math:`p` from draws of :math:`q` as well as can
be is :math:`\log p(x) - \log q(x)`. So it corrects what it was trained against: with the generator's
density :math:`p_G` known or not,

.. math:: p(x) = p_G(x)\, e^{l(x)}, \qquad
    p(h) \propto \mathcal N(h; 0, I)\, e^{l(G(h))},

and :class:`Told` is that energy, :math:`-l`, to be added to the generator's or, through
:class:`Through`, to that of its latents, where chains draw what the generator missed.

Both networks are trained at once by one loss, in which neither sees the other's part: the
generator's is the non-saturating one, and the discriminator's slope at data is penalised, without
which the two run in circles.

References:
    Generative Adversarial Nets (Goodfellow et al., 2014), https://arxiv.org/abs/1406.2661,
    proposition 1.
    Which Training Methods for GANs do actually Converge? (Mescheder et al., 2018),
    https://arxiv.org/abs/1801.04406, for the penalty.
    Your GAN is Secretly an Energy-based Model (Che et al., 2020),
    https://arxiv.org/abs/2003.06060, for the latents.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import softplus

from physgen.energy import Energy
from physgen.gaussian import White
from physgen.shapes import Level, PerSample, Sample


def telling(discriminator: nn.Module, real: Sample, other: Sample) -> PerSample:
    """The loss of telling draws of one density from as many of another, both to be labelled
    by the logit of the first."""
    loss: PerSample = softplus(-discriminator(real)) + softplus(discriminator(other))
    return loss


class Adversarial(nn.Module):
    """Generator and discriminator, in the form that is trained: call it for the loss.

    Arguments:
        generator: Makes samples of latents.
        discriminator: One logit for each sample.
        latent: What latents are drawn from.
        penalty: Weight of half the squared slope of the logit at data.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: White,
        penalty: float = 1.0,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.latent = latent
        self.penalty = penalty

    def draw(self, x: Sample, generator: torch.Generator) -> tuple[Sample, Tensor]:
        """Data, and a latent for each."""
        return x, self.latent.sample(len(x), generator).to(x)

    def forward(self, x: Sample, h: Tensor) -> PerSample:
        x = x.detach().requires_grad_()
        made = self.generator(h)
        told = telling(self.discriminator, x, made.detach())
        (slope,) = torch.autograd.grad(self.discriminator(x).sum(), x, create_graph=True)
        fixed = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        fooled = softplus(-functional_call(self.discriminator, fixed, (made,)))
        loss: PerSample = told + self.penalty / 2 * slope.square().flatten(1).sum(1) + fooled
        return loss

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Sample:
        """Draws of the generator, before anything corrects them."""
        x: Sample = self.generator(self.latent.sample(count, generator))
        return x


def contest(model: Adversarial, x: Sample, h: Tensor) -> PerSample:
    """The objective of training: what the model makes of a batch."""
    loss: PerSample = model(x, h)
    return loss


def calm(weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam without momentum, with which two that follow each other run in circles."""
    return torch.optim.Adam(weights, 2e-3, betas=(0.0, 0.99))


class Told(Energy):
    """What a discriminator holds against a sample, minus its logit: the energy that is to be added
    to that of the draws it was trained against. It has no levels."""

    def __init__(self, discriminator: Callable[[Tensor], Tensor]) -> None:
        self.discriminator = discriminator

    def energy(self, z: Sample, s: Level) -> PerSample:
        return -self.discriminator(z)


class Through(Energy):
    """A clean term's energy of what a generator makes of a latent, in the latent.

    Arguments:
        term: Of samples.
        generator: Makes them of latents.
    """

    def __init__(self, term: Energy, generator: Callable[[Tensor], Tensor]) -> None:
        self.term = term
        self.generator = generator

    def energy(self, z: Sample, s: Level) -> PerSample:
        return self.term.energy(self.generator(z), 0.0)
