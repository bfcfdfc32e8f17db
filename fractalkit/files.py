"""Writing files so that a half-written one never stands under its final name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fractalkit.errors import DataError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder and with the same suffix; rename it to ``path`` on success.

    On an error nothing is left behind and an older file at ``path`` stays as it was.

    Raises:
        DataError: the folder is missing or cannot be written to.

    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("done")
    >>> [p.name for p in folder.iterdir()]
    ['a.txt']
    """
    path = Path(path)
    check_writable(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}); choose another folder") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only the owner can read; give them what open() would have given
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise a DataError, before any work is done, where a file at ``path`` could not be written."""
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DataError(f"{path}: the folder {path.parent} cannot be written to; choose another one")


# Pillow knows more, among them EPS, for which it starts another program, whatever a file's suffix says
PICTURE_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "GIF", "JPEG2000", "PPM")


def open_picture(path: str | Path) -> Any:
    """Pillow's image of a file in one of :data:`PICTURE_FORMATS`, opened and not yet decoded.

    Raises:
        OSError, and what else Pillow raises: another format, or damage.
    """
    from PIL import Image

    Image.init()
    return Image.open(path, formats=[f for f in PICTURE_FORMATS if f in Image.OPEN])
