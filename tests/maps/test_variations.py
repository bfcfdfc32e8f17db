"""Variations: one text as code for numbers and for tensors, and what the formulas compute."""

import math
import zlib
from functools import cache

import numba as nb
import numpy as np
import pytest
import torch

from fractalkit.codes.flame_parts import KNOWN, VARIATIONS
from fractalkit.codes.variation_list import catalogue
from fractalkit.maps import fast_math
from fractalkit.maps.variation_code import (
    MATH,
    arguments,
    find,
    function_codes,
    has_color,
    number_code,
    table_codes,
    tensor_code,
)

NAMES = list(KNOWN)
SELDOM = {"squircular", "invsquircular"}  # no number outside a square, or the like
AFFINE = {"ca": 0.7, "cb": -0.2, "cc": 0.6, "cd": 0.3, "ce": 0.8, "cf": -0.5}
GENERATOR = {name: np.uint64(value) for name, value in (
    ("STEP", 0x9E3779B97F4A7C15), ("M1", 0xBF58476D1CE4E5B9), ("M2", 0x94D049BB133111EB), ("S30", 30), ("S27", 27),
    ("S31", 31), ("S11", 11),
)}  # fmt: skip


@cache
def numbers(name: str, space: bool = False, compile_it: bool = False):
    """The code for numbers, run by Python with the compiler's mathematics, or compiled."""
    functions: dict[str, str] = {}
    tables: dict[str, str] = {}
    function_codes(find(name), functions)
    table_codes(find(name), tables)
    names = {"np": np, **GENERATOR, **{n: getattr(fast_math, n) for n in MATH}}
    decorate = nb.njit(error_model="numpy", fastmath={"contract"}) if compile_it else (lambda f: f)
    exec("".join(tables.values()), names)
    for key, text in functions.items():
        exec(text, names)
        names[f"f_{key}"] = decorate(names[f"f_{key}"])
    exec(number_code(find(name), space), names)
    return decorate(names[f"v_{name}{'_3d' if space else ''}"])


def draws(seed: int):
    """The random numbers of a seed, one by one."""

    def one():
        nonlocal seed
        seed = (seed + 0x9E3779B97F4A7C15) % 2**64
        z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return torch.tensor([((z ^ (z >> 31)) >> 11) * 2.0**-53], dtype=torch.float64)

    return one


def given(name: str, rng: np.random.Generator) -> list[float]:
    """Parameters near their defaults, whole where those are, and the numbers of a map."""
    out = []
    for a in arguments(find(name)):
        if a in AFFINE:
            out.append(AFFINE[a])
            continue
        default = find(name).parameters[a[2:]]
        whole = default == int(default) and abs(default) >= 1
        out.append(default + int(rng.integers(0, 2)) if whole else default + round(float(rng.uniform(0.1, 0.9)), 3))
    return out


def by_numbers(name, point, color, w, more, seed, space, compile_it=False):
    d = find(name)
    call = [*point[: 3 if space else 2], *([color] if has_color(d) else []), w, *more]
    call += [np.uint64(seed)] if d.program.draws else []
    exact = [np.float64(v) if isinstance(v, float) else v for v in call]
    with np.errstate(all="ignore"):
        return [float(v) for v in numbers(name, space, compile_it)(*exact)]


def by_tensors(name, point, color, w, more, seed, space):
    d = find(name)
    t = [torch.tensor([v], dtype=torch.float64) for v in (*point, color)]
    if not space:
        t[2] = t[2] * 0
    x, y, z, c, hidden = tensor_code(d)(*t, *(torch.tensor(v, dtype=torch.float64) for v in (w, *more)), draws(seed))
    out = [x, y, *([0.0 if z is None else z] if space else []), *([c] if d.program.colors else [])]
    return [float(v) for v in [*out, *([hidden] if d.program.hides else [])]]


@pytest.mark.parametrize("name", NAMES)
def test_numbers_and_tensors_agree(name):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    d = find(name)
    finite = 0
    for k in range(8):
        point, w = [float(v) for v in rng.normal(0, 1.2, 3)], 0.3 + float(rng.random())
        more, seed = given(name, rng), int(rng.integers(2**62))
        for space in (False, True)[: 2 if d.space else 1]:
            a = by_tensors(name, point, 0.4, w, more, seed, space)
            b = by_numbers(name, point, 0.4, w, more, seed, space)[: len(a)]
            size = max([1.0, *(abs(v) for v in a if math.isfinite(v))])
            assert np.allclose(a, b, rtol=1e-7, atol=1e-7 * size, equal_nan=True) or max(map(abs, a)) > 1e9, (
                k,
                more,
                a,
                b,
            )
            finite += all(map(math.isfinite, a))
    assert finite >= (1 if name in SELDOM else 4)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_keep_their_type_and_shape(name):
    rng = np.random.default_rng(1)
    more = given(name, rng)
    for dtype in (torch.float32, torch.float64):
        point = [torch.tensor(rng.normal(size=7), dtype=dtype) for _ in range(3)]
        color, w = torch.full((7,), 0.3, dtype=dtype), torch.tensor(0.7, dtype=dtype)
        numbers_ = [torch.tensor(v, dtype=dtype) for v in more]
        x, y, z, c, _ = tensor_code(find(name))(*point, color, w, *numbers_, lambda d=dtype: torch.rand(7, dtype=d))
        for v in (x, y, z, c):
            assert not isinstance(v, torch.Tensor) or (v.dtype == dtype and v.shape in ((7,), ()))


@pytest.mark.parametrize("name", ["julian", "mobius", "julia3D", "bipolar"])
def test_compiled_code_is_the_same(name):
    rng = np.random.default_rng(3)
    point, more, space = [float(v) for v in rng.normal(size=3)], given(name, rng), find(name).space
    a, b = (by_numbers(name, point, 0.4, 0.8, more, 5, space, c) for c in (False, True))
    assert np.allclose(a[:2], b[:2], rtol=1e-12)


def test_each_says_what_it_does_and_flam3s_are_all_there():
    assert len(VARIATIONS) == 99 and all(n in KNOWN for n in VARIATIONS)
    for d in catalogue().variations.values():
        assert d.doc.endswith(".") and len(d.doc) > 2, d.name


def test_names_in_any_case_with_prefixes_and_other_spellings():
    c = catalogue()
    assert c.spelled("post_Mobius") == "post_mobius" and c.spelled("JuliaN") == "julian" and c.spelled("nosuch") is None
    assert c.parameter("pre_julian_power") == ("pre_julian", "power") and c.parameter("oscope_damping") is not None
    assert c.parameter("shift_shift_x") == ("shift", "x") and c.parameter("rational3_h") == ("rational3", "bc")
    assert c.parameter("julian_nosuch") is None and KNOWN["post_julian"] == KNOWN["julian"]


def at(name, *more, point=(3.0, 4.0, 2.0), w=1.0, seed=1):
    return by_numbers(name, point, 0.5, w, [float(m) for m in more], seed, find(name).space)[
        : 3 if find(name).space else 2
    ]


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("exp", np.exp), ("log", np.log), ("sin", np.sin), ("sinh", np.sinh), ("cosh", np.cosh), ("tan", np.tan),
        ("spherical", lambda z: 1 / np.conj(z)), ("sec", lambda z: 1 / np.cos(z)), ("tanh", np.tanh),
        ("sech", lambda z: 1 / np.cosh(z)), ("linear", lambda z: z), ("cos", np.cos), ("csc", lambda z: 1 / np.sin(z)),
        ("csch", lambda z: 1 / np.sinh(z)),
    ],
)  # fmt: skip
def test_those_that_are_complex_functions(name, f):
    a, b = at(name, *find(name).parameters.values(), point=(0.4, -0.7, 0.0))[:2]
    z = f(complex(0.4, -0.7))
    # sines and cosines of flames are conjugated in places
    assert math.isclose(a, z.real, rel_tol=1e-6) and math.isclose(abs(b), abs(z.imag), rel_tol=1e-6)


def test_closed_forms():
    p = (0.3, 0.4, 0.0)
    assert at("bent", point=(-1.0, -1.0, 0.0))[:2] == [-2.0, -0.5]
    assert np.allclose(at("bubble", point=(2.0, 0.0, 0.0)), (1.0, 0.0, 0.0))
    assert np.allclose(at("polar", point=(0.0, 1.0, 0.0)), (0.0, 0.0))
    assert np.allclose(at("mobius", 1, 0, 0, 0, 0, 0, 1, 0, point=p), p[:2])
    assert np.allclose(at("curl", 0, 0, point=p), p[:2]) and np.allclose(at("popcorn2", 0, 0, 1, point=p), p[:2])
    assert at("linear3D", w=0.5) == [1.5, 2.0, 1.0] and at("flatten", w=0.5) == [0, 0, -2.0]
    assert at("zscale", w=0.5) == [0, 0, 1.0] and at("ztranslate", w=0.5) == [0, 0, 0.5]
    assert np.allclose(at("zcone", w=0.5), (0, 0, 2.5))
    # outside x^4 + y^4 + 2 z^2 = w / 2 an inversion, inside it octants moved apart
    assert np.allclose(at("octagon", 1, 1, 1, 0, point=(1.0, 2.0, 1.0)), np.array([1.0, 2.0, 1.0]) / 19)
    inner = np.array([0.25, -0.25, 0.0])
    assert np.allclose(at("octagon", 1, 1, 1, 0, point=tuple(inner)), inner * (2 + 1 / 0.5) + (1, -1, 1))
    # a square of side 2: the largest of its four distances, or of the circle's
    assert np.allclose(at("scry2", 0, 4, 0, 0, point=p), np.array(p[:2]) / (0.4 * (0.16 + 1)))
    assert np.allclose(at("scry2", 0, 4, 0, 1, point=p), at("scry", point=p))
    assert np.allclose(at("fdisc", 1, 1, 0, 0, 0, 0, 0, 2, point=p), (0.6, 0.8))
    assert np.allclose(at("mask", 0, 0, 0, 0, 0, point=p), (0, 0))


def test_spheres_and_cylinders():
    rng = np.random.default_rng(2)
    for point in rng.normal(0, 2, (9, 3)).tolist():
        assert math.isclose(math.hypot(*at("bubble", point=point, w=0.8)), 0.8, rel_tol=1e-12)
        h = at("hemisphere", point=point, w=0.8)
        assert math.isclose(math.hypot(*h), 0.8, rel_tol=1e-12) and h[2] > 0
        a, _, c = at("cylinder", point=point, w=0.8)
        assert math.isclose(math.hypot(a, c), 0.8, rel_tol=1e-12)
        once = at("spherical3D", point=point)
        assert np.allclose(at("spherical3D", point=once), point, rtol=1e-6)
        c = rng.normal(0, 0.4, 3)
        curled = at("curl3D", *c, point=point)
        want = at("spherical3D", point=[a + b for a, b in zip(once, c * [1, -1, 1], strict=True)])
        assert np.allclose(curled, want, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n", [2, 3, -2, 5])
def test_roots(n):
    rng = np.random.default_rng(4)
    for x, y, z in rng.normal(0, 1, (9, 3)).tolist():
        a, b, c = at("julia3D", n, point=(x, y, z))
        assert math.isclose(math.hypot(a, b, c), math.hypot(x, y, z / abs(n)) ** (1 / n), rel_tol=1e-9)
        turn = complex(a, b) ** n / complex(x, y)
        assert abs(turn.imag) < 1e-9 * abs(turn) and turn.real > 0
        flat = at("julian", n, 1, point=(x, y, 0.0))[:2]
        assert np.allclose(at("julia3D", n, point=(x, y, 0.0)), (*flat, 0.0))
        a, b, c = at("julia3Dz", n, point=(x, y, z))
        assert np.allclose((a, b), flat)
        assert math.isclose(c / math.hypot(a, b), z / math.hypot(x, y) / abs(n), rel_tol=1e-6)
