"""Closed surfaces of point clouds: Poisson reconstruction, and surfaces at a distance from the points.

Both are level sets of a function on a grid, extracted by Open3D. A level set that does not reach the border of the
grid has no border itself, so that both are watertight, whatever the points are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fractalkit.data.mesh_files import Mesh
from fractalkit.data.open3d_io import import_open3d
from fractalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

METHODS = ("auto", "poisson", "offset")
FEWEST = 100
PAD = 0.12  # around the points in Poisson reconstruction, of the longest side
NEIGHBOURS = 16
FLAT = 0.06  # surface variation below which a neighbourhood is a piece of a surface (half a ball has 0.2)
MOST_CELLS = 384


def surface(
    points: np.ndarray | Tensor, colours: np.ndarray | Tensor | None = None, *, method: str = "auto", detail: int = 256
) -> Mesh:
    """Wrap a cloud in a closed surface.

    ``poisson``: the level set of the smooth function whose gradient fits the oriented normals best (Kazhdan, Bolitho
    and Hoppe, *Poisson surface reconstruction*, 2006, eq. 2), on a regular grid by the Fourier transform (Peng et al.,
    *Shape as points*, 2021, eq. 4). It closes the holes of a scan and needs a cloud that lies on the surface of a body.
    ``offset``: the points at a fixed distance from the cloud. It has the topology of the alpha shape at this distance
    (Edelsbrunner, *The union of balls and its dual shape*, 1995), and suits branches, sheets and dust.

    Args:
        points: ``[N, 3]``, N >= 100, finite, not in one plane, or a :class:`~fractalkit.data.Cloud` with its colours.
        colours: ``[N, 3]`` in 0..1; a vertex has those of the nearest points, weighted by inverse distance.
        method: "poisson", "offset", or "auto": Poisson where the cloud is a surface and the result passes through the
            points, otherwise offset. A note of the mesh says which and why.
        detail: cells of the grid along the longest side, 16 to 384.

    Returns:
        A closed mesh; each edge lies between exactly two triangles, counter-clockwise seen from outside.

    Raises:
        DataError: too few points, a planar cloud, or values that are not finite.
        UsageError: an unknown method or a detail out of range; Open3D is not installed.
    """
    if method not in METHODS:
        raise UsageError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if not 16 <= detail <= MOST_CELLS:
        raise UsageError(f"detail: expected 16 to {MOST_CELLS}, got {detail}")
    x, rgb = _checked(points, colours)
    low, side = x.min(axis=0), float(np.ptp(x, axis=0).max())
    unit = (x - low) / side
    mesh, why = None, "as asked"
    if method != "offset":
        mesh, why = _try_poisson(unit, detail, whatever=method == "poisson")
    if mesh is None:
        mesh = _offset(unit, detail)
    vertices, triangles, note = mesh
    kept = None if rgb is None else _nearest_colours(unit, rgb, vertices)
    return Mesh(vertices * side + low, triangles, kept, (f"{note} ({why})",))


def _checked(points: Any, colours: Any) -> tuple[np.ndarray, np.ndarray | None]:
    x, colours = np.asarray(points, dtype=np.float64), getattr(points, "colours", None) if colours is None else colours
    if x.ndim != 2 or x.shape[1] not in (2, 3):
        raise DataError(f"points: expected [N, 3], got {list(x.shape)}")
    if x.shape[1] == 2:
        raise DataError("a cloud in the plane has no surface; write it as a cloud or draw it as a picture")
    if len(x) < FEWEST:
        raise DataError(f"{len(x):,} points are too few for a surface; draw at least {FEWEST}, better 100,000")
    if not np.isfinite(x).all():
        raise DataError("the cloud holds values that are not finite; drop them first")
    spread = np.linalg.svd(np.cov((x - x.mean(axis=0)).T), compute_uv=False)
    if not spread[2] > 1e-12 * spread[0]:
        raise DataError("the points lie in one plane, which bounds no body; write them as a cloud or draw a picture")
    rgb = None if colours is None else np.asarray(colours, dtype=np.float32)
    if rgb is not None and rgb.shape != x.shape:
        raise DataError(f"colours: expected [{len(x)}, 3], got {list(rgb.shape)}")
    return x, rgb


Found = tuple[np.ndarray, np.ndarray, str]


def _try_poisson(x: np.ndarray, detail: int, whatever: bool) -> tuple[Found | None, str]:
    """The Poisson surface, if there is reason to trust it or it is wanted ``whatever`` it is; and the reason."""
    from scipy.spatial import cKDTree

    normals, area, variation = _normals(x)
    if not whatever and float(np.median(variation)) > FLAT:
        return None, "the points are no surface"
    vertices, triangles = _poisson(x, normals, area, detail)
    if not len(triangles):
        if whatever:
            raise DataError("the points bound no body; try method 'offset'")
        return None, "the points bound no body"
    cell = 1 / detail
    far = float(np.quantile(cKDTree(vertices).query(x, workers=-1)[0], 0.98))
    stray = float((cKDTree(x).query(vertices, workers=-1)[0] > max(8 * cell, 0.04)).mean())
    found = vertices, triangles, "Poisson reconstruction"
    if whatever:
        return found, "as asked"
    if far > 2.5 * cell or stray > 0.1:
        return None, "a surface that is open, or too thin for Poisson reconstruction"
    return found, "the points are the surface of a body"


def _normals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Oriented normals ``[N, 3]``, the area that each point stands for ``[N]``, and the surface variation ``[N]``.

    The surface variation is the smallest eigenvalue of the covariance of the neighbours over the sum of the three
    (Pauly, Gross and Kobbelt, 2002, eq. 3).
    """
    from scipy.spatial import cKDTree

    o3d = import_open3d("a mesh")
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(x))
    distance, near = cKDTree(x).query(x, k=NEIGHBOURS, workers=-1)
    groups = x[near] - x[near].mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", groups, groups))
    normals = vectors[:, :, 0]
    # orienting is slow for many points: it is done for a few thousand, whose signs the others take over
    cloud.normals = o3d.utility.Vector3dVector(normals)
    few = cloud.voxel_down_sample(1 / 60)
    few.normalize_normals()
    if len(few.points) > NEIGHBOURS:
        few.estimate_normals(o3d.geometry.KDTreeSearchParamKNN(NEIGHBOURS))
        few.orient_normals_consistent_tangent_plane(12)
    _, at = cKDTree(np.asarray(few.points)).query(x, k=min(3, len(few.points)), workers=-1)
    votes = np.einsum("ni,nki->nk", normals, np.asarray(few.normals)[at.reshape(len(x), -1)])
    normals *= np.where(votes.sum(axis=1) < 0, -1, 1)[:, None]
    return normals, distance[:, -1] ** 2, values[:, 0] / values.sum(axis=1).clip(min=1e-300)


def _poisson(x: np.ndarray, normals: np.ndarray, area: np.ndarray, detail: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.fft import irfftn, next_fast_len, rfftn

    h = 1 / detail
    shape = tuple(next_fast_len(int(np.ceil((s + 2 * PAD) / h)) + 1, real=True) for s in x.max(axis=0))
    origin = np.full(3, -PAD)
    place, weight = _corners((x - origin) / h, shape)
    # points of outliers stand for no larger area than most
    weight *= np.minimum(area, np.quantile(area, 0.98))[:, None]
    frequency = [np.fft.fftfreq(n)[:, None, None] if i == 0 else np.fft.fftfreq(n)[None, :, None]
                 for i, n in enumerate(shape[:2])]  # fmt: skip
    frequency.append(np.fft.rfftfreq(shape[2])[None, None, :])
    squares = np.asarray(frequency[0] ** 2 + frequency[1] ** 2 + frequency[2] ** 2)
    total: Any = 0
    for i in range(3):
        field = np.bincount(place.ravel(), (weight * normals[:, i : i + 1]).ravel(), int(np.prod(shape)))
        total = total + rfftn(field.reshape(shape).astype(np.float32)) * (1j * frequency[i]).astype(np.complex64)
    squares[0, 0, 0] = 1
    spacing = float(np.sqrt(np.median(area) / np.pi / NEIGHBOURS)) / h
    blur = max(0.75, 1.2 * spacing)
    total *= (np.exp(-2 * (np.pi * blur) ** 2 * squares) / (2 * np.pi * squares)).astype(np.float32)
    total[0, 0, 0] = 0
    chi = irfftn(total, s=shape)
    level = float((np.take(chi.ravel(), place) * (weight / weight.sum(axis=1, keepdims=True))).sum(axis=1).mean())
    chi -= level
    outside = float(
        np.median(np.concatenate([chi[[0, -1]].ravel(), chi[:, [0, -1]].ravel(), chi[:, :, [0, -1]].ravel()]))
    )
    if outside < 0:
        chi = -chi
    return _level_set(chi, origin, h)


def _corners(at: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Indices ``[N, 8]`` into the flat grid and trilinear weights ``[N, 8]`` of places in cells ``[N, 3]``."""
    base = np.floor(at).astype(np.int64)
    part = at - base
    places, weights = [], []
    for corner in np.ndindex(2, 2, 2):
        step = np.array(corner)
        index = base + step
        places.append(np.ravel_multi_index(tuple(index.T), shape))
        weights.append(np.where(step, part, 1 - part).prod(axis=1))
    return np.stack(places, 1), np.stack(weights, 1)


def _offset(x: np.ndarray, detail: int) -> Found:
    """The surface at a distance that joins neighbours: 1.3 times that from most points to their third nearest."""
    from scipy.spatial import cKDTree

    tree = cKDTree(x)
    nearest = tree.query(x, k=4, workers=-1)[0][:, -1]
    radius = float(max(1.3 * np.quantile(nearest, 0.9), 1.6 / detail))
    h = min(1 / detail, radius / 1.6)
    h = max(h, 1 / MOST_CELLS, float(np.cbrt(np.prod(np.ptp(x, axis=0) + 2 * radius) / 6e7)))
    radius = max(radius, 1.6 * h)
    pad = radius + 3 * h
    shape = tuple(int(np.ceil((s + 2 * pad) / h)) + 1 for s in x.max(axis=0))
    field = np.full(shape, 2 * radius, dtype=np.float32)
    # only cells near points: those that hold points, grown by the radius
    from scipy.ndimage import distance_transform_edt

    filled = np.ones(shape, bool)
    filled[tuple(np.round((x + pad) / h).astype(np.int64).T)] = False
    close = np.argwhere(distance_transform_edt(filled) * h <= radius + 2 * h)
    for start in range(0, len(close), 1 << 20):
        cells = close[start : start + (1 << 20)]
        field[tuple(cells.T)] = tree.query(cells * h - pad, workers=-1)[0]
    vertices, triangles = _level_set(field - np.float32(radius), np.full(3, -pad), h)
    return vertices, triangles, f"surface at {radius:.2%} of the longest side from the points"


def _level_set(field: np.ndarray, origin: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
    """The closed surface where a function on a grid, negative inside, is zero: vertices and triangles.

    Values very near to zero are moved away from it, so that no two vertices coincide; the border is made outside.
    """
    o3d = import_open3d("a mesh")
    small = np.float32(1e-3) * np.float32(np.abs(field).mean())
    field = np.where(np.abs(field) < small, np.where(field < 0, -small, small), field).astype(np.float32)
    for axis in range(3):
        border = np.moveaxis(field, axis, 0)
        border[[0, -1]] = np.maximum(np.abs(border[[0, -1]]), small)
    if not (field < 0).any():
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    found = o3d.t.geometry.TriangleMesh.create_isosurfaces(o3d.core.Tensor(np.ascontiguousarray(field)), [0.0])
    # Open3D counts the axes of the array backwards
    vertices = found.vertex.positions.numpy().astype(np.float64)[:, ::-1] * h + origin
    triangles = found.triangle.indices.numpy().astype(np.int64)
    mesh = Mesh(vertices, triangles)
    return vertices, triangles if mesh.volume() > 0 else triangles[:, ::-1].copy()


def _nearest_colours(x: np.ndarray, rgb: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    distance, near = cKDTree(x).query(vertices, k=4, workers=-1)
    weight = 1 / (distance + 1e-6)
    weight /= weight.sum(axis=1, keepdims=True)
    return np.einsum("nk,nkc->nc", weight, rgb[near]).astype(np.float32)
