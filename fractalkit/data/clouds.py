"""Reading clouds of every supported format into one form."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from fractalkit.data.columns import RawCloud
from fractalkit.data.writers import CloudWriter, save_cloud
from fractalkit.errors import DataError, UsageError, naming
from fractalkit.lazy import Shown

__all__ = ["READERS", "Cloud", "CloudWriter", "load_cloud", "save_cloud"]


@dataclass
class Cloud(Shown):
    """A point cloud with its attributes.

    Attributes:
        points: ``[N, D]`` float64, finite, D = 2 or 3, in the file's own units.
        colours: ``[N, 3]`` float32 in 0..1, or None.
        normals: ``[N, 3]`` float32, or None (always for sampled surfaces).
        source: path of the file.
        kind: its format, in words.
        triangles: number of triangles in the file; 0 for a cloud.
        comments: comments in the file's header.
        warnings: sentences about what was dropped.
    """

    points: np.ndarray
    colours: np.ndarray | None = None
    normals: np.ndarray | None = None
    source: str = ""
    kind: str = ""
    triangles: int = 0
    comments: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.points)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The points, for functions that take an array."""
        return np.array(self.points, dtype=dtype) if copy else np.asarray(self.points, dtype=dtype)

    def save(self, path: str | Path) -> None:
        """Write points and colours in the format of the suffix, see :func:`fractalkit.data.save_cloud`."""
        from fractalkit.data.writers import save_cloud

        save_cloud(path, self.points, self.colours)

    @property
    def colors(self) -> np.ndarray | None:
        """:attr:`colours`, by its other spelling."""
        return self.colours

    @property
    def dim(self) -> int:
        """Dimension D, 2 or 3."""
        return self.points.shape[1]

    @property
    def up(self) -> str | None:
        """The axis that points up by the convention of the file's format, or None where there is none."""
        kind = self.kind.partition(",")[0].partition(" ")[0]
        return {"GLB": "y", "glTF": "y", "LAS": "z", "LAZ": "z", "E57": "z", "KITTI": "z", "3MF": "z", "STL": "z"}.get(
            kind
        )

    def without(self, points: np.ndarray) -> Cloud:
        """The cloud without the points of these indices."""
        kept = np.delete(np.arange(len(self)), points)
        colours = None if self.colours is None else self.colours[kept]
        normals = None if self.normals is None else self.normals[kept]
        return replace(self, points=self.points[kept], colours=colours, normals=normals)


# Suffix: module and function in fractalkit.data, imported on first use.
READERS = {
    ".ply": "ply.read_ply",
    ".pcd": "pcd.read_pcd",
    **dict.fromkeys((".xyz", ".xyzn", ".xyzrgb", ".pts", ".txt", ".csv"), "text.read_text"),
    ".npy": "arrays.read_npy",
    ".npz": "arrays.read_npz",
    ".obj": "meshes.read_obj",
    ".off": "meshes.read_off",
    ".stl": "meshes.read_stl",
    ".glb": "glb.read_glb",
    ".gltf": "glb.read_gltf",
    ".3mf": "threemf.read_3mf",
    ".las": "las.read_las",
    ".laz": "las.read_las",
    ".e57": "e57.read_e57",
    ".bin": "records.read_kitti",
    ".splat": "records.read_splat",
}
# Suffixes that are not read, and the program that converts such files
CONVERTERS = {
    **dict.fromkeys((".fbx", ".blend", ".dae", ".3ds", ".usd", ".usda", ".usdc", ".usdz", ".x3d"), "Blender"),
    **dict.fromkeys((".rcp", ".rcs"), "Autodesk ReCap"),
    **dict.fromkeys(
        (".ptx", ".pcap", ".dp", ".fls", ".fws", ".zfs", ".zfprj", ".asc", ".neu", ".poly"), "CloudCompare"
    ),
    **dict.fromkeys((".spz", ".ksplat", ".sog"), "splat-transform"),
    **dict.fromkeys((".step", ".stp", ".iges", ".igs", ".brep", ".fcstd"), "FreeCAD"),
    **dict.fromkeys((".vtk", ".vtp", ".vtu"), "ParaView"),
    ".drc": "draco_decoder",
    ".wrl": "MeshLab",
    ".bag": "rosrun pcl_ros bag_to_pcd",
    ".db3": "CloudCompare",
}


def load_cloud(path: str | Path, *, max_points: int = 50_000_000, mesh_samples: int = 200_000, seed: int = 0) -> Cloud:
    """Read a cloud; a mesh is sampled uniformly by area.

    Args:
        path: ply, pcd, xyz, xyzn, xyzrgb, pts, txt, csv, npy, npz, las, laz, e57, bin (KITTI), splat; obj, off, stl,
            glb, gltf, 3mf.
        max_points: refuse files that hold more.
        mesh_samples: number of points to draw if the file holds triangles; 0 returns the vertices.
        seed: seed of that draw.

    Returns:
        The cloud, float64, without the rows that are not finite (a warning counts them). Two columns, or a file
        without z, make a planar cloud.

    Raises:
        DataError: a file that is missing, unsupported, damaged, empty or too large; the message names it and says what
            to do.
    """
    path = Path(path)
    if mesh_samples < 0:
        raise UsageError(f"mesh_samples: expected 0 or more, got {mesh_samples}")
    raw = load_raw(path, max_points=max_points)
    with naming(path), np.errstate(all="ignore"):
        return _finish(raw, path, mesh_samples, seed)


def load_raw(path: Path, *, max_points: int = 50_000_000) -> RawCloud:
    """Read the points and triangles of a file as they are, finite or not; errors as for :func:`load_cloud`."""
    suffix = path.suffix.lower()
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give a file")
    if not path.exists():
        raise DataError(f"{path}: there is no such file; check the name")
    if suffix in CONVERTERS:
        raise DataError(f"{path}: files of the kind {suffix} are not read; {CONVERTERS[suffix]} converts them to PLY")
    if suffix not in READERS:
        kinds = ", ".join(s[1:] for s in READERS)
        raise DataError(f"{path}: the suffix {suffix or '(none)'} is unknown; convert the file to one of {kinds}")
    with naming(path), np.errstate(all="ignore"):  # values that overflow are dropped and counted later
        if not path.stat().st_size:
            raise DataError("is empty (0 bytes); copy or export it again")
        module, _, name = READERS[suffix].partition(".")
        try:
            return getattr(import_module(f"fractalkit.data.{module}"), name)(path, max_points=max_points)
        except MemoryError:
            raise DataError("does not fit into this machine's memory; thin it out first") from None


def _finish(raw: RawCloud, path: Path, mesh_samples: int, seed: int) -> Cloud:
    points, colours, normals = raw.points, raw.colours, raw.normals
    notes = list(raw.warnings)
    finite = np.isfinite(points).all(axis=1)
    if not finite.any():
        raise DataError(f"holds no point with finite coordinates (of {len(points):,}); export it again")
    dropped = len(points) - int(finite.sum())
    if dropped:
        notes.append(f"{dropped:,} of {len(points):,} points had coordinates that are not finite and were dropped")
    triangles = 0 if raw.triangles is None else len(raw.triangles)
    if raw.triangles is not None and triangles and mesh_samples:
        from fractalkit.data.meshes import sample_surface

        points, colours = sample_surface(points, raw.triangles, mesh_samples, colours=colours, seed=seed)
        normals = None
    elif dropped:
        points = points[finite]
        colours = None if colours is None else colours[finite]
        normals = None if normals is None else normals[finite]
    return Cloud(np.ascontiguousarray(points), colours, normals, str(path), raw.kind, triangles, raw.comments, notes)
