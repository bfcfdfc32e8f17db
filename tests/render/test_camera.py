"""The camera: projections in closed form, framing, views, the up axis."""

import numpy as np
import pytest

from fractalkit.errors import UsageError
from fractalkit.render.camera import Camera, facing, guess_up


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


def box(n: int, low: list[float], high: list[float]) -> np.ndarray:
    """Points of the surface of a box."""
    rng = np.random.default_rng(0)
    f = rng.random((n, 3))
    side = rng.integers(0, 3, n)
    f[np.arange(n), side] = np.round(f[np.arange(n), side])
    return np.array(low) + f * (np.array(high) - np.array(low))


def test_a_truck_stands_on_its_wheels() -> None:
    wheels = [box(300, [s * 1.1 - 0.15, 0, z - 0.5], [s * 1.1 + 0.15, 1, z + 0.5]) for s in (-1, 1) for z in (-3, 3)]
    truck = np.concatenate(
        [box(6000, [-1.2, 0.9, -4], [1.2, 3.6, 2]), box(3000, [-1.2, 0.6, 2.2], [1.2, 3, 4]), *wheels]
    )
    assert guess_up(truck) == "y" and guess_up(truck[:, [0, 2, 1]]) == "z"
    # a tall tree is as long, but has no flat side
    rng = np.random.default_rng(2)
    height = rng.uniform(0, 12, 4000)
    crown = rng.normal(size=(4000, 2)) * (0.15 * (12 - height))[:, None] * [1, 0.7]
    assert guess_up(np.c_[crown, height]) == "z"


LETTER = np.concatenate(
    [np.c_[np.zeros(200), np.linspace(0, 2, 200)], np.c_[np.linspace(0, 1, 100), np.full(100, 2.0)]]
)


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1), (1, 2, 0)], ids=["xy", "xz", "yz"])
@pytest.mark.parametrize("turn", [0.0, 25.0])
def test_a_planar_cloud_is_seen_from_in_front_and_upright(axes: tuple[int, int, int], turn: float) -> None:
    x = np.c_[LETTER, 1e-4 * np.random.default_rng(0).normal(size=len(LETTER))]  # right, up, and the depth
    a = np.radians(turn)
    x = x @ np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])  # leaning back
    placed = np.zeros_like(x)
    placed[:, axes] = x * [1, 1, 1 if axes != (0, 2, 1) else -1]
    camera = Camera.frame(placed, up="auto")
    xy, depth = camera.project(placed, (100, 100))
    seen = (xy - xy[0]) / (xy[199, 1] - xy[0, 1]) * 2  # the stem is two high
    assert np.abs(seen - LETTER * [-1, 1]).max() < 0.02 and np.ptp(depth) < 0.01
    assert xy[199, 1] < xy[0, 1]


def test_what_is_not_planar_does_not_face() -> None:
    rng = np.random.default_rng(0)
    assert facing(rng.normal(size=(100, 3))) is None
    assert facing(np.outer(np.arange(50), [1, 2, 3])) is None and facing(np.zeros((9, 3))) is None
    up, azimuth, elevation = facing(LETTER @ np.eye(2, 3))
    assert (up, round(azimuth), round(elevation)) == ("y", 90, 0)
    assert Camera.frame(LETTER @ np.eye(2, 3), up="z").up == "z"
    assert Camera.frame(rng.normal(size=(100, 3)), up="auto", usual="x").up == "x"


def test_refuses() -> None:
    for bad in ({"up": "w"}, {"fov": 0}, {"elevation": 90}, {"distance": 0}, {"distance": float("nan")}):
        with pytest.raises(UsageError):
            Camera(**bad)
