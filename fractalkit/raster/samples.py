"""Checks of the samples of pictures in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from fractalkit.errors import UsageError
from fractalkit.raster.picture import as_picture

STRIP = 256  # rows that are compared together


def checked_samples(image: Any, *, alpha: bool = True) -> tuple[np.ndarray, int]:
    """A picture that can be coded, ``[H, W]`` or ``[H, W, C]``, and its bits per sample, 8 or 16.

    One channel becomes ``[H, W]``.

    Args:
        image: also a path, a Pillow image, or a tensor ``[C, H, W]``, as :func:`~fractalkit.raster.picture.as_picture`
            takes them; floating point is then rounded to 8 bits.
        alpha: whether a fourth channel is allowed.

    Raises:
        UsageError: another shape or type.
    """
    if not isinstance(image, np.ndarray):
        image = as_picture(image).whole_numbers()
    a = np.asarray(image)
    if a.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"image: expected uint8 or uint16 samples, got {a.dtype}")
    if a.ndim == 3 and a.shape[2] == 1:
        a = a[..., 0]
    channels, words = ((3, 4), "[H, W], [H, W, 3] or [H, W, 4]") if alpha else ((3,), "[H, W] or [H, W, 3]")
    if a.ndim not in (2, 3) or (a.ndim == 3 and a.shape[2] not in channels) or 0 in a.shape:
        hint = "" if alpha else "; the quadtree codec has transparency"
        raise UsageError(f"image: expected {words}, got {list(a.shape)}{hint}")
    return a, 8 if a.dtype == np.uint8 else 16


def sum_of_squares(a: np.ndarray, b: np.ndarray) -> float:
    """Sum of squared differences of two pictures of the same shape, in the memory of a strip.

    >>> sum_of_squares(np.zeros((2, 3), np.uint8), np.full((2, 3), 2, np.uint8))
    24.0
    """
    total = 0.0
    for y in range(0, len(a), STRIP):  # sums of integers: exact in any order
        d = a[y : y + STRIP].astype(np.float64) - b[y : y + STRIP]
        total += float((d * d).sum())
    return total
