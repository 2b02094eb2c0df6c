"""Airfoil sections of the field, as the weights of Kulfan's shape functions.

The table beside this module (``sections.safetensors``) holds the sections of the UIUC airfoil
coordinates database (Selig, https://m-selig.ae.illinois.edu/ads/coord_database.html) as they come
with AeroSandbox, each fitted by :func:`~physgen.solvers.sections.fit_cst`. It was made by
``physgen generate sections`` with the extra ``airfoils`` installed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.checkpoint import load_tensors, save_tensors
from physgen.solvers.sections import fit_cst, kulfan, read_dat, thickness

TABLE = Path(__file__).with_name("sections.safetensors")
WEIGHTS = 6
"""On each side."""
WORST = 0.004
"""Largest distance of a given vertex from the fitted line, in chords."""
THICKNESS = (0.04, 0.30)
"""Sections outside are left out: plates, and bodies that are no airfoils."""

Parts = Float[Tensor, "section weight"]


@dataclass(frozen=True)
class Library:
    """Sections, each the sum of a mean line and a thickness along it.

    ``kulfan(camber + thick, camber - thick)`` draws them, with a closed trailing edge.
    """

    camber: Parts
    """Weights of the mean line."""
    thick: Parts
    """Weights of half the thickness."""
    height: Float[Tensor, " section"]
    """The greatest thickness, in chords."""

    def __len__(self) -> int:
        return len(self.height)


@dataclass(frozen=True)
class SectionsOptions:
    """Fit sections from files in Selig's format."""

    folder: Path | None = None
    """Folder of .dat files; those of the installed AeroSandbox if not given."""
    out: Path = TABLE
    """File of the fitted weights."""


def gather(options: SectionsOptions, report: Callable[[int, int], None]) -> Library:
    """Read, fit and keep all sections that are sections.

    Arguments:
        report: Told how many files are done, of how many.

    Raises:
        ValueError: there are no files.
    """
    folder = options.folder or _database()
    files = sorted(folder.glob("*.dat"), key=lambda path: path.name.lower())
    if not files:
        raise ValueError(f"there are no .dat files in {folder}: give another --folder")
    names: list[str] = []
    camber: list[Tensor] = []
    thick: list[Tensor] = []
    heights: list[float] = []
    for number, path in enumerate(files):
        report(number, len(files))
        try:
            _, line = read_dat(path)
            (upper, lower, _, _), error = fit_cst(line, WEIGHTS)
        except ValueError:
            continue
        high = float(thickness(kulfan(upper, lower)))
        if error <= WORST and THICKNESS[0] <= high <= THICKNESS[1]:
            names.append(path.stem)
            camber.append(0.5 * (upper + lower))
            thick.append(0.5 * (upper - lower))
            heights.append(high)
    report(len(files), len(files))
    found = Library(torch.stack(camber).float(), torch.stack(thick).float(), torch.tensor(heights))
    facts = {
        "names": names,
        "read": len(files),
        "source": "UIUC airfoil coordinates database, as distributed with AeroSandbox"
        if options.folder is None
        else str(folder.name),
    }
    tensors = {"camber": found.camber, "thick": found.thick, "height": found.height}
    save_tensors(options.out, tensors, facts)
    return found


@cache
def library(path: Path = TABLE) -> Library:
    """The sections of a table.

    Raises:
        ValueError: the file is missing or is no such table.
    """
    tensors, _ = load_tensors(path)
    if set(tensors) != {"camber", "thick", "height"}:
        raise ValueError(f"{path} is no table of sections: it holds {sorted(tensors)}")
    return Library(**tensors)


def _database() -> Path:
    found = find_spec("aerosandbox")
    if found is None or found.origin is None:
        raise ValueError(
            "AeroSandbox, whose wheel carries the sections, is not installed: "
            "pip install 'physgen[airfoils]', or give a --folder of .dat files"
        )
    return Path(found.origin).parent / "geometry" / "airfoil" / "airfoil_database"
