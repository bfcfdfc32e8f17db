"""Pictures: clouds in space and in the plane, attractors, previews, and PNG files that say what made them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fractalkit.render.attractor import draw_ifs
    from fractalkit.render.camera import Camera
    from fractalkit.render.palette import PALETTES, Palette
    from fractalkit.render.png import read_png_text, save_png
    from fractalkit.render.preview import side_by_side
    from fractalkit.render.splat import draw_cloud
    from fractalkit.render.tonemap import tone_map

__all__ = [
    "PALETTES",
    "Camera",
    "Palette",
    "draw_cloud",
    "draw_ifs",
    "read_png_text",
    "save_png",
    "side_by_side",
    "tone_map",
]

# Looked up on first use: the parts bring numba, scipy and torch, which reading a PNG's text does not need.
# The function preview shares its module's name, so it is imported from there: fractalkit.render.preview.preview.
_HOME = {
    "PALETTES": "palette",
    "Palette": "palette",
    "Camera": "camera",
    "draw_cloud": "splat",
    "draw_ifs": "attractor",
    "read_png_text": "png",
    "save_png": "png",
    "side_by_side": "preview",
    "tone_map": "tonemap",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"fractalkit.render.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
