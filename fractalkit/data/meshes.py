"""Meshes: readers of OBJ, OFF and STL, and points drawn from a surface."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np

from fractalkit.data.columns import RawCloud, unit_colours
from fractalkit.data.ply import fan
from fractalkit.errors import DataError

MAX_INDEX = 1 << 62


def sample_surface(
    vertices: np.ndarray, triangles: np.ndarray, n: int, *, colours: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """n points evenly at random on a surface: triangles by area, then x = (1 - √u) a + √u (1 - v) b + √u v c.

    Args:
        vertices: ``[V, D]``, D = 2 or 3; those that no triangle with finite corners uses count for nothing.
        triangles: ``[M, 3]`` indices.
        colours: ``[V, 3]``, interpolated like the points (Osada et al., *Shape distributions*, 2002, eq. 1).

    Returns:
        points ``[n, D]`` float64 and colours ``[n, 3]`` float32 or None.

    Raises:
        DataError: an index beyond the vertices, or a surface without area.

    >>> x, _ = sample_surface(np.eye(3), np.array([[0, 1, 2]]), 100)
    >>> x.shape, bool(np.allclose(x.sum(1), 1))
    ((100, 3), True)
    """
    if triangles.size and (int(triangles.min()) < 0 or int(triangles.max()) >= len(vertices)):
        bad = int(triangles.min() if triangles.min() < 0 else triangles.max())
        raise DataError(f"has a face with vertex {bad:,}, but only {len(vertices):,} vertices; the mesh is damaged")
    centre = np.nanmean(np.where(np.isfinite(vertices), vertices, np.nan), axis=0)
    corners = (vertices - centre)[triangles]  # [M, 3, D], shifted: far from the origin areas lose their digits
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    if vertices.shape[1] == 2:
        area = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    else:
        area = np.linalg.norm(np.cross(u, v), axis=1)
    area = np.where(np.isfinite(area), area, 0.0)
    total = np.cumsum(area)
    if not len(total) or not total[-1] > 0:
        raise DataError("is a mesh without any area; repair it or export its points only")
    rng = np.random.default_rng(seed)
    # triangles without area are never hit: side="right" steps over steps of height 0
    pick = np.searchsorted(total / total[-1], rng.random(n), side="right").clip(max=len(total) - 1)
    root, second = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
    weights = np.concatenate([1 - root, root * (1 - second), root * second], axis=1)  # [n, 3]
    points = np.einsum("nk,nkd->nd", weights, corners[pick]) + centre
    if colours is None:
        return points, None
    return points, np.einsum("nk,nkd->nd", weights, colours[triangles[pick]]).astype(np.float32)


def read_obj(path: Path, *, max_points: int) -> RawCloud:
    """Wavefront OBJ: v lines (with colours after the position, where given) and f lines; the rest is left aside.

    Raises:
        DataError: a line that is damaged, or no vertex; the caller adds the file's name.
    """
    rows: list[list[float]] = []
    indices: list[int] = []
    lengths: list[int] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            try:
                if words[:1] == ["v"]:
                    if len(words) < 4:
                        raise ValueError
                    rows.append([float(w) for w in words[1:7]])
                elif words[:1] == ["f"]:
                    face = [int(w.split("/")[0]) for w in words[1:]]
                    # counted from 1; negative ones count back from the last vertex so far
                    indices += [i - 1 if i > 0 else len(rows) + i for i in face]
                    lengths.append(len(face))
                    if not all(-MAX_INDEX < i < MAX_INDEX for i in face):
                        raise ValueError
            except ValueError:
                raise DataError(f"line {number} is not a line of an OBJ file: {line.strip()[:40]!a}") from None
            if len(rows) > max_points:
                raise DataError(f"holds more than the {max_points:,} points allowed; thin it out first")
    if not rows:
        raise DataError("holds no vertices; check that it is an OBJ file and export the mesh again")
    coloured = all(len(r) == 6 for r in rows)
    points = np.array([r[:3] for r in rows])
    triangles = fan(np.array(indices, np.int64), np.array(lengths, np.int64)) if lengths else None
    return RawCloud(
        points, unit_colours(np.array([r[3:] for r in rows])) if coloured else None, None, triangles, "OBJ mesh"
    )


def read_off(path: Path, *, max_points: int) -> RawCloud:
    """Object File Format: OFF or COFF, then counts, vertices and faces, as text.

    Raises:
        DataError: counts that the file cannot hold, or a damaged row; the caller adds the file's name.
    """
    size = path.stat().st_size
    with path.open(encoding="utf-8", errors="replace") as file:
        words = (w for line in file for w in line.split("#")[0].split())
        magic = next(words, "")
        if not magic.upper().endswith("OFF"):
            raise DataError("is not an OFF file (its first word is not OFF); check what the file really is")
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = (s.split("#")[0].split() for s in file)
        rows = (w for w in lines if w)
        head = next(rows)[1:] or next(rows, [])
        try:
            vertices, faces = int(head[0]), int(head[1])
            if vertices < 1 or faces < 0 or 6 * vertices + 2 * faces > size:
                raise DataError(f"declares {vertices:,} vertices and {faces:,} faces, which its size cannot hold")
            if vertices > max_points:
                raise DataError(f"holds {vertices:,} points, more than the {max_points:,} allowed; thin it out first")
            table = [next(rows) for _ in range(vertices)]
            points = np.array([[float(w) for w in row[:3]] for row in table])
            indices: list[int] = []
            lengths: list[int] = []
            for _ in range(faces):
                row = next(rows)
                n = int(row[0])
                face = [int(w) for w in row[1 : n + 1]]
                if n < 0 or len(face) < n or not all(-MAX_INDEX < i < MAX_INDEX for i in face):
                    raise ValueError
                indices += face
                lengths.append(n)
            rgb = None
            if all(len(row) >= 6 for row in table) and magic.upper().startswith("C"):
                rgb = unit_colours(np.array([[float(w) for w in row[3:6]] for row in table]))
        except DataError:
            raise
        except (ValueError, IndexError, StopIteration):
            raise DataError("is an OFF file with rows missing or damaged; export it again") from None
    if points.ndim != 2 or points.shape[1] != 3:
        raise DataError("is an OFF file with rows missing or damaged; export it again")
    triangles = fan(np.array(indices, np.int64), np.array(lengths, np.int64)) if lengths else None
    return RawCloud(points, rgb, None, triangles, "OFF mesh")


def read_stl(path: Path, *, max_points: int) -> RawCloud:
    """STL, binary or ascii; every triangle brings its own three corners.

    Raises:
        DataError: a count that the size does not bear out, or damaged text; the caller adds the file's name.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(84)
        count = int.from_bytes(head[80:84], "little") if len(head) == 84 else -1
        if not head.lstrip().startswith(b"solid") or size == 84 + 50 * count:
            if count < 1 or 84 + 50 * count > size:
                raise DataError(
                    f"declares {max(count, 0):,} triangles, which {size:,} bytes cannot hold; export it again"
                )
            if 3 * count > max_points:
                raise DataError(f"holds more than the {max_points:,} points allowed; thin it out first")
            row = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
            points = np.frombuffer(file.read(50 * count), row)["corners"].reshape(-1, 3).astype(np.float64)
        else:
            file.seek(0)
            words = [line.split()[1:4] for line in file if line.split()[:1] == [b"vertex"]]
            points = np.zeros((0, 0))
            with suppress(ValueError):
                points = np.array([[float(w) for w in row] for row in words])
            if points.ndim != 2 or points.shape[1] != 3 or len(points) % 3 or len(points) > max_points:
                raise DataError("is an STL text with vertices missing or damaged; export it again")
    return RawCloud(points, None, None, np.arange(len(points)).reshape(-1, 3), "STL mesh")
