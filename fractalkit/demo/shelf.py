"""Temporary folders for files to download; old ones are removed, and all of them at the end."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import deque
from pathlib import Path


class Shelf:
    """A limited number of temporary folders, one per result.

    >>> with Shelf(keep=2) as shelf:
    ...     folders = [shelf.folder() for _ in range(3)]
    ...     [f.exists() for f in folders]
    [False, True, True]
    >>> folders[-1].exists()
    False
    """

    def __init__(self, keep: int = 64) -> None:
        self.keep = keep
        self.root = Path(tempfile.mkdtemp(prefix="fractalkit-demo-"))
        self._there: deque[Path] = deque()
        self._lock = threading.Lock()

    def folder(self) -> Path:
        """Create an empty folder; remove the oldest one beyond ``keep``."""
        new = Path(tempfile.mkdtemp(dir=self.root))
        with self._lock:
            self._there.append(new)
            old = self._there.popleft() if len(self._there) > self.keep else None
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
        return new

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
