"""Planes whose leaves continue lines: kernels against plain steps, scales, windows, order, and files."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fractalkit import fk
from fractalkit.codec import container
from fractalkit.codec.quadtree_segments import read_planes
from fractalkit.codes.quadtree import DIRECTIONS, QuadtreePlane, Settings, Tile
from fractalkit.core import fixed_point, solve
from fractalkit.errors import DataError
from fractalkit.fit.quadtree import EFFORTS, encode
from fractalkit.maps.quadtree_copies import ranks
from fractalkit.maps.quadtree_directions import QuadtreeDirectionMap, border_places, directed_leaves, weights
from fractalkit.maps.quadtree_picture import decode, mix, trace
from tests.maps.quadtree_leaves import leaves_at_random
from tests.pictures import psnr


def plane(seed: int = 0) -> QuadtreePlane:
    """A plane of 64 x 64 with leaves of 4, 8 and 16, of which most have a direction drawn at random."""
    logs = np.full((16, 16), 3, np.uint8)
    logs[8:, 8:], logs[:4, 4:8] = 4, 2

    def choose(rng, cy, cx):
        return rng.integers(1, len(DIRECTIONS) + 1) if rng.random() < 0.8 else 0, 0, 0, 0

    level, chosen = leaves_at_random(logs, seed, choose)
    return QuadtreePlane(logs, level, chosen, 57, 64, 9.0, (0.05, 0.03, 0.0), 4, False, directed=True)


def test_the_kernel_is_the_twin():
    m = QuadtreeDirectionMap(plane(1), dtype=torch.float64)
    assert len(set(m.directed[:, 2])) == 3 and len(set(m.directed[:, 3])) > 15
    x = torch.randn(m.start().shape, dtype=torch.float64) * 50
    assert np.abs(m.step(x)[0].numpy() - m.fast_step(x[0].numpy().astype(np.float32))).max() < 1e-3
    solved = fixed_point(m)
    assert (m.step(solved) - solved).abs().max() < 1e-3
    assert (solve(m, solver="picard", tol=None, steps=60).value - solved).abs().max() < 1e-3


def test_finer_grids_show_the_same_function():
    p = plane(2)
    coarse, fine = (fixed_point(QuadtreeDirectionMap(p, k))[0] for k in (1, 4))
    assert (fine.reshape(64, 4, 64, 4).mean((1, 3)) - coarse).abs().max() < 1e-2
    assert (fine - coarse.repeat_interleave(4, 0).repeat_interleave(4, 1)).abs().max() > 5
    for window in ((8, 4, 40, 60), (0, 0, 250, 256)):
        left, top, right, bottom = window
        part = fixed_point(QuadtreeDirectionMap(p, 4), window)[0]
        assert (part - fine[top:bottom, left:right]).abs().max() < 1e-2


def test_borders_come_before_their_leaves():
    p = plane(3)
    order = ranks(57, 64, (64, 64))
    leaves = directed_leaves(p)
    places = order[leaves[:, 0] // 4, leaves[:, 1] // 4]
    assert (np.diff(places) > 0).all() and len(leaves) > 20
    for (y, x, log, _), place in zip(leaves.tolist(), places, strict=True):
        at = border_places(order, y, x, 1 << log)
        assert ((at[:, 0] < 0) | (order[at[:, 0] // 4, at[:, 1] // 4] < place)).all()


def test_lines_run_in_their_directions():
    top = np.arange(17.0)  # 0 at the corner
    both = np.concatenate([top, np.zeros(17)])
    made = {d: (weights(3, k) @ both).reshape(8, 8) for k, d in enumerate(DIRECTIONS)}
    assert np.array_equal(made[0, 0], np.tile(top[1:9], (8, 1)))
    assert np.array_equal(made[0, 32][2], top[4:12])
    assert np.array_equal(made[1, 0], np.zeros((8, 8)))
    assert made[1, -32][0, 3] == 3 and made[1, -32][1, 1] == 0
    assert all(np.allclose(weights(4, k).sum(1), 1) and (weights(4, k) >= 0).all() for k in range(len(DIRECTIONS)))


def stripes() -> np.ndarray:
    """Slanted stripes of several widths."""
    y, x = np.mgrid[:128, :128]
    return (128 + 90 * np.sin(0.35 * x + 0.12 * y) * (x > 50) + 60 * np.sign(np.sin(0.2 * x - 0.21 * y))).astype(
        np.uint8
    )


def test_lines_are_continued_and_files_come_back():
    a = stripes()
    effort = replace(EFFORTS[5], maps=())
    code = encode(a, quality=45, effort=effort)
    assert code.settings.directed and (code.planes(0)[0].maps[..., 0] > 0).sum() > 40
    data = code.to_bytes()
    assert data[4] == 4  # older readers say that they are too old
    again = fk.load(data)
    for p, q in zip(code.planes(0), again.planes(0), strict=True):
        assert np.array_equal(p.level, q.level) and np.array_equal(p.maps, q.maps) and q.directed
    plain = encode(a, quality=45, effort=replace(effort, directions=0))
    assert plain.to_bytes()[4] < 4
    assert len(data) < 0.92 * len(plain.to_bytes()) and psnr(a, decode(again)) > psnr(a, decode(plain)) - 0.1
    last = list(trace(code, steps=40))[-1]
    assert psnr(decode(code, deblock=False), last) > 40
    assert psnr(mix(code, plain), a) > 24
    with pytest.raises(DataError, match="contradict"):
        header, segments = container.read(data)
        flags = bytearray(header.settings)
        flags[2] |= 16
        fk.load(container.write(replace(header, settings=bytes(flags)), segments))


def test_any_bytes_decode_to_bounded_values():
    rng = np.random.default_rng(0)
    settings = Settings(900, False, 2, 6, 2, 2, directed=True)
    for n in range(40):
        segments = [rng.integers(0, 256, rng.integers(0, 400), np.uint8).tobytes() for _ in range(3)]
        for p in read_planes(settings, 3, Tile(0, 0, 100, 90), segments):
            assert p.maps.size == 0 or (p.maps[..., 0].min() >= 0 and p.maps[..., 0].max() <= len(DIRECTIONS))
            if n < 8 and p.directed:
                assert torch.isfinite(fixed_point(QuadtreeDirectionMap(p))).all()
