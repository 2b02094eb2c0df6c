"""Work by several processes or threads is the work of one."""

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from physgen import workers


class Pair(NamedTuple):
    place: Tensor
    number: int


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def root(x: Tensor) -> Pair:
    """With a gradient on the way, as a search has."""
    y = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(y.square().sum() / 2, y)
    return Pair(slope.sqrt(), os.getpid())


@pytest.mark.usefixtures("two_threads")
def test_results_come_back_in_order_from_other_processes_and_progress_is_told() -> None:
    told: list[float] = []
    items = [torch.full((3,), float(k)) for k in range(5)]
    found = workers.each(root, items, told.append)
    for item, pair in zip(items, found, strict=True):
        assert isinstance(pair, Pair)
        torch.testing.assert_close(pair.place, item.sqrt())
    if workers._copies():
        assert os.getpid() not in {pair.number for pair in found}
    assert told == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert torch.get_num_threads() == 2


def test_one_thread_does_it_itself() -> None:
    assert {pair.number for pair in workers.each(root, [torch.ones(2)] * 3)} == {os.getpid()}


@pytest.mark.usefixtures("two_threads")
def test_an_error_and_a_warning_are_those_of_the_work() -> None:
    def refuse(x: int) -> int:
        warnings.warn(f"{x} is odd", UserWarning, stacklevel=2)
        if x > 1:
            raise ValueError(f"{x} is too large")
        return x

    with pytest.warns(UserWarning) as seen, pytest.raises(ValueError, match="3 is too large"):
        workers.each(refuse, [1, 3])
    assert [str(one.message) for one in seen] == ["1 is odd", "3 is odd"]


@pytest.mark.usefixtures("two_threads")
def test_what_comes_back_is_of_the_kind_it_was() -> None:
    def kinds(x: int) -> tuple[Tensor, NDArray[np.float64], str]:
        return torch.full((2, x), True), np.ones(x), "said"

    flags, numbers, word = workers.each(kinds, [1, 2])[1]
    assert flags.dtype == torch.bool and flags.shape == (2, 2)
    assert isinstance(numbers, np.ndarray) and word == "said"


@pytest.mark.usefixtures("two_threads")
def test_two_threads_that_ask_at_once_get_their_own_results() -> None:
    def asked(name: str) -> list[str]:
        return workers.each(lambda x: f"{name}{x}", range(4))

    with ThreadPoolExecutor(2) as pool:
        for name, found in zip("ab", pool.map(asked, "ab"), strict=True):
            assert found == [f"{name}{x}" for x in range(4)]


@pytest.mark.skipif(not workers._copies(), reason="threads do it here")
@pytest.mark.usefixtures("two_threads")
def test_a_process_that_is_stopped_says_so() -> None:
    with pytest.raises(RuntimeError, match="ended before its work"):
        workers.each(lambda x: os._exit(x), [3, 3])
