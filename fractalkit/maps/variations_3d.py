"""Variations of fractal flames in space, each written once; the conventions of Apophysis 7x, JWildfire and Fractorium.

A variation is a function of x, y and z, the point after the affine map, which acts on x and y alone; w, its weight; u1
to u5, uniform in [0, 1); and its parameters by their names. It returns what it adds to x, y and z, weight included. The
text works on torch tensors of any type and device, and :func:`.variations_cpu.compiled` compiles it for numbers.

A map's z is the sum of what its variations add to z, from zero on: it passes through those here that say so, and those
of :mod:`.variations` leave it alone, that is, add nothing, so a map of them alone ends in the plane z = 0. Three of
those have a form in space, taken where a flame is drawn in space: bubble, cylinder and, where the file says
``new_linear="1"``, linear, which is linear3D then. A new one is a function and a line in
``fractalkit.codes.flame.VARIATIONS_3D``.

Throughout r = |(x, y)|, R = |(x, y, z)|, phi = atan2(y, x), e = 1e-10.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def"
from fractalkit.maps.torch_math import atan2, cos, pi, power, sin, sqrt, trunc, where

EPS = 1e-10


def v_linear3D(x, y, z, w):
    """w (x, y, z)."""
    return w * x, w * y, w * z


def v_bubble(x, y, z, w):
    """w (4 x, 4 y, 4 - r^2) / (r^2 + 4): the plane onto a sphere of radius w, by stereographic projection."""
    k = w / (0.25 * (x * x + y * y) + 1)
    return k * x, k * y, 2 * k - w


def v_cylinder(x, y, z, w):
    """w (sin x, y, cos x): the plane wound onto a cylinder of radius w."""
    return w * sin(x), w * y, w * cos(x)


def v_julia3D(x, y, z, w, u1, p_power):
    """One of n = |power| roots: phi to (phi + 2 pi k) / power; after z is divided by n, R to w R^(1 / power)."""
    n = where(p_power < 0, -p_power + 0.0 * x, p_power + 0.0 * x)
    s, d = x * x + y * y, z / n
    k = w * power(s + d * d + 1e-300, 0.5 / p_power - 0.5)
    a = (atan2(y, x) + 2 * pi * trunc(n * u1)) / p_power
    return k * sqrt(s) * cos(a), k * sqrt(s) * sin(a), k * d


def v_julia3Dz(x, y, z, w, u1, p_power):
    """One of n = |power| roots of x + i y alone, z scaled with it: w r^(1 / power) (cos, sin, z / (n r))."""
    n = where(p_power < 0, -p_power + 0.0 * x, p_power + 0.0 * x)
    s = x * x + y * y
    k = w * power(s + 1e-300, 0.5 / p_power)
    a = (atan2(y, x) + 2 * pi * trunc(n * u1)) / p_power
    return k * cos(a), k * sin(a), k * z / (n * sqrt(s) + EPS)


def v_spherical3D(x, y, z, w):
    """w (x, y, z) / (R^2 + e): inversion in a sphere."""
    k = w / (x * x + y * y + z * z + EPS)
    return k * x, k * y, k * z


def v_sinusoidal3D(x, y, z, w):
    """w (sin x, sin y, atan2(x^2, y^2) cos z), as JWildfire has it."""
    return w * sin(x), w * sin(y), w * atan2(x * x, y * y) * cos(z)


def v_hemisphere(x, y, z, w):
    """w (x, y, 1) / sqrt(r^2 + 1): the plane onto a half of a sphere, seen from its middle."""
    k = w / sqrt(x * x + y * y + 1)
    return k * x, k * y, k


def v_zscale(x, y, z, w):
    """(0, 0, w z)."""
    return 0.0 * x, 0.0 * y, w * z


def v_ztranslate(x, y, z, w):
    """(0, 0, w)."""
    return 0.0 * x, 0.0 * y, w + 0.0 * z


def v_zcone(x, y, z, w):
    """(0, 0, w r)."""
    return 0.0 * x, 0.0 * y, w * sqrt(x * x + y * y)


def v_curl3D(x, y, z, w, cx, cy, cz):
    """w (p + c R^2) / (1 + 2 c p + |c|^2 R^2) of p = (x, y, z), c = (cx, -cy, cz): inverted, shifted by c, inverted."""
    s = x * x + y * y + z * z
    k = w / (s * (cx * cx + cy * cy + cz * cz) + 2 * (cx * x - cy * y + cz * z) + 1)
    return k * (x + cx * s), k * (y - cy * s), k * (z + cz * s)


def v_flatten(x, y, z, w):
    """(0, 0, -z), of the sum of the others, which comes first: the result lies in the plane z = 0, whatever w is."""
    return 0.0 * x, 0.0 * y, -z
