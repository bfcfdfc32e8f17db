"""PCD files of the Point Cloud Library: ascii, binary and binary_compressed, organised or not."""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fractalkit.data.columns import RawCloud, check_count, from_named
from fractalkit.data.ply import FLAT, text_table
from fractalkit.errors import DataError

_KINDS = {"F": "f", "I": "i", "U": "u"}
MAX_HEADER_LINES = 200


@dataclass
class PcdHeader:
    """A parsed header; ``row`` is the layout of one point, where a field of several values has a sub-array type."""

    row: np.dtype
    points: int
    data: str
    flat: bool
    organised: bool
    comments: list[str]


def read_header(file: BinaryIO) -> PcdHeader:
    """Read the header, including its DATA line.

    Raises:
        DataError: a line or value that the format does not allow.
    """
    entries, comments = _entries(file)
    row = _layout(entries)
    width, height = _whole(entries, "WIDTH", [0])[0], _whole(entries, "HEIGHT", [1])[0]
    points = _whole(entries, "POINTS", [width * height])[0]
    data = " ".join(entries["DATA"]).lower()
    if data not in ("ascii", "binary", "binary_compressed"):
        raise DataError(f"has PCD data of unknown kind {ascii(data)[:40]}; write it as binary")
    return PcdHeader(row, points, data, FLAT in comments, height > 1 and width > 1, comments)


def _entries(file: BinaryIO) -> tuple[dict[str, list[str]], list[str]]:
    """Words of each header line by its keyword, and the comments."""
    entries: dict[str, list[str]] = {}
    comments: list[str] = []
    for _ in range(MAX_HEADER_LINES):
        line = file.readline(4096).decode("latin-1")
        if not line:
            break
        words = line.split("#")[0].split()
        if line.startswith("#"):
            comments.append(line.lstrip("#").strip())
        if words:
            entries[words[0].upper()] = words[1:]
        if words and words[0].upper() == "DATA":
            break
    if "DATA" not in entries or "FIELDS" not in entries:
        raise DataError("is not a PCD file (no FIELDS or DATA line); check what the file really is")
    return entries, comments


def _layout(entries: dict[str, list[str]]) -> np.dtype:
    """The type of one point, from FIELDS, SIZE, TYPE and COUNT."""
    names = [n.lower() for n in entries["FIELDS"]]
    sizes = _whole(entries, "SIZE", [4] * len(names))
    counts = _whole(entries, "COUNT", [1] * len(names))
    types = entries.get("TYPE", ["F"] * len(names))
    if not len(names) == len(sizes) == len(counts) == len(types):
        raise DataError("has a PCD header whose FIELDS, SIZE, TYPE and COUNT differ in length; it is damaged")
    fields: list[tuple] = []
    for i, (name, size, type_, count) in enumerate(zip(names, sizes, types, counts, strict=True)):
        if type_ not in _KINDS or size not in (1, 2, 4, 8) or (type_ == "F" and size < 4) or not 1 <= count <= 65536:
            raise DataError(f"has an impossible PCD field: {name!a} of type {type_!a}, size {size}, count {count}")
        # "_" is padding and may occur more than once
        label = name if name != "_" and name not in names[:i] else f"_{i}"
        fields.append((label, f"<{_KINDS[type_]}{size}", (count,)) if count > 1 else (label, f"<{_KINDS[type_]}{size}"))
    return np.dtype(fields)


def read_pcd(path: Path, *, max_points: int) -> RawCloud:
    """Read points with colours (rgb, rgba or r g b) and normals.

    Raises:
        DataError: a broken header or body, or more than ``max_points`` points; the caller adds the file's name.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        h = read_header(file)
        left = size - file.tell()
        _check_count(h, left, max_points)
        lost: dict[str, np.ndarray] = {}
        if h.data == "ascii":
            columns = _ascii(file, h, lost)
        elif h.data == "binary":
            table = np.frombuffer(file.read(h.points * h.row.itemsize), h.row)
            columns = {name: table[name] for name in h.row.names or ()}
        else:
            columns = _compressed(file, h, left)
    for name in ("rgb", "rgba"):
        if name in columns and columns[name].ndim == 1:
            columns |= _unpack(columns.pop(name), lost.get(name))
    raw = from_named({n: c for n, c in columns.items() if c.ndim == 1}, flat=h.flat)
    raw.comments = [c for c in h.comments if c and c != FLAT and not c.startswith(".PCD")]
    raw.kind = f"PCD, {h.data.replace('_', ' ')}" + (", organised" if h.organised else "")
    return raw


def _check_count(h: PcdHeader, left: int, max_points: int) -> None:
    """Check the number of points against the bytes ``left`` in the file and the limit."""
    if not h.points:
        raise DataError("holds no points (its header declares 0); export a cloud that has some")
    least = {"ascii": 2 * len(h.row.names or ()), "binary": h.row.itemsize, "binary_compressed": 0}[h.data]
    if h.points * least > left + (h.data == "ascii"):  # the last line of a text may lack its newline
        raise DataError(
            f"declares {h.points:,} points, but only {left:,} bytes are left for them; "
            "the file is cut off or its header is wrong"
        )
    check_count(h.points, max_points)


def _ascii(file: BinaryIO, h: PcdHeader, lost: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns of a text; ``lost`` gets masks of packed colours that are no numbers, as those of an alpha of 255 are."""
    text = io.TextIOWrapper(file, "latin-1")
    try:
        table = text_table(itertools.islice((s for s in text if not s.isspace()), h.points), "points")
    finally:
        text.detach()  # the caller closes the file
    widths = {name: int(np.prod(h.row[name].shape)) for name in h.row.names or ()}
    if len(table) < h.points or table.shape[1] != sum(widths.values()):
        raise DataError(
            f"has {len(table):,} rows of {table.shape[1]} values, but its header declares {h.points:,} of "
            f"{sum(widths.values())}; the file is cut off or its header is wrong"
        )
    columns: dict[str, np.ndarray] = {}
    at = 0
    for name, width in widths.items():
        if h.row[name].shape == ():
            columns[name] = _typed(name, table[:, at], h.row[name])
            if name in ("rgb", "rgba") and np.isnan(table[:, at]).any():
                lost[name] = np.isnan(table[:, at])
        at += width
    return columns


def _typed(name: str, column: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Convert a text column of colours to the type that the field declares; others as they are."""
    if name in ("r", "g", "b") and kind == np.uint8:
        return np.clip(np.nan_to_num(column), 0, 255).astype(np.uint8)
    if name not in ("rgb", "rgba"):
        return column
    if kind.kind != "f":
        return np.nan_to_num(column).astype(np.int64).astype(np.uint32)
    # either the float that shares its bits with the packed colour, or the packed integer itself
    packed = np.nan_to_num(column)
    whole = (packed == np.floor(packed)) & (packed >= 1)
    bits = packed.astype(np.float32).view(np.uint32)
    return np.where(whole, packed.clip(0, 2**32 - 1).astype(np.uint64), bits).astype(np.uint32)


def _compressed(file: BinaryIO, h: PcdHeader, left: int) -> dict[str, np.ndarray]:
    """Decompress LZF-compressed columns, stored field by field."""
    sizes = np.frombuffer(file.read(8), "<u4") if left >= 8 else np.zeros(2, np.uint32)
    packed, plain = int(sizes[0]), int(sizes[1])
    need = h.points * h.row.itemsize
    if left < 8 or packed > left - 8 or plain != need:
        raise DataError(
            f"declares {packed:,} compressed bytes for {plain:,}, but {left - 8:,} are present and {need:,} needed; "
            "the file is cut off or damaged"
        )
    body = lzf(file.read(packed), plain)
    columns: dict[str, np.ndarray] = {}
    at = 0
    for name in h.row.names or ():
        kind = h.row[name]
        columns[name] = np.frombuffer(body, kind, h.points, at)
        at += h.points * kind.itemsize
    return columns


def lzf(packed: bytes, size: int) -> bytes:
    """Decompress LZF data (the format of LibLZF) to exactly ``size`` bytes.

    A control byte c < 32 is followed by c + 1 literal bytes. Any other copies 2 + (c >> 5) bytes, or the next byte plus
    9 if c >> 5 is 7, from 1 + ((c & 31) << 8 | next byte) bytes back.

    Raises:
        DataError: the data does not decompress to that size.

    >>> lzf(bytes([0, 97, 32, 0]), 4)
    b'aaaa'
    """
    out = bytearray()
    at, end = 0, len(packed)
    try:
        while at < end:
            c = packed[at]
            at += 1
            if c < 32:
                out += packed[at : at + c + 1]
                at += c + 1
                continue
            n = c >> 5
            if n == 7:
                n += packed[at]
                at += 1
            n += 2
            back = ((c & 31) << 8 | packed[at]) + 1
            at += 1
            start = len(out) - back
            if start < 0:
                break
            piece = out[start : start + n]
            out += piece if back >= n else (piece * (n // back + 1))[:n]
            if len(out) > size:
                break
    except IndexError:
        pass
    if at != end or len(out) != size:
        raise DataError("has compressed data that cannot be decompressed; the file is damaged")
    return bytes(out)


def _unpack(rgb: np.ndarray, lost: np.ndarray | None) -> dict[str, np.ndarray]:
    """Unpack colours stored as 0xAARRGGBB, in integers or in the bits of a float32; NaN where ``lost`` is true."""
    if rgb.dtype.kind == "f":
        rgb = rgb.astype("<f4").view("<u4")
    bits = rgb.astype(np.int64)
    out = {name: (bits >> s & 255).astype(np.uint8) for name, s in (("red", 16), ("green", 8), ("blue", 0))}
    if lost is None:
        return out
    return {name: np.where(lost, np.nan, c / np.float32(255)) for name, c in out.items()}


def _whole(entries: dict[str, list[str]], key: str, default: list[int]) -> list[int]:
    words = entries.get(key)
    if words is None:
        return default
    if not words or not all(w.isdecimal() and len(w) < 16 for w in words):
        raise DataError(f"has a PCD header whose {key} line is not of integers: {' '.join(words)[:40]!a}")
    return [int(w) for w in words]
