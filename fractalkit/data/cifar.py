"""CIFAR-10 (Krizhevsky, 2009), from its binary version; the other version holds pickles, which are never loaded."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from fractalkit.data.fetch import Remote, fetch_all
from fractalkit.data.image_sets import ImageSet, find_file
from fractalkit.errors import DataError

ARCHIVE = "cifar-10-binary.tar.gz"
REMOTE = Remote("https://www.cs.toronto.edu/~kriz/" + ARCHIVE, 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530")
TRAIN, TEST = tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",)
SIDE, CLASSES = 32, 10
ROW = 1 + 3 * SIDE * SIDE  # a label, then the red, green and blue planes
MAX_BYTES = 10_000 * ROW  # of one file
MAX_MEMBERS = 1000


def load_cifar(folder: Path, split: str, *, fetch: bool = False) -> ImageSet:
    """RGB pictures ``[N, 3, 32, 32]``, 256 levels, with labels.

    The last tenth of the 50,000 training pictures is taken for validation.

    Args:
        folder: holds ``cifar-10-binary.tar.gz``, or what it unpacks to (``cifar-10-batches-bin``).
        fetch: download the archive into the folder where it is missing.

    Raises:
        DataError: files that are missing or damaged; the message names them.
    """
    names = TEST if split == "test" else TRAIN
    plain = [find_file(folder, (f"cifar-10-batches-bin/{n}", n), "cifar10") for n in names]
    archive = find_file(folder, (ARCHIVE,), "cifar10")
    if None not in plain:
        rows = np.concatenate([_read_plain(p) for p in plain if p is not None])
    else:
        if archive is None and fetch:
            (archive,) = fetch_all(folder / "cifar10", [REMOTE])
        if archive is None:
            raise DataError(
                f"{folder}: lacks {ARCHIVE} (CIFAR-10, the binary version, not the Python one); put it there"
            )
        found = read_archive(archive, names)
        rows = np.concatenate([found[n] for n in names])
    images, labels = rows[:, 1:].reshape(-1, 3, SIDE, SIDE), rows[:, 0]
    if split != "test":
        cut = len(rows) - len(rows) // 10
        part = slice(cut) if split == "train" else slice(cut, None)
        images, labels = images[part], labels[part]
    return ImageSet(images, 256, labels, "cifar10", split)


def read_archive(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Files of the archive by name, each ``[N, 3073]`` uint8, read in place: nothing is unpacked to disk.

    Raises:
        DataError: no such archive, or a file that it lacks or that is damaged.
    """
    found: dict[str, np.ndarray] = {}
    try:
        with tarfile.open(path, "r|gz") as tar:  # a stream: one pass, whatever the order
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
        # tarfile's reader of headers stumbles over damaged ones in its own ways
        why = ascii((str(error).splitlines() or ["no content"])[0])[1:-1][:100]
        raise DataError(f"{path}: is no gzipped tar archive, or is cut short ({why}); fetch it anew") from error
    missing = [n for n in names if n not in found]
    if missing:
        raise DataError(f"{path}: lacks {missing[0]}; fetch {ARCHIVE}, the binary version, anew")
    return found


def _read_plain(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            return _rows(file, path.name)
    except DataError as error:
        raise DataError(f"{path.parent}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _rows(file: IO[bytes], name: str) -> np.ndarray:
    data = file.read(MAX_BYTES + 1)
    if not data or len(data) % ROW or len(data) > MAX_BYTES:
        raise DataError(f"{name}: {len(data):,} bytes are no whole number of pictures, 1 to 10,000; fetch it anew")
    rows = np.frombuffer(bytearray(data), np.uint8).reshape(-1, ROW)
    if rows[:, 0].max() >= CLASSES:
        raise DataError(f"{name}: holds the label {rows[:, 0].max()}, but there are {CLASSES} classes; fetch it anew")
    return rows
