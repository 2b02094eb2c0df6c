"""Direct samplers: the inverse distribution function, rejection, importance weights."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from physgen import rejection
from physgen.bridge import cross
from physgen.density import Density, Drawable
from physgen.gaussian import gaussian
from physgen.importance import importance
from physgen.kernel import HMC
from physgen.rejection import Tangents, reject, reject_adaptively
from physgen.shapes import Level, PerSample, Sample
from physgen.tabulated import Tabulated
from physgen.testbeds import bars, ring, source

COUNT = 20_000


def normal(mean: float = 0.0, std: float = 1.0) -> Drawable:
    return gaussian(torch.tensor([float(mean)]), torch.tensor([[float(std**2)]]))


def fits(x: Tensor, law: str, *arguments: float) -> bool:
    return bool(stats.kstest(x.double().flatten().numpy(), law, args=arguments).pvalue > 1e-3)


class Laplace(Drawable):
    """A two-sided exponential."""

    def energy(self, z: Sample, s: Level) -> PerSample:
        return z[:, 0].abs() + math.log(2)

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        u = 2 * torch.rand(count, 1, generator=generator) - 1
        return -u.sign() * torch.log1p(-u.abs())


class Cauchy(Drawable):
    """The ratio of two normals."""

    def energy(self, z: Sample, s: Level) -> PerSample:
        return torch.log1p(z[:, 0].square()) + math.log(math.pi)

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        return (math.pi * (torch.rand(count, 1, generator=generator) - 0.5)).tan()


# The inverse distribution function.


@pytest.mark.parametrize(
    ("energy", "low", "high", "law", "arguments"),
    [
        (lambda z: z[:, 0], 0.0, 20.0, "expon", ()),
        (lambda z: z[:, 0].square() / 2, 8.0, 10.0, "truncnorm", (8.0, 10.0)),
        (lambda z: -(z[:, 0] * (1 - z[:, 0])).log(), 0.0, 1.0, "beta", (2.0, 2.0)),
    ],
    ids=["exponential", "far tail", "beta"],
)
def test_a_table_is_drawn_from_by_its_inverse(
    energy: Callable[[Tensor], Tensor],
    low: float,
    high: float,
    law: str,
    arguments: tuple[float, ...],
) -> None:
    table = Tabulated.of(Density(energy), low, high)
    x = table.sample(COUNT, source(1))
    assert fits(x, law, *arguments)
    exact = -torch.tensor(getattr(stats, law)(*arguments).logpdf(x[:100].double().numpy()))
    inside = exact[:, 0] < 8
    torch.testing.assert_close(
        table.energy(x[:100].double(), 0.0)[inside], exact[inside, 0], atol=2e-3, rtol=0
    )


def test_quantile_and_distribution_function_are_inverses() -> None:
    table = Tabulated(torch.tensor([-1.0, 0.0, 0.5, 3.0]), torch.tensor([0.0, 2.0, 0.5, 0.0]))
    u = torch.linspace(0, 1, 101, dtype=torch.float64)
    x = table.quantile(u)
    torch.testing.assert_close(table.cumulative(x), u)
    assert x[0] == -1 and x[-1] == 3 and (x.diff() > 0).all()


def test_the_error_of_a_table_is_of_second_order() -> None:
    energy = Density(lambda z: z[:, 0].square() / 2)
    u = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    exact = torch.tensor(stats.norm.ppf(u.numpy()))

    def error(knots: int) -> float:
        return (
            (Tabulated.of(energy, -8, 8, knots).quantile(u) - exact).square().mean().sqrt().item()
        )

    assert math.log2(error(65) / error(129)) == pytest.approx(2, abs=0.2)


# Rejection.


@pytest.mark.parametrize(
    ("envelope", "bound"),
    [(Laplace(), math.sqrt(2 * math.e / math.pi)), (Cauchy(), math.sqrt(math.tau / math.e))],
    ids=["Laplace", "Cauchy"],
)
def test_rejection_accepts_one_in_its_bound(envelope: Drawable, bound: float) -> None:
    drawn = reject(normal(), envelope, math.log(bound), COUNT, source(1))
    assert drawn.acceptance == pytest.approx(1 / bound, abs=0.012)
    assert len(drawn.x) == COUNT and fits(drawn.x, "norm")


def test_an_envelope_that_is_too_low_is_refused() -> None:
    with pytest.raises(ValueError, match=r"log_bound must be at least 0\.27"):
        reject(normal(), Laplace(), 0.2, COUNT, source(1))


RATES = torch.tensor([[0.5], [1.0], [4.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("log_density", "points", "low", "law"),
    [
        (lambda x: -x.square() / 2 * RATES, [-1.0, 0.5, 1.0], -math.inf, "norm"),
        (lambda x: (RATES * x).log() - RATES * x, [0.1, 1.0, 5.0], 0.0, "gamma"),
        (
            lambda x: -RATES * x - 2 * torch.log1p((-RATES * x).exp()),
            [-2.0, 3.0],
            -math.inf,
            "logistic",
        ),
    ],
    ids=["normal", "gamma", "logistic"],
)
def test_adaptive_rejection_draws_from_many_densities_at_once(
    log_density: Callable[[Tensor], Tensor], points: list[float], low: float, law: str
) -> None:
    start = torch.tensor(points, dtype=torch.float64).expand(3, -1)
    x = reject_adaptively(log_density, start, COUNT, source(1), low=low)
    scaled = x * (RATES.sqrt() if law == "norm" else RATES)
    for row in scaled:
        assert fits(row, law, *([2.0] if law == "gamma" else []))


def test_tangents_lie_above_and_close_in() -> None:
    def log_density(x: Tensor) -> Tensor:
        return -x.square() / 2 - (x - 1).exp()

    hull = Tangents(log_density, torch.tensor([[-2.0, 1.0]], dtype=torch.float64))
    line = torch.linspace(-4, 3, 701, dtype=torch.float64)[None]
    exact = log_density(line).exp().sum().item() * 0.01
    masses = []
    for _ in range(6):
        gap = hull.above(line) - log_density(line)
        assert gap.min() > -1e-9
        masses.append(hull.log_mass.logsumexp(1).exp().item())
        worst = (hull.above(line).exp() - log_density(line).exp()).argmax(1, keepdim=True)
        hull = hull.touching(line.gather(1, worst))
    assert all(after < before for before, after in itertools.pairwise(masses))
    assert 1 < masses[-1] / exact < 1.2


def test_what_is_not_log_concave_is_refused() -> None:
    with pytest.raises(ValueError, match="not log-concave"):
        reject_adaptively(
            lambda x: torch.logaddexp(-(x - 3).square() / 2, -(x + 3).square() / 2),
            torch.tensor([[-4.0, 0.1, 4.0]]),
            100,
            source(1),
        )
    with pytest.raises(ValueError, match="its slope rises"):
        Tangents(lambda x: x.square() / 2 - x.pow(4), torch.tensor([[-1.0, -0.1, 0.1, 1.0]]))
    with pytest.raises(ValueError, match="leftmost point"):
        reject_adaptively(lambda x: -x.square(), torch.tensor([[1.0, 2.0]]), 100, source(1))


HOLED = Density(lambda z: torch.where(z[:, 0] > 0, z[:, 0].square() / 2, torch.nan))


def test_an_envelope_without_end_and_energies_without_value_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"of 10\d+ candidates were accepted, 5 wanted"):
        reject(normal(), Laplace(), 40.0, 5, source(1))
    with pytest.raises(FloatingPointError, match="not a number"):
        reject(HOLED, Laplace(), 2.0, 5, source(1))
    with pytest.raises(FloatingPointError, match="not a number"):
        reject_adaptively(
            lambda x: torch.where(x.abs() < 1.2, -x.square(), torch.nan),
            torch.tensor([[-1.0, 1.0]]),
            100,
            source(1),
        )


def test_too_many_rounds_of_tangents_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejection, "ROUNDS", 1)
    with pytest.raises(RuntimeError, match="of 1000 draws were accepted in 1 rounds"):
        reject_adaptively(lambda x: -x.square(), torch.tensor([[-1.0, 1.0]]), 1000, source(1))


# Importance weights.


def test_what_is_drawn_from_must_have_the_mass_one() -> None:
    heavy = ring().product(bars())
    with pytest.raises(ValueError, match="must be one, got 0"):
        importance(bars(), heavy, 10, source(1))
    with pytest.raises(ValueError, match="must be one, got 0"):
        reject(bars(), heavy, 9.0, 10, source(1))
    with pytest.raises(ValueError, match="must be one, got 0"):
        cross(heavy, bars(), HMC(0.1), [0.0, 1.0], 10, source(1))
    assert importance(bars(), heavy.normalised(), 10, source(1)).log_weight.isfinite().all()


def test_weights_that_are_not_numbers_or_all_zero_are_refused() -> None:
    with pytest.raises(FloatingPointError, match="weights are not finite"):
        importance(HOLED, normal(), 100, source(1))
    with pytest.raises(FloatingPointError, match="has any weight"):
        importance(math.inf * Density(lambda z: 1 + z[:, 0].abs()), normal(), 9, source(1))


@pytest.mark.parametrize(
    ("proposal", "share"),
    [(normal(0, 2), math.sqrt(7) / 4), (normal(1, 1), math.exp(-1))],
    ids=["wider", "beside"],
)
def test_the_effective_size_of_weights_is_the_known_one(proposal: Drawable, share: float) -> None:
    drawn = importance(normal(), proposal, 10 * COUNT, source(1))
    assert drawn.ess == pytest.approx(share, abs=0.01)


def test_log_z_and_means_lie_within_their_errors() -> None:
    """The product of a ring and two bars, whose mass is known, from a wide Gaussian."""
    both, product = ring(std=0.3) + bars(), ring(std=0.3).product(bars())
    wide = gaussian(torch.zeros(2), 0.8 * torch.eye(2))
    mean, variance = product.moments()
    z = []
    for seed in range(30):
        drawn = importance(both, wide, 1000, source(seed))
        z.append((drawn.log_z - product.log_mass) / drawn.log_z_error)
        for moment, wanted in (
            (3 + drawn.x, 3 + mean),
            (drawn.x.square(), variance + mean.square()),
        ):
            found = drawn.mean(moment)
            z.extend((found.value - wanted) / found.error)
        mass = drawn.integral(torch.ones(1000))
        z.append((mass.value - product.log_mass.exp()) / mass.error)
    errors = torch.stack(z)
    assert 0.8 < errors.square().mean().sqrt() < 1.2
    assert (errors.abs() > 3).float().mean() < 0.02


def test_the_tail_of_weights_tells_a_narrow_proposal() -> None:
    """A normal of deviation d under one of 1 has weights with the tail index 1 - d²."""
    index = [importance(normal(), normal(0, d), 100_000, source(3)).tail for d in (0.4, 0.6, 2.0)]
    assert index[0] == pytest.approx(0.84, abs=0.12)
    assert index[1] == pytest.approx(0.64, abs=0.12)
    assert index[2] < 0 and index[0] > 0.7


def test_equal_weights_have_no_tail() -> None:
    assert importance(normal(), normal(), 400, source(1)).tail == -math.inf


def test_a_table_is_drawn_from_more_finely_than_in_single_precision() -> None:
    x = Tabulated(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0])).sample(1000, source(1))
    assert x.dtype == torch.float32
    assert (x.double() * 2**24 % 1 > 0).any()


def test_resampled_weights_are_plain_samples() -> None:
    drawn = importance(normal(), normal(0.5, 1.5), COUNT, source(1))
    x = drawn.resample(source(2))
    assert x.mean().item() == pytest.approx(0, abs=0.04)
    assert x.var().item() == pytest.approx(1, abs=0.05)
