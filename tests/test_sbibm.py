"""Simulators of a published benchmark, and the draws that are shipped of its posteriors."""

import runpy
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from physgen.checkpoint import load_tensors
from physgen.testbeds import source
from physgen.testbeds.quality import judge_draws, told_apart
from physgen.testbeds.sbibm import PROBLEMS, TABLE, Normal, Prior, Problem, Uniform, reference


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_likelihood_is_that_of_the_simulator(problem: Problem) -> None:
    """Ratios of normalised likelihoods have the mean one over data of one of them."""
    here = problem.prior.inside(problem.prior.sample(1, source(3)))
    step = torch.zeros_like(here)
    step[0, :2] = torch.tensor([-1.0, 1.0])  # along the crescents' edge: beyond is no support
    there = here + (0.006 if problem.name == "two_moons" else 0.2) * step
    data = problem.simulate(here.expand(40_000, -1), source(4))
    surprise = torch.vmap(problem.surprise, in_dims=(None, 0))
    ratio = (surprise(here, data) - surprise(there, data)).exp()
    assert ratio.std() > 0.05
    assert (ratio.mean() - 1).abs() < 4 * ratio.std() / len(ratio) ** 0.5


@pytest.mark.parametrize("prior", [Uniform(1, 3.0), Normal(1, 0.1)], ids=["uniform", "normal"])
def test_a_prior_is_normalised_and_drawn_from(prior: Prior) -> None:
    z = torch.linspace(-30, 30, 20_001)[:, None]
    density = (-prior.energy(z, 0.0)).exp()
    assert torch.trapezoid(density, z[:, 0]).item() == pytest.approx(1, abs=1e-5)
    variance = torch.trapezoid(z.square()[:, 0] * density, z[:, 0]).item()
    drawn = prior.sample(20_000, source(1))
    assert drawn.var().item() == pytest.approx(variance, rel=0.05)
    expected = 3.0 if isinstance(prior, Uniform) else 0.1
    assert prior.inside(drawn).var().item() == pytest.approx(expected, rel=0.05)


def test_neighbours_tell_what_moments_do_not() -> None:
    """Crescents and the Gaussian of their moments; the same crescents, blurred by a fifth."""
    draws = reference("two_moons", 1).draws
    right, other = draws[:500], draws[500:1000]
    noise = torch.randn(other.shape, generator=source(1))
    alike = right.mean(0) + noise @ torch.linalg.cholesky(right.T.cov()).mT
    assert judge_draws(alike, right, 1.0).spread == pytest.approx(1, abs=0.1)
    assert told_apart(alike, right) > 0.85
    assert told_apart(other + 0.2 * other.std(0) * noise, right) > 0.75
    assert told_apart(other, right) == pytest.approx(0.5, abs=0.06)


@pytest.mark.skipif(find_spec("sbibm") is None, reason="the extra sbi is not installed")
def test_the_table_is_a_part_of_the_benchmark_s_files() -> None:
    path = Path(__file__).parent.parent / "benchmarks" / "references.py"
    spec = find_spec("sbibm")
    assert spec is not None and spec.submodule_search_locations
    tasks = Path(spec.submodule_search_locations[0]) / "tasks"
    again, (shipped, _) = runpy.run_path(str(path))["collect"](tasks), load_tensors(TABLE)
    assert again.keys() == shipped.keys()
    assert all(torch.equal(again[name], shipped[name]) for name in shipped)


def test_an_observation_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="got 4 of slcp"):
        reference("slcp", 4)
