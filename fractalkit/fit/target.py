"""The target of a fit: a cloud that is cleaned, scaled, reduced to its subspace, with a fast nearest-point lookup.

The searches in :mod:`fractalkit.fit` need the point of the cloud nearest to a given one many millions of times. A grid
of nearest features (a distance transform) finds it to within a cell; a few steps along the graph of nearest neighbours
make it exact in all but rare cases. Planar clouds are stored with a third coordinate of zero, so that the same kernels
serve 2D and 3D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor

from fractalkit.errors import DataError
from fractalkit.fit.strays import strays

NEIGHBOURS = 8
MIN_POINTS = 20  # fewer do not determine affine maps reliably
_MARKED = 0.01  # of all points at one place: a marker, such as that of a beam that did not return, which counts once
_MARGIN = 0.12  # margin of the grid around the bounding box, relative to the diagonal


@dataclass(frozen=True)
class Subspace:
    """Affine subspace that contains the cloud: ``x = centre + scale * basis @ z`` with ``z`` of D' coordinates."""

    centre: np.ndarray  # [D]
    basis: np.ndarray  # [D, D'], orthonormal columns
    scale: float  # diagonal of the bounding box, in the cloud's units

    def lift(self, matrices: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Extend maps of the subspace, ``[K, D', D']`` and ``[K, D']``, to maps of the space that keep the subspace."""
        a = self.basis @ matrices @ self.basis.T
        t = self.centre + self.scale * offsets @ self.basis.T - a @ self.centre
        return a, t


@dataclass(frozen=True)
class Lookup:
    """Arrays for :func:`nearest`, the arguments of the compiled kernels."""

    points: np.ndarray  # [N, 3] float64, third coordinate zero in the plane
    graph: np.ndarray  # [N, NEIGHBOURS] int32, the nearest neighbours of each point, nearest first
    cells: np.ndarray  # [nx * ny * nz] int32, the point nearest to each cell, approximately
    shape: np.ndarray  # [3] int64
    low: np.ndarray  # [3] float64, the grid's lower corner
    inverse: float  # cells per unit length


@dataclass(frozen=True)
class Target:
    """A cleaned cloud in its subspace, scaled to a diagonal of one, with its lookup."""

    subspace: Subspace
    dim: int  # D' = 1, 2 or 3, the dimension of the subspace
    points: np.ndarray  # [N, D'] float64
    kept: np.ndarray  # [N] indices of these points in the cloud as given
    tree: cKDTree
    spacing: np.ndarray  # [N] local spacing: distance to the third neighbour
    lookup: Lookup
    notes: tuple[str, ...]  # sentences on what was dropped or reduced
    counts: np.ndarray  # [N] points of the cloud as given at each of these, which the density is told by

    def __len__(self) -> int:
        return len(self.points)


def as_numbers(points: Any) -> np.ndarray:
    """An array or a tensor of points, or a cloud's, as an array; a DataError for what is not numbers."""
    points = getattr(points, "points", points)  # of a fractalkit.data.Cloud
    x = np.asarray(points.detach().cpu() if isinstance(points, Tensor) else points)
    if x.dtype.kind not in "fiu":
        raise DataError(f"points: expected numbers, got an array of {x.dtype}")
    return x


def as_colours(colours: Tensor | np.ndarray, n: int) -> np.ndarray:
    """Colours of n points as float64 ``[n, 3]``; a DataError for another shape or values that are not finite."""
    rgb = np.asarray(colours.detach().cpu() if isinstance(colours, Tensor) else colours, dtype=np.float64)
    if rgb.shape != (n, 3) or not np.isfinite(rgb).all():
        raise DataError(f"colours: expected finite numbers of shape [{n}, 3], got {list(rgb.shape)}")
    return rgb


def usable_points(points: np.ndarray, *, keep_strays: bool) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Points as float64, the indices of those that are finite and, unless they are kept, no strays, and notes.

    Raises:
        DataError: a shape other than [N, 2] and [N, 3].
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise DataError(f"points: expected shape [N, 2] or [N, 3], got {list(points.shape)}")
    kept = np.flatnonzero(np.isfinite(points).all(axis=1))
    lost = len(points) - len(kept)
    notes = [f"dropped {lost:,} points that are not finite"] if lost else []
    if not keep_strays and len(far := strays(points)):
        notes.append(named_strays(points, far))
        kept = np.setdiff1d(kept, far, assume_unique=True)
    return points, kept, notes


def named_strays(points: np.ndarray, far: np.ndarray) -> str:
    """A sentence that names the strays of a cloud."""
    some = ", ".join(str([float(f"{v:.6g}") for v in points[k]]) for k in far[:3])
    one = len(far) == 1
    return (
        f"left out {len(far):,} stray{'' if one else 's'}, {'a point' if one else 'points'} far from all others: "
        f"{some}{', …' * (len(far) > 3)}"
    )


def make_target(points: np.ndarray, *, limit: int, rng: np.random.Generator, keep_strays: bool = False) -> Target:
    """Clean a cloud and build its lookup.

    Args:
        points: ``[N, D]``, D = 2 or 3, any scale; may contain non-finite numbers.
        limit: maximum number of points; more are subsampled at random.
        rng: random generator of that subsample.
        keep_strays: keep points far from all others (:func:`fractalkit.fit.strays.strays`).

    Raises:
        DataError: a wrong shape, or fewer than 20 distinct finite points.
    """
    points, kept, notes = usable_points(points, keep_strays=keep_strays)
    counts = np.ones(len(points), np.int64)
    if len(kept):
        _, first, times = np.unique(points[kept], axis=0, return_index=True, return_counts=True)
        counts[kept[first]] = np.where(times > _MARKED * len(kept), 1, times)
        if len(first) < len(kept):
            notes.append(f"dropped {len(kept) - len(first)} duplicate points")
        kept = kept[np.sort(first)]
    if len(kept) < MIN_POINTS:
        raise DataError(f"points: {len(kept)} distinct finite points, a fit needs at least {MIN_POINTS}")
    if len(kept) > limit:
        kept = np.sort(rng.choice(kept, limit, replace=False))
    counts = counts[kept]
    if (total := int(counts.sum())) > limit:
        counts = np.maximum(counts * limit // total, 1)
    chosen = points[kept]
    low, high = chosen.min(axis=0), chosen.max(axis=0)
    with np.errstate(over="ignore"):
        diagonal = float(np.linalg.norm(high / 2 - low / 2)) * 2
    if not np.isfinite(diagonal):
        raise DataError("points: coordinates too large for double precision; scale the cloud down")
    centre = low / 2 + high / 2
    unit = (chosen - centre) / diagonal
    basis = _own_axes(unit, notes)
    if basis.shape[1] < basis.shape[0]:
        # the centre of the bounding box may lie outside the subspace; project it
        mean = unit.mean(axis=0)
        shift = mean - basis @ (basis.T @ mean)
        centre, unit = centre + diagonal * shift, unit - shift
    subspace = Subspace(centre, basis, diagonal)
    z = unit @ basis
    tree = cKDTree(z)
    k = min(NEIGHBOURS + 1, len(z))
    distance, graph = tree.query(z, k=k)
    graph = np.pad(graph[:, 1:], ((0, 0), (0, NEIGHBOURS + 1 - k)), mode="edge").astype(np.int32)
    spacing = distance[:, min(3, k - 1)]
    lookup = _lookup(z, graph)
    return Target(subspace, z.shape[1], z, kept, tree, spacing, lookup, tuple(notes), counts)


def _own_axes(unit: np.ndarray, notes: list[str]) -> np.ndarray:
    """Orthonormal basis ``[D, D']`` of the subspace that the cloud spans; the identity if it spans the whole space."""
    d = unit.shape[1]
    _, s, vt = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    std = s / np.sqrt(len(unit))
    keep = std > 2e-3 * std[0]
    if keep.all():
        return np.eye(d)
    dim = int(keep.sum())
    notes.append(f"the cloud is {('', 'a line', 'planar')[dim]}, so it is fitted in that subspace of {d}D space")
    return vt[:dim].T


def _lookup(z: np.ndarray, graph: np.ndarray) -> Lookup:
    n, dim = z.shape
    points = np.zeros((n, 3))
    points[:, :dim] = z
    low, high = points.min(axis=0), points.max(axis=0)
    low[:dim] -= _MARGIN
    high[:dim] += _MARGIN
    cells_across = {1: 4096, 2: 700, 3: 112}[dim]
    inverse = cells_across / float((high - low).max())
    shape = np.maximum(np.ceil((high - low) * inverse).astype(np.int64), 1)
    where = np.minimum(((points - low) * inverse).astype(np.int64), shape - 1)
    occupant = np.full(shape, -1, dtype=np.int32)
    occupant[tuple(where.T)] = np.arange(n, dtype=np.int32)
    feature = ndimage.distance_transform_edt(occupant < 0, return_distances=False, return_indices=True)
    cells = occupant[tuple(feature)]
    return Lookup(points, graph, cells.reshape(-1), shape, low, inverse)


@nb.njit(cache=True, inline="always")
def nearest(x, y, z, points, graph, cells, shape, low, inverse):  # type: ignore[no-untyped-def]
    """Index and squared distance of the cloud's point nearest to (x, y, z), exact in all but rare cases."""
    i = min(max(int((x - low[0]) * inverse), 0), shape[0] - 1)
    j = min(max(int((y - low[1]) * inverse), 0), shape[1] - 1)
    k = min(max(int((z - low[2]) * inverse), 0), shape[2] - 1)
    best = cells[(i * shape[1] + j) * shape[2] + k]
    d0, d1, d2 = x - points[best, 0], y - points[best, 1], z - points[best, 2]
    least = d0 * d0 + d1 * d1 + d2 * d2
    for _ in range(8):
        here = best
        for e in range(graph.shape[1]):
            c = graph[here, e]
            d0, d1, d2 = x - points[c, 0], y - points[c, 1], z - points[c, 2]
            d = d0 * d0 + d1 * d1 + d2 * d2
            if d < least:
                least, best = d, c
        if best == here:
            break
    return best, least
