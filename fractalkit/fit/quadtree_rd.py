"""Rate and distortion: what each block of a plane costs as one leaf, and so the best tree (Lagrangian pruning).

J = D + lambda R for every block of every size, with cosines quantised to the least J, then bottom up: a block is split
where its four quarters cost less. Rates come from tables of code lengths, learned from the pass before; all arithmetic
is elementwise float64 in a fixed order, so that the same picture gives the same decisions on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np

from fractalkit.codec.quadtree_syntax import _FLAT, _MQ, _START, HIGHEST, length

# mypy: disable-error-code="no-untyped-def, call-arg, operator, assignment, call-overload"

LEVELS = 18  # magnitudes with a count of their own
SIZES = HIGHEST - 1  # of leaves, 4 to 64


@dataclass
class Rates:
    """Code lengths in bits: of levels by side, neighbourhood and diagonal; of the last diagonal; and of the rest."""

    level: np.ndarray  # [SIZES, 9, 8, LEVELS]
    last: np.ndarray  # [SIZES, 128]
    mean: np.ndarray  # [SIZES, 24], by bits of the residual
    split: np.ndarray  # [HIGHEST + 1, 2]
    fractal: np.ndarray  # [SIZES, 2]
    map: np.ndarray  # [SIZES], of contrast and isometry
    address: np.ndarray  # [SIZES, 17], by bits of an offset

    @classmethod
    def guess(cls) -> Rates:
        """What a first pass goes by."""
        mq = np.arange(9)[:, None, None]
        k = np.arange(LEVELS)[None, None, :]
        dq = np.arange(8)[None, :, None]
        scale = 0.25 + 0.28 * mq - 0.02 * dq * (mq < 3)
        weight = np.exp(-k / np.maximum(scale, 0.15))
        level = np.round(-np.log2(weight / weight.sum(-1, keepdims=True)) + (k > 0), 6)
        last = np.full((SIZES, 128), 12.0)
        for b in range(SIZES):
            n = 2 * (4 << b) - 1
            p = np.exp(-np.arange(n) / (1.5 + 1.2 * b))
            last[b, :n] = np.round(-np.log2(p / p.sum()), 6)
        mean = np.array([[1.5 + 1.2 * n + max(0, n - 1) + (n > 0) for n in range(24)]] * SIZES)
        return cls(
            np.repeat(level[None], SIZES, 0).copy(), last, mean, np.ones((HIGHEST + 1, 2)),
            np.repeat([[0.3, 3.0]], SIZES, 0), np.full(SIZES, 7.0),
            np.array([[1 + 1.8 * n for n in range(17)]] * SIZES),
        )  # fmt: skip

    @classmethod
    def learn(cls, counts: Counts) -> Rates:
        """Code lengths of an adaptive coder, about: -log2 of smoothed frequencies."""

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
    """How often each thing was coded."""

    level: np.ndarray
    last: np.ndarray
    mean: np.ndarray
    split: np.ndarray
    fractal: np.ndarray
    address: np.ndarray

    @classmethod
    def empty(cls) -> Counts:
        """None yet."""
        return cls(
            np.zeros((SIZES, 9, 8, LEVELS)), np.zeros((SIZES, 128)), np.zeros((SIZES, 24)), np.zeros((HIGHEST + 1, 2)),
            np.zeros((SIZES, 2)), np.zeros((SIZES, 17)),
        )  # fmt: skip


@nb.njit(cache=True, nogil=True)
def quantise(c, side, log, step, lam, r_level, r_last, shrink, reach, out):
    """Levels of least cost for the cosines ``c`` ``[side, side]``, the mean left out; returns the cost.

    ``reach``: the last diagonal that may hold any. ``shrink`` [3]: how far a reconstructed magnitude of 1, 2 or more
    lies below its level, in steps.
    """
    b = log - 2
    first = _START[log]
    n = side * side
    energy = 0.0
    furthest = 0
    half = 0.5 * step
    for k in range(1, n):
        u, v = _FLAT[first + k, 0], _FLAT[first + k, 1]
        a = c[u, v]
        energy += a * a
        if a >= half or -a >= half:
            furthest = u + v
        out[u, v] = 0
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
        a1 = abs(out[u - 1, v]) if u > 0 and d > 1 else 0
        a2 = abs(out[u, v - 1]) if v > 0 and d > 1 else 0
        m = 2 * (a1 + a2)
        if d > 2:
            if u > 0 and v > 0:
                m += abs(out[u - 1, v - 1])
            if u > 1:
                m += abs(out[u - 2, v])
            if v > 1:
                m += abs(out[u, v - 2])
        if v > 0 and u + 1 < side:
            m += abs(out[u + 1, v - 1])
        mq = _MQ[m] if m < 15 else 8
        dq = d if d < 6 else (6 if d < 10 else 7)
        x = abs(np.float64(c[u, v]))
        l = np.int64(x / step + 0.5)
        zero = x * x + lam * r_level[b, mq, dq, 0]
        choice = 0
        cost = zero
        if l > 0:
            for q in range(l - 1 if l > 1 else 1, l + 1):
                s = shrink[0] if q == 1 else (shrink[1] if q == 2 else shrink[2])
                e = x - (q - s) * step
                if q < LEVELS - 1:
                    r = r_level[b, mq, dq, q]
                else:
                    r = r_level[b, mq, dq, LEVELS - 1] + 2.0 * length(q - LEVELS + 2)
                j = e * e + lam * r
                if j < cost:
                    cost, choice = j, q
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


@nb.njit(cache=True, nogil=True)
def blocks(coefficients, log, height, width, step, lam, r_level, r_last, r_mean, shrink, reach, level, cost):
    """Levels ``[H, W]`` and costs ``[H / side, W / side]`` of all blocks of one side."""
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
            total = quantise(c, side, log, step, lam, r_level, r_last, shrink, reach, out)
            dc = np.float64(c[0, 0])
            q = math.floor(dc / step + 0.5)
            out[0, 0] = q
            guess = 0.0
            if i > 0 and j > 0:
                guess = 0.5 * (coefficients[y - side, x] + coefficients[y, x - side])
            elif i > 0:
                guess = coefficients[y - side, x]
            elif j > 0:
                guess = coefficients[y, x - side]
            r = q - np.int64(math.floor(guess / step + 0.5))
            total += (dc - q * step) ** 2 + lam * r_mean[b, min(23, length(abs(r)))]
            cost[i, j] = total


@nb.njit(cache=True, nogil=True)
def mapped(
    rows, columns, domain, log, addresses, coefficients, step, lam, r_level, r_last, r_mean, r_fractal, r_map,
    r_address, shrink, reach, contrasts, level, cost, maps,
):  # fmt: skip
    """Try a map for some blocks: ``domain`` ``[n, side, side]`` are the cosines of what it would bring, the mean and
    the two slopes left out; where that costs less, ``level``, ``cost`` and ``maps`` are changed."""
    side = 1 << log
    b = log - 2
    c = np.empty((side, side), np.float32)
    out = np.empty((side, side), np.int32)
    taken = 0
    for t in range(len(rows)):
        i, j = rows[t], columns[t]
        y, x = i * side, j * side
        block = coefficients[y : y + side, x : x + side]
        dot = 0.0
        norm = 0.0
        for u in range(side):
            for v in range(side):
                dot += np.float64(block[u, v]) * domain[t, u, v]
                norm += np.float64(domain[t, u, v]) * domain[t, u, v]
        if norm <= 0.0:
            continue
        ideal = dot / norm
        # the two nearest contrasts
        k = 0
        for q in range(len(contrasts)):
            if abs(contrasts[q] - abs(ideal)) < abs(contrasts[k] - abs(ideal)):
                k = q
        s = contrasts[k] if ideal >= 0 else -contrasts[k]
        for u in range(side):
            for v in range(side):
                c[u, v] = np.float32(np.float64(block[u, v]) - s * domain[t, u, v])
        j_map = quantise(c, side, log, step, lam, r_level, r_last, shrink, reach, out)
        bits = r_fractal[b, 1] - r_fractal[b, 0] + r_map[b]
        bits += r_address[b, length(abs(addresses[t, 1]))] + r_address[b, length(abs(addresses[t, 2]))]
        dc = np.float64(block[0, 0])
        q0 = level[y, x]
        j_map += lam * bits + (dc - q0 * step) ** 2
        # the mean costs the same either way: take its share out of what stands
        guess = 0.0
        if i > 0 and j > 0:
            guess = 0.5 * (coefficients[y - side, x] + coefficients[y, x - side])
        elif i > 0:
            guess = coefficients[y - side, x]
        elif j > 0:
            guess = coefficients[y, x - side]
        r = q0 - np.int64(math.floor(guess / step + 0.5))
        j_map += lam * r_mean[b, min(23, length(abs(r)))]
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
            taken += 1
    return taken


def tree(costs: list[np.ndarray], lam: float, split: np.ndarray, lowest: int, top: int) -> np.ndarray:
    """The tree of least cost as log2 of leaf sides, per cell ``[H / 4, W / 4]`` uint8.

    ``costs``: of blocks of side 2^lowest, then twice that and so on up to 2^top.
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


@nb.njit(cache=True, nogil=True)
def count(logs, level, maps, height, width, top, bottom, n_level, n_last, n_mean, n_split, n_fractal, n_address):
    """Count what a plane's code holds."""
    hp, wp = level.shape
    big = 1 << top
    for by in range(0, hp, big):
        for bx in range(0, wp, big):
            for z in range(1 << (2 * (top - 2))):
                cy, cx = by >> 2, bx >> 2
                for i in range(top - 2):
                    cx += ((z >> (2 * i)) & 1) << i
                    cy += ((z >> (2 * i + 1)) & 1) << i
                y, x = cy << 2, cx << 2
                if y >= height or x >= width:
                    continue
                log = np.int64(logs[cy, cx])
                cells = 1 << (log - 2)
                side = 1 << log
                for k in range(max(log, bottom), top + 1):
                    # every ancestor whose first cell this is was asked once
                    if (cy & ((1 << (k - 2)) - 1)) == 0 and (cx & ((1 << (k - 2)) - 1)) == 0 and k > bottom:
                        n_split[k, 1 if k > log else 0] += 1
                if (cy & (cells - 1)) or (cx & (cells - 1)):
                    continue
                b = log - 2
                if maps.size > 0:
                    n_fractal[b, 1 if maps[cy, cx, 0] > 0 else 0] += 1
                    if maps[cy, cx, 0] > 0:
                        n_address[b, min(16, length(abs(maps[cy, cx, 2])))] += 1
                        n_address[b, min(16, length(abs(maps[cy, cx, 3])))] += 1
                out = level[y : y + side, x : x + side]
                first = _START[log]
                end = 0
                for k in range(side * side - 1, 0, -1):
                    if out[_FLAT[first + k, 0], _FLAT[first + k, 1]] != 0:
                        end = _FLAT[first + k, 0] + _FLAT[first + k, 1]
                        break
                n_last[b, end] += 1
                guess = np.int64(0)
                n = 0
                if y > 0:
                    lt = np.int64(logs[cy - 1, cx])
                    s = 1 << lt
                    guess += (np.int64(level[(y - 1) // s * s, x // s * s]) << log) >> lt
                    n += 1
                if x > 0:
                    ll = np.int64(logs[cy, cx - 1])
                    s = 1 << ll
                    guess += (np.int64(level[y // s * s, (x - 1) // s * s]) << log) >> ll
                    n += 1
                if n == 2:
                    guess >>= 1
                n_mean[b, min(23, length(abs(level[y, x] - guess)))] += 1
                for k in range(1, side * side):
                    u, v = _FLAT[first + k, 0], _FLAT[first + k, 1]
                    d = u + v
                    if d > end:
                        break
                    a1 = abs(out[u - 1, v]) if u > 0 and d > 1 else 0
                    a2 = abs(out[u, v - 1]) if v > 0 and d > 1 else 0
                    m = 2 * (a1 + a2)
                    if d > 2:
                        if u > 0 and v > 0:
                            m += abs(out[u - 1, v - 1])
                        if u > 1:
                            m += abs(out[u - 2, v])
                        if v > 1:
                            m += abs(out[u, v - 2])
                    if v > 0 and u + 1 < side:
                        m += abs(out[u + 1, v - 1])
                    mq = _MQ[m] if m < 15 else 8
                    dq = d if d < 6 else (6 if d < 10 else 7)
                    n_level[b, mq, dq, min(LEVELS - 1, abs(out[u, v]))] += 1
