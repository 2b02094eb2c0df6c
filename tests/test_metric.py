"""Coordinates of chains: that they are coordinates, and that moves in them are moves."""

import math

import pytest
import torch

from physgen.density import At, Density
from physgen.diagnostics import summarise
from physgen.kernel import HMC, MALA, Kernel, UnadjustedHMC
from physgen.meter import Metered
from physgen.metric import Dense, Diagonal, Metric, Plain, widest
from physgen.metropolis import RandomWalk
from physgen.sampler import chains
from physgen.testbeds import correlated, source
from physgen.tuning import Rescaled, Tuned, tune

FACTOR = torch.linalg.cholesky(correlated(6).covariance[0])
METRICS = (Plain(), Diagonal(FACTOR.diagonal().reshape(3, 2)), Dense(FACTOR))


def named(thing: object) -> str:
    return type(thing).__name__


@pytest.mark.parametrize("metric", METRICS, ids=named)
def test_the_way_in_undoes_the_way_out_and_the_pull_is_its_adjoint(metric: Metric) -> None:
    y, d = torch.randn(2, 5, 3, 2, generator=source(1), dtype=FACTOR.dtype)
    torch.testing.assert_close(metric.inward(metric.outward(y)), y)
    torch.testing.assert_close(metric.push(metric.pull(d)), d)
    torch.testing.assert_close(
        (metric.pull(d) * y).flatten(1).sum(1), (d * metric.outward(y)).flatten(1).sum(1)
    )


@pytest.mark.parametrize(
    "kernel", [HMC(0.3, kept=0.5), UnadjustedHMC(0.3), MALA(0.2), RandomWalk(0.5)], ids=named
)
@pytest.mark.parametrize("metric", METRICS, ids=named)
@pytest.mark.parametrize("valued", [True, False], ids=["energy", "score"])
def test_moves_in_a_metric_are_moves_of_the_density_in_its_coordinates(
    kernel: Kernel, metric: Metric, valued: bool
) -> None:
    if isinstance(kernel, RandomWalk) and not valued:
        return
    unit = Density(lambda y: (y.square() / 2 + y.pow(4) / 12).flatten(1).sum(1))
    wide = Density(lambda z: unit.energy(metric.inward(z), 1.0))
    start = torch.randn(5, 3, 2, generator=source(1), dtype=FACTOR.dtype)
    plain = chains(unit if valued else Metered(unit), kernel, start, 0, 6, source(2))
    rescaled = Rescaled(kernel, metric)
    scaled = chains(
        wide if valued else Metered(wide), rescaled, metric.outward(start), 0, 6, source(2)
    )
    inside = metric.inward(scaled.z.flatten(0, 1)).view_as(plain.z)
    torch.testing.assert_close(inside, plain.z, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(scaled.acceptance, plain.acceptance)
    assert 0 < plain.acceptance.mean() <= 1


def test_the_covariance_of_many_draws_is_learned() -> None:
    target = correlated(6)
    learned = Dense.learn(target.sample(20_000, source(1)).view(-1, 3, 2)).factor
    torch.testing.assert_close(learned @ learned.T, target.covariance[0], atol=0.03, rtol=0.03)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_few_draws_make_a_metric_as_well(count: int) -> None:
    """Fewer than entries: no direction that they do not show is taken for narrow."""
    learned = Dense.learn(torch.randn(count, 12, generator=source(1))).factor
    assert learned.isfinite().all() and (learned.diagonal() > 0).all()
    assert count < 6 or torch.linalg.svdvals(learned).min() > 0.2


@pytest.mark.parametrize("metric", METRICS, ids=named)
def test_the_widest_direction_is_found(metric: Metric) -> None:
    spread = torch.tensor([1.0, 3.0, 0.5, 1.0, 2.0, 1.0])
    turned, _ = torch.linalg.qr(torch.randn(6, 6, generator=source(1)))
    inside = (torch.randn(20_000, 6, generator=source(2)) * spread) @ turned
    found = widest(metric, 5 + metric.outward(inside.view(-1, 3, 2).double()))
    assert found == pytest.approx(3, rel=0.03)
    assert widest(metric, torch.ones(4, 3, 2, dtype=FACTOR.dtype)) == 0


def warmed(metric: type[Metric]) -> tuple[int, Tuned]:
    """For a hundred correlated entries: leapfrog steps, and all that warm-up came to."""
    law = correlated(100)
    start = law.sample(64, source(1))
    tuned = tune(At(law), HMC(0.2), start, 60, source(2), metric=metric, turn=0.25)
    assert isinstance(tuned.kernel.kernel, HMC)
    return tuned.kernel.kernel.leapfrogs, tuned


def test_a_dense_metric_goes_as_far_in_a_few_steps() -> None:
    """Draws are worth a third of independent ones at least, at a fraction of the gradients."""
    (few, dense), (many, _) = warmed(Dense), warmed(Diagonal)
    assert few * 5 < many
    law = correlated(100)
    z = chains(At(law), dense.kernel, dense.z, 0, 60, source(3)).z
    assert summarise(z).ess_bulk.min() > 60 * 64 / 3
    apart = Dense(torch.linalg.cholesky(law.covariance[0]))
    found = summarise(apart.inward(z.flatten(0, 1)).view_as(z))
    assert (found.mean / found.error).square().mean().sqrt() < 1.3
    torch.testing.assert_close(found.std, torch.ones_like(found.std), atol=0.1, rtol=0)


def test_a_quarter_turn_of_a_unit_gaussian_is_a_quarter_of_its_period() -> None:
    unit = Density(lambda z: z.square().sum(1) / 2)
    start = torch.randn(256, 3, generator=source(1))
    tuned = tune(unit, HMC(0.2), start, 100, source(2), turn=0.25)
    assert isinstance(tuned.kernel.kernel, HMC)
    length = tuned.size * tuned.kernel.kernel.leapfrogs
    assert length == pytest.approx(math.pi / 2, abs=tuned.size)


def test_a_turn_that_cannot_be_is_refused() -> None:
    term, start = Density(lambda z: z.square().sum(1)), torch.zeros(2, 3)
    with pytest.raises(TypeError, match="MALA makes no leapfrog steps"):
        tune(term, MALA(0.1), start, 40, source(1), turn=0.25)
    for turn in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="positive and finite"):
            tune(term, HMC(0.1), start, 40, source(1), turn=turn)
