"""What cannot be is refused where it comes in, and told what to do."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from physgen.decoupled import Walked
from physgen.density import Density
from physgen.descent import descend
from physgen.gaussian import gaussian
from physgen.grid import log_snr
from physgen.guidance import Constraint, DetachedGuidance, Fixed, Guidance, Guided
from physgen.importance import importance
from physgen.kernel import HMC, MALA
from physgen.sampler import chains
from physgen.testbeds import source
from physgen.twisted import Tilt, twisted

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
