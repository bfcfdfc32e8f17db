"""Graph-directed contractions whose edges are intervals: range r copies the ranges domains[r, 0] <= s < domains[r, 1].

Everything here takes the time of a few hundred passes over the R ranges, however large their domains are: sums over
intervals come from running sums, maxima from a sparse table.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Intervals = npt.NDArray[np.int64]

_POWERS = 64
_PASSES = 4000
_SLACK = 1e-6  # by which the logarithm of a proven constant may exceed the least possible one
_LEAST = math.log(1e-3)  # constants below this are not told apart
_MOST = 600.0  # largest logarithm of a length


def interval_max(values: Array, domains: Intervals) -> Array:
    """max of values[lo:hi] along the first axis, for each row of domains: ``[R, ...]`` -> ``[U, ...]``."""
    sizes = domains[:, 1] - domains[:, 0]
    level = np.frexp(sizes.astype(np.float64))[1] - 1  # floor(log2)
    out = np.empty((len(domains), *values.shape[1:]))
    table = values
    for k in range(int(level.max()) + 1):
        if k:
            half = 1 << (k - 1)
            table = np.maximum(table[:-half], table[half:])
        rows = np.flatnonzero(level == k)
        out[rows] = np.maximum(table[domains[rows, 0]], table[domains[rows, 1] - (1 << k)])
    return out


def interval_sum(values: Array, domains: Intervals) -> Array:
    """Sum of values[lo:hi] along the first axis, for each row of domains."""
    total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    return np.asarray(total[domains[:, 1]] - total[domains[:, 0]])


def contraction(norms: Array, domains: Intervals) -> tuple[Array, float]:
    """v ``[R]`` >= 1 and l with norms[r] max_s v_s <= l v_r, s in the domain of r: proof of the Lipschitz constant l.

    The least l is the largest geometric mean of the norms along a cycle, an eigenvalue in the max-times algebra
    (Baccelli, Cohen, Olsder and Quadrat, *Synchronization and linearity*, 1992, theorem 3.23). With (B v)_r = norms[r]
    max_s v_s, l = max (B^n 1)^(1/n) comes near it from above, and v = max_k<n B^k 1 / l^k proves it. The cycles of the
    best successors come near it from below, and the maximum over all k proves theirs where it is the least.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(norms)

    def step(v: Array) -> Array:
        return logs + interval_max(v, domains)

    powers = [np.zeros(len(norms))]
    for _ in range(_POWERS):
        powers.append(step(powers[-1]))
    n = min(range(1, _POWERS + 1), key=lambda n: float(powers[n].max()) / n)
    upper = max(float(powers[n].max()) / n, _LEAST)
    v = proven = np.max([power - k * upper for k, power in enumerate(powers[:n])], axis=0)
    for _ in range(20):
        _, mean = _cycle(logs, _successors(v, domains))
        lower = max(mean, _LEAST) + _SLACK
        if lower >= upper:
            break
        v, settled = _closure(step, lower, len(norms))
        if settled:
            proven = v
            break
    # what the lengths prove, rounding included
    constant = float(np.max(step(proven) - proven))
    return np.exp(np.minimum(proven, _MOST)), math.exp(min(constant, _MOST)) * (1 + 1e-12)


def worst_cycle(norms: Array, domains: Intervals) -> list[int]:
    """The ranges of a cycle of the graph along which the norms have about the largest geometric mean."""
    with np.errstate(divide="ignore"):
        logs = np.log(norms)
    v = np.zeros(len(norms))
    for _ in range(_POWERS):
        v = logs + interval_max(v, domains)
    return _cycle(logs, _successors(v, domains))[0]


def _closure(step: Callable[[Array], Array], constant: float, n: int) -> tuple[Array, bool]:
    """max over k of B^k 1 / l^k, and whether it settles; it grows for ever where a cycle exceeds l."""
    v = np.zeros(n)
    for _ in range(min(n + 1, _PASSES)):
        new = np.maximum(v, step(v) - constant)
        if bool((new == v).all()) or float(new.max()) > _MOST:
            return new, bool((new == v).all())
        v = new
    return v, False


def _successors(v: Array, domains: Intervals) -> Intervals:
    """For each range the range of its domain with the largest v."""
    order = np.argsort(v, kind="stable")
    rank = np.empty(len(v))
    rank[order] = np.arange(len(v))
    return order[interval_max(rank, domains).astype(np.int64)]


def _cycle(logs: Array, successor: Intervals) -> tuple[list[int], float]:
    """Of the cycles of a map of ranges the one with the largest mean of ``logs``, and that mean."""
    state = np.zeros(len(successor), np.int64)  # 0 new, else the walk that came by
    best: tuple[list[int], float] = ([], -math.inf)
    follow = successor.tolist()
    for start in range(len(follow)):
        walk, r = start + 1, start
        while not state[r]:
            state[r] = walk
            r = follow[r]
        if state[r] == walk:  # a cycle that no earlier walk has seen
            cycle, s = [r], follow[r]
            while s != r:
                cycle.append(s)
                s = follow[s]
            mean = float(logs[cycle].mean())
            if mean > best[1] or not best[0]:
                best = cycle, mean
    return best


def means(a: Array, b: Array, weights: Array, domains: Intervals) -> Array:
    """The means of the measures mu_r, ``[R, D]``, by iteration; exact enough to be the centres of balls."""
    mass = interval_sum(weights, domains)[:, None]
    m = np.zeros_like(b)
    scale = max(float(np.abs(b).max()), 1e-300)
    for _ in range(_PASSES):
        new = np.einsum("rij,rj->ri", a, interval_sum(weights[:, None] * m, domains) / mass) + b
        moved = float(np.abs(new - m).max())
        m = new
        if not moved > 1e-12 * scale:
            break
    return m


def radii(
    a: Array, centres: Array, offsets: Array, norms: Array, domains: Intervals, proof: tuple[Array, float]
) -> Array:
    """Radii ``[R]`` of balls about any centres that hold the sets X_r: the least with r_r = g_r + |A_r| max_s r_s.

    g_r >= |f_r(c_s) - c_r| for all s of the domain, by the box of the centres c_s.
    """
    high, low = interval_max(centres, domains), -interval_max(-centres, domains)
    middle = (low + high) / 2
    reach = np.linalg.norm(high - middle, axis=1)
    g = np.linalg.norm(np.einsum("rij,rj->ri", a, middle) + offsets - centres, axis=1) + norms * reach
    v, constant = proof
    r = v * (float((g / v).max()) / (1 - constant))  # the bound of the collage theorem, and better ones from it
    for _ in range(_POWERS):
        r = np.minimum(r, g + norms * interval_max(r, domains))
    return np.asarray(r * (1 + 1e-9))
