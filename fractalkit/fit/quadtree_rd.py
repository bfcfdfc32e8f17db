"""Rate-distortion optimisation of a plane: the cost of each block as one leaf, and the tree of least cost.

Every block of every size is quantised to the least J = D + lambda R. Then, bottom up, a block is split where its four
quarters cost less. Rates are tables of code lengths, learned from the pass before. All arithmetic is elementwise
float64 in a fixed order, so that a picture gives the same decisions on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

import numba as nb
import numpy as np

from fractalkit.codec.quadtree_syntax import _FLAT, _START, HIGHEST, cells_in_order, length, level_classes
from fractalkit.compiled import inner

# mypy: disable-error-code="no-untyped-def, call-arg, operator, assignment, call-overload"

LEVELS = 18  # magnitudes with a count of their own
SIZES = HIGHEST - 1  # of leaves, 4 to 64
UNITS = 16  # learned rates are stored in these parts of a bit
FINEST = 2.5  # step of the first learned rates


@dataclass
class Rates:
    """Code lengths in bits, by log2 of the side minus 2 where the first axis is SIZES."""

    level: np.ndarray  # [SIZES, 9, 8, LEVELS], by class of neighbours, class of diagonal, magnitude
    last: np.ndarray  # [SIZES, 128]
    mean: np.ndarray  # [SIZES, 24], by bits of the residual
    split: np.ndarray  # [HIGHEST + 1, 2]
    fractal: np.ndarray  # [SIZES, 2]
    map: np.ndarray  # [SIZES], of contrast and isometry
    address: np.ndarray  # [SIZES, 17], by bits of an offset

    @classmethod
    def start(cls, step: float, chroma: bool) -> Rates:
        """Rates for the first pass, learned from other pictures: those of the nearest of a few steps.

        Args:
            step: of the quantiser, in units of 8-bit samples.
            chroma: of the planes of chroma.
        """
        bands = _learned()
        k = int(np.clip(round(math.log2(max(step, 1e-3) / FINEST)), 0, len(bands["split"]) - 1))
        return cls(**{f.name: bands[f.name][k, int(chroma)].copy() for f in fields(cls)})

    @classmethod
    def learn(cls, counts: Counts) -> Rates:
        """Approximate rates of an adaptive coder: -log2 of smoothed frequencies."""

        def bits(n: np.ndarray, prior: float = 0.4) -> np.ndarray:
            p = (n + prior) / (n + prior).sum(-1, keepdims=True)
            return np.asarray(np.round(-np.log2(p), 6))

        level = bits(counts.level + 0.02 * counts.level.sum((0, 2), keepdims=True) / (1 + counts.level.sum() / 1e4))
        level[..., 1:] += 1.0  # the sign
        n = np.arange(24)
        mean = bits(counts.mean) + np.maximum(0, n - 1) + (n > 0)
        n = np.arange(17)
        address = bits(counts.address) + np.maximum(0, n - 1) + (n > 0)
        return cls(
            level, bits(counts.last, 0.1), mean, bits(counts.split, 2.0), bits(counts.fractal, 2.0),
            np.full(SIZES, 6.5), address,
        )  # fmt: skip


@dataclass
class Counts:
    """How often each decision was coded; axes as in :class:`Rates`."""

    level: np.ndarray
    last: np.ndarray
    mean: np.ndarray
    split: np.ndarray
    fractal: np.ndarray
    address: np.ndarray

    @classmethod
    def empty(cls) -> Counts:
        """Counts of zero."""
        return cls(
            np.zeros((SIZES, 9, 8, LEVELS)), np.zeros((SIZES, 128)), np.zeros((SIZES, 24)), np.zeros((HIGHEST + 1, 2)),
            np.zeros((SIZES, 2)), np.zeros((SIZES, 17)),
        )  # fmt: skip


@cache
def _learned() -> dict[str, np.ndarray]:
    """The rates of ``recipes/codec_rates.py``, ``[steps, 2, ...]`` by name; steps are FINEST and its doubles."""
    with resources.files("fractalkit.fit").joinpath("quadtree_rates.npz").open("rb") as f:
        data = np.load(f, allow_pickle=False)
        return {name: data[name].astype(np.float64) / UNITS for name in data}


@inner()
def _survey(c, side, log, half, out):
    """Energy of the cosines, and the last diagonal with one of at least ``half``; clears ``out``."""
    first = _START[log]
    energy = 0.0
    furthest = 0
    for k in range(1, side * side):
        u, v = _FLAT[first + k, 0], _FLAT[first + k, 1]
        a = c[u, v]
        energy += a * a
        if a >= half or -a >= half:
            furthest = u + v
        out[u, v] = 0
    return energy, furthest


@inner()
def _best_level(x, step, lam, rates, shrink):
    """Level of least cost for a cosine of magnitude x, and that cost; ``rates`` ``[LEVELS]`` in bits."""
    choice = 0
    cost = x * x + lam * rates[0]
    if x < 0.499 * step:  # most are, and a division takes long
        return choice, cost
    l = np.int64(x / step + 0.5)
    if l > 0:
        for q in range(l - 1 if l > 1 else 1, l + 1):
            s = shrink[0] if q == 1 else (shrink[1] if q == 2 else shrink[2])
            e = x - (q - s) * step
            if q < LEVELS - 1:
                r = rates[q]
            else:
                r = rates[LEVELS - 1] + 2.0 * length(q - LEVELS + 2)
            j = e * e + lam * r
            if j < cost:
                cost, choice = j, q
    return choice, cost


@nb.njit(
    "float64(float32[:, :], int64, int64, float64, float64, float64[:, :, :, ::1], float64[:, ::1], float64[::1], "
    "int64, int32[:, :])",
    cache=True,
)  # fmt: skip
def quantise(c, side, log, step, lam, r_level, r_last, shrink, reach, out):
    """Write levels of least cost for the cosines ``c`` ``[side, side]``, except the mean, to ``out``; return the cost.

    ``reach`` is the last diagonal that may be coded. ``shrink`` ``[3]`` is how far reconstructed magnitudes 1, 2 and
    more lie below their levels, in steps.
    """
    b = log - 2
    first = _START[log]
    n = side * side
    energy, furthest = _survey(c, side, log, 0.5 * step, out)
    best = energy + lam * r_last[b, 0]
    furthest = min(furthest, reach)
    if furthest == 0:
        return best
    best_d = 0
    spent = 0.0
    seen = 0.0
    d_now = 1
    any_now = False
    for k in range(1, n):
        u, v = _FLAT[first + k, 0], _FLAT[first + k, 1]
        d = u + v
        if d != d_now:
            if any_now:
                j = spent + (energy - seen) + lam * r_last[b, d_now]
                if j < best:
                    best, best_d = j, d_now
            if d > furthest:
                any_now = False
                break
            d_now = d
            any_now = False
        mq, dq = level_classes(out, u, v, side)
        x = abs(np.float64(c[u, v]))
        choice, cost = _best_level(x, step, lam, r_level[b, mq, dq], shrink)
        out[u, v] = choice if c[u, v] >= 0 else -choice
        spent += cost
        seen += x * x
        if choice:
            any_now = True
    if any_now:
        j = spent + (energy - seen) + lam * r_last[b, d_now]
        if j < best:
            best, best_d = j, d_now
    for k in range(1, n):
        u, v = _FLAT[first + k, 0], _FLAT[first + k, 1]
        if u + v > best_d:
            out[u, v] = 0
    return best


@inner()
def _guessed_mean(coefficients, i, j, y, x, side):
    """Predict the mean coefficient of block (i, j) from the blocks of the same side above and to the left."""
    if i > 0 and j > 0:
        return 0.5 * (coefficients[y - side, x] + coefficients[y, x - side])
    if i > 0:
        return 1.0 * coefficients[y - side, x]
    if j > 0:
        return 1.0 * coefficients[y, x - side]
    return 0.0


@nb.njit(cache=True, nogil=True)
def blocks(coefficients, log, height, width, step, lam, weight, r_level, r_last, r_mean, shrink, reach, level, cost):
    """Levels ``[H, W]`` and costs ``[H / side, W / side]`` of all blocks of one side.

    ``weight`` ``[H / side, W / side]`` multiplies the error of a block.
    """
    side = 1 << log
    b = log - 2
    rows, columns = cost.shape
    for i in range(rows):
        for j in range(columns):
            y, x = i * side, j * side
            if y >= height or x >= width:
                cost[i, j] = 0.0
                continue
            c = coefficients[y : y + side, x : x + side]
            out = level[y : y + side, x : x + side]
            own = lam / weight[i, j]
            total = quantise(c, side, log, step, own, r_level, r_last, shrink, reach, out)
            dc = np.float64(c[0, 0])
            q = math.floor(dc / step + 0.5)
            out[0, 0] = q
            guess = _guessed_mean(coefficients, i, j, y, x, side)
            r = q - np.int64(math.floor(guess / step + 0.5))
            total += (dc - q * step) ** 2 + own * r_mean[b, min(23, length(abs(r)))]
            cost[i, j] = weight[i, j] * total


@inner()
def _ideal_contrast(block, domain, side):
    """The least-squares contrast; infinite for a flat domain."""
    dot = 0.0
    norm = 0.0
    for u in range(side):
        for v in range(side):
            dot += np.float64(block[u, v]) * domain[u, v]
            norm += np.float64(domain[u, v]) * domain[u, v]
    return dot / norm if norm > 0.0 else np.inf


@inner()
def _nearest(values, wanted):
    """Index of the value nearest to ``wanted``."""
    k = 0
    for q in range(len(values)):
        if abs(values[q] - wanted) < abs(values[k] - wanted):
            k = q
    return k


@nb.njit(cache=True, nogil=True)
def mapped(
    rows, columns, domain, log, addresses, coefficients, step, lam, weight, r_level, r_last, r_mean, r_fractal, r_map,
    r_address, shrink, reach, contrasts, level, cost, maps,
):  # fmt: skip
    """Try a map for the blocks at ``rows`` and ``columns``, and take it where that costs less.

    ``weight`` is as in :func:`blocks`. ``domain`` ``[n, side, side]`` holds the cosines of each block's domain, without
    mean and slopes. Changes ``level``, ``cost`` and ``maps`` in place.
    """
    side = 1 << log
    b = log - 2
    c = np.empty((side, side), np.float32)
    out = np.empty((side, side), np.int32)
    for t in range(len(rows)):
        i, j = rows[t], columns[t]
        y, x = i * side, j * side
        block = coefficients[y : y + side, x : x + side]
        ideal = _ideal_contrast(block, domain[t], side)
        if not np.isfinite(ideal):
            continue
        k = _nearest(contrasts, abs(ideal))
        s = contrasts[k] if ideal >= 0 else -contrasts[k]
        for u in range(side):
            for v in range(side):
                c[u, v] = np.float32(np.float64(block[u, v]) - s * domain[t, u, v])
        own = lam / weight[i, j]
        j_map = quantise(c, side, log, step, own, r_level, r_last, shrink, reach, out)
        bits = r_fractal[b, 1] - r_fractal[b, 0] + r_map[b]
        bits += r_address[b, length(abs(addresses[t, 1]))] + r_address[b, length(abs(addresses[t, 2]))]
        dc = np.float64(block[0, 0])
        q0 = level[y, x]
        j_map += own * bits + (dc - q0 * step) ** 2
        # the cost of the mean, which is the same with and without a map
        guess = _guessed_mean(coefficients, i, j, y, x, side)
        r = q0 - np.int64(math.floor(guess / step + 0.5))
        j_map = weight[i, j] * (j_map + own * r_mean[b, min(23, length(abs(r)))])
        if j_map < cost[i, j]:
            cost[i, j] = j_map
            out[0, 0] = q0
            for u in range(side):
                for v in range(side):
                    level[y + u, x + v] = out[u, v]
            maps[i, j, 0] = 1 + k + (len(contrasts) if s < 0 else 0)
            maps[i, j, 1] = addresses[t, 0]
            maps[i, j, 2] = addresses[t, 1]
            maps[i, j, 3] = addresses[t, 2]


def tree(costs: list[np.ndarray], lam: float, split: np.ndarray, lowest: int, top: int) -> np.ndarray:
    """The tree of least cost: log2 of the leaf's side over each cell, ``[H / 4, W / 4]`` uint8.

    ``costs`` are those of all blocks of side 2^lowest, then of twice that side, and so on up to 2^top.
    """
    best = costs[0]
    splits = []
    for log in range(lowest + 1, top + 1):
        r, c = costs[log - lowest].shape
        quarters = best.reshape(r, 2, c, 2)
        below = quarters[:, 0, :, 0] + quarters[:, 0, :, 1] + quarters[:, 1, :, 0] + quarters[:, 1, :, 1]
        below = below + lam * split[log, 1]
        whole = costs[log - lowest] + lam * split[log, 0]
        splits.append(below < whole)
        best = np.minimum(below, whole)
    r, c = best.shape
    logs = np.full((r, c), top, np.uint8)
    for log in range(top, lowest, -1):
        down = splits[log - lowest - 1] & (logs == log)
        logs = np.where(down, log - 1, logs).astype(np.uint8).repeat(2, 0).repeat(2, 1)
    return logs.repeat(1 << (lowest - 2), 0).repeat(1 << (lowest - 2), 1)


@inner()
def _mean_guess(logs, level, y, x, log):
    """Predict the quantised mean of a leaf from the leaves above and to the left, whatever their size."""
    guess = np.int64(0)
    n = 0
    if y > 0:
        lt = np.int64(logs[(y >> 2) - 1, x >> 2])
        s = 1 << lt
        guess += (np.int64(level[(y - 1) // s * s, x // s * s]) << log) >> lt
        n += 1
    if x > 0:
        ll = np.int64(logs[y >> 2, (x >> 2) - 1])
        s = 1 << ll
        guess += (np.int64(level[y // s * s, (x - 1) // s * s]) << log) >> ll
        n += 1
    return guess >> 1 if n == 2 else guess


@inner()
def _count_levels(out, log, n_last, n_level):
    """Count the last diagonal of a leaf, and the magnitudes up to it by class."""
    side = 1 << log
    first = _START[log]
    end = 0
    for k in range(side * side - 1, 0, -1):
        if out[_FLAT[first + k, 0], _FLAT[first + k, 1]] != 0:
            end = _FLAT[first + k, 0] + _FLAT[first + k, 1]
            break
    n_last[log - 2, end] += 1
    for k in range(1, side * side):
        u, v = _FLAT[first + k, 0], _FLAT[first + k, 1]
        if u + v > end:
            break
        mq, dq = level_classes(out, u, v, side)
        n_level[log - 2, mq, dq, min(LEVELS - 1, abs(out[u, v]))] += 1


@nb.njit(cache=True, nogil=True)
def count(logs, level, maps, height, width, top, bottom, n_level, n_last, n_mean, n_split, n_fractal, n_address):
    """Count the decisions of a plane's code; the last six arguments are the fields of :class:`Counts`."""
    hp, wp = level.shape
    order = cells_in_order(hp, wp, height, width, top)
    for n in range(len(order)):
        cy, cx = order[n]
        y, x = cy << 2, cx << 2
        log = np.int64(logs[cy, cx])
        for k in range(max(log, bottom + 1), top + 1):
            # each ancestor that begins at this cell has been coded as split or not
            mask = (1 << (k - 2)) - 1
            if (cy & mask) == 0 and (cx & mask) == 0:
                n_split[k, 1 if k > log else 0] += 1
        side = 1 << log
        if y % side or x % side:
            continue
        b = log - 2
        if maps.size > 0:
            n_fractal[b, 1 if maps[cy, cx, 0] > 0 else 0] += 1
            if maps[cy, cx, 0] > 0:
                n_address[b, min(16, length(abs(maps[cy, cx, 2])))] += 1
                n_address[b, min(16, length(abs(maps[cy, cx, 3])))] += 1
        r = level[y, x] - _mean_guess(logs, level, y, x, log)
        n_mean[b, min(23, length(abs(r)))] += 1
        _count_levels(level[y : y + side, x : x + side], log, n_last, n_level)
