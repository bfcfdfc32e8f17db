"""Writing clouds, at once or piece by piece in bounded memory; files appear under their final name when complete."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from fractalkit.data.ply import FLAT
from fractalkit.errors import DataError, UsageError
from fractalkit.files import atomic_path, check_writable

SUFFIXES = (".ply", ".pcd", ".xyz", ".xyzrgb", ".pts", ".txt", ".csv", ".npy")
_TEXT_ROWS = 1 << 16
_RGB = ("red", "green", "blue")


def check_suffix(path: str | Path) -> str:
    """Return the suffix in lower case; a UsageError if no cloud can be written with it."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: cannot write a cloud with this suffix; use {', '.join(s[1:] for s in SUFFIXES)}")
    return suffix


def needs_double(low: np.ndarray, high: np.ndarray) -> bool:
    """Whether a cloud with this bounding box is so far from the origin that float32 would lose its shape."""
    extent = float(np.linalg.norm(high - low))
    return float(np.linalg.norm((low + high) / 2)) > 1000 * extent > 0


class CloudWriter:
    """Write a cloud piece by piece; the file appears when the ``with`` block ends without an error.

    ply: binary little endian, x y z float32 (float64 with ``double``) and red green blue uchar. pcd: binary. xyz,
    xyzrgb, pts, txt, csv: text with 9 (17) digits. npy: ``[N, D]``, or ``[N, D + 3]`` with colours in 0..1.

    Planar clouds get z = 0 in ply, pcd, xyz and pts, because other programs need three coordinates; a comment tells
    :func:`~fractalkit.data.clouds.load_cloud` to drop it (pts has no comments).

    Args:
        path: the suffix decides the format.
        dim: 2 or 3.
        colours: whether pieces come with colours.
        double: float64 coordinates.
        comment: text for the header of ply, pcd, xyz, xyzrgb and txt.

    Raises:
        UsageError: an unknown suffix, or .xyzrgb without colours.
        DataError: a folder that is not writable, or pieces of a wrong shape.

    >>> import tempfile
    >>> with CloudWriter(Path(tempfile.mkdtemp()) / "a.ply", dim=3) as out:
    ...     out.write(np.zeros((5, 3)))
    >>> out.count
    5
    """

    def __init__(
        self, path: str | Path, *, dim: int, colours: bool = False, double: bool = False, comment: str | None = None
    ) -> None:
        self.path, self.dim, self.colours, self.double = Path(path), dim, colours, double
        self.suffix = check_suffix(path)
        if dim not in (2, 3):
            raise UsageError(f"dim: expected 2 or 3, got {dim}")
        if self.suffix == ".xyzrgb" and not colours:
            raise UsageError(f"{path}: xyzrgb needs colours, and this cloud has none; write it as xyz")
        self.comments = [line.strip() for line in (comment or "").splitlines() if line.strip()]
        if dim == 2 and self.suffix in (".ply", ".pcd", ".xyz", ".xyzrgb"):
            self.comments.append(FLAT)
        self.count = 0
        check_writable(self.path)

    def __enter__(self) -> CloudWriter:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._file: BinaryIO = stack.enter_context(temporary.open("wb"))
            self._file.write(self._header())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                # write the number of points, known only now; it does not change the length of the header
                self._file.seek(0)
                self._file.write(self._header())
                self._file.flush()
        except BaseException as late:
            self._stack.__exit__(type(late), late, late.__traceback__)
            raise
        self._stack.__exit__(kind, error, trace)

    def write(self, points: Any, colours: Any = None) -> None:
        """Append points ``[N, D]`` and, where the writer has colours, RGB in 0..1 ``[N, 3]``; arrays or CPU tensors."""
        x = np.asarray(points)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise DataError(f"points: expected [N, {self.dim}], got {list(x.shape)}")
        if (colours is not None) != self.colours:
            raise DataError("colours: expected for every piece or for none")
        rgb = None
        if colours is not None:
            rgb = np.asarray(colours)
            if rgb.shape != (len(x), 3):
                raise DataError(f"colours: expected [{len(x)}, 3], got {list(rgb.shape)}")
        if self.suffix in (".ply", ".pcd"):
            self._file.write(self._table(x, rgb).data if len(x) else b"")
        elif self.suffix == ".npy":
            both = x if rgb is None else np.concatenate([x, rgb.clip(0, 1)], axis=1)
            self._file.write(np.ascontiguousarray(both, dtype=self._float).data if len(x) else b"")
        else:
            for start in range(0, len(x), _TEXT_ROWS):
                part = slice(start, start + _TEXT_ROWS)
                self._file.write(self._text(x[part], None if rgb is None else rgb[part]))
        self.count += len(x)

    # ---- layouts

    @property
    def _float(self) -> str:
        return "<f8" if self.double else "<f4"

    def _table(self, x: np.ndarray, rgb: np.ndarray | None) -> np.ndarray:
        fields: list[tuple] = [(a, self._float) for a in "xyz"]
        if rgb is not None:
            fields += [(c, "u1") for c in _RGB] if self.suffix == ".ply" else [("rgb", "<u4")]
        table = np.zeros(len(x), np.dtype(fields))
        for i, axis in enumerate("xyz"[: self.dim]):
            table[axis] = x[:, i]
        if rgb is not None:
            levels = byte_colours(rgb)
            if self.suffix == ".ply":
                for i, name in enumerate(_RGB):
                    table[name] = levels[:, i]
            else:
                table["rgb"] = levels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
        return table

    def _text(self, x: np.ndarray, rgb: np.ndarray | None) -> bytes:
        number = "%.17g" if self.double else "%.9g"
        if not self.double:
            x = x.astype(np.float32)
        values = x.astype(np.float64)
        flat = self.dim == 2 and self.suffix in (".xyz", ".xyzrgb", ".pts")
        if flat:
            values = np.concatenate([values, np.zeros((len(x), 1))], axis=1)
        formats = [number] * values.shape[1]
        if rgb is not None:
            if self.suffix == ".pts":  # the format has an intensity before the colour
                values, formats = np.concatenate([values, np.ones((len(x), 1))], axis=1), [*formats, "%d"]
            values = np.concatenate([values, byte_colours(rgb)], axis=1)
            formats += ["%d"] * 3
        line = ("," if self.suffix == ".csv" else " ").join(formats) + "\n"
        return ((line * len(values)) % tuple(values.ravel().tolist())).encode()

    def _header(self) -> bytes:
        comments = [c.encode("ascii", "replace").decode()[:4000] for c in self.comments]
        match self.suffix:
            case ".ply":
                text = self._ply_header(comments)
            case ".pcd":
                text = self._pcd_header(comments)
            case ".npy":
                width = self.dim + 3 * self.colours
                text = f"{{'descr': '{self._float}', 'fortran_order': False, 'shape': ({self.count}, {width}), }}"
                return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + f"{text:<117}\n".encode("ascii")
            case ".pts":
                text = f"{self.count:<20d}\n"
            case ".csv":
                text = ",".join([*"xyz"[: self.dim], *(_RGB if self.colours else ())]) + "\n"
            case _:
                text = "".join(f"# {c}\n" for c in comments)
        return text.encode("ascii")

    def _ply_header(self, comments: list[str]) -> str:
        kind = "double" if self.double else "float"
        # the count must stand alone, so a comment pads the header to a constant length
        pad = "." * (20 - len(str(self.count)))
        lines = ["ply", "format binary_little_endian 1.0", *(f"comment {c}" for c in comments), f"comment {pad}"]
        lines += [f"element vertex {self.count}", *(f"property {kind} {a}" for a in "xyz")]
        lines += [f"property uchar {c}" for c in _RGB] if self.colours else []
        return "\n".join([*lines, "end_header"]) + "\n"

    def _pcd_header(self, comments: list[str]) -> str:
        count = f"{self.count:<20d}"
        n, size = 3 + self.colours, "8" if self.double else "4"
        lines = ["# .PCD v0.7 - Point Cloud Data file format", *(f"# {c}" for c in comments), "VERSION 0.7"]
        lines += ["FIELDS x y z" + " rgb" * self.colours, f"SIZE {size} {size} {size}" + " 4" * self.colours]
        lines += ["TYPE F F F" + " U" * self.colours, "COUNT" + " 1" * n, f"WIDTH {count}", "HEIGHT 1"]
        lines += ["VIEWPOINT 0 0 0 1 0 0 0", f"POINTS {count}", "DATA binary"]
        return "\n".join(lines) + "\n"


def byte_colours(rgb: np.ndarray) -> np.ndarray:
    """Convert RGB in 0..1 to uint8, rounded."""
    return np.rint(np.clip(np.nan_to_num(rgb.astype(np.float32)), 0, 1) * 255).astype(np.uint8)


def save_cloud(path: str | Path, points: Any, colours: Any = None, comment: str | None = None) -> None:
    """Write a cloud at once, in float64 if float32 would lose its shape (see :func:`needs_double`).

    Points ``[N, D]`` and colours ``[N, 3]`` in 0..1 are arrays or CPU tensors. Errors as for :class:`CloudWriter`.
    """
    x = np.asarray(points)
    if x.ndim != 2 or x.shape[1] not in (2, 3):
        raise DataError(f"points: expected [N, 2] or [N, 3], got {list(x.shape)}")
    double = len(x) > 0 and needs_double(x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64))
    with CloudWriter(path, dim=x.shape[1], colours=colours is not None, double=double, comment=comment) as out:
        out.write(x, colours)
