r"""What a force history says: its mean, how sure that is, and how it oscillates.

A history is a list of values, each the mean over the step that ends at its time. The first value
only opens the record, as the beginning of its step is unknown. Steps need not be equal, so every
mean is weighted by time: with :math:`F(t) = \int f\,\mathrm{d}t`, which is exact at step ends and
linear within a step, the mean between two instants is

.. math:: \bar f = \frac{F(b) - F(a)}{b - a}.

Of an oscillation only whole periods are averaged. A period lasts from one up-crossing of the mean
to the next; crossings are interpolated linearly, as bins of a Fourier transform are too coarse for
the few tens of periods of a simulation. The interval of a mean comes from means over blocks
(Schmeiser 1982, https://doi.org/10.1287/opre.30.3.556), and is right where a block is much longer
than the memory of the flow: of AR(1) processes, 95 % of the intervals hold the mean if a block
lasts 36 correlation times, 93 % at 5 and 88 % at 2, most of the latter unwarned.

Everything works on all histories at once. Mean, rms, amplitude, Strouhal number and drift have
gradients with respect to the values, the ends of the window included; interval and spread have none.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from scipy import stats
from torch import Tensor

BLOCKS = 10
"""Of a window, for the interval: few enough to be long, enough for Student's t to be narrow."""
IRREGULAR = 0.3
"""Periods that vary by more than this share of their mean are noise, not an oscillation."""
FEWEST_PERIODS = 2
HYSTERESIS = 0.5
"""How far beyond the mean, in rms, a history must go on both sides of a crossing that counts."""

Flat = Float[Tensor, "history time"]


@dataclass(frozen=True)
class Summary:
    """Statistics of many histories; every field has the shape of the histories without time."""

    mean: Float[Tensor, "batch *history"]
    """Over whole periods where there are any, else over the whole window."""
    ci95: tuple[Float[Tensor, "batch *history"], Float[Tensor, "batch *history"]]
    """Where the mean of a much longer record lies, by Student's t, if it is stationary."""
    amplitude: Float[Tensor, "batch *history"]
    """Half of largest minus smallest value, averaged over periods."""
    rms: Float[Tensor, "batch *history"]
    """About the mean."""
    strouhal: Float[Tensor, "batch *history"]
    """Frequency by length over speed; NaN says that there is no oscillation."""
    spread: Float[Tensor, "batch *history"]
    """Standard deviation of the Strouhal numbers of single periods."""
    periods: Int[Tensor, "batch *history"]
    """Whole periods in the window; 0 says that there is no oscillation."""
    drift: Float[Tensor, "batch *history"]
    """Over the window, of the straight line through the means of its blocks."""
    stationary: Bool[Tensor, "batch *history"]
    """Neither mean nor rms drift by more than the scatter of blocks explains."""


def summarise(
    time: Float[Tensor, " time"],
    values: Float[Tensor, "batch *history time"],
    length: float,
    speed: float,
    since: float,
    *,
    quiet: float = 1e-3,
) -> Summary:
    """The statistics of all histories, from the first step that begins at ``since`` or later.

    Arguments:
        time: When each step ended, increasing, in s.
        values: Means over the steps, such as force coefficients.
        length: The L of the Strouhal number :math:`f L / U`, in m.
        speed: Its U, in m/s.
        since: When the transient is over, in s.
        quiet: Amplitudes and drifts below it, in the unit of ``values``, do not matter: such a
            history is steady. The default suits coefficients of order one.

    A history oscillates if it has two whole periods at least, whose lengths vary by less than
    30 %, and an amplitude of at least ``quiet``. Blocks are then whole periods. Fewer than four
    blocks cannot show that a record is stationary: then only a drift below ``quiet`` will do.
    """
    for name, value in (("length", length), ("speed", speed)):
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")
    if not quiet >= 0:
        raise ValueError(f"quiet must not be negative, got {quiet}")
    t, f = _settled(time, values, since)

    crossing = _upcrossings(t, f)
    periods = (crossing.isfinite().sum(1) - 1).clamp(min=0)
    frequency, scatter = _frequency(crossing, periods)
    swing = _swing(t, f, crossing, periods)
    oscillates = (periods >= FEWEST_PERIODS) & (scatter < IRREGULAR * frequency)
    oscillates &= swing >= quiet

    edges, blocks = _blocks(t, crossing, torch.where(oscillates, periods, 0))
    block_means = means(t, f, edges)
    weight = edges.diff(dim=1) / (edges[:, -1:] - edges[:, :1])
    mean = (weight * block_means).sum(1)
    variances = means(t, (f - mean[:, None]).square(), edges)
    half = _half_width(block_means.detach(), weight.detach(), blocks)
    drift, steady = _drift(block_means, edges, blocks, quiet)
    _, even = _drift(variances.detach().clamp(min=0).sqrt(), edges, blocks, quiet)

    whole_range = (f[:, 1:].amax(1) - f[:, 1:].amin(1)) / 2
    scale = torch.where(oscillates, length / speed, math.nan)

    def shaped(x: Tensor) -> Tensor:
        dtype = values.dtype if x.is_floating_point() else x.dtype
        return x.reshape(values.shape[:-1]).to(dtype)

    return Summary(
        mean=shaped(mean),
        ci95=(shaped(mean - half), shaped(mean + half)),
        amplitude=shaped(torch.where(oscillates, swing, whole_range)),
        rms=shaped(_root((weight * variances).sum(1))),
        strouhal=shaped(frequency * scale),
        spread=shaped(scatter * scale),
        periods=shaped(torch.where(oscillates, periods, 0)),
        drift=shaped(drift),
        stationary=shaped(steady & even),
    )


def _settled(
    time: Float[Tensor, " time"], values: Float[Tensor, "batch *history time"], since: float
) -> tuple[Float[Tensor, " step"], Float[Tensor, "row step"]]:
    """All histories in a row each, from the first step that begins at ``since`` or later."""
    if not (time.diff() > 0).all():
        raise ValueError("time must increase from step to step")
    if not values.isfinite().all():
        bad = int((~values.isfinite()).flatten(0, -2).any(-1).sum())
        raise FloatingPointError(f"{bad} of {values[..., 0].numel()} histories are not finite")
    inside = time >= since
    steps = int(inside.sum()) - 1
    if steps < BLOCKS:
        raise ValueError(
            f"there are {max(steps, 0)} steps after since = {since}, and {BLOCKS} are needed: "
            f"the record lasts from {time[0].item():g} to {time[-1].item():g}"
        )
    return time[inside].double(), values[..., inside].double().flatten(0, -2)


def upcrossings(
    time: Float[Tensor, " time"], values: Float[Tensor, "batch *history time"]
) -> Float[Tensor, "batch *history crossing"]:
    """When each history rises through its mean, in order, and NaN after the last crossing.

    A value stands at the middle of its step. Noise crosses the mean many times for once: only a
    rise from half an rms below the mean to half an rms above it counts, and of its crossings the
    last.
    """
    flat = values.double().flatten(0, -2)
    found = _upcrossings(time.double(), flat)
    return found.reshape(*values.shape[:-1], found.shape[1]).to(time.dtype)


def means(
    time: Float[Tensor, " time"],
    values: Flat,
    edges: Float[Tensor, "history edge"],
) -> Float[Tensor, "history edge-1"]:
    """The mean of each history between each two successive edges, which may differ by history.

    Edges lie in the record and do not decrease; a block of no duration has the mean 0.
    """
    step = time.diff()
    area = torch.nn.functional.pad((values[:, 1:] * step).cumsum(1), (1, 0))
    end = torch.searchsorted(time, edges).clamp(1, len(time) - 1)
    begun = area.gather(1, end - 1) + (edges - time[end - 1]) * values.gather(1, end)
    lasted = edges.diff(dim=1)
    return begun.diff(dim=1) / torch.where(lasted > 0, lasted, 1.0)


def _upcrossings(time: Tensor, values: Flat) -> Float[Tensor, "history crossing"]:
    ends = time[[0, -1]].expand(len(values), 2).contiguous()
    x = values[:, 1:] - means(time, values, ends)
    middle = (time[1:] + time[:-1]) / 2
    place = torch.arange(x.shape[1], device=x.device).expand(x.shape)

    band = HYSTERESIS * x.detach().square().mean(1, keepdim=True).sqrt()
    side = (x > band).long() - (x < -band).long()
    latest = torch.where(side != 0, place, 0).cummax(1).values
    side = side.gather(1, latest)
    rose = torch.nn.functional.pad((side[:, 1:] > 0) & (side[:, :-1] < 0), (1, 0))

    below = torch.where(x <= 0, place, 0).cummax(1).values
    above = (below + 1).clamp(max=x.shape[1] - 1)
    start = x.gather(1, below)
    rise = torch.where(rose, x.gather(1, above) - start, 1.0)
    crossing = middle[below] - start / rise * (middle[above] - middle[below])
    crossing = torch.where(rose, crossing, math.nan).sort(1).values
    return crossing[:, : max(int(rose.sum(1).max()), 1)]


def _frequency(
    crossing: Float[Tensor, "history crossing"], periods: Int[Tensor, " history"]
) -> tuple[Float[Tensor, " history"], Float[Tensor, " history"]]:
    """Whole periods by the time they took, and the standard deviation over single periods."""
    took = crossing.gather(1, periods[:, None])[:, 0] - crossing[:, 0]
    frequency = periods / torch.where(periods > 0, took, 1.0)
    single = 1 / crossing.detach().diff(dim=1)
    square = (single - frequency.detach()[:, None]).square().nansum(1)
    return frequency, (square / (periods - 1).clamp(min=1)).sqrt()


def _swing(
    time: Tensor,
    values: Flat,
    crossing: Float[Tensor, "history crossing"],
    periods: Int[Tensor, " history"],
) -> Float[Tensor, " history"]:
    """Half of the largest minus the smallest value of each period, on average; else 0."""
    x = values[:, 1:]
    middle = ((time[1:] + time[:-1]) / 2).expand(x.shape).contiguous()
    period = torch.searchsorted(crossing.detach().nan_to_num(nan=math.inf), middle, right=True)
    empty = x.new_zeros(len(x), crossing.shape[1] + 1)
    largest = empty.scatter_reduce(1, period, x, "amax", include_self=False)
    smallest = empty.scatter_reduce(1, period, x, "amin", include_self=False)
    half = (largest - smallest)[:, 1:] / 2
    whole = torch.arange(half.shape[1], device=x.device) < periods[:, None]
    return torch.where(whole, half, 0.0).sum(1) / periods.clamp(min=1)


def _blocks(
    time: Tensor, crossing: Float[Tensor, "history crossing"], periods: Int[Tensor, " history"]
) -> tuple[Float[Tensor, "history edge"], Int[Tensor, " history"]]:
    """The edges of each history's blocks, and how many there are; the others last no time.

    An oscillation is divided at crossings, into equally many periods as near as may be;
    anything else into equal times.
    """
    blocks = torch.where(periods > 0, periods.clamp(max=BLOCKS), BLOCKS)
    edge = torch.arange(BLOCKS + 1, device=time.device)
    chosen = torch.minimum(edge, blocks[:, None]) * periods[:, None] // blocks[:, None]
    share = edge / BLOCKS
    equal = (1 - share) * time[0] + share * time[-1]
    return torch.where(periods[:, None] > 0, crossing.gather(1, chosen), equal), blocks


def _half_width(
    block_means: Float[Tensor, "history block"],
    weight: Float[Tensor, "history block"],
    blocks: Int[Tensor, " history"],
) -> Float[Tensor, " history"]:
    r"""Of the 95 % interval of the weighted mean.

    If the mean of a block varies as one over its share :math:`w_k` of the time, then
    :math:`\sum_k w_k^2 (f_k - \bar f)^2 / (1 - \sum_k w_k^2)` estimates the variance of
    :math:`\bar f` without bias.
    """
    mean = (weight * block_means).sum(1, keepdim=True)
    square = (weight * (block_means - mean)).square().sum(1)
    return _student(0.95, blocks - 1) * (square / (1 - weight.square().sum(1))).sqrt()


def _drift(
    block_means: Float[Tensor, "history block"],
    edges: Float[Tensor, "history edge"],
    blocks: Int[Tensor, " history"],
    quiet: float,
) -> tuple[Float[Tensor, " history"], Bool[Tensor, " history"]]:
    """The rise of the straight line through block means, and whether chance explains it.

    A line sees a transient that the difference of two halves hides in its own scatter. The two
    tests a history undergoes, of mean and rms, together reject one stationary record in twenty.
    """
    there = torch.arange(BLOCKS, device=edges.device) < blocks[:, None]

    def centred(x: Tensor) -> Tensor:
        return there * (x - ((there * x).sum(1) / blocks)[:, None])

    middle, f = centred((edges[:, 1:] + edges[:, :-1]) / 2), centred(block_means)
    lever = middle.square().sum(1)
    slope = (middle * f).sum(1) / lever
    window = edges[:, -1] - edges[:, 0]
    drift = slope * window
    freedom = blocks - 2
    rest = (f - slope[:, None] * middle).detach().square().sum(1)
    error = (rest / freedom.clamp(min=1) / lever.detach()).sqrt() * window.detach()
    limit = torch.where(freedom >= 2, _student(0.975, freedom.clamp(min=1)) * error, 0.0)
    return drift, drift.detach().abs() <= limit.clamp(min=quiet)


def _student(confidence: float, freedom: Int[Tensor, " history"]) -> Float[Tensor, " history"]:
    quantile = stats.t.ppf((1 + confidence) / 2, freedom.cpu().numpy())
    return torch.as_tensor(quantile, dtype=torch.float64, device=freedom.device)


def _root(square: Tensor) -> Tensor:
    """The root, with gradient 0 at 0."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)
