"""Branch-free functions compared with those of the libraries."""

import numba as nb
import numpy as np
import pytest

from fractalkit.maps import fast_math


def along(function, *x):
    @nb.njit(error_model="numpy")
    def one(a, out):
        for i in range(len(a)):
            out[i] = function(a[i])

    @nb.njit(error_model="numpy")
    def two(a, b, out):
        for i in range(len(a)):
            out[i] = function(a[i], b[i])

    out = np.empty_like(x[0])
    (one if len(x) == 1 else two)(*x, out)
    return out


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("sin", -1000, 1000), ("cos", -1000, 1000), ("tan", -1.5, 1.5), ("exp", -700, 700), ("sinh", -30, 30),
     ("cosh", -30, 30), ("acos", -1, 1), ("sqrt", 0, 1e9), ("floor", -9, 9), ("trunc", -9, 9), ("rint", -9, 9)],
)  # fmt: skip
def test_close_to_the_library(name, low, high):
    x = np.random.default_rng(0).uniform(low, high, 4000)
    want = getattr(np, {"acos": "arccos"}.get(name, name))(x)
    np.testing.assert_allclose(along(getattr(fast_math, name), x), want, rtol=3e-11, atol=1e-11)


def test_logarithms_and_powers():
    x = 10.0 ** np.random.default_rng(0).uniform(-300, 300, 4000)
    np.testing.assert_allclose(along(fast_math.log, x), np.log(x), rtol=1e-14)
    a, b = np.random.default_rng(1).uniform(0.01, 9, (2, 1000))
    np.testing.assert_allclose(along(fast_math.power, a, b), a**b, rtol=1e-12)
    assert np.isnan(fast_math.log(-1.0)) and fast_math.log(0.0) < -700


def test_angles_in_all_quadrants():
    y, x = np.random.default_rng(2).normal(size=(2, 4000)) * 10.0 ** np.arange(-40, 40, 0.02)
    np.testing.assert_allclose(along(fast_math.atan2, y, x), np.arctan2(y, x), atol=1e-11)
    assert [fast_math.atan2(*p) for p in ((0.0, 1.0), (0.0, 0.0), (1.0, 0.0))] == [0.0, 0.0, np.pi / 2]
    assert fast_math.atan2(0.0, -1.0) == np.pi


def test_what_is_not_finite_stays_in_range_or_says_so():
    assert abs(fast_math.sin(1e300)) <= 1 and np.isnan(fast_math.sin(np.nan)) and np.isnan(fast_math.exp(np.nan))
    assert fast_math.exp(1e9) > 1e300 and fast_math.exp(-1e9) < 1e-300
    assert np.isnan(fast_math.acos(1.5)) and np.isnan(fast_math.sqrt(-1.0))
    a, b = np.random.default_rng(3).normal(size=(2, 1000)) * 9
    np.testing.assert_allclose(along(fast_math.fmod, a, b), np.fmod(a, b), atol=1e-9)


def test_zeros_have_signs_and_the_smallest_numbers_have_angles():
    """An orbit that runs into an axis goes on by the sign of its zero, as with the libraries' functions."""
    a = np.array([0.0, -0.0, 5e-324, -5e-324, 3e-310, -1.0, 1.0])
    y, x = (v.ravel() for v in np.meshgrid(a, a))
    np.testing.assert_allclose(along(fast_math.atan2, y, x), np.arctan2(y, x), atol=1e-11)
    assert np.signbit(fast_math.sin(-0.0)) and np.signbit(fast_math.tan(-0.0))
    assert np.isnan(fast_math.log(np.nan))
