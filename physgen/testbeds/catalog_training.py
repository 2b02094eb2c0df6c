"""Other ways to train the same models, what likelihood their flows have, and what they are told."""

import math
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
from torch import Tensor, nn

from physgen.autoregressive import Forecasting, NextFrame, extend
from physgen.checkpoint import load_tensors, save_tensors
from physgen.control import controlled
from physgen.denoiser import Learned, VelocityPrediction
from physgen.fitting import adam, fit
from physgen.gaussian import White, gaussian
from physgen.grid import from_path
from physgen.likelihood import Exact, FlowDensity, Trace, signs
from physgen.matching import Matching
from physgen.ode import Adjoint, Integrator, RungeKutta
from physgen.path import Rectified
from physgen.preconditioned import Denoising, Preconditioned
from physgen.predictor import DDIM, DPMpp2M
from physgen.sharing import Weights
from physgen.sharpness import SAM
from physgen.testbeds import source
from physgen.testbeds.catalog import Bed, Figures, Gate, Measured, Method, Size
from physgen.testbeds.learned import (
    GRID,
    LEFT,
    SPREAD,
    TARGET,
    carried,
    count,
    data,
    denoiser,
    figures,
    labelled,
    nats_lost,
    small_network,
    steps,
)
from physgen.training import Batch, Schedule, Trainer

PROCESSES = 2
KEPT, LENGTH = 0.8, 4
"""Of a frame in the next; frames of a sequence."""


def exact(size: Size) -> Figures:
    return figures(TARGET.sample(count(size), source(6)), 0)


def _density(
    term: Learned | VelocityPrediction, integrator: Integrator, trace: Trace
) -> FlowDensity:
    return FlowDensity(term, White((2,), SPREAD), integrator, trace, low=0.05, high=40.0)


def sharpness_aware(size: Size) -> Figures:
    prior = Learned(denoiser(size, lambda weights: SAM(adam(weights))))
    return figures(carried(prior, size, GRID, DPMpp2M()), GRID.steps)


def matched(trace: Trace) -> Callable[[Size], Figures]:
    """A flow by matching, and how likely it says that data are."""

    def run(size: Size) -> Figures:
        torch.manual_seed(0)
        network, path = small_network(3, 2), Rectified()
        loss = Matching(VelocityPrediction, path)
        fit(network, loss, lambda k, g: loss.draw(data(k, g), g), steps(size))
        flow = VelocityPrediction(network, path, SPREAD)
        x = carried(flow, size, from_path(path, 20, 0.99), DDIM())
        said = {"nats lost": nats_lost(_density(flow, RungeKutta(14), trace))}
        return figures(x, 20, said)

    return run


def by_likelihood(size: Size) -> Figures:
    """A flow that is trained by its own likelihood, which a perceptron is far from at first."""
    torch.manual_seed(0)
    model = Preconditioned(small_network(3, 2), SPREAD)

    def loss(model: nn.Module, x: Tensor) -> Tensor:
        integrator = Adjoint(RungeKutta(4), model.parameters())
        assert isinstance(model, Preconditioned)
        return _density(Learned(model), integrator, Exact()).energy(x, 0.0)

    def batch(step: int, generator: torch.Generator) -> Batch:
        return (data(step, generator)[:64],)

    whole = _density(Learned(model), RungeKutta(14), Exact())
    before = nats_lost(whole)
    fit(model, loss, batch, size.levels, lambda weights: torch.optim.Adam(weights, 0.02))
    x = whole.sample(count(size), source(5))
    return figures(x, 4 * 14, {"nats lost": nats_lost(whole), "before": before})


def _client(rank: int, size: Size, folder: Path) -> None:
    """One of two processes, with its half of each batch."""
    torch.manual_seed(0)
    meet = (folder / "meet").as_uri()
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=PROCESSES)
    model, loss = Preconditioned(small_network(3, 2), SPREAD), Denoising(SPREAD)
    every = steps(size)
    schedule = Schedule(
        every, other_rate=4e-3, warmup=20, decay=0.6, average=0.98, save_every=every
    )

    def draw(step: int, generator: torch.Generator) -> Batch:
        return loss.draw(TARGET.sample(256, generator), generator)

    run = folder / str(rank)
    trainer = Trainer(model, loss, draw, schedule, run, {}, bfloat16=False, sharing=Weights(20))
    save_tensors(folder / f"{rank}.safetensors", trainer.run().state_dict(), {})
    dist.destroy_process_group()


def federated(size: Size) -> Figures:
    """Two processes that meet after each twenty steps."""
    model = Preconditioned(small_network(3, 2), SPREAD)
    with TemporaryDirectory() as name:
        folder = Path(name)
        copies = multiprocessing.get_context("fork")
        clients = [
            copies.Process(target=_client, args=(rank, size, folder)) for rank in range(PROCESSES)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        if any(client.exitcode for client in clients):
            raise RuntimeError("a process that trains together with another has failed")
        ends = [load_tensors(folder / f"{rank}.safetensors")[0] for rank in range(PROCESSES)]
    model.load_state_dict(ends[0])
    apart = max((ends[0][name] - ends[1][name]).abs().max().item() for name in ends[0])
    x = carried(Learned(model), size, GRID, DPMpp2M())
    return figures(x, GRID.steps, {"apart": apart})


def by_branch(size: Size) -> Figures:
    """A prior that knows no labels, kept as it is, and a branch that is told one."""
    prior, loss = denoiser(size), Denoising(SPREAD)
    model = controlled(prior, channels=2, controls=2)

    def told(step: int, generator: torch.Generator) -> Batch:
        x, label = labelled(generator)
        return *loss.draw(x, generator), torch.eye(2)[label]

    fit(model, loss, told, 2 * steps(size), lambda weights: torch.optim.Adam(weights, 0.012))
    given = Learned(model, torch.eye(2)[:1])
    return figures(carried(given, size, GRID, DPMpp2M()), GRID.steps, exact=LEFT)


def _process(frames: int, number: int, generator: torch.Generator) -> Tensor:
    """Sequences of a Gaussian process of first order, of variance one."""
    x = [torch.randn(number, 1, generator=generator)]
    for _ in range(frames - 1):
        new = torch.randn(number, 1, generator=generator)
        x.append(KEPT * x[-1] + math.sqrt(1 - KEPT**2) * new)
    return torch.stack(x, 1)


def frame_by_frame(size: Size) -> Figures:
    torch.manual_seed(0)
    model, loss = Preconditioned(small_network(3, 1)), Forecasting(Denoising(), memory=1)
    fit(model, loss, lambda k, g: loss.draw(_process(LENGTH, 128, g), g), steps(size))
    past = _process(1, count(size), source(7))
    x = extend(NextFrame(model), past, LENGTH - 1, GRID, DPMpp2M(), source(5))[..., 0]
    index = torch.arange(LENGTH)
    law = gaussian(torch.zeros(LENGTH), KEPT ** (index[:, None] - index).abs().float())
    return figures(x, (LENGTH - 1) * GRID.steps, exact=law)


def _mmd(measured: Measured, name: str) -> float:
    return measured[name].others["MMD²"]


def _nats(measured: Measured, name: str) -> float:
    return measured[name].others["nats lost"]


SONG = "eq. 39 of [Song et al., 2021](https://arxiv.org/abs/2011.13456)"
CHEN = "[Chen et al., 2018](https://arxiv.org/abs/1806.07366)"
MATCHED, BY_SIGNS = "flow matching, exact trace", "flow matching, trace by signs"
BY_ADJOINT = "continuous flow, trained by the adjoint"
SHARED, BRANCH = "EDM, two processes that share weights", "left bar, by a branch"

TRAINING = Bed(
    "training and likelihood",
    "The same two bars, of which the nats that a likelihood loses are known; of sequences, a Gaussian "
    "process of first order",
    (
        Method("exact draws", "`gaussian.GaussianMixture.sample`", "closed form", exact),
        Method(MATCHED, "`likelihood.FlowDensity`, `likelihood.Exact`", SONG, matched(Exact())),
        Method(
            BY_SIGNS,
            "`likelihood.signs`",
            "[Grathwohl et al., 2019](https://arxiv.org/abs/1810.01367)",
            matched(signs(1, (2,), source(8))),
        ),
        Method(BY_ADJOINT, "`ode.Adjoint`", CHEN, by_likelihood),
        Method(
            "EDM, sharpness-aware",
            "`sharpness.SAM`",
            "alg. 1 of [Foret et al., 2021](https://arxiv.org/abs/2010.01412)",
            sharpness_aware,
        ),
        Method(
            SHARED,
            "`sharing.Weights`",
            "alg. 1 of [McMahan et al., 2017](https://arxiv.org/abs/1602.05629)",
            federated,
        ),
        Method(
            BRANCH,
            "`control.controlled`",
            "eq. 2 and 3 of [Zhang et al., 2023](https://arxiv.org/abs/2302.05543)",
            by_branch,
        ),
        Method(
            "frame by frame",
            "`autoregressive.extend`",
            "[Rasul et al., 2021](https://arxiv.org/abs/2101.12072)",
            frame_by_frame,
        ),
    ),
    (
        Gate(
            "all draw with a discrepancy of at most 0.02",
            lambda m: all(_mmd(m, name) < 0.02 for name in m),
        ),
        Gate(
            "a flow that is trained by its likelihood loses less than half of the nats that it did "
            "before, and none gains any",
            lambda m: (
                _nats(m, BY_ADJOINT) < m[BY_ADJOINT].others["before"] / 2
                and all(_nats(m, name) > -0.05 for name in (MATCHED, BY_SIGNS, BY_ADJOINT))
            ),
        ),
        Gate(
            "one vector of signs knows the mean likelihood to 0.06 nats",
            lambda m: abs(_nats(m, BY_SIGNS) - _nats(m, MATCHED)) < 0.06,
        ),
        Gate(
            "processes that share weights end with the same ones",
            lambda m: m[SHARED].others["apart"] == 0,
        ),
    ),
)
