"""The choice between codecs, by trial: a screenshot is best kept without loss, or in fewer colours."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from fractalkit.codec.copies_file import MAX_COLOURS
from fractalkit.codes.copies import CopyCode
from fractalkit.codes.quadtree import QuadtreeCode
from fractalkit.fit.colours import Merging, merging
from fractalkit.fit.quadtree import LAMBDA, encode, squared_error
from fractalkit.raster.samples import checked_samples, sum_of_squares

MIDDLE = 2048  # side of the part that is looked at, in pixels
REPEATED = 0.4  # share of patches that occur elsewhere, from which on a picture is tried without loss

LADDER = (128, 64, 40, 28, 20, 16, 12, 10, 8, 6, 5, 4, 3, 2)  # numbers of colours that are tried
QUICK = 1  # effort of a first look at the quadtree's error
CLEAR = 1.5  # ratio of squared errors that tells without a second look


def encode_best(
    image: np.ndarray,
    *,
    quality: float | None = None,
    bpp: float | None = None,
    bytes: int | None = None,
    psnr: float | None = None,
    effort: Any = 5,
    metadata: dict[str, bytes] | None = None,
    **options: Any,
) -> QuadtreeCode | CopyCode:
    """Compress a picture by the quadtree codec, or as copies of its own pixels where that is better.

    Pictures in which many patches occur more than once, as in text and drawings, are also coded without loss. That code
    is taken if it is within the size asked for, or smaller than a lossy one of the PSNR asked for. For a quality it is
    taken if its cost, the squared error plus lambda times the bits, is less, with the quadtree's own lambda. Where
    the file is too large, the picture is tried in fewer colours (:mod:`fractalkit.fit.colours`).

    Args:
        image, quality, bpp, bytes, psnr, effort, metadata: as of :func:`fractalkit.fit.quadtree.encode`.
        options: others of it, which hold for the quadtree.

    Raises:
        UsageError: as :func:`fractalkit.fit.quadtree.encode`.
    """
    a, _ = checked_samples(image)
    options |= {"quality": quality, "bpp": bpp, "bytes": bytes, "psnr": psnr, "effort": effort, "metadata": metadata}
    given = [v for v in (quality, bpp, bytes, psnr) if v is not None]
    if repeated(a) < REPEATED or len(given) > 1:
        return encode(a, **options)
    from fractalkit.fit.copies import encode_copies  # whose kernels take seconds to compile

    exact = encode_copies(a, metadata=metadata)
    room = bytes if bytes is not None else None if bpp is None else bpp * a.shape[0] * a.shape[1] / 8
    if room is not None:
        if _size(exact) <= room:
            return exact
        return _of_size(a, room, options)
    if psnr is not None:
        return _of_psnr(a, exact, psnr, options)
    return _of_quality(a, exact, options)


# help and editors show what the options are
encode_best.__signature__ = inspect.signature(encode)  # type: ignore[attr-defined]


def _size(code: QuadtreeCode | CopyCode) -> int:
    return len(code.to_bytes())


def _in_colours(a: np.ndarray, found: Merging, colours: int, metadata: Any) -> tuple[CopyCode, float]:
    """The picture in so many colours, without further loss, and its sum of squared errors."""
    from fractalkit.fit.copies import encode_copies

    picture = found.picture(colours)
    return encode_copies(picture, metadata=metadata), sum_of_squares(picture, a)


def _of_size(a: np.ndarray, room: float, options: dict[str, Any]) -> QuadtreeCode | CopyCode:
    """The better of the quadtree's code and one in as many colours as fit, for a picture that does not fit exactly."""
    found = merging(a)
    best, error = None, 0.0
    low, high = 0, len(LADDER)  # the numbers before low are too many
    while low < high:
        middle = (low + high) // 2
        code, loss = _in_colours(a, found, LADDER[middle], options["metadata"])
        if _size(code) <= room:
            best, error, high = code, loss, middle
        else:
            low = middle + 1
    if best is None:
        return encode(a, **options)
    quick = encode(a, **options | {"effort": QUICK}) if _slower(options["effort"]) else None
    if quick is not None and squared_error(quick, a) > CLEAR * error:
        return best  # more effort does not gain so much
    lossy = encode(a, **options)
    return best if error <= squared_error(lossy, a) else lossy


def _slower(effort: Any) -> bool:
    return not isinstance(effort, int) or effort > QUICK


def _of_psnr(a: np.ndarray, exact: CopyCode, psnr: float, options: dict[str, Any]) -> QuadtreeCode | CopyCode:
    """The smallest of three codes that have a PSNR."""
    top = 255.0 if a.dtype == np.uint8 else 65535.0
    most = a.size * top**2 / 10 ** (psnr / 10)
    found = merging(a)
    fitting = [n for n in range(2, MAX_COLOURS + 1) if found.error(n) <= most]
    codes: list[QuadtreeCode | CopyCode] = [exact]
    if fitting and fitting[0] < len(found.counts):
        code, error = _in_colours(a, found, fitting[0], options["metadata"])
        if error <= 1.02 * most:  # colours are rounded
            codes.append(code)
    codes.append(encode(a, **options))
    return min(codes, key=_size)


def _of_quality(a: np.ndarray, exact: CopyCode, options: dict[str, Any]) -> QuadtreeCode | CopyCode:
    """The code whose cost is least; one in fewer colours must also save a quarter of the exact one's bytes."""
    lossy = encode(a, **options)
    price = 8 * LAMBDA * lossy.settings.size**2 * (3 if lossy.channels >= 3 else 1)  # a step of luma changes R, G and B
    best: QuadtreeCode | CopyCode = exact
    size = _size(exact)
    least = price * size
    found = merging(a)
    for n in LADDER:
        if n >= len(found.counts) or found.error(n) >= least:
            continue
        code, error = _in_colours(a, found, n, options["metadata"])
        cost = error + price * _size(code)
        if cost >= least:
            break
        if _size(code) <= 0.75 * size:
            best, least = code, cost
    return best if least <= squared_error(lossy, a) + price * _size(lossy) else lossy


def repeated(a: np.ndarray) -> float:
    """Share of the patches of 2 x 4 pixels of ``[H, W(, C)]``, at all places, that occur more than once.

    Of large pictures only the middle counts.

    >>> repeated(np.zeros((4, 8), np.uint8))
    1.0
    """
    y, x = (max(0, n - MIDDLE) // 2 for n in a.shape[:2])
    a = a[y : y + MIDDLE, x : x + MIDDLE]
    height, width = a.shape[:2]
    if height < 2 or width < 4:
        return 1.0
    v = a.reshape(height, width, -1).astype(np.uint64)
    weights = np.random.default_rng(0).integers(1, 1 << 62, (2, 4, v.shape[2]), np.uint64) * np.uint64(2) + np.uint64(1)
    h = np.zeros((height - 1, width - 3), np.uint64)
    for y in range(2):
        for x in range(4):
            for c in range(v.shape[2]):
                h += v[y : height - 1 + y, x : width - 3 + x, c] * weights[y, x, c]  # modulo 2^64
    h = np.sort(h, axis=None)
    same = h[1:] == h[:-1]
    return float(1 - (~np.concatenate([[False], same]) & ~np.concatenate([same, [False]])).mean())
