"""Ways to compose posteriors of one observation each, held to the posterior of all ten."""

from collections.abc import Callable

import torch
from torch import Tensor

from physgen.compositional import Composed, Corrected
from physgen.grid import Grid, log_snr
from physgen.kernel import ULA
from physgen.meter import Metered
from physgen.predictor import Ancestral, DPMpp2M, Predictor
from physgen.sampler import anneal, sample, unit_noise
from physgen.testbeds import source
from physgen.testbeds.catalog import Bed, Figures, Gate, Measured, Method, Size
from physgen.testbeds.inverse import linear_posterior
from physgen.testbeds.observations import observe
from physgen.testbeds.quality import divergence, judge_mixture

COUNT = 10
BED = observe(COUNT, source(1))
EXACT = BED.posterior()
DRAWS = 5


def _grid(size: Size) -> Grid:
    return log_snr(3 * size.levels // 2, 0.01, 10.0)


def _start(size: Size) -> Tensor:
    return unit_noise(DRAWS * size.draws, (2,), source(4), torch.float64)


def _figures(x: Tensor, evaluations: float = 0.0) -> Figures:
    """Evaluations are of posteriors and prior together, an observation each."""
    return Figures(judge_mixture(x, EXACT), evaluations, 0.0, {"KL": divergence(x, EXACT)})


def exact(size: Size) -> Figures:
    return _figures(EXACT.sample(DRAWS * size.draws, source(6)))


def prior(size: Size) -> Figures:
    return _figures(BED.prior().sample(DRAWS * size.draws, source(6)))


def one(size: Size) -> Figures:
    """Given the first observation."""
    law = BED.prior().observe(torch.eye(2, dtype=torch.float64), BED.observed[0], BED.noise)
    return _figures(law.normalised().sample(DRAWS * size.draws, source(6)))


def linear(size: Size) -> Figures:
    """The linear estimate of the parameter from ten observations, learned from simulations."""
    g = source(8)
    truth = torch.randn(1000, 2, generator=g, dtype=torch.float64)
    error = torch.randn(1000, COUNT, 2, generator=g, dtype=torch.float64)
    seen = truth[:, None] + error @ torch.linalg.cholesky(BED.noise).mT
    law = linear_posterior(truth, seen.flatten(1), BED.observed.flatten())
    return _figures(law.sample(DRAWS * size.draws, source(6)))


def summed(moves: int) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        base = Metered(BED.prior())
        term = Composed(BED.one_observation(), base, BED.observed)
        if moves == 0:
            x = sample(term, _start(size), _grid(size), Ancestral(), source(5))
        else:
            kernel = ULA(0.05, spread=0.1)
            x = anneal(term, _start(size), _grid(size), source(5), Ancestral(), kernel, moves).x
        return _figures(x, (COUNT + 1) * base.rows / len(x))

    return run


def corrected(predictor: Predictor) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        base = Metered(BED.prior())
        term = Corrected(BED.one_observation(), base, BED.observed)
        x = sample(term, _start(size), _grid(size), predictor, source(5))
        found = _figures(x, (COUNT + 1) * base.rows / len(x))
        gradients = (COUNT + 1) * base.gradients / len(x)
        return Figures(found.quality, found.evaluations, gradients, found.others)

    return run


def _kl(measured: Measured, name: str) -> float:
    return measured[name].others["KL"]


GEFFNER = "[Geffner et al., 2023](https://arxiv.org/abs/2209.14249)"
LINHART = "[Linhart et al., 2024](https://arxiv.org/abs/2404.07593)"

OBSERVATIONS = Bed(
    "observations",
    "A parameter of the plane, ten correlated observations: conjugate Gaussians",
    (
        Method("exact posterior", "`testbeds.observations`", "closed form", exact),
        Method("prior alone", "`testbeds.observations`", "closed form", prior),
        Method("one observation", "`testbeds.observations`", "closed form", one),
        Method(
            "linear MMSE from 1000 simulations",
            "`testbeds.inverse.linear_posterior`",
            "least squares",
            linear,
        ),
        Method("scores added", "`compositional.Composed`", GEFFNER, summed(0)),
        Method("and ULA, 5 moves", "`compositional.Composed`, `kernel.ULA`", GEFFNER, summed(5)),
        Method(
            "clean estimates multiplied, ancestral",
            "`compositional.Corrected`",
            LINHART,
            corrected(Ancestral()),
        ),
        Method(
            "clean estimates multiplied, DPM++ 2M",
            "`compositional.Corrected`",
            LINHART,
            corrected(DPMpp2M()),
        ),
    ),
    (
        Gate(
            "scores added are off by a divergence of more than 0.1, and with moves by less "
            "than 0.02",
            lambda m: _kl(m, "scores added") > 0.1 and _kl(m, "and ULA, 5 moves") < 0.02,
        ),
        Gate(
            "clean estimates multiplied: less than 0.02 by a deterministic predictor, without moves",
            lambda m: _kl(m, "clean estimates multiplied, DPM++ 2M") < 0.02,
        ),
        Gate(
            "the prior is off by more than ten, one observation by more than one",
            lambda m: _kl(m, "prior alone") > 10 and _kl(m, "one observation") > 1,
        ),
    ),
)
