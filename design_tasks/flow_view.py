"""Pictures of flows: fields with the bodies in them, and the forces on these.

Lengths are counted in ``length`` and times in ``length / speed`` where a flow's parameters have
them, else in m and s.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.image import AxesImage
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from physgen.datasets.flow import Flows
from physgen.design_tasks.nbody_view import COLOURS
from physgen.files import whole

Array = NDArray[np.float32]
Limits = tuple[float, float]

ALL = slice(None)
INK, PALE, SOLID = "#333333", "#B5B5B5", "#3A3A3A"
WIDTH, TALLEST = 8.0, 7.0
"""Of the panels of a sheet with their margins, in inches: a README is 8 inches wide."""
LEFT, RIGHT, BOTTOM, TOP, GAP = 0.55, 0.85, 0.45, 0.1, 0.12
"""Margins around panels and the gap between them, in inches."""
STRIP = 1.35
"""Height of a history, in inches."""


class What(Enum):
    """What a picture shows."""

    VORTICITY = "vorticity"
    PRESSURE = "pressure"
    SPEED = "speed"
    SCALAR = "scalar"


@dataclass(frozen=True)
class Look:
    """How a quantity is drawn."""

    label: str
    colours: str
    signed: bool
    """Whether its colours are those of zero in the middle."""


LOOKS = {
    What.VORTICITY: Look("vorticity [1/s]", "RdBu_r", True),
    What.PRESSURE: Look("pressure [Pa]", "PuOr_r", True),
    What.SPEED: Look("speed [m/s]", "viridis", False),
    What.SCALAR: Look("concentration", "Blues", False),
}


def values(flows: Flows, sample: int, what: What, instants: slice = ALL) -> Array:
    """The quantity ``(time, x, y)``, at all instants or some.

    Raises:
        ValueError: the flow carries none of it.
    """
    if what is What.SPEED:
        speed: Array = np.linalg.norm(flows.velocity[sample, instants], axis=-1)
        return speed
    fields = {What.VORTICITY: flows.vorticity, What.PRESSURE: flows.pressure}
    found = fields.get(what, flows.scalar)
    if found is None:
        raise ValueError(f"{flows.name} carries no scalar: draw its vorticity, pressure or speed")
    chosen: Array = found[sample, instants]
    return chosen


def limits(flows: Flows, sample: int, what: What, quantile: float = 0.995) -> Limits:
    """What the colours range over, at all instants alike: all but a few values in the fluid."""
    field, cells = values(flows, sample, what), max(flows.spacing)
    fluid = np.ones(field.shape, bool)
    if flows.bodies:
        fluid &= flows.distance[sample].min(1) > 2 * cells
    seen = field[fluid & np.isfinite(field)]
    if not seen.size:
        raise ValueError(f"{flows.name} has no finite {what.value} in its fluid")
    if LOOKS[what].signed:
        high = float(np.quantile(np.abs(seen), quantile)) or 1.0
        return -high, high
    return 0.0, float(np.quantile(seen, quantile)) or 1.0


def picture(
    flows: Flows, sample: int, instant: int, what: What, span: Limits | None = None
) -> Canvas:
    """One saved instant; colours span ``span``, or what suits all instants of the sample."""
    span = span or limits(flows, sample, what)
    canvas, panels = _canvas(flows, 1, 1, below=BOTTOM)
    shown = _field(panels[0], flows, sample, instant, what, span)
    _colour_bar(canvas, panels, shown, what)
    return canvas


def film(path: Path, flows: Flows, sample: int, what: What, seconds: float = 6.0) -> None:
    """A GIF with a picture for each saved instant, about ``seconds`` long, for ever."""
    from PIL import Image

    span = limits(flows, sample, what)
    frames = [
        Image.fromarray(_pixels(picture(flows, sample, instant, what, span)))
        for instant in range(len(flows.time))
    ]
    palette = frames[-1].quantize(255)
    pictures = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    hold = 10 * round(min(max(100 * seconds / len(pictures), 4), 50))
    with whole(path) as part:
        pictures[0].save(
            part, format="GIF", save_all=True, append_images=pictures[1:], duration=hold, loop=0
        )


def forces(flows: Flows, sample: int) -> Canvas:
    """Histories of drag and lift of every body.

    Raises:
        ValueError: there are no bodies.
    """
    _refuse_none(flows)
    width, height = WIDTH, STRIP + BOTTOM + 0.3
    canvas = Canvas(figsize=(width, height))
    _histories(canvas, flows, sample, width - LEFT - 0.15, ())
    return canvas


def sheet(flows: Flows, sample: int, what: What, instants: Sequence[int]) -> Canvas:
    """The field at some instants, and below it the forces, with these instants marked."""
    if not instants:
        raise ValueError("a sheet needs an instant to show")
    span, count = limits(flows, sample, what), len(instants)
    columns = _columns(count, _slope(flows))
    below = BOTTOM + (STRIP + 0.28 + BOTTOM if _told(flows) else 0)
    canvas, panels = _canvas(flows, -(-count // columns), columns, below)
    shown = [
        _field(panel, flows, sample, instant, what, span)
        for panel, instant in zip(panels, instants, strict=False)
    ]
    for place, panel in enumerate(panels[:count]):
        _number_outside_only(panel, place % columns, columns, place + columns < count)
    for panel in panels[count:]:
        panel.remove()
    _colour_bar(canvas, panels[:count], shown[0], what)
    if _told(flows):
        width = canvas.get_figwidth() - LEFT - RIGHT
        _histories(canvas, flows, sample, width, [float(flows.time[k]) for k in instants])
    return canvas


def _number_outside_only(panel: Axes, column: int, columns: int, covered: bool) -> None:
    """Numbers and names of axes only where no panel is to the left of or below this one."""
    panel.tick_params(labelleft=column == 0, labelbottom=not covered)
    if column:
        panel.set_ylabel("")
    if covered:
        panel.set_xlabel("")
    if column < columns - 1:  # its last number would run into the first of the next
        panel.xaxis.set_major_locator(_round(_numbers(panel), prune="upper"))


def save(canvas: Canvas, path: Path) -> None:
    """Write a PNG."""
    FigureCanvasAgg(canvas)
    with whole(path) as part:
        canvas.savefig(part, format="png", dpi=150)


def _told(flows: Flows) -> bool:
    return flows.bodies > 0 and len(flows.force_time) > 1


def _refuse_none(flows: Flows) -> None:
    if not _told(flows):
        raise ValueError(f"{flows.name} has no bodies with a history of forces")


def _slope(flows: Flows) -> float:
    """Height over width of the grid."""
    left, right, bottom, top = flows.extent
    return (top - bottom) / (right - left)


def _columns(count: int, slope: float) -> int:
    """How many panels stand beside each other, so that all of them are large."""
    most = 1 if slope < 0.25 else 2 if slope < 0.45 else 3 if slope < 0.9 else 4
    even = [columns for columns in range(most, 1, -1) if count % columns == 0]
    return min(count, (even or [most])[0])


def _canvas(flows: Flows, rows: int, columns: int, below: float) -> tuple[Canvas, list[Axes]]:
    """A canvas of panels as tall as the grid wants, and room below them."""
    width = (WIDTH - LEFT - RIGHT - GAP * (columns - 1)) / columns
    height = width * _slope(flows)
    shrunk = min(1.0, TALLEST / (rows * height))
    width, height = shrunk * width, shrunk * height
    across = LEFT + columns * width + (columns - 1) * GAP + RIGHT
    up = below + rows * height + (rows - 1) * GAP + TOP
    canvas = Canvas(figsize=(across, up))
    panels = [
        _inches(
            canvas,
            LEFT + column * (width + GAP),
            below + (rows - 1 - row) * (height + GAP),
            width,
            height,
        )
        for row in range(rows)
        for column in range(columns)
    ]
    return canvas, panels


def _inches(canvas: Canvas, left: float, bottom: float, width: float, height: float) -> Axes:
    across, up = canvas.get_size_inches()
    axis = canvas.add_axes((left / across, bottom / up, width / across, height / up))
    axis.tick_params(labelsize=8, colors=INK, length=2.5, width=0.6, pad=2.5)
    axis.spines[:].set(color=INK, linewidth=0.6)
    return axis


def _round(
    most: int, prune: Literal["upper"] | None = None, symmetric: bool = False
) -> MaxNLocator:
    """At most so many numbers on an axis, all of them round."""
    return MaxNLocator(most, steps=[1, 2, 5, 10], prune=prune, symmetric=symmetric)


def _numbers(axis: Axes) -> int:
    """How many numbers fit below a panel, each half an inch wide."""
    inches = axis.bbox.transformed(axis.figure.dpi_scale_trans.inverted())
    return min(max(int(inches.width / 0.5), 2), 8)


def _field(
    axis: Axes, flows: Flows, sample: int, instant: int, what: What, span: Limits
) -> AxesImage:
    """The quantity, bodies filled over it, and the time in a corner."""
    length, _ = _scales(flows)
    extent = [edge / length for edge in flows.extent]
    shown = axis.imshow(
        values(flows, sample, what, slice(instant, instant + 1))[0].T,
        extent=(extent[0], extent[1], extent[2], extent[3]),
        origin="lower",
        cmap=LOOKS[what].colours,
        vmin=span[0],
        vmax=span[1],
        interpolation="bilinear",
    )
    halo: list[patheffects.AbstractPathEffect] = [
        patheffects.withStroke(linewidth=2.5, foreground="white")
    ]
    for body, outline in enumerate(flows.pose(sample, instant)):
        axis.add_patch(Polygon(outline / length, fc=SOLID, ec=SOLID, lw=0.5))
        if flows.bodies > 1:
            place = (outline[:, 0].mean() / length, outline[:, 1].max() / length)
            axis.annotate(
                f"{body}",
                place,
                (0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=INK,
                path_effects=halo,
            )
    axis.set_xlim(extent[0], extent[1])
    axis.set_ylim(extent[2], extent[3])
    axis.set_aspect("auto")
    name = "$x / L$", "$y / L$"
    if "length" not in flows.parameters:
        name = "$x$ [m]", "$y$ [m]"
    axis.set_xlabel(name[0], fontsize=9, color=INK, labelpad=2)
    axis.set_ylabel(name[1], fontsize=9, color=INK, labelpad=2)
    axis.xaxis.set_major_locator(_round(_numbers(axis)))
    axis.yaxis.set_major_locator(_round(5))
    axis.annotate(
        _time_text(flows, instant),
        (0, 1),
        (4, -4),
        xycoords="axes fraction",
        textcoords="offset points",
        va="top",
        fontsize=8.5,
        color=INK,
        bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 1.5},
    )
    return shown


def _scales(flows: Flows) -> tuple[float, float]:
    """What lengths and times are divided by."""
    length = flows.parameters.get("length") or 1.0
    speed = flows.parameters.get("speed")
    return length, length / speed if speed and "length" in flows.parameters else 1.0


def _time_name(flows: Flows) -> tuple[str, str]:
    """The symbol of time and its unit."""
    return ("$t\\,U / L$", "") if flows.reference_force else ("$t$", " s")


def _time_text(flows: Flows, instant: int) -> str:
    """The time with as many digits as tell instants apart."""
    times = flows.time.astype(np.float64) / _scales(flows)[1]
    step = np.diff(times).min() if len(times) > 1 else 1.0
    digits = min(max(1, math.ceil(-math.log10(max(step, 1e-6)))), 6)
    symbol, unit = _time_name(flows)
    return f"{symbol} $=$ {times[instant]:.{digits}f}{unit}"


def _colour_bar(canvas: Canvas, panels: Sequence[Axes], shown: AxesImage, what: What) -> None:
    """Beside the panels, as tall as all of them, with arrows where colours are cut off."""
    across, up = canvas.get_size_inches()
    boxes = [panel.get_position() for panel in panels]
    right, bottom = max(box.x1 for box in boxes), min(box.y0 for box in boxes)
    top = max(box.y1 for box in boxes)
    inset = min(0.06 * (top - bottom), 0.15 / up)
    place = _inches(
        canvas,
        right * across + 0.1,
        (bottom + inset) * up,
        0.11,
        (top - bottom - 2 * inset) * up,
    )
    signed = LOOKS[what].signed
    bar = canvas.colorbar(shown, cax=place, extend="both" if signed else "max", extendfrac=0.03)
    bar.outline.set_visible(False)
    bar.locator = _round(6, symmetric=signed)
    bar.update_ticks()
    bar.set_label(LOOKS[what].label, fontsize=9, color=INK, labelpad=4)
    place.tick_params(labelsize=8, colors=INK, length=2, width=0.6, pad=2)


def _histories(
    canvas: Canvas, flows: Flows, sample: int, width: float, marks: Sequence[float]
) -> None:
    """Drag and lift at the foot of a canvas, times of the pictures marked."""
    scale, (_, second) = flows.reference_force, _scales(flows)
    wide = (width - 0.55) / 2
    symbol, unit = _time_name(flows)
    for component, name in enumerate(("drag", "lift")):
        axis = _inches(canvas, LEFT + component * (wide + 0.55), BOTTOM, wide, STRIP)
        time = flows.force_time / second
        curves = flows.force[sample, :, :, component] / (scale or 1.0)
        for mark in marks:
            axis.axvline(mark / second, color=PALE, lw=0.7, zorder=0, clip_on=False)
        for body in range(flows.bodies):
            colour = COLOURS[body % len(COLOURS)] if flows.bodies > 1 else INK
            axis.plot(
                time, curves[:, body], color=colour, lw=1.2, label=f"{body}" if body else "body 0"
            )
        axis.set_xlim(time[0], time[-1])
        axis.set_ylim(*_robust(curves))
        axis.xaxis.set_major_locator(_round(8))
        axis.yaxis.set_major_locator(_round(4))
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel(symbol if not unit else "$t$ [s]", fontsize=9, color=INK, labelpad=2)
        label = f"{name} coefficient" if scale else f"{name} [N/m]"
        axis.set_title(label, loc="left", fontsize=9, color=INK, pad=5)
        if flows.bodies > 1 and component == 1:
            axis.legend(
                ncols=8,
                frameon=False,
                fontsize=8,
                loc="lower right",
                bbox_to_anchor=(1.02, 0.98),
                handlelength=1.0,
                columnspacing=1.0,
                borderpad=0,
            )


def _robust(curves: NDArray[np.floating]) -> Limits:
    """A range that the jump of an impulsive start does not set."""
    seen = curves[np.isfinite(curves)]
    low, high = np.quantile(seen, (0.02, 0.98)) if seen.size else (0.0, 1.0)
    room = 0.25 * (high - low) or 0.1 * abs(high) or 1.0
    return float(low - room), float(high + room)


def _pixels(canvas: Canvas) -> NDArray[np.uint8]:
    canvas.set_dpi(100)
    drawn = FigureCanvasAgg(canvas)
    drawn.draw()
    return np.asarray(drawn.buffer_rgba())[..., :3].copy()
