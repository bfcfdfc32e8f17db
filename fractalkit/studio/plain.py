"""Flames as plain data that JSON can hold, and back, with every field checked.

The page edits this form, the journal keeps it, and flames are made of it to be drawn and saved::

    {"settings": {"size": [800, 600], ...}, "palette": "RRGGBB...", "xforms": [...], "finals": [...],
     "symmetry": [], "extras": {}, "children": [], "layers": [], "layer_attributes": []}

A palette is 256 colours as hexadecimal digits, with alpha where one is not opaque; a map's variations are pairs of name
and weight, in order, those of weight 0 included, so that a slider may pass through it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_parts import KNOWN, MAX_FINALS, MAX_XFORMS, PARAMETERS, FlameSettings, Xform
from fractalkit.errors import DataError

Plain = dict[str, Any]
MAX_TEXT = 1 << 20  # characters of all texts of a flame that are kept verbatim
MAX_SIDE = 20_000
_LARGEST = 1e12

_SETTINGS = {f.name: f for f in fields(FlameSettings)}
_AFFINES = ("coefs", "post", "yz_coefs", "zx_coefs", "yz_post", "zx_post")
_NUMBERS = {"weight": (0.0, 1e9), "color": (-_LARGEST, _LARGEST), "color_speed": (-_LARGEST, _LARGEST),
            "opacity": (0.0, 1e6), "animate": (-_LARGEST, _LARGEST)}  # fmt: skip
# ranges of settings, where they are not those of all numbers
_RANGES = {
    "scale": (1e-9, 1e9), "zoom": (-30.0, 30.0), "quality": (0.0, 1e6), "oversample": (1, 4), "filter": (0.0, 10.0),
    "temporal_samples": (1, 1e6), "brightness": (0.0, 1e6), "gamma": (1e-3, 1e6), "gamma_threshold": (0.0, 1e3),
    "estimator_radius": (0.0, 50.0), "estimator_minimum": (0.0, 50.0), "estimator_curve": (1e-3, 100.0),
    "vibrancy": (-100.0, 100.0), "cam_zoom": (1e-9, 1e9), "contrast": (1e-6, 1e6), "white_level": (1e-6, 1e6),
}  # fmt: skip


# ---- out


def to_plain(flame: Flame) -> Plain:
    """The plain form of a flame; its palette is rounded to 8 bits."""
    settings = {n: _listed(getattr(flame, n)) for n in _SETTINGS}
    return {
        "settings": settings,
        **_content(flame.palette, flame.xforms, flame.finals, flame.symmetry, flame.children),
        "extras": dict(flame.extras),
        "layers": [
            _content(
                layer["palette"], layer["xforms"],
                [x for x in (layer.get("final"), *layer.get("more_finals", ())) if x is not None],
                layer.get("symmetry", ()), layer.get("children", ()),
            )
            for layer in flame.layers
        ],
        "layer_attributes": [dict(a) for a in flame.layer_attributes],
    }  # fmt: skip


def _content(palette: np.ndarray, xforms: Any, finals: Any, symmetry: Any, children: Any) -> Plain:
    return {
        "palette": palette_text(palette),
        "xforms": [map_to_plain(x) for x in xforms],
        "finals": [map_to_plain(x) for x in finals],
        "symmetry": list(symmetry),
        "children": list(children),
    }


def palette_text(palette: np.ndarray) -> str:
    """256 colours ``[256, 3 or 4]`` in [0, 1] as hexadecimal digits, with alpha only where one is not opaque."""
    levels = np.rint(np.clip(palette, 0, 1) * 255).astype(np.uint8)
    if levels.shape[1] == 4 and (levels[:, 3] == 255).all():
        levels = levels[:, :3]
    return np.ascontiguousarray(levels).tobytes().hex()


def map_to_plain(x: Xform) -> Plain:
    """The plain form of a map."""
    return {
        **{n: float(getattr(x, n)) for n in _NUMBERS},
        **{n: [float(v) for v in getattr(x, n)] for n in _AFFINES},
        "variations": [[n, float(w)] for n, w in x.variations.items()],
        "parameters": {n: float(v) for n, v in x.parameters.items()},
        "chaos": [float(v) for v in x.chaos],
        "motions": [dict(m) for m in x.motions],
        "extras": dict(x.extras),
    }


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


# ---- in


def from_plain(data: Any) -> Flame:
    """The flame of a plain form.

    Raises:
        DataError: a field that is missing, unknown, of another type or out of range; the message names it.
    """
    given = _object(data, "flame", _FLAME)
    budget = [MAX_TEXT]
    settings = {n: _setting(n, v) for n, v in _object(given["settings"], "settings", set(_SETTINGS)).items()}
    layers = _list(given["layers"], "layers", 100)
    attributes = _list(given["layer_attributes"], "layer_attributes", 101)
    if len(attributes) != (len(layers) + 1 if layers or attributes else 0):
        raise DataError("layer_attributes: expected one object for each layer")
    flame = Flame(
        **settings, **_read_content({n: given[n] for n in _CONTENT}, "flame", budget),
        extras=_texts(given["extras"], "extras", budget),
        layers=tuple(_read_content(_object(v, f"layers[{i}]", _CONTENT), f"layers[{i}]", budget)
                     for i, v in enumerate(layers)),
        layer_attributes=tuple(_texts(v, f"layer_attributes[{i}]", budget) for i, v in enumerate(attributes)),
    )  # fmt: skip
    if not any(x.weight > 0 for x in flame.xforms):
        raise DataError("xforms: no map has a weight above zero; raise one")
    return flame


_CONTENT = {"palette", "xforms", "finals", "symmetry", "children"}
_FLAME = _CONTENT | {"settings", "extras", "layers", "layer_attributes"}
_MAP = {*_NUMBERS, *_AFFINES, "variations", "parameters", "chaos", "motions", "extras"}


def _read_content(given: Plain, where: str, budget: list[int]) -> Plain:
    maps = [
        map_from_plain(x, f"xforms[{i}]", budget) for i, x in enumerate(_list(given["xforms"], "xforms", MAX_XFORMS))
    ]
    finals = [
        map_from_plain(x, f"finals[{i}]", budget) for i, x in enumerate(_list(given["finals"], "finals", MAX_FINALS))
    ]
    if not maps:
        raise DataError(f"{where}: has no map; add one")
    symmetry = tuple(int(_number(v, "symmetry", -100, 100)) for v in _list(given["symmetry"], "symmetry", 10))
    children = tuple(_text(v, "children", budget) for v in _list(given["children"], "children", 1000))
    return {
        "palette": read_palette(given["palette"]), "xforms": tuple(maps), "final": finals[0] if finals else None,
        "more_finals": tuple(finals[1:]), "symmetry": symmetry, "children": children,
    }  # fmt: skip


def read_palette(text: Any) -> np.ndarray:
    """Colours ``[256, 4]`` of :func:`palette_text`."""
    try:
        data = bytes.fromhex(text) if isinstance(text, str) and len(text) <= 2048 else b""
    except ValueError:
        data = b""
    if len(data) not in (768, 1024):
        raise DataError("palette: expected 256 colours as hexadecimal digits")
    rows = np.frombuffer(data, np.uint8).reshape(256, -1) / 255.0
    return rows if rows.shape[1] == 4 else np.concatenate([rows, np.ones((256, 1))], 1)


def map_from_plain(data: Any, where: str, budget: list[int] | None = None) -> Xform:
    """The map of a plain form; errors as :func:`from_plain`."""
    budget = [MAX_TEXT] if budget is None else budget
    given = _object(data, where, _MAP)
    variations: dict[str, float] = {}
    for pair in _list(given["variations"], f"{where}.variations", 200):
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise DataError(f"{where}.variations: expected pairs of a name and a weight")
        if pair[0] not in KNOWN:
            raise DataError(f"{where}.variations: no variation is called {pair[0][:60]!r}")
        variations[pair[0]] = _number(pair[1], f"{where}.{pair[0]}")
    parameters = _object(given["parameters"], f"{where}.parameters", None)
    for name in parameters:
        if name not in PARAMETERS:
            raise DataError(f"{where}.parameters: no variation has a parameter {name[:60]!r}")
    fixed: dict[str, Any] = {n: _number(given[n], f"{where}.{n}", *r) for n, r in _NUMBERS.items()}
    fixed |= {n: _numbers(given[n], f"{where}.{n}", 6) for n in _AFFINES}
    return Xform(
        **fixed,
        variations={n: w for n, w in variations.items() if w != 0},
        parameters={n: _number(v, f"{where}.{n}") for n, v in parameters.items()},
        chaos=tuple(_number(v, f"{where}.chaos", 0, 1e9) for v in _list(given["chaos"], f"{where}.chaos", MAX_XFORMS)),
        motions=tuple(_texts(m, f"{where}.motions", budget) for m in _list(given["motions"], f"{where}.motions", 100)),
        extras=_texts(given["extras"], f"{where}.extras", budget),
    )


def _setting(name: str, value: Any) -> Any:
    kind = _SETTINGS[name].type
    if name == "size":
        w, h = _numbers(value, name, 2)
        if not (1 <= w <= MAX_SIDE and 1 <= h <= MAX_SIDE):
            raise DataError(f"size: expected 1 to {MAX_SIDE:,} pixels a side")
        return int(w), int(h)
    if name in ("center", "background"):
        return _numbers(value, name, 2 if name == "center" else 3)
    if kind == "str":
        if not isinstance(value, str) or len(value) > 1000 or not value.isprintable():
            raise DataError(f"{name}: expected a short text")
        return value
    number = _number(value, name, *_RANGES.get(name, (-_LARGEST, _LARGEST)))
    return int(number) if kind == "int" else number


def _object(value: Any, where: str, names: set[str] | None) -> dict[str, Any]:
    """An object with exactly these names; None: with any."""
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected an object")
    if names is not None and value.keys() != names:
        odd = sorted({str(n) for n in value.keys() ^ names})
        raise DataError(f"{where}: {'unknown' if odd[0] in value else 'missing'} field {odd[0][:60]!r}")
    if len(value) > 5000:
        raise DataError(f"{where}: more than 5,000 entries")
    return value


def _list(value: Any, where: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise DataError(f"{where}: expected a list of at most {most:,}")
    return value


def _number(value: Any, where: str, low: float = -_LARGEST, high: float = _LARGEST) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{where}: expected a number")
    if not (low <= value <= high) or not math.isfinite(value):
        raise DataError(f"{where}: expected {low:g} to {high:g}, got {value if abs(value) < 1e300 else 'more'}")
    return float(value)


def _numbers(value: Any, where: str, n: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != n:
        raise DataError(f"{where}: expected {n} numbers")
    return tuple(_number(v, where) for v in value)


def _text(value: Any, where: str, budget: list[int]) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: expected a text")
    budget[0] -= len(value)
    if budget[0] < 0:
        raise DataError(f"{where}: more than {MAX_TEXT:,} characters of text")
    return value


def _texts(value: Any, where: str, budget: list[int]) -> dict[str, str]:
    check: Callable[[Any], str] = lambda v: _text(v, where, budget)  # noqa: E731
    return {check(n): check(v) for n, v in _object(value, where, None).items()}
