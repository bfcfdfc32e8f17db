"""CIFAR-10 (Krizhevsky, 2009), binary version; the Python version holds pickles, which are never loaded."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from fractalkit.data.fetch import Remote, fetch_all
from fractalkit.data.image_set import ImageSet, find_file, hold_out
from fractalkit.errors import DataError, first_line, naming

ARCHIVE = "cifar-10-binary.tar.gz"
REMOTE = Remote("https://www.cs.toronto.edu/~kriz/" + ARCHIVE, 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530")
TRAIN, TEST = tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",)
SIDE, CLASSES = 32, 10
ROW = 1 + 3 * SIDE * SIDE  # a label, then the red, green and blue planes
MAX_BYTES = 10_000 * ROW  # per file
MAX_MEMBERS = 1000


def load_cifar(folder: Path, split: str, *, size: int | None = None, fetch: bool = False) -> ImageSet:
    """Load RGB images ``[N, 3, 32, 32]``, 256 levels, with labels.

    The last tenth of the 50,000 training images serves as the validation split.

    Args:
        folder: folder with ``cifar-10-binary.tar.gz``, or what it unpacks to (``cifar-10-batches-bin``).
        size: unused; the images have one size.
        fetch: download the archive into the folder if it is missing.

    Raises:
        DataError: files that are missing or damaged; the message names them.
    """
    names = TEST if split == "test" else TRAIN
    plain = [find_file(folder, (f"cifar-10-batches-bin/{n}", n), "cifar10") for n in names]
    if None not in plain:
        rows = np.concatenate([_read_plain(p) for p in plain if p is not None])
    else:
        archive = find_file(folder, (ARCHIVE,), "cifar10")
        if archive is None and fetch:
            (archive,) = fetch_all(folder / "cifar10", [REMOTE])
        if archive is None:
            raise DataError(f"{folder}: lacks {ARCHIVE} (CIFAR-10, binary version, not the Python one); put it there")
        found = read_archive(archive, names)
        rows = np.concatenate([found[n] for n in names])
    images, labels = hold_out(split, 10, rows[:, 1:].reshape(-1, 3, SIDE, SIDE), rows[:, 0])
    return ImageSet(images, 256, labels, "cifar10", split)


def read_archive(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read files of the archive by name, each ``[N, 3073]`` uint8, without unpacking it to disk.

    Raises:
        DataError: no such archive, or a file in it is missing or damaged.
    """
    found: dict[str, np.ndarray] = {}
    try:
        with tarfile.open(path, "r|gz") as tar:  # a stream, read in one pass
            for number, member in enumerate(tar):
                name = member.name.rsplit("/", 1)[-1]
                if number >= MAX_MEMBERS or len(found) == len(names):
                    break
                if name in names and member.isfile():
                    file = tar.extractfile(member)
                    assert file is not None
                    found[name] = _rows(file, name)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError, TypeError, KeyError, OverflowError) as error:
        # tarfile raises all of these on damaged headers
        why = first_line(error)
        raise DataError(f"{path}: is not a gzipped tar archive, or is cut off ({why}); download it again") from error
    missing = [n for n in names if n not in found]
    if missing:
        raise DataError(f"{path}: lacks {missing[0]}; download {ARCHIVE}, the binary version, again")
    return found


def _read_plain(path: Path) -> np.ndarray:
    with naming(path.parent), path.open("rb") as file:
        return _rows(file, path.name)


def _rows(file: IO[bytes], name: str) -> np.ndarray:
    data = file.read(MAX_BYTES + 1)
    if not data or len(data) % ROW or len(data) > MAX_BYTES:
        raise DataError(f"{name}: {len(data):,} bytes are not a whole number of images, 1 to 10,000; download it again")
    rows = np.frombuffer(bytearray(data), np.uint8).reshape(-1, ROW)
    if rows[:, 0].max() >= CLASSES:
        raise DataError(
            f"{name}: holds the label {rows[:, 0].max()}, but there are {CLASSES} classes; download it again"
        )
    return rows
