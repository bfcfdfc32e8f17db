"""Open3D's window: a cloud or a mesh to turn with the mouse."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from fractalkit.data.clouds import load_cloud
from fractalkit.data.mesh_files import load_mesh
from fractalkit.data.open3d_io import check_open3d, import_open3d
from fractalkit.errors import UsageError

MOST_POINTS = 2_000_000
_BACKGROUND = (0.055, 0.06, 0.075)
_NO_SCREEN = "a window needs a screen, and this machine shows none; open the file elsewhere"


def check_screen(what: str) -> None:
    """Raise a UsageError, which begins with ``what``, without Open3D or without a screen; call it before the work."""
    check_open3d(f"{what}: a window")
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageError(f"{what}: {_NO_SCREEN}")


def show_file(path: str | Path, *, mesh: bool = False) -> None:
    """Show a cloud, of which at most 2,000,000 points are drawn, or a mesh, until its window is closed.

    Raises:
        UsageError: Open3D is not installed, or no window can be opened.
        DataError: the file cannot be read.
    """
    check_screen(str(path))
    o3d = import_open3d("a window")
    geometry = _mesh(o3d, path) if mesh else _cloud(o3d, path)
    viewer = o3d.visualization.Visualizer()
    try:
        if not viewer.create_window(window_name=Path(path).name, width=1280, height=960):
            raise UsageError(f"{path}: {_NO_SCREEN}")
        viewer.add_geometry(geometry)
        viewer.get_render_option().background_color = np.array(_BACKGROUND)
        viewer.get_render_option().point_size = 1.5
        viewer.run()
    finally:
        viewer.destroy_window()


def _mesh(o3d, path):  # type: ignore[no-untyped-def]
    mesh = load_mesh(path)
    shown = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(mesh.vertices), o3d.utility.Vector3iVector(mesh.triangles.astype(np.int32))
    )
    shown.compute_vertex_normals()
    if mesh.colours is not None:
        shown.vertex_colors = o3d.utility.Vector3dVector(mesh.colours.astype(np.float64))
    return shown


def _cloud(o3d, path):  # type: ignore[no-untyped-def]
    cloud = load_cloud(path)
    points, rgb = cloud.points, cloud.colours
    if len(points) > MOST_POINTS:
        some = np.random.default_rng(0).choice(len(points), MOST_POINTS, replace=False)
        points, rgb = points[some], None if rgb is None else rgb[some]
    if points.shape[1] == 2:
        points = np.concatenate([points, np.zeros((len(points), 1))], axis=1)
    shown = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    if rgb is None:
        height = points[:, int(np.ptp(points, axis=0).argmax())]
        share = ((height - height.min()) / (np.ptp(height) or 1.0))[:, None]
        rgb = (1 - share) * np.array([0.36, 0.55, 0.85]) + share * np.array([0.98, 0.82, 0.55])
    shown.colors = o3d.utility.Vector3dVector(np.asarray(rgb, dtype=np.float64))
    return shown
