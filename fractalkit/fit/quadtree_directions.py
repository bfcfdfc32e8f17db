"""Directions for the quadtree encoder: the best of each block, and levels against what is decoded already."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numba as nb
import numpy as np

from fractalkit.codes.quadtree import DIRECTIONS, QuadtreePlane
from fractalkit.compiled import inner
from fractalkit.fit import quadtree_rd as rd
from fractalkit.maps.quadtree import explicit
from fractalkit.maps.quadtree_copies import ranks
from fractalkit.maps.quadtree_directions import directed_leaves
from fractalkit.maps.quadtree_directions_cpu import ACROSS, border, continued, mean_of
from fractalkit.raster.cosines import block_cosines

# mypy: disable-error-code="no-untyped-def, call-arg"

MOST = 5  # log2 of the side of the largest leaf with a direction
BITS = 4.5  # about what a direction costs
LEAST = 2.0  # energy that a direction must explain, in lambda


@inner()
def _gain(own, d, side, swapped, scratch):
    """How much of the energy of a block without its mean ``own`` the block ``d`` explains."""
    dot = energy = 0.0
    for j in range(side):
        scratch[j] = 0.0
        scratch[64 + j] = 0.0
    for i in range(side):
        for j in range(side):
            v = np.float64(d[i, j])
            scratch[j] += v * own[swapped, i, j]
            scratch[64 + j] += v * v
    for j in range(side):
        dot += scratch[j]
        energy += scratch[64 + j]
    mean = mean_of(d, side, scratch)
    return 2.0 * dot - (energy - mean * mean * side * side)


@inner()
def _own(samples, y, c, side, own, d, scratch):
    """Write a block without its mean, and its transpose, to ``own`` ``[2, side, side]``; its energy."""
    for i in range(side):
        for j in range(side):
            d[i, j] = samples[y + i, c + j]
    mean = mean_of(d, side, scratch)
    energy = 0.0
    for i in range(side):
        for j in range(side):
            v = np.float64(d[i, j]) - mean
            own[0, i, j] = own[1, j, i] = v
            energy += v * v
    return energy


@inner()
def _best(own, top, left, side, line, d, scratch, apart):
    """The direction that explains most of a block, and how much: of every ``apart`` th, then of those between."""
    best, most = 0, -1.0
    for m in range(0, len(DIRECTIONS), apart):
        continued(top, left, side, m, line, d)
        gain = _gain(own, d, side, ACROSS[m], scratch)
        if gain > most:
            best, most = m, gain
    far = apart >> 1
    while far > 0:
        about = best
        for m in range(max(0, about - far), min(len(DIRECTIONS) - 1, about + far) + 1, 2 * far):
            continued(top, left, side, m, line, d)
            gain = _gain(own, d, side, ACROSS[m], scratch)
            if gain > most:
                best, most = m, gain
        far >>= 1
    return best, most


@nb.njit(cache=True, nogil=True)
def best_directions(samples, seen, order, rows, columns, log, least, apart, direction, made):
    """The best direction of each block, or -1 where none explains ``least``; ``made`` ``[n, side, side]`` its block."""
    side = 1 << log
    top, left = np.zeros(129, np.float32), np.zeros(129, np.float32)
    line, d = np.zeros(256, np.float32), np.zeros((64, 64), np.float32)
    own, scratch = np.zeros((2, 64, 64)), np.zeros(128)
    for n in range(len(rows)):
        y, c = rows[n] << log, columns[n] << log
        direction[n] = -1
        if order[y >> 2, c >> 2] < 0 or _own(samples, y, c, side, own, d, scratch) <= least:
            continue
        border(seen, order, y, c, side, top, left)
        m, gain = _best(own, top, left, side, line, d, scratch, apart)
        if gain <= least:
            continue
        direction[n] = m
        continued(top, left, side, m, line, d)
        for i in range(side):
            for j in range(side):
                if ACROSS[m]:
                    made[n, j, i] = d[i, j]
                else:
                    made[n, i, j] = d[i, j]


def candidates(
    samples: np.ndarray,
    seen: np.ndarray,
    order: np.ndarray,
    energy: np.ndarray,
    log: int,
    lam: float,
    apart: int,
) -> tuple[np.ndarray, ...]:
    """For the blocks of one side with enough ``energy`` ``[H/side, W/side]`` the best direction.

    Args:
        samples: ``[H, W]`` float64, the plane.
        seen: ``[H, W]`` float32, from which borders are taken.
        apart: of so many directions one is tried at first.

    Returns:
        Rows and columns of blocks, directions ``[n]``, and what they make ``[n, side, side]`` float32.
    """
    least = LEAST * lam
    rows, columns = np.nonzero(energy > least)
    direction = np.empty(len(rows), np.int64)
    made = np.zeros((len(rows), 1 << log, 1 << log), np.float32)
    best_directions(samples, seen, order, rows, columns, log, least, apart, direction, made)
    found = direction >= 0
    return rows[found], columns[found], direction[found], made[found]


@inner()
def _transformed(a, d, side, inverse, scratch, out):
    """``out`` = a^T d a, or a d a^T; a ``[side, side]`` with a cosine in each column."""
    for i in range(side):
        for j in range(side):
            scratch[i, j] = 0.0
        for k in range(side):
            v = a[i, k] if inverse else a[k, i]
            for j in range(side):
                scratch[i, j] += v * d[k, j]
    for i in range(side):
        for j in range(side):
            out[i, j] = 0.0
        for k in range(side):
            v = scratch[i, k]
            for j in range(side):
                out[i, j] += v * (a[j, k] if inverse else a[k, j])


@nb.njit(cache=True, nogil=True)
def close(
    leaves, samples, seen, order, bases, coefficients, step, lam, weight, r_level, r_last, price, shrink,
    reach, level, maps,
):  # fmt: skip
    """Choose directions and levels of the leaves ``[n, 4]`` anew, in order, from borders as they are decoded.

    ``bases`` ``[7, 64, 64]`` are the cosines of blocks, ``coefficients`` those of the leaves, each in its place, and
    ``weight`` multiplies the error of the leaf over each cell. A leaf whose direction does not pay loses it. Changes
    ``seen``, ``level`` and ``maps``.
    """
    top, left = np.zeros(129, np.float32), np.zeros(129, np.float32)
    line, d = np.zeros(256, np.float32), np.zeros((64, 64), np.float32)
    own, scratch = np.zeros((2, 64, 64)), np.zeros(128)
    block, made, half = np.zeros((64, 64)), np.zeros((64, 64)), np.zeros((64, 64))
    wanted = np.zeros((64, 64), np.float32)
    with_, without = np.zeros((64, 64), np.int32), np.zeros((64, 64), np.int32)
    for n in range(len(leaves)):
        y, c, log, _ = leaves[n]
        side = 1 << log
        a = bases[log]
        _own(samples, y, c, side, own, d, scratch)
        border(seen, order, y, c, side, top, left)
        m, _ = _best(own, top, left, side, line, d, scratch, 1)
        continued(top, left, side, m, line, d)
        for i in range(side):
            for j in range(side):
                block[i, j] = d[j, i] if ACROSS[m] else d[i, j]
        _transformed(a, block, side, False, half, made)
        made[0, 0] = 0.0
        cosines = coefficients[y : y + side, c : c + side]
        for i in range(side):
            for j in range(side):
                wanted[i, j] = np.float32(cosines[i, j] - made[i, j])
        price_here = lam / weight[y >> 2, c >> 2]
        j_with = rd.quantise(wanted, side, log, step, price_here, r_level, r_last, shrink, reach, with_)
        j_without = rd.quantise(cosines, side, log, step, price_here, r_level, r_last, shrink, reach, without)
        pays = j_with + price_here * price[log - 2] < j_without
        maps[y >> 2, c >> 2, 0] = m + 1 if pays else 0
        chosen = with_ if pays else without
        for i in range(side):
            for j in range(side):
                if i + j > 0:
                    level[y + i, c + j] = chosen[i, j]
                q = np.int64(level[y + i, c + j])
                s = abs(q)
                v = 0.0
                if s > 0:
                    v = s - (0.0 if i + j == 0 else shrink[2 if s > 2 else s - 1])
                v = step * (v if q > 0 else -v)
                block[i, j] = v + made[i, j] if pays else v
        _transformed(a, block, side, True, half, made)
        for i in range(side):
            for j in range(side):
                seen[y + i, c + j] = np.float32(made[i, j])


def closed(
    code: QuadtreePlane,
    samples: np.ndarray,
    cosines: dict[int, np.ndarray],
    weights: dict[int, np.ndarray],
    lam: float,
    rates: rd.Rates,
    reach: int,
) -> QuadtreePlane:
    """The plane with new directions and levels, in order, each against its border as the decoder will have it."""
    leaves = directed_leaves(code)
    if not len(leaves):
        return code
    seen = explicit(code)
    own = np.zeros(code.level.shape, np.float32)
    weight = np.ones(code.logs.shape)
    for log, c in cosines.items():
        here = np.asarray(code.logs == log)
        np.copyto(own, c, where=here.repeat(4, 0).repeat(4, 1))
        cells = 1 << (log - 2)
        np.copyto(weight, weights[log].repeat(cells, 0).repeat(cells, 1), where=here)
    level, maps = code.level.copy(), code.maps.copy()
    price = np.asarray(rates.fractal[:, 1] - rates.fractal[:, 0] + BITS)
    order = ranks(code.height, code.width, code.level.shape)
    close(
        leaves, samples, seen, order, _bases(), own, code.step, lam, weight, rates.level, rates.last,
        price, np.array(code.shrink), reach, level, maps,
    )  # fmt: skip
    return replace(code, level=level, maps=maps)


@cache
def _bases() -> np.ndarray:
    """The cosines of blocks by log2 of the side, ``[7, 64, 64]``."""
    out = np.zeros((7, 64, 64))
    for log in range(2, 7):
        out[log, : 1 << log, : 1 << log] = block_cosines(1 << log)
    return out
