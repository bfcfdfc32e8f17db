"""E57 (ASTM E2807), the exchange format of terrestrial scanners, by pye57 (libE57Format)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fractalkit.data.columns import RawCloud, check_count, unit_colours
from fractalkit.errors import DataError, UsageError, first_line

MISSING = 'E57 files need pye57, which is not installed; pip install "fractalkit[scan]", or CloudCompare writes LAS'
_PIECE = 1 << 18  # points that are read at a time
_CARTESIAN = ("cartesianX", "cartesianY", "cartesianZ")
_SPHERICAL = ("sphericalRange", "sphericalAzimuth", "sphericalElevation")
_COLOURS = ("colorRed", "colorGreen", "colorBlue")
_INVALID = ("cartesianInvalidState", "sphericalInvalidState")


def read_e57(path: Path, *, max_points: int) -> RawCloud:
    """Read the valid points of all scans, each by its pose in the common frame, and colours if every scan has them.

    Raises:
        DataError: a damaged file, no points, or too many; the caller adds the file's name.
        UsageError: pye57 is not installed.
    """
    try:
        import pye57
    except ImportError:
        raise UsageError(MISSING) from None
    with path.open("rb") as file:
        if file.read(8) != b"ASTM-E57":
            raise DataError("is not an E57 file (it does not begin with ASTM-E57); check what the file really is")
    try:
        with pye57.E57(str(path)) as file:
            headers = [file.get_header(i) for i in range(file.scan_count)]
            check_count(sum(h.point_count for h in headers), max_points)
            if sum(h.point_count for h in headers) > 8 * path.stat().st_size:
                raise DataError("declares more points than a file of its size can hold; the file is damaged")
            parts = [part for h in headers for part in _pieces(pye57.libe57, file.image_file, h)]
    except DataError:
        raise
    except Exception as error:  # of a library in C++, whose errors are of many classes
        raise DataError(f"cannot be read ({first_line(error)}); the file is damaged, so export it again") from None
    if not parts:
        raise DataError("holds no points; export a scan that has some")
    colours = [c for _, c in parts if c is not None]
    rgb = unit_colours(np.concatenate(colours)) if len(colours) == len(parts) else None
    return RawCloud(np.concatenate([x for x, _ in parts]), rgb, kind="E57, one scan" if len(headers) == 1 else
                    f"E57, {len(headers)} scans")  # fmt: skip


def _pieces(lib: Any, image: Any, header: Any) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Positions ``[N, 3]`` in the common frame and colours ``[N, 3]``, in pieces, of one scan."""
    has = set(header.point_fields)
    place = next((names for names in (_CARTESIAN, _SPHERICAL) if has.issuperset(names)), None)
    if place is None:
        raise DataError("has a scan without positions; export it again")
    tints = _COLOURS if has.issuperset(_COLOURS) else ()
    columns = {name: np.empty(_PIECE) for name in (*place, *tints, *(n for n in _INVALID if n in has))}
    buffers = lib.VectorSourceDestBuffer()
    for name, column in columns.items():
        buffers.append(lib.SourceDestBuffer(image, name, column, _PIECE, True, True))
    reader = header.points.reader(buffers)
    turn, shift = _pose(header)
    left = header.point_count
    while left > 0 and (n := reader.read()):
        good = np.ones(n, bool)
        for name in _INVALID:
            good &= columns[name][:n] == 0 if name in columns else True
        x = np.stack([columns[name][:n][good] for name in place], axis=1)
        if place is _SPHERICAL:
            r, a, e = x.T
            x = r[:, None] * np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=1)
        rgb = np.stack([columns[name][:n][good] for name in tints], axis=1) if tints else None
        yield x @ turn.T + shift, rgb
        left -= n
    reader.close()


def _pose(header: Any) -> tuple[np.ndarray, np.ndarray]:
    """The rotation ``[3, 3]`` and the translation ``[3]`` of a scan."""
    if not header.has_pose():
        return np.eye(3), np.zeros(3)
    return np.asarray(header.rotation_matrix, np.float64), np.asarray(header.translation, np.float64)
