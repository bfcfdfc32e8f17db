"""A picture of a code's attractor: a tone-mapped histogram in the plane, lit points in space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.errors import UsageError
from fractalkit.orbit import histogram, sample
from fractalkit.orbit.api import extent
from fractalkit.render.camera import Camera
from fractalkit.render.palette import Palette, distinct, distinct_nearby, palette
from fractalkit.render.splat import MAX_PIXELS, checked, draw_cloud
from fractalkit.render.tonemap import tone_map

Array = npt.NDArray[np.float64]
CELL_POINTS = 24  # orbit points for each cell of the supersampled grid, in the plane, at most,
_LIT_POINTS = 80  # and for each cell that has points
_LEAST = 2  # for each cell, to see which have points
_DEPTH = 10  # length of the addresses that colour a point; at the default speed the rest weighs 2^-10


def draw_ifs(
    ifs: AffineIFS | CloudCollage,
    *,
    size: tuple[int, int] = (1000, 1000),
    points: int | None = None,
    palette: str | Palette | None = None,
    background: str = "dark",
    seed: int = 0,
    camera: Camera | None = None,
    up: str = "z",
    supersample: int = 2,
    brightness: float = 1.0,
    gamma: float = 2.2,
    device: torch.device | str | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw the invariant measure of a code (plane) or points of its attractor (space).

    Args:
        size: (width, height) in pixels.
        points: orbit points; None takes 80 for each cell of the supersampled grid that the attractor meets, and at most
            24 for each of all, in the plane, and six for each pixel in space, at most 4,000,000.
        palette: a palette of :data:`fractalkit.render.palette.PALETTES`, along the density or the height; None takes
            the code's own colours where it has some.
        background: "dark" or "light".
        camera: in space; None frames the attractor.
        up: "x", "y", "z" or "auto", for framing and light in space.
        brightness, gamma: of the tone map, in the plane.
        device: that draws the points, as :func:`fractalkit.orbit.sample` takes it; None is the CPU.

    Returns:
        uint8 ``[H, W, 3]``; the same for the same code, options and seed.

    Raises:
        DataError: a map of the code does not contract.
        UsageError: an option out of range.
    """
    w, h = size
    if min(h, w) < 1 or supersample < 1 or h * w * supersample**2 > MAX_PIXELS:
        raise UsageError(f"size: expected at least 1 x 1 and at most {MAX_PIXELS} samples, got {w} x {h}")
    if points is not None and points < 0:
        raise UsageError(f"points: expected 0 or more, got {points}")
    ifs = ifs.to(device="cpu")
    if ifs.dim == 3:
        n = points if points is not None else min(6 * h * w, 4_000_000)
        return _draw_space(ifs, n, size, palette, background, seed, camera, up, supersample, device)
    s = supersample
    bounds, shape = plane_window(ifs, size), (h * s, w * s)
    n = points if points is not None else _enough(ifs, bounds, shape, seed, device)
    by_code = palette is None and ifs.coloured
    hist = histogram(ifs, n, shape=shape, bounds=bounds, colours=by_code, seed=seed, device=device)
    counts = hist.counts.flip(0).numpy()  # pictures begin at the top, the grid at the lowest y
    rgb = None if hist.rgb is None else hist.rgb.flip(0).numpy()
    return tone_map(
        counts, rgb, colours=palette, background=background, brightness=brightness, gamma=gamma, supersample=s
    )


def _enough(
    ifs: AffineIFS | CloudCollage, bounds: tuple[torch.Tensor, torch.Tensor], shape: tuple[int, int], seed: int,
    device: torch.device | str | None,
) -> int:  # fmt: skip
    """The number of points of a picture of so many cells: more where the attractor covers more of them."""
    cells = shape[0] * shape[1]
    first = histogram(ifs, _LEAST * cells, shape=shape, bounds=bounds, seed=seed, device=device)
    lit = int((first.counts > 0).sum())
    return min(max(_LIT_POINTS * lit, _LEAST * cells), CELL_POINTS * cells)


def plane_window(
    ifs: AffineIFS | CloudCollage, size: tuple[int, int], margin: float = 0.05
) -> tuple[torch.Tensor, torch.Tensor]:
    """Corners ``[2]`` of the window of the picture's shape that holds the attractor of a planar code, centred."""
    low, high = extent(ifs, margin=0.0)
    middle, span = (low + high) / 2, high - low
    w, h = size
    unit = max(float(span[0]) / w, float(span[1]) / h) / (1 - 2 * margin)
    if not unit > 0:  # one point
        unit = max(1.0, float(middle.abs().max())) / min(h, w)
    half = torch.tensor([w, h], dtype=torch.float64) * unit / 2
    return middle - half, middle + half


def colours_by_height(points: Array, name: str | Palette) -> Array:
    """sRGB ``[N, 3]`` of points: a palette along the last axis."""
    top = points[:, -1]
    span = float(top.max() - top.min()) if len(top) else 0.0
    t = (top - top.min()) / span if span > 0 else np.full(len(top), 0.5)
    return palette(name)(0.25 + 0.65 * t)


def piece_colours(ifs: AffineIFS | CloudCollage) -> Array:
    """One distinct colour for each map or range, sRGB ``[K, 3]``; pieces that lie near each other differ most."""
    if isinstance(ifs, CloudCollage):
        return distinct_nearby(ifs.bounds()[0].cpu().numpy())
    # the piece of map k lies about the image of the attractor's mean
    middle = sample(ifs.to(dtype=torch.float64), 4096, engine="numba", dtype=torch.float64).points.mean(0)
    places = (
        torch.einsum("kij,j->ki", ifs.matrices.detach().double().cpu(), middle) + ifs.offsets.detach().double().cpu()
    )
    return distinct(len(ifs), places.tolist())


def _draw_space(
    ifs: AffineIFS | CloudCollage, n: int, size: tuple[int, int], name: str | Palette | None, background: str,
    seed: int, camera: Camera | None, up: str, supersample: int, device: torch.device | str | None,
) -> npt.NDArray[np.uint8]:  # fmt: skip
    orbit = sample(ifs, n, seed=seed, colours=name is None and ifs.coloured, device=device)
    x, c = checked(orbit.points, orbit.colours)
    if name is not None:
        c = colours_by_height(x, name)
    return draw_cloud(
        x, c, size=size, camera=camera, up=up, background=background, supersample=supersample, point_size=0.85
    )
