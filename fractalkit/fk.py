"""``.fk`` files of every codec: open one, and show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fractalkit.codec import container
from fractalkit.errors import DataError

MAX_FILE = 1 << 32


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
    raise DataError(f"{name}: coded by {header.codec!r}, which this FractalKit cannot read; update it")


def decode(code: Any, height: int | None = None, width: int | None = None, **options: Any) -> Any:
    """The picture of a code, ``[H, W(, C)]``, at any size; ``window`` and ``deblock`` as the codec has them."""
    from fractalkit.maps.quadtree import decode as quadtree

    return quadtree(code, height, width, **options)
