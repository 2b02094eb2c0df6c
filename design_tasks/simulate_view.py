"""A picture of a simulation: truth and ensemble over space and time, and figures by lead time."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from physgen.design_tasks.simulate import LENGTH, Curves, Ensembles, SimulateTask
from physgen.files import whole

RIVALS = {
    "climate": "#999999",
    "linear prior": "#E69F00",
    "surrogate, ensemble": "#CC79A7",
    "solver 48 x 0.5 s": "#56B4E9",
    "solver 64 x 0.5 s": "#009E73",
    "solver 128 x 0.1 s": "#4D4D4D",
}
"""Those that are shown; told apart by the colour-blind (Okabe & Ito)."""
OWN = "#0072B2"
FIGURES = {
    "crps": "CRPS, over the spread",
    "rmse": "error of the mean, over the spread",
    "spread_skill": "spread over error of the mean",
}


def draw_simulation(
    path: Path,
    task: SimulateTask,
    members: Ensembles,
    case: int,
    curves: Mapping[str, Curves],
) -> None:
    """One case over space and time, and below it what methods are worth at each lead time.

    Arguments:
        path: Of the picture.
        task: What was wanted.
        members: What was drawn.
        case: Which is shown.
        curves: By the name of the method; the last one stands out.
    """
    canvas = Canvas(figsize=(13.5, 7.2), layout="constrained")
    above, below = canvas.subfigures(2, 1, squeeze=False, height_ratios=(1.1, 1))[:, 0]
    axes = above.subplots(1, 5, sharey=True)
    own = members[case].double()
    shown = {
        "truth": task.truth[case],
        "mean of the members": own.mean(0),
        "a member": own[0],
        "another": own[1],
    }
    most = 0.8 * task.truth[case].abs().max().item()
    images = []
    for axis, (name, values) in zip(axes, shown.items(), strict=False):
        images.append(_over_time(axis, values, (-most, most), "RdBu_r", task))
        axis.set_title(name, fontsize=10)
    above.colorbar(images[0], ax=list(axes[:4]), label="velocity, over its spread", shrink=0.9)
    spread = _over_time(axes[4], own.std(0), (0.0, 1.2), "magma", task)
    axes[4].set_title("spread of the members", fontsize=10)
    above.colorbar(spread, ax=axes[4], shrink=0.9)
    axes[0].set_ylabel("time [s]")
    *_, last = curves
    for axis, (name, label) in zip(below.subplots(1, 3), FIGURES.items(), strict=True):
        for method, colour in RIVALS.items():
            if method in curves:
                line = getattr(curves[method], name)
                axis.plot(task.time, line, color=colour, lw=1.3, label=method)
        axis.plot(task.time, getattr(curves[last], name), color=OWN, lw=2.4, label=last)
        axis.set_xlabel("lead time [s]")
        axis.set_title(label, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        if name == "spread_skill":
            axis.axhline(1.0, color="black", lw=0.8, ls=":")
            axis.set_ylim(0, 2)
            axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        else:
            axis.set_yscale("log")
            axis.set_ylim(5e-3, 2)
    FigureCanvasAgg(canvas)
    with whole(path) as part:
        canvas.savefig(part, format="png", dpi=130)


def _over_time(  # type: ignore[no-untyped-def]  # noqa: ANN202
    axis: Axes, values: Tensor, limits: tuple[float, float], colours: str, task: SimulateTask
):
    axis.set_xlabel("x [m]")
    return axis.imshow(
        values.numpy(),
        origin="lower",
        aspect="auto",
        extent=(0, LENGTH, 0, task.time[-1].item()),
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
    )
