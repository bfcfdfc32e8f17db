"""``.fk`` files of every codec: make one, open one, and show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fractalkit.arguments import ArgumentError
from fractalkit.codec import container
from fractalkit.codec.methods import METHODS
from fractalkit.errors import UsageError, did_you_mean
from fractalkit.lazy import resolve
from fractalkit.raster.part import Part

__all__ = ["decode", "encode", "load"]


def encode(image: Any, *, method: str = "auto", **options: Any) -> Any:
    """Encode a picture or a cloud with one of the methods in :data:`fractalkit.codec.methods.METHODS`.

    Args:
        image: ``[H, W]``, ``[H, W, 3]`` or (not neural) ``[H, W, 4]``, uint8 or uint16; for "cloud" a
            :class:`fractalkit.data.Cloud` or points ``[N, 2]`` or ``[N, 3]``.
        method: "auto" (:func:`fractalkit.fit.choice.encode_best`: quadtree, or without loss or in fewer colours
            where that is better),
            "quadtree" (:func:`fractalkit.fit.quadtree.encode`), "lossless"
            (:func:`fractalkit.fit.copies.encode_copies`, which takes no target), "pifs" (the plain fractal coder),
            "neural" (:func:`fractalkit.models.neural_code.encode_neural`, one forward pass), "coin"
            (:func:`fractalkit.models.coin.encode_coin`, a network fitted to the picture), or "cloud"
            (:func:`fractalkit.fit.cloud_codec.encode_cloud`, which takes clouds only).
        options: of that function; None means not given.

    Raises:
        UsageError: an unknown method, an option that it lacks, or one out of range.
    """
    if method not in METHODS:
        raise UsageError(f"method {method!r}: expected {', '.join(METHODS)}")
    options = {k: v for k, v in options.items() if v is not None}
    metadata = options.pop("metadata", None)
    known = METHODS[method]
    wrong = sorted(set(options) - set(known.options))
    if wrong:
        hint = did_you_mean(wrong[0], known.options)
        raise ArgumentError(
            f"{wrong[0]}: means nothing to the method {method!r}, which has {', '.join(known.options)}{hint}"
        )
    return resolve(known.encoder)(image, metadata=metadata, **known.fixed, **options)


def load(source: bytes | str | Path, *, max_pixels: int = container.MAX_PIXELS, partial: bool = False) -> Any:
    """The code in a ``.fk`` file: a :class:`~fractalkit.codes.quadtree.QuadtreeCode` or another codec's.

    Args:
        source: the bytes, or a path.
        max_pixels: more are refused before any memory is taken.
        partial: accept the beginning of a file.

    Raises:
        DataError: missing, damaged, cut off or too large; the sentence begins with the file's name.
    """
    data = source if isinstance(source, bytes) else container.read_file(source)
    name = ".fk data" if isinstance(source, bytes) else str(source)
    header = container.read_header(data, name)
    code = resolve(METHODS[header.codec].code)
    return code.from_bytes(data, name, max_pixels=max_pixels, partial=partial)


def decode(
    code: Any,
    height: int | None = None,
    width: int | None = None,
    *,
    window: tuple[int, int, int, int] | None = None,
    deblock: bool | None = None,
    detail: float | None = None,
) -> Any:
    """The picture of a code, ``[H, W(, C)]``, at any size.

    Args:
        height, width, window: see :meth:`fractalkit.raster.part.Part.of`.
        deblock: smooth the borders of blocks; None as the code says.
        detail: None: the fixed point of the code at this size. 0 to 2: the picture at its stored size, enlarged as by
            :func:`fractalkit.fit.enlargement.enlarge`.

    Raises:
        UsageError: a size or a window out of range, a result too large for memory, or the code of a cloud.
    """
    if not hasattr(code, "width"):
        raise UsageError(
            "this code is a cloud's, not a picture's; `fractalkit decompress` and code.collage draw its points"
        )
    if detail is not None:
        from fractalkit.fit.enlargement import enlarge

        stored = decode_part(code, Part.of((code.width, code.height)), deblock)
        return enlarge(stored, height, width, detail=detail, window=window)
    return decode_part(code, Part.of((code.width, code.height), height, width, window), deblock)


def decode_part(code: Any, part: Part, deblock: bool | None = None) -> Any:
    """:func:`decode` of a part whose corners need not be pixels."""
    from fractalkit.codes.quadtree import QuadtreeCode

    if not isinstance(code, QuadtreeCode):
        return code.decode_part(part, deblock)
    from fractalkit.maps.quadtree_picture import decode_part as quadtree

    return quadtree(code, part, deblock)
