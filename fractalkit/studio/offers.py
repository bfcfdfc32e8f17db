"""What the page offers to choose from: variations with pictures, palettes, and starting points."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractalkit.codes.variation_list import catalogue
from fractalkit.errors import DataError

if TYPE_CHECKING:
    from fractalkit.codes.flame import Flame

STARTS = Path(__file__).with_name("starts")


@cache
def variations() -> list[dict[str, Any]]:
    """Every variation with its family, what it does, and its parameters with their defaults."""
    found = [
        {
            "name": d.name, "doc": d.doc, "family": Path(d.where).stem, "parameters": dict(d.parameters),
            "place": d.place, "also": [n for n in d.also if n.lower() != d.name.lower()][:4],
        }
        for d in catalogue().variations.values()
    ]  # fmt: skip
    return sorted(found, key=lambda v: v["family"] != "classic")


@cache
def variation_picture(name: str) -> bytes:
    """What a variation does to a grid of lines and a circle: a PNG of 128 pixels.

    Raises:
        DataError: no variation has the name.
    """
    from PIL import Image

    from fractalkit.render.variation_picture import picture

    declared = catalogue().variations.get(name)
    if declared is None:
        raise DataError(f"no variation is called {name[:60]!r}")
    buffer = io.BytesIO()
    Image.fromarray(picture(declared)).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def palettes() -> list[dict[str, str]]:
    """Every palette by name, with its family and its 256 colours as hexadecimal digits."""
    import matplotlib

    from fractalkit.render.colours_from import colour_table, names
    from fractalkit.studio.plain import palette_text

    own = [{"name": n, "family": "FractalKit", "colours": palette_text(colour_table(n))} for n in names()]
    maps = [n for n in matplotlib.colormaps if not n.endswith("_r")]
    return own + [{"name": n, "family": "matplotlib", "colours": palette_text(colour_table(n))} for n in maps]


@cache
def starts() -> list[dict[str, str]]:
    """The starting points: name, title, and what it teaches."""
    found: list[dict[str, str]] = json.loads((STARTS / "starts.json").read_text(encoding="utf-8"))
    return found


def start(name: str) -> Flame:
    """The flame of a starting point.

    Raises:
        DataError: there is none of that name.
    """
    from fractalkit.codes.flame import read_flames

    if name not in {s["name"] for s in starts()}:
        raise DataError("there is no such starting point")
    return read_flames(STARTS / f"{name}.flame")[0]


def first_start() -> Flame:
    """The flame that a new studio shows."""
    return start(starts()[0]["name"])
