r"""The prior of simulations: eight frames of a chaotic velocity on a ring, jointly.

A sample is the velocity over its spread. Its :class:`~physgen.stationary.Stationary` Gaussian is measured
from training data; a network corrects it (:mod:`physgen.corrected_windows`). Beside it lies the
deterministic surrogate it is compared with, a network of the same shape that was trained as long to say
the next frame.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.asynchronous import StepDenoise
from physgen.checkpoint import load_tensors, save_tensors
from physgen.corrected_windows import CorrectedWindows
from physgen.priors import filled
from physgen.rounds import Route, route_of
from physgen.stationary import Stationary

FRAMES = 8
"""Of a window."""
WEIGHTS = Path(__file__).resolve().parent / "weights" / "simulate.safetensors"
"""The prior that ships with the package."""
NAMES = ("prior", "surrogate")
LED = 2
"""The most frames that windows of a distilled prior are led by."""


@dataclass(frozen=True)
class Architecture:
    """The network of the prior, and that of the surrogate."""

    width: int = 96
    """Channels of a point."""
    distances: tuple[int, ...] = (1, 2, 4, 8, 2, 1)
    """How far a point sees in each block, in points."""

    def build(self, base: Stationary) -> CorrectedWindows:
        return CorrectedWindows(base, self.width, self.distances)


@dataclass(frozen=True, eq=False)
class SimulatePrior:
    """A trained prior, the surrogate beside it, and what they were measured by."""

    scale: float
    """The spread of the velocity, in m/s."""
    base: Stationary
    model: CorrectedWindows
    surrogate: CorrectedWindows
    facts: Mapping[str, object]
    """How it was made."""
    route: Route | None = None
    """How the frames of a window are drawn, if the prior is a distilled one."""

    @property
    def denoise(self) -> StepDenoise:
        """The clean estimate of windows."""
        return self.model.given

    @property
    def gaussian(self) -> StepDenoise:
        """The same without its network: the linear prior."""

        def clean(z: Tensor, levels: Float[Tensor, " frame"]) -> Tensor:
            return self.base.clean(z, levels[None])[0]

        return clean


def save_prior(
    path: Path,
    scale: float,
    base: Stationary,
    architecture: Architecture,
    networks: Mapping[str, CorrectedWindows],
    facts: Mapping[str, object],
) -> None:
    """Keep a prior and its surrogate, networks in half precision, with how they were made."""
    tensors: dict[str, Tensor] = {"covariance": base.covariance, "scale": torch.tensor(scale)}
    for name in NAMES:
        tensors |= {f"{name}.{k}": v.half() for k, v in networks[name].state_dict().items()}
    save_tensors(
        path, tensors, {**facts, "prior": "simulate", "architecture": asdict(architecture)}
    )


def load_prior(path: Path | None = None) -> SimulatePrior:
    """A trained prior, the one that ships if no file is named; or a distilled one with its own levels.

    Raises:
        ValueError: the file is missing, truncated, foreign, or another prior.
    """
    path = WEIGHTS if path is None else path
    tensors, facts = load_tensors(path)
    if facts.get("prior") != "simulate":
        raise ValueError(f"{path} holds no prior of simulations: it says {facts.get('prior')!r}")
    described = facts["architecture"]
    assert isinstance(described, dict)
    architecture = Architecture(described["width"], tuple(described["distances"]))
    base = Stationary(tensors["covariance"])
    models = {}
    for name, law in zip(NAMES, (base, base.first(2)), strict=True):
        model = architecture.build(law)
        below = f"{name}."
        held = {k.removeprefix(below): v for k, v in tensors.items() if k.startswith(below)}
        models[name] = filled(path, model, held)
    scale = tensors["scale"].item()
    networks = models["prior"], models["surrogate"]
    return SimulatePrior(scale, base, *networks, facts, route_of(facts))
