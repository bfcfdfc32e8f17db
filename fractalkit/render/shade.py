"""Shade a depth picture: normals, ambient occlusion, a shadow and a key light, computed from the depth buffer.

The occlusion is that of L. Bavoil and M. Sainz, Image-space horizon-based ambient occlusion (2008), in a plain form: a
few directions, a few distances, the steepest rise above the tangent plane; the shadow is a depth picture seen from the
light (L. Williams, Casting curved shadows on curved surfaces, 1978), sampled softly.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from fractalkit.render.camera import Camera
from fractalkit.render.depth import nearest as nearest_disc

# mypy: disable-error-code="no-untyped-def"

Array = npt.NDArray[np.float64]
Layer = npt.NDArray[np.float32]

KEY = {"dark": 1.25, "light": 1.25}
SKY = {"dark": (0.62, 0.66, 0.74), "light": (0.74, 0.76, 0.80)}  # cool from above
GROUND = {"dark": (0.20, 0.17, 0.15), "light": (0.40, 0.36, 0.32)}  # warm from below
KEY_COLOUR = (1.0, 0.955, 0.88)


def light(
    depth: Layer, colour: Layer, points: Array, gap: Array, camera: Camera, size: tuple[int, int], *, background: str
) -> Layer:
    """Linear light ``[H, W, 3]`` float32: colour x (ambient x occlusion + key light x shadow), fading with depth.

    Args:
        depth, colour: layers of :func:`fractalkit.render.splat.splat`, infinity where nothing is.
        points, gap: the cloud ``[N, 3]`` and its discs' radii in its own units, for the shadow.
    """
    focal = camera.focal(size)
    covered = np.isfinite(depth)
    if not covered.any():
        return np.zeros_like(colour)
    unit = camera.distance / focal  # one pixel at the target, in the cloud's units
    surface = np.where(covered, depth / np.float32(unit), np.float32(1e9)).astype(np.float32)  # depth in pixels
    reach = 0.045 * min(size)
    smooth = _smoothed(surface, 0.8 * float(np.median(gap)) / unit)
    normal = np.zeros((*depth.shape, 3), np.float32)
    _normals(smooth, np.float32(focal), normal)
    noisy, open_sky = np.ones_like(surface), np.ones_like(surface)
    _occlusion(surface, normal, np.float32(reach), noisy)
    _box(noisy, surface, open_sky)
    basis = camera.basis()
    # over the viewer's left shoulder, high
    towards = -0.62 * basis[0] - 0.45 * basis[2]
    axis = np.zeros(3)
    axis["xyz".index(camera.up)] = 1.0
    towards = towards + 0.78 * axis
    towards /= np.linalg.norm(towards)
    shadow = np.ones_like(surface)
    _cast(depth, normal, points, gap, camera, focal, basis, towards, unit, shadow)
    near, far = np.quantile(depth[covered][:: max(1, int(covered.sum()) // 50_000)], [0.01, 0.99])
    out = np.zeros_like(colour)
    _combine(depth, colour, normal, open_sky, shadow,
             (basis @ towards).astype(np.float32), (basis @ axis).astype(np.float32),
             np.array(SKY[background], np.float32), np.array(GROUND[background], np.float32),
             np.array(KEY_COLOUR, np.float32) * np.float32(KEY[background]), np.float32(near), np.float32(far),
             np.float32(0.34 if background == "dark" else 0.0), out)  # fmt: skip
    return out


def _smoothed(surface: Layer, sigma: float) -> Layer:
    """Blur the depth over neighbours of about the same depth, to remove the traces of single discs."""
    radius = int(min(max(round(1.3 * sigma), 1), 12))
    a, b = np.empty_like(surface), np.empty_like(surface)
    limit = np.float32(3.0 * radius)
    _blur_rows(surface, radius, limit, a)
    _blur_columns(a, radius, limit, b)
    return b


@nb.njit(cache=True, nogil=True)
def _blur_rows(z, radius, limit, out):
    h, w = z.shape
    for r in range(h):
        for c in range(w):
            out[r, c] = _mean_along(z[r], c, radius, limit)


@nb.njit(cache=True, nogil=True)
def _blur_columns(z, radius, limit, out):
    h, w = z.shape
    for r in range(h):
        for c in range(w):
            out[r, c] = _mean_along(z[:, c], r, radius, limit)


@nb.njit(cache=True, nogil=True, forceinline=True)
def _mean_along(line, at, radius, limit):
    """Mean of the depths within ``radius`` of a pixel, weighted less the more they differ from it, up to ``limit``."""
    here = line[at]
    if here > 5e8:
        return here
    total, weight = np.float32(0), np.float32(0)
    for k in range(max(at - radius, 0), min(at + radius + 1, len(line))):
        d = line[k] - here
        if abs(d) < limit:
            v = np.float32(1) - abs(d) / limit
            total += v * line[k]
            weight += v
    return total / weight


@nb.njit(cache=True, nogil=True)
def _slope(before, here, after, limit):
    """The smaller one-sided difference at edges, which keeps surfaces on the two sides apart; else their mean."""
    a, b = here - before, after - here
    if abs(a) > limit and abs(b) > limit:
        return np.float32(0)
    if abs(a) < abs(b):
        return a if abs(b) > limit else np.float32(0.5) * (a + b)
    return b if abs(a) > limit else np.float32(0.5) * (a + b)


@nb.njit(cache=True, nogil=True)
def _normals(z, focal, out):
    """Normals in the camera's frame (right, up, forward), facing the eye."""
    h, w = z.shape
    limit = np.float32(12)
    for r in range(h):
        for c in range(w):
            here = z[r, c]
            if here > 5e8:
                continue
            dx = _slope(z[r, max(c - 1, 0)], here, z[r, min(c + 1, w - 1)], limit)
            dy = _slope(z[max(r - 1, 0), c], here, z[min(r + 1, h - 1), c], limit)
            # depth and columns are in pixels at the target's distance; rows go down, up goes up
            nx, ny, nz = dx, -dy, np.float32(-1)
            n = np.float32(1) / math.sqrt(nx * nx + ny * ny + nz * nz)
            out[r, c, 0], out[r, c, 1], out[r, c, 2] = nx * n, ny * n, nz * n


@nb.njit(cache=True, nogil=True)
def _occlusion(z, normal, reach, out):
    h, w = z.shape
    directions, steps = 6, 4
    for r in range(h):
        for c in range(w):
            here = z[r, c]
            if here > 5e8:
                continue
            # 4 x 4 pattern of turns and offsets, which _box averages out
            cell = (r & 3) * 4 + (c & 3)
            phase = np.float32((cell * 7) % 16) / np.float32(16)
            jitter = np.float32((cell * 5 + 3) % 16) / np.float32(16)
            blocked = np.float32(0)
            for k in range(directions):
                angle = (k + phase) * (2 * math.pi / directions)
                ca, sa = np.float32(math.cos(angle)), np.float32(math.sin(angle))
                top = np.float32(0)
                for s in range(steps):
                    # denser near the point
                    t = (s + np.float32(0.25) + np.float32(0.75) * jitter) / steps
                    length = np.float32(2) + reach * t * t
                    col, row = int(c + ca * length + np.float32(0.5)), int(r + sa * length + np.float32(0.5))
                    if col < 0 or row < 0 or col >= w or row >= h:
                        break
                    there = z[row, col]
                    if there > 5e8:
                        continue
                    vx, vy, vz = np.float32(col - c), np.float32(r - row), there - here
                    d2 = vx * vx + vy * vy + vz * vz
                    fade = np.float32(1) - d2 / (reach * reach * np.float32(1.6))
                    if fade <= 0:
                        continue
                    rise = (vx * normal[r, c, 0] + vy * normal[r, c, 1] + vz * normal[r, c, 2]) / math.sqrt(d2)
                    rise = (rise - np.float32(0.12)) * fade
                    if rise > top:
                        top = rise
                blocked += top
            out[r, c] = max(np.float32(1) - np.float32(1.25) * blocked / directions, np.float32(0.05))


@nb.njit(cache=True, nogil=True)
def _box(value, z, out):
    """Mean over those of the 4 x 4 pixels around that have about the same depth."""
    h, w = z.shape
    for r in range(h):
        for c in range(w):
            here = z[r, c]
            if here > 5e8:
                continue
            total, count = np.float32(0), 0
            for i in range(max(r - 1, 0), min(r + 3, h)):
                for j in range(max(c - 1, 0), min(c + 3, w)):
                    if abs(z[i, j] - here) < 8:
                        total += value[i, j]
                        count += 1
            out[r, c] = total / count


def _cast(
    depth: Layer, normal: Layer, points: Array, gap: Array, camera: Camera, focal: float, basis: Array, towards: Array,
    unit: float, out: Layer,
) -> None:  # fmt: skip
    """Fill ``out`` with the share of the key light that reaches each pixel, 0 to 1."""
    target = np.asarray(camera.target)
    side = np.cross(towards, basis[2] if abs(towards @ basis[2]) < 0.9 else basis[0])
    side /= np.linalg.norm(side)
    frame = np.stack([side, np.cross(towards, side), -towards])  # right, up, away from the light
    seen = (points - target) @ frame.T
    low, high = np.quantile(seen[:, :2], [0.001, 0.999], axis=0)
    span = float((high - low).max()) * 1.1 + 4 * float(gap.max()) + 1e-300
    cells = int(min(max(out.shape) * 0.75, 1400))
    scale = cells / span
    centre = (low + high) / 2
    xy = (seen[:, :2] - centre) * scale + cells / 2
    nearest = np.full((cells, cells), np.inf, np.float32)
    shift = float(seen[:, 2].min()) - 1.0  # the kernel draws positive depths
    nearest_disc(xy, seen[:, 2] - shift, np.clip(gap * scale, 0.7, 0.02 * cells), nearest)
    bias = max(2.5 * float(np.median(gap)), 3 / scale, 2 * unit)
    view_to_light: Any = frame @ basis.T
    _soft(depth, normal, np.float64(focal), np.float64(camera.distance), view_to_light, nearest, centre, scale, shift,
          bias, max(1.6, 0.0022 * cells), out)  # fmt: skip


@nb.njit(cache=True, nogil=True)
def _soft(depth, normal, focal, distance, turn, nearest, centre, scale, shift, bias, spread, out):
    h, w = depth.shape
    n = len(nearest)
    taps = 8
    for r in range(h):
        for c in range(w):
            z = depth[r, c]
            if not z < np.inf:
                continue
            # the pixel's place in the camera's frame, relative to the target, lifted off its surface
            vx = (c + 0.5 - 0.5 * w) * z / focal + bias * 0.5 * normal[r, c, 0]
            vy = (0.5 * h - r - 0.5) * z / focal + bias * 0.5 * normal[r, c, 1]
            vz = z - distance + bias * 0.5 * normal[r, c, 2]
            lx = (turn[0, 0] * vx + turn[0, 1] * vy + turn[0, 2] * vz - centre[0]) * scale + 0.5 * n
            ly = (turn[1, 0] * vx + turn[1, 1] * vy + turn[1, 2] * vz - centre[1]) * scale + 0.5 * n
            lz = turn[2, 0] * vx + turn[2, 1] * vy + turn[2, 2] * vz - shift
            cell = (r & 3) * 4 + (c & 3)
            lit = 0.0
            for k in range(taps):
                angle = 2.399963 * (k + 0.5) + cell * 0.3927
                radius = spread * math.sqrt((k + 0.5) / taps) * 2.2
                col, row = int(lx + radius * math.cos(angle)), int(ly + radius * math.sin(angle))
                if col < 0 or row < 0 or col >= n or row >= n:
                    lit += 1.0
                    continue
                over = (lz - bias - nearest[row, col]) / bias
                lit += 1.0 if over < 0 else max(0.0, 1.0 - over)
            out[r, c] = lit / taps


@nb.njit(cache=True, nogil=True)
def _combine(depth, colour, normal, sky, shadow, towards, up, above, below, key, near, far, fade, out):
    h, w = depth.shape
    span = max(far - near, np.float32(1e-30))
    for r in range(h):
        for c in range(w):
            z = depth[r, c]
            if not z < np.inf:
                continue
            nx, ny, nz = normal[r, c, 0], normal[r, c, 1], normal[r, c, 2]
            face = nx * towards[0] + ny * towards[1] + nz * towards[2]
            face = (face + np.float32(0.25)) / np.float32(1.25)  # wrapped a little, as by rough surfaces
            face = max(face, np.float32(0))
            upward = np.float32(0.5) + np.float32(0.5) * (nx * up[0] + ny * up[1] + nz * up[2])
            rim = np.float32(1) + nz
            rim = rim * rim * np.float32(0.10)
            back = min(max((z - near) / span, np.float32(0)), np.float32(1))
            dim = np.float32(1) - fade * back
            o = sky[r, c]
            # reflected light takes the colour of the surface, so that dark corners stay coloured
            for k in range(3):
                a = colour[r, c, k]
                bounced = o / (np.float32(1) - a * np.float32(0.75) * (np.float32(1) - o))
                ambient = (below[k] + (above[k] - below[k]) * upward) * bounced
                value = a * (
                    ambient * np.float32(0.7) + key[k] * face * shadow[r, c] * (np.float32(0.4) + np.float32(0.6) * o)
                )
                value = (value + rim * above[k] * o * np.float32(0.25)) * dim
                # a soft shoulder above 0.75
                if value > np.float32(0.75):
                    value = np.float32(0.75) + np.float32(0.25) * (
                        np.float32(1) - math.exp(-(value - np.float32(0.75)) * np.float32(4))
                    )
                out[r, c, k] = value
