"""The folder of a run: one run at a time, without temporary files of runs that were killed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fractalkit.files import locked_folder

CHECKPOINT, BEST, LAST, LOG = "checkpoint.safetensors", "best.safetensors", "last.safetensors", "log.jsonl"
_LEFT_OVER = re.compile(r"\.(checkpoint|best|last|log)-\w{8}\.(safetensors|jsonl)")  # as files.atomic_path names them


@contextmanager
def own_folder(out: Path) -> Iterator[None]:
    """Create the folder if it is missing, lock it, and remove temporary files left in it.

    Raises:
        DataError: another process trains into it, or it cannot be created.
    """
    with locked_folder(out, "another process is training into it; wait for it, or choose another --out"):
        for path in out.iterdir():
            if _LEFT_OVER.fullmatch(path.name):
                path.unlink(missing_ok=True)
        yield
