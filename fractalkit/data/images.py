"""A folder of pictures, cut to squares of one size."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np

from fractalkit.data.image_sets import SPLITS, ImageSet
from fractalkit.errors import PILLOW_ERRORS, DataError, first_line

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
MAX_SOURCE_PIXELS = 150_000_000  # of one picture
MAX_BYTES = 16 << 30  # of all of them, cut


def load_folder(folder: Path, split: str, *, size: int, channels: int = 3) -> ImageSet:
    """Pictures ``[N, channels, size, size]``, 256 levels: the middle square of each, resampled.

    Where the folder has sub-folders train, valid and test, those are the splits; otherwise a hash of each name deals
    them out, nine in ten for training (pictures added later then move few). Sub-folders are searched too.

    Args:
        folder: holds png, jpg, webp, bmp, tif, gif, ppm or pgm files.
        channels: 1 for grey, 3 for RGB.

    Raises:
        DataError: no pictures for the split, one that is damaged or absurdly large, or too many to hold.
    """
    base = folder / split if all((folder / s).is_dir() for s in SPLITS) else folder
    paths = list_pictures(base)
    if base == folder:
        paths = split_paths(paths, folder)[split]
    if not paths:
        raise DataError(
            f"{base}: holds no pictures ({', '.join(s[1:] for s in SUFFIXES)}) for the split {split}; "
            "add some, or sort them into sub-folders train, valid and test"
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
    """Every picture in the folder and below it, in the order of their names; links are not followed."""
    found = []
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(at, f) for f in files if f.lower().endswith(SUFFIXES) and not f.startswith(".")]
    return sorted(found)


def split_paths(paths: list[Path], folder: Path) -> dict[str, list[Path]]:
    """Pictures dealt out by a hash of their names: a twentieth, at least one, each for test and valid, the rest train.

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
    """The middle square of a picture, resampled, on white where it is transparent: ``[channels, size, size]`` uint8.

    Raises:
        DataError: no picture, damaged, or more pixels than ``max_pixels`` (None: than any camera takes).
    """
    from PIL import Image, ImageOps

    max_pixels = MAX_SOURCE_PIXELS if max_pixels is None else max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit, below, is the one that counts
            with Image.open(path) as opened:
                if opened.width * opened.height > max_pixels:
                    raise DataError(
                        f"{path}: {opened.width:,} x {opened.height:,} pixels are more than the "
                        f"{max_pixels / 10**6:g} megapixels allowed; make it smaller"
                    )
                opened.draft("RGB", (size, size))  # JPEG decodes at a fraction of its size
                image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = _eight_bit(image).convert("L" if channels == 1 else "RGB")
            image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    except DataError:
        raise
    except (*PILLOW_ERRORS, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path}: cannot be read as a picture ({first_line(error)}); leave it out or mend it"
        ) from error
    return np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1)


def _eight_bit(image):  # type: ignore[no-untyped-def]  # PIL.Image.Image, which is imported late
    """Sixteen-bit grey brought down to eight; Pillow's own conversion would cut it off at 255."""
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
