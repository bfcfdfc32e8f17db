"""The folder of a run: one run at a time, and nothing left over from a kill in the middle of writing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fractalkit.errors import DataError

CHECKPOINT, BEST, LAST, LOG = "checkpoint.safetensors", "best.safetensors", "last.safetensors", "log.jsonl"
_LEFT_OVER = re.compile(r"\.(checkpoint|best|last|log)-\w{8}\.(safetensors|jsonl)")  # as files.atomic_path names them


@contextmanager
def own_folder(out: Path) -> Iterator[None]:
    """Hold the folder, making it where it is missing, and sweep it.

    Raises:
        DataError: another process trains into it, or it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out, os.O_RDONLY) if hasattr(os, "O_DIRECTORY") else None
    except OSError as error:
        raise DataError(
            f"{out}: cannot be used as a folder ({error.strerror or error}); choose another --out"
        ) from None
    try:
        if handle is not None:  # Windows opens no folders; it has no such lock either
            _lock(handle, out)
        for path in out.iterdir():
            if _LEFT_OVER.fullmatch(path.name):
                path.unlink(missing_ok=True)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _lock(handle: int, out: Path) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(f"{out}: another process is training into it; wait for it, or choose another --out") from None
    except OSError:
        return  # a file system without locks
