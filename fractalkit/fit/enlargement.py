"""Fit the code of an enlargement: filters from neighbourhoods to details, learned from the picture's coarser scale."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fractalkit.codes.enlargement import ANGLES, CLASSES, SIDE, EnlargementCode
from fractalkit.core import Window, fixed_point
from fractalkit.errors import UsageError
from fractalkit.maps.convert import to_map
from fractalkit.maps.enlarge import SMALLEST
from fractalkit.maps.enlarge_parts import classes, details, luma, neighbourhoods, pooled
from fractalkit.raster.area import area_span, area_taps
from fractalkit.raster.part import size_of

Samples = NDArray[Any]

BAND = 256  # rows that are looked at together
MARGIN = 48
ENOUGH = 1 << 20  # pixels that are looked at, about
RIDGE = 8.0  # levels squared a domain: towards no prediction, for the filter of all
TOWARDS = 3000.0  # levels squared: towards the filter of all, for those of the classes
TILE = 1024  # pixels a side of the windows that are drawn at once
LITTLE = 0.65  # of the next power of two, below which the last doubling is smooth
MAX_TIMES = 256  # a side


def enlargement(picture: Tensor, detail: float = 1.0) -> EnlargementCode:
    """The code of a picture's enlargement.

    For each class c of neighbourhoods f with details d, and for their images under the symmetries of the square, the
    filter minimises sum |M f - d|^2 + ``TOWARDS`` |M - M_all|^2.

    Args:
        picture: ``[1, H, W]`` or ``[3, H, W]`` from 0 to 255.
        detail: 0 to 2; see :class:`EnlargementCode`.

    Raises:
        UsageError: another shape, a detail out of range, or values that are not finite.
    """
    k = SIDE**2
    blank = torch.zeros(CLASSES + 1, k, 4)
    code = EnlargementCode(picture.float(), blank, float(detail)).check()
    h, w = picture.shape[1:]
    if detail == 0 or min(h, w) < SMALLEST:
        return code
    y = luma(code.picture)
    gram = torch.zeros(CLASSES, k, k + 4, dtype=torch.float64)
    every = max(1, round(h * w / ENOUGH))
    for n, top in enumerate(range(0, h, BAND)):
        if n % every == 0:
            gram += _gram(y, top)
    gram = _symmetric(gram)
    count = 8 * max(1, h * w / every)
    everything = gram.sum(0)
    eye = torch.eye(k, dtype=torch.float64)
    one = torch.linalg.solve(everything[:, :k] + RIDGE / 8 * count * eye, everything[:, k:])
    rest = gram[..., k:] - gram[..., :k] @ one
    of_class = one + torch.linalg.solve(gram[..., :k] + TOWARDS * eye, rest)
    return EnlargementCode(code.picture, torch.cat([of_class, one[None]]).float(), float(detail)).check()


def _gram(y: Tensor, top: int) -> Tensor:
    """For each class the sum of f [f, d]^T over the domains of a band of rows, ``[CLASSES, k, k + 4]`` float64."""
    a, b = max(0, top - MARGIN), min(len(y), top + BAND + MARGIN)
    part = y[a:b]
    p = pooled(part)
    rows = slice(top - a, min(top + BAND, len(y) - 1) - a)
    both = torch.cat([neighbourhoods(p, 2), details(part[None])[0]], -1)[rows].flatten(0, 1)
    kind = classes(p, 2)[rows].flatten()
    order = torch.argsort(kind, stable=True)
    out = torch.zeros(CLASSES, SIDE**2, SIDE**2 + 4, dtype=torch.float64)
    pieces = torch.split(both[order].double(), torch.bincount(kind, minlength=CLASSES).tolist())
    for c, v in enumerate(pieces):
        out[c] = v[:, : SIDE**2].T @ v
    return out


def _symmetric(gram: Tensor) -> Tensor:
    """Add the sums of the seven images under the symmetries of the square, each in the class of its direction."""
    k = SIDE**2
    place, quarter = torch.arange(k).view(SIDE, SIDE), torch.arange(4).view(2, 2)
    kinds = torch.arange(CLASSES)
    base, angle = kinds // ANGLES, kinds % ANGLES
    out = torch.zeros_like(gram)
    for turns in range(4):
        for flip in (False, True):
            p, q, direction = torch.rot90(place, turns), torch.rot90(quarter, turns), angle + turns * ANGLES // 2
            if flip:
                p, q, direction = p.flip(1), q.flip(1), ANGLES - 1 - direction
            moved = torch.cat([p.flatten(), k + q.flatten()])
            turned = gram[:, p.flatten()][:, :, moved]
            out.index_add_(0, base * ANGLES + direction % ANGLES, turned)
    return out


def enlarge(
    samples: Samples, height: int | None = None, width: int | None = None, *, detail: float = 1.0,
    window: Window | None = None,
) -> Samples:  # fmt: skip
    """Enlarge a picture ``[H, W]`` or ``[H, W, C]`` of uint8 or uint16; see :func:`enlarged_rows`.

    >>> x = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> enlarge(x, 8).shape
    (8, 8, 3)
    """
    return np.concatenate(list(enlarged_rows(samples, height, width, detail=detail, window=window)))


def enlarged_rows(
    samples: Samples, height: int | None = None, width: int | None = None, *, detail: float = 1.0,
    window: Window | None = None,
) -> Iterator[Samples]:  # fmt: skip
    """Yield strips of the enlarged picture from top to bottom, in the memory of one strip.

    The picture is drawn at the next power of two of its size and averaged to the size asked for. Averaged back to its
    own size, it is the small picture up to rounding and clipping. Opacity is refined without added detail.

    Args:
        samples: ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]``, uint8 or uint16.
        height, width: of the whole result; one alone keeps the proportions; neither, the picture's own.
        detail: 0 for the smoothest picture with these averages, 1 for the likeliest, 2 for the richest.
        window: (left, top, right, bottom) in pixels of the result.

    Raises:
        UsageError: a size, a detail or a window out of range.
    """
    h, w = samples.shape[:2]
    width, height = size_of((w, h), height, width)
    if width > MAX_TIMES * w or height > MAX_TIMES * h:
        raise UsageError(f"size {width:,} x {height:,}: expected at most {MAX_TIMES} times {w:,} x {h:,}")
    left, top, right, bottom = window or (0, 0, width, height)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise UsageError(f"window: ({left}, {top}, {right}, {bottom}) is not inside the {width:,} x {height:,} picture")
    codes = _codes(samples, detail)
    # nothing is computed before the first strip is asked for, but errors are raised at once
    return _strips(codes, samples.dtype, samples.ndim, (height, width), (left, top, right, bottom))


def _codes(samples: Samples, detail: float) -> list[EnlargementCode]:
    """The code of grey or colour, and that of opacity."""
    if samples.ndim not in (2, 3) or (samples.ndim == 3 and samples.shape[2] not in (1, 3, 4)) or 0 in samples.shape:
        raise UsageError(f"picture: expected [H, W], [H, W, 3] or [H, W, 4], got {list(samples.shape)}")
    if samples.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"picture: expected uint8 or uint16, got {samples.dtype}")
    planes = np.atleast_3d(samples).transpose(2, 0, 1).astype(np.float32) * np.float32(
        255 / np.iinfo(samples.dtype).max
    )
    picture = torch.from_numpy(planes)
    if len(picture) < 4:
        return [enlargement(picture, detail)]
    return [enlargement(picture[:3], detail), enlargement(picture[3:], 0.0)]


def _strips(
    codes: list[EnlargementCode], dtype: np.dtype[Any], ndim: int, size: tuple[int, int], window: Window
) -> Iterator[Samples]:
    left, top, right, bottom = window
    for y in range(top, bottom, TILE):
        pieces = []
        for x in range(left, right, TILE):
            box = (x, y, min(x + TILE, right), min(y + TILE, bottom))
            pieces.append(torch.cat([_drawn(code, size, box) for code in codes]))
        strip = torch.cat(pieces, -1).mul(np.iinfo(dtype).max / 255).round_().clamp_(0, np.iinfo(dtype).max)
        made = strip.permute(1, 2, 0).contiguous().numpy().astype(dtype)
        yield made[..., 0] if ndim == 2 else made


def _drawn(code: EnlargementCode, size: tuple[int, int], box: Window) -> Tensor:
    """A window of the result as float32 ``[C, h, w]`` from 0 to 255."""
    h, w = code.picture.shape[1:]
    times = max(size[0] / h, size[1] / w)
    doublings = max(0, math.ceil(math.log2(times)))
    points = h << doublings, w << doublings
    # averages over nearly 2 x 2 pixels would lose the detail of the last octave
    plain = max(0, doublings - 4, int(doublings > 0 and times < LITTLE * 2**doublings))
    map = to_map(code, (points[1], points[0]), plain=plain)
    if points == size:
        return fixed_point(map, box)
    (x0, x1), (y0, y1) = area_span(size[1], points[1], box[0], box[2]), area_span(size[0], points[0], box[1], box[3])
    fine = fixed_point(map, (x0, y0, x1, y1))
    fine = area_taps(size[0], points[0], box[1], box[3])[2].apply(fine, -2)
    return area_taps(size[1], points[1], box[0], box[2])[2].apply(fine, -1)
