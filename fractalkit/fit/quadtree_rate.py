"""About how large a file will be, from the magnitudes of a picture's cosines, before anything is encoded.

A cosine x costs about A max(0, log2(x / (B step))) bits; what is small costs nothing. That is a model of the kind of He
and Mitra (IEEE TCSVT 12, 2002), in which the share of zeros decides. A, B and the other constants were fitted to 89
files of 15 pictures at steps from 2.5 to 160; the model is off by .19 octaves (root mean square).
"""

from __future__ import annotations

import numpy as np

from fractalkit.codes.quadtree import step_size

A = 1.46  # bits an octave
B = 0.292  # of a step
CHROMA = 0.6  # steps of chroma, relative to those of luma, count as so large
FLAT = 0.016  # bits per pixel for trees and means
BITS = 4  # of the mantissa that tell magnitudes apart
LOWEST = -6  # log2 of the smallest magnitude


def magnitudes(planes: list[tuple[dict[int, np.ndarray], bool]]) -> np.ndarray:
    """How many cosines of blocks of 8 x 8 have each magnitude, by the exponent and four bits of the mantissa.

    Args:
        planes: cosines by log2 of the side, and whether it is chroma.
    """
    out = np.zeros(24 << BITS)
    for cosines, chroma in planes:
        log = 3 if 3 in cosines else min(cosines)
        x = np.abs(cosines[log])
        x[:: 1 << log, :: 1 << log] = 0  # means
        x = x[x >= 2.0**LOWEST] / np.float32(CHROMA if chroma else 1.0)
        at = (x.view(np.int32) >> (23 - BITS)) - ((127 + LOWEST) << BITS)  # exact, so that all machines agree
        out += np.bincount(np.minimum(at, len(out) - 1), minlength=len(out))
    return out


def likely_bits(counts: np.ndarray, pixels: int, step: float) -> float:
    """Bits per pixel of ``pixels`` whose :func:`magnitudes` are ``counts``, at a quantiser's step."""
    exponent, part = np.divmod(np.arange(len(counts)), 1 << BITS)
    octaves = exponent + np.log2(1 + (part + 0.5) / (1 << BITS)) + LOWEST - np.log2(B * step)
    return FLAT + A * float((counts * np.maximum(octaves, 0)).sum()) / pixels


def likely_step(counts: np.ndarray, pixels: int, bits: float) -> tuple[int, float]:
    """The step index at which the size is probably ``bits`` per pixel, and octaves of size by index there."""
    low, high = 0, 4095
    while low < high:  # sizes fall as steps grow
        middle = (low + high) // 2
        if likely_bits(counts, pixels, step_size(middle)) > bits:
            low = middle + 1
        else:
            high = middle
    a, b = (likely_bits(counts, pixels, step_size(low + d)) for d in (-16, 16))
    return low, float(np.clip(np.log2(b / a) / 32, -1.5 / 128, -0.4 / 128))
