"""Images of samples: all are as likely, and Gaussians know it, held to moments over every image."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from physgen.principal import Principal
from physgen.symmetry import Ring, Symmetry, Torus, cosines, wave_numbers, waves


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def on_a_torus() -> Tensor:
    x = torch.randn(30, 2, 8, 8, generator=generator())
    x[:, 1] = 0.5 * x[:, 0] + 0.2 * x[:, 1].roll(1, 1)
    return x


def on_a_ring() -> Tensor:
    x = torch.randn(60, 1, 6, 8, generator=generator())
    return x + x.roll(1, 2) + 0.5 * x.roll(1, 3)


def of_a_torus(x: Tensor) -> Iterator[Tensor]:
    for flipped, across, turned in itertools.product((False, True), repeat=3):
        y = -x.flip(2) if flipped else x
        y = -y.mT if across else y
        y = y.flip(2, 3) if turned else y
        for far in itertools.product(range(8), repeat=2):
            yield y.roll(far, (2, 3))


def of_a_ring(x: Tensor) -> Iterator[Tensor]:
    for far in range(8):
        yield x.roll(far, 3)
        yield -x.flip(3).roll(far, 3)


CASES = {
    "torus": (Torus(), on_a_torus(), list(of_a_torus(on_a_torus())), (2, 3)),
    "ring": (Ring(), on_a_ring(), list(of_a_ring(on_a_ring())), (24,)),
}
every_law = pytest.mark.parametrize("name", list(CASES))


def test_waves_are_orthonormal_and_have_their_periods() -> None:
    line = waves(8)
    torch.testing.assert_close(line.mT @ line, torch.eye(8, dtype=torch.float64))
    amplitude = torch.fft.fft(line, dim=0).abs()
    assert (amplitude[wave_numbers(8), torch.arange(8)] > 0.9).all()


def test_cosines_are_orthonormal_and_change_sign_as_often_as_their_number() -> None:
    line = cosines(9)
    torch.testing.assert_close(line.mT @ line, torch.eye(9, dtype=torch.float64))
    assert [int((wave[1:] * wave[:-1] < 0).sum()) for wave in line.mT[:4]] == [0, 1, 2, 3]


@every_law
def test_a_gaussian_has_the_moments_of_samples_and_all_their_images(name: str) -> None:
    symmetry, x, images, kept = CASES[name]
    law = symmetry.fitted(x, kept)
    whole = torch.stack(images).double().flatten(0, 1).flatten(1)
    moments = whole.mT @ whole / len(whole)
    basis = torch.block_diag(*law.bases).double()
    among = basis.mT @ moments @ basis
    torch.testing.assert_close(law.covariance.double(), among, atol=1e-5, rtol=1e-4)
    inside = torch.stack([part.sum() for part in among.diagonal().split(law.sizes)])
    over = moments.diagonal().view(law.fields, -1).sum(1) - inside
    beyond = law.bases[0].shape[0] - torch.tensor(law.sizes)
    torch.testing.assert_close(law.rest.double(), over / beyond, atol=1e-5, rtol=1e-4)


def same(first: Principal, second: Principal) -> None:
    for one, other in zip(first.bases, second.bases, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    torch.testing.assert_close(first.covariance, second.covariance)
    torch.testing.assert_close(first.rest, second.rest)


@every_law
def test_a_gaussian_is_what_its_file_makes_of_it(name: str) -> None:
    symmetry, x, _, kept = CASES[name]
    law = symmetry.fitted(x, kept)
    same(symmetry.principal(symmetry.tensors(law), tuple(x.shape[2:])), law)


@every_law
def test_images_that_are_drawn_are_all_images_of_their_samples(name: str) -> None:
    symmetry, x, images, _ = CASES[name]
    one = torch.stack([image[0] for image in images])
    source, met = generator(1), set()
    for _ in range(40):
        drawn = symmetry.drawn(x[:1].expand(40, *x.shape[1:]), source)
        apart = (drawn[:, None] - one).flatten(2).norm(dim=2)
        assert (apart.min(1).values < 1e-6).all()
        met |= set(apart.argmin(1).tolist())
    assert len(met) > 0.9 * len(images)
    assert (symmetry.mean(x) == 0).all()


@pytest.mark.parametrize(
    ("symmetry", "kept", "said"),
    [
        (Torus(), (2, 4), "from 1 to 3 periods"),
        (Torus(), (0, 3), "from 1 to 3 periods"),
        (Ring(), (60,), "fewer than 56 components, got 60"),
    ],
)
def test_more_than_a_grid_can_show_is_refused(
    symmetry: Symmetry, kept: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        symmetry.fitted(torch.randn(20, len(kept), 8, 8, generator=generator()), kept)
