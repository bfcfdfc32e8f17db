"""Read and write pictures as arrays of samples, with their colour profile and EXIF."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fractalkit.errors import DataError, UsageError
from fractalkit.files import atomic_path, checked_picture

MAX_PIXELS = 1 << 28
MAX_METADATA = 4 << 20  # bytes; larger profiles and EXIF blocks are dropped
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".ppm", ".pgm", ".pnm")
_WRITTEN = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".avif": "AVIF", ".tif": "TIFF", ".tiff": "TIFF",
    ".bmp": "BMP", ".jp2": "JPEG2000", ".ppm": "PPM", ".pgm": "PPM", ".pnm": "PPM", ".gif": "GIF",
}  # fmt: skip
_WITH_METADATA = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF")
_ORIENTATION = 0x0112


@dataclass
class PictureFile:
    """Samples and metadata of a picture.

    Attributes:
        samples: ``[H, W]`` grey, ``[H, W, 3]`` RGB or ``[H, W, 4]`` RGBA, uint8 or uint16, upright.
        metadata: "icc", "exif", "xmp" and "dpi" (two float64, little endian), as bytes; the orientation in the EXIF has
            been applied and set to 1.
        warnings: sentences on what was dropped.
    """

    samples: np.ndarray
    metadata: dict[str, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class _File(io.BytesIO):
    """The bytes of a file, which messages call a picture."""

    def __str__(self) -> str:
        return "picture"


def read_picture(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> PictureFile:
    """Read a picture as grey, RGB or RGBA of 8 or 16 bits; palettes, CMYK, 1 bit and others are converted.

    Args:
        source: a path, or the bytes of a file.

    The EXIF orientation is applied, so that programs that ignore it show the picture upright too.

    Raises:
        DataError: missing, empty, cut off, not a picture, or more pixels than ``max_pixels``.
    """
    path = _File(source) if isinstance(source, bytes) else Path(source)
    if isinstance(path, Path):
        _check(path)
    with checked_picture(
        path,
        max_pixels=max_pixels,
        hint="make it smaller, or raise the limit (--max-pixels of compress) if you trust the file",
    ) as image:
        notes = _notes(path, image)
        orientation = image.getexif().get(_ORIENTATION, 1)  # read before _metadata sets it to 1
        metadata = _metadata(image)
        deep = _deep_png(path) if image.format == "PNG" else None
        samples = _upright(deep if deep is not None else _samples(path, image), orientation)
    return PictureFile(np.ascontiguousarray(samples), metadata, notes)


def _check(path: Path) -> None:
    if str(path).startswith(("http:", "https:")):
        raise DataError(f"{path}: is an address, and nothing is fetched from the network; download the picture first")
    if not path.exists():
        raise DataError(f"{path}: there is no such file; check the name")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give a picture in it")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty; give a picture")


def _notes(path: Path | _File, image: Any) -> list[str]:
    out = []
    if getattr(image, "n_frames", 1) > 1:
        out.append(f"{path}: holds {image.n_frames} frames; only the first is used")
    if image.mode == "CMYK":
        out.append(f"{path}: is CMYK; it was converted to RGB without its colour profile")
    return out


def _metadata(image: Any) -> dict[str, bytes]:
    out = {}
    icc = image.info.get("icc_profile")
    if isinstance(icc, bytes) and 0 < len(icc) <= MAX_METADATA and image.mode != "CMYK":
        out["icc"] = icc
    xmp = image.info.get("xmp", image.info.get("XML:com.adobe.xmp"))
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    if isinstance(xmp, bytes) and 0 < len(xmp) <= MAX_METADATA:
        out["xmp"] = xmp
    dpi = image.info.get("dpi")
    if isinstance(dpi, tuple) and len(dpi) == 2 and all(0 < float(v) < 1e6 for v in dpi):
        out["dpi"] = struct.pack("<2d", float(dpi[0]), float(dpi[1]))
    exif = image.getexif()
    if exif:
        if _ORIENTATION in exif:
            exif[_ORIENTATION] = 1
        made = exif.tobytes()
        if len(made) <= MAX_METADATA:
            out["exif"] = made
    return out


def _deep_png(path: Path | _File) -> np.ndarray | None:
    """Read a PNG of 16 bits and several channels, which Pillow would reduce to 8; None for all other files."""
    data = path.getvalue() if isinstance(path, _File) else None
    if data is None:
        with path.open("rb") as f:  # type: ignore[union-attr]
            head = f.read(26)
    else:
        head = data[:26]
    if len(head) < 26 or head[24] != 16 or head[25] not in (2, 4, 6):
        return None
    import png

    try:
        reader = png.Reader(filename=str(path)) if data is None else png.Reader(bytes=data)
        width, height, rows, info = reader.asDirect()
        out = np.array([np.asarray(row, np.uint16) for row in rows]).reshape(height, width, info["planes"])
    except (png.Error, EOFError) as error:
        raise DataError(f"{path}: cannot be read as a picture ({error}); give an undamaged PNG") from None
    if out.shape[2] == 2:
        out = out[..., [0, 0, 0, 1]]
    return out


def _samples(path: Path | _File, image: Any) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I"):
        a = np.asarray(image)
        if a.min() < 0 or a.max() > 65535:
            raise DataError(f"{path}: holds integers beyond 0 to 65535; convert it to 8 or 16 bits first")
        # 32 bits of a format that has 8 and 16 too are a program's habit; the values tell the depth
        small = mode == "I" and image.format != "PNG" and a.max() <= 255
        return np.asarray(a.astype(np.uint8 if small else np.uint16))
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
    """Apply an orientation (EXIF 2.3, tag 274)."""
    if orientation in (5, 6, 7, 8):
        a = a.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        a = a[:, ::-1]
    if orientation in (3, 4, 7, 8):
        a = a[::-1]
    return a


def check_picture_suffix(path: Path) -> None:
    """Raise a UsageError if no picture format has this suffix."""
    if path.suffix.lower() not in _WRITTEN:
        raise UsageError(
            f"{path}: cannot write a picture with this suffix; use {', '.join(sorted(s[1:] for s in _WRITTEN))}"
        )


def write_picture(
    path: Path, samples: np.ndarray, metadata: dict[str, bytes] | None = None, **options: Any
) -> list[str]:
    """Write samples in the format of the suffix and return sentences on what the format could not hold.

    PNG keeps 16 bits, as does TIFF for grey; other formats get the upper eight. Transparency is composited on white
    for formats without alpha.

    Raises:
        UsageError: an unknown suffix.
        DataError: the file cannot be written.
    """
    from PIL import Image

    path = Path(path)
    check_picture_suffix(path)
    kind = _WRITTEN[path.suffix.lower()]
    metadata = metadata or {}
    samples, notes = _suited(path, samples, kind)
    extra: dict[str, Any] = dict(options)
    if kind in _WITH_METADATA:
        names = {"icc": "icc_profile", "exif": "exif"} | ({"xmp": "xmp"} if kind in ("JPEG", "WEBP", "AVIF") else {})
        extra |= {key: metadata[name] for name, key in names.items() if name in metadata}
        if len(metadata.get("dpi", b"")) == 16 and kind in ("PNG", "JPEG", "TIFF"):
            extra["dpi"] = struct.unpack("<2d", metadata["dpi"])
    if kind == "JPEG":
        extra.setdefault("quality", 95)
    with atomic_path(path) as temporary:
        if samples.dtype == np.uint16 and samples.ndim == 3:
            _write_deep_png(temporary, samples, metadata)
        else:
            Image.fromarray(samples).save(temporary, kind, **extra)
    return notes


def _suited(path: Path, samples: np.ndarray, kind: str) -> tuple[np.ndarray, list[str]]:
    """Samples that a format can hold, and sentences on what was lost."""
    notes = []
    if samples.dtype == np.uint16 and not (kind == "PNG" or (kind == "TIFF" and samples.ndim == 2)):
        notes.append(f"{path}: {kind} gets 8 of the 16 bits; write PNG to keep them")
        samples = eight_bit(samples)
    if samples.ndim == 3 and samples.shape[2] == 4 and kind in ("JPEG", "PPM", "BMP"):
        notes.append(f"{path}: {kind} has no transparency; it was composited on white")
        samples = on_white(samples)
    return samples, notes


def eight_bit(samples: np.ndarray) -> np.ndarray:
    """Samples of 16 bits reduced to 8; others as they are."""
    return (samples // 257).astype(np.uint8) if samples.dtype == np.uint16 else samples


def on_white(samples: np.ndarray) -> np.ndarray:
    """RGBA samples ``[H, W, 4]`` uint8 composited on white; others as they are."""
    if samples.shape[2] != 4:
        return samples
    alpha = samples[..., 3:].astype(np.float32) / 255
    return np.rint(samples[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


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
        path.write_bytes(data[:33] + chunk + data[33:])  # after the header chunk
