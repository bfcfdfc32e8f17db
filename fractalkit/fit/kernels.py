"""Compiled inner loops of the inverse problem: propose maps of a cloud into itself, register them, measure their cover.

A *self-map* of a cloud X is a contraction f with f(X) close to X. The generators of an attractor are self-maps, as are
their compositions and their products with its symmetries, so a fit begins by finding many. Maps are stored as
``[H, 3, 4]`` float64, linear part and offset; in the plane the third row and column are zero.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from fractalkit.fit.target import nearest

# mypy: disable-error-code="no-untyped-def"
RELAX = 1.7  # over-relaxation of registration steps


@nb.njit(cache=True)
def norm_of(m):
    """Largest singular value of the linear part of m ``[3, 4]``, by power iteration on A^T A."""
    g = np.empty((3, 3))
    for r in range(3):
        for c in range(3):
            g[r, c] = m[0, r] * m[0, c] + m[1, r] * m[1, c] + m[2, r] * m[2, c]
    trace = g[0, 0] + g[1, 1] + g[2, 2]
    if trace < 1e-30:
        return 0.0
    p = g / trace  # squared five times, it approaches the projector on the leading eigenvector
    for _ in range(5):
        q = p @ p
        p = q / (q[0, 0] + q[1, 1] + q[2, 2])
    s = 0.0  # Rayleigh quotient <g, p>
    for r in range(3):
        for c in range(3):
            s += g[r, c] * p[c, r]
    return math.sqrt(s)


@nb.njit(cache=True)
def invert(m, inverse):
    """Invert the linear part of m ``[3, 4]``; zero rows and columns count as the identity. False if it is singular."""
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
    """Solve a positive definite n x n system with three right-hand sides by Cholesky; False if it is singular."""
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
    """Write the similarity with a -> a2, b -> b2 (in 3D rolled by the angle 2 pi rng_u) to m ``[3, 4]``."""
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
        # frames with the first axes along u and v; the roll is the free angle between the other axes
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


@nb.njit(cache=True, inline="always")
def _draw_aims(aims, evens, span, lo, hi, points):
    """Indices of two points whose distance over ``span`` lies in [lo, hi], and that ratio; -1 if none was found."""
    i = aims[np.random.randint(aims.shape[0])]
    for _ in range(60):
        j = evens[np.random.randint(evens.shape[0])]
        v = points[j] - points[i]
        d = math.sqrt(v @ v) / span
        if lo <= d <= hi:
            return i, j, d
    return i, i, -1.0


@nb.njit(cache=True, inline="always")
def _draw_stretch(flat):
    """Random factor across the anchors: below 0.2 for needles, 1 for similarities, log-normal for the others."""
    if flat:
        return 0.2 * np.random.random() ** 2
    if np.random.random() < 0.35:
        return math.exp(0.4 * np.random.standard_normal())
    return 1.0


@nb.njit(cache=True, inline="always")
def _stretch(m, across, a, a2, u):
    """A <- A (across I + (1 - across) u u^T), u the unit vector along the anchors; the image a2 of a is kept."""
    for r in range(3):
        s = m[r, 0] * u[0] + m[r, 1] * u[1] + m[r, 2] * u[2]
        for c in range(3):
            m[r, c] = across * m[r, c] + (1.0 - across) * s * u[c]
    for r in range(3):
        m[r, 3] = a2[r] - (m[r, 0] * a[0] + m[r, 1] * a[1] + m[r, 2] * a[2])


@nb.njit(cache=True, inline="always")
def _strays(m, probes, bound, points, graph, cells, shape, low, inverse):
    """Root mean square distance of the images of the probes from the cloud; infinite if the first 8 are too far."""
    total = 0.0
    for n in range(probes.shape[0]):
        x, y, z = _put(m, points[probes[n]])
        _, d2 = nearest(x, y, z, points, graph, cells, shape, low, inverse)
        total += d2
        if n == 7 and total > 8 * bound:
            return np.inf
    return math.sqrt(total / probes.shape[0])


@nb.njit(cache=True, parallel=True)
def propose(count, seed, dim, anchors, aims, evens, lo, hi, flat, probes, points, graph, cells, shape, low, inverse):
    """Random maps that send two distant points of the cloud to two of its points, and their misfits.

    Args:
        anchors: ``[P, 2]`` indices of distant pairs.
        aims: ``[M]`` indices of targets of one anchor; evens: ``[E]`` indices of targets of the other.
        lo, hi: range of the contraction ratio along the anchors.
        flat: False for similarities (about a third of them stretched across the anchors), True for maps that squeeze
            the cloud onto a thin needle, such as the stem of a fern.
        probes: ``[S]`` indices of the points whose images are tested.

    Returns:
        maps ``[count, 3, 4]`` and misfit ``[count]``: root mean square distance of the images from the cloud over the
        ratio, infinite for rejected maps.
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
            i, j, d = _draw_aims(aims, evens, span, lo, hi, points)
            if d < 0.0:
                continue
            a2, b2, m = points[i], points[j], maps[h]
            _similarity(dim, np.random.random(), a, b, a2, b2, np.random.random() < 0.5, m)
            across = _draw_stretch(flat)
            if across != 1.0 and dim > 1:
                _stretch(m, across, a, a2, (b - a) / span)
                if norm_of(m) > hi:
                    continue
            # relative to the size of the image, as otherwise the thinnest would always win
            size = d if flat else d * across ** ((dim - 1) / dim)
            misfit[h] = _strays(m, probes, (0.25 * d) ** 2, points, graph, cells, shape, low, inverse) / size
    return maps, misfit


@nb.njit(cache=True, inline="always")
def _undo(m, inv, x):
    """Preimage of x under m, whose linear part has the inverse ``inv``."""
    e0, e1, e2 = x[0] - m[0, 3], x[1] - m[1, 3], x[2] - m[2, 3]
    return (
        inv[0, 0] * e0 + inv[0, 1] * e1 + inv[0, 2] * e2,
        inv[1, 0] * e0 + inv[1, 1] * e1 + inv[1, 2] * e2,
        inv[2, 0] * e0 + inv[2, 1] * e1 + inv[2, 2] * e2,
    )


@nb.njit(cache=True, inline="always")
def _add_pair(source, aim, w, dim, normal, right):
    """Add w times one pair (source, aim) to the lower triangle of the normal equations."""
    for r in range(dim + 1):
        yr = source[r] if r < dim else 1.0
        for s in range(r + 1):
            normal[r, s] += w * yr * (source[s] if s < dim else 1.0)
        for s in range(3):
            right[r, s] += w * yr * aim[s]


@nb.njit(cache=True)
def _forward_pairs(m, fore, tau2, dim, normal, right, points, graph, cells, shape, low, inverse):
    """Add pairs (y, point nearest to f(y)) to the normal equations; returns the sum of their weights."""
    weight = 0.0
    for n in range(fore.shape[0]):
        p = points[fore[n]]
        a, b, c = _put(m, p)
        j, d2 = nearest(a, b, c, points, graph, cells, shape, low, inverse)
        w = 1.0 / (1.0 + d2 / tau2)
        w *= w
        weight += w
        _add_pair(p, points[j], w, dim, normal, right)
    return weight


@nb.njit(cache=True)
def _backward_pairs(m, inv, back, tau2, dim, normal, right, points, graph, cells, shape, low, inverse, xlow, xhigh):
    """Add pairs (point nearest to f^-1(x), x) to the normal equations, unless f^-1(x) is out of bounds or too far."""
    for n in range(back.shape[0]):
        x = points[back[n]]
        u0, u1, u2 = _undo(m, inv, x)
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
        _add_pair(p, x, w, dim, normal, right)


@nb.njit(cache=True)
def _step(m, out, dim, cap, normal):
    """Over-relaxed step of m towards ``out``, with the norm capped; ``normal`` holds the mean of the sources."""
    for r in range(3):
        for s in range(dim):
            m[r, s] += RELAX * (out[r, s] - m[r, s])
        m[r, 3] += RELAX * (out[r, dim] - m[r, 3])
    norm = norm_of(m)
    if norm > cap:
        # shrink about the image of the mean
        g = cap / norm
        e = np.zeros(3)
        for r in range(dim):
            e[r] = normal[dim, r] / normal[dim, dim]
        for r in range(3):
            m[r, 3] += (1 - g) * (m[r, 0] * e[0] + m[r, 1] * e[1] + m[r, 2] * e[2])
            for s in range(3):
                m[r, s] *= g


@nb.njit(cache=True, parallel=True)
def register(maps, dim, cap, fore, back, iters, tau0, tau1, points, graph, cells, shape, low, inverse, xlow, xhigh):
    """Two-sided robust registration of each map: iterated least squares between matched points, in place.

    Forward pairs (y, point nearest to f(y)) keep f(X) on X. Backward pairs (point nearest to f^-1(x), x) spread f(X)
    over what it covers; without them a map shrinks. Weights are Geman-McClure's, 1 / (1 + d^2/tau^2)^2, with tau
    decreasing from tau0 to tau1 (``[H]`` each). The norm is capped at ``cap`` ``[H]``.
    """
    for h in nb.prange(maps.shape[0]):
        m = maps[h]
        inv = np.zeros((3, 3))
        normal = np.zeros((4, 4))
        right = np.zeros((4, 3))
        out = np.zeros((3, 4))
        for it in range(iters):
            tau = tau0[h] * (tau1[h] / tau0[h]) ** (it / max(iters - 1, 1))
            tau2 = tau * tau
            normal[:] = 0.0
            right[:] = 0.0
            weight = _forward_pairs(m, fore, tau2, dim, normal, right, points, graph, cells, shape, low, inverse)
            if invert(m, inv):
                _backward_pairs(
                    m, inv, back, tau2, dim, normal, right, points, graph, cells, shape, low, inverse, xlow, xhigh
                )
            if weight < 1e-3 * fore.shape[0]:
                break
            for r in range(dim):
                normal[r, r] += 1e-6 * normal[dim, dim]
            if not _solve(normal, right, dim + 1, out):
                break
            _step(m, out, dim, cap[h], normal)


@nb.njit(cache=True, parallel=True)
def inliers(maps, fore, spacing, limit, points, graph, cells, shape, low, inverse):
    """For each map, the fraction of images within ``limit`` local spacings of the cloud, and the mean ratio, capped.

    Returns:
        ``[H]`` fraction in [0, 1] and ``[H]`` mean of min(d / spacing, 4 limit).
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
    """Distance of each map's image from the cloud: ``[H]`` mean excess and ``[H]`` mean distance, both capped at reach.

    The excess is the part of a distance beyond the local spacing, below which sampling explains it. The worst twelfth
    is left out, because samples have sparse regions.
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
    """Distance from points of the cloud to each map's image of it, through the preimage: ``out [H, M]`` float32.

    The image's point nearest to x is searched among f(point nearest to f^-1(x)) and that point's neighbours. Distances
    are capped at ``reach``. Singular maps are inverted after a slight thickening.
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
            u0, u1, u2 = _undo(m, inv, x)
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
