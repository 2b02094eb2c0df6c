"""Posteriors of simulators, held to the reference draws of a published benchmark."""

from collections.abc import Callable
from statistics import fmean

import torch
from torch import Tensor

from physgen.denoiser import Learned
from physgen.fitting import fit
from physgen.grid import log_snr
from physgen.kernel import HMC, Kernel
from physgen.meter import MeteredEnergy
from physgen.metropolis import RandomWalk
from physgen.perceptron import Perceptron
from physgen.preconditioned import Denoising, Preconditioned
from physgen.predictor import DPMpp2M
from physgen.sampler import chains, sample, unit_noise
from physgen.tempering import temper
from physgen.testbeds import source
from physgen.testbeds.catalog import Bed, Figures, Gate, Measured, Method, Size
from physgen.testbeds.inverse import linear_posterior
from physgen.testbeds.quality import Quality, judge_draws, told_apart
from physgen.testbeds.sbibm import (
    DRAWS,
    PROBLEMS,
    Problem,
    reference,
)
from physgen.training import Batch
from physgen.tuning import tune

LINEAR, MIXTURE, MOONS, FOUR = PROBLEMS
NAMES = {LINEAR: "Gaussian", MIXTURE: "two Gaussians", MOONS: "two moons", FOUR: "SLCP"}
SIMULATIONS = 10_000
GRID = log_snr(24, 0.005, 20.0)


def _count(size: Size) -> int:
    return 5 * size.draws


Answer = Callable[[int], tuple[Tensor, float]]
"""Parameters given an observation by its number, and evaluations for each."""


def _figures(
    problems: tuple[Problem, ...], size: Size, answers: Callable[[Problem], Answer]
) -> Figures:
    """Means over problems and observations; biases are in units of the prior's deviation."""
    qualities, shares, costs = [], [], []
    for problem in problems:
        answer = answers(problem)
        broad = problem.prior.inside(problem.prior.sample(10_000, source(3))).std(0)
        for number in range(1, size.problems + 1):
            right = reference(problem.name, number).draws[: DRAWS // 2]
            x, evaluations = answer(number)
            qualities.append(judge_draws(x, right, broad))
            shares.append(told_apart(x, right[: len(x)]))
            costs.append(evaluations)
    bias, spread, coverage = (
        fmean(getattr(quality, name) for quality in qualities)
        for name in ("bias", "spread", "coverage")
    )
    return Figures(Quality(bias, spread, coverage), fmean(costs), others={"C2ST": fmean(shares)})


def exact(size: Size) -> Figures:
    """The last of the reference draws, held to the first."""

    def answers(problem: Problem) -> Answer:
        return lambda number: (reference(problem.name, number).draws[DRAWS - _count(size) :], 0.0)

    return _figures(PROBLEMS, size, answers)


def prior(size: Size) -> Figures:
    def answers(problem: Problem) -> Answer:
        drawn = problem.prior.inside(problem.prior.sample(_count(size), source(6)))
        return lambda number: (drawn, 0.0)

    return _figures(PROBLEMS, size, answers)


def linear(size: Size) -> Figures:
    """From the same simulations, which are shown to it as to a network."""

    def answers(problem: Problem) -> Answer:
        parameters, data = _simulated(problem)

        def answer(number: int) -> tuple[Tensor, float]:
            observed = _seen(reference(problem.name, number).observed)
            law = linear_posterior(parameters, data, observed)
            return law.sample(_count(size), source(6)).to(parameters), 0.0

        return answer

    return _figures(PROBLEMS, size, answers)


def hamiltonian(problem: Problem) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        def answer(number: int) -> tuple[Tensor, float]:
            meter = MeteredEnergy(problem.posterior(reference(problem.name, number).observed))
            start = problem.prior.sample(_count(size), source(4))
            tuned = tune(meter, HMC(0.2, leapfrogs=4), start, 60, source(5))
            z = chains(meter, tuned.kernel, tuned.z, 0, 1, source(6)).z[0]
            return problem.prior.inside(z), meter.rows / len(z)

        return _figures((problem,), size, lambda problem: answer)

    return run


def tempered(
    problem: Problem, kernel: Kernel, rungs: int, moves: int
) -> Callable[[Size], Figures]:
    """The prior's likelihood is turned on by the cube of the rung."""

    def run(size: Size) -> Figures:
        def answer(number: int) -> tuple[Tensor, float]:
            meter = MeteredEnergy(problem.posterior(reference(problem.name, number).observed))
            shares = [(k / (rungs - 1)) ** 3 for k in range(rungs)]
            start = problem.prior.sample(_count(size), source(4))
            drawn = temper(problem.prior, meter, kernel, shares, start, moves, 1, source(5))
            return problem.prior.inside(drawn.z[0]), meter.rows / len(start)

        return _figures((problem,), size, lambda problem: answer)

    return run


def learned(problem: Problem) -> Callable[[Size], Figures]:
    """A denoiser of parameters that is shown the data, trained on simulations alone."""

    def run(size: Size) -> Figures:
        parameters, data = _simulated(problem)
        centre, spread = parameters.mean(0), parameters.std(0)
        middle, width = data.mean(0), data.std(0)
        x, seen = (parameters - centre) / spread, (data - middle) / width
        torch.manual_seed(0)
        count, loss = x.shape[1], Denoising(mean=-1.5, spread=1.5)
        model = Preconditioned(Perceptron(count + 1 + data.shape[1], count, 128, 4))

        def draw(step: int, generator: torch.Generator) -> Batch:
            some = torch.randint(SIMULATIONS, (256,), generator=generator)
            return (*loss.draw(x[some], generator), seen[some])

        fit(model, loss, draw, 5 * size.levels**2 // 8)

        def answer(number: int) -> tuple[Tensor, float]:
            start = unit_noise(_count(size), (count,), source(4))
            told = (_seen(reference(problem.name, number).observed) - middle) / width
            term = Learned(model, told.expand(len(start), -1))
            drawn = sample(term, start, GRID, DPMpp2M(), source(5))
            return centre + spread * drawn, float(GRID.steps)

        return _figures((problem,), size, lambda problem: answer)

    return run


def _simulated(problem: Problem) -> tuple[Tensor, Tensor]:
    """Parameters of the prior, and what a network is shown of what they make."""
    parameters = problem.prior.inside(problem.prior.sample(SIMULATIONS, source(1)))
    return parameters, _seen(problem.simulate(parameters, source(2)))


def _seen(data: Tensor) -> Tensor:
    """Data as a network is shown it: of SLCP, a hundredth are a hundred times larger than most."""
    return (data / 3).asinh()


def _told(measured: Measured, name: str) -> float:
    return measured[name].others["C2ST"]


SYED = "[Syed et al., 2022](https://arxiv.org/abs/1905.02939)"
LUECKMANN = "[Lueckmann et al., 2021](https://arxiv.org/abs/2101.04653)"
NEAL = "[Neal, 2011](https://arxiv.org/abs/1206.1901), tuned"
GEFFNER = "denoising score, [Geffner et al., 2023](https://arxiv.org/abs/2209.14249)"
TEMPERED: dict[Problem, tuple[Kernel, int, int]] = {
    MIXTURE: (HMC(0.04, leapfrogs=6, jitter=0.5), 6, 60),
    MOONS: (RandomWalk(0.04), 16, 300),
    FOUR: (HMC(0.05, leapfrogs=8, jitter=0.5), 8, 50),
}
"""Kernels, rungs and moves."""
LINEAR_ESTIMATE = "linear MMSE"
CHAINS = (
    f"{NAMES[LINEAR]}: HMC",
    *(f"{NAMES[problem]}: parallel tempering" for problem in TEMPERED),
)
LEARNED = tuple(f"{NAMES[problem]}: learned" for problem in PROBLEMS)

INFERENCE = Bed(
    "simulation-based inference",
    "Reference draws of sbibm for four simulators, the first observations of each; biases "
    "relative to the prior's spread, C2ST among the 15 nearest, a half for equal densities; models are "
    "learned in seconds from 10,000 simulations",
    (
        Method("exact draws", "`testbeds.sbibm.reference`", LUECKMANN, exact),
        Method("prior alone", "`testbeds.sbibm`", LUECKMANN, prior),
        Method(
            LINEAR_ESTIMATE,
            "`testbeds.inverse.linear_posterior`",
            "least squares from the same simulations",
            linear,
        ),
        Method(CHAINS[0], "`kernel.HMC`, `tuning.tune`", NEAL, hamiltonian(LINEAR)),
        *(
            Method(name, "`tempering.temper`", SYED, tempered(problem, *how))
            for name, (problem, how) in zip(CHAINS[1:], TEMPERED.items(), strict=True)
        ),
        *(
            Method(name, "`preconditioned.Denoising`", GEFFNER, learned(problem))
            for name, problem in zip(LEARNED, PROBLEMS, strict=True)
        ),
    ),
    (
        Gate(
            "chains cannot be told from the reference draws of any problem: C2ST at most 0.56",
            lambda m: all(_told(m, name) < 0.56 for name in CHAINS),
        ),
        Gate(
            "they are as wide to 10 % and cover 0.85 to 0.95",
            lambda m: all(
                abs(m[name].quality.spread - 1) < 0.1
                and abs(m[name].quality.coverage - 0.9) < 0.05
                for name in CHAINS
            ),
        ),
        Gate(
            "the linear estimate is told from them, at least 0.7, and is nearer than the prior",
            lambda m: 0.7 < _told(m, LINEAR_ESTIMATE) < _told(m, "prior alone"),
        ),
        Gate(
            "the prior is told from them, at least 0.9; what was learned of the Gaussian is at most "
            "0.62, of the plane's two problems at most 0.8, and of SLCP 0.9",
            lambda m: (
                _told(m, "prior alone") > 0.9
                and _told(m, LEARNED[0]) < 0.62
                and max(_told(m, name) for name in LEARNED[1:3]) < 0.8
                and _told(m, LEARNED[3]) < 0.9
            ),
        ),
    ),
)
