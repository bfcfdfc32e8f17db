"""Delay Ctrl-C while Numba compiles, and in functions that must not stop half-way."""

from __future__ import annotations

from _thread import interrupt_main
from collections.abc import Callable
from threading import Timer
from types import CodeType, FrameType
from typing import TypeVar

LATER = 0.05  # seconds

F = TypeVar("F", bound=Callable)
_whole: set[CodeType] = set()  # code that is not interrupted


def uninterrupted(function: F) -> F:
    """Decorate a short Python function that Ctrl-C must not stop half-way."""
    _whole.add(function.__code__)
    return function


def later(frame: FrameType | None) -> bool:
    """Whether a handler of SIGINT, called in ``frame``, must wait; if so, schedule another interrupt.

    LLVM calls Python while it compiles. An exception raised there is lost or crashes the process.
    """
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if frame.f_code in _whole or package in ("llvmlite", "numba"):
            again()
            return True
        frame = frame.f_back
    return False


def again() -> None:
    """Interrupt the main thread after a short delay."""
    timer = Timer(LATER, interrupt_main)
    timer.daemon = True
    timer.start()
