"""The syntax of neural collages: blocks of 64 whole numbers in zigzag order, plane after plane.

Numbers are coded from low to high frequency, in bands; a block first says how many bands it has. Each decision is
mixed from contexts of magnitudes left, above, at lower frequencies here and in planes before. Reading never fails:
values stay in their range, and where the bytes end the rest is zero.
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
def _energy(level, y, x, band):
    out = np.int64(0)
    for k in range(_EDGES[band], _EDGES[band + 1]):
        out += abs(level[y, x, k])
    return out


@nb.njit(f"void({STATE}, {MODELS}, int64, int32[:, :, ::1], int32[:, :, ::1], int32[:, :, ::1])", cache=True)
def code_plane(state, data, prob, count, weight, plane, level, luma, other):
    """Numbers ``[h, w, 64]`` of a plane, both ways; 1 and 2 look at ``luma`` ``[2 h, 2 w, 64]``, 2 at ``other``."""
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
            for k in range(64):
                v = np.int64(0)
                if x > 0:
                    v += 2 * abs(level[y, x - 1, k])
                elif y > 0:
                    v += 2 * abs(level[y - 1, x, k])
                if y > 0:
                    v += 2 * abs(level[y - 1, x, k])
                    if x > 0:
                        v += abs(level[y - 1, x - 1, k])
                    if x + 1 < w:
                        v += abs(level[y - 1, x + 1, k])
                elif x > 0:
                    v += 2 * abs(level[y, x - 1, k])
                around[k] = v
                v = np.int64(0)
                if plane > 0:
                    for i in range(2):
                        for j in range(2):
                            v += abs(luma[2 * y + i, 2 * x + j, k])
                    if plane == 2:
                        v += 4 * abs(other[y, x, k])
                cross[k] = v
            n = 1
            while writing and n > 0:  # bands in use, from the top
                n = BANDS
                while n > 0:
                    used = 0
                    for k in range(_EDGES[n - 1], _EDGES[n]):
                        v = level[y, x, k]
                        if n == 1:
                            v = v - _guess(level, y, x)
                        if v != 0:
                            used = 1
                    if used:
                        break
                    n -= 1
                break
            left = counts[y, x - 1] if x > 0 else (counts[y - 1, x] if y > 0 else 4)
            top = counts[y - 1, x] if y > 0 else left
            side = 0
            if plane > 0:
                side = 0
                for k in range(64):
                    if cross[k] > 0:
                        side = _BAND[k] + 1
            corner = counts[y - 1, x + 1] if y > 0 and x + 1 < w else top
            got = 0
            while got < BANDS:
                at = base + _BAND_COUNT + got * 64
                ctx[0] = at + min(left + top, 16)
                ctx[1] = at + 512 + left * 7 + min(side, 6)
                ctx[2] = at + 1024 + min((left + top + corner), 24) + (32 if side > got else 0)
                bit = code(state, data, prob, count, weight, ctx, 3, weights + got, 1 if n > got else 0)
                if not bit:
                    break
                got += 1
            counts[y, x] = got
            for k in range(64):
                a[k] = 0
            nonzero = 0
            total = np.int64(0)
            for k in range(_EDGES[got]):
                expected = _guess(level, y, x) if k == 0 else np.int64(0)
                v = np.int64(level[y, x, k]) - expected if writing else np.int64(0)
                near = np.int64(0)
                for j in range(5):
                    p = _NEAR[k, j]
                    if p > 0:
                        near += a[p] * (2 if j < 2 else 1)
                r = around[k]
                if k == 0:  # how rough the means are here
                    if y > 0 and x > 0:
                        r = abs(np.int64(level[y, x - 1, 0]) - level[y - 1, x - 1, 0]) + abs(
                            np.int64(level[y - 1, x, 0]) - level[y - 1, x - 1, 0]
                        )
                    near = np.int64(left + top)
                wide = np.int64(0)
                for q in range(max(1, k - 2), min(64, k + 3)):
                    wide += around[q]
                wide //= 3
                c = _bucket(cross[k])
                br, bn, bw = _bucket(r), _bucket(near), _bucket(wide)
                mean = _bucket(total * 4 // (k + 1))
                at = base + _SIG + k * 64
                ctx[0] = at + br * 6 + min(bn, 5)
                ctx[1] = at + 4096 + bn * 6 + min(mean, 5)
                ctx[2] = at + 8192 + _bucket((r + near + 1) // 2) * 6 + min(c, 5)
                ctx[3] = at + 12288 + bw * 6 + min(mean, 5)
                ctx[4] = at + 16384 + c * 6 + min(bw, 5)
                ctx[5] = at + 20480 + got * 6 + min(nonzero, 5)
                bit = code(state, data, prob, count, weight, ctx, 6, weights + 8 + min(k, 40), 1 if v != 0 else 0)
                out = np.int64(0)
                if bit:
                    m = abs(v)
                    out = np.int64(1)
                    energy = _bucket((r + near + 1) // 2)
                    while out < 18:
                        u = min(out - 1, 7)
                        at = base + _MORE + (_BAND[k] * 8 + u) * 64
                        ctx[0] = at + energy * 6 + min(c, 5)
                        ctx[1] = at + 8192 + bw * 6 + min(mean, 5)
                        ctx[2] = base + _MORE + 16384 + k * 8 + u
                        bit = code(
                            state, data, prob, count, weight, ctx, 3, weights + 52 + min(out, 20), 1 if m > out else 0
                        )
                        if not bit:
                            break
                        out += 1
                    if out == 18:  # the rest by Elias: length, then bits
                        rest = m - 18
                        size = 0
                        while size < 20 and (rest + 1) >> (size + 1) > 0:
                            size += 1
                        size = raw(state, data, 5, size)
                        size = min(size, 20)
                        tail = raw(state, data, size, (rest + 1) & ((1 << size) - 1))
                        out = 18 + (1 << size) + tail - 1
                    ctx[0] = base + _SIGN + k * 16
                    sl = 0
                    if x > 0:
                        sl = 1 if level[y, x - 1, k] > 0 else (2 if level[y, x - 1, k] < 0 else 0)
                    st = 0
                    if y > 0:
                        st = 1 if level[y - 1, x, k] > 0 else (2 if level[y - 1, x, k] < 0 else 0)
                    ctx[0] = base + _SIGN + k * 16 + sl * 3 + st
                    negative = code(state, data, prob, count, weight, ctx, 1, weights + 75, 1 if v < 0 else 0)
                    if negative:
                        out = -out
                    nonzero += 1
                if not writing:
                    level[y, x, k] = min(MAX_LEVEL, max(-MAX_LEVEL, out + expected))
                a[k] = abs(out)
                if k > 0:
                    total += abs(out)
            if not writing and got == 0:
                level[y, x, 0] = _guess(level, y, x)
