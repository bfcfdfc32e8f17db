"""Delay Ctrl-C while Numba compiles."""

from __future__ import annotations

from _thread import interrupt_main
from threading import Timer
from types import FrameType

LATER = 0.05  # seconds


def later(frame: FrameType | None) -> bool:
    """Whether a handler of SIGINT, called in ``frame``, must wait; if so, schedule another interrupt.

    LLVM calls Python while it compiles. An exception raised there is lost or crashes the process.
    """
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("llvmlite", "numba"):
            again()
            return True
        frame = frame.f_back
    return False


def again() -> None:
    """Interrupt the main thread after a short delay."""
    timer = Timer(LATER, interrupt_main)
    timer.daemon = True
    timer.start()
