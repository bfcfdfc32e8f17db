"""Tone mapping and palettes."""

import numpy as np
import pytest

from fractalkit.errors import DataError, UsageError
from fractalkit.render.palette import (
    PALETTES,
    distinct,
    from_oklab,
    palette,
    parse_colour,
    to_linear,
    to_oklab,
    to_srgb,
)
from fractalkit.render.tonemap import density, tone_map


def test_density_rises_from_zero_to_one() -> None:
    n = np.arange(200.0)
    t = density(n)
    assert t[0] == 0 and t.max() == 1 and (np.diff(t) >= 0).all() and (np.diff(t[:190]) > 0).all()


def test_density_does_not_depend_on_the_number_of_points() -> None:
    n = np.random.default_rng(0).integers(0, 50, size=(30, 30)).astype(float)
    assert np.allclose(density(n), density(1000 * n))


def test_brightness_and_gamma_lift() -> None:
    n = np.arange(1.0, 50)
    assert (density(n, brightness=4) >= density(n)).all()
    assert (density(n, gamma=3)[:40] > density(n, gamma=2)[:40]).all()


def test_density_of_nothing() -> None:
    assert (density(np.zeros((3, 3))) == 0).all()
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(DataError):
            density(np.array([bad]))
    with pytest.raises(UsageError):
        density(np.ones(3), gamma=0)


@pytest.mark.parametrize("background", ["dark", "light"])
@pytest.mark.parametrize("name", [None, *PALETTES])
def test_denser_is_farther_from_the_background(background: str, name: str | None) -> None:
    counts = np.repeat(np.array([[0.0, 1, 8, 64, 512]]), 5, axis=0)
    image = tone_map(counts, colours=name, background=background).astype(float).mean(axis=2)[2]
    steps = np.diff(image) if background == "dark" else -np.diff(image)
    assert (steps[1:] > 0).all() and steps[0] >= 0  # one visit in five hundred may vanish


def test_colours_come_from_the_sums() -> None:
    counts = np.full((8, 8), 10.0)
    rgb = counts[..., None] * np.array([0.8, 0.1, 0.1])
    image = tone_map(counts, rgb, supersample=2)
    assert image.shape == (4, 4, 3) and (image[..., 0] > 2 * image[..., 1].astype(int)).all()


def test_tone_map_refuses() -> None:
    with pytest.raises(UsageError):
        tone_map(np.ones((5, 4)), supersample=2)
    with pytest.raises(UsageError, match="palette"):
        tone_map(np.ones((4, 4)), colours="fernlihgt")


def test_oklab_round_trip() -> None:
    c = np.random.default_rng(0).uniform(size=(100, 3))
    assert np.allclose(from_oklab(to_oklab(c)), c, atol=1e-9)
    assert np.allclose(to_linear(to_srgb(c)), c, atol=1e-9)


@pytest.mark.parametrize("name", PALETTES)
def test_palettes_rise_in_lightness_and_keep_their_ends(name: str) -> None:
    p = palette(name)
    assert np.allclose(p([-1.0, 0.0]), parse_colour(p.stops[0]), atol=2e-3)
    assert np.allclose(p([1.0, 2.0]), parse_colour(p.stops[-1]), atol=2e-3)
    assert (np.diff(to_oklab(p.linear(np.linspace(0, 1, 64)))[:, 0]) > 0).all()


@pytest.mark.parametrize("k", [1, 2, 5, 10, 20, 64])
def test_distinct(k: int) -> None:
    c = distinct(k, np.random.default_rng(0).normal(size=(k, 3)).tolist())
    assert c.shape == (k, 3) and c.min() >= 0 and c.max() <= 1
    lab = to_oklab(to_linear(c))
    gap = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 9 * np.eye(k)
    assert gap.min() > (0.05 if k <= 10 else 0.004)


def test_parse_colour_refuses() -> None:
    for bad in ("", "#12345", "#gggggg", "red"):
        with pytest.raises(UsageError):
            parse_colour(bad)
