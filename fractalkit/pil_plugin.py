"""Pillow opens and saves ``.fk`` files once this is imported.

import fractalkit.pil_plugin
from PIL import Image

image = Image.open("photo.fk")      # reads the header only
image.draft(None, (3072, 2048))     # decode at this size, larger or smaller; before the first pixel is asked for
image.save("photo.png")
photo.save("small.fk", quality=40)  # or bpp=, bytes=, psnr=, effort=, lossless=True

Colour profiles (if they are of the picture's colour space), EXIF, XMP and dpi are kept. A truncated file raises
OSError; with ``ImageFile.LOAD_TRUNCATED_IMAGES`` it gives as much as it contains. A file holds one picture: of an
animation save each frame.
"""

from __future__ import annotations

import struct
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from fractalkit.codec import container
from fractalkit.errors import DataError, UsageError

_MODES = {(1, 8): "L", (3, 8): "RGB", (4, 8): "RGBA", (1, 16): "I;16", (3, 16): "RGB", (4, 16): "RGBA"}
_OPTIONS = (
    "quality", "bpp", "bytes", "psnr", "effort", "chroma", "deblock", "method", "model", "iterations", "tune",
)  # fmt: skip
_SPACES = (b"RGB ", b"GRAY", b"CMYK", b"Lab ")  # as an ICC profile names them, in bytes 16 to 19


class FkImageFile(ImageFile.ImageFile):
    """A lazily decoded ``.fk`` file; colours of 16 bits come as 8, which is what Pillow has."""

    format = "FK"
    format_description = "FractalKit"

    def _open(self) -> None:
        assert self.fp is not None
        try:
            header = container.read_header(self.fp, str(self.filename or ".fk data"))  # type: ignore[arg-type]
        except DataError as error:
            raise SyntaxError(str(error)) from None
        if header.codec == "cloud":
            raise SyntaxError("a .fk file that holds a cloud, not a picture")
        self._mode = _MODES[header.channels, header.depth]
        self._size = header.width, header.height
        for name, key in (("icc", "icc_profile"), ("exif", "exif"), ("xmp", "xmp")):
            if name in header.metadata:
                self.info[key] = header.metadata[name]
        if len(header.metadata.get("dpi", b"")) == 16:
            self.info["dpi"] = struct.unpack("<2d", header.metadata["dpi"])
        self.tile = []
        self._wanted: tuple[int, int] | None = None
        self._done = False

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:  # type: ignore[override]
        """Decode at ``size`` (width, height), any at all; the mode stays."""
        if size is None or self._done:
            return None
        self._wanted = size
        self._size = size
        return self.mode, (0, 0, float(size[0]), float(size[1]))

    def _name(self) -> str:
        name = self.filename or ".fk data"
        return name.decode(errors="replace") if isinstance(name, bytes) else str(name)

    def load(self) -> Any:
        """Decode, once.

        Raises:
            OSError: a damaged or truncated file; see ``ImageFile.LOAD_TRUNCATED_IMAGES``.
            ValueError: the file was closed before the first pixel was asked for.
        """
        if not self._done:
            from fractalkit import fk

            if self.fp is None or self.fp.closed:
                raise ValueError(f"{self._name()}: the file was closed before it was read; open it again")
            self.fp.seek(0)
            width, height = self._wanted or (None, None)
            try:
                code = fk.load(self.fp.read(), partial=ImageFile.LOAD_TRUNCATED_IMAGES)
                samples = fk.decode(code, height, width)
            except DataError as error:
                raise OSError(str(error).replace(".fk data", self._name(), 1)) from None
            if samples.dtype == np.uint16 and samples.ndim == 3:
                samples = (samples // 257).astype(np.uint8)
            self.im = Image.fromarray(samples).im
            self._done = True
            if (
                self._exclusive_fp and self._close_exclusive_fp_after_loading
            ):  # as Pillow does with files of one picture
                self.fp.close()
        return super().load()


def _save(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Write an image; the options are those of :func:`fractalkit.fk.encode`, and ``lossless``."""
    from fractalkit import fk

    info = dict(getattr(image, "encoderinfo", {}))
    options = {k: info[k] for k in _OPTIONS if info.get(k) is not None}
    if info.get("lossless"):
        options["method"] = "lossless"
    samples = _samples(image)
    try:
        data = fk.encode(samples, metadata=_metadata(image, info, samples), **options).to_bytes()
    except UsageError as error:
        raise ValueError(str(error)) from None
    fp.write(data)


def _save_all(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Write an image of one frame; others are refused, as a file holds one picture."""
    more = list(getattr(image, "encoderinfo", {}).get("append_images") or ())
    frames = getattr(image, "n_frames", 1) + len(more)
    if frames > 1:
        raise OSError(
            f"cannot write {frames} frames as FK, whose files hold one picture; save each frame to its own file"
        )
    _save(image, fp, filename)


def _samples(image: Image.Image) -> np.ndarray:
    """Samples that the codec takes, uint8 or uint16.

    Raises:
        OSError: a mode of floating point, or integers beyond 16 bits.
    """
    if image.mode.startswith("I"):
        a = np.asarray(image)
        if a.min() < 0 or a.max() > 65535:
            raise OSError(f"cannot write mode {image.mode} as FK with values beyond 0 to 65535; convert it to 16 bits")
        return a.astype(np.uint8 if image.mode == "I" and a.max() <= 255 else np.uint16)
    if image.mode == "F":
        raise OSError("cannot write mode F as FK; convert floating point to 8 or 16 bits")
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    keep = image.mode in ("RGB", "RGBA")
    return np.asarray(image if keep else image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _metadata(image: Image.Image, info: dict[str, Any], samples: np.ndarray) -> dict[str, bytes]:
    """Metadata of a save: what was given with it, else what the image has."""

    def of(*keys: str) -> Any:
        return next((held[k] for held in (info, image.info) for k in keys if held.get(k)), None)

    out = {}
    icc, exif, xmp, dpi = of("icc_profile"), of("exif"), of("xmp", "XML:com.adobe.xmp"), of("dpi")
    if icc and (icc[16:20] not in _SPACES or icc[16:20] == (b"GRAY" if samples.ndim == 2 else b"RGB ")):
        out["icc"] = bytes(icc)
    if exif:
        out["exif"] = exif.tobytes() if isinstance(exif, Image.Exif) else bytes(exif)
    if xmp:
        out["xmp"] = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    if dpi and len(dpi) == 2:
        out["dpi"] = struct.pack("<2d", float(dpi[0]), float(dpi[1]))
    return out


Image.register_open(FkImageFile.format, FkImageFile, lambda prefix: prefix[:4] == container.MAGIC)
Image.register_save(FkImageFile.format, _save)
Image.register_save_all(FkImageFile.format, _save_all)
Image.register_extension(FkImageFile.format, ".fk")
Image.register_mime(FkImageFile.format, "image/x-fractalkit")
