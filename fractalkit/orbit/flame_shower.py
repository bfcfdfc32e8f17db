"""Many samples along the paths of :mod:`.flame_window`, into a histogram: compiled.

The latest maps of a path act on a small part of the plane, where they are nearly polynomials of the second degree. One
is fitted to the samples of a path that go through all of its maps, and stands for as many maps as it can: it must be
right to a fifth of a cell wherever the window is reached from. So a sample costs the same however long its path is.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.maps.variation_ops import LEVELS, MAX_DEPTH, PLOT, C, X, Y, Z
from fractalkit.orbit.flame_machine import (
    _CODE,
    _COLOURS,
    _EXECUTE,
    _NUMBERS,
    _STATE,
    _STEP,
    _TABLE,
    _WHOLE,
    _WHOLES,
    _drawn,
)
from fractalkit.orbit.flame_paths import go, send

# mypy: disable-error-code="no-untyped-def"

PROBES = 2  # blocks that go through all maps
FEATURES = 11
RIGHT = 0.2  # cells that a polynomial may be off
SHADE = 1 / 400  # and its colour
ROOM = 0.15  # how far beyond the samples' box it counts, as a share of the box
LEAST = 48  # samples in the window to fit it to
_MARGIN = 1.5  # windows about the window in which it must be right


@nb.njit(nogil=True, error_model="numpy")
def _start(points, maps, low, seed, table, last, n):
    """Starts drawn at random into the table; ``last``: their last maps. Returns the seed."""
    span = len(maps) - low
    for k in range(n):
        seed += _STEP
        r = low + np.int64(_drawn(seed) * span)
        table[X, k], table[Y, k], table[Z, k], table[C, k] = points[0, r], points[1, r], points[2, r], points[3, r]
        last[k] = maps[r]
    return seed


@nb.njit(nogil=True, error_model="numpy")
def _fresh(execute, code, scalars, starts, R, turns, state, fresh, seed, n):
    """Two more steps of the chaos game, so that there are more starts than points of the orbit. Returns the seed."""
    for _ in range(2 if len(fresh) else 0):
        seed += _STEP
        chance, m = _drawn(seed), 0
        while chance >= fresh[m]:
            m += 1
        for k in range(n):
            seed += _STEP
            state[k] = seed
        execute(code, scalars, R, len(state), turns, state, 0, n, starts[m])
    return seed


@nb.njit(nogil=True, error_model="numpy")
def _place(view, box, rows, columns, table, at, n):
    """Where points are plotted, in cells, their colours and paint, into ``at`` ``[4, n]``; hidden ones nowhere."""
    fx, fy = columns / (box[2] - box[0]), rows / (box[3] - box[1])
    for k in range(n):
        x, y = table[PLOT, k], table[PLOT + 1, k]
        u, v = view[0] * x + view[1] * y + view[2], view[3] * x + view[4] * y + view[5]
        at[0, k], at[1, k], at[2, k] = (u - box[0]) * fx, (v - box[1]) * fy, table[PLOT + 2, k]
        at[3, k] = table[PLOT + 4, k]
        if table[PLOT + 3, k] != 0.0:
            at[0, k] = np.nan


@nb.njit(nogil=True, error_model="numpy")
def _gather(at, last, follows, next_map, scale, paints, rows, columns, seed, cells, shades, got, n):
    """Cells and rows of the palette of the points that fall into the window. Returns how many, and the seed."""
    for k in range(n):
        x, y = at[0, k], at[1, k]
        if not (x >= 0.0 and y >= 0.0 and x < columns and y < rows) or got >= len(cells):
            continue
        if next_map >= 0:
            seed += _STEP
            if last[k] < 0 or _drawn(seed) >= follows[last[k], next_map]:
                continue
        seed += _STEP
        cells[got] = 4 * (np.int64(y) * columns + np.int64(x))
        shades[got] = 4 * np.int64(min(max(at[2, k], 0.0), 1.0) * scale[0] + _drawn(seed) * scale[1])
        if at[3, k] > 0.0:
            shades[got] = paints + 4 * np.int64(at[3, k])
        got += 1
    return got, seed


@nb.njit(nogil=True, error_model="numpy")
def _features(x, y, z, c, out):
    """1, the coordinates, their products, and the colour."""
    out[0], out[1], out[2], out[3], out[4], out[5] = 1.0, x, y, x * x, x * y, y * y
    out[6], out[7], out[8], out[9], out[10] = z, z * z, x * z, y * z, c


@nb.njit(nogil=True, error_model="numpy")
def _solved(a, b):
    """Solve a symmetric positive system ``[F, F]`` for three right sides, in place."""
    n = len(a)
    for i in range(n):
        best = i
        for j in range(i + 1, n):
            if abs(a[j, i]) > abs(a[best, i]):
                best = j
        if not abs(a[best, i]) > 0.0:
            return False
        for k in range(n):
            a[i, k], a[best, k] = a[best, k], a[i, k]
        for k in range(3):
            b[i, k], b[best, k] = b[best, k], b[i, k]
        for j in range(n):
            if j != i:
                f = a[j, i] / a[i, i]
                for k in range(i, n):
                    a[j, k] -= f * a[i, k]
                for k in range(3):
                    b[j, k] -= f * b[i, k]
    for i in range(n):
        for k in range(3):
            b[i, k] /= a[i, i]
    return True


@nb.njit(nogil=True, error_model="numpy")
def _domain(before, at, rows, columns, frame):
    """The box of the points that fall into the window, with room about it: middles and half sides ``[4, 2]``."""
    count = 0
    for i in range(4):
        frame[i, 0], frame[i, 1] = np.inf, -np.inf
    for k in range(at.shape[1]):
        if at[0, k] >= 0.0 and at[1, k] >= 0.0 and at[0, k] < columns and at[1, k] < rows:
            count += 1
            for i in range(4):
                frame[i, 0], frame[i, 1] = min(frame[i, 0], before[i, k]), max(frame[i, 1], before[i, k])
    for i in range(4):
        low, high = frame[i, 0], frame[i, 1]
        frame[i, 0], frame[i, 1] = (low + high) / 2, max((0.5 + ROOM) * (high - low), 1e-300)
    frame[3, 0], frame[3, 1] = 0.0, 1.0  # the colour: all of it
    return count


@nb.njit(nogil=True, error_model="numpy")
def _inside(before, frame, k):
    """Whether a point is in the box where a polynomial counts."""
    x, y, z = before[0, k] - frame[0, 0], before[1, k] - frame[1, 0], before[2, k] - frame[2, 0]
    return abs(x) <= frame[0, 1] and abs(y) <= frame[1, 1] and abs(z) <= frame[2, 1]


@nb.njit(nogil=True, error_model="numpy")
def _fitted(before, at, rows, columns, frame, poly):
    """Fit where points are plotted to where they were before; whether it is right.

    Args:
        before: x, y, z, colour ``[4, n]``; ``at``: cells, colour and paint ``[4, n]``.
        frame: filled, see :func:`_domain`; ``poly``: filled ``[F, 3]``.
    """
    if _domain(before, at, rows, columns, frame) < LEAST:
        return False
    a, f, sums = np.zeros((FEATURES, FEATURES)), np.zeros(FEATURES), 0.0
    for i in range(FEATURES):
        for j in range(3):
            poly[i, j] = 0.0
    for k in range(at.shape[1]):
        if not _inside(before, frame, k):
            continue
        if not (abs(at[0, k] - columns / 2) < _MARGIN * columns and abs(at[1, k] - rows / 2) < _MARGIN * rows):
            return False  # a point of the box goes elsewhere
        if at[3, k] > 0.0:
            return False  # paint is no polynomial
        _features(
            (before[0, k] - frame[0, 0]) / frame[0, 1], (before[1, k] - frame[1, 0]) / frame[1, 1],
            (before[2, k] - frame[2, 0]) / frame[2, 1], before[3, k], f,
        )  # fmt: skip
        sums += 1.0
        for i in range(FEATURES):
            for j in range(i + 1):
                a[i, j] += f[i] * f[j]
            for j in range(3):
                poly[i, j] += f[i] * at[j, k]
    for i in range(FEATURES):
        for j in range(i):
            a[j, i] = a[i, j]
        a[i, i] += 1e-9 * sums
    if not _solved(a, poly):
        return False
    for k in range(at.shape[1]):
        if _inside(before, frame, k):
            x, y, c = _value(before, frame, poly, f, k)
            if not (abs(x - at[0, k]) < RIGHT and abs(y - at[1, k]) < RIGHT and abs(c - at[2, k]) < SHADE):
                return False
    return True


@nb.njit(nogil=True, error_model="numpy")
def _value(before, frame, poly, f, k):
    """The polynomial at a point."""
    _features(
        (before[0, k] - frame[0, 0]) / frame[0, 1], (before[1, k] - frame[1, 0]) / frame[1, 1],
        (before[2, k] - frame[2, 0]) / frame[2, 1], before[3, k], f,
    )  # fmt: skip
    x, y, c = 0.0, 0.0, 0.0
    for i in range(FEATURES):
        x += poly[i, 0] * f[i]
        y += poly[i, 1] * f[i]
        c += poly[i, 2] * f[i]
    return x, y, c


@nb.njit(nogil=True, error_model="numpy")
def _quickened(table, frame, poly, at, f, n):
    """Where points are plotted by the polynomial; those outside its box nowhere."""
    for k in range(n):
        if _inside(table, frame, k):
            at[0, k], at[1, k], at[2, k] = _value(table, frame, poly, f, k)
            at[3, k] = 0.0
        else:
            at[0, k] = np.nan


@nb.njit(nogil=True, error_model="numpy")
def _longest(snaps, length, at, rows, columns, frame, poly):
    """The most maps, the latest ones, that a polynomial can stand for; 0: none. ``frame`` and ``poly`` are its."""
    low, high = 0, length  # it can for low maps, not for more than high
    trial, found = np.zeros((4, 2)), np.zeros((FEATURES, 3))
    while low < high:
        m = (low + high + 1) // 2
        if _fitted(snaps[m - 1], at, rows, columns, trial, found):
            low = m
            for i in range(4):
                frame[i, 0], frame[i, 1] = trial[i, 0], trial[i, 1]
            for i in range(FEATURES):
                poly[i, 0], poly[i, 1], poly[i, 2] = found[i, 0], found[i, 1], found[i, 2]
        else:
            high = m - 1
    return low


@nb.njit(
    nb.types.UniTuple(nb.types.float64, 2)(
        nb.types.FunctionType(_EXECUTE), _CODE, _NUMBERS, _WHOLES, _NUMBERS, _TABLE, _TABLE,
        nb.types.Array(nb.types.int16, 1, "C"), _TABLE, _NUMBERS, _NUMBERS, nb.types.Array(nb.types.int16, 2, "C"),
        nb.types.Array(nb.types.uint64, 2, "C"), _WHOLES, _WHOLES, _STATE, nb.types.Array(nb.types.boolean, 1, "C"),
        _WHOLE, _WHOLE, _WHOLE, nb.types.uint64, _NUMBERS, _COLOURS, _NUMBERS, _WHOLE, _WHOLE, _COLOURS,
    ),
    cache=True, nogil=True, error_model="numpy",
)  # fmt: skip
def shower(
    execute, code, scalars, starts, R, table, points, maps, follows, fresh, view, path_maps, path_seeds, lengths, tails,
    plot_seeds, stuck, low, each, wanted, seed, box, colours, scale, rows, columns, picture,
):  # fmt: skip
    """Samples along the paths into a histogram, each path with the same total.

    Args:
        fresh: running sums of the maps' chances, or empty where what comes next depends on the last map.
        low: the first point that may be a start.
        each: how many starts are drawn at once.
        wanted: samples in the window of each path; up to eight times as many starts are tried, and one block at least.
        box: of the histogram's cells.

    Returns:
        How many samples there are, and how many maps were gone through by the sample, on average.
    """
    total, gone, tried = 0.0, 0.0, 0.0
    paints = len(colours) - 4 * LEVELS**3 - 4
    state, turns = np.zeros(table.shape[1], np.uint64), np.zeros(MAX_DEPTH, np.int64)
    cells, shades = np.zeros(wanted + each, np.int64), np.zeros(wanted + each, np.int64)
    at, last = np.zeros((4, each)), np.zeros(each, np.int64)
    probes, frame, poly = np.zeros((4, PROBES * each)), np.zeros((4, 2)), np.zeros((FEATURES, 3))
    snaps = np.zeros((path_maps.shape[1], 4, PROBES * each))
    f = np.zeros(FEATURES)
    for p in range(len(lengths)):
        got, blocks, short = 0, 0, 0
        length = lengths[p]
        xaos = np.int64(path_maps[p, length - 1]) if len(fresh) == 0 else np.int64(-1)
        most = max(1, 8 * wanted // each)
        probing = most > 2 * PROBES
        while not stuck[p] and blocks < most and got < wanted:
            seed = _start(points, maps, low, seed, table, last, each)
            seed = _fresh(execute, code, scalars, starts, R, turns, state, fresh, seed, each)
            if probing and blocks < PROBES:
                for step in range(length, 0, -1):
                    for k in range(each):
                        j = blocks * each + k
                        snaps[step - 1, 0, j], snaps[step - 1, 1, j] = table[X, k], table[Y, k]
                        snaps[step - 1, 2, j], snaps[step - 1, 3, j] = table[Z, k], table[C, k]
                    go(
                        execute, code, scalars, starts, R, turns, state, path_maps[p], path_seeds[p], step, step - 1,
                        each,
                    )  # fmt: skip
                send(
                    execute, code, scalars, starts, R, turns, state, path_maps[p], path_seeds[p], 0, plot_seeds[p],
                    each,
                )  # fmt: skip
                _place(view, box, rows, columns, table, at, each)
                for i in range(4):
                    for k in range(each):
                        probes[i, blocks * each + k] = at[i, k]
                gone += length * each
            elif short > 0:
                go(
                    execute, code, scalars, starts, R, turns, state, path_maps[p], path_seeds[p], length, short, each
                )  # fmt: skip
                _quickened(table, frame, poly, at, f, each)
                gone += (length - short) * each
            else:
                send(
                    execute, code, scalars, starts, R, turns, state, path_maps[p], path_seeds[p], length, plot_seeds[p],
                    each,
                )  # fmt: skip
                _place(view, box, rows, columns, table, at, each)
                gone += length * each
            got, seed = _gather(at, last, follows, xaos, scale, paints, rows, columns, seed, cells, shades, got, each)
            blocks += 1
            tried += each
            if probing and blocks == PROBES:
                short = _longest(snaps, length, probes, rows, columns, frame, poly)
        if got == 0:  # the path's own start, if there is no other
            r = tails[p]
            table[X, 0], table[Y, 0], table[Z, 0], table[C, 0] = points[0, r], points[1, r], points[2, r], points[3, r]
            send(
                execute, code, scalars, starts, R, turns, state, path_maps[p], path_seeds[p], length, plot_seeds[p], 1
            )  # fmt: skip
            _place(view, box, rows, columns, table, at, 1)
            got, seed = _gather(at, last, follows, -1, scale, paints, rows, columns, seed, cells, shades, got, 1)
        total += got
        for k in range(got):
            for c in range(4):
                picture[cells[k] + c] += colours[shades[k] + c] / np.float32(got)
    return total, gone / max(tried, 1.0)
