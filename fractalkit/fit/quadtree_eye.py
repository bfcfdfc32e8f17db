"""Weights of errors for the eye: texture hides them (masking), flat regions show them."""

from __future__ import annotations

import numpy as np

CELL = 4
MIDDLE = 60.0  # variance, in levels squared of 8 bits, at which the weight is one
FLOOR = 4.0  # variance below which nothing is hidden
POWER = 0.25
LEAST, MOST = 0.3, 3.0


def weights(samples: np.ndarray, depth: int, bottom: int, top: int) -> dict[int, np.ndarray]:
    """Weights of squared errors by log2 of the side of a block: means of those of its cells.

    The weight of a cell of 4 x 4 samples is ((v + ``FLOOR``) / (``MIDDLE`` + ``FLOOR``))^-``POWER``, with v the
    variance of the 12 x 12 samples around.

    Args:
        samples: luma ``[H, W]`` with sides that are multiples of 2^top.
        depth: 8 or 16 bits.
    """
    h, w = samples.shape
    x = samples.astype(np.float64) / (1 if depth == 8 else 257)
    cells = x.reshape(h // CELL, CELL, w // CELL, CELL)
    mean, square = _around(cells.mean((1, 3))), _around((cells**2).mean((1, 3)))
    variance = np.maximum(square - mean**2, 0)
    # rounded, so that all machines decide alike
    fine = np.round(((variance + FLOOR) / (MIDDLE + FLOOR)) ** -POWER, 3).clip(LEAST, MOST)
    out = {}
    for log in range(bottom, top + 1):
        n = (1 << log) // CELL
        out[log] = np.ascontiguousarray(fine.reshape(h // CELL // n, n, w // CELL // n, n).mean((1, 3)))
    return out


def _around(v: np.ndarray) -> np.ndarray:
    """Means of 3 x 3 cells; the outermost are repeated."""
    wide = np.pad(v, 1, mode="edge")
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9)
