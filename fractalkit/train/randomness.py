"""Random choices of a run as functions of (seed, purpose, place), so that a checkpoint needs no generator state."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

WEIGHTS, ORDER, NOISE, SUBSET, VALID_NOISE = range(5)


def seed_of(seed: int, purpose: int, *place: int) -> int:
    """A seed below 2^63 for a purpose at a place (epoch, step, part).

    >>> seed_of(0, NOISE, 3, 1) == seed_of(0, NOISE, 3, 1) != seed_of(0, NOISE, 1, 3)
    True
    """
    return int(np.random.SeedSequence([seed, purpose, *place]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed_of(seed, ORDER, epoch)).permutation(n)


def items_at(seed: int, n: int, first: int, count: int) -> np.ndarray:
    """Indices of the items at places first .. first + count - 1 of an endless stream of ``n`` items: ``[count]`` int64.

    The stream is a sequence of random permutations of all items; a batch may span two of them.

    >>> sorted(items_at(0, 5, 5, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    out = np.empty(count, np.int64)
    done = 0
    while done < count:
        epoch, place = divmod(first + done, n)
        take = min(count - done, n - place)
        out[done : done + take] = _order(seed, epoch, n)[place : place + take]
        done += take
    return out


def subset(seed: int, n: int, count: int) -> np.ndarray:
    """A fixed choice of ``count`` of ``n`` items in ascending order, all of them for 0: ``[count]`` int64."""
    if count == 0 or count >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed_of(seed, SUBSET)).permutation(n)[:count])
