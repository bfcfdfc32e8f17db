"""Exchange single maps of a planar code for others, by the pixels that the images of the lit set touch.

Often one map of a nearly right code is wrong: its piece is right but turned or reflected, as where a flat map takes the
set the other way round, or it explains what others explain too. Refinement does not lead out of that. The images of the
lit pixels themselves stand for the pieces, so that one product of matrices says how many pixels each of many maps would
win in the place of each map of a code.
"""

from __future__ import annotations

import numpy as np

from fractalkit.fit.raster import FINE, QUICK, Raster, RasterFit

TRIED = 5  # exchanges of a round that are refined,
ROUNDS = 4  # and rounds, at most
_GAINED = 0.002  # agreement that an exchange must gain
_APART = 0.02  # distance between the images of maps that are tried one beside the other, of the longer side
_PROBES = 12  # points whose images are compared


def exchanged(
    raster: Raster, fitted: RasterFit, proposals: np.ndarray, turns: np.ndarray, points: np.ndarray, *, enough: float
) -> RasterFit:
    """Exchange maps of a code one by one, as long as its pixels agree better and by less than ``enough``.

    Args:
        proposals: maps ``[H, 3, 4]``, in the picture's coordinates.
        turns: maps ``[R, 3, 4]`` that take the set about into itself, after which each map of the code is tried too.
        points: of the set ``[N, 2]``, at most a pixel apart.
    """
    probes = points[:: max(len(points) // _PROBES, 1)]
    known = _touched(raster, proposals, points)
    for _ in range(ROUNDS):
        if fitted.iou >= enough:
            break
        k = len(fitted.maps)
        turned = _after(fitted.maps, turns)
        maps = np.concatenate([fitted.maps, turned, proposals])
        pixels = np.concatenate([_touched(raster, maps[: len(maps) - len(proposals)], points), known])
        gains = _gains(raster, pixels, k)
        best = fitted
        for i, j in _distinct(gains, _images(maps, probes), k):
            trial = fitted.maps.copy()
            trial[i] = maps[j]
            found = raster.refine(trial, stages=QUICK, isotropy=fitted.isotropy)
            best = max(best, found, key=lambda f: f.iou)
        if best is not fitted:
            best = raster.refine(best.maps, stages=FINE, isotropy=fitted.isotropy)
        if best.iou < fitted.iou + _GAINED:
            return best
        fitted = best
    return fitted


def _after(maps: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Maps ``[K R, 3, 4]``: each of ``[K, 3, 4]`` after each of ``[R, 3, 4]``."""
    out = np.zeros((len(maps), len(turns), 3, 4))
    out[..., :3] = maps[:, None, :, :3] @ turns[None, :, :, :3]
    out[..., 3] = np.einsum("kij,rj->kri", maps[:, :, :3], turns[:, :, 3]) + maps[:, None, :, 3]
    return out.reshape(-1, 3, 4)


def _images(maps: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Images ``[H, N, 2]`` of points ``[N, 2]``."""
    return np.asarray(np.einsum("hij,nj->hni", maps[:, :2, :2], points) + maps[:, None, :2, 3])


def _touched(raster: Raster, maps: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels that images of points are in, ``[H, cells]`` as 0 and 1; around the picture is one row of others."""
    h, w = raster.lit.shape
    out = np.zeros((len(maps), (h + 2) * (w + 2)), np.float32)
    for row, image in zip(out, (_images(m[None], points)[0] for m in maps), strict=True):
        at = np.floor(image / raster.unit).astype(np.int64) + 1
        row[np.clip(at[:, 1], 0, h + 1) * (w + 2) + np.clip(at[:, 0], 0, w + 1)] = 1
    return out


def _gains(raster: Raster, pixels: np.ndarray, k: int) -> np.ndarray:
    """Pixels ``[K, H]`` that a code of the first k maps wins if a map is exchanged for another: lit less unlit ones."""
    worth = np.where(np.pad(raster.lit, 1).ravel(), 1.0, -1.0).astype(np.float32)
    count = pixels[:k].sum(axis=0)
    free = (count - pixels[:k] == 0) * worth  # what no other map touches
    won = free @ pixels.T
    return np.asarray(won - np.diagonal(won[:, :k])[:, None])


def _distinct(gains: np.ndarray, images: np.ndarray, k: int) -> list[tuple[int, int]]:
    """The best few exchanges (map of the code, its successor), none of which are alike."""
    found: list[tuple[int, int]] = []
    for flat in np.argsort(-gains, axis=None)[:400]:
        i, j = (int(v) for v in np.unravel_index(flat, gains.shape))
        others = [i] + [b for a, b in found if a == i]
        apart = np.sqrt(((images[others] - images[j]) ** 2).sum(axis=2).mean(axis=1))
        if j >= k and apart.min() > _APART:
            found.append((i, j))
            if len(found) == TRIED:
                break
    return found
