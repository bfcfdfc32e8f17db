"""Files of the quadtree codec: settings and three entropy-coded segments a tile, in the container of ``.fk`` files."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

from fractalkit.codec import container
from fractalkit.codec.quadtree_segments import read_planes, write_planes
from fractalkit.codes.quadtree import QuadtreeCode, QuadtreePlane, Settings, Tile, tiles
from fractalkit.errors import DataError


@dataclass(frozen=True)
class CodedPlanes(Sequence[Sequence[QuadtreePlane]]):
    """The planes of all tiles, decoded on demand from their segments.

    Attributes:
        height, width, channels, settings: as in the code.
        segments: ``3 * tiles`` byte strings: all trees and means, then all luma, then all chroma.
    """

    height: int
    width: int
    channels: int
    settings: Settings
    segments: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.segments) // 3

    @overload
    def __getitem__(self, tile: int) -> Sequence[QuadtreePlane]: ...
    @overload
    def __getitem__(self, tile: slice) -> Sequence[Sequence[QuadtreePlane]]: ...
    def __getitem__(self, tile: int | slice) -> Sequence[QuadtreePlane] | Sequence[Sequence[QuadtreePlane]]:
        if isinstance(tile, slice):
            return [self[i] for i in range(*tile.indices(len(self)))]
        n = len(self)
        return read_planes(self.settings, self.channels, self._tiles[tile], self.segments[tile % n :: n])

    @cached_property
    def _tiles(self) -> list[Tile]:
        return tiles(self.height, self.width, self.settings.tile)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Bytes of trees and means, of luma, and of chroma."""
        n = len(self)
        trees, luma, chroma = (sum(map(len, self.segments[k * n : (k + 1) * n])) for k in range(3))
        return trees, luma, chroma


def to_bytes(code: QuadtreeCode) -> bytes:
    """The ``.fk`` file of a code; segments that were read from a file are written unchanged."""
    if isinstance(code.tile_planes, CodedPlanes):
        segments = list(code.tile_planes.segments)
    else:
        made = [write_planes(list(p), code.settings.top, code.settings.bottom) for p in code.tile_planes]
        segments = [parts[k] for k in range(3) for parts in made]
    header = container.Header(
        "quadtree", code.height, code.width, code.channels, code.depth, pack(code.settings), code.metadata,
        version=_version(code.settings),
    )  # fmt: skip
    return container.write(header, segments)


def _version(s: Settings) -> int:
    """The least version of the format that has what the settings ask for."""
    return 4 if s.directed else 3 if any(s.filtered) else 2 if s.copies else 1


def from_bytes(
    data: bytes, name: str = ".fk data", *, max_pixels: int = container.MAX_PIXELS, partial: bool = False
) -> QuadtreeCode:
    """The code of a ``.fk`` file; ``partial`` accepts a truncated one.

    Raises:
        DataError: damaged, truncated, of another codec, or larger than ``max_pixels``; it begins with ``name``.
    """
    header, segments = container.read(data, name, max_pixels=max_pixels, partial=partial)
    if header.codec != "quadtree":
        raise DataError(f"{name}: coded by {header.codec!r}, not by the quadtree codec")
    settings = unpack(header.settings, name)
    if len(segments) != 3 * len(tiles(header.height, header.width, settings.tile)):
        raise DataError(f"{name}: {len(segments)} segments do not fit its tiles; the file is damaged")
    planes = CodedPlanes(header.height, header.width, header.channels, settings, tuple(segments))
    return QuadtreeCode(header.height, header.width, header.channels, header.depth, settings, planes, header.metadata)


def load(path: str | Path, *, max_pixels: int = container.MAX_PIXELS, partial: bool = False) -> QuadtreeCode:
    """Read a ``.fk`` file; options and errors as :func:`from_bytes`."""
    return from_bytes(container.read_file(path), str(path), max_pixels=max_pixels, partial=partial)


def pack(s: Settings) -> bytes:
    """Settings as fifteen bytes."""
    flags = s.half | s.maps[0] << 1 | s.maps[1] << 2 | s.plain << 3 | s.copies << 4
    flags |= s.filtered[0] << 5 | s.filtered[1] << 6 | s.directed << 7
    return struct.pack("<HBBBBB6bH", s.step, flags, s.deblock, s.top, s.bottom, s.grid, *s.shrink, s.tile)


def unpack(data: bytes, name: str) -> Settings:
    """Settings from the bytes of :func:`pack`; a DataError if one is out of range."""
    if len(data) != 15:
        raise DataError(f"{name}: settings of {len(data)} bytes, expected 15; the file is damaged")
    step, flags, deblock, top, bottom, grid, *rest = struct.unpack("<HBBBBB6bH", data)
    if not (step < 4096 and deblock < 16 and 2 <= bottom <= top <= 6 and grid <= 6):
        raise DataError(f"{name}: settings out of range; the file is damaged")
    if rest[6] < 64 or rest[6] % 64:
        raise DataError(f"{name}: tiles of {rest[6]} samples; the file is damaged")
    half, first, second, plain, copies, luma, chroma, directed = (bool(flags >> k & 1) for k in range(8))
    if copies + plain + directed > 1:
        raise DataError(f"{name}: settings that contradict each other; the file is damaged")
    return Settings(
        step, half, deblock, top, bottom, grid, tuple(rest[:6]), rest[6], (first, second), plain, copies,
        (luma, chroma), directed,
    )  # fmt: skip
