"""The compiled engine of :mod:`.address`: each point is a loop of its own, blocks of points on threads."""

from __future__ import annotations

import numba as nb
import numpy as np
import torch

from fractalkit.orbit.address import MAX_WORD, Addresses, end_of, spread
from fractalkit.orbit.records import Orbit
from fractalkit.orbit.streams import MIX1, MIX2, STRIDE, chain_keys

# mypy: disable-error-code="no-untyped-def, call-arg"

_BLOCK = 4096
_M1, _M2, _STRIDE = np.uint32(MIX1), np.uint32(MIX2), np.uint32(STRIDE)
_S15, _S16 = np.uint32(15), np.uint32(16)
_LOW = (1 << 31) - 1


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
        chain_keys(seed, first, n), first, np.array(spread(of) if of else (0, 0, 0)), end_of(tolerance),
        np.zeros(0, np.int64) if starts is None else starts, code.maps, code.domains, code.edges, code.guide,
        code.steps, code.anchors, code.after, code.tints, code.shades, points, digits, rgb,
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
def _scaled(place, more, rest, m, e):
    """(place + more / 2^31) m 2^(e - 31) rounded down; ``rest``: 31 bits after those of ``more``."""
    low = (place & _LOW) * m + ((more * m) >> 31)
    high = (place >> 31) * m + (low >> 31)
    low &= _LOW
    if e < 0:
        return high >> -e
    if e < 31:
        return (high << e) | (low >> (31 - e))
    return (high << e) | (low << (e - 31)) | (rest >> (62 - e))


@nb.njit(inline="always")
def _bits(step, key1, key2):
    return np.int64(_hash(step, key1, key2)) >> 1


@nb.njit(inline="always")
def _range_at(place, low, high, edges, guide, shift):
    """The range of a domain in whose share a place lies."""
    s = max(guide[place >> shift], low)
    near = min(s + 8, high - 1)
    while s < near and edges[s + 1] <= place:
        s += 1
    end = high - 1 if s == near else s
    while s < end:  # many small shares
        middle = (s + end + 1) // 2
        if edges[middle] <= place:
            s = middle
        else:
            end = middle - 1
    return s


@nb.njit(inline="always")
def _word(place, key1, key2, start, end, edges, guide, shift, domains, steps, word):
    """Write the ranges of the address that a place names, and return how many there are."""
    length, size = 0, np.int64(0)
    low, high = np.int64(0), np.int64(len(domains))
    if start >= 0:
        word[0], length, size = start, 1, steps[start, 4]
        low, high = domains[start, 0], domains[start, 1]
        place = edges[low] + _scaled(place, np.int64(0), np.int64(0), steps[start, 2], steps[start, 3])
    for step in range(2, 2 + MAX_WORD):
        s = _range_at(place, low, high, edges, guide, shift)
        word[length] = s
        length += 1
        if size + steps[s, 5] <= end:
            break
        size += steps[s, 4]
        low, high = domains[s, 0], domains[s, 1]
        e = steps[s, 1]
        rest = _bits(step + MAX_WORD, key1, key2) if e > 31 else np.int64(0)
        place = edges[low] + _scaled(place - edges[s], _bits(step, key1, key2), rest, steps[s, 0], e)
    return length


@nb.njit(cache=True, parallel=True, nogil=True)
def _draw(
    keys, first, even, end, starts, maps, domains, edges, guide, steps, anchors, after, tints, shades, points, digits,
    rgb,
):  # fmt: skip
    """``even``: as :func:`.address.spread` says, or zeros for independent draws."""
    n, d = points.shape
    depth = digits.shape[1]
    shift = np.int64(62)
    while len(guide) >> (62 - shift) > 1:
        shift -= 1
    for block in nb.prange((n + _BLOCK - 1) // _BLOCK):
        word = np.empty(MAX_WORD + 1, np.int64)
        x, y = np.empty(3), np.empty(3)
        for i in range(block * _BLOCK, min((block + 1) * _BLOCK, n)):
            key1 = np.uint32(keys[i] & np.uint64(0xFFFFFFFF))
            key2 = np.uint32(keys[i] >> np.uint64(32))
            place = (_bits(0, key1, key2) << 31) | _bits(1, key1, key2)
            q = even[0]
            if q > 0:
                more = _bits(0, key1, key2)
                place = (q >> 31) * more + (((q & _LOW) * more) >> 31)
                place += (first + i) * q + (((first + i) * even[1]) >> even[2])
            start = starts[i] if len(starts) else np.int64(-1)
            length = _word(place, key1, key2, start, end, edges, guide, shift, domains, steps, word)
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
