"""Denoising, inpainting and mixing improve on their input."""

import numpy as np
import pytest

from fractalkit.errors import UsageError
from fractalkit.fit.quadtree import encode
from fractalkit.fit.restore import denoise, inpaint, noise_level
from fractalkit.maps.quadtree_picture import decode, mix
from tests.pictures import psnr, scene


@pytest.mark.parametrize("channels", [1, 3])
def test_denoising_gains(channels):
    clean = scene(96, 112, channels)
    noise = np.random.default_rng(1).normal(0, 20, clean.shape)
    noisy = (clean + noise).clip(0, 255).astype(np.uint8)
    assert abs(noise_level(noisy) - 20) < 4
    assert psnr(clean, denoise(noisy)) > psnr(clean, noisy) + 4
    assert psnr(clean, denoise(noisy, 20, shifts=1)) < psnr(clean, denoise(noisy, 20, shifts=6))
    assert (denoise(noisy, 0) == noisy).all()


def test_inpainting_beats_a_smooth_filling():
    from matplotlib import cbook
    from PIL import Image

    from fractalkit.fit.restore import _spread

    with cbook.get_sample_data("grace_hopper.jpg") as f, Image.open(f) as image:
        clean = np.asarray(image)[100:228, 200:328].copy()
    known = np.random.default_rng(2).random(clean.shape[:2]) < 0.5
    known[40:48, 20:60] = False
    hole = np.where(known[..., None], clean, 0).astype(np.uint8)
    got = inpaint(hole, known, rounds=8)
    smooth = _spread(hole.astype(float), known)
    assert (got[known] == clean[known]).all()
    assert psnr(clean, got) > psnr(clean, smooth) + 1
    assert (inpaint(clean, np.ones(clean.shape[:2], bool)) == clean).all()


def test_mixing_maps_is_neither_and_between():
    a, b = (encode(scene(64, 96, seed=s), method="pifs", quality=50) for s in (0, 1))
    c = encode(scene(64, 96, seed=3)[::-1].copy(), method="pifs", quality=50)
    assert psnr(decode(a), mix(a, c, 0.0)) > 40 and psnr(decode(c), mix(a, c, 1.0)) > 40
    half = mix(a, c)
    mean = (decode(a).astype(float) + decode(c)) / 2
    assert 20 < psnr(half, mean) < 45
    split = np.zeros((64, 96))
    split[:, 48:] = 1
    seam = mix(a, c, split)
    assert psnr(decode(a)[:, :16], seam[:, :16]) > psnr(decode(c)[:, :16], seam[:, :16])
    for bad in (1.5, np.full((64, 96), np.nan)):
        with pytest.raises(UsageError):
            mix(a, b, bad)
    with pytest.raises(UsageError):
        mix(a, encode(scene(32, 32)))


def test_bad_arguments():
    a = scene(20, 20)
    for call in (
        lambda: denoise(a, -1), lambda: denoise(a, shifts=0), lambda: inpaint(a, np.ones((4, 4), bool)),
        lambda: inpaint(a, np.zeros((20, 20), bool)), lambda: inpaint(a, np.eye(20, dtype=bool), rounds=0),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            call()
