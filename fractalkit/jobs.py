"""Many items through one function: in processes of this machine, or over machines on a Dask cluster.

Items are independent and their outputs are renamed into place, so an item may be done anew at any time: where a worker
dies, what it had not finished is handed out again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from fractalkit.errors import DataError, FractalKitError, UsageError

TRIES = 3  # of an item whose worker died


def map_items(
    function: Callable[[Any], Any], items: Sequence[Any], *, jobs: int | None = None, cluster: str | None = None
) -> Iterator[tuple[int, Any]]:
    """(index, result) of each item as it is done, in any order; an error that FractalKit raised is the item's result.

    Args:
        function: importable by its name, as are its results.
        jobs: processes; None for as many as there are cores, 1 to work in this one.
        cluster: address of a Dask scheduler, such as tcp://10.0.0.1:8786.

    Raises:
        UsageError: the cluster cannot be reached, or Dask is not installed.
        DataError: an item killed its worker several times.
    """
    if cluster is not None:
        yield from _over_cluster(function, items, cluster)
        return
    jobs = min(jobs or os.cpu_count() or 1, len(items))
    if jobs <= 1:
        for i, item in enumerate(items):
            yield i, attempt(function, item)
        return
    yield from _over_processes(function, items, jobs)


def attempt(function: Callable[[Any], Any], item: Any) -> Any:
    """The result, or the error where it is one of ours or the system's."""
    try:
        return function(item)
    except (FractalKitError, OSError, MemoryError) as error:
        return error


def _over_processes(function: Callable[[Any], Any], items: Sequence[Any], jobs: int) -> Iterator[tuple[int, Any]]:
    waiting = dict.fromkeys(range(len(items)), 0)
    while waiting:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            running = {pool.submit(attempt, function, items[i]): i for i in list(waiting)}
            try:
                for future in as_completed(running):
                    i = running[future]
                    result = future.result()
                    del waiting[i]
                    yield i, result
            except BrokenProcessPool:
                # which item it was cannot be told; all that were not done are tried again, one fewer at a time
                for i in waiting:
                    waiting[i] += 1
                    if waiting[i] >= TRIES:
                        raise DataError(
                            f"item {i + 1}: its process died {TRIES} times; see if memory ran out"
                        ) from None
                jobs = max(1, jobs - 1)


def _over_cluster(function: Callable[[Any], Any], items: Sequence[Any], address: str) -> Iterator[tuple[int, Any]]:
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError:
        raise UsageError("--cluster: needs Dask; install it with pip install 'fractalkit[cluster]'") from None
    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(
            f"--cluster {address}: no scheduler answers there ({error}); start one with `dask scheduler`"
        ) from None
    with client, client.as_current():
        futures = {}
        for i, item in enumerate(items):
            futures[client.submit(attempt, function, item, pure=False, retries=TRIES)] = i
        for future in completed(list(futures)):
            try:
                yield futures[future], future.result()
            except Exception as error:  # a worker that died again and again: Dask says so in its own class
                yield futures[future], DataError(f"item {futures[future] + 1}: {str(error).splitlines()[0]}")
