"""A page of panels: draws over the density that they should follow, and how far they are from it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import Energy
from physgen.files import whole
from physgen.testbeds import wasserstein

Places = Float[Tensor, "draw 2"]


@dataclass(frozen=True)
class Panel:
    """What a method drew in the plane, and what it should have drawn."""

    target: Energy
    """The clean density; it need not be normalised."""
    exact: Places
    """As many draws of it."""
    x: Places
    caption: str = ""
    """What the method says of itself."""

    @property
    def apart(self) -> float:
        """Distance (W2) of the draws from exact ones."""
        return wasserstein(self.x, self.exact)


Method = Callable[[int], Panel]
"""Makes a panel of so many draws."""


def show(path: Path, methods: Mapping[str, Method], count: int) -> None:
    """Make all panels, tell what each says of itself, and paint the page."""
    panels = {name: method(count) for name, method in methods.items()}
    for name, panel in panels.items():
        print(f"{name}: {panel.apart:.3f} {panel.caption}")
    paint(path, panels)


def paint(path: Path, panels: dict[str, Panel], columns: int = 5) -> None:
    """One picture; a title has the method, its distance to exact draws, and its caption."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(2.6 * columns, 2.95 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, (name, panel) in zip(axes, panels.items(), strict=False):
        both = torch.cat([panel.exact, panel.x])
        low, high = both.quantile(0.005, dim=0), both.quantile(0.995, dim=0)
        centre, half = (low + high) / 2, 0.6 * (high - low).max()
        across, up = (torch.linspace(-1, 1, 120).to(half) * half + c for c in centre)
        place = torch.cartesian_prod(across, up)
        density = (-panel.target.energy(place, 0.0)).exp().view(120, 120).T
        levels = density.max() * torch.tensor([0.01, 0.1, 0.3, 0.7])
        axis.contour(across, up, density, levels.tolist(), colors="#d08020", linewidths=0.7)
        axis.plot(*panel.x.T.numpy(), ".", color="#1f5f99", ms=3, alpha=0.5, mew=0)
        said = f"W2 {panel.apart:.2f}" + (f", {panel.caption}" if panel.caption else "")
        axis.set_title(f"{name}\n{said}", fontsize=8.5)
        ends = [(line[0].item(), line[-1].item()) for line in (across, up)]
        axis.set(xlim=ends[0], ylim=ends[1], xticks=[], yticks=[], aspect="equal")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        figure.savefig(part, format="png", dpi=90)
