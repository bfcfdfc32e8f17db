"""Copy one cell of a cloud onto another: orientations of whitened points, then registration both ways.

A map of a pair of cells is stored as ``[3, 4]``: linear part and offset. Registration minimises the weighted squared
distances from the copy to the cell and from the cell to the copy (iterated closest points, both ways). Errors are
measured by the metric of the cloud's points, see :class:`fractalkit.fit.cells.Cells`: an error along the cloud counts
fully only where it is far beyond the spacing.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from fractalkit.codec.cloud_geometry import rotate
from fractalkit.rows import copy_rows

# mypy: disable-error-code="no-untyped-def"
SLIDE = 0.5  # errors along the cloud count little up to so many spacings
NOISE = 0.25  # standard deviation of errors of the sources of a map, in spacings
ANGLES = 8  # orientations tried about the thinnest axis, each with two reflections


@nb.njit(cache=True, fastmath=True)
def orient(probes, candidates, white, ratio, out):
    """Score the orientations of candidates' whitened points against those of a cell.

    Args:
        probes: ``[P, 3]`` float32, whitened points of the cell.
        candidates: ``[C]``, indices into ``white [cells, P, 3]``.
        ratio: ``[C]``, factor of the third axis, below one where the candidate is too flat to fill the cell.
        out: ``[C, 4 * ANGLES]`` float32, written: mean squared distance to the nearest, both ways. Orientation
            o = 4 a + 2 r + z turns by 2 pi a / ANGLES, reflects the second axis if r, the third if z.
    """
    n = probes.shape[0]
    y = np.empty((3, n), dtype=np.float32)
    x = np.empty((3, n), dtype=np.float32)
    back = np.empty(n, dtype=np.float32)
    for i in range(n):
        for c in range(3):
            x[c, i] = probes[i, c]
    for k in range(len(candidates)):
        w = white[candidates[k]]
        for o in range(4 * ANGLES):
            angle = 2 * math.pi * (o // 4) / ANGLES
            co, si = math.cos(angle), math.sin(angle)
            rv = 1.0 - 2.0 * ((o // 2) % 2)
            rz = (1.0 - 2.0 * (o % 2)) * ratio[k]
            for i in range(n):
                u, v = w[i, 0], rv * w[i, 1]
                y[0, i] = co * u - si * v
                y[1, i] = si * u + co * v
                y[2, i] = rz * w[i, 2]
                back[i] = np.float32(1e30)
            total = np.float32(0.0)
            for i in range(n):
                a, b, c = x[0, i], x[1, i], x[2, i]
                least = np.float32(1e30)
                for j in range(n):
                    d = (y[0, j] - a) ** 2 + (y[1, j] - b) ** 2 + (y[2, j] - c) ** 2
                    back[j] = min(back[j], d)
                    least = min(least, d)
                total += least
            for j in range(n):
                total += back[j]
            out[k, o] = total / (2 * n)


@nb.njit(cache=True)
def orientation(o, axes_from, std_from, mean_from, axes_to, std_to, mean_to, m):
    """Write the map of orientation o (see :func:`orient`) between the principal frames of two cells to m ``[3, 4]``."""
    angle = 2 * math.pi * (o // 4) / ANGLES
    co, si = math.cos(angle), math.sin(angle)
    rv = 1.0 - 2.0 * ((o // 2) % 2)
    rz = 1.0 - 2.0 * (o % 2)
    turn = np.zeros((3, 3))
    turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1], turn[2, 2] = co, -si * rv, si, co * rv, rz
    for r in range(3):
        for c in range(3):
            divisor = max(std_from[c], 1e-3 * std_from[0])
            turn[r, c] *= std_to[r] / divisor if divisor > 0 else 0.0
    a = axes_to.T @ turn @ axes_from
    for r in range(3):
        s = mean_to[r]
        for c in range(3):
            m[r, c] = a[r, c]
            s -= a[r, c] * mean_from[c]
        m[r, 3] = s


@nb.njit(cache=True)
def diagonalise(g, v):
    """Rotate a symmetric g ``[3, 3]`` in place to diagonal form by Jacobi's method; v gets eigenvectors as columns."""
    for r in range(3):
        for c in range(3):
            v[r, c] = 1.0 if r == c else 0.0
    for _ in range(12):
        off = g[0, 1] ** 2 + g[0, 2] ** 2 + g[1, 2] ** 2
        if off <= 1e-30 * (g[0, 0] ** 2 + g[1, 1] ** 2 + g[2, 2] ** 2):
            break
        for p in range(2):
            for q in range(p + 1, 3):
                rotate(g, v, p, q)


@nb.njit(cache=True)
def limit_norm(m, centre, cap):
    """Reduce singular values of m ``[3, 4]`` above ``cap`` to it; the image of ``centre [3]`` stays."""
    square = 0.0
    for r in range(3):
        for c in range(3):
            square += m[r, c] * m[r, c]
    if square <= cap * cap:
        return
    g, v, shrink = np.zeros((3, 3)), np.empty((3, 3)), np.empty(3)
    for r in range(3):
        for c in range(3):
            for k in range(3):
                g[r, c] += m[k, r] * m[k, c]
    diagonalise(g, v)
    for k in range(3):
        shrink[k] = 1.0 - min(1.0, cap / math.sqrt(g[k, k])) if g[k, k] > 0.0 else 0.0
    # less A v v^T for the axes v that are too long
    for r in range(3):
        row = (m[r, 0], m[r, 1], m[r, 2])
        for k in range(3):
            along = shrink[k] * (row[0] * v[0, k] + row[1] * v[1, k] + row[2] * v[2, k])
            for c in range(3):
                m[r, c] -= along * v[c, k]
                m[r, 3] += along * v[c, k] * centre[c]


@nb.njit(cache=True, fastmath=True)
def put(m, q, y):
    """Write the images of q ``[S, 3]`` under m ``[3, 4]`` to y ``[S, 3]``."""
    for i in range(q.shape[0]):
        for r in range(3):
            y[i, r] = m[r, 0] * q[i, 0] + m[r, 1] * q[i, 1] + m[r, 2] * q[i, 2] + m[r, 3]


@nb.njit(cache=True, fastmath=True)
def nearest_both(y, x, to, to_d, back, back_d):
    """Nearest points of x for each of y and of y for each of x, with squared distances, by all pairs."""
    for j in range(x.shape[0]):
        back_d[j] = np.inf
    for i in range(y.shape[0]):
        a, b, c = y[i, 0], y[i, 1], y[i, 2]
        least, best = np.inf, 0
        for j in range(x.shape[0]):
            d = (x[j, 0] - a) ** 2 + (x[j, 1] - b) ** 2 + (x[j, 2] - c) ** 2
            if d < least:
                least, best = d, j
            if d < back_d[j]:
                back_d[j], back[j] = d, i
        to[i], to_d[i] = best, least


@nb.njit(cache=True, inline="always")
def slack_of(square, spacing):
    """Share of an error along the cloud that counts: none within half the spacing, all far beyond it."""
    return max(0.0, 1.0 - (SLIDE * spacing) ** 2 / square) if square > 0.0 else 0.0


@nb.njit(cache=True, fastmath=True)
def accumulate(normal, right, q, target, metric, square, spacing, weight):
    """Add the pair q -> target to the normal equations ``[12, 12]``, ``[12]`` of a map; unknown 4 r + c is m[r, c]."""
    full = slack_of(square, spacing)
    h = (q[0], q[1], q[2], 1.0)
    for r in range(3):
        s = 0.0
        for c in range(3):
            w = weight * ((1.0 - full) * metric[r, c] + (full if r == c else 0.0))
            s += w * target[c]
            if c <= r:
                for i in range(4):
                    for j in range(4):
                        normal[4 * r + i, 4 * c + j] += w * h[i] * h[j]
        for i in range(4):
            right[4 * r + i] += s * h[i]


@nb.njit(cache=True)
def substitute(low, x):
    """Solve low low^T x = x in place for a lower triangular ``[n, n]``."""
    n = len(x)
    for i in range(n):
        s = x[i]
        for k in range(i):
            s -= low[i, k] * x[k]
        x[i] = s / low[i, i]
    for i in range(n - 1, -1, -1):
        s = x[i]
        for k in range(i + 1, n):
            s -= low[k, i] * x[k]
        x[i] = s / low[i, i]


@nb.njit(cache=True)
def cholesky_solve(a, x):
    """Solve a x = x in place for a positive definite ``[n, n]``, of which the lower triangle is read; False if not."""
    n = len(x)
    for i in range(n):
        for j in range(i + 1):
            s = a[i, j]
            for k in range(j):
                s -= a[i, k] * a[j, k]
            if i == j:
                if not s > 0.0:
                    return False
                a[i, i] = math.sqrt(s)
            else:
                a[i, j] = s / a[j, j]
    substitute(a, x)
    return True


@nb.njit(cache=True)
def solve_map(normal, right, m, damping, noise):
    """Solve the normal equations for m ``[3, 4]``; it stays as it is if they are singular.

    A change of m is penalised by ``damping`` times its mean square over the sources, in the equations' own weights. The
    sources are known up to errors of variance ``noise`` in every direction, times the sum of weights: what a map does
    across a thin source would be arbitrary else, and could multiply errors.
    """
    pull = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            for r in range(3):
                pull[i, j] += normal[4 * r + i, 4 * r + j] * damping / 3
    tiny = 1e-9 * (pull[0, 0] + pull[1, 1] + pull[2, 2]) + 1e-300
    for i in range(3):
        pull[i, i] += tiny
    for r in range(3):
        for i in range(4):
            for j in range(4):
                normal[4 * r + i, 4 * r + j] += pull[i, j]
                right[4 * r + i] += pull[i, j] * m[r, j]
        for i in range(3):
            normal[4 * r + i, 4 * r + i] += noise
    if cholesky_solve(normal, right):
        for r in range(3):
            for i in range(4):
                m[r, i] = right[4 * r + i]


@nb.njit(cache=True)
def errors(y, x, metric, spacing, to, to_d, back, back_d):
    """Error of a copy y ``[S, 3]`` of a cell x ``[T, 3]``: mean and root mean square distance, both ways, averaged."""
    total = 0.0
    for side in range(2):
        n = len(y) if side == 0 else len(x)
        mean, square = 0.0, 0.0
        for k in range(n):
            i, j = (k, to[k]) if side == 0 else (back[k], k)
            d2 = to_d[k] if side == 0 else back_d[k]
            full = slack_of(d2, spacing)
            e = 0.0
            for r in range(3):
                for c in range(3):
                    e += (y[i, r] - x[j, r]) * metric[j, r, c] * (y[i, c] - x[j, c])
            e = max((1.0 - full) * e + full * d2, 0.0)
            mean += math.sqrt(e)
            square += e
        total += 0.5 * (mean / n + math.sqrt(square / n))
    return total / 2


@nb.njit(cache=True)
def register(q, x, metric, spacing, m, rounds, cap, damping):
    """Improve the map m ``[3, 4]`` of q ``[S, 3]`` onto x ``[T, 3]``, in place, and return its error.

    Args:
        metric: ``[T, 3, 3]`` at the points of x.
        rounds: number of times that nearest points are found and m is solved for; the best m seen is kept.
        cap: largest norm of m.
        damping: see :func:`solve_map`.
    """
    n, t = len(q), len(x)
    y = np.empty((n, 3))
    to, to_d = np.empty(n, dtype=np.int64), np.empty(n)
    back, back_d = np.empty(t, dtype=np.int64), np.empty(t)
    centre = np.zeros(3)
    for c in range(3):
        centre[c] = q[:, c].mean()
    limit_norm(m, centre, cap)
    best, least = m.copy(), np.inf
    for step in range(rounds + 1):
        put(m, q, y)
        nearest_both(y, x, to, to_d, back, back_d)
        e = errors(y, x, metric, spacing, to, to_d, back, back_d)
        if e < least:
            least = e
            copy_rows(m, best)
        elif step > 2 and e > 1.05 * least:
            break
        if step == rounds:
            break
        normal, right = np.zeros((12, 12)), np.zeros(12)
        for i in range(n):
            accumulate(normal, right, q[i], x[to[i]], metric[to[i]], to_d[i], spacing, 1.0 / n)
        for j in range(t):
            accumulate(normal, right, q[back[j]], x[j], metric[j], back_d[j], spacing, 1.0 / t)
        solve_map(normal, right, m, damping, 2.0 * (NOISE * spacing) ** 2)
        limit_norm(m, centre, cap)
    copy_rows(best, m)
    return least


@nb.njit(cache=True)
def pick(points, start, end, limit, centre, out):
    """Write at most ``limit`` evenly spaced points of an interval, less ``centre``, to out; return their number."""
    n = end - start
    m = min(n, limit)
    for i in range(m):
        k = start + (i * n) // m
        for c in range(3):
            out[i, c] = points[k, c] - centre[c]
    return m


@nb.njit(cache=True)
def first_pairs(score, count):
    """Indices ``[count]`` of the lowest scores ``[C, O]``, best first, at most two of a candidate; score is spoilt."""
    rows, columns = score.shape
    used = np.zeros(rows, dtype=np.int64)
    out = np.empty(count, dtype=np.int64)
    for i in range(count):
        best, least = 0, np.inf
        for k in range(rows):
            if used[k] < 2:
                for o in range(columns):
                    if score[k, o] < least:
                        best, least = k * columns + o, score[k, o]
        used[best // columns] += 1
        score[best // columns, best % columns] = np.inf
        out[i] = best
    return out


@nb.njit(cache=True)
def match(
    cell,
    candidates,
    points,
    metric,
    bounds,
    mean,
    axes,
    std,
    white,
    spacing,
    kept,
    rounds,
    polished,
    polish,
    limit,
    cap,
):
    """Find the candidate and the map that copy it onto a cell best.

    Args:
        cell, candidates: indices of cells, ``[C]``; the other arrays are those of :class:`~fractalkit.fit.cells.Cells`.
        kept, rounds: pairs of candidate and orientation that are registered, and for how many rounds.
        polished, polish: pairs of these that are registered further, and for how many rounds.
        limit: number of points of each cell.
        cap: largest norm of the map.

    Returns:
        The map ``[3, 4]``, the candidate, and the error of :func:`errors`.
    """
    count = len(candidates)
    ratio = np.empty(count)
    for k in range(count):
        d = candidates[k]
        ratio[k] = min(1.0, 0.9 * std[d, 2] / std[cell, 2]) if std[cell, 2] > 0 else 1.0
    score = np.empty((count, 4 * ANGLES), dtype=np.float32)
    orient(white[cell], candidates, white, ratio, score)
    kept = min(kept, 2 * count)
    order = first_pairs(score, kept)
    start, end = bounds[cell, 0], bounds[cell, 1]
    room = np.empty((limit, 3))
    t = min(end - start, limit)
    x, local = np.empty((t, 3)), np.empty((t, 3, 3))
    for i in range(t):
        k = start + (i * (end - start)) // t
        for r in range(3):
            x[i, r] = points[k, r] - mean[cell, r]
            for c in range(3):
                local[i, r, c] = metric[k, r, c]
    maps, found, chosen = np.empty((kept, 3, 4)), np.empty(kept), np.empty(kept, dtype=np.int64)
    further = np.empty(kept, dtype=np.int64)
    for k in range(kept):
        d = candidates[order[k] // (4 * ANGLES)]
        chosen[k] = d
        orientation(order[k] % (4 * ANGLES), axes[d], std[d], np.zeros(3), axes[cell], std[cell], np.zeros(3), maps[k])
        n = pick(points, bounds[d, 0], bounds[d, 1], limit, mean[d], room)
        found[k] = register(room[:n], x, local, spacing, maps[k], rounds, cap, 0.02)
    for i in range(min(polished, kept) if polish > 0 else 0):
        k = 0  # the i-th best of those that were registered
        for j in range(kept):
            lower = 0
            for other in range(kept):
                lower += found[other] < found[j] or (found[other] == found[j] and other < j)
            if lower == i:
                k = j
        further[i] = k
    for i in range(min(polished, kept) if polish > 0 else 0):
        k = further[i]
        d = chosen[k]
        n = pick(points, bounds[d, 0], bounds[d, 1], limit, mean[d], room)
        found[k] = register(room[:n], x, local, spacing, maps[k], polish, cap, 0.02)
    first = 0
    for k in range(kept):
        if found[k] < found[first]:
            first = k
    d, m = chosen[first], maps[first]
    for r in range(3):
        m[r, 3] += mean[cell, r]
        for c in range(3):
            m[r, 3] -= m[r, c] * mean[d, c]
    return m, d, found[first]
