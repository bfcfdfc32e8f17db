"""Collages of clouds at small sizes: bumpy surfaces drawn from seeds, awkward clouds, kernels and their plain twins."""

import numpy as np
import pytest
import torch

from fractalkit.errors import DataError, UsageError
from fractalkit.fit import compare_clouds, fit_cloud_collage, fit_cloud_style
from fractalkit.fit.attractor import Graph, apply, gaps, sweep
from fractalkit.fit.cells import Cells
from fractalkit.fit.matching import (
    ANGLES,
    cholesky_solve,
    diagonalise,
    first_pairs,
    limit_norm,
    nearest_both,
    orient,
    register,
)
from fractalkit.fit.method import default_ranges
from fractalkit.fit.resample import Neighbourhoods, smoothing
from fractalkit.orbit import sample


def bumpy(n, seed):
    """Points of a sphere whose radius is a random sum of waves."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    waves = np.random.default_rng(seed % 100).normal(size=(6, 3))
    return x * (1 + 0.05 * np.sin(3 * x @ waves.T).sum(axis=1, keepdims=True))


def draw(code, n, seed=0):
    """Random points of a collage, by plain iteration."""
    maps = np.concatenate([code.matrices.numpy(), code.offsets.numpy()[..., None]], axis=2)
    graph = Graph(_embed(maps), code.domains.numpy(), code.weights.numpy())
    return (
        graph.pool(8 * n, np.random.default_rng(seed), sweeps=60)
        .thin(np.random.default_rng(seed))
        .points[:, : code.dim]
    )


def _embed(maps):
    out = np.zeros((len(maps), 3, 4))
    d = maps.shape[1]
    out[:, :d, :d], out[:, :d, 3] = maps[:, :, :d], maps[:, :, d]
    return out


@pytest.mark.parametrize("seed", [0, 1])
def test_a_surface_is_close_to_an_independent_sample(seed):
    cloud, again, test = (bumpy(4000, seed + 100 * k) for k in range(3))
    code = fit_cloud_collage(cloud, maps=64, effort=2, seed=seed)
    assert len(code) == 64
    found, floor = compare_clouds(draw(code, 4000), test), compare_clouds(again, test)
    assert found.chamfer < 1.2 * floor.chamfer
    assert found.hausdorff < 3 * floor.hausdorff
    code.check_contractive()


def test_more_maps_are_nearer():
    cloud, test = bumpy(3000, 2), bumpy(3000, 102)
    errors = [compare_clouds(draw(fit_cloud_collage(cloud, maps=k, effort=1), 3000), test).chamfer for k in (4, 16, 64)]
    assert errors[0] > 1.1 * errors[1] > 1.21 * errors[2]


def test_the_bound_holds():
    cloud = bumpy(1500, 3)
    code = fit_cloud_collage(cloud, maps=40, effort=1)
    diagonal = np.linalg.norm(np.ptp(cloud, axis=0))
    assert compare_clouds(draw(code, 1500), cloud, points=None).hausdorff * diagonal < code.provenance["collage_bound"]


def test_the_seed_determines_the_result():
    cloud = bumpy(1000, 4)
    a, b = (fit_cloud_collage(cloud, maps=20, effort=1, seed=7) for _ in range(2))
    other = fit_cloud_collage(cloud, maps=20, effort=1, seed=8)
    drawn = fit_cloud_collage(cloud, maps=20, effort=1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(a.matrices, b.matrices) and torch.equal(a.domains, b.domains)
    assert not torch.equal(a.matrices, other.matrices) and not torch.equal(a.matrices, drawn.matrices)


def test_colours_follow_the_scan():
    cloud = bumpy(3000, 5)
    rgb = np.clip(0.5 + 0.4 * np.stack([cloud[:, 0], cloud[:, 1], -cloud[:, 2]], axis=1), 0, 1)
    code = fit_cloud_collage(cloud, maps=64, colours=rgb, effort=1)
    assert float(torch.linalg.matrix_norm(code.colour_matrices, ord=2).max()) <= 0.9 + 1e-9
    drawn = sample(code, 3000, colours=True)
    place, colour = drawn.points.numpy(), drawn.colours.numpy()
    expected = 0.5 + 0.4 * np.stack([place[:, 0], place[:, 1], -place[:, 2]], axis=1)
    assert np.abs(colour - expected).mean() < 0.03


@pytest.mark.parametrize("n", [1, 2, 3, 20])
@pytest.mark.parametrize("d", [2, 3])
def test_few_points_come_back(n, d):
    cloud = np.random.default_rng(n).normal(size=(n, d))
    code = fit_cloud_collage(cloud, effort=0)
    assert code.dim == d and len(code) == n
    np.testing.assert_allclose(draw(code, n), draw(code, n)[:, :d])
    assert compare_clouds(draw(code, n), cloud).hausdorff < 1e-9


@pytest.mark.parametrize("kind", ["plane", "square", "line", "curve", "two far", "huge", "tiny", "nan"])
def test_awkward_clouds(kind):
    rng = np.random.default_rng(6)
    x, t = rng.random((800, 3)), rng.random((800, 1))
    cloud = {
        "plane": x * [1, 1, 0], "square": x[:, :2], "line": t * [1.0, 2.0, 3.0] + 5,
        "curve": np.concatenate([np.cos(6 * t), np.sin(6 * t)], axis=1),
        "two far": x + 1e4 * (t > 0.5), "huge": x * 1e300, "tiny": x * 1e-30, "nan": np.where(x < 0.01, np.nan, x),
    }[kind]  # fmt: skip
    code = fit_cloud_collage(cloud, maps=24, effort=0)
    kept = cloud[np.isfinite(cloud).all(axis=1)]
    scale = np.abs(kept).max()
    attractor = draw(code, 800)
    assert np.isfinite(attractor).all()
    assert compare_clouds(attractor / scale, kept / scale).chamfer < 0.05
    assert bool(code.provenance["notes"]) == (kind == "nan")


def test_outliers_are_left_out_and_named():
    cloud = bumpy(1500, 7)
    cloud[7] = [1e6, 0, 0]
    code = fit_cloud_collage(cloud, maps=24, effort=0)
    assert "1000000.0" in code.provenance["notes"][0]
    assert np.abs(draw(code, 1500)).max() < 3


def test_large_clouds_are_sampled(monkeypatch):
    monkeypatch.setattr("fractalkit.fit.cloud_collage.FITTED_QUICKLY", 500)
    code = fit_cloud_collage(bumpy(2000, 8), maps=2, effort=0)
    assert code.provenance["fitted_points"] == 500 and "sample of 500 of 2,000" in code.provenance["notes"][0]


def test_bad_input():
    for points in (np.zeros((3, 4)), np.full((3, 3), np.nan), np.array([["a", "b"]]), np.zeros((0, 3))):
        with pytest.raises(DataError, match="points"):
            fit_cloud_collage(points)
    with pytest.raises(DataError, match="colours"):
        fit_cloud_collage(np.zeros((3, 3)), colours=np.zeros((2, 3)))
    for options in ({"maps": 0}, {"maps": 65_537}, {"maps": "auto"}, {"effort": 10}):
        with pytest.raises(UsageError):
            fit_cloud_collage(np.zeros((3, 3)), **options)


def test_what_is_too_large_is_fitted_but_not_drawn():
    code = fit_cloud_collage(bumpy(200, 17) * 1e200, maps=4, effort=0)
    with pytest.raises(DataError, match="too large"):
        sample(code, 10)


def test_cells_are_split_at_gaps():
    rng = np.random.default_rng(14)
    x = rng.random((1000, 3)) * [1, 1, 0]
    x[:300, 1] += 1.5  # a gap of half a unit, across the longest axis or not
    cells = Cells(np.ascontiguousarray(x), 3, 2)
    first, second = cells.split(0)
    assert sorted((cells.size(first), cells.size(second))) == [300, 700]
    assert cells.above(second) == [0] and cells.leaves().tolist() == [first, second]
    np.testing.assert_array_equal(cells.points, x[cells.order])


def test_samples_of_a_pool_share_no_sources():
    code = fit_cloud_collage(bumpy(1000, 15), maps=20, effort=0)
    maps = np.concatenate([code.matrices.numpy(), code.offsets.numpy()[..., None]], axis=2)
    graph = Graph(maps, code.domains.numpy(), code.weights.numpy())
    pool = graph.pool(8000, np.random.default_rng(0))
    np.testing.assert_allclose(apply(maps, pool.owner, pool.sources), pool.points)
    sample = pool.thin(np.random.default_rng(0))
    assert abs(len(sample.points) - 1000) < 20
    np.testing.assert_allclose(np.bincount(sample.owner) / 1000, code.weights.numpy(), atol=0.003)
    assert len(np.unique(sample.points, axis=0)) > 0.95 * len(sample.points)


# ---- kernels and their plain twins


def test_a_sweep_draws_from_the_domain_of_each_range():
    rng = np.random.default_rng(16)
    maps, ends, domains = rng.normal(size=(3, 3, 4)), np.array([0, 2, 7, 12]), np.array([[1, 3], [0, 1], [0, 3]])
    x, u = rng.normal(size=(12, 3)), rng.random(12)
    y, source = np.empty_like(x), np.zeros(12, dtype=np.int64)
    sweep(maps, ends, domains, u, x, y, source, True)
    owner = np.repeat([0, 1, 2], np.diff(ends))
    low, high = ends[domains[owner]].T
    np.testing.assert_array_equal(source, low + (u * (high - low)).astype(int))
    drawn = x[source]
    np.testing.assert_allclose(y, np.einsum("nij,nj->ni", maps[owner, :, :3], drawn) + maps[owner, :, 3])


def test_nearest_points_of_all_pairs():
    rng = np.random.default_rng(9)
    y, x = rng.normal(size=(37, 3)), rng.normal(size=(53, 3))
    to, to_d, back, back_d = np.empty(37, int), np.empty(37), np.empty(53, int), np.empty(53)
    nearest_both(y, x, to, to_d, back, back_d)
    d = torch.cdist(torch.from_numpy(y), torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(to, d.argmin(axis=1))
    np.testing.assert_array_equal(back, d.argmin(axis=0))
    np.testing.assert_allclose(to_d, d.min(axis=1) ** 2)
    np.testing.assert_allclose(back_d, d.min(axis=0) ** 2)


def test_orientations():
    rng = np.random.default_rng(10)
    white = rng.normal(size=(3, 30, 3)).astype(np.float32)
    score = np.empty((2, 4 * ANGLES), dtype=np.float32)
    orient(white[0], np.array([1, 2]), white, np.array([1.0, 0.5]), score)
    for k, ratio in ((0, 1.0), (1, 0.5)):
        for o in range(4 * ANGLES):
            angle = 2 * np.pi * (o // 4) / ANGLES
            turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
            y = white[k + 1] * [1, -1 if o // 2 % 2 else 1, -ratio if o % 2 else ratio] @ turn.T
            d = torch.cdist(torch.from_numpy(y), torch.from_numpy(white[0]).double()).numpy() ** 2
            assert score[k, o] == pytest.approx((d.min(axis=0).mean() + d.min(axis=1).mean()) / 2, rel=1e-4)


def test_linear_systems_and_norms():
    rng = np.random.default_rng(11)
    a = rng.normal(size=(12, 12))
    a = a @ a.T + np.eye(12)
    b = rng.normal(size=12)
    x = b.copy()
    assert cholesky_solve(a.copy(), x)
    np.testing.assert_allclose(a @ x, b, atol=1e-9)
    assert not cholesky_solve(-np.eye(12), x)
    m, centre = rng.normal(size=(3, 4)), rng.normal(size=3)
    before = m.copy()
    limit_norm(m, centre, 0.8)
    u, s, vt = np.linalg.svd(before[:, :3])
    np.testing.assert_allclose(m[:, :3], (u * np.minimum(s, 0.8)) @ vt, atol=1e-12)
    np.testing.assert_allclose(m[:, :3] @ centre + m[:, 3], before[:, :3] @ centre + before[:, 3])


def test_axes_of_symmetric_matrices():
    rng = np.random.default_rng(16)
    for scale in ([1, 1, 1], [1, 1e-4, 0], [0, 0, 0]):
        b = rng.normal(size=(3, 3)) * scale
        g, v = b @ b.T, np.empty((3, 3))
        before = g.copy()
        diagonalise(g, v)
        np.testing.assert_allclose(v @ v.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose((v * np.diag(g)) @ v.T, before, atol=1e-12)
        np.testing.assert_allclose(np.sort(np.diag(g)), np.linalg.eigvalsh(before), atol=1e-12)


def test_the_first_pairs_are_the_lowest():
    score = np.random.default_rng(17).random((5, 32)).astype(np.float32)
    flat = [(v, k, o) for k in range(5) for o, v in enumerate(score[k]) if v <= np.sort(score[k])[1]]
    expected = [k * 32 + o for _, k, o in sorted(flat)[:7]]
    assert first_pairs(score.copy(), 7).tolist() == expected


def test_registration_finds_a_known_map():
    rng = np.random.default_rng(12)
    q = rng.random((100, 3)) * [1, 1, 0.2]
    truth = np.concatenate([0.5 * np.linalg.qr(rng.normal(size=(3, 3)))[0], rng.normal(size=(3, 1))], axis=1)
    x = q @ truth[:, :3].T + truth[:, 3]
    m = truth + 0.02 * rng.normal(size=(3, 4))
    error = register(q, x, np.tile(np.eye(3), (100, 1, 1)), 1e-6, m, 30, 0.9, 0.0)
    assert error < 1e-9
    np.testing.assert_allclose(m, truth, atol=1e-8)


def test_distance_of_copies():
    rng = np.random.default_rng(13)
    x = rng.random((40, 3))
    maps = 0.4 * rng.normal(size=(4, 3, 4))
    domains, ends = np.array([[0, 4], [0, 2], [2, 4], [1, 3]]), np.array([0, 10, 20, 25, 40])
    found = gaps(maps, domains, ends, x)
    for k in range(4):
        source = x[ends[domains[k, 0]] : ends[domains[k, 1]]]
        copy = apply(maps, np.full(len(source), k), source)
        np.testing.assert_allclose(copy, source @ maps[k, :, :3].T + maps[k, :, 3])
        d = torch.cdist(torch.from_numpy(copy), torch.from_numpy(x[ends[k] : ends[k + 1]])).numpy()
        assert found[k] == pytest.approx(max(d.min(axis=0).max(), d.min(axis=1).max()) ** 2)


def test_runs_of_leaves_are_domains_too_and_leaves_beside_each_other_touch() -> None:
    x = np.random.default_rng(2).random((3000, 3)) * [1, 1, 0]
    cells = Cells(x, 3, 32)
    while len(cells.leaves()) < 32:
        cells.split(int(max(cells.leaves(), key=cells.size)))
    count = cells.count
    n = cells.add_runs(4)
    runs = cells.bounds[count:]
    assert len(runs) == n and cells.count == count and len(cells.leaves()) == 32
    edges = np.append(cells.bounds[cells.leaves(), 0], len(x))
    ranges = np.searchsorted(edges, runs)
    assert np.array_equal(edges[ranges], runs) and set(np.diff(ranges)[:, 0]) <= {2, 3, 4}
    whole = {tuple(b) for b in cells.bounds[:count].tolist()}
    assert not whole & {tuple(b) for b in runs.tolist()}
    assert np.allclose(cells.mean[count], cells.points[runs[0, 0] : runs[0, 1]].mean(0))
    # in random order neighbours in the list would be about half the square apart
    mean = cells.mean[cells.leaves()]
    assert np.linalg.norm(np.diff(mean, axis=0), axis=1).mean() < 0.3


def test_a_cloud_is_made_of_parts_of_another() -> None:
    rng = np.random.default_rng(0)
    u = rng.normal(size=(1500, 3))
    ball = u / np.linalg.norm(u, axis=1, keepdims=True) + 5
    v = rng.random((1500, 2))
    wave = np.column_stack([v, 0.1 * np.sin(9 * v[:, 0])])
    red = np.tile([0.8, 0.1, 0.1], (1500, 1))
    code = fit_cloud_style(ball, wave, maps=40, style_colours=red, effort=0, seed=1)
    hidden = code.provenance["style_ranges"]
    assert len(code) == hidden + 40 == 104 and code.lipschitz() < 1
    domains = code.domains.numpy()
    assert (domains <= hidden).all()  # all that is copied is of the style
    assert float(code.weights[:hidden].sum()) < 2e-9
    drawn = sample(code, 3000, seed=0, colours=True)
    assert abs(np.linalg.norm(drawn.points.numpy() - 5, axis=1).mean() - 1) < 0.05
    assert drawn.colours is not None and np.abs(drawn.colours.numpy() - red[0]).mean() < 0.05
    own = fit_cloud_style(ball, wave, maps=40, colours=(u > 0) * 0.5, effort=0, seed=1)
    assert own.coloured
    with pytest.raises(DataError, match="dimensions"):
        fit_cloud_style(ball, wave[:, :2], maps=4)
    with pytest.raises(UsageError, match="maps"):
        fit_cloud_style(ball, wave, maps=0)


def test_a_denser_sample_is_drawn_of_smooth_densities_only() -> None:
    rng = np.random.default_rng(3)
    assert smoothing(bumpy(4000, 5), rng) > 0
    knots = np.repeat(rng.random((400, 3)), 10, axis=0) + 1e-3 * rng.normal(size=(4000, 3))
    assert smoothing(knots, rng) == 0.0
    x = bumpy(4000, 5)
    y, origin = Neighbourhoods.of(x).draw(9000, 0.7, rng)
    assert y.shape == (9000, 3) and np.bincount(origin, minlength=4000).min() >= 2
    radius = np.linalg.norm(y - x[origin], axis=1)
    off = abs(np.linalg.norm(y, axis=1) - np.linalg.norm(x[origin], axis=1))
    assert off.mean() < 0.3 * radius.mean()  # along the surface, not across it


def test_ranges_by_default():
    cloud = np.zeros((50_000, 3))
    assert [default_ranges(cloud, effort) for effort in (0, 1, 5)] == [256, 1024, 1024]
    assert default_ranges(cloud[:100], 0) == 64
