"""Atomic writes, and opening pictures safely."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fractalkit.errors import PILLOW_ERRORS, DataError, UsageError, first_line, full_disk
from fractalkit.interrupts import uninterrupted


class atomic_path:
    """Give a temporary path in the same folder and with the same suffix; rename it to ``path`` on success.

    On an error the temporary file is removed, and an existing file at ``path`` stays as it was. It is a class so that
    Ctrl-C waits until the file is created and until it is renamed or removed (see `interrupts.uninterrupted`).

    Raises:
        DataError: the folder is missing or not writable, or the ``with`` block raised an error of the system.

    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("done")
    >>> [p.name for p in folder.iterdir()]
    ['a.txt']
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @uninterrupted
    def __enter__(self) -> Path:
        path = self.path
        check_writable(path)
        try:
            handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=path.suffix, dir=path.parent)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror or error}); choose another folder") from error
        os.close(handle)
        self.temporary = Path(name)
        return self.temporary

    @uninterrupted
    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            if error is None:
                self._rename()
        except OSError as failed:
            error = failed
        finally:
            self.temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            if error.filename not in (None, str(self.temporary), str(self.path)):
                raise error  # of another file
            refused = f"cannot be written ({error.strerror or error})"
            raise DataError(f"{self.path}: {full_disk(error) or refused}") from error

    def _rename(self) -> None:
        # mkstemp creates files that only the owner can read; give them the permissions that open() would
        mask = os.umask(0)
        os.umask(mask)
        self.temporary.chmod(0o666 & ~mask)
        os.replace(self.temporary, self.path)


def check_writable(path: str | Path) -> None:
    """Raise a DataError if a file cannot be written at ``path``; call it before the work."""
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DataError(f"{path}: the folder {path.parent} is not writable; choose another one")


@contextmanager
def locked_folder(folder: Path, taken: str) -> Iterator[None]:
    """Create the folder if it is missing, and keep other processes out of it.

    Windows and some network file systems have no such locks; there, nothing is kept out.

    Raises:
        DataError: another process holds the lock (``taken`` says what it does), or the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY) if hasattr(os, "O_DIRECTORY") else None
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be used as a folder ({error.strerror or error}); choose another one"
        ) from None
    try:
        if handle is not None:
            _lock(handle, f"{folder}: {taken}")
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _lock(handle: int, taken: str) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(taken) from None
    except OSError:
        return  # the file system has no locks


# Pillow reads more formats. EPS is left out because Pillow starts Ghostscript for it, whatever the file's suffix.
PICTURE_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "GIF", "JPEG2000", "PPM")


_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".npy")
_CLOUDS = (".ply", ".pcd", ".xyz", ".pts", ".csv")


def refuse_picture(path: str | Path, what: str) -> None:
    """Raise a UsageError where a code, of the kind of file that ``what`` says, would be written under the name of a
    picture or of a cloud.

    >>> refuse_picture("a.png", "a code is a .json file")
    Traceback (most recent call last):
    fractalkit.errors.UsageError: a.png: is the name of a picture, which render makes; a code is a .json file
    """
    suffix = Path(path).suffix.lower()
    if suffix in _PICTURES:
        raise UsageError(f"{path}: is the name of a picture, which render makes; {what}")
    if suffix in _CLOUDS:
        raise UsageError(f"{path}: is the name of a cloud, which sample makes; {what}")


@contextmanager
def checked_picture(path: Any, *, max_pixels: int, hint: str = "make it smaller") -> Iterator[Any]:
    """Open a picture of bounded size; what fails while the ``with`` block decodes it becomes a DataError.

    ``max_pixels`` replaces Pillow's own limit; ``hint`` says what to do about a picture that exceeds it.

    Raises:
        DataError: not a picture, damaged, or more than ``max_pixels`` pixels.
    """
    from PIL import Image

    Image.init()
    formats = [f for f in PICTURE_FORMATS if f in Image.OPEN]
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=formats) as image:
                if image.width * image.height > max_pixels:
                    raise DataError(
                        f"{path}: {image.width:,} x {image.height:,} pixels are more than the limit of "
                        f"{max_pixels:,}; {hint}"
                    )
                yield image
    except DataError:
        raise
    except PILLOW_ERRORS as error:
        raise DataError(
            f"{path}: cannot be read as a picture ({first_line(error)}); give an undamaged PNG, JPEG or the like"
        ) from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
