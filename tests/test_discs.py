"""Elastic discs: conservation, exact cases, agreement with Chipmunk2D, and gradients."""

import pymunk
import pytest
import torch
from torch import Tensor

from physgen.datasets.nbody import CinDMStart, SeparateStart, simulate
from physgen.solvers.discs import Discs, no_boundary
from physgen.solvers.solver import residual, rollout

SOLVER = Discs()


def starts(bodies: int, count: int) -> tuple[Tensor, Tensor]:
    motion = simulate(range(count), bodies, 0, 1, SeparateStart(), SOLVER)
    return motion[:, 0, :, :2], motion[:, 0, :, 2:]


def moved(position: Tensor, velocity: Tensor, steps: int, stride: int = 1) -> Tensor:
    """The states of a simulation."""
    start = SOLVER.initial(position, velocity)
    return rollout(SOLVER, start, no_boundary(start), steps, stride)


def chipmunk(position: Tensor, velocity: Tensor, steps: int) -> Tensor:
    """The motion of one simulation by Chipmunk2D, ``(time, body, 4)``."""
    space = pymunk.Space()
    corners = [(0, 0), (0, 200), (200, 200), (200, 0)]
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        wall = pymunk.Segment(space.static_body, a, b, 1)
        wall.elasticity, wall.friction = 1, 0
        space.add(wall)
    bodies = []
    for p, v in zip(position.tolist(), velocity.tolist(), strict=True):
        body = pymunk.Body(1, pymunk.moment_for_circle(1, 0, 20))
        body.position, body.velocity = tuple(p), tuple(v)
        disc = pymunk.Circle(body, 20)
        disc.elasticity, disc.friction = 1, 0
        space.add(body, disc)
        bodies.append(body)
    states = []
    for _ in range(steps + 1):
        states.append([[*body.position, *body.velocity] for body in bodies])
        space.step(1 / 60)
    return torch.tensor(states, dtype=torch.float64)


@pytest.mark.parametrize(("bodies", "tolerance"), [(1, 1e-6), (2, 1e-6), (4, 1e-5)])
def test_discs_move_as_in_chipmunk(bodies: int, tolerance: float) -> None:
    position, velocity = starts(bodies, 40)
    ours = moved(position, velocity, 92)
    for k in range(40):
        theirs = chipmunk(position[k], velocity[k], 92)
        torch.testing.assert_close(ours[k, :, :4].transpose(1, 2), theirs, atol=tolerance, rtol=0)


def test_many_discs_move_as_in_chipmunk_until_chaos_parts_them() -> None:
    """Three or more in touch are swept in another order, and that difference grows."""
    position, velocity = starts(8, 40)
    ours = moved(position, velocity, 92)
    apart = [
        (ours[k, :, :2].transpose(1, 2) - chipmunk(position[k], velocity[k], 92)[..., :2])
        .abs()
        .max()
        .item()
        for k in range(40)
    ]
    assert sorted(apart)[35] < 1e-4


def test_energy_is_conserved() -> None:
    """To rounding in nearly all steps; a little less where several contacts meet in one."""
    motion = simulate(range(50), 4, 1000, 1, SeparateStart(), SOLVER)
    energy = motion[..., 2:].square().sum((-1, -2))
    change = (energy[:, 1:] / energy[:, :-1] - 1).abs()
    assert (change > 1e-12).double().mean().item() < 2e-3
    assert (energy[:, -1] / energy[:, 0] - 1).abs().max().item() < 0.02


def test_a_head_on_collision_exchanges_velocities() -> None:
    position = torch.tensor([[[60.0, 100.0], [140.0, 100.0]]])
    velocity = torch.tensor([[[80.0, 0.0], [-20.0, 0.0]]])
    final = moved(position, velocity, 60)[:, -1]
    torch.testing.assert_close(final[0, 2:4].T, velocity[0].flip(0))


def test_momentum_is_conserved_in_a_glancing_collision() -> None:
    position = torch.tensor([[[60.0, 90.0], [140.0, 110.0]]])
    velocity = torch.tensor([[[80.0, 5.0], [-20.0, 0.0]]])
    final = moved(position, velocity, 50)[:, -1]
    assert (final[0, 2:4].T - velocity[0]).abs().max() > 10
    torch.testing.assert_close(final[0, 2:4].sum(1), velocity[0].sum(0))


def test_a_wall_turns_the_normal_velocity_and_keeps_the_other() -> None:
    position, velocity = torch.tensor([[[30.0, 100.0]]]), torch.tensor([[[-60.0, 25.0]]])
    final = moved(position, velocity, 30)[0, -1]
    torch.testing.assert_close(final[2:4, 0], torch.tensor([60.0, 25.0]))
    assert final[0, 0].item() == pytest.approx(21 + 21, abs=2.1)


def test_free_flight_is_straight() -> None:
    position, velocity = torch.tensor([[[100.0, 100.0]]]), torch.tensor([[[30.0, -20.0]]])
    final = moved(position, velocity, 60)[0, -1]
    torch.testing.assert_close(final[:2, 0], torch.tensor([130.0, 80.0]), atol=1e-3, rtol=0)


def test_a_batch_is_its_simulations() -> None:
    position, velocity = starts(4, 20)
    start = SOLVER.initial(position, velocity)
    together = rollout(SOLVER, start, no_boundary(start), 92, 92)
    alone = [
        rollout(SOLVER, start[k : k + 1], no_boundary(start[k : k + 1]), 92, 92) for k in range(20)
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-9, rtol=0)


def test_the_residual_of_a_rollout_is_zero() -> None:
    position, velocity = starts(2, 10)
    motion = moved(position, velocity, 30)
    assert residual(SOLVER, motion, no_boundary(motion[:, 0])).abs().max() < 1e-9


def end(position: Tensor, velocity: Tensor, dt: float) -> Tensor:
    solver = Discs(dt=dt)
    steps = round(92 / 60 / dt)
    start = solver.initial(position, velocity)
    return rollout(solver, start, no_boundary(start), steps, steps)[:, -1, :2]


def test_gradients_are_those_of_continuous_time() -> None:
    """Against differences of a solver with a time step fifty times finer."""
    position, velocity = starts(2, 24)
    weight = torch.randn(24, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def cost(x: Tensor, dt: float) -> Tensor:
        """Of starts on top of one another, ``(nudge * simulation, body, 2)``."""
        last = end(x, velocity.repeat(len(x) // 24, 1, 1), dt)
        each: Tensor = (last.unflatten(0, (-1, 24)).transpose(2, 3) * weight).sum((2, 3))
        return each

    nudge = torch.eye(4, dtype=torch.float64).view(4, 1, 2, 2)
    ahead, behind = (
        cost((position + sign * nudge).flatten(0, 1), 1 / 3000) for sign in (1.0, -1.0)
    )
    finite = ((ahead - behind) / 2).T.reshape(24, 2, 2)

    def error(dt: float) -> float:
        """Of three quarters of the simulations; in others the nudge makes or breaks a contact."""
        x = position.clone().requires_grad_()
        (slope,) = torch.autograd.grad(cost(x, dt).sum(), x)
        apart, size = (y.flatten(1).norm(dim=1) for y in (slope - finite, finite))
        return float((apart / size).quantile(0.75))

    coarse, fine = error(1 / 60), error(1 / 600)
    assert coarse < 0.08
    assert fine < 0.03


def test_the_gradient_behind_a_wall_has_the_mirrored_sign() -> None:
    position = torch.tensor([[[40.0, 100.0]]], requires_grad=True)
    velocity = torch.tensor([[[-60.0, 0.0]]])
    final = moved(position, velocity, 40, 40)[0, -1, 0, 0]
    (slope,) = torch.autograd.grad(final, position)
    assert slope[0, 0, 0].item() == pytest.approx(-1, abs=1e-4)


def test_a_fifth_of_the_published_starts_overlap() -> None:
    motion = simulate(range(4000), 2, 0, 1, CinDMStart(), SOLVER)
    apart = (motion[:, 0, 0, :2] - motion[:, 0, 1, :2]).norm(dim=-1)
    assert (apart < 40).double().mean().item() == pytest.approx(0.16, abs=0.06)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_start_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        SOLVER.initial(torch.full((1, 2, 2), bad), torch.zeros(1, 2, 2))


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="dt must be positive, got -1"):
        Discs(dt=-1.0)
    with pytest.raises(ValueError, match="does not fit"):
        Discs(radius=150.0)
    with pytest.raises(ValueError, match="multiple of stride, got 5 and 2"):
        rollout(SOLVER, torch.zeros(1, 6, 1), torch.zeros(1, 0, 1), 5, 2)
