r"""Annealed importance sampling: over a bridge from a known density, weighted on the way.

Samples of :math:`p_0` are carried over densities :math:`p_{\beta_k} \propto p_0^{1 - \beta_k}
p_1^{\beta_k}`: at each the weight takes up the change of density where the sample is, and then a
kernel moves it. Where the kernel tests its moves,

.. math:: \log w = \sum_k (\beta_k - \beta_{k-1}) [\log p_1 - \log p_0](x_k).

Where it does not (:class:`physgen.kernel.UnadjustedHMC`, :class:`physgen.kernel.ULA`), the weight
takes up what the test would have judged by as well, :math:`\sum_k -\Delta H_k`. That is uncorrected
Hamiltonian annealing: nothing is rejected, a long way keeps its momentum, and the mean weight
is right for any number of steps of any size. In both, the mean weight estimates the normaliser
without bias, and the mean of its logarithm is a lower bound on that of the normaliser, which
rises with the number of steps.

To anneal over levels of noise, or to resample on the way, see :func:`physgen.sampler.anneal`.

References:
    Annealed Importance Sampling (Neal, 2001), https://arxiv.org/abs/physics/9803008.
    MCMC Variational Inference via Uncorrected Hamiltonian Annealing (Geffner & Domke, 2021),
    https://arxiv.org/abs/2107.04150.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from physgen.density import Bridge, Drawable, check_normalised
from physgen.energy import SAMPLES, Energy, check_count
from physgen.kernel import Chain, Kernel, check_weighable
from physgen.shapes import Sample
from physgen.weighted import Weighted


@dataclass(frozen=True)
class Crossing:
    """What came over a bridge."""

    drawn: Weighted
    """Samples of the target by their weights, with its normaliser."""
    bound: float
    """Lower bound on the log normaliser, the mean log weight: close to it where all went well,
    and minus infinity if a sample has no weight."""
    acceptance: tuple[float, ...]
    """Mean over samples at each step; one where moves are not tested."""
    lost: int
    """Samples that a move took off the finite numbers. They stand where they were before it,
    without weight: make moves smaller."""


@torch.no_grad()
def cross(
    base: Drawable,
    target: Energy,
    kernel: Kernel,
    shares: Sequence[float],
    count: int,
    generator: torch.Generator,
    moves: int = 1,
) -> Crossing:
    """Carry samples from a density that is known to one that is wanted, and weigh them.

    Arguments:
        base: Where samples begin; wider than the target is best.
        target: The clean density wanted, not necessarily normalised.
        kernel: How to move at each step; sizes in units of one, as for a density without levels.
        shares: The target's part at each step, rising from 0 to 1.
        count: Samples.
        generator: Source of chance.
        moves: At each step.

    Raises:
        ValueError: shares that do not rise from 0 to 1, a base whose mass is not one, no samples, or
            a kernel whose moves are neither tested nor accounted for.
        FloatingPointError: weights are not finite.
    """
    check_weighable(kernel)
    check_shares(shares)
    check_normalised(base)
    check_count(count, SAMPLES)
    check_count(moves, "moves")
    if shares[0] != 0:
        raise ValueError(f"a bridge begins with the share 0, got {shares[0]}")
    z = base.sample(count, generator)
    log_weight = torch.zeros(count, dtype=z.dtype, device=z.device)
    lost = torch.zeros(count, dtype=torch.bool, device=z.device)
    momentum: Sample | None = None
    acceptance = []
    for before, share in itertools.pairwise(shares):
        here = Bridge(base, target, share)
        log_weight = log_weight - (share - before) * here.rise(z)
        chain: Chain = kernel.init(here, z, 1.0)._replace(momentum=momentum)
        accepted = torch.zeros_like(log_weight)
        for _ in range(moves):
            chain, info = kernel.step(chain, here, 1.0, generator)
            accepted = accepted + info.accepted
            if info.owed is not None:
                log_weight = log_weight + info.owed
        acceptance.append(accepted.mean().item() / moves)
        away = ~chain.z.isfinite().flatten(1).all(1)
        lost = lost | away | log_weight.isnan()
        log_weight = log_weight.masked_fill(lost, -torch.inf)
        wide = away.view(-1, *[1] * (z.ndim - 1))
        z, momentum = torch.where(wide, z, chain.z), chain.momentum
        if momentum is not None:
            momentum = momentum.masked_fill(wide, 0.0)
    if not log_weight.max().isfinite():
        raise FloatingPointError("no weight is finite: try smaller moves")
    return Crossing(
        Weighted(z, log_weight), log_weight.mean().item(), tuple(acceptance), int(lost.sum())
    )


def check_shares(shares: Sequence[float]) -> None:
    """Refuse parts of a target that do not rise to one."""
    rising = all(before < after for before, after in itertools.pairwise(shares))
    if len(shares) < 2 or not rising or shares[0] < 0 or shares[-1] != 1:
        raise ValueError(f"shares must rise to 1 from 0 or above, got {list(shares)}")
