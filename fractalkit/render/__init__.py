"""Pictures of clouds, attractors and flames, previews, and PNG files that record how they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fractalkit.lazy import attach, make_callable

if TYPE_CHECKING:
    from fractalkit.raster.png import read_png_text, save_png
    from fractalkit.render.attractor import draw_ifs
    from fractalkit.render.camera import Camera
    from fractalkit.render.drawing import draw
    from fractalkit.render.flame import Exposure, render_flame
    from fractalkit.render.flame_sheet import children, mutants, random_flames
    from fractalkit.render.meshing import surface
    from fractalkit.render.palette import PALETTES, Palette
    from fractalkit.render.panels import show, show_figure
    from fractalkit.render.preview import side_by_side
    from fractalkit.render.splat import draw_cloud
    from fractalkit.render.tonemap import tone_map

__all__ = [
    "PALETTES", "Camera", "Exposure", "Palette", "children", "draw", "draw_cloud", "draw_ifs", "mutants",
    "random_flames", "read_png_text", "render_flame", "save_png", "show", "show_figure", "side_by_side", "surface",
    "tone_map",
]  # fmt: skip

# The parts bring numba, scipy and torch; they are imported on first use.
_HOMES = {
    "PALETTES": ".palette", "Camera": ".camera", "Palette": ".palette", "children": ".flame_sheet",
    "draw": ".drawing", "draw_cloud": ".splat",
    "draw_ifs": ".attractor", "Exposure": ".flame", "mutants": ".flame_sheet",
    "random_flames": ".flame_sheet", "read_png_text": "fractalkit.raster.png", "render_flame": ".flame",
    "save_png": "fractalkit.raster.png", "show": ".panels", "show_figure": ".panels",
    "side_by_side": ".preview", "surface": ".meshing",
    "tone_map": ".tonemap",
}  # fmt: skip
__getattr__, __dir__ = attach(__name__, _HOMES)
make_callable(__name__, ".drawing", "draw")  # fractalkit.render(fern)
