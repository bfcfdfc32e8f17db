"""A folder of pictures, cut into squares at full resolution: what amortised encoders learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fractalkit.data.image_sets import ImageSet
from fractalkit.data.images import list_pictures
from fractalkit.data.pictures import read_picture
from fractalkit.errors import DataError

SIDE = 128
COVER = 2  # how often a picture's area is covered by its crops
MAX_BYTES = 8 << 30


def crop_splits(folder: Path) -> dict[str, list[Path]]:
    """Pictures in the order of their names, dealt out by their number: 3, 10, 17 ... (every seventh) are for test, 0,
    35, 70 ... for validation, all others for training. So 350 pictures give 50, 10 and 290."""
    out: dict[str, list[Path]] = {"train": [], "valid": [], "test": []}
    for i, path in enumerate(list_pictures(folder)):
        out["test" if i % 7 == 3 else "valid" if i % 35 == 0 else "train"].append(path)
    return out


def load_crops(folder: Path, split: str, *, size: int = SIDE) -> ImageSet:
    """Crops ``[N, 3, size, size]``, 256 levels, at places drawn once by the picture's number; grey becomes RGB, and a
    picture smaller than a crop is mirrored at its borders until it is large enough.

    Raises:
        DataError: no pictures for the split, one that is damaged, or too many to hold.
    """
    paths = crop_splits(folder)[split]
    if not paths:
        raise DataError(f"{folder}: holds no pictures for the split {split}; at least 4 are needed, of PNG, JPEG or so")
    crops: list[np.ndarray] = []
    for number, path in enumerate(paths):
        a = rgb(read_picture(path).samples)
        a = mirrored(a, max(size, a.shape[0]), max(size, a.shape[1]))
        rng = np.random.default_rng((number, size))
        count = max(1, round(COVER * a.shape[0] * a.shape[1] / size**2))
        for _ in range(count):
            y, x = rng.integers(a.shape[0] - size + 1), rng.integers(a.shape[1] - size + 1)
            crops.append(a[y : y + size, x : x + size].transpose(2, 0, 1))
        if len(crops) * 3 * size * size > MAX_BYTES:
            raise DataError(f"{folder}: its crops take more than {MAX_BYTES >> 30} GiB; give fewer pictures")
    return ImageSet(np.ascontiguousarray(np.stack(crops)), 256, None, "crops", split)


def rgb(samples: np.ndarray) -> np.ndarray:
    """``[H, W, 3]`` uint8 of any samples: grey is repeated, transparency laid on white, 16 bits cut to 8."""
    a = (samples // 257).astype(np.uint8) if samples.dtype == np.uint16 else samples
    if a.ndim == 2:
        return np.repeat(a[..., None], 3, -1)
    if a.shape[2] == 4:
        share = a[..., 3:].astype(np.float32) / 255
        a = np.rint(a[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
    return a


def mirrored(a: np.ndarray, height: int, width: int) -> np.ndarray:
    """``[H, W, ...]`` continued to the right and below by mirror images of itself.

    >>> mirrored(np.arange(3)[:, None], 7, 2)[:, 0].tolist()
    [0, 1, 2, 2, 1, 0, 0]
    """

    def index(n: int, want: int) -> np.ndarray:
        i = np.arange(want) % (2 * n)
        return np.asarray(np.minimum(i, 2 * n - 1 - i))

    return a[index(a.shape[0], height)][:, index(a.shape[1], width)]
