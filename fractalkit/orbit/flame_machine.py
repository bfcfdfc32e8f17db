"""The loop that plays the chaos game of any flame, from the instructions of :mod:`.flame_ops`.

It is compiled once, for all flames, and kept on disk. Chains make their choice of maps together and are moved into the
order of the maps chosen, as in :mod:`.flame_loop`; each instruction of a map's formulas then acts on all of the map's
chains at once.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.maps import fast_math as fm
from fractalkit.maps.variation_ops import LEVELS, MAX_DEPTH, OPS, PLOT, C, X, Y, Z
from fractalkit.orbit.flame_loop import FUSE, LARGE, RESTART

# mypy: disable-error-code="no-untyped-def"

_STEP, _M1, _M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_ULP = 1.1102230246251565e-16
# numbers of the operations, in the order of OPS
(
    END, ADD, SUB, MUL, DIV, ADD_S, MUL_S, RSUB_S, DIV_S, RDIV_S, AFFINE, COPY, FILL, SELECT, NEGATE, MIN, MAX, LT,
    LE, EQ, NE, BOTH, EITHER, FLOOR, TRUNC, RINT, ABS, FMOD, HASH, RANDOM, TABLE, SIN, COS, TAN, ACOS, ATAN2, SQRT,
    EXP, LOG, SINH, COSH, POWER, SKIP_NONE, COUNT, LEAVE, INDEX, NEXT,
) = range(len(OPS))  # fmt: skip
ZERO = np.uint64(0)


@nb.njit(nogil=True, error_model="numpy", fastmath={"contract"}, forceinline=True)
def _drawn(seed):
    """The number in [0, 1) of a state of 64 bits."""
    bits = (seed ^ (seed >> _S30)) * _M1
    bits = (bits ^ (bits >> _S27)) * _M2
    bits = bits ^ (bits >> _S31)
    return np.float64(bits >> _S11) * _ULP


@nb.njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _arithmetic(op, R, d, p, q, t, n, s, s1, s2, seeds, a):
    """Sums, products and their kin."""
    if op == ADD:
        for k in range(ZERO, n):
            R[d + k] = R[p + k] + R[q + k]
    elif op == SUB:
        for k in range(ZERO, n):
            R[d + k] = R[p + k] - R[q + k]
    elif op == MUL:
        for k in range(ZERO, n):
            R[d + k] = R[p + k] * R[q + k]
    elif op == DIV:
        for k in range(ZERO, n):
            R[d + k] = R[p + k] / R[q + k]
    elif op == ADD_S:
        for k in range(ZERO, n):
            R[d + k] = R[p + k] + s
    elif op == MUL_S:
        for k in range(ZERO, n):
            R[d + k] = R[p + k] * s
    elif op == RSUB_S:
        for k in range(ZERO, n):
            R[d + k] = s - R[p + k]
    elif op == DIV_S:
        for k in range(ZERO, n):
            R[d + k] = R[p + k] / s
    elif op == RDIV_S:
        for k in range(ZERO, n):
            R[d + k] = s / R[p + k]


@nb.njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _chosen(op, R, d, p, q, t, n, s, s1, s2, seeds, a):
    """Linear maps, copies and choices."""
    if op == AFFINE:
        for k in range(ZERO, n):
            R[d + k] = s * R[p + k] + s1 * R[q + k] + s2
    elif op == COPY:
        for k in range(ZERO, n):
            R[d + k] = R[p + k]
    elif op == FILL:
        for k in range(ZERO, n):
            R[d + k] = s
    elif op == SELECT:
        for k in range(ZERO, n):
            R[d + k] = R[q + k] if R[p + k] != 0.0 else R[t + k]
    elif op == NEGATE:
        for k in range(ZERO, n):
            R[d + k] = 1.0 - R[p + k]
    elif op == MIN:
        for k in range(ZERO, n):
            R[d + k] = fm.least(R[p + k], R[q + k])
    elif op == MAX:
        for k in range(ZERO, n):
            R[d + k] = fm.greatest(R[p + k], R[q + k])


@nb.njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _logic(op, R, d, p, q, t, n, s, s1, s2, seeds, a):
    """Comparisons and conditions, which are 1 or 0."""
    if op == LT:
        for k in range(ZERO, n):
            R[d + k] = 1.0 if R[p + k] < R[q + k] else 0.0
    elif op == LE:
        for k in range(ZERO, n):
            R[d + k] = 1.0 if R[p + k] <= R[q + k] else 0.0
    elif op == EQ:
        for k in range(ZERO, n):
            R[d + k] = 1.0 if R[p + k] == R[q + k] else 0.0
    elif op == NE:
        for k in range(ZERO, n):
            R[d + k] = 1.0 if R[p + k] != R[q + k] else 0.0
    elif op == BOTH:
        for k in range(ZERO, n):
            R[d + k] = R[p + k] * R[q + k]
    elif op == EITHER:
        for k in range(ZERO, n):
            R[d + k] = fm.greatest(R[p + k], R[q + k])


@nb.njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _rounded(op, R, d, p, q, t, n, s, s1, s2, seeds, a):
    """Whole numbers, and numbers by chance."""
    if op == FLOOR:
        for k in range(ZERO, n):
            R[d + k] = np.floor(R[p + k])
    elif op == TRUNC:
        for k in range(ZERO, n):
            R[d + k] = np.trunc(R[p + k])
    elif op == RINT:
        for k in range(ZERO, n):
            R[d + k] = np.rint(R[p + k])
    elif op == ABS:
        for k in range(ZERO, n):
            R[d + k] = abs(R[p + k])
    elif op == FMOD:
        for k in range(ZERO, n):
            R[d + k] = fm.fmod(R[p + k], R[q + k])
    elif op == HASH:
        for k in range(ZERO, n):
            R[d + k] = fm.hash3(R[p + k], R[q + k], R[t + k])
    elif op == RANDOM:
        for k in range(ZERO, n):
            seeds[a + k] += _STEP
            R[d + k] = _drawn(seeds[a + k])


@nb.njit(nogil=True, error_model="numpy")
def _looked_up(R, d, p, n, scalars, number):
    """Numbers of a table, which stand behind how many they are."""
    for k in range(ZERO, n):
        at = fm.least(fm.where(R[p + k] >= 0.0, R[p + k], 0.0), scalars[number] - 1.0)
        R[d + k] = scalars[number + 1 + np.int64(at)]


@nb.njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _angles(op, R, d, p, q, t, n, s, s1, s2, seeds, a):
    """Sines and angles."""
    if op == SIN:
        for k in range(ZERO, n):
            R[d + k] = fm.sin(R[p + k])
    elif op == COS:
        for k in range(ZERO, n):
            R[d + k] = fm.cos(R[p + k])
    elif op == TAN:
        for k in range(ZERO, n):
            R[d + k] = fm.tan(R[p + k])
    elif op == ACOS:
        for k in range(ZERO, n):
            R[d + k] = fm.acos(R[p + k])
    elif op == ATAN2:
        for k in range(ZERO, n):
            R[d + k] = fm.atan2(R[p + k], R[q + k])


@nb.njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _powers(op, R, d, p, q, t, n, s, s1, s2, seeds, a):
    """Roots and exponentials."""
    if op == SQRT:
        for k in range(ZERO, n):
            R[d + k] = fm.sqrt(R[p + k])
    elif op == EXP:
        for k in range(ZERO, n):
            R[d + k] = fm.exp(R[p + k])
    elif op == LOG:
        for k in range(ZERO, n):
            R[d + k] = fm.log(R[p + k])
    elif op == SINH:
        for k in range(ZERO, n):
            R[d + k] = fm.sinh(R[p + k])
    elif op == COSH:
        for k in range(ZERO, n):
            R[d + k] = fm.cosh(R[p + k])
    elif op == POWER:
        for k in range(ZERO, n):
            R[d + k] = fm.power(R[p + k], R[q + k])


@nb.njit(nogil=True, error_model="numpy")
def _control(op, code, scalars, R, width, turns, start, n, at):
    """Where the code goes on after an instruction of loops and conditions."""
    if op == SKIP_NONE:
        mask = np.uint64(code[at, 2]) * width + start
        for k in range(ZERO, n):
            if R[mask + k] != 0.0:
                return at + 1
        return code[at, 1]
    depth = code[at, 2]
    if op == COUNT:
        turns[depth] = 0
    elif op == LEAVE:
        if turns[depth] >= scalars[code[at, 5]]:
            return code[at, 1]
    elif op == INDEX:
        row = np.uint64(code[at, 1]) * width + start
        for k in range(ZERO, n):
            R[row + k] = turns[depth]
    elif op == NEXT:
        turns[depth] += 1
        return code[at, 1]
    return at + 1


_WHOLE, _NUMBER, _PLACE = nb.types.int64, nb.types.float64, nb.types.uint64
_NUMBERS, _WHOLES = nb.types.Array(_NUMBER, 1, "C"), nb.types.Array(_WHOLE, 1, "C")
_TABLE, _CODE = nb.types.Array(_NUMBER, 2, "C"), nb.types.Array(_WHOLE, 2, "C")
_STATE, _COLOURS = nb.types.Array(_PLACE, 1, "C"), nb.types.Array(nb.types.float32, 1, "C")
_EXECUTE = nb.types.void(_CODE, _NUMBERS, _NUMBERS, _WHOLE, _WHOLES, _STATE, _WHOLE, _WHOLE, _WHOLE)


@nb.njit(_EXECUTE, cache=True, nogil=True, error_model="numpy")
def execute(code, scalars, R, points, turns, state, a, b, at):
    """Run the code at a place for points a to b - 1, until its end."""
    width, start, n = np.uint64(points), np.uint64(a), np.uint64(b - a)
    while True:
        op, number = code[at, 0], code[at, 5]
        if op == END:
            break
        if op > POWER:
            at = _control(op, code, scalars, R, width, turns, start, n, at)
            continue
        d, p = np.uint64(code[at, 1]) * width + start, np.uint64(code[at, 2]) * width + start
        q, t = np.uint64(code[at, 3]) * width + start, np.uint64(code[at, 4]) * width + start
        s, s1, s2 = scalars[number], scalars[number + 1], scalars[number + 2]
        if op <= RDIV_S:
            _arithmetic(op, R, d, p, q, t, n, s, s1, s2, state, start)
        elif op <= MAX:
            _chosen(op, R, d, p, q, t, n, s, s1, s2, state, start)
        elif op <= EITHER:
            _logic(op, R, d, p, q, t, n, s, s1, s2, state, start)
        elif op <= RANDOM:
            _rounded(op, R, d, p, q, t, n, s, s1, s2, state, start)
        elif op == TABLE:
            _looked_up(R, d, p, n, scalars, number)
        elif op <= ATAN2:
            _angles(op, R, d, p, q, t, n, s, s1, s2, state, start)
        else:
            _powers(op, R, d, p, q, t, n, s, s1, s2, state, start)
        at += 1


@nb.njit(nogil=True, error_model="numpy")
def _start(R, state, bad, first):
    """All chains at random points, as if after the map beyond the last one."""
    for k in range(len(bad)):
        x, y, c = state[k] + _STEP, state[k] + _STEP + _STEP, state[k] + _STEP + _STEP + _STEP
        state[k] = c
        R[X, k], R[Y, k], R[Z, k], R[C, k] = 2.0 * _drawn(x) - 1.0, 2.0 * _drawn(y) - 1.0, 0.0, _drawn(c)
        bad[k] = 0
    for m in range(len(first)):
        first[m] = 0
    first[len(first) - 1] = len(bad)


@nb.njit(nogil=True, error_model="numpy")
def _choose(R, S, cumulative, alike, state, u, pick, bad, moved, came, first, place):
    """Choose each chain's next map, and move the chains into the order of their maps; ``came``: where from."""
    chains, maps = len(u), len(place) - 1
    for k in range(chains):
        state[k] += _STEP
        u[k] = _drawn(state[k])
        pick[k] = 0
    if alike:
        for i in range(maps - 1):
            limit = cumulative[maps, i]
            for k in range(chains):
                pick[k] += np.int64(u[k] >= limit)
    else:
        for last in range(maps + 1):
            for i in range(maps - 1):
                limit = cumulative[last, i]
                for k in range(first[last], first[last + 1]):
                    pick[k] += np.int64(u[k] >= limit)
    for m in range(maps + 2):
        first[m] = 0
    for k in range(chains):
        first[pick[k] + 1] += 1
    for m in range(maps):
        first[m + 1] += first[m]
        place[m] = first[m]
    first[maps + 1] = first[maps]
    for k in range(chains):
        p = place[pick[k]]
        place[pick[k]] = p + 1
        S[0, p], S[1, p], S[2, p], S[3, p] = R[X, k], R[Y, k], R[Z, k], R[C, k]
        moved[p] = bad[k]
        came[p] = k
    for k in range(chains):
        R[X, k], R[Y, k], R[Z, k], R[C, k] = S[0, k], S[1, k], S[2, k], S[3, k]
        bad[k] = moved[k]


@nb.njit(nogil=True, error_model="numpy")
def _catch(R, state, bad):
    """As in flam3: a point that leaves goes on from a random one, not drawn unless it happens again and again."""
    x, y, z = R[X], R[Y], R[Z]
    for k in range(len(bad)):
        if abs(x[k]) < LARGE and abs(y[k]) < LARGE and abs(z[k]) < LARGE:
            bad[k] = 0
            continue
        state[k] += _STEP
        x[k] = 2.0 * _drawn(state[k]) - 1.0
        state[k] += _STEP
        y[k], z[k] = 2.0 * _drawn(state[k]) - 1.0, 0.0
        bad[k] = 0 if bad[k] == 4 else bad[k] + 1


@nb.njit(nogil=True, error_model="numpy")
def _exchange(a, b):
    """The numbers of two rows change places."""
    for k in range(len(a)):
        a[k], b[k] = b[k], a[k]


@nb.njit(nogil=True, error_model="numpy")
def _plot(R, bad, first, weights, colours, scale, camera, state, need, rows, columns, picture):
    """Samples into the histogram."""
    chains, maps = len(bad), len(first) - 2
    k0, k1, k2, k3, k4, k5 = camera[0], camera[1], camera[2], camera[3], camera[4], camera[5]
    px, py, pc, hid, shown = R[PLOT], R[PLOT + 1], R[PLOT + 2], R[PLOT + 3], R[PLOT + 4]
    paints = len(colours) - 4 * LEVELS**3 - 4
    for m in range(maps):
        weight = np.float32(weights[m])
        if weight == 0.0:
            continue
        for k in range(first[m], first[m + 1]):
            x, y = k0 * px[k] + k1 * py[k] + k2, k3 * px[k] + k4 * py[k] + k5
            if not (x >= 0.0 and y >= 0.0 and x < columns and y < rows) or bad[k] > 0 or hid[k] != 0.0:
                continue
            if need < chains and (k + 1) * need // chains == k * need // chains:
                continue  # an even choice of those that are still wanted
            chance = np.float64((state[k] * _M2) >> _S11) * _ULP
            o = 4 * (np.int64(y) * columns + np.int64(x))
            p = 4 * np.int64(min(max(pc[k], 0.0), 1.0) * scale[0] + chance * scale[1])
            if shown[k] > 0.0:
                p = paints + 4 * np.int64(shown[k])
            for i in range(4):
                picture[o + i] += weight * colours[p + i]


# execute comes as an argument: it would be compiled once more as part of this
@nb.njit(
    nb.types.void(
        nb.types.FunctionType(_EXECUTE), _CODE, _NUMBERS, _WHOLES, _NUMBERS, _TABLE, nb.types.boolean, _TABLE, _NUMBERS,
        _COLOURS, _NUMBERS, _NUMBERS, _STATE, _WHOLE, _WHOLE, _WHOLE, _COLOURS,
    ),
    cache=True, nogil=True, error_model="numpy", fastmath={"contract"},
)  # fmt: skip
def play(
    execute, code, scalars, starts, R, table, alike, cumulative, weights, colours, scale, camera, state, samples, rows,
    columns, picture,
):  # fmt: skip
    """The chaos game of a flame's instructions; the arguments are those of the loops of :mod:`.flame_loop`.

    Args:
        R: the rows, each for as many points as there are chains, one after the other; ``table``: the same memory as
            ``[rows, chains]``.
        alike: whether the choice of maps is the same after every map.
        weights: ``[K]`` of samples.
    """
    chains, maps = len(state), len(starts) - 1
    S, u, turns = np.zeros((4, chains)), np.zeros(chains), np.zeros(MAX_DEPTH, np.int64)
    pick, bad, moved = np.zeros(chains, np.int64), np.zeros(chains, np.int64), np.zeros(chains, np.int64)
    came, first, place = np.zeros(chains, np.int64), np.zeros(maps + 2, np.int64), np.zeros(maps + 1, np.int64)
    done, turn, age = 0, -FUSE, RESTART
    while done < samples:
        if age >= RESTART:
            if scale[2] != 0.0:  # somebody wants it to stop; looked at some times a second
                break
            _start(table, state, bad, first)
            age = -FUSE if turn == 0 else 0
        _choose(table, S, cumulative, alike, state, u, pick, bad, moved, came, first, place)
        age += 1
        # the maps, each over its stretch, and then what is plotted
        for m in range(maps + 1):
            a, b = first[m], first[m + 1]
            if m == maps:
                _catch(table, state, bad)
                a, b = 0, chains if turn == 0 and age > 0 else 0
                if scale[3] != 0.0:  # drawn in the colours from before the maps
                    _exchange(table[C], S[3])
            if b > a:
                execute(code, scalars, R, chains, turns, state, a, b, starts[m])
        if scale[3] != 0.0:
            _exchange(table[C], S[3])
        if turn < 0:
            turn += 1
            continue
        need = min(samples - done, chains)
        done += need
        if age > 0:
            _plot(table, bad, first, weights, colours, scale, camera, state, need, rows, columns, picture)
