"""physgen: HMC, its step size, metric and number of leapfrog steps tuned, the energy compiled."""

import torch

from peers.densities import DENSITIES, Array, answer, asked, precision, regression
from physgen.compiled import Compiled
from physgen.kernel import HMC
from physgen.metric import Dense, Diagonal, Metric
from physgen.sampler import chains
from physgen.tuning import Tuned, tune

KINDS: dict[str, type[Metric]] = {"diagonal": Diagonal, "dense": Dense}
TURN = 0.15
"""How far a move goes, in turns of the widest direction; half of its momentum is kept for the next."""


def density(name: str) -> Compiled:
    if name == "funnel":
        return Compiled(funnel)
    if name == "gaussian":
        matrix = torch.from_numpy(precision())
        return Compiled(lambda z: ((z @ matrix) * z).sum(1) / 2)
    features, labels = map(torch.from_numpy, regression())
    towards = labels @ features

    def regressed(z: torch.Tensor) -> torch.Tensor:
        fit = torch.nn.functional.softplus(z @ features.T).sum(1) - z @ towards
        return fit + z.square().sum(1) / 2

    return Compiled(regressed)


def funnel(z: torch.Tensor) -> torch.Tensor:
    """Neal's, of deviation three, without its normaliser."""
    v, x = z[:, 0], z[:, 1:]
    return ((v / 3).square() + x.square().sum(1) * (-v).exp() + x.shape[1] * v) / 2


def main() -> None:
    torch.set_num_threads(1)
    question = asked()
    term, generator = density(question.density), torch.Generator().manual_seed(0)
    start = 0.5 * torch.randn(question.chains, DENSITIES[question.density], generator=generator)
    tuned: list[Tuned] = []

    def warm() -> None:
        kernel, metric = HMC(0.1, leapfrogs=8, kept=0.5, jitter=0.3), KINDS[question.metric]
        found = tune(term, kernel, start, question.warmup, generator, metric=metric, turn=TURN)
        tuned.append(found)

    def draw() -> tuple[Array, float]:
        kernel = tuned[0].kernel
        drawn = chains(term, kernel, tuned[0].z, 0, question.draws, generator)
        assert isinstance(kernel.kernel, HMC)
        return drawn.z.numpy(), kernel.kernel.leapfrogs

    answer(question, warm, draw)


if __name__ == "__main__":
    main()
