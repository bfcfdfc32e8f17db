"""Import Open3D on demand and silence its output."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from fractalkit.errors import FractalKitError, UsageError

MISSING = 'needs Open3D, which is not installed; pip install "fractalkit[mesh]"'
_HINT = "install its system libraries: apt-get install libgl1 libegl1 libgomp1 libx11-6 libusb-1.0-0"


def check_open3d(what: str) -> None:
    """Raise a UsageError if Open3D is not installed; ``what`` needs it. Does not import it.

    >>> check_open3d("a mesh")
    """
    if "open3d" not in sys.modules and importlib.util.find_spec("open3d") is None:
        raise UsageError(f"{what} {MISSING}")


def import_open3d(what: str = "this") -> ModuleType:
    """Import Open3D, with libusb from the package ``libusb-package`` if the system has none.

    Raises:
        UsageError: it is not installed; the sentence says that ``what`` needs it, and how to install it.
        FractalKitError: it cannot be imported; the message names the required system packages.
    """
    check_open3d(what)
    try:
        o3d = importlib.import_module("open3d")
    except (ImportError, OSError) as first:
        for name in [n for n in sys.modules if n == "open3d" or n.startswith("open3d.")]:
            del sys.modules[name]
        try:
            libusb = importlib.import_module("libusb_package").get_library_path()
            ctypes.CDLL(str(libusb), mode=ctypes.RTLD_GLOBAL)
            o3d = importlib.import_module("open3d")
        except (ImportError, OSError) as error:
            raise FractalKitError(f"Open3D cannot be imported ({error or first}); {_HINT}") from first
    o3d.utility.set_verbosity_level(o3d.utility.VerbosityLevel.Error)
    # Open3D loads an older TBB, about which Numba would warn before using the next threading layer
    os.environ.setdefault("NUMBA_THREADING_LAYER_PRIORITY", "omp workqueue tbb")
    if "numba" in sys.modules:
        sys.modules["numba"].config.THREADING_LAYER_PRIORITY = ["omp", "workqueue", "tbb"]
    return o3d


@contextmanager
def silent_stdout() -> Iterator[None]:
    """Discard what C++ code prints to file descriptor 1; standard output is for data."""
    sys.stdout.flush()
    kept = os.dup(1)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(sink)
        os.close(kept)
