"""Pictures of N-body designs: what was generated, over what the true solver makes of it."""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from physgen.datasets.vtk import pvd
from physgen.design_tasks.nbody import RADIUS, SECONDS, Judged, Motion
from physgen.files import whole, write_text
from physgen.shapes import PerSample
from physgen.verdict import BOUND, Verdict, middle

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#4D4D4D")
"""Told apart by the colour-blind (Okabe & Ito), one for each body."""


def from_best(objective: PerSample, count: int, last: float = 1.0) -> list[int]:
    """So many designs, or all if there are fewer, evenly from the best to some quantile.

    It is ``last``, or beyond it where there are too few designs before.
    """
    order = objective.argsort()
    count = min(count, len(order))
    place = torch.linspace(0, max(last * (len(order) - 1), count - 1), count)
    chosen: list[int] = order[place.round().long()].tolist()
    return chosen


def draw_trajectories(path: Path, generated: Motion, judged: Judged) -> None:
    """Best, middling and worst designs: the solver's paths as lines, the generated as dots."""
    chosen = from_best(judged.objective, 8)
    count = len(chosen)
    rows = 2 if count > 4 else 1
    columns = -(-count // rows)
    canvas = Canvas(figsize=(2.9 * columns, 3.15 * rows + 0.4), layout="constrained")
    axes = canvas.subplots(rows, columns, squeeze=False).flat
    for k, (axis, design) in enumerate(zip(axes, chosen, strict=False)):
        _box(axis)
        for body in range(generated.shape[2]):
            colour = COLOURS[body % len(COLOURS)]
            true, drawn = judged.simulated[design, :, body], generated[design, :, body]
            axis.plot(true[:, 0], true[:, 1], color=colour, lw=1.6)
            axis.plot(drawn[:, 0], drawn[:, 1], ".", color=colour, ms=3.5, alpha=0.6)
            start, end = (tuple(true[k, :2].tolist()) for k in (0, -1))
            axis.add_patch(Circle(start, RADIUS, fill=False, ec=colour, ls=":", lw=1.2))
            axis.add_patch(Circle(end, RADIUS, fc=colour, ec="none", alpha=0.35))
        rank = (
            "best" if k == 0 else "worst" if k == count - 1 else f"quantile {k / (count - 1):.2f}"
        )
        score, error = judged.objective[design].item(), judged.mae[design].item()
        axis.set_title(f"{rank}: $J$ = {score:.3f}, MAE {error:.4f}", fontsize=9)
    for axis in list(axes)[count:]:
        axis.axis("off")
    canvas.supxlabel(
        "dotted circle: start · filled: end · line: true solver · dots: generated · + target",
        fontsize=9,
    )
    _save(canvas, path)


def draw_distribution(path: Path, verdict: Verdict, objective: Tensor) -> None:
    """The share of designs below each objective, beside bound and baselines."""
    canvas = Canvas(figsize=(7, 3.6), layout="constrained")
    axis = canvas.subplots()
    share = torch.arange(1, len(objective) + 1) / len(objective)
    axis.step(objective.sort().values, share, where="post", color=COLOURS[0], lw=2)
    axis.text(middle(objective).item(), 0.5, f"  {verdict.method}", color=COLOURS[0])
    for k, (name, row) in enumerate(verdict.baselines.items()):
        mean = row.figures["objective"].mean
        axis.axvline(mean, color=COLOURS[1 + k], lw=1.2, ls="--")
        axis.text(mean, 0.02 + 0.11 * k, f" {name}", color=COLOURS[1 + k], fontsize=9)
    if verdict.bound is not None:
        axis.axvline(verdict.bound, color="k", lw=1.2)
        axis.text(verdict.bound, 0.02, BOUND, fontsize=9, rotation=90, ha="right", va="bottom")
        axis.margins(x=0.08)
    axis.set_xlabel("objective by the true solver: mean distance to the centre [box sides]")
    axis.set_ylabel("share of designs below")
    axis.set_ylim(0, 1.02)
    axis.spines[["top", "right"]].set_visible(False)
    _save(canvas, path)


def animate(path: Path, generated: Motion, judged: Judged, shown: int = 4) -> None:
    """A GIF of a few designs: generated discs as outlines over the simulated ones, filled."""
    from PIL import Image

    chosen = from_best(judged.objective, shown, 0.9)
    pictures = []
    for instant in range(generated.shape[1]):
        canvas = Canvas(figsize=(2.3 * len(chosen), 2.75), layout="constrained", dpi=80)
        axes = canvas.subplots(1, len(chosen), squeeze=False)[0]
        for axis, design in zip(axes, chosen, strict=True):
            _box(axis)
            for body in range(generated.shape[2]):
                colour = COLOURS[body % len(COLOURS)]
                path_so_far = judged.simulated[design, : instant + 1, body]
                axis.plot(path_so_far[:, 0], path_so_far[:, 1], color=colour, lw=0.8, alpha=0.6)
                place = tuple(path_so_far[-1, :2].tolist())
                axis.add_patch(Circle(place, RADIUS, fc=colour, ec="none", alpha=0.5))
                place = tuple(generated[design, instant, body, :2].tolist())
                axis.add_patch(Circle(place, RADIUS, fill=False, ec=colour, lw=1.2))
            axis.set_title(f"$J$ = {judged.objective[design].item():.3f}", fontsize=9)
        drawn = FigureCanvasAgg(canvas)
        drawn.draw()
        pictures.append(
            Image.fromarray(_pixels(drawn)).convert("P", palette=Image.Palette.ADAPTIVE)
        )
    hold = [round(1000 * SECONDS)] * (len(pictures) - 1) + [1500]
    with whole(path) as part:
        pictures[0].save(
            part, format="GIF", save_all=True, append_images=pictures[1:], duration=hold, loop=0
        )


def write_vtk(folder: Path, motions: dict[str, Motion], designs: Sequence[int]) -> list[Path]:
    """A ``.pvd`` time series of discs for each named set of motions; opens in ParaView.

    Every instant is one ``.vtp`` file with all bodies of all chosen designs, the designs laid
    side by side along x, in box units, with ``body``, ``design`` and ``velocity`` on each. The
    outlines of the boxes are in ``box.vtp``.
    """
    import pyvista

    written = [folder / "box.vtp"]
    sides = [pyvista.Rectangle(_corners(1.1 * column)) for column in range(len(designs))]
    pyvista.merge(sides).extract_feature_edges().save(written[0])
    for name, motion in motions.items():
        times = []
        for instant in range(motion.shape[1]):
            discs = []
            for column, design in enumerate(designs):
                for body, (x, y, vx, vy) in enumerate(motion[design, instant].tolist()):
                    centre = (x + 1.1 * column, y, 0.0)
                    disc = pyvista.Disc(center=centre, inner=0, outer=RADIUS, c_res=40)
                    disc.cell_data["body"] = [body] * disc.n_cells
                    disc.cell_data["design"] = [design] * disc.n_cells
                    disc.cell_data["velocity"] = [(vx, vy, 0.0)] * disc.n_cells
                    discs.append(disc)
            file = folder / name / f"{name}_{instant:04d}.vtp"
            file.parent.mkdir(parents=True, exist_ok=True)
            pyvista.merge(discs).extract_surface(algorithm="dataset_surface").save(file)
            times.append((instant * SECONDS, f"{name}/{file.name}"))
        collection = folder / f"{name}.pvd"
        write_text(collection, pvd(times))
        written.append(collection)
    return written


def _corners(left: float) -> list[tuple[float, float, float]]:
    return [(left, 0.0, 0.0), (left + 1, 0.0, 0.0), (left + 1, 1.0, 0.0)]


def _box(axis) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    axis.add_patch(Rectangle((0, 0), 1, 1, fill=False, ec="0.3", lw=1.5))
    axis.plot([0.5], [0.5], "k+", ms=8)
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)
    axis.set_aspect("equal")
    axis.axis("off")


def _pixels(canvas: FigureCanvasAgg):  # type: ignore[no-untyped-def]  # noqa: ANN202
    import numpy

    return numpy.asarray(canvas.buffer_rgba())[..., :3].copy()


def _save(canvas: Canvas, path: Path) -> None:
    FigureCanvasAgg(canvas)
    with whole(path) as part:
        canvas.savefig(part, format="png", dpi=150)
