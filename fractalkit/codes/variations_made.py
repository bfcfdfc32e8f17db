"""Variations that a flame brings with it: a text, or a formula, in attributes that are no numbers; or a simulation.

JWildfire's files hold texts as hexadecimal digits. The variation's formula is in the catalogue, with tables or
functions for an example; a flame's own take their place, under a name that their text fixes, so that the same text is
the same variation. Nothing is evaluated: formulas are read by :mod:`.java_formula` and checked as those of any file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

import numpy as np

from fractalkit.codes.flame_unread import is_number
from fractalkit.codes.java_code import java_variation
from fractalkit.codes.java_formula import NUMBER, WHOLE, JavaPart, expression
from fractalkit.codes.java_shader import shader_lines
from fractalkit.codes.simulated_tables import SIMULATED, Simulated
from fractalkit.codes.text_shapes import MOST_CHARACTERS, areas, choice_table, text_shape
from fractalkit.codes.variation_list import Catalogue
from fractalkit.codes.variation_text import Declared, read_variations
from fractalkit.errors import DataError, one_line

PARAMETERS = tuple(f"param_{k}" for k in "abcdef")
MOST_SIMULATED = 40  # simulations of a file, each of which may take seconds
_left: ContextVar[list[int] | None] = ContextVar("simulations that a file may still have", default=None)


@contextmanager
def one_file() -> Iterator[None]:
    """What is read in the ``with`` block has at most :data:`MOST_SIMULATED` new simulations."""
    token = _left.set([MOST_SIMULATED])
    try:
        yield
    finally:
        _left.reset(token)


@dataclass(frozen=True)
class Made:
    """What is made of a flame's texts.

    Attributes:
        functions: name in the formula -> the function or table that takes its place.
        notes: what was put right, phrases.
        whole: the variation itself, where its formula is the flame's.
    """

    functions: dict[str, Declared]
    notes: tuple[str, ...] = ()
    whole: Declared | None = None


@dataclass(frozen=True)
class Maker:
    """How a variation is made.

    Attributes:
        texts: the attributes that are texts, behind the variation's name, with what they are if a file has them not.
        numbers: the like of parameters on which it depends; a made variation has them no more.
        plain: texts that stay as they are written.
        make: from texts, a mark for names, and ``pre_``, ``post_`` or nothing, what is made.
    """

    texts: dict[str, str]
    make: Callable[[dict[str, str], str, str], Made]
    numbers: dict[str, float] = field(default_factory=dict)
    plain: tuple[str, ...] = ()


def read_text(digits: str) -> str | None:
    """The text of hexadecimal digits, or None where they are none.

    >>> read_text("53594D"), read_text("5")
    ('SYM', None)
    """
    try:
        return bytes.fromhex(digits.strip()).decode("utf-8", "replace")
    except ValueError:
        return None


def _table(name: str, numbers: list[float]) -> Declared:
    table = tuple(map(float, numbers))  # a whole number would be taken for a row of the machine
    return Declared(name, {"k": 0.0}, "Numbers of a flame.", "", "a flame", 1, True, table=table)


def _text(texts: dict[str, str], mark: str, place: str) -> Made:
    """A text: its triangles, and the numbers that place them."""
    shape = text_shape(texts["text"], texts["font_name"])
    asked = texts["font_name"].strip()[:60]
    notes: tuple[str, ...] = (
        () if asked == shape.font else (f"the font {asked or 'without a name'} is replaced by {shape.font}",)
    )
    if len(texts["text"]) > MOST_CHARACTERS:
        notes += (f"a text of {len(texts['text']):,} letters is cut after {MOST_CHARACTERS}",)
    rows: list[float] = []
    if len(shape.triangles):
        centred = shape.triangles * [1.0, -1.0] + [-shape.width / 2, shape.ascent]
        rows = choice_table(areas(centred), centred).ravel().tolist()
    numbers = [len(rows) / 8, shape.width, shape.height, *rows]
    return Made({"text_table": _table(f"text_table_{mark}", numbers)}, notes)


def _formulas(function: str, names: Mapping[str, tuple[str, ...]]) -> Callable[[dict[str, str], str, str], Made]:
    """Formulas of Java; each becomes a function of some names and of PARAMETERS.

    Args:
        function: their name in the catalogue's formula, ``{}`` for that of the attribute.
        names: attribute -> the names that its formula has.
    """

    def make(texts: dict[str, str], mark: str, place: str) -> Made:
        made: dict[str, Declared] = {}
        for attribute, arguments in names.items():
            given = (*arguments, *PARAMETERS)
            text = expression(texts[attribute] or "0", {a: f"a_{a}" for a in given}, attribute)
            name = function.format(attribute)
            new = f"{name}_{mark}"
            body = f"function {new}({', '.join(f'a_{a}' for a in given)}): A formula of a flame.\n    return {text}\n"
            made[name] = read_variations(body, attribute, _shared.get)[0]
            made[name].check()
        return Made(made)

    return make


def _shader(
    function: str, takes: str, known: Mapping[str, str], main: str = "getRGBColor"
) -> Callable[[dict[str, str], str, str], Made]:
    """A method in Java after GLSL that gives the colour of a place, or of ``main`` f the place of a complex number.

    Args:
        function: its name in the catalogue's formula; takes: the names of what that takes, the first two the place.
        known: names of Java that are whole numbers or not -> those of ``takes``.
    """

    def make(texts: dict[str, str], mark: str, place: str) -> Made:
        given = {n: JavaPart(t, WHOLE if n.startswith("resolution") else NUMBER) for n, t in known.items()}
        lines = shader_lines(texts["code"], main, given, takes.split(", ")[:2], "its code")
        text = "\n".join([f"function {function}_{mark}({takes}): A formula of a flame.", *lines])
        made = read_variations(text, "its code", _shared.get)[0]
        made.check()
        return Made({function: made})

    return make


def _java(attribute: str, base: str, fields: str) -> Callable[[dict[str, str], str, str], Made]:
    """A variation in Java, of an attribute, with fields that its code knows."""

    def make(texts: dict[str, str], mark: str, place: str) -> Made:
        found = java_variation(texts[attribute], place, dict.fromkeys(fields, 0.0), "its code")
        parameters = ", ".join(f"{name}={value!r}" for name, value in found.parameters.items())
        text = "\n".join([f"variation {base}_{mark}({parameters}): A formula of a flame.", *found.lines])
        whole = read_variations(text, "its code", _shared.get)[0]
        whole.check()
        return Made({}, whole=whole)

    return make


def _simulated(base: str, how: Simulated) -> Maker:
    """A variation whose table is simulated."""

    def make(texts: dict[str, str], mark: str, place: str) -> Made:
        numbers = {}
        for name in how.numbers:
            if not is_number(texts[name]) or abs(float(texts[name])) > 1e9:
                raise DataError(f"{name} is {texts[name][:40]!r}, expected a number")
            numbers[name] = float(texts[name])
        if (left := _left.get()) is not None:
            if left[0] < 1:
                raise DataError(f"is one of more than {MOST_SIMULATED} simulations in a file")
            left[0] -= 1
        with np.errstate(all="ignore"):  # what is not finite is told in the end
            table, notes = how.make(numbers, {name: texts[name] for name in how.texts})
        return Made({how.table: _table(f"{how.table}_{mark}", table)}, notes)

    return Maker(how.texts, make, how.numbers, how.plain)


_shared: dict[str, Declared] = {}  # functions that all formulas may call
_said: dict[str, tuple[str, ...]] = {}  # the notes of what was made, by name
_LINEAR = "void transform() { pVarTP.x += pAmount * pAffineTP.x; pVarTP.y += pAmount * pAffineTP.y; }"
# the Mandelbrot set, on which both begin
_COLOUR = """{ vec2 z = new vec2(0.0); int k = 0;
  while (k < 50 && length(z) <= 2.0) { z = c_add(c_mul(z, z), c); k++; }
  double s = 0.125662 * (k - 1); vec3 a = new vec3(cos(s + .9), cos(s + .3), cos(s + .2));
  return length(z) > 2.0 ? a.multiply(0.4).plus(0.6) : new vec3(0.0); }"""
_DC = "vec3 getRGBColor(double p, double q) { return at(new vec2(p, q).multiply(zoom).minus(new vec2(stepX, stepY))); }"
_GLSL = """vec3 getRGBColor(int i, int j) {
  vec2 p = new vec2(2.0 * (i + 0.5) / resolutionX - 1.0, 2.0 * (j + 0.5) / resolutionY - 1.0);
  return at(p.multiply(zoom).minus(new vec2(0.5, 0.0))); }"""
_COMPLEX = "vec2 f(vec2 z) { return c_add(c_inv(z), c_exp(c_inv(z))).plus(c_one()); }"
_PLOT = {"colormap_filename": "", "displ_map_filename": "", "preset_id_reference": ""}
MAKERS: dict[str, Maker] = {
    "text_wf": Maker({"text": "JWildfire", "font_name": "Arial"}, _text),
    "yplot2d_wf": Maker({"formula": "x", **_PLOT}, _formulas("yplot2d_{}", {"formula": ("x",)})),
    "yplot3d_wf": Maker({"formula": "x", **_PLOT}, _formulas("yplot3d_{}", {"formula": ("x", "z")})),
    "parplot2d_wf": Maker(
        {"xformula": "u", "yformula": "v", "zformula": "0", **_PLOT},
        _formulas("parplot2d_{}", dict.fromkeys(("xformula", "yformula", "zformula"), ("u", "v"))),
    ),
    "polarplot2d_wf": Maker({"formula": "t", **_PLOT}, _formulas("polarplot2d_{}", {"formula": ("t",)})),
    "polarplot3d_wf": Maker({"formula": "t", **_PLOT}, _formulas("polarplot3d_{}", {"formula": ("t", "u")})),
    "isosfplot3d_wf": Maker({"formula": "x", **_PLOT}, _formulas("isosfplot3d_{}", {"formula": ("x", "y", "z")})),
    "dc_code": Maker(
        {"code": f"vec3 at(vec2 c) {_COLOUR} {_DC}"},
        _shader("dc_code_color", "a_p, a_q, a_zoom, a_u, a_v", {"zoom": "a_zoom", "stepX": "a_u", "stepY": "a_v"}),
    ),
    "glsl_code": Maker(
        {"code": f"vec3 at(vec2 c) {_COLOUR} {_GLSL}"},
        _shader(
            "glsl_code_color",
            "a_i, a_j, a_zoom, a_w, a_h",
            {"zoom": "a_zoom", "resolutionX": "a_w", "resolutionY": "a_h"},
        ),
    ),
    "c_var": Maker({"code": _COMPLEX}, _shader("c_var_formula", "a_p, a_q", {}, "f")),
    "cut_c": Maker({"code": _COMPLEX}, _shader("cut_c_formula", "a_p, a_q", {}, "f")),
    "custom_wf_full": Maker({"code_full_variation": _LINEAR}, _java("code_full_variation", "custom_wf_full", "")),
    "custom_wf": Maker({"code": _LINEAR}, _java("code", "custom_wf", "abcdefg")),
    **{base.lower(): _simulated(base, how) for base, how in SIMULATED.items()},
}
# simulations of which files may tell nothing: they are then the catalogue's examples
_EXAMPLES = frozenset(base.lower() for base in SIMULATED)
# texts that name files, which are not read: a variation with one is left as it is
FILES = ("colormap_filename", "displ_map_filename", "obj_filename")
_KEY = re.compile(rf"(?P<place>pre_|post_|)(?P<base>{'|'.join(MAKERS)})(?P<again>(?:#\d+#)?)(?:_(?P<rest>.+))?", re.I)


@dataclass
class MadeAttributes:
    """The attributes of a map as the catalogue is to read them.

    Attributes:
        texts: the attributes, those of variations that were made under their new names.
        left: those of variations that cannot be made.
        notes: what was put right.
    """

    texts: dict[str, str]
    left: dict[str, str]
    notes: list[str]


def made_attributes(given: Mapping[str, str], to: Catalogue) -> MadeAttributes:
    """The attributes of a map, with the variations that it brings made and added to the catalogue.

    What cannot be made stays as it is, and is then a variation that is not known.
    """
    heads = _texts_of_heads(given)
    if not heads:
        return MadeAttributes(dict(given), {}, [])
    out: dict[str, str] = {}
    left: dict[str, str] = {}
    notes: list[str] = []
    names: dict[str, str | None] = {}
    for key, text in given.items():
        match = _KEY.fullmatch(key)
        head = "" if match is None else _head(match)
        if match is None or head not in heads:
            out[key] = text
            continue
        if head not in names:
            names[head] = _made(match["base"].lower(), match["place"].lower(), heads[head], to, notes)
        base, rest = names[head], match["rest"]
        if base is None:
            left[key] = text
        elif rest not in heads[head]:
            out[match["place"].lower() + base + match["again"] + (f"_{rest}" if rest else "")] = text
    return MadeAttributes(out, left, notes)


def _head(match: re.Match[str]) -> str:
    """What the attributes of one variation of a map begin with."""
    return (match["place"] + match["base"] + match["again"]).lower()


def _texts_of_heads(given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The texts and numbers that each variation to be made is made from, by its head.

    A variation that has examples of its own is there only where the attributes bring a text of theirs.
    """
    heads: dict[str, dict[str, str]] = {}
    told: set[str] = set()
    for key, text in given.items():
        match = _KEY.fullmatch(key)
        if match is None:
            continue
        head, base, rest = _head(match), match["base"].lower(), match["rest"]
        maker = MAKERS[base]
        texts = heads.setdefault(head, maker.texts | {k: f"{v:g}" for k, v in maker.numbers.items()})
        if rest in maker.numbers or rest in maker.plain:
            texts[rest] = text.strip()
        elif rest in texts:
            texts[rest] = text if not text.strip() else read_text(text) or ""
        if rest in texts or base not in _EXAMPLES:
            told.add(head)
    return {head: texts for head, texts in heads.items() if head in told}


def _made(base: str, place: str, texts: dict[str, str], to: Catalogue, notes: list[str]) -> str | None:
    """The name of a variation with its texts, or None where it cannot be made."""
    colour = texts.get("color_mode", "")  # above 2 none of a map
    unread = any(key.endswith(FILES) and text.strip() for key, text in texts.items())
    if unread and not (is_number(colour) and float(colour) > 2):
        return None
    mark = hashlib.sha256(repr((place, sorted(texts.items()))).encode()).hexdigest()[:12]
    pattern = to.base(base)
    name = f"{base if pattern is None else pattern.name}_{mark}"
    if pattern is None:
        return None
    if to.base(name) is not None:
        notes += _said.get(name, ())
        return name
    _shared.update(to.functions)
    try:
        made = MAKERS[base].make(texts, mark, place)
    except DataError as error:
        notes.append(one_line(f"{base}: {error}")[:200])
        return None
    notes += made.notes
    _said[name] = made.notes
    one = made.whole or pattern
    plain = one.functions
    asis = (*MAKERS[base].numbers, *MAKERS[base].plain)
    hexed = {k: v if k in asis else v.encode().hex().upper() for k, v in texts.items()}
    to.put(replace(
        one, name=name, also=(), functions=lambda n: made.functions.get(n) or plain(n), written=(pattern.name, hexed)
    ))  # fmt: skip
    return name


_NAME = re.compile(rf"(pre_|post_|)((?:{'|'.join(MAKERS)})_[0-9a-f]{{12}})((?:#\d+#)?)(.*)", re.I)


def written(key: str, to: Catalogue) -> tuple[str, dict[str, str]]:
    """The name of an attribute as files have it; and behind a variation itself the attributes that are its texts."""
    match = _NAME.fullmatch(key)
    declared = None if match is None else to.base(match[2])
    if match is None or declared is None or declared.written is None:
        return key, {}
    base, texts = declared.written
    head = match[1] + base + match[3]
    return head + match[4], {} if match[4] else {f"{head}_{k}": v for k, v in texts.items()}
