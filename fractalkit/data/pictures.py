"""One picture of any kind to an array of samples, and back, with its colour profile and its EXIF."""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fractalkit.errors import PILLOW_ERRORS, DataError, UsageError, first_line
from fractalkit.files import atomic_path

MAX_PIXELS = 1 << 28
MAX_METADATA = 4 << 20  # of a profile or an EXIF block that is kept
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".ppm", ".pgm", ".pnm")
_WRITTEN = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".avif": "AVIF", ".tif": "TIFF", ".tiff": "TIFF",
    ".bmp": "BMP", ".jp2": "JPEG2000", ".ppm": "PPM", ".pgm": "PPM", ".pnm": "PPM", ".gif": "GIF",
}  # fmt: skip
_ORIENTATION = 0x0112


@dataclass
class Picture:
    """Samples and what else a file said.

    Attributes:
        samples: ``[H, W]`` grey, ``[H, W, 3]`` RGB or ``[H, W, 4]`` RGBA, uint8 or uint16, upright.
        metadata: "icc" and "exif", as bytes; the EXIF's orientation has been applied and is 1.
        warnings: sentences on what was left out.
    """

    samples: np.ndarray
    metadata: dict[str, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture: grey, RGB or RGBA of 8 or 16 bits; palettes, CMYK, 1 bit and others become one of these.

    It is turned upright here, not when it is shown: readers that ignore EXIF then show it rightly too.

    Raises:
        DataError: missing, empty, cut off, no picture, or more pixels than ``max_pixels``.
    """
    from PIL import Image

    path = Path(path)
    _check(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit; ours is named by an option
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                with Image.open(path) as image:
                    if image.width * image.height > max_pixels:
                        raise DataError(
                            f"{path}: {image.width:,} x {image.height:,} pixels are more than the limit of "
                            f"{max_pixels:,}; raise --max-pixels if you trust the file"
                        )
                    notes = _notes(path, image)
                    turn = image.getexif().get(_ORIENTATION, 1)  # before it is set to 1 in what is kept
                    metadata = _metadata(image)
                    deep = _deep_png(path) if image.format == "PNG" else None
                    samples = deep if deep is not None else _samples(path, image)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
            samples = _upright(samples, turn)
    except DataError:
        raise
    except PILLOW_ERRORS as error:
        first = first_line(error)
        raise DataError(
            f"{path}: cannot be read as a picture ({first}); give an undamaged PNG, JPEG or the like"
        ) from None
    return Picture(np.ascontiguousarray(samples), metadata, notes)


def _check(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path}: there is no such file; check the name")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a picture in it")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty; give a picture")


def _notes(path: Path, image: Any) -> list[str]:
    out = []
    if getattr(image, "n_frames", 1) > 1:
        out.append(f"{path}: holds {image.n_frames} frames; only the first is taken")
    if image.mode == "CMYK":
        out.append(f"{path}: is CMYK; it was converted to RGB and its colour profile left out")
    return out


def _metadata(image: Any) -> dict[str, bytes]:
    out = {}
    icc = image.info.get("icc_profile")
    if isinstance(icc, bytes) and 0 < len(icc) <= MAX_METADATA and image.mode != "CMYK":
        out["icc"] = icc
    exif = image.getexif()
    if exif:
        if _ORIENTATION in exif:
            exif[_ORIENTATION] = 1
        made = exif.tobytes()
        if len(made) <= MAX_METADATA:
            out["exif"] = made
    return out


def _deep_png(path: Path) -> np.ndarray | None:
    """A PNG of 16 bits and several channels, which Pillow would cut down to 8; None for all others."""
    with path.open("rb") as f:
        head = f.read(26)
    if len(head) < 26 or head[24] != 16 or head[25] not in (2, 4, 6):
        return None
    import png

    try:
        width, height, rows, info = png.Reader(filename=str(path)).asDirect()
        out = np.array([np.asarray(row, np.uint16) for row in rows]).reshape(height, width, info["planes"])
    except (png.Error, EOFError) as error:
        raise DataError(f"{path}: cannot be read as a picture ({error}); give an undamaged PNG") from None
    if out.shape[2] == 2:
        out = out[..., [0, 0, 0, 1]]
    return out


def _samples(path: Path, image: Any) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I"):
        return np.asarray(np.asarray(image).clip(0, 65535).astype(np.uint16))
    if mode == "F":
        raise DataError(f"{path}: holds floating-point samples; convert it to 8 or 16 bits first")
    if mode in ("1", "L"):
        want = "L"
    elif mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        want = "RGBA"
    elif mode == "P":
        want = image.palette.mode if image.palette and image.palette.mode in ("RGB", "RGBA") else "RGB"
    else:
        want = "RGB"
    return np.asarray(image.convert(want) if mode != want else image)


def _upright(a: np.ndarray, orientation: int) -> np.ndarray:
    """EXIF 2.3, tag 274."""
    if orientation in (5, 6, 7, 8):
        a = a.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        a = a[:, ::-1]
    if orientation in (3, 4, 7, 8):
        a = a[::-1]
    return a


def check_picture_suffix(path: Path) -> None:
    """A UsageError where no picture can be written under this name."""
    if path.suffix.lower() not in _WRITTEN:
        raise UsageError(
            f"{path}: pictures are written as {', '.join(sorted(s[1:] for s in _WRITTEN))}; give one as suffix"
        )


def write_picture(
    path: Path, samples: np.ndarray, metadata: dict[str, bytes] | None = None, **options: Any
) -> list[str]:
    """Write samples, by the name's suffix; returns sentences on what the format could not hold.

    Sixteen bits go into PNG and, if grey, TIFF; other formats get the upper eight. Transparency is laid on white where
    the format has none.

    Raises:
        UsageError: a suffix that stands for no format.
        DataError: the file cannot be written.
    """
    from PIL import Image

    path = Path(path)
    check_picture_suffix(path)
    kind = _WRITTEN[path.suffix.lower()]
    metadata = metadata or {}
    notes = []
    if samples.dtype == np.uint16 and not (kind == "PNG" or (kind == "TIFF" and samples.ndim == 2)):
        notes.append(f"{path}: {kind} gets 8 of the 16 bits; write PNG to keep them")
        samples = (samples // 257).astype(np.uint8)
    if samples.ndim == 3 and samples.shape[2] == 4 and kind in ("JPEG", "PPM", "BMP"):
        notes.append(f"{path}: {kind} has no transparency; it was laid on white")
        alpha = samples[..., 3:].astype(np.float32) / 255
        samples = np.rint(samples[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    with atomic_path(path) as temporary:
        if samples.dtype == np.uint16 and samples.ndim == 3:
            _write_deep_png(temporary, samples, metadata)
        else:
            extra: dict[str, Any] = dict(options)
            if "icc" in metadata and kind in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF"):
                extra["icc_profile"] = metadata["icc"]
            if "exif" in metadata and kind in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF"):
                extra["exif"] = metadata["exif"]
            if kind == "JPEG":
                extra.setdefault("quality", 95)
            Image.fromarray(samples).save(temporary, kind, **extra)
    return notes


def _write_deep_png(path: Path, samples: np.ndarray, metadata: dict[str, bytes]) -> None:
    import zlib

    import png

    h, w, c = samples.shape
    writer = png.Writer(w, h, greyscale=False, alpha=c == 4, bitdepth=16, compression=6)
    with path.open("wb") as f:
        writer.write(f, samples.reshape(h, w * c))
    if "icc" in metadata:
        data = path.read_bytes()
        body = b"iCCP" + b"icc\0\0" + zlib.compress(metadata["icc"])
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        path.write_bytes(data[:33] + chunk + data[33:])  # behind the header chunk
