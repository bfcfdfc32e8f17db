"""Planes whose leaves copy earlier ones: kernels against plain steps, scales, order, and files."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fractalkit import fk
from fractalkit.codec import container
from fractalkit.codes.quadtree import QuadtreePlane
from fractalkit.core import fixed_point, solve
from fractalkit.errors import DataError
from fractalkit.fit.quadtree import EFFORTS, encode
from fractalkit.fit.quadtree_copies import likeness, vectors
from fractalkit.maps.convert import to_map
from fractalkit.maps.quadtree_copies import QuadtreeCopyMap, copied_leaves, ranks
from fractalkit.maps.quadtree_picture import decode, trace
from tests.maps.quadtree_leaves import leaves_at_random
from tests.pictures import psnr, scene


def plane(seed: int = 0, slopes: bool = True) -> QuadtreePlane:
    """A plane of 64 x 64 with leaves of 8 and 16, most of which copy a block drawn at random; not all can."""
    logs = np.full((16, 16), 3, np.uint8)
    logs[8:, 8:] = 4

    def choose(rng, cy, cx):
        return rng.random() < 0.8, 0, *(rng.integers(0, 48, 2) - (4 * cy, 4 * cx))

    level, chosen = leaves_at_random(logs, seed, choose)
    return QuadtreePlane(logs, level, chosen, 61, 64, 9.0, (0.05, 0.03, 0.0), 4, slopes, True)


@pytest.mark.parametrize("slopes", [True, False])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_kernel_is_the_twin(slopes, scale):
    m = QuadtreeCopyMap(plane(1, slopes), scale, dtype=torch.float64)
    assert len(m.leaves) > 10 and len(set(m.leaves[:, 2])) == 2
    x = torch.randn(m.start().shape, dtype=torch.float64) * 50
    assert np.abs(m.step(x)[0].numpy() - m.fast_step(x[0].numpy().astype(np.float32))).max() < 1e-3
    solved = fixed_point(m)
    assert (m.step(solved) - solved).abs().max() < 1e-3
    assert (solve(m, tol=1e-9, max_steps=60).value - solved).abs().max() < 1e-3
    assert torch.equal(fixed_point(m, (8, 4, 40, 60)), solved[:, 4:60, 8:40])


def test_the_means_of_a_finer_grid_are_the_coarse_samples():
    p = plane(2)
    coarse, fine = (fixed_point(QuadtreeCopyMap(p, k))[0] for k in (1, 4))
    assert (fine.reshape(64, 4, 64, 4).mean((1, 3)) - coarse).abs().max() < 1e-3
    assert torch.equal(fixed_point(to_map(p, (256, 256)))[0], fine)


def test_only_blocks_before_a_leaf_are_copied():
    p = plane(3)
    order = ranks(61, 64, (64, 64))
    leaves = copied_leaves(p)
    places = order[leaves[:, 0] // 4, leaves[:, 1] // 4]
    assert (np.diff(places) > 0).all()
    for (_, _, log, yd, xd), place in zip(leaves.tolist(), places, strict=True):
        read = order[yd // 4 : (yd + (1 << log) + 3) // 4, xd // 4 : (xd + (1 << log) + 3) // 4]
        assert (read >= 0).all() and read.max() < place
    wanted = int((p.maps[..., 0] > 0).sum())
    assert 0 < len(leaves) < wanted
    itself = replace(p, maps=np.where(p.maps[..., :1] > 0, np.array([1, 0, 0, 0], np.int32), 0).astype(np.int32))
    assert len(copied_leaves(itself)) == 0


def repeated(noise: float = 1.5) -> np.ndarray:
    """A tile of 40 x 40 repeated, with a little noise on top."""
    rng = np.random.default_rng(0)
    return (np.tile(scene(40, 40, 3), (4, 4, 1)) + rng.normal(0, noise, (160, 160, 3))).clip(0, 255).astype(np.uint8)


def test_repeats_are_copied_and_files_come_back(tmp_path):
    a = repeated()
    code = encode(a, quality=50)
    assert code.settings.copies and (code.planes(0)[0].maps[..., 0] > 0).sum() > 10
    data = code.to_bytes()
    assert data[4] == (3 if any(code.settings.filtered) else 2)  # older readers say that they are too old
    again = fk.load(data)
    for p, q in zip(code.planes(0), again.planes(0), strict=True):
        assert np.array_equal(p.level, q.level) and np.array_equal(p.maps, q.maps) and q.copies
    plain = encode(a, quality=50, effort=replace(EFFORTS[5], maps=(), directions=0))
    assert len(data) < 0.75 * len(plain.to_bytes())
    assert psnr(a, decode(again)) > psnr(a, decode(plain)) - 1.2
    assert plain.to_bytes()[4] == (3 if any(plain.settings.filtered) else 1)


def test_other_sizes_windows_and_iterates():
    code = encode(repeated(), quality=50)
    whole = decode(code, 320, 320).astype(int)
    assert np.abs(decode(code, 320, 320, (100, 60, 260, 210)).astype(int) - whole[60:210, 100:260]).max() <= 1
    assert psnr(decode(code), np.rint(whole.reshape(160, 2, 160, 2, 3).mean((1, 3))).astype(np.uint8)) > 35
    last = list(trace(code, steps=12))[-1]
    assert psnr(decode(code, deblock=False), last) > 40


def test_a_picture_that_does_not_repeat_has_no_copies():
    a = np.random.default_rng(1).integers(0, 256, (96, 96)).astype(np.float64)
    assert likeness(a) < 0.2 and len(vectors(a)) == 0
    assert likeness(np.tile(a[:32, :32], (3, 3))) > 0.9
    assert [-32, 0] in vectors(np.tile(a[:32, :32], (3, 3))).tolist()
    assert not encode(scene(64, 64), quality=50).settings.copies


def test_settings_that_contradict_each_other():
    code = encode(scene(64, 64), quality=50)
    header, segments = container.read(code.to_bytes())
    flags = bytearray(header.settings)
    flags[2] |= 24
    with pytest.raises(DataError, match="contradict"):
        fk.load(container.write(replace(header, settings=bytes(flags)), segments))


def test_far_enlargements_of_a_window_take_bounded_memory(monkeypatch):
    from fractalkit.maps import quadtree_picture

    code = encode(repeated(), quality=50)
    fine = decode(code, 640, 640, (100, 200, 260, 300)).astype(int)
    monkeypatch.setattr(quadtree_picture, "MAX_WHOLE", 160**2)
    coarse = decode(code, 640, 640, (100, 200, 260, 300))
    assert coarse.shape == (100, 160, 3) and np.abs(coarse - fine).mean() < 12
