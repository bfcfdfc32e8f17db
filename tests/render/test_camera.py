"""The camera: projections in closed form, framing, views, the up axis."""

import numpy as np
import pytest

from fractalkit.errors import UsageError
from fractalkit.render.camera import Camera, guess_up


def test_known_points() -> None:
    c = Camera(target=(0, 0, 0), distance=10, azimuth=0, elevation=0, fov=90)
    # from (0, -10, 0) along +y: x goes right, z goes up, the focal length is half the shorter side
    assert np.allclose(c.eye, [0, -10, 0])
    xy, depth = c.project([[1, 0, 0], [0, 0, 1], [0, 10, 0], [2, -5, 3]], (200, 100))
    assert np.allclose(xy, [[105, 50], [100, 45], [100, 50], [100 + 50 * 2 / 5, 50 - 50 * 3 / 5]])
    assert np.allclose(depth, [10, 10, 20, 5])


def test_azimuth_and_elevation() -> None:
    assert np.allclose(Camera(distance=3, azimuth=90, elevation=0).eye, [3, 0, 0])
    e = Camera(distance=2, azimuth=0, elevation=30).eye
    assert np.allclose(e, [0, -2 * np.cos(np.pi / 6), 1])


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_basis_is_a_rotation_and_up_is_up(up: str) -> None:
    c = Camera(azimuth=37, elevation=21, up=up)
    b = c.basis()
    assert np.allclose(b @ b.T, np.eye(3))
    assert np.isclose(np.linalg.det(np.stack([b[0], b[1], -b[2]])), 1)  # right, up, towards the eye: right-handed
    top = np.zeros((1, 3))
    top[0, "xyz".index(up)] = 0.5
    assert c.project(top, (100, 100))[0][0, 1] < 50


@pytest.mark.parametrize("size", [(100, 100), (60, 200), (200, 60)])
def test_frame_holds_the_cloud_and_fills_the_picture(size: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=(2000, 3)) * [1, 0.4, 2] + [5e6, -3, 7]
    x /= 1.0
    inner = x[(np.abs(x - np.median(x, axis=0)) < [2.2, 0.9, 4.4]).all(axis=1)]
    c = Camera.frame(inner, size)
    xy, _ = c.project(inner, size)
    assert (xy >= 0).all() and (xy <= size).all()
    share = (xy.max(axis=0) - xy.min(axis=0)) / size
    assert share.max() > 0.8


def test_frame_forgets_strays() -> None:
    x = np.random.default_rng(0).uniform(size=(5000, 3))
    far = np.concatenate([x, [[500, 500, 500]]])
    assert Camera.frame(far, azimuth=30).distance < 1.3 * Camera.frame(x, azimuth=30).distance


def test_frame_of_few_points() -> None:
    assert Camera.frame(np.zeros((0, 3))).distance > 0
    one = Camera.frame([[1e6, 2, 3]])
    assert np.allclose(one.project([[1e6, 2, 3]], (10, 10))[0], [[5, 5]])


def test_behind_the_eye() -> None:
    xy, depth = Camera(distance=1, elevation=0, azimuth=0).project([[0, -5, 0]], (10, 10))
    assert depth[0] < 0 and np.isnan(xy).all()


def test_guess_up() -> None:
    rng = np.random.default_rng(1)
    flat = rng.uniform(size=(3000, 3)) * [10, 10, 1]
    tower = rng.uniform(size=(3000, 3)) * [1, 1, 9]
    assert guess_up(flat) == "z" and guess_up(tower) == "z"
    assert guess_up(tower[:, [0, 2, 1]]) == "y"


def test_refuses() -> None:
    for bad in ({"up": "w"}, {"fov": 0}, {"elevation": 90}, {"distance": 0}, {"distance": float("nan")}):
        with pytest.raises(UsageError):
            Camera(**bad)
