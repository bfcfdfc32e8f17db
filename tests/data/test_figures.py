"""The rabbit: uniform on its surface, symmetric, fixed by its seed."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from fractalkit.data.figures import _EARS, _ellipsoids, _field, rabbit
from fractalkit.errors import UsageError


def test_points_lie_on_the_surface_and_depend_on_the_seed() -> None:
    x, rgb = rabbit(20_000, seed=3)
    assert x.shape == rgb.shape == (20_000, 3) and rgb.dtype == np.float32 and 0 <= rgb.min() <= rgb.max() <= 1
    assert np.abs(_field(x)).max() < 1e-3
    assert (x == rabbit(20_000, seed=3)[0]).all() and (x != rabbit(20_000, seed=4)[0]).any(axis=1).all()
    left = x[:, 1] > 0
    assert 0.48 < left.mean() < 0.52


def test_points_are_spread_by_area() -> None:
    x, _ = rabbit(40_000, seed=1)
    fourth = cKDTree(x).query(x, k=9)[0][:, 8]
    on_ears = _ellipsoids(x, _EARS)[0] < 0.01
    back = (x[:, 2] > 0.6) & (x[:, 0] < 0.1) & ~on_ears
    assert on_ears.sum() > 1000 < back.sum()
    # the same density on thin ears as on the broad back
    assert np.median(fourth[on_ears]) == pytest.approx(np.median(fourth[back]), rel=0.08)


@pytest.mark.parametrize("n", [0, -1, 10_000_001])
def test_other_sizes_are_refused(n: int) -> None:
    with pytest.raises(UsageError, match="expected 1 to"):
        rabbit(n)
