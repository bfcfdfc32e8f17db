"""The choice between codecs, by trial: a screenshot is best kept without loss, a photograph is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fractalkit.codes.copies import CopyCode
from fractalkit.codes.quadtree import QuadtreeCode
from fractalkit.fit.quadtree import LAMBDA, encode, squared_error
from fractalkit.raster.samples import checked_samples

MIDDLE = 2048  # side of the part that is looked at, in pixels
REPEATED = 0.4  # share of patches that occur elsewhere, from which on a picture is tried without loss


def encode_best(
    image: np.ndarray,
    *,
    quality: float | None = None,
    bpp: float | None = None,
    bytes: int | None = None,
    psnr: float | None = None,
    effort: Any = 5,
    tune: str = "psnr",
    chroma: str = "auto",
    deblock: bool | None = None,
    metadata: dict[str, bytes] | None = None,
    threads: int | None = None,
    device: str = "cpu",
    callback: Callable[[float], None] | None = None,
) -> QuadtreeCode | CopyCode:
    """Compress a picture by the quadtree codec, or without loss where that is better.

    Pictures in which many patches occur more than once, as in text and drawings, are also coded without loss. That code
    is taken if it is within the size asked for, or smaller than a lossy one of the PSNR asked for. For a quality it is
    taken if its cost, the squared error plus lambda times the bits, is less, with the quadtree's own lambda.

    Args:
        image, and the other arguments: as :func:`fractalkit.fit.quadtree.encode`; they hold for the quadtree.

    Raises:
        UsageError: as :func:`fractalkit.fit.quadtree.encode`.
    """
    a, _ = checked_samples(image)
    options: dict[str, Any] = {
        "quality": quality, "bpp": bpp, "bytes": bytes, "psnr": psnr, "effort": effort, "tune": tune,
        "chroma": chroma, "deblock": deblock, "metadata": metadata, "threads": threads, "device": device,
        "callback": callback,
    }  # fmt: skip
    if repeated(a) < REPEATED:
        return encode(a, **options)
    from fractalkit.fit.copies import encode_copies  # whose kernels take seconds to compile

    exact = encode_copies(a, metadata=metadata)
    size = len(exact.to_bytes())
    room = bytes if bytes is not None else None if bpp is None else bpp * a.shape[0] * a.shape[1] / 8
    if room is not None and size <= room and quality is None and psnr is None:
        return exact
    lossy = encode(a, **options)
    if room is not None:
        return lossy
    other = len(lossy.to_bytes())
    if psnr is not None:
        return exact if size <= other else lossy
    price = LAMBDA * lossy.settings.size**2 * (3 if lossy.channels >= 3 else 1)  # a step of luma changes R, G and B
    return exact if 8 * price * size <= squared_error(lossy, a) + 8 * price * other else lossy


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
