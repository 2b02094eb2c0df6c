"""Windows on a ring: their Gaussian, networks beside it, and sequences of windows that overlap."""

import math

import pytest
import torch
from torch import Tensor

from physgen.corrected_windows import (
    KNOWN,
    CorrectedWindows,
    CorrectingWindows,
    Lead,
    Stepping,
    next_frame,
    next_levels,
)
from physgen.grid import log_snr
from physgen.network import Ring, hidden_matrices
from physgen.predictor import Ancestral, DPMpp2M
from physgen.sampler import sample, unit_noise
from physgen.stationary import Stationary, over_points, stationary_law
from physgen.unrolled import Before, Led, Unrolling

FRAMES, POINTS = 4, 8


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def markov(frames: int = FRAMES, memory: float = 0.8) -> Stationary:
    """Amplitudes that forget at one rate and differ in size: each frame decides the next."""
    lag = (torch.arange(frames)[:, None] - torch.arange(frames)).abs().double()
    size = 2.0 / (1 + torch.arange(POINTS // 2 + 1, dtype=torch.float64))
    return Stationary(size[:, None, None] * memory**lag)


def dense(law: Stationary) -> Tensor:
    """The covariance over all entries of a window, frame after frame."""
    apart = torch.arange(POINTS, dtype=torch.float64)
    wave = torch.arange(POINTS // 2 + 1, dtype=torch.float64)
    weight = torch.tensor([1.0, *[2.0] * (POINTS // 2 - 1), 1.0], dtype=torch.float64) / POINTS
    cosine = weight[:, None] * torch.cos(2 * math.pi * wave[:, None] * apart / POINTS)
    lags = torch.einsum("kts,kd->tsd", law.covariance, cosine)
    index = (torch.arange(POINTS)[:, None] - torch.arange(POINTS)) % POINTS
    return lags[:, :, index].permute(0, 2, 1, 3).reshape(law.frames * POINTS, -1)


def given(law: Stationary):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """The clean estimate of the Gaussian, with one row of levels."""
    return lambda z, levels: law.clean(z, levels[None])[0]


def some_network(law: Stationary) -> CorrectedWindows:
    """One that says something."""
    torch.manual_seed(0)
    model = CorrectedWindows(law, 16, (1, 2))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


def test_a_stationary_gaussian_denoises_as_its_whole_covariance_does() -> None:
    law = markov()
    levels = torch.tensor([[0.01, 0.5, 0.5, 2.0], [3.0, 3.0, 3.0, 3.0], [1e-3, 1e-3, 30.0, 0.1]])
    z = torch.randn(3, FRAMES, POINTS, generator=generator(), dtype=torch.float64)
    clean, left = law.clean(z, levels.double())
    rough = over_points(left.square())
    for row, level in enumerate(levels.double()):
        noise = torch.diag(level.square().repeat_interleave(POINTS))
        gain = torch.linalg.solve(dense(law) + noise, dense(law)).mT
        torch.testing.assert_close(clean[row].flatten(), gain @ z[row].flatten())
        open_ = (gain @ noise).diagonal().view(FRAMES, POINTS).mean(1)
        torch.testing.assert_close(rough[row], open_)


def test_a_law_on_a_ring_is_measured_with_its_turns_and_its_mirror() -> None:
    law = markov()
    root = torch.linalg.cholesky(dense(law))
    unit = torch.randn(4000, FRAMES * POINTS, generator=generator(1), dtype=torch.float64)
    windows = (unit @ root.mT).view(-1, FRAMES, POINTS)
    found = stationary_law(windows)
    torch.testing.assert_close(found.covariance, law.covariance, rtol=0.12, atol=0.01)
    for image in (windows.roll(3, 2), -windows.flip(2)):
        torch.testing.assert_close(stationary_law(image).covariance, found.covariance)
    field = windows[:, :1]
    moving = torch.cat([field.roll(frame, 2) for frame in range(FRAMES)], 1)
    lag = torch.arange(FRAMES)[:, None] - torch.arange(FRAMES)
    turn = 2 * math.pi * torch.arange(POINTS // 2 + 1)[:, None, None] * lag / POINTS
    size = stationary_law(field).covariance
    torch.testing.assert_close(  # as many move to the left in the mirror
        stationary_law(moving).covariance, size * turn.cos(), rtol=1e-5, atol=1e-5
    )
    with pytest.raises(ValueError, match="even number of points"):
        stationary_law(windows[..., :7])
    with pytest.raises(ValueError, match="must be positive"):
        Stationary(torch.tensor([[[1.0, 2.0], [2.0, 1.0]]]))
    with pytest.raises(ValueError, match="symmetric"):
        Stationary(torch.tensor([[[1.0, 0.5], [0.2, 1.0]]]))


@pytest.mark.parametrize("turn", [1, 3])
def test_turning_the_ring_turns_the_estimate_by_any_number_of_points(turn: int) -> None:
    model = some_network(markov())
    z = torch.randn(2, FRAMES, POINTS, generator=generator())
    levels = torch.tensor([[0.02, 0.4, 0.4, 0.4]])
    here = model(z, levels)
    torch.testing.assert_close(model(z.roll(turn, 2), levels), here.roll(turn, 2))
    assert (here - model.base.clean(z, levels)[0]).abs().max() > 1e-2


def test_windows_of_a_batch_do_not_see_one_another() -> None:
    model = some_network(markov())
    z = torch.randn(3, FRAMES, POINTS, generator=generator())
    levels = torch.tensor([[0.1, 1.0, 1.0, 1.0]])
    torch.testing.assert_close(model(z, levels)[1:2], model(z[1:2], levels))


def test_an_untrained_network_leaves_the_gaussian_as_it_is_and_its_loss_is_one() -> None:
    law = markov()
    model = CorrectedWindows(law, 16, (1, 2))
    root = torch.linalg.cholesky(dense(law)).float()
    unit = torch.randn(3000, FRAMES * POINTS, generator=generator())
    x = (unit @ root.mT).view(-1, FRAMES, POINTS)
    loss = CorrectingWindows(Lead())
    assert loss(model, *loss.draw(x, generator(1))).mean().item() == pytest.approx(1, abs=0.03)
    pair = CorrectedWindows(law.first(2), 16, (1, 2))
    step = Stepping()
    assert step(pair, *step.draw(x, generator(2))).mean().item() == pytest.approx(1, abs=0.03)


def test_what_a_law_never_does_no_network_can_do() -> None:
    covariance = markov().covariance.clone()
    covariance[0] = 0  # the mean stays zero
    model = some_network(Stationary(covariance))
    z = torch.randn(2, FRAMES, POINTS, generator=generator())
    assert model(z, torch.full((1, FRAMES), 0.5)).mean(2).abs().max() < 1e-4


def test_windows_are_led_by_frames_that_are_nearly_known() -> None:
    lead = Lead()
    levels, asked = lead.levels(4000, FRAMES, generator())
    counts = asked.sum(1)
    share = [(counts == n).float().mean().item() for n in range(1, FRAMES + 1)]
    assert share == pytest.approx([0.1, 0.35, 0.35, 0.2], abs=0.03)
    held = levels[~asked]
    assert held.min() >= KNOWN * 0.999 and held.max() <= lead.most * 1.001
    led = asked[:, -1]
    own = levels[led, -1].log()
    assert own.mean().item() == pytest.approx(lead.mean, abs=0.1)
    assert own.std().item() == pytest.approx(lead.spread, abs=0.1)
    assert (levels[~led, 1:] == KNOWN).all() and asked[~led, 0].all()


def test_a_surrogate_never_sees_the_frame_that_it_tells() -> None:
    law = markov()
    model = some_network(law.first(2))
    pair = torch.randn(5, 2, POINTS, generator=generator())
    other = torch.stack([pair[:, 0], pair[:, 1] + 1], 1)
    levels = next_levels(pair)
    told = next_frame(model, pair[:, 0])
    apart = Stepping()(model, other) - Stepping()(model, pair)
    _, open_ = model.base.clean(pair, levels)
    change = (told - other[:, 1]).square().mean(1) - (told - pair[:, 1]).square().mean(1)
    torch.testing.assert_close(apart, change / over_points(open_.square())[0, 1])


def test_a_linear_surrogate_predicts_by_least_squares() -> None:
    law = markov(memory=0.8)
    frame = torch.randn(3, POINTS, generator=generator())
    told = next_frame(CorrectedWindows(law.first(2), 16, (1, 2)), frame)
    torch.testing.assert_close(told, 0.8 * frame, atol=1e-4, rtol=1e-4)


def test_a_window_led_by_a_noisy_frame_follows_the_exact_posterior() -> None:
    law, noise, count = markov(), 0.3, 4000
    y = torch.randn(1, POINTS, generator=generator(3))
    term = Led(given(law), y[:, None].expand(count, -1, -1), (noise,))
    start = unit_noise(count, (FRAMES - 1, POINTS), generator(4))
    drawn = sample(term, start, log_snr(40, 0.01, 40.0), DPMpp2M(), generator(5)).flatten(1)
    whole = dense(law)
    gain = torch.linalg.solve(
        whole[:POINTS, :POINTS] + noise**2 * torch.eye(POINTS), whole[:POINTS]
    )
    mean = (gain.mT @ y[0].double())[POINTS:]
    covariance = (whole - whole[:, :POINTS] @ gain)[POINTS:, POINTS:]
    torch.testing.assert_close(drawn.mean(0).double(), mean, atol=0.06, rtol=0)
    torch.testing.assert_close(drawn.mT.cov().double(), covariance, atol=0.08, rtol=0)


def test_the_first_frame_is_drawn_given_what_was_seen_and_all_that_follow() -> None:
    law, noise, count = markov(), 0.3, 4000
    y = torch.randn(1, POINTS, generator=generator(3)).expand(count, -1)
    after = torch.randn(1, FRAMES - 1, POINTS, generator=generator(6)).expand(count, -1, -1)
    grid = log_snr(80, noise / 30, noise)
    drawn = sample(Before(given(law), after, KNOWN), y / noise, grid, Ancestral(), generator(5))
    level = torch.tensor([[noise, *[KNOWN] * (FRAMES - 1)]], dtype=torch.float64)
    whole = torch.cat([y[:1, None], after[:1]], 1).double()
    mean, left = law.clean(whole, level)
    torch.testing.assert_close(drawn.mean(0).double(), mean[0, 0], atol=0.02, rtol=0)
    spread = over_points(left.square())[0, 0].sqrt().item()
    assert drawn.var(0).mean().sqrt().item() == pytest.approx(spread, rel=0.06)


@pytest.mark.parametrize("overlap", [1, 2])
def test_windows_that_overlap_are_the_long_window_of_a_state_that_decides_its_future(
    overlap: int,
) -> None:
    frames, noise, count = 9, 0.5, 4000
    law, long = markov(), markov(frames)
    plan = Unrolling(FRAMES, overlap, log_snr(25, 0.01, 40.0), DPMpp2M(), KNOWN, first=60)
    y = torch.randn(1, POINTS, generator=generator(3))
    drawn = plan.draw(given(law), y.expand(count, -1), noise, frames, generator(4))
    assert drawn.shape == (count, frames, POINTS)
    level = torch.tensor([[noise, *[1e6] * (frames - 1)]], dtype=torch.float64)
    seen = torch.cat([y, torch.zeros(frames - 1, POINTS)])[None].double()
    mean, left = long.clean(seen, level)
    torch.testing.assert_close(drawn.mean(0).double(), mean[0], atol=0.07, rtol=0)
    spread = over_points(left.square())[0].sqrt()
    torch.testing.assert_close(drawn.var(0).mean(1).sqrt().double(), spread, atol=0, rtol=0.06)


def test_an_unrolling_counts_its_evaluations_and_refuses_what_cannot_be() -> None:
    law, calls = markov(), [0]

    def counted(z: Tensor, levels: Tensor) -> Tensor:
        calls[0] += 1
        return law.clean(z, levels[None])[0]

    for overlap, frames in ((1, 4), (1, 5), (2, 9), (3, 10)):
        calls[0] = 0
        plan = Unrolling(FRAMES, overlap, log_snr(3, 0.1, 10.0), DPMpp2M(), KNOWN, first=2)
        plan.draw(counted, torch.zeros(2, POINTS), 0.1, frames, generator())
        assert calls[0] == plan.evaluations(frames)
    with pytest.raises(ValueError, match="overlap by 1 to 3"):
        Unrolling(FRAMES, 4, log_snr(3, 0.1, 10.0), DPMpp2M(), KNOWN)
    with pytest.raises(ValueError, match="must be above"):
        plan.draw(counted, torch.zeros(2, POINTS), KNOWN, 5, generator())
    with pytest.raises(ValueError, match="at least two frames"):
        plan.draw(counted, torch.zeros(2, POINTS), 0.1, 1, generator())
    with pytest.raises(ValueError, match="needs a level"):
        Led(counted, torch.zeros(2, 2, POINTS), (0.1,))
    with pytest.raises(TypeError, match="one level"):
        Led(counted, torch.zeros(2, 1, POINTS), (0.1,)).shift(
            torch.zeros(2, 3, POINTS), torch.ones(2)
        )


def test_muon_moves_what_lies_between_the_points_of_a_ring() -> None:
    net = Ring((2, 1), 1, 16, (1, 2), expansion=1)
    chosen = hidden_matrices(net)
    assert len(chosen) == 4 and all(weight.ndim == 2 for weight in chosen)
