"""The collage step on a CPU: one fused loop forward and one backward, compiled by Numba, items on threads.

Values that vary slowly (range numbers and sources along a row) are computed once per item in small arrays that stay in
cache; each pixel is then written, or its gradient read, once. Memory traffic is the limit.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numba as nb
import numpy as np
import torch
from torch import Tensor

from fractalkit.maps.fields import Axis

# mypy: disable-error-code="no-untyped-def, override"


@nb.njit(cache=True, nogil=True)
def _run(index, start, step):
    """End of the longest stretch from ``start`` along which the index grows by ``step`` each time."""
    end = start + 1
    while end < index.shape[0] and index[end] == index[end - 1] + step:
        end += 1
    return end


@nb.njit(cache=True, nogil=True)
def _turn(index, start):
    """Whether the index rises (1) or falls (-1) from ``start``."""
    return -1 if start + 1 < index.shape[0] and index[start + 1] == index[start] - 1 else 1


@nb.njit(cache=True, fastmath={"contract"}, nogil=True)
def _spread_row(field, low, weight, k0, k1, out):
    """Range numbers ``[Gh, Gw]`` along x, rows k0 … k1-1: ``out [Gh, Ex]``."""
    x = 0
    while x < out.shape[1]:
        end, j = _run(low, x, 0), low[x]
        for k in range(k0, k1):
            f0, f1, f2 = field[k, j], field[k, j + 1], field[k, j + 2]
            for i in range(x, end):
                out[k, i] = weight[0, i] * f0 + weight[1, i] * f1 + weight[2, i] * f2
        x = end


@nb.njit(cache=True, nogil=True)
def _repeat_row(source, inverse, out):
    """A source ``[Uy, Ux]`` along x: ``out [Uy, Ex]``."""
    x = 0
    while x < out.shape[1]:
        step, j = _turn(inverse, x), inverse[x]
        end = _run(inverse, x, step)
        for u in range(out.shape[0]):
            if step > 0:
                for i in range(end - x):
                    out[u, x + i] = source[u, j + i]
            else:
                for i in range(end - x):
                    out[u, x + i] = source[u, j - i]
        x = end


@nb.njit(cache=True, nogil=True)
def _spread_item(item, begins, channels, weight, domain, patch, xi, xf, k0, k1, w, h):
    """Weights ``w [S, Gh, Ex]`` and sources ``h [S, Uy, Ex]`` of an item along x; shared patches where it begins."""
    count = domain.shape[0]
    for s in range(weight.shape[1]):
        _spread_row(weight[item, s], xi[0], xf, k0, k1, w[s])
        if s < count:
            _repeat_row(domain[s, item], xi[1], h[s])
        elif patch.shape[1] > 1:
            _repeat_row(patch[s - count, item % channels], xi[1], h[s])
        elif begins:
            _repeat_row(patch[s - count, 0], xi[1], h[s])


@nb.njit(cache=True, fastmath={"contract"}, nogil=True)
def _forward(first, last, top, bottom, channels, bright, weight, domain, patch, yi, yf, xi, xf, out):
    """Items first … last-1 = b C + c, rows top … bottom-1 of ``out [n, Ey, Ex]``.

    bright ``[n, Gh, Gw]``, weight ``[n, S, Gh, Gw]``, domain ``[D, n, Uy, Ux]``, patch ``[A, C or 1, Uy, Ux]``; yi, xi
    ``[2, E]``: first of three ranges, and place within ranges; yf, xf ``[3, E]``: weights of the three.
    """
    gh, width = bright.shape[1], out.shape[2]
    k0, k1 = yi[0, top:bottom].min(), yi[0, top:bottom].max() + 3
    count, s_all = domain.shape[0], weight.shape[1]
    height = domain.shape[2] if count > 0 else patch.shape[2]
    b = np.empty((gh, width), bright.dtype)
    w = np.empty((s_all, gh, width), bright.dtype)
    h = np.empty((s_all, height, width), bright.dtype)
    for item in range(first, last):
        _spread_row(bright[item], xi[0], xf, k0, k1, b)
        _spread_item(item, item == first, channels, weight, domain, patch, xi, xf, k0, k1, w, h)
        for y in range(top, bottom):
            k, u, r0, r1, r2 = yi[0, y], yi[1, y], yf[0, y], yf[1, y], yf[2, y]
            if s_all == 0:
                for x in range(width):
                    out[item, y, x] = r0 * b[k, x] + r1 * b[k + 1, x] + r2 * b[k + 2, x]
            else:
                for x in range(width):
                    field = r0 * w[0, k, x] + r1 * w[0, k + 1, x] + r2 * w[0, k + 2, x]
                    rest = r0 * b[k, x] + r1 * b[k + 1, x] + r2 * b[k + 2, x]
                    out[item, y, x] = rest + field * h[0, u, x]
            for s in range(1, s_all):
                for x in range(width):
                    field = r0 * w[s, k, x] + r1 * w[s, k + 1, x] + r2 * w[s, k + 2, x]
                    out[item, y, x] += field * h[s, u, x]


@nb.njit(cache=True, fastmath={"contract", "reassoc"}, nogil=True)
def _gather_row(parts, low, weight, k0, k1, total, out):
    """The adjoint of :func:`_spread_row`: add gradients of rows k, k + 1, k + 2, ``[3, Gh - 2, Ex]``."""
    total[:] = 0
    for part in range(3):
        for k in range(k0, k1 - 2):
            for x in range(total.shape[1]):
                total[k + part, x] += parts[part, k, x]
    x = 0
    while x < total.shape[1]:
        end, j = _run(low, x, 0), low[x]
        for k in range(k0, k1):
            s0, s1, s2 = out[k, j], out[k, j + 1], out[k, j + 2]
            for i in range(x, end):
                s0 += weight[0, i] * total[k, i]
                s1 += weight[1, i] * total[k, i]
                s2 += weight[2, i] * total[k, i]
            out[k, j], out[k, j + 1], out[k, j + 2] = s0, s1, s2
        x = end


@nb.njit(cache=True, nogil=True)
def _collect_row(grad, inverse, out):
    """The adjoint of :func:`_repeat_row`: adds to ``out [Uy, Ux]``."""
    x = 0
    while x < grad.shape[1]:
        step, j = _turn(inverse, x), inverse[x]
        end = _run(inverse, x, step)
        for u in range(out.shape[0]):
            if step > 0:
                for i in range(end - x):
                    out[u, j + i] += grad[u, x + i]
            else:
                for i in range(end - x):
                    out[u, j - i] += grad[u, x + i]
        x = end


@nb.njit(cache=True, fastmath={"contract"}, nogil=True)
def _rows_back(grad, yi, yf, w, h, to_rows, dh):
    """Accumulate the gradients of ranges and sources from one item's gradient ``[Ey, Ex]``."""
    width = grad.shape[1]
    for y in range(grad.shape[0]):
        k, u, r0, r1, r2 = yi[0, y], yi[1, y], yf[0, y], yf[1, y], yf[2, y]
        # many small loops: the compiler vectorises only loops with few possible aliases
        for part in range(3):
            r = yf[part, y]
            for x in range(width):
                to_rows[0, part, k, x] += r * grad[y, x]
        for s in range(w.shape[0]):
            for part in range(3):
                r = yf[part, y]
                for x in range(width):
                    to_rows[1 + s, part, k, x] += r * grad[y, x] * h[s, u, x]
            for x in range(width):
                field = r0 * w[s, k, x] + r1 * w[s, k + 1, x] + r2 * w[s, k + 2, x]
                dh[s, u, x] += grad[y, x] * field


@nb.njit(cache=True, fastmath={"contract"}, nogil=True)
def _backward(first, last, channels, weight, domain, patch, yi, yf, xi, xf, grad, to_b, to_w, to_d, to_p):
    """The adjoint of :func:`_forward` on items first … last-1: adds to the four gradients."""
    gh, width = weight.shape[2], grad.shape[2]
    k0, k1 = yi[0].min(), yi[0].max() + 3
    count, s_all = domain.shape[0], weight.shape[1]
    height = domain.shape[2] if count > 0 else patch.shape[2]
    w = np.empty((s_all, gh, width), weight.dtype)
    h = np.empty((s_all, height, width), weight.dtype)
    to_rows = np.empty(
        (1 + s_all, 3, gh - 2, width), weight.dtype
    )  # gradients of the three ranges of each row of points
    total = np.empty((gh, width), weight.dtype)
    dh = np.zeros((s_all, height, width), weight.dtype)
    shared = patch.shape[1] == 1
    for item in range(first, last):
        to_rows[:] = 0
        _spread_item(item, item == first, channels, weight, domain, patch, xi, xf, k0, k1, w, h)
        _rows_back(grad[item], yi, yf, w, h, to_rows, dh)
        _gather_row(to_rows[0], xi[0], xf, k0, k1, total, to_b[item])
        for s in range(s_all):
            _gather_row(to_rows[1 + s], xi[0], xf, k0, k1, total, to_w[item, s])
            if s < count:
                _collect_row(dh[s], xi[1], to_d[s, item])
                dh[s] = 0
            elif not shared:
                _collect_row(dh[s], xi[1], to_p[s - count, item % channels])
                dh[s] = 0
    if shared:  # collected once for all items
        for s in range(count, s_all):
            _collect_row(dh[s], xi[1], to_p[s - count, 0])


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """A thread pool for each process; a fork does not inherit its parent's threads."""
    return ThreadPoolExecutor(thread_name_prefix="collage")


def _shares(n: int) -> list[tuple[int, int]]:
    """Split 0 … n into as many parts as torch may use threads."""
    parts = max(1, min(n, torch.get_num_threads()))
    ends = [n * k // parts for k in range(parts + 1)]
    return list(pairwise(ends))


def _call(jobs: list[Any]) -> None:
    """Call each (function, arguments), on this thread if there is only one job, else on the pool."""
    if len(jobs) == 1:
        jobs[0][0](*jobs[0][1])
    else:
        for future in [_pool(os.getpid()).submit(function, *arguments) for function, arguments in jobs]:
            future.result()


class Fused(torch.autograd.Function):
    """brightness ``[B, C, Gh, Gw]``, weights ``[B, C, S, Gh, Gw]``, domains ``[D, B, C, Uy, Ux]``, patches."""

    @staticmethod
    def forward(ctx, brightness: Tensor, weights: Tensor, domains: Tensor, patches: Tensor, y: Axis, x: Axis) -> Tensor:
        """``[B, C, Ey, Ex]``."""
        kept = [t.detach().contiguous() for t in (brightness, weights, domains, patches)]
        ctx.save_for_backward(*kept[1:])
        ctx.axes = (y, x)
        b, c = brightness.shape[:2]
        yi, yf = y.taps(kept[0])
        xi, xf = x.taps(kept[0])
        out = kept[0].new_empty(b, c, yi.shape[1], xi.shape[1])
        fields = _flat(*kept)
        target = out.view(b * c, *out.shape[2:]).numpy()
        by_rows = b * c < torch.get_num_threads()
        jobs = []
        for i0, i1 in [(0, b * c)] if by_rows else _shares(b * c):
            for y0, y1 in _shares(out.shape[2]) if by_rows else [(0, out.shape[2])]:
                jobs.append((_forward, (i0, i1, y0, y1, c, *fields, yi, yf, xi, xf, target)))
        _call(jobs)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor):
        """Gradients of the four tensors."""
        weights, domains, patches = ctx.saved_tensors
        y, x = ctx.axes
        b, c = weights.shape[:2]
        yi, yf = y.taps(weights)
        xi, xf = x.taps(weights)
        to_b = weights.new_zeros(b, c, *weights.shape[3:])
        to_w, to_d = torch.zeros_like(weights), torch.zeros_like(domains)
        shares = _shares(b * c)
        to_p = patches.new_zeros(len(shares), *patches.shape)  # items of several threads share patches
        flat_b, flat_w, flat_d, _ = _flat(to_b, to_w, to_d, patches)
        _, w, d, p = _flat(to_b, weights, domains, patches)
        source = grad.contiguous().view(b * c, *grad.shape[2:]).numpy()
        _call(
            [
                (_backward, (i0, i1, c, w, d, p, yi, yf, xi, xf, source, flat_b, flat_w, flat_d, to_p[k].numpy()))
                for k, (i0, i1) in enumerate(shares)
            ]
        )
        return to_b, to_w, to_d, to_p.sum(0), None, None


def _flat(brightness: Tensor, weights: Tensor, domains: Tensor, patches: Tensor) -> tuple[np.ndarray, ...]:
    """The four as NumPy arrays, batch and channels one axis of items."""
    return (
        brightness.flatten(0, 1).numpy(),
        weights.flatten(0, 1).numpy(),
        domains.flatten(1, 2).numpy(),
        patches.numpy(),
    )
