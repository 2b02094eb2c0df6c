"""Darcy, Poisson and Helmholtz: exact solutions, balance, adjoints, and two ways that agree."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from physgen.solvers.darcy import Darcy
from physgen.solvers.elliptic import (
    Cells,
    Inversion,
    SineConjugateGradients,
    SparseFactors,
    Steady,
)
from physgen.solvers.helmholtz import Helmholtz

LIKE = torch.zeros(1, dtype=torch.float64)
TIGHT = SineConjugateGradients(1e-11)
both = pytest.mark.parametrize("inversion", [SparseFactors(), TIGHT], ids=["direct", "iterative"])


def box(*counts: int) -> Cells:
    return Cells(counts, (1.0, 1.5)[: len(counts)])


def patches(cells: Cells, count: int, seed: int = 0) -> Tensor:
    """Permeabilities of 3 and 12 at random, and sources."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 1, *[n // 4 for n in cells.cells], generator=draw)
    where = coarse.repeat_interleave(4, 2).repeat_interleave(4, -1) > 0
    source = torch.randn(count, 1, *cells.cells, generator=draw, dtype=torch.float64)
    return torch.cat([torch.where(where, 12.0, 3.0).double(), 1 + 0.3 * source], 1)


def manufactured_darcy(cells: Cells) -> tuple[Tensor, Tensor]:
    """u = sin(pi x) sin(pi y / 1.5) and a = 2 + x y: boundary data and state."""
    x, y = cells.places(LIKE)
    p, q = math.pi, math.pi / 1.5
    u = torch.sin(p * x) * torch.sin(q * y)
    a = 2 + x * y
    slope_x = p * torch.cos(p * x) * torch.sin(q * y)
    slope_y = q * torch.sin(p * x) * torch.cos(q * y)
    f = a * (p**2 + q**2) * u - y * slope_x - x * slope_y
    return torch.stack([a, f])[None], u[None, None]


def manufactured_helmholtz(cells: Cells) -> tuple[Tensor, Tensor]:
    """u = sin(2 pi x) sin(pi y / 1.5) under k = 7, between eigenvalues."""
    x, y = cells.places(LIKE)
    u = torch.sin(2 * math.pi * x) * torch.sin(math.pi / 1.5 * y)
    f = (49 - 4 * math.pi**2 - (math.pi / 1.5) ** 2) * u
    return f[None, None], u[None, None]


def helmholtz_7(cells: Cells) -> Steady:
    return Helmholtz(cells, 7.0)


@pytest.mark.parametrize(
    ("equation", "exact"), [(Darcy, manufactured_darcy), (helmholtz_7, manufactured_helmholtz)]
)
def test_solutions_and_residuals_are_of_second_order(
    equation: Callable[[Cells], Steady], exact: Callable[[Cells], tuple[Tensor, Tensor]]
) -> None:
    """The residual of an exact solution too, which a wrong spacing would leave as large as f."""
    errors, residuals = [], []
    for n in (16, 32, 64):
        cells = box(n, n)
        boundary, u = exact(cells)
        solver = equation(cells)
        errors.append((solver.solve(boundary) - u).norm().item() / n)
        inner = solver.residual(u, boundary)[..., 1:-1, 1:-1]
        residuals.append(inner.abs().max().item() / boundary[:, -1].abs().max().item())
    assert residuals[0] < 0.15
    for sizes in (errors, residuals):
        assert sizes[0] / sizes[1] == pytest.approx(4, rel=0.15)
        assert sizes[1] / sizes[2] == pytest.approx(4, rel=0.1)


@both
def test_the_solution_leaves_no_residual(inversion: Inversion) -> None:
    cells = box(16, 24)
    boundary = patches(cells, 3)
    darcy, poisson = Darcy(cells, inversion), Helmholtz(cells, 0.0, inversion)
    assert darcy.residual(darcy.solve(boundary), boundary).abs().max() < 1e-8
    source = boundary[:, 1:]
    assert poisson.residual(poisson.solve(source), source).abs().max() < 1e-8


def test_a_jump_between_cells_is_exact() -> None:
    """Two layers in line and no source within: kinks, and the fluxes of both are one."""
    cells = box(16)
    (x,) = cells.places(LIKE)
    permeability = torch.where(x < 0.5, 3.0, 12.0)
    point = torch.zeros_like(x)
    point[3] = 16.0  # a unit source within one cell
    found = Darcy(cells).solve(torch.stack([permeability, point])[None])[0, 0]
    place = float(x[3])
    resistance = place / 3, (0.5 - place) / 3 + 0.5 / 12
    top = resistance[0] * resistance[1] / sum(resistance)
    right = top / resistance[1] * ((0.5 - x).clamp(min=0) / 3 + (1 - x.clamp(min=0.5)) / 12)
    wanted = torch.where(x <= place, top * x / place, right)
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=0)


def test_what_the_sources_give_flows_out_through_the_walls() -> None:
    cells = box(16, 24)
    boundary = patches(cells, 2)
    u = Darcy(cells).solve(boundary)[:, 0]
    out = cells.outflow(boundary[:, 0], u)
    torch.testing.assert_close(out, boundary[:, 1].sum((1, 2)))


def test_both_ways_agree_and_a_batch_is_its_samples() -> None:
    cells = box(16, 24)
    boundary = patches(cells, 3)
    direct = Darcy(cells).solve(boundary)
    torch.testing.assert_close(Darcy(cells, TIGHT).solve(boundary), direct, atol=1e-9, rtol=1e-8)
    for inversion in (SparseFactors(), TIGHT):
        solver = Darcy(cells, inversion)
        alone = [solver.solve(one[None]) for one in boundary]
        torch.testing.assert_close(torch.cat(alone), solver.solve(boundary), atol=1e-10, rtol=1e-9)
    single = Darcy(cells, SineConjugateGradients(1e-5)).solve(boundary.float())
    assert single.dtype == torch.float32
    assert (single - direct).abs().max() < 1e-3 * direct.abs().max()


@pytest.mark.parametrize("ratio", [4.0, 1e6])
def test_the_residual_is_the_true_one_in_single_precision_too(ratio: float) -> None:
    """That of an iteration parts from it, the more so the more the permeability varies."""
    cells, tolerance = box(32, 32), 1e-6
    boundary = patches(cells, 2).float()
    boundary[:, 0] = torch.where(boundary[:, 0] > 5, ratio, 1.0)
    darcy = Darcy(cells, SineConjugateGradients(tolerance, limit=1000))
    exact, u = boundary.double(), darcy.solve(boundary).double()
    rounding = torch.finfo(torch.float32).eps * cells.strength(exact[:, 0], 0.0) * u[:, 0]
    allowed = torch.maximum(
        tolerance * exact[:, 1].flatten(1).norm(dim=1), rounding.flatten(1).norm(dim=1)
    )
    left = darcy.residual(u, exact).flatten(1).norm(dim=1)
    assert (left < 1.05 * allowed).all()
    assert (left > 10 * tolerance * exact[:, 1].flatten(1).norm(dim=1)).all()  # it is rounding


def test_the_count_of_iterations_does_not_depend_on_the_grid() -> None:
    for n in (16, 64):
        boundary = patches(box(n, n), 2)
        Darcy(box(n, n), SineConjugateGradients(1e-6, limit=30)).solve(boundary)
    with pytest.raises(FloatingPointError, match=r"did not converge: residual .* after 3 iterat"):
        Darcy(box(16, 16), SineConjugateGradients(1e-6, limit=3)).solve(patches(box(16, 16), 2))


@both
def test_gradients_are_those_of_differences(inversion: Inversion) -> None:
    cells = box(8, 12)
    boundary = patches(cells, 2).requires_grad_()
    weight, nudge = (
        torch.randn(2, k, 8, 12, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        for k in (1, 2)
    )
    solver = Darcy(cells, inversion)
    (slope,) = torch.autograd.grad((solver.solve(boundary) * weight).sum(), boundary)
    plain, h = boundary.detach(), 1e-4
    ahead, behind = ((solver.solve(plain + s * nudge) * weight).sum() for s in (h, -h))
    torch.testing.assert_close(
        (slope * nudge).sum(), (ahead - behind) / (2 * h), rtol=1e-6, atol=0
    )
    for channel in (0, 1):
        assert (slope[:, channel] * nudge[:, channel]).sum().abs() > 1e-4


def test_a_gradient_that_is_no_number_is_not_answered_by_zero() -> None:
    """As it would be by an iteration that takes NaN for converged."""
    cells = box(8, 8)
    boundary = patches(cells, 2).requires_grad_()
    cost = Darcy(cells, TIGHT).solve(boundary)[0].sum() * math.nan
    with pytest.raises(FloatingPointError, match="right side is not finite in 1 of 2 samples"):
        torch.autograd.grad(cost, boundary)


def test_nonsense_is_refused() -> None:
    cells = box(8, 8)
    boundary = patches(cells, 1)
    with pytest.raises(ValueError, match=r"permeabilities must be positive .* got -3 at least"):
        Darcy(cells).solve(-boundary.abs() / boundary.abs() * 3)
    with pytest.raises(ValueError, match=r"channels on \(8, 8\) cells, got \(2, 8, 7\)"):
        Darcy(cells).solve(boundary[..., 1:])
    with pytest.raises(ValueError, match=r"q below the lowest eigenvalue, surely .* got 49"):
        Helmholtz(cells, 7.0, SineConjugateGradients()).solve(boundary[:, 1:])
    with pytest.raises(ValueError, match="a source must be finite"):
        Helmholtz(cells).solve(boundary[:, 1:] * math.nan)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        Helmholtz(cells, -1.0)
    line = box(8)
    resonant = math.sqrt(float(line.eigenvalues[2]))  # of the grid, near (3 pi)^2
    with pytest.raises(ValueError, match=r"is an eigenvalue of this box: .* cells or lengths"):
        Helmholtz(line, resonant)
