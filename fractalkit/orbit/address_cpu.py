"""The compiled engine of :mod:`.address`: each point is a loop of its own, blocks of points on threads."""

from __future__ import annotations

import numba as nb
import numpy as np
import torch

from fractalkit.orbit.address import BELOW_ONE, COARSE, MAX_WORD, QUANTUM, Addresses
from fractalkit.orbit.records import Orbit
from fractalkit.orbit.streams import MIX1, MIX2, STRIDE, chain_keys

# mypy: disable-error-code="no-untyped-def, call-arg"

_BLOCK = 4096
_M1, _M2, _STRIDE = np.uint32(MIX1), np.uint32(MIX2), np.uint32(STRIDE)
_S15, _S16 = np.uint32(15), np.uint32(16)
_FILL = 2.0**-32


def draw(
    code: Addresses, first: int, n: int, seed: int, of: int, tolerance: float, starts: np.ndarray | None, depth: int,
    colours: bool,
) -> Orbit:  # fmt: skip
    """Points, colours and words by address, as :func:`fractalkit.orbit.by_address.draw` describes them."""
    d = code.maps.shape[1]
    points = np.empty((n, d))
    digits = np.empty((n, depth), np.uint16)
    rgb = np.empty((n if colours else 0, 3), np.float32)
    _draw(
        chain_keys(seed, first, n), float(first), float(of), tolerance,
        np.zeros(0, np.int64) if starts is None else starts, code.maps, code.norms, code.radii, code.domains,
        code.running, code.guide, code.anchors, code.after, code.tints, code.shades, points, digits, rgb,
    )  # fmt: skip
    return Orbit(
        torch.from_numpy(points),
        torch.from_numpy(digits.view(np.int16)).view(torch.uint16) if depth else None,
        torch.from_numpy(rgb) if colours else None,
    )


@nb.njit(inline="always")
def _hash(step, key1, key2):
    u = np.uint32(key1 + np.uint32(np.uint32(step) * _STRIDE))
    u = np.uint32((u ^ (u >> _S16)) * _M1)
    u = np.uint32((u ^ (u >> _S15)) + key2)
    u = np.uint32(u * _M2)
    return np.uint32(u ^ (u >> _S15))


@nb.njit(inline="always")
def _word(u, key1, key2, start, tolerance, norms, radii, domains, running, guide, word):
    """Write the ranges of the address that u names, and return how many there are."""
    cells = len(guide)
    quantum, shrink = QUANTUM, 1.0
    low, high = np.int64(0), np.int64(len(norms))
    length = 0
    if start >= 0:
        word[0], length = start, 1
        shrink, low, high = norms[start], domains[start, 0], domains[start, 1]
    step = 2
    for _ in range(MAX_WORD):
        if quantum > COARSE:
            u = min(u + np.float64(_hash(step, key1, key2)) * _FILL * quantum, BELOW_ONE)
            quantum = QUANTUM
            step += 1
        base = running[low]
        span = running[high] - base
        at = base + u * span
        s = max(low, min(guide[min(np.int64(at * cells), cells - 1)], high - 1))
        near = min(s + 8, high - 1)
        while running[s + 1] <= at and s < near:
            s += 1
        if s == near and near < high - 1 and running[s + 1] <= at:  # many small shares: bisect
            end = high - 1
            while s < end:
                middle = (s + end + 1) // 2
                if running[middle] <= at:
                    s = middle
                else:
                    end = middle - 1
        share = running[s + 1] - running[s]
        u = max(0.0, min((at - running[s]) / share, BELOW_ONE))
        quantum = (quantum * span + QUANTUM) / share
        word[length] = s
        length += 1
        if shrink * radii[s] <= tolerance:
            break
        shrink *= norms[s]
        low, high = domains[s, 0], domains[s, 1]
    return length


@nb.njit(cache=True, parallel=True, nogil=True)
def _draw(
    keys, first, of, tolerance, starts, maps, norms, radii, domains, running, guide, anchors, after, tints, shades,
    points, digits, rgb,
):  # fmt: skip
    n, d = points.shape
    depth = digits.shape[1]
    for block in nb.prange((n + _BLOCK - 1) // _BLOCK):
        word = np.empty(MAX_WORD + 1, np.int64)
        x, y = np.empty(3), np.empty(3)
        for i in range(block * _BLOCK, min((block + 1) * _BLOCK, n)):
            key1 = np.uint32(keys[i] & np.uint64(0xFFFFFFFF))
            key2 = np.uint32(keys[i] >> np.uint64(32))
            whole = np.int64(_hash(0, key1, key2)) * 2097152 + np.int64(_hash(1, key1, key2) >> np.uint32(11))
            u = whole * QUANTUM
            if of > 0:
                u = (first + i + u) / of
            start = starts[i] if len(starts) else np.int64(-1)
            length = _word(u, key1, key2, start, tolerance, norms, radii, domains, running, guide, word)
            s = word[length - 1]
            for j in range(min(depth, length)):
                digits[i, j] = word[j]
            for j in range(length, depth):
                s = after[s]
                digits[i, j] = s
            s = word[length - 1]
            for a in range(d):
                x[a] = anchors[s, a]
            for j in range(length - 2, -1, -1):
                s = word[j]
                for a in range(d):
                    y[a] = maps[s, a, d]
                    for b in range(d):
                        y[a] += maps[s, a, b] * x[b]
                x, y = y, x
            for a in range(d):
                points[i, a] = x[a]
            if len(rgb):
                s = word[length - 1]
                for a in range(3):
                    x[a] = shades[s, a]
                for j in range(length - 2, -1, -1):
                    s = word[j]
                    for a in range(3):
                        y[a] = tints[s, a, 3]
                        for b in range(3):
                            y[a] += tints[s, a, b] * x[b]
                    x, y = y, x
                for a in range(3):
                    rgb[i, a] = min(max(x[a], 0.0), 1.0)
