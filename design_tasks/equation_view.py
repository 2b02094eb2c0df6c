"""Pictures of fields: a line over time, or a plane at some instants."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from physgen.datasets.field import Fields
from physgen.design_tasks.flow_view import INK

SIGNED, POSITIVE = "RdBu_r", "viridis"


def sheet(fields: Fields, sample: int) -> Canvas:
    """A panel for each field over space and time, or of a plane a row for each at four instants; a
    panel for each field of a plane that stands still."""
    if len(fields.axes) == 1:
        return _space_time(fields, sample)
    if len(fields.time) == 1:
        return _still(fields, sample)
    return _instants(fields, sample)


def _space_time(fields: Fields, sample: int) -> Canvas:
    count = len(fields.values)
    canvas = Canvas(figsize=(8, 3.2 * count), layout="constrained")
    panels = canvas.subplots(count, 1, squeeze=False)[:, 0]
    half = 0.5 * float(fields.time[1] - fields.time[0])
    first, last = float(fields.time[0]), float(fields.time[-1])
    extent = (first - half, last + half, *fields.cells[0])
    for axis, name in zip(panels, fields.values, strict=True):
        values = fields.values[name][sample]
        shown = _image(axis, values.T, extent, values)
        axis.set(xlabel="$t$ [s]", ylabel="$x$ [m]", xlim=(first, last), ylim=fields.extent[0])
        _bar(canvas, axis, shown, name, fields.units[name])
    return canvas


def _instants(fields: Fields, sample: int) -> Canvas:
    few = min(4, len(fields.time))
    instants = [round(k * (len(fields.time) - 1) / max(few - 1, 1)) for k in range(few)]
    rows = len(fields.values)
    canvas = Canvas(figsize=(8, 2.2 * rows + 0.4), layout="constrained")
    panels = canvas.subplots(rows, few, squeeze=False)
    extent = (*fields.cells[0], *fields.cells[1])
    for row, name in zip(panels, fields.values, strict=True):
        values = fields.values[name][sample]
        for axis, instant in zip(row, instants, strict=True):
            shown = _image(axis, values[instant].T, extent, values[instants])
            axis.set(aspect="equal", xlim=fields.extent[0], ylim=fields.extent[1])
            axis.set_title(f"$t =$ {fields.time[instant]:.4g} s", fontsize=8.5, color=INK)
        _bar(canvas, row[-1], shown, name, fields.units[name])
    return canvas


def _still(fields: Fields, sample: int) -> Canvas:
    columns = 2 if len(fields.values) in (2, 4) else 3
    rows = math.ceil(len(fields.values) / columns)
    canvas = Canvas(figsize=(8, 6.2 / columns * rows), layout="compressed")
    panels = canvas.subplots(rows, columns, squeeze=False).ravel()
    extent = (*fields.cells[0], *fields.cells[1])
    for axis, name in zip(panels, fields.values, strict=False):
        values = fields.values[name][sample, 0]
        shown = _image(axis, values.T, extent, values)
        axis.set(aspect="equal", xlim=fields.extent[0], ylim=fields.extent[1])
        _bar(canvas, axis, shown, name, fields.units[name])
    for axis in panels[len(fields.values) :]:
        axis.remove()
    return canvas


def _image(
    axis: Axes,
    values: NDArray[np.float32],
    extent: tuple[float, float, float, float],
    scale: NDArray[np.float32],
) -> AxesImage:
    """Colours about zero if both signs are there, else from the lowest to the highest."""
    low, high = float(scale.min()), float(scale.max())
    colours = POSITIVE
    if low < -0.1 * high and high > -0.1 * low:
        high = max(-low, high)
        low, colours = -high, SIGNED
    if math.isclose(low, high):
        high = low + 1
    axis.tick_params(labelsize=8, colors=INK, length=2.5, width=0.6)
    axis.spines[:].set(color=INK, linewidth=0.6)
    return axis.imshow(
        values, extent=extent, origin="lower", aspect="auto", cmap=colours, vmin=low, vmax=high
    )


def _bar(canvas: Canvas, axis: Axes, shown: AxesImage, name: str, units: str) -> None:
    bar = canvas.colorbar(shown, ax=axis, pad=0.02)
    bar.set_label(name.replace("_", " ") + (f" [{units}]" if units != "1" else ""), fontsize=9)
    bar.ax.tick_params(labelsize=8, colors=INK)
