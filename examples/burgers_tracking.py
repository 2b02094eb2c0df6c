"""A velocity follows another one under noise, for one evaluation of the prior an interval.

python examples/burgers_tracking.py --reach outer --targets 20
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from physgen.design_tasks.burgers_tracking import REACHES, BurgersTracking
from physgen.design_tasks.burgers_tracking_controllers import Asynchronous, Recorded, Replanned
from physgen.design_tasks.burgers_tracking_prior import load_prior
from physgen.design_tasks.burgers_tracking_view import draw_tracking


@dataclass(frozen=True)
class Options:
    """What is asked."""

    reach: str = "full"
    targets: int = 10
    intervals: int = 40
    out: Path = Path("runs/example-tracking.png")


options = tyro.cli(Options)
reach, model = REACHES[options.reach], load_prior()
world = BurgersTracking(reach, options.targets, options.intervals)
controllers = {
    "true force, unseen noise": Recorded(world.force),
    "window anew, in 15": Replanned(model, reach, torch.Generator().manual_seed(0)),
    "moved window": Asynchronous(model, reach, torch.Generator().manual_seed(0)),
}
found = dict(zip(controllers, world.side_by_side([*controllers.values()]), strict=True))
for name, tracked in found.items():
    print(f"{name:<26}misses by {tracked.objective.mean():.1e} m²/s²")
options.out.parent.mkdir(parents=True, exist_ok=True)
draw_tracking(options.out, world, found["moved window"], found)
print(f"look at {options.out}")
