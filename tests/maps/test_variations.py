"""The variations: one text, for tensors and for numbers."""

import inspect
import math

import numpy as np
import pytest
import torch

from fractalkit.codes.flame import VARIATIONS
from fractalkit.maps import variations
from fractalkit.maps.variations_cpu import arguments, compiled


def test_each_variation_is_there_with_its_parameters():
    for name, parameters in VARIATIONS.items():
        own = [
            a.removeprefix("p_")
            for a in arguments(name)
            if a not in {"u1", "u2", "u3", "u4", "u5", "cb", "ce", "cc", "cf"}
        ]
        assert sorted(own) == sorted(parameters), name
        assert inspect.getdoc(getattr(variations, f"v_{name}"))
    extra = {n.removeprefix("v_") for n in vars(variations) if n.startswith("v_")} - set(VARIATIONS)
    assert not extra


def values(name: str, rng: np.random.Generator) -> list[float]:
    """Something for each further argument."""
    out = []
    for argument in arguments(name):
        u = float(rng.random())
        known = {"sides": 5.0, "slices": 6.0, "count": 3.0, "p_power": 3.0, "size": 0.7, "m": 4.0, "n1": 1.3}
        out.append(u if argument[0] == "u" and len(argument) == 2 else known.get(argument, 0.2 + u))
    return out


@pytest.mark.parametrize("name", VARIATIONS)
def test_numbers_and_tensors_agree(name):
    rng = np.random.default_rng(len(name))
    formula, number = getattr(variations, f"v_{name}"), compiled(name)
    for _ in range(40):
        x, y, w = rng.normal(0, 1.3), rng.normal(0, 1.3), 0.3 + rng.random()
        given = values(name, rng)
        tensors = [torch.tensor(v, dtype=torch.float64) for v in (x, y, w, *given)]
        a = np.array([float(v) for v in formula(*tensors)])
        b = np.array(number(x, y, w, *given))
        assert np.isfinite(a).all() and np.allclose(a, b, rtol=1e-9, atol=1e-11), (x, y, w, given)


@pytest.mark.parametrize("name", VARIATIONS)
def test_single_precision(name):
    rng = np.random.default_rng(1)
    formula = getattr(variations, f"v_{name}")
    given = values(name, rng)
    for dtype in (torch.float32, torch.float64):
        x, y = (torch.tensor(rng.normal(size=20), dtype=dtype) for _ in range(2))
        a, b = formula(x, y, torch.tensor(0.7, dtype=dtype), *(torch.tensor(v, dtype=dtype) for v in given))
        assert a.dtype == b.dtype == dtype and a.shape == b.shape


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("exp", lambda z: np.exp(z)), ("log", lambda z: np.log(z)), ("sin", np.sin), ("sinh", np.sinh),
        ("cosh", np.cosh),
        ("spherical", lambda z: 1 / np.conj(z)), ("sec", lambda z: 1 / np.cos(z)), ("tanh", np.tanh), ("tan", np.tan),
        ("sech", lambda z: 1 / np.cosh(z)), ("linear", lambda z: z), ("cos", np.cos), ("csc", lambda z: 1 / np.sin(z)),
        ("csch", lambda z: 1 / np.sinh(z)),
    ],
)  # fmt: skip
def test_those_that_are_complex_functions(name, f):
    x, y = 0.4, -0.7
    a, b = compiled(name)(x, y, 1.0)
    z = f(complex(x, y))
    # sines and cosines of flames are conjugated in places
    assert math.isclose(a, z.real, rel_tol=1e-6) and math.isclose(abs(b), abs(z.imag), rel_tol=1e-6)


def test_closed_forms():
    def at(name, *args):
        return compiled(name)(*args)

    assert at("bent", -1.0, -1.0, 1.0) == (-2.0, -0.5)
    assert np.allclose(at("bubble", 2.0, 0.0, 1.0), (1.0, 0.0))
    assert np.allclose(at("polar", 0.0, 1.0, 1.0), (0.0, 0.0))
    assert np.allclose(at("mobius", 0.3, 0.4, 1.0, 1, 0, 0, 0, 0, 0, 1, 0), (0.3, 0.4))
    assert np.allclose(at("curl", 0.3, 0.4, 1.0, 0.0, 0.0), (0.3, 0.4))
    assert np.allclose(at("julian", 3.0, 4.0, 1.0, 0.0, 2.0, 1.0), np.array([2.0, 1.0]))
    assert np.allclose(at("popcorn2", 0.3, 0.4, 1.0, 0.0, 0.0, 1.0), (0.3, 0.4))
