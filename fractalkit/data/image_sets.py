"""Pictures to train on: one form for every data set, and where their files are looked for."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fractalkit.errors import DataError, UsageError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures of one size.

    Attributes:
        images: ``[N, C, H, W]`` uint8, values 0 .. levels - 1.
        levels: 2 for binary pictures, else 256.
        labels: ``[N]`` uint8 classes, or None.
        name: of the data set.
        split: train, valid or test.
    """

    images: np.ndarray
    levels: int
    labels: np.ndarray | None = None
    name: str = ""
    split: str = "train"

    def __len__(self) -> int:
        return len(self.images)

    def fingerprint(self) -> str:
        """Shape and checksum of the pictures, by which a resumed run knows that it goes on with the same ones."""
        return f"{'x'.join(map(str, self.images.shape))}-{zlib.crc32(np.ascontiguousarray(self.images).data):08x}"


def _static(folder: Path, split: str, size: int | None, fetch: bool) -> ImageSet:
    from fractalkit.data.mnist import load_static

    return load_static(folder, split, fetch=fetch)


def _mnist(folder: Path, split: str, size: int | None, fetch: bool) -> ImageSet:
    from fractalkit.data.mnist import load_mnist

    return load_mnist(folder, split, fetch=fetch)


def _cifar(folder: Path, split: str, size: int | None, fetch: bool) -> ImageSet:
    from fractalkit.data.cifar import load_cifar

    return load_cifar(folder, split, fetch=fetch)


def _images(folder: Path, split: str, size: int | None, fetch: bool) -> ImageSet:
    from fractalkit.data.images import load_folder

    if fetch:
        raise UsageError("the data set images is a folder of your own; name it with --data-dir")
    if size is None:
        raise UsageError("the data set images needs the side to cut its pictures to; give --size")
    return load_folder(folder, split, size=size)


def _crops(folder: Path, split: str, size: int | None, fetch: bool) -> ImageSet:
    from fractalkit.data.crops import SIDE, load_crops

    if fetch:
        raise UsageError("the data set crops is a folder of your own; name it with --data-dir")
    return load_crops(folder, split, size=size or SIDE)


DATA_SETS: dict[str, Callable[[Path, str, int | None, bool], ImageSet]] = {
    "mnist-static": _static,
    "mnist": _mnist,
    "cifar10": _cifar,
    "images": _images,
    "crops": _crops,
}


def load_images(
    name: str, split: str = "train", *, folder: str | Path | None = None, size: int | None = None
) -> ImageSet:
    """A split of a data set.

    Args:
        name: mnist-static (binarised by Larochelle), mnist, cifar10, or images or crops (a folder of your own: the
            middle square of each picture, or many squares at full resolution).
        split: train, valid or test.
        folder: where its files lie, or a folder that holds them in one named mnist or cifar10. None: the environment
            variable FRACTALKIT_DATA, else the cache, into which they are downloaded.
        size: side of the pictures, in pixels; for images and crops only.

    Raises:
        UsageError: another name or split.
        DataError: files that are missing, damaged or cannot be downloaded; the message names them.
    """
    if name not in DATA_SETS:
        raise UsageError(f"data set {name!r} is unknown; there are {', '.join(DATA_SETS)}")
    if split not in SPLITS:
        raise UsageError(f"split {split!r} is unknown; there are {', '.join(SPLITS)}")
    given = folder or os.environ.get("FRACTALKIT_DATA")
    where = Path(given) if given else cache_folder()
    if given and not where.is_dir():
        raise DataError(f"{where}: is no folder; name the one that holds the files of {name}")
    return DATA_SETS[name](where, split, size, not given)


def cache_folder() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME/fractalkit`` or ``~/.cache/fractalkit``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fractalkit"


def find_file(folder: Path, names: tuple[str, ...], inside: str) -> Path | None:
    """The first of these names in the folder, or in its sub-folder ``inside``; None where there is none."""
    for base in (folder, folder / inside):
        for name in names:
            if (base / name).is_file():
                return base / name
    return None
