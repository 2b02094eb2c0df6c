"""Many pieces of work of one kind, each by one thread, as many at a time as torch has threads.

Work of many small operations, such as a flow solver's steps on coarse grids, is done by processes:
threads of one process wait for its interpreter between any two operations. On two cores, judging four
pairs of airfoils with 16 cells a chord took 20 s by processes, 43 s by threads, and 64 s of the
processors for the latter in place of 34 s.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Item = TypeVar("Item")
Result = TypeVar("Result")
Tell = Callable[[float], None]
"""Told the share that is done."""


def silent(share: float) -> None:
    """Tell nobody."""


def each(
    work: Callable[[Item], Result], items: Sequence[Item], tell: Tell = silent
) -> list[Result]:
    """What work makes of every item, in their order, by processes where that is possible.

    A process is a copy of this one at the time of the call, so work need not be known to others;
    what it changes stays in the copy, and only what it returns comes back. Where a process cannot
    be copied (other systems than Linux, a machine with a GPU, a process that itself is such a
    copy), threads do it.

    Arguments:
        work: Returns tensors, other values that can be sent, or tuples of these. It may be called
            for several items at the same time, and must not run compiled code of several threads.
        items: What it is called with.
        tell: Told the share that is done.

    Raises:
        RuntimeError: a process ended before its work.
    """
    count = min(torch.get_num_threads(), len(items))
    if count < 2 or not _copies():
        return threaded(work, items, tell)
    return _told(_by_copies(work, items, count), len(items), tell)


def threaded(
    work: Callable[[Item], Result], items: Sequence[Item], tell: Tell = silent
) -> list[Result]:
    """The same by threads of this process, for work of few large operations."""
    threads = torch.get_num_threads()
    count = max(1, min(threads, len(items)))
    try:
        with ThreadPoolExecutor(count, initializer=_alone) as pool:
            return _told(pool.map(work, items), len(items), tell)
    finally:
        torch.set_num_threads(threads)


def _told(found: Iterator[Result], count: int, tell: Tell) -> list[Result]:
    results: list[Result] = []
    for result in found:
        results.append(result)
        tell(len(results) / count)
    return results


def _copies() -> bool:
    """Whether this process may be copied.

    Where torch sees a GPU, its first gradient starts threads that a copy lacks and waits for.
    """
    return (
        sys.platform == "linux"
        and torch.cuda.device_count() == 0
        and not multiprocessing.current_process().daemon
        and multiprocessing.parent_process() is None
    )


def _alone() -> None:
    """What this thread or process does, it does by itself."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _by_copies(
    work: Callable[[Item], Result], items: Sequence[Item], count: int
) -> Iterator[Result]:
    sys.stdout.flush()
    sys.stderr.flush()
    seen: dict[str | tuple[str, type[Warning], int], int] = {}
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of copies of processes with threads, such as those of progress bars,
            # and JAX, where it is loaded, of any; no work here touches it.
            warnings.filterwarnings("ignore", "This process", DeprecationWarning)
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            context = multiprocessing.get_context("fork")
            # What a copy begins with is not sent, but was there when it was made.
            pool = ProcessPoolExecutor(count, context, _begin, (work, items))
            with pool:
                for done in pool.map(_do, range(len(items))):
                    for one in done.warned:
                        warnings.warn_explicit(*one, registry=seen)
                    if done.error is not None:
                        raise done.error
                    yield _each(done.result, _Sent, _received)
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker process ended before its work, perhaps for want of memory: "
            "try with fewer threads (OMP_NUM_THREADS)"
        ) from error


@dataclass(frozen=True)
class _Sent:
    """A tensor on its way: shared by open files, as torch sends it, there might be too many."""

    values: NDArray[np.uint8]
    dtype: torch.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Done:
    """What came of an item."""

    result: Any
    error: Exception | None
    warned: tuple[tuple[str, type[Warning], str, int], ...]


_work: Callable[[Any], Any]
_items: Sequence[Any]


def _begin(work: Callable[[Any], Any], items: Sequence[Any]) -> None:
    """A copy begins, and ends with the process that it is a copy of."""
    global _work, _items
    _work, _items = work, items
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
    # Another thread may have held the streams' locks when the copy was made, as progress bars do.
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", 1) for number in (1, 2))
    _alone()


def _do(index: int) -> _Done:
    """One item, by a copy."""
    result, error = None, None
    with warnings.catch_warnings(record=True) as seen:
        try:
            result = _each(_work(_items[index]), Tensor, _send)
        except Exception as raised:  # noqa: BLE001 (raised again where the work was asked for)
            error = raised
    warned = tuple((str(one.message), one.category, one.filename, one.lineno) for one in seen)
    return _Done(result, error, warned)


def _send(tensor: Tensor) -> _Sent:
    flat = tensor.detach().reshape(-1)
    return _Sent(flat.view(torch.uint8).numpy(), tensor.dtype, tuple(tensor.shape))


def _received(sent: _Sent) -> Tensor:
    flat = torch.from_numpy(sent.values).view(sent.dtype)
    return flat.view(sent.shape)


def _each(part: Any, kind: type, change: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """The same with everything of a kind in it changed."""
    if isinstance(part, kind):
        return change(part)
    if not isinstance(part, tuple):
        return part
    changed = [_each(one, kind, change) for one in part]
    return type(part)(*changed) if hasattr(part, "_fields") else tuple(changed)
