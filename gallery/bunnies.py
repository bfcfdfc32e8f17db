"""Clouds as collages: a zoom, parts of another cloud, and ranges that copy the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.codes import preset
from fractalkit.data.figures import rabbit
from fractalkit.fit import copies_of_whole, fit_cloud_collage, fit_cloud_style
from fractalkit.orbit import sample
from fractalkit.render import Camera, draw_cloud
from fractalkit.render.preview import side_by_side
from fractalkit.render.zoom_cloud import CloudWindows

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]
SEED = 1
VIEW = {"azimuth": 35.0, "elevation": 12.0}


def tints(n: int) -> Array:
    """Colours ``[n, 3]`` for ranges: warm and cool, none next to its like."""
    hue = 2 * np.pi * np.random.default_rng(SEED).permutation(n) / n
    return np.stack([0.62 + 0.26 * np.cos(hue), 0.55 + 0.14 * np.cos(hue - 1.4), 0.56 + 0.26 * np.cos(hue - 2.9)], 1)


def wholes(height: int = 860) -> Image:
    """A rabbit made of 300 rabbits."""
    points, _ = rabbit(100_000, seed=SEED)
    cells = sample(fit_cloud_collage(points, maps=300, seed=SEED), 200_000, seed=SEED, depth=1)
    assert cells.addresses is not None
    code = copies_of_whole(cells.points, cells.addresses[:, 0], size=1.25)
    orbit = sample(code, 4_000_000, seed=SEED, depth=1)
    assert orbit.addresses is not None
    size = (height * 4 // 5, height)
    camera = Camera.frame(orbit.points[:20_000], size, **VIEW)
    return draw_cloud(orbit.points, tints(300)[orbit.addresses[:, 0].numpy()], size=size, camera=camera)


def of_maps(height: int = 640) -> Image:
    """A rabbit of 64, of 512 and of 4,096 ranges, each in a colour of its own."""
    points, _ = rabbit(100_000, seed=SEED)
    size = (height * 4 // 5, height)
    camera = Camera.frame(points[:20_000], size, **VIEW)
    panels = []
    for maps in (64, 512, 4096):
        code = fit_cloud_collage(points, maps=maps, effort=1, seed=SEED)
        orbit = sample(code, 1_500_000, seed=SEED, depth=1, stratified=True)
        assert orbit.addresses is not None
        shades = tints(len(code))[orbit.addresses[:, 0].numpy()]
        panels.append(draw_cloud(orbit.points, shades, size=size, camera=camera))
    return side_by_side(panels, labels=["64 maps", "512 maps", "4,096 maps"])


def skin(side: int = 520) -> Image:
    """A rabbit of 512 ranges, and nearer to it, twice."""
    points, colours = rabbit(60_000, seed=SEED)
    code = fit_cloud_collage(points, maps=512, colours=colours, effort=2, seed=SEED)
    windows = CloudWindows(code, quality=8.0, seed=SEED)
    x, y = 0.42, 0.70  # the flank
    panels = []
    for times in (1, 6, 36):
        half = 0.5 / times
        cx, cy = (0.5, 0.5) if times == 1 else (x, y)
        panels.append(windows.window(cx - half, cy - half, cx + half, cy + half, side, side))
    return side_by_side(panels, labels=["1 x", "6 x", "36 x"])


def of_twigs(height: int = 860) -> Image:
    """A rabbit of parts of a tree."""
    points, _ = rabbit(60_000, seed=SEED)
    tree = sample(preset("tree-3d"), 40_000, seed=SEED).points.double().numpy()
    code = fit_cloud_style(points, tree, maps=512, effort=2, seed=SEED)
    orbit = sample(code, 2_500_000, seed=SEED, depth=1, stratified=True)
    assert orbit.addresses is not None
    size = (height * 4 // 5, height)
    camera = Camera.frame(points[:20_000], size, **VIEW)
    shades = tints(len(code))[orbit.addresses[:, 0].numpy()]
    return draw_cloud(orbit.points, shades, size=size, camera=camera)


BUNNIES = {
    "bunny-of-maps": (
        of_maps, "A bunny of 64, 512 and 4,096 maps",
        "Collages of 100,000 points: every piece in a colour is a copy of a larger part.",
    ),
    "bunny-skin": (
        skin, "The skin of a bunny of bunny parts",
        "A collage of 512 maps, at 1, 6 and 36 x: it is made of itself at every scale.",
    ),
    "bunny-of-twigs": (
        of_twigs, "A bunny of twigs",
        "A collage of 512 maps whose parts are copied from a tree (`fractalkit ifs --style`).",
    ),
    "bunny-of-bunnies": (
        wholes, "A bunny of bunnies", "300 maps, each of which copies the whole; every small bunny is made of 300.",
    ),
}  # fmt: skip
