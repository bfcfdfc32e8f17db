"""MNIST: the original files (LeCun et al., 1998) and the static binarisation (Larochelle and Murray, 2011)."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from fractalkit.data.arrays import ARCHIVE_ERRORS, read_member
from fractalkit.data.fetch import Remote, fetch_all
from fractalkit.data.image_set import ImageSet, find_file, hold_out
from fractalkit.errors import DataError, first_line, naming

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
_FASHION_MIRROR = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_FASHION_SUMS = {
    "train-images-idx3-ubyte": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
    "train-labels-idx1-ubyte": ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
    "t10k-images-idx3-ubyte": ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
    "t10k-labels-idx1-ubyte": ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
}
_AMAT_MIRROR = "http://www.cs.toronto.edu/~larochelle/public/datasets/binarized_mnist/"
_AMAT_BYTES = {"train": 78_400_000, "valid": 15_680_000, "test": 15_680_000}


def load_mnist(folder: Path, split: str, *, size: int | None = None, fetch: bool = False) -> ImageSet:
    """Load grey digits ``[N, 1, 28, 28]``, 256 levels, with labels.

    The original has no validation split: the last sixth of the training files serves as one, which gives 50,000 and
    10,000.

    Args:
        folder: folder with ``train-images-idx3-ubyte`` and the other files, gzipped or not.
        size: unused; the images have one size.
        fetch: download missing files into the folder.

    Raises:
        DataError: a file is missing or damaged, or the numbers of images and labels differ.
    """
    return _load_idx("mnist", "MNIST", _MIRROR, _IDX_SUMS, folder, split, fetch)


def load_fashion(folder: Path, split: str, *, size: int | None = None, fetch: bool = False) -> ImageSet:
    """Load grey pictures of clothes, Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), as :func:`load_mnist` does digits.

    Its files have the names of MNIST's; a subfolder ``fashion`` comes first.
    """
    inside = folder / "fashion" if (folder / "fashion").is_dir() and not fetch else folder
    return _load_idx("fashion", "Fashion-MNIST", _FASHION_MIRROR, _FASHION_SUMS, inside, split, fetch)


def _load_idx(
    name: str, title: str, mirror: str, sums: dict[str, tuple[str, int]], folder: Path, split: str, fetch: bool
) -> ImageSet:
    names = _IDX["test" if split == "test" else "train"]
    paths = [find_file(folder, (n + ".gz", n), name) for n in names]
    if fetch and None in paths:
        paths = [*fetch_all(folder / name, [Remote(mirror + n + ".gz", *sums[n][::-1]) for n in names])]
    images_path, labels_path = paths
    if images_path is None or labels_path is None:
        missing = ", ".join(n + ".gz" for n, p in zip(names, paths, strict=True) if p is None)
        raise DataError(f"{folder}: lacks {missing} (the original {title} files, gzipped or not); put them there")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(f"{labels_path}: {len(labels):,} labels for {len(images):,} images; download both files again")
    images, labels = hold_out(split, 6, images, labels)
    return ImageSet(images[:, None], 256, labels, name, split)


def load_dynamic(folder: Path, split: str, *, size: int | None = None, fetch: bool = False) -> ImageSet:
    """Load grey digits as :func:`load_mnist`, each pixel the probability of a one, to be drawn at every use.

    Salakhutdinov and Murray (2008) binarise so; bounds differ a little from those on the fixed draw of
    :func:`load_static`, and training sees a new picture each time.
    """
    grey = load_mnist(folder, split, size=size, fetch=fetch)
    return replace(grey, name="mnist-dynamic", dynamic=True)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an idx file of bytes, gzipped or plain: ``[N, H, W]`` or ``[N]`` uint8.

    Layout, big-endian: 0, 0, 8 (unsigned byte), the number of dimensions; each size as 32 bits; the values.

    Raises:
        DataError: a wrong magic number, impossible sizes, or too few or too many values.
    """
    with naming(path), Path(path).open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            return _idx(gzip.GzipFile(fileobj=raw) if packed else raw, dimensions)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"cannot be read ({error}); download it again") from error


def _idx(file: IO[bytes] | gzip.GzipFile, dimensions: int) -> np.ndarray:
    magic = file.read(4)
    if magic != bytes([0, 0, 8, dimensions]):
        raise DataError(
            f"is not an idx file of bytes with {dimensions} dimension{'s' * (dimensions > 1)} (it begins with "
            f"{magic.hex() or 'nothing'}, not 000008{dimensions:02d})"
        )
    head = file.read(4 * dimensions)
    if len(head) < 4 * dimensions:
        raise DataError("is cut off in its header; download it again")
    shape = tuple(int.from_bytes(head[4 * i : 4 * i + 4], "big") for i in range(dimensions))
    count = int(np.prod(shape, dtype=object))
    if not 0 < count <= MAX_PIXELS or max(shape[1:], default=1) > 4096:
        raise DataError(f"promises {' x '.join(map(str, shape))} values, too many for such a file; download it again")
    # read in pieces, so that a false header allocates no more than the file holds
    pieces, left = [], count
    while left and (piece := file.read(min(left, 1 << 24))):
        pieces.append(piece)
        left -= len(piece)
    if left:
        raise DataError(f"is cut off: {count - left:,} of {count:,} values; download it again")
    if file.read(1):
        raise DataError(f"holds more than the {count:,} values it promises; download it again")
    return np.frombuffer(bytearray().join(pieces), np.uint8).reshape(shape)


def load_static(folder: Path, split: str, *, size: int | None = None, fetch: bool = False) -> ImageSet:
    """Load binary digits ``[N, 1, 28, 28]``, values 0 and 1: 50,000 train, 10,000 valid, 10,000 test.

    Salakhutdinov and Murray (2008) sampled each pixel once with its grey value as probability; Larochelle and Murray
    (2011) made those samples the standard. The test split is sorted by class.

    Args:
        folder: folder with ``binarized_mnist_packed.npz`` (arrays train, valid, test, eight pixels per byte) or the
            original texts ``binarized_mnist_train.amat``, ``..._valid.amat`` and ``..._test.amat``.
        size: unused; the images have one size.
        fetch: download the text into the folder if neither is there.

    Raises:
        DataError: files that are missing or damaged.
    """
    text = f"binarized_mnist_{split}.amat"
    path = find_file(folder, (PACKED, text), "mnist")
    if path is None and fetch:
        # the mirror offers neither HTTPS nor checksums, so only size and content are checked
        (path,) = fetch_all(folder / "mnist", [Remote(_AMAT_MIRROR + text, _AMAT_BYTES[split])])
    if path is None:
        raise DataError(f"{folder}: holds neither {PACKED} nor {text} (MNIST, statically binarised); put one there")
    flat = read_packed(path, split) if path.name == PACKED else read_amat(path)
    return ImageSet(flat.reshape(-1, 1, SIDE, SIDE), 2, None, "mnist-static", split)


def read_packed(path: Path, split: str) -> np.ndarray:
    """Read one array of the packed archive: ``[N, 784]`` uint8, values 0 and 1.

    Raises:
        DataError: no such array, a wrong shape or type, or a damaged archive.
    """
    with naming(path):
        try:
            with path.open("rb") as raw, zipfile.ZipFile(raw) as archive:
                names = [n.removesuffix(".npy") for n in archive.namelist()]
                if split not in names:
                    found = ", ".join(names)[:80] or "none"
                    raise DataError(f"has no array {split} (found: {found}); download it again")
                bits = read_member(archive, f"{split}.npy", MAX_PIXELS // (SIDE * SIDE))
        except DataError:
            raise
        except (OSError, *ARCHIVE_ERRORS) as error:
            raise DataError(f"is not a NumPy archive ({first_line(error)}); download it again") from None
        if bits.ndim != 2 or bits.shape[1] != SIDE * SIDE // 8 or bits.dtype != np.uint8 or not len(bits):
            raise DataError(f"array {split} is {bits.dtype} {list(bits.shape)}, not uint8 [N, {SIDE * SIDE // 8}]")
    return np.unpackbits(bits, axis=1, count=SIDE * SIDE)


def read_amat(path: Path) -> np.ndarray:
    """Read the original text, 784 zeros and ones per line: ``[N, 784]`` uint8.

    Raises:
        DataError: other characters, or a line of a different length.
    """
    with naming(path):
        if path.stat().st_size > 2 * MAX_PIXELS:
            raise DataError("too large for such a file; download it again")
        raw = path.read_bytes()
    digits = raw.translate(None, b" \t\r\n")
    if digits.translate(None, b"01"):
        raise DataError(f"{path}: holds characters other than 0, 1 and white space; download it again")
    lines = len(raw.split(b"\n")) - raw.endswith(b"\n")
    if not digits or len(digits) != lines * SIDE * SIDE:
        raise DataError(
            f"{path}: {len(digits):,} values in {lines:,} lines, not {SIDE * SIDE} in each; download it again"
        )
    return (np.frombuffer(digits, np.uint8) - ord("0")).reshape(-1, SIDE * SIDE)
