"""Affine maps of space as maps of a flame, whose affine maps act in three planes, before and after the variations.

A matrix is Q R with a rotation Q and an upper triangular R. R is a product of maps in the planes (x, y), (y, z) and
(z, x), which act before the variations; Q is one of rotations in these planes, which act after them
(:meth:`fractalkit.codes.flame_parts.Xform.solid`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame_parts import Xform

Matrix = npt.NDArray[np.float64]
FLIP = np.diag([1.0, -1.0, 1.0])  # codes have y upwards, flames downwards


def blocks_of(matrix: Matrix, offset: Matrix) -> dict[str, Any]:
    """The six affine maps of a flame's map that is x -> matrix x + offset, ``[3, 3]`` and ``[3]``, by their fields."""
    q, r = np.linalg.qr(matrix)
    if np.linalg.det(q) < 0:
        q[:, 2], r[2] = -q[:, 2], -r[2]
    if abs(q[1, 2]) < 1 - 1e-12:
        alpha, gamma = math.atan2(q[0, 2], q[2, 2]), math.atan2(q[1, 0], q[1, 1])
    else:
        alpha, gamma = math.atan2(-q[2, 0], q[0, 0]), 0.0
    beta = math.asin(float(np.clip(-q[1, 2], -1, 1)))
    c, s = np.cos([alpha, beta, gamma]), np.sin([alpha, beta, gamma])
    fields = {
        "coefs": (r[0, 0], 0, r[0, 1], r[1, 1], 0, 0), "yz_coefs": (1, 0, r[1, 2], 1, 0, 0),
        "zx_coefs": (1, 0, r[0, 2], r[2, 2], 0, 0), "post": (c[2], s[2], -s[2], c[2], offset[0], offset[1]),
        "yz_post": (c[1], s[1], -s[1], c[1], 0, offset[2]), "zx_post": (c[0], -s[0], s[0], c[0], 0, 0),
    }  # fmt: skip
    return {name: tuple(float(v) for v in values) for name, values in fields.items()}


def affine_of(x: Xform) -> tuple[Matrix, Matrix]:
    """The affine map of a flame's map, ``[3, 3]`` and ``[3]``, whose variations are ``linear3D`` or ``linear``."""
    gain, deep = sum(x.variations.values()), x.variations.get("linear3D", 0.0)  # linear alone forgets z
    images = []
    for p in (np.zeros(3), *np.eye(3)):
        before = np.array(x.solid(*p)) * [gain, gain, deep]
        images.append(np.array(x.solid(*before, post=True)))
    return np.stack([v - images[0] for v in images[1:]], axis=1), images[0]
