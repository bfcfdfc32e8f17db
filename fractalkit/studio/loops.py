"""Loops that are compiled once: while another process compiles them, the plain twin draws.

The first studio after an installation would show nothing for a quarter of a minute otherwise.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

import fractalkit
from fractalkit.compiled import on_disk
from fractalkit.jobs import blocked_interrupts

PACKAGE = Path(fractalkit.__file__).parent
# modules, and of each the function that is compiled last, "*" for any
PICTURES = ((PACKAGE / "orbit" / "flame_machine.py", "play"), (PACKAGE / "render" / "flame_kernels.py", "colour"))
FITS = tuple((PACKAGE / "fit" / f"{name}.py", "*") for name in ("density_kernels", "kernels", "refine", "search"))
PATIENCE = 5.0  # seconds for which compiling waits for a first picture


def compiled(modules: tuple[tuple[Path, str], ...]) -> bool:
    """Whether the loops of these modules are on the disk."""
    return all(on_disk(*m) for m in modules)


def started(target: Callable[..., Any], *arguments: Any, name: str) -> BaseProcess:
    """A process that has begun; Ctrl-C does not reach it."""
    with blocked_interrupts():
        process = multiprocessing.get_context("spawn").Process(target=target, args=arguments, name=name, daemon=True)
        process.start()
    return process


class Machine:
    """The loop that draws any flame, and those of the tone map.

    Attributes:
        absent: whether it is being compiled, so that pictures are drawn without it.
    """

    def __init__(self) -> None:
        self.absent = False
        self.ready = threading.Event()
        self.shown = threading.Event()  # a picture; compiling waits for it, as it takes a core
        self._process: BaseProcess | None = None

    def take(self) -> None:
        """Load it, or have it compiled in the background."""
        if self.ready.is_set() or self.absent:
            return
        if compiled(PICTURES):
            _load()
            self.ready.set()
        else:
            self.absent = True
            threading.Thread(target=self._wait, name="compiler", daemon=True).start()
            import fractalkit.orbit.flame_plain  # noqa: F401  (brings torch, while the page is loaded)

    def _wait(self) -> None:
        self.shown.wait(PATIENCE)
        with suppress(OSError):
            self._process = started(_load, name="compiler")
            self._process.join()
        _load()  # from the disk now; or compiled here, where the process has died
        self.absent = False
        self.ready.set()

    def close(self) -> None:
        """End the process that compiles."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()


def _load() -> None:
    import fractalkit.orbit.flame_machine  # noqa: F401
    from fractalkit.render.flame_tone import Tone, develop

    look = Tone((4, 4))
    develop(np.zeros((*look.cells, 4), np.float32), look)


MACHINE = Machine()
