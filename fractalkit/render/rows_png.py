"""Write PNG files row by row, in the memory of a few rows."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from fractalkit.errors import UsageError
from fractalkit.files import atomic_path
from fractalkit.raster.png import SIGNATURE, check_key

MAX_SIDE = (1 << 31) - 1  # of the format
LEVEL = 2  # of zlib: smooth pictures, differenced, shrink well at once
PIECE = 1 << 20  # bytes of one chunk of pixels, about


class PngRows:
    """A PNG of 8 or 16 bits that is written from the top row on; the file appears whole or not at all.

    Rows have the filter Up and are compressed fast rather than well.

    Args:
        width, height: pixels, 1 to 2^31 - 1.
        channels: 1 for grey, 3 for RGB, 4 for RGBA.
        text: as in :func:`fractalkit.raster.png.save_png`.
        level: of zlib, 0 to 9; low is fast.
        bits: of a sample, 8 or 16.

    Raises:
        UsageError: a size or a key out of range, or rows of another shape.
        DataError: the file cannot be written.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.png"
    >>> with PngRows(path, 3, 2) as png:
    ...     png.write(np.zeros((1, 3), np.uint8))
    ...     png.write(np.ones((1, 3), np.uint8))
    >>> path.stat().st_size < 100
    True
    """

    def __init__(
        self, path: str | Path, width: int, height: int, *, channels: int = 1, text: Mapping[str, str] | None = None,
        level: int = LEVEL, bits: int = 8,
    ) -> None:  # fmt: skip
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise UsageError(f"{path}: a PNG has 1 to {MAX_SIDE:,} pixels a side, not {width:,} x {height:,}")
        if channels not in (1, 3, 4):
            raise UsageError(f"{path}: expected 1, 3 or 4 channels, got {channels}")
        self.path, self.shape, self.done = Path(path), (height, width, channels), 0
        self._texts = [_itxt(key, value) for key, value in (text or {}).items()]
        self._packer = zlib.compressobj(level)
        self._dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
        self._above = np.zeros((1, width * channels * self._dtype.itemsize), np.uint8)

    def __enter__(self) -> PngRows:
        height, width, channels = self.shape
        with contextlib.ExitStack() as stack:
            self._file = stack.enter_context(stack.enter_context(atomic_path(self.path)).open("wb"))
            self._file.write(SIGNATURE)
            kind = {1: 0, 3: 2, 4: 6}[channels]
            self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * self._dtype.itemsize, kind, 0, 0, 0))
            for data in self._texts:
                self._chunk(b"iTXt", data)
            self._stack = stack.pop_all()
        return self

    def write(self, rows: np.ndarray) -> None:
        """The next rows: uint8 or uint16 ``[n, W]``, or ``[n, W, C]`` for several channels."""
        height, width, channels = self.shape
        want = (width,) if channels == 1 else (width, channels)
        if rows.dtype != self._dtype or rows.shape[1:] != want or self.done + len(rows) > height:
            raise UsageError(f"{self.path}: rows {rows.dtype} {list(rows.shape)} do not fit a picture of {self.shape}")
        flat = rows.reshape(len(rows), -1)
        if flat.dtype != np.uint8:
            flat = flat.astype(">u2").view(np.uint8)
        each = max(1, PIECE // (flat.shape[1] + 1))
        for start in range(0, len(flat), each):
            part = flat[start : start + each]
            lines = np.empty((len(part), part.shape[1] + 1), np.uint8)
            lines[:, 0] = 2
            np.subtract(part[:1], self._above, out=lines[:1, 1:])
            np.subtract(part[1:], part[:-1], out=lines[1:, 1:])
            self._above = part[-1:].copy()
            self._pixels(self._packer.compress(lines.data))
        self.done += len(rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            if self.done < self.shape[0]:
                raise UsageError(f"{self.path}: got {self.done:,} rows of {self.shape[0]:,}")
            self._pixels(self._packer.flush())
            self._chunk(b"IEND", b"")

    def _pixels(self, data: bytes) -> None:
        if data:
            self._chunk(b"IDAT", data)

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + kind)
        self._file.write(data)
        self._file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def _itxt(key: str, value: str) -> bytes:
    """The content of a compressed text chunk: key, method, no language, no translated key, text."""
    check_key(key)
    return key.encode("latin-1") + b"\0\1\0\0\0" + zlib.compress(value.encode("utf-8"))
