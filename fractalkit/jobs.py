"""Map a function over many items: in processes on this machine, or on a Dask cluster.

Items are independent and their outputs are renamed into place, so an item can be repeated at any time: if a worker
dies, its unfinished items are submitted again.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, current_process
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

from fractalkit.errors import DataError, FractalKitError, UsageError, first_line
from fractalkit.interrupts import later

TRIES = 3  # attempts at an item whose worker died
NO_GUARD = 77  # exit code of a worker that was told to start workers before its own work
UNGUARDED = (
    "workers: each of them runs your script again up to this call; put the script's work under "
    "`if __name__ == '__main__':`, or ask for jobs=1"
)


def map_items(
    function: Callable[[Any], Any], items: Sequence[Any], *, jobs: int | None = None, cluster: str | None = None
) -> Iterator[tuple[int, Any]]:
    """Yield (index, result) of each item as it completes, in any order; an error raised by FractalKit is a result.

    Args:
        function: importable by name, as are the types of its results.
        jobs: number of processes; None for one per core, 1 to work in this process.
        cluster: address of a Dask scheduler, such as tcp://10.0.0.1:8786.

    Raises:
        UsageError: the cluster cannot be reached, or Dask is not installed.
        DataError: an item killed its worker several times.
    """
    if cluster is not None:
        yield from _over_cluster(function, items, cluster)
        return
    jobs = min(jobs or os.cpu_count() or 1, len(items))
    if getattr(current_process(), "_inheriting", False):
        sys.exit(NO_GUARD)  # the script that starts these workers is being run again in one of them
    if jobs <= 1:
        for i, item in enumerate(items):
            yield i, attempt(function, item)
        return
    yield from _over_processes(function, items, jobs)


def attempt(function: Callable[[Any], Any], item: Any) -> Any:
    """Return the result, or the error if it comes from FractalKit or the system."""
    if _stopped:
        raise KeyboardInterrupt
    try:
        return function(item)
    except (FractalKitError, OSError, MemoryError) as error:
        return error


class _Context(SpawnContext):
    """Starts processes and keeps them, so that the exit codes of those that die at once can be read too."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        self.started.append(SpawnProcess(*args, **options))
        return self.started[-1]


def _over_processes(function: Callable[[Any], Any], items: Sequence[Any], jobs: int) -> Iterator[tuple[int, Any]]:
    waiting = dict.fromkeys(range(len(items)), 0)  # index of an item: times that its pool broke
    while waiting:
        context = _Context()
        pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_handle_interrupts)
        try:
            with blocked_interrupts():
                running = {pool.submit(attempt, function, items[i]): i for i in list(waiting)}
            for future in as_completed(running):
                i = running[future]
                result = future.result()
                del waiting[i]
                yield i, result
        except BrokenProcessPool:
            if any(worker.exitcode == NO_GUARD for worker in context.started):
                raise UsageError(UNGUARDED) from None
            # the pool does not tell which item it was, so all that were not done are tried again, with one process less
            _count_tries(waiting)
            jobs = max(1, jobs - 1)
        except BaseException:
            # Ctrl-C, or the caller stopped iterating: interrupt the items being worked on, which then clean up
            _interrupt(set(active_children()).intersection(context.started))
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _count_tries(waiting: dict[int, int]) -> None:
    for i in waiting:
        waiting[i] += 1
        if waiting[i] >= TRIES:
            raise DataError(f"item {i + 1}: its process died {TRIES} times; check if memory ran out") from None


def _interrupt(children: set[BaseProcess]) -> None:
    for child in children:
        if child.pid is not None and hasattr(signal, "pthread_sigmask"):
            os.kill(child.pid, signal.SIGINT)


_stopped = False  # in a worker: whether SIGINT was received


def _handle_interrupts() -> None:
    """Set up a new worker: SIGINT ends the current item and all later ones, without a traceback."""

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
def blocked_interrupts() -> Iterator[None]:
    """Block SIGINT: processes started here receive it once they unblock it, this process after the ``with`` block."""
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
            f"--cluster {address}: no scheduler answers ({first_line(error)}); start one with `dask scheduler`"
        ) from None
    with client, client.as_current():
        futures = {}
        for i, item in enumerate(items):
            futures[client.submit(attempt, function, item, pure=False, retries=TRIES)] = i
        for future in completed(list(futures)):
            try:
                yield futures[future], future.result()
            except Exception as error:  # Dask's own error for a worker that died repeatedly
                yield futures[future], DataError(f"item {futures[future] + 1}: {first_line(error)}")
