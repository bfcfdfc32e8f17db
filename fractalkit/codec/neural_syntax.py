"""The syntax of neural collages: blocks of 64 whole numbers in zigzag order, plane after plane.

Numbers are coded from low to high frequency, in bands, after the number of bands in use. The contexts of a decision are
magnitudes in the blocks to the left and above, at lower frequencies of the same block, and in planes coded before.
Decoding never fails: values stay in their range, and where the bytes end the rest is zero.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.codec.entropy import MODELS, SPENT, STATE, K, code, raw

# mypy: disable-error-code="no-untyped-def, call-arg, operator, assignment, call-overload"

__all__ = ["BANDS", "SETS", "TOTAL", "ZIGZAG", "K", "code_plane"]

_ORDER = sorted(
    ((y, x) for y in range(8) for x in range(8)), key=lambda p: (p[0] + p[1], p[0] if (p[0] + p[1]) % 2 else p[1])
)
ZIGZAG = np.array([8 * y + x for y, x in _ORDER], np.int64)
SETS = [0, 1, 3, 6, 10, 21, 36, 53, 64]  # where each band begins: whole diagonals, but for the last two
BANDS = len(SETS) - 1
MAX_LEVEL = 1 << 20

_BAND = np.repeat(np.arange(BANDS), np.diff(SETS))
_EDGES = np.array(SETS, np.int64)
_PLACE = np.full((8, 8), -1, np.int64)
for _i, (_y, _x) in enumerate(_ORDER):
    _PLACE[_y, _x] = _i
# places of lower frequencies beside each: up, left, corner, two up, two left; -1 for none
_NEAR = np.full((64, 5), -1, np.int64)
for _i, (_y, _x) in enumerate(_ORDER):
    for _j, (_dy, _dx) in enumerate(((1, 0), (0, 1), (1, 1), (2, 0), (0, 2))):
        if _y >= _dy and _x >= _dx:
            _NEAR[_i, _j] = _PLACE[_y - _dy, _x - _dx]

# first context of each kind of decision, for each of three planes
_BAND_COUNT = 0  # 3 contexts of 8 x 64
_SIG = 1536  # 6 contexts of 64 x 64
_MORE = _SIG + 6 * 4096  # 3 contexts of 64 x 64 (unary of magnitude)
_SIGN = _MORE + 3 * 8192
_SIZE = _SIGN + 64 * 16
TOTAL = 3 * _SIZE


@nb.njit(cache=True, inline="always")
def _bucket(v):
    """0, 1, 2, 3, 4, 5-6, 7-9, 10-14, 15-22, 23-."""
    if v < 5:
        return v
    if v < 7:
        return 5
    if v < 10:
        return 6
    if v < 15:
        return 7
    if v < 23:
        return 8
    return 9


@nb.njit(cache=True, inline="always")
def _guess(level, y, x):
    if y == 0:
        return level[y, x - 1, 0] if x > 0 else np.int64(0)
    if x == 0:
        return level[y - 1, x, 0]
    v = 3 * (np.int64(level[y, x - 1, 0]) + level[y - 1, x, 0]) - 2 * np.int64(level[y - 1, x - 1, 0])
    return (v + 2) >> 2


@nb.njit(cache=True)
def _add(out, block, times):
    """Add the magnitudes of a block, weighted by ``times``."""
    for k in range(64):
        out[k] += times * abs(block[k])


@nb.njit(cache=True)
def _look_around(level, y, x, out):
    """Weighted sums of the magnitudes of each number in the blocks to the left and above."""
    out[:] = 0
    if x > 0:
        _add(out, level[y, x - 1], 2 if y > 0 else 4)
    if y > 0:
        _add(out, level[y - 1, x], 2 if x > 0 else 4)
        if x > 0:
            _add(out, level[y - 1, x - 1], 1)
        if x + 1 < level.shape[1]:
            _add(out, level[y - 1, x + 1], 1)


@nb.njit(cache=True)
def _look_across(luma, other, plane, y, x, out):
    """Weighted sums of the magnitudes of each number in the planes coded before."""
    out[:] = 0
    if plane > 0:
        for i in range(2):
            for j in range(2):
                _add(out, luma[2 * y + i, 2 * x + j], 1)
    if plane == 2:
        _add(out, other[y, x], 4)


@nb.njit(cache=True)
def _bands_used(level, y, x):
    """Number of bands of a block up to the last number that is coded other than 0."""
    for n in range(BANDS, 0, -1):
        for k in range(_EDGES[n - 1], _EDGES[n]):
            v = level[y, x, k]
            if n == 1:
                v = v - _guess(level, y, x)
            if v != 0:
                return n
    return 0


@nb.njit(cache=True)
def _code_bands(state, data, prob, count, weight, ctx, at, weights, left, top, corner, side, n):
    """Code the number of bands in use, in unary."""
    got = 0
    while got < BANDS:
        base = at + got * 64
        ctx[0] = base + min(left + top, 16)
        ctx[1] = base + 512 + left * 7 + min(side, 6)
        ctx[2] = base + 1024 + min((left + top + corner), 24) + (32 if side > got else 0)
        if not code(state, data, prob, count, weight, ctx, 3, weights + got, 1 if n > got else 0):
            break
        got += 1
    return got


@nb.njit(cache=True)
def _code_rest(state, data, rest):
    """Code a number from 0 by an Elias code: its length, then its bits."""
    size = 0
    while size < 20 and (rest + 1) >> (size + 1) > 0:
        size += 1
    size = min(raw(state, data, 5, size), 20)
    tail = raw(state, data, size, (rest + 1) & ((1 << size) - 1))
    return (1 << size) + tail - 1


@nb.njit(cache=True)
def _code_magnitude(state, data, prob, count, weight, ctx, base, weights, k, m, energy, c, bw, mean):
    """Code a magnitude above 0: in unary up to 18, then the rest."""
    out = np.int64(1)
    while out < 18:
        u = min(out - 1, 7)
        at = base + _MORE + (_BAND[k] * 8 + u) * 64
        ctx[0] = at + energy * 6 + min(c, 5)
        ctx[1] = at + 8192 + bw * 6 + min(mean, 5)
        ctx[2] = base + _MORE + 16384 + k * 8 + u
        if not code(state, data, prob, count, weight, ctx, 3, weights + 52 + min(out, 20), 1 if m > out else 0):
            return out
        out += 1
    return out + _code_rest(state, data, m - 18)


@nb.njit(cache=True)
def _sign(v):
    """0, 1 or 2 for zero, positive and negative."""
    return 1 if v > 0 else (2 if v < 0 else 0)


@nb.njit(cache=True)
def _near(a, k):
    """Weighted sum of the magnitudes of the lower frequencies next to number k."""
    near = np.int64(0)
    for j in range(5):
        p = _NEAR[k, j]
        if p > 0:
            near += a[p] * (2 if j < 2 else 1)
    return near


@nb.njit(cache=True)
def _roughness(level, y, x, otherwise):
    """Sum of differences between the means of the blocks around; ``otherwise`` at the border."""
    if y == 0 or x == 0:
        return otherwise
    corner = np.int64(level[y - 1, x - 1, 0])
    return abs(level[y, x - 1, 0] - corner) + abs(level[y - 1, x, 0] - corner)


@nb.njit(cache=True)
def _wide(around, k):
    """Mean of ``around`` over the numbers near k."""
    wide = np.int64(0)
    for q in range(max(1, k - 2), min(64, k + 3)):
        wide += around[q]
    return wide // 3


@nb.njit(cache=True)
def _code_block(state, data, prob, count, weight, ctx, base, weights, level, y, x, got, beside, around, cross, a):
    """Code the numbers of a block up to its last band; ``beside`` is the number of bands to the left and above."""
    writing = state[0] == 0
    a[:] = 0
    nonzero = 0
    total = np.int64(0)
    for k in range(_EDGES[got]):
        expected = _guess(level, y, x) if k == 0 else np.int64(0)
        v = np.int64(level[y, x, k]) - expected if writing else np.int64(0)
        near = _near(a, k) if k > 0 else np.int64(beside)
        r = around[k] if k > 0 else _roughness(level, y, x, around[0])
        c = _bucket(cross[k])
        br, bn, bw = _bucket(r), _bucket(near), _bucket(_wide(around, k))
        mean = _bucket(total * 4 // (k + 1))
        energy = _bucket((r + near + 1) // 2)
        at = base + _SIG + k * 64
        ctx[0] = at + br * 6 + min(bn, 5)
        ctx[1] = at + 4096 + bn * 6 + min(mean, 5)
        ctx[2] = at + 8192 + energy * 6 + min(c, 5)
        ctx[3] = at + 12288 + bw * 6 + min(mean, 5)
        ctx[4] = at + 16384 + c * 6 + min(bw, 5)
        ctx[5] = at + 20480 + got * 6 + min(nonzero, 5)
        out = np.int64(0)
        if code(state, data, prob, count, weight, ctx, 6, weights + 8 + min(k, 40), 1 if v != 0 else 0):
            out = _code_magnitude(state, data, prob, count, weight, ctx, base, weights, k, abs(v), energy, c, bw, mean)
            sl = _sign(level[y, x - 1, k]) if x > 0 else 0
            st = _sign(level[y - 1, x, k]) if y > 0 else 0
            ctx[0] = base + _SIGN + k * 16 + sl * 3 + st
            if code(state, data, prob, count, weight, ctx, 1, weights + 75, 1 if v < 0 else 0):
                out = -out
            nonzero += 1
        if not writing:
            level[y, x, k] = min(MAX_LEVEL, max(-MAX_LEVEL, out + expected))
        a[k] = abs(out)
        if k > 0:
            total += abs(out)
    if not writing and got == 0:
        level[y, x, 0] = _guess(level, y, x)


@nb.njit(f"void({STATE}, {MODELS}, int64, int32[:, :, ::1], int32[:, :, ::1], int32[:, :, ::1])", cache=True)
def code_plane(state, data, prob, count, weight, plane, level, luma, other):
    """Code the numbers ``[h, w, 64]`` of a plane; planes 1 and 2 use ``luma`` ``[2 h, 2 w, 64]``, 2 also ``other``."""
    h, w = level.shape[:2]
    writing = state[0] == 0
    base = plane * _SIZE
    ctx = np.zeros(6, np.int64)
    counts = np.zeros((h, w), np.int64)
    weights = plane * 80
    a = np.zeros(64, np.int64)
    around = np.zeros(64, np.int64)
    cross = np.zeros(64, np.int64)
    for y in range(h):
        for x in range(w):
            if state[SPENT] and not writing:
                return
            _look_around(level, y, x, around)
            _look_across(luma, other, plane, y, x, cross)
            n = _bands_used(level, y, x) if writing else 1
            left = counts[y, x - 1] if x > 0 else (counts[y - 1, x] if y > 0 else 4)
            top = counts[y - 1, x] if y > 0 else left
            corner = counts[y - 1, x + 1] if y > 0 and x + 1 < w else top
            side = 0
            for k in range(64):
                if cross[k] > 0:
                    side = _BAND[k] + 1
            at = base + _BAND_COUNT
            got = _code_bands(state, data, prob, count, weight, ctx, at, weights, left, top, corner, side, n)
            counts[y, x] = got
            _code_block(
                state, data, prob, count, weight, ctx, base, weights, level, y, x, got, left + top, around, cross, a
            )
