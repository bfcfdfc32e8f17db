"""Balls whose fields add up (J. Blinn, 1982), placed by chance in a box, and the cells of the box that they reach."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

MOST_BALLS = 256
CELLS = 32  # along each side of the box

Floats = npt.NDArray[np.float64]


class MarsagliaRandom:
    """G. Marsaglia's two multiply-with-carry generators of 16 bits, joined, with the signs and start of JWildfire."""

    def __init__(self, seed: int) -> None:
        self.u = _signed(seed << 16)
        self.v = _signed(seed << 16) >> 16

    def uniform(self) -> float:
        """The next number, 0 to 1."""
        self.v = _signed(36969 * (self.v & 65535) + (self.v >> 16))
        self.u = _signed(18000 * (self.u & 65535) + (self.u >> 16))
        return abs(_signed((self.v << 16) + self.u)) / 0x7FFFFFFF


def _signed(n: int) -> int:
    return ((n + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def balls(n: Mapping[str, float], low: Floats, high: Floats) -> Floats:
    """Rows of (x, y, z, strength) ``[N, 4]``; strengths are squares of radii, negative of balls that take away.

    Args:
        n: ``mb_mode`` (0 even, 1 crowded at the top, 2 about the centre), ``mb_count``, ``mb_min_radius``,
            ``mb_max_radius``, ``mb_negative`` (share of negative ones), ``mb_seed``, ``border_size``.
        low, high: corners of the box.
    """
    random = MarsagliaRandom(int(n["mb_seed"]))
    least, most = sorted(abs(n[f"mb_{word}_radius"]) for word in ("min", "max"))
    inner, size = low + n["border_size"], high - low - 2 * n["border_size"]
    mode = int(n["mb_mode"])
    rows = []
    for _ in range(int(min(max(n["mb_count"], 0), MOST_BALLS))):
        chance = random.uniform()
        radius = least + (most - least) * (chance if mode == 0 else _crowded(chance) * (1.42 if mode == 1 else 1))
        if mode == 2:
            far = _crowded(random.uniform()) * min(size[0], high[1] - low[1], size[2]) * 0.85
            a, b = 2 * math.pi * random.uniform(), math.pi * random.uniform()
            way = np.array([math.sin(b) * math.cos(a), math.sin(b) * math.sin(a), math.cos(b)])
            place = inner + size / 2 + far * way
        else:
            x, y, z = (random.uniform() for _ in range(3))
            place = inner + size * [x, 1 - _crowded(y) if mode == 1 else y, z]
        sign = -1.0 if random.uniform() < n["mb_negative"] else 1.0
        rows.append([*place, sign * radius**2])
    return np.array(rows).reshape(-1, 4)


def _crowded(chance: float) -> float:
    return 1 / (chance + 0.63) - 0.6


def reached(rows: Floats, low: Floats, high: Floats, level: float, side: int = CELLS) -> npt.NDArray[np.int64]:
    """The cells of a box, x first, that may have points where the field is above ``level``; none is left out."""
    step = (high - low) / side
    k, j, i = (v.ravel() for v in np.meshgrid(*[np.arange(side)] * 3, indexing="ij"))
    corner = low + np.stack([i, j, k], 1) * step
    field = np.zeros(len(corner))
    with np.errstate(divide="ignore", invalid="ignore"):
        for x, y, z, strength in rows:
            before, behind = corner - [x, y, z], [x, y, z] - corner - step
            # the nearest and the farthest point of each cell
            nearest = (np.maximum(np.maximum(before, behind), 0) ** 2).sum(1)
            farthest = (np.maximum(np.abs(before), np.abs(behind)) ** 2).sum(1)
            if strength:
                field += strength / (nearest if strength > 0 else farthest)
    return np.nonzero(field > level)[0]


def metaballs(n: Mapping[str, float], side: int = CELLS) -> list[float]:
    """Numbers: cells, balls, cells a side, corner and step along x, y and z, level, kind of colour; cells; balls."""
    corners = np.array([sorted((n[f"{axis}min"], n[f"{axis}max"])) for axis in "xyz"], np.float64)
    low, high = corners[:, 0], corners[:, 1]
    rows = balls(n, low, high)
    cells = reached(rows, low, high, n["mb_sharpness"], side)
    places = np.stack([low, (high - low) / side], 1).ravel().tolist()
    colour = n["color_mode"] if n["direct_color"] > 0 else -1
    head = [float(len(cells)), float(len(rows)), float(side), *places, float(n["mb_sharpness"]), float(colour)]
    return [*head, *cells.astype(np.float64).tolist(), *rows.ravel().tolist()]
