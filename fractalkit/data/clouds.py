"""Clouds from files of any usual kind, in one form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fractalkit.data.columns import RawCloud
from fractalkit.data.writers import CloudWriter, save_cloud
from fractalkit.errors import DataError, UsageError

__all__ = ["READERS", "Cloud", "CloudWriter", "load_cloud", "save_cloud"]


@dataclass
class Cloud:
    """Points with what belongs to them.

    Attributes:
        points: ``[N, D]`` float64, finite, D = 2 or 3, in the file's own units.
        colours: ``[N, 3]`` float32 in 0..1, or None.
        normals: ``[N, 3]`` float32, or None (surfaces are sampled without).
        source: the file.
        kind: what it was, in words.
        triangles: how many the file holds; 0 for a cloud.
        comments: of the file's header.
        warnings: sentences about what was left out.
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

    @property
    def dim(self) -> int:
        """D, 2 or 3."""
        return self.points.shape[1]


def _reader(suffix: str) -> Callable[..., RawCloud]:
    """The reader for a suffix, imported when first asked for."""
    module, name = READERS[suffix]
    import importlib

    return getattr(importlib.import_module(f"fractalkit.data.{module}"), name)


READERS = {
    ".ply": ("ply", "read_ply"),
    ".pcd": ("pcd", "read_pcd"),
    **dict.fromkeys((".xyz", ".xyzn", ".xyzrgb", ".pts", ".txt", ".csv"), ("text", "read_text")),
    ".npy": ("arrays", "read_npy"),
    ".npz": ("arrays", "read_npz"),
    ".obj": ("meshes", "read_obj"),
    ".off": ("meshes", "read_off"),
    ".stl": ("meshes", "read_stl"),
    ".glb": ("glb", "read_glb"),
}


def load_cloud(path: str | Path, *, max_points: int = 50_000_000, mesh_samples: int = 200_000, seed: int = 0) -> Cloud:
    """Read a cloud; of a mesh, draw points from its surface, evenly by area.

    Args:
        path: ply, pcd, xyz, xyzn, xyzrgb, pts, txt, csv, npy, npz; obj, off, stl, glb.
        max_points: refuse files that hold more.
        mesh_samples: how many points to draw where the file holds triangles; 0 takes the vertices.
        seed: of that draw.

    Returns:
        The cloud, float64, without the rows that are not finite (a warning counts them). Two columns, or a file
        without z, make a plane cloud.

    Raises:
        DataError: a file that is missing, of another kind, damaged, empty or too large; one sentence that names it and
            says what to do.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give a file")
    if not path.exists():
        raise DataError(f"{path}: there is no such file; check the name")
    if suffix not in READERS:
        kinds = ", ".join(s[1:] for s in READERS)
        raise DataError(f"{path}: the suffix {suffix or '(none)'} is not of a known kind; convert it to one of {kinds}")
    if mesh_samples < 0:
        raise UsageError(f"mesh_samples: expected 0 or more, got {mesh_samples}")
    try:
        if not path.stat().st_size:
            raise DataError("is empty (0 bytes); copy or export it again")
        with np.errstate(all="ignore"):  # coordinates beyond all bounds are dropped and counted below
            raw = _reader(suffix)(path, max_points=max_points)
            return _finish(raw, path, mesh_samples, seed)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check that you may read it") from error
    except MemoryError:
        raise DataError(f"{path}: does not fit into this machine's memory; thin it out first") from None


def _finish(raw: RawCloud, path: Path, mesh_samples: int, seed: int) -> Cloud:
    points, colours, normals = raw.points, raw.colours, raw.normals
    notes: list[str] = []
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
