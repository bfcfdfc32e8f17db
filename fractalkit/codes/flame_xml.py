"""``.flame`` files, in and out: flam3's format and the dialects of Apophysis, Fractorium (Ember) and JWildfire.

Tolerant in: several flames in one file with or without an element around them, five encodings of the palette, old ways
to name variations. Exact out: what was read is written, unknown attributes and elements too. The parser takes no
document types and no entities, and files of bounded size and depth.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, TreeBuilder, indent, tostring
from xml.parsers import expat

import numpy as np

from fractalkit.codes.flame import IDENTITY, KNOWN, MAX_SIZE, MAX_XFORMS, PARAMETERS, VARIATIONS, Flame, Xform
from fractalkit.codes.flame_palettes import numbered
from fractalkit.errors import DataError
from fractalkit.files import atomic_path

MAX_BYTES = 64 << 20
MAX_DEPTH = 12
MAX_ELEMENTS = 500_000
ALIASES = {f"{a}_{k}": f"mobius_{a.lower()}_{k.lower()}" for a in ("Re", "Im") for k in "ABCD"} | {
    "oscope_separation": "oscilloscope_separation", "oscope_frequency": "oscilloscope_frequency",
    "oscope_amplitude": "oscilloscope_amplitude", "oscope_damping": "oscilloscope_damping",
    "oscope": "oscilloscope", "Spherical3D": "spherical3D",
}  # fmt: skip
_OTHER_NAMES = {"supersample": "oversample", "cam_perspective": "cam_persp"}  # of attributes of flames
# attributes that say nothing of the picture, or nothing that is not said better elsewhere
SILENT = frozenset(
    [
        "name",
        "var_color",
        "version",
        "plugins",
        "new_linear",
        "nick",
        "url",
        "notes",
        "sub_batch_size",
        "fuse",
        "rand_range",
        "passes",
        "symmetry",
        "soloxform",
        "curves",
        "overall_curve",
        "red_curve",
        "green_curve",
        "blue_curve",
    ]
)
_NUMBERS = {f.name: f.type for f in fields(Flame)}


def read_flames(source: str | Path | bytes, name: str = "flame") -> list[Flame]:
    """All flames of a file, or of its text as bytes, which sentences then call ``name``.

    What is unknown is kept, and named in one warning; rendering leaves it out.

    Raises:
        DataError: missing, not well-formed, with a document type or entities, too large, without a flame, or with a
            value that cannot be: the sentence names the file, the flame and the field.
    """
    if isinstance(source, bytes):
        data = source
    else:
        path = Path(source)
        name = str(path)
        if not path.is_file():
            raise DataError(f"{name}: there is no such file; check the name")
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{name}: {path.stat().st_size:,} bytes are more than a flame file may have")
        data = path.read_bytes()
    if len(data) > MAX_BYTES:
        raise DataError(f"{name}: {len(data):,} bytes are more than a flame file may have")
    root = _parse(data, name)
    found = [e for e in root.iter() if e.tag == "flame"]
    if not found:
        raise DataError(f"{name}: holds no <flame>; give a .flame file")
    unknown: set[str] = set()
    out = [_flame(e, f"{name}: flame {i + 1}", unknown) for i, e in enumerate(found)]
    if unknown:
        some = ", ".join(sorted(unknown)[:12]) + (" and others" if len(unknown) > 12 else "")
        warnings.warn(f"{name}: not known and left out in rendering: {some}", stacklevel=2)
    return out


def _parse(data: bytes, name: str) -> Element:
    """The elements below one that is put around everything."""
    text = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    text = re.sub(rb"^<\?xml[^>]*\?>", b"", text, count=1)
    builder = TreeBuilder()
    if re.search(rb"<!(DOCTYPE|ENTITY)", text, re.I):
        raise DataError(f"{name}: has a document type or entities, which flames never need; remove them")
    parser = expat.ParserCreate()
    depth = count = 0

    def refuse(*_: Any) -> None:
        raise DataError(f"{name}: has a document type or entities, which flames never need; remove them")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth += 1
        count += 1
        if depth > MAX_DEPTH or count > MAX_ELEMENTS:
            raise DataError(f"{name}: more elements, or deeper ones, than a flame file may have")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(b"<all>", False)
        parser.Parse(text, False)
        parser.Parse(b"</all>", True)
    except expat.ExpatError as error:
        raise DataError(f"{name}: is not well-formed XML ({error}); mend it or save it anew") from None
    return builder.close()


def _number(text: str, where: str, low: float = -1e12, high: float = 1e12) -> float:
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{where} is {text[:40]!r}, expected a number") from None
    if not low <= value <= high:  # not a number fails, too
        raise DataError(f"{where} is {text[:40]}, expected {low:g} to {high:g}")
    return value


def _numbers(text: str, where: str, n: int | None = None) -> tuple[float, ...]:
    out = tuple(_number(t, where) for t in text.split())
    if n is not None and len(out) != n:
        raise DataError(f"{where}: expected {n} numbers, got {len(out)}")
    return out


_RANGES = {
    "scale": (1e-9, 1e9), "zoom": (-30, 30), "quality": (0, 1e9), "oversample": (1, 16), "filter": (0, 100),
    "temporal_samples": (1, 1e6), "brightness": (0, 1e6), "gamma": (1e-3, 1e6), "gamma_threshold": (0, 1e3),
    "estimator_radius": (0, 1e3), "estimator_minimum": (0, 1e3), "estimator_curve": (0, 100),
}  # fmt: skip


def _flame(e: Element, where: str, unknown: set[str]) -> Flame:
    given: dict[str, Any] = {}
    extras: dict[str, str] = {}
    for key, text in e.attrib.items():
        target = _OTHER_NAMES.get(key, key)
        at = f"{where}: {key}"
        if target == "size":
            w, h = _numbers(text, at, 2)
            if not (1 <= w <= MAX_SIZE and 1 <= h <= MAX_SIZE):
                raise DataError(f"{at} is {text!r}, expected 1 to {MAX_SIZE} pixels a side")
            given["size"] = (int(w), int(h))
        elif target == "center":
            given["center"] = _numbers(text, at, 2)
        elif target == "background":
            given["background"] = _numbers(text, at)[:3]
            if len(given["background"]) != 3:
                raise DataError(f"{at}: expected 3 numbers")
        elif target in ("palette", "xforms", "final", "symmetry", "children", "extras"):
            extras[key] = text
        elif target in _NUMBERS:
            kind = _NUMBERS[target]
            if kind == "str":
                given[target] = text
            else:
                value = _number(text, at, *_RANGES.get(target, (-1e12, 1e12)))
                given[target] = int(value) if kind == "int" else value
        else:
            extras[key] = text
    palette, own = _palette(e, where)
    xforms: list[Xform] = []
    final = None
    symmetry = []
    children = []
    for child in e:
        at = f"{where}: {child.tag} {len(xforms) + 1}"
        if child.tag == "xform":
            if len(xforms) >= MAX_XFORMS:
                raise DataError(f"{where}: more than {MAX_XFORMS} xforms")
            xforms.append(_xform(child, at, len(xforms), unknown))
        elif child.tag == "finalxform":
            final = _xform(child, at, 0, unknown)
        elif child.tag == "symmetry":
            symmetry.append(int(_number(child.get("kind", "1"), f"{at}: kind", -1000, 1000)))
        elif child not in own:
            child.tail = None
            children.append(re.sub(r">\s+<", "><", tostring(child, encoding="unicode").strip()))
    if not xforms:
        raise DataError(f"{where}: has no xform")
    if not any(x.weight > 0 for x in xforms):
        raise DataError(f"{where}: no xform has a weight above zero; give one")
    for i, x in enumerate(xforms):
        if len(x.chaos) > len(xforms):
            raise DataError(f"{where}: xform {i + 1}: chaos has {len(x.chaos)} numbers for {len(xforms)} xforms")
    return Flame(
        **given, palette=palette, xforms=tuple(xforms), final=final, symmetry=tuple(symmetry), extras=extras,
        children=tuple(children),
    )  # fmt: skip


def _xform(e: Element, where: str, index: int, unknown: set[str]) -> Xform:
    given: dict[str, Any] = {"color": float(index & 1)}
    variations: dict[str, float] = {}
    parameters: dict[str, float] = {}
    extras: dict[str, str] = {}
    for key, text in e.attrib.items():
        at = f"{where}: {key}"
        name = ALIASES.get(key, key)
        if key == "weight":
            given["weight"] = _number(text, at, 0, 1e9)
        elif key == "color":
            given["color"] = _numbers(text, at)[0] if text.strip() else 0.0
            if len(text.split()) > 1:
                extras["color second"] = text.split()[1]
        elif key == "color_speed":
            given["color_speed"] = _number(text, at)
        elif key == "symmetry":
            # the last of color_speed and symmetry in the document counts
            given["color_speed"] = (1 - _number(text, at)) / 2
        elif key == "opacity":
            given["opacity"] = _number(text, at, 0, 1e6)
        elif key == "plotmode":
            if text.strip().lower() == "off":
                given["opacity"] = 0.0
            else:
                extras[key] = text
        elif key == "animate":
            given["animate"] = _number(text, at)
        elif key in ("coefs", "post"):
            given[key] = _numbers(text, at, 6)
        elif key == "chaos":
            chaos = _numbers(text, at)
            if min(chaos, default=0) < 0:
                raise DataError(f"{at}: factors of weights must not be negative")
            given["chaos"] = chaos
        elif key in ("var", "var1"):
            variations.update(_legacy(key, text, at))
        elif name in KNOWN:
            value = _number(text, at)
            if value != 0:
                variations[name] = variations.get(name, 0.0) + value
        elif name in PARAMETERS:
            parameters[name] = _number(text, at)
        else:
            extras[key] = text
            if (
                key not in SILENT and _looks_like_a_number(text) and float(text) != 0 and "_" not in key.strip("_")
            ) or (key.startswith(("pre_", "post_")) and _looks_like_a_number(text) and float(text) != 0):
                unknown.add(key)
    motions = tuple(dict(c.attrib) for c in e if c.tag == "motion")
    return Xform(**given, variations=variations, parameters=parameters, motions=motions, extras=extras)


def _looks_like_a_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _legacy(key: str, text: str, where: str) -> dict[str, float]:
    """``var1`` names one variation by its number; ``var`` gives all weights in a row."""
    names = list(VARIATIONS)
    values = _numbers(text, where)
    if key == "var1":
        if len(values) != 1 or not 0 <= values[0] < len(names):
            raise DataError(f"{where} is {text!r}, expected the number of a variation, 0 to {len(names) - 1}")
        return {names[int(values[0])]: 1.0}
    if len(values) > len(names):
        raise DataError(f"{where}: {len(values)} weights for {len(names)} variations")
    return {n: v for n, v in zip(names, values, strict=False) if v != 0}


def _palette(e: Element, where: str) -> tuple[np.ndarray, list[Element]]:
    """RGBA ``[256, 4]`` and the elements that it was made of.

    A mere number is looked up in the user's copy of flam3's list; without one it becomes a grey ramp.
    """
    own = [c for c in e if c.tag in ("color", "palette", "colors")]
    out = np.full((256, 4), np.nan)
    out[:, 3] = 1
    for c in own:
        if c.tag == "palette":
            count = int(_number(c.get("count", "256"), f"{where}: palette count", 2, 65536))
            form = c.get("format", "RGB").strip().upper()
            if form not in ("RGB", "RGBA"):
                raise DataError(f"{where}: palette format {form!r}, expected RGB or RGBA")
            rows = _hex("".join(c.itertext()), len(form), count, f"{where}: palette")
            rows = rows / 255
            if len(form) == 4:
                rows[:, :3] *= rows[:, 3:]
            if count > 256:
                # Fractorium's larger ones: at 256 even places
                rows = rows[np.rint(np.arange(256) * ((count - 1) / 255)).astype(np.int64)]
            out[: len(rows), : rows.shape[1]] = rows
        elif c.tag == "colors":
            count = int(_number(c.get("count", "256"), f"{where}: colors count", 1, 256))
            rows = _hex(c.get("data", ""), 4, count, f"{where}: colors")
            out[:count, :3] = rows[:, 1:] / 255
        else:
            index = int(_number(c.get("index", ""), f"{where}: color index", 0, 255))
            if "rgba" in c.attrib:
                r, g, b, a = _numbers(c.attrib["rgba"], f"{where}: color {index}", 4)
            else:
                r, g, b = _numbers(c.get("rgb", ""), f"{where}: color {index}", 3)
                a = _number(c.get("a", "255"), f"{where}: color {index}: a") if "a" in c.attrib else 255.0
            alpha = a / 255
            out[index] = r / 255 * alpha, g / 255 * alpha, b / 255 * alpha, alpha
    known = np.nonzero(~np.isnan(out[:, 0]))[0]
    if not own:
        number = e.get("palette", "").strip()
        if number.isdecimal() and len(number) < 10:
            found = numbered(int(number), _number(e.get("hue", "0"), f"{where}: hue"))
            if found is not None:
                return np.concatenate([found, np.ones((256, 1))], 1), own
        ramp = np.linspace(0, 1, 256)[:, None]
        return np.concatenate([np.repeat(ramp, 3, 1), np.ones((256, 1))], 1), own
    if len(known) < 256:
        if len(known) < 2 or any(c.tag != "color" for c in own):
            raise DataError(f"{where}: a palette of {len(known)} colours; expected 256")
        wrapped = np.concatenate([known - 256, known, known + 256])
        for k in range(4):
            out[:, k] = np.interp(np.arange(256), wrapped, np.tile(out[known, k], 3))
    return out.clip(0, 1), own


def _hex(text: str, width: int, count: int, where: str) -> np.ndarray:
    digits = re.sub(r"\s+", "", text)
    if len(digits) != 2 * width * count or not re.fullmatch(r"[0-9A-Fa-f]*", digits):
        raise DataError(f"{where}: expected {2 * width * count} hexadecimal digits, got {len(digits)} characters")
    return np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(count, width).astype(np.float64)


# ---- out


def _text(value: float) -> str:
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _row(values: Any) -> str:
    return " ".join(_text(v) for v in values)


def to_xml(flames: list[Flame]) -> str:
    """The text of a ``.flame`` file."""
    root = Element("flames")
    for flame in flames:
        e = SubElement(root, "flame")
        plain = Flame()
        for f in fields(Flame):
            value = getattr(flame, f.name)
            if f.name in ("palette", "xforms", "final", "symmetry", "extras", "children"):
                continue
            if f.name in ("size", "center", "background"):
                e.set(f.name, _row(value))
            elif value != getattr(plain, f.name):
                # Apophysis and JWildfire look for the long name
                key = "cam_perspective" if f.name == "cam_persp" else f.name
                e.set(key, value if isinstance(value, str) else _text(value))
        for key, text in flame.extras.items():
            e.set(key, text)
        for x in flame.xforms:
            _write_xform(e, "xform", x)
        if flame.final is not None:
            _write_xform(e, "finalxform", flame.final)
        for kind in flame.symmetry:
            SubElement(e, "symmetry", {"kind": str(kind)})
        _write_palette(e, flame.palette)
        for text in flame.children:
            e.append(_parse(text.encode(), "element")[0])
    indent(root, "  ")
    return tostring(root, encoding="unicode") + "\n"


def write_flames(path: str | Path, flames: list[Flame]) -> None:
    """Write a ``.flame`` file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(to_xml(flames), encoding="utf-8")


def _write_xform(parent: Element, tag: str, x: Xform) -> None:
    e = SubElement(parent, tag)
    if tag == "xform":
        e.set("weight", _text(x.weight))
    extras = dict(x.extras)
    second = extras.pop("color second", None)
    e.set("color", _text(x.color) + (f" {second}" if second else ""))
    for key, value, default in (
        ("color_speed", x.color_speed, 0.5), ("opacity", x.opacity, 1.0), ("animate", x.animate, 1.0),
    ):  # fmt: skip
        if value != default:
            e.set(key, _text(value))
    e.set("coefs", _row(x.coefs))
    if x.post != IDENTITY:
        e.set("post", _row(x.post))
    if x.chaos:
        e.set("chaos", _row(x.chaos))
    for key, value in (x.variations | x.parameters).items():
        e.set(key, _text(value))
    for key, text in extras.items():
        e.set(key, text)
    for motion in x.motions:
        SubElement(e, "motion", motion)


def _write_palette(e: Element, palette: np.ndarray) -> None:
    """As hexadecimal digits where that says it all, else colour by colour."""
    levels = palette * 255
    if np.abs(levels - np.rint(levels)).max() < 1e-9 and (palette[:, 3] == 1).all():
        p = SubElement(e, "palette", {"count": "256", "format": "RGB"})
        digits = np.rint(levels[:, :3]).astype(np.uint8)
        p.text = "\n" + "\n".join(digits[i : i + 8].tobytes().hex().upper() for i in range(0, 256, 8)) + "\n"
        return
    for i, (r, g, b, a) in enumerate(palette):
        if a == 1:
            SubElement(e, "color", {"index": str(i), "rgb": _row((255 * r, 255 * g, 255 * b))})
        else:
            k = 255 / max(a, 1e-12)
            SubElement(e, "color", {"index": str(i), "rgba": _row((k * r, k * g, k * b, 255 * a))})
