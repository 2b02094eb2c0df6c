r"""Parallel tempering: chains at many temperatures, which trade places.

Chains of :math:`p_{\beta_k} \propto p_0^{1 - \beta_k} p_1^{\beta_k}` run side by side. Hot ones, near
:math:`p_0`, go everywhere; neighbours trade places with the probability
:math:`\min(1, \exp[(\beta_{k+1} - \beta_k)(d_{k+1} - d_k)])`, :math:`d = E_1 - E_0`, which leaves all of
them as they are and lets modes reach the cold chain. Even and odd pairs take turns, so that a
state travels along rather than to and fro. With a base that can be drawn from and the share 0,
the hottest chain is drawn anew each time.

All temperatures of all replicas are one batch. Replicas never see one another.

References:
    Markov Chain Monte Carlo Maximum Likelihood (Geyer, 1991), for the method.
    Non-reversible Parallel Tempering (Syed et al., 2022), https://arxiv.org/abs/1905.02939, for
    the turns and the path from a reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen.bridge import check_shares
from physgen.density import Bridge, Drawable
from physgen.energy import SAMPLES, Energy, check_count
from physgen.kernel import Kernel
from physgen.shapes import Sample


@dataclass(frozen=True)
class Tempered:
    """What the coldest chains went through, and how places were traded."""

    z: Float[Tensor, "draw batch *shape"]
    acceptance: Float[Tensor, " rung"]
    """Of the moves at each share."""
    traded: Float[Tensor, " gap"]
    """How often neighbours traded places when they might: with all about equal, and above a
    fifth, shares are well chosen."""


@torch.no_grad()
def temper(
    base: Energy,
    target: Energy,
    kernel: Kernel,
    shares: Sequence[float],
    start: Sample,
    warmup: int,
    draws: int,
    generator: torch.Generator,
) -> Tempered:
    """Draw from a density of distant modes.

    Arguments:
        base: The hottest density, such as a wide Gaussian, or :class:`physgen.density.Flat`.
        target: The clean density wanted.
        kernel: How all chains move; its size must suit the coldest.
        shares: The target's part at each temperature, rising to 1.
        start: Where all chains of each replica begin.
        warmup: Moves, and trades, that are forgotten.
        draws: Moves that are kept.
        generator: Source of chance.

    Raises:
        ValueError: shares that do not rise to 1, or nothing to be drawn.
        FloatingPointError: a chain is not finite.
    """
    check_shares(shares)
    check_count(len(start), SAMPLES)
    check_count(draws, "draws")
    replicas, rungs = len(start), len(shares)
    ladder = torch.tensor(list(shares), dtype=start.dtype, device=start.device)
    term = Bridge(base, target, ladder.repeat(replicas))
    fresh = isinstance(base, Drawable) and shares[0] == 0
    chain = kernel.init(term, start.repeat_interleave(rungs, 0), 1.0)
    z = torch.empty((draws, *start.shape), dtype=start.dtype, device=start.device)
    accepted, traded = torch.zeros_like(ladder), torch.zeros_like(ladder[1:])
    for i in range(-warmup, draws):
        chain, info = kernel.step(chain, term, 1.0, generator)
        place = chain.z
        if fresh and isinstance(base, Drawable):
            place = place.clone()
            place[::rungs] = base.sample(replicas, generator).to(place)
        rise = term.rise(place).view(replicas, rungs)
        order, swapped = _trade(rise, ladder, i % 2, generator)
        chain = kernel.init(term, place[order], 1.0)._replace(momentum=chain.momentum)
        if i >= 0:
            z[i] = chain.z[rungs - 1 :: rungs]
            accepted += info.accepted.view(replicas, rungs).mean(0)
            traded += swapped
    if not z.isfinite().all():
        raise FloatingPointError("chains left the finite numbers: try a smaller step")
    turns = torch.tensor([len(range(-k % 2, draws, 2)) for k in range(rungs - 1)]).to(ladder)
    return Tempered(z, accepted / draws, traded / turns.clamp(min=1))


def _trade(
    rise: Float[Tensor, "replica rung"],
    ladder: Float[Tensor, " rung"],
    parity: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, " row"], Float[Tensor, " gap"]]:
    """Where each row's state comes from, and the share of replicas that traded at each gap."""
    replicas, rungs = rise.shape
    log_ratio = ladder.diff() * rise.diff(dim=1)
    coin = torch.rand(log_ratio.shape, generator=generator, dtype=rise.dtype, device=rise.device)
    gap = torch.arange(rungs - 1, device=rise.device)
    swap = (coin.log() < log_ratio) & (gap % 2 == parity)
    step = swap.long()
    none = step.new_zeros(replicas, 1)
    move = torch.cat([step, none], 1) - torch.cat([none, step], 1)
    rows = torch.arange(replicas * rungs, device=rise.device).view(replicas, rungs)
    return (rows + move).flatten(), swap.to(rise.dtype).mean(0)
