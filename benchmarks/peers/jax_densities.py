# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""The same densities for libraries on JAX."""

from collections.abc import Callable

import jax.numpy as jnp
from jax.nn import softplus

from peers.densities import precision, regression


def log_density(name: str) -> Callable[[jnp.ndarray], jnp.ndarray]:
    if name == "gaussian":
        matrix = jnp.asarray(precision())
        return lambda z: -z @ matrix @ z / 2
    if name == "funnel":
        return lambda z: (
            -((z[0] / 3) ** 2 + jnp.exp(-z[0]) * (z[1:] ** 2).sum() + (len(z) - 1) * z[0]) / 2
        )
    features, labels = map(jnp.asarray, regression())
    towards = labels @ features
    return lambda z: z @ towards - softplus(features @ z).sum() - (z**2).sum() / 2
