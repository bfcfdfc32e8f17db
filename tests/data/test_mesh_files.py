"""Meshes into files: our readers and Open3D read the same vertices, triangles and colours."""

from pathlib import Path

import numpy as np
import pytest

from fractalkit.data import Mesh, load_cloud, save_mesh
from fractalkit.data.mesh_files import MESH_SUFFIXES, load_mesh
from fractalkit.data.open3d_io import check_open3d, import_open3d, silent_stdout
from fractalkit.errors import DataError, UsageError


def tetrahedron(coloured: bool = True) -> Mesh:
    rng = np.random.default_rng(4)
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) + rng.random((4, 3)) / 10
    colours = rng.random((4, 3)).astype(np.float32) if coloured else None
    return Mesh(vertices, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]), colours)


@pytest.mark.parametrize("coloured", [True, False])
@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_what_is_written_is_read(tmp_path: Path, suffix: str, coloured: bool) -> None:
    mesh = tetrahedron(coloured)
    save_mesh(tmp_path / f"a{suffix}", mesh, "a comment")
    again = load_mesh(tmp_path / f"a{suffix}")
    assert again.vertices[again.triangles] == pytest.approx(mesh.vertices[mesh.triangles], abs=1e-6)
    if coloured and suffix != ".stl":
        assert again.colours is not None
        # the vertex colours of GLB are linear, the others sRGB
        if suffix != ".glb":
            assert again.colours == pytest.approx(mesh.colours, abs=1 / 255)
    else:
        assert again.colours is None
    assert load_cloud(tmp_path / f"a{suffix}", mesh_samples=100).triangles == 4


@pytest.mark.parametrize("suffix", [".obj", ".stl", ".ply", ".off"])
def test_open3d_reads_the_same_triangles(tmp_path: Path, suffix: str) -> None:
    mesh = tetrahedron()
    save_mesh(tmp_path / f"a{suffix}", mesh)
    o3d = import_open3d()
    with silent_stdout():
        read = o3d.io.read_triangle_mesh(str(tmp_path / f"a{suffix}"))
    assert np.asarray(read.vertices)[np.asarray(read.triangles)] == pytest.approx(
        mesh.vertices[mesh.triangles], abs=1e-6
    )
    if suffix != ".stl":
        assert read.is_watertight() and mesh.colours is not None
        colours = np.asarray(read.vertex_colors)[np.asarray(read.triangles)]
        assert colours == pytest.approx(mesh.colours[mesh.triangles], abs=1 / 255)


def test_a_closed_mesh_is_told_from_an_open_one() -> None:
    mesh = tetrahedron()
    assert mesh.is_closed() and mesh.volume() == pytest.approx(np.linalg.det(mesh.vertices[1:] - mesh.vertices[0]) / 6)
    assert Mesh(mesh.vertices, mesh.triangles[:, ::-1]).volume() == pytest.approx(-mesh.volume())
    assert not Mesh(mesh.vertices, mesh.triangles[:3]).is_closed()
    flipped = mesh.triangles.copy()
    flipped[0] = flipped[0, ::-1]
    assert not Mesh(mesh.vertices, flipped).is_closed()
    assert not Mesh(mesh.vertices, np.concatenate([mesh.triangles, mesh.triangles[:1]])).is_closed()
    assert not Mesh(mesh.vertices, mesh.triangles[:0]).is_closed()


def test_far_from_the_origin_the_shape_is_kept_or_the_format_refused(tmp_path: Path) -> None:
    mesh = tetrahedron()
    far = Mesh(mesh.vertices + 5e6, mesh.triangles)
    for suffix in (".obj", ".ply", ".off"):
        save_mesh(tmp_path / f"a{suffix}", far)
        assert load_mesh(tmp_path / f"a{suffix}").vertices == pytest.approx(far.vertices, abs=1e-4)
    for suffix in (".stl", ".glb"):
        with pytest.raises(UsageError, match="far from the origin"):
            save_mesh(tmp_path / f"a{suffix}", far)
        assert not (tmp_path / f"a{suffix}").exists()


def test_what_is_no_mesh_is_refused(tmp_path: Path) -> None:
    mesh = tetrahedron()
    with pytest.raises(UsageError, match="obj, stl, glb, off, ply"):
        save_mesh(tmp_path / "a.pcd", mesh)
    with pytest.raises(DataError, match="no triangles"):
        save_mesh(tmp_path / "a.obj", Mesh(mesh.vertices, mesh.triangles[:0]))
    with pytest.raises(DataError, match="none of its 4 vertices"):
        Mesh(mesh.vertices, mesh.triangles + 1)
    (tmp_path / "points.obj").write_text("v 0 0 0\n")
    with pytest.raises(DataError, match="holds points only"):
        load_mesh(tmp_path / "points.obj")


def test_without_open3d_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(__import__("sys").modules, "open3d", raising=False)
    with pytest.raises(UsageError, match=r'^a mesh needs Open3D.*pip install "fractalkit\[mesh\]"$'):
        check_open3d("a mesh")
