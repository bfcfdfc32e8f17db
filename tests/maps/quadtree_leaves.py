"""Planes of 64 x 64 samples at random, whose leaves have maps of one's own."""

from collections.abc import Callable
from typing import Any

import numpy as np


def leaves_at_random(
    logs: np.ndarray, seed: int, choose: Callable[[np.random.Generator, int, int], Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Levels ``[64, 64]`` and maps ``[16, 16, 4]``: nine levels of each leaf, and what ``choose`` draws at its cell."""
    rng = np.random.default_rng(seed)
    level, chosen = np.zeros((64, 64), np.int32), np.zeros((16, 16, 4), np.int32)
    for cy in range(16):
        for cx in range(16):
            cells = 1 << (int(logs[cy, cx]) - 2)
            if cy % cells or cx % cells:
                continue
            level[4 * cy : 4 * cy + 3, 4 * cx : 4 * cx + 3] = rng.integers(-3, 4, (3, 3))
            chosen[cy, cx] = choose(rng, cy, cx)
    return level, chosen
