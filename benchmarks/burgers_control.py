"""Burgers control: the whole table, a setting a row, and what each choice of the method brings.

``python benchmarks/burgers_control.py`` designs a force for each of 500 test targets in the three
settings, from the prior alone, aimed again and polished, and prints mean objectives and energies
with 95 % intervals beside the figures of DiffPhyCon (Wei et al., 2024), and what L-BFGS from
scratch needs. ``--ablate`` prints prior reweighting, inpainting and diffusion instead, paired:
the same targets and noise.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from readme_rows import head, row, small
from scipy import stats
from torch import Tensor

from physgen.checkpoint import fingerprint
from physgen.cli import stages
from physgen.design_tasks.burgers_control import SETTINGS, BurgersControl
from physgen.design_tasks.burgers_design import (
    Asking,
    Diffusion,
    Flow,
    Inpainted,
    Told,
    Way,
    proposer,
)
from physgen.design_tasks.burgers_prior import WEIGHTS, load_prior
from physgen.design_tasks.burgers_run import BurgersOptions, design_burgers
from physgen.options import plain
from physgen.verdict import Figure, Verdict, load_verdict

PUBLISHED = {"fo-pc": 0.00037, "po-fc": 0.01103, "po-pc": 0.00494}
"""The objective of DiffPhyCon by its paper, as quoted by others, with 39 to 141 M parameters."""


@dataclass(frozen=True)
class Table:
    """Rows of the table of Burgers control."""

    designs: int = 500
    """Test targets."""
    baselines: int = 50
    """Targets for which L-BFGS is run from scratch."""
    aims: int = 3
    """Simulations of a row that is aimed again."""
    polish: int = 7
    """Gradients of a row that is polished after it."""
    seed: int = 0
    """Of the noise."""
    ablate: bool = False
    """What reweighting, inpainting and diffusion bring, instead."""
    weights: Path = WEIGHTS
    """The trained prior."""
    out: Path = Path("runs/benchmark-burgers")
    """Folder for the verdicts; those of the same options and weights are not made
    again, others refused."""


def verdict(options: BurgersOptions) -> Verdict:
    """What a run found, or has found before if it was the same.

    Raises:
        ValueError: the folder holds what other options or weights have found.
    """
    kept = options.out / "verdict.json"
    if not kept.exists():
        with stages() as progress:
            return design_burgers(options, progress)
    found, wanted = load_verdict(kept), plain(options)
    differing = [name for name in wanted if found.options.get(name) != wanted[name]]
    if found.versions.get("weights") != fingerprint(load_prior(options.weights).state_dict()):
        differing.append("the weights themselves")
    if options.baselines and not found.baselines:
        differing.append("baselines that were not finished")
    if differing:
        raise ValueError(
            f"{kept} is of another run ({', '.join(differing)} differ): choose another --out, or "
            "remove it"
        )
    return found


def rows(table: Table) -> None:
    head("setting", "method", "calls", "J (m²/s²)", "median", "energy", "DiffPhyCon")
    for name in SETTINGS:
        plain = BurgersOptions(
            setting=name,
            designs=table.designs,
            baselines=table.baselines,
            seed=table.seed,
            weights=table.weights,
            out=table.out / f"{name}-{table.seed}",
        )
        helped = replace(plain, baselines=0, aims=table.aims)
        many = [
            plain,
            replace(helped, out=table.out / f"{name}-{table.seed}-aims"),
            replace(helped, polish=table.polish, out=table.out / f"{name}-{table.seed}-polish"),
            replace(
                helped, aims=0, polish=10, out=table.out / f"{name}-{table.seed}-polish-alone"
            ),
        ]
        found = [verdict(options) for options in many]
        for other, one in found[0].baselines.items():
            row(*cells(name, f"{other} ({one.designs})", one.solver_calls, one.figures))
        for own in found:
            published = f"{PUBLISHED[name]:.1e}" if own is found[0] else ""
            row(*cells(name, own.method, own.solver_calls, own.figures, published))


def cells(
    setting: str, method: str, calls: int, figures: Mapping[str, Figure], published: str = ""
) -> tuple[object, ...]:
    objective, energy = figures["objective"], figures["energy"]
    found = (small(objective), f"{objective.median:.1e}", f"{energy.mean:.0f}", published)
    return setting, method, calls, *found


def paired(values: Tensor, reference: Tensor) -> str:
    """The mean of a difference over the mean of what it is from, with its interval."""
    apart = (values - reference).double() / reference.double().mean()
    half = stats.t.ppf(0.975, len(apart) - 1) * apart.std().item() / math.sqrt(len(apart))
    return f"{100 * apart.mean().item():+.1f} ± {100 * half:.1f} %"


def ablations(table: Table) -> None:
    model = load_prior(table.weights)
    told, flow = Told(), Flow()
    kinds: dict[str, tuple[Way, Asking, float, float]] = {
        "flow, 8": (flow, told, 1.0, 0.0),
        **{f"gamma {g}": (flow, told, g, 0.0) for g in (0.7, 0.9, 1.5, 2.5)},
        **{f"price {p}": (flow, told, 1.0, p) for p in (0.001, 0.003)},
        **{f"flow, {n}": (Flow(n), told, 1.0, 0.0) for n in (1, 2, 4, 16)},
        **{f"diffusion, {n}": (Diffusion(n), told, 1.0, 0.0) for n in (8, 16)},
        **{f"inpainted, {r} x 8": (flow, Inpainted(r), 1.0, 0.0) for r in (1, 4)},
    }
    head("setting", "prior", "evaluations", "J (m²/s²)", "against the first", "energy")
    for name, setting in SETTINGS.items():
        task = BurgersControl(setting, table.designs)
        reference: Tensor | None = None
        for kind, (way, asking, gamma, price) in kinds.items():
            generator = torch.Generator().manual_seed(table.seed)
            propose = proposer(model, task, way, generator, asking, gamma, price)
            drawn = propose(task.first, task.last)
            with torch.no_grad():
                cost = task.objective(drawn.force)
            reference = cost if reference is None else reference
            energy = task.allowed(drawn.force).square().flatten(1).sum(1).mean().item()
            against = (f"{cost.mean().item():.2e}", paired(cost, reference), f"{energy:.0f}")
            row(name, kind, f"{drawn.evaluations:.0f}", *against)


if __name__ == "__main__":
    options = tyro.cli(Table)
    torch.set_num_threads(1)
    (ablations if options.ablate else rows)(options)
