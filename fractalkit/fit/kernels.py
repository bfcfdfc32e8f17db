"""Compiled inner loops of the inverse problem: propose maps of a cloud into itself, register them, weigh their cover.

A *self-map* of a cloud X is a contraction f with f(X) close to X. The generators of an attractor are self-maps, and so
are their words and their products with its symmetries, so a fit begins by finding many. Maps are held as ``[H, 3, 4]``
float64, the linear part beside the offset; in the plane the third row and column are zero.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from fractalkit.fit.target import nearest

# mypy: disable-error-code="no-untyped-def"
RELAX = 1.7


@nb.njit(cache=True)
def norm_of(m):
    """Largest singular value of the linear part of m ``[3, 4]``, by power iteration on A^T A."""
    g = np.empty((3, 3))
    for r in range(3):
        for c in range(3):
            g[r, c] = m[0, r] * m[0, c] + m[1, r] * m[1, c] + m[2, r] * m[2, c]
    # Squaring four times makes the largest eigenvalue stand out by its 16th power.
    trace = g[0, 0] + g[1, 1] + g[2, 2]
    if trace < 1e-30:
        return 0.0
    p = g / trace
    for _ in range(5):
        q = p @ p
        p = q / (q[0, 0] + q[1, 1] + q[2, 2])
    # Rayleigh quotient <g, p> with p close to the projector on the leading eigenvector
    s = 0.0
    for r in range(3):
        for c in range(3):
            s += g[r, c] * p[c, r]
    return math.sqrt(s)


@nb.njit(cache=True)
def invert(m, inverse):
    """Write the inverse of the linear part of m ``[3, 4]`` (a zero third row and column count as the identity)."""
    a, b, c = m[0, 0], m[0, 1], m[0, 2]
    d, e, f = m[1, 0], m[1, 1], m[1, 2]
    g, h, i = m[2, 0], m[2, 1], m[2, 2]
    if d == 0.0 and e == 0.0 and f == 0.0 and b == 0.0 and h == 0.0:
        e = 1.0
    if g == 0.0 and h == 0.0 and i == 0.0 and c == 0.0 and f == 0.0:
        i = 1.0
    det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    if abs(det) < 1e-14:
        return False
    inverse[0, 0], inverse[0, 1], inverse[0, 2] = (e * i - f * h) / det, (c * h - b * i) / det, (b * f - c * e) / det
    inverse[1, 0], inverse[1, 1], inverse[1, 2] = (f * g - d * i) / det, (a * i - c * g) / det, (c * d - a * f) / det
    inverse[2, 0], inverse[2, 1], inverse[2, 2] = (d * h - e * g) / det, (b * g - a * h) / det, (a * e - b * d) / det
    return True


@nb.njit(cache=True)
def _solve(normal, right, n, out):
    """Solve the positive definite n x n system for three right-hand sides by Cholesky; False if it is singular."""
    low = np.zeros((4, 4))
    for i in range(n):
        for j in range(i + 1):
            s = normal[i, j]
            for k in range(j):
                s -= low[i, k] * low[j, k]
            if i == j:
                if s <= 1e-14:
                    return False
                low[i, i] = math.sqrt(s)
            else:
                low[i, j] = s / low[j, j]
    for r in range(3):
        for i in range(n):
            s = right[i, r]
            for k in range(i):
                s -= low[i, k] * out[r, k]
            out[r, i] = s / low[i, i]
        for i in range(n - 1, -1, -1):
            s = out[r, i]
            for k in range(i + 1, n):
                s -= low[k, i] * out[r, k]
            out[r, i] = s / low[i, i]
    return True


@nb.njit(cache=True, inline="always")
def _put(m, p):
    return (
        m[0, 0] * p[0] + m[0, 1] * p[1] + m[0, 2] * p[2] + m[0, 3],
        m[1, 0] * p[0] + m[1, 1] * p[1] + m[1, 2] * p[2] + m[1, 3],
        m[2, 0] * p[0] + m[2, 1] * p[1] + m[2, 2] * p[2] + m[2, 3],
    )


@nb.njit(cache=True)
def _similarity(dim, rng_u, a, b, a2, b2, reflect, m):
    """The similarity with a -> a2, b -> b2 (and in space a free roll, taken from rng_u): written to m ``[3, 4]``."""
    u = b - a
    v = b2 - a2
    nu, nv = math.sqrt(u @ u), math.sqrt(v @ v)
    s = nv / nu
    if dim == 1:
        m[:] = 0.0
        m[0, 0] = v[0] / u[0]
    elif dim == 2:
        c = (u[0] * v[0] + u[1] * v[1]) / (nu * nu)
        d = (u[0] * v[1] - u[1] * v[0]) / (nu * nu)
        m[:] = 0.0
        if reflect:
            c = (u[0] * v[0] - u[1] * v[1]) / (nu * nu)
            d = (u[0] * v[1] + u[1] * v[0]) / (nu * nu)
            m[0, 0], m[0, 1], m[1, 0], m[1, 1] = c, d, d, -c
        else:
            m[0, 0], m[0, 1], m[1, 0], m[1, 1] = c, -d, d, c
    else:
        # frames with the first axis along u and v; the roll is a free angle between the remaining axes
        e = np.empty((3, 3))
        f = np.empty((3, 3))
        for frame, w, n in ((e, u, nu), (f, v, nv)):
            frame[0] = w / n
            k = 0
            for c in range(1, 3):
                if abs(frame[0, c]) < abs(frame[0, k]):
                    k = c
            h = np.zeros(3)
            h[k] = 1.0
            frame[1] = h - frame[0, k] * frame[0]
            frame[1] /= math.sqrt(frame[1] @ frame[1])
            frame[2] = np.cross(frame[0], frame[1])
        co, si = math.cos(2 * math.pi * rng_u), math.sin(2 * math.pi * rng_u)
        g1 = co * f[1] + si * f[2]
        g2 = co * f[2] - si * f[1]
        if reflect:
            g2 = -g2
        for r in range(3):
            for c in range(3):
                m[r, c] = s * (f[0, r] * e[0, c] + g1[r] * e[1, c] + g2[r] * e[2, c])
    for r in range(3):
        m[r, 3] = a2[r] - (m[r, 0] * a[0] + m[r, 1] * a[1] + m[r, 2] * a[2])


@nb.njit(cache=True, parallel=True)
def propose(count, seed, dim, anchors, aims, evens, lo, hi, flat, probes, points, graph, cells, shape, low, inverse):
    """Random maps that send two far points of the cloud to two of its points, each with its misfit.

    Args:
        anchors: ``[P, 2]`` indices of far pairs.
        aims: ``[M]`` indices that one anchor is sent to; evens: ``[E]`` indices that the other is sent to.
        lo, hi: range of the contraction ratio along the anchors.
        flat: False for similarities (half of them stretched or squeezed across the anchors), True for maps that squeeze
            the cloud onto a thin needle, as the stem of a fern does.
        probes: ``[S]`` indices of the points whose images are tested.

    Returns:
        maps ``[count, 3, 4]`` and misfit ``[count]``: root mean square distance of the images from the cloud over the
        ratio, infinite for those given up early.
    """
    maps = np.zeros((count, 3, 4))
    misfit = np.full(count, np.inf)
    blocks = 64
    for block in nb.prange(blocks):
        np.random.seed((seed * 1000003 + block * 7919) % 4294967291)
        for h in range(block, count, blocks):
            pair = anchors[np.random.randint(anchors.shape[0])]
            a, b = points[pair[0]], points[pair[1]]
            if np.random.random() < 0.5:
                a, b = b, a
            span = math.sqrt((a - b) @ (a - b))
            a2 = points[aims[np.random.randint(aims.shape[0])]]
            b2 = a2
            d = 0.0
            for _ in range(60):
                b2 = points[evens[np.random.randint(evens.shape[0])]]
                d = math.sqrt((b2 - a2) @ (b2 - a2)) / span
                if lo <= d <= hi:
                    break
            if d < lo or d > hi:
                continue
            m = maps[h]
            _similarity(dim, np.random.random(), a, b, a2, b2, np.random.random() < 0.5, m)
            across = 1.0
            if flat:
                across = 0.2 * np.random.random() ** 2
            elif np.random.random() < 0.35:
                across = math.exp(0.4 * np.random.standard_normal())
            if across != 1.0 and dim > 1:
                # A <- A (across I + (1 - across) u u^T), u the unit vector along the anchors, which keeps both images
                u = (b - a) / span
                for r in range(3):
                    s = m[r, 0] * u[0] + m[r, 1] * u[1] + m[r, 2] * u[2]
                    for c in range(3):
                        m[r, c] = across * m[r, c] + (1.0 - across) * s * u[c]
                for r in range(3):
                    m[r, 3] = a2[r] - (m[r, 0] * a[0] + m[r, 1] * a[1] + m[r, 2] * a[2])
                if norm_of(m) > hi:
                    continue
            total = 0.0
            bound = (0.25 * d) ** 2
            done = True
            for n in range(probes.shape[0]):
                x, y, z = _put(m, points[probes[n]])
                _, d2 = nearest(x, y, z, points, graph, cells, shape, low, inverse)
                total += d2
                if n == 7 and total > 8 * bound:
                    done = False
                    break
            if done:
                # relative to the image's size, or the thinnest would always win
                size = d if flat else d * across ** ((dim - 1) / dim)
                misfit[h] = math.sqrt(total / probes.shape[0]) / size
    return maps, misfit


@nb.njit(cache=True, parallel=True)
def register(maps, dim, cap, fore, back, iters, tau0, tau1, points, graph, cells, shape, low, inverse, xlow, xhigh):
    """Two-sided robust registration of each map: least squares between matched points, iterated, in place.

    Forward pairs (y, nearest point to f(y)) keep f(X) on X; backward pairs (nearest point to f^-1(x), x) spread f(X)
    over what it covers, without which a map shrinks. Weights are Geman-McClure's, 1 / (1 + d^2/tau^2)^2, with tau going
    from tau0 down to tau1 (``[H]`` each); the norm is capped at ``cap`` ``[H]``.
    """
    n1 = dim + 1
    for h in nb.prange(maps.shape[0]):
        m = maps[h]
        inv = np.zeros((3, 3))
        normal = np.zeros((4, 4))
        right = np.zeros((4, 3))
        out = np.zeros((3, 4))
        y = np.empty(4)
        for it in range(iters):
            tau = tau0[h] * (tau1[h] / tau0[h]) ** (it / max(iters - 1, 1))
            tau2 = tau * tau
            normal[:] = 0.0
            right[:] = 0.0
            weight = 0.0
            for n in range(fore.shape[0]):
                p = points[fore[n]]
                a, b, c = _put(m, p)
                j, d2 = nearest(a, b, c, points, graph, cells, shape, low, inverse)
                w = 1.0 / (1.0 + d2 / tau2)
                w *= w
                weight += w
                for r in range(dim):
                    y[r] = p[r]
                y[dim] = 1.0
                for r in range(n1):
                    for s in range(r + 1):
                        normal[r, s] += w * y[r] * y[s]
                    for s in range(3):
                        right[r, s] += w * y[r] * points[j, s]
            if invert(m, inv):
                for n in range(back.shape[0]):
                    x = points[back[n]]
                    e0, e1, e2 = x[0] - m[0, 3], x[1] - m[1, 3], x[2] - m[2, 3]
                    u0 = inv[0, 0] * e0 + inv[0, 1] * e1 + inv[0, 2] * e2
                    u1 = inv[1, 0] * e0 + inv[1, 1] * e1 + inv[1, 2] * e2
                    u2 = inv[2, 0] * e0 + inv[2, 1] * e1 + inv[2, 2] * e2
                    if u0 < xlow[0] or u0 > xhigh[0] or u1 < xlow[1] or u1 > xhigh[1] or u2 < xlow[2] or u2 > xhigh[2]:
                        continue
                    j, _ = nearest(u0, u1, u2, points, graph, cells, shape, low, inverse)
                    p = points[j]
                    a, b, c = _put(m, p)
                    d2 = (a - x[0]) ** 2 + (b - x[1]) ** 2 + (c - x[2]) ** 2
                    if d2 > 9.0 * tau2:
                        continue
                    w = 1.0 / (1.0 + d2 / tau2)
                    w *= w
                    for r in range(dim):
                        y[r] = p[r]
                    y[dim] = 1.0
                    for r in range(n1):
                        for s in range(r + 1):
                            normal[r, s] += w * y[r] * y[s]
                        for s in range(3):
                            right[r, s] += w * y[r] * x[s]
            if weight < 1e-3 * fore.shape[0]:
                break
            for r in range(dim):
                normal[r, r] += 1e-6 * normal[dim, dim]
            if not _solve(normal, right, n1, out):
                break
            for r in range(3):
                for s in range(dim):
                    m[r, s] += RELAX * (out[r, s] - m[r, s])
                m[r, 3] += RELAX * (out[r, dim] - m[r, 3])
            norm = norm_of(m)
            if norm > cap[h]:
                # shrink about the image of the cloud's mean, which is the origin of neither
                g = cap[h] / norm
                e = np.zeros(3)
                for r in range(dim):
                    e[r] = normal[dim, r] / normal[dim, dim]
                for r in range(3):
                    s0 = m[r, 0] * e[0] + m[r, 1] * e[1] + m[r, 2] * e[2]
                    m[r, 3] += (1 - g) * s0
                    for s in range(3):
                        m[r, s] *= g


@nb.njit(cache=True, parallel=True)
def inliers(maps, fore, spacing, limit, points, graph, cells, shape, low, inverse):
    """For each map, the share of images within ``limit`` local spacings of the cloud, and the mean such ratio, capped.

    Returns:
        ``[H]`` share in [0, 1] and ``[H]`` mean of min(d / spacing, 4 limit).
    """
    share = np.zeros(maps.shape[0])
    mean = np.zeros(maps.shape[0])
    for h in nb.prange(maps.shape[0]):
        for n in range(fore.shape[0]):
            a, b, c = _put(maps[h], points[fore[n]])
            j, d2 = nearest(a, b, c, points, graph, cells, shape, low, inverse)
            ratio = math.sqrt(d2) / spacing[j]
            if ratio <= limit:
                share[h] += 1.0
            mean[h] += min(ratio, 4.0 * limit)
        share[h] /= fore.shape[0]
        mean[h] /= fore.shape[0]
    return share, mean


@nb.njit(cache=True, parallel=True)
def excess(maps, fore, spacing, reach, points, graph, cells, shape, low, inverse):
    """How far each map's image strays from the cloud: ``[H]`` mean excess, ``[H]`` mean distance, both capped at reach.

    The excess is what a distance has beyond the local spacing, within which it says nothing but that the cloud is a
    sample; its worst twelfth is left out, for samples have thin places.
    """
    stray = np.zeros(maps.shape[0])
    plain = np.zeros(maps.shape[0])
    n = fore.shape[0]
    keep = n - n // 12
    for h in nb.prange(maps.shape[0]):
        over = np.empty(n)
        for i in range(n):
            a, b, c = _put(maps[h], points[fore[i]])
            j, d2 = nearest(a, b, c, points, graph, cells, shape, low, inverse)
            d = math.sqrt(d2)
            over[i] = min(max(d - spacing[j], 0.0), reach)
            plain[h] += min(d, reach) / n
        over.sort()
        stray[h] = over[:keep].mean()
    return stray, plain


@nb.njit(cache=True, parallel=True)
def cover(maps, back, reach, points, graph, cells, shape, low, inverse, xlow, xhigh, out):
    """Distance from points of the cloud to each map's image of it, by way of the preimage: ``out [H, M]`` float32.

    The image's point nearest to x is sought as f(nearest to f^-1(x)) and among that point's neighbours; distances above
    ``reach`` are written as ``reach``. Flat maps are inverted after a slight thickening.
    """
    for h in nb.prange(maps.shape[0]):
        m = maps[h]
        inv = np.zeros((3, 3))
        thick = m.copy()
        if not invert(m, inv):
            for r in range(3):
                thick[r, r] += 1e-4
            if not invert(thick, inv):
                out[h] = reach
                continue
        for n in range(back.shape[0]):
            x = points[back[n]]
            e0, e1, e2 = x[0] - m[0, 3], x[1] - m[1, 3], x[2] - m[2, 3]
            u0 = inv[0, 0] * e0 + inv[0, 1] * e1 + inv[0, 2] * e2
            u1 = inv[1, 0] * e0 + inv[1, 1] * e1 + inv[1, 2] * e2
            u2 = inv[2, 0] * e0 + inv[2, 1] * e1 + inv[2, 2] * e2
            u0 = min(max(u0, xlow[0]), xhigh[0])
            u1 = min(max(u1, xlow[1]), xhigh[1])
            u2 = min(max(u2, xlow[2]), xhigh[2])
            j, _ = nearest(u0, u1, u2, points, graph, cells, shape, low, inverse)
            a, b, c = _put(m, points[j])
            least = (a - x[0]) ** 2 + (b - x[1]) ** 2 + (c - x[2]) ** 2
            for e in range(graph.shape[1]):
                a, b, c = _put(m, points[graph[j, e]])
                d = (a - x[0]) ** 2 + (b - x[1]) ** 2 + (c - x[2]) ** 2
                if d < least:
                    least = d
            out[h, n] = min(math.sqrt(least), reach)
