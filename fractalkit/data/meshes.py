"""Readers of OBJ, OFF and STL meshes, and sampling of surfaces."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fractalkit.data.columns import RawCloud, check_count, unit_colours
from fractalkit.data.ply import fan
from fractalkit.errors import DataError

MAX_INDEX = 1 << 62


def sample_surface(
    vertices: np.ndarray, triangles: np.ndarray, n: int, *, colours: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """Sample n points uniformly from a surface: triangles by area, then x = (1 - √u) a + √u (1 - v) b + √u v c.

    Args:
        vertices: ``[V, D]``, D = 2 or 3; triangles with corners that are not finite are ignored.
        triangles: ``[M, 3]`` indices.
        colours: ``[V, 3]``, interpolated like the points (Osada et al., *Shape distributions*, 2002, eq. 1).

    Returns:
        points ``[n, D]`` float64 and colours ``[n, 3]`` float32 or None.

    Raises:
        DataError: an index out of range, or a surface without area.

    >>> x, _ = sample_surface(np.eye(3), np.array([[0, 1, 2]]), 100)
    >>> x.shape, bool(np.allclose(x.sum(1), 1))
    ((100, 3), True)
    """
    if triangles.size and (int(triangles.min()) < 0 or int(triangles.max()) >= len(vertices)):
        bad = int(triangles.min() if triangles.min() < 0 else triangles.max())
        raise DataError(f"has a face with vertex {bad:,}, but only {len(vertices):,} vertices; the mesh is damaged")
    centre = np.nanmean(np.where(np.isfinite(vertices), vertices, np.nan), axis=0)
    corners = (vertices - centre)[triangles]  # [M, 3, D], centred: far from the origin areas lose precision
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    if vertices.shape[1] == 2:
        area = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    else:
        area = np.linalg.norm(np.cross(u, v), axis=1)
    area = np.where(np.isfinite(area), area, 0.0)
    total = np.cumsum(area)
    if not len(total) or not total[-1] > 0:
        raise DataError("is a mesh without area; repair it or export only its points")
    rng = np.random.default_rng(seed)
    # side="right" never picks triangles without area
    pick = np.searchsorted(total / total[-1], rng.random(n), side="right").clip(max=len(total) - 1)
    root, second = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
    weights = np.concatenate([1 - root, root * (1 - second), root * second], axis=1)  # [n, 3]
    points = np.einsum("nk,nkd->nd", weights, corners[pick]) + centre
    if colours is None:
        return points, None
    return points, np.einsum("nk,nkd->nd", weights, colours[triangles[pick]]).astype(np.float32)


def read_obj(path: Path, *, max_points: int) -> RawCloud:
    """Read Wavefront OBJ: v lines (position, optionally colour) and f lines; all others are ignored.

    Raises:
        DataError: a damaged line, or no vertex; the caller adds the file's name.
    """
    rows: list[list[float]] = []
    indices: list[int] = []
    lengths: list[int] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            try:
                if words[:1] == ["v"]:
                    rows.append(_vertex(words))
                elif words[:1] == ["f"]:
                    face = _face(words, len(rows))
                    indices += face
                    lengths.append(len(face))
            except ValueError:
                raise DataError(f"line {number} is not a line of an OBJ file: {line.strip()[:40]!a}") from None
            check_count(len(rows), max_points)
    if not rows:
        raise DataError("holds no vertices; check that it is an OBJ file and export the mesh again")
    colours = unit_colours(np.array([r[3:] for r in rows])) if all(len(r) == 6 for r in rows) else None
    triangles = fan(np.array(indices, np.int64), np.array(lengths, np.int64)) if lengths else None
    return RawCloud(np.array([r[:3] for r in rows]), colours, None, triangles, "OBJ mesh")


def _vertex(words: list[str]) -> list[float]:
    """Position and colour of a v line; a ValueError if there are fewer than three numbers."""
    if len(words) < 4:
        raise ValueError
    return [float(w) for w in words[1:7]]


def _face(words: list[str], vertices: int) -> list[int]:
    """Zero-based indices of an f line; negative ones count back from the last vertex so far."""
    face = [int(w.split("/")[0]) for w in words[1:]]
    if not all(-MAX_INDEX < i < MAX_INDEX for i in face):
        raise ValueError
    return [i - 1 if i > 0 else vertices + i for i in face]


def read_off(path: Path, *, max_points: int) -> RawCloud:
    """Read the Object File Format: OFF or COFF, then counts, vertices and faces, as text.

    Raises:
        DataError: counts that the file cannot hold, or a damaged row; the caller adds the file's name.
    """
    size = path.stat().st_size
    with path.open(encoding="utf-8", errors="replace") as file:
        rows = (words for line in file if (words := line.split("#")[0].split()))
        head = next(rows, [""])
        magic = head[0].upper()
        if not magic.endswith("OFF"):
            raise DataError("is not an OFF file (its first word is not OFF); check what the file really is")
        try:
            counts = head[1:] or next(rows)
            vertices, faces = int(counts[0]), int(counts[1])
            _check_counts(vertices, faces, size, max_points)
            points, rgb = _off_vertices([next(rows) for _ in range(vertices)], coloured=magic.startswith("C"))
            indices: list[int] = []
            lengths: list[int] = []
            for _ in range(faces):
                face = _polygon(next(rows))
                indices += face
                lengths.append(len(face))
        except DataError:
            raise
        except (ValueError, IndexError, StopIteration):
            raise DataError("is an OFF file with rows missing or damaged; export it again") from None
    triangles = fan(np.array(indices, np.int64), np.array(lengths, np.int64)) if lengths else None
    return RawCloud(points, rgb, None, triangles, "OFF mesh")


def _off_vertices(rows: list[list[str]], *, coloured: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Positions ``[V, 3]`` and colours; a ValueError if a row is damaged."""
    points = np.array([[float(w) for w in row[:3]] for row in rows])
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError
    rgb = None
    if coloured and all(len(row) >= 6 for row in rows):
        rgb = unit_colours(np.array([[float(w) for w in row[3:6]] for row in rows]))
    return points, rgb


def _check_counts(vertices: int, faces: int, size: int, max_points: int) -> None:
    if vertices < 1 or faces < 0 or 6 * vertices + 2 * faces > size:
        raise DataError(f"declares {vertices:,} vertices and {faces:,} faces, which its size cannot hold")
    check_count(vertices, max_points)


def _polygon(row: list[str]) -> list[int]:
    """Indices of one face of an OFF file; a ValueError if they are too few or too large."""
    n = int(row[0])
    face = [int(w) for w in row[1 : n + 1]]
    if n < 0 or len(face) < n or not all(-MAX_INDEX < i < MAX_INDEX for i in face):
        raise ValueError
    return face


def read_stl(path: Path, *, max_points: int) -> RawCloud:
    """Read STL, binary or ascii; each triangle has three vertices of its own.

    Raises:
        DataError: a count that does not fit the size, or damaged text; the caller adds the file's name.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(84)
        count = int.from_bytes(head[80:84], "little") if len(head) == 84 else -1
        if head.lstrip().startswith(b"solid") and size != 84 + 50 * count:
            points = _stl_text(file, max_points)
        elif count < 1 or 84 + 50 * count > size:
            raise DataError(f"declares {max(count, 0):,} triangles, which {size:,} bytes cannot hold; export it again")
        else:
            check_count(3 * count, max_points)
            row = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
            points = np.frombuffer(file.read(50 * count), row)["corners"].reshape(-1, 3).astype(np.float64)
    return RawCloud(points, None, None, np.arange(len(points)).reshape(-1, 3), "STL mesh")


def _stl_text(file: BinaryIO, max_points: int) -> np.ndarray:
    """Vertices ``[N, 3]`` of an ascii STL."""
    file.seek(0)
    words = [line.split()[1:4] for line in file if line.split()[:1] == [b"vertex"]]
    points = np.zeros((0, 0))
    with suppress(ValueError):
        points = np.array([[float(w) for w in row] for row in words])
    if points.ndim != 2 or points.shape[1] != 3 or len(points) % 3 or len(points) > max_points:
        raise DataError("is an STL text with vertices missing or damaged; export it again")
    return points
