"""``physgen render``: pictures, a film and ParaView's files of the flows in a data file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from physgen.datasets import store
from physgen.datasets.flow import Flows, read_flows
from physgen.datasets.vtk import write_vtk
from physgen.design_tasks.flow_view import What, film, picture, save, sheet
from physgen.files import writable_folder


@dataclass(frozen=True)
class RenderOptions:
    """Draw a flow in a data file: fields with the bodies in them, and the forces on these."""

    path: Annotated[Path, tyro.conf.Positional]
    """The file."""
    out: Path = Path("runs/render")
    """Folder of the pictures."""
    what: Annotated[What, tyro.conf.EnumChoicesFromValues] = What.VORTICITY
    """The quantity that is drawn."""
    sample: int = 0
    """Which simulation of the file, from 0."""
    instants: tuple[int, ...] = ()
    """Saved instants to draw, such as 0 10 -1 (the last); four over the time if none is said."""
    film: bool = False
    """Also an animation of all instants (GIF)."""
    vtk: bool = False
    """Also a time series for ParaView, and the forces as CSV."""


def render(options: RenderOptions) -> list[Path]:
    """Draw what was asked for, and tell the files to open.

    Raises:
        ValueError: the file holds no flow, or not this sample or instant.
    """
    flows = _one(options.path, options.sample)
    instants = _instants(options.instants, len(flows.time))
    out, what = writable_folder(options.out), options.what
    written = [out / "sheet.png"]
    save(sheet(flows, 0, what, instants), written[0])
    for instant in instants:
        written.append(out / f"{what.value}_{instant:04d}.png")
        save(picture(flows, 0, instant, what), written[-1])
    if options.film:
        written.append(out / f"{what.value}.gif")
        film(written[-1], flows, 0, what)
    if options.vtk:
        written += write_vtk(out, flows, 0)
    return written


def _one(path: Path, sample: int) -> Flows:
    """A single sample of a file."""
    with store.opened(path) as file:
        count = len(store.seeds(file))
    if not 0 <= sample < count:
        raise ValueError(f"{path} has samples 0 to {count - 1}, got {sample}")
    return read_flows(path, slice(sample, sample + 1))


def _instants(asked: tuple[int, ...], count: int) -> list[int]:
    """Asked instants, counted from the start; by default four, the first and last of them."""
    if not asked:
        few = min(4, count)
        return sorted({round(k * (count - 1) / max(few - 1, 1)) for k in range(few)})
    if wrong := [k for k in asked if not -count <= k < count]:
        raise ValueError(f"there are instants 0 to {count - 1}, got {wrong[0]}")
    return [k % count for k in asked]
