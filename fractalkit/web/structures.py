"""A flame or code as what ``engine.js`` draws: the shader of its structure, and its numbers."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.flame import Flame
from fractalkit.errors import DataError, UsageError

SIZE = (1280, 720)  # of codes


def engine_path() -> Path:
    """The file of the ES module ``engine.js``."""
    return Path(__file__).with_name("engine.js")


def structure(what: Flame | AffineIFS, *, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """What ``engine.js`` needs to draw a flame, or a code of the plane, as JSON can hold it.

    Args:
        size: (width, height) in pixels with the same part of the plane in view; None for the flame's own.

    Returns:
        * ``key``: of the shader; structures with the same key differ in numbers only;
        * ``shader``, ``flush``: texts in WGSL; ``group``: chains of a workgroup; ``maps``: how many;
        * ``size``; ``numbers``, ``palette``: float32 as base64, the palette RGBA;
        * ``camera``: six numbers, cell x = c[0] x + c[1] y + c[2], cell y = c[3] x + c[4] y + c[5];
        * ``shades``: factor and chance of the palette's row; ``brightest``: the largest weight of a sample;
        * ``tone``: settings of the tone map for one sample a pixel;
        * ``places``: where in ``numbers`` a map's numbers are, by names such as ``0.coefs.2`` (of a, d, b, e, c,
          f), ``0.post.0``, ``0.variations.linear``, ``0.parameters.julian_power``, ``0.color``, ``0.color_speed``, and
          ``final0.coefs.2``;
        * ``left_out``: what of the picture is not drawn here, as phrases.

    Raises:
        DataError: no maps, or nothing to draw.
        UsageError: a code in space, or a size out of range.
    """
    from fractalkit.orbit.flame import as_flam3, camera_of, colours_of
    from fractalkit.orbit.wgsl.flame_text import FLUSH, GROUP, flame_shader
    from fractalkit.render.flame import drawn_layers, look_of, resized
    from fractalkit.render.flame_tone import settings_of_pixels

    flame = _flame(what)
    flame = replace(flame if size is None else resized(flame, size), oversample=1)
    layers = drawn_layers(flame)
    if not layers:
        raise DataError(f"flame {flame.name!r}: none of its layers is visible")
    first = layers[0]
    shader = flame_shader(as_flam3(first))
    palette, shades = colours_of(first)
    left_out = ["layers after the first"] if len(layers) > 1 else []
    left_out += ["density estimation"] if flame.estimator_radius > 0 else []
    return {
        "key": hashlib.sha256(shader.text.encode()).hexdigest()[:20],
        "shader": shader.text, "flush": FLUSH, "group": GROUP, "maps": len(first.xforms), "size": list(flame.size),
        "numbers": _packed(shader.numbers), "palette": _packed(palette), "camera": camera_of(first, 0).tolist(),
        "shades": shades[:2].tolist(), "brightest": shader.brightest * float(palette.max()), "places": shader.places,
        "tone": settings_of_pixels(look_of(flame, 1.0)), "left_out": left_out,
    }  # fmt: skip


def _flame(what: Flame | AffineIFS) -> Flame:
    """A flame as it is; a code of the plane as a flame that shows all of it."""
    if isinstance(what, Flame):
        return what
    if not isinstance(what, AffineIFS) or what.dim != 2:
        kind = "a code in space" if isinstance(what, AffineIFS) else type(what).__name__
        raise UsageError(f"structure: the browser draws flames and codes of the plane, not {kind}")
    from fractalkit.codes.flame_random import flame_of
    from fractalkit.orbit.api import extent

    low, high = extent(what)
    middle, half = (low + high) / 2, (high - low) / 2
    half = half.new_tensor([max(float(half[0]), float(half[1]) * SIZE[0] / SIZE[1])] * 2)
    return flame_of(what, size=SIZE, low=middle - half, high=middle + half)


def _packed(values: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()
