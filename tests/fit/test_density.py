"""Densities of attractors on grids: kernels against plain twins, derivatives against differences, recovery."""

import numpy as np
import pytest
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.random import random_ifs
from fractalkit.errors import DataError
from fractalkit.fit import density_distance
from fractalkit.fit.density import Density, likely_weights
from fractalkit.fit.density_kernels import gaps_with, jacobian, settle, spread
from fractalkit.fit.measure_search import Archive, Measured, MeasureSearch
from fractalkit.fit.refine import Refiner
from fractalkit.fit.target import make_target
from fractalkit.orbit import sample


def problem(dim=2, k=3, n=3000, seed=5, flat=False):
    """A target with the maps ``[K, 3, 4]`` and weights of the code that it is a sample of."""
    code = random_ifs(k, dim, rule="scales", generator=torch.Generator().manual_seed(seed))
    if flat:
        u, s, vt = torch.linalg.svd(code.matrices)
        s[:, 1] = s[:, 0] / 10
        code = AffineIFS(u * s[:, None] @ vt, code.offsets, torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64))
    cloud = sample(code, n, seed=1, dtype=torch.float64).points.numpy()
    target = make_target(cloud, limit=n, rng=np.random.default_rng(0))
    sub = target.subspace
    a, t = code.matrices.numpy(), code.offsets.numpy()
    maps = np.zeros((k, 3, 4))
    maps[:, :dim, :dim] = a
    maps[:, :dim, 3] = (a @ sub.centre + t - sub.centre) / sub.scale
    return target, maps, code.probabilities.numpy()


def plain_spread(points, mass, frame, dim, side):
    """The plain twin of spread, in torch: a quadratic B-spline along each axis."""
    u = torch.as_tensor(points[:, :dim] @ frame[:dim, :dim].T + frame[:dim, 3]).clamp(1, side - 2)
    away = (u[:, :, None] - torch.arange(side)).abs()  # [N, D, side]
    w = torch.where(away < 0.5, 0.75 - away**2, 0.5 * (1.5 - away).clamp_min(0) ** 2)
    names = "abc"[:dim]
    return mass * torch.einsum(",".join("n" + c for c in names) + "->" + names, *w.unbind(1)).flatten().numpy()


@pytest.mark.parametrize("dim", [2, 3])
def test_points_are_spread_as_by_the_plain_twin(dim):
    target, _, _ = problem(dim, n=300)
    d = Density(target, cap=0.95)
    level = d.levels[0]
    q = np.zeros_like(level.mass)
    points = 1.3 * d.points  # some beyond the grid
    spread(points, 1 / len(points), level.frame, dim, level.side, q)
    np.testing.assert_allclose(q, plain_spread(points, 1 / len(points), level.frame, dim, level.side), atol=1e-12)
    assert q.sum() == pytest.approx(1)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_jacobian_is_that_of_the_masses(dim):
    target, maps, weights = problem(dim, n=300)
    d = Density(target, cap=0.95, orbits=400)
    level = d.levels[0]
    address, z = d.orbit(maps, weights, 400, 3)
    got = np.zeros((len(level.mass), 3 * (dim * (dim + 1) + 1)))
    jacobian(maps, dim, address, z, 3, level.frame, level.side, got)
    got = got.T.reshape(3, -1, len(level.mass))
    # the last slot is the derivative by a logarithm of weight, for which each letter of an address counts
    counts = np.stack([(address == k).sum(axis=1) for k in range(3)])
    for k in range(3):
        want = np.zeros_like(level.mass)
        for n in range(len(z)):
            spread(z[n : n + 1, 0], counts[k, n] / len(z), level.frame, dim, level.side, want)
        np.testing.assert_allclose(got[k, -1], want, atol=1e-12)
    for k, r, c in ((0, 0, 0), (1, 1, 0), (2, 0, dim), (1, dim - 1, dim)):
        ends = []
        for step in (1e-6, -1e-6):
            moved = maps.copy()
            moved[k, r, 3 if c == dim else c] += step
            y = z[:, 3].copy()
            for j in (2, 1, 0):
                m = moved[address[:, j]]
                y = np.einsum("nij,nj->ni", m[:, :, :3], y) + m[:, :, 3]
            q = np.zeros_like(level.mass)
            spread(y, 1 / len(y), level.frame, dim, level.side, q)
            ends.append(q)
        np.testing.assert_allclose(got[k, r * (dim + 1) + c], (ends[0] - ends[1]) / 2e-6, atol=1e-5)


@pytest.mark.parametrize("dim", [2, 3])
def test_refinement_returns_to_the_truth(dim):
    target, maps, weights = problem(dim)
    d = Density(target, cap=0.95)
    rng = np.random.default_rng(1)
    off = maps.copy()
    off[:, :dim, :dim] += 0.04 * rng.standard_normal((3, dim, dim))
    off[:, :dim, 3] += 0.02 * rng.standard_normal((3, dim))
    start = d.misfit(off, np.full(3, 1 / 3))
    found, w, _ = d.refine(off, np.full(3, 1 / 3), levels=(0, 1, 2), steps=20)
    assert start > 2 and d.misfit(found, w) < 1.1
    assert np.abs(found - maps).max() < 0.02 and np.abs(w - weights).max() < 0.03


def test_orbits_of_slow_maps_forget_where_they_began():
    turn = 0.975 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    code = AffineIFS(np.stack([turn, 0.3 * np.eye(2)]), np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.96, 0.04]))
    cloud = sample(code, 3000, seed=1, dtype=torch.float64).points.numpy()
    target = make_target(cloud, limit=3000, rng=np.random.default_rng(0))
    sub = target.subspace
    maps = np.zeros((2, 3, 4))
    maps[:, :2, :2] = code.matrices.numpy()
    maps[:, :2, 3] = (code.matrices.numpy() @ sub.centre + code.offsets.numpy() - sub.centre) / sub.scale
    assert Density(target, cap=0.98).misfit(maps, code.probabilities.numpy()) < 1.15
    refiner = Refiner(target, np.random.default_rng(0), cap=0.98, points=3000)
    score = refiner.score(refiner.match(maps, code.probabilities.numpy(), seed=1))
    assert score.chamfer < 1.15 * refiner.floor(3000).chamfer


def test_one_map_settles_where_the_others_leave_mass():
    target, maps, weights = problem()
    d = Density(target, cap=0.95)
    level = d.levels[1]
    kept = np.zeros_like(level.mass)
    for m, w in zip(maps[1:], weights[1:], strict=True):
        spread(d.points @ m[:, :3].T + m[:, 3], w / len(d.points), level.frame, 2, level.side, kept)
    one, share = maps[:1].copy(), np.array([0.5 * weights[0]])
    one[0, :2, :2] += 0.03
    one[0, :2, 3] += 0.03
    grid = (kept, np.ones_like(kept), np.sqrt(level.mass), level.frame, 2, level.side)
    before = gaps_with(one, share, d.points, *grid)[0]
    after = settle(one, share, d.points, *grid, 20, 0.95)[0]
    assert after < 0.2 * before and np.abs(one - maps[:1]).max() < 0.02
    assert share[0] == pytest.approx(weights[0], abs=0.03)


def test_weights_of_overlapping_pieces_are_found():
    rng = np.random.default_rng(2)
    psi = rng.random((3, 50))
    psi /= psi.sum(axis=1, keepdims=True)
    truth = np.array([0.6, 0.3, 0.1])
    np.testing.assert_allclose(likely_weights(psi, truth @ psi, steps=3000), truth, atol=0.01)


def test_an_archive_keeps_one_of_maps_that_are_near_and_chooses_the_right_ones():
    target, maps, weights = problem()
    d = Density(target, cap=0.95)
    archive = Archive(d, d.points[:1500])
    rng = np.random.default_rng(0)
    wrong = maps[rng.integers(3, size=20)] + 0.1 * rng.standard_normal((20, 3, 4)) * [[[1], [1], [0]]]
    for some in (wrong, maps + 1e-4, maps):
        archive.add(some)
    assert len(archive) == 23
    chosen = archive.choose(3, 1, rng)
    assert sorted(chosen) == [20, 21, 22]
    np.testing.assert_allclose(archive.weights(chosen, 1), weights[chosen - 20], atol=0.02)


def test_the_front_has_codes_that_differ():
    target, maps, weights = problem()
    search = MeasureSearch(Density(target, cap=0.95), 3, np.random.default_rng(0))
    far, worse = maps.copy(), maps + 0.001
    far[:2, :2, 3] += 0.2
    for m, distance in ((worse, 0.2), (far, 0.3), (maps, 0.1), (worse, 0.2)):
        search.join(Measured(m, weights, distance))
    assert [c.distance for c in search.front] == [0.1, 0.3]


@pytest.mark.slow
def test_flat_maps_are_found_from_nothing():
    target, maps, _ = problem(flat=True)
    d = Density(target, cap=0.95)
    search = MeasureSearch(d, 3, np.random.default_rng(0))
    found, rounds = search.run(30)
    assert rounds < 30 and search.excess(found) <= 1
    gap = np.abs(found.maps[:, None] - maps[None]).max(axis=(2, 3))
    assert gap.min(axis=0).max() < 0.05


def test_the_density_distance():
    rng = np.random.default_rng(0)
    x = rng.random((4000, 2))
    assert density_distance(x, x) == 0
    assert density_distance(x + 5, x) == pytest.approx(1)
    # half the mass of the left half moved to the right one
    y = x.copy()
    y[(x[:, 0] < 0.5) & (rng.random(4000) < 0.5), 0] += 0.5
    assert density_distance(y, x, side=2) == pytest.approx(0.25, abs=0.02)
    with pytest.raises(DataError, match="dimensions"):
        density_distance(x, np.zeros((5, 3)))


def test_points_that_coincide_count_but_not_a_marker():
    rng = np.random.default_rng(0)
    cloud = rng.random((300, 2))
    cloud = np.concatenate([cloud, cloud[:100], np.tile(cloud[:1], (20, 1))])
    target = make_target(cloud, limit=1000, rng=rng)
    assert target.counts.tolist() == [1] + 99 * [2] + 200 * [1]
    assert len(Density(target, cap=0.98).points) == 399
