"""Students of exact teachers: what they learn, and how few evaluations they need."""

import pytest
import torch
from torch import Tensor, nn

from physgen.classifier import ClassifierFree
from physgen.consistency import Consistency
from physgen.denoiser import Denoiser
from physgen.distillation import Leap, OnGrid, Student, Taught, TaughtWeights
from physgen.gaussian import gaussian
from physgen.grid import Grid, log_snr
from physgen.guidance import Fixed, Guided
from physgen.predictor import DDIM, Ancestral, Anew
from physgen.reflow import bend, couple
from physgen.sampler import AsMarginal, sample, unit_noise
from physgen.shapes import Level, Sample
from physgen.testbeds import ring, some_gaussian, source

HIGHEST = 10.0
FINE = log_snr(16, 0.03, HIGHEST)
VARIANCE = torch.tensor([4.0, 0.25], dtype=torch.float64)
STRETCHED = gaussian(torch.zeros(2, dtype=torch.float64), VARIANCE.diag())
CLOSE = gaussian(torch.tensor([0.5, -0.5], dtype=torch.float64), (VARIANCE / 40).diag())
RING = ring()
START = unit_noise(500, (2,), source(1))


class Table(nn.Module):
    """An affine map for each level of a grid: all that a Gaussian's denoiser can be."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.levels = torch.tensor(grid.levels[:-1], dtype=torch.float64)
        self.gain = nn.Parameter(torch.ones(grid.steps, 2, dtype=torch.float64))
        self.offset = nn.Parameter(torch.zeros(grid.steps, 2, dtype=torch.float64))

    def forward(self, z: Tensor, level: Tensor) -> Tensor:
        row = (level[:, None] / self.levels - 1).abs().argmin(1)
        return self.gain[row] * z + self.offset[row]


def solved(objective: Taught, grid: Grid) -> Student:
    """The affine student of least loss on one batch."""
    model, x = Table(grid), STRETCHED.sample(400, source(2))
    batch = objective.draw(x, source(3))
    search = torch.optim.LBFGS(
        model.parameters(), max_iter=500, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def loss() -> float:
        search.zero_grad()
        value = objective(model, *batch).mean()
        value.backward()
        return value.item()

    search.step(loss)
    return Student(model.requires_grad_(False), grid)


def shrink(grid: Grid) -> Tensor:
    """What DDIM makes of the widths of a Gaussian, in closed form."""
    gain = torch.ones(2, dtype=torch.float64)
    for a, b in zip(grid.levels, grid.levels[1:], strict=False):
        kept = VARIANCE / (VARIANCE + a**2)
        gain = gain * (kept + b / a * (1 - kept))
    return gain


@pytest.mark.parametrize("stride", [2, 4])
def test_one_step_of_a_leap_is_several_of_the_teacher(stride: int) -> None:
    law, start = some_gaussian(1), unit_noise(20, (3,), source(), torch.float64)
    leap = Leap(law, FINE, stride)
    ours = sample(leap, start, leap.grid, DDIM(), source())
    torch.testing.assert_close(ours, sample(law, start, FINE, DDIM(), source()))


def test_halving_a_gaussian_is_exact_round_after_round() -> None:
    """Each student teaches the next; the last takes one step, and has the widths of eight."""
    grid, teacher, start = log_snr(8, 0.05, 5.0), STRETCHED, 5 * torch.eye(2, dtype=torch.float64)
    walk, student = grid, None
    while walk.steps > 1:
        leap = Leap(student or teacher, walk)
        walk = leap.grid
        student = solved(Taught(leap, OnGrid(walk)), walk)
        x = sample(student, start / 5, walk, student.predictor, source())
        torch.testing.assert_close(x, 5 * shrink(grid).diag(), atol=1e-4, rtol=0)
    assert walk.steps == 1


def test_a_guided_teacher_teaches_where_its_guidance_leads() -> None:
    def cost(x: Tensor) -> Tensor:
        return (x - torch.tensor([1.0, -1.0], dtype=x.dtype)).square().sum(1) / 2

    guided = Guided(STRETCHED, cost, Fixed(2.0))
    grid, start = log_snr(8, 0.05, 5.0), unit_noise(50, (2,), source(), torch.float64)
    leap = Leap(guided, grid, 4)
    student = solved(Taught(leap, OnGrid(leap.grid)), leap.grid)
    ours = sample(student, start, leap.grid, DDIM(), source())
    theirs = sample(guided, start, grid, DDIM(), source())
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    free = sample(STRETCHED, start, grid, DDIM(), source())
    assert (theirs - free).abs().max() > 0.3


def test_a_student_has_no_estimate_at_other_levels() -> None:
    leap = Leap(STRETCHED, FINE)
    with pytest.raises(ValueError, match=r"8 steps has the levels 10, .* no estimate at 3:"):
        leap.denoise(torch.zeros(1, 2, dtype=torch.float64), 3.0)
    with pytest.raises(ValueError, match="sample on its own grid"):
        Student(Table(FINE), FINE).clean(torch.zeros(1, 2, dtype=torch.float64), 3.0)
    with pytest.raises(ValueError, match="16 steps has no walk of every 3"):
        Leap(STRETCHED, FINE, 3)


def test_a_sum_is_no_teacher() -> None:
    for teach in (Leap, Consistency):
        with pytest.raises(ValueError, match=r"a sum of scores .* distil its terms, or pass"):
            teach(STRETCHED + STRETCHED, FINE)
    with pytest.raises(ValueError, match=r"of an interval, got 2.0 to 1.0"):
        TaughtWeights(lambda weight: STRETCHED, OnGrid(FINE), 2.0, 1.0)


class Straight(Denoiser):
    """The denoiser of the straight lines of a Gaussian's coupling, in closed form."""

    def clean(self, z: Sample, s: Level) -> Sample:
        end = shrink(FINE)
        return z * end / (end + torch.as_tensor(s / HIGHEST) * (1 - end))


def test_the_walk_of_a_sum_is_learned_by_consent() -> None:
    """Classifier-free guidance: where its own walk leads."""
    total, consent = ClassifierFree(CLOSE, STRETCHED, 2.0), AsMarginal()
    grid, start = log_snr(8, 0.05, 5.0), unit_noise(20, (2,), source(), torch.float64)
    leap = Leap(total, grid, 4, consent)
    ours = sample(leap, start, leap.grid, DDIM(), source())
    theirs = sample(total, start, grid, DDIM(), source(), consent=consent)
    torch.testing.assert_close(ours, theirs)
    pairs = couple(total, start, grid, DDIM(), source(), consent)
    torch.testing.assert_close(pairs.x, theirs)
    assert Consistency(total, grid, consent=consent).teacher is total


def test_a_student_of_every_weight_is_held_to_the_teacher_of_its_own() -> None:
    """The loss is nothing for one that says what each teacher says, and something for one deaf to it."""
    grid, stride = log_snr(8, 0.05, 5.0), 4

    def teacher(weight: Tensor) -> Leap:
        return Leap(ClassifierFree(CLOSE, STRETCHED, weight), grid, stride, AsMarginal())

    class Each(nn.Module):
        def forward(self, z: Tensor, level: Tensor, weight: Tensor) -> Tensor:
            rows = zip(z.split(1), level.split(1), weight.flatten().tolist(), strict=True)
            each = (ClassifierFree(CLOSE, STRETCHED, w) for *_, w in rows)
            leaps = (Leap(term, grid, stride, AsMarginal()) for term in each)
            return torch.cat(
                [
                    leap.denoise(*at)
                    for leap, *at in zip(leaps, z.split(1), level.split(1), strict=True)
                ]
            )

    class Deaf(nn.Module):
        def forward(self, z: Tensor, level: Tensor, weight: Tensor) -> Tensor:
            return teacher(torch.full_like(level, 1.5)).denoise(z, level)

    taught = TaughtWeights(teacher, OnGrid(grid.every(stride)), low=1.0, high=3.0)
    batch = taught.draw(CLOSE.sample(40, source(2)), source(3))
    assert (batch[3].min() < 1.2) and (batch[3].max() > 2.8) and batch[3].shape == (40, 1)
    assert taught(Each(), *batch).max() < 1e-20
    assert taught(Deaf(), *batch).mean() > 1e-3


def test_the_flow_of_straight_lines_does_not_bend_and_needs_one_step() -> None:
    start = unit_noise(20, (2,), source(), torch.float64)
    pairs = couple(STRETCHED, start, FINE, DDIM(), source())
    torch.testing.assert_close(pairs.x + HIGHEST * pairs.noise, HIGHEST * start)
    once = sample(Straight(), start, Grid((HIGHEST, 0.0)), DDIM(), source())
    torch.testing.assert_close(once, pairs.x)
    assert bend(Straight(), start, FINE).max() < 1e-6
    assert bend(STRETCHED, start, FINE).mean() > 0.1


def test_a_coupling_with_noise_on_the_way_is_refused() -> None:
    with pytest.raises(ValueError, match="deterministic predictor"):
        couple(RING, START, FINE, Ancestral(), source())


class Ends(nn.Module):
    """Where the flow of a Gaussian ends, in closed form."""

    def forward(self, z: Tensor, level: Tensor) -> Tensor:
        return z * (VARIANCE / (VARIANCE + level[:, None] ** 2)).sqrt()


def test_where_paths_of_a_gaussian_end_is_consistent_to_the_order_of_heun() -> None:
    x, losses = STRETCHED.sample(4000, source(1)), []
    for steps in (16, 31):
        objective = Consistency(STRETCHED, log_snr(steps, 0.1, 5.0))
        x, level, noise = objective.draw(x, source(2))
        kept = level > 0.11  # the last step, to zero, is Euler's
        losses.append(objective(Ends(), x, level, noise)[kept].mean().item())
    assert losses[0] / losses[1] > 2**5  # one step is off by the third power of its length
    assert losses[0] < 1e-3


def test_noise_drawn_anew_keeps_a_gaussian_that_is_told_where_paths_end() -> None:
    ends = Student(Ends(), Grid((50.0, 2.0, 0.5, 0.0)), Anew())
    x = sample(
        ends, unit_noise(20_000, (2,), source(), torch.float64), ends.grid, Anew(), source(1)
    )
    torch.testing.assert_close(x.T.cov(), VARIANCE.diag(), atol=0.07, rtol=0)
