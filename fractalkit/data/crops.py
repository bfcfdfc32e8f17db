"""Random crops at full resolution from a folder of pictures: training data for amortised encoders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from einops import rearrange, repeat

from fractalkit.data.image_set import ImageSet, no_download
from fractalkit.data.images import list_pictures
from fractalkit.data.pictures import eight_bit, on_white, read_picture
from fractalkit.errors import DataError

SIDE = 128
COVER = 2  # total area of a picture's crops over the picture's area
MAX_BYTES = 8 << 30


def crop_splits(folder: Path) -> dict[str, list[Path]]:
    """Split pictures, sorted by name, by their index: 3, 10, 17 ... (every seventh) are for test, 0, 35, 70 ... for
    validation, all others for training. So 350 pictures give 50, 10 and 290."""
    out: dict[str, list[Path]] = {"train": [], "valid": [], "test": []}
    for i, path in enumerate(list_pictures(folder)):
        out["test" if i % 7 == 3 else "valid" if i % 35 == 0 else "train"].append(path)
    return out


def load_crops(folder: Path, split: str, *, size: int | None = None, fetch: bool = False) -> ImageSet:
    """Crop pictures at random places, seeded by the picture's index: ``[N, 3, size, size]``, 256 levels.

    Grey becomes RGB. A picture smaller than a crop is extended by reflection.

    Args:
        size: side of the crops, in pixels; 128 by default.
        fetch: must be False; the folder is the user's own.

    Raises:
        UsageError: a download was asked for.
        DataError: no pictures for the split, a damaged picture, or too many crops to hold in memory.
    """
    no_download("crops", fetch)
    size = size or SIDE
    paths = crop_splits(folder)[split]
    if not paths:
        raise DataError(
            f"{folder}: holds no pictures for the split {split}; give at least 4 PNG, JPEG or similar files"
        )
    crops: list[np.ndarray] = []
    for number, path in enumerate(paths):
        a = rgb(read_picture(path).samples)
        a = mirrored(a, max(size, a.shape[0]), max(size, a.shape[1]))
        rng = np.random.default_rng((number, size))
        count = max(1, round(COVER * a.shape[0] * a.shape[1] / size**2))
        for _ in range(count):
            y, x = rng.integers(a.shape[0] - size + 1), rng.integers(a.shape[1] - size + 1)
            crops.append(rearrange(a[y : y + size, x : x + size], "h w c -> c h w"))
        if len(crops) * 3 * size * size > MAX_BYTES:
            raise DataError(f"{folder}: its crops take more than {MAX_BYTES >> 30} GiB; give fewer pictures")
    return ImageSet(np.ascontiguousarray(np.stack(crops)), 256, None, "crops", split)


def rgb(samples: np.ndarray) -> np.ndarray:
    """Convert samples to ``[H, W, 3]`` uint8: grey is repeated, alpha composited on white, 16 bits reduced to 8."""
    a = eight_bit(samples)
    return repeat(a, "h w -> h w c", c=3) if a.ndim == 2 else on_white(a)


def mirrored(a: np.ndarray, height: int, width: int) -> np.ndarray:
    """Extend ``[H, W, ...]`` to the right and below by repeated reflection.

    >>> mirrored(np.arange(3)[:, None], 7, 2)[:, 0].tolist()
    [0, 1, 2, 2, 1, 0, 0]
    """

    def index(n: int, want: int) -> np.ndarray:
        i = np.arange(want) % (2 * n)
        return np.asarray(np.minimum(i, 2 * n - 1 - i))

    return a[index(a.shape[0], height)][:, index(a.shape[1], width)]
