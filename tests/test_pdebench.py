"""PDEBench's reaction and sorption: the solvers, and the data that are made again seed for seed."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import erfc

from physgen.datasets import store
from physgen.datasets.equation import generate
from physgen.datasets.pdebench import ReactionData, SorptionData
from physgen.solvers.elliptic import Cells
from physgen.solvers.explicit import Explicit
from physgen.solvers.exponential import Spectral
from physgen.solvers.fitzhugh_nagumo import FitzHughNagumo
from physgen.solvers.insulated_fitzhugh_nagumo import InsulatedFitzHughNagumo
from physgen.solvers.periodic import Periodic
from physgen.solvers.sorption import Ground, Sorption


def smooth_nerve(cells: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A state that is even about walls of a metre, and its mirror image beyond them."""
    (x,) = Cells((2 * cells,), (2.0,)).places(torch.zeros(1, dtype=torch.float64))
    u = 0.6 * torch.cos(math.pi * x) + 0.3 * torch.cos(3 * math.pi * x)
    both = torch.stack([u, 0.5 * torch.cos(2 * math.pi * x)])[None]
    return both[..., :cells], both


def test_between_insulating_walls_a_nerve_is_a_periodic_one_that_is_mirrored() -> None:
    errors = []
    for cells in (64, 128):
        half, whole = smooth_nerve(cells)
        solver = InsulatedFitzHughNagumo(Cells((cells,), (1.0,)), 0.005, FitzHughNagumo())
        found = solver.march(half, half[:, :0], 60)
        mirrored = Spectral(FitzHughNagumo(), Periodic((2 * cells,), (2.0,)), 0.005)
        exact = mirrored.march(whole, whole[:, :0], 60)[..., :cells]
        errors.append(float((found - exact).abs().max()))
    assert errors[0] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # of second order in space


def test_explicit_steps_are_of_fourth_order() -> None:
    half, _ = smooth_nerve(16)

    def run(steps: int) -> torch.Tensor:
        solver = InsulatedFitzHughNagumo(Cells((16,), (1.0,)), 2.0 / steps, FitzHughNagumo())
        return solver.march(half, half[:, :0], steps)

    best = run(160)
    errors = [float((run(n) - best).norm()) for n in (10, 20)]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.25)


def test_a_solute_without_preference_spreads_as_the_error_function() -> None:
    """For n = 1 retardation is a number; the left end is half a cell beyond the first point."""
    cells, ground = Cells((100,), (1.0,)), Ground(exponent=1.0)
    slowed = 1 + 0.71 / 0.29 * 2880 * 3.5e-4
    start = torch.zeros(1, 1, 100, dtype=torch.float64)
    found = Sorption(cells, 0.125, ground).march(start, start[:, :0], 400)
    (x,) = cells.places(start)
    exact = erfc((x + 0.005).numpy() / (2 * math.sqrt(ground.diffusivity * 50 / slowed)))
    np.testing.assert_allclose(found[0, 0].numpy(), exact, atol=1e-3)


def test_a_straight_line_of_solute_stays() -> None:
    """Between a value of 1 and the right end as published, D times the last slope."""
    cells = Cells((50,), (1.0,))
    h, D = 0.02, 5e-4
    slope = 1 / (D + 51 * h)  # from 1 at x = 0 to D times the slope at x = 51 h
    line = (1 - slope * h * torch.arange(1, 51, dtype=torch.float64))[None, None]
    solver = Sorption(cells, 0.1, Ground(diffusivity=D))
    assert float(solver.rate(line, line[:, :0]).abs().max()) < 1e-14


def test_scarce_solute_is_held_back_more() -> None:
    amounts = torch.tensor([1.0, 0.1, 0.01], dtype=torch.float64)
    held = Ground().retardation(amounts)
    assert (held.diff() > 0).all()
    assert float(held[0]) == pytest.approx(1 + 0.71 / 0.29 * 2880 * 3.5e-4 * 0.874, rel=1e-5)


def test_steps_that_are_too_long_and_nonsense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"an explicit step must not exceed 0\.1\d+ s .*got 1 s"):
        InsulatedFitzHughNagumo(Cells((16, 16), (1.0, 1.0)), 1.0, FitzHughNagumo(5e-3, 1e-2))
    each = torch.full((2, 1, 1), 5e-3, dtype=torch.float64)
    with pytest.raises(ValueError, match="between walls numbers must be floats, got tensors"):
        InsulatedFitzHughNagumo(Cells((16,), (1.0,)), 0.01, FitzHughNagumo(each))
    with pytest.raises(ValueError, match="positive numbers and porosity < 1"):
        Ground(porosity=1.2)
    with pytest.raises(ValueError, match=r"on an interval, got cells \(4, 4\)"):
        Sorption(Cells((4, 4), (1.0, 1.0)), 0.1, Ground())


def test_initial_states_are_the_published_numbers() -> None:
    """Of group 0000, and of another by numpy's legacy stream."""
    reaction, sorption = ReactionData(), SorptionData()
    state = reaction.start(np.random.RandomState(0))
    assert state.shape == (1, 2, 128, 128)
    assert float(state[0, 0, 0, 0]) == pytest.approx(1.76405, abs=5e-6)
    assert float(state[0, 0, 1, 0]) == pytest.approx(0.40016, abs=5e-6)  # x comes first
    drawn = np.random.RandomState(3).randn(2, 128, 128)
    other = reaction.start(np.random.RandomState(3))[0].numpy()
    np.testing.assert_array_equal(other, drawn.transpose(0, 2, 1))
    assert float(sorption.start(np.random.RandomState(0))[0, 0, 7]) == pytest.approx(
        0.10976, abs=5e-6
    )


@pytest.mark.parametrize(
    "data",
    [
        ReactionData(points=16, time=0.5, frames=5, simulations=2),
        SorptionData(points=64, time=50.0, frames=5, simulations=2),
    ],
    ids=lambda data: data.name,
)
def test_samples_are_the_solution_from_their_published_start(
    data: ReactionData | SorptionData, tmp_path: Path
) -> None:
    (path,) = generate(replace(data, out=tmp_path))
    read = store.read(path)
    assert read.seed.tolist() == [0, 1] and len(read.time) == 6
    assert (read.quality["finite"] == 1).all() and (read.quality["step_error"] < 1e-3).all()
    start = torch.cat([data.start(np.random.RandomState(seed)) for seed in (0, 1)])
    dt = data.time / 5 / math.ceil(data.time / 5 * data.fastest)
    solver: Explicit = data.solver(dt)
    found = solver.march(start, start[:, :0], round(data.time / dt))
    for channel, field in enumerate(data.units):
        kept = read.fields[field].values
        np.testing.assert_array_equal(kept[:, 0], start[:, channel].float().numpy())
        exact = found[:, channel].numpy()
        assert np.linalg.norm(kept[:, -1] - exact) < 3e-3 * np.linalg.norm(exact)


def test_the_square_reaches_from_minus_one_to_one() -> None:
    x, y = ReactionData().site.places
    assert float(x[0, 0]) == float(y[0, 0]) == -1 + 1 / 128
    assert float(x[-1, 0]) == 1 - 1 / 128 and float(x[0, 5]) == float(x[0, 0])
