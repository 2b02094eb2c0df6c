"""Burgers and waves between walls: published discretisation, exact solutions, what is kept."""

import math

import pytest
import torch
from torch import Tensor

from physgen.solvers.burgers import cole_hopf
from physgen.solvers.evolution import constant, drive, residual
from physgen.solvers.starts import smooth_between_walls
from physgen.solvers.walled import Walled
from physgen.solvers.walled_burgers import WalledBurgers, eight_pushes, two_humps
from physgen.solvers.wave import Wave

LIKE = torch.zeros(1, dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def burgers_arch(solver: WalledBurgers, time: float) -> Tensor:
    """The solution from sin(pi x), whose odd continuation is periodic (Cole and Hopf)."""
    (x,) = solver.grid.places(LIKE)
    if time == 0:
        return torch.sin(torch.pi * x)[None, None]
    nu = solver.viscosity
    return cole_hopf(x, time, nu, lambda y: -torch.cos(torch.pi * y) / torch.pi)[None, None]


def test_a_state_holds_its_own_points_alone() -> None:
    """Not those of all the steps before it, in whose memory a batch of one could lie."""
    state, force = torch.zeros(1, 1, 128), torch.ones(1, 1, 128, requires_grad=True)
    last = WalledBurgers().march(state, force, 50)
    assert last.untyped_storage().nbytes() == 4 * 128


def test_a_step_is_that_of_diffphycon_to_the_letter() -> None:
    solver = WalledBurgers()
    (x,) = solver.grid.places(LIKE)
    u, w = two_humps(3, x, generator()), eight_pushes(3, 10, x, generator(1))[:, 0]
    dx, n = 1 / 129, 128
    slope = (torch.diag(torch.ones(n - 1), 1) - torch.diag(torch.ones(n - 1), -1)).double()
    bend = slope.abs() - 2 * torch.eye(n)
    rate = -0.5 * u**2 @ slope.T / (2 * dx) + 0.01 * u @ bend.T / dx**2 + w
    torch.testing.assert_close(solver.step(u, w), u + 1e-4 * rate, atol=1e-14, rtol=1e-12)
    torch.testing.assert_close(x[0] - 0, 1 - x[-1])


def test_data_of_diffphycon_have_its_scale() -> None:
    """Means of a few trajectories of the published code: energy 755, square of the final state 0.205,
    and of the miss if nothing is done 0.145."""
    solver = WalledBurgers(dt=5e-4)
    (x,) = solver.grid.places(LIKE)
    u, w = two_humps(1000, x, generator()), eight_pushes(1000, 10, x, generator(1))
    assert w.square().flatten(1).sum(1).mean().item() == pytest.approx(755, rel=0.1)
    assert (u + u.flip(-1)).mean(0).abs().max() < 0.1 < u.mean(0).max()  # mirrored in the mean
    few = slice(0, 400)
    last = drive(solver, u[few], w[few], 200)[:, -1]
    alone = drive(solver, u[few], 0 * w[few], 200)[:, -1]
    assert last.square().mean().item() == pytest.approx(0.205, rel=0.2)
    assert (last - alone).square().mean().item() == pytest.approx(0.145, rel=0.3)


def test_walled_burgers_is_of_second_order_in_space_and_first_in_time() -> None:
    errors = []
    for points, dt in ((31, 2e-3), (63, 5e-4), (127, 1.25e-4)):
        solver = WalledBurgers(points, 0.05, dt)
        start = burgers_arch(solver, 0.0)
        found = solver.march(start, start[:, :0], round(0.3 / dt))
        errors.append((found - burgers_arch(solver, 0.3)).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_the_residual_of_walled_burgers_falls_with_the_grid_on_an_exact_solution() -> None:
    """A spacing that is wrong by a factor would leave a residual of the size of the terms."""
    sizes = []
    for points, interval in ((63, 0.02), (127, 0.01)):
        solver = WalledBurgers(points, 0.05, 1e-5)
        states = torch.stack([burgers_arch(solver, 0.3 + k * interval) for k in (0, 1)], 1)
        none = constant(states[:, 0, :0], 1)
        sizes.append(residual(solver, states, none, interval).abs().max().item())
    assert sizes[0] < 0.05
    assert sizes[0] / sizes[1] == pytest.approx(4, rel=0.15)


def test_a_standing_wave_swings_at_the_frequency_of_the_grid() -> None:
    r""":math:`\sin(\omega \Delta t / 2) = (c \Delta t / \Delta x) \sin(k \Delta x / 2)`."""
    grid, dt, speed = Walled((31,), (2.0,)), 0.01, 3.0
    (h,), (x,) = grid.spacing, grid.places(LIKE)
    k = 3 * math.pi / 2
    still = torch.stack([torch.sin(k * x), 0 * x])[None]
    found = Wave(grid, dt, speed).march(still, still[:, :0], 37)
    turn = 2 * math.asin(speed * dt / h * math.sin(k * h / 2))
    torch.testing.assert_close(found[:, 0], math.cos(37 * turn) * still[:, 0])


def test_at_the_longest_step_waves_on_a_string_are_exact() -> None:
    """A hump parts into two of half its height, which the walls turn over."""
    grid = Walled((99,), (1.0,))
    (x,) = grid.places(LIKE)

    def hump(place: Tensor) -> Tensor:
        return torch.exp(-((place / 0.05) ** 2))

    start = torch.stack([hump(x - 0.5), 0 * x])[None]
    solver = Wave(grid, 0.01)
    apart = solver.march(start, start[:, :0], 20)[0, 0]
    torch.testing.assert_close(apart, 0.5 * (hump(x - 0.3) + hump(x - 0.7)), atol=1e-10, rtol=0)
    turned = solver.march(start, start[:, :0], 100)[0, 0]
    torch.testing.assert_close(turned, -hump(x - 0.5), atol=1e-10, rtol=0)


def test_waves_are_of_second_order() -> None:
    errors = []
    for n in (15, 31):
        grid = Walled((n, n), (1.0, 1.0))
        x, y = grid.places(LIKE)
        shape = torch.sin(torch.pi * x) * torch.sin(2 * torch.pi * y)
        start = torch.stack([shape, 0 * shape])[None]
        solver = Wave(grid, 0.5 / (n + 1))
        found = solver.march(start, start[:, :0], 2 * (n + 1))
        exact = math.cos(math.sqrt(5.0) * math.pi) * shape
        errors.append((found[0, 0] - exact).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)


def test_waves_turn_back_and_keep_their_energy() -> None:
    grid = Walled((31, 31), (1.0, 1.0))
    start = smooth_between_walls(grid, 2, 2, 4, generator())
    speed = 1 + 0.3 * smooth_between_walls(grid, 1, 1, 3, generator(1))[0, 0]
    solver = Wave(grid, 0.005, speed)
    there = drive(solver, start, constant(start[:, :0], 10), 40)
    energy = torch.stack([solver.energy(u) for u in there.unbind(1)])
    torch.testing.assert_close(energy, energy[:1].expand_as(energy), atol=0, rtol=0.01)
    turned = there[:, -1] * torch.tensor([1.0, -1.0])[:, None, None]
    back = solver.march(turned, start[:, :0], 400) * torch.tensor([1.0, -1.0])[:, None, None]
    torch.testing.assert_close(back, start, atol=1e-11, rtol=0)


def test_the_speed_of_waves_has_a_gradient() -> None:
    grid = Walled((31,), (1.0,))
    start = smooth_between_walls(grid, 2, 2, 4, generator())
    nudge = smooth_between_walls(grid, 1, 1, 3, generator(1))[0, 0]

    def last(speed: Tensor) -> Tensor:
        return Wave(grid, 0.01, speed).march(start, start[:, :0], 50)[:, 0, 7].sum()

    speed = torch.ones(31, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(last(speed), speed)
    plain = speed.detach()
    apart = (last(plain + 1e-5 * nudge) - last(plain - 1e-5 * nudge)) / 2e-5
    torch.testing.assert_close((slope * nudge).sum(), apart, atol=1e-7, rtol=1e-6)


def test_steps_that_are_too_long_are_refused_with_the_longest() -> None:
    with pytest.raises(ValueError, match=r"must not exceed dx\^2 / \(2 nu\) = 0.003 s .*got 0.01"):
        WalledBurgers(128, dt=1e-2)
    fast = torch.full((1, 1, 128), 20.0)
    with pytest.raises(ValueError, match=r"at 20 m/s an explicit step must not exceed .* 5e-05 s"):
        WalledBurgers().step(fast, fast[:, :0])
    with pytest.raises(ValueError, match=r"step must not exceed 0.00781\d s .*CFL"):
        Wave(Walled((63,), (1.0,)), 0.02, 2.0)
    with pytest.raises(ValueError, match=r"speed and dt must be positive, got -1 and 0.1"):
        Wave(Walled((63,), (1.0,)), 0.1, -1.0)
    with pytest.raises(ValueError, match=r"a speed needs the points \(63,\), got \(5,\)"):
        Wave(Walled((63,), (1.0,)), 0.1, torch.ones(5))
    with pytest.raises(ValueError, match="points along an axis must be at least 2"):
        Walled((1,), (1.0,))
