"""The CPU engine: fused loops compiled by Numba, chains side by side in vector registers, blocks of chains on threads.

Lanes of a block advance in lockstep, so that hashing, picking and the affine step are vector instructions; a histogram
is filled straight from registers. What limits it: gathers of map coefficients (one for each of D (D + 1) numbers),
then the scattered increments, one read-modify-write of second-level cache a point.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.orbit.streams import CHAINS, MIX1, MIX2, STRIDE, Plan
from fractalkit.rows import copy_row

# mypy: disable-error-code="no-untyped-def, call-arg"

LANES = 64
COUNT_LANES = 16
_BLOCKS = CHAINS // LANES
_M1, _M2, _STRIDE = np.uint32(MIX1), np.uint32(MIX2), np.uint32(STRIDE)
_S15, _S16 = np.uint32(15), np.uint32(16)


@nb.njit(inline="always")
def _slot(t, key1, key2, bits, threshold):
    """2 column + (0 or 1): the entry of the alias table that 32 hashed bits choose, see :mod:`.streams`."""
    u = np.uint32(key1 + np.uint32(t * _STRIDE))
    u = np.uint32((u ^ (u >> _S16)) * _M1)
    u = np.uint32((u ^ (u >> _S15)) + key2)
    u = np.uint32(u * _M2)
    u = np.uint32(u ^ (u >> _S15))
    column = np.int32(u >> np.uint32(np.uint32(32) - bits))
    fraction = np.uint32(u << bits)
    return np.int32(column + column + np.int32(fraction >= threshold[column]))


@nb.njit(cache=True, parallel=True, fastmath={"contract"}, nogil=True)
def points2(tab, bits, threshold, pair, key1, key2, state, t0, rows, write, out, symbols):
    """Advance all chains ``rows`` steps in the plane; write points ``[rows, CHAINS, 2]`` and maps where asked."""
    keep = symbols.shape[0] > 0
    for block in nb.prange(_BLOCKS):
        base = block * LANES
        x = state[0, base : base + LANES].copy()
        y = state[1, base : base + LANES].copy()
        k1 = key1[base : base + LANES].copy()
        k2 = key2[base : base + LANES].copy()
        pick = np.empty(LANES, np.int32)
        for r in range(rows):
            t = np.uint32(t0 + r)
            for lane in range(LANES):
                pick[lane] = _slot(t, k1[lane], k2[lane], bits, threshold)
            for lane in range(LANES):
                k = pick[lane]
                u = tab[0, k] * x[lane] + (tab[1, k] * y[lane] + tab[2, k])
                v = tab[3, k] * x[lane] + (tab[4, k] * y[lane] + tab[5, k])
                x[lane] = u
                y[lane] = v
            if write:
                for lane in range(LANES):
                    out[r, base + lane, 0] = x[lane]
                    out[r, base + lane, 1] = y[lane]
            if keep:
                for lane in range(LANES):
                    symbols[r, base + lane] = pair[pick[lane]]
        copy_row(x, state[0, base : base + LANES])
        copy_row(y, state[1, base : base + LANES])


@nb.njit(cache=True, parallel=True, fastmath={"contract"}, nogil=True)
def points3(tab, bits, threshold, pair, key1, key2, state, t0, rows, write, out, symbols):
    """Advance all chains in space: :func:`points2` with a third coordinate."""
    keep = symbols.shape[0] > 0
    for block in nb.prange(_BLOCKS):
        base = block * LANES
        x = state[0, base : base + LANES].copy()
        y = state[1, base : base + LANES].copy()
        z = state[2, base : base + LANES].copy()
        k1 = key1[base : base + LANES].copy()
        k2 = key2[base : base + LANES].copy()
        pick = np.empty(LANES, np.int32)
        for r in range(rows):
            t = np.uint32(t0 + r)
            for lane in range(LANES):
                pick[lane] = _slot(t, k1[lane], k2[lane], bits, threshold)
            for lane in range(LANES):
                k = pick[lane]
                u = tab[0, k] * x[lane] + (tab[1, k] * y[lane] + (tab[2, k] * z[lane] + tab[3, k]))
                v = tab[4, k] * x[lane] + (tab[5, k] * y[lane] + (tab[6, k] * z[lane] + tab[7, k]))
                w = tab[8, k] * x[lane] + (tab[9, k] * y[lane] + (tab[10, k] * z[lane] + tab[11, k]))
                x[lane] = u
                y[lane] = v
                z[lane] = w
            if write:
                for lane in range(LANES):
                    out[r, base + lane, 0] = x[lane]
                    out[r, base + lane, 1] = y[lane]
                    out[r, base + lane, 2] = z[lane]
            if keep:
                for lane in range(LANES):
                    symbols[r, base + lane] = pair[pick[lane]]
        copy_row(x, state[0, base : base + LANES])
        copy_row(y, state[1, base : base + LANES])
        copy_row(z, state[2, base : base + LANES])


@nb.njit(cache=True, parallel=True, fastmath={"contract"}, nogil=True)
def counts2(tab, bits, threshold, pair, key1, key2, state, t0, rows, last, scale, shift, top, width, workers, hist):
    """Advance ``rows`` steps (the first ``last`` chains one more) and count pixels: ``hist [workers, H W + 1]`` uint32.

    Pixel of (x, y): column scale[0] x + shift[0], row scale[1] y + shift[1], both below ``top``; what lies outside is
    counted in the last place. Blocks are short here, so that the increments of one overlap with the next one's orbit.
    """
    outside = hist.shape[1] - 1
    right, upper = top[0], top[1]  # of the table's type: a comparison with an integer is done in float64, at half speed
    for worker in nb.prange(workers):
        mine = hist[worker]
        pick = np.empty(COUNT_LANES, np.int32)
        where = np.empty(COUNT_LANES, np.int32)
        for block in range(worker, CHAINS // COUNT_LANES, workers):
            base = block * COUNT_LANES
            x = state[0, base : base + COUNT_LANES].copy()
            y = state[1, base : base + COUNT_LANES].copy()
            k1 = key1[base : base + COUNT_LANES].copy()
            k2 = key2[base : base + COUNT_LANES].copy()
            for r in range(rows + 1):
                lanes = COUNT_LANES if r < rows else min(max(last - base, 0), COUNT_LANES)
                if lanes == 0:
                    break
                t = np.uint32(t0 + r)
                for lane in range(COUNT_LANES):
                    pick[lane] = _slot(t, k1[lane], k2[lane], bits, threshold)
                for lane in range(COUNT_LANES):
                    k = pick[lane]
                    u = tab[0, k] * x[lane] + (tab[1, k] * y[lane] + tab[2, k])
                    v = tab[3, k] * x[lane] + (tab[4, k] * y[lane] + tab[5, k])
                    x[lane] = u
                    y[lane] = v
                    fc = scale[0] * u + shift[0]
                    fr = scale[1] * v + shift[1]
                    inside = (fc >= 0) & (fc < right) & (fr >= 0) & (fr < upper)
                    where[lane] = np.int32(fr) * np.int32(width) + np.int32(fc) if inside else np.int32(outside)
                for lane in range(lanes):
                    mine[where[lane]] += np.uint32(1)
            copy_row(x, state[0, base : base + COUNT_LANES])
            copy_row(y, state[1, base : base + COUNT_LANES])


@nb.njit(cache=True, fastmath={"contract"}, forceinline=True)
def _cell(x, dim, scale, shift, shape, outside):
    """Index of the cell of a point, x running fastest; ``outside`` for a point that lies outside the grid."""
    index = 0
    for i in range(dim - 1, -1, -1):
        f = scale[i] * x[i] + shift[i]
        if f < 0 or f >= shape[i]:
            return outside
        index = index * shape[i] + int(f)
    return index


@nb.njit(cache=True, parallel=True, fastmath={"contract"}, nogil=True)
def counts(
    tab,
    bits,
    threshold,
    pair,
    key1,
    key2,
    state,
    tones,
    dim,
    t0,
    rows,
    last,
    scale,
    shift,
    shape,
    tint,
    speed,
    workers,
    hist,
    rgb,
):
    """As :func:`counts2` for 2 or 3 dimensions, with colour: ``rgb [workers, cells + 1, 3]`` int64 in units of 2^-16.

    The colour of a chain is blended along its orbit, c <- speed tint[k] + (1 - speed) c; sums of integers do not depend
    on the order of threads.
    """
    d1 = dim + 1
    cells = hist.shape[1] - 1
    colour = rgb.shape[0] > 0
    for worker in nb.prange(workers):
        x = np.empty(3, tab.dtype)
        y = np.empty(3, tab.dtype)
        tone = np.empty(3, np.float64)
        for block in range(worker, _BLOCKS, workers):
            for chain in range(block * LANES, (block + 1) * LANES):
                for c in range(dim):
                    x[c] = state[c, chain]
                for c in range(3):
                    tone[c] = tones[c, chain]
                steps = rows + (1 if chain < last else 0)
                for r in range(steps):
                    k = _slot(np.uint32(t0 + r), key1[chain], key2[chain], bits, threshold)
                    for i in range(dim):
                        s = tab[i * d1 + dim, k]
                        for j in range(dim - 1, -1, -1):
                            s = tab[i * d1 + j, k] * x[j] + s
                        y[i] = s
                    for i in range(dim):
                        x[i] = y[i]
                    index = _cell(x, dim, scale, shift, shape, cells)
                    hist[worker, index] += np.uint32(1)
                    if colour:
                        for c in range(3):
                            tone[c] = speed * tint[pair[k], c] + (1 - speed) * tone[c]
                            rgb[worker, index, c] += np.int64(tone[c] * 65536.0)
                for c in range(dim):
                    state[c, chain] = x[c]
                for c in range(3):
                    tones[c, chain] = tone[c]


class NumbaWalker:
    """All chains, advanced by compiled loops over numpy arrays."""

    def __init__(self, plan: Plan, dtype: np.dtype) -> None:
        self.plan = plan
        # one entry a slot of the alias table, so that picking needs no second look-up
        self.pair = np.ascontiguousarray(plan.pair.reshape(-1))  # [2^(m+1)]
        table = plan.maps.reshape(len(plan.maps), -1).astype(dtype)
        self.tab = np.ascontiguousarray(table[self.pair].T)  # [D (D + 1), 2^(m+1)]
        self.bits = np.uint32(len(plan.threshold).bit_length() - 1)
        self.state = np.ascontiguousarray(plan.start.T.astype(dtype))  # [D, CHAINS]
        self.tone = np.zeros((3, CHAINS))  # running colour of each chain
        self.t = 0
        self._none = np.empty((0, 0), np.uint16)

    def _args(self):
        p = self.plan
        return self.tab, self.bits, p.threshold, self.pair, p.key1, p.key2, self.state

    def points(self, rows: int, points: np.ndarray, symbols: np.ndarray | None) -> None:
        """Write the next ``rows`` points of every chain: ``[rows, CHAINS, D]``, and their maps ``[rows, CHAINS]``."""
        kernel = points2 if self.plan.dim == 2 else points3
        kernel(*self._args(), self.t, rows, True, points, self._none if symbols is None else symbols)
        self.t += rows

    def skip(self, rows: int, symbols: np.ndarray | None = None) -> None:
        """Advance without writing points; symbols ``[rows, CHAINS]`` where wanted."""
        kernel = points2 if self.plan.dim == 2 else points3
        empty = np.empty((0, 0, self.plan.dim), self.tab.dtype)
        kernel(*self._args(), self.t, rows, False, empty, self._none if symbols is None else symbols)
        self.t += rows

    def count(self, rows, last, grid, colours, speed, hist, rgb) -> None:
        """Count the next ``rows`` points of every chain, and one more of the first ``last`` chains.

        ``grid`` is (scale, shift, shape) per coordinate, x first; ``hist [workers, cells + 1]`` uint32 and
        ``rgb [workers, cells + 1, 3]`` int64 or None; ``colours [K, 3]``.
        """
        scale, shift, shape = grid
        scale, shift = scale.astype(self.tab.dtype), shift.astype(self.tab.dtype)
        workers = len(hist)
        if self.plan.dim == 2 and rgb is None:
            top = shape.astype(self.tab.dtype)
            top = np.where(top > shape, np.nextafter(top, 0, dtype=top.dtype), top)  # never rounded up
            counts2(*self._args(), self.t, rows, last, scale, shift, top, shape[0], workers, hist)
        else:
            rgb = np.empty((0, 0, 3), np.int64) if rgb is None else rgb
            counts(*self._args(), self.tone, self.plan.dim, self.t, rows, last, scale, shift, shape, colours, speed,
                   workers, hist, rgb)  # fmt: skip
        self.t += rows
