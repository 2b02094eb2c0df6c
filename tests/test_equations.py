"""One contract for every equation of the catalogue, and what exact solutions say of each."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from physgen.solvers.burgers import Burgers, cole_hopf
from physgen.solvers.catalogue import CATALOGUE, Problem
from physgen.solvers.evolution import Evolution, constant, drive, residual
from physgen.solvers.exponential import Semilinear, Spectral
from physgen.solvers.fisher import Fisher, two_fronts
from physgen.solvers.fitzhugh_nagumo import FitzHughNagumo
from physgen.solvers.gray_scott import GrayScott
from physgen.solvers.heat import Heat
from physgen.solvers.korteweg_de_vries import KortewegDeVries, soliton, two_solitons
from physgen.solvers.kuramoto_sivashinsky import KuramotoSivashinsky
from physgen.solvers.periodic import Modes, Periodic
from physgen.solvers.starts import smooth, smooth_between_walls
from physgen.solvers.transport import Transport
from physgen.solvers.vorticity import Vorticity, taylor_green, velocity
from physgen.solvers.walled import Walled

every = pytest.mark.parametrize("problem", CATALOGUE, ids=lambda problem: problem.name)
TURN = 2 * math.pi


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def begun(problem: Problem, count: int = 3) -> tuple[Tensor, Tensor]:
    """States and boundary data to try a problem on."""
    state = problem.start(count, generator())
    shape = (count, problem.controls, *state.shape[2:])
    return state, 0.1 * torch.randn(shape, generator=generator(1), dtype=torch.float64)


def still(state: Tensor) -> Tensor:
    """No boundary data."""
    return state[:, :0]


def marched(solver: Evolution, state: Tensor, time: float) -> Tensor:
    return solver.march(state, still(state), round(time / solver.dt))


# The contract


@every
def test_a_batch_is_its_simulations(problem: Problem) -> None:
    state, boundary = begun(problem)
    together = problem.solver.march(state, boundary, 5)
    alone = [problem.solver.march(state[k:][:1], boundary[k:][:1], 5) for k in range(len(state))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-12, rtol=1e-12)


@every
def test_single_precision_is_the_same_simulation(problem: Problem) -> None:
    state, boundary = begun(problem)
    exact = problem.solver.march(state, boundary, 5)
    single = problem.solver.march(state.float(), boundary.float(), 5)
    assert single.dtype == torch.float32
    assert (single - exact).abs().max() < 1e-4 * exact.abs().max()


@every
def test_one_march_is_its_steps(problem: Problem) -> None:
    state, boundary = begun(problem)
    stepped = state
    for _ in range(3):
        stepped = problem.solver.step(stepped, boundary)
    torch.testing.assert_close(problem.solver.march(state, boundary, 3), stepped)


@every
def test_the_rate_is_where_a_short_step_leads(problem: Problem) -> None:
    state, boundary = begun(problem)
    rate, dt = problem.solver.rate(state, boundary), 1e-7
    change = problem.with_step(dt).step(state, boundary) - state
    assert (change / dt - rate).norm() < 1e-3 * rate.norm()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@every
def test_gradients_are_those_of_differences_and_of_the_adjoint(problem: Problem) -> None:
    r"""The same number thrice: :math:`\langle J v, w \rangle` by differences, forward, back."""
    state, boundary = begun(problem, 2)
    v, b, w = (
        torch.randn(x.shape, generator=generator(k), dtype=x.dtype)
        for k, x in enumerate((state, boundary, state))
    )

    def ends(state: Tensor, boundary: Tensor) -> Tensor:
        return problem.solver.march(state, boundary, 4)

    h = 1e-5
    apart = ends(state + h * v, boundary + h * b) - ends(state - h * v, boundary - h * b)
    differences = (apart / (2 * h) * w).sum()
    forward = torch.func.jvp(ends, (state, boundary), (v, b))[1]
    followed = [x.clone().requires_grad_() for x in (state, boundary)]
    controls = constant(followed[1], 2)
    last = drive(problem.solver, followed[0], controls, 2)[:, -1]
    back = torch.autograd.grad((last * w).sum(), followed)
    backward = (back[0] * v).sum() + (back[1] * b).sum()
    torch.testing.assert_close((forward * w).sum(), backward, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(differences, backward, atol=1e-6, rtol=1e-6)


@every
def test_the_residual_of_a_true_trajectory_falls_with_the_square_of_its_interval(
    problem: Problem,
) -> None:
    state, boundary = begun(problem, 2)
    solver, sizes = problem.with_step(problem.solver.dt / 8), []
    state = solver.march(
        state, boundary, 16 * problem.saved
    )  # the roughness of the forcing is smoothed
    for steps in (4 * problem.saved, 2 * problem.saved):
        controls = constant(boundary, 1)
        trajectory = drive(solver, state, controls, steps)
        found = residual(solver, trajectory, controls, steps * solver.dt)
        sizes.append(found.norm() / solver.rate(state, boundary).norm())
    assert sizes[0] < 0.1
    assert 3 < sizes[0] / sizes[1] < 5


@every
def test_bad_states_are_refused_in_one_line(problem: Problem) -> None:
    state, boundary = begun(problem)
    with pytest.raises(ValueError, match=r"points, got .*: was it made for another grid\?"):
        problem.solver.step(state[..., 1:], boundary[..., 1:])
    with pytest.raises(ValueError, match=r"a state must have \d channels on"):
        problem.solver.rate(state.repeat(1, 2, *[1] * (state.ndim - 2)), boundary)
    with pytest.raises(ValueError, match="steps of an interval must be at least 1, got 0"):
        drive(problem.solver, state, constant(boundary, 1), 0)
    state[1, ..., 5] = math.nan
    with pytest.raises(FloatingPointError, match="1 of 3 simulations are not finite after"):
        drive(problem.solver, state, constant(boundary, 1), 1)


def test_one_seed_gives_one_field_on_grids_of_any_fineness() -> None:
    coarse, fine = (
        smooth(Periodic((n, 2 * n), (1.0, 2.0)), 2, 3, 4, generator()) for n in (12, 36)
    )
    torch.testing.assert_close(fine[..., ::3, ::3], coarse, atol=1e-12, rtol=0)
    assert (fine.abs().amax((2, 3)) - 1).abs().max() < 0.04
    coarse, fine = (
        smooth_between_walls(Walled((n,), (1.0,)), 1, 3, 4, generator()) for n in (7, 31)
    )
    torch.testing.assert_close(fine[..., 3::4], coarse, atol=1e-12, rtol=0)


# Exact solutions


def test_advection_carries_any_field_without_error() -> None:
    grid = Periodic((48, 32), (2.0, 1.0))
    start = smooth(grid, 1, 2, 5, generator())
    solver = Spectral(Transport((2.0, 0.5)), grid, 0.25)
    found = solver.march(start, still(start), 2)
    torch.testing.assert_close(found, start.roll((24, 8), (2, 3)), atol=1e-12, rtol=0)


def test_a_sine_decays_at_the_exact_rate() -> None:
    grid = Periodic((32, 16), (2.0, 1.0))
    x, y = grid.places(torch.zeros(1, dtype=torch.float64))
    start = (torch.sin(TURN * x) * torch.cos(2 * TURN * y) + 3)[None, None]
    found = Spectral(Heat(0.02), grid, 0.7).step(start, still(start))
    fade = math.exp(-0.02 * 0.7 * (TURN**2 + (2 * TURN) ** 2))
    torch.testing.assert_close(found - 3, fade * (start - 3), atol=1e-13, rtol=0)


def test_heat_under_a_constant_source_is_exact() -> None:
    grid = Periodic((16,), (1.0,))
    (x,) = grid.places(torch.zeros(1, dtype=torch.float64))
    source = torch.sin(TURN * x)[None, None]
    found = Spectral(Heat(0.05), grid, 2.0).step(torch.zeros_like(source), source)
    rate = 0.05 * TURN**2
    torch.testing.assert_close(found, -math.expm1(-2.0 * rate) / rate * source)


def burgers_waves(points: int, time: float) -> Tensor:
    """Cole and Hopf's solution from u = 0.8 sin(2 pi x) + 0.3 cos(4 pi x), nu = 0.05."""
    (x,) = Periodic((points,), (1.0,)).places(torch.zeros(1, dtype=torch.float64))
    if time == 0:
        return (0.8 * torch.sin(TURN * x) + 0.3 * torch.cos(2 * TURN * x))[None, None]

    def potential(y: Tensor) -> Tensor:
        whole = 0.15 * torch.sin(2 * TURN * y) - 0.8 * torch.cos(TURN * y)
        return whole / TURN

    return cole_hopf(x, time, 0.05, potential)[None, None]


def test_burgers_is_the_solution_of_cole_and_hopf() -> None:
    start = burgers_waves(64, 0.0)
    found = marched(Spectral(Burgers(0.05), Periodic((64,), (1.0,)), 0.005), start, 0.5)
    torch.testing.assert_close(found, burgers_waves(64, 0.5), atol=1e-8, rtol=0)


def test_burgers_along_a_diagonal_is_burgers_on_a_line() -> None:
    r"""A wave :math:`u = v = w(x + y)` obeys :math:`w_t + 2 w w' = 2 \nu w''`."""
    line, square = Periodic((32,), (1.0,)), Periodic((32, 32), (1.0, 1.0))
    start = 0.5 * smooth(line, 1, 1, 3, generator())
    spread = torch.arange(32)[:, None] + torch.arange(32)
    plane = start[0, 0][spread % 32].expand(1, 2, 32, 32).contiguous()
    one = marched(Spectral(Burgers(0.06), line, 0.005), 2 * start, 0.2) / 2
    two = marched(Spectral(Burgers(0.03), square, 0.005), plane, 0.2)
    wanted = one[0, 0][spread % 32].expand(1, 2, 32, 32)
    torch.testing.assert_close(two, wanted, atol=2e-5, rtol=0)


def test_a_soliton_keeps_its_shape() -> None:
    grid = Periodic((128,), (40.0,))
    (x,) = grid.places(torch.zeros(1, dtype=torch.float64))
    start = soliton(x, 0.0, 1.5, 10.0, 40.0)[None, None]
    found = marched(Spectral(KortewegDeVries(), grid, 0.02), start, 6.0)
    torch.testing.assert_close(found[0, 0], soliton(x, 6.0, 1.5, 10.0, 40.0), atol=1e-5, rtol=0)


def test_solitons_pass_through_one_another() -> None:
    grid = Periodic((192,), (50.0,))
    (x,) = grid.places(torch.zeros(1, dtype=torch.float64))
    speeds, places = (4.0, 1.0), (10.0, 20.0)
    start = two_solitons(x, 0.0, speeds, places)[None, None]
    found = marched(Spectral(KortewegDeVries(), grid, 0.01), start, 5.0)
    wanted = two_solitons(x, 5.0, speeds, places)
    torch.testing.assert_close(found[0, 0], wanted, atol=3e-3, rtol=0)


def test_fronts_of_fisher_run_at_their_speed() -> None:
    grid = Periodic((256,), (120.0,))
    (x,) = grid.places(torch.zeros(1, dtype=torch.float64))
    start = two_fronts(x, 0.0, 60.0, 30.0)[None, None]
    found = marched(Spectral(Fisher(), grid, 0.05), start, 6.0)
    wanted = two_fronts(x, 6.0, 60.0, 30.0)
    torch.testing.assert_close(found[0, 0], wanted, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("equation", "slope"),
    [
        (GrayScott(), lambda u, v: (-u * v**2 + 0.04 * (1 - u), u * v**2 - 0.1 * v)),
        (FitzHughNagumo(), lambda u, v: (u - u**3 - 5e-3 - v, u - v)),
        (Fisher(), lambda u: (u * (1 - u),)),
    ],
)
def test_what_is_even_in_space_reacts_as_in_a_stirred_tank(
    equation: Semilinear, slope: Callable[..., tuple[float, ...]]
) -> None:
    begin = [0.4, 0.3][: len(equation.fields(1))]
    start = torch.tensor(begin, dtype=torch.float64).view(1, -1, 1).repeat(1, 1, 8)
    found = marched(Spectral(equation, Periodic((8,), (1.0,)), 0.05), start, 5.0)
    exact = solve_ivp(lambda _, u: slope(*u), (0, 5), begin, rtol=1e-11, atol=1e-12).y[:, -1]
    wanted = torch.tensor(exact).view(1, -1, 1).expand(found.shape)
    torch.testing.assert_close(found, wanted, atol=1e-7, rtol=0)


def test_taylor_green_vortices_fade_at_their_rate() -> None:
    grid = Periodic((32, 32), (TURN, TURN))
    x, y = grid.places(torch.zeros(1, dtype=torch.float64))
    start = taylor_green(x, y, 0.0, 0.05, 2)[None, None]
    found = marched(Spectral(Vorticity(0.05), grid, 0.05), start, 2.0)
    wanted = taylor_green(x, y, 2.0, 0.05, 2)
    torch.testing.assert_close(found[0, 0], wanted, atol=1e-11, rtol=0)


def test_a_stream_that_is_forced_across_is_kolmogorovs() -> None:
    """Under the force sin(n y), and below the threshold of turning, sin(n y) / (nu n^2)."""
    grid, n = Periodic((16, 32), (TURN, TURN)), 2
    _, y = grid.places(torch.zeros(1, dtype=torch.float64))
    force = (-n * torch.cos(n * y))[None, None]
    solver = Spectral(Vorticity(0.5), grid, 0.3)
    found = solver.march(0.01 * smooth(grid, 1, 1, 3, generator()), force, 100)
    torch.testing.assert_close(found, force / (0.5 * n**2), atol=1e-6, rtol=0)


# What is conserved


@pytest.mark.parametrize(
    ("equation", "length"), [(Burgers(0.02), 1.0), (KortewegDeVries(), 20.0),
    (KuramotoSivashinsky(), 22.0), (Heat(), 1.0)],
)  # fmt: skip
def test_the_mean_stays(equation: Semilinear, length: float) -> None:
    grid = Periodic((64,), (length,))
    start = 0.3 + smooth(grid, 1, 2, 4, generator())
    found = Spectral(equation, grid, 0.005).march(start, still(start), 100)
    torch.testing.assert_close(found.mean(-1), start.mean(-1), atol=1e-13, rtol=0)
    assert (found - start).abs().max() > 0.1


def test_kdv_keeps_momentum_and_energy() -> None:
    grid = Periodic((128,), (20.0,))
    start = smooth(grid, 1, 2, 3, generator())
    found = marched(Spectral(KortewegDeVries(), grid, 0.004), start, 0.8)
    modes = Modes(grid, 2, start)

    def invariants(u: Tensor) -> Tensor:
        slope = modes.back(modes.slope(modes.forward(u), 0))
        return torch.stack([u.square().mean(-1), (u**3 - 0.5 * slope.square()).mean(-1)])

    assert (found - start).abs().max() > 0.5
    torch.testing.assert_close(invariants(found), invariants(start), atol=1e-6, rtol=1e-5)


def test_an_ideal_flow_keeps_energy_and_enstrophy() -> None:
    """On any grid, as products are free of aliases; what is lost falls with the time step."""
    grid = Periodic((32, 32), (TURN, TURN))
    start = 3 * smooth(grid, 1, 2, 4, generator())
    modes = Modes(grid, 2, start)

    def invariants(u: Tensor) -> Tensor:
        speed = [modes.back(part) for part in velocity(modes.forward(u)[:, 0], modes)]
        energy = sum(part.square().mean((1, 2)) for part in speed)
        return torch.stack([torch.as_tensor(energy), u.square().mean((1, 2, 3))])

    solver = Spectral(Vorticity(0.0), grid, 0.01)
    found = marched(solver, start, 1.0)
    assert (found - start).abs().max() > 1.0
    torch.testing.assert_close(invariants(found), invariants(start), atol=0, rtol=1e-6)


# Residuals


def waves_of_burgers(points: int, interval: float) -> tuple[Evolution, Tensor]:
    states = [burgers_waves(points, 0.3 + interval * n) for n in range(3)]
    return Spectral(Burgers(0.05), Periodic((points,), (1.0,)), 0.01), torch.stack(states, 1)


def crest_of_kdv(points: int, interval: float) -> tuple[Evolution, Tensor]:
    grid = Periodic((points,), (40.0,))
    (x,) = grid.places(torch.zeros(1, dtype=torch.float64))
    states = [soliton(x, interval * n, 1.5, 10.0, 40.0) for n in range(3)]
    return Spectral(KortewegDeVries(), grid, 0.01), torch.stack(states)[None, :, None]


def fronts_of_fisher(points: int, interval: float) -> tuple[Evolution, Tensor]:
    grid = Periodic((points,), (120.0,))
    (x,) = grid.places(torch.zeros(1, dtype=torch.float64))
    states = [two_fronts(x, interval * n, 60.0, 30.0) for n in range(3)]
    return Spectral(Fisher(), grid, 0.01), torch.stack(states)[None, :, None]


@pytest.mark.parametrize(
    ("exact", "points", "interval", "scale"),
    [
        (waves_of_burgers, 64, 0.02, 5.0),
        (crest_of_kdv, 192, 0.04, 1.0),
        (fronts_of_fisher, 256, 0.2, 0.3),
    ],
)
def test_the_residual_of_an_exact_solution_is_of_second_order_in_time_and_none_in_space(
    exact: Callable[[int, float], tuple[Evolution, Tensor]],
    points: int,
    interval: float,
    scale: float,
) -> None:
    """A wrong spacing would leave a residual of the size of the terms themselves."""

    def size(points: int, interval: float) -> float:
        solver, trajectory = exact(points, interval)
        none = constant(trajectory[:, 0, :0], 2)
        found: float = residual(solver, trajectory, none, interval).abs().max().item()
        return found

    coarse, finer_time, finer_space = (
        size(points, interval), size(points, interval / 2), size(2 * points, interval),
    )  # fmt: skip
    assert coarse < 0.05 * scale
    assert coarse / finer_time == pytest.approx(4, rel=0.15)
    assert finer_space == pytest.approx(coarse, rel=0.05)


# Numbers of an equation, one for each sample


def single(*values: float) -> Tensor:
    """One number a sample, for a line."""
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)


NUMBERED: dict[str, tuple[Callable[..., Semilinear], dict[str, tuple[float, float]], float]] = {
    "transport": (lambda speed: Transport((speed,)), {"speed": (1.0, -0.5)}, 1.0),
    "heat": (Heat, {"diffusivity": (0.01, 0.03)}, 1.0),
    "burgers": (Burgers, {"viscosity": (0.03, 0.05)}, 1.0),
    "kdv": (KortewegDeVries, {"steepening": (6.0, 3.0), "dispersion": (1.0, 0.5)}, 10.0),
    "kuramoto": (KuramotoSivashinsky, {"damping": (1.0, 2.0)}, 22.0),
    "fisher": (Fisher, {"diffusivity": (1.0, 0.5), "growth": (1.0, 2.0)}, 20.0),
    "gray-scott": (GrayScott, {"feed": (0.04, 0.02), "kill": (0.06, 0.05),
                               "diffusivity_v": (0.1, 0.2)}, 40.0),
    "fitzhugh-nagumo": (FitzHughNagumo, {"diffusivity_u": (1e-3, 5e-3),
                                         "threshold": (5e-3, 0.1)}, 2.0),
}  # fmt: skip
"""Equations on a line, some of their numbers for two samples, and the length of the line."""


@pytest.mark.parametrize("name", NUMBERED)
def test_numbers_of_each_sample_are_those_of_equations_of_their_own(name: str) -> None:
    equation, numbers, length = NUMBERED[name]
    line = Periodic((32,), (length,))
    start = 0.4 + 0.3 * smooth(line, len(equation().fields(1)) if name != "transport" else 1, 2, 3,
                               generator())  # fmt: skip
    both = equation(**{key: single(*values) for key, values in numbers.items()})
    together = Spectral(both, line, 0.02).march(start, still(start), 10)
    for k in (0, 1):
        own = equation(**{key: values[k] for key, values in numbers.items()})
        alone = Spectral(own, line, 0.02).march(start[k:][:1], still(start[:1]), 10)
        torch.testing.assert_close(together[k:][:1], alone, atol=1e-12, rtol=1e-12)
    assert (together - Spectral(own, line, 0.02).march(start, still(start), 10))[
        0
    ].abs().max() > 1e-4


@pytest.mark.parametrize("name", NUMBERED)
def test_gradients_by_numbers_are_those_of_differences(name: str) -> None:
    """Through a trajectory that is driven, and through its residual."""
    equation, numbers, length = NUMBERED[name]
    line = Periodic((32,), (length,))
    channels = 1 if name == "transport" else len(equation().fields(1))
    start = 0.4 + 0.3 * smooth(line, channels, 2, 3, generator())
    weight = torch.randn(start.shape, generator=generator(1), dtype=torch.float64)

    def cost(values: list[Tensor]) -> Tensor:
        solver = Spectral(equation(**dict(zip(numbers, values, strict=True))), line, 0.02)
        none = constant(still(start), 2)
        trajectory = drive(solver, start, none, 5)
        owed = residual(solver, trajectory, none, 0.1)
        found: Tensor = (weight * trajectory[:, -1]).sum() + owed.square().sum()
        return found

    plain = [single(*values) for values in numbers.values()]
    slopes = torch.autograd.grad(
        cost(wanted := [one.clone().requires_grad_() for one in plain]), wanted
    )
    for k, slope in enumerate(slopes):
        for sample in (0, 1):
            h = 1e-5 * plain[k].abs().max()
            nudge = torch.zeros_like(plain[k])
            nudge[sample] = h
            ahead, behind = (
                cost([one + sign * nudge if j == k else one for j, one in enumerate(plain)])
                for sign in (1, -1)
            )
            wanted_slope = (ahead - behind) / (2 * h)
            torch.testing.assert_close(
                slope[sample, 0, 0], wanted_slope, rtol=1e-4, atol=1e-6 * float(slope.abs().max())
            )
            assert wanted_slope.abs() > 1e-6


def test_a_number_is_found_again_by_its_gradient() -> None:
    """Two viscosities of two samples in a plane, from their last states."""
    grid = Periodic((16, 16), (TURN, TURN))
    start = 3 * smooth(grid, 1, 2, 3, generator())
    true = torch.tensor([0.02, 0.2], dtype=torch.float64).view(-1, 1, 1, 1)

    def last(viscosity: Tensor) -> Tensor:
        return Spectral(Vorticity(viscosity), grid, 0.05).march(start, still(start), 10)

    seen, guess = last(true), torch.full_like(true, -2.5).requires_grad_()
    search = torch.optim.LBFGS([guess], max_iter=30, line_search_fn="strong_wolfe",
                               tolerance_grad=1e-12, tolerance_change=1e-14)  # fmt: skip

    def misfit() -> Tensor:
        search.zero_grad()
        found = (last(guess.exp()) - seen).square().mean()
        found.backward()
        return found

    search.step(misfit)
    torch.testing.assert_close(guess.exp(), true, rtol=1e-4, atol=0)


def test_a_solver_gives_the_gradient_by_its_numbers_again_and_after_they_changed() -> None:
    line, number = Periodic((16,), (1.0,)), single(0.1, 0.2).requires_grad_()
    start = smooth(line, 1, 2, 3, generator())
    solver = Spectral(Heat(number), line, 0.1)

    def slope() -> Tensor:
        cost = solver.step(start, still(start)).square().sum()
        (found,) = torch.autograd.grad(cost, number)
        return found

    first = slope()
    torch.testing.assert_close(slope(), first)
    with torch.no_grad():
        number *= 2
    assert (slope().abs() < 0.9 * first.abs()).all()


def test_numbers_of_the_wrong_shape_or_kind_are_refused() -> None:
    line = Periodic((16,), (1.0,))
    start = smooth(line, 1, 3, 3, generator())
    with pytest.raises(
        ValueError, match=r"must have the shape \(batch, 1, 1\), got \(2, 1, 1, 1\)"
    ):
        Spectral(Heat(single(0.1, 0.2)[..., None]), line, 0.1)
    with pytest.raises(ValueError, match=r"for 2 samples, the state is .* and has 3"):
        Spectral(Heat(single(0.1, 0.2)), line, 0.1).step(start, still(start))
    with pytest.raises(ValueError, match=r"float32 for 1 samples, the state is torch\.float64"):
        Spectral(Heat(single(0.1).float()), line, 0.1).step(start, still(start))
    with pytest.raises(ValueError, match=r"diffusivity must be positive, got -0\.2"):
        Heat(single(0.1, -0.2))


# Nonsense


@pytest.mark.parametrize(
    ("equation", "names"),
    [
        (GrayScott, ("diffusivity_u", "diffusivity_v")),
        (GrayScott, ("feed", "kill")),
        (FitzHughNagumo, ("diffusivity_u", "diffusivity_v")),
        (Vorticity, ("viscosity", "drag")),
    ],
)
@pytest.mark.parametrize("wrong", [math.nan, -1.0])
def test_a_number_that_is_none_is_refused_wherever_it_stands(
    equation: type[Semilinear], names: tuple[str, str], wrong: float
) -> None:
    for name in names:
        with pytest.raises(ValueError, match=f"got .*{wrong}"):
            equation(**{name: wrong})
        with pytest.raises(ValueError, match=f"got .*{wrong}"):
            equation(**{name: torch.tensor([0.1, wrong]).view(2, 1, 1, 1)})


def test_equations_refuse_what_makes_no_sense() -> None:
    line, plane = Periodic((16,), (1.0,)), Periodic((16, 16), (1.0, 1.0))
    with pytest.raises(ValueError, match="viscosity must be positive, got -1"):
        Burgers(-1.0)
    with pytest.raises(ValueError, match="diffusivity must be positive, got 0"):
        Heat(0.0)
    with pytest.raises(ValueError, match="growth must be positive, got -1"):
        Fisher(growth=-1.0)
    with pytest.raises(ValueError, match="dt must be positive, got 0"):
        Spectral(Heat(), line, 0.0)
    with pytest.raises(ValueError, match="has one dimension, got 2"):
        Spectral(KortewegDeVries(), plane, 0.1)
    with pytest.raises(ValueError, match="in two dimensions only, got 1"):
        Spectral(Vorticity(), line, 0.1)
    with pytest.raises(ValueError, match=r"needs 2 components here, got \(1.0,\)"):
        Spectral(Transport((1.0,)), plane, 0.1)
    with pytest.raises(ValueError, match=r"must be even and at least 4, got \(15,\)"):
        Periodic((15,), (1.0,))
    with pytest.raises(ValueError, match="need more than 16 points"):
        smooth(line, 1, 1, 8, generator())


def test_a_step_that_is_too_long_is_named() -> None:
    grid = Periodic((64,), (1.0,))
    start = 50 * smooth(grid, 1, 2, 5, generator())
    with pytest.raises(FloatingPointError, match=r"2 of 2 .*take a time step below 0.05 s"):
        drive(Spectral(Burgers(0.001), grid, 0.05), start, constant(still(start), 4), 50)
