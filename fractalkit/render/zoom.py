"""Camera paths that zoom into the windows of :mod:`fractalkit.render.windows`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fractalkit.errors import UsageError
from fractalkit.render.windows import Pixels, Zoomable

Box = tuple[float, float, float, float]  # x0, y0, x1, y1


@dataclass(frozen=True)
class Approach:
    """A zoom towards a point by the same factor from frame to frame.

    Args:
        centre: (x, y) in shares of the picture's width.
        depth: magnification of the last frame.
        frames: number of frames.
        aspect: height over width of the frames.
        whole: height over width of the picture.
        start: magnification of the first frame.
    """

    centre: tuple[float, float]
    depth: float
    frames: int
    aspect: float
    whole: float = 1.0
    start: float = 1.0

    def __post_init__(self) -> None:
        if not (self.start >= 1 and self.depth > self.start and math.isfinite(self.depth)):
            raise UsageError(f"depth: expected a magnification above {self.start:g}, got {self.depth:g}")
        if self.frames < 1:
            raise UsageError(f"frames: expected 1 or more, got {self.frames}")
        if not (0 <= self.centre[0] <= 1 and 0 <= self.centre[1] <= self.whole):
            raise UsageError(f"at: expected a point of the picture, 0 to 1 and 0 to {self.whole:.4g}")

    def box(self, frame: int) -> Box:
        """The window of a frame, within the picture; the centre moves to the middle of the frame."""
        share = frame / max(self.frames - 1, 1)
        m = self.start * (self.depth / self.start) ** share
        w = min(1.0, self.whole / self.aspect) / m
        h = w * self.aspect
        x = min(max(self.centre[0] - w / 2, 0.0), 1.0 - w)
        y = min(max(self.centre[1] - h / 2, 0.0), self.whole - h)
        return x, y, x + w, y + h

    def __iter__(self) -> Iterator[Box]:
        return (self.box(k) for k in range(self.frames))


def interesting(source: Zoomable, depth: float, *, side: int = 96) -> tuple[float, float]:
    """Find a point with detail down to a magnification, by choosing the sixteenth with most detail again and again.

    Detail is the sum of differences of neighbouring pixels, weighted a little more in the middle.
    """
    own = getattr(source, "focus", None)
    if own is not None:
        x, y = own()
        return float(x), float(y)
    h = max(8, round(side * source.aspect))
    box: Box = (0.0, 0.0, 1.0, source.aspect)
    aim = getattr(source, "aim", None)
    while 1 / (box[2] - box[0]) < 4 * depth:
        if aim is not None:
            aim(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        level = rgb(source.window(*box, side, h)).astype(np.float64).mean(axis=2)
        edges = np.zeros((h, side))
        edges[:-1] += np.abs(np.diff(level, axis=0))
        edges[:, :-1] += np.abs(np.diff(level, axis=1))
        if not edges.any():
            break
        sums = np.pad(edges.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        dy, dx = h // 4, side // 4
        blocks = sums[dy:, dx:] - sums[:-dy, dx:] - sums[dy:, :-dx] + sums[:-dy, :-dx]
        y, x = np.indices(blocks.shape)
        far = ((y / max(h - dy, 1) - 0.5) ** 2 + (x / max(side - dx, 1) - 0.5) ** 2) * 2
        at = int((blocks * (1 - 0.4 * far)).argmax())
        j, i = divmod(at, blocks.shape[1])
        w = box[2] - box[0]
        x0, y0 = box[0] + w * i / side, box[1] + w * source.aspect * j / h
        box = (x0, y0, x0 + w / 4, y0 + w * source.aspect / 4)
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def rgb(pixels: Pixels) -> Pixels:
    """Convert grey, RGB or RGBA to RGB ``[H, W, 3]``."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., :3])
