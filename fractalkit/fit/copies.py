"""The encoder of pictures without loss, as copies of their own earlier pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fractalkit.codec.copies_file import MAX_COLOURS, CodedStrips, Colours, write_strip
from fractalkit.codes.copies import CopyCode, strip_rows
from fractalkit.raster.samples import checked_samples

_CERTAIN = 32  # colours up to which a palette is taken without a trial
_TRIAL = 192  # side of the part in which a larger palette is tried


def encode_copies(
    image: np.ndarray,
    *,
    copies: bool = True,
    metadata: dict[str, bytes] | None = None,
    callback: Callable[[float], None] | None = None,
) -> CopyCode:
    """Compress a picture without loss.

    Args:
        image: ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]``, uint8 or uint16.
        copies: whether pixels copy earlier ones; without, only their neighbours.
        metadata: "icc", "exif" and others, as bytes.
        callback: called with the fraction done.

    Raises:
        UsageError: an image of another shape or type.
    """
    a, depth = checked_samples(image)
    height, width = a.shape[:2]
    symbols, colours = _symbols(a, depth, copies)
    segments = []
    for y0, y1 in strip_rows(height, width):
        segments.append(write_strip(symbols[y0:y1], colours))
        if callback is not None:
            callback(y1 / height)
    strips = CodedStrips(height, width, colours, tuple(segments))
    return CopyCode(height, width, colours.channels, depth, strips, colours.count, dict(metadata or {}))


def _symbols(a: np.ndarray, depth: int, copies: bool) -> tuple[np.ndarray, Colours]:
    """Symbols ``[H, W]`` int64 of a picture: indices of a palette if it has few colours and they pay."""
    samples = a.reshape(*a.shape[:2], -1).astype(np.int64)
    channels = samples.shape[2]
    packed = np.zeros(a.shape[:2], np.int64)
    ordered = np.zeros(a.shape[:2], np.uint64)  # the first channel counts most
    for c in range(channels):
        packed |= samples[..., c] << (16 * c)
        ordered |= samples[..., c].astype(np.uint64) << np.uint64(16 * (3 - c))
    values, first, inverse, counts = np.unique(ordered, return_index=True, return_inverse=True, return_counts=True)
    common = int(np.argmax(counts))
    plain = Colours(None, int(packed.reshape(-1)[first[common]]), channels, depth, copies)
    if len(values) > MAX_COLOURS:
        return packed, plain
    palette = samples.reshape(-1, channels)[first]
    index = inverse.reshape(a.shape[:2]).astype(np.int64)
    indexed = Colours(palette, common, channels, depth, copies)
    if len(values) > _CERTAIN:
        y, x = (max(0, (n - _TRIAL) // 2) for n in a.shape[:2])
        part = np.s_[y : y + _TRIAL, x : x + _TRIAL]
        if len(write_strip(packed[part], plain)) < len(write_strip(index[part], indexed)):
            return packed, plain
    return index, indexed
