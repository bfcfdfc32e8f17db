"""The data sets by name. A new one is a module with a loader and a line in :data:`DATA_SETS`."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from fractalkit.data.image_set import SPLITS, ImageSet, cache_folder
from fractalkit.errors import DataError, UsageError

# Name: module and function in fractalkit.data, imported on first use. A loader is called as
# load(folder, split, size=None or the side in pixels, fetch=whether to download what the folder lacks).
DATA_SETS = {
    "mnist-static": "mnist.load_static",
    "mnist": "mnist.load_mnist",
    "mnist-dynamic": "mnist.load_dynamic",
    "fashion": "mnist.load_fashion",
    "cifar10": "cifar.load_cifar",
    "images": "images.load_folder",
    "crops": "crops.load_crops",
}


def load_images(
    name: str, split: str = "train", *, folder: str | Path | None = None, size: int | None = None,
    channels: int | None = None,
) -> ImageSet:  # fmt: skip
    """Load one split of a data set.

    Args:
        name: mnist-static (binarised by Larochelle), mnist-dynamic (binarised anew at each use), mnist, fashion,
            cifar10; images or crops for a folder of your own (the central square of each picture, or many squares at
            full resolution).
        split: train, valid or test.
        folder: folder with the files, or a folder that contains it under the name mnist or cifar10. None: the
            environment variable FRACTALKIT_DATA, else the cache, into which missing files are downloaded.
        size: side of the images, in pixels; for images and crops only.
        channels: 1 for grey, 3 for RGB; for images only.

    Raises:
        UsageError: unknown name or split.
        DataError: files that are missing, damaged or cannot be downloaded; the message names them.
    """
    if name not in DATA_SETS:
        raise UsageError(f"data set {name!r} is unknown; choose one of {', '.join(DATA_SETS)}")
    if split not in SPLITS:
        raise UsageError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}")
    given = folder or os.environ.get("FRACTALKIT_DATA")
    where = Path(given) if given else cache_folder()
    if given and not where.is_dir():
        raise DataError(f"{where}: is not a folder; give the one that holds the files of {name}")
    module, _, function = DATA_SETS[name].partition(".")
    loader = getattr(import_module(f"fractalkit.data.{module}"), function)
    more = {"channels": channels} if name == "images" and channels is not None else {}
    found: ImageSet = loader(where, split, size=size, fetch=not given, **more)
    return found
