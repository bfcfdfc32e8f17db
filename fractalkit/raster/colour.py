"""Colour spaces of compressed pictures, and chroma at half resolution."""

from __future__ import annotations

import numpy as np

# RGB to Y, Cb, Cr centred on 0 (BT.601, full range), and back, as JFIF rounds them
FROM_RGB = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
LUMA = FROM_RGB[0]
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def to_rgb(planes: list[np.ndarray], depth: int) -> np.ndarray:
    """Convert Y, or Y, Cb, Cr (BT.601, full range, centred on 0) and alpha, to samples ``[H, W(, C)]``."""
    top = (1 << depth) - 1
    middle = np.float32(1 << (depth - 1))
    if len(planes) > 2 and all(p.dtype == np.float32 for p in planes):
        return _rgb(planes, middle, np.float32(top))
    y = planes[0] + middle
    if len(planes) == 1:
        out = y
    else:
        cb, cr = planes[1], planes[2]
        rgb = [y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb]
        out = np.stack(rgb + ([planes[3] + middle] if len(planes) == 4 else []), -1)
    np.rint(out, out=out)
    np.clip(out, 0, top, out=out)
    return out.astype(np.uint8 if depth == 8 else np.uint16)


def _rgb(planes: list[np.ndarray], middle: np.float32, top: np.float32) -> np.ndarray:
    """:func:`to_rgb` of planes of colour in float32, compiled."""
    from fractalkit.raster import colour_cpu

    out = np.empty((*planes[0].shape, len(planes)), np.uint8 if top < 256 else np.uint16)
    colour_cpu.rgb(planes[0], planes[1], planes[2], middle, top, out)
    if len(planes) == 4:
        out[..., 3] = np.rint(planes[3] + middle).clip(0, top)
    return out


def to_planes(picture: np.ndarray, depth: int, half: bool) -> list[np.ndarray]:
    """Convert samples ``[H, W(, C)]`` to Y, Cb, Cr and alpha centred on 0, float64; ``half`` halves the chroma.

    The arithmetic is elementwise and in a fixed order, so that all machines get the same numbers.
    """
    middle = float(1 << (depth - 1))
    if picture.ndim == 2:
        return [picture.astype(np.float64) - middle]
    r, g, b = (picture[..., i].astype(np.float64) for i in range(3))
    y = LUMA[0] * r + LUMA[1] * g + LUMA[2] * b
    planes = [y - middle, (b - y) / 1.772, (r - y) / 1.402]
    if half:
        planes[1:] = [halved(v) for v in planes[1:]]
    if picture.shape[-1] == 4:
        planes.append(picture[..., 3].astype(np.float64) - middle)
    return planes


def halved(v: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 samples; an odd last row or column is repeated."""
    v = np.pad(v, ((0, v.shape[0] % 2), (0, v.shape[1] % 2)), mode="edge")
    return np.asarray(0.25 * (v[::2, ::2] + v[1::2, ::2] + v[::2, 1::2] + v[1::2, 1::2]))


def doubled(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarge a plane of half the resolution to ``[height, width]``.

    The interpolation is cubic, and each sample is the mean of the four that it becomes.
    """
    if x.dtype == np.float32:
        from fractalkit.raster import colour_cpu

        tall = np.empty((min(height, 2 * x.shape[0]), x.shape[1]), np.float32)
        colour_cpu.double_rows(x, tall)
        out = np.empty((len(tall), min(width, 2 * x.shape[1])), np.float32)
        colour_cpu.double_columns(tall, out)
        return out
    for axis in (0, 1):
        p = np.pad(x, [(2, 2) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        n = x.shape[axis]

        def at(k: int, p: np.ndarray = p, n: int = n, axis: int = axis) -> np.ndarray:
            return p[k : k + n] if axis == 0 else p[:, k : k + n]

        # means over half a sample of the quartic through the means of five
        slope = (at(3) - at(1)) * np.float32(22 / 128) - (at(4) - at(0)) * np.float32(3 / 128)
        both = np.stack([x - slope, x + slope], axis=axis + 1)
        x = both.reshape(both.shape[0] * both.shape[1], -1) if axis == 0 else both.reshape(both.shape[0], -1)
    return x[:height, :width]
