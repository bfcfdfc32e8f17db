"""A picture without loss, as copies of its own earlier pixels and differences from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from fractalkit.codes.fk_file import CodedElsewhere
from fractalkit.errors import DataError

STRIP = 1 << 22  # pixels of a strip, at most, unless a single row has more


@dataclass(frozen=True, eq=False)
class CopyStrip:
    """Some rows of a picture.

    Attributes:
        source: ``[H, W]`` int32, for each pixel the earlier one that it copies, counted row by row, or -1 for none.
        difference: ``[H, W, C]`` int32, what is added to the copy, or the pixel itself where there is none.

    Raises:
        DataError: a source that is not an earlier pixel, so that the map need not have one fixed point.
    """

    source: np.ndarray
    difference: np.ndarray

    def __post_init__(self) -> None:
        places = np.arange(self.source.size).reshape(self.source.shape)
        if self.difference.shape[:2] != self.source.shape or not ((self.source < places) & (self.source >= -1)).all():
            raise DataError("copies: each pixel must copy an earlier one, or none")


@dataclass(frozen=True)
class CopyCode(CodedElsewhere):
    """A whole picture, in strips of rows, without loss.

    The map of a strip is :class:`fractalkit.maps.copies.CopyMap`; files are written and read by
    :mod:`fractalkit.codec.copies_file`.

    Attributes:
        height, width, channels, depth: of the picture.
        strips: from top to bottom; a sequence that decodes a file's strips on demand will do.
        colours: size of the palette, or 0 if there is none.
        metadata: "icc" and "exif" and others, as bytes.
    """

    codec: ClassVar[str] = "fractalkit.codec.copies_file"

    height: int
    width: int
    channels: int
    depth: int
    strips: Sequence[CopyStrip] = field(repr=False)
    colours: int = 0
    metadata: dict[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.strips) != len(strip_rows(self.height, self.width)):
            raise DataError(f"copies: {len(self.strips)} strips, {len(strip_rows(self.height, self.width))} expected")

    @property
    def rows(self) -> list[tuple[int, int]]:
        """First row of each strip, and the first after it."""
        return strip_rows(self.height, self.width)

    def decode_part(self, part: Any, deblock: bool | None = None) -> np.ndarray:
        """A part of the picture at any size; see :func:`fractalkit.maps.copies.decode_part`."""
        made: np.ndarray = import_module("fractalkit.maps.copies").decode_part(self, part)
        return made

    def summary(self) -> dict[str, Any]:
        """Plain facts: size of the palette, strips, and how many pixels are copies and are right as such."""
        copied = right = 0
        for strip in self.strips:
            copies = strip.source >= 0
            copied += int(copies.sum())
            right += int((copies & ~strip.difference.any(2)).sum())
        pixels = self.height * self.width
        return {
            "colours": self.colours or "many", "strips": len(self.strips),
            "copied pixels": round(copied / pixels, 4), "exact copies": round(right / pixels, 4),
        }  # fmt: skip


def strip_rows(height: int, width: int) -> list[tuple[int, int]]:
    """First row of each strip, and the first after it; strips have about equal heights.

    >>> strip_rows(5000, 4000)
    [(0, 1000), (1000, 2000), (2000, 3000), (3000, 4000), (4000, 5000)]
    """
    count = -(-height // max(1, STRIP // width))
    each = -(-height // count)
    return [(y, min(height, y + each)) for y in range(0, height, each)]
