r"""The prior of one airfoil in any stream: its shape, what it does to the stream, its forces.

A sample has a *body*, the image :math:`\psi = \tanh(d / 0.3)` of its signed distance :math:`d` in
chords, and a *flow*, the perturbation :math:`w = (u, v, p) - b` of the background :math:`b` in
which it stands; both on a window of 72 by 48 cells of a twelfth of a chord around the airfoil. The
Reynolds number and the background are given.

The mean flow is a function of the body and the background, so there is nothing to draw about it
that the body does not say. The network is therefore trained with a noise level for the flow and
one for the body, or with nothing known of the flow at all, and then one evaluation gives

.. math:: \mathbb E[\psi \mid z], \quad \mathbb E[w \mid z, b], \quad \mathbb E[F \mid z, b],
    \qquad z = \psi + s \varepsilon,

the clean body, the flow around it and the force on it. Where the body is known (``s = 0``) this is
a surrogate of the solver; where the flow has a level of its own, it is the joint prior of CinDM.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from physgen.checkpoint import load_tensors, save_tensors
from physgen.datasets import store
from physgen.datasets.airfoil import COARSER, WINDOW
from physgen.datasets.shards import files_of
from physgen.network import UNet
from physgen.priors import filled
from physgen.rounds import Route, route_of
from physgen.shapes import PerSample
from physgen.training import Batch

SHAPE = (72, 48)
"""Cells of a window along x and y."""
CELL = (WINDOW[1] - WINDOW[0]) / SHAPE[0]
"""Width of a cell, in chords."""
REACH = 0.3
"""Distance, in chords, within which a body's image tells it."""
UNKNOWN = math.inf
"""The noise level of a flow of which nothing is known."""

Image = Float[Tensor, "batch x y"]
Images = Float[Tensor, "*shape x y"]
Flows = Float[Tensor, "batch 3 x y"]
Force = Float[Tensor, "batch 2"]


def image(distance: Tensor) -> Tensor:
    """What a body looks like to the prior, from its signed distance in chords."""
    return torch.tanh(distance / REACH)


def distance_of(body: Tensor) -> Tensor:
    """Back again; at most about twice the reach."""
    return REACH * torch.atanh(body.clamp(-0.999, 0.96))


class Windows(NamedTuple):
    """Samples in physical units."""

    body: Image
    flow: Flows
    """What the body adds to u, v and p."""
    background: Flows
    """u - 1, v and p of the stream without the body."""
    reynolds: PerSample
    force: Force
    """Coefficients of drag and lift."""

    def mirrored(self) -> "Windows":
        """Seen in a mirror: y points down."""
        sign = torch.tensor([1.0, -1.0, 1.0])[:, None, None].to(self.flow)
        return Windows(
            self.body.flip(2),
            (sign * self.flow).flip(3),
            (sign * self.background).flip(3),
            self.reynolds,
            self.force * torch.tensor([1.0, -1.0]).to(self.force),
        )

    def some(self, which: Tensor) -> "Windows":
        """Those of some numbers, or those that are true."""
        return Windows(*(part[which] for part in self))

    @property
    def bodily(self) -> Bool[Tensor, " batch"]:
        """Whether actuators do only what bodies can.

        An actuator pushes as hard in fluid that is slow, and where that is slower than the push
        it turns the stream around, as no body does, and the flow may never come to rest. Bodies
        at these Reynolds numbers leave eddies that run back at a quarter of the stream's speed.
        """
        around = self.background[:, 0].amin((1, 2)) > -1.05
        total = (self.background[:, 0] + self.flow[:, 0]).amin((1, 2)) > -1.3
        return around & total


def load_windows(folder: Path) -> Windows:
    """All samples of a data set.

    Raises:
        ValueError: there is no data set of single airfoils, or a file of it is damaged.
    """
    rows: list[Windows] = []
    for path in files_of(folder, "physgen generate airfoil"):
        data = store.read(path)
        if set(data.bodies) != {"body_0"}:
            raise ValueError(f"{path} holds {len(data.bodies)} bodies a sample, expected one")
        shape = tuple(len(axis) for axis in data.space.values())
        if shape != SHAPE:
            raise ValueError(
                f"{path} has windows of {shape} cells, the prior's are {SHAPE}: make flows with "
                f"{round(1 / CELL) * COARSER} cells a chord"
            )
        rows.append(windows_of(data))
    return Windows(*(torch.cat(column) for column in zip(*rows, strict=True)))


def windows_of(data: store.Trajectories) -> Windows:
    """The samples of one file."""

    def flow(kind: str) -> Tensor:
        velocity = data.fields[f"{kind}velocity"].values[:, 0]
        pressure = data.fields[f"{kind}pressure"].values[:, 0]
        joined = np.concatenate([velocity, pressure[..., None]], -1)
        return torch.from_numpy(joined).movedim(-1, 1)

    around = flow("background_")
    stream = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    return Windows(
        image(torch.from_numpy(data.bodies["body_0"].distance[:, 0])),
        flow("") - around,
        around - stream,
        torch.from_numpy(data.quality["reynolds"]).float(),
        2 * torch.from_numpy(data.histories["force"].values[:, 0, 0]),
    )


@dataclass(frozen=True)
class Scales:
    """Means and spreads of the data, by which samples are brought to order one."""

    body: tuple[float, float]
    """Mean and standard deviation of the image."""
    flow: tuple[float, ...]
    """Standard deviations of what a body adds to u, v and p."""
    background: tuple[float, ...]
    force: tuple[float, ...]
    """Means of drag and lift, then their standard deviations."""

    @classmethod
    def of(cls, data: Windows) -> "Scales":
        def spread(x: Tensor) -> tuple[float, ...]:
            return tuple(x.square().mean((0, 2, 3)).sqrt().tolist())

        return cls(
            (data.body.mean().item(), data.body.std().item()),
            spread(data.flow),
            spread(data.background),
            # The mirror image is as likely: no lift is the mean.
            (data.force[:, 0].mean().item(), 0.0, *data.force.std(0).tolist()),
        )


@dataclass(frozen=True)
class Architecture:
    """The network of the prior."""

    widths: tuple[int, ...] = (48, 96, 160)
    """Channels at each resolution."""
    patch: int = 2
    """Cells of a patch along each axis."""
    condition: int = 64
    """Numbers that noise levels and Reynolds number become."""

    def build(self, scales: Scales, velocity: bool = False) -> "AirfoilNetwork":
        return AirfoilNetwork(self, scales, velocity)


class Estimate(NamedTuple):
    """Clean samples, as far as noisy ones tell."""

    body: Image
    flow: Flows
    force: Force


class AirfoilNetwork(nn.Module):
    """Clean body, flow and force from a noisy body, a noisy or unknown flow, and the background.

    All in units of :class:`Scales`, in which data have unit variance. What the network tells is the
    ``velocity`` along a straight path, or Karras's mixture; see :func:`preconditioning`.
    """

    frequencies: Tensor

    def __init__(self, architecture: Architecture, scales: Scales, velocity: bool = False) -> None:
        super().__init__()
        self.architecture, self.scales, self.velocity = architecture, scales, velocity
        width, widths = architecture.condition, architecture.widths
        self.register_buffer("frequencies", torch.linspace(0.25, 3, 12), persistent=False)
        self.embed = nn.Sequential(
            nn.Linear(2 * 24 + 2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.net = UNet((7, 4), SHAPE, width, widths, architecture.patch)
        fine = SHAPE[0] * SHAPE[1] // architecture.patch**2
        coarse = fine // 4 ** (len(widths) - 1)
        self.narrow = nn.Conv2d(widths[0], 8, 1)
        self.near = nn.Linear(8 * fine, 64)
        self.far = nn.Linear(widths[-1] * coarse, 64)
        self.read = nn.Sequential(
            nn.SiLU(), nn.Linear(64 + width, 64), nn.SiLU(), nn.Linear(64, 2)
        )

    def forward(
        self,
        body: Image,
        body_level: PerSample,
        flow: Flows,
        flow_level: PerSample,
        background: Flows,
        reynolds: PerSample,
    ) -> Estimate:
        known = flow_level.isfinite()
        level = torch.where(known, flow_level, torch.ones_like(flow_level))
        skip_b, out_b, in_b = preconditioning(body_level, self.velocity)
        skip_f, out_f, in_f = (c[:, None] for c in preconditioning(level, self.velocity))
        seen = known[:, None, None, None]
        inputs = [torch.where(seen, in_f * flow, 0.0), (in_b * body)[:, None], background]
        condition = self.embed(
            torch.cat(
                [
                    self._phases(body_level.log() / 4),
                    self._phases(torch.where(known, level.log() / 4, 2.0)),
                    ((reynolds.log() - 6.1) / 0.5)[:, None],
                    known.to(body)[:, None],
                ],
                1,
            )
        )
        features, coarse = self.net.features(torch.cat(inputs, 1), condition)
        raw = self.net.read(features).to(body.dtype)
        pooled = self.near(self.narrow(features).flatten(1)) + self.far(coarse.flatten(1))
        force = self.read[1](torch.cat([self.read[0](pooled), condition], 1))
        force = self.read[3](self.read[2](force)).to(body.dtype)
        clean = torch.where(seen, skip_f * flow + out_f * raw[:, :3], raw[:, :3])
        return Estimate(skip_b * body + out_b * raw[:, 3], clean, force)

    def _phases(self, level: PerSample) -> Float[Tensor, "batch phase"]:
        phase = level[:, None] * self.frequencies * math.pi
        return torch.cat([phase.cos(), phase.sin()], 1)


def preconditioning(level: PerSample, velocity: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    r"""What of a noisy sample is skipped to the clean one, what a network adds, and sees.

    Karras et al., 2022, table 1, at unit spread of the data; or along the straight path
    :math:`x_t = (1 - t) x + t \varepsilon`, :math:`t = s / (1 + s)`, of which the network tells the
    velocity back, :math:`x - \varepsilon` (Lipman et al., 2023, https://arxiv.org/abs/2210.02747):
    :math:`D = z / (1 + s) + s / (1 + s)\, F`.
    """
    s = level[:, None, None]
    total = s.square() + 1
    if velocity:
        return 1 / (1 + s), s / (1 + s), total.rsqrt()
    return 1 / total, s * total.rsqrt(), total.rsqrt()


@dataclass(frozen=True)
class AirfoilLoss:
    r"""Errors of body, flow and force, each one for a network that knows nothing.

    A share of the samples has one noise level for body and flow; of the others the flow is
    unknown, and for a share of these the body is known, up to a noise of 0.01.
    """

    joint: float = 0.2
    """Share of samples with a noisy flow."""
    given: float = 0.3
    """Share of samples with a known body."""
    mean: float = 0.5
    """Mean of the logarithm of the noise level."""
    spread: float = 1.8
    """Standard deviation of the logarithm of the noise level."""
    force: float = 0.3
    """Weight of the force's error."""
    velocity: bool = False
    """Whether the network tells the velocity along a straight path (flow matching), in place of
    Karras's mixture of data and noise; errors are weighed as what it tells."""

    def draw(self, x: Windows, generator: torch.Generator) -> Batch:
        """Scaled samples, levels and noise, from scaled samples."""
        count, device = len(x.body), x.body.device

        def uniform() -> Tensor:
            return torch.rand(count, generator=generator, device=device)

        unit = torch.randn(count, generator=generator, device=device)
        level = (self.mean + self.spread * unit).exp()
        kind = uniform()
        body_level = torch.where(kind > 1 - self.given, 0.01, level)
        flow_level = torch.where(kind < self.joint, level, UNKNOWN)
        noise = torch.randn(count, 4, *SHAPE, generator=generator, device=device)
        return (*x, body_level, flow_level, noise)

    def __call__(
        self,
        model: nn.Module,
        body: Image,
        flow: Flows,
        background: Flows,
        reynolds: PerSample,
        force: Force,
        body_level: PerSample,
        flow_level: PerSample,
        noise: Float[Tensor, "batch 4 x y"],
    ) -> PerSample:
        known = flow_level.isfinite()
        size = torch.where(known, flow_level, 0.0)[:, None, None, None]
        noisy_body = body + body_level[:, None, None] * noise[:, 3]
        found: Estimate = model(
            noisy_body, body_level, flow + size * noise[:, :3], flow_level, background, reynolds
        )
        of_body = (found.body - body).square().mean((1, 2)) * self._weight(body_level)
        of_flow = (found.flow - flow).square().mean((1, 2, 3))
        of_flow = of_flow * torch.where(known, self._weight(flow_level.clamp(max=1e4)), 1.0)
        of_force = (found.force - force).square().mean(1)
        # A known body has nothing to be estimated.
        of_body = torch.where(body_level > 0.011, of_body, 0.0)
        total: PerSample = of_body + of_flow + self.force * of_force
        return total

    def _weight(self, level: PerSample) -> PerSample:
        """What makes the error of a clean sample that of what the network tells."""
        _, owed, _ = preconditioning(level, self.velocity)
        return owed.flatten().pow(-2)


class WindowDraw:
    """Batches of scaled samples, half of them seen in a mirror."""

    def __init__(self, data: Windows, scales: Scales, batch: int, loss: AirfoilLoss) -> None:
        self.data, self.batch, self.loss = scaled(data, scales), batch, loss
        self.sign = torch.tensor([1.0, -1.0, 1.0]).to(data.flow)[:, None, None]

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        device = self.data.body.device
        which = torch.randint(
            len(self.data.body), (self.batch,), generator=generator, device=device
        )
        some = self.data.some(which)
        coin = torch.rand(self.batch, generator=generator, device=device) < 0.5
        other = some.mirrored()
        chosen = [
            torch.where(coin.view(-1, *[1] * (a.ndim - 1)), a, b)
            for a, b in zip(some, other, strict=True)
        ]
        return self.loss.draw(Windows(*chosen), generator)


def scaled(data: Windows, scales: Scales) -> Windows:
    """In units of the data's spreads. Mirroring commutes with it, as lift has mean zero."""
    like = data.flow
    force = torch.tensor(scales.force).to(like)
    return Windows(
        (data.body - scales.body[0]) / scales.body[1],
        data.flow / _channels(scales.flow, like),
        data.background / _channels(scales.background, like),
        data.reynolds,
        (data.force - force[:2]) / force[2:],
    )


def _channels(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values).to(like)[:, None, None]


class Account:
    """What a prior was asked: images, and the seconds they took, gradients included."""

    def __init__(self) -> None:
        self.rows = 0
        self.seconds = 0.0


class _Timed(torch.autograd.Function):
    """Work with a graph of its own, so that its backward pass can be timed."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        body: Tensor,
        stream: Tensor,
        work: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
        account: Account,
    ) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            ctx.inputs = body.detach().requires_grad_(), stream.detach().requires_grad_()
            ctx.outputs = work(*ctx.inputs)
        ctx.account = account
        return tuple(one.detach() for one in ctx.outputs)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, None, None]:  # noqa: ANN401
        began = time.perf_counter()
        with torch.enable_grad():
            body, stream = torch.autograd.grad(ctx.outputs, ctx.inputs, slopes)
        ctx.account.seconds += time.perf_counter() - began
        return body, stream, None, None


class AirfoilPrior:
    """The trained network, in physical units but for the noise level of the body.

    Arguments:
        network: Trained, or taught by one that was.
        route: The levels of a distilled one, if it is. It tells bodies at these only, and flow and force
            of known bodies too; of a noisy flow it tells nothing.
    """

    def __init__(self, network: AirfoilNetwork, route: Route | None = None) -> None:
        self.network, self.scales, self.route = network, network.scales, route
        self.account = Account()

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.network.frequencies.device

    def to(self, device: torch.device) -> "AirfoilPrior":
        """The same elsewhere; the network itself is moved."""
        return AirfoilPrior(self.network.to(device), self.route)

    def metered(self) -> "AirfoilPrior":
        """The same with an account of its own."""
        return AirfoilPrior(self.network, self.route)

    def estimate(
        self,
        body: Image,
        level: PerSample,
        background: Flows,
        reynolds: PerSample,
        flow: Flows | None = None,
    ) -> Estimate:
        """Clean body (scaled), flow and force (physical).

        Arguments:
            body: Scaled images with noise.
            level: Of the noise; a known body has none.
            background: Without the stream itself.
            reynolds: Of the chord.
            flow: What the body adds to its background, scaled, with noise of the body's level;
                None where nothing is known of it.

        Raises:
            ValueError: a distilled prior is asked about a noisy flow.
        """
        if flow is not None and self.route is not None:
            raise ValueError(
                "a distilled prior of airfoils knows no noisy flow, which averaged answers (method "
                "cindm) need: choose coupled or superposed, or the prior that it was made from"
            )
        stream = background / _channels(self.scales.background, body)
        self.account.rows += len(body)

        def work(body: Tensor, stream: Tensor) -> tuple[Tensor, ...]:
            at = level.clamp(min=0.01)
            known = torch.full_like(level, UNKNOWN) if flow is None else at
            noisy = torch.zeros_like(stream) if flow is None else flow
            found: Estimate = self.network(body, at, noisy, known, stream, reynolds)
            return tuple(found)

        began = time.perf_counter()
        if torch.is_grad_enabled() and (body.requires_grad or stream.requires_grad):
            found = _Timed.apply(body, stream, work, self.account)  # type: ignore[no-untyped-call]
        else:
            found = work(body, stream)
        self.account.seconds += time.perf_counter() - began
        return self._physical(Estimate(*found))

    def scaled_flow(self, flow: Flows) -> Flows:
        return flow / _channels(self.scales.flow, flow)

    def scaled_body(self, body: Images) -> Images:
        mean, spread = self.scales.body
        return (body - mean) / spread

    def physical_body(self, body: Images) -> Images:
        mean, spread = self.scales.body
        return mean + spread * body

    def _physical(self, found: Estimate) -> Estimate:
        force = torch.tensor(self.scales.force).to(found.force)
        return Estimate(
            found.body,
            found.flow * _channels(self.scales.flow, found.flow),
            force[:2] + force[2:] * found.force,
        )


WEIGHTS = Path(__file__).resolve().parent / "weights" / "airfoil.safetensors"
"""The prior that ships with the package."""


def save_prior(path: Path, model: AirfoilNetwork, facts: dict[str, object]) -> None:
    """Keep a trained prior, in half precision, with how it was made."""
    tensors = {name: value.half() for name, value in model.state_dict().items()}
    own = {
        "prior": "airfoil",
        "architecture": asdict(model.architecture),
        "velocity": model.velocity,
        "scales": asdict(model.scales),
    }
    save_tensors(path, tensors, {**facts, **own})


def load_prior(path: Path = WEIGHTS) -> AirfoilPrior:
    """A trained prior, or a distilled one with its own levels.

    Raises:
        ValueError: the file is missing, truncated, foreign, or another prior.
    """
    return read_prior(path)[0]


def read_prior(path: Path) -> tuple[AirfoilPrior, dict[str, object]]:
    """A prior, and the facts that were kept with it."""
    tensors, facts = load_tensors(path)
    if facts.get("prior") != "airfoil":
        raise ValueError(f"{path} holds no prior of airfoils: it says {facts.get('prior')!r}")
    described, scales = facts["architecture"], facts["scales"]
    assert isinstance(described, dict) and isinstance(scales, dict)
    architecture = Architecture(
        tuple(described["widths"]),
        int(described["patch"]),
        int(described["condition"]),
    )
    spreads = Scales(**{k: tuple(v) for k, v in scales.items()})
    model = architecture.build(spreads, bool(facts.get("velocity", False)))
    model = filled(path, model, tensors).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return AirfoilPrior(model, route_of(facts)), facts
