"""Tables of 256 colours for flames: our palettes, matplotlib's colour maps, or colours drawn from a picture."""

from __future__ import annotations

import difflib
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fractalkit.errors import PILLOW_ERRORS, DataError, UsageError, first_line
from fractalkit.render.palette import PALETTES, Palette, from_oklab, palette, to_linear, to_oklab, to_srgb

Array = npt.NDArray[np.float64]
MAX_PIXELS = 1 << 28  # of a picture that gives its colours

# Many-hued, for the colour coordinate of a flame: neighbours differ, nothing is too dark to glow.
HUED: dict[str, Palette] = {
    name: Palette(name, stops)
    for name, stops in {
        "opal": ("#f4e9d8", "#8fd0c9", "#5a7fd6", "#b07ad1", "#f0a1a8", "#ffe2b8"),
        "kingfisher": ("#0fa3b1", "#1b5fa8", "#f28f3b", "#ffd275", "#1a936f", "#0b4f6c"),
        "autumn-walk": ("#7a1f1f", "#c8451d", "#ef9a2d", "#f6d860", "#8a9a3b", "#3f5f3a"),
        "aurora": ("#1de9b6", "#3fb6ff", "#6a5cff", "#d65cff", "#ff6fae", "#7dffb0"),
        "coral-reef": ("#ff7f6b", "#ffc3a0", "#3ec6c1", "#1f6f8b", "#f9d56e", "#e05297"),
        "stained-glass": ("#c1121f", "#ffb703", "#2a9d8f", "#1d4e89", "#7b2d8b", "#f77f00"),
        "frost-fire": ("#e8f6ff", "#6fb7ff", "#2348a8", "#7c1d3f", "#ff5a1f", "#ffd9a0"),
        "meadow": ("#f7f5d0", "#b8d45a", "#4f9d4b", "#2f6f7e", "#c77dbb", "#ffd1e0"),
    }.items()
}


def names() -> list[str]:
    """Our own palettes, those of rising lightness first."""
    return [*PALETTES, *HUED]


def colour_table(source: str, *, seed: int = 0) -> Array:
    """256 sRGB colours in [0, 1], ``[256, 3]``.

    Args:
        source: one of :func:`names`, a colour map of matplotlib, or the path of a picture to draw colours from.

    Raises:
        UsageError: nothing of that name.
        DataError: a picture that cannot be read.
    """
    t = np.linspace(0, 1, 256)
    if source in HUED:
        return HUED[source](t)
    if source in PALETTES:
        # from a tenth on: what is all but black does not glow
        return palette(source)(0.1 + 0.9 * t)
    if Path(source).suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"):
        return from_picture(Path(source), seed=seed)
    import matplotlib

    if source in matplotlib.colormaps:
        return np.asarray(matplotlib.colormaps[source](t), dtype=np.float64)[:, :3]
    near = difflib.get_close_matches(source, [*names(), *matplotlib.colormaps], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(
        f"--palette: no {source!r} among {', '.join(names())}, the colour maps of matplotlib and pictures{hint}"
    )


def from_picture(path: Path, *, colours: int = 12, seed: int = 0, max_pixels: int = MAX_PIXELS) -> Array:
    """Colours drawn from a picture: the centres of its clusters in Oklab, along a short way through them.

    k-means of a thinned picture (Lloyd, 1982), started by distance (Arthur and Vassilvitskii, 2007); the way joins
    nearest neighbours and is untangled by reversals (2-opt), from the darkest to where it ends.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit, below, is the one that counts
            with Image.open(path) as image:
                if image.width * image.height > max_pixels:
                    raise DataError(
                        f"{path}: {image.width:,} x {image.height:,} pixels are more than a palette needs; "
                        "make it smaller"
                    )
                image.draft("RGB", (256, 256))
                small = image.convert("RGB")
            small.thumbnail((128, 128))
            pixels = np.asarray(small, dtype=np.float64).reshape(-1, 3) / 255
    except DataError:
        raise
    except (*PILLOW_ERRORS, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as a picture ({first_line(error)})") from error
    lab = to_oklab(to_linear(pixels))
    g = np.random.default_rng(seed)
    centres = lab[g.integers(len(lab))][None]
    while len(centres) < colours:
        d = ((lab[:, None] - centres[None]) ** 2).sum(2).min(1)
        if not d.max() > 1e-9:
            break
        centres = np.concatenate([centres, lab[g.choice(len(lab), p=d / d.sum())][None]])
    for _ in range(20):
        own = ((lab[:, None] - centres[None]) ** 2).sum(2).argmin(1)
        centres = np.stack([lab[own == k].mean(0) if (own == k).any() else centres[k] for k in range(len(centres))])
    way = _way(centres)
    at = np.linspace(0, len(way) - 1, 256)
    table = np.stack([np.interp(at, np.arange(len(way)), centres[way, c]) for c in range(3)], axis=1)
    return to_srgb(from_oklab(table))


def _way(points: Array) -> list[int]:
    d = np.linalg.norm(points[:, None] - points[None], axis=2)
    order = [int(points[:, 0].argmin())]
    while len(order) < len(points):
        rest = [i for i in range(len(points)) if i not in order]
        order.append(min(rest, key=lambda i: float(d[order[-1], i])))
    better = True
    while better:
        better = False
        for i in range(1, len(order) - 1):
            for j in range(i + 1, len(order)):
                after = d[order[j], order[j + 1]] if j + 1 < len(order) else 0.0
                then = d[order[i], order[j + 1]] if j + 1 < len(order) else 0.0
                if d[order[i - 1], order[j]] + then < d[order[i - 1], order[i]] + after - 1e-12:
                    order[i : j + 1] = order[i : j + 1][::-1]
                    better = True
    return order
