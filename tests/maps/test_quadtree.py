"""Quadtree maps: reference version against kernel, fixed points at every scale, windows and sizes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fractalkit.codes.quadtree import QuadtreePlane
from fractalkit.core import GaussSeidel, fixed_point, solve
from fractalkit.errors import UsageError
from fractalkit.fit.quadtree import encode
from fractalkit.maps import quadtree as maps
from fractalkit.maps import quadtree_cpu as cpu
from fractalkit.maps import quadtree_proof as proof
from fractalkit.maps.quadtree_picture import decode, plane_at, trace
from fractalkit.raster.colour import doubled, to_rgb
from fractalkit.raster.cosines import slope_cosines
from tests.pictures import psnr, scene


def plane(seed: int = 0, slopes: bool = True, contrast: int = 6) -> QuadtreePlane:
    """A plane of 64 x 64 with leaves of all sizes, maps of all isometries on most of the small ones."""
    rng = np.random.default_rng(seed)
    logs = np.full((16, 16), 5, np.uint8)
    logs[:8, :8] = 4
    logs[:8, 8:] = 3
    logs[8:12, 8:12] = 2
    logs[12:, 8:] = 4
    logs[8:12, 12:] = 4
    level = np.zeros((64, 64), np.int32)
    chosen = np.zeros((16, 16, 4), np.int32)
    for cy in range(16):
        for cx in range(16):
            cells = 1 << (int(logs[cy, cx]) - 2)
            if cy % cells or cx % cells:
                continue
            side = 4 * cells
            level[4 * cy : 4 * cy + side, 4 * cx : 4 * cx + side][:3, :3] = rng.integers(-3, 4, (3, 3))
            if side <= 16 and rng.random() < 0.8:
                chosen[cy, cx] = (
                    1 + rng.integers(contrast) + 8 * rng.integers(2),
                    rng.integers(8),
                    *rng.integers(-9, 9, 2),
                )
    return QuadtreePlane(logs, level, chosen, 61, 64, 9.0, (0.05, 0.03, 0.0), 4, slopes)


@pytest.mark.parametrize("slopes", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernel_is_the_twin(slopes, dtype):
    p = plane(1, slopes)
    m = maps.QuadtreeMap(p, dtype=dtype)
    x = torch.randn(1, 64, 64, dtype=dtype) * 50
    e = maps.explicit(p)
    out = e.copy()
    leaves, contrast = maps.mapped_leaves(p)
    assert set(leaves[:, 3]) == set(range(8)) and len(set(leaves[:, 2])) == 3
    cpu.step(x[0].float().numpy(), e, leaves, contrast, slope_cosines(), float(slopes), out)
    assert np.abs(m.step(x)[0].numpy() - out).max() < 2e-3


def test_the_fixed_point_is_that_of_solve():
    p = plane(2)
    s = solve(maps.QuadtreeMap(p, dtype=torch.float64), tol=1e-6)
    assert s.converged
    assert np.abs(s.value[0].numpy() - maps.solve_plane(p, 1e-3)).max() < 0.02


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slopes", [True, False])
def test_the_proof_holds(seed, slopes):
    m = maps.QuadtreeMap(plane(seed, slopes), dtype=torch.float64)
    l = m.lipschitz()
    g = torch.Generator().manual_seed(seed)
    for _ in range(5):
        x, y = (100 * torch.randn(1, 64, 64, generator=g, dtype=torch.float64) for _ in range(2))
        assert (m.distance(m.step(x), m.step(y)) <= l * m.distance(x, y) * (1 + 1e-9)).all()


@pytest.mark.parametrize("slopes", [True, False])
def test_the_proof_weighs_as_the_kernel_does(slopes, monkeypatch):
    p = plane(4, slopes)
    leaves, contrast = maps.mapped_leaves(p)
    v = 1 + np.random.default_rng(4).random((64, 64))
    by_matrix = proof._weighted(p, leaves, contrast, v)
    monkeypatch.setattr(proof, "LARGEST", 1)
    assert np.allclose(by_matrix, proof._weighted(p, leaves, contrast, v), rtol=1e-12)
    assert by_matrix.max() > 1


def test_every_scale_shows_the_same_picture():
    p = plane(3)
    x = maps.solve_plane(p, 1e-4)[:61]
    for scale in (2, 4):
        fine = plane_at(p, scale)
        assert fine.shape == (61 * scale, 64 * scale)
        assert np.abs(fine.reshape(61, scale, 64, scale).mean((1, 3)) - x).max() < 0.02


def test_deblocking_smooths_steps_and_leaves_edges_alone():
    logs = np.full((4, 8), 4, np.uint8)
    x = np.zeros((16, 32), np.float32)
    x[:, 16:] = 4
    soft, hard = x.copy(), 40 * x
    cpu.deblock(soft, logs, 1, 6.0, 8.0, 16, 32, 0, 0)
    cpu.deblock(hard, logs, 1, 6.0, 8.0, 16, 32, 0, 0)
    assert np.abs(np.diff(soft, axis=1)).max() < 1 and abs(soft.mean() - x.mean()) < 1e-5
    assert (hard == 40 * x).all()


def test_sizes_and_windows():
    a = scene(60, 84)
    code = encode(a, quality=60)
    plain = decode(code)
    assert plain.shape == a.shape
    for h, w in ((1, 1), (30, 42), (59, 85), (240, 336), (7, 300)):
        assert decode(code, h, w).shape == (h, w, 3)
    assert decode(code, width=42).shape == (30, 42, 3)
    small = decode(code, 30, 42).astype(float)
    means = plain.reshape(30, 2, 42, 2, 3).mean((1, 3))
    assert np.abs(small - means).max() < 1.01
    big = decode(code, 240, 336)
    part = decode(code, 240, 336, window=(84, 120, 252, 240))
    assert np.abs(big[120:, 84:252].astype(int) - part).max() <= 1
    for bad in ({"height": 0}, {"window": (30, 0, 20, 9)}, {"height": 1 << 20, "width": 1 << 20}):
        with pytest.raises(UsageError):
            decode(code, **bad)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_window_is_a_part_of_the_whole(scale):
    p = plane(5)
    for deblock in (0, 4):
        whole = plane_at(p, scale, deblock=deblock)
        for box in ((20, 30, 37, 41), (0, 0, 9, 3), (50, 60, 61, 64), (33, 1, 34, 2)):
            y0, x0, y1, x1 = box
            part = plane_at(p, scale, deblock=deblock, box=box)
            assert np.abs(part - whole[y0 * scale : y1 * scale, x0 * scale : x1 * scale]).max() < 2e-3


def test_a_deep_window_takes_little_memory():
    import tracemalloc

    code = encode(scene(256, 256), quality=60)
    tracemalloc.start()
    deep = decode(code, 30000, 30000, window=(15000, 15000, 15300, 15300))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert deep.shape == (300, 300, 3) and peak < 400e6
    assert np.abs(np.diff(deep.astype(int), axis=0)).max() < 40


def test_a_code_that_does_not_contract_still_gives_a_picture():
    p = plane(4, contrast=8)
    wild = p.maps.copy()
    wild[..., 0] = np.where(wild[..., 0] > 0, 8, 0)
    x = maps.solve_plane(replace(p, maps=wild, slopes=False))
    assert np.isfinite(x).all()


def test_trace_runs_from_any_start_to_the_picture():
    a = scene(64, 64)
    code = encode(a, quality=45, effort=6, method="pifs")
    end = decode(code)
    for start in (None, scene(64, 64, seed=9)[::-1].copy()):
        frames = list(trace(code, start, 20))
        assert len(frames) == 21 and psnr(end, frames[-1]) > 38 > psnr(end, frames[0]) + 5
    with pytest.raises(UsageError):
        next(trace(code, a[:32]))


def test_the_middle_grid_of_chroma_keeps_means():
    x = np.random.default_rng(0).normal(size=(9, 7)).astype(np.float32)
    big = doubled(x, 18, 14)
    assert np.abs(big.reshape(9, 2, 7, 2).mean((1, 3)) - x).max() < 1e-6
    assert doubled(x, 17, 13).shape == (17, 13)


@pytest.mark.parametrize(("shape", "channels"), [((1, 1), 3), ((5, 3), 4), ((16, 31), 3)])
def test_compiled_conversions_of_colour_are_those_of_numpy(shape, channels):
    rng = np.random.default_rng(3)
    planes = [rng.normal(0, 90, shape).astype(np.float32) for _ in range(channels)]
    wide = [v.astype(np.float64) for v in planes]
    for depth in (8, 16):
        made, expected = to_rgb(planes, depth), to_rgb(wide, depth)
        assert made.dtype == expected.dtype and made.shape == expected.shape
        assert np.abs(made.astype(int) - expected).max() <= 1 and (made != expected).mean() < 0.02
    for size in ((2 * shape[0], 2 * shape[1]), (2 * shape[0] - 1, 2 * shape[1] - 1), (99, 99)):
        assert np.allclose(doubled(planes[0], *size), doubled(wide[0], *size), atol=1e-4)


def test_levels_become_cosines():
    p = plane(4)
    cosines = maps.dequantised(p)
    first = np.zeros(p.level.shape, bool)
    for y, x, _ in maps.all_leaves(p):
        first[y, x] = True
        side = 1 << int(p.logs[y // 4, x // 4])
        assert y % side == 0 and x % side == 0
    assert np.array_equal(cosines[first], p.level[first].astype(np.float32) * np.float32(p.step))
    a = np.abs(p.level[~first])
    expected = np.maximum(a - np.array([0, *p.shrink])[np.minimum(a, 3)], 0) * np.sign(p.level[~first]) * p.step
    assert np.allclose(cosines[~first], expected, rtol=1e-5)


def test_a_sweep_has_the_same_fixed_point_and_gets_there_sooner():
    m = maps.QuadtreeMap(plane(2), dtype=torch.float64)
    picard = solve(m, residual=1e-4)
    swept = solve(m, solver=GaussSeidel(), residual=1e-4)
    assert picard.converged and swept.converged and swept.steps <= picard.steps
    assert (picard.value - swept.value).abs().max() < 1e-2


@pytest.mark.parametrize("scale", [2, 8])
def test_a_small_window_reads_the_domains_of_its_leaves_only(scale):
    m = maps.QuadtreeMap(plane(5), scale)
    window = (33 * scale, 34 * scale, 35 * scale, 36 * scale)  # within one leaf of four samples
    half = scale // 2
    for coarse, (left, top, right, bottom) in m.needs(window):
        assert coarse.scale == half and (right - left) * (bottom - top) <= (12 * half) ** 2
    part = fixed_point(m, window)
    left, top, right, bottom = window
    assert (part - fixed_point(m)[:, top:bottom, left:right]).abs().max() < 2e-3
    assert len(m.needs(None)) == 1 and m.needs(None)[0][1] == m.coarse().whole()
