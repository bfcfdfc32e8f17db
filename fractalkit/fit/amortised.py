"""Proposals of a network for the maps of a cloud in the plane, and codes made of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numba as nb
import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from fractalkit.fit.density import Density
from fractalkit.fit.measure_search import Measured
from fractalkit.fit.search import clip_maps
from fractalkit.models.inverse import InverseNet, from_white, map_numbers, views, whitening

WEIGHTS = "inverse_plane"
_TURNS = 8  # of the cloud, each also reflected
_POINTS = 16_000  # of the cloud that the network sees
_FEW = 1000  # and whose images are drawn
_EACH = 16  # proposals of a view
_BLUR = 0.7  # cells
_ALIKE = 0.15  # distance, in standard deviations of the cloud, of proposals that are merged


@cache
def network() -> InverseNet:
    """The network of the package."""
    return InverseNet.from_pretrained(WEIGHTS)


def proposed_maps(density: Density, net: InverseNet | None = None, *, turns: int = _TURNS) -> np.ndarray:
    """Maps ``[H, 3, 4]`` in the target's coordinates, the likeliest first; none for a cloud on a line."""
    net = net or network()
    points = density.starts[None, :_POINTS, :2]
    white = whitening(points)
    if not np.isfinite(white).all():
        return np.zeros((0, 3, 4))
    a = 2 * np.pi * np.arange(turns) / turns + 0.1
    q = np.stack([np.cos(a), -np.sin(a), np.sin(a), np.cos(a)], axis=1).reshape(-1, 2, 2)
    q = np.concatenate([q, q * [[1.0, -1.0]]])
    frames = q @ white
    seen = views(np.broadcast_to(points, (len(q), *points.shape[1:])), frames, net.config.side)
    with _one_thread(), torch.inference_mode():
        found = net(seen)
        first = found.rate.topk(min(_EACH, found.rate.shape[1]), dim=1).indices
        numbers = found.maps.gather(1, first[:, :, None].expand(-1, -1, 6)).double().numpy()
        rate = found.rate.gather(1, first).exp().double().numpy().ravel()
    turned = np.concatenate([q, np.zeros((len(q), 2, 1))], axis=2)
    maps = from_white(numbers, turned).reshape(-1, 2, 3)  # in one white frame
    maps = _merged(maps, rate)
    out = np.zeros((len(maps), 3, 4))
    back = from_white(map_numbers(maps[None]), white)[0]
    out[:, :2, :2], out[:, :2, 3] = back[:, :, :2], back[:, :, 2]
    clip_maps(out, 2, density.cap, density.isotropy)
    return out


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # small layers are slower on several threads
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _merged(maps: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Means of maps ``[H, 2, 3]`` that are alike, weighed by rate, those of the greatest rate first."""
    flat, left = maps.reshape(len(maps), 6), np.ones(len(maps), bool)
    found, heavy = [], []
    for i in np.argsort(-rate):
        if left[i]:
            near = left & (np.linalg.norm(flat - flat[i], axis=1) < _ALIKE)
            left &= ~near
            found.append(np.average(flat[near], axis=0, weights=rate[near]))
            heavy.append(rate[near].sum())
    return np.array(found)[np.argsort(-np.array(heavy), kind="stable")].reshape(-1, 2, 3)


def quick_codes(
    density: Density, proposed: np.ndarray, k: int, rng: np.random.Generator, *, rounds: int = 2, each: int = 8
) -> list[Measured]:
    """Codes of k maps, made of those proposed and refined briefly on the coarsest grid, best first.

    The refined maps of one round are proposed in the next one, where right maps of several codes may meet.
    """
    level, few = density.levels[0], density.starts[:_FEW]
    masses = density.pieces(proposed, few, level)
    tried: set[tuple[int, ...]] = set()
    found: list[Measured] = []
    for _ in range(rounds):
        if len(proposed) < k:
            break
        fresh = [c for c in chosen_sets(density, masses, k, rng) if tuple(c) not in tried][:each]
        for c in fresh:
            tried.add(tuple(c))
            maps, weights = proposed[c], density.likely(masses[c], level, 10)
            maps, weights, _ = density.refine(maps, weights, levels=(0,), steps=8, orbits=1500, depth=1)
            found.append(Measured(*density.refine(maps, weights, levels=(0,), steps=4, orbits=2000, depth=4)))
        if fresh:
            new = np.concatenate([c.maps for c in found[-len(fresh) :]])
            proposed = np.concatenate([proposed, new])
            masses = np.concatenate([masses, density.pieces(new, few, level)])
    return sorted(found, key=lambda c: c.distance)


def chosen_sets(
    density: Density, masses: np.ndarray, k: int, rng: np.random.Generator, *, starts: int = 150
) -> np.ndarray:
    """Distinct sets ``[S, k]`` of indices of maps whose images of the cloud make it up together, best first.

    Images, whose masses ``[H, cells]`` on the coarsest grid are given, and the cloud are blurred, so that maps that are
    somewhat off count too. Random sets are improved by exchanges of single maps, with the weights of least squares.
    """
    level = density.levels[0]
    shape = (-1, *(level.side,) * density.dim)
    soft = gaussian_filter(masses.reshape(shape), (0, *(_BLUR,) * density.dim), mode="constant").reshape(
        len(masses), -1
    )
    aim = gaussian_filter(level.mass.reshape(shape[1:]), _BLUR, mode="constant").ravel()
    scale = 1 / np.sqrt(aim + 0.2 / len(aim))  # so that cells vary alike
    soft, aim = soft * scale, aim * scale
    rank = rng.random((starts, len(masses))) ** (20.0 + np.arange(len(masses)))  # the first ones more often
    sets = np.argsort(-rank, axis=1)[:, :k]
    misfit = exchange(sets, soft @ soft.T, soft @ aim)
    sets.sort(axis=1)
    sets, first = np.unique(sets, axis=0, return_index=True)
    return np.asarray(sets[np.argsort(misfit[first], kind="stable")])


@nb.njit(cache=True)
def exchange(sets, gram, right):  # type: ignore[no-untyped-def]
    """Exchange members of sets ``[S, k]`` in place for the best others; their misfits ``[S]``, constants left out."""
    starts, k = sets.shape
    many = len(right)
    out = np.empty(starts)
    for s in range(starts):
        mine = sets[s]
        best = np.inf
        for _ in range(10):
            before = best
            for i in range(k):
                best = _exchanged(mine, i, gram, right, many)
            if not best < before - 1e-9:
                break
        out[s] = best
    return out


@nb.njit(cache=True)
def _exchanged(mine, i, gram, right, many):  # type: ignore[no-untyped-def]
    """Put the best of all maps in place i of a set; the misfit."""
    k = len(mine)
    rest = np.empty(k - 1, np.int64)
    n = 0
    for j in range(k):
        if j != i:
            rest[n] = mine[j]
            n += 1
    a = np.empty((n, n))
    b = np.empty(n)
    for p in range(n):
        b[p] = right[rest[p]]
        for q in range(n):
            a[p, q] = gram[rest[p], rest[q]] + (1e-6 if p == q else 0.0)
    inverse = np.linalg.inv(a)
    base = inverse @ b
    level = -(b @ base)
    least, found = np.inf, mine[i]
    g = np.empty(n)
    u = np.empty(n)
    for c in range(many):
        for p in range(n):
            g[p] = gram[rest[p], c]
        schur, gain = gram[c, c], right[c]
        for p in range(n):
            u[p] = 0.0
            for q in range(n):
                u[p] += inverse[p, q] * g[q]
            schur -= u[p] * g[p]
            gain -= base[p] * g[p]
        if schur < 1e-3 * gram[c, c]:
            continue
        w = gain / schur
        value = level - gain * w
        lowest = w
        for p in range(n):
            lowest = min(lowest, base[p] - u[p] * w)
        if lowest < 0.01:
            value += 10 * (0.01 - lowest)
        if value < least:
            least, found = value, c
    mine[i] = found
    return least
