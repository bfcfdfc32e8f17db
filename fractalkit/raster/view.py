"""Sizes and windows as users write them: one meaning in every command.

A size is that of the whole output picture: ``1440`` for the longer side, ``1920x1080`` for both, ``4x`` for a multiple
of the original. A window is a part of that picture: ``x0,y0,x1,y1`` in its pixels, or in shares of it with percent
signs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from fractalkit.arguments import whole_number
from fractalkit.errors import UsageError

SizeLike = tuple[int | None, int | None] | int | str | None
WindowLike = tuple[int, int, int, int] | str
MAX_SIDE = 1 << 40  # beyond it, coordinates of neighbouring pixels are rounded to the same number


@dataclass(frozen=True)
class Size:
    """A requested size.

    Attributes:
        kind: "longer", "both" or "times".
        width, height: pixels, or factors.
    """

    kind: str
    width: float
    height: float

    @staticmethod
    def parse(text: str) -> Size:
        """Parse ``N``, ``WxH`` or ``Kx``.

        Raises:
            UsageError: anything else, or a side below 1 or above 2^40 pixels.

        >>> Size.parse("1440"), Size.parse("640x480"), Size.parse("2.5x")
        (Size(kind='longer', width=1440, height=1440), Size(kind='both', width=640, height=480), \
Size(kind='times', width=2.5, height=2.5))
        """
        plain = text.strip().lower().replace("×", "x")
        if plain.endswith("x"):
            factor = _number(plain[:-1])
            if factor is None or not 0 < factor < 1e9:
                raise UsageError(f"--res {text}: expected a factor such as 4x, a side such as 1440, or 1920x1080")
            return Size("times", factor, factor)
        sides = [whole(part) for part in plain.split("x")]
        if not 1 <= len(sides) <= 2 or None in sides:
            raise UsageError(f"--res {text}: expected a factor such as 4x, a side such as 1440, or 1920x1080")
        width, height = sides[0], sides[-1]
        assert width is not None and height is not None
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise UsageError(f"--res {text}: expected sides of 1 to 2^40 pixels")
        return Size("longer" if len(sides) == 1 else "both", width, height)

    def __str__(self) -> str:
        """The size as an option."""
        sides = f"{self.width:g}x" if self.kind == "times" else f"{self.width:.0f}"
        return sides if self.kind != "both" else f"{self.width:.0f}x{self.height:.0f}"

    def pixels(self, original: tuple[float, float] = (1, 1), *, scales: bool = False) -> tuple[int, int]:
        """(width, height) in pixels for an original of a size, or of an aspect where ``scales`` is False.

        Raises:
            UsageError: a multiple where there is no original size, or a result too large.

        >>> Size.parse("1440").pixels((4, 3)), Size.parse("2x").pixels((400, 300), scales=True)
        ((1440, 1080), (800, 600))
        """
        if self.kind == "both":
            return int(self.width), int(self.height)
        if self.kind == "times" and not scales:
            raise UsageError(f"--res {self.width:g}x: a multiple needs an original size; give pixels such as 1440")
        w, h = original
        factor = self.width if self.kind == "times" else self.width / max(w, h)
        width, height = max(1, round(w * factor)), max(1, round(h * factor))
        if max(width, height) > MAX_SIDE:
            raise UsageError("--res: more than 2^40 pixels a side")
        return width, height


def size_in(size: SizeLike, own: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of a size as functions take it.

    Args:
        size: (width, height), of which one may be None to keep the proportions, the longer side, a text as
            :meth:`Size.parse` takes it, or None for ``own``.
        own: (width, height) of the original.

    Raises:
        UsageError: anything else.

    >>> size_in((8, 6), (4, 2)), size_in(8, (4, 2)), size_in("3x", (4, 2)), size_in((8, None), (4, 2))
    ((8, 6), (8, 4), (12, 6), (8, 4))
    """
    if size is None:
        return own
    wrong = UsageError(f"size: expected (width, height), the longer side, or a text such as '4x', got {size!r}")
    if not isinstance(size, str):
        sides: list[Any] = list(size) if isinstance(size, Iterable) else [size]
        if len(sides) == 2 and sides.count(None) == 1:
            k = sides.index(None)
            sides[k] = max(1, round(whole_number("size", sides[1 - k]) * own[k] / own[1 - k]))
        if len(sides) != (2 if isinstance(size, Iterable) else 1) or not all(_is_whole(v) for v in sides):
            raise wrong
        size = "x".join(str(int(v)) for v in sides)
    try:
        return Size.parse(str(size)).pixels(own, scales=True)
    except UsageError as error:
        raise UsageError(str(error).replace("--res", "size", 1)) from None


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and float(value).is_integer()


def window_in(window: WindowLike, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in pixels of a window as functions take it, of a picture of ``size`` (width, height).

    Args:
        window: four whole numbers, or a text as :meth:`Region.parse` takes it.

    Raises:
        UsageError: anything else, or a window that leaves the picture.

    >>> window_in((0, 0, 20, 10), (40, 30)), window_in("50%,50%,100%,100%", (40, 30))
    ((0, 0, 20, 10), (20, 15, 40, 30))
    """
    text = window
    if not isinstance(window, str) and isinstance(window, Iterable) and len(corners := list(window)) == 4:
        if not all(_is_whole(v) for v in corners):
            raise UsageError(f"window: expected whole pixels of the picture at its size, got {window}")
        text = ",".join(str(int(v)) for v in corners)
    if not isinstance(text, str):
        raise UsageError(f"window: expected (left, top, right, bottom) or a text in percent, got {window!r}")
    try:
        return Region.parse(text).pixels(size)
    except UsageError as error:
        raise UsageError(str(error).replace("--window", "window", 1).replace("--res", "the size")) from None


@dataclass(frozen=True)
class Region:
    """A requested window.

    Attributes:
        corners: left, top, right, bottom.
        unit: "pixels", "shares", or "old shares" for fractions without percent signs.
    """

    corners: tuple[float, float, float, float]
    unit: str

    @staticmethod
    def parse(text: str) -> Region:
        """Parse ``x0,y0,x1,y1`` in whole pixels or percentages.

        Raises:
            UsageError: anything else.

        >>> Region.parse("10,20,300,1e3").corners, Region.parse("40%,20%,60%,40%")
        ((10, 20, 300, 1000), Region(corners=(0.4, 0.2, 0.6, 0.4), unit='shares'))
        """
        parts = text.replace(" ", "").split(",")
        percent = all(part.endswith("%") for part in parts)
        numbers = [_number(part.rstrip("%")) for part in parts]
        if len(parts) != 4 or None in numbers or ("%" in text and not percent):
            raise UsageError(
                f"--window {text}: expected x0,y0,x1,y1 in pixels of --res, or all four with a percent sign"
            )
        x0, y0, x1, y1 = (n for n in numbers if n is not None)
        if percent:
            corners = (x0 / 100, y0 / 100, x1 / 100, y1 / 100)
            unit = "shares"
        elif "." in text and max(x0, y0, x1, y1) <= 1:
            corners, unit = (x0, y0, x1, y1), "old shares"
        elif all(float(v).is_integer() for v in (x0, y0, x1, y1)):
            corners, unit = (int(x0), int(y0), int(x1), int(y1)), "pixels"
        else:
            raise UsageError(f"--window {text}: expected whole pixels of --res, or percentages")
        if unit != "pixels" and not all(0 <= v <= 1 for v in corners):
            raise UsageError(f"--window {text}: expected shares from 0% to 100%")
        if corners[0] >= corners[2] or corners[1] >= corners[3]:
            raise UsageError(f"--window {text}: is empty; expected x0 < x1 and y0 < y1")
        return Region(corners, unit)

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in pixels of a picture of ``size`` (width, height).

        Raises:
            UsageError: a window that leaves the picture.
        """
        width, height = size
        x0, y0, x1, y1 = self.corners
        if self.unit != "pixels":
            left, top = min(round(x0 * width), width - 1), min(round(y0 * height), height - 1)
            return left, top, max(left + 1, round(x1 * width)), max(top + 1, round(y1 * height))
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise UsageError(
                f"--window {int(x0)},{int(y0)},{int(x1)},{int(y1)}: is empty or leaves the picture of {width:,} x "
                f"{height:,} pixels; expected 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height"
            )
        return int(x0), int(y0), int(x1), int(y1)


def whole(text: str) -> int | None:
    """Parse a whole number, also in the form 1e6; None for anything else.

    >>> whole("1440"), whole("1e6"), whole("-3"), whole("14.5"), whole("x")
    (1440, 1000000, -3, None, None)
    """
    try:
        return int(text)
    except ValueError:
        value = _number(text)
    return int(value) if value is not None and value == int(value) else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
