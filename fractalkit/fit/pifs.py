"""The plain partitioned IFS of the literature, as a baseline: ranges of one size, each with one map.

Jacquin (1992), and the baseline of Poli, Xu et al. (2022): every range block is s iso(pool D) + o, here parameterised
by the mean, without quadtree and cosines. Files have the format of the quadtree codec, entropy coding included.
"""

from __future__ import annotations

import numpy as np

from fractalkit.codec.quadtree_syntax import scan
from fractalkit.codes.quadtree import GRID_CONTRAST, QuadtreePlane
from fractalkit.fit.quadtree_search import isometric, search
from fractalkit.maps import quadtree as maps


def side_of(quality: float) -> int:
    """log2 of the ranges' side: 16 below quality 40, 8 below 65, 4 from there on.

    >>> [side_of(q) for q in (30, 50, 70)]
    [4, 3, 2]
    """
    return 4 if quality < 40 else 3 if quality < 65 else 2


def fit_plane(
    cosines: np.ndarray, domains: np.ndarray, grid: int, log: int, step: float, height: int, width: int, device: str
) -> QuadtreePlane:
    """Find the best map for each range.

    Args:
        cosines: ``[H, W]`` cosines of the ranges, each block in its place.
        domains: ``[rows, columns, side, side]`` cosines of the domains, ``grid`` samples apart.
        step: quantiser step of the means.
    """
    side = 1 << log
    h, w = cosines.shape
    blocks = cosines.reshape(h // side, side, w // side, side).transpose(0, 2, 1, 3)
    rows, columns = blocks.shape[:2]
    order = scan(log)[1:]
    flat = domains.reshape(-1, side, side)
    own = blocks.reshape(-1, side, side)[:, order[:, 0], order[:, 1]]
    dom = flat[:, order[:, 0], order[:, 1]]
    norms = np.sqrt((dom.astype(np.float64) ** 2).sum(1))
    where, iso = search(own, dom, np.maximum(norms, 1e-3), order, 8, device)
    d = isometric(flat[where].astype(np.float64), iso)[:, order[:, 0], order[:, 1]]
    norm = np.maximum((d * d).sum(1), 1e-6)
    s = (own * d).sum(1) / norm
    index = np.clip(np.rint(np.abs(s) / GRID_CONTRAST), 0, maps.CONTRASTS).astype(np.int64)
    code = np.where(index == 0, 0, index + np.where(s < 0, maps.CONTRASTS, 0)).reshape(rows, columns)
    yd, xd = where // domains.shape[1], where % domains.shape[1]
    level = np.zeros((h, w), np.int32)
    level[::side, ::side] = np.floor(blocks[:, :, 0, 0].astype(np.float64) / step + 0.5)
    cells = side >> 2
    chosen = np.zeros((h >> 2, w >> 2, 4), np.int32)
    i, j = np.indices((rows, columns))
    chosen[::cells, ::cells] = np.stack(
        [code, iso.reshape(rows, columns), yd.reshape(rows, columns) - i * side // grid,
         xd.reshape(rows, columns) - j * side // grid], -1,
    )  # fmt: skip
    logs = np.full((h >> 2, w >> 2), log, np.uint8)
    cy, cx = np.indices(logs.shape)
    logs[((cy // cells * side) >= height) | ((cx // cells * side) >= width)] = 0
    chosen[logs == 0] = 0
    return QuadtreePlane(logs, level, chosen, height, width, step, (0.0, 0.0, 0.0), grid, False)
