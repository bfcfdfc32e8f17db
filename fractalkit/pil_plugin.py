"""Pillow opens and saves ``.fk`` files once this is imported.

import fractalkit.pil_plugin
from PIL import Image

image = Image.open("photo.fk")      # reads the header only
image.draft(None, (3072, 2048))     # decode at this size, larger or smaller; before the first pixel is asked for
image.save("photo.png")
photo.save("small.fk", quality=40)  # or bpp=, bytes=, psnr=, effort=
"""

from __future__ import annotations

from typing import IO, Any

from PIL import Image, ImageFile

from fractalkit.codec import container
from fractalkit.errors import DataError

_MODES = {(1, 8): "L", (3, 8): "RGB", (4, 8): "RGBA", (1, 16): "I;16", (3, 16): "RGB", (4, 16): "RGBA"}


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
        self._mode = _MODES[header.channels, header.depth]
        self._size = header.width, header.height
        if "icc" in header.metadata:
            self.info["icc_profile"] = header.metadata["icc"]
        if "exif" in header.metadata:
            self.info["exif"] = header.metadata["exif"]
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

    def load(self) -> Any:
        """Decode, once."""
        if not self._done:
            import numpy as np

            from fractalkit import fk

            assert self.fp is not None
            self.fp.seek(0)
            code = fk.load(self.fp.read())
            width, height = self._wanted or (None, None)
            samples = fk.decode(code, height, width)
            if samples.dtype == np.uint16 and samples.ndim == 3:
                samples = (samples // 257).astype(np.uint8)
            self.im = Image.fromarray(samples).im
            self._done = True
        return super().load()


def _save(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    import numpy as np

    from fractalkit import fk

    info = image.encoderinfo
    options = {
        k: info[k]
        for k in ("quality", "bpp", "bytes", "psnr", "effort", "chroma", "deblock", "method", "model", "iterations")
        if k in info
    }
    if image.mode.startswith("I"):
        samples = np.asarray(image).clip(0, 65535).astype(np.uint16)
    else:
        keep = image.mode if image.mode in ("L", "RGB", "RGBA") else ("RGBA" if image.has_transparency_data else "RGB")
        samples = np.asarray(image.convert("L" if image.mode == "1" else keep))
    metadata = {}
    icc, exif = info.get("icc_profile", image.info.get("icc_profile")), info.get("exif", image.info.get("exif"))
    if icc:
        metadata["icc"] = icc
    if exif:
        metadata["exif"] = exif.tobytes() if isinstance(exif, Image.Exif) else exif
    fp.write(fk.encode(samples, metadata=metadata, **options).to_bytes())


Image.register_open(FkImageFile.format, FkImageFile, lambda prefix: prefix[:4] == container.MAGIC)
Image.register_save(FkImageFile.format, _save)
Image.register_extension(FkImageFile.format, ".fk")
Image.register_mime(FkImageFile.format, "image/x-fractalkit")
