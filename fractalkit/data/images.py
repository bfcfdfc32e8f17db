"""A folder of pictures, cropped to squares of one size."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from einops import rearrange

from fractalkit.data.image_set import SPLITS, ImageSet, no_download
from fractalkit.errors import DataError, UsageError
from fractalkit.files import checked_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
MAX_SOURCE_PIXELS = 150_000_000  # per picture
MAX_BYTES = 16 << 30  # of all squares together


def load_folder(
    folder: Path, split: str, *, size: int | None = None, channels: int = 3, fetch: bool = False
) -> ImageSet:
    """Load the central square of each picture, resampled: ``[N, channels, size, size]``, 256 levels.

    Subfolders train, valid and test, if all exist, are the splits. Otherwise a hash of each name assigns the pictures,
    nine in ten to training, so that adding pictures later moves few of them. Subfolders are searched too.

    Args:
        folder: folder of png, jpg, webp, bmp, tif, gif, ppm or pgm files.
        size: side of the squares, in pixels.
        channels: 1 for grey, 3 for RGB.
        fetch: must be False; the folder is the user's own.

    Raises:
        UsageError: no size, or a download was asked for.
        DataError: no pictures for the split, a damaged or too large picture, or too many pictures to hold in memory.
    """
    no_download("images", fetch)
    if size is None:
        raise UsageError("the data set images needs the side of its images; give --size")
    base = folder / split if all((folder / s).is_dir() for s in SPLITS) else folder
    paths = list_pictures(base)
    if base == folder:
        paths = split_paths(paths, folder)[split]
    if not paths:
        raise DataError(
            f"{base}: holds no pictures ({', '.join(s[1:] for s in SUFFIXES)}) for the split {split}; "
            "add some, or sort them into subfolders train, valid and test"
        )
    if len(paths) * channels * size * size > MAX_BYTES:
        raise DataError(
            f"{base}: {len(paths):,} pictures of {size} x {size} take more than {MAX_BYTES >> 30} GiB; "
            "choose a smaller --size, or fewer pictures"
        )
    images = np.empty((len(paths), channels, size, size), np.uint8)
    for i, path in enumerate(paths):
        images[i] = read_square(path, size, channels)
    return ImageSet(images, 256, None, "images", split)


def list_pictures(folder: Path) -> list[Path]:
    """List all pictures in a folder and its subfolders, sorted by path; links are not followed."""
    found = []
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(at, f) for f in files if f.lower().endswith(SUFFIXES) and not f.startswith(".")]
    return sorted(found)


def split_paths(paths: list[Path], folder: Path) -> dict[str, list[Path]]:
    """Split pictures by a hash of their names: a twentieth, at least one, each to test and valid, the rest to train.

    >>> {k: len(v) for k, v in split_paths([Path(f"{i}.png") for i in range(60)], Path()).items()}
    {'test': 3, 'valid': 3, 'train': 54}
    """

    def rank(path: Path) -> bytes:
        return hashlib.sha256(os.fsencode(path.relative_to(folder).as_posix())).digest()

    dealt = sorted(paths, key=rank)
    n = max(1, len(dealt) // 20)
    parts = {"test": dealt[:n], "valid": dealt[n : 2 * n], "train": dealt[2 * n :]}
    return {split: sorted(part) for split, part in parts.items()}


def read_square(path: Path, size: int, channels: int, *, max_pixels: int | None = None) -> np.ndarray:
    """Resample the central square of a picture, on white where it is transparent: ``[channels, size, size]`` uint8.

    Raises:
        DataError: not a picture, damaged, or more pixels than ``max_pixels`` (None: :data:`MAX_SOURCE_PIXELS`).
    """
    from PIL import Image, ImageOps

    with checked_picture(path, max_pixels=MAX_SOURCE_PIXELS if max_pixels is None else max_pixels) as opened:
        opened.draft("RGB", (size, size))  # JPEG is then decoded at a fraction of its size
        image = ImageOps.exif_transpose(opened)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = _eight_bit(image).convert("L" if channels == 1 else "RGB")
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(rearrange(np.asarray(image).reshape(size, size, channels), "h w c -> c h w"))


def _eight_bit(image):  # type: ignore[no-untyped-def]  # PIL.Image.Image, which is imported late
    """Convert 16-bit grey to 8 bits; Pillow's own conversion would clip it at 255."""
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
