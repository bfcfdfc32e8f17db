"""The encoder: every kind of picture, targets, determinism, and gains of its options."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fractalkit.codec.quadtree_syntax import scan
from fractalkit.codes.quadtree import QuadtreeCode
from fractalkit.errors import UsageError
from fractalkit.fit import quadtree as fit
from fractalkit.fit import quadtree_rate as rate
from fractalkit.fit import quadtree_rd as rd
from fractalkit.fit.quadtree import EFFORTS, encode
from fractalkit.fit.quadtree_search import features, search, turned
from fractalkit.maps.quadtree import mapped_leaves
from fractalkit.maps.quadtree_picture import decode
from fractalkit.maps.quadtree_proof import certificate
from tests.pictures import psnr, scene

CASES = [
    (scene(1, 1), 20), (scene(1, 50, 1), 26), (scene(50, 1), 26), (scene(3, 5, 4), 24), (scene(65, 33, 1), 30),
    (scene(40, 70), 30), (scene(40, 70, 4), 30), (scene(33, 47, 1, deep=True), 30), (scene(48, 40, 3, deep=True), 30),
    (scene(48, 40, 4, deep=True), 30),
    (np.full((64, 64), 7, np.uint8), 60), (np.zeros((20, 20, 3), np.uint8), 60),
    (np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8), 12),
]  # fmt: skip


@pytest.mark.parametrize(
    ("a", "least"), CASES, ids=lambda v: "x".join(map(str, v.shape)) if hasattr(v, "shape") else ""
)
@pytest.mark.parametrize("effort", [1, 6])
def test_every_kind_of_picture(a, least, effort):
    code = encode(a, quality=55, effort=effort)
    b = decode(QuadtreeCode.from_bytes(code.to_bytes()))
    assert b.shape == a.shape and b.dtype == a.dtype
    assert psnr(a, b) > least


def test_better_quality_costs_more_and_shows_it():
    a = scene(96, 128)
    sizes, quality = [], []
    for q in (20, 35, 50, 65, 80, 95):
        code = encode(a, quality=q, effort=1)
        sizes.append(len(code.to_bytes()))
        quality.append(psnr(a, decode(code)))
    assert sizes == sorted(sizes) and quality == sorted(quality) and quality[-1] > 45


@pytest.mark.parametrize("target", [{"bpp": 0.4}, {"bpp": 1.5}, {"bytes": 3000}, {"psnr": 33.0}, {"psnr": 42.0}])
def test_targets_are_met_within_two_per_cent(target):
    a = scene(160, 192)
    code = encode(a, **target)
    size = len(code.to_bytes())
    if "psnr" in target:
        assert abs(psnr(a, decode(code)) - target["psnr"]) < 0.02 * target["psnr"] * 0.3
    else:
        want = target.get("bytes", target.get("bpp", 0) * a.shape[0] * a.shape[1] / 8)
        assert abs(size / want - 1) < 0.02


@pytest.mark.parametrize("deep", [False, True])
def test_sizes_are_known_about_before_anything_is_encoded(deep):
    a = scene(128, 128, deep=deep)
    code = encode(a, quality=45)
    bits = 8 * len(code.to_bytes()) / a[..., 0].size
    planes = [(p.cosines, p.chroma) for p in _encoder_of(a, deep).planes]
    step, slope = rate.likely_step(rate.magnitudes(planes), a[..., 0].size, bits)
    assert abs(step - code.settings.step) < 128  # an octave
    assert -1.5 / 128 <= slope <= -0.4 / 128


def _encoder_of(a, deep):
    return fit._Encoder(a, 16 if deep else 8, True, EFFORTS[5], None, {}, 1, "cpu", False, None)._encoder(0)


def test_rates_begin_as_they_are_in_other_pictures():
    finest, usual, coarsest = (rd.Rates.start(step, False) for step in (1 / 64, 20.0, 5000.0))
    for rates in (finest, usual, coarsest):
        assert rates.level.shape == (rd.SIZES, 9, 8, rd.LEVELS) and (rates.level >= 0).all()
        assert np.allclose((2.0 ** -rates.split[3:]).sum(-1), 1, atol=0.05)
    zero = [rates.level[:, 0, :, 0].mean() for rates in (coarsest, usual, finest)]
    assert zero == sorted(zero)  # zeros among zeros are cheap where steps are large
    assert not np.array_equal(usual.last, rd.Rates.start(20.0, True).last)


def test_the_same_bytes_whatever_the_threads():
    a = scene(150, 170)
    made = [encode(a, bpp=0.5, threads=n).to_bytes() for n in (1, 2)]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        made.append(encode(a, bpp=0.5, threads=1).to_bytes())
    finally:
        torch.set_num_threads(before)
    assert made[0] == made[1] == made[2]


def test_tiles_are_coded_alone_and_fit_together(monkeypatch):
    a = scene(200, 150)
    whole = encode(a, quality=50)
    settings = fit.Settings
    monkeypatch.setattr(fit, "Settings", lambda *v, **k: replace(settings(*v, **k), tile=64))
    tiled = encode(a, quality=50)
    assert len(tiled.tiles) == 12 and len(whole.tiles) == 1
    b = decode(QuadtreeCode.from_bytes(tiled.to_bytes()))
    assert psnr(a, b) > psnr(a, decode(whole)) - 0.6
    assert len(tiled.to_bytes()) < 1.35 * len(whole.to_bytes())
    told = []
    aimed = encode(a, bpp=1.0, effort=1, callback=told.append)  # on some tiles first
    assert abs(len(aimed.to_bytes()) * 8 / (200 * 150) - 1) < 0.02
    assert told[-1] == 1.0 and all(0 < v <= 1 for v in told)


def test_maps_pay_where_there_are_no_cosines():
    a = scene(128, 128, 1)
    base = replace(EFFORTS[5], reach=1, maps=(2, 3, 4), grid=2, directions=0)
    with_maps, without = encode(a, bpp=0.8, effort=base), encode(a, bpp=0.8, effort=replace(base, maps=()))
    assert sum(len(mapped_leaves(p)[0]) for p in with_maps.planes(0)) > 10
    assert psnr(a, decode(with_maps)) > psnr(a, decode(without)) + 0.3


def test_every_map_is_proved_to_contract():
    for options in ({"effort": replace(EFFORTS[6], directions=0)}, {"method": "pifs", "quality": 30}):
        for p in encode(scene(96, 96), **options).planes(0):
            assert certificate(p, *mapped_leaves(p))[1] < 1


def test_the_plain_pifs_is_maps_only():
    code = encode(scene(64, 96), method="pifs", quality=50)
    for p in code.planes(0):
        inside = p.logs > 0
        assert (p.logs[inside] == 3).all()
        level = p.level.copy()
        level[::8, ::8] = 0
        assert not level.any()
    assert psnr(scene(64, 96), decode(code)) > 22
    with pytest.raises(UsageError, match="quality"):
        encode(scene(64, 96), method="pifs", bpp=0.5)


def test_the_search_finds_turned_copies():
    rng = np.random.default_rng(0)
    for log in (2, 3, 4):
        order = features(log, 12)
        side = 1 << log
        d = rng.normal(size=(50, side, side))
        k = np.arange(side)
        odd = np.where(k % 2, -1.0, 1.0)
        keep = np.zeros((side, side), bool)
        keep[order[:, 0], order[:, 1]] = True
        d *= keep
        want, iso = rng.integers(0, 50, 40), rng.integers(0, 8, 40)
        r = d[want].copy()
        r = np.where((iso & 1)[:, None, None] > 0, r * odd[:, None], r)
        r = np.where((iso & 2)[:, None, None] > 0, r * odd[None, :], r)
        r = np.where((iso & 4)[:, None, None] > 0, r.transpose(0, 2, 1), r) * -0.7
        flat = d[:, order[:, 0], order[:, 1]]
        found, turn = search(r[:, order[:, 0], order[:, 1]], flat, np.sqrt((flat**2).sum(1)), order, 8, "cpu")
        assert (found == want).all() and (turn == iso).all()


def test_turning_twice_by_a_flip_is_nothing():
    order = features(3, 10)
    f = np.random.default_rng(1).normal(size=(5, len(order)))
    for iso in (0, 1, 2, 3, 4):
        assert np.allclose(turned(turned(f, order, iso), order, iso), f)


def test_the_transform_is_exact_and_orthonormal():
    a = scene(64, 64, 1).astype(np.float64)
    for log in range(2, 7):
        c = fit.transform(a, log, 8).astype(np.float64)
        side = 1 << log
        m = fit.block_cosines(side)
        back = m @ c.reshape(64 // side, side, 64 // side, side).transpose(0, 2, 1, 3) @ m.T
        assert np.abs(back.transpose(0, 2, 1, 3).reshape(64, 64) - a).max() < 0.02
        assert len(scan(log)) == side * side


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 0}, {"quality": 101}, {"bpp": -1}, {"bpp": float("nan")}, {"bpp": 1, "psnr": 30}, {"effort": 10},
        {"method": "jpeg"}, {"chroma": "quarter"}, {"metadata": {"gps": b""}}, {"bytes": 20}, {"psnr": 90},
    ],
)  # fmt: skip
def test_bad_options(options):
    with pytest.raises(UsageError):
        encode(scene(40, 40), **options)


@pytest.mark.parametrize(
    "a", [np.zeros((4, 4)), np.zeros((0, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)]
)
def test_bad_pictures(a):
    with pytest.raises(UsageError):
        encode(a)


def test_tuned_for_the_eye_errors_move_from_flat_regions_to_texture():
    rng = np.random.default_rng(0)
    y, x = np.indices((128, 256))
    flat = 120 + 4 * np.sin(y / 9) + 4 * np.cos(x / 7)
    picture = np.where(x < 128, flat, flat + 40 * rng.normal(size=flat.shape)).clip(0, 255).astype(np.uint8)
    errors = {}
    for tune in ("psnr", "eye"):
        code = encode(picture, bpp=0.5, effort=1, tune=tune)
        e = (decode(code).astype(float) - picture) ** 2
        errors[tune] = e[:, :120].mean(), e[:, 136:].mean()
    assert errors["eye"][0] < 0.9 * errors["psnr"][0] and errors["eye"][1] > errors["psnr"][1]
    with pytest.raises(UsageError, match="tune"):
        encode(picture, tune="nose")
    with pytest.raises(UsageError, match="tune"):
        encode(picture, method="pifs", tune="eye")
