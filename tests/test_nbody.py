"""The N-body task: its bound, its metrics, its searches, and its composed prior."""

import itertools

import pytest
import torch

from physgen.datasets.nbody import LAWS, simulate
from physgen.datasets.seeds import TEST_SEEDS
from physgen.design_tasks.nbody import PACKINGS, VARIANTS, MovingStart, NBody, Start, tidy
from physgen.design_tasks.nbody_costs import Prices, departure, free, overlap
from physgen.design_tasks.nbody_design import (
    Descent,
    FactorGraph,
    MeanOfPairs,
    SumOfPairs,
    draw,
    most_plausible,
    pair_cover,
    windows,
)
from physgen.design_tasks.nbody_prior import (
    FRAMES,
    WindowDraw,
    load_prior,
    mirrored,
    scaled,
    simulated,
    unscaled,
)
from physgen.energy import Score, check_proper
from physgen.gaussian import GaussianMixture
from physgen.preconditioned import Denoising
from physgen.search import best_of, evolve, polish
from physgen.solvers.discs import Discs
from physgen.testbeds import some_gaussian, source


def true_motion(count: int, frames: int = 24) -> torch.Tensor:
    seeds = range(TEST_SEEDS.start, TEST_SEEDS.start + count)
    return simulate(seeds, 2, 4 * (frames - 1), 4, LAWS["separate"], Discs()).float() / 200


def test_true_trajectories_have_no_error_and_the_published_error_of_them_is_known() -> None:
    judged = NBody(2, 24, Start()).judge(true_motion(600))
    assert judged.mae.max().item() < 1e-4
    assert judged.mae_published.mean().item() == pytest.approx(0.0042, abs=0.0006)
    assert (judged.violation == 0).all()


def test_random_designs_score_what_the_field_measured() -> None:
    task = NBody(2, 24, Start())
    score = task.objective(task.random(4000, source())).mean().item()
    assert score == pytest.approx(0.307, abs=0.006)


@pytest.mark.parametrize("bodies", [2, 4])
def test_resting_discs_in_touch_reach_the_bound(bodies: int) -> None:
    task = NBody(bodies, 24, Start())
    place = {
        2: [(-0.1, 0.0), (0.1, 0.0)],
        4: [(-0.1, 0.0), (0.1, 0.0), (0.0, 3**0.5 / 10), (0.0, -(3**0.5) / 10)],
    }[bodies]
    design = torch.tensor([[(0.5 + x, 0.5 + y, 0.0, 0.0) for x, y in place]])
    assert task.objective(design).item() == pytest.approx(PACKINGS[bodies], abs=2e-4)
    assert task.bound == PACKINGS[bodies]


def test_no_packing_found_by_descent_is_below_the_bound() -> None:
    for bodies, bound in PACKINGS.items():
        if bodies == 1:
            continue
        place = 0.3 * torch.randn(200, bodies, 2, generator=source(bodies), dtype=torch.float64)
        place.requires_grad_()
        optimiser = torch.optim.Adam([place], lr=0.01)
        first, second = torch.triu_indices(bodies, bodies, 1)
        for step in range(800):
            optimiser.param_groups[0]["lr"] = 0.02 * 0.99**step
            optimiser.zero_grad()
            apart = (place[:, first] - place[:, second]).norm(dim=-1)
            short = (0.2 - apart).clamp(min=0).square().sum(1)
            loss = place.norm(dim=-1).mean(1) + 10 ** (1 + step / 200) * short
            loss.sum().backward()
            optimiser.step()
        apart = (place[:, first] - place[:, second]).norm(dim=-1).amin(1)
        grown = place.norm(dim=-1).mean(1) * (0.2 / apart).clamp(min=1)
        assert grown.min().item() > bound - 1e-6
        assert grown.min().item() < bound + 0.002


def test_tidying_leaves_allowed_designs_alone_and_mends_others() -> None:
    task = NBody(4, 24, Start())
    fine = task.random(50, source())
    torch.testing.assert_close(tidy(fine), fine)
    wrong = torch.rand(50, 4, 4, generator=source(1)) * 2 - 0.5
    assert (task.violation(wrong) > 0).any()
    mended = tidy(wrong)
    assert (task.violation(mended) == 0).all()
    assert mended[..., 2:].abs().max() <= 0.5


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_variant_makes_designs_that_it_allows(variant: Start | MovingStart) -> None:
    task = NBody(3, 24, variant)
    spread = 3 * torch.randn(100, variant.variables(3), generator=source())
    for design in (task.random(100, source()), variant.design(spread)):
        assert (task.violation(design) == 0).all()
        torch.testing.assert_close(variant.allowed(design), design)
        if isinstance(variant, MovingStart):
            speed = design[..., 2:].norm(dim=-1)
            torch.testing.assert_close(speed, torch.full_like(speed, 0.5))


def test_a_finer_time_step_hardly_changes_the_objective() -> None:
    judged = NBody(2, 24, Start()).judge(true_motion(300))
    change = (judged.objective_fine - judged.objective).abs()
    assert 1e-5 < change.median().item() < 0.02


def test_bodies_and_frames_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="bodies must be 2 to 8, got 1"):
        NBody(1, 24, Start())
    with pytest.raises(ValueError, match=r"frames must be 24, or 10 more .* got 7"):
        windows(7)
    assert windows(44) == [0, 10, 20]


def test_a_design_that_is_not_finite_is_refused() -> None:
    task = NBody(2, 24, Start())
    design = task.random(2, source())
    design[0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="must be finite"):
        task.objective(design)


def independent() -> tuple[Score, GaussianMixture]:
    """A prior of windows in which all numbers are independent, and one number of it."""
    one = some_gaussian(0, dimension=1)

    class Independent(Score):
        def shift(self, z: torch.Tensor, s: float | torch.Tensor) -> torch.Tensor:
            assert isinstance(s, float)
            return one.shift(z.reshape(-1, 1), s).view(z.shape)

    return Independent(), one


@pytest.mark.parametrize(("bodies", "frames"), [(2, 24), (4, 24), (3, 44)])
def test_the_factor_graph_is_exact_for_bodies_that_do_not_meet(bodies: int, frames: int) -> None:
    prior, one = independent()
    z = torch.randn(2, frames, bodies, 4, dtype=torch.float64, generator=source())
    exact = one.shift(z.reshape(-1, 1), 0.5).view(z.shape)
    torch.testing.assert_close(FactorGraph().of(prior, bodies, frames).shift(z, 0.5), exact)
    torch.testing.assert_close(MeanOfPairs().of(prior, bodies, frames).shift(z, 0.5), exact)
    added = SumOfPairs().of(prior, bodies, frames).shift(z, 0.5)
    torch.testing.assert_close(added[:, 0], (bodies - 1) * exact[:, 0])


def test_compositions_of_the_learned_prior_are_proper() -> None:
    prior = load_prior()
    for composition, bodies in itertools.product(
        (FactorGraph(), MeanOfPairs(), SumOfPairs()), (2, 8)
    ):
        total = composition.of(prior, bodies, 34)
        check_proper(total, (10.0, 0.01, 0.0), torch.Size((34, bodies, 4)))


def test_pairs_are_all_pairs() -> None:
    assert pair_cover(8).shape == (28, FRAMES, 2, 4)


def test_the_prior_denoises_true_windows_better_than_a_gaussian_would() -> None:
    """At noise 0.1 a Gaussian of the data's spread leaves 99 % of the noise."""
    x = scaled(true_motion(300))
    noise = torch.randn(x.shape, generator=source())
    left = (load_prior().denoise(x + 0.1 * noise, 0.1) - x).square().mean().sqrt().item()
    assert left < 0.035


def test_guided_designs_beat_random_ones_by_far() -> None:
    task = NBody(2, 24, Start())
    drawn = draw(load_prior(), task, 24, source(), FactorGraph(), Prices(), Descent(steps=24))
    judged = task.judge(drawn.motion)
    assert drawn.evaluations == 24
    assert judged.objective.mean().item() < 0.16
    assert judged.mae.median().item() < 0.012
    assert (judged.violation == 0).all()


def test_a_price_of_nothing_and_of_something_differ() -> None:
    task = NBody(2, 24, Start())
    scores = [
        task.judge(
            draw(load_prior(), task, 16, source(), FactorGraph(), prices, Descent(steps=16)).motion
        )
        for prices in (Prices(objective=0.0, speed=0.0), Prices(speed=0.0), Prices())
    ]
    objective = [judged.objective.mean().item() for judged in scores]
    speed = [judged.speed.mean().item() for judged in scores]
    assert objective[0] > objective[1] + 0.05
    assert speed[1] > 2 * speed[2]


def test_overlap_is_zero_for_true_motion_and_counts_depth() -> None:
    assert overlap(true_motion(100)).max().item() < 1e-4
    still = torch.tensor([[[0.5, 0.5, 0, 0], [0.6, 0.5, 0, 0]]]).expand(1, 24, 2, 4)
    assert overlap(still).item() == pytest.approx(0.013)


def test_true_motion_flies_straight_where_nothing_is_touched() -> None:
    motion = true_motion(400)
    assert departure(motion).max().item() < 1e-8
    share = free(motion).mean().item()
    assert 0.8 < share < 0.95


def test_a_touch_is_where_velocity_changes() -> None:
    """Hardly an instant is called free in which something happened, or the other way round."""
    motion = true_motion(400)
    turned = (motion[:, 1:, :, 2:] - motion[:, :-1, :, 2:]).norm(dim=-1) > 1e-4
    assert (turned & (free(motion) == 1)).sum() == 0
    assert (~turned & (free(motion) == 0)).double().mean() < 0.06


def test_a_drift_that_no_velocity_explains_is_seen() -> None:
    motion = true_motion(50)
    drift = torch.linspace(0, 0.1, 24)[None, :, None, None] * torch.tensor([1.0, 0, 0, 0])
    assert departure(motion + drift).min() > 100 * departure(motion).max()


def test_scaling_makes_unit_variance_and_goes_back() -> None:
    motion = simulated(400, 60, seed=10**9)
    x = scaled(motion)
    torch.testing.assert_close(x.std((0, 1, 2)), torch.ones(4), atol=0.06, rtol=0)
    torch.testing.assert_close(unscaled(x), motion)


def test_mirror_images_are_motions_too() -> None:
    """Each image of a motion, simulated from its first instant, is what the solver makes."""
    motion = true_motion(200)
    image = unscaled(mirrored(scaled(motion), source(3)))
    assert NBody(2, 24, Start()).judge(image).mae.quantile(0.99).item() < 2e-3
    assert (image - motion).abs().flatten(1).amax(1).gt(1e-3).double().mean() > 0.85


def test_batches_hold_pairs_singles_and_overlaps() -> None:
    batches = WindowDraw(scaled(true_motion(40, 40)), 8, Denoising())
    shapes = [tuple(batches(step, source(step))[0].shape) for step in range(8)]
    assert shapes.count((8, 24, 2, 4)) == 6
    assert shapes.count((8, 24, 1, 4)) == 1
    assert shapes.count((8, 14, 2, 4)) == 1


def test_polishing_by_the_solvers_gradient_lowers_the_objective() -> None:
    task = NBody(2, 24, MovingStart())
    start = task.random(40, source(2))
    found = polish(task.objective, start, task.bound or 0.0, 20, task.variant.allowed)
    before = task.objective(start)
    assert (found.cost <= before + 1e-6).all()
    assert found.cost.mean() < before.mean() - 0.1
    torch.testing.assert_close(task.objective(found.design), found.cost)
    assert (task.violation(found.design) == 0).all()


def test_polishing_follows_a_kink_to_its_lowest_point() -> None:
    """Where the gradients of two sides point at each other, their shortest mean points along."""
    scale = torch.tensor([3.0, 1.0])

    def roof(x: torch.Tensor) -> torch.Tensor:
        return (scale * x).abs().sum(1)

    start = torch.randn(50, 2, generator=source())
    found = polish(roof, start, -0.02, 80)
    assert found.cost.max() < 0.03
    assert found.calls == 80


def test_of_two_candidates_the_possible_motion_is_the_more_plausible() -> None:
    """The other has its discs pass through one another: each comes from another simulation."""
    motion = true_motion(600)
    mixed = torch.stack([motion[:-1, :, 0], motion[1:, :, 1]], dim=2)
    through = (mixed[:, :, 0, :2] - mixed[:, :, 1, :2]).norm(dim=-1).amin(1) < 0.12
    true, mixed = scaled(motion[:-1][through]), scaled(mixed[through])
    assert len(true) > 100
    both = torch.stack([true, mixed], 1)
    both[::2] = both[::2].flip(1)
    kept = most_plausible(load_prior(), both.flatten(0, 1), 2)
    assert (kept == true).flatten(1).all(1).double().mean() > 0.85


def test_the_best_of_more_is_better_and_is_what_it_says() -> None:
    task = NBody(2, 24, Start())
    few = best_of(task.random, task.objective, 20, 5, source())
    many = best_of(task.random, task.objective, 20, 100, source())
    assert many.cost.mean() < few.cost.mean()
    torch.testing.assert_close(task.objective(many.design), many.cost)


def test_evolution_finds_the_bottom_of_every_bowl() -> None:
    middle = torch.linspace(-1, 1, 5)[:, None].expand(5, 3)

    def bowl(x: torch.Tensor) -> torch.Tensor:
        return (x - middle.repeat_interleave(8, 0)).square().sum(1)

    found = evolve(bowl, torch.zeros(5, 3), 0.5, population=8, generations=60, seed=1)
    torch.testing.assert_close(found.design, middle, atol=1e-2, rtol=0)
    assert found.calls == 480


@pytest.mark.slow
def test_evolution_on_the_true_solver_comes_close_to_the_bound() -> None:
    found = NBody(2, 24, Start()).evolve(20, source())
    assert found.cost.mean().item() == pytest.approx(0.101, abs=0.003)
