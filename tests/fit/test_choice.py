"""The choice of a codec by trial."""

import numpy as np
import pytest

from fractalkit import fk
from fractalkit.codes.copies import CopyCode
from fractalkit.codes.quadtree import QuadtreeCode
from fractalkit.fit.choice import repeated
from fractalkit.fit.quadtree import encode, squared_error
from tests.codec.test_lossless import glyphs
from tests.pictures import psnr, scene


def test_text_is_kept_without_loss_and_photographs_are_not():
    page = glyphs(160, 160)
    code = fk.encode(page)
    assert isinstance(code, CopyCode) and np.array_equal(fk.decode(code), page)
    assert isinstance(fk.encode(scene(64, 64)), QuadtreeCode)


@pytest.mark.parametrize("target", ["bytes", "bpp"])
def test_a_size_is_kept(target):
    page = glyphs(160, 160)
    exact = len(fk.encode(page, method="lossless").to_bytes())
    for size, kind in ((exact, CopyCode), (exact * 2 // 3, QuadtreeCode)):
        code = fk.encode(page, effort=1, **{target: size if target == "bytes" else 8 * size / page.size})
        assert isinstance(code, kind) and len(code.to_bytes()) <= 1.04 * size


def test_the_smaller_file_of_a_psnr_is_taken():
    page = glyphs(160, 160)
    assert isinstance(fk.encode(page, psnr=35, effort=1), CopyCode)
    noisy = np.random.default_rng(0).integers(100, 104, (64, 64)).astype(np.uint8)
    assert repeated(np.tile(noisy, (1, 2))) > 0.9
    assert isinstance(fk.encode(np.tile(noisy, (1, 2)), psnr=30, effort=1), QuadtreeCode)


def test_repeated_patches():
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (32, 40, 3)).astype(np.uint8)
    assert repeated(noise) == 0
    assert repeated(np.concatenate([noise, noise])) > 0.9
    assert repeated(np.concatenate([noise, 255 - noise])) == 0
    assert repeated(noise[:1]) == 1


def test_full_chroma_is_tried_where_half_costs_much():
    rng = np.random.default_rng(2)
    dots = np.where(rng.random((96, 96, 1)) < 0.5, (250, 20, 40), (30, 120, 240)).astype(np.uint8)
    smooth = np.stack([scene(96, 96, 1)] * 3, -1)
    for a, full in ((dots, True), (smooth, False)):
        code = encode(a, quality=50, effort=1)
        assert code.settings.half is not full
    half, auto = (encode(dots, bpp=1.8, effort=1, chroma=c) for c in ("half", "auto"))
    assert squared_error(auto, dots) < 0.6 * squared_error(half, dots)
    assert psnr(dots, fk.decode(encode(dots, psnr=30, effort=1))) > 29.5
