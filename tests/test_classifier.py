"""Guidance by labels, on mixtures whose conditionals and tilts are known."""

import math
from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from physgen.classifier import Classified, ClassifierFree, Conditioned, Dropping, Recognising
from physgen.denoiser import Learned
from physgen.energy import Energy, Mixture
from physgen.fitting import fit
from physgen.gaussian import GaussianMixture
from physgen.grid import log_snr
from physgen.kernel import MALA
from physgen.perceptron import Perceptron
from physgen.preconditioned import Denoising, Preconditioned
from physgen.predictor import Ancestral, DPMpp2M
from physgen.sampler import anneal, sample, unit_noise
from physgen.testbeds import isotropic, mode_error, ring, source, wasserstein

LAW = isotropic(
    torch.tensor([[-1.0, 0.0], [0.3, 0.9], [1.2, -0.4]]), 0.5, torch.tensor([0.3, 0.3, 0.4])
)
"""Label 0 is the first mode, label 1 the two others."""
GRID = log_snr(40, 0.02, 20.0)


def part(label: int) -> GaussianMixture:
    chosen = slice(0, 1) if label == 0 else slice(1, 3)
    weights = LAW.log_weight[chosen]
    return GaussianMixture(weights, LAW.mean[chosen], LAW.covariance[chosen]).normalised()


def exact_classifier(z: Tensor, s: Tensor) -> Tensor:
    logs = LAW.component_logs(z, s)
    return torch.stack([logs[:, 0], logs[:, 1:].logsumexp(1)], 1)


def moments_on_a_mesh(energy: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and covariance of a density of the plane, by quadrature."""
    ends = torch.linspace(-5, 5, 301)
    place = torch.cartesian_prod(ends, ends)
    share = (-energy(place)).softmax(0)
    mean = share @ place
    return mean, torch.einsum("n,ni,nj->ij", share, place - mean, place - mean)


def test_a_classifier_of_noisy_samples_makes_the_conditional_at_every_level() -> None:
    z = torch.randn(20, 2, generator=source())
    for s in (0.1, 1.0, 5.0):
        given = Conditioned(LAW, Classified(exact_classifier, 1))
        torch.testing.assert_close(given.shift(z, s), part(1).shift(z, s), atol=1e-5, rtol=1e-4)


def test_a_conditioned_prior_is_drawn_from_without_moves() -> None:
    given = Conditioned(LAW, Classified(exact_classifier, 1))
    x = sample(given, unit_noise(1500, (2,), source()), GRID, DPMpp2M(), source(1))
    assert mode_error(x, part(1)) < 0.04
    assert wasserstein(x, part(1).sample(1500, source(2))) < 0.16


def tilted(weight: float) -> tuple[Tensor, Tensor]:
    zero = torch.zeros(1)
    return moments_on_a_mesh(
        lambda x: (
            LAW.energy(x, 0.0)
            - weight * exact_classifier(x, zero.expand(len(x))).log_softmax(1)[:, 1]
        )
    )


def test_with_a_weight_the_tilt_is_drawn_by_moves_at_each_level() -> None:
    total = LAW + 3.0 * Classified(exact_classifier, 1)
    start = unit_noise(2000, (2,), source())
    x = anneal(total, start, GRID, source(1), Ancestral(), MALA(0.5, 0.3), 2).x
    mean, covariance = tilted(3.0)
    torch.testing.assert_close(x.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(x.T.cov(), covariance, atol=0.06, rtol=0)


def test_without_a_classifier_the_same_tilt_is_drawn() -> None:
    """p(x)^(1-w) p(x|y)^w is p(x) p(y|x)^w: by scores, corrected along lines."""
    free = ClassifierFree(part(1), LAW, 3.0)
    assert not free.marginal and not isinstance(free, Energy)
    start = unit_noise(1500, (2,), source())
    moved = anneal(free, start, GRID, source(1), Ancestral(), MALA(0.5, 0.3), 2).x
    mean, covariance = tilted(3.0)
    torch.testing.assert_close(moved.mean(0), mean, atol=0.06, rtol=0)
    torch.testing.assert_close(moved.T.cov(), covariance, atol=0.07, rtol=0)
    with pytest.raises(ValueError, match="no deterministic predictor"):
        sample(free, start, GRID, DPMpp2M(), source(1))


def test_what_is_held_against_something_narrower_is_refused_as_the_same_sum_is() -> None:
    wide, narrow = isotropic(torch.zeros(1, 2), 2.0), isotropic(torch.zeros(1, 2), 0.3)
    start = unit_noise(4, (2,), source())
    for term in (ClassifierFree(wide, narrow, 3.0), 3.0 * wide - 2.0 * narrow):
        with pytest.raises(ValueError, match="improper at noise level"):
            sample(term, start, GRID, Ancestral(), source(1))
    for weight in (0.0, 0.4, 1.0, 3.0):
        free = ClassifierFree(narrow, wide, weight)
        algebra = weight * narrow + (1 - weight) * wide
        for s in (0.1, 10.0):
            one, other = (term.precision(s, torch.Size((2,))) for term in (free, algebra))
            assert one is not None and other is not None
            torch.testing.assert_close(one, other)
    each = ClassifierFree(narrow, wide, torch.tensor([0.4, 3.0, 1.0]))
    bounds = each.precision(0.1, torch.Size((2,)))
    ends = [ClassifierFree(narrow, wide, w).precision(0.1, torch.Size((2,))) for w in (0.4, 3.0)]
    assert bounds is not None and ends[0] is not None and ends[1] is not None
    torch.testing.assert_close(bounds.low, torch.minimum(ends[0].low, ends[1].low))
    torch.testing.assert_close(bounds.high, torch.maximum(ends[0].high, ends[1].high))
    unbounded = Mixture((wide, 1.0))
    assert ClassifierFree(narrow, unbounded, 1.0).precision(1.0, torch.Size((2,))) is not None
    assert ClassifierFree(narrow, unbounded, 1.1).precision(1.0, torch.Size((2,))) is None


def test_with_weight_one_it_is_the_conditional_and_with_none_the_prior() -> None:
    z = torch.randn(10, 2, generator=source())
    for weight, law in ((1.0, part(0)), (0.0, LAW)):
        free = ClassifierFree(part(0), LAW, weight)
        assert free.marginal
        torch.testing.assert_close(free.shift(z, 0.7), law.shift(z, 0.7))


def fast(weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, 0.01)


def one(mode: int) -> GaussianMixture:
    chosen = slice(mode, mode + 1)
    return GaussianMixture(torch.zeros(1), TWO.mean[chosen], TWO.covariance[chosen])


def labelled(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As many draws of each mode of two, and which it is."""
    x = torch.cat([one(mode).sample(count // 2, generator) for mode in (0, 1)])
    return x, torch.arange(2).repeat_interleave(count // 2)


TWO = ring(2, 0.4)


def test_a_classifier_is_shown_samples_under_the_noise_it_is_told_of() -> None:
    x, label = torch.full((4000, 2), 3.0), torch.arange(4000)
    z, level, shown = Recognising(Denoising(0.8)).draw(x, label, source())
    noise = (z - x) / level[:, None]
    assert torch.equal(shown, label)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.05)
    assert noise.std().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
def test_a_trained_classifier_agrees_with_bayes_rule() -> None:
    torch.manual_seed(0)
    network, recognising = Perceptron(3, 2, 32, 2), Recognising(Denoising(0.8, mean=0.0))
    fit(network, recognising, lambda _, g: recognising.draw(*labelled(256, g), g), 300, fast)
    z = 1.5 * torch.randn(400, 2, generator=source(1))
    for s in (0.3, 1.5):
        level = torch.full((400,), s)
        with torch.no_grad():
            said = recognising.classifier(network)(z, level).softmax(1)
        exact = TWO.responsibilities(z, s)
        assert (said - exact).abs().mean() < 0.04


@pytest.mark.slow
def test_one_network_learns_with_and_without_labels() -> None:
    torch.manual_seed(0)
    model = Preconditioned(Perceptron(5, 2, 32, 2), 0.8)
    dropping = Dropping(Denoising(0.8, mean=0.0), 0.3)

    def draw(_: int, g: torch.Generator) -> tuple[Tensor, ...]:
        x, label = labelled(256, g)
        return dropping.draw(x, torch.eye(2)[label], g)

    fit(model, dropping, draw, 400, fast)
    for told, law in ((torch.eye(2)[:1], one(0)), (torch.zeros(1, 2), TWO)):
        z = law.sample(400, source(1)) + 0.7 * torch.randn(400, 2, generator=source(2))
        with torch.no_grad():
            off = Learned(model, told).denoise(z, 0.7) - law.denoise(z, 0.7)
        assert off.square().mean().sqrt() < 0.15


def test_labels_are_left_out_at_the_rate_asked_for() -> None:
    x = torch.zeros(4000, 1)
    *_, told = Dropping(Denoising(), 0.25).draw(x, torch.ones(4000, 3), source())
    dropped = (told == 0).all(1)
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=4 * math.sqrt(0.19 / 4000))
    assert (told[~dropped] == 1).all()
