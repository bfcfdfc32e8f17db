"""Compiled parts of :mod:`.flame_window`: an orbit with its history, and points sent along paths of maps.

A path is the maps of the last steps before a point, the latest first, each with the state of its random numbers, so
that it can be gone again from another start.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.maps.variation_ops import MAX_DEPTH, PLOT, C, X, Y, Z
from fractalkit.orbit.flame_machine import (
    _CODE,
    _EXECUTE,
    _NUMBERS,
    _STATE,
    _TABLE,
    _WHOLE,
    _WHOLES,
    _catch,
    _choose,
    _start,
)

# mypy: disable-error-code="no-untyped-def"

REFERENCES = 16  # points whose images tell how much of the plane a path's start may move
_FUNCTION = nb.types.FunctionType(_EXECUTE)
_SHORT = nb.types.Array(nb.types.int16, 2, "C")
_SEEDS = nb.types.Array(nb.types.uint64, 2, "C")
_LONG = nb.types.Array(nb.types.int64, 2, "C")


@nb.njit(
    nb.types.void(
        _FUNCTION, _CODE, _NUMBERS, _WHOLES, _NUMBERS, _TABLE, nb.types.boolean, _TABLE, _STATE, _WHOLE, _WHOLE,
        _TABLE, nb.types.Array(nb.types.int16, 1, "C"), _STATE, _WHOLES,
    ),
    cache=True, nogil=True, error_model="numpy",
)  # fmt: skip
def record(
    execute, code, scalars, starts, R, table, alike, cumulative, state, fuse, steps, points, maps, seeds, parents
):
    """Play the chaos game and write down every point, and where it came from.

    Args:
        points: filled: x, y, z and colour ``[4, steps * chains]``.
        maps: the last map, -1 if the point was set anew.
        seeds: the state of random numbers before it.
        parents: the point before it, -1 if there is none.
    """
    chains, k_maps = len(state), len(starts) - 1
    S, u, turns = np.zeros((4, chains)), np.zeros(chains), np.zeros(MAX_DEPTH, np.int64)
    pick, bad, moved = np.zeros(chains, np.int64), np.zeros(chains, np.int64), np.zeros(chains, np.int64)
    came, first, place = np.zeros(chains, np.int64), np.zeros(k_maps + 2, np.int64), np.zeros(k_maps + 1, np.int64)
    _start(table, state, bad, first)
    for step in range(-fuse, steps):
        _choose(table, S, cumulative, alike, state, u, pick, bad, moved, came, first, place)
        at = max(step, 0) * chains
        for k in range(chains):
            seeds[at + k] = state[k]
        for m in range(k_maps):
            if first[m + 1] > first[m]:
                execute(code, scalars, R, chains, turns, state, first[m], first[m + 1], starts[m])
                for k in range(first[m], first[m + 1]):
                    maps[at + k] = m
        _catch(table, state, bad)
        for k in range(chains):
            points[0, at + k], points[1, at + k] = table[X, k], table[Y, k]
            points[2, at + k], points[3, at + k] = table[Z, k], table[C, k]
            parents[at + k] = at - chains + came[k] if step > 0 else -1
            if bad[k] > 0:
                maps[at + k] = -1


@nb.njit(nogil=True, error_model="numpy")
def go(execute, code, scalars, starts, R, turns, state, path, seeds, begin, end, n):
    """Send points 0 to n - 1 along the steps begin - 1 to end of a path."""
    for step in range(begin - 1, end - 1, -1):
        for k in range(n):
            state[k] = seeds[step]
        execute(code, scalars, R, len(state), turns, state, 0, n, starts[path[step]])


@nb.njit(nogil=True, error_model="numpy")
def send(execute, code, scalars, starts, R, turns, state, path, seeds, length, plot_seed, n):
    """Send points 0 to n - 1 along a path, and to where they are plotted."""
    go(execute, code, scalars, starts, R, turns, state, path, seeds, length, 0, n)
    for k in range(n):
        state[k] = plot_seed
    execute(code, scalars, R, len(state), turns, state, 0, n, starts[len(starts) - 1])


@nb.njit(nogil=True, error_model="numpy")
def _middle(values, n):
    """The width of the middle half of n numbers, which are sorted."""
    for i in range(1, n):
        v = values[i]
        j = i - 1
        while j >= 0 and not values[j] <= v:  # what is no number goes to the end
            if v != v:
                break
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = v
    return values[(3 * n) // 4] - values[n // 4]


@nb.njit(
    nb.types.void(
        _FUNCTION, _CODE, _NUMBERS, _WHOLES, _NUMBERS, _TABLE, _TABLE, nb.types.Array(nb.types.int16, 1, "C"), _STATE,
        _WHOLES, _NUMBERS, _WHOLES, nb.types.float64, _SHORT, _SEEDS, _WHOLES, _WHOLES, _STATE,
        nb.types.Array(nb.types.boolean, 1, "C"),
    ),
    cache=True, nogil=True, error_model="numpy",
)  # fmt: skip
def extend(
    execute, code, scalars, starts, R, table, points, maps, seeds, parents, view, references, wanted, path_maps,
    path_seeds, lengths, tails, plot_seeds, stuck,
):  # fmt: skip
    """Lengthen paths by their own history until a start anywhere moves their end little: the middle half of the images
    of the reference points is at most ``wanted`` wide and high. Paths without enough history are ``stuck``."""
    width = table.shape[1]
    state, turns = np.zeros(width, np.uint64), np.zeros(MAX_DEPTH, np.int64)
    us, vs = np.zeros(REFERENCES), np.zeros(REFERENCES)
    for p in range(len(lengths)):
        if stuck[p]:
            continue
        while True:
            if lengths[p] > 0:
                for k in range(REFERENCES):
                    r = references[k]
                    table[X, k], table[Y, k], table[Z, k], table[C, k] = (
                        points[0, r], points[1, r], points[2, r], points[3, r],
                    )  # fmt: skip
                send(
                    execute, code, scalars, starts, R, turns, state, path_maps[p], path_seeds[p], lengths[p],
                    plot_seeds[p], REFERENCES,
                )  # fmt: skip
                for k in range(REFERENCES):
                    x, y = table[PLOT, k], table[PLOT + 1, k]
                    us[k], vs[k] = view[0] * x + view[1] * y, view[3] * x + view[4] * y
                if _middle(us, REFERENCES) <= wanted and _middle(vs, REFERENCES) <= wanted:
                    break
            tail = tails[p]
            if lengths[p] >= path_maps.shape[1] or maps[tail] < 0 or parents[tail] < 0:
                stuck[p] = True
                break
            path_maps[p, lengths[p]], path_seeds[p, lengths[p]] = maps[tail], seeds[tail]
            tails[p] = parents[tail]
            lengths[p] += 1


@nb.njit(
    nb.types.void(
        _FUNCTION, _CODE, _NUMBERS, _WHOLES, _NUMBERS, _TABLE, _TABLE, nb.types.Array(nb.types.int16, 1, "C"), _TABLE,
        _NUMBERS, _SHORT, _SEEDS, _WHOLES, _WHOLES, _STATE, nb.types.Array(nb.types.boolean, 1, "C"), _LONG, _TABLE,
        _NUMBERS, _TABLE, _TABLE,
    ),
    cache=True, nogil=True, error_model="numpy",
)  # fmt: skip
def redraw(
    execute, code, scalars, starts, R, table, points, maps, follows, view, path_maps, path_seeds, lengths, tails,
    plot_seeds, stuck, drawn, chances, box, us, vs,
):  # fmt: skip
    """Send starts drawn anew along each path; the last column is the path's own start.

    Args:
        follows: ``[K, K]``, how often a map follows another, over how often at most.
        drawn: the starts ``[P, B + 1]``; ``chances``: uniform numbers of the same shape.
        box: x0, y0, x1, y1 of the window.
        us, vs: filled ``[P, B + 1]``: where they are plotted, not a number outside the window.
    """
    n = drawn.shape[1]
    state, turns = np.zeros(table.shape[1], np.uint64), np.zeros(MAX_DEPTH, np.int64)
    for p in range(len(lengths)):
        drawn[p, n - 1] = tails[p]
        begin = n - 1 if stuck[p] else 0
        for k in range(begin, n):
            r = drawn[p, k]
            table[X, k - begin], table[Y, k - begin] = points[0, r], points[1, r]
            table[Z, k - begin], table[C, k - begin] = points[2, r], points[3, r]
        send(
            execute, code, scalars, starts, R, turns, state, path_maps[p], path_seeds[p], lengths[p], plot_seeds[p],
            n - begin,
        )  # fmt: skip
        for k in range(n):
            us[p, k], vs[p, k] = np.nan, np.nan
            if k < begin:
                continue
            x, y = table[PLOT, k - begin], table[PLOT + 1, k - begin]
            u, v = view[0] * x + view[1] * y + view[2], view[3] * x + view[4] * y + view[5]
            if not (u >= box[0] and v >= box[1] and u < box[2] and v < box[3]) or table[PLOT + 3, k - begin] != 0.0:
                continue
            last = maps[drawn[p, k]]
            begun = path_maps[p, max(lengths[p] - 1, 0)]
            if k < n - 1 and lengths[p] > 0 and (last < 0 or chances[p, k] >= follows[last, begun]):
                continue
            us[p, k], vs[p, k] = u, v
