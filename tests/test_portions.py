"""Portions: many samples are the same however many threads draw them."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from physgen.portions import in_portions
from physgen.progress import Progress, Silent
from physgen.testbeds import source


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def walk(count: int, generator: torch.Generator) -> Tensor:
    assert count <= 7
    return torch.randn(count, 4, generator=generator).cumsum(1)


def test_threads_change_nothing(threads: None) -> None:
    many = in_portions(walk, 40, 7, source(), Silent())
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)
    assert torch.equal(in_portions(walk, 40, 7, source(), Silent()), many)
    assert many.unique(dim=0).shape == (40, 4)


def test_the_first_of_many_are_those_of_few() -> None:
    many = in_portions(walk, 40, 7, source(), Silent())
    assert torch.equal(in_portions(walk, 14, 7, source(), Silent()), many[:14])


def test_each_thread_works_alone(threads: None) -> None:
    def counted(count: int, generator: torch.Generator) -> Tensor:
        return torch.full((count,), torch.get_num_threads())

    assert in_portions(counted, 20, 5, source(), Silent()).unique().tolist() == [1]


def test_an_error_in_a_portion_is_raised(threads: None) -> None:
    def broken(count: int, generator: torch.Generator) -> Tensor:
        raise FloatingPointError("not finite")

    with pytest.raises(FloatingPointError, match="not finite"):
        in_portions(broken, 20, 5, source(), Silent())
    assert torch.get_num_threads() == 3


def test_progress_ends_at_the_whole() -> None:
    class Heard(Progress):
        shares: tuple[float, ...] = ()

        def stage(self, what: str) -> None:
            pass

        def share(self, done: float) -> None:
            self.shares += (done,)

    heard = Heard()
    in_portions(walk, 20, 6, source(), heard)
    assert heard.shares == (0.3, 0.6, 0.9, 1.0)
