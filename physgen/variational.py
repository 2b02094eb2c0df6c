r"""Variational autoencoders: a latent for each sample, and a bound on its density.

A decoder makes samples of latents, :math:`p(x | h) = \mathcal N(G(h), \sigma_x^2)` with
:math:`h \sim \mathcal N(0, I)`, and an encoder guesses latents of samples,
:math:`q(h | x) = \mathcal N(\mu(x), \mathrm{diag}\, e^{\lambda(x)})`. In nats,

.. math:: -\log p(x) \le \mathbb{E}_q[-\log p(x | h)] + \mathrm{KL}(q(h | x) \,\|\, p(h)),

and the bound of :math:`K` weighted draws, :math:`-\log \tfrac1K \sum_k p(x, h_k) / q(h_k | x)`,
lies lower and falls to :math:`-\log p(x)` with :math:`K`.

A sample's own density is an integral over latents and has no closed form; together with its
latent it has one, and :class:`Joint` is that energy. Terms on the sample are added to it where
the sample lies, and chains over both draw from the sum.

References:
    Auto-Encoding Variational Bayes (Kingma & Welling, 2014), https://arxiv.org/abs/1312.6114.
    Importance Weighted Autoencoders (Burda et al., 2016), https://arxiv.org/abs/1509.00519,
    equation 8.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from physgen.density import Drawable
from physgen.kernel import noise_like
from physgen.shapes import Level, PerSample, Sample

Latent = Float[Tensor, "batch latent"]


class Autoencoder(nn.Module):
    """Encoder, decoder and noise, in the form that is trained: call it for the bound in nats.

    Arguments:
        encoder: Of flat samples; says mean and log variance of each latent entry.
        decoder: Of latents; says the mean of each entry of a flat sample.
        latent: Entries of a latent.
        shape: Of a sample, without the batch.
        std: Standard deviation of what the decoder leaves open at first; it is learned.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        latent: int,
        shape: tuple[int, ...],
        std: float = 0.5,
    ) -> None:
        super().__init__()
        if not std > 0:
            raise ValueError(f"the standard deviation must be positive, got {std}")
        self.encoder = encoder
        self.decoder = decoder
        self.latent = latent
        self.shape = shape
        self.log_std = nn.Parameter(torch.tensor(math.log(std)))

    def draw(self, x: Sample, generator: torch.Generator) -> tuple[Sample, Latent]:
        """Data, and the noise of a latent for each."""
        size = (len(x), self.latent)
        return x, torch.randn(size, generator=generator, dtype=x.dtype, device=x.device)

    def encode(self, x: Sample) -> tuple[Latent, Latent]:
        """Mean and log variance of the latents of samples."""
        mean, log_variance = self.encoder(x.flatten(1)).chunk(2, 1)
        return mean, log_variance

    def decode(self, h: Latent) -> Sample:
        """The mean of the samples of latents."""
        x: Tensor = self.decoder(h)
        return x.view(len(h), *self.shape)

    def joint(self, h: Latent, x: Sample) -> PerSample:
        r""":math:`-\log p(x | h) - \log p(h)`, normalised."""
        error = (x - self.decode(h)).flatten(1)
        square = (error / self.log_std.exp()).square().sum(1) + h.square().sum(1)
        logs = error.shape[1] * self.log_std
        nats: PerSample = square / 2 + logs + (error.shape[1] + self.latent) * HALF_LOG_TAU
        return nats

    def forward(self, x: Sample, noise: Latent) -> PerSample:
        """The bound, with the divergence of the latents in closed form."""
        mean, log_variance = self.encode(x)
        h = mean + (log_variance / 2).exp() * noise
        said = self.joint(h, x) - h.square().sum(1) / 2 - self.latent * HALF_LOG_TAU
        apart = mean.square() + log_variance.exp() - log_variance - 1
        return said + apart.sum(1) / 2

    @torch.no_grad()
    def weighted_bound(self, x: Sample, count: int, generator: torch.Generator) -> PerSample:
        """The bound of so many weighted latents for each sample, in nats.

        Arguments:
            x: Samples.
            count: Latents for each.
            generator: Source of the latents.
        """
        mean, log_variance = self.encode(x)
        repeated = mean.repeat(count, 1)
        noise = noise_like(repeated, generator)
        h = repeated + (log_variance / 2).exp().repeat(count, 1) * noise
        guessed = noise.square().sum(1) / 2 + self.latent * HALF_LOG_TAU
        guessed = guessed + (log_variance.sum(1) / 2).repeat(count)
        log_weight = guessed - self.joint(h, x.repeat(count, *[1] * (x.ndim - 1)))
        return math.log(count) - log_weight.view(count, -1).logsumexp(0)


HALF_LOG_TAU = math.log(math.tau) / 2


def bound(model: Autoencoder, x: Sample, noise: Latent) -> PerSample:
    """The objective of training: what the model makes of a batch."""
    nats: PerSample = model(x, noise)
    return nats


class Joint(Drawable):
    """A sample and its latent as one flat vector, the latent first, with their exact density.

    Terms on the sample are put on ``positions(latent + size)[latent:]``.
    """

    def __init__(self, model: Autoencoder) -> None:
        self.model = model

    def energy(self, z: Sample, s: Level) -> PerSample:
        latent = self.model.latent
        return self.model.joint(z[:, :latent], z[:, latent:].reshape(-1, *self.model.shape))

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Sample:
        like = self.model.log_std
        size = (count, self.model.latent)
        h = torch.randn(size, generator=generator, dtype=like.dtype, device=like.device)
        mean = self.model.decode(h).flatten(1)
        return torch.cat([h, mean + like.exp() * noise_like(mean, generator)], 1)
