"""Ways to find the start of heat from its end, held to the exact posterior."""

from functools import cache

import torch
from torch import Tensor

from physgen.reverse import reverse
from physgen.testbeds import source
from physgen.testbeds.catalog import Bed, Figures, Gate, Measured, Method, Size
from physgen.testbeds.heat import Heat

ENDS = 4


@cache
def _posed(size: Size) -> tuple[Heat, Tensor, Tensor]:
    """The system, starts and ends."""
    heat = Heat(size.cells)
    return heat, *heat.draw(ENDS, source(1))


def _ends(size: Size) -> Tensor:
    return _posed(size)[2].repeat(size.draws // 2, 1, 1)


def _figures(size: Size, x: Tensor, steps: int = 0) -> Figures:
    """Of draws of starts, each end's one after another end's."""
    heat, start, end = _posed(size)
    truth = start.repeat(len(x) // ENDS, 1, 1)
    miss = heat.forward(x) - heat.forward(truth)
    others = {
        "squared error": (x - truth).square().mean().item(),
        "squared error forward": miss.square().mean().item(),
        "decades of spectrum": heat.spectrum_error(x, truth),
    }
    return Figures(heat.judge(x.unflatten(0, (-1, ENDS)), end), steps, 0.0, others)


def exact(size: Size) -> Figures:
    return _figures(size, _posed(size)[0].posterior_draw(_ends(size), source(2)))


def linear(size: Size) -> Figures:
    """The posterior mean: least error, no short waves, no spread."""
    return _figures(size, _posed(size)[0].posterior(_ends(size))[0])


def reversed_by(share: float, size: Size) -> Figures:
    heat, steps = _posed(size)[0], 3 * size.levels
    times = torch.linspace(heat.end, 0, steps + 1, dtype=torch.float64).tolist()
    x = reverse(_ends(size), heat.drift, heat.score, heat.noise, times, source(3), share)
    return _figures(size, x, steps)


def _other(measured: Measured, name: str, what: str) -> float:
    return measured[name].others[what]


HOLZSCHUH = "[Holzschuh et al., 2023](https://arxiv.org/abs/2301.10250)"
BACK = "reversed system"

HEAT_INVERTED = Bed(
    "heat",
    "The start of noisy heat on 32 × 32 cells given its end: every wave by itself; biases "
    "relative to the posterior mean's norm",
    (
        Method("exact posterior", "`testbeds.heat.Heat.posterior_draw`", "closed form", exact),
        Method("linear MMSE", "`testbeds.heat.Heat.posterior`", "the posterior mean", linear),
        Method(
            BACK,
            "`reverse.reverse`",
            HOLZSCHUH,
            lambda size: reversed_by(1.0, size),
        ),
        Method(
            "flow of probability",
            "`reverse.reverse`, `share=0.5`",
            HOLZSCHUH,
            lambda size: reversed_by(0.5, size),
        ),
    ),
    (
        Gate(
            "the reversed system has the spectrum to 0.15 decades, where the linear estimate "
            "misses it by more than one",
            lambda m: (
                _other(m, BACK, "decades of spectrum") < 0.15
                and _other(m, "linear MMSE", "decades of spectrum") > 1
            ),
        ),
        Gate(
            "its squared error is at most 1.5 times that of exact draws, at the start and at the "
            "end",
            lambda m: all(
                _other(m, BACK, what) < 1.5 * _other(m, "exact posterior", what)
                for what in ("squared error", "squared error forward")
            ),
        ),
        Gate(
            "it is as wide as the posterior to 8 %, and covers 0.82 to 0.93",
            lambda m: (
                abs(m[BACK].quality.spread - 1) < 0.08 and 0.82 < m[BACK].quality.coverage < 0.93
            ),
        ),
    ),
)
