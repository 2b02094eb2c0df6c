r"""The prior of inverse problems: both fields of an equation, jointly.

A sample is :math:`((a - \bar a) / \sigma_a,\; (u - \bar u) / \sigma_u)`, with the mean of every
point and one spread for each channel. Its Gaussian (:class:`~physgen.principal.Principal`) is measured
from training data and all their images (:mod:`physgen.symmetry`). Where the law is Gaussian that is the
prior; where it is not, as for the two values of Darcy's permeability, a network corrects its estimate
(:mod:`physgen.corrected`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.checkpoint import load_tensors, save_tensors
from physgen.corrected import Corrected, CorrectedDenoiser, Correcting
from physgen.denoiser import Denoiser
from physgen.design_tasks.inverse_equation import Equation, Pairs
from physgen.distillation import Noising, Student
from physgen.principal import Principal
from physgen.rounds import route_of
from physgen.symmetry import Symmetry
from physgen.training import Batch

FOLDER = Path(__file__).resolve().parent / "weights"


def weights_of(equation: str) -> Path:
    """The prior that ships with the package."""
    return FOLDER / f"inverse-{equation}.safetensors"


@dataclass(frozen=True, eq=False)
class Standard:
    """What fields are measured by."""

    mean: Float[Tensor, "channel x y"]
    scale: Float[Tensor, " channel"]

    def sample(self, pairs: Pairs) -> Pairs:
        """Single precision, from physical units."""
        found: Tensor = (pairs - self.mean) / self.scale[:, None, None]
        return found.float()

    def physical(self, sample: Pairs) -> Pairs:
        """In the precision of the sample."""
        found: Tensor = self.scale[:, None, None].to(sample) * sample + self.mean.to(sample)
        return found


def measured(pairs: Pairs, symmetry: Symmetry) -> Standard:
    """The mean of each point over samples and their images, and the spread about it."""
    sharp = pairs.double()
    mean = symmetry.mean(sharp)
    return Standard(mean, (sharp - mean).square().mean((0, 2, 3)).sqrt())


@dataclass(frozen=True)
class Architecture:
    """The network of the prior."""

    widths: tuple[int, ...] = (32, 48, 64)
    """Channels at each resolution."""
    patch: int = 2
    """Cells of a patch along each axis."""

    def build(self, base: Principal, symmetry: Symmetry) -> Corrected:
        return Corrected(base, self.widths, self.patch, symmetry.periodic)


class PairDraw:
    """Batches of samples, each seen in one of its images.

    Arguments:
        samples: Standardised.
        symmetry: What images they have.
        batch: Samples in a batch.
        loss: What draws noise levels and noise.
    """

    def __init__(self, samples: Pairs, symmetry: Symmetry, batch: int, loss: Noising) -> None:
        self.samples, self.symmetry, self.batch, self.loss = samples, symmetry, batch, loss

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        device = self.samples.device
        chosen = torch.randint(
            len(self.samples), (self.batch,), generator=generator, device=device
        )
        images = self.symmetry.drawn(self.samples[chosen], generator)
        return self.loss.draw(images, generator)


@dataclass(frozen=True, eq=False)
class InversePrior:
    """A trained prior and what it was measured by."""

    equation: Equation
    standard: Standard
    gaussian: Principal
    denoiser: Denoiser
    """The Gaussian itself, where the law is one."""
    shares: Float[Tensor, "level field"]
    """Of the Gaussian's squared error, what the denoiser leaves, by level and field."""
    facts: Mapping[str, object]
    """How it was made."""

    @property
    def cells(self) -> int:
        return self.gaussian.space[0]

    def share(self, s: float) -> Float[Tensor, " field"]:
        """What is left of the Gaussian's squared error in each field at a level."""
        place = (math.log(s) - math.log(LEVELS[0])) / math.log(LEVELS[1] / LEVELS[0])
        low = min(max(int(place), 0), len(LEVELS) - 2)
        part = min(max(place - low, 0.0), 1.0)
        return torch.lerp(self.shares[low], self.shares[low + 1], part)


LEVELS = tuple(0.01 * 10 ** (k / 4) for k in range(17))
"""From 0.01 to 100, where shares are measured."""


@torch.no_grad()
def shares_of(model: Corrected, samples: Pairs, generator: torch.Generator) -> Tensor:
    """What is left of the Gaussian's squared error at :data:`LEVELS`, over some samples."""
    rows = []
    for s in LEVELS:
        noise = torch.randn(samples.shape, generator=generator)
        level = torch.full((len(samples),), s)
        clean = model(samples + s * noise, level)
        rows.append(Correcting().shares(model, clean, samples, level).mean(0))
    return torch.stack(rows)


def gaussian_of(samples: Pairs, kept: Sequence[int], symmetry: Symmetry) -> Principal:
    """The Gaussian of standardised samples, as it is when it is read from a file."""
    found = symmetry.fitted(samples, kept)
    return symmetry.principal(symmetry.tensors(found), tuple(samples.shape[2:]))


def save_prior(
    path: Path,
    equation: Equation,
    standard: Standard,
    gaussian: Principal,
    facts: Mapping[str, object],
    network: tuple[Corrected, Architecture, Tensor] | None = None,
) -> None:
    """Keep a prior, bases and network in half precision, with how it was made."""
    tensors = equation.data(gaussian.space[0]).symmetry.tensors(gaussian)
    tensors |= {"mean": standard.mean, "scale": standard.scale}
    tensors = {k: v.float() if v.dtype == torch.float64 else v for k, v in tensors.items()}
    about: dict[str, object] = {"prior": f"inverse {equation.name}"}
    if network is not None:
        model, architecture, shares = network
        tensors["shares"] = shares
        tensors |= {f"network.{k}": v.half() for k, v in model.state_dict().items()}
        about["architecture"] = asdict(architecture)
    save_tensors(path, tensors, {**facts, **about})


def load_prior(equation: Equation, path: Path | None = None) -> InversePrior:
    """A trained prior, the one that ships if no file is named; or a distilled one with its own levels.

    Raises:
        ValueError: the file is missing, truncated, foreign, or another prior.
    """
    path = weights_of(equation.name) if path is None else path
    tensors, facts = load_tensors(path)
    if facts.get("prior") != f"inverse {equation.name}":
        raise ValueError(
            f"{path} holds no prior of inverse problems of {equation.name}: it says "
            f"{facts.get('prior')!r}"
        )
    mean = tensors["mean"].double()
    symmetry = equation.data(mean.shape[1]).symmetry
    gaussian = symmetry.principal(tensors, tuple(mean.shape[1:]))
    denoiser: Denoiser = gaussian
    shares = torch.ones(len(LEVELS), gaussian.fields)
    if "architecture" in facts:
        described = facts["architecture"]
        assert isinstance(described, dict)
        widths = tuple(described["widths"])
        model = Architecture(widths, described["patch"]).build(gaussian, symmetry)
        prefix = "network."
        network = {
            k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)
        }
        try:
            model.load_state_dict(network)
        except RuntimeError as error:
            raise ValueError(f"{path} does not fit the network it describes: {error}") from error
        model = model.eval().requires_grad_(False)
        route = route_of(facts)
        denoiser = (
            CorrectedDenoiser(model)
            if route is None
            else Student(model, route.grid, route.predictor, gaussian.sigma_data)
        )
        shares = tensors["shares"]
    standard = Standard(mean, tensors["scale"].double())
    return InversePrior(equation, standard, gaussian, denoiser, shares, facts)
