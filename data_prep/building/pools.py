"""Running a function over many items in several processes, with the results in order.

This module imports no TensorFlow, so that workers start fast.
"""

import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables of the environment by which linear algebra libraries choose their number of threads. In
workers it is one: matrices are small, and threads would only get in each other's way."""


def default_processes() -> int:
    """The number of processors that this process may use."""
    # A container or a batch job may be given fewer processors than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    function: Callable[..., Any], todo: Sequence[Any], arguments: tuple = (), processes: int = 1
) -> Iterator[Any]:
    """Yields `function(item, *arguments)` for every item, in the order of the items.

    Args:
      function: a function of a module, so that other processes find it.
      todo: the items.
      arguments: further arguments of every call.
      processes: how many processes work; with one, this process does all itself.
    """
    if processes <= 1 or len(todo) < 2:
        for item in todo:
            yield function(item, *arguments)
        return
    # Set here and not in the workers: libraries read these variables when they are loaded.
    threads = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(threads, "1"))
    # Not "fork": TensorFlow and the progress bar have threads, and a fork copies their locks as
    # they are.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(min(processes, len(todo)), context)
    try:
        waiting = collections.deque()
        with _blank_main():
            # The first submission starts all processes.
            waiting.append(pool.submit(function, todo[0], *arguments))
        for item in todo[1:]:
            waiting.append(pool.submit(function, item, *arguments))
            # A window, so that finished images do not pile up while shards are written.
            if len(waiting) > 4 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # After Ctrl-C only what is under way is waited for.
        pool.shutdown(cancel_futures=True)
        for name, value in threads.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _blank_main() -> Iterator[None]:
    """Hides the main module from processes started meanwhile.

    A spawned process runs its parent's main module again, and that of `tfds` takes seconds to load
    TensorFlow, which nothing here needs.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
