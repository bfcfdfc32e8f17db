"""Many items through one function: in processes of this machine, or over machines on a Dask cluster.

Items are independent and their outputs are renamed into place, so an item may be done anew at any time: where a worker
dies, what it had not finished is handed out again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Any

from fractalkit.errors import DataError, FractalKitError, UsageError
from fractalkit.interrupts import later

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
    if _stopped:
        raise KeyboardInterrupt
    try:
        return function(item)
    except (FractalKitError, OSError, MemoryError) as error:
        return error


def _over_processes(function: Callable[[Any], Any], items: Sequence[Any], jobs: int) -> Iterator[tuple[int, Any]]:
    waiting = dict.fromkeys(range(len(items)), 0)
    while waiting:
        others = set(active_children())
        pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_hear_stop)
        try:
            with _deaf():
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
        except BaseException:
            # Ctrl-C, or the caller wants no more: what is being done is left off, and tidies up behind itself
            for child in set(active_children()) - others:
                if child.pid is not None and hasattr(signal, "pthread_sigmask"):
                    os.kill(child.pid, signal.SIGINT)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_stopped = False  # in a worker: that a Ctrl-C was heard


def _hear_stop() -> None:
    """In a new worker: an interrupt ends the item and all that would come after it, without a traceback."""

    def stop(number: int, frame: Any) -> None:
        global _stopped
        if later(frame):
            return
        first, _stopped = not _stopped, True
        while frame is not None:
            if first and frame.f_code is attempt.__code__:
                raise KeyboardInterrupt
            frame = frame.f_back

    signal.signal(signal.SIGINT, stop)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that begin here hear of an interrupt once they ask for it, and this one after the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _over_cluster(function: Callable[[Any], Any], items: Sequence[Any], address: str) -> Iterator[tuple[int, Any]]:
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError:
        raise UsageError("--cluster: needs Dask; install it with pip install distributed") from None
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
