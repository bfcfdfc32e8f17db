"""Variations that flames bring: texts, plotted formulas, and formulas in Java."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fractalkit.codes.flame import read_flames
from fractalkit.codes.flame_xml import to_xml
from fractalkit.codes.java_code import java_variation
from fractalkit.codes.java_formula import expression
from fractalkit.codes.text_shapes import areas, choice_table, text_shape, triangles_of
from fractalkit.codes.variation_list import catalogue
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
        ("x == 2 || x < 0 ? 1e1 : 0x10", 10), ("sqrt(x*8.0f)", 4),
    ],
)  # fmt: skip
def test_expressions_of_java(text, value):
    f = code_of("yplot2d_wf", "formula", text, 'yplot2d_wf_xmin="2" yplot2d_wf_xmax="2"')
    name = next(iter(f.xforms[0].variations))
    n = torch.zeros(3, dtype=torch.float64)
    x, y = apply_variation(name, n, n, parameters={"xmin": 2.0, "xmax": 2.0})
    assert torch.allclose(x, n + 2) and torch.allclose(y, n + value, atol=1e-9)


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
     "if (a > 0) return; else return;", "while (a > 0) { return; }", "double x = 1"],
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
