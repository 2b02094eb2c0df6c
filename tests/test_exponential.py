"""The exponential integrator: its orders, its weights, and another code that claims the same."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from physgen.solvers.burgers import Burgers
from physgen.solvers.exponential import (
    ETD1,
    ETDRK2,
    ETDRK3,
    ETDRK4,
    Semilinear,
    Spectral,
    circle_mean,
)
from physgen.solvers.fisher import Fisher
from physgen.solvers.fitzhugh_nagumo import FitzHughNagumo
from physgen.solvers.gray_scott import GrayScott
from physgen.solvers.korteweg_de_vries import KortewegDeVries
from physgen.solvers.kuramoto_sivashinsky import KuramotoSivashinsky
from physgen.solvers.periodic import Modes, Periodic
from physgen.solvers.starts import smooth
from physgen.solvers.vorticity import Vorticity

SCHEMES = (ETD1(), ETDRK2(), ETDRK3(), ETDRK4())


def starts(grid: Periodic, channels: int = 1) -> Tensor:
    return smooth(grid, channels, 2, 3, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("equation", "length", "dt"),
    [
        (Burgers(0.02), 1.0, 0.02),
        (KortewegDeVries(), 20.0, 0.01),
        (KuramotoSivashinsky(), 22.0, 0.04),
    ],
    ids=["decay", "rotation", "growth"],
)
def test_schemes_have_the_orders_they_claim(
    equation: Semilinear, length: float, dt: float
) -> None:
    grid = Periodic((64,), (length,))
    u = starts(grid)
    exact = Spectral(equation, grid, dt / 24).march(u, u[:, :0], 192)
    for scheme in SCHEMES:
        found = [
            Spectral(equation, grid, dt / n, scheme).march(u, u[:, :0], 8 * n) for n in (2, 4)
        ]
        errors = [(each - exact).norm().item() for each in found]
        order = np.log2(errors[0] / errors[1])
        assert order == pytest.approx(scheme.order, abs=0.25), (scheme, errors)


def test_weights_near_zero_keep_all_digits() -> None:
    """Where the formula loses them, against its series."""
    z = torch.tensor([0.0, 1e-12, -1e-8, 1e-4], dtype=torch.float64)
    found = circle_mean(lambda z: (-4 - z + z.exp() * (4 - 3 * z + z**2)) / z**3, z)
    torch.testing.assert_close(found, 1 / 6 + z / 6, atol=1e-9, rtol=0)
    assert abs(float(found[0]) - 1 / 6) < 1e-14


@pytest.mark.parametrize("forced", [False, True])
def test_one_long_march_is_many_short_ones(forced: bool) -> None:
    """Where kept modes grow past all numbers of single precision if left alone, and others fade."""
    growth = torch.full((1, 1, 1), 1.0, requires_grad=True)
    solver = Spectral(Fisher(growth=growth), Periodic((16,), (20.0,)), 0.2)
    u = 0.1 + 0.05 * torch.rand(2, 1, 16, generator=torch.Generator().manual_seed(0))
    force = 0.01 * torch.rand(2, 1, 16, generator=torch.Generator().manual_seed(1))
    boundary = force if forced else u[:, :0]
    with torch.no_grad():
        short = u
        for _ in range(600):
            short = solver.march(short, boundary, 1)
    long = solver.march(u, boundary, 600)
    torch.testing.assert_close(long, short, atol=1e-5, rtol=0)
    (slope,) = torch.autograd.grad(long.sum(), growth)
    assert slope.isfinite().all()


def test_channels_that_are_joined_feel_each_other_in_all_modes() -> None:
    """A rate by its formula, of waves that no product keeps."""
    grid = Periodic((32,), (2.0,))
    (x,) = grid.places(torch.zeros(1, dtype=torch.float64))
    waves = torch.cos(2 * torch.pi * 12 / 2.0 * x)
    state = torch.stack([1e-9 * waves, 2e-9 * waves])[None]
    equation = FitzHughNagumo(threshold=0.0)
    rate = Spectral(equation, grid, 0.01).rate(state, state[:, :0])
    bend = -((2 * torch.pi * 6) ** 2)
    u, v = state[:, 0], state[:, 1]
    assert isinstance(equation.diffusivity_u, float) and isinstance(equation.diffusivity_v, float)
    wanted = [
        equation.diffusivity_u * bend * u + u - v,
        equation.diffusivity_v * bend * v + u - v,
    ]
    torch.testing.assert_close(rate, torch.stack(wanted, 1), rtol=1e-6, atol=1e-18)


def test_what_was_made_without_gradients_serves_them_later() -> None:
    solver, u = Spectral(Burgers(0.02), Periodic((32,), (1.0,)), 0.01), torch.rand(1, 1, 32)
    with torch.inference_mode():
        solver.march(u, u[:, :0], 3)
    u = u.clone().requires_grad_()
    (slope,) = torch.autograd.grad(solver.march(u, u[:, :0], 3).sum(), u)
    assert slope.isfinite().all()


@dataclass(frozen=True)
class Drag(Semilinear):
    """The same for all modes."""

    def fields(self, axes: int) -> tuple[str, ...]:
        return ("speed",)

    def linear(self, modes: Modes) -> Tensor:
        return -torch.ones(1, 1, dtype=torch.float64)

    def nonlinear(self, spectrum: Tensor, modes: Modes) -> Tensor:
        return torch.zeros_like(spectrum)


def test_a_symbol_may_be_the_same_for_all_modes() -> None:
    u = torch.rand(2, 1, 16, dtype=torch.float64)
    found = Spectral(Drag(), Periodic((16,), (1.0,)), 0.1).march(u, u[:, :0], 10)
    torch.testing.assert_close(found, u * np.exp(-1.0))


def test_products_have_no_aliases() -> None:
    """A coarse grid gives the modes of a fine one, for as many factors as it was told of."""
    u = starts(Periodic((64,), (1.0,)))
    coarse, fine = u[..., ::4], u
    for degree, kept in ((2, 5), (3, 3)):
        few, many = (
            Modes(Periodic((n,), (1.0,)), degree, u).forward(x) / n
            for n, x in ((16, coarse), (64, fine))
        )
        modes = Modes(Periodic((16,), (1.0,)), degree, u)
        product = modes.forward(modes.back(16 * few) ** degree) / 16
        wanted = torch.fft.rfft(torch.fft.irfft(many * 64, 64) ** degree) / 64
        assert product.shape[-1] == kept + 1
        torch.testing.assert_close(product, wanted[..., : kept + 1])


def exponax_burgers(ex: Any, dt: float) -> Any:  # noqa: ANN401
    return ex.stepper.Burgers(1, 1.0, 64, dt, diffusivity=0.05, order=4)


def exponax_plane(ex: Any, dt: float) -> Any:  # noqa: ANN401
    return ex.stepper.Burgers(2, 1.0, 32, dt, diffusivity=0.1, order=4)


def exponax_kuramoto(ex: Any, dt: float) -> Any:  # noqa: ANN401
    return ex.stepper.KuramotoSivashinskyConservative(1, 22.0, 64, dt, order=4)


def exponax_fisher(ex: Any, dt: float) -> Any:  # noqa: ANN401
    return ex.stepper.reaction.FisherKPP(1, 20.0, 64, dt, diffusivity=1.0, reactivity=1.0, order=4)


def exponax_gray_scott(ex: Any, dt: float) -> Any:  # noqa: ANN401
    return ex.stepper.reaction.GrayScott(
        2, 32.0, 32, dt, diffusivity_1=0.2, diffusivity_2=0.1, feed_rate=0.04, kill_rate=0.06,
        order=4,
    )  # fmt: skip


def exponax_vorticity(ex: Any, dt: float) -> Any:  # noqa: ANN401
    """Its vorticity is positive if clockwise."""
    return ex.stepper.NavierStokesVorticity(
        2, 1.0, 32, dt, diffusivity=0.03, vorticity_convection_scale=-1.0, drag=-0.1, order=4
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("equation", "axes", "length", "dt", "middle", "swing", "theirs"),
    [
        pytest.param(
            Burgers(0.05), 1, 1.0, 0.005, 0.0, 1.0, exponax_burgers, marks=pytest.mark.slow
        ),
        pytest.param(Burgers(0.1), 2, 1.0, 0.005, 0.0, 1.0, exponax_plane, marks=pytest.mark.slow),
        (KuramotoSivashinsky(), 1, 22.0, 0.05, 0.0, 1.0, exponax_kuramoto),
        pytest.param(Fisher(), 1, 20.0, 0.05, 0.5, 0.4, exponax_fisher, marks=pytest.mark.slow),
        pytest.param(
            GrayScott(), 2, 32.0, 0.5, 0.5, 0.2, exponax_gray_scott, marks=pytest.mark.slow
        ),
        (Vorticity(0.03, 0.1), 2, 1.0, 0.01, 0.0, 3.0, exponax_vorticity),
    ],
    ids=["burgers", "burgers, plane", "kuramoto", "fisher", "gray-scott", "vorticity"],
)
def test_exponax_finds_the_same(
    equation: Semilinear,
    axes: int,
    length: float,
    dt: float,
    middle: float,
    swing: float,
    theirs: Callable[[Any, float], Any],
) -> None:
    """Up to the highest modes, of which it keeps one less. Dispersion is not compared: exponax
    0.2.0 drops the imaginary part of its weights, and is of first order there."""
    ex = pytest.importorskip("exponax")
    jax = pytest.importorskip("jax")
    grid = Periodic((64,) if axes == 1 else (32, 32), (length,) * axes)
    start = middle + swing * starts(grid, len(equation.fields(axes)))
    ours = Spectral(equation, grid, dt).march(start, start[:, :0], 20)
    with jax.enable_x64():
        step = jax.jit(ex.repeat(theirs(ex, dt), 20))
        found = np.stack([np.asarray(step(jax.numpy.asarray(one))) for one in start.numpy()])
    change = (ours - start).abs().max()
    assert change > 0.05
    assert (ours - torch.from_numpy(found)).abs().max() < 1e-5 * change
