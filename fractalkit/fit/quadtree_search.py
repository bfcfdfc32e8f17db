"""Which domain looks most like each range block: a matrix product of their low cosines, in numbers that are exact.

With mean and slopes left out, the error of the best contrast is |r|^2 - <r, d>^2 / |d|^2 (Saupe 1995): the best domain
has the largest |<r, d / |d|>|. A transform keeps inner products and an isometry only swaps and negates cosines, so
ranges are turned instead of domains, and few low cosines already rank them. Both sides are scaled and rounded to
integers of norm below 2^12: all partial sums stay below 2^24, so that float32 products are exact in any order, on any
machine.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import torch

from fractalkit.codec.quadtree_syntax import scan

# mypy: disable-error-code="no-untyped-def, call-arg"

_NORM = 4000.0


def features(log: int, count: int) -> np.ndarray:
    """The cosines that are compared: rows and columns ``[count, 2]`` after the mean and the slopes, lowest first.

    Closed under transposition, so that isometries only permute them.
    """
    order = scan(log)[3:]
    diagonals = order.sum(1)
    keep = order[diagonals <= diagonals[min(count, len(order)) - 1]]
    return np.asarray(keep)


def turned(f: np.ndarray, order: np.ndarray, iso: int) -> np.ndarray:
    """Features of a block after isometry ``iso`` (flip rows 1, flip columns 2, then transpose 4): ``[n, count]``.

    Turning a range by the inverse compares it with a domain turned by ``iso``.
    """
    place = {(int(u), int(v)): i for i, (u, v) in enumerate(order)}
    sign = np.ones(len(order))
    if iso & 1:
        sign = sign * np.where(order[:, 0] % 2, -1.0, 1.0)
    if iso & 2:
        sign = sign * np.where(order[:, 1] % 2, -1.0, 1.0)
    if not iso & 4:
        return np.asarray(f * sign.astype(f.dtype))
    # domain turned by iso: coefficient (u, v) is sign(v, u) d(v, u); so <r, iso d> = sum_uv sign(u, v) r(v, u) d(u, v)
    swap = np.array([place[int(v), int(u)] for u, v in order])
    return np.asarray(f[:, swap] * sign.astype(f.dtype))


@nb.njit(cache=True, nogil=True)
def _best(scores, iso, base, value, where, turn):
    """Keep the largest magnitude of each row; of equal ones the first. Negative contrasts are as good."""
    for i in range(scores.shape[0]):
        best = value[i]
        at = -1
        for j in range(scores.shape[1]):
            v = abs(scores[i, j])
            if v > best:
                best = v
                at = j
        if at >= 0:
            value[i] = best
            where[i] = base + at
            turn[i] = iso


def search(
    ranges: np.ndarray, domains: np.ndarray, norms: np.ndarray, order: np.ndarray, isometries: int, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """For each range the domain, and its isometry, that explains most of it: two ``[n]`` int64.

    Args:
        ranges: ``[n, count]`` float32, cosines of the blocks.
        domains: ``[m, count]``, and ``norms`` ``[m]``: of all their cosines beside mean and slopes.
        order: of the features, see :func:`features`.
        isometries: how many of the eight are tried.
    """
    size = np.sqrt((ranges.astype(np.float64) ** 2).sum(1, keepdims=True))
    r = np.rint(ranges * (_NORM / np.maximum(size, 1e-9)))
    d = np.rint(domains * (_NORM / np.maximum(norms[:, None], 1e-9))).astype(np.float32)
    n = len(r)
    value, where, turn = np.zeros(n, np.float32), np.zeros(n, np.int64), np.zeros(n, np.int64)
    dt = torch.from_numpy(d).to(device).T.contiguous()
    rows = max(16, (1 << 23) // max(1, len(d)))
    for iso in range(isometries):
        t = turned(r, order, iso).astype(np.float32)
        for i in range(0, n, rows):
            scores = (torch.from_numpy(t[i : i + rows]).to(device) @ dt).cpu().numpy()
            _best(scores, iso, 0, value[i : i + rows], where[i : i + rows], turn[i : i + rows])
    return where, turn
