"""The table of reference posteriors that ships with the package, made again from sbibm's files.

sbibm is not imported, so that its wheel is enough: ``pip install --no-deps sbibm==1.1.0``.
"""

from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor

from physgen.checkpoint import save_tensors
from physgen.testbeds.sbibm import DRAWS, OBSERVATIONS, PROBLEMS, TABLE


@dataclass(frozen=True)
class Collecting:
    """Collect reference draws."""

    out: Path = TABLE
    """File of the table."""


def numbers(path: Path) -> Tensor:
    """The rows of a comma-separated file below its head, which may be compressed."""
    rows = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2, dtype=np.float32)
    return torch.from_numpy(rows)


def collect(root: Path) -> dict[str, Tensor]:
    """Observations and draws of all problems, from the folder of sbibm's tasks."""
    table = {}
    for problem in PROBLEMS:
        for number in range(1, OBSERVATIONS + 1):
            folder = root / problem.name / "files" / f"num_observation_{number}"
            place = f"{problem.name}.{number}"
            table[f"{place}.observed"] = numbers(folder / "observation.csv")[0]
            draws = numbers(folder / "reference_posterior_samples.csv.bz2")
            table[f"{place}.draws"] = draws[:: len(draws) // DRAWS][:DRAWS]
    return table


def main(options: Collecting) -> None:
    installed = distribution("sbibm")
    (licence,) = [file for file in installed.files or () if file.name == "LICENSE"]
    facts = {
        "source": f"sbibm {installed.version}, https://github.com/sbi-benchmark/sbibm",
        "licence": licence.read_text(),
    }
    tasks = Path(str(installed.locate_file("sbibm/tasks")))
    save_tensors(options.out, collect(tasks), facts)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main(tyro.cli(Collecting))
