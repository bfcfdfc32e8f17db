"""``.fk`` files of every codec: make one, open one, and show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fractalkit.codec import container
from fractalkit.errors import DataError, UsageError

MAX_FILE = 1 << 32
METHODS = ("quadtree", "pifs", "neural", "coin")
# what each method can be told, beside the picture and its metadata
OPTIONS = {
    "quadtree": ("quality", "bpp", "bytes", "psnr", "effort", "chroma", "deblock", "threads", "device", "callback"),
    "neural": ("bpp", "bytes", "psnr", "model"),
    "coin": ("bpp", "bytes", "iterations", "seed", "callback"),
}
OPTIONS["pifs"] = OPTIONS["quadtree"]


def encode(image: Any, *, method: str = "quadtree", **options: Any) -> Any:
    """A picture to a code, by any codec.

    Args:
        image: ``[H, W]``, ``[H, W, 3]`` or (not neural) ``[H, W, 4]``, uint8 or uint16.
        method: "quadtree" (:func:`fractalkit.fit.quadtree.encode`), "pifs" (the plain one of the literature), "neural"
            (:func:`fractalkit.models.neural_code.encode_neural`, one forward pass) or "coin"
            (:func:`fractalkit.models.coin.encode_coin`, a network for each picture).
        options: of that function; None counts as not given.

    Raises:
        UsageError: another method, an option that it has not, or one out of range.
    """
    if method not in METHODS:
        raise UsageError(f"method {method!r}: expected {', '.join(METHODS)}")
    options = {k: v for k, v in options.items() if v is not None}
    metadata = options.pop("metadata", None)
    wrong = sorted(set(options) - set(OPTIONS[method]))
    if wrong:
        raise UsageError(f"{wrong[0]}: means nothing to the method {method!r}, which has {', '.join(OPTIONS[method])}")
    if method == "neural":
        from fractalkit.models.neural_code import encode_neural

        return encode_neural(image, metadata=metadata, **options)
    if method == "coin":
        from fractalkit.models.coin import encode_coin

        return encode_coin(image, metadata=metadata, **options)
    from fractalkit.fit.quadtree import encode as quadtree

    return quadtree(image, method=method, metadata=metadata, **options)


def load(source: bytes | str | Path, *, max_pixels: int = container.MAX_PIXELS, partial: bool = False) -> Any:
    """The code in a ``.fk`` file: a :class:`~fractalkit.codes.quadtree.QuadtreeCode` or another codec's.

    Args:
        source: the bytes, or a path.
        max_pixels: more are refused before any memory is taken.
        partial: accept the beginning of a file.

    Raises:
        DataError: missing, damaged, cut off or too large; the sentence begins with the file's name.
    """
    if isinstance(source, bytes):
        data, name = source, ".fk data"
    else:
        path = Path(source)
        name = str(path)
        if not path.exists():
            raise DataError(f"{name}: there is no such file; check the name")
        if path.is_dir():
            raise DataError(f"{name}: is a folder; name a .fk file in it")
        if path.stat().st_size > MAX_FILE:
            raise DataError(f"{name}: {path.stat().st_size:,} bytes are more than any .fk file has")
        data = path.read_bytes()
    header = container.read_header(data, name)
    if header.codec == "quadtree":
        from fractalkit.codes.quadtree import QuadtreeCode

        return QuadtreeCode.from_bytes(data, name, max_pixels=max_pixels, partial=partial)
    if header.codec == "neural":
        from fractalkit.models.neural_code import NeuralCode

        return NeuralCode.from_bytes(data, name, max_pixels=max_pixels, partial=partial)
    if header.codec == "coin":
        from fractalkit.models.coin import CoinCode

        return CoinCode.from_bytes(data, name, max_pixels=max_pixels, partial=partial)
    raise DataError(f"{name}: coded by {header.codec!r}, which this FractalKit cannot read; update it")


def decode(code: Any, height: int | None = None, width: int | None = None, **options: Any) -> Any:
    """The picture of a code, ``[H, W(, C)]``, at any size; ``window`` and ``deblock`` as the codec has them."""
    from fractalkit.codes.quadtree import QuadtreeCode

    if not isinstance(code, QuadtreeCode):
        return code.decode(height, width, **options)
    from fractalkit.maps.quadtree import decode as quadtree

    return quadtree(code, height, width, **options)
