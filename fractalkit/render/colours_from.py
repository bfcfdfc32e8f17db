"""Tables of 256 colours for flames: FractalKit's palettes, matplotlib's colour maps, or the colours of a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from fractalkit.errors import UsageError, did_you_mean
from fractalkit.files import checked_picture
from fractalkit.render.palette import HUED, PALETTES, from_oklab, palette, to_linear, to_oklab, to_srgb

Array = npt.NDArray[np.float64]
MAX_PIXELS = 1 << 28  # of a picture that gives its colours


def names() -> list[str]:
    """Names of FractalKit's palettes, those of increasing lightness first."""
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
        # without the first tenth, which is almost black
        return palette(source)(0.1 + 0.9 * t)
    if Path(source).suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"):
        return from_picture(Path(source), seed=seed)
    import matplotlib

    if source in matplotlib.colormaps:
        return np.asarray(matplotlib.colormaps[source](t), dtype=np.float64)[:, :3]
    hint = did_you_mean(source, [*names(), *matplotlib.colormaps])
    raise UsageError(
        f"--palette: no {source!r} among {', '.join(names())}, the colour maps of matplotlib and pictures{hint}"
    )


def from_picture(path: Path, *, colours: int = 12, seed: int = 0, max_pixels: int = MAX_PIXELS) -> Array:
    """A table ``[256, 3]`` along a short path through the main colours of a picture.

    The colours are cluster centres in Oklab: k-means (Lloyd, 1982) of a reduced picture, initialised by k-means++
    (Arthur and Vassilvitskii, 2007). The path starts at the darkest colour, visits nearest neighbours, and is shortened
    by 2-opt.
    """
    with checked_picture(path, max_pixels=max_pixels) as image:
        image.draft("RGB", (256, 256))
        small = image.convert("RGB")
        small.thumbnail((128, 128))
    pixels = np.asarray(small, dtype=np.float64).reshape(-1, 3) / 255
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
    way = _path(centres)
    at = np.linspace(0, len(way) - 1, 256)
    table = np.stack([np.interp(at, np.arange(len(way)), centres[way, c]) for c in range(3)], axis=1)
    return to_srgb(from_oklab(table))


def _path(points: Array) -> list[int]:
    """A short path through points ``[N, 3]`` that starts at the smallest first coordinate."""
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
