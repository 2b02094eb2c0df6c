"""The same code on a GPU: it computes there what it does on the processor. Skipped without one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks import airfoil_design
from physgen.design_tasks.airfoil_prior import WEIGHTS, load_prior
from physgen.design_tasks.airfoils import Formations
from physgen.design_tasks.burgers_prior import Architecture
from physgen.design_tasks.burgers_train import BurgersTraining, train_burgers
from physgen.gaussian import GaussianMixture
from physgen.grid import log_snr
from physgen.kernel import HMC
from physgen.predictor import DPMpp2M
from physgen.sampler import chains, sample, unit_noise
from physgen.solvers.bodies import Circle
from physgen.solvers.catalogue import CATALOGUE, Problem
from physgen.solvers.fluid import Fixed, Flow
from physgen.solvers.marching import Course, differentiable
from physgen.solvers.poisson import ConjugateGradients, Direct, PressureSolver
from physgen.solvers.staggered import Grid
from physgen.training import Schedule

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def same(compute: Callable[[torch.device], Tensor], tolerance: float) -> None:
    here, there = compute(CPU), compute(GPU)
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), here, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("pressure", [Direct(), ConjugateGradients()], ids=["direct", "descent"])
def test_a_flow_and_its_forces_are_the_same(pressure: PressureSolver) -> None:
    def forces(device: torch.device) -> Tensor:
        like = torch.zeros(1, dtype=torch.float64, device=device)
        flow = Flow(Grid(64, 48), 0.08, pressure=pressure, clock=Fixed(0.25))
        middle = torch.tensor([[20.0], [24.0]], dtype=torch.float64, device=device)
        course = Course(flow, Circle(middle, 24.3, 5.0), like)
        last = course.march(course.start(), 10.0)
        return torch.cat([last.u.flatten(), last.force.flatten()])

    same(forces, 1e-8)


def test_the_gradient_of_a_force_is_the_same() -> None:
    def gradient(device: torch.device) -> Tensor:
        y = torch.tensor(24.3, dtype=torch.float64, device=device, requires_grad=True)
        flow = Flow(Grid(64, 48), 0.08, clock=Fixed(0.25))
        immersed = flow.immerse(Circle(20.0, y, 5.0), y.detach()[None])
        _, force = differentiable(flow, flow.start(immersed), immersed, 20, 7)
        return torch.autograd.grad(force[0, :, 0].sum(0).sum(), y)[0]

    same(gradient, 1e-8)


@pytest.mark.parametrize("problem", CATALOGUE, ids=lambda problem: problem.name)
def test_an_equation_goes_the_same_way(problem: Problem) -> None:
    start = problem.start(2, torch.Generator().manual_seed(0))
    none = start.new_zeros(2, 0, *start.shape[2:])
    same(lambda device: problem.solver.march(start.to(device), none.to(device), 5), 1e-10)


def test_samples_have_the_moments_of_a_gaussian() -> None:
    generator = torch.Generator(GPU).manual_seed(0)
    mean = torch.tensor([[1.0, -2.0]], device=GPU)
    law = GaussianMixture(torch.ones(1, device=GPU), mean, 0.25 * torch.eye(2, device=GPU)[None])
    start = unit_noise(4000, (2,), generator)
    drawn = sample(law, start, log_snr(30, 0.01, 60.0), DPMpp2M(), generator)
    walked = chains(law, HMC(0.3, leapfrogs=5), start, 20, 5, generator, s=1e-3).z[-1]
    for x in (drawn, walked):
        assert x.device.type == "cuda"
        assert (x.mean(0) - mean[0]).abs().max() < 0.05
        assert (x.std(0) - 0.5).abs().max() < 0.05


def test_a_formation_is_drawn_and_judged() -> None:
    prior = load_prior(WEIGHTS).to(GPU)
    task = Formations()
    drawn = airfoil_design.draw(prior, task, 2, torch.Generator(GPU).manual_seed(0)).airfoils
    assert drawn.x.device.type == "cuda"
    there = task.judge(drawn, 16)
    here = task.judge(Airfoils(*(part.cpu() for part in drawn)), 16)
    torch.testing.assert_close(there.drag.cpu(), here.drag, atol=1e-3, rtol=5e-3)
    torch.testing.assert_close(there.drag_change.cpu(), here.drag_change, atol=1e-2, rtol=0.0)


def test_training_goes_on_a_gpu_and_ends(tmp_path: Path) -> None:
    options = BurgersTraining(
        runs=64,
        schedule=Schedule(steps=2, batch=16),
        network=Architecture(width=32, layers=1),
        out=tmp_path,
    )
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    assert train_burgers(options, lambda steps: lambda step, loss: None).exists()
    assert torch.cuda.max_memory_allocated() > before
