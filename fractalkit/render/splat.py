"""Point clouds as pictures: visibility by z-buffered discs, blended where they overlap (surface splatting).

M. Botsch and L. Kobbelt, High-quality point-based rendering on modern GPUs (2003): a first pass keeps the nearest
depth of each pixel, a second blends what lies within a small distance behind it. The tests compare the compiled
kernels with a plain torch version; the light is in :mod:`fractalkit.render.shade`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt
import torch

from fractalkit.errors import DataError, UsageError
from fractalkit.render import shade
from fractalkit.render.camera import Camera
from fractalkit.render.depth import disc_box, nearest
from fractalkit.render.palette import encode, from_oklab, parse_colour, to_linear, to_oklab, to_srgb

# mypy: disable-error-code="no-untyped-def"

Array = npt.NDArray[np.float64]

BACKGROUNDS: dict[str, tuple[str, str]] = {"dark": ("#1d2028", "#0b0c10"), "light": ("#f8f6f1", "#e6e2d9")}
TINTS = {"dark": ("#a8876a", "#d8c3a5"), "light": ("#9a7f66", "#d6c0a4")}  # low, high: warm clay
MAX_PIXELS = 1 << 28
_SPACING_SAMPLE = 60_000


@dataclass(frozen=True)
class Layers:
    """Depth and colour of the discs, blended for each pixel.

    Attributes:
        depth: ``[H, W]`` float32 in the camera's units; infinite for empty pixels.
        colour: ``[H, W, 3]`` float32; zero for empty pixels.
    """

    depth: npt.NDArray[np.float32]
    colour: npt.NDArray[np.float32]


def splat(xy: Array, depth: Array, radius: Array, colour: Array, size: tuple[int, int], slab: float) -> Layers:
    """Draw discs: nearest depth first, then a blend of all discs no more than ``slab`` behind it.

    A disc of radius r around (column, row) covers the pixel centres within r, with weight (1 - d²/r²)² + 10^-3, and
    always the pixel it lies in.

    Args:
        xy: positions ``[N, 2]`` in pixels. depth: ``[N]``, positive. radius: ``[N]`` in pixels. colour: ``[N, 3]``.
        size: (width, height) in pixels.
        slab: thickness of the layer that is blended, in units of depth.
    """
    w, h = size
    front = np.full((h, w), np.inf, np.float32)
    nearest(xy, depth, radius, front)
    total = np.zeros((h, w), np.float32)
    mean = np.zeros((h, w), np.float32)
    rgb = np.zeros((h, w, 3), np.float32)
    _blend(xy, depth, radius, colour, np.float32(slab), front, total, mean, rgb)
    return Layers(np.where(total > 0, mean, np.inf).astype(np.float32), rgb)


@nb.njit(cache=True, nogil=True)
def _blend(xy, depth, radius, colour, slab, front, total, mean, rgb):
    h, w = front.shape
    for i in range(len(depth)):
        z = np.float32(depth[i])
        if not z > 0:
            continue
        x, y, r = xy[i, 0], xy[i, 1], radius[i]
        if not (x + r >= 0 and y + r >= 0 and x - r < w and y - r < h):
            continue
        c, s = math.floor(x), math.floor(y)
        r2 = r * r
        top, bottom, left, right = disc_box(x, y, r, h, w)
        for row in range(top, bottom):
            dy = row + 0.5 - y
            for col in range(left, right):
                dx = col + 0.5 - x
                d2 = dx * dx + dy * dy
                if (d2 < r2 or (row == s and col == c)) and z <= front[row, col] + slab:
                    fall = max(1.0 - d2 / r2, 0.0)
                    v = np.float32(fall * fall + 1e-3)
                    total[row, col] += v
                    mean[row, col] += v * z
                    rgb[row, col, 0] += v * np.float32(colour[i, 0])
                    rgb[row, col, 1] += v * np.float32(colour[i, 1])
                    rgb[row, col, 2] += v * np.float32(colour[i, 2])
    _divide(total, mean, rgb)


@nb.njit(cache=True, nogil=True)
def _divide(total, mean, rgb):
    """Turn weighted sums of depth and colour into means, in place, where the total weight is positive."""
    for row in range(total.shape[0]):
        for col in range(total.shape[1]):
            v = total[row, col]
            if v > 0:
                mean[row, col] /= v
                for k in range(3):
                    rgb[row, col, k] /= v


def splat_flat(
    xy: Array, radius: Array, colour: Array, size: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Flat discs with soft rims: coverage ``[H, W]`` in [0, 1] and mean colour ``[H, W, 3]``.

    A disc covers a pixel by clip(r + 1/2 - d, 0, 1), d the distance of the centres; coverages add up to at most 1.
    """
    cover = np.zeros(size[::-1], np.float32)
    rgb = np.zeros((*cover.shape, 3), np.float32)
    _flat(xy, radius, colour, cover, rgb)
    mean = rgb / np.maximum(cover, 1e-6)[..., None]
    return np.minimum(cover, 1), mean.astype(np.float32)


@nb.njit(cache=True, nogil=True)
def _flat(xy, radius, colour, cover, rgb):
    h, w = cover.shape
    for i in range(len(xy)):
        x, y, r = xy[i, 0], xy[i, 1], radius[i] + 0.5
        # a disc smaller than a pixel keeps its area
        scale = np.float32(min(1.0, math.pi * radius[i] * radius[i]))
        if not (x + r >= 0 and y + r >= 0 and x - r < w and y - r < h):
            continue
        for row in range(max(math.floor(y - r), 0), min(math.floor(y + r) + 1, h)):
            dy = row + 0.5 - y
            for col in range(max(math.floor(x - r), 0), min(math.floor(x + r) + 1, w)):
                dx = col + 0.5 - x
                a = np.float32(min(r - math.sqrt(dx * dx + dy * dy), 1.0))
                if a > 0:
                    a *= scale
                    cover[row, col] += a
                    for k in range(3):
                        rgb[row, col, k] += a * np.float32(colour[i, k])


def spacing(points: npt.ArrayLike, neighbours: int = 6) -> Array:
    """Distance of each point to its ``neighbours``-th nearest, ``[N]``, kept within 1/3 to 3 times the median.

    Beyond 60,000 points, one number for all: the median of a thinned cloud, scaled as if the cloud were a surface.
    """
    from scipy.spatial import cKDTree

    x = np.asarray(points, dtype=np.float64)
    n = len(x)
    if n < 2:
        return np.full(n, 0.0)
    step = -(-n // _SPACING_SAMPLE)
    # points may be sorted in some way, so choose at random
    part = x if step == 1 else x[np.random.default_rng(0).permutation(n)[: n // step]]
    k = min(neighbours, len(part) - 1)
    d = np.atleast_2d(cKDTree(part).query(part, k=[k + 1])[0]).reshape(-1)
    middle = float(np.median(d))
    if step > 1:
        power = 1 / (x.shape[1] if x.shape[1] == 2 else 2)
        return np.full(n, middle * (len(part) / n) ** power)
    if middle == 0:
        middle = float(d.mean())
    return np.clip(d, middle / 3, 3 * middle)


def checked(points: npt.ArrayLike, colours: npt.ArrayLike | None) -> tuple[Array, Array | None]:
    """Convert points and colours to float64 arrays ``[N, D]`` and ``[N, 3]``, and check them.

    Raises:
        DataError: a wrong shape, or rows that are not finite.
    """
    x = _array(points)
    if x.ndim != 2 or x.shape[1] not in (2, 3):
        raise DataError(f"points: expected shape [N, 2] or [N, 3], got {list(x.shape)}")
    bad = int((~np.isfinite(x).all(axis=1)).sum())
    if bad:
        raise DataError(f"points: {bad} of {len(x)} rows are not finite; drop them first")
    if colours is None:
        return x, None
    c = _array(colours)
    if c.shape != (len(x), 3):
        raise DataError(f"colours: expected shape [{len(x)}, 3], got {list(c.shape)}")
    if not np.isfinite(c).all():
        raise DataError("colours: hold values that are not finite")
    return x, np.clip(c, 0, 1)


def _array(value: npt.ArrayLike) -> Array:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    return np.asarray(value, dtype=np.float64)


def default_tint(points: Array, up: str, background: str) -> Array:
    """A warm clay that lightens towards the top: sRGB ``[N, 3]``."""
    low, high = to_oklab(to_linear(np.stack([parse_colour(c) for c in TINTS[background]])))
    axis = {"x": 0, "y": 1, "z": 2}[up] if points.shape[1] == 3 else 1
    h = points[:, axis]
    t = (h - h.min()) / max(float(h.max() - h.min()), 1e-300) if len(h) else h
    table = to_srgb(from_oklab(low + np.linspace(0, 1, 256)[:, None] * (high - low)))
    tint: Array = table[(np.clip(t, 0, 1) * 255 + 0.5).astype(np.intp)]
    return tint


def backdrop(size: tuple[int, int], background: str) -> Array:
    """The empty picture in linear light ``[H, W, 3]``: a soft glow behind the object, darker towards the corners."""
    if background not in BACKGROUNDS:
        raise UsageError(f"background: expected {' or '.join(BACKGROUNDS)}, got {background!r}")
    w, h = size
    inner, outer = to_linear(np.stack([parse_colour(c) for c in BACKGROUNDS[background]]))
    y = (np.arange(h) + 0.5 - 0.46 * h)[:, None] / min(h, w)
    x = (np.arange(w) + 0.5 - 0.5 * w)[None] / min(h, w)
    t = np.clip(np.sqrt(x**2 + y**2) / 0.8, 0, 1)
    t = t * t * (3 - 2 * t)
    return inner + t[..., None] * (outer - inner)


def draw_cloud(
    points: npt.ArrayLike,
    colours: npt.ArrayLike | None = None,
    *,
    size: tuple[int, int] = (900, 900),
    camera: Camera | None = None,
    up: str = "auto",
    background: str = "dark",
    point_size: float = 1.0,
    supersample: int = 2,
) -> npt.NDArray[np.uint8]:
    """A picture of a cloud: perspective, light, shadow and ambient occlusion in space; soft discs in the plane.

    Args:
        points: ``[N, D]``, D = 2 or 3, array or tensor.
        colours: sRGB in [0, 1], ``[N, 3]``; None takes a warm clay.
        size: (width, height) in pixels.
        camera: in space; None frames the cloud.
        up: "x", "y", "z" or "auto", for framing and light; ignored if a camera is given.
        background: "dark" or "light".
        point_size: scales the discs, whose size follows the local density of the cloud.
        supersample: s, for s x s samples per pixel.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        DataError: rows that are not finite, or a wrong shape.
        UsageError: an option out of range.
    """
    x, c = checked(points, colours)
    w, h = size
    if min(h, w) < 1 or supersample < 1 or h * w * supersample**2 > MAX_PIXELS:
        raise UsageError(f"size: expected at least 1 x 1 and at most {MAX_PIXELS} samples, got {w} x {h}")
    if not point_size > 0:
        raise UsageError(f"point_size: expected a positive number, got {point_size}")
    behind = backdrop(size, background)
    if len(x) == 0:
        return encode(behind)
    if x.shape[1] == 2:
        return _draw_plane(x, c, size, behind, background, point_size)
    camera = camera if camera is not None else Camera.frame(x, size, up=up)
    if c is None:
        c = default_tint(x, camera.up, background)
    big = (w * supersample, h * supersample)
    xy, depth = camera.project(x, big)
    gap = spacing(x) * 0.8 * point_size
    with np.errstate(divide="ignore", invalid="ignore"):
        radius = np.where(depth > 0, gap * camera.focal(big) / depth, 0.0)
    # limit the radius: small discs would alias, and large ones of few points would fill the picture
    radius = np.clip(radius, 0.55 * supersample, max(0.012 * min(big), 0.55 * supersample))
    slab = max(1.2 * float(np.median(gap)), 1.5 * camera.distance / camera.focal(big))
    layers = splat(xy, depth, radius, to_linear(c), big, slab)
    lit = shade.light(layers.depth, layers.colour, x, gap, camera, big, background=background)
    covered = np.isfinite(layers.depth)
    lit[~covered] = 0
    flat = lit.reshape(h, supersample, w, supersample, 3).mean(axis=(1, 3))
    alpha = covered.reshape(h, supersample, w, supersample).mean(axis=(1, 3))[..., None]
    return encode(behind * (1 - alpha) + flat)


def frame_plane(points: Array, size: tuple[int, int], margin: float = 0.06) -> tuple[Array, float]:
    """Centre ``[2]`` and pixels per unit that frame a planar cloud, without outliers."""
    low, high = np.quantile(points, [0.001, 0.999], axis=0)
    pad = 0.05 * float((high - low).max())
    inside = ((points >= low - pad) & (points <= high + pad)).all(axis=1)
    seen = points[inside] if inside.any() else points
    low, high = seen.min(axis=0), seen.max(axis=0)
    span = np.maximum(high - low, 1e-300)
    w, h = size
    return (low + high) / 2, float((1 - 2 * margin) * min(w / span[0], h / span[1]))


def _draw_plane(
    x: Array, c: Array | None, size: tuple[int, int], behind: Array, background: str, point_size: float
) -> npt.NDArray[np.uint8]:
    centre, scale = frame_plane(x, size)
    if not scale < 1e290:
        scale = 1.0
    if c is None:
        c = default_tint(x, "y", background)
    xy = np.stack([(x[:, 0] - centre[0]) * scale + size[0] / 2, size[1] / 2 - (x[:, 1] - centre[1]) * scale], axis=1)
    # all discs have one size, so that the density remains visible
    gap = np.full(len(x), float(np.median(spacing(x))))
    radius = np.clip(gap * scale * 0.34 * point_size, 0.42, 0.008 * min(size) + 0.42)
    cover, rgb = splat_flat(xy, radius, to_linear(c), size)
    return encode(behind * (1 - cover[..., None]) + cover[..., None] * rgb)
