r"""Labels, by a classifier of noisy samples or without one.

A classifier that knows every level gives :math:`-\log p(y | z, s)`, an energy; added to the prior's
it makes the posterior of label :math:`y`, exactly, at every level:
:math:`p_s(z)\, p_s(y | z) \propto p_s(z | y)`. So :class:`Conditioned` is again one density with
noise added, and any predictor carries it. With another weight than one the sum is a tilt of the
clean density, :math:`p(x)\, p(y | x)^w`, only where the noise is gone, and wants moves at each level,
like any sum: ``prior + w * Classified(...)``.

:class:`ClassifierFree` is the same with a conditional denoiser in place of a classifier, as
:math:`p(y | x) \propto p(x | y) / p(x)`: its clean density is :math:`p(x)^{1-w} p(x | y)^w`.

References:
    Diffusion Models Beat GANs on Image Synthesis (Dhariwal & Nichol, 2021),
    https://arxiv.org/abs/2105.05233, section 4.1.
    Classifier-Free Diffusion Guidance (Ho & Salimans, 2022), https://arxiv.org/abs/2207.12598,
    equation 6, with :math:`w` for its :math:`1 + w`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from physgen.denoiser import per_sample
from physgen.energy import Energy, Precision, Score, add_precision, check_score, wide
from physgen.preconditioned import Denoising
from physgen.shapes import Level, PerSample, Sample

Classifier = Callable[[Tensor, Tensor], Tensor]
"""Scores of all labels, from a noisy sample and the level of each."""


class Classified(Energy):
    """What a classifier holds against a label.

    Arguments:
        classifier: Scores (logits) of every label for a noisy sample at a level.
        label: The number of the label wanted.
    """

    def __init__(self, classifier: Classifier, label: int) -> None:
        self.classifier = classifier
        self.label = label

    def energy(self, z: Sample, s: Level) -> PerSample:
        logits = self.classifier(z, per_sample(s, z))
        return -logits.log_softmax(1)[:, self.label]

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        """None of its own: a probability is bounded, and far out its logarithm is straight."""
        zero = torch.zeros(shape)
        return Precision(zero, zero)


class Conditioned(Score):
    """A prior given a label, of which a classifier knows at every level.

    Arguments:
        prior: The term without labels.
        classified: The classifier's, with weight one.
    """

    def __init__(self, prior: Score, classified: Classified) -> None:
        check_score(prior)
        self.prior = prior
        self.classified = classified

    @property
    def marginal(self) -> bool:
        return self.prior.marginal

    def shift(self, z: Sample, s: Level) -> Sample:
        return self.prior.shift(z, s) + self.classified.shift(z, s)

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.prior.precision(s, shape)


class ClassifierFree(Score):
    r"""A conditional term held against the same one without condition,
    :math:`(1 - w) \nabla \log p + w \nabla \log p(\cdot | y)`.

    Arguments:
        conditional: Such as a network told the label.
        unconditional: Such as the same network told none.
        weight: One for the conditional itself, more to exaggerate what sets it apart; for all
            samples or for each.
    """

    def __init__(
        self,
        conditional: Score,
        unconditional: Score,
        weight: float | Float[Tensor, " batch"],
    ) -> None:
        check_score(conditional, unconditional)
        self.conditional = conditional
        self.unconditional = unconditional
        self.weight = weight

    @property
    def marginal(self) -> bool:
        """Of the two ends only: in between and beyond, noise and tilt do not commute."""
        weight = torch.as_tensor(self.weight)
        plain = bool(((weight == 0) | (weight == 1)).all())
        return plain and self.conditional.marginal and self.unconditional.marginal

    def shift(self, z: Sample, s: Level) -> Sample:
        with_label, without = self.conditional.shift(z, s), self.unconditional.shift(z, s)
        weight = wide(self.weight, z)
        return without + weight * (with_label - without)

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        """Those that hold for every weight: they are linear in it, and the ends are enough."""
        ends = torch.as_tensor(self.weight).aminmax()
        found = []
        for weight in (ends.min.item(), ends.max.item()):
            terms = ((self.conditional, weight), (self.unconditional, 1 - weight))
            bounds = add_precision(terms, s, shape)
            if bounds is None:
                return None
            found.append(bounds)
        first, last = found
        return Precision(torch.minimum(first.low, last.low), torch.maximum(first.high, last.high))


@dataclass(frozen=True)
class Recognising:
    """The loss of a classifier of noisy samples, at the levels a denoiser is trained at.

    The network is called as a denoiser's is, with the sample and the level scaled to order one;
    :meth:`classifier` is the trained one.
    """

    denoising: Denoising

    def draw(
        self, x: Sample, label: Int[Tensor, " batch"], generator: torch.Generator
    ) -> tuple[Sample, PerSample, Int[Tensor, " batch"]]:
        """Noisy samples, their levels and their labels."""
        x, level, noise = self.denoising.draw(x, generator)
        return x + wide(level, x) * noise, level, label

    def classifier(self, network: nn.Module) -> Classifier:
        """What a network says of noisy samples."""

        def logits(z: Tensor, level: Tensor) -> Tensor:
            scale = (level.square() + self.denoising.sigma_data**2).rsqrt()
            out: Tensor = network(z * wide(scale, z), level.log() / 4)
            return out

        return logits

    def __call__(
        self, network: nn.Module, z: Sample, level: PerSample, label: Int[Tensor, " batch"]
    ) -> PerSample:
        return cross_entropy(self.classifier(network)(z, level), label, reduction="none")


@dataclass(frozen=True)
class Dropping:
    """The loss of one denoiser with and without labels: some are left out, as zeros.

    Use it as ``Learned(model, label)`` and ``Learned(model, torch.zeros_like(label))``.
    """

    denoising: Denoising
    share: float = 0.1
    """Of the labels that are left out."""

    def draw(
        self, x: Sample, label: Float[Tensor, "batch class"], generator: torch.Generator
    ) -> tuple[Sample, PerSample, Sample, Float[Tensor, "batch class"]]:
        """Clean samples, levels, noise, and what is told of each.

        Arguments:
            x: Clean samples.
            label: The unit vector of each, or another description without which it makes sense.
            generator: Source of noise and chance.
        """
        coin = torch.rand(len(x), 1, generator=generator, device=x.device)
        return *self.denoising.draw(x, generator), label * (coin >= self.share)

    def __call__(
        self,
        model: nn.Module,
        x: Sample,
        level: PerSample,
        noise: Sample,
        label: Float[Tensor, "batch class"],
    ) -> PerSample:
        return self.denoising(model, x, level, noise, label)
