"""Poisson's equation around bodies: it is answered, by both ways, and so is its adjoint."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from physgen.solvers.bodies import Body, Circle, Several
from physgen.solvers.immersion import Kernel
from physgen.solvers.poisson import (
    Axis,
    ConjugateGradients,
    Direct,
    Laplacian,
    Openness,
    differences,
    openness,
    project,
    solve,
)
from physgen.solvers.staggered import Grid

NX, NY = 40, 32
PERIODIC = [(False, False), (True, False), (False, True), (True, True)]
LIKE = torch.zeros(1, dtype=torch.float64)


def share(body: Body, points: tuple[Tensor, Tensor]) -> Tensor:
    return Kernel().zeroth(body.distance(*points).amin(1))


def around(body: Body, periodic: tuple[bool, bool]) -> tuple[Laplacian, Openness]:
    axes = Axis(NX, periodic[0]), Axis(NY, periodic[1])
    grid = Grid(NX, NY)
    return Laplacian(*axes, LIKE), openness(
        share(body, grid.faces_x(LIKE)), share(body, grid.faces_y(LIKE)), *axes
    )


def two_samples() -> Body:
    """One large circle in the first sample and one small in the second, and another in both."""
    first = Circle(torch.tensor([[12.3], [11.0]]), torch.tensor([[15.6], [17.2]]), 5.0)
    return Several([first, Circle(27.0, 14.0, torch.tensor([[4.4], [2.2]]))])


def right_side(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, NX, NY, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("periodic", PERIODIC)
def test_a_basis_makes_the_second_difference_diagonal(periodic: tuple[bool, bool]) -> None:
    axis = Axis(NX, periodic[0])
    basis = axis.at(torch.arange(NX)).flatten(0, 1)
    torch.testing.assert_close(basis @ basis.T, torch.eye(NX, dtype=torch.float64))
    padded = torch.cat(
        [basis[:, -1:], basis, basis[:, :1]] if axis.periodic
        else [basis[:, :1], basis, basis[:, -1:]], 1
    )  # fmt: skip
    image = padded.diff(dim=1).diff(dim=1)
    torch.testing.assert_close(image, axis.eigenvalues.flatten()[:, None] * basis)


@pytest.mark.parametrize("periodic", PERIODIC)
def test_the_direct_solver_leaves_no_residual(periodic: tuple[bool, bool]) -> None:
    laplacian, faces = around(two_samples(), periodic)
    right = faces.allowed(right_side())
    found = Direct().system(laplacian, faces).answer(right, right)
    residual = (faces.apply(found) - right) * faces.live
    assert float(residual.abs().max()) < 1e-10
    assert not bool(faces.live.all())


def test_conjugate_gradients_agree_with_the_direct_solver() -> None:
    laplacian, faces = around(two_samples(), (False, True))
    right = right_side()
    direct = solve(Direct().system(laplacian, faces), faces, right, right)
    system = ConjugateGradients(1e-11).system(laplacian, faces)
    found = solve(system, faces, right, torch.zeros_like(right))
    for dim, open_faces in ((1, faces.x), (2, faces.y)):
        flux, other = (open_faces * differences(p, dim) for p in (found, direct))
        torch.testing.assert_close(flux, other, atol=1e-9, rtol=0)


def test_a_converged_sample_does_not_wait_for_others() -> None:
    laplacian, faces = around(two_samples(), (False, False))
    right = right_side()
    right[1] = 0
    system = ConjugateGradients(1e-8).system(laplacian, faces)
    assert float(system.answer(right, torch.zeros_like(right))[1].abs().max()) == 0


def test_what_does_not_converge_says_so() -> None:
    laplacian, faces = around(two_samples(), (False, False))
    system = ConjugateGradients(1e-11, limit=3).system(laplacian, faces)
    with pytest.raises(FloatingPointError, match="did not converge: residual"):
        system.answer(right_side(), torch.zeros_like(right_side()))


def test_a_right_side_that_is_no_number_is_not_answered() -> None:
    """As it would be by the guess, if NaN were taken for converged."""
    laplacian, faces = around(two_samples(), (False, False))
    system = ConjugateGradients(1e-8).system(laplacian, faces)
    right = right_side()
    right[1, 3, 3] = math.nan
    with pytest.raises(FloatingPointError, match="right side is not finite in 1 of 2 samples"):
        system.answer(right, torch.zeros_like(right))


def test_a_batch_that_needs_too_much_memory_is_refused() -> None:
    laplacian, faces = around(two_samples(), (False, False))
    with pytest.raises(ValueError, match="use ConjugateGradients"):
        Direct(limit=1e4).system(laplacian, faces)


def test_fluid_enclosed_by_a_body_takes_no_part() -> None:
    ring = Circle(20.0, 16.0, 10.0) - Circle(20.0, 16.0, 6.0)
    laplacian, faces = around(ring, (False, False))
    assert not bool(faces.live[0, 18:22, 14:18].any())
    right = faces.allowed(right_side()[:1])
    found = Direct().system(laplacian, faces).answer(right, right)
    assert float(((faces.apply(found) - right) * faces.live).abs().max()) < 1e-10


@pytest.mark.parametrize("direct", [True, False])
def test_the_implicit_adjoint_is_the_gradient(direct: bool) -> None:
    laplacian, faces = around(two_samples(), (False, True))
    method = Direct() if direct else ConjugateGradients(1e-12)
    right, weight = right_side(), faces.allowed(right_side(1))

    def value(right: Tensor, x: Tensor, y: Tensor) -> Tensor:
        shape = replace(faces, x=x, y=y)
        found = solve(method.system(laplacian, shape), shape, right, torch.zeros_like(right))
        return (found.tanh() * weight).sum()

    parts = [right, faces.x, faces.y]
    wanted = [part.clone().requires_grad_() for part in parts]
    found = torch.autograd.grad(value(*wanted), wanted)
    generator = torch.Generator().manual_seed(2)
    for k, one in enumerate(found):
        # Faces that are fully open or shut stay so: only what the kernel cuts may change.
        cut = torch.ones_like(one) if k == 0 else ((parts[k] > 0.01) & (parts[k] < 0.99)).double()
        change = cut * torch.randn(one.shape, dtype=one.dtype, generator=generator)
        up, down = ([p + s * 1e-6 * change if j == k else p for j, p in enumerate(parts)]
                    for s in (1, -1))  # fmt: skip
        slope = (value(*up) - value(*down)) / 2e-6
        assert float((one * change).sum()) == pytest.approx(float(slope), rel=1e-5)


@pytest.mark.parametrize("periodic", PERIODIC)
def test_a_projection_is_its_parts_and_so_is_its_derivative(periodic: tuple[bool, bool]) -> None:
    laplacian, faces = around(two_samples(), periodic)
    generator = torch.Generator().manual_seed(3)
    wanted = [
        (torch.randn(part.shape, dtype=part.dtype, generator=generator) if k < 2 else part.clone())
        for k, part in enumerate([faces.x, faces.y, faces.x, faces.y])
    ]
    u, v, x, y = (one.requires_grad_() for one in wanted)
    shape, system = replace(faces, x=x, y=y), Direct().system(laplacian, faces)
    right = u.diff(dim=1) + v.diff(dim=2)
    found = solve(system, shape, right, torch.zeros_like(right))
    parts = u - x * differences(found, 1), v - y * differences(found, 2), found
    whole = project(system, shape, u, v, torch.zeros_like(right))
    slopes = [torch.randn(one.shape, dtype=one.dtype, generator=generator) for one in parts]
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    gradients = (torch.autograd.grad(outputs, wanted, slopes) for outputs in (whole, parts))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_small_gradient_is_not_lost_in_the_tolerance() -> None:
    laplacian, faces = around(two_samples(), (False, False))
    right = right_side().requires_grad_()
    system = ConjugateGradients(1e-6).system(laplacian, faces)
    found = solve(system, faces, right, torch.zeros_like(right))
    one, small = (
        torch.autograd.grad((scale * right_side(1) * found).sum(), right, retain_graph=True)[0]
        for scale in (1.0, 1e-9)
    )
    torch.testing.assert_close(small * 1e9, one, rtol=1e-6, atol=1e-9)


def test_an_odd_number_of_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="must be even"):
        Axis(31, False)
