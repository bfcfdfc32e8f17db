"""The filter of decoded planes: what quantisation did is in part undone, by weights learned from other pictures.

Each sample is moved by weighed differences of its 24 neighbours within a diamond (12 in chroma), the weights chosen by
the class of its cell of 4 x 4 samples: how strong gradients are there, in steps of the quantiser, and which way they
run, as in the adaptive loop filter of VVC (Karczewicz et al., IEEE TCSVT 31, 2021). Each neighbour has two weights, of
its difference and of the difference cut at a quarter of a step, so that edges and ripples are told apart. The weights
are part of the format, and no bits are spent on them. ``recipes/codec_filter.py`` learned them.

The filter is applied to the fixed point when it is shown; the map does not see it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

SCALE = 4096  # of the weights
LUMA = np.array(
    [(0, 1), (0, 2), (0, 3), (1, -2), (1, -1), (1, 0), (1, 1), (1, 2), (2, -1), (2, 0), (2, 1), (3, 0)], np.int64
)
CHROMA = np.array([(0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0)], np.int64)
REACH = 8  # samples around a part that change it


@cache
def weights(chroma: bool) -> np.ndarray:
    """The weights ``[classes, n, 2]`` int32, in 1/``SCALE``."""
    with resources.files("fractalkit.maps").joinpath("quadtree_filter.npz").open("rb") as f:
        return np.load(f, allow_pickle=False)["chroma" if chroma else "luma"].astype(np.int32)


def in_units(x: np.ndarray, step: float) -> np.ndarray:
    """A plane in units of the filter, padded: int32."""
    from fractalkit.maps import quadtree_filter_cpu as cpu

    most = float(1 << 28)
    return np.pad(np.rint((x * np.float32(cpu.UNITS / step)).clip(-most, most)).astype(np.int32), cpu.PAD, "edge")


def refine(x: np.ndarray, step: float, chroma: bool) -> None:
    """Filter a plane ``[H, W]`` float32 in place, or a part of it that begins at a cell.

    Args:
        step: of the quantiser, in sample values.
        chroma: use the weights of chroma.
    """
    from fractalkit.maps import quadtree_filter_cpu as cpu

    q = in_units(x, step)
    taps = CHROMA if chroma else LUMA
    cpu.refine(x, q, cpu.classes(q, *x.shape), taps, weights(chroma), np.float32(step / cpu.UNITS / SCALE))
