"""Many pieces of work of one kind, each by one thread, as many at a time as torch has threads.

Work of many small operations, such as a flow solver's steps on coarse grids, is done by processes:
threads of one process wait for its interpreter between any two operations. On two cores, eight
flows of 16 cells a chord took 20 s by processes, 43 s by threads, and 64 s of the processors for
the latter in place of 34 s.
"""

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Item = TypeVar("Item")
Result = TypeVar("Result")

Told = tuple[str, type[Warning], str, int]
"""A warning: text, category, file and line."""


def each(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    tell: Callable[[float], None] = lambda share: None,
) -> list[Result]:
    """What work makes of every item, in their order.

    A process is a copy of this one at the time of the call, so work may be any function; what it
    changes stays in the copy, and only what it returns comes back. Where a process cannot be
    copied (other systems than Linux, a GPU in use, a process that itself is such a copy), threads
    do it.

    Arguments:
        work: Returns tensors, other plain values, or tuples of these; may be called at the same
            time for several items.
        items: What it is called with.
        tell: Told the share that is done.

    Raises:
        RuntimeError: a process ended before its work.
    """
    count = min(torch.get_num_threads(), len(items))
    results: list[Result] = []

    def keep(result: Result) -> None:
        results.append(result)
        tell(len(results) / len(items))

    with _threads_kept():
        if count > 1 and _copies():
            for result in _by_copies(work, items, count):
                keep(result)
        else:
            with ThreadPoolExecutor(max(1, count), initializer=_alone) as pool:
                for result in pool.map(work, items):
                    keep(result)
    return results


def _copies() -> bool:
    """Whether this process may be copied."""
    return (
        sys.platform == "linux"
        and not torch.cuda.is_initialized()
        and not multiprocessing.current_process().daemon
        and multiprocessing.parent_process() is None
    )


@contextmanager
def _threads_kept() -> Iterator[None]:
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _alone() -> None:
    """What this thread or process does, it does by itself."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


_TASK: tuple[Callable[[Any], Any], Sequence[Any]] | None = None
"""What copies of this process are to do."""


def _by_copies(
    work: Callable[[Item], Result], items: Sequence[Item], count: int
) -> Iterator[Result]:
    global _TASK  # noqa: PLW0603: a copy finds its work here, which need not be sent
    _TASK = (work, items)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of copies of processes with threads; torch's wait for work here.
            warnings.filterwarnings("ignore", "This process", DeprecationWarning)
            pool = ProcessPoolExecutor(count, multiprocessing.get_context("fork"), _alone)
            with pool:
                for sent, told in pool.map(_done, range(len(items))):
                    for text, category, file, line in told:
                        warnings.warn_explicit(text, category, file, line)
                    yield _each_tensor(sent, np.ndarray, torch.from_numpy)
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker process ended before its work, perhaps for want of memory: "
            "try with fewer threads (OMP_NUM_THREADS)"
        ) from error
    finally:
        _TASK = None


def _done(index: int) -> tuple[Any, list[Told]]:
    """One item, by a copy."""
    assert _TASK is not None, f"process {os.getpid()} was not told its work"
    work, items = _TASK
    with warnings.catch_warnings(record=True) as seen:
        result = work(items[index])
    told = [(str(one.message), one.category, one.filename, one.lineno) for one in seen]
    # Tensors would be shared by open files, of which there may be too many.
    return _each_tensor(result, Tensor, lambda one: one.detach().numpy()), told


def _each_tensor(part: Any, kind: type, change: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """The same with every tensor in it changed."""
    if isinstance(part, kind):
        return change(part)
    if not isinstance(part, tuple):
        return part
    changed = [_each_tensor(one, kind, change) for one in part]
    return type(part)(*changed) if hasattr(part, "_fields") else tuple(changed)
