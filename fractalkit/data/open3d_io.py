"""Open3D, kept at arm's length: imported late, and made silent."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from fractalkit.errors import FractalKitError

_HINT = "install what it misses: apt-get install libgl1 libegl1 libgomp1 libx11-6 libusb-1.0-0"


def import_open3d() -> ModuleType:
    """Import Open3D, with the libusb that the package ``libusb-package`` carries where the system has none.

    Raises:
        FractalKitError: it cannot be imported even so; the message names the system's packages.
    """
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
    # Open3D brings an older TBB into the process, of which Numba would complain before it turns to the next layer
    os.environ.setdefault("NUMBA_THREADING_LAYER_PRIORITY", "omp workqueue tbb")
    if "numba" in sys.modules:
        sys.modules["numba"].config.THREADING_LAYER_PRIORITY = ["omp", "workqueue", "tbb"]
    return o3d


@contextmanager
def silent_stdout() -> Iterator[None]:
    """Send what C++ code prints to file descriptor 1 nowhere: standard output is for data."""
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
