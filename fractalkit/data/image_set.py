"""Images to train on: the form that every data set is loaded into, and where its files are looked for."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fractalkit.errors import UsageError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size.

    Attributes:
        images: ``[N, C, H, W]`` uint8, values 0 .. levels - 1.
        levels: 2 for binary images, else 256.
        labels: ``[N]`` uint8 classes, or None.
        name: name of the data set.
        split: train, valid or test.
        dynamic: grey values are probabilities, and each use of a picture draws its pixels anew.
    """

    images: np.ndarray
    levels: int
    labels: np.ndarray | None = None
    name: str = ""
    split: str = "train"
    dynamic: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def fingerprint(self) -> str:
        """Shape and checksum of the images; a resumed run compares it with that of the first run."""
        return f"{'x'.join(map(str, self.images.shape))}-{zlib.crc32(np.ascontiguousarray(self.images).data):08x}"


def cache_folder() -> Path:
    """Folder for downloads: ``$XDG_CACHE_HOME/fractalkit`` or ``~/.cache/fractalkit``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fractalkit"


def find_file(folder: Path, names: tuple[str, ...], inside: str) -> Path | None:
    """First existing file with one of these names, in the folder or its subfolder ``inside``; None if there is none."""
    for base in (folder, folder / inside):
        for name in names:
            if (base / name).is_file():
                return base / name
    return None


def hold_out(split: str, share: int, *arrays: np.ndarray) -> list[np.ndarray]:
    """Split training data that has no validation split: its last 1/``share`` is ``valid``; ``test`` is left whole.

    >>> hold_out("valid", 5, np.arange(10))
    [array([8, 9])]
    """
    cut = len(arrays[0]) - len(arrays[0]) // share
    part = {"train": slice(cut), "valid": slice(cut, None), "test": slice(None)}[split]
    return [a[part] for a in arrays]


def no_download(name: str, fetch: bool) -> None:
    """Raise a UsageError if a data set that is the user's own folder is to be downloaded."""
    if fetch:
        raise UsageError(f"the data set {name} is a folder of your own; give it with --data-dir")
