"""How near two clouds are, as a share of the diagonal, and what of that is only sampling."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.spatial import cKDTree
from torch import Tensor

from fractalkit.errors import DataError


@dataclass(frozen=True)
class Comparison:
    """Distances between two clouds over the diagonal of the second one's bounding box.

    Attributes:
        chamfer: mean of the two mean distances to the nearest point of the other cloud.
        hausdorff: the largest such distance, both ways.
        hausdorff95: the larger of the two 95 % quantiles.
        fscore: harmonic mean of the shares within 1 % of the diagonal, both ways (Knapitsch et al., 2017).
    """

    chamfer: float
    hausdorff: float
    hausdorff95: float
    fscore: float

    def to_dict(self) -> dict[str, float]:
        """Plain numbers, for JSON."""
        return asdict(self)


def compare_clouds(
    a: Tensor | np.ndarray, b: Tensor | np.ndarray, *, points: int | None = 20_000, seed: int = 0
) -> Comparison:
    """Compare clouds ``[N, D]`` and ``[M, D]``, on at most ``points`` of each (None: all), drawn by ``seed``.

    Both clouds are cut to equal numbers, for a denser cloud has nearer neighbours.

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


def sampling_floor(cloud: Tensor | np.ndarray, *, points: int | None = 20_000, seed: int = 0) -> Comparison:
    """What two independent samples of one set would score: each point of the cloud against all the others.

    The distance from a point to its nearest neighbour among n - 1 others of the same sample is distributed as that to
    an independent sample of n - 1 points, so no second sample is needed. Arguments and errors as
    :func:`compare_clouds`.
    """
    x = _array(cloud)
    diagonal = float(np.linalg.norm(x.max(axis=0) - x.min(axis=0))) or 1.0
    n = min(len(x), points or len(x))
    if n < len(x):
        x = x[np.random.default_rng(seed).choice(len(x), n, replace=False)]
    if n < 2:
        return Comparison(0.0, 0.0, 0.0, 1.0)
    d = cKDTree(x).query(x, k=2, workers=-1)[0][:, 1] / diagonal
    return _comparison(d, d)


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
