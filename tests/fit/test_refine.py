"""Gauss-Newton through the orbit: normal equations against autograd, and recovery of known codes."""

import numpy as np
import pytest
import torch

from fractalkit.codes import preset
from fractalkit.fit.refine import Refiner, _accumulate
from fractalkit.fit.search import Searcher, clip_maps, grow_pool
from fractalkit.fit.target import make_target
from fractalkit.orbit import sample


def target_of(name, n=2000, seed=0):
    points = sample(preset(name), n, seed=seed, dtype=torch.float64).points.numpy()
    return make_target(points, limit=20_000, rng=np.random.default_rng(0))


def true_maps(target, ifs):
    """The code's maps in the target's own coordinates: ``[K, 3, 4]``."""
    d, sub = target.dim, target.subspace
    maps = np.zeros((len(ifs), 3, 4))
    a, t = ifs.matrices.numpy(), ifs.offsets.numpy()
    maps[:, :d, :d] = sub.basis.T @ a @ sub.basis
    maps[:, :d, 3] = (a @ sub.centre + t - sub.centre) @ sub.basis / sub.scale
    return maps


@pytest.mark.parametrize("dim", [2, 3])
def test_the_normal_equations_are_those_of_autograd(dim):
    rng = np.random.default_rng(dim)
    k, n, depth = 3, 20, 3
    maps = np.zeros((k, 3, 4))
    maps[:, :dim, :dim] = 0.4 * rng.standard_normal((k, dim, dim))
    maps[:, :dim, 3] = rng.standard_normal((k, dim))
    points = np.zeros((10, 3))
    points[:, :dim] = rng.standard_normal((10, dim))
    start, address = rng.integers(0, 10, n), rng.integers(0, k, (n, depth))
    rows, weight = np.arange(n), rng.random(n)
    aims = np.zeros((n, 3))
    aims[:, :dim] = rng.standard_normal((n, dim))
    got, right = _accumulate(maps, dim, points[start], address, rows, aims, weight, depth)

    def orbit(flat):
        m = flat.reshape(k, dim, dim + 1)
        z = torch.from_numpy(points[start][:, :dim])
        for j in range(depth - 1, -1, -1):
            f = m[address[:, j]]
            z = torch.einsum("nij,nj->ni", f[:, :, :dim], z) + f[:, :, dim]
        return z.flatten()

    flat = torch.from_numpy(maps[:, :dim][:, :, [*range(dim), 3]].copy()).flatten()
    jacobian = torch.autograd.functional.jacobian(orbit, flat).numpy()
    w = np.repeat(weight, dim)
    np.testing.assert_allclose(got, jacobian.T @ (w[:, None] * jacobian), atol=1e-10)
    error = aims[:, :dim].ravel() - orbit(flat).numpy()
    np.testing.assert_allclose(right, jacobian.T @ (w * error), atol=1e-10)


@pytest.mark.parametrize(("name", "shake"), [("barnsley-fern", 0.007), ("sierpinski-tetrahedron", 0.015)])
def test_refinement_recovers_a_shaken_code(name, shake):
    target = target_of(name, 4000)
    truth = true_maps(target, preset(name))
    refiner = Refiner(target, np.random.default_rng(0), cap=0.95, points=4000)
    weights = preset(name).probabilities.numpy()
    d = target.dim
    shaken = truth.copy()
    shaken[:, :d] += shake * np.random.default_rng(1).standard_normal(shaken[:, :d].shape)
    shaken[:, :, d:3] = 0
    refiner.clip(shaken)
    floor = refiner.floor(4000).total
    before = refiner.score(refiner.match(shaken, weights, seed=0)).total
    found, w = refiner.refine(shaken, weights, steps=20, tau=(8.0, 2.0))
    after = refiner.score(refiner.match(found, w, seed=0)).total
    assert before > 1.3 * floor and after < 1.06 * floor


def test_clipping_keeps_norms_and_shape_within_bounds():
    maps = np.zeros((50, 3, 4))
    maps[:, :, :] = np.random.default_rng(0).standard_normal((50, 3, 4))
    offsets = maps[:, :, 3].copy()
    clip_maps(maps, 3, 0.9, 0.4)
    sv = np.linalg.svd(maps[:, :, :3], compute_uv=False)
    assert sv[:, 0].max() <= 0.9 + 1e-12 and (sv[:, 2] >= 0.4 * sv[:, 0] - 1e-12).all()
    np.testing.assert_array_equal(maps[:, :, 3], offsets)


def test_the_pool_holds_the_true_maps():
    target = target_of("sierpinski-triangle", 3000)
    searcher = Searcher(target, np.random.default_rng(0), cap=0.95)
    assert len(list(grow_pool(searcher, 3, rounds=1, count=4000, keep=40))) == 2  # two looks a round
    truth = searcher.frames(true_maps(target, preset("sierpinski-triangle")))
    gap = np.linalg.norm(truth[:, None] - searcher.frames(searcher.pool.maps)[None], axis=2).min(axis=1)
    assert (gap < 3 * searcher.spacing).all()
    assert len(searcher.choose(3)) == 3


def test_turned_maps_are_the_map_after_an_isometry_that_keeps_the_centre():
    target = target_of("sierpinski-tetrahedron")
    searcher = Searcher(target, np.random.default_rng(0), cap=0.95)
    maps = true_maps(target, preset("sierpinski-tetrahedron"))[:1]
    turned = searcher.turned(maps)
    assert turned.shape == (47, 3, 4)
    sv = np.linalg.svd(turned[:, :, :3], compute_uv=False)
    np.testing.assert_allclose(sv, np.broadcast_to(np.linalg.svd(maps[0, :, :3], compute_uv=False), sv.shape))
    centre = target.points.mean(axis=0)
    np.testing.assert_allclose(turned[:, :, :3] @ centre + turned[:, :, 3], np.broadcast_to(
        maps[0, :, :3] @ centre + maps[0, :, 3], (47, 3)), atol=1e-12)  # fmt: skip
