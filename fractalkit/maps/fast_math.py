"""Sines, logarithms and kin without branches or calls, so that compilers work on several numbers at once.

Relative errors are below 3e-11 (tests compare with the libraries'); arguments of sines beyond about 1e9 lose digits but
stay in range, as nothing in a chaotic orbit depends on them.
"""

from __future__ import annotations

import numba as nb
import numpy as np

# mypy: disable-error-code="no-untyped-def"

_inline = nb.njit(error_model="numpy", fastmath={"contract"}, forceinline=True)

PI = 3.141592653589793
# pi / 2 in three parts, the first two with so many trailing zeros that products with counts below 2^30 are exact
_P1, _P2, _P3 = 1.5707963109016418, 1.5893254773528e-08, 6.123233995736766e-17
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_SHIFT = 6755399441055744.0  # 1.5 x 2^52: adding it rounds to a whole number, which then lies in the low bits


@_inline
def where(condition, a, b):
    """a where the condition holds, else b."""
    return a if condition else b


@_inline
def both(a, b):
    """Logical and."""
    return a & b


@_inline
def sqrt(x):
    """Square root; of negative numbers not a number."""
    return np.sqrt(x)


@_inline
def _turned(x, quarter):
    """sin(x + quarter pi / 2)."""
    shifted = x * (2.0 / PI) + _SHIFT
    n = shifted - _SHIFT
    r = ((x - n * _P1) - n * _P2) - n * _P3
    r = max(min(r, 0.8), -0.8)
    s = r * r
    sine = r * (1.0 + s * (
        -1.6666666666666666e-01 + s * (8.333333333332248e-03 + s * (-1.984126982958954e-04 + s * (
            2.755731329901505e-06 + s * (-2.505070584637887e-08 + s * 1.58938307283228e-10))))))  # fmt: skip
    cosine = 1.0 - 0.5 * s + s * s * (
        4.166666666666666e-02 + s * (-1.388888888887057e-03 + s * (2.4801587282946e-05 + s * (
            -2.755731317768328e-07 + s * (2.087558246437389e-09 - s * 1.1353379638297e-11)))))  # fmt: skip
    turn = (np.float64(shifted).view(np.int64) + quarter) & 3
    value = cosine if turn & 1 else sine
    return -value if turn & 2 else value


@_inline
def sin(x):
    """Sine."""
    return _turned(x, 0)


@_inline
def cos(x):
    """Cosine."""
    return _turned(x, 1)


@_inline
def tan(x):
    """Tangent."""
    return _turned(x, 0) / _turned(x, 1)


@_inline
def exp(x):
    """Exponential; beyond +-708 it stays at the ends of what numbers hold."""
    x = max(min(x, 708.0), -708.0)
    shifted = x * 1.4426950408889634 + _SHIFT
    n = shifted - _SHIFT
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 + r * (1.0 / 720 + r * (
        1.0 / 5040 + r * (1.0 / 40320 + r * (1.0 / 362880 + r * (1.0 / 3628800))))))))))  # fmt: skip
    scale = np.int64((np.float64(shifted).view(np.int64) + 1023) << 52).view(np.float64)
    return p * scale


@_inline
def log(x):
    """Natural logarithm of positive numbers; of 0 about -709, of negative ones not a number."""
    bits = np.float64(max(abs(x), 2.2250738585072014e-308)).view(np.int64)
    # exponent such that the mantissa is in [sqrt(1/2), sqrt(2))
    up = bits + 0x0009_5F61_9980_C433
    e = (up >> 52) - 1023
    m = np.int64(bits - (e << 52)).view(np.float64)
    f = (m - 1.0) / (m + 1.0)
    s = f * f
    p = 2.0 * f * (1.0 + s * (1.0 / 3 + s * (0.2 + s * (1.0 / 7 + s * (1.0 / 9 + s * (1.0 / 11 + s * (
        1.0 / 13 + s * (1.0 / 15 + s / 17))))))))  # fmt: skip
    n = np.float64(e)
    out = n * _LN2_HIGH + (n * _LN2_LOW + p)
    return out if x >= 0 else np.nan


@_inline
def atan2(y, x):
    """Angle of (x, y) in [-pi, pi]; zeros have signs, as orbits that run into an axis or the origin depend on them."""
    a, b = abs(x), abs(y)
    t = min(a, b) / max(max(a, b), 5e-324)
    s = t * t
    p = 0.9999999999902919 + s * (-0.33333332995051296 + s * (0.19999980353689645 + s * (-0.14285262492495704 + s * (
        0.11105656189675474 + s * (-0.09051137251409 + s * (0.07502231366742305 + s * (-0.06038548449194854 + s * (
            0.04390286868997824 + s * (-0.026271574631780946 + s * (0.011602323441057973 + s * (
                -0.003261486111460649 + s * 0.00043016480682746657)))))))))))  # fmt: skip
    angle = t * p
    angle = PI / 2 - angle if b > a else angle
    angle = PI - angle if np.float64(x).view(np.int64) < 0 else angle
    return -angle if np.float64(y).view(np.int64) < 0 else angle


@_inline
def acos(x):
    """Arc cosine; outside [-1, 1] not a number."""
    return atan2(np.sqrt(1.0 - x * x), x) + 0.0 * np.sqrt(1.0 - x * x)


@_inline
def power(a, b):
    """a to the b, for a >= 0."""
    return exp(b * log(a))


@_inline
def sinh(x):
    """Hyperbolic sine."""
    e = exp(abs(x))
    s = x * x
    small = x * (1.0 + s * (1.0 / 6 + s * (1.0 / 120 + s * (1.0 / 5040 + s / 362880))))
    large = 0.5 * (e - 1.0 / e)
    large = -large if x < 0 else large
    return small if s < 0.25 else large


@_inline
def cosh(x):
    """Hyperbolic cosine."""
    e = exp(abs(x))
    return 0.5 * (e + 1.0 / e)


@_inline
def floor(x):
    """Greatest whole number not above x."""
    return np.floor(x)


@_inline
def trunc(x):
    """x without its fraction."""
    return np.trunc(x)


@_inline
def rint(x):
    """Nearest whole number."""
    return np.rint(x)


@_inline
def fmod(a, b):
    """Remainder with the sign of a."""
    return a - b * np.trunc(a / b)


@_inline
def either(a, b):
    """Logical or."""
    return a | b


@_inline
def negate(a):
    """Logical not."""
    return not a


@_inline
def absolute(a):
    """Its size."""
    return abs(a)


@_inline
def least(a, b):
    """The smaller one."""
    return a if a < b else b


@_inline
def greatest(a, b):
    """The larger one."""
    return a if a > b else b


@_inline
def times(a, n):
    """a to the n, for n = 2, 3, 4."""
    s = a * a
    return s if n == 2 else (s * a if n == 3 else s * s)


@_inline
def hash3(i, j, k):
    """A number in [0, 1) that three whole numbers fix."""
    h = (np.int64(i) * 374761393 + np.int64(j) * 668265263 + np.int64(k) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 3266489917) & 0xFFFFFFFF
    h = h ^ (h >> 16)
    return h / 4294967296.0


@_inline
def looked_up(table, k):
    """The number of a table at the whole number not above k, brought into its range."""
    last = len(table) - 1.0
    return table[np.uint64(min(where(k >= 0.0, k, 0.0), last))]
