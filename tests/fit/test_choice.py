"""The choice of a codec by trial."""

import numpy as np
import pytest

from fractalkit import fk
from fractalkit.codes.copies import CopyCode
from fractalkit.codes.quadtree import QuadtreeCode
from fractalkit.fit.choice import repeated
from fractalkit.fit.colours import MANY, merging
from fractalkit.fit.quadtree import encode, squared_error
from tests.codec.test_lossless import glyphs
from tests.pictures import psnr, scene


def soft_page() -> np.ndarray:
    """A page whose glyphs are each a little different, as those that stand between pixels."""
    page = glyphs(160, 160).astype(np.int64)
    noise = np.random.default_rng(3).integers(-6, 7, page.shape)
    return np.where(page < 255, np.clip(page + noise, 0, 240), 255).astype(np.uint8)


def test_text_is_kept_without_loss_and_photographs_are_not():
    page = glyphs(160, 160)
    code = fk.encode(page)
    assert isinstance(code, CopyCode) and np.array_equal(fk.decode(code), page)
    assert isinstance(fk.encode(scene(64, 64)), QuadtreeCode)


@pytest.mark.parametrize("target", ["bytes", "bpp"])
def test_a_size_is_kept(target):
    page = glyphs(160, 160)
    exact = len(fk.encode(page, method="lossless").to_bytes())
    for size in (exact, exact * 2 // 3):
        code = fk.encode(page, effort=1, **{target: size if target == "bytes" else 8 * size / page.size})
        assert isinstance(code, CopyCode) == (size == exact) and len(code.to_bytes()) <= 1.04 * size


def test_a_page_that_does_not_fit_is_shown_in_fewer_colours():
    page = soft_page()
    exact = len(fk.encode(page, method="lossless").to_bytes())
    code = fk.encode(page, bytes=exact // 2, effort=1)
    assert isinstance(code, CopyCode) and len(code.to_bytes()) <= exact // 2
    shown = psnr(page, fk.decode(code))
    assert shown > psnr(page, fk.decode(encode(page, bytes=exact // 2, effort=1))) + 6
    again = fk.encode(page, psnr=shown - 0.1, effort=1)
    assert isinstance(again, CopyCode) and psnr(page, fk.decode(again)) > shown - 0.2


def test_colours_are_merged_where_it_costs_least():
    a = np.repeat(np.array([[0, 4, 5, 250, 255]], np.uint8), [40, 2, 2, 3, 50], 1)
    found = merging(a)
    assert set(found.picture(3)[0]) == {0, 4, 255} or set(found.picture(3)[0]) == {0, 5, 255}
    for colour in (scene(24, 30, 3), scene(60, 60, 4, deep=True)):
        found = merging(colour)
        assert len(found.counts) <= MANY
        for n in (2, 9, 40):
            shown = found.picture(n)
            assert len(np.unique(shown.reshape(-1, shown.shape[2]), axis=0)) <= n
            real = ((shown.astype(float) - colour) ** 2).sum()
            assert real == pytest.approx(found.error(n), rel=0.01, abs=shown.size)


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
