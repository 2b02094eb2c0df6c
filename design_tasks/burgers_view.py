"""Pictures of Burgers control: forces, what they do, and what each gradient brings."""

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullFormatter
from torch import Tensor

from physgen.design_tasks.burgers_control import BurgersControl, Judged
from physgen.design_tasks.burgers_design import Drawn
from physgen.files import whole

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#4D4D4D")
"""Told apart by the colour-blind (Okabe & Ito)."""


def draw_designs(path: Path, task: BurgersControl, drawn: Drawn, judged: Judged) -> None:
    """Best, middling and worst design: force and velocity over space and time, and the end."""
    order = judged.objective.argsort()
    count = min(3, len(order))
    chosen = order[torch.linspace(0, len(order) - 1, count).round().long()].tolist()
    names = ("best", "median", "worst") if count == 3 else ("best", "worst")[:count]
    canvas = Canvas(figsize=(11.5, 2.7 * count + 0.3), layout="constrained")
    axes = canvas.subplots(count, 3, squeeze=False, width_ratios=(1, 1, 1.15))
    for (left, middle, right), name, design in zip(axes, names, chosen, strict=True):
        force, velocity = task.allowed(drawn.force)[design, :, 0], judged.simulated[design, :, 0]
        intervals = len(force)
        _over_time(canvas, left, force, (0.0, 1.0))
        _over_time(canvas, middle, velocity, (-0.5 / intervals, 1 + 0.5 / intervals))
        left.set_ylabel(f"{name}\ntime [s]")
        _ends(right, task, drawn, judged, design)
    for axis, title in zip(axes[0], ("force $w$ [m/s²]", "velocity $u$ [m/s]"), strict=False):
        axis.set_title(title, fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("x [m]")
    _save(canvas, path)


def _over_time(canvas: Canvas, axis: Axes, values: Tensor, between: tuple[float, float]) -> None:
    """Values over the second that a design takes.

    Arguments:
        values: One row for each interval or instant, at the points between the walls.
        between: Where the first row begins and the last one ends, in s. A row of instants reaches
            half an interval before and behind each.
    """
    edge = 0.5 / (values.shape[1] + 1)
    most = max(values.abs().max().item(), 1e-6)
    shown = axis.imshow(
        values.numpy(),
        origin="lower",
        aspect="auto",
        extent=(edge, 1 - edge, *between),
        cmap="RdBu_r",
        vmin=-most,
        vmax=most,
        interpolation="nearest",
    )
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    canvas.colorbar(shown, ax=axis)


def _ends(axis: Axes, task: BurgersControl, drawn: Drawn, judged: Judged, design: int) -> None:
    place = torch.arange(1, task.first.shape[-1] + 1) / (task.first.shape[-1] + 1)
    hidden = ~task.setting.observed
    if hidden.any():
        low, high = place[hidden][0].item(), place[hidden][-1].item()
        axis.axvspan(low, high, color="0.93", lw=0)
    axis.plot(place, task.first[design, 0], color=COLOURS[3], lw=1, ls=":", label="first")
    axis.plot(place, task.last[design, 0], color=COLOURS[1], lw=3, alpha=0.45, label="wanted")
    axis.plot(place, judged.simulated[design, -1, 0], color=COLOURS[0], lw=1.3, label="reached")
    claimed = drawn.velocity[design, -1, 0]
    axis.plot(place, claimed, color=COLOURS[2], lw=1, ls="--", label="as the prior has it")
    axis.set_title(f"$J$ = {judged.objective[design].item():.2g} m²/s²", fontsize=9)
    axis.set_xlim(0, 1)
    axis.set_ylabel("velocity $u$ [m/s]")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=7, frameon=False)


def draw_calls(path: Path, helped: Tensor, scratch: Tensor) -> None:
    """The mean objective against calls of the solver, from the prior and from no force."""
    canvas = Canvas(figsize=(6.4, 3.6), layout="constrained")
    axis = canvas.subplots()
    rows = (("from the prior", helped), ("from no force", scratch))
    for (name, costs), colour in zip(rows, COLOURS, strict=False):
        if not costs.numel():
            continue
        calls = torch.arange(1, len(costs) + 1)
        low, high = (costs.quantile(share, dim=1) for share in (0.1, 0.9))
        axis.fill_between(calls, low, high, color=colour, alpha=0.15, lw=0)
        axis.plot(calls, costs.mean(1), color=colour, lw=2, label=f"{name}, mean")
    if axis.lines:
        axis.set_yscale("log")
        axis.set_xscale("log")
        ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200) if n <= max(len(helped), len(scratch))]
        axis.set_xticks(ticks, [str(n) for n in ticks])
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.legend(frameon=False)
    else:
        axis.text(0.5, 0.5, "the solver was not asked", ha="center")
    axis.set_xlabel("calls of the true solver for each design")
    axis.set_ylabel("objective [m²/s²]; band: 10 to 90 %")
    axis.spines[["top", "right"]].set_visible(False)
    _save(canvas, path)


def _save(canvas: Canvas, path: Path) -> None:
    FigureCanvasAgg(canvas)
    with whole(path) as part:
        canvas.savefig(part, format="png", dpi=150)
