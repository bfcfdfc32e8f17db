"""PNG files written row by row: a poster of any size in the memory of a few rows."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from fractalkit.errors import DataError, UsageError
from fractalkit.files import atomic_path
from fractalkit.render.png import SIGNATURE, check_key

MAX_SIDE = (1 << 31) - 1  # of the format
LEVEL = 2  # of zlib: smooth pictures, differenced, shrink well at once
PIECE = 1 << 20  # bytes of one chunk of pixels, about


class PngRows:
    """A PNG of 8-bit grey or RGB that is given its rows from the top; it appears whole or not at all.

    Rows are differenced with the one above (filter Up), and packed fast rather than well.

    Args:
        width, height: pixels, 1 to 2^31 - 1.
        channels: 1 for grey, 3 for RGB.
        text: as in :func:`fractalkit.render.png.save_png`.
        level: of zlib, 0 to 9; low is fast.

    Raises:
        UsageError: such a size or key cannot be, or rows of another shape.
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
        self,
        path: str | Path,
        width: int,
        height: int,
        *,
        channels: int = 1,
        text: Mapping[str, str] | None = None,
        level: int = LEVEL,
    ) -> None:
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise UsageError(f"{path}: a PNG has 1 to {MAX_SIDE:,} pixels a side, not {width:,} x {height:,}")
        if channels not in (1, 3):
            raise UsageError(f"{path}: expected 1 or 3 channels, got {channels}")
        self.path, self.shape, self.done = Path(path), (height, width, channels), 0
        self._texts = [_itxt(key, value) for key, value in (text or {}).items()]
        self._packer = zlib.compressobj(level)
        self._above = np.zeros((1, width * channels), np.uint8)

    def __enter__(self) -> PngRows:
        self._atomic = atomic_path(self.path)
        temporary = self._atomic.__enter__()
        try:
            self._file = temporary.open("wb")
            height, width, channels = self.shape
            self._file.write(SIGNATURE)
            self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0))
            for data in self._texts:
                self._chunk(b"iTXt", data)
        except OSError as error:
            self._leave(error)
        return self

    def write(self, rows: np.ndarray) -> None:
        """The next rows: uint8 ``[n, W]`` or ``[n, W, 3]``."""
        height, width, channels = self.shape
        want = (width,) if channels == 1 else (width, channels)
        if rows.dtype != np.uint8 or rows.shape[1:] != want or self.done + len(rows) > height:
            raise UsageError(f"{self.path}: rows {rows.dtype} {list(rows.shape)} do not fit a picture of {self.shape}")
        flat = rows.reshape(len(rows), -1)
        each = max(1, PIECE // (width * channels + 1))
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
        if error is None and self.done < self.shape[0]:
            error = UsageError(f"{self.path}: got {self.done:,} rows of {self.shape[0]:,}")
            self._file.close()
            self._atomic.__exit__(type(error), error, None)
            raise error
        if error is None:
            try:
                self._pixels(self._packer.flush())
                self._chunk(b"IEND", b"")
                self._file.close()
            except OSError as failed:
                self._leave(failed)
            self._atomic.__exit__(None, None, None)
            return
        self._close()
        self._atomic.__exit__(kind, error, trace)

    def _pixels(self, data: bytes) -> None:
        if data:
            self._chunk(b"IDAT", data)

    def _chunk(self, kind: bytes, data: bytes) -> None:
        try:
            self._file.write(struct.pack(">I", len(data)) + kind)
            self._file.write(data)
            self._file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    def _close(self) -> None:
        with contextlib.suppress(OSError):  # what could not be flushed goes with the temporary file
            self._file.close()

    def _leave(self, error: OSError) -> None:
        self._close()
        wrapped = DataError(f"{self.path}: cannot be written ({error.strerror or error})")
        with contextlib.suppress(DataError):
            self._atomic.__exit__(type(wrapped), wrapped, None)
        raise wrapped from error


def _itxt(key: str, value: str) -> bytes:
    """The content of a packed text chunk: key, method, no language, no translated key, text."""
    check_key(key)
    return key.encode("latin-1") + b"\0\1\0\0\0" + zlib.compress(value.encode("utf-8"))
