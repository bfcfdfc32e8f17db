"""Ctrl-C at moments at which nothing may be raised."""

from __future__ import annotations

from _thread import interrupt_main
from threading import Timer
from types import FrameType

LATER = 0.05  # seconds


def later(frame: FrameType | None) -> bool:
    """Whether a handler of SIGINT, called in ``frame``, has to wait; if so, it is called again a moment later.

    LLVM calls Python while it compiles. An exception that comes up there is lost, or brings down the process.
    """
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("llvmlite", "numba"):
            again()
            return True
        frame = frame.f_back
    return False


def again() -> None:
    """Interrupt the main thread a moment later."""
    timer = Timer(LATER, interrupt_main)
    timer.daemon = True
    timer.start()
