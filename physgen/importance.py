r"""Importance sampling: samples of one density, weighted, stand for another.

With :math:`x_i \sim q` and :math:`w_i = \tilde p(x_i) / q(x_i)`, for an unnormalised
:math:`\tilde p = Z p`, the mean weight estimates :math:`Z` without bias, and
:math:`\sum w_i f(x_i) / \sum w_i` estimates :math:`E_p f` with a bias of order :math:`1/n`. All is
well as long as :math:`q` is wider than :math:`p`; where it is not, weights have a heavy tail, which
:attr:`physgen.weighted.Weighted.tail` measures.
"""

import torch

from physgen.density import Drawable, check_normalised
from physgen.energy import SAMPLES, Energy, check_count
from physgen.weighted import Weighted


@torch.no_grad()
def importance(
    term: Energy, proposal: Drawable, count: int, generator: torch.Generator
) -> Weighted:
    """Draw from the proposal, and weigh.

    Arguments:
        term: The clean density wanted, not necessarily normalised.
        proposal: Drawn from; wider than the density wanted.
        count: Samples.
        generator: Source of chance.

    Raises:
        ValueError: the mass of the proposal is not one, or no samples are wanted.
        FloatingPointError: a weight is not a number or infinite, or none is positive.
    """
    check_normalised(proposal)
    check_count(count, SAMPLES)
    x = proposal.sample(count, generator)
    log_weight = proposal.energy(x, 0.0) - term.energy(x, 0.0)
    wrong = log_weight.isnan() | (log_weight == torch.inf)
    if wrong.any():
        raise FloatingPointError(
            f"{int(wrong.sum())} of {count} weights are not finite: are the energies defined "
            "wherever the proposal draws?"
        )
    if not log_weight.max().isfinite():
        raise FloatingPointError(f"none of {count} draws has any weight: move the proposal")
    return Weighted(x, log_weight)
