"""LAS and LAZ (ASPRS LAS 1.0 to 1.4): scans of aeroplanes and of the ground. LAZ needs the package lazrs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fractalkit.data.columns import RawCloud, check_count, keep_points
from fractalkit.errors import DataError, UsageError, first_line

# Length of a point record of each format, and the place of its colour or 0
_LENGTHS = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)
_COLOURS = (0, 0, 20, 28, 0, 28, 0, 30, 30, 0, 30)
_NOISE = (7, 18)  # classes of points that are no part of the scene
_LASZIP = 22204  # identifier of the record that describes the compression
_PIECE = 16 << 20  # bytes that are decompressed at a time
MISSING = 'LAZ files need lazrs, which is not installed; pip install "fractalkit[scan]", or write LAS'


@dataclass
class LasHeader:
    """What the header says: the format of points, the length of their records, their number, place and units."""

    format: int
    compressed: bool
    length: int
    points: int
    start: int
    scale: np.ndarray
    offset: np.ndarray
    laszip: bytes


def read_las(path: Path, *, max_points: int) -> RawCloud:
    """Read positions and colours; points that are classified as noise (classes 7 and 18) are left out.

    Raises:
        DataError: a header that does not fit the file's size, or data that cannot be decompressed; the caller adds
            the file's name.
        UsageError: a LAZ file, where lazrs is not installed.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        h = read_header(file, size)
        check_count(h.points, max_points)
        pieces = _unpacked(file, h, size) if h.compressed else _plain(file, h)
        parts = [_columns(piece, h) for piece in pieces]
    points, classes = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    tints = [part[2] for part in parts if part[2] is not None]
    colours = np.concatenate(tints) if tints else None
    if colours is not None and not colours.any():
        colours = None  # the format has a place for them that the writer left empty
    if colours is not None:  # many writers store 8 bits in the 16
        colours = colours.astype(np.float32) / np.float32(255 if colours.max() <= 255 else 65535)
    raw = RawCloud(points, colours, kind="LAZ" if h.compressed else "LAS")
    kept = ~np.isin(classes, _NOISE)
    if kept.any() and not kept.all():
        keep_points(raw, kept, "points are classified as noise")
    return raw


def read_header(file: BinaryIO, size: int) -> LasHeader:
    """Read the public header block and, of a compressed file, the record that describes the compression.

    Raises:
        DataError: not such a header, or one that a file of this size cannot have.
    """
    head = file.read(375)
    if len(head) < 227 or head[:4] != b"LASF":
        raise DataError("is not a LAS file (it does not begin with LASF); check what the file really is")
    length, start, records, kind, width, points = struct.unpack_from("<HIIBHI", head, 94)
    if head[25] >= 4 and len(head) >= 255 and length >= 255:
        points = struct.unpack_from("<Q", head, 247)[0] or points
    format, compressed = kind & 63, kind >= 64
    if format >= len(_LENGTHS) or width < _LENGTHS[format]:
        raise DataError(f"has points of format {format} in {width} bytes, which LAS does not have; export it again")
    if not points:
        raise DataError("holds no points (its header declares 0); export a cloud that has some")
    if start < length or (not compressed and points * width > size - start) or points > 1000 * size:
        raise DataError(
            f"declares {points:,} points, but only {max(size - start, 0):,} bytes are left for them; "
            "the file is cut off or its header is wrong"
        )
    numbers = np.frombuffer(head, "<f8", 6, 131)
    if not np.isfinite(numbers).all():
        raise DataError("has a header whose scale or offset is not finite; export it again")
    laszip = _laszip(file, length, start, records) if compressed else b""
    return LasHeader(format, compressed, width, points, start, numbers[:3], numbers[3:], laszip)


def _laszip(file: BinaryIO, at: int, end: int, records: int) -> bytes:
    """The contents of the record that describes the compression."""
    for _ in range(min(records, 10_000)):
        file.seek(at)
        head = file.read(54)
        if len(head) < 54 or at + 54 > end:
            break
        identifier, size = struct.unpack_from("<HH", head, 18)
        if identifier == _LASZIP:
            return file.read(size)
        at += 54 + size
    raise DataError("is compressed, but says not how (it lacks the record of LASzip); export it again")


def _plain(file: BinaryIO, h: LasHeader) -> Iterator[np.ndarray]:
    """Records ``[N, length]`` of an uncompressed file, in pieces."""
    file.seek(h.start)
    left, rows = h.points, max(1, _PIECE // h.length)
    while left:
        take = min(rows, left)
        yield np.frombuffer(file.read(take * h.length), np.uint8).reshape(take, h.length)
        left -= take


def _unpacked(file: BinaryIO, h: LasHeader, size: int) -> Iterator[np.ndarray]:
    """Records ``[N, length]`` of a compressed file, in pieces."""
    try:
        import lazrs
    except ImportError:
        raise UsageError(MISSING) from None
    _check_chunks(file, h, size)
    file.seek(h.start)
    left, rows = h.points, max(1, _PIECE // h.length)
    unpack: Any = None
    while left:
        piece = np.zeros((min(rows, left), h.length), np.uint8)
        try:
            if unpack is None:
                if lazrs.LazVlr(h.laszip).item_size() != h.length:
                    raise DataError("describes other points in its record of LASzip than in its header")
                _check_layers(file, h, size, lazrs.read_chunk_table(file, lazrs.LazVlr(h.laszip)))
                file.seek(h.start)
                unpack = lazrs.LasZipDecompressor(file, h.laszip)
            unpack.decompress_many(piece.reshape(-1))
        except DataError:
            raise
        except BaseException as error:  # a panic of Rust is no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise DataError(f"cannot be decompressed ({first_line(error)}); the file is cut off or damaged") from None
        yield piece
        left -= len(piece)


def _check_chunks(file: BinaryIO, h: LasHeader, size: int) -> None:
    """Raise a DataError where the table of chunks is not in the file or is longer than it; lazrs would reserve it."""
    file.seek(h.start)
    at = int.from_bytes(file.read(8), "little", signed=True)
    if at == -1 and size >= 8:  # written by a program that could not go back
        file.seek(size - 8)
        at = int.from_bytes(file.read(8), "little", signed=True)
    chunks = size
    if 0 <= at <= size - 8:
        file.seek(at + 4)
        chunks = int.from_bytes(file.read(4), "little")
    if not h.start + 8 <= at <= size - 8 or chunks > size - at:
        raise DataError("has a damaged table of chunks; the file is cut off, so copy or export it again")


def _check_layers(file: BinaryIO, h: LasHeader, size: int, chunks: list[tuple[int, int]]) -> None:
    """Raise a DataError where a chunk declares layers longer than itself; lazrs would reserve them.

    Chunks of formats 6 to 10 are a point, the number of points, and the length of each layer: 9 of the point, 1 of its
    colour, 1 of its infrared, and 1 for each extra byte.
    """
    if h.format < 6:
        return
    at = h.start + 8
    layers = 9 + (h.format in (7, 8, 10)) + (h.format in (8, 10)) + h.length - _LENGTHS[h.format]
    for _, length in chunks:
        file.seek(at + h.length + 4)
        declared = int(np.frombuffer(file.read(4 * layers), "<u4").sum(dtype=np.uint64))
        if length > size - at or declared > length:
            raise DataError("has a damaged chunk, longer than the file has room for; copy or export it again")
        at += length


def _columns(piece: np.ndarray, h: LasHeader) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Positions ``[N, 3]``, classes ``[N]`` and colours ``[N, 3]`` uint16 or None of records ``[N, length]``."""
    whole = np.ascontiguousarray(piece[:, :12]).view("<i4")
    rgb = None
    if at := _COLOURS[h.format]:
        rgb = np.ascontiguousarray(piece[:, at : at + 6]).view("<u2")
    return whole * h.scale + h.offset, piece[:, 15] & 31 if h.format < 6 else piece[:, 16], rgb
