"""What pieces fill of a set of pixels: unions of images on grids, their refinement, and the search by them."""

import numpy as np
import pytest

from fractalkit.fit.picture import as_maps
from fractalkit.fit.set_search import SetSearch, coarser, finest, from_picture, to_picture
from tests.fit.test_picture import lit, triangle


@pytest.fixture(scope="module")
def search():
    return SetSearch(lit(triangle()), effort=0, seed=0)


def overlapping(search):
    """Maps of the triangle, with one of them twice, in the coordinates of the search."""
    maps = as_maps(triangle())
    return from_picture(np.concatenate([maps, maps[:1]]), search.target.subspace)


def test_images_are_told_apart_by_cells(search):
    d = search.density(0.0, filled=True)
    maps = overlapping(search)
    y, sources, letters, first = d._images(maps, d.points, 2)
    images = np.einsum("mij,mj->mi", maps[letters][:, :2, :2], d.points[sources][:, :2]) + maps[letters][:, :2, 3]
    np.testing.assert_allclose(y[:, :2], images, atol=1e-12)
    cells = np.floor((y[:, :2] - d.low) / (2 * d.cell)).astype(int)
    for k in range(4):
        some = d.points @ maps[k, :, :3].T + maps[k, :, 3]
        all_cells = np.unique(np.floor((some[:, :2] - d.low) / (2 * d.cell)).astype(int), axis=0)
        assert (np.unique(cells[letters == k], axis=0) == all_cells).all()
        assert (letters == k).sum() == len(all_cells)
    assert not first[letters == 3].any() and first[letters == 0].all()
    assert first.sum() == len(np.unique(cells, axis=0)) == len(d._images(maps, d.points, 2)[0][first])


def test_a_piece_that_others_cover_changes_nothing(search):
    d = search.density(0.0, filled=True)
    maps = overlapping(search)
    gaps = [
        d._compared(m, np.ones(len(m)), d.levels[0], *d._union(m, d.levels[0], 2)).distance for m in (maps, maps[:3])
    ]
    assert gaps[0] == gaps[1] < 3 * d.levels[0].floor
    level = d.levels[1]
    psi = d.pieces(maps, d.points, level)
    three = d.joined(psi[:3], np.ones(3), level)
    np.testing.assert_allclose(d.joined(psi, np.ones(4), level), three, atol=0.15 * level.mass.max())
    assert (d.room(three, level) * psi[3]).sum() < 0.3 * psi[3].sum()
    # moving it inwards does not help, so the derivative by it is small
    slopes = np.abs(d._derivative(maps, d._union(maps, level, 1)[1], level)).sum(axis=0).reshape(4, 7)
    assert slopes[3].sum() < 0.5 * slopes[1].sum()


def test_what_is_filled_leads_back_to_the_truth(search):
    d = search.density(0.0, filled=True)
    true = from_picture(as_maps(triangle()), search.target.subspace)
    g = np.random.default_rng(1)
    off = true.copy()
    off[:, :2, :2] += 0.05 * g.standard_normal((3, 2, 2))
    off[:, :2, 3] += 0.03 * g.standard_normal((3, 2))
    found, _, _ = d.refine(off, np.full(3, 1 / 3), levels=(0, 1), steps=12, depth=6)
    assert np.abs(off - true).max() > 0.06 > 0.01 > np.abs(found - true).max()


def test_coordinates_and_blocks(search):
    maps = as_maps(triangle())
    space = search.target.subspace
    np.testing.assert_allclose(from_picture(to_picture(maps, space), space), maps, atol=1e-12)
    mask = np.zeros((100, 70), bool)
    mask[99, 69] = True
    blocks, unit = coarser(mask, 40)
    assert blocks.shape == (34, 24) and blocks.sum() == 1 and blocks[33, 23] and unit == pytest.approx(0.03)
    assert finest(np.ones((20, 20), bool), 100)[0].shape == (10, 10)


@pytest.mark.slow
def test_a_set_gives_the_fewest_maps():
    search = SetSearch(lit(triangle()), effort=2, seed=0)
    found, rule = search.auto()
    assert len(found.maps) == 3 and found.iou > 0.9 and "fewest" in rule
    true = from_picture(as_maps(triangle()), search.target.subspace)
    gap = np.abs(search.self_maps(0.0)[:, None] - true).max(axis=(2, 3))
    assert (gap.min(axis=0) < 0.03).all()
