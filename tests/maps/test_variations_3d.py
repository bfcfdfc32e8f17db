"""Variations in space: one text, for tensors and for numbers; what is known of them from geometry."""

import inspect
import math

import numpy as np
import pytest
import torch

from fractalkit.codes.flame import VARIATIONS, VARIATIONS_3D
from fractalkit.maps import variations_3d
from fractalkit.maps.variations_cpu import arguments, compiled, formula

NAMES = [*VARIATIONS_3D, "bubble", "cylinder"]


def values(name: str, rng: np.random.Generator) -> list[float]:
    """Something for each further argument."""
    known = {"p_power": float(rng.choice([-3, -2, 2, 3, 5]))}
    return [known.get(a, float(rng.random())) for a in arguments(name, True)]


def test_each_is_there_with_its_parameters():
    for name in NAMES:
        own = [a.removeprefix("p_") for a in arguments(name, True) if a != "u1"]
        assert own == list((VARIATIONS_3D | VARIATIONS)[name]), name
        assert inspect.getdoc(formula(name, True))
    assert {n.removeprefix("v_") for n in vars(variations_3d) if n.startswith("v_")} == set(NAMES)
    assert not set(VARIATIONS) & set(VARIATIONS_3D)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_and_tensors_agree(name):
    rng = np.random.default_rng(len(name))
    for _ in range(40):
        x, y, z = rng.normal(0, 1.3, 3)
        given = [x, y, z, 0.3 + rng.random(), *values(name, rng)]
        a = np.array([float(v) for v in formula(name, True)(*(torch.tensor(v, dtype=torch.float64) for v in given))])
        b = np.array(compiled(name, True)(*given))
        assert a.shape == (3,) and np.isfinite(a).all() and np.allclose(a, b, rtol=1e-9, atol=1e-11), given


@pytest.mark.parametrize("name", NAMES)
def test_types_and_shapes_are_kept(name):
    rng = np.random.default_rng(1)
    given = values(name, rng)
    for dtype in (torch.float32, torch.float64):
        xyz = [torch.tensor(rng.normal(size=20), dtype=dtype) for _ in range(3)]
        out = formula(name, True)(*xyz, torch.tensor(0.7, dtype=dtype), *(torch.tensor(v, dtype=dtype) for v in given))
        assert all(o.dtype == dtype and o.shape == (20,) for o in out)


def test_spheres_and_cylinders():
    rng = np.random.default_rng(2)
    for x, y, z in rng.normal(0, 2, (20, 3)):
        assert math.isclose(np.linalg.norm(compiled("bubble", True)(x, y, z, 0.8)), 0.8, rel_tol=1e-12)
        assert np.allclose(compiled("bubble", True)(x, y, z, 0.8)[:2], compiled("bubble")(x, y, 0.8))
        h = compiled("hemisphere", True)(x, y, z, 0.8)
        assert math.isclose(np.linalg.norm(h), 0.8, rel_tol=1e-12) and h[2] > 0
        a, _, c = compiled("cylinder", True)(x, y, z, 0.8)
        assert math.isclose(math.hypot(a, c), 0.8, rel_tol=1e-12)


def test_inversions():
    rng = np.random.default_rng(3)
    inverse = compiled("spherical3D", True)
    for p in rng.normal(0, 1, (20, 3)):
        assert np.allclose(inverse(*inverse(*p, 1.0), 1.0), p, rtol=1e-6)
        c = rng.normal(0, 0.4, 3)
        shifted = np.array(inverse(*p, 1.0)) + c * [1, -1, 1]
        assert np.allclose(compiled("curl3D", True)(*p, 1.0, *c), inverse(*shifted, 1.0), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n", [2, 3, -2, 5])
def test_roots(n):
    rng = np.random.default_rng(4)
    for x, y, z in rng.normal(0, 1, (10, 3)):
        u = float(rng.random())
        a, b, c = compiled("julia3D", True)(x, y, z, 1.0, u, n)
        whole = math.hypot(x, y, z / abs(n))
        assert math.isclose(math.hypot(a, b, c), whole ** (1 / n), rel_tol=1e-9)
        turn = complex(a, b) ** n / complex(x, y)
        assert abs(turn.imag) < 1e-9 * abs(turn) and turn.real > 0
        flat = compiled("julian")(x, y, 1.0, u, n, 1.0)
        assert np.allclose(compiled("julia3D", True)(x, y, 0.0, 1.0, u, n), (*flat, 0.0))
        a, b, c = compiled("julia3Dz", True)(x, y, z, 1.0, u, n)
        assert np.allclose((a, b), flat)
        assert math.isclose(c / math.hypot(a, b), z / math.hypot(x, y) / abs(n), rel_tol=1e-6)


def test_closed_forms():
    def at(name, *more):
        return compiled(name, True)(3.0, 4.0, 2.0, 0.5, *more)

    assert at("linear3D") == (1.5, 2.0, 1.0)
    assert at("zscale") == (0, 0, 1.0) and at("ztranslate") == (0, 0, 0.5) and at("zcone") == (0, 0, 2.5)
    assert at("flatten") == (0, 0, -2.0)
    assert np.allclose(at("curl3D", 0.0, 0.0, 0.0), (1.5, 2.0, 1.0))
    assert np.allclose(at("sinusoidal3D")[:2], (0.5 * math.sin(3), 0.5 * math.sin(4)))
