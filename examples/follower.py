"""An airfoil of your own leads: what shall follow it, and where?

python examples/follower.py --leader my.dat --angle 4

The leader is a file in Selig's format. Its image is known at every noise level, so the prior draws
followers for it; how it flies is not changed.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from physgen.design_tasks.airfoil_design import draw
from physgen.design_tasks.airfoil_prior import load_prior
from physgen.design_tasks.airfoils import Formations
from physgen.solvers.sections import fit_cst, kulfan, naca4, read_dat, write_dat


@dataclass(frozen=True)
class Options:
    """What is asked."""

    leader: Path | None = None
    """A .dat file; a NACA 2412 if not given."""
    angle: float = 4.0
    """Of the leader, in degrees."""
    designs: int = 4
    lift: float = 0.3
    cells: int = 24
    out: Path = Path("runs/follower")

    def __post_init__(self) -> None:
        if self.leader and not self.leader.is_file():
            raise ValueError(f"there is no file {self.leader}")


options = tyro.cli(Options)
line = read_dat(options.leader)[1] if options.leader else naca4(0.02, 0.4, 0.12)
cst, error = fit_cst(line, 6)
print(f"the leader is known to {error:.4f} chords")
weights = torch.cat([cst.upper + cst.lower, cst.upper - cst.lower]) / 2
pose = torch.tensor([math.radians(options.angle), 0.0, 0.0])
leader = torch.cat([weights, pose]).float()[None]
task = Formations(bodies=2, lift=options.lift, gap=max(0.2, 4.5 / options.cells))
drawn = draw(load_prior(), task, options.designs, torch.Generator().manual_seed(0), leader=leader)
judged = task.judge(drawn.airfoils, options.cells)
best = int(judged.drag_change.argmin())
upper, lower, x, y, incidence = (part[best, 1] for part in drawn.airfoils)
write_dat(options.out / "follower.dat", "follower", kulfan(upper.double(), lower.double()))
print(f"follower at ({x:.2f}, {y:+.2f}) chords, {math.degrees(incidence):+.1f} degrees")
print(f"drag {100 * judged.drag_change[best]:+.1f} % at equal lift; {options.out}/follower.dat")
