"""Methods on a mixture of which one coordinate is seen: not Gaussian, and all but the modes easy."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from physgen.decoupled import Decoupled, Linear, Local, Walked
from physgen.energy import Score
from physgen.gaussian import gaussian
from physgen.grid import Grid, log_snr
from physgen.guidance import Capped, Guided
from physgen.kernel import HMC
from physgen.meter import Metered
from physgen.observed import Isotropic, Observed
from physgen.predictor import Ancestral, DPMpp2M, Predictor
from physgen.sampler import sample, unit_noise
from physgen.testbeds import mode_error, ring, source
from physgen.testbeds.catalog import Bed, Figures, Gate, Measured, Method, Size
from physgen.testbeds.quality import judge_mixture
from physgen.twisted import Seen, Tilt, Twist, twisted

LAW = ring()
SEEN, NOISE = 0.4, 0.2
SIGMA = 0.7
"""Standard deviation of an entry of the ring."""
WITH = LAW.observe(torch.tensor([[1.0, 0.0]]), torch.tensor([SEEN]), NOISE**2 * torch.eye(1))
EXACT = WITH.normalised()
DRAWS = 10


def first(x: Tensor) -> Tensor:
    return x[:, :1]


def misfit(x: Tensor) -> Tensor:
    return (first(x) - SEEN).square().sum(1) / 2


def _grid(size: Size) -> Grid:
    return log_snr(size.levels, 0.01, 20.0)


def _start(size: Size) -> Tensor:
    return unit_noise(DRAWS * size.draws, (2,), source(4))


def _figures(x: Tensor, meter: Metered | None = None, **others: float) -> Figures:
    measured = {"modes": mode_error(x, EXACT)} | others
    if meter is None:
        return Figures(judge_mixture(x, EXACT), others=measured)
    rows, gradients = meter.rows / len(x), meter.gradients / len(x)
    return Figures(judge_mixture(x, EXACT), rows, gradients, measured)


def exact(size: Size) -> Figures:
    return _figures(EXACT.sample(DRAWS * size.draws, source(6)))


def linear(size: Size) -> Figures:
    """The posterior under the Gaussian of the ring's own moments."""
    moments = gaussian(torch.zeros(2), LAW.sample(10_000, source(7)).T.cov())
    noise = NOISE**2 * torch.eye(1)
    law = moments.observe(torch.tensor([[1.0, 0.0]]), torch.tensor([SEEN]), noise)
    return _figures(law.normalised().sample(DRAWS * size.draws, source(6)))


def drawn(guide: Callable[[Score, int], Score], predictor: Predictor) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        meter, start = Metered(LAW), _start(size)
        x = sample(guide(meter, len(start)), start, _grid(size), predictor, source(5))
        return _figures(x, meter)

    return run


def tweedie(prior: Score, count: int) -> Score:
    return Observed(prior, first, torch.full((count, 1), SEEN), NOISE, 1)


def pseudoinverse(prior: Score, count: int) -> Score:
    seen = torch.full((count, 1), SEEN)
    return Observed(prior, first, seen, NOISE, 1, Isotropic(SIGMA))


def tilted(prior: Score, count: int) -> Score:
    return Guided(prior, misfit, Capped(1 / NOISE**2, 0.5))


def twist(kind: Twist) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        meter = Metered(LAW)
        result = twisted(meter, kind, _start(size), _grid(size), source(5))
        others = {
            "log evidence": result.drawn.log_z,
            "exact": WITH.log_mass.item(),
            "least ESS": min(result.ess),
        }
        return _figures(result.drawn.resample(source(6)), meter, **others)

    return run


def decoupled(local: Callable[[int], Local]) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        meter, start = Metered(LAW), _start(size)
        rule = Decoupled(local(len(start)), SIGMA, flow=4)
        return _figures(sample(meter, start, _grid(size), rule, source(5)), meter)

    return run


def _exactly(count: int) -> Local:
    return Linear(first, torch.full((count, 1), SEEN), NOISE, 1)


def _walked(count: int) -> Local:
    return Walked(lambda x: misfit(x) / NOISE**2, HMC(0.3, 5), 5)


def _likelihood(x: Tensor) -> Tensor:
    """Minus its logarithm, with the normaliser that an evidence needs."""
    return misfit(x) / NOISE**2 + math.log(math.tau * NOISE**2) / 2


def _misses_evidence_by(measured: Measured, name: str) -> float:
    others = measured[name].others
    return abs(others["log evidence"] - others["exact"])


DAPS = "alg. 1 of [Zhang et al., 2024](https://arxiv.org/abs/2407.01521)"
WU = "alg. 1 of [Wu et al., 2023](https://arxiv.org/abs/2306.17775)"
TWISTED = "twisted SMC, isotropic"

SEEN_RING = Bed(
    "ring seen",
    "A ring of eight modes, one coordinate seen with noise 0.2: a mixture of eight Gaussians",
    (
        Method("exact posterior", "`gaussian.GaussianMixture.observe`", "closed form", exact),
        Method("linear MMSE", "`gaussian.GaussianMixture.observe`", "a Gaussian fit", linear),
        Method(
            TWISTED,
            "`twisted.Seen`",
            WU,
            twist(Seen(first, torch.tensor([SEEN]), NOISE, Isotropic(SIGMA))),
        ),
        Method("twisted SMC, by the cost", "`twisted.Tilt`", WU, twist(Tilt(_likelihood))),
        Method(
            "Tweedie covariance, DPM++ 2M",
            "`observed.Observed`",
            "[Rozet et al., 2024](https://arxiv.org/abs/2405.13712)",
            drawn(tweedie, DPMpp2M()),
        ),
        Method(
            "ΠGDM",
            "`observed.Isotropic`",
            "[Song et al., 2023](https://openreview.net/forum?id=9_gsMA8MRKQ)",
            drawn(pseudoinverse, Ancestral()),
        ),
        Method(
            "tilt, capped",
            "`guidance.Capped`",
            "[Chung et al., 2023](https://arxiv.org/abs/2209.14687)",
            drawn(tilted, Ancestral()),
        ),
        Method("DAPS, exact local draw", "`decoupled.Linear`", DAPS, decoupled(_exactly)),
        Method("DAPS, HMC", "`decoupled.Walked`", DAPS, decoupled(_walked)),
    ),
    (
        Gate(
            "twisted SMC knows the log evidence to 0.1, its modes' weights to 0.06 and its "
            "spread to 5 %",
            lambda m: (
                _misses_evidence_by(m, TWISTED) < 0.1
                and m[TWISTED].others["modes"] < 0.06
                and abs(m[TWISTED].quality.spread - 1) < 0.05
            ),
        ),
        Gate(
            "both forms of DAPS cover 0.85 to 0.95",
            lambda m: all(
                abs(m[name].quality.coverage - 0.9) < 0.05
                for name in ("DAPS, exact local draw", "DAPS, HMC")
            ),
        ),
    ),
)
