"""Search for maps that proposals rarely find: roots of powers, and maps for uncovered parts."""

import numpy as np
import pytest

from fractalkit.codes.presets import preset
from fractalkit.fit.search import Searcher
from fractalkit.fit.target import make_target
from fractalkit.orbit import sample


@pytest.fixture(scope="module")
def fern():
    truth = preset("barnsley-fern")
    target = make_target(sample(truth, 6000, seed=1).points.numpy(), limit=6000, rng=np.random.default_rng(0))
    sub = target.subspace
    a, t = truth.matrices.numpy(), truth.offsets.numpy()
    maps = np.zeros((4, 3, 4))
    maps[:, :2, :2] = sub.basis.T @ a @ sub.basis
    maps[:, :2, 3] = (a @ sub.centre + t - sub.centre) @ sub.basis / sub.scale
    return target, maps


def gap(searcher: Searcher, one: np.ndarray, maps: np.ndarray) -> float:
    """Distance of the nearest of ``maps`` from ``one``, in spacings."""
    return float(np.linalg.norm(searcher.frames(maps) - searcher.frames(one[None]), axis=1).min()) / searcher.spacing


def test_root_of_a_square(fern):
    target, maps = fern
    s = Searcher(target, np.random.default_rng(2), cap=0.95)
    square = maps[1].copy()
    square[:, :3] = maps[1, :, :3] @ maps[1, :, :3]
    square[:, 3] = maps[1, :, :3] @ maps[1, :, 3] + maps[1, :, 3]
    s._insert(square[None])
    assert gap(s, maps[1], s.pool.maps) > 10
    s.root(np.arange(1))
    assert gap(s, maps[1], s.pool.maps) < 2


def test_what_the_others_leave_bare_leads_to_the_last_map(fern):
    target, maps = fern
    s = Searcher(target, np.random.default_rng(3), cap=0.95)
    for _ in range(2):
        s.complete(maps[:3], 4000, 30, limit=0.5)
    assert gap(s, maps[3], s.pool.maps) < 2
    least = s.cost(maps[:3])[0].min(axis=0)
    assert s.bare(least).any()
    assert s.left(least, s.cost(maps[3:])[0])[0] < 0.2 * least[s.bare(least)].mean()


def test_nothing_bare_nothing_done(fern):
    target, maps = fern
    s = Searcher(target, np.random.default_rng(4), cap=0.95)
    s.complete(maps, 100, 5)
    assert len(s.pool) == 0 or s.bare(s.cost(maps)[0].min(axis=0)).sum() >= 3
