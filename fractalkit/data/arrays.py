"""Clouds as NumPy files; pickles are never loaded."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np

from fractalkit.data.columns import RawCloud, check_count, from_columns, from_named, unit_colours
from fractalkit.errors import DataError, first_line

_POINTS = ("points", "xyz", "pos", "positions", "vertices", "cloud", "arr_0")
_COLOURS = ("colours", "colors", "rgb", "color", "colour")
_NORMALS = ("normals", "normal")
_FACES = ("faces", "triangles")
# errors of zipfile and of NumPy's header reader, which uses Python's tokenizer, on damaged archives
ARCHIVE_ERRORS = (
    zipfile.BadZipFile, ValueError, TypeError, EOFError, KeyError, NotImplementedError, RuntimeError, OverflowError,
    SyntaxError, TokenError, zlib.error,
)  # fmt: skip


def read_npy(path: Path, *, max_points: int) -> RawCloud:
    """Read ``[N, 2]``, ``[N, 3]``, ``[N, C]`` with colours or normals, an organised ``[H, W, C]``, or named fields.

    Raises:
        DataError: any other array, or more than ``max_points`` points; the caller adds the file's name.
    """
    try:
        # memory mapping allocates nothing for a header that promises more than the file holds
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError, SyntaxError, TypeError, TokenError) as error:
        raise DataError(f"is not a NumPy array of numbers ({first_line(error)}); save it with numpy.save") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError("is a NumPy archive; name it .npz")
    return _cloud(array, max_points, "NumPy array")


def read_npz(path: Path, *, max_points: int) -> RawCloud:
    """Read an archive with ``points`` (xyz, pos, vertices, or its only array) and optional colours, normals, faces.

    Raises:
        DataError: no such array, or one that is damaged or too large; the caller adds the file's name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {n.removesuffix(".npy"): n for n in archive.namelist() if n.endswith(".npy")}
            key = _first_of(_POINTS, names) or (next(iter(names)) if len(names) == 1 else None)
            if key is None:
                raise DataError(f"has no array named points (found: {', '.join(names)[:80] or 'none'}); rename one")
            raw = _cloud(read_member(archive, names[key], max_points), max_points, "NumPy archive")
            extra = {
                what: read_member(archive, names[found], 8 * max_points)
                for what, keys in (("colours", _COLOURS), ("normals", _NORMALS), ("faces", _FACES))
                if (found := _first_of(keys, names)) is not None
            }
    except DataError:
        raise
    except ARCHIVE_ERRORS as error:
        raise DataError(f"is not a NumPy archive of numbers ({first_line(error)}); save it with numpy.savez") from None
    if "colours" in extra:
        raw.colours = unit_colours(_triples(extra["colours"], "colours", len(raw.points)))
    if "normals" in extra:
        raw.normals = _triples(extra["normals"], "normals", len(raw.points)).astype(np.float32)
    if "faces" in extra:
        raw.triangles = _faces(extra["faces"])
    return raw


def _first_of(keys: tuple[str, ...], names: dict[str, str]) -> str | None:
    return next((k for k in keys if k in names), None)


def _triples(value: np.ndarray, what: str, points: int) -> np.ndarray:
    """First three columns of an array with one row per point."""
    if value.ndim != 2 or len(value) != points or value.shape[1] < 3:
        raise DataError(f"has {what} of shape {list(value.shape)} for {points:,} points; give [N, 3]")
    return value[:, :3]


def _faces(faces: np.ndarray) -> np.ndarray:
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        raise DataError(f"has faces of shape {list(faces.shape)} and type {faces.dtype}; give integers [M, 3]")
    return faces.astype(np.int64)


def read_member(archive: zipfile.ZipFile, name: str, max_rows: int) -> np.ndarray:
    """Read one array of an archive; its header is checked against the size of the member before memory is allocated."""
    info = archive.getinfo(name)
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise DataError(f"array {name}: holds Python objects, which are never loaded; save numbers")
        count = int(np.prod(shape, dtype=object)) if shape else 1
        if count * dtype.itemsize > info.file_size or (shape and shape[0] > max_rows):
            raise DataError(f"array {name}: its header promises {count:,} values, more than are there or allowed")
        data = file.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise DataError(f"array {name}: is cut off; save it again")
    flat = np.frombuffer(data, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _cloud(array: np.ndarray, max_points: int, kind: str) -> RawCloud:
    if array.dtype.names:
        columns = {n: np.asarray(array[n]).reshape(-1) for n in array.dtype.names if array.dtype[n].kind in "fiu"}
        check_count(array.size, max_points)
        raw = from_named(columns)
    else:
        if array.dtype.kind not in "fiu":
            raise DataError(f"holds {array.dtype}, but a cloud needs real numbers; convert it first")
        if array.ndim < 2 or not 2 <= array.shape[-1] <= 64:
            hint = "; transpose it" if array.ndim == 2 and array.shape[0] in (2, 3) else ""
            raise DataError(
                f"has shape {list(array.shape)}, but a cloud needs [N, 2] or [N, 3]{hint or '; reshape it'}"
            )
        check_count(array.size // array.shape[-1], max_points)
        raw = from_columns(np.array(array).reshape(-1, array.shape[-1]), kind="npy")
    raw.kind = kind
    return raw
