"""A frozen prior that is told where a wall is, against the exact conditional."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from physgen.control import controlled
from physgen.denoiser import Learned
from physgen.gaussian import GaussianMixture, gaussian
from physgen.perceptron import Modulated
from physgen.preconditioned import Denoising, Preconditioned
from physgen.testbeds import source
from physgen.training import Batch, Draw, Schedule, Trainer

CELLS = 8
LOSS = Denoising(mean=-0.1, spread=0.8)


def field() -> GaussianMixture:
    """Smooth on a ring of cells, of unit variance."""
    place = torch.arange(CELLS, dtype=torch.float32)
    apart = (place[:, None] - place).abs()
    apart = torch.minimum(apart, CELLS - apart)
    covariance = torch.exp(-(apart / 2.5).square()) + 0.05 * torch.eye(CELLS)
    return gaussian(torch.zeros(CELLS), covariance / covariance[0, 0])


FIELD = field()


def walled(first: int) -> tuple[Tensor, GaussianMixture]:
    """A mask of two cells in which the field vanishes, and the density of such fields."""
    rows = torch.eye(CELLS)[[first, (first + 1) % CELLS]]
    seen = FIELD.observe(rows, torch.zeros(2), 1e-4 * torch.eye(2))
    return rows.sum(0), seen.normalised()


WALLS = [walled(first) for first in range(CELLS)]
MASKS = torch.stack([mask for mask, _ in WALLS])


def fields(step: int, generator: torch.Generator) -> Batch:
    return LOSS.draw(FIELD.sample(256, generator), generator)


def walled_fields(step: int, generator: torch.Generator) -> Batch:
    x = torch.cat([law.sample(32, generator) for _, law in WALLS])
    return *LOSS.draw(x, generator), MASKS.repeat_interleave(32, 0)


def trained(
    model: Preconditioned, draw: Draw, steps: int, rate: float, folder: Path
) -> Preconditioned:
    schedule = Schedule(
        steps, other_rate=rate, warmup=20, decay=0.6, average=0.98, save_every=steps
    )
    out = Trainer(model, LOSS, draw, schedule, folder, {}, bfloat16=False).run()
    assert isinstance(out, Preconditioned)
    return out


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Preconditioned:
    torch.manual_seed(0)
    model = Preconditioned(Modulated(CELLS, width=64, layers=2))
    return trained(model, fields, 200, 4e-3, tmp_path_factory.mktemp("prior"))


def test_an_untrained_control_changes_nothing_bit_for_bit(prior: Preconditioned) -> None:
    model = controlled(prior, CELLS, CELLS)
    z, level = torch.randn(40, CELLS, generator=source()), torch.rand(40, generator=source()) + 0.1
    assert torch.equal(model(z, level, MASKS.repeat(5, 1)), prior(z, level))


def test_a_control_learns_the_mean_given_a_wall_and_leaves_the_prior_alone(
    prior: Preconditioned, tmp_path: Path
) -> None:
    before = {name: value.clone() for name, value in prior.state_dict().items()}
    model = trained(controlled(prior, CELLS, CELLS), walled_fields, 350, 1.2e-2, tmp_path)
    frozen = model.network.network
    assert isinstance(frozen, Modulated)
    for name, value in frozen.state_dict().items():
        assert torch.equal(value, before[f"network.{name}"])
    with torch.no_grad():
        for level in (0.7, 1.5):
            ours, alone = [], []
            for mask, law in WALLS:
                x = law.sample(200, source(7))
                z = x + level * torch.randn(x.shape, generator=source(8))
                exact = law.denoise(z, level)
                ours.append(Learned(model, mask[None]).denoise(z, level) - exact)
                alone.append(Learned(prior).denoise(z, level) - exact)
            error, without = (torch.cat(part).square().mean().sqrt() for part in (ours, alone))
            assert error < 0.4 * without
