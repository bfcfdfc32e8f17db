"""Splatting: compiled kernels against their torch versions, and pictures of small clouds."""

import numpy as np
import pytest
import torch

from fractalkit.errors import DataError, UsageError
from fractalkit.render.camera import Camera
from fractalkit.render.splat import backdrop, draw_cloud, spacing, splat, splat_flat
from tests.render import splat_twin


def scene(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-4, 44, size=(n, 2))  # some off the picture
    depth = rng.uniform(-0.2, 5, size=n)  # some behind the eye
    return xy, depth, rng.uniform(0.2, 4, size=n), rng.uniform(size=(n, 3))


@pytest.mark.parametrize("n", [1, 40, 600])
@pytest.mark.parametrize("slab", [0.0, 0.5])
def test_twin_agrees(n: int, slab: float) -> None:
    xy, depth, radius, colour = scene(n, seed=n)
    got = splat(xy, depth, radius, colour, (40, 36), slab)
    want_depth, want_colour = splat_twin.splat(*map(torch.from_numpy, (xy, depth, radius, colour)), (40, 36), slab)
    assert np.array_equal(np.isfinite(got.depth), np.isfinite(want_depth.numpy()))
    held = np.isfinite(got.depth)
    assert np.allclose(got.depth[held], want_depth.numpy()[held], rtol=1e-5)
    assert np.allclose(got.colour, want_colour.numpy(), atol=1e-5)


def test_nearer_disc_hides_the_farther() -> None:
    xy = np.array([[8.0, 8.0], [8.0, 8.0]])
    layers = splat(xy, np.array([2.0, 1.0]), np.array([5.0, 3.0]), np.eye(3)[:2], (16, 16), 0.1)
    assert layers.depth[8, 8] == 1 and layers.colour[8, 8].tolist() == [0, 1, 0]
    assert layers.depth[8, 12] == 2 and layers.colour[8, 12].tolist() == [1, 0, 0]
    assert np.isinf(layers.depth[0, 0])


def test_flat_disc_has_its_area() -> None:
    cover, rgb = splat_flat(np.array([[20.0, 20.0]]), np.array([7.0]), np.array([[0.2, 0.4, 0.6]]), (40, 40))
    assert abs(cover.sum() / (np.pi * 49) - 1) < 0.01
    assert np.allclose(rgb[20, 20], [0.2, 0.4, 0.6], atol=1e-6)


@pytest.mark.parametrize("d", [2, 3])
def test_empty_cloud_is_the_backdrop(d: int) -> None:
    image = draw_cloud(np.zeros((0, d)), size=(30, 20))
    assert image.shape == (20, 30, 3) and image.dtype == np.uint8
    assert int(image.max()) < 80


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_few_points_show(d: int, n: int) -> None:
    x = np.random.default_rng(n).normal(size=(n, d)) + 1e6
    empty = draw_cloud(np.zeros((0, d)), size=(64, 48)).astype(int)
    image = draw_cloud(x, size=(64, 48)).astype(int)
    assert np.abs(image - empty).max() > 30


@pytest.mark.parametrize("d", [2, 3])
def test_duplicates_and_tensors(d: int) -> None:
    assert draw_cloud(torch.ones(50, d), torch.full((50, 3), 0.5), size=(24, 24)).shape == (24, 24, 3)


@pytest.mark.parametrize("background", ["dark", "light"])
def test_deterministic_and_coloured(background: str) -> None:
    x = torch.rand(3000, 3)
    red = torch.tensor([[0.8, 0.1, 0.1]]).expand(3000, 3)
    a = draw_cloud(x, red, size=(64, 64), background=background)
    assert np.array_equal(a, draw_cloud(x, red, size=(64, 64), background=background))
    centre = a[24:40, 24:40].astype(float).mean(axis=(0, 1))
    assert centre[0] > 1.8 * centre[1]


def test_light_comes_from_above() -> None:
    v = np.random.default_rng(0).normal(size=(20_000, 3))
    ball = v / np.linalg.norm(v, axis=1, keepdims=True)
    camera = Camera.frame(ball, (96, 96), azimuth=0, elevation=10)
    image = draw_cloud(ball, np.full_like(ball, 0.6), size=(96, 96), camera=camera).astype(float).sum(axis=2)
    assert image[20:30, 40:50].mean() > 1.5 * image[74:84, 50:60].mean()


def test_every_coordinate_scale_looks_alike() -> None:
    x = np.random.default_rng(0).uniform(size=(2000, 3))
    a = draw_cloud(x, size=(48, 48)).astype(int)
    b = draw_cloud(x * 1000 + [5e6, -4e6, 100], size=(48, 48)).astype(int)
    assert np.abs(a - b).mean() < 2


def test_spacing() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(20.0)] * 2), axis=-1).reshape(-1, 2)
    assert np.isclose(np.median(spacing(grid, 4)), 1)
    assert spacing(np.zeros((1, 3))).tolist() == [0.0]


def test_refuses() -> None:
    x = np.zeros((4, 3))
    x[1, 2] = np.nan
    with pytest.raises(DataError, match="1 of 4 rows"):
        draw_cloud(x)
    with pytest.raises(DataError, match="shape"):
        draw_cloud(np.zeros((4, 5)))
    with pytest.raises(DataError, match="colours"):
        draw_cloud(np.zeros((4, 3)), np.zeros((3, 3)))
    with pytest.raises(DataError, match="colours"):
        draw_cloud(np.zeros((1, 3)), np.full((1, 3), np.inf))
    for options in ({"size": (0, 5)}, {"point_size": 0}, {"background": "pink"}, {"supersample": 0}):
        with pytest.raises(UsageError):
            draw_cloud(np.zeros((1, 3)), **options)


def test_backdrop_is_brightest_behind_the_object() -> None:
    b = backdrop((60, 40), "dark").sum(axis=2)
    assert b[18, 30] > b[0, 0]
