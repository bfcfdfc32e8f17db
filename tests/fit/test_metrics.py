"""Distances between clouds against brute force and closed forms."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from fractalkit.errors import DataError
from fractalkit.fit import compare_clouds, sampling_floor
from fractalkit.fit.metrics import crowding


def test_distances_agree_with_brute_force():
    rng = np.random.default_rng(0)
    x, y = rng.random((80, 3)), rng.random((80, 3)) * 1.2
    d = np.linalg.norm(x[:, None] - y[None], axis=2) / np.linalg.norm(y.max(0) - y.min(0))
    f, b = d.min(1), d.min(0)
    got = compare_clouds(x, torch.from_numpy(y))
    assert got.chamfer == pytest.approx((f.mean() + b.mean()) / 2)
    assert got.hausdorff == pytest.approx(max(f.max(), b.max()))
    assert got.hausdorff95 == pytest.approx(max(np.quantile(f, 0.95), np.quantile(b, 0.95)))
    p, r = (f <= 0.01).mean(), (b <= 0.01).mean()
    assert got.fscore == pytest.approx(2 * p * r / (p + r) if p + r else 0)


def test_a_shift_is_measured_in_diagonals():
    x = np.stack(np.meshgrid(np.arange(31.0), np.arange(41.0)), -1).reshape(-1, 2)
    got = compare_clouds(x + np.array([0.25, 0]), x)  # the diagonal is 50
    assert got.chamfer == pytest.approx(0.005) and got.hausdorff == pytest.approx(0.005) and got.fscore == 1
    assert compare_clouds(x, x).chamfer == 0


def test_the_floor_is_what_a_second_sample_scores():
    rng = np.random.default_rng(1)
    x, y = rng.random((5000, 2)), rng.random((5000, 2))
    assert sampling_floor(x).chamfer == pytest.approx(compare_clouds(y, x).chamfer, rel=0.03)


def test_one_percent_is_the_border_of_the_fscore():
    x = np.stack(np.meshgrid(np.arange(31.0), np.arange(41.0)), -1).reshape(-1, 2)  # the diagonal is 50
    y = x.copy()
    y[::2, 0] += 0.49  # half of them by less than 1 %, or by more
    y[1::2, 0] += 0.45
    assert compare_clouds(y, x).fscore == 1
    y[1::2, 1] += 0.3
    got = compare_clouds(y, x)
    assert got.fscore == pytest.approx(636 / 1271, abs=1e-3)
    assert got.to_dict() == {
        "chamfer": got.chamfer, "hausdorff": got.hausdorff, "hausdorff95": got.hausdorff95, "fscore": got.fscore
    }  # fmt: skip


def test_clouds_are_thinned_to_one_number():
    rng = np.random.default_rng(2)
    x, y = rng.random((300, 2)), rng.random((200, 2))
    half = compare_clouds(x[:200], y, points=None)
    few = compare_clouds(x, y, points=100)
    assert few.chamfer > 1.2 * half.chamfer  # sparser clouds have farther neighbours
    assert compare_clouds(x, y, points=1000).chamfer == compare_clouds(x, y, points=None).chamfer
    assert compare_clouds(x, y, points=100, seed=1) != few
    assert sampling_floor(x, points=100).chamfer > 1.2 * sampling_floor(x).chamfer
    assert sampling_floor(x, points=300) == sampling_floor(x, points=None) == sampling_floor(x)


def test_the_floor_by_brute_force_and_of_a_single_point():
    x = np.random.default_rng(3).random((60, 3))
    d = np.linalg.norm(x[:, None] - x[None], axis=2) + np.diag(np.full(60, np.inf))
    got = sampling_floor(x)
    assert got.chamfer == pytest.approx(d.min(1).mean() / np.linalg.norm(x.max(0) - x.min(0)))
    assert sampling_floor(x[:1]).to_dict() == {"chamfer": 0, "hausdorff": 0, "hausdorff95": 0, "fscore": 1}
    assert compare_clouds(np.zeros((1, 2)), np.array([[3.0, 4.0]])).chamfer == 5  # no diagonal: as it is


def test_bad_clouds_are_refused():
    x = np.zeros((5, 2))
    with pytest.raises(DataError, match="dimensions"):
        compare_clouds(x, np.zeros((5, 3)))
    for bad in (np.zeros((0, 2)), np.full((5, 2), np.nan), np.zeros(5)):
        with pytest.raises(DataError):
            compare_clouds(bad, x)
        with pytest.raises(DataError):
            sampling_floor(bad)


def test_the_floor_of_points_that_keep_apart_is_that_of_independent_ones():
    grid = np.stack(np.meshgrid(np.arange(60.0), np.arange(60.0)), -1).reshape(-1, 2)
    rng = np.random.default_rng(3)
    x, y = 59 * rng.random((2, 3600, 2))
    true = compare_clouds(x, y).chamfer
    assert sampling_floor(grid).chamfer == pytest.approx(true, rel=0.15)
    assert crowding(grid, cKDTree(grid)) < 0.65
    # independent points, also of a set with gaps, are left as they are
    dust = sum(4.0 ** -(k + 1) * 3 * rng.integers(0, 2, (3000, 2)) for k in range(12))
    assert crowding(x, cKDTree(x)) == crowding(dust, cKDTree(dust)) == 1
