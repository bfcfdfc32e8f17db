"""Fit codes to pictures."""

import numpy as np
import pytest
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import DataError, UsageError
from fractalkit.fit import fit_picture, foreground_of
from fractalkit.fit.exchange import exchanged
from fractalkit.fit.image import fit_weights
from fractalkit.fit.picture import as_maps, cloud_of, shrunk
from fractalkit.fit.raster import QUICK, Raster, as_code
from fractalkit.maps.measure import MeasureMap
from fractalkit.orbit import touched_cells


def triangle() -> AffineIFS:
    a = torch.eye(2, dtype=torch.float64).expand(3, 2, 2) * torch.tensor([0.5, 0.45, 0.4])[:, None, None]
    return AffineIFS(a.contiguous(), torch.tensor([[0.05, 0.05], [0.5, 0.08], [0.25, 0.5]], dtype=torch.float64))


def lit(code, n=128):
    return touched_cells(code, (8 * n, 8 * n), np.zeros(2), np.ones(2)).mask(8)


def test_pixels_bring_a_near_code_to_the_true_one():
    true = triangle()
    raster = Raster(lit(true))
    g = np.random.default_rng(0)
    start = as_maps(true)
    start[:, :2, :2] += 0.02 * g.standard_normal((3, 2, 2))
    start[:, :2, 3] += 0.01 * g.standard_normal((3, 2))
    told = []
    found = raster.refine(start, callback=lambda maps, iou: told.append(iou))
    assert raster.draw(start, 8).iou < 0.75 < 0.9 < found.iou
    assert np.abs(found.maps - as_maps(true)).max() < 0.8 / 128 < 3 / 128 < np.abs(start - as_maps(true)).max()
    assert len(told) == 30
    seen = lit(as_code(found.maps))
    assert (seen & raster.lit).sum() / (seen | raster.lit).sum() > 0.9


def test_a_map_that_takes_the_set_the_other_way_round_is_exchanged():
    true = as_maps(triangle())
    raster = Raster(lit(triangle(), 64), cells=2e4)
    points = (np.argwhere(raster.lit)[:, ::-1] + 0.5) * raster.unit
    turn = np.eye(3, 4)[None].copy()  # reflected
    turn[0, 0, 0], turn[0, 0, 3] = -1, 2 * points[:, 0].mean()
    wrong = true.copy()
    wrong[0, :, :3], wrong[0, :, 3] = true[0, :, :3] @ turn[0, :, :3], true[0, :, :3] @ turn[0, :, 3] + true[0, :, 3]
    start = raster.refine(wrong, stages=QUICK)
    others = true[1:] + 0.03 * np.random.default_rng(0).standard_normal((2, 3, 4)) * (np.arange(3) < 2)[:, None]
    found = exchanged(raster, start, others, turn, points, enough=0.97)
    assert start.iou < 0.85 < 0.9 < found.iou
    assert np.abs(found.maps - true).max() < 1.5 / 64 < 0.3 < np.abs(start.maps - true).max()
    assert exchanged(raster, start, others, turn[:0], points, enough=0.97).iou < 0.9


@pytest.mark.slow
def test_a_picture_of_an_attractor_gives_its_code():
    picture = np.flipud(lit(triangle(), 96)).astype(np.uint8) * 255
    code = fit_picture(picture, maps=3, effort=0)
    assert code.provenance["iou"] > 0.9 and code.provenance["kind"] == "set"
    assert sorted(code.norms().tolist()) == pytest.approx([0.4, 0.45, 0.5], abs=0.015)


def test_weights_follow_the_brightness():
    true = AffineIFS(triangle().matrices, triangle().offsets, torch.tensor([0.6, 0.3, 0.1]))
    mu = MeasureMap(true, (48, 48), torch.zeros(2), torch.ones(2)).render()
    found, distance = fit_weights(AffineIFS(true.matrices, true.offsets, torch.ones(3)), mu, side=48)
    assert distance < 0.02
    assert (found.probabilities - true.probabilities).abs().max() < 0.02


def disk(n=80):
    y, x = np.mgrid[:n, :n]
    return (x - n / 2) ** 2 + (y - n / 3) ** 2 < (n / 5) ** 2


def test_the_subject_is_found_on_light_and_dark_grounds_and_by_transparency():
    inside = disk()
    dark = np.where(inside, 40, 230).astype(np.uint8)
    for picture in (dark, 255 - dark, np.repeat(dark[..., None], 3, 2), dark.astype(np.uint16) * 257):
        found = foreground_of(picture)
        assert (found.lit == inside).all() and found.binary and found.colours is None
    assert not foreground_of(dark).light and foreground_of(255 - dark).light
    clear = np.dstack([np.full((80, 80, 3), 128, np.uint8), np.where(inside, 255, 0).astype(np.uint8)])
    assert (foreground_of(clear).lit == inside).all()
    red = np.where(inside[..., None], [200, 30, 20], [250, 250, 250]).astype(np.uint8)
    assert foreground_of(red).colours is not None
    assert (foreground_of(dark, threshold=0.5).lit == inside).all()


def test_a_density_on_black_is_a_measure():
    y, x = np.mgrid[:80, :80]
    blob = 255 * np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / 200)
    found = foreground_of(np.where(blob > 1, blob, 0).astype(np.uint8))
    assert not found.binary
    assert foreground_of(np.where(blob > 1, blob, 0).astype(np.uint8), kind="set").binary


def test_specks_of_a_photograph_are_left_out():
    inside = disk(200)
    g = np.random.default_rng(0)
    photograph = np.where(inside, 60, 220) + g.normal(0, 8, inside.shape)
    photograph[3, 3] = 0
    found = foreground_of(photograph.clip(0, 255).astype(np.uint8))
    assert not found.lit[3, 3] and (found.lit == inside).mean() > 0.999


def test_points_lie_in_the_pixels_of_the_subject():
    picture = np.where(disk()[..., None], [200, 30, 20], [250, 250, 250]).astype(np.uint8)
    subject = foreground_of(picture)
    points, colours = cloud_of(subject, 500, 0)
    cells = (points * 80).astype(int)
    assert disk()[79 - cells[:, 1], cells[:, 0]].all() and len(points) == 500
    assert np.abs(colours - np.array([200, 30, 20]) / 255).max() < 1e-9
    small = shrunk(subject, 40)
    assert small.mass.shape == (40, 40) and abs(small.lit.mean() - disk().mean()) < 0.01


def test_it_refuses_what_has_no_subject():
    with pytest.raises(DataError, match="plain ground"):
        foreground_of(np.zeros((40, 40), np.uint8))
    with pytest.raises(DataError, match="finite samples"):
        foreground_of(np.full((40, 40), np.nan))
    with pytest.raises(DataError, match="at least 8"):
        foreground_of(np.zeros((40, 40, 2), np.uint8))
    assert (foreground_of(disk().astype(np.float32)).lit == disk()).all()
    with pytest.raises(UsageError, match="threshold"):
        foreground_of(np.zeros((40, 40), np.uint8), threshold=2)
    with pytest.raises(UsageError, match="maps"):
        fit_picture(np.zeros((40, 40), np.uint8), maps=0)


def test_what_is_thin_stays_when_it_is_shrunk():
    a = np.full((10, 3000), 255, np.uint8)
    a[4] = 0
    assert shrunk(foreground_of(a), 512).mass.any()
