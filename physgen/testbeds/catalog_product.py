"""Samplers of a sum of two priors, held to the product of their densities."""

from collections.abc import Callable

from torch import Tensor

from physgen.energy import Score
from physgen.grid import Grid, log_snr
from physgen.kernel import HMC, MALA, ULA, Kernel, Renoise, UnadjustedHMC
from physgen.meter import Metered, MeteredEnergy
from physgen.predictor import DDIM, Ancestral, Predictor
from physgen.sampler import AsMarginal, Resample, anneal, sample, unit_noise
from physgen.testbeds import mode_error, source
from physgen.testbeds.catalog import Bed, Figures, Gate, Measured, Method, Size
from physgen.testbeds.product import ring_and_three
from physgen.testbeds.quality import judge_mixture

BED = ring_and_three()
NARROWEST = 0.2
DRAWS = 8
"""For each that fields need, as a discrepancy of a thousandth is looked for."""


def _grid(size: Size) -> Grid:
    return log_snr(3 * size.levels // 5, 0.03, 10.0)


def _start(size: Size) -> Tensor:
    return unit_noise(DRAWS * size.draws, (2,), source(4))


def _figures(x: Tensor, rows: int, **others: float) -> Figures:
    """Of draws, and of how many samples both priors were asked about."""
    measured = {
        "MMD²": BED.discrepancy(x, source(11)),
        "modes": mode_error(x, BED.exact()),
        "surprise": BED.surprise(x),
    }
    return Figures(judge_mixture(x, BED.exact()), rows / len(x), others=measured | others)


def exact(size: Size) -> Figures:
    return _figures(BED.exact().sample(DRAWS * size.draws, source(6)), 0)


def carried(predictor: Predictor) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        first, second = MeteredEnergy(BED.first), MeteredEnergy(BED.second)
        consent = AsMarginal() if predictor.deterministic else None
        x = sample(
            first + second, _start(size), _grid(size), predictor, source(5), consent=consent
        )
        return _figures(x, first.rows + second.rows)

    return run


def moved(kernel: Kernel, inner: int) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        first, second = MeteredEnergy(BED.first), MeteredEnergy(BED.second)
        total = first + second
        result = anneal(total, _start(size), _grid(size), source(5), Ancestral(), kernel, inner)
        return _figures(result.x, first.rows + second.rows)

    return run


def by_line_integral(size: Size) -> Figures:
    """Without the priors' values."""
    first, second = Metered(BED.first), Metered(BED.second)
    total: Score = first + second
    kernel = MALA(0.5, spread=NARROWEST)
    result = anneal(total, _start(size), _grid(size), source(5), Ancestral(), kernel, 4)
    return _figures(result.x, first.rows + second.rows)


def weighted(resample: Resample | None) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        first, second = MeteredEnergy(BED.first), MeteredEnergy(BED.second)
        kernel = HMC(0.8, 3, spread=NARROWEST)
        result = anneal(
            first + second,
            _start(size),
            _grid(size),
            source(5),
            kernel=kernel,
            inner=2,
            resample=resample,
        )
        log_mass = BED.first.product(BED.second).log_mass.item()
        rows = first.rows + second.rows
        others = {"log Z": result.drawn.log_z, "exact": log_mass, "least ESS": min(result.ess)}
        return _figures(result.drawn.resample(source(6)), rows, **others)

    return run


def _mmd(measured: Measured, name: str) -> float:
    return measured[name].others["MMD²"]


def _misses_log_z_by(measured: Measured, name: str) -> float:
    others = measured[name].others
    return abs(others["log Z"] - others["exact"])


DU = "[Du et al., 2023](https://arxiv.org/abs/2302.11552)"

PRODUCT = Bed(
    "product",
    "The product of a ring of eight and three wide modes is a mixture of 24 Gaussians",
    (
        Method("exact draws", "`gaussian.GaussianMixture.product`", "closed form", exact),
        Method(
            "flow of probability on the sum (wrong)",
            "`predictor.DDIM`, by consent",
            "[Song et al., 2021](https://arxiv.org/abs/2010.02502), eq. 12",
            carried(DDIM()),
        ),
        Method(
            "reverse diffusion on the sum",
            "`predictor.Ancestral`",
            "[Liu et al., 2022](https://arxiv.org/abs/2206.01714)",
            carried(Ancestral()),
        ),
        Method("and ULA, 4 moves", "`kernel.ULA`", DU, moved(ULA(0.1, NARROWEST), 4)),
        Method("and MALA, 4 moves", "`kernel.MALA`", DU, moved(MALA(0.5, NARROWEST), 4)),
        Method(
            "and MALA by line integral, 4 moves",
            "`kernel.log_rise`",
            "[Sjöberg et al., 2023](https://arxiv.org/abs/2307.14012)",
            by_line_integral,
        ),
        Method(
            "and unadjusted HMC, 3 moves",
            "`kernel.UnadjustedHMC`",
            DU,
            moved(UnadjustedHMC(0.5, 3, 0.5, spread=NARROWEST), 3),
        ),
        Method(
            "and HMC, 3 moves",
            "`kernel.HMC`",
            DU,
            moved(HMC(0.8, 3, 0.5, spread=NARROWEST), 3),
        ),
        Method(
            "and renoising, 4 moves",
            "`kernel.Renoise`",
            "[Bansal et al., 2023](https://arxiv.org/abs/2302.07121)",
            moved(Renoise(1.1), 4),
        ),
        Method(
            "annealed importance sampling",
            "`sampler.anneal`",
            "[Neal, 2001](https://arxiv.org/abs/physics/9803008), along the noise",
            weighted(None),
        ),
        Method(
            "sequential Monte Carlo",
            "`sampler.Resample`",
            "Del Moral et al., 2006",
            weighted(Resample()),
        ),
    ),
    (
        Gate(
            "HMC at each level has at most a fifth of the discrepancy of reverse diffusion, and "
            "at most 0.001",
            lambda m: (
                _mmd(m, "and HMC, 3 moves")
                <= min(_mmd(m, "reverse diffusion on the sum") / 5, 0.001)
            ),
        ),
        Gate(
            "MALA, with values or by line integral, and unadjusted HMC: at most half of it",
            lambda m: all(
                _mmd(m, name) <= _mmd(m, "reverse diffusion on the sum") / 2
                for name in (
                    "and MALA, 4 moves",
                    "and MALA by line integral, 4 moves",
                    "and unadjusted HMC, 3 moves",
                )
            ),
        ),
        Gate(
            "the flow of probability is more than twenty times further off than reverse diffusion",
            lambda m: (
                _mmd(m, "flow of probability on the sum (wrong)")
                > 20 * _mmd(m, "reverse diffusion on the sum")
            ),
        ),
        Gate(
            "sequential Monte Carlo knows log Z to 0.15",
            lambda m: _misses_log_z_by(m, "sequential Monte Carlo") < 0.15,
        ),
    ),
)
