"""Closed surfaces of clouds: bodies by Poisson reconstruction, the rest by offset; what has none is refused."""

import numpy as np
import pytest

from fractalkit.codes import preset
from fractalkit.data.open3d_io import import_open3d
from fractalkit.errors import DataError, UsageError
from fractalkit.orbit import sample
from fractalkit.render.meshing import surface


def torus(n: int = 20_000) -> np.ndarray:
    u, v = np.random.default_rng(1).random((2, n)) * 2 * np.pi
    r = 2 + 0.7 * np.cos(v)
    return np.stack([r * np.cos(u), r * np.sin(u), 0.7 * np.sin(v)], 1) * 30 + [10, -400, 7]


def test_a_body_comes_back() -> None:
    x = torus()
    mesh = surface(x, detail=64)
    assert mesh.is_closed() and "Poisson" in mesh.notes[0]
    assert mesh.volume() == pytest.approx(2 * np.pi**2 * 2 * 0.7**2 * 30**3, rel=0.05)
    v = (mesh.vertices - [10, -400, 7]) / 30
    off = np.hypot(np.hypot(v[:, 0], v[:, 1]) - 2, v[:, 2]) - 0.7
    assert np.abs(off).max() < 0.06 and np.abs(off).mean() < 0.02
    assert len(mesh.vertices) - len(mesh.triangles) / 2 == 0  # Euler's characteristic of a torus


def test_open3d_finds_it_watertight() -> None:
    o3d = import_open3d()
    mesh = surface(torus(8000), detail=32)
    there = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(mesh.vertices), o3d.utility.Vector3iVector(mesh.triangles.astype(np.int32))
    )
    assert there.is_watertight() and there.is_orientable() and there.get_volume() == pytest.approx(mesh.volume())


@pytest.mark.parametrize("name", ["tree-3d", "menger-sponge", "fern-3d"])
def test_thin_things_get_a_skin(name: str) -> None:
    x = sample(preset(name), 20_000, seed=1).points.numpy()
    mesh = surface(x, detail=64)
    assert mesh.is_closed() and mesh.volume() > 0 and "at " in mesh.notes[0]
    side = np.ptp(x, axis=0).max()
    from scipy.spatial import cKDTree

    distance = cKDTree(x).query(mesh.vertices)[0] / side
    stated = float(mesh.notes[0].split("at ")[1].split("%")[0]) / 100
    assert distance.max() < 1.25 * stated and distance.min() > 0.8 * stated


def test_a_sheet_is_no_body() -> None:
    u, v = np.random.default_rng(2).random((2, 10_000))
    sheet = np.stack([u, v, 0.1 * np.sin(9 * u)], 1)
    mesh = surface(sheet, detail=64)
    assert mesh.is_closed() and "surface at" in mesh.notes[0]


def test_colours_are_those_of_the_nearest_points() -> None:
    x = torus(8000)
    rgb = (x - x.min(0)) / np.ptp(x, axis=0)
    mesh = surface(x, rgb, detail=48)
    assert mesh.colours is not None
    expected = ((mesh.vertices - x.min(0)) / np.ptp(x, axis=0)).clip(0, 1)
    assert np.abs(mesh.colours - expected).mean() < 0.02


def test_methods_can_be_chosen_and_results_do_not_vary() -> None:
    x = torus(8000)
    a, b = surface(x, method="offset", detail=48), surface(x, method="offset", detail=48)
    assert (a.vertices == b.vertices).all() and (a.triangles == b.triangles).all()
    assert a.is_closed() and len(a.vertices) != len(surface(x, detail=48).vertices)


def test_what_has_no_surface_is_refused() -> None:
    rng = np.random.default_rng(3)
    x = rng.random((500, 3))
    for bad, words in (
        (x[:50], "too few"), (x[:, :2], "in the plane"), (x * [1, 1, 0], "one plane"), (x * [1, 0, 0], "one plane"),
        (np.zeros((500, 3)), "one plane"), (np.where(x > 0.99, np.nan, x), "not finite"), (x[0], "expected"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=words):
            surface(bad)
    with pytest.raises(DataError, match="colours"):
        surface(x, x[:10])
    with pytest.raises(UsageError, match="method"):
        surface(x, method="alpha")
    with pytest.raises(UsageError, match="detail"):
        surface(x, detail=5000)


def test_outliers_do_not_exhaust_memory() -> None:
    x = np.concatenate([torus(4000), [[1e6, 0, 0]]])
    assert surface(x, detail=64).is_closed()
