"""Bayesian optimisation, by botorch (extra ``baselines``): a search that thinks before it asks."""

# pyright: reportMissingImports=false
import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.search import Found, Objective

try:
    from botorch.acquisition.logei import qLogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Normalize, Standardize
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood
except ImportError as error:
    raise ImportError(
        "Bayesian optimisation needs botorch: pip install -c constraints.txt 'physgen[baselines]'"
    ) from error


def optimise(
    objective: Objective,
    start: Float[Tensor, "problem first variable"],
    bound: float,
    rounds: int,
    together: int,
    seed: int,
) -> Found:
    """One search for every problem: a Gaussian process of all designs asked so far, and next those
    of the largest expected improvement, several at a time.

    The process is botorch's own (a radial kernel whose lengths grow with the number of variables,
    Hvarfner et al., 2024, https://arxiv.org/abs/2402.02229), the improvement's logarithm that of
    Ament et al., 2023, https://arxiv.org/abs/2310.20708.

    Arguments:
        objective: The cost of rows of variables.
        start: Designs that are asked first, of similar scales in all variables.
        bound: Variables are searched from minus this to this.
        rounds: How often the process is asked.
        together: Designs for each answer.
        seed: Of the search.
    """
    asked = start.double().clamp(-bound, bound)
    problems, first = asked.shape[:2]
    costs = objective(asked.flatten(0, 1)).double().view(problems, first)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # botorch draws from the global source.
        torch.manual_seed(seed)
        warnings.simplefilter("ignore")
        for _ in range(rounds):
            following = torch.stack(
                [_next(x, y, bound, together) for x, y in zip(asked, costs, strict=True)]
            )
            found = objective(following.flatten(0, 1)).double().view(problems, together)
            asked, costs = torch.cat([asked, following], 1), torch.cat([costs, found], 1)
    least, where = costs.min(1)
    design = asked[torch.arange(problems), where]
    return Found(design.to(start), least.to(start), first + rounds * together)


def _next(
    asked: Float[Tensor, "design variable"],
    costs: Float[Tensor, " design"],
    bound: float,
    together: int,
) -> Float[Tensor, "together variable"]:
    """What to ask next of one problem."""
    variables = asked.shape[1]
    box = asked.new_tensor([[-bound], [bound]]).expand(2, variables).contiguous()
    with torch.enable_grad():
        model = SingleTaskGP(
            asked,
            -costs[:, None],
            input_transform=Normalize(variables, bounds=box),
            outcome_transform=Standardize(1),
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        better = qLogExpectedImprovement(model, best_f=(-costs).max())
        found, _ = optimize_acqf(better, box, together, num_restarts=4, raw_samples=128)
    chosen: Tensor = found.detach()
    return chosen
