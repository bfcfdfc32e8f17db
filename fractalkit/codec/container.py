"""The file of a compressed picture, ``.fk``: one header with a checksum, then segments, each with a checksum.

    8f 46 4b 0a          magic, "FK" with a byte that no text holds before it and a line end behind
    u8 version           1; 2 for quadtrees with copies; 3 for the filter, and for copies that are all but certain;
                         4 for quadtrees with directions
    u8 codec             what the segments are: see CODECS
    varint height, width, channels, depth
    varint n, n bytes    settings of the codec
    varint n, n bytes    metadata, a zlib stream of named byte strings, or nothing
    varint n             segments; then for each: varint length, u32 CRC-32 (little endian, as all numbers)
    u32                  CRC-32 of all before it
    segments             one after the other, nothing behind them

Each segment refines the picture, so a truncated file can still be decoded.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from fractalkit.codec.methods import CODECS
from fractalkit.codes.fk_file import FkFile
from fractalkit.errors import DataError

MAGIC = b"\x8fFK\n"
VERSION = 4
MAX_PIXELS = 1 << 28
MAX_FILE = 1 << 32
MAX_SIDE = 1 << 24
MAX_SETTINGS = 1 << 20
MAX_METADATA = 1 << 24
MAX_SEGMENTS = 1 << 20


@dataclass(frozen=True)
class Header:
    """The header of a file.

    Attributes:
        codec: a value of CODECS.
        height, width: of the picture, in pixels.
        channels: 1 for grey, 3 for RGB, 4 for RGBA.
        depth: bits per sample, 8 or 16.
        settings: settings in the format of the codec.
        metadata: "icc", "exif", "xmp" and "dpi" (two float64, little endian), as bytes.
        segments: (length, CRC-32) of each.
        size: bytes of the header.
    """

    codec: str
    height: int
    width: int
    channels: int
    depth: int
    settings: bytes
    metadata: dict[str, bytes] = field(default_factory=dict)
    segments: tuple[tuple[int, int], ...] = ()
    size: int = 0
    version: int = 1


class FileCode(FkFile):
    """Mixin of the codes whose ``to_bytes`` and ``from_bytes`` are those of a ``.fk`` file."""

    from_bytes: Any

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Self:
        """Read the ``.fk`` file of this codec; options and errors as ``from_bytes``."""
        code: Self = cls.from_bytes(read_file(path), str(path), **options)
        return code


def read_file(path: str | Path) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: it is missing, a folder, or larger than any ``.fk`` file.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file; check the name")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a .fk file in it")
    if path.stat().st_size > MAX_FILE:
        raise DataError(f"{path}: {path.stat().st_size:,} bytes are more than any .fk file has")
    return path.read_bytes()


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.at, self.name = data, 0, name

    def take(self, n: int) -> bytes:
        if self.at + n > len(self.data):
            raise DataError(f"{self.name}: cut off in its header; fetch the file again")
        self.at += n
        return self.data[self.at - n : self.at]

    def varint(self, limit: int, what: str) -> int:
        out = shift = 0
        while True:
            byte = self.take(1)[0]
            out |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift > 35:
                raise DataError(f"{self.name}: damaged header ({what} is no number); fetch the file again")
        if out > limit:
            raise DataError(f"{self.name}: {what} is {out}, more than the {limit} that a .fk file may have")
        return out


def write(header: Header, segments: list[bytes]) -> bytes:
    """The bytes of a file; ``header.segments`` and ``header.size`` are ignored."""
    codec = {name: number for number, name in CODECS.items()}[header.codec]
    out = bytearray(MAGIC + bytes([header.version, codec]))
    for n in (header.height, header.width, header.channels, header.depth):
        out += _varint(n)
    metadata = b""
    if header.metadata:
        plain = b"".join(
            _varint(len(k.encode())) + k.encode() + _varint(len(v)) + v for k, v in sorted(header.metadata.items())
        )
        metadata = zlib.compress(plain, 9)
    for part in (header.settings, metadata):
        out += _varint(len(part)) + part
    out += _varint(len(segments))
    for s in segments:
        out += _varint(len(s)) + struct.pack("<I", zlib.crc32(s))
    out += struct.pack("<I", zlib.crc32(out))
    return bytes(out) + b"".join(segments)


def read_header(source: bytes | BinaryIO, name: str = ".fk data") -> Header:
    """Read the header from bytes or from an open file.

    Raises:
        DataError: not a ``.fk`` file, a newer version, or a damaged header; the message begins with ``name``.
    """
    data = source if isinstance(source, bytes) else source.read(64)
    if len(data) < 4 or data[:4] != MAGIC:
        empty = "empty" if not data else "not a .fk file (its first bytes are others)"
        raise DataError(f"{name}: {empty}; give a file that `fractalkit compress` wrote")
    while True:
        try:
            return _parse(data, name)
        except DataError:
            more = b"" if isinstance(source, bytes) else source.read(len(data))
            if not more or len(data) > MAX_METADATA + 16 * MAX_SEGMENTS:
                raise
            data += more


def _parse(data: bytes, name: str) -> Header:
    r = _Reader(data, name)
    r.take(4)
    version, codec = r.take(2)
    if version > VERSION:
        raise DataError(f"{name}: format version {version}, this FractalKit reads up to {VERSION}; update FractalKit")
    if version == 0 or codec not in CODECS:
        raise DataError(f"{name}: damaged header (codec {codec}, version {version}); fetch the file again")
    height, width = r.varint(MAX_SIDE, "height"), r.varint(MAX_SIDE, "width")
    channels, depth = r.varint(4, "the number of channels"), r.varint(16, "depth")
    settings = r.take(r.varint(MAX_SETTINGS, "the settings' length"))
    packed = r.take(r.varint(MAX_METADATA, "the metadata's length"))
    n = r.varint(MAX_SEGMENTS, "the number of segments")
    segments = tuple((r.varint(1 << 32, "a segment's length"), struct.unpack("<I", r.take(4))[0]) for _ in range(n))
    end = r.at
    if zlib.crc32(data[:end]) != struct.unpack("<I", r.take(4))[0]:
        raise DataError(f"{name}: damaged header (its checksum is wrong); fetch the file again")
    if height < 1 or width < 1 or channels not in (1, 3, 4) or depth not in (8, 16):
        raise DataError(f"{name}: {width} x {height} with {channels} channels of {depth} bits is no picture")
    return Header(
        CODECS[codec], height, width, channels, depth, settings, _metadata(packed, name), segments, r.at, version
    )


def _metadata(packed: bytes, name: str) -> dict[str, bytes]:
    if not packed:
        return {}
    bad = DataError(f"{name}: damaged metadata; fetch the file again")
    try:
        unpack = zlib.decompressobj()
        plain = unpack.decompress(packed, MAX_METADATA)
        if unpack.unconsumed_tail or not unpack.eof:
            raise bad
        r = _Reader(plain, name)
        out: dict[str, bytes] = {}
        while r.at < len(plain):
            key = r.take(r.varint(64, "a name's length")).decode("ascii")
            out[key] = r.take(r.varint(MAX_METADATA, "a value's length"))
    except (zlib.error, UnicodeDecodeError, DataError):
        raise bad from None
    return out


def read(
    data: bytes, name: str = ".fk data", *, max_pixels: int = MAX_PIXELS, partial: bool = False
) -> tuple[Header, list[bytes]]:
    """Read the header and the segments.

    With ``partial``, a truncated file gives the segments that it contains, of which the last one may be truncated.

    Raises:
        DataError: damaged, truncated, data behind the end, or a picture of more than ``max_pixels`` pixels.
    """
    header = read_header(data, name)
    if header.height * header.width > max_pixels:
        raise DataError(
            f"{name}: {header.width} x {header.height} pixels are more than the limit of {max_pixels}; "
            "raise --max-pixels if you trust the file"
        )
    at = header.size
    total = at + sum(n for n, _ in header.segments)
    if len(data) < total and not partial:
        raise DataError(f"{name}: cut off, {len(data)} of {total} bytes; fetch it again, or use --partial")
    if len(data) > total:
        raise DataError(f"{name}: {len(data) - total} bytes too many; fetch the file again")
    out = []
    for i, (n, crc) in enumerate(header.segments):
        part = data[at : at + n]
        at += n
        if len(part) == n and zlib.crc32(part) != crc:
            raise DataError(f"{name}: damaged (checksum of segment {i + 1}); fetch the file again")
        out.append(part)
    return header, out
