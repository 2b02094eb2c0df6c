"""What cannot be is refused where it comes in, and told what to do."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from physgen.bridge import cross
from physgen.condition import Known
from physgen.decoupled import Linear, Walked
from physgen.density import At, Density
from physgen.descent import descend
from physgen.gaussian import gaussian
from physgen.grid import Grid, log_snr
from physgen.guidance import Constraint, DetachedGuidance, Fixed, Guidance, Guided
from physgen.importance import importance
from physgen.kernel import HMC, MALA, ULA, Renoise, UnadjustedHMC
from physgen.metropolis import LogWalk, RandomWalk
from physgen.observed import Observed, Tweedie
from physgen.predictor import Ancestral, Heun
from physgen.rejection import reject
from physgen.sampler import anneal, chains, sample
from physgen.sgld import SGLD
from physgen.tempering import temper
from physgen.testbeds import source
from physgen.tuning import tune
from physgen.twisted import Seen, Tilt, twisted

LAW = gaussian(torch.zeros(2), torch.eye(2))
GRID = log_snr(4, 0.1, 10.0)
X = torch.zeros(4, 2)

Function = Callable[[Tensor], Tensor]
SLIPS: dict[str, Function] = {
    "of the batch": lambda x: x.square().sum() / 2,
    "of a column": lambda x: x.square().sum(1, keepdim=True) / 2,
    "of entries": lambda x: x.square() / 2,
}
PRICED: dict[str, Callable[[Function], object]] = {
    "Density": lambda f: chains(Density(f), HMC(0.3), X, 1, 1, source()),
    "importance": lambda f: importance(Density(f), LAW, 4, source()),
    "Guidance": lambda f: Guidance(LAW, f, 1.0).energy(X, 1.0),
    "Guided": lambda f: Guided(LAW, f, Fixed(1.0)).shift(X, 1.0),
    "Constraint": lambda f: Guided(
        LAW, lambda x: x.sum(1), Fixed(1.0), constraints=[Constraint(f, 1.0)]
    ).shift(X, 1.0),
    "DetachedGuidance": lambda f: DetachedGuidance(LAW, f, Fixed(1.0)).shift(X, 1.0),
    "Tilt": lambda f: twisted(LAW, Tilt(f), X, GRID, source()),
    "Walked": lambda f: Walked(f, MALA(0.1), 1).draw(X, 1.0, source()),
    "descend": lambda f: descend(f, X, 2),
}


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("door", PRICED)
def test_what_is_not_one_number_a_sample_is_refused(door: str, slip: str) -> None:
    with pytest.raises(
        ValueError, match=r"one number a sample, of shape \(4,\), got the shape \("
    ):
        PRICED[door](SLIPS[slip])


def first(x: Tensor) -> Tensor:
    return x[:, :1]


NONE, NAN = torch.zeros(0, 2), float("nan")
CLOSED: dict[str, tuple[Callable[[], object], str]] = {
    "no repeats": (
        lambda: sample(LAW, X, GRID, Ancestral(), source(), repeats=0),
        "repeats must be at least 1, got 0",
    ),
    "no leapfrogs": (lambda: HMC(0.1, leapfrogs=0), "leapfrogs must be at least 1, got 0"),
    "no unadjusted ones": (lambda: UnadjustedHMC(0.1, leapfrogs=0), "leapfrogs must be at least"),
    "more kept than there is": (lambda: HMC(0.1, kept=1.5), "kept must be a share from 0 to 1"),
    "jitter backwards": (lambda: HMC(0.1, jitter=2.0), "jitter must be a share from 0 to 1"),
    "HMC of no size": (lambda: HMC(0.0), "size of a step must be positive and finite, got 0"),
    "MALA backwards": (lambda: MALA(-1.0), "size of a step must be positive and finite, got -1"),
    "ULA of nan": (lambda: ULA(NAN), "size of a step must be positive and finite, got nan"),
    "SGLD of no size": (lambda: SGLD(0.0), "size of a step must be positive"),
    "walk of no size": (lambda: RandomWalk(0.0), "size of a step must be positive"),
    "factors of no size": (lambda: LogWalk(-1.0), "size of a step must be positive"),
    "less noise": (lambda: Renoise(0.5), r"ratio must be above 1, to noisier levels, got 0\.5"),
    "no thinning": (
        lambda: chains(LAW, HMC(0.1), X, 1, 2, source(), thin=0),
        "thin must be at least 1, got 0",
    ),
    "no draws": (lambda: chains(LAW, HMC(0.1), X, 1, 0, source()), "draws must be at least 1"),
    "no level": (
        lambda: chains(LAW, HMC(0.1), X, 1, 1, source(), s=0.0),
        r"positive level, got 0\.0",
    ),
    "churn backwards": (lambda: Heun(-5.0), r"churn must not be negative, got -5\.0"),
    "eta above one": (lambda: Ancestral(2.0), r"eta must lie between .* got 2\.0"),
    "a level of nan": (lambda: Grid((1.0, NAN, 0.0)), "fall strictly and end in zero"),
    "a lopsided covariance": (
        lambda: gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]])),
        r"must be symmetric and finite, got entries that differ by 0\.5",
    ),
    "a covariance of nan": (
        lambda: gaussian(torch.zeros(2), torch.full((2, 2), NAN)),
        "must be symmetric and finite",
    ),
    "observations of nan": (
        lambda: Observed(LAW, first, torch.tensor([[NAN], [1.0]]), 0.1, 1),
        "observations must be finite, got 1 of 2 that are not",
    ),
    "no observations": (
        lambda: Observed(LAW, first, NONE[:, :1], 0.1, 1),
        "number of observations must be at least 1",
    ),
    "draws near nan": (
        lambda: Linear(first, torch.full((4, 1), NAN), 0.1, 1),
        "observations must be finite",
    ),
    "less than no noise": (lambda: Linear(first, X[:, :1], -1.0, 1), "must not be negative"),
    "a twist of nan": (
        lambda: Seen(first, torch.tensor([NAN]), 0.1, Tweedie()),
        "observations must be finite",
    ),
    "a twist without noise": (
        lambda: Seen(first, torch.zeros(1), 0.0, Tweedie()),
        r"noise of observations must be positive, got 0\.0",
    ),
    "too many observations": (
        lambda: twisted(LAW, Seen(first, torch.zeros(3), 0.1, Tweedie()), X, GRID, source()),
        r"observations have the shape \(3,\), the operator sees \(1,\)",
    ),
    "known nan": (
        lambda: Known(torch.tensor([True, False]), torch.tensor([NAN, NAN])),
        "known values must be finite, got 1 that are not",
    ),
}
EMPTY: dict[str, Callable[[], object]] = {
    "anneal": lambda: anneal(LAW, NONE, GRID, source(), kernel=MALA(0.1)),
    "twisted": lambda: twisted(LAW, Tilt(lambda x: x.sum(1)), NONE, GRID, source()),
    "tune": lambda: tune(LAW, HMC(0.1), NONE, 40, source()),
    "temper": lambda: temper(LAW, LAW, HMC(0.1), [0.0, 1.0], NONE, 2, 2, source()),
    "cross": lambda: cross(LAW, At(LAW), HMC(0.1), [0.0, 1.0], 0, source()),
    "importance": lambda: importance(LAW, LAW, 0, source()),
    "reject": lambda: reject(LAW, LAW, 0.0, 0, source()),
}


@pytest.mark.parametrize("door", CLOSED)
def test_what_cannot_be_is_refused(door: str) -> None:
    call, said = CLOSED[door]
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("door", EMPTY)
def test_no_samples_are_refused_where_they_are_weighed_or_learned_from(door: str) -> None:
    with pytest.raises(ValueError, match="number of samples must be at least 1, got 0"):
        EMPTY[door]()
