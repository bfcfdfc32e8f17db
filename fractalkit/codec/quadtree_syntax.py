"""The syntax of a quadtree plane: its decisions and their contexts, written once for encoding and decoding.

A plane of ``[H, W]`` samples is covered by leaves of side 4 to 2^top. It is coded from, and decoded to, three rasters:

    logs   [H/4, W/4] uint8      log2 of the side of the leaf over each cell of 4 x 4
    level  [H, W] int32          quantised cosine coefficients, each leaf's in its own place, the mean first
    maps   [H/4, W/4, 4] int32   at a leaf's first cell: contrast (0 none, 1 .. 2 CONTRASTS), isometry, and offset of
                                 the domain in rows and columns, in steps of the domain grid; or a direction (0 none,
                                 1 .. TURNS) alone

There are two segments: the tree with the means, then maps and cosines. The second uses all means, also those to the
right and below, to predict the lowest cosines.

Decoding never fails: any bytes give values in their ranges, and where the bytes end the rest is zero.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.codec.entropy import MODELS, SPENT, STATE, code, raw
from fractalkit.codes.quadtree import DIRECTIONS
from fractalkit.compiled import inner
from fractalkit.rows import copy_row

# mypy: disable-error-code="no-untyped-def, call-arg, operator, assignment, call-overload"

HIGHEST = 6  # log2 of the largest leaf's side
CONTRASTS = 8  # magnitudes of the contrast, of either sign
MAX_LEVEL = 1 << 24
BANDS = 6
RECENT = 8  # vectors of copies that are remembered
MAPS, COPIES, DIRECTED = range(3)  # what the maps of a plane are
TURNS = len(DIRECTIONS)


def scan(log: int) -> np.ndarray:
    """The order in which coefficients of a leaf are coded, along diagonals: rows and columns ``[side^2, 2]``.

    >>> scan(2)[:4].tolist()
    [[0, 0], [1, 0], [0, 1], [2, 0]]
    """
    side = 1 << log
    return np.array([(d - v, v) for d in range(2 * side - 1) for v in range(side) if 0 <= d - v < side], np.int64)


_SCANS = tuple(scan(log) for log in range(HIGHEST + 1))
_FLAT = np.concatenate(_SCANS)
_START = np.cumsum([0] + [len(s) for s in _SCANS])
_MQ = np.array([0, 1, 2, 3, 4, 5, 5, 6, 6, 6, 7, 7, 7, 7, 7], np.int64)
_LENGTH = np.array([i.bit_length() for i in range(1 << 12)], np.int64)

# first context of each kind of decision; the segment of trees and the segment of cosines have models of their own
_SPLIT, _MEAN, _MEAN_SIGN = 0, 2048, 2048 + 2 * 2240
TREE_CONTEXTS = _MEAN_SIGN + 256
TREE_SETS = 32
_LAST = 0
_LAST_BITS = _LAST + 6 * 4096
_FRACTAL = _LAST_BITS + 8192
_CONTRAST = _FRACTAL + 1024
_ADDRESS = _CONTRAST + 2048
_SIG = _ADDRESS + 4096
_SIG_SIZE = 8192
_MORE = _SIG + 6 * _SIG_SIZE
_MORE_SIZE = 8192
_SIGN = _MORE + 4 * _MORE_SIZE
COSINE_CONTEXTS = _SIGN + 512
COSINE_SETS = 160


@inner()
def length(v):
    """Bits of a number of at least 0."""
    n = 0
    while v >= 4096:
        v >>= 12
        n += 12
    return n + _LENGTH[v]


@inner()
def cells_in_order(hp, wp, height, width, top):
    """Rows and columns of all cells of 4 x 4 samples that lie in the picture, blocks row by row, each in Z-order."""
    out = np.empty(((hp >> 2) * (wp >> 2), 2), np.int64)
    n = 0
    big = 1 << top
    for by in range(0, hp, big):
        for bx in range(0, wp, big):
            for z in range(1 << (2 * (top - 2))):
                cy, cx = by >> 2, bx >> 2
                for i in range(top - 2):
                    cx += ((z >> (2 * i)) & 1) << i
                    cy += ((z >> (2 * i + 1)) & 1) << i
                if cy << 2 < height and cx << 2 < width:
                    out[n, 0], out[n, 1] = cy, cx
                    n += 1
    return out[:n]


@inner()
def magnitudes_beside(level, y, x, u, v, side):
    """Magnitudes of six neighbours of cosine (u, v) in the block at (y, x) that are coded before it; 0 for the mean."""
    d = u + v
    a1 = abs(level[y + u - 1, x + v]) if u > 0 and d > 1 else 0
    a2 = abs(level[y + u, x + v - 1]) if v > 0 and d > 1 else 0
    a3 = abs(level[y + u - 1, x + v - 1]) if u > 0 and v > 0 and d > 2 else 0
    a4 = abs(level[y + u - 2, x + v]) if u > 1 and d > 2 else 0
    a5 = abs(level[y + u, x + v - 2]) if v > 1 and d > 2 else 0
    a6 = abs(level[y + u + 1, x + v - 1]) if v > 0 and u + 1 < side else 0
    return a1, a2, a3, a4, a5, a6


@inner()
def diagonal_class(d):
    """Class of a diagonal, 0 to 7."""
    return d if d < 6 else (6 if d < 10 else 7)


@inner()
def level_classes(level, u, v, side):
    """Classes of the magnitudes around cosine (u, v) of a block, and of its diagonal."""
    a1, a2, a3, a4, a5, a6 = magnitudes_beside(level, 0, 0, u, v, side)
    m = 2 * (a1 + a2) + a3 + a4 + a5 + a6
    return _MQ[m] if m < 15 else 8, diagonal_class(u + v)


@inner(f"int64({STATE}, {MODELS}, int64, int64, int64, int64, int64)")
def _number(state, data, prob, count, weight, a, b, c, wset, value):
    """Code a number from 0: its length in unary, in contexts that begin at a, b and c, then its bits."""
    ctx = np.empty(6, np.int64)
    want = length(value)
    n = 0
    while n < 30:
        ctx[0], ctx[1], ctx[2] = a + n, b + n, c + n
        if not code(state, data, prob, count, weight, ctx, 3, wset, 1 if want > n else 0):
            break
        n += 1
    if n < 2:
        return np.int64(n)
    out = np.int64(1)
    ctx[0] = a + 32 + n
    bit = code(state, data, prob, count, weight, ctx, 1, wset + 1, (value >> (n - 2)) & 1)
    out = (out << 1) | bit
    if n > 2:
        out = (out << (n - 2)) | raw(state, data, n - 2, value & ((1 << (n - 2)) - 1))
    return out


@inner()
def _means_beside(mean, y, x, log):
    """Sum and number of the cells' means to the left of a leaf and above it; y and x in cells."""
    side = 1 << (log - 2)
    left = top = np.int64(0)
    nl = nt = 0
    if x > 0:
        for i in range(side):
            left += mean[y + i, x - 1]
        nl = side
    if y > 0:
        for i in range(side):
            top += mean[y - 1, x + i]
        nt = side
    return left, nl, top, nt


@inner()
def _code_split(state, data, prob, count, weight, ctx, logs, guide, cy, cx, log):
    """Code whether the block of side 2^log at a cell is split."""
    l = logs[cy, cx - 1] if cx > 0 else 0
    t = logs[cy - 1, cx] if cy > 0 else 0
    g = guide[min(cy, guide.shape[0] - 1), min(cx, guide.shape[1] - 1)] if guide.size > 0 else 0
    cl = 1 if l == 0 or l == log else (2 if l < log else 0)
    ct = 1 if t == 0 or t == log else (2 if t < log else 0)
    ctx[0] = _SPLIT + log * 16 + cl * 3 + ct
    ctx[1] = _SPLIT + 128 + (log * 8 + l) * 8 + t
    ctx[2] = _SPLIT + 1024 + (log * 8 + g) * 8 + cl + ct
    writing = state[0] == 0
    want = 1 if writing and logs[cy, cx] < log else 0
    split = code(state, data, prob, count, weight, ctx, 3, log, want)
    return 0 if state[SPENT] and not writing else split


@inner()
def _code_mean(state, data, prob, count, weight, ctx, logs, level, mean, cy, cx, log):
    """Code the mean of a leaf as its difference from a prediction by the cells to the left and above."""
    writing = state[0] == 0
    y, x, cells = cy << 2, cx << 2, 1 << (log - 2)
    left, nl, above, nt = _means_beside(mean, cy, cx, log)
    about = (left + above) // (nl + nt) if nl + nt > 0 else np.int64(0)
    guess = ((about << log) + 32) >> 6
    spread = 0
    if nl > 0 and nt > 0:
        spread = 1 + min(5, length((abs(left - above) // cells << log) >> 7))
    r = level[y, x] - guess if writing else np.int64(0)
    base = _MEAN + ((log - 2) * 7 + spread) * 64
    m = _number(state, data, prob, count, weight, base, base - spread * 64 + 2240, base, 8 + 2 * (log - 2), abs(r))
    if m > 0:
        ctx[0] = _MEAN_SIGN + log * 8 + spread
        if code(state, data, prob, count, weight, ctx, 1, 20, 1 if r < 0 else 0):
            m = -m
    if not writing:
        if state[SPENT]:
            m = 0
        level[y, x] = min(MAX_LEVEL, max(-MAX_LEVEL, guess + m))
    value = (np.int64(level[y, x]) << 6) >> log
    for i in range(cells):
        for j in range(cells):
            logs[cy + i, cx + j] = log
            mean[cy + i, cx + j] = value


@nb.njit(cache=True)
def code_tree(state, data, prob, count, weight, logs, level, mean, guide, height, width, top, bottom):
    """Code the tree and the means of a plane; ``guide`` is the tree of a plane coded before, or empty.

    ``mean`` ``[H/4, W/4]`` int64 is filled with the mean over each cell, in 1/64 of the quantiser's step.
    Cells that lie wholly beyond ``height`` and ``width`` are not coded.
    """
    hp, wp = level.shape
    ctx = np.empty(6, np.int64)
    stack = np.empty((4 * HIGHEST + 4, 3), np.int64)
    big = 1 << top
    for y0 in range(0, hp, big):
        for x0 in range(0, wp, big):
            stack[0, 0], stack[0, 1], stack[0, 2] = y0, x0, top
            n = 1
            while n > 0:
                n -= 1
                y, x, log = stack[n]
                if y >= height or x >= width:
                    continue
                cy, cx = y >> 2, x >> 2
                if log > bottom and _code_split(state, data, prob, count, weight, ctx, logs, guide, cy, cx, log):
                    half = 1 << (log - 1)
                    for i in range(3, -1, -1):
                        stack[n, 0], stack[n, 1], stack[n, 2] = y + half * (i >> 1), x + half * (i & 1), log - 1
                        n += 1
                    continue
                _code_mean(state, data, prob, count, weight, ctx, logs, level, mean, cy, cx, log)


@inner()
def _beside(mean, y, x, cells, dy, dx):
    """Mean over the cells on one side of a leaf; beyond the border of the plane, over the leaf itself."""
    h, w = mean.shape
    total = np.int64(0)
    for i in range(cells):
        yy = y + (i if dy == 0 else (-1 if dy < 0 else cells))
        xx = x + (i if dx == 0 else (-1 if dx < 0 else cells))
        if yy < 0 or xx < 0 or yy >= h or xx >= w:
            yy, xx = y, x
        total += mean[yy, xx]
    return total // cells


@inner()
def _class(p):
    """Class of a predicted coefficient in 1/16 of a step: 0 near zero, 1 to 4 positive, 5 to 8 negative."""
    a = abs(p)
    k = 0 if a < 5 else (1 if a < 11 else (2 if a < 22 else (3 if a < 45 else 4)))
    return k if p >= 0 or k == 0 else k + 4


@inner()
def _code_map(state, data, prob, count, weight, one, b):
    """Code the map of a leaf, ``one`` ``[4]`` int32: contrast, isometry and offset of the domain."""
    ctx = np.empty(6, np.int64)
    writing = state[0] == 0
    s = one[0] - 1 if writing else 0
    got = np.int64(1)
    for i in range(3, -1, -1):
        ctx[0] = _CONTRAST + b * 32 + got
        got = (got << 1) | code(state, data, prob, count, weight, ctx, 1, 151, (s >> i) & 1)
    s = got & 15
    got = np.int64(1)
    for i in range(2, -1, -1):
        ctx[0] = _CONTRAST + 1024 + b * 16 + got
        got = (got << 1) | code(state, data, prob, count, weight, ctx, 1, 152, (one[1] >> i) & 1)
    one[0], one[1] = s + 1, got & 7
    for axis in range(2):
        v = np.int64(one[2 + axis])
        base = _ADDRESS + (b * 2 + axis) * 80
        m = _number(state, data, prob, count, weight, base, base, base, 153, abs(v))
        m = min(m, 1 << 15)
        if m > 0 and raw(state, data, 1, 1 if v < 0 else 0):
            m = -m
        one[2 + axis] = m


@inner()
def _code_copy(state, data, prob, count, weight, one, recent):
    """Code the vector of a copy: one of the recent ones, by its place in their list, or a new one."""
    ctx = np.empty(6, np.int64)
    writing = state[0] == 0
    place = np.int64(0)
    if writing:
        while place < RECENT and (recent[place, 0] != one[2] or recent[place, 1] != one[3]):
            place += 1
    n = np.int64(0)
    while n < RECENT:
        ctx[0] = _CONTRAST + 512 + n
        if not code(state, data, prob, count, weight, ctx, 1, 157, 1 if place > n else 0):
            break
        n += 1
    one[0], one[1] = 1, 0
    if n < RECENT:
        one[2], one[3] = recent[n, 0], recent[n, 1]
    else:
        for axis in range(2):
            v = np.int64(one[2 + axis])
            base = _ADDRESS + 2048 + axis * 80
            m = min(_number(state, data, prob, count, weight, base, base, base, 158, abs(v)), 1 << 15)
            if m > 0 and raw(state, data, 1, 1 if v < 0 else 0):
                m = -m
            one[2 + axis] = m
    for k in range(min(n, RECENT - 1), 0, -1):
        copy_row(recent[k - 1], recent[k])
    recent[0, 0], recent[0, 1] = one[2], one[3]


@inner()
def _code_direction(state, data, prob, count, weight, value, left, above, b):
    """Code a direction, 1 to TURNS: that of the leaf to the ``left``, or ``above`` (0 for none), or another."""
    ctx = np.empty(6, np.int64)
    for k in range(2):
        near = left if k == 0 else above
        if near == 0 or (k == 1 and near == left):
            continue
        ctx[0] = _CONTRAST + 1536 + b * 8 + 4 * k + (0 if above == 0 else (1 if above == left else 2))
        if code(state, data, prob, count, weight, ctx, 1, 157, 1 if value == near else 0):
            return np.int64(near)
    got = np.int64(1)
    l = min(8, (left + 3) >> 2)
    t = min(8, (above + 3) >> 2)
    for i in range(5, -1, -1):
        ctx[0] = _ADDRESS + 2560 + b * 64 + got
        ctx[1] = _ADDRESS + 2880 + (l << 6) + got
        ctx[2] = _ADDRESS + 3456 + (t << 6) + got
        got = (got << 1) | code(state, data, prob, count, weight, ctx, 3, 159, ((value - 1) >> i) & 1)
    return min(np.int64(TURNS), (got & 63) + 1)


@inner()
def _predict(mean, cy, cx, log, pred):
    """Predict the lowest cosines of a leaf from the means around it, in 1/16 of a step; return an activity, 0 to 7."""
    side, cells = 1 << log, 1 << (log - 2)
    me = mean[cy, cx]
    ml, mr = _beside(mean, cy, cx, cells, 0, -1), _beside(mean, cy, cx, cells, 0, 1)
    mt, mb = _beside(mean, cy, cx, cells, -1, 0), _beside(mean, cy, cx, cells, 1, 0)
    pred[0] = -((mr - ml) * side * 146) >> 12
    pred[1] = -((mb - mt) * side * 146) >> 12
    pred[2] = ((ml + mr - 2 * me) * side * 37) >> 12
    pred[3] = ((mt + mb - 2 * me) * side * 37) >> 12
    spread = abs(ml - me) + abs(mr - me) + abs(mt - me) + abs(mb - me)
    return min(7, length((spread * side) >> 8))


@inner()
def _code_whether_mapped(state, data, prob, count, weight, ctx, maps, fractal, recent, cy, cx, b, busy, ll, lt, kind):
    """Code whether a leaf has a map, and the map; ``fractal`` keeps directions, or 1 for a map."""
    fl = np.int64(fractal[cy, cx - 1]) if cx > 0 else 0
    ft = np.int64(fractal[cy - 1, cx]) if cy > 0 else 0
    ctx[0] = _FRACTAL + b * 4 + min(1, fl) + min(1, ft)
    ctx[1] = _FRACTAL + 32 + b * 8 + busy
    ctx[2] = _FRACTAL + 96 + (b * 10 + ll) * 10 + lt
    want = 1 if state[0] == 0 and maps[cy, cx, 0] > 0 else 0
    wide = code(state, data, prob, count, weight, ctx, 3, 150, want)
    if wide:
        if kind == DIRECTED:
            maps[cy, cx, 0] = _code_direction(state, data, prob, count, weight, np.int64(maps[cy, cx, 0]), fl, ft, b)
        elif kind == COPIES:
            _code_copy(state, data, prob, count, weight, maps[cy, cx], recent)
        else:
            _code_map(state, data, prob, count, weight, maps[cy, cx], b)
        cells = 1 << b
        for i in range(cells):
            for j in range(cells):
                fractal[cy + i, cx + j] = maps[cy, cx, 0] if kind == DIRECTED else 1
    return wide


@inner()
def _last_diagonal(level, y, x, side):
    """The last diagonal of a leaf with a level other than 0."""
    for d in range(2 * side - 2, 0, -1):
        for v in range(max(0, d - side + 1), min(d, side - 1) + 1):
            if level[y + d - v, x + v] != 0:
                return d
    return 0


@inner()
def _code_last(state, data, prob, count, weight, ctx, b, end, ll, lt, lg, busy, wide, pred, second):
    """Code the last diagonal: its length in bits in unary, then the bits."""
    a = _LAST + ((b * 10 + ll) * 10 + lt) * 8
    c1 = _LAST + 4096 + ((b * 8 + busy) * 2 + wide) * 8
    c2 = _LAST + 2 * 4096 + ((b * 10 + lg) * 10 + min(9, (ll + lt + 1) >> 1)) * 8
    c3 = _LAST + 3 * 4096 + (((b * 5 + _class(pred[0]) % 5) * 5 + _class(pred[1]) % 5) * 2 + second) * 8
    want = length(end)
    n = 0
    while n < b + 3:
        ctx[0], ctx[1], ctx[2], ctx[3] = a + n, c1 + n, c2 + n, c3 + n
        if not code(state, data, prob, count, weight, ctx, 4, b * 8 + n, 1 if want > n else 0):
            break
        n += 1
    if n < 2:
        return np.int64(n)
    got = np.int64(1)
    for i in range(n - 2, -1, -1):
        ctx[0] = _LAST_BITS + ((b * 8 + n) << 6) + (got & 63)
        ctx[1] = _LAST_BITS + 4096 + ((((ll + lt + 1) >> 1) * 8 + n) << 5) + min(31, got)
        bit = code(state, data, prob, count, weight, ctx, 2, 48 + b, (end >> i) & 1)
        got = (got << 1) | bit
    return min(got, 2 * (4 << b) - 2)


@inner()
def _blank(level, maps, y, x, side):
    """Clear a leaf within which the bytes ended."""
    for u in range(side):
        for v in range(side):
            if u + v > 0:
                level[y + u, x + v] = 0
    if maps.size > 0:
        maps[y >> 2, x >> 2, 0] = 0


@inner()
def _note_activity(last, act, sums, cy, cx, cells, near):
    """Write the activity of a leaf, overall and by band, to its cells."""
    for i in range(cells):
        for j in range(cells):
            last[cy + i, cx + j] = near
            for k in range(BANDS):
                if sums[1, k] > 0:
                    act[cy + i, cx + j, k] = min(7, length(sums[0, k] * 16 // sums[1, k]))
                elif k > 0:
                    act[cy + i, cx + j, k] = act[cy + i, cx + j, k - 1]


@nb.njit(cache=True)
def code_cosines(
    state, data, prob, count, weight, logs, level, maps, mean, guide, height, width, top, second, kind
):  # fmt: skip
    """Code maps and cosines of a plane whose tree and means are known, and return its activity ``[H/4, W/4]`` uint8.

    ``guide`` is the activity of a plane coded before, or empty. ``kind`` is what the maps are: COPIES have contrast 1
    and an offset in samples.
    """
    hp, wp = level.shape
    writing = state[0] == 0
    ctx = np.empty(6, np.int64)
    act = np.zeros((logs.shape[0], logs.shape[1], BANDS), np.uint8)
    last = np.zeros(logs.shape, np.uint8)
    fractal = np.zeros(logs.shape, np.uint8)
    recent = np.zeros((RECENT, 2), np.int64)
    pred = np.zeros(4, np.int64)
    sums = np.zeros((2, BANDS), np.int64)
    order = cells_in_order(hp, wp, height, width, top)
    for n in range(len(order)):
        cy, cx = order[n]
        y, x = cy << 2, cx << 2
        log = np.int64(logs[cy, cx])
        cells = 1 << (log - 2)
        if (cy & (cells - 1)) or (cx & (cells - 1)):
            continue
        if state[SPENT] and not writing:
            return last
        side = 1 << log
        b = log - 2
        busy = _predict(mean, cy, cx, log, pred)
        ll = np.int64(last[cy, cx - 1]) if cx > 0 else 0
        lt = np.int64(last[cy - 1, cx]) if cy > 0 else 0
        lg = np.int64(guide[cy, cx]) if guide.size > 0 else 0
        wide = 0
        if maps.size > 0:
            wide = _code_whether_mapped(
                state, data, prob, count, weight, ctx, maps, fractal, recent, cy, cx, b, busy, ll, lt,
                kind,
            )  # fmt: skip
        if wide and kind == DIRECTED:
            pred[:2] = 0
        end = _last_diagonal(level, y, x, side) if writing else 0
        end = _code_last(state, data, prob, count, weight, ctx, b, end, ll, lt, lg, busy, wide, pred, second)
        sums[:] = 0
        if end > 0:
            _code_levels(state, data, prob, count, weight, level, y, x, log, end, wide, second, pred, act, cy, cx, sums)
        if state[SPENT] and not writing:
            _blank(level, maps, y, x, side)
            return last
        near = min(9, (end * 9 + 2 * side - 3) // (2 * side - 2))
        _note_activity(last, act, sums, cy, cx, cells, near)
    return last


@inner()
def _code_magnitude(state, data, prob, count, weight, ctx, a, mq, mm, b, nearby, second, d, place, rest, p, wide):
    """Code a magnitude above 0: in unary up to 15, then as a number."""
    n = 1
    while n < 15:
        i = n - 1
        ctx[0] = _MORE + (i * 16 + mm) * 6 + b
        ctx[1] = _MORE + _MORE_SIZE + ((i * 16 + nearby) * 2 + second) * 4 + min(3, d >> 1)
        ctx[2] = _MORE + 2 * _MORE_SIZE + (i * 5 + b) * 64 + place
        ctx[3] = _MORE + 3 * _MORE_SIZE + ((i * 8 + rest) * 9 + p) * 2 + wide
        if not code(state, data, prob, count, weight, ctx, 4, 104 + min(i, 3) * 9 + mq, 1 if a > n else 0):
            break
        n += 1
    if n == 15:
        ctx[0] = _SIGN + 256
        n += _number(state, data, prob, count, weight, _SIGN + 256, _SIGN + 256, _SIGN + 256, 154, a - 15)
    return n


@inner()
def _code_levels(state, data, prob, count, weight, level, y, x, log, end, wide, second, pred, act, cy, cx, sums):
    ctx = np.empty(6, np.int64)
    side = 1 << log
    b = log - 2
    shrink = max(0, log - 3)
    first = _START[log]
    writing = state[0] == 0
    for k in range(1, side * side):
        u, v = _FLAT[first + k, 0], _FLAT[first + k, 1]
        d = u + v
        if d > end:
            break
        a1, a2, a3, a4, a5, a6 = magnitudes_beside(level, y, x, u, v, side)
        m = 2 * (a1 + a2) + a3 + a4 + a5 + a6
        mq = _MQ[m] if m < 15 else 8
        band = min(BANDS - 1, _LENGTH[max(u, v) * 32 >> log])
        nearby = (np.int64(act[cy, cx - 1, band]) if cx > 0 else 0) + (np.int64(act[cy - 1, cx, band]) if cy > 0 else 0)
        p = 0
        if d <= 2 and u * v == 0:
            p = _class(pred[(2 if d == 2 else 0) + (1 if u > 0 else 0)])
        rest = min(7, end - d)
        place = (u >> shrink) * 8 + (v >> shrink)
        dq = diagonal_class(d)
        kind = b * 2 + second
        ctx[0] = _SIG + (kind * 9 + mq) * 8 + dq
        ctx[1] = _SIG + _SIG_SIZE + kind * 64 + place
        ctx[2] = _SIG + 2 * _SIG_SIZE + ((nearby * 6 + min(mq, 5)) * 6 + band) * 2 + second
        ctx[3] = _SIG + 3 * _SIG_SIZE + ((kind * 8 + rest) * 9 + mq) * 2 + (1 if d > 3 else 0)
        ctx[4] = (
            _SIG + 4 * _SIG_SIZE + (((min(a1, 2) * 3 + min(a2, 2)) * 3 + min(a3, 2)) * 3 + min(a6, 2)) * 16 + min(15, d)
        )
        ctx[5] = _SIG + 5 * _SIG_SIZE + ((p * 5 + b) * 2 + wide) * 16 + (u if d <= 2 else 3 + min(12, nearby))
        q = np.int64(level[y + u, x + v]) if writing else np.int64(0)
        a = abs(q)
        big = code(state, data, prob, count, weight, ctx, 6, 54 + b * 9 + mq, 1 if a > 0 else 0)
        if big:
            n = _code_magnitude(
                state, data, prob, count, weight, ctx, a, mq, min(15, (m + 1) >> 1), b, nearby, second, d, place, rest,
                p, wide,
            )  # fmt: skip
            if p > 0:
                ctx[0] = _SIGN + (p * 5 + b) * 4 + d
                negative = code(state, data, prob, count, weight, ctx, 1, 156, 1 if q < 0 else 0)
            else:
                negative = raw(state, data, 1, 1 if q < 0 else 0)
            n = min(n, MAX_LEVEL)
            if not writing:
                level[y + u, x + v] = -n if negative else n
            sums[0, band] += n
        sums[1, band] += 1
