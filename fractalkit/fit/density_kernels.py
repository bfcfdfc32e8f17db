"""Compiled loops of the density of an attractor on a grid, and of its derivative by every number of the code.

A point is spread over 3^D cells by quadratic B-splines, so that a cell's mass is a smooth function of the point and,
through the orbit, of the code.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from fractalkit.fit.kernels import norm_of
from fractalkit.fit.matching import substitute

# mypy: disable-error-code="no-untyped-def"


@nb.njit(cache=True)
def _spline(y, frame, dim, side, first, w, slope):
    """First cell ``[3]`` and weights ``[3, 3]`` along each axis of the grid, with their slopes by grid coordinates.

    Points beyond the grid count at its border, with slope zero.
    """
    for r in range(3):
        if r >= dim:
            first[r] = 0
            w[r, 0], w[r, 1], w[r, 2] = 1.0, 0.0, 0.0
            slope[r, 0], slope[r, 1], slope[r, 2] = 0.0, 0.0, 0.0
            continue
        u = frame[r, 3]
        for c in range(dim):
            u += frame[r, c] * y[c]
        inside = 1.0
        if u < 1.0:
            u, inside = 1.0, 0.0
        elif u > side - 2.0:
            u, inside = side - 2.0, 0.0
        i = int(u + 0.5)  # the nearest cell, whose coordinate is an integer
        f = u - i
        first[r] = i - 1
        w[r, 0], w[r, 1], w[r, 2] = 0.5 * (0.5 - f) ** 2, 0.75 - f * f, 0.5 * (0.5 + f) ** 2
        slope[r, 0], slope[r, 1], slope[r, 2] = inside * (f - 0.5), -2.0 * inside * f, inside * (f + 0.5)


@nb.njit(cache=True, nogil=True)
def spread(points, mass, frame, dim, side, out):
    """Add ``mass`` of each point ``[N, 3]`` to the cells ``out [side^D]``, the first axis slowest."""
    first = np.empty(3, np.int64)
    w = np.empty((3, 3))
    slope = np.empty((3, 3))
    for n in range(points.shape[0]):
        _spline(points[n], frame, dim, side, first, w, slope)
        if dim == 2:
            for i in range(3):
                for j in range(3):
                    out[(first[0] + i) * side + first[1] + j] += mass * w[0, i] * w[1, j]
        else:
            for i in range(3):
                for j in range(3):
                    base = ((first[0] + i) * side + first[1] + j) * side + first[2]
                    for k in range(3):
                        out[base + k] += mass * w[0, i] * w[1, j] * w[2, k]


@nb.njit(cache=True, nogil=True)
def walk(maps, cumulative, start, shifts, jumps, address, z):
    """Orbits of quasi-random addresses: ``address [M, L]`` and ``z [M, L + 1, 3]``, z_0 the point of the attractor.

    Letter j of orbit n is where n jumps[j] + shifts[j], modulo one, falls among the cumulative weights. The orbit
    begins at ``start [N, 3]``, the row n mod N; letters beyond L are not recorded.
    """
    k = maps.shape[0]
    depth = address.shape[1]
    x = np.empty(3)
    for n in range(address.shape[0]):
        x[:] = start[n % start.shape[0]]
        if jumps.shape[0] == depth:
            z[n, depth] = x
        for j in range(jumps.shape[0] - 1, -1, -1):
            u = (n * jumps[j] + shifts[j]) % 1.0
            a = 0
            while a < k - 1 and u >= cumulative[a]:
                a += 1
            m = maps[a]
            x0 = m[0, 0] * x[0] + m[0, 1] * x[1] + m[0, 2] * x[2] + m[0, 3]
            x1 = m[1, 0] * x[0] + m[1, 1] * x[1] + m[1, 2] * x[2] + m[1, 3]
            x2 = m[2, 0] * x[0] + m[2, 1] * x[1] + m[2, 2] * x[2] + m[2, 3]
            x[0], x[1], x[2] = x0, x1, x2
            if j <= depth:
                z[n, j] = x
            if j < depth:
                address[n, j] = a


@nb.njit(cache=True)
def _orbit_slopes(maps, dim, address, z, frame, slot, letters, counts, ways):
    """Derivative of a point of the attractor, in grid coordinates, by the maps that its address has.

    Writes the distinct ``letters``, how often each one occurs, and ``ways [L, D, D (D + 1)]``; returns their number.
    ``slot [K]`` is -1 throughout, before and after.
    """
    left = np.empty((3, 3))
    turned = np.empty((3, 3))
    left[:, :] = frame[:, :3]
    d1 = dim + 1
    found = 0
    for e in range(letters.shape[0]):
        a = address[e]
        s = slot[a]
        if s < 0:
            s = slot[a] = found
            letters[s] = a
            counts[s] = 0
            ways[s] = 0.0
            found += 1
        counts[s] += 1
        for q in range(dim):
            for r in range(dim):
                for c in range(dim):
                    ways[s, q, r * d1 + c] += left[q, r] * z[e + 1, c]
                ways[s, q, r * d1 + dim] += left[q, r]
            for c in range(dim):
                t = 0.0
                for r in range(dim):
                    t += left[q, r] * maps[a, r, c]
                turned[q, c] = t
        left[:dim, :dim] = turned[:dim, :dim]
    for s in range(found):
        slot[letters[s]] = -1
    return found


@nb.njit(cache=True, nogil=True)
def jacobian(maps, dim, address, z, depth, frame, side, out):
    """Derivative of the cells by the maps and by the logarithms of the weights: ``out [cells, K (D (D + 1) + 1)]``.

    Args:
        address, z: orbits as :func:`walk` writes them.
        depth: letters of an address that count; the effect of deeper ones is small.
        out: zeros; a cell's mass is one over the number of orbits for each of them. The weights are not normalised.
    """
    first = np.empty(3, np.int64)
    w = np.empty((3, 3))
    slope = np.empty((3, 3))
    last = 3 if dim == 3 else 1
    moves = dim * (dim + 1)
    mass = 1.0 / address.shape[0]
    slot = np.full(maps.shape[0], -1)
    letters = np.empty(depth, np.int64)
    counts = np.empty(depth, np.int64)
    ways = np.empty((depth, 3, moves))
    for n in range(address.shape[0]):
        _spline(z[n, 0], frame, dim, side, first, w, slope)
        found = _orbit_slopes(maps, dim, address[n], z[n], frame, slot, letters, counts, ways)
        for i in range(3):
            for j in range(3):
                for k in range(last):
                    cell = (first[0] + i) * side + first[1] + j
                    if dim == 3:
                        cell = cell * side + first[2] + k
                    s0 = mass * slope[0, i] * w[1, j] * w[2, k]
                    s1 = mass * w[0, i] * slope[1, j] * w[2, k]
                    s2 = mass * w[0, i] * w[1, j] * slope[2, k]
                    value = mass * w[0, i] * w[1, j] * w[2, k]
                    for s in range(found):
                        base = letters[s] * (moves + 1)
                        if dim == 3:
                            for p in range(moves):
                                out[cell, base + p] += s0 * ways[s, 0, p] + s1 * ways[s, 1, p] + s2 * ways[s, 2, p]
                        else:
                            for p in range(moves):
                                out[cell, base + p] += s0 * ways[s, 0, p] + s1 * ways[s, 1, p]
                        out[cell, base + moves] += value * counts[s]


@nb.njit(cache=True)
def _image(m, x, y):
    for r in range(3):
        y[r] = m[r, 0] * x[0] + m[r, 1] * x[1] + m[r, 2] * x[2] + m[r, 3]


@nb.njit(cache=True, nogil=True)
def gaps_with(maps, share, points, kept, room, roots, frame, dim, side):
    """Hellinger distance ``[H]`` of masses ``kept`` and each map's image of the points, of mass share[h].

    Of the image's mass in a cell the share ``room [cells]`` counts.
    """
    out = np.empty(maps.shape[0])
    y = np.empty((points.shape[0], 3))
    q = np.empty_like(kept)
    for h in range(maps.shape[0]):
        for n in range(points.shape[0]):
            _image(maps[h], points[n], y[n])
        q[:] = 0.0
        spread(y, share[h] / points.shape[0], frame, dim, side, q)
        total = 0.0
        for c in range(q.shape[0]):
            e = math.sqrt(kept[c] + room[c] * q[c]) - roots[c]
            total += e * e
        out[h] = total
    return out


@nb.njit(cache=True)
def _one(m, points, frame, dim, side, psi, slopes):
    """Masses ``psi [cells]`` of one map's image, and their derivatives ``slopes [cells, D (D + 1)]`` by its numbers."""
    psi[:] = 0.0
    slopes[:] = 0.0
    first = np.empty(3, np.int64)
    w = np.empty((3, 3))
    slope = np.empty((3, 3))
    y = np.empty(3)
    g = np.empty(3)
    last = 3 if dim == 3 else 1
    mass = 1.0 / points.shape[0]
    for n in range(points.shape[0]):
        _image(m, points[n], y)
        _spline(y, frame, dim, side, first, w, slope)
        for i in range(3):
            for j in range(3):
                for k in range(last):
                    cell = (first[0] + i) * side + first[1] + j
                    if dim == 3:
                        cell = cell * side + first[2] + k
                    psi[cell] += mass * w[0, i] * w[1, j] * w[2, k]
                    s0 = mass * slope[0, i] * w[1, j] * w[2, k]
                    s1 = mass * w[0, i] * slope[1, j] * w[2, k]
                    s2 = mass * w[0, i] * w[1, j] * slope[2, k]
                    for c in range(dim):
                        g[c] = s0 * frame[0, c] + s1 * frame[1, c] + s2 * frame[2, c]
                    for r in range(dim):
                        for c in range(dim):
                            slopes[cell, r * (dim + 1) + c] += g[r] * points[n, c]
                        slopes[cell, r * (dim + 1) + dim] += g[r]


@nb.njit(cache=True)
def _equations(psi, slopes, p, kept, room, roots, least, row, normal, right):
    """Normal equations of the residuals of one map of mass p and of the logarithm of p; the lower triangle."""
    normal[:] = 0.0
    right[:] = 0.0
    size = right.shape[0]
    for c in range(kept.shape[0]):
        if psi[c] == 0.0:
            continue
        q = kept[c] + p * room[c] * psi[c]
        e = roots[c] - math.sqrt(q)
        half = 0.5 * p * room[c] / math.sqrt(q + least)
        for a in range(size - 1):
            row[a] = half * slopes[c, a]
        row[size - 1] = half * psi[c]
        for a in range(size):
            right[a] += row[a] * e
            for b in range(a + 1):
                normal[a, b] += row[a] * row[b]


@nb.njit(cache=True)
def _solve(normal, right, damping, low, x):
    """Solve the damped normal equations (their lower triangle is given) by Cholesky; x is the solution."""
    size = right.shape[0]
    mean = 1e-12
    for a in range(size):
        mean += 1e-4 * normal[a, a] / size
    for i in range(size):
        for j in range(i + 1):
            s = normal[i, j]
            if i == j:
                s += damping * s + mean
            for k in range(j):
                s -= low[i, k] * low[j, k]
            low[i, j] = math.sqrt(max(s, 1e-30)) if i == j else s / low[j, j]
    x[:] = right
    substitute(low, x)


@nb.njit(cache=True)
def _moved(m, move, dim, cap, mean, new):
    """The map m moved, its norm at most ``cap``; what brings it there leaves the image of ``mean`` in place."""
    new[:] = m
    for r in range(dim):
        for c in range(dim):
            new[r, c] += move[r * (dim + 1) + c]
        new[r, 3] += move[r * (dim + 1) + dim]
    norm = norm_of(new)
    if norm > cap:
        g = cap / norm
        for r in range(dim):
            for c in range(dim):
                new[r, 3] += (1.0 - g) * new[r, c] * mean[c]
                new[r, c] *= g


@nb.njit(cache=True)
def _gap_with(kept, room, psi, p, roots):
    total = 0.0
    for c in range(kept.shape[0]):
        e = math.sqrt(kept[c] + p * room[c] * psi[c]) - roots[c]
        total += e * e
    return total


@nb.njit(cache=True, nogil=True)
def settle(maps, share, points, kept, room, roots, frame, dim, side, steps, cap):
    """Levenberg-Marquardt steps of each map and its mass, the rest of the code ``kept`` as it is; in place.

    Of the map's mass in a cell the share ``room [cells]`` counts.

    Returns:
        the Hellinger distance ``[H]``.
    """
    gaps = np.empty(maps.shape[0])
    size = dim * (dim + 1) + 1
    cells = kept.shape[0]
    psi, trial = np.empty(cells), np.empty(cells)
    slopes, other = np.empty((cells, size - 1)), np.empty((cells, size - 1))
    row, right, move = np.empty(size), np.empty(size), np.empty(size)
    normal, low = np.empty((size, size)), np.empty((size, size))
    least = 0.25 / points.shape[0]
    new = np.zeros((3, 4))
    mean = np.zeros(3)
    for n in range(points.shape[0]):
        for c in range(dim):
            mean[c] += points[n, c] / points.shape[0]
    for h in range(maps.shape[0]):
        m = maps[h]
        _one(m, points, frame, dim, side, psi, slopes)
        f = _gap_with(kept, room, psi, share[h], roots)
        damping = 0.03
        for _ in range(steps):
            _equations(psi, slopes, share[h], kept, room, roots, least, row, normal, right)
            _solve(normal, right, damping, low, move)
            _moved(m, move, dim, cap, mean, new)
            w = min(max(share[h] * math.exp(min(max(move[size - 1], -0.7), 0.7)), 1e-4), 1.0)
            _one(new, points, frame, dim, side, trial, other)
            g = _gap_with(kept, room, trial, w, roots)
            if g < f:
                gain = f - g
                m[:] = new
                share[h], f = w, g
                psi, trial = trial, psi
                slopes, other = other, slopes
                damping = max(damping / 4, 1e-4)
                if gain < 1e-3 * f:
                    break
            else:
                damping *= 8
                if damping > 100.0:
                    break
        gaps[h] = f
    return gaps
