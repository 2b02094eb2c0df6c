"""Densities that samplers are timed on, and what a peer says of its run.

This module runs in every peer's environment: it imports nothing but numpy.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

DENSITIES = {"gaussian": 100, "funnel": 10, "logistic": 25}
"""Names and dimensions."""

METRICS = ("diagonal", "dense")
"""The spread of each entry, or how entries go together as well."""


def precision() -> Array:
    """Of a Gaussian with deviations from 0.1 to 1 and the correlation 0.9 between neighbours."""
    index = np.arange(DENSITIES["gaussian"])
    std = np.logspace(-1, 0, len(index))
    covariance = 0.9 ** abs(index[:, None] - index) * std * std[:, None]
    return np.linalg.inv(covariance).astype(np.float32)


def regression() -> tuple[Array, Array]:
    """Features, with an intercept, and labels of 1000 cases; the prior of weights is unit normal."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(1000, DENSITIES["logistic"])) * np.logspace(-0.5, 0.5, 25)
    features[:, 0] = 1
    chance = 1 / (1 + np.exp(-features @ generator.normal(size=DENSITIES["logistic"])))
    labels = generator.random(1000) < chance
    return features.astype(np.float32), labels.astype(np.float32)


@dataclass(frozen=True)
class Asked:
    """What a peer shall do."""

    density: str
    chains: int
    warmup: int
    draws: int
    metric: str
    """What warm-up learns of the density: ``diagonal`` or ``dense``."""
    out: Path
    """Where draws go: (draw, chain, entry)."""


@dataclass(frozen=True)
class Timed:
    """What it took, in CPU seconds, compilation left out."""

    sampling: float
    warmup: float
    """With compilation."""
    gradients: float
    """For each draw of a chain."""


def asked() -> Asked:
    parser = argparse.ArgumentParser()
    parser.add_argument("density", choices=DENSITIES)
    parser.add_argument("metric", choices=METRICS)
    for name in ("chains", "warmup", "draws"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    return Asked(**vars(parser.parse_args()))


def answer(
    question: Asked, warm: Callable[[], None], draw: Callable[[], tuple[Array, float]]
) -> None:
    """Warm up, draw once for the compiler and once for the clock, and tell.

    Arguments:
        question: What was asked.
        warm: Tunes the sampler.
        draw: Gives draws, and how many gradients each took.
    """
    began = time.process_time()
    warm()
    warmed = time.process_time()
    draw()
    gc.collect()  # what compilers left takes longer to look through than some draws take
    gc.freeze()
    compiled = time.process_time()
    z, gradients = draw()
    sampling = time.process_time() - compiled
    np.save(question.out, np.asarray(z, dtype=np.float32))
    print(json.dumps(asdict(Timed(sampling, warmed - began, float(gradients)))))
