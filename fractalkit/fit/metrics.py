"""Distances between point clouds, relative to the diagonal, and the part of them that sampling alone explains."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.special import digamma, polygamma
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import DataError

_NEAR, _FAR = range(5, 13), range(25, 37)  # neighbours by whose distances a cloud's dimension is told


@dataclass(frozen=True)
class Comparison:
    """Distances between two clouds over the diagonal of the second one's bounding box.

    Attributes:
        chamfer: mean of the two mean distances to the nearest point of the other cloud.
        hausdorff: the largest such distance, both ways.
        hausdorff95: the larger of the two 95 % quantiles.
        fscore: harmonic mean of the fractions within 1 % of the diagonal, both ways (Knapitsch et al., 2017).
    """

    chamfer: float
    hausdorff: float
    hausdorff95: float
    fscore: float

    @property
    def f_score(self) -> float:
        """:attr:`fscore`, by its other spelling."""
        return self.fscore

    def to_dict(self) -> dict[str, float]:
        """Convert to plain numbers, for JSON."""
        return asdict(self)


def compare_clouds(
    a: Tensor | np.ndarray, b: Tensor | np.ndarray, *, points: int | None = 20_000, seed: int = 0
) -> Comparison:
    """Compare clouds ``[N, D]`` and ``[M, D]`` on at most ``points`` of each (None: all), drawn with ``seed``.

    Both clouds are reduced to the same number of points, because a denser cloud has nearer neighbours.

    Raises:
        DataError: an empty cloud, different dimensions, or values that are not finite.
    """
    x, y = _array(a), _array(b)
    if x.shape[1] != y.shape[1]:
        raise DataError(f"clouds of {x.shape[1]} and {y.shape[1]} dimensions cannot be compared")
    diagonal = float(np.linalg.norm(y.max(axis=0) - y.min(axis=0))) or 1.0
    n = min(len(x), len(y), points or max(len(x), len(y)))
    rng = np.random.default_rng(seed)
    x, y = (c if len(c) == n else c[rng.choice(len(c), n, replace=False)] for c in (x, y))
    return _comparison(cKDTree(y).query(x, workers=-1)[0] / diagonal, cKDTree(x).query(y, workers=-1)[0] / diagonal)


def density_distance(a: Tensor | np.ndarray, b: Tensor | np.ndarray, *, side: int | None = None) -> float:
    """Total variation of two clouds' densities on a grid: 0 if equal, 1 if disjoint.

    Half the sum over cells of the absolute difference of the clouds' shares. The grid divides the bounding box of
    ``b [M, D]``; points of ``a [N, D]`` beyond it are counted in further cells on each side.

    Args:
        side: cells along each axis; None takes as many as give each five points of ``b`` on average.

    Raises:
        DataError: an empty cloud, different dimensions, or values that are not finite.
    """
    x, y = _array(a), _array(b)
    d = y.shape[1]
    if x.shape[1] != d:
        raise DataError(f"clouds of {x.shape[1]} and {d} dimensions cannot be compared")
    side = side or max(2, round((len(y) / 5) ** (1 / d)))
    low, width = y.min(axis=0), np.maximum(np.ptp(y, axis=0), np.finfo(float).tiny)
    shares = []
    for cloud in (x, y):
        cell = np.clip(np.floor((cloud - low) / width * side), -1, side)
        # the far border belongs to the last cell
        cell = np.where((cell == side) & (cloud <= low + width), side - 1, cell).astype(np.int64) + 1
        index = np.ravel_multi_index(tuple(cell.T), (side + 2,) * d)
        shares.append(np.bincount(index, minlength=(side + 2) ** d) / len(cloud))
    return float(np.abs(shares[0] - shares[1]).sum()) / 2


def sampling_floor(cloud: Tensor | np.ndarray, *, points: int | None = 20_000, seed: int = 0) -> Comparison:
    """Estimate how two independent samples of the same set compare, from distances within one cloud.

    The distance from a point to the n - 1 others of its sample is distributed as that to an independent sample of
    n - 1 points, so no second sample is needed. Points that keep apart from each other, as those of a grid, are no
    independent sample; :func:`crowding` corrects for that. Arguments and errors as for :func:`compare_clouds`.
    """
    x = _array(cloud)
    diagonal = float(np.linalg.norm(x.max(axis=0) - x.min(axis=0))) or 1.0
    n = min(len(x), points or len(x))
    if n < len(x):
        x = x[np.random.default_rng(seed).choice(len(x), n, replace=False)]
    if n < 2:
        return Comparison(0.0, 0.0, 0.0, 1.0)
    tree = cKDTree(x)
    nearest = tree.query(x, k=2, workers=-1)[0][:, 1] / diagonal * crowding(x, tree)
    return _comparison(nearest, nearest)


def crowding(x: np.ndarray, tree: cKDTree) -> float:
    """Factor, at most 1, from the distances of nearest neighbours in a cloud ``[N, D]`` to those of a random sample.

    Among independent points in s dimensions the distance r_k to the k-th neighbour has a mean logarithm of ψ(k) / s and
    a constant, and r_1 / r_k a mean of Γ(1 + 1/s) Γ(k) / Γ(k + 1/s). From distant neighbours, which hardly depend on
    how the points keep apart, follows s and so what r_1 / r_k would be. It counts where the cloud's own is larger, and
    log r_1 / r_8 varies much less than the sqrt(ψ'(1) - ψ'(8)) / s of independent points. Clouds of less than 100
    points are taken as they are.
    """
    if len(x) < 100:
        return 1.0
    some = x[:: max(1, len(x) // 2000)]
    r = tree.query(some, k=_FAR[-1] + 1, workers=-1)[0][:, 1:]
    r = r[r[:, 0] > 0]
    if not len(r):
        return 1.0
    logs = np.log(r)
    gap = float(np.mean([logs[:, k - 1].mean() for k in _FAR]) - np.mean([logs[:, k - 1].mean() for k in _NEAR]))
    s = float(digamma(_FAR).mean() - digamma(_NEAR).mean()) / max(gap, 1e-9)
    if (logs[:, 0] - logs[:, 7]).std() > 0.7 * math.sqrt(polygamma(1, 1) - polygamma(1, 8)) / s:
        return 1.0
    k = _FAR[-1]
    expected = math.exp(math.lgamma(1 + 1 / s) + math.lgamma(k) - math.lgamma(k + 1 / s))
    found = float((r[:, 0] / r[:, k - 1]).mean())
    return min(expected / found, 1.0)


def collage_bound(ifs: AffineIFS, cloud: Tensor | np.ndarray) -> float:
    """Bound the Hausdorff distance between the attractor and a cloud by the collage theorem, in the cloud's units.

    h(X, attractor) <= h(X, ∪ f_k(X)) / (1 - max ||A_k||), with X the points given.
    """
    x = _array(cloud)
    y = ifs.hutchinson(torch.from_numpy(x).to(ifs.matrices)).reshape(-1, ifs.dim).cpu().numpy()
    distance = max(float(cKDTree(x).query(y, workers=-1)[0].max()), float(cKDTree(y).query(x, workers=-1)[0].max()))
    return distance / max(1 - ifs.lipschitz(), 1e-12) if math.isfinite(distance) else math.inf


def _comparison(forward: np.ndarray, backward: np.ndarray) -> Comparison:
    near, far = float((forward <= 0.01).mean()), float((backward <= 0.01).mean())
    return Comparison(
        float(forward.mean() + backward.mean()) / 2,
        float(max(forward.max(), backward.max())),
        float(max(np.quantile(forward, 0.95), np.quantile(backward, 0.95))),
        2 * near * far / (near + far) if near + far else 0.0,
    )


def _array(cloud: Tensor | np.ndarray) -> np.ndarray:
    x = np.asarray(cloud.detach().cpu() if isinstance(cloud, Tensor) else cloud, dtype=np.float64)
    if x.ndim != 2 or not len(x):
        raise DataError(f"expected a cloud [N, D] of at least one point, got shape {list(x.shape)}")
    if not np.isfinite(x).all():
        raise DataError("the cloud holds values that are not finite")
    return x


def explained(points: np.ndarray, rgb: np.ndarray, cloud: np.ndarray, colours: np.ndarray) -> float | None:
    """R^2 of the colours ``rgb [N, 3]`` of points, against those of the nearest points of a cloud; None of one colour.

    >>> x = np.arange(4.0)[:, None]
    >>> explained(x, np.tile(x, 3), x, np.tile(x, 3))
    1.0
    """
    truth = np.asarray(colours, np.float64)[cKDTree(cloud).query(points)[1]]
    total = float(((truth - truth.mean(axis=0)) ** 2).sum())
    return 1 - float(((rgb - truth) ** 2).sum()) / total if total > 1e-12 else None
