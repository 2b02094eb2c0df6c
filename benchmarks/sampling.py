"""Effective draws a CPU second from 256 parallel chains, by physgen and by other libraries.

Each library gets a virtual environment of its own in ``--envs``, with the versions written below,
and runs on one core there (``benchmarks/peers/`` has a module for each): physgen's tuned HMC,
NumPyro's no-U-turn sampler, BlackJAX's HMC with the trajectory length that ChEES finds; each with
a diagonal metric and with a dense one. Densities
are a Gaussian of 100 correlated entries, Neal's funnel of ten, and a logistic regression of 1000
cases on 25 features. Warm-up and compilation are left out of the time, and told. All draws are
judged by :mod:`physgen.diagnostics`: the entry of which least is known counts.

Ratios in one run bear most of what other work on the machine does, but not all: look at the load
that is printed, and run it again.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import peers.environment
import torch
import tyro
from peers.densities import DENSITIES, METRICS, Timed
from peers.environment import ENVS, JAX, Contender
from rich.console import Console
from rich.table import Table

from physgen.diagnostics import Summary, summarise

CONTENDERS = (
    Contender("physgen", "physgen_densities", (), "HMC"),
    Contender("NumPyro 0.22.0", "numpyro_densities", ("numpyro==0.22.0", *JAX), "NUTS"),
    Contender(
        "BlackJAX 1.7.1",
        "blackjax_densities",
        ("blackjax==1.7.1", "optax==0.2.8", *JAX),
        "ChEES-HMC",
    ),
)


@dataclass(frozen=True)
class Sampling:
    """Time chains of several libraries."""

    chains: int = 256
    warmup: int = 200
    draws: int = 100
    densities: tuple[str, ...] = tuple(DENSITIES)
    metrics: tuple[str, ...] = METRICS
    only: tuple[str, ...] = ()
    """Names, or parts of names, of those to run; all if none is given."""
    limit: int = 120
    """Seconds of the processor, compilation included, after which a library is stopped."""
    envs: Path = ENVS
    """Where the environments are made, and found again."""
    core: int = 0
    """The processor that does the work."""


def run(
    contender: Contender, density: str, metric: str, options: Sampling
) -> tuple[Timed, Summary]:
    """What a library took, and what its draws are worth."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "draws.npy"
        words = (
            *(density, metric, "--chains", str(options.chains)),
            *("--warmup", str(options.warmup), "--draws", str(options.draws)),
            *("--out", str(out)),
        )
        said = peers.environment.run(contender, options.envs, options.core, words, options.limit)
        timed = Timed(**json.loads(said))
        return timed, summarise(torch.from_numpy(np.load(out)))


def main(options: Sampling) -> None:
    console = Console(width=110)
    columns = ("density", "metric", "", "sampler", "ESS / CPU s", "ratio", "gradients a draw")
    table = Table(*columns, "least ESS", "R-hat", "warm-up s", title=f"{options.chains} chains")
    for density, metric in product(options.densities, options.metrics):
        ours: float | None = None
        for one in CONTENDERS:
            if options.only and not any(part in one.name for part in options.only):
                continue
            who = f"{density}, {metric} metric, {one.name}"
            console.print(f"{who} ...", style="dim")
            try:
                timed, found = run(one, density, metric, options)
            except (RuntimeError, ValueError) as error:
                console.print(f"{who}: {error}", style="red", highlight=False)
                table.add_row(density, metric, one.name, one.body, "not finished")
                continue
            least = min(found.ess_bulk.min().item(), found.ess_tail.min().item())
            speed = least / timed.sampling
            console.print(f"{who}: {speed:.3g} effective draws a CPU second")
            ours = speed if one.name == "physgen" else ours
            table.add_row(
                *(density, metric, one.name, one.body, f"{speed:.3g}"),
                "" if ours is None else f"{ours / speed:.2g}",
                *(f"{timed.gradients:.3g}", f"{least:.0f}", f"{found.r_hat.max().item():.3f}"),
                f"{timed.warmup:.1f}",
            )
    console.print(table)
    console.print(
        "ratio: physgen's effective draws a second over the library's, with the same metric"
    )
    console.print(f"load over the last 1, 5 and 15 minutes: {os.getloadavg()}", highlight=False)


if __name__ == "__main__":
    main(tyro.cli(Sampling))
