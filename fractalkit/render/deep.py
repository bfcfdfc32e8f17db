"""Pictures of more than 8 bits: PNG of 16, and floating point as npy or baseline TIFF."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fractalkit.errors import UsageError
from fractalkit.files import atomic_path
from fractalkit.render.rows_png import PngRows


def save_png16(path: str | Path, image: npt.NDArray[np.uint16], text: Mapping[str, str] | None = None) -> None:
    """Write uint16 ``[H, W]`` or ``[H, W, 3 or 4]`` and texts, as :func:`.png.save_png` does for 8 bits."""
    if image.dtype != np.uint16 or image.shape[2:] not in ((), (3,), (4,)) or image.ndim < 2 or 0 in image.shape:
        raise UsageError(f"image: expected uint16 [H, W], [H, W, 3] or [H, W, 4], got {image.dtype} {image.shape}")
    h, w, *channels = image.shape
    with PngRows(path, w, h, channels=(channels or [1])[0], text=text, level=4, bits=16) as png:
        png.write(image)


def save_npy(path: str | Path, image: npt.NDArray[np.float32]) -> None:
    """Write an array as ``.npy``, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, image, allow_pickle=False)


def save_tiff(path: str | Path, image: npt.NDArray[np.float32], text: Mapping[str, str] | None = None) -> None:
    """Write float32 ``[H, W, 3 or 4]`` as an uncompressed little-endian TIFF; texts as JSON in ImageDescription.

    Raises:
        UsageError: another type or shape, or a file beyond TIFF's 4 GiB.
    """
    if image.dtype != np.float32 or image.ndim != 3 or image.shape[2] not in (3, 4):
        raise UsageError(f"image: expected float32 [H, W, 3] or [H, W, 4], got {image.dtype} {list(image.shape)}")
    h, w, c = image.shape
    note = json.dumps(dict(text or {})).encode("ascii") + b"\0"
    if image.nbytes + len(note) > 0xFFFF0000:
        raise UsageError(f"{path}: larger than a TIFF can be; write .npy")
    # header, pixels, values that do not fit their entries, directory
    pixels = 8
    after = pixels + image.nbytes
    bits, formats, notes = after, after + 2 * c, after + 4 * c
    directory = notes + len(note) + len(note) % 2
    short, long, ascii_ = 3, 4, 2
    entries = [
        (256, long, 1, w), (257, long, 1, h), (258, short, c, bits), (259, short, 1, 1), (262, short, 1, 2),
        (270, ascii_, len(note), notes), (273, long, 1, pixels), (277, short, 1, c), (278, long, 1, h),
        (279, long, 1, image.nbytes), (284, short, 1, 1),
        *([(338, short, 1, 2)] if c == 4 else []), (339, short, c, formats),
    ]  # fmt: skip
    if len(note) <= 4:
        entries[5] = (270, ascii_, len(note), int.from_bytes(note.ljust(4, b"\0"), "little"))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<I", directory))
        file.write(np.ascontiguousarray(image, "<f4").tobytes())
        file.write(struct.pack(f"<{c}H", *[32] * c) + struct.pack(f"<{c}H", *[3] * c) + note + b"\0" * (len(note) % 2))
        file.write(struct.pack("<H", len(entries)))
        for tag, kind, count, value in entries:
            file.write(struct.pack("<HHII", tag, kind, count, value))
        file.write(struct.pack("<I", 0))
