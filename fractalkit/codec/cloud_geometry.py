"""Geometry that both ends of the cloud codec compute: frames, neighbours and moments of the cells of a tree.

The entropy coder's contexts depend on it, so a reader must arrive at the very same numbers as the writer. Only
additions, products, quotients and square roots of float64 in a fixed order are used, which IEEE 754 rounds in one way
everywhere; no fast mathematics, no library of linear algebra.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.rows import copy_rows

# mypy: disable-error-code="no-untyped-def, call-arg, operator, assignment"

NEAR = 10  # neighbours from which the tangent plane at a cell is estimated
_SWEEPS = 7


@nb.njit(cache=True)
def rotate(c, vectors, p, q):
    """One rotation of Jacobi's method, which makes entry p, q of a symmetric ``[3, 3]`` matrix zero, in place."""
    if c[p, q] == 0.0:
        return
    theta = (c[q, q] - c[p, p]) / (2.0 * c[p, q])
    if abs(theta) > 1e150:  # its square overflows, and the angle is nothing
        return
    t = 1.0 / (abs(theta) + np.sqrt(theta * theta + 1.0))
    if theta < 0.0:
        t = -t
    co = 1.0 / np.sqrt(t * t + 1.0)
    si = t * co
    for k in range(3):
        a, b = c[k, p], c[k, q]
        c[k, p], c[k, q] = co * a - si * b, si * a + co * b
    for k in range(3):
        a, b = c[p, k], c[q, k]
        c[p, k], c[q, k] = co * a - si * b, si * a + co * b
    for k in range(3):
        a, b = vectors[k, p], vectors[k, q]
        vectors[k, p], vectors[k, q] = co * a - si * b, si * a + co * b


@nb.njit(cache=True)
def principal(c, values, vectors):
    """Eigenvalues of a symmetric ``[3, 3]`` matrix, descending, and unit eigenvectors in columns, by Jacobi's method.

    ``c`` is destroyed. The largest entry of each vector is positive.
    """
    for i in range(3):
        for j in range(3):
            vectors[i, j] = 1.0 if i == j else 0.0
    for _ in range(_SWEEPS):
        for p in range(2):
            for q in range(p + 1, 3):
                rotate(c, vectors, p, q)
    _sort(c, values, vectors)


@nb.njit(cache=True)
def _sort(c, values, vectors):
    for i in range(3):
        values[i] = max(c[i, i], 0.0)
    for i in range(2):
        for j in range(2 - i):
            if values[j] < values[j + 1]:
                values[j], values[j + 1] = values[j + 1], values[j]
                for k in range(3):
                    vectors[k, j], vectors[k, j + 1] = vectors[k, j + 1], vectors[k, j]
    for j in range(3):
        best = 0
        for k in range(1, 3):
            if abs(vectors[k, j]) > abs(vectors[best, j]):
                best = k
        if vectors[best, j] < 0.0:
            for k in range(3):
                vectors[k, j] = -vectors[k, j]


@nb.njit(cache=True)
def boxes(kids, live, size, mean, low, high):
    """Bounds of the means of the leaves under each of the first ``size`` nodes; ``live``: which nodes have children.

    Children have larger numbers than their parents.
    """
    for i in range(size - 1, -1, -1):
        if live[i]:
            a, b = kids[i, 0], kids[i, 1]
            for k in range(3):
                low[i, k] = min(low[a, k], low[b, k])
                high[i, k] = max(high[a, k], high[b, k])
        else:
            for k in range(3):
                low[i, k] = high[i, k] = mean[i, k]


@nb.njit(cache=True, inline="always")
def _outside(low, high, i, x, y, z):
    """Squared distance of a point from a box."""
    dx = max(max(low[i, 0] - x, x - high[i, 0]), 0.0)
    dy = max(max(low[i, 1] - y, y - high[i, 1]), 0.0)
    dz = max(max(low[i, 2] - z, z - high[i, 2]), 0.0)
    return dx * dx + dy * dy + dz * dz


@nb.njit(cache=True)
def insert(far, found, n, d, i):
    """Put i at distance d into a list of n, nearest first, of at most ``len(found)``; how many there are then."""
    most = len(found)
    if n == most and d >= far[n - 1]:
        return n
    j = n if n < most else n - 1
    while j > 0 and far[j - 1] > d:
        far[j], found[j] = far[j - 1], found[j - 1]
        j -= 1
    far[j], found[j] = d, i
    return min(n + 1, most)


@nb.njit(cache=True)
def neighbours(kids, live, mean, low, high, point, found, far, stack):
    """The leaves nearest to a point, nearest first, into ``found`` and their squared distances into ``far``; how many.

    ``stack`` is room for as many numbers as the tree is deep, plus two.
    """
    x, y, z = point[0], point[1], point[2]
    n, most = 0, len(found)
    stack[0] = 0
    top = 1
    while top > 0:
        top -= 1
        i = stack[top]
        d = _outside(low, high, i, x, y, z)
        if n == most and d >= far[n - 1]:
            continue
        if live[i]:
            a, b = kids[i, 0], kids[i, 1]
            if _outside(low, high, a, x, y, z) <= _outside(low, high, b, x, y, z):
                a, b = b, a
            stack[top], stack[top + 1] = a, b
            top += 2
            continue
        n = insert(far, found, n, d, i)
    return n


@nb.njit(cache=True)
def tangent(mean, found, n, matrix, values, vectors):
    """Principal axes of the means of some cells."""
    m0 = m1 = m2 = 0.0
    for j in range(n):
        m0 += mean[found[j], 0]
        m1 += mean[found[j], 1]
        m2 += mean[found[j], 2]
    m0, m1, m2 = m0 / n, m1 / n, m2 / n
    matrix[:] = 0.0
    for j in range(n):
        a, b, c = mean[found[j], 0] - m0, mean[found[j], 1] - m1, mean[found[j], 2] - m2
        matrix[0, 0] += a * a
        matrix[0, 1] += a * b
        matrix[0, 2] += a * c
        matrix[1, 1] += b * b
        matrix[1, 2] += b * c
        matrix[2, 2] += c * c
    matrix[1, 0], matrix[2, 0], matrix[2, 1] = matrix[0, 1], matrix[0, 2], matrix[1, 2]
    for a in range(3):
        for b in range(3):
            matrix[a, b] /= n
    principal(matrix, values, vectors)


@nb.njit(cache=True)
def frame(vectors, guess, axes, extents):
    """A right-handed frame in the rows of ``axes``: the longer and the shorter extent of a cell in the tangent plane,
    and the normal; ``extents`` are the standard deviations along them that the covariance ``guess`` has."""
    for k in range(3):
        axes[2, k] = vectors[k, 2]
    # of the two tangents, turn to the principal axes of the guess within the plane
    a = b = c = 0.0
    for i in range(3):
        for j in range(3):
            a += vectors[i, 0] * guess[i, j] * vectors[j, 0]
            b += vectors[i, 0] * guess[i, j] * vectors[j, 1]
            c += vectors[i, 1] * guess[i, j] * vectors[j, 1]
    co, si = 1.0, 0.0
    if b != 0.0:
        theta = (c - a) / (2.0 * b)
        if abs(theta) < 1e150:
            t = 1.0 / (abs(theta) + np.sqrt(theta * theta + 1.0))
            if theta < 0.0:
                t = -t
            co = 1.0 / np.sqrt(t * t + 1.0)
            si = t * co
            a, c = a - t * b, c + t * b
    if a < c:
        co, si = si, -co
        a, c = c, a
    # columns of the rotation: long axis = co v0 - si v1
    for k in range(3):
        axes[0, k] = co * vectors[k, 0] - si * vectors[k, 1]
    axes[1, 0] = axes[2, 1] * axes[0, 2] - axes[2, 2] * axes[0, 1]
    axes[1, 1] = axes[2, 2] * axes[0, 0] - axes[2, 0] * axes[0, 2]
    axes[1, 2] = axes[2, 0] * axes[0, 1] - axes[2, 1] * axes[0, 0]
    d = 0.0
    for i in range(3):
        for j in range(3):
            d += axes[2, i] * guess[i, j] * axes[2, j]
    extents[0], extents[1], extents[2] = np.sqrt(max(a, 0.0)), np.sqrt(max(c, 0.0)), np.sqrt(max(d, 0.0))


@nb.njit(cache=True)
def halve(guess, d, share, out):
    """Covariance of a part with that share of a cell, cut at right angles to ``d``, the parts' difference."""
    size = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    g = np.zeros(3)
    if size == 0.0:
        copy_rows(guess, out)
        return
    t = 0.0
    for i in range(3):
        for j in range(3):
            g[i] += guess[i, j] * d[j]
    for i in range(3):
        t += d[i] * g[i]
    # uniform between the ends: the means of the parts are half the length apart, whatever the shares
    width = 4.0 * share * share * size / 12.0 / size
    for i in range(3):
        for j in range(3):
            out[i, j] = guess[i, j] + (t / size / size + width) * d[i] * d[j] - (d[i] * g[j] + g[i] * d[j]) / size


@nb.njit(cache=True)
def moments(kids, live, size, share, mean, cov):
    """Means and covariances of all nodes from those of the leaves; ``share`` of the first child, in 4096ths."""
    for i in range(size - 1, -1, -1):
        if live[i]:
            a, b = kids[i, 0], kids[i, 1]
            p = share[i] / 4096.0
            for k in range(3):
                mean[i, k] = p * mean[a, k] + (1.0 - p) * mean[b, k]
            for k in range(3):
                for l in range(3):
                    cov[i, k, l] = (
                        p * cov[a, k, l]
                        + (1.0 - p) * cov[b, k, l]
                        + p * (1.0 - p) * (mean[a, k] - mean[b, k]) * (mean[a, l] - mean[b, l])
                    )


@nb.njit(cache=True)
def principal_of_all(cov, values, vectors):
    """:func:`principal` of matrices ``[M, 3, 3]``, which stay as they are."""
    for i in range(len(cov)):
        principal(cov[i].copy(), values[i], vectors[i])


@nb.njit(cache=True)
def masses(kids, live, share):
    """Share ``[M]`` of the whole of every node."""
    out = np.ones(len(live))
    for i in range(len(live)):
        if live[i]:
            p = share[i] / 4096.0
            out[kids[i, 0]], out[kids[i, 1]] = p * out[i], (1.0 - p) * out[i]
    return out


@nb.njit(cache=True)
def new_view():
    """Room for what is seen from a cell: axes, extents, neighbours and their distances, and for the work."""
    return (
        np.zeros((3, 3)), np.zeros(3), np.zeros(NEAR, np.int64), np.zeros(NEAR), np.zeros(128, np.int64),
        np.zeros((3, 3)), np.zeros(3), np.zeros((3, 3)),
    )  # fmt: skip


@nb.njit(cache=True)
def look(view, kids, live, mean, low, high, point, guess, dim):
    """The frame at a cell, from the means around it and a guess of its covariance, into the view.

    Returns how many neighbours there are, and how far they lie off their plane (a standard deviation).
    """
    axes, extents, found, far, stack, matrix, values, vectors = view
    n = neighbours(kids, live, mean, low, high, point, found, far, stack)
    tangent(mean, found, n, matrix, values, vectors)
    if dim == 2:
        vectors[:] = 0.0
        vectors[0, 0] = vectors[1, 1] = vectors[2, 2] = 1.0
    frame(vectors, guess, axes, extents)
    return n, np.sqrt(values[2])
