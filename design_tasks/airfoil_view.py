"""Pictures of airfoil designs: the flow around the best, all shapes, drag against lift."""

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Polygon
from torch import Tensor

from physgen.datasets.airfoil import COARSER, Airfoils
from physgen.design_tasks.airfoil_design import Drawn
from physgen.design_tasks.airfoils import Formations, Judged
from physgen.design_tasks.nbody_view import COLOURS
from physgen.files import whole
from physgen.verdict import Verdict

SOLID, INK = "#222222", "#333333"


def draw_best(
    path: Path, task: Formations, airfoils: Airfoils, judged: Judged, best: int, cells: int
) -> None:
    """The mean speed around one formation, and around each of its airfoils alone as the reference
    has it: turned by the common angle that gives the same total lift."""
    bodies = airfoils.x.shape[1]
    turn = torch.deg2rad(judged.turn[best])
    parts = [part[0][:, None] for part in airfoils]
    flows = [_speed(task, airfoils, cells)]
    upper, lower, x, y, incidence = parts
    each = Airfoils(upper, lower, x * 0 + airfoils.x[0, 0], y * 0, incidence + turn)
    flows += [_speed(task, Airfoils(*(p[k : k + 1] for p in each)), cells) for k in range(bodies)]
    canvas = Canvas(figsize=(9.6, 3.1 + 2.35), layout="constrained")
    grid = canvas.add_gridspec(2, bodies, height_ratios=(1.35, 1))
    axes = [canvas.add_subplot(grid[0, :])] + [
        canvas.add_subplot(grid[1, k]) for k in range(bodies)
    ]
    shown = None
    last = float(airfoils.x.max())
    for k, (axis, (speed, extent)) in enumerate(zip(axes, flows, strict=True)):
        shown = axis.imshow(
            speed.T.numpy(),
            origin="lower",
            extent=extent,
            cmap="viridis",
            vmin=0,
            vmax=1.25,
            interpolation="bilinear",
        )
        outlines = airfoils.outlines()[0] if k == 0 else each.outlines()[k - 1]
        for body, line in enumerate(outlines):
            colour = COLOURS[(body if k == 0 else k - 1) % len(COLOURS)]
            axis.add_patch(Polygon(line.numpy(), closed=True, fc=SOLID, ec=colour, lw=1.2))
        axis.set_xlim(-1.2, last + 3.4 if k == 0 else 3.2)
        axis.set_ylim(-1.15, 1.15)
        axis.tick_params(labelsize=8)
        if k == 0:
            change = 100 * float(judged.drag_change[best])
            axis.set_title(
                f"together: drag {float(judged.drag[best]):.4f}, lift "
                f"{float(judged.lift[best]):.3f} by the sum of chords   "
                f"({change:+.1f} % drag at equal lift)",
                fontsize=10,
            )
        else:
            axis.set_title(
                f"airfoil {k - 1} alone, turned by {float(judged.turn[best]):+.1f}°", fontsize=9
            )
    assert shown is not None
    bar = canvas.colorbar(shown, ax=axes, shrink=0.6, aspect=30)
    bar.set_label("mean speed, of the stream's", fontsize=9)
    axes[0].set_ylabel("chords", fontsize=9)
    _save(canvas, path)


def _speed(
    task: Formations, airfoils: Airfoils, cells: int
) -> tuple[Tensor, tuple[float, float, float, float]]:
    found = task.simulate(airfoils, cells)
    grid = task.grid(airfoils, cells)
    speed = (found.u[0].square() + found.v[0].square()).sqrt()
    width, height = (COARSER * n / cells for n in speed.shape)
    return speed, (grid.left, grid.left + width, grid.bottom, grid.bottom + height)


def draw_designs(path: Path, drawn: Drawn, judged: Judged, shown: int = 12) -> None:
    """Formations from the best to the worst, each with its change of drag."""
    order = judged.drag_change.argsort()
    count = min(shown, len(order))
    chosen = order[torch.linspace(0, len(order) - 1, count).round().long()]
    columns = min(4, count)
    rows = -(-count // columns)
    canvas = Canvas(figsize=(2.6 * columns, 1.35 * rows + 0.2), layout="constrained")
    axes = list(canvas.subplots(rows, columns, squeeze=False).flat)
    outlines = drawn.airfoils.outlines()
    low, high = outlines[..., 0].min().item(), outlines[..., 0].max().item()
    for axis, design in zip(axes, chosen.tolist(), strict=False):
        for body, line in enumerate(outlines[design]):
            colour = COLOURS[body % len(COLOURS)]
            axis.add_patch(Polygon(line.numpy(), closed=True, fc=colour, ec="none", alpha=0.85))
        axis.set_xlim(low - 0.1, high + 0.1)
        axis.set_ylim(-0.75, 0.75)
        axis.set_aspect("equal")
        axis.axis("off")
        said = f"{100 * float(judged.drag_change[design]):+.1f} %"
        if judged.valid[design] == 0:
            said = "not allowed"
        axis.set_title(said, fontsize=9, color=INK)
    for axis in axes[count:]:
        axis.axis("off")
    _save(canvas, path)


def draw_front(path: Path, judged: Judged, verdict: Verdict) -> None:
    """Drag against lift of each formation, a line to the same airfoils alone at the same lift."""
    canvas = Canvas(figsize=(6.4, 4.2), layout="constrained")
    axis = canvas.subplots()
    allowed = judged.valid > 0
    drag, lift = judged.drag[allowed], judged.lift[allowed]
    alone = judged.reference[allowed]
    for one, other, height in zip(drag.tolist(), alone.tolist(), lift.tolist(), strict=True):
        axis.plot([one, other], [height, height], color="#BBBBBB", lw=1, zorder=1)
    axis.plot(alone, lift, "o", mfc="white", mec=COLOURS[1], ms=5, label="the same, alone")
    axis.plot(drag, lift, "o", color=COLOURS[0], ms=5, label=f"formations, {verdict.method}")
    for k, (name, row) in enumerate(verdict.baselines.items()):
        if name == "random":
            # Nobody asked them for any lift.
            continue
        _cross(axis, row.figures["drag"].mean, row.figures["lift"].mean, COLOURS[2 + k], name)
    axis.set_xlabel("drag coefficient, by the sum of the chords")
    axis.set_ylabel("lift coefficient")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)
    _save(canvas, path)


def _cross(axis: Axes, x: float, y: float, colour: str, name: str) -> None:
    axis.plot([x], [y], "P", color=colour, ms=8, label=f"mean of {name}")


def _save(canvas: Canvas, path: Path) -> None:
    FigureCanvasAgg(canvas)
    with whole(path) as part:
        canvas.savefig(part, format="png", dpi=150)
