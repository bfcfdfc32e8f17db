"""Clouds as NumPy files; pickles are never loaded."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np

from fractalkit.data.columns import RawCloud, from_columns, from_named, unit_colours
from fractalkit.errors import DataError

_POINTS = ("points", "xyz", "pos", "positions", "vertices", "cloud", "arr_0")
_COLOURS = ("colours", "colors", "rgb", "color", "colour")
_NORMALS = ("normals", "normal")
_FACES = ("faces", "triangles")
# what zipfile and NumPy's reader of headers, which is Python's own tokenizer, raise at damaged archives
ARCHIVE_ERRORS = (
    zipfile.BadZipFile, ValueError, TypeError, EOFError, KeyError, NotImplementedError, RuntimeError, OverflowError,
    SyntaxError, TokenError, zlib.error,
)  # fmt: skip


def read_npy(path: Path, *, max_points: int) -> RawCloud:
    """An array ``[N, 2]``, ``[N, 3]``, ``[N, C]`` with colours or normals, an organised ``[H, W, C]``, or named fields.

    Raises:
        DataError: another kind of array, or more than ``max_points`` points; the caller adds the file's name.
    """
    try:
        # mapped, so that a header that promises more than the file holds allocates nothing
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError, SyntaxError, TypeError, TokenError) as error:
        raise DataError(f"is not a NumPy array of numbers ({_first(error)}); save it with numpy.save") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError("is a NumPy archive; name it .npz")
    return _cloud(array, max_points, "NumPy array")


def read_npz(path: Path, *, max_points: int) -> RawCloud:
    """An archive with ``points`` (xyz, pos, vertices, or its only array), perhaps ``colours``, ``normals``, ``faces``.

    Raises:
        DataError: no such array, one that is damaged, or too large; the caller adds the file's name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {n.removesuffix(".npy"): n for n in archive.namelist() if n.endswith(".npy")}
            key = next((k for k in _POINTS if k in names), next(iter(names)) if len(names) == 1 else None)
            if key is None:
                raise DataError(f"has no array named points (found: {', '.join(names)[:80] or 'none'}); name it so")
            raw = _cloud(_member(archive, names[key], max_points), max_points, "NumPy archive")
            extra = {}
            for what, keys in (("colours", _COLOURS), ("normals", _NORMALS), ("faces", _FACES)):
                found = next((k for k in keys if k in names), None)
                if found is not None:
                    extra[what] = _member(archive, names[found], 8 * max_points)
    except DataError:
        raise
    except ARCHIVE_ERRORS as error:
        raise DataError(f"is not a NumPy archive of numbers ({_first(error)}); save it with numpy.savez") from None
    for what in ("colours", "normals"):
        if what in extra:
            value = extra[what]
            if value.ndim != 2 or len(value) != len(raw.points) or value.shape[1] < 3:
                raise DataError(f"has {what} of shape {list(value.shape)} for {len(raw.points):,} points; give [N, 3]")
            setattr(raw, what, unit_colours(value[:, :3]) if what == "colours" else value[:, :3].astype(np.float32))
    if "faces" in extra:
        faces = extra["faces"]
        if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
            raise DataError(f"has faces of shape {list(faces.shape)} and type {faces.dtype}; give whole numbers [M, 3]")
        raw.triangles = faces.astype(np.int64)
    return raw


def _member(archive: zipfile.ZipFile, name: str, max_rows: int) -> np.ndarray:
    """One array of the archive; its header is held against its size before anything is allocated."""
    info = archive.getinfo(name)
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise DataError(f"array {name}: holds Python objects, which are not loaded; save numbers")
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
        if columns and len(next(iter(columns.values()))) > max_points:
            raise DataError(f"holds more than the {max_points:,} points allowed; thin it out first")
        raw = from_named(columns)
    else:
        if array.dtype.kind not in "fiu":
            raise DataError(f"holds {array.dtype}, but a cloud is made of real numbers; convert it first")
        if array.ndim < 2 or not 2 <= array.shape[-1] <= 64:
            hint = "; transpose it" if array.ndim == 2 and array.shape[0] in (2, 3) else ""
            raise DataError(f"has shape {list(array.shape)}, but a cloud has [N, 2] or [N, 3]{hint or '; reshape it'}")
        if array.size // array.shape[-1] > max_points:
            raise DataError(f"holds more than the {max_points:,} points allowed; thin it out first")
        raw = from_columns(np.array(array).reshape(-1, array.shape[-1]), kind="npy")
    raw.kind = kind
    return raw


def _first(error: Exception) -> str:
    return str(error).splitlines()[0][:100].encode("ascii", "backslashreplace").decode() if str(error) else "no content"
