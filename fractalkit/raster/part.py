"""The part of a stored picture that a decoder is asked for, and the size it is to have."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fractalkit.errors import UsageError

MAX_WASTE = 64  # samples decoded for each pixel or stored sample, at most
MAX_SCALE = 64  # samples a side of a stored sample, from which on pictures are interpolated


@dataclass(frozen=True)
class Part:
    """A part of a picture, and the size at which it is drawn.

    Attributes:
        box: left, top, right, bottom in samples of the stored picture.
        width, height: pixels of the result.
    """

    box: tuple[float, float, float, float]
    width: int
    height: int

    @staticmethod
    def of(
        stored: tuple[int, int],
        height: int | None = None,
        width: int | None = None,
        window: tuple[int, int, int, int] | None = None,
    ) -> Part:
        """A window of the picture drawn at a size.

        Args:
            stored: (width, height) of the stored picture.
            height, width: pixels of the whole picture; one alone keeps the proportions; neither, the stored size.
            window: (left, top, right, bottom) in these pixels, half open; None for all of it.

        Raises:
            UsageError: a size below 1, or a window that is empty or leaves the picture.

        >>> Part.of((84, 60), 120, window=(84, 60, 168, 120))
        Part(box=(42.0, 30.0, 84.0, 60.0), width=84, height=60)
        """
        width, height = size_of(stored, height, width)
        if window is None:
            return Part((0.0, 0.0, float(stored[0]), float(stored[1])), width, height)
        left, top, right, bottom = window
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise UsageError(
                f"window: ({left}, {top}, {right}, {bottom}) is not inside the {width} x {height} picture; "
                "expected 0 <= left < right <= width and 0 <= top < bottom <= height"
            )
        across, down = stored[0] / width, stored[1] / height
        return Part((left * across, top * down, right * across, bottom * down), right - left, bottom - top)

    @staticmethod
    def of_shares(
        stored: tuple[int, int],
        shares: tuple[float, float, float, float],
        height: int | None = None,
        width: int | None = None,
    ) -> Part:
        """A part given by its corners in [0, 1]; height and width are those of the result.

        Raises:
            UsageError: a size below 1, or shares out of range.
        """
        x0, y0, x1, y1 = shares
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise UsageError(f"window {x0},{y0},{x1},{y1}: expected 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1")
        w, h = stored
        width, height = size_of(((x1 - x0) * w, (y1 - y0) * h), height, width)
        return Part((x0 * w, y0 * h, x1 * w, y1 * h), width, height)

    @property
    def scale(self) -> int:
        """The power of two, at most ``MAX_SCALE``, at which a stored sample has at least the pixels asked for.

        It is less where the proportions differ so much that nearly all that is decoded would be averaged away.
        """
        left, top, right, bottom = self.box
        scale, area = 1, (right - left) * (bottom - top)
        most = MAX_WASTE * max(area, self.height * self.width)
        while scale < MAX_SCALE and (scale * (bottom - top) < self.height or scale * (right - left) < self.width):
            if area * (2 * scale) ** 2 > most:
                break
            scale *= 2
        return scale

    def outer(self, stored: tuple[int, int], margin: int) -> tuple[int, int, int, int]:
        """The whole samples that the part lies over, with a margin, within the picture."""
        left, top, right, bottom = self.box
        w, h = stored
        return (
            max(0, math.floor(left) - margin),
            max(0, math.floor(top) - margin),
            min(w, math.ceil(right) + margin),
            min(h, math.ceil(bottom) + margin),
        )


def size_of(stored: tuple[float, float], height: int | None, width: int | None) -> tuple[int, int]:
    """(width, height) where one or both may be left to the proportions of ``stored`` (width, height).

    Raises:
        UsageError: a side below 1.
    """
    w, h = stored
    if height is None:
        height = max(1, round(h if width is None else width * h / w))
        width = max(1, round(w)) if width is None else width
    elif width is None:
        width = max(1, round(height * w / h))
    if height < 1 or width < 1:
        raise UsageError(f"size {width} x {height}: expected at least one pixel either way")
    return width, height
