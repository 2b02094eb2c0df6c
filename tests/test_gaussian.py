"""The exact families, against numerical integration and one another."""

import torch

from physgen.testbeds import bars, ring, some_gaussian, source


def grid(span: float = 5.0, points: int = 401) -> tuple[torch.Tensor, float]:
    axis = torch.linspace(-span, span, points, dtype=torch.float64)
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1), (2 * span / (points - 1)) ** 2


def test_a_mixture_has_unit_mass_at_every_level() -> None:
    x, cell = grid()
    for s in (0.0, 0.5):
        assert abs((-ring().energy(x.float(), s)).exp().double().sum().item() * cell - 1) < 1e-4


def test_the_mass_of_a_product_is_its_integral() -> None:
    x, cell = grid()
    both = (-(ring() + bars()).energy(x.float(), 0.0)).exp().double()
    product = ring().product(bars())
    assert abs(both.sum().item() * cell - product.log_mass.exp().item()) < 1e-4
    torch.testing.assert_close(
        (-product.energy(x.float(), 0.0)).exp().double(), both, atol=1e-4, rtol=1e-3
    )


def test_noise_and_denoising_are_bayes_rule() -> None:
    law, s = ring(), 0.4
    z = torch.tensor([[0.3, 0.2]])
    x, _ = grid()
    weight = (-law.energy(x.float(), 0.0)).double().exp()
    weight = weight * (-(x - z).square().sum(1) / (2 * s**2)).exp()
    weight = weight / weight.sum()
    centre = weight @ x
    torch.testing.assert_close(law.denoise(z, s)[0].double(), centre, atol=1e-4, rtol=0)
    spread = (weight[:, None] * (x - centre)).T @ (x - centre)
    torch.testing.assert_close(
        law.posterior_covariance(z, s)[0].double(), spread, atol=1e-4, rtol=0
    )
    posterior = law.posterior(z, s)
    torch.testing.assert_close(
        posterior.log_weight.exp() @ posterior.mean, centre.float(), atol=1e-4, rtol=0
    )


def test_the_jacobian_of_the_denoiser_is_the_posterior_covariance() -> None:
    law, s = ring(), 0.4
    z = torch.tensor([[0.3, 0.2]])
    jacobian = torch.func.jacrev(lambda v: law.denoise(v, s))(z)[0, :, 0]
    torch.testing.assert_close(
        s**2 * jacobian, law.posterior_covariance(z, s)[0], atol=1e-5, rtol=1e-4
    )


def test_a_power_has_the_scaled_score() -> None:
    law = some_gaussian(5)
    z = torch.randn(4, 3, dtype=torch.float64, generator=source())
    torch.testing.assert_close(law.power(2.5).energy(z, 0.0), 2.5 * law.energy(z, 0.0))


def test_observing_all_but_exactly_gives_what_was_seen() -> None:
    law = some_gaussian(6)
    seen = torch.tensor([0.7], dtype=torch.float64)
    operator = torch.tensor([[1.0, -1.0, 0.5]], dtype=torch.float64)
    after = law.observe(operator, seen, 1e-8 * torch.eye(1, dtype=torch.float64))
    torch.testing.assert_close(after.mean @ operator.mT, seen[None], atol=1e-6, rtol=0)
    assert (after.covariance[0].diagonal() < law.covariance[0].diagonal()).all()


def test_samples_have_the_mean_and_covariance() -> None:
    law = some_gaussian(7)
    x = law.sample(40_000, source())
    torch.testing.assert_close(x.mean(0), law.mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(x.T.cov(), law.covariance[0], atol=0.04, rtol=0)
    kept = torch.tensor([2, 0])
    torch.testing.assert_close(law.marginalise(kept).mean[0], law.mean[0, kept])


def test_tensors_are_made_where_the_density_lives() -> None:
    """Also where the default is another device."""
    law = ring(3)
    with torch.device("meta"):
        x = law.sample(4, source(1))
        law.posterior(x[:1], 0.5)
        law.product(law)
    torch.testing.assert_close(x, law.sample(4, source(1)))
