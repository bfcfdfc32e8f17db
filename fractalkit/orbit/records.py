"""The results of drawing an orbit: its points, or their counts on a grid."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Orbit:
    """Points of an attractor.

    Attributes:
        points: ``[N, D]``.
        addresses: ``[N, L]`` uint16, the last L maps (or ranges) that made each point, latest first; None if L = 0.
        colours: sRGB ``[N, 3]`` float32 in [0, 1]; None unless asked for.
    """

    points: Tensor
    addresses: Tensor | None = None
    colours: Tensor | None = None

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class Histogram:
    """Counts of orbit points on a grid.

    Attributes:
        counts: int64, ``[H, W]`` in the plane (row 0 at the lowest y) or ``[Z, Y, X]`` in space.
        rgb: sums of colours, float64 ``[*shape, 3]``; divide by counts for the mean colour. None unless asked for.
        low, high: corners ``[D]`` of the grid, x first.
        outside: how many points fell outside the grid.
    """

    counts: Tensor
    rgb: Tensor | None
    low: Tensor
    high: Tensor
    outside: int
