"""MNIST: the original files (LeCun et al., 1998) and the static binarisation (Larochelle and Murray, 2011)."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from fractalkit.data.arrays import ARCHIVE_ERRORS, _member
from fractalkit.data.fetch import Remote, fetch_all
from fractalkit.data.image_sets import ImageSet, find_file
from fractalkit.errors import DataError

MAX_PIXELS = 1 << 30  # of one file
SIDE = 28
PACKED = "binarized_mnist_packed.npz"
_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_IDX = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_IDX_SUMS = {
    "train-images-idx3-ubyte": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
    "train-labels-idx1-ubyte": ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
    "t10k-images-idx3-ubyte": ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
    "t10k-labels-idx1-ubyte": ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
}
_AMAT_MIRROR = "http://www.cs.toronto.edu/~larochelle/public/datasets/binarized_mnist/"
_AMAT_BYTES = {"train": 78_400_000, "valid": 15_680_000, "test": 15_680_000}


def load_mnist(folder: Path, split: str, *, fetch: bool = False) -> ImageSet:
    """Grey digits ``[N, 1, 28, 28]``, 256 levels, with labels.

    The original has no validation split: the last sixth of its training files is taken for it, 50,000 and 10,000.

    Args:
        folder: holds ``train-images-idx3-ubyte`` and its like, gzipped or not.
        fetch: download them into the folder where they are missing.

    Raises:
        DataError: a file that is missing, damaged, or does not fit the other.
    """
    images_name, labels_name = _IDX["test" if split == "test" else "train"]
    paths = [find_file(folder, (n + ".gz", n), "mnist") for n in (images_name, labels_name)]
    if fetch and None in paths:
        wanted = (images_name, labels_name)
        paths = [*fetch_all(folder / "mnist", [Remote(_MIRROR + n + ".gz", *_IDX_SUMS[n][::-1]) for n in wanted])]
    images_path, labels_path = paths
    if images_path is None or labels_path is None:
        names = ", ".join(n + ".gz" for n, p in zip((images_name, labels_name), paths, strict=True) if p is None)
        raise DataError(f"{folder}: lacks {names} (the original MNIST files, gzipped or not); put them there")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(f"{labels_path}: {len(labels):,} labels for {len(images):,} pictures; fetch both files anew")
    if split != "test":
        cut = len(images) - len(images) // 6
        part = slice(cut) if split == "train" else slice(cut, None)
        images, labels = images[part], labels[part]
    return ImageSet(images[:, None], 256, labels, "mnist", split)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An idx file of bytes, gzipped or plain: ``[N, H, W]`` or ``[N]`` uint8.

    Layout, big-endian: 0, 0, 8 (unsigned byte), the number of dimensions; each size as 32 bits; the values.

    Raises:
        DataError: another magic number, absurd sizes, or values that are too few or too many.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=raw) as file:
                    return _idx(file, dimensions)
            return _idx(raw, dimensions)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch it anew") from error


def _idx(file: IO[bytes] | gzip.GzipFile, dimensions: int) -> np.ndarray:
    magic = file.read(4)
    if magic != bytes([0, 0, 8, dimensions]):
        raise DataError(
            f"is no idx file of bytes with {dimensions} dimension{'s' * (dimensions > 1)} (it begins with "
            f"{magic.hex() or 'nothing'}, not 000008{dimensions:02d})"
        )
    head = file.read(4 * dimensions)
    if len(head) < 4 * dimensions:
        raise DataError("is cut off in its header; fetch it anew")
    shape = tuple(int.from_bytes(head[4 * i : 4 * i + 4], "big") for i in range(dimensions))
    count = int(np.prod(shape, dtype=object))
    if not 0 < count <= MAX_PIXELS or max(shape[1:], default=1) > 4096:
        raise DataError(f"promises {' x '.join(map(str, shape))} values, which no such file has; fetch it anew")
    # read in pieces: a header that promises too much then allocates no more than the file holds
    pieces, left = [], count
    while left and (piece := file.read(min(left, 1 << 24))):
        pieces.append(piece)
        left -= len(piece)
    if left:
        raise DataError(f"is cut off: {count - left:,} of {count:,} values; fetch it anew")
    if file.read(1):
        raise DataError(f"holds more than the {count:,} values it promises; fetch it anew")
    return np.frombuffer(bytearray().join(pieces), np.uint8).reshape(shape)


def load_static(folder: Path, split: str, *, fetch: bool = False) -> ImageSet:
    """Binary digits ``[N, 1, 28, 28]``, values 0 and 1: 50,000 for training, 10,000 for validation, 10,000 for test.

    Salakhutdinov and Murray (2008) drew each pixel once with its grey value for a probability; Larochelle and Murray
    (2011) made those draws the standard. The test split is sorted by class.

    Args:
        folder: holds ``binarized_mnist_packed.npz`` (arrays train, valid, test, eight pixels a byte) or the original
            texts ``binarized_mnist_train.amat`` and its like.
        fetch: download the texts into the folder where both are missing.

    Raises:
        DataError: files that are missing or damaged.
    """
    text = f"binarized_mnist_{split}.amat"
    path = find_file(folder, (PACKED, text), "mnist")
    if path is None and fetch:
        # the mirror has no secure address and publishes no checksum: size and content are what is checked
        (path,) = fetch_all(folder / "mnist", [Remote(_AMAT_MIRROR + text, _AMAT_BYTES[split])])
    if path is None:
        raise DataError(f"{folder}: holds neither {PACKED} nor {text} (MNIST, statically binarised); put one there")
    flat = read_packed(path, split) if path.name == PACKED else read_amat(path)
    return ImageSet(flat.reshape(-1, 1, SIDE, SIDE), 2, None, "mnist-static", split)


def read_packed(path: Path, split: str) -> np.ndarray:
    """An array of the packed archive: ``[N, 784]`` uint8, values 0 and 1.

    Raises:
        DataError: no such array, another shape or type, or a damaged archive.
    """
    try:
        with path.open("rb") as raw, zipfile.ZipFile(raw) as archive:
            names = [n.removesuffix(".npy") for n in archive.namelist()]
            if split not in names:
                raise DataError(f"has no array {split} (found: {', '.join(names)[:80] or 'none'}); fetch it anew")
            bits = _member(archive, f"{split}.npy", MAX_PIXELS // (SIDE * SIDE))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (OSError, *ARCHIVE_ERRORS) as error:
        first = (str(error).splitlines() or ["no content"])[0]
        raise DataError(f"{path}: is not a NumPy archive ({first[:100]}); fetch it anew") from None
    if bits.ndim != 2 or bits.shape[1] != SIDE * SIDE // 8 or bits.dtype != np.uint8 or not len(bits):
        raise DataError(f"{path}: array {split} is {bits.dtype} {list(bits.shape)}, not uint8 [N, {SIDE * SIDE // 8}]")
    return np.unpackbits(bits, axis=1, count=SIDE * SIDE)


def read_amat(path: Path) -> np.ndarray:
    """The original text, 784 zeros and ones a line: ``[N, 784]`` uint8.

    Raises:
        DataError: anything else in it, or a line of another length.
    """
    try:
        if path.stat().st_size > 2 * MAX_PIXELS:
            raise DataError(f"{path}: larger than any such file; fetch it anew")
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    digits = raw.translate(None, b" \t\r\n")
    if digits.translate(None, b"01"):
        raise DataError(f"{path}: holds something other than zeros, ones and blanks; fetch it anew")
    lines = len(raw.split(b"\n")) - raw.endswith(b"\n")
    if not digits or len(digits) != lines * SIDE * SIDE:
        raise DataError(f"{path}: {len(digits):,} values in {lines:,} lines, not {SIDE * SIDE} in each; fetch it anew")
    return (np.frombuffer(digits, np.uint8) - ord("0")).reshape(-1, SIDE * SIDE)
