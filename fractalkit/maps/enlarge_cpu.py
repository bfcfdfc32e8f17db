"""Compiled loops of enlargement: the search for copies, linear predictions, and the details that they make."""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.raster.average_spline_cpu import refine

# mypy: disable-error-code="no-untyped-def, call-arg"


@nb.njit(cache=True, nogil=True)
def details(x):
    """:func:`.enlarge_parts.details` of ``[C, H, W]``, as ``[H - 1, W - 1, C, 4]``."""
    channels, h, w = x.shape
    out = np.empty((h - 1, w - 1, channels, 4), np.float32)
    for c in range(channels):
        for i in range(2):
            for j in range(2):
                rows, columns = (h - i) // 2, (w - j) // 2
                if rows == 0 or columns == 0:
                    continue
                coarse = np.empty((rows, columns), np.float32)
                for a in range(rows):
                    for b in range(columns):
                        p, q = i + 2 * a, j + 2 * b
                        coarse[a, b] = 0.25 * (x[c, p, q] + x[c, p + 1, q] + x[c, p, q + 1] + x[c, p + 1, q + 1])
                fine = np.empty((2 * rows, 2 * columns), np.float32)
                refine(coarse, fine)
                for a in range(rows):
                    for b in range(columns):
                        p, q = i + 2 * a, j + 2 * b
                        for u in range(4):
                            y, z = u >> 1, u & 1
                            out[p, q, c, u] = x[c, p + y, q + z] - fine[2 * a + y, 2 * b + z]
    return out


@nb.njit(cache=True, nogil=True, fastmath=True)
def _energies(p, ridge):
    """Squared norm of each domain without its mean, and the inverse of its sum with ``ridge``: ``[H - 1, W - 1]``."""
    rows, columns = p.shape
    square, inverse = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    for a in range(2, rows - 2):
        for b in range(2, columns - 2):
            s1 = s2 = np.float32(0)
            for i in range(-2, 3, 2):
                for j in range(-2, 3, 2):
                    v = p[a + i, b + j]
                    s1 += v
            mean = s1 / np.float32(9)
            for i in range(-2, 3, 2):
                for j in range(-2, 3, 2):
                    v = p[a + i, b + j] - mean
                    s2 += v * v
            square[a, b], inverse[a, b] = s2, 1 / (s2 + ridge)
    return square, inverse


@nb.njit(cache=True, nogil=True, fastmath=True)
def _weigh(error, spread, energy, rich, ridge, square, place, contrast, weight):
    """Weights of a range's domains from their errors; a rich detail has the contrast of the range, and one domain."""
    columns = square.shape[1]
    for k in range(len(place)):
        if error[k] == np.inf:
            place[k] = 2 * columns + 2
            weight[k] = contrast[k] = 0
            continue
        weight[k] = np.exp(-error[k] / 9 / spread) + 1e-6
        if rich > 0:
            e2 = square[place[k] // columns, place[k] % columns]
            full = min(np.sqrt(energy / (e2 + ridge)), np.float32(1.5))
            contrast[k] = (1 - rich) * contrast[k] + rich * full
            if k > 0:
                weight[k] *= 1 - rich


@nb.njit(cache=True, nogil=True, fastmath=True)
def search(y, p, top, left, height, width, reach, rich, sigma, relative, ridge, most, place, contrast, weight):
    """The K best domains for the 3 x 3 neighbourhood of each pixel of a window.

    Args:
        y, p: luma ``[H, W]`` and its ``pooled`` ``[H - 1, W - 1]``.
        top, left, height, width: the window.
        reach: domains are searched at most this many pixels away.
        place: ``[height, width, K]`` int32, flat index into p; ``contrast`` and ``weight`` float32: results.
    """
    rows, columns = p.shape
    h, w = y.shape
    count = place.shape[2]
    square, inverse = _energies(p, ridge)
    r = np.empty(9, np.float32)
    error = np.empty(count, np.float32)
    across, fit = np.empty(2 * reach + 1, np.float32), np.empty(2 * reach + 1, np.float32)
    for n in range(height):
        for m in range(width):
            i, j = top + n, left + m
            mean = np.float32(0)
            for u in range(9):
                r[u] = y[min(max(i + u // 3 - 1, 0), h - 1), min(max(j + u % 3 - 1, 0), w - 1)]
                mean += r[u]
            mean /= np.float32(9)
            energy = np.float32(0)
            for u in range(9):
                r[u] -= mean
                energy += r[u] * r[u]
            y0, y1 = min(max(i - reach, 2), rows - 3), min(max(i + reach, 2), rows - 3)
            x0, x1 = min(max(j - reach, 2), columns - 3), min(max(j + reach, 2), columns - 3)
            error[:] = np.inf
            wide = x1 - x0 + 1
            for a in range(y0, y1 + 1):
                e2, over = square[a, x0 : x1 + 1], inverse[a, x0 : x1 + 1]
                d0 = p[a - 2, x0 - 2 : x1 + 3]
                d1 = p[a, x0 - 2 : x1 + 3]
                d2 = p[a + 2, x0 - 2 : x1 + 3]
                least = np.float32(np.inf)
                for b in range(wide):  # r has no mean, so the domain's mean drops out
                    c = r[0] * d0[b] + r[1] * d0[b + 2] + r[2] * d0[b + 4]
                    c += r[3] * d1[b] + r[4] * d1[b + 2] + r[5] * d1[b + 4]
                    c += r[6] * d2[b] + r[7] * d2[b + 2] + r[8] * d2[b + 4]
                    s = min(max(c * over[b], np.float32(0)), most)
                    fit[b] = s
                    e = energy - s * (2 * c - s * e2[b])
                    across[b] = e
                    least = min(least, e)
                if least >= error[count - 1]:
                    continue
                for b in range(wide):
                    e = across[b]
                    if e < error[count - 1]:
                        s = fit[b]
                        k = count - 1
                        while k > 0 and error[k - 1] > e:
                            error[k], place[n, m, k] = error[k - 1], place[n, m, k - 1]
                            contrast[n, m, k] = contrast[n, m, k - 1]
                            k -= 1
                        error[k], contrast[n, m, k] = e, s
                        place[n, m, k] = a * columns + x0 + b
            spread = 2 * (sigma * sigma + relative * energy / 9)
            _weigh(error, spread, energy, rich, ridge, square, place[n, m], contrast[n, m], weight[n, m])


@nb.njit(cache=True, nogil=True, fastmath=True)
def predict(y, top, left, kind, filters, local, row, row_weight, column, column_weight, out):
    """Linear predictions of the quarters of each pixel of a window, without their mean: ``out`` ``[h, w, 4]``.

    Args:
        y: luma; ``kind`` ``[h, w]``: classes; ``filters`` ``[n, 25, 4]``; ``local`` ``[ny, nx, 25, 4]``.
        row, row_weight, column, column_weight: of the nodes, as :func:`.enlarge_parts.node_weights`.
    """
    h, w = y.shape
    height, width = kind.shape
    f = np.empty(25, np.float32)
    v = np.empty(4, np.float32)
    for n in range(height):
        a, ta = row[n], row_weight[n]
        a1 = min(a + 1, local.shape[0] - 1)
        for m in range(width):
            b, tb = column[m], column_weight[m]
            b1 = min(b + 1, local.shape[1] - 1)
            mean = np.float32(0)
            for u in range(25):
                i = min(max(top + n + u // 5 - 2, 0), h - 1)
                j = min(max(left + m + u % 5 - 2, 0), w - 1)
                f[u] = y[i, j]
                mean += f[u]
            mean /= np.float32(25)
            w00, w01, w10, w11 = (1 - ta) * (1 - tb), (1 - ta) * tb, ta * (1 - tb), ta * tb
            m00, m01, m10, m11 = local[a, b], local[a, b1], local[a1, b], local[a1, b1]
            here = filters[kind[n, m]]
            v[:] = 0
            for u in range(25):
                g = f[u] - mean
                for q in range(4):
                    v[q] += g * (here[u, q] + w00 * m00[u, q] + w01 * m01[u, q] + w10 * m10[u, q] + w11 * m11[u, q])
            middle = (v[0] + v[1] + v[2] + v[3]) * np.float32(0.25)
            for q in range(4):
                out[n, m, q] = v[q] - middle


@nb.njit(cache=True, nogil=True, fastmath=True)
def copy(detail, place, contrast, weight, top, left, out):
    """Overlapped copies: ``out`` ``[h, w, C, 4]`` of a window at (top, left) of the ranges ``place``.

    The nine ranges that cover a pixel each say what their domains have there; the result is their weighted mean.
    """
    rows, columns, channels, _ = detail.shape
    height, width, count = place.shape
    acc = np.empty(channels * 4, np.float32)
    flat = detail.reshape(rows * columns, channels * 4)
    for n in range(out.shape[0]):
        for m in range(out.shape[1]):
            acc[:] = 0
            total = np.float32(0)
            for i in range(-1, 2):
                for j in range(-1, 2):
                    a, b = top + n - i, left + m - j
                    if a < 0 or b < 0 or a >= height or b >= width:
                        continue
                    for k in range(count):
                        g = weight[a, b, k]
                        if g == 0:
                            continue
                        s = g * contrast[a, b, k]
                        total += g
                        source = flat[place[a, b, k] + 2 * (i * columns + j)]
                        for c in range(channels * 4):
                            acc[c] += s * source[c]
            scale = np.float32(1) / max(total, np.float32(1e-12))
            for c in range(channels):
                for q in range(4):
                    out[n, m, c, q] = acc[4 * c + q] * scale


@nb.njit(cache=True, nogil=True)
def project(x, y, low, high):
    """:func:`.enlarge.project` of ``x`` ``[C, 2H, 2W]``, in place; averages and bounds are ``[C, H, W]``."""
    channels, h, w = y.shape
    v = np.empty(4, np.float32)
    for c in range(channels):
        for i in range(h):
            for j in range(w):
                a, b = low[c, i, j], high[c, i, j]
                inside, rest = True, 4 * y[c, i, j]
                for q in range(4):
                    v[q] = x[c, 2 * i + (q >> 1), 2 * j + (q & 1)]
                    inside &= a <= v[q] <= b
                    rest -= v[q]
                if inside and abs(rest) < 1e-2:  # but for rounding
                    continue
                tau = _filled(v, a, b, 4 * y[c, i, j])
                for q in range(4):
                    x[c, 2 * i + (q >> 1), 2 * j + (q & 1)] = min(max(v[q] + tau, a), b)


@nb.njit(cache=True, nogil=True)
def _filled(v, low, high, want):
    """The number that, added to four values before they are clipped, makes their sum ``want``."""
    below, above = np.float32(-np.inf), np.float32(np.inf)
    for k in range(8):
        tau = (low if k < 4 else high) - v[k & 3]
        total = np.float32(0)
        for q in range(4):
            total += min(max(v[q] + tau, low), high)
        if total <= want:
            below = max(below, tau)
        if total >= want:
            above = min(above, tau)
    middle = (below + above) / 2
    count, rest = 0, want
    for q in range(4):
        u = v[q] + middle
        if low < u < high:
            count += 1
            rest -= v[q]
        else:
            rest -= min(max(u, low), high)
    return rest / count if count else below
