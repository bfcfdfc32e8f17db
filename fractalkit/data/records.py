"""Clouds as bare records without a header: Velodyne scans of the KITTI data set, and Gaussian splats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fractalkit.data.columns import OPAQUE, RawCloud, check_count, keep_points
from fractalkit.errors import DataError

_SPLAT = np.dtype([("place", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("turn", "u1", 4)])
_REACH = 1e4  # metres; no lidar measures as far


def read_kitti(path: Path, *, max_points: int) -> RawCloud:
    """Read x, y, z and reflectance as float32 (Geiger et al., *Vision meets robotics: the KITTI dataset*, 2013).

    Raises:
        DataError: a size that is no multiple of 16 bytes, or numbers that are no scan's; the caller adds the file's
            name.
    """
    table = _records(path, np.dtype("<f4, <f4, <f4, <f4"), max_points, "a scan of KITTI").view("<f4").reshape(-1, 4)
    size = np.abs(table[:, :3])
    if float((size < _REACH).mean()) < 0.9 or not bool((size > 1e-3).any()):
        raise DataError("is not a scan of KITTI: its numbers are no distances in metres; check what the file really is")
    return RawCloud(table[:, :3].astype(np.float64), kind="KITTI scan")


def read_splat(path: Path, *, max_points: int) -> RawCloud:
    """Read the centres and colours of Gaussian splats, 32 bytes each, without those of an opacity below 0.1.

    Raises:
        DataError: a size that is no multiple of 32 bytes; the caller adds the file's name.
    """
    table = _records(path, _SPLAT, max_points, "a file of splats")
    rgba = table["rgba"].astype(np.float32) / 255
    raw = RawCloud(table["place"].astype(np.float64), rgba[:, :3], kind="Gaussian splats")
    seen = rgba[:, 3] >= OPAQUE
    if seen.any() and not seen.all():
        keep_points(raw, seen, f"splats have an opacity below {OPAQUE:g}")
    return raw


def _records(path: Path, row: np.dtype, max_points: int, what: str) -> np.ndarray:
    """The records of a file of whole ones."""
    count, rest = divmod(path.stat().st_size, row.itemsize)
    if rest:
        raise DataError(
            f"is not {what}: its size is no multiple of {row.itemsize} bytes; check what the file really is"
        )
    check_count(count, max_points)
    return np.fromfile(path, row)
