"""Strays: what is far from a cloud and what is a part of it, and that a fit does not mind them."""

import numpy as np
import pytest

from fractalkit.codes import preset
from fractalkit.errors import DataError
from fractalkit.fit import fit_cloud, fit_cloud_collage
from fractalkit.fit.strays import strays
from fractalkit.orbit import sample

RNG = np.random.default_rng(0)
BALL = RNG.normal(size=(5000, 3))
DIAGONAL = 2 * 3**0.5 * 1.75  # of its bulk


def away(n: int, x: float) -> np.ndarray:
    return RNG.normal(size=(n, 3)) + np.array([x, 0, 0])


@pytest.mark.parametrize(
    ("others", "found"),
    [
        (np.array([[0, 0, 5 * DIAGONAL]]), True),
        (np.array([[0, 0, DIAGONAL]]), True),  # a lone point is one earlier
        (away(100, 5 * DIAGONAL), True),  # a clump
        (away(100, DIAGONAL), False),  # nearer, a part of the scene
        (away(300, 5 * DIAGONAL), False),  # too many
        (np.linspace([0, 0, 0], [0, 0, 6 * DIAGONAL], 100), False),  # a mast
        (np.array([[1e308, 0, 0], [0, -1e308, 0]]), True),
        (np.array([[np.nan, 0, 0], [np.inf, 0, 0]]), False),
    ],
)
def test_what_is_a_stray(others: np.ndarray, found: bool) -> None:
    wanted = np.arange(5000, 5000 + len(others)) if found else []
    assert strays(np.concatenate([BALL, others])).tolist() == list(wanted)


def test_clouds_without_a_bulk_have_none() -> None:
    for x in (np.zeros((100, 2)), np.zeros((0, 3)), BALL[:49] * 1e9, np.full((60, 3), np.nan)):
        assert not len(strays(x))


@pytest.mark.parametrize("name", ["barnsley-fern", "heighway-dragon", "cantor-dust", "fern-3d"])
def test_attractors_have_none(name: str) -> None:
    assert not len(strays(sample(preset(name), 20_000).points.numpy()))


def test_a_fit_does_not_mind_strays() -> None:
    x = sample(preset("heighway-dragon"), 2000).points.double().numpy()
    both = np.concatenate([x, x[:20] + 1e4])
    code = fit_cloud(both, maps=2, effort=0)
    assert same(code, fit_cloud(x, maps=2, effort=0))
    assert "left out 20 strays, points far from all others: [" in code.provenance["notes"][0]
    collage = fit_cloud_collage(both, maps=16, effort=0)
    assert "20 strays" in collage.provenance["notes"][0] and float(collage.offsets.abs().max()) < 100
    kept = fit_cloud_collage(both, maps=16, effort=0, keep_strays=True)
    assert not kept.provenance["notes"] and kept.provenance["collage_bound"] > 1000


def same(a, b) -> bool:
    return bool((a.matrices == b.matrices).all() and (a.offsets == b.offsets).all())


def test_numbers_of_every_size_end_in_a_sentence() -> None:
    x = np.exp(np.random.default_rng(0).normal(size=(5000, 2)) * 60)  # as of a file read in the wrong byte order
    with pytest.raises(DataError, match="no part of the cloud resembles the whole"):
        fit_cloud(x, maps=4, effort=0)
