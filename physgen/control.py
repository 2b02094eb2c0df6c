r"""Control: a frozen prior told something new, such as where a boundary is.

A trained network :math:`F` is kept as it is. Beside it runs a copy of it, the branch, which also
sees the control :math:`c`, and what the branch says is added:

.. math:: F_c(z) = F(z; \Theta) + Z_2\, F\bigl(z + Z_1 c;\; \Theta'\bigr)

:math:`Z_1` and :math:`Z_2` mix channels at each place, and begin as zero: an untrained control
changes nothing, bit for bit, and gradients reach the branch as soon as :math:`Z_2` has moved.
Only the branch is trained, so little data does, and without a control the prior is what it was.

References:
    Adding Conditional Control to Text-to-Image Diffusion Models (Zhang et al., 2023),
    https://arxiv.org/abs/2302.05543, equations 2 and 3, around the network as a whole.
"""

import copy

from jaxtyping import Float
from torch import Tensor, nn

from physgen.preconditioned import Preconditioned
from physgen.shapes import PerSample, Sample

Control = Float[Tensor, "batch control *space"]
"""What a prior is told of each sample; vectors have no space."""


class Branched(nn.Module):
    """A network that stays as it is, and a copy of it that sees a control.

    Arguments:
        network: Trained; called with samples whose second axis is that of channels.
        channels: Of a sample.
        controls: Channels of a control, on the places of the sample.
    """

    def __init__(self, network: nn.Module, channels: int, controls: int) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.branch = copy.deepcopy(network).requires_grad_(True)
        self.enter = _nothing(controls, channels)
        self.leave = _nothing(channels, channels)

    def forward(self, x: Sample, condition: PerSample, control: Control) -> Sample:
        told = x + _mixed(self.enter, control)
        added = _mixed(self.leave, self.branch(told, condition))
        out: Sample = self.network(x, condition) + added
        return out


def _nothing(inside: int, outside: int) -> nn.Linear:
    layer = nn.Linear(inside, outside)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _mixed(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear map of the second axis, the same at all places."""
    out: Tensor = layer(x.movedim(1, -1)).movedim(-1, 1)
    return out


def controlled(prior: Preconditioned, channels: int, controls: int) -> Preconditioned:
    """A model to be trained by :class:`~physgen.preconditioned.Denoising`, given controls.

    It is called with noisy samples, their levels and their controls; the prior is copied.
    ``Learned(model, control)`` is then the denoiser of one control, or of one for each sample.

    Raises:
        TypeError: the prior is no such network, but a term made of one or a flow.
    """
    if not isinstance(prior, Preconditioned):
        raise TypeError(
            f"a control is a branch beside a Preconditioned network, got a {type(prior).__name__}"
        )
    return Preconditioned(Branched(prior.network, channels, controls), prior.sigma_data)
