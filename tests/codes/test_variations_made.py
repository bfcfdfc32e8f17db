"""Variations that flames bring: texts, plotted formulas, and formulas in Java."""

import cmath
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fractalkit.codes import java_formula
from fractalkit.codes.flame import read_flames
from fractalkit.codes.flame_xml import to_xml
from fractalkit.codes.java_code import java_variation
from fractalkit.codes.java_formula import NUMBER, JavaPart, expression
from fractalkit.codes.java_shader import shader_lines
from fractalkit.codes.text_shapes import areas, choice_table, text_shape, triangles_of
from fractalkit.codes.variation_list import catalogue
from fractalkit.codes.variation_text import read_variations
from fractalkit.codes.variations_made import MAKERS
from fractalkit.errors import DataError, FileWarning
from fractalkit.maps import apply_variation
from fractalkit.orbit.flame import accumulate

PAGE = '<flame size="64 64" scale="16"><xform weight="1" color="0.3" {} coefs="1 0 0 1 0 0"/></flame>'


def hexed(text: str) -> str:
    return text.encode().hex().upper()


def flame(attributes: str):
    return read_flames(PAGE.format(attributes).encode())[0]


def code_of(base: str, attribute: str, text: str, *more: str):
    return flame(" ".join([f'{base}="1" {base}_{attribute}="{hexed(text)}"', *more]))


def test_a_text_is_drawn_in_a_font_that_is_there_and_written_back():
    text = f'text_wf="1" text_wf_text="{hexed("HI")}" text_wf_font_name="{hexed("Times New Roman")}"'
    with pytest.warns(FileWarning, match="Times New Roman is replaced by DejaVu Serif"):
        f = flame(f'{text} text_wf_antialias="0" text_wf_font_size="100"')
    assert f.whole and not f.unread
    name = next(iter(f.xforms[0].variations))
    assert name.startswith("text_wf_") and f.xforms[0].parameters == {f"{name}_antialias": 0, f"{name}_font_size": 100}
    back = to_xml([f])
    assert f'text_wf_text="{hexed("HI")}"' in back and name not in back
    with pytest.warns(FileWarning):
        assert read_flames(back.encode())[0].same(f)
    n = torch.zeros(20000, dtype=torch.float64)
    x, y = (v.numpy() for v in apply_variation(name, n, n, parameters={"antialias": 0.0}))
    shape = text_shape("HI", "Times New Roman")
    # within the text's width and height, in those of an image with margins of one size of the font
    wide = 1.5 * shape.width / (shape.width + 2)
    assert np.abs(x).max() < wide and np.abs(y).max() < 1.5 * shape.height / (shape.height + 2)
    first = text_shape("H", "Times New Roman")
    between = 3 * (first.width - shape.width / 2) / (shape.width + 2)
    assert abs((x < between).mean() - areas(first.triangles).sum() / areas(shape.triangles).sum()) < 0.02


@pytest.mark.filterwarnings("ignore::fractalkit.errors.FileWarning")
def test_two_texts_in_one_flame_by_both_loops():
    one, two = (code_of("text_wf", "text", t, f'text_wf_offset_y="{y}"') for t, y in (("I", -0.3), ("III", 0.3)))
    both = replace(one, xforms=one.xforms + two.xforms)
    pictures = [accumulate(both, 60_000, gutter=0, seed=1, threads=1, compiled=c)[..., 3] for c in (False, True)]
    assert all(p[:32].sum() > 20_000 and p[32:].sum() > 20_000 for p in pictures)
    assert np.abs(pictures[0].sum(1) - pictures[1].sum(1)).max() < 0.1 * pictures[0].sum(1).max()


def test_polygons_with_holes_become_triangles():
    outer = np.array([[0, 0], [4, 0], [4, 4], [0, 4], [0, 0.0]])
    hole = np.array([[1, 1], [1, 3], [3, 2], [1, 1.0]])
    made = triangles_of([outer, hole])
    assert math.isclose(areas(made).sum(), 14)
    table = choice_table(areas(made), made)
    share = table[:, 0].copy()
    np.add.at(share, table[:, 1].astype(int), 1 - table[:, 0])
    assert np.allclose(share / len(share), areas(made) / 14)
    assert len(triangles_of([])) == 0


@pytest.mark.filterwarnings("ignore::fractalkit.errors.FileWarning")
def test_a_text_of_blanks_draws_nothing():
    f = code_of("text_wf", "text", "  ")
    assert accumulate(f, 5_000, gutter=0, seed=1, threads=1, compiled=False).sum() == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1/2 + 1/2.0", 0.5), ("7 % 4 * 2", 6), ("-x*x", -4), ("x > 1 && !(x > 3) ? sqr(x) : 0", 4), ("pow(-2, 3)", -8),
        ("Math.sin(M_PI/2)", 1), ("(int)(2.9) + (double)1 / 2", 2.5), ("atan2(1, 0) - pi/2", 0), ("min(x, 1.5)", 1.5),
        ("x == 2 || x < 0 ? 1e1 : 0x10", 10), ("sqrt(x*8.0f)", 4), ("cbrt(-4*x) + signum(x-2)", -2),
        ("fract(-x/8) + lerp(x, 4, 0.5) + sgn(-x)", 2.75),
    ],
)  # fmt: skip
def test_expressions_of_java(text, value):
    f = code_of("yplot2d_wf", "formula", text, 'yplot2d_wf_xmin="2" yplot2d_wf_xmax="2"')
    name = next(iter(f.xforms[0].variations))
    n = torch.zeros(3, dtype=torch.float64)
    x, y = apply_variation(name, n, n, parameters={"xmin": 2.0, "xmax": 2.0})
    assert torch.allclose(x, n + 2) and torch.allclose(y, n + value, atol=1e-9)


def test_functions_of_java_evaluate_each_argument_once():
    for count, text in java_formula._CALLS.values():  # else a random number in it would be drawn twice
        assert [text.count(f"{{{i}}}") for i in range(count)] == [1] * count, text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("sin(x", "expected ','"), ("x +", "ends too early"), ("foo(x)", "foo of 1 numbers"),
        ("q", "q is not known"), ("x > 1", "is a condition"), ("x ? 1 : 2", "needs a condition"),
        ("x; y", "after the formula"), ("x @ 2", "not arithmetic"), ("(" * 90 + "x" + ")" * 90, "too deeply"),
        ("1" * 30000, "more than a formula may have"), ("!x", "before a number"),
    ],
)  # fmt: skip
def test_what_is_no_formula_is_named_and_the_variation_left_out(text, why):
    with pytest.raises(DataError, match=why):
        expression(text, {"x": "a_x"}, "formula")
    with pytest.warns(FileWarning, match="yplot2d_wf"):
        f = code_of("yplot2d_wf", "formula", text)
    assert f.unknown == ["yplot2d_wf"] and hexed(text) in to_xml([f])


CODE = """
import static org.jwildfire.base.mathlib.MathLib.*;
public void init(FlameTransformationContext pContext, XForm pXForm) { }
public void transform(Context pContext, XForm pXForm, XYZPoint pAffineTP, XYZPoint pVarTP, double pAmount) {
  /* a comment */ final double s = pAffineTP.getPrecalcSumsq(); int n = 3, m; // another
  if (s > 100) { pVarTP.x += 7; return; }
  m = 0;
  for (int i = 0; i < n; i++) { m += i; if (m > 50) break; }
  while (m < 10) m++;
  if (pAffineTP.x < 0) pVarTP.color = 0; else { pVarTP.color = 0.75; }
  pVarTP.x += pAmount * (a * pAffineTP.y + m);
  pVarTP.y -= pAmount * pAffineTP.x;
  if (pContext.isPreserveZCoordinate()) { pVarTP.z += pAmount * pAffineTP.z; }
}
"""


def test_java_code_is_read_and_not_run():
    f = code_of("custom_wf", "code", CODE, 'custom_wf_a="2"')
    name = next(iter(f.xforms[0].variations))
    assert f.whole and f.xforms[0].parameters == {f"{name}_a": 2}
    x, y = torch.tensor([1.0, 20.0]), torch.tensor([3.0, 0.0])
    u, v = apply_variation(name, x, y, parameters={"a": 2.0}, weight=0.5)
    assert torch.allclose(u, torch.tensor([8.0, 7.0])) and torch.allclose(v, torch.tensor([-0.5, 0.0]))
    assert read_flames(to_xml([f]).encode())[0].same(f)


def test_java_before_and_after_the_others():
    after = "void transform() { pVarTP.x = 2 * pVarTP.x + 1; }"
    assert java_variation(after, "post_", {}, "t").lines[1] == "    to_x, to_y, to_z = x, y, z"
    f = flame(f'linear="1" post_custom_wf="1" post_custom_wf_code="{hexed(after)}"')
    assert f.whole and catalogue().find(list(f.xforms[0].variations)[1])[0] == "post_"
    assert "return at_x" in java_variation("void transform() { pAffineTP.x *= 2; }", "pre_", {}, "t").lines[-1]


def test_a_class_brings_its_parameters():
    code = """class XFunc { private static final String PARAM_A = "amp"; double q = 3; int n = 2;
    String[] paramNames = {PARAM_A, "count"}; Object[] getParameterValues() { return new Object[]{q, n}; }
    public void transform(X x) { double t = q * n; pVarTP.x += t; pVarTP.doHide = t > 100; } }"""
    made = java_variation(code, "", {}, "t")
    assert made.parameters == {"amp": 3, "count": 2} and "    hidden = (j_t > 100)" in made.lines


@pytest.mark.parametrize(
    "body",
    ["System.exit(1);", "for (;;) { }", "x = new Foo();", "switch (a) { }", "pVarTP.x += foo(1);", "int x = true;",
     "if (a > 0) return; else { pVarTP.x = 1; }", "while (a > 0) { return; }", "double x = 1"],
)  # fmt: skip
def test_java_that_is_not_read(body):
    with pytest.raises(DataError):
        java_variation(f"void transform() {{ {body} }}", "", dict.fromkeys("abcdefg", 0.0), "t")


def test_every_maker_has_its_variation_and_files_are_not_read():
    for base in MAKERS:
        assert catalogue().base(base) is not None
    with pytest.warns(FileWarning, match="not known"):
        f = code_of("yplot2d_wf", "formula", "x", f'yplot2d_wf_colormap_filename="{hexed("a.png")}"')
    assert f.unknown == ["yplot2d_wf"]


SHADER = """
import js.glsl.vec2;
double half = 0.5; // a field
mat2 rot(double a) { return new mat2(cos(a), sin(a), -sin(a), cos(a)); }
double bump(vec2 p, int n) {
  if (p.x < 0.) return -1.0;
  double s = 0;
  for (int i = 0; i < n; ++i) { if (s > 100.) break; s += fract(p.x * i) + n / 2; }
  return s;
}
public vec3 getRGBColor(double xp, double yp) {
  vec2 p = new vec2(xp, yp).multiply(zoom).minus(new vec2(stepX, stepY));
  p = p.yx;
  p.x += half;
  vec2 q = rot(0.3).times(p), m = mod(p, 1.0);
  vec3 c = mix(new vec3(0.1), new vec3(p, q.x), clamp(m.y, 0.25, 0.75));
  vec2 z = c_div(c_add(c_mul(q, p), c_i()), c_inv(c_sqrt(c_sin(p))));
  return p.x > 0. ? c.multiply(length(z) + dot(p, q)).zxy : new vec3(bump(p, 5), distance(p, q), cross(c, c.yzx).z);
}
"""


def test_vectors_are_spread_into_numbers():
    lines = shader_lines(
        SHADER, "getRGBColor", {k: JavaPart(k, NUMBER) for k in ("zoom", "stepX", "stepY")}, ["p", "q"], "t"
    )
    text = "\n".join(["function f(p, q, zoom, stepX, stepY): A colour.", *lines])
    text += "\nvariation v(): It.\n    a, b, c = f(x, y, 2, 0.1, 0.2)\n    return a, b, c"
    shared = dict(catalogue().functions)
    declared = read_variations(text, "t", shared.get)[1]
    catalogue().put(declared)
    got = [v.item() for v in apply_variation("v", *(torch.tensor([v], dtype=torch.float64) for v in (0.3, 0.7)))]
    x, y = 2 * 0.7 - 0.2 + 0.5, 2 * 0.3 - 0.1
    p, turn = complex(x, y), cmath.rect(1, 0.3)
    q = p * turn
    c = np.array([0.1] * 3) + (np.array([x, y, q.real]) - 0.1) * np.clip(y % 1, 0.25, 0.75)
    k = abs((q * p + 1j) * cmath.sqrt(cmath.sin(p))) + x * q.real + y * q.imag
    assert np.allclose(got[:2], (c * k)[[2, 0]])
    got = [v.item() for v in apply_variation("v", *(torch.tensor([v], dtype=torch.float64) for v in (0.3, -0.5)))]
    assert np.allclose(got, [-1, abs(complex(-0.7, 0.5) * (1 - turn))])


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("vec3 f(double a, double b) { return f(a, b); }", "calls itself"), ("int g = 1;", "no method getRGBColor"),
        ("double f(double a, double b) { return a; }", "expected a vec3"), ("vec3 f(double a) {", "no method"),
        ("vec3 f(double a, double b) { return new vec2(a, b); }", "vec2 cannot be vec3"),
        ("vec3 f(double a, double b) { vec2 p = new vec2(a); return p.xyz; }", "xyz of vec2 is not known"),
        ("vec3 f(double a, double b) { return new vec3(a, b); }", "vec3 of 2 numbers"),
        ("vec3 f(double a, double b) { for (;a < b;) { return new vec3(a); } }", "within a loop"),
        ("vec3 f(double a, double b) { return texture(a, b); }", "texture of 2 numbers is not known"),
    ],
)  # fmt: skip
def test_what_is_no_shader_is_named(code, why):
    with pytest.raises(DataError, match=why):
        shader_lines(code.replace(" f(", " getRGBColor("), "getRGBColor", {}, ["p", "q"], "its code")


def test_a_flame_brings_colours_of_places():
    code = "public vec3 getRGBColor(double u, double v) { return new vec3(u * zoom, 0.5, step(0.0, v)); }"
    f = code_of("dc_code", "code", code, 'dc_code_zoom="2" dc_code_Gradient="2" dc_code_z_scale="1"')
    assert f.whole and hexed(code) in to_xml([f])
    pixels = code_of("glsl_code", "code", code.replace("double u, double v", "int u, int v"), 'glsl_code_Gradient="0"')
    assert pixels.whole and accumulate(pixels, 5_000, gutter=0, seed=1, threads=1, compiled=False)[..., 3].sum() > 1000
    # without a formula both are the catalogue's
    for name in ("dc_code", "glsl_code"):
        assert flame(f'{name}="1"').whole
        MAKERS[name].make(dict(MAKERS[name].texts), "0", "")


def test_formulas_of_complex_numbers():
    code = "public vec2 f(vec2 z) { if (length(z) < 0.1) return z; return c_pow(c_sin(z), new vec2(2.0, 0.5)); }"
    f = code_of("c_var", "code", code, 'c_var_zoom="2" c_var_shiftX="0.1"')
    name = next(iter(f.xforms[0].variations))
    n = torch.zeros(1, dtype=torch.float64)
    x, y = apply_variation(name, n + 0.3, n - 0.6, parameters={"zoom": 2.0, "shiftX": 0.1})
    assert cmath.isclose(complex(x, y), cmath.sin(0.7 - 1.2j) ** (2 + 0.5j))
    x, y = apply_variation("c_var", n + 0.3, n - 0.6)
    assert cmath.isclose(complex(x, y), 1 / (0.3 - 0.6j) + cmath.exp(1 / (0.3 - 0.6j)) + 1)
    cut = code_of("cut_c", "code", "vec2 f(vec2 z) { return z; }", 'cut_c_mode="0" cut_c_zoom="1"', 'square="3"')
    assert cut.whole and accumulate(cut, 5_000, gutter=0, seed=1, threads=1, compiled=False)[..., 3].sum() > 100


def test_the_mandelbrot_set_of_a_power():
    n = torch.zeros(2, dtype=torch.float64)
    text = """variation of_power(): Two of the colours of the fourth kind.
    s, size, a, b = gmandel(x, y, 128, 3, 0, 0, 0, 0, 0, 0, 0, 0)
    p, q, r = gmandel_color(4, s, size, a, b, 128)
    return p, r"""
    catalogue().put(read_variations(text, "t", catalogue().base("dc_gmandelbroot").functions)[0])
    got = apply_variation("of_power", n + torch.tensor([0.1, 1.1]), n + 0.2)
    c, p, steps, size = 1.1 + 0.2j, 1.1 + 0.2j, 0, 0.0
    while size <= 128:
        size, p, steps = abs(p) ** 2 if steps else 0.0, p**3 + c, steps + 1
    s = steps - 1
    lights = [min(s * (size * s / 128) ** e / 255, 1) for e in (0.45, 0.25)]
    assert np.allclose([got[0][1], got[1][1]], lights) and got[0][0] == got[1][0] == 0
    assert flame('dc_gmandelbroot="1" dc_gmandelbroot_z_scale="2"').whole


def test_a_loop_runs_as_often_as_its_head_says():
    for body, turns in (("pVarTP.x += k;", 7), ("pVarTP.x += k; k -= 1;", 256)):
        code = f"void transform() {{ for (int k = 2; k <= 8; k++) {{ {body} }} }}"
        assert f"in range({turns}):" in "".join(java_variation(code, "", {}, "t").lines)
