"""Fits in a process of their own, so that drags are answered meanwhile and a fit can be stopped at once.

The process has a low priority and is kept for the next fit, whose loops it then need not load. It ends with the studio,
and by itself when nothing was asked of it for some minutes. What is sent to it is a :class:`Job`; what comes back are
steps (:class:`FitStep`), and at last a :class:`Done` or a sentence.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from fractalkit.codes.flame import Flame
from fractalkit.errors import DataError, FractalKitError, first_line
from fractalkit.studio.fitting import Hand, Subject, refine, search, subject_of_points
from fractalkit.studio.loops import FITS, compiled, started

IDLE = 600.0  # seconds after which the process ends
NICE = 10
OFTEN = 0.25  # seconds between two codes of a search
LOOK = 0.03  # seconds between looks at the hand
PICTURE = 2.3  # of the subject's diagonal, two, on the shorter side of the picture
DIED = "the process of the fit has ended, perhaps as memory ran out; try again with fewer maps"


@dataclass(frozen=True)
class Job:
    """A fit: of ``maps`` (0: as many as it takes) searched maps, or the refinement of a flame's."""

    subject: Subject
    maps: int = 0
    seed: int = 0
    flame: Flame | None = None


@dataclass(frozen=True)
class FitStep:
    """Where a fit is: a word, the share of the work, and the flame where it is another; no agreement: of a search."""

    word: str
    share: float
    flame: Flame | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class Done:
    """The flame that was found, and its agreement."""

    flame: Flame
    agreement: float


class Fitter:
    """The process, from this side: one fit at a time."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._lock = threading.Lock()
        self._busy = threading.Lock()

    def warm(self) -> None:
        """Begin the process and load the loops of fits, or compile them where they are not; returns at once."""
        if self._process is not None and self._process.is_alive():
            return
        if self._busy.acquire(blocking=False):
            try:
                self._sent(None)
            finally:
                self._busy.release()

    def run(self, job: Job, hand: Hand, heard: Callable[[FitStep], None]) -> Done:
        """Do a fit.

        Args:
            hand: what a page pulls at, which is passed on.
            heard: gets each step, and is called some times a second without one; what it raises ends the process.

        Raises:
            DataError: the fit cannot be done.
            FractalKitError: its process has died.
        """
        with self._busy:
            try:
                heard(FitStep("gets ready" if compiled(FITS) else "compiles its loops, this once", 0.0))
                pipe = self._sent(job)
                while True:
                    if hand.moved():
                        pipe.send(hand.take())
                    if not pipe.poll(LOOK):
                        heard(FitStep("", -1.0))
                        continue
                    got = pipe.recv()
                    if isinstance(got, Done):
                        return got
                    if isinstance(got, str):
                        raise DataError(got)
                    heard(got)
            except (EOFError, OSError):
                self.close()
                raise FractalKitError(DIED) from None
            except DataError:
                raise
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the process."""
        with self._lock:
            process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.kill()
            process.join(5)

    def _sent(self, job: Job | None) -> Connection:
        """Send a job, to a new process where there is none."""
        with self._lock:
            if self._process is None or not self._process.is_alive() or self._pipe is None:
                self._pipe, theirs = multiprocessing.get_context("spawn").Pipe()
                self._process = started(_work, theirs, name="fits")
                theirs.close()
            self._pipe.send(job)
            return self._pipe


# ---- on the other side


class _Pulled(Exception):
    """Somebody pulled at a map of a search that is not over: its maps are refined now."""


class _FarHand(Hand):
    """The hand, as the other process sends it."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self.pipe = pipe

    def take(self) -> tuple[Flame | None, tuple[int, ...]]:
        """The last of what was sent."""
        while self.pipe.poll():
            self.give(*self.pipe.recv())
        return super().take()


def _work(pipe: Connection) -> None:
    """The process's work: jobs one after the other, until the pipe is closed or nothing comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the studio ends it, not Ctrl-C
    with suppress(OSError, AttributeError):
        os.nice(NICE)
    with suppress(EOFError, OSError):
        while pipe.poll(IDLE):
            job = pipe.recv()
            if job is None:
                _load()
            elif isinstance(job, Job):  # else a hand that came late
                pipe.send(_answer(job, pipe))


def _answer(job: Job, pipe: Connection) -> Done | str:
    try:
        return _fit(job, pipe)
    except FractalKitError as error:
        return str(error)
    except (EOFError, OSError):
        raise
    except Exception as error:  # it must not end the process
        return f"unexpected {type(error).__name__}: {first_line(error)}"


def _fit(job: Job, pipe: Connection) -> Done:
    hand = _FarHand(pipe)
    flame, begun = job.flame, 0.0
    if flame is None:
        begun = 0.5
        flame = _searched(job, hand, lambda word, share, now: pipe.send(FitStep(word, begun * share, now)))
        pipe.send(FitStep("refines", begun, flame, 0.0))

    def tell(now: Flame, agreement: float, share: float) -> None:
        pipe.send(FitStep("refines", begun + (1 - begun) * share, now, agreement))

    return Done(*refine(job.subject, flame, hand, tell))


def _searched(job: Job, hand: Hand, say: Callable[[str, float, Flame | None], None]) -> Flame:
    """The flame of a search, or the one that was pulled at while it went on."""
    pulled: list[Flame] = []
    last, word, share = 0.0, "searches", 0.0

    def look() -> None:
        flame, held = hand.take()
        if flame is not None:
            pulled.append(flame)
            hand.give(flame, held)  # for the refinement
            raise _Pulled

    def said(what: str, done: float) -> None:
        nonlocal word, share
        word, share = what, done
        say(word, share, None)
        look()

    def shown(code: Any) -> None:
        nonlocal last
        look()
        if time.monotonic() - last > OFTEN:
            last = time.monotonic()
            say(word, share, framed(code))

    try:
        return framed(search(job.subject, job.maps or "auto", job.seed, said, shown))
    except _Pulled:
        return pulled[-1]


def framed(code: Any) -> Flame:
    """The flame of a code, seen as the page shows the points while it waits."""
    from fractalkit.studio.codes import flame_of_code

    flame = flame_of_code(code)
    if code.dim != 2:
        return flame
    return replace(flame, center=(0.0, 0.0), scale=min(flame.size) / PICTURE)


def _load() -> None:
    """Fit small clouds, so that all loops are loaded, or compiled and kept on the disk."""
    from fractalkit.codes.presets import preset
    from fractalkit.orbit import sample

    for name, maps in (("sierpinski-triangle", 3), ("sierpinski-tetrahedron", 4), ("sierpinski-triangle", 13)):
        code = preset(name)
        x = sample(code, 300, seed=1).points.double().numpy()
        subject = subject_of_points(x)
        if maps == 3:
            refine(subject, framed(code), Hand(), lambda flame, agreement, share: None, steps=1)
            shape = replace(subject, lit=np.ones((24, 24), bool))
            refine(shape, framed(code), Hand(), lambda flame, agreement, share: None, steps=1)
        search(subject, maps, 0, lambda word, share: None, effort=0)
