"""The syntax of a cloud's collage: which decisions are made in which contexts, once, for writing and for reading.

A cloud is cut in two again and again; the leaves of that binary tree are the ranges, any inner node may be a domain.
A range is the image of its domain under the affine map that takes the domain's mean and covariance to the range's, so
that beside the domain only moments and an orthogonal matrix are coded:

    tree      breadth first: whether a node is cut, the shares of mass of its parts (a half, or 12 bits), and the
              difference of their means. By these the mean of every node is known, from coarse to fine. Steps become
              finer by a square root of two from level to level towards the root, as those of a Haar transform.
    colours   the same tree again: differences of the mean colours of the parts, luma and two chroma.
    shapes    for each leaf, the Cholesky factor of its covariance, in the frame of the tangent plane and the extents
              that the means around and above it suggest: six numbers, the extents as differences.
    maps      for each leaf: turn about the normal by eighths, mirrored or not, face up or down; how far down the domain
              is in the list of nodes of suitable mass, sorted by likeness of shape; the contrast of colours.

Segments in this order, each range-coded by itself; a file without colours has no second one. Contexts depend on the
geometry, see :mod:`fractalkit.codec.cloud_geometry`. Reading never fails, whatever the bytes: all values stay in their
ranges, and where the bytes end the tree is cut no further, the rest is as predicted.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.codec import cloud_geometry as geometry
from fractalkit.codec.entropy import END, MODELS, POSITION, SPENT, STATE, bits_of, code, raw
from fractalkit.rows import copy_row

# mypy: disable-error-code="no-untyped-def, call-arg, operator, assignment"

MAX_LEAVES = 1 << 16
MAX_DEPTH = 48
MAX_LEVEL = 1 << 20
TURNS = 32  # turns about the normal by eighths, mirrored or not, face up or down
CONTRASTS = 8
SLACK = 2  # bytes beyond the end of a segment that was cut off, from which on what is read is not believed
_BLOCK = 64  # contexts of a number: lengths in unary, then the bits behind the first by length, then the sign
_CUT, _SHARE, _DIFFERENCE = 0, 1024, 1026
TREE_CONTEXTS = _DIFFERENCE + 9 * 16 * _BLOCK
SHAPE_CONTEXTS = 18 * 16 * _BLOCK
_TURN, _RANK, _CONTRAST = 0, 64, 64 + 32 * _BLOCK
MAP_CONTEXTS = _CONTRAST + 64
COLOUR_CONTEXTS = 9 * 16 * _BLOCK
SETS = 128


@nb.njit(cache=True, inline="always")
def quantised(v, step):
    """The nearest multiple of a step, half away from zero, within the range of levels."""
    q = v / step
    if not abs(q) < MAX_LEVEL:
        return np.int64(MAX_LEVEL) if q > 0 else np.int64(-MAX_LEVEL)
    return np.int64(q + 0.5) if q >= 0 else -np.int64(0.5 - q)


@nb.njit(cache=True, inline="always")
def class_of(v, step):
    """Sixteen classes of a length, by half octaves in units of a step."""
    q = v / step
    n = 0
    edge = 0.35
    while n < 15 and q > edge:
        edge *= 1.4142135623730951
        n += 1
    return n


@nb.njit(cache=True, inline="always")
def finer(base, depth):
    """By how much steps are finer at the cut of a node of some depth."""
    fine = 1.0
    for _ in range(base - depth - 1):
        fine *= 0.7071067811865476
    return fine


@nb.njit(f"int64({STATE}, {MODELS}, int64, int64, int64, int64, int64)", cache=True)
def number(state, data, prob, count, weight, a, b, c, wset, value):
    """A signed number in three contexts: the length of its magnitude in unary, its highest bits, the rest, the sign."""
    ctx = np.empty(6, np.int64)
    size = abs(value)
    want = bits_of(size)
    n = 0
    while n < 21:
        ctx[0], ctx[1], ctx[2] = a + n, b + n, c + n
        if not code(state, data, prob, count, weight, ctx, 3, wset + min(n, 3), 1 if want > n else 0):
            break
        n += 1
    if n == 0:
        return np.int64(0)
    out = np.int64(1)
    left = n - 1
    if left > 0:
        ctx[0], ctx[1], ctx[2] = a + 22 + min(n, 8), b + 22 + min(n, 8), c + 22 + min(n, 8)
        out = (out << 1) | code(state, data, prob, count, weight, ctx, 3, wset + 4, (size >> (left - 1)) & 1)
        left -= 1
    if left > 0:
        at = 31 + 2 * min(n, 10) + (out & 1)
        ctx[0], ctx[1], ctx[2] = a + at, b + at, c + at
        out = (out << 1) | code(state, data, prob, count, weight, ctx, 3, wset + 5, (size >> (left - 1)) & 1)
        left -= 1
    if left > 0:
        out = (out << left) | raw(state, data, left, size & ((1 << left) - 1))
    ctx[0], ctx[1], ctx[2] = a + 60, b + 60, c + 60
    minus = code(state, data, prob, count, weight, ctx, 3, wset + 6, 1 if value < 0 else 0)
    return -out if minus else out


@nb.njit(cache=True, inline="always")
def _over(state, cut):
    """Whether reading has come to the end of the bytes; ``cut``: of a segment that was cut off."""
    return state[0] == 1 and (state[SPENT] != 0 or (cut and state[POSITION] >= state[END] + SLACK))


@nb.njit(cache=True)
def _code_cut(state, data, prob, count, weight, ctx, cut, near, rough, tangent_step, normal_step, level, n):
    """Whether a node is cut; ``near`` is how far its neighbours are, ``level`` its depth below the base's."""
    flat = class_of(rough, normal_step)
    ctx[0] = _CUT + class_of(near, tangent_step * 0.7) * 16 + flat
    ctx[1] = _CUT + 256 + max(0, min(31, level + 16)) * 4 + min(3, n - 1)
    ctx[2] = _CUT + 512 + max(0, min(15, level + 8)) * 16 + flat
    return code(state, data, prob, count, weight, ctx, 3, 0, cut)


@nb.njit(cache=True)
def _code_share(state, data, prob, count, weight, ctx, share):
    """The share of the first part in 4096ths: a half, or twelve bits."""
    ctx[0] = _SHARE
    if code(state, data, prob, count, weight, ctx, 1, 1, 1 if share != 2048 else 0):
        return max(np.int64(1), raw(state, data, 12, share))
    return np.int64(2048)


@nb.njit(cache=True)
def _code_difference(state, data, prob, count, weight, level, extents, rough, ts, ns, below, dim):
    """The difference of two means in the frame of their parent; ``level`` ``[3]`` in steps."""
    expect = quantised(1.7320508075688772 * extents[0], ts)
    deep = max(0, min(15, below + 10))
    wide, thin, flat = class_of(extents[0], ts), class_of(extents[1], ts), class_of(rough, ns)
    for k in range(3):
        if k >= dim:
            level[k] = 0
            continue
        base = _DIFFERENCE + k * 48 * _BLOCK
        a = base + (wide if k == 0 else (thin if k == 1 else flat)) * _BLOCK
        b = base + (16 + (flat if k == 0 else (wide if k == 1 else thin))) * _BLOCK
        c = base + (32 + deep) * _BLOCK
        about = expect if k == 0 else 0
        v = number(state, data, prob, count, weight, a, b, c, 8 + 8 * k, level[k] - about)
        level[k] = max(-MAX_LEVEL, min(MAX_LEVEL, v + about))


@nb.njit(cache=True)
def _turned(level, share, source, o, origin, size, axes, ts, ns):
    """What the writer codes of node ``o`` of its tree; parts of a half each change places so that the first level is
    not negative."""
    first, second = source[0][o, 0], source[0][o, 1]
    for k in range(3):
        v = 0.0
        for l in range(3):
            v += axes[k, l] * (source[2][first, l] - source[2][second, l])
        level[k] = quantised(v, ns if k == 2 else ts)
    if level[0] < 0 and share == 2048:
        first, second = second, first
        for k in range(3):
            level[k] = -level[k]
    origin[size], origin[size + 1] = first, second


@nb.njit(cache=True)
def _grow(i, size, d, kids, live, share, mean, guess, depth, p):
    """Give node ``i`` its parts, whose means are ``d`` apart."""
    q = p / 4096.0
    kids[i, 0], kids[i, 1], live[i], share[i] = size, size + 1, 1, p
    for k in range(3):
        mean[size, k] = min(4.0, max(-4.0, mean[i, k] + (1.0 - q) * d[k]))
        mean[size + 1, k] = min(4.0, max(-4.0, mean[i, k] - q * d[k]))
    geometry.halve(guess[i], d, q, guess[size])
    geometry.halve(guess[i], d, 1.0 - q, guess[size + 1])
    depth[size] = depth[size + 1] = depth[i] + 1


@nb.njit(cache=True)
def code_tree(state, data, prob, count, weight, source, origin, kids, live, share, mean, guess, depth, tangent_step,
              normal_step, base, dim, cut):  # fmt: skip
    """The tree; returns the number of nodes.

    Writing takes ``source``: children ``[S, 2]`` (-1 of a leaf), shares ``[S]`` and means ``[S, 3]`` of its tree, and
    fills ``origin`` ``[M]`` with which of them each node is. All other arrays, of length M, are filled by both ways;
    ``guess`` ``[M, 3, 3]`` begins with the root's.
    """
    writing = state[0] == 0
    most = len(mean)
    low, high = np.zeros((most, 3)), np.zeros((most, 3))
    view = geometry.new_view()
    axes, extents, far = view[0], view[1], view[3]
    level, d = np.zeros(3, np.int64), np.zeros(3)
    ctx = np.empty(6, np.int64)
    begin, end, size = 0, 1, 1
    while begin < end:
        geometry.boxes(kids, live, size, mean, low, high)
        known = live.copy()  # neighbours are sought among the nodes of the level before
        for i in range(begin, end):
            if depth[i] >= MAX_DEPTH or size + 2 > most:
                continue
            fine = finer(base, depth[i])
            ts, ns = tangent_step * fine, normal_step * fine
            n, rough = geometry.look(view, kids, known, mean, low, high, mean[i], guess[i], dim)
            near = np.sqrt(far[min(n - 1, 3)])
            o = origin[i] if writing else 0
            want = 1 if writing and source[0][o, 0] >= 0 else 0
            below = depth[i] - base
            want = _code_cut(
                state, data, prob, count, weight, ctx, want, near, rough, tangent_step, normal_step, below, n
            )
            if _over(state, cut):
                return size
            if not want:
                continue
            p = _code_share(state, data, prob, count, weight, ctx, source[1][o] if writing else np.int64(0))
            if writing:
                _turned(level, p, source, o, origin, size, axes, ts, ns)
            _code_difference(state, data, prob, count, weight, level, extents, rough, ts, ns, below, dim)
            if _over(state, cut):
                return size
            for k in range(3):
                d[k] = axes[0, k] * ts * level[0] + axes[1, k] * ts * level[1] + axes[2, k] * ns * level[2]
            _grow(i, size, d, kids, live, share, mean, guess, depth, p)
            size += 2
        begin, end = end, size
    return size


@nb.njit(cache=True)
def leaves_in_order(kids, live):
    """The leaves of a tree from left to right, and for every node the interval ``[M, 2]`` of those below it."""
    most = len(live)
    order, span = np.zeros(most, np.int64), np.zeros((most, 2), np.int64)
    stack = np.zeros((2 * MAX_DEPTH + 8, 2), np.int64)
    top, n = 1, 0
    while top > 0:
        top -= 1
        i, back = stack[top]
        if back:
            span[i, 1] = n
            continue
        span[i, 0] = n
        if live[i]:
            stack[top, 0], stack[top, 1] = i, 1
            stack[top + 1, 0], stack[top + 1, 1] = kids[i, 1], 0
            stack[top + 2, 0], stack[top + 2, 1] = kids[i, 0], 0
            top += 3
        else:
            order[n] = i
            n += 1
            span[i, 1] = n
    return order[:n].copy(), span


@nb.njit(cache=True)
def code_shapes(state, data, prob, count, weight, target, kids, live, mean, guess, order, cov, tangent_step,
                normal_step, dim, cut):  # fmt: skip
    """Covariances of leaves: ``target`` ``[R, 3, 3]`` is what the writer has, ``cov`` ``[M, 3, 3]`` what is read."""
    size = len(mean)
    writing = state[0] == 0
    low, high = np.zeros((size, 3)), np.zeros((size, 3))
    geometry.boxes(kids, live, size, mean, low, high)
    view = geometry.new_view()
    axes, extents = view[0], view[1]
    f, matrix = np.zeros((3, 3)), np.zeros((3, 3))
    _q, about, off, last = (np.zeros(6, np.int64), np.zeros(6, np.int64), np.zeros(6, np.int64), np.zeros(6, np.int64))
    over = False
    for r in range(len(order)):
        i = order[r]
        _, rough = geometry.look(view, kids, live, mean, low, high, mean[i], guess[i], dim)
        about[0], about[2] = quantised(extents[0], tangent_step), quantised(extents[1], tangent_step)
        off[:] = 0
        if writing:
            _factor(target[r], axes, matrix, f)
            for k in range(3 if dim == 2 else 6):
                a, b = _PLACE[k]
                off[k] = quantised(f[a, b], normal_step if a == 2 else tangent_step) - about[k]
        if not over:
            _code_shape(state, data, prob, count, weight, off, last, extents, rough, tangent_step, normal_step, dim)
            over = _over(state, cut)
        if over:
            off[:] = 0
        copy_row(off, last)
        f[:] = 0.0
        for k in range(6):
            a, b = _PLACE[k]
            f[a, b] = max(-MAX_LEVEL, min(MAX_LEVEL, off[k] + about[k])) * (normal_step if a == 2 else tangent_step)
        _covariance(f, axes, matrix, cov[i])


@nb.njit(cache=True)
def _code_shape(state, data, prob, count, weight, off, last, extents, rough, tangent_step, normal_step, dim):
    """The six numbers of a leaf: off ``[6]``; last: those of the leaf before."""
    wide, thin, flat = (class_of(extents[0], tangent_step), class_of(extents[1], tangent_step),
                        class_of(rough, normal_step))  # fmt: skip
    for k in range(3 if dim == 2 else 6):
        base = k * 48 * _BLOCK
        steep = class_of(extents[0] if k != 4 else extents[1], normal_step)
        beside = abs(last[k])
        if k > 3:
            beside += (abs(off[3]) + (abs(off[4]) if k == 5 else 0)) // 2
        a = base + (flat if k > 2 else (wide if k < 2 else thin)) * _BLOCK
        b = base + (16 + min(15, beside)) * _BLOCK
        c = base + (32 + steep) * _BLOCK
        off[k] = number(state, data, prob, count, weight, a, b, c, 8 * k, off[k])


_PLACE = np.array([[0, 0], [1, 0], [1, 1], [2, 0], [2, 1], [2, 2]])


@nb.njit(cache=True)
def _factor(c, axes, matrix, f):
    """Cholesky factor of a covariance in the frame of axes; zero where it has no extent."""
    for i in range(3):
        for j in range(3):
            v = 0.0
            for k in range(3):
                for l in range(3):
                    v += axes[i, k] * c[k, l] * axes[j, l]
            matrix[i, j] = v
    f[:] = 0.0
    for j in range(3):
        v = matrix[j, j]
        for k in range(j):
            v -= f[j, k] * f[j, k]
        f[j, j] = np.sqrt(max(v, 0.0))
        for i in range(j + 1, 3):
            v = matrix[i, j]
            for k in range(j):
                v -= f[i, k] * f[j, k]
            f[i, j] = v / f[j, j] if f[j, j] > 1e-12 else 0.0


@nb.njit(cache=True)
def _covariance(f, axes, rows, out):
    """Covariance of a Cholesky factor in a frame."""
    for i in range(3):
        for k in range(3):
            v = 0.0
            for a in range(3):
                v += f[a, i] * axes[a, k]
            rows[i, k] = v
    for k in range(3):
        for l in range(3):
            out[k, l] = rows[0, k] * rows[0, l] + rows[1, k] * rows[1, l] + rows[2, k] * rows[2, l]


@nb.njit(cache=True)
def candidates(mass, likeness, inner, r, out, far):
    """The nodes that may be a leaf's domain, the likest first, at most as many as fit; how many.

    Args:
        mass: share of the whole ``[M]``.
        likeness: features ``[M, 2]``: the second and third extent over the first.
        inner: numbers of the inner nodes.
        r: the leaf's node.
    """
    n = 0
    for i in inner:
        if mass[i] < 1.9 * mass[r] or mass[i] > 48.0 * mass[r]:
            continue
        a, b = likeness[i, 0] - likeness[r, 0], likeness[i, 1] - likeness[r, 1]
        m = mass[r] * 8.0 / mass[i] if mass[i] > 8.0 * mass[r] else mass[i] / (8.0 * mass[r])
        d = a * a + 4.0 * b * b + 0.02 * (1.0 - m)
        n = geometry.insert(far, out, n, d, i)
    if n == 0:  # the whole cloud
        out[0] = 0
        n = 1
    return n


@nb.njit(cache=True)
def all_candidates(mass, likeness, inner, order, ranks):
    """:func:`candidates` of the leaves ``order``: numbers ``[R, ranks]``, and how many of each."""
    out, n = np.zeros((len(order), ranks), np.int32), np.zeros(len(order), np.int64)
    far = np.zeros(ranks)
    for r in range(len(order)):
        n[r] = candidates(mass, likeness, inner, order[r], out[r], far)
    return out, n


@nb.njit(cache=True)
def code_maps(state, data, prob, count, weight, turn, rank, contrast, coloured, dim, ranks, cut):
    """Turn, rank of the domain and contrast of colours of each leaf; all ``[R]`` int64, 0 where the bytes end."""
    ctx = np.empty(6, np.int64)
    over = False
    for r in range(len(turn)):
        got = np.int64(1)
        for i in range(4 if dim == 3 else 3, -1, -1):
            ctx[0] = _TURN + got
            got = (got << 1) | code(state, data, prob, count, weight, ctx, 1, 0, (turn[r] >> i) & 1)
        far = np.int64(0)
        if ranks > 1:
            far = number(state, data, prob, count, weight, _RANK, _RANK, _RANK, 8, rank[r])
        tone = np.int64(1)
        if coloured:
            for i in range(2, -1, -1):
                ctx[0] = _CONTRAST + tone
                tone = (tone << 1) | code(state, data, prob, count, weight, ctx, 1, 16, (contrast[r] >> i) & 1)
        over = over or _over(state, cut)
        turn[r] = 0 if over else got & (31 if dim == 3 else 15)
        rank[r] = 0 if over else min(abs(far), ranks - 1)
        contrast[r] = 0 if over or not coloured else tone & 7


@nb.njit(cache=True)
def code_colours(state, data, prob, count, weight, target, kids, live, share, depth, colour, step, base, cut):
    """Mean colours ``[M, 3]`` of all nodes, from the root's down; ``target`` ``[M, 3]`` is what the writer has."""
    size = len(colour)
    writing = state[0] == 0
    over = False
    was = np.zeros((size, 3), np.int64)
    for k in range(3):
        v = quantised(target[0, k], 0.00390625) if writing else np.int64(0)
        v = raw(state, data, 10, v + 512) - 512
        over = over or _over(state, cut)
        colour[0, k] = 0.0 if over else v * 0.00390625
    for i in range(size):
        if not live[i]:
            continue
        a, b = kids[i, 0], kids[i, 1]
        fine = finer(base, depth[i])
        p = share[i] / 4096.0
        for k in range(3):
            s = step[k] * fine
            v = np.int64(0)
            if not over:
                # what the parts are apart, seen from the colour that the reader has of the whole
                v = quantised(target[a, k] - target[b, k], s) if writing else np.int64(0)
                c0 = k * 16 * _BLOCK
                before = min(15, abs(was[a, 0]) + abs(was[a, 1])) if k else min(15, abs(was[i, 0]))
                v = number(
                    state, data, prob, count, weight, c0 + min(15, abs(was[i, k])) * _BLOCK,
                    c0 + (48 + before) * _BLOCK, c0 + (96 + max(0, min(15, depth[i] - base + 10))) * _BLOCK, 8 * k, v,
                )  # fmt: skip
                over = _over(state, cut)
            if over:
                v = np.int64(0)
            was[a, k] = was[b, k] = max(-MAX_LEVEL, min(MAX_LEVEL, v))
            colour[a, k] = min(2.0, max(-2.0, colour[i, k] + (1.0 - p) * v * s))
            colour[b, k] = min(2.0, max(-2.0, colour[i, k] - p * v * s))
