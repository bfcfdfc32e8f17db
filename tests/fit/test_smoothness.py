"""Smooth surfaces are told from attractors, planes and volumes."""

import numpy as np
import pytest

from fractalkit.codes.presets import preset
from fractalkit.fit.smoothness import is_smooth_surface
from fractalkit.orbit import sample


def body(n, seed):
    """Points of a dented ellipsoid drawn from a seed, off it by a five-hundredth of its size."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x *= (
        1
        + rng.normal(size=(n, 1)) * 0.002
        + 0.25 * np.sin(4 * x @ (turn := rng.normal(size=(3, 1))) / np.linalg.norm(turn))
    )
    return x * rng.uniform(0.5, 1.5, 3) * 1e3 + 1e4


@pytest.mark.parametrize("n", [4000, 30_000])
def test_bodies_are_smooth_surfaces(n):
    assert is_smooth_surface(body(n, n))


def test_strays_and_points_that_are_not_finite_do_not_matter():
    assert is_smooth_surface(np.r_[body(4000, 1), [[np.nan, 0, 0], [1e9, 0, 0], [np.inf, 1, 1]]])


@pytest.mark.parametrize("name", ["fern-3d", "nautilus", "menger-sponge", "sierpinski-tetrahedron"])
def test_attractors_are_none(name):
    assert not is_smooth_surface(sample(preset(name), 20_000, seed=2).points.numpy())


def test_planes_quadrics_volumes_points_that_coincide_and_few_points_are_none():
    rng = np.random.default_rng(3)
    flat = rng.random((5000, 2))
    for height in (np.zeros(5000), ((flat - 0.5) ** 2).sum(axis=1)):
        assert not is_smooth_surface(np.c_[flat, height])
    ball = rng.normal(size=(5000, 3))
    ball *= (1 + rng.normal(size=(5000, 1)) * 0.005) / np.linalg.norm(ball, axis=1, keepdims=True)
    assert not is_smooth_surface(ball) and not is_smooth_surface(rng.random((5000, 3)))
    assert not is_smooth_surface(np.ones((5000, 3))) and not is_smooth_surface(np.zeros((5000, 3)))
    assert not is_smooth_surface(flat) and not is_smooth_surface(body(900, 4))
