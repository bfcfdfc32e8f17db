"""The XML of ``.flame`` files: flam3's format and the dialects of Apophysis, Fractorium (Ember) and JWildfire.

Tolerant in reading: several flames in one file with or without a root element, five encodings of the palette, legacy
names of variations. Exact in writing: what was read is written, unknown attributes and elements included. The parser
refuses document types and entities, and files beyond a size and a depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from fractalkit.codes.flame_palettes import numbered
from fractalkit.codes.flame_parts import (
    IDENTITY,
    MAX_FINALS,
    MAX_SIZE,
    MAX_XFORMS,
    VARIATIONS,
    FlameSettings,
    Xform,
)  # fmt: skip
from fractalkit.codes.flame_scan import RAW, parse
from fractalkit.codes.variation_list import catalogue
from fractalkit.codes.variations_made import made_attributes, one_file, written
from fractalkit.errors import DataError

if TYPE_CHECKING:
    from fractalkit.codes.flame import Flame

MAX_BYTES = 64 << 20
ALIASES = {f"{a}_{k}": f"mobius_{a.lower()}_{k.lower()}" for a in ("Re", "Im") for k in "ABCD"}
_OTHER_NAMES = {"supersample": "oversample", "cam_perspective": "cam_persp"}  # of attributes of flames
_FLAMES = ("flame", "jwf-flame")
_SETTINGS = {f.name: f for f in fields(FlameSettings)}


def read_fields(source: str | Path | bytes, name: str) -> list[dict[str, Any]]:
    """The fields of every flame of a file, or of its text as bytes, which messages then call ``name``.

    Raises:
        DataError: as :func:`fractalkit.codes.flame.read_flames`.
    """
    data = source if isinstance(source, bytes) else _read(Path(source))
    if len(data) > MAX_BYTES:
        raise DataError(f"{name}: {len(data):,} bytes are more than a flame file may have")
    root, mended = parse(data, name)
    found = [e for e in root.iter() if e.tag in _FLAMES]
    if not found:
        raise DataError(f"{name}: holds no <flame>; give a .flame file")
    with one_file():
        flames = [_flame(e, f"{name}: flame {i + 1}") for i, e in enumerate(found)]
    for flame in flames:
        flame["mended"] = (*mended, *flame["mended"])
    return flames


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; check the name")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: {path.stat().st_size:,} bytes are more than a flame file may have")
    return path.read_bytes()


_ANY = (-1e12, 1e12)


def _number(text: str, where: str, low: float = _ANY[0], high: float = _ANY[1]) -> float:
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
_AFFINE = {
    "coefs": "coefs", "post": "post", "yzCoefs": "yz_coefs", "zxCoefs": "zx_coefs", "yzPost": "yz_post",
    "zxPost": "zx_post",
}  # fmt: skip
_XFORM_RANGES = {"weight": (0, 1e9), "color_speed": _ANY, "opacity": (0, 1e6), "animate": _ANY}


def _flame(e: Element, where: str) -> dict[str, Any]:
    settings, extras = _settings(e, where)
    mended: list[str] = []
    layers = [c for c in e if c.tag == "layer"]
    if layers:
        first, *others = [_content(layer, f"{where}: layer {i + 1}", mended) for i, layer in enumerate(layers)]
        attributes = [dict(layer.attrib) for layer in layers]
    else:
        first, others, attributes = _content(e, where, mended), [], []
    return settings | first | {
        "extras": extras, "layers": tuple(others), "layer_attributes": tuple(attributes), "mended": tuple(mended),
    }  # fmt: skip


def _content(e: Element, where: str, mended: list[str]) -> dict[str, Any]:
    """Palette, maps and other elements of a flame or of one of its layers; adds to ``mended`` what was put right."""
    palette, own = _palette(e, where)
    xforms: list[Xform] = []
    finals: list[Xform] = []
    symmetry, children = [], []
    for child in e:
        at = f"{where}: {child.tag} {len(xforms) + 1}"
        if child.tag == "xform":
            if len(xforms) >= MAX_XFORMS:
                raise DataError(f"{where}: more than {MAX_XFORMS} xforms")
            xforms.append(_xform(child, at, len(xforms), mended))
        elif child.tag == "finalxform":
            if len(finals) >= MAX_FINALS:
                raise DataError(f"{where}: more than {MAX_FINALS} final xforms")
            finals.append(_xform(child, at, 0, mended))
        elif child.tag == "symmetry":
            symmetry.append(int(_number(child.get("kind", "1"), f"{at}: kind", -1000, 1000)))
        elif child not in own and child.tag != "layer":
            children.append(_text_of(child))
    _check_maps(xforms, where, mended)
    return {
        "palette": palette, "xforms": tuple(xforms), "final": finals[0] if finals else None,
        "more_finals": tuple(finals[1:]), "symmetry": tuple(symmetry), "children": tuple(children),
    }  # fmt: skip


def _text_of(e: Element) -> str:
    """The text of an element that this program does not read."""
    if RAW in e.attrib:
        return e.attrib[RAW]
    e.tail = None
    inner: list[str] = []
    for part in e.iter():
        if RAW in part.attrib:
            inner.append(part.attrib.pop(RAW))
            part.tag = f"raw-{len(inner) - 1}"
    text = re.sub(r">\s+<", "><", tostring(e, encoding="unicode").strip())
    return _filled(text, inner)


def _filled(text: str, raw: list[str]) -> str:
    """A text with <raw-N /> replaced by the N-th of other texts."""
    return re.sub(r"<raw-(\d+) />", lambda m: raw[int(m[1])], text) if raw else text


def _check_maps(xforms: list[Xform], where: str, mended: list[str]) -> None:
    if not xforms:
        raise DataError(f"{where}: has no xform")
    if not any(x.weight > 0 for x in xforms):
        raise DataError(f"{where}: no xform has a weight above zero; give one")
    longest = max(len(x.chaos) for x in xforms)
    if longest > len(xforms):
        mended.append(f"chaos has {longest} numbers for {len(xforms)} xforms; those beyond count for nothing")


def _settings(e: Element, where: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields of a flame from its attributes, and unknown attributes."""
    given: dict[str, Any] = {}
    extras: dict[str, str] = {}
    if e.get("version", "").strip().lower().startswith("jwildfire"):
        given["estimator_radius"] = 0.0  # it has no density estimation
    for key, text in e.attrib.items():
        name = _OTHER_NAMES.get(key, key)
        if name in _SETTINGS:
            given[name] = _setting(name, text, f"{where}: {key}")
        else:
            extras[key] = text
    return given, extras


def _setting(name: str, text: str, at: str) -> Any:
    if name == "size":
        w, h = _numbers(text, at, 2)
        if not (1 <= w <= MAX_SIZE and 1 <= h <= MAX_SIZE):
            raise DataError(f"{at} is {text!r}, expected 1 to {MAX_SIZE} pixels a side")
        return int(w), int(h)
    if name == "center":
        return _numbers(text, at, 2)
    if name == "background":
        colour = _numbers(text, at)[:3]
        if len(colour) != 3:
            raise DataError(f"{at}: expected 3 numbers")
        return colour
    if _SETTINGS[name].type == "str":
        return text
    value = _number(text, at, *_RANGES.get(name, _ANY))
    return int(value) if _SETTINGS[name].type == "int" else value


def _xform(e: Element, where: str, index: int, mended: list[str]) -> Xform:
    given: dict[str, Any] = {"color": float(index & 1)}
    variations: dict[str, float] = {}
    parameters: dict[str, float] = {}
    extras: dict[str, str] = {}
    attributes = made_attributes(e.attrib, catalogue())
    extras.update(attributes.left)
    mended += [note for note in attributes.notes if note not in mended]
    for key, text in attributes.texts.items():
        at = f"{where}: {key}"
        variation, parameter = _known(key, mended)
        field = _xform_field(key, text, at)
        if field is not None:
            given.update(field)
            if key == "color" and len(text.split()) > 1:
                extras["color second"] = text.split()[1]
        elif key in ("var", "var1"):
            variations.update(_legacy(key, text, at))
        elif variation is not None:
            value = _number(text, at)
            if value != 0:
                variations[variation] = variations.get(variation, 0.0) + value
            else:
                extras[key] = text
        elif parameter is not None:
            parameters[parameter] = _number(text, at)
        else:
            extras[key] = text
    motions = tuple(dict(c.attrib) for c in e if c.tag == "motion")
    return Xform(**given, variations=variations, parameters=parameters, motions=motions, extras=extras)


def _known(key: str, mended: list[str]) -> tuple[str | None, str | None]:
    """Our spelling of the name of a variation, or of a parameter, whatever its case; None where it is neither."""
    name = ALIASES.get(key, key)
    variation = catalogue().spelled(name)
    parameter = None if variation is not None else catalogue().parameter(name)
    ours = "_".join(parameter) if parameter is not None else variation
    usual = variation is None or name in catalogue().usual
    if ours is not None and ours != name and ours.lower() == name.lower() and not usual:
        note = f"{key} is read as {ours}"
        if note not in mended:
            mended.append(note)
    return variation, None if parameter is None else ours


def _xform_field(key: str, text: str, at: str) -> dict[str, Any] | None:
    """The field that an attribute of a map sets, or None; the last of several attributes of one field counts."""
    if key in _XFORM_RANGES:
        return {key: _number(text, at, *_XFORM_RANGES[key])}
    if key == "color":
        return {key: _numbers(text, at)[0] if text.strip() else 0.0}
    if key == "symmetry":
        return {"color_speed": (1 - _number(text, at)) / 2}
    if key == "plotmode" and text.strip().lower() == "off":
        return {"opacity": 0.0}
    if key in _AFFINE:
        return {_AFFINE[key]: _numbers(text, at, 6)}
    if key != "chaos":
        return None
    chaos = _numbers(text, at)
    if min(chaos, default=0) < 0:
        raise DataError(f"{at}: factors of weights must not be negative")
    return {key: chaos}


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
    """RGBA ``[256, 4]`` in [0, 1] and the elements that hold it."""
    own = [c for c in e if c.tag in _PALETTES]
    if not own:
        return _numbered_palette(e, where), own
    out = np.full((256, 4), np.nan)
    out[:, 3] = 1
    for c in own:
        at, rows = _PALETTES[c.tag](c, where)
        out[at : at + len(rows), : rows.shape[1]] = rows
    known = np.nonzero(~np.isnan(out[:, 0]))[0]
    if len(known) < 256:
        if len(known) < 2 or any(c.tag != "color" for c in own):
            raise DataError(f"{where}: a palette of {len(known)} colours; expected 256")
        wrapped = np.concatenate([known - 256, known, known + 256])
        for k in range(4):
            out[:, k] = np.interp(np.arange(256), wrapped, np.tile(out[known, k], 3))
    return out.clip(0, 1), own


def _numbered_palette(e: Element, where: str) -> np.ndarray:
    """The palette of a number, from the user's copy of flam3's list; without one a grey ramp."""
    rgb = np.repeat(np.linspace(0, 1, 256)[:, None], 3, 1)
    number = e.get("palette", "").strip()
    if number.isdecimal() and len(number) < 10:
        found = numbered(int(number), _number(e.get("hue", "0"), f"{where}: hue"))
        rgb = rgb if found is None else found
    return np.concatenate([rgb, np.ones((256, 1))], 1)


def _palette_block(c: Element, where: str) -> tuple[int, np.ndarray]:
    """``<palette>``: hexadecimal RGB or RGBA, the latter not premultiplied."""
    count = int(_number(c.get("count", "256"), f"{where}: palette count", 2, 65536))
    form = c.get("format", "RGB").strip().upper()
    if form not in ("RGB", "RGBA"):
        raise DataError(f"{where}: palette format {form!r}, expected RGB or RGBA")
    rows = _hex("".join(c.itertext()), len(form), count, f"{where}: palette") / 255
    if len(form) == 4:
        rows[:, :3] *= rows[:, 3:]
    if count > 256:  # Fractorium's larger palettes are sampled at 256 even places
        rows = rows[np.rint(np.arange(256) * ((count - 1) / 255)).astype(np.int64)]
    return 0, rows


def _colors_block(c: Element, where: str) -> tuple[int, np.ndarray]:
    """``<colors>``: hexadecimal, four bytes a colour of which the first is unused."""
    count = int(_number(c.get("count", "256"), f"{where}: colors count", 1, 256))
    return 0, _hex(c.get("data", ""), 4, count, f"{where}: colors")[:, 1:] / 255


def _single_color(c: Element, where: str) -> tuple[int, np.ndarray]:
    """``<color>``: one entry, as rgb, rgb with an alpha, or rgba; not premultiplied."""
    index = int(_number(c.get("index", ""), f"{where}: color index", 0, 255))
    at = f"{where}: color {index}"
    if "rgba" in c.attrib:
        r, g, b, a = _numbers(c.attrib["rgba"], at, 4)
    else:
        r, g, b = _numbers(c.get("rgb", ""), at, 3)
        a = _number(c.get("a", "255"), f"{at}: a")
    alpha = a / 255
    return index, np.array([[r / 255 * alpha, g / 255 * alpha, b / 255 * alpha, alpha]])


_PALETTES = {"palette": _palette_block, "colors": _colors_block, "color": _single_color}


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


def to_xml(flames: Iterable[Flame]) -> str:
    """The text of a ``.flame`` file."""
    root = Element("flames")
    raw: list[str] = []
    for flame in flames:
        e = SubElement(root, "jwf-flame" if flame.layer_attributes else "flame")
        _write_settings(e, flame)
        for key, text in flame.extras.items():
            e.set(key, text)
        if not flame.layer_attributes:
            _write_content(e, flame.__dict__, raw)
        for attributes, content in zip(flame.layer_attributes, (flame.__dict__, *flame.layers), strict=False):
            _write_content(SubElement(e, "layer", attributes), content, raw)
    indent(root, "  ")
    text = tostring(root, encoding="unicode") + "\n"
    return _filled(text, raw)


def _write_content(e: Element, content: Mapping[str, Any], raw: list[str]) -> None:
    """Maps, palette and other elements; the last stand as <raw-N /> and are filled in at the end, as they were read."""
    for x in content["xforms"]:
        _write_xform(e, "xform", x)
    for x in (content["final"], *content["more_finals"]):
        if x is not None:
            _write_xform(e, "finalxform", x)
    for kind in content["symmetry"]:
        SubElement(e, "symmetry", {"kind": str(kind)})
    _write_palette(e, content["palette"])
    for text in content["children"]:
        parse(text.encode(), "element")
        SubElement(e, f"raw-{len(raw)}")
        raw.append(text)


def _write_settings(e: Element, flame: Flame) -> None:
    for f in fields(FlameSettings):
        value = getattr(flame, f.name)
        if f.name in ("size", "center", "background"):
            e.set(f.name, _row(value))
        elif value != f.default:
            # Apophysis and JWildfire look for the long name
            key = "cam_perspective" if f.name == "cam_persp" else f.name
            e.set(key, value if isinstance(value, str) else _text(value))


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
    for key, name in _AFFINE.items():
        if key == "coefs" or getattr(x, name) != IDENTITY:
            e.set(key, _row(getattr(x, name)))
    if x.chaos:
        e.set("chaos", _row(x.chaos))
    for key, value in (x.variations | x.parameters).items():
        name, texts = written(key, catalogue())
        e.set(name, _text(value))
        for attribute, text in texts.items():
            e.set(attribute, text)
    for key, text in extras.items():
        if key not in x.variations:
            e.set(written(key, catalogue())[0], text)
    for motion in x.motions:
        SubElement(e, "motion", motion)


def _write_palette(e: Element, palette: np.ndarray) -> None:
    """As hexadecimal digits where they are exact, else colour by colour."""
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
