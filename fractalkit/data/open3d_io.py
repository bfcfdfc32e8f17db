"""Open3D, kept at arm's length: imported late, made silent, its results checked."""

from __future__ import annotations

import ctypes
import importlib
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np

from fractalkit.data.columns import RawCloud, unit_colours
from fractalkit.errors import DataError, FractalKitError

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


def read_glb(path: Path, *, max_points: int) -> RawCloud:
    """A binary glTF 2.0 mesh, through Open3D once its container has been checked.

    Raises:
        DataError: a container that is damaged or that Open3D finds no vertices in; the caller adds the file's name.
    """
    with path.open("rb") as file:
        head = file.read(20)
    size = path.stat().st_size
    if len(head) < 20:
        raise DataError("is too short for a GLB file; export it again")
    magic, version, length, chunk, kind = struct.unpack("<4sIII4s", head)
    if magic != b"glTF" or version != 2 or length != size or kind != b"JSON" or chunk > size - 20:
        raise DataError("is not a whole GLB file of version 2 (its header does not fit its size); export it again")
    with silent_stdout():
        mesh = import_open3d().io.read_triangle_mesh(str(path))
        points = np.array(mesh.vertices, dtype=np.float64)
        triangles = np.array(mesh.triangles, dtype=np.int64)
        colours = np.array(mesh.vertex_colors, dtype=np.float32)
    if not len(points):
        raise DataError("holds no vertices that can be read; export the mesh as PLY or OBJ")
    if len(points) > max_points:
        raise DataError(f"holds {len(points):,} points, more than the {max_points:,} allowed; thin it out first")
    tint = unit_colours(colours) if len(colours) == len(points) else None
    return RawCloud(points, tint, None, triangles if len(triangles) else None, "GLB mesh")
