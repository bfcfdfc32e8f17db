"""Collages of dropped photographs, and ``.fk`` files: any part of the picture at any size, as sliders are pulled."""

from __future__ import annotations

import math
import tempfile
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.errors import DataError, FractalKitError
from fractalkit.studio.drawing import jpeg

MAX_PIXELS = 1 << 26
STORED = 2_000_000  # pixels that a photograph keeps for its tiles
MAX_ZOOM = 1 << 14
MAX_SHOWN = 2_500_000  # pixels of a picture for the page
DEEP_ZOOM = 4.0  # of tiles that end in the photograph, which are drawn whole


@dataclass(frozen=True)
class Wish:
    """A collage's options, as :func:`fractalkit.fit.fractalize` has them; ``style``: another photograph, or None."""

    tiles: int = 48
    texture: float = 0.5
    blend: float = 0.5
    depth: int = 0
    style: Photo | None = None
    own: float = 1.0
    turn: int = 0
    flip: bool = False


@dataclass(eq=False)
class Photo:
    """A photograph ``[3, H, W]`` in [0, 1] as a tensor, or the code of a ``.fk`` file; the last collage is kept."""

    name: str
    width: int
    height: int
    pixels: Any = None
    code: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    last: tuple[Wish | None, Any] = (None, None)

    def facts(self) -> dict[str, Any]:
        """What the page is told."""
        return {
            "name": self.name, "width": self.width, "height": self.height, "kind": "fk" if self.code else "photo",
            "detail": self.code is not None,
        }  # fmt: skip

    def collage(self, wish: Wish) -> Any:
        """The code of the collage."""
        from fractalkit.fit.tiling import Style, fractalize

        with self.lock:
            if self.last[0] != wish:
                style = None if wish.style is None else Style(wish.style.pixels, 1.0, wish.turn, wish.flip)
                made = fractalize(
                    self.pixels, wish.tiles, texture=wish.texture, blend=wish.blend, style=style,
                    self_weight=wish.own if style else 1.0,
                )  # fmt: skip
                self.last = (wish, made)
            return self.last[1]


def read_photo(data: bytes, name: str) -> Photo:
    """A dropped photograph or ``.fk`` file.

    Raises:
        DataError: neither; the sentence begins with the file's name.
    """
    suffix = Path(name).suffix.lower()
    with tempfile.TemporaryDirectory(prefix="fractalkit-studio-") as folder:
        path = Path(folder) / f"file{suffix[:8]}"
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _stored(data, name) if suffix == ".fk" else _photo(path, name)
        except FractalKitError as error:
            text = str(error).replace(str(path), name).replace(".fk data", name)
            raise DataError(text if text.startswith(name) else f"{name}: {text}") from None


def _stored(data: bytes, name: str) -> Photo:
    from fractalkit import fk

    code = fk.load(data, max_pixels=MAX_PIXELS)
    if not hasattr(code, "width"):
        raise DataError(f"{name}: holds a cloud; `fractalkit decompress` writes its points, which can be fitted here")
    return Photo(name, code.width, code.height, code=code)


def _photo(path: Path, name: str) -> Photo:
    import torch

    from fractalkit.data.pictures import read_picture
    from fractalkit.raster.area import area_means

    samples = read_picture(path, max_pixels=MAX_PIXELS).samples
    a = samples.astype(np.float32) / np.iinfo(samples.dtype).max
    a = np.repeat(a[..., None], 3, -1) if a.ndim == 2 else a
    a = a[..., :3] * a[..., 3:] + 1 - a[..., 3:] if a.shape[2] == 4 else a  # on white
    x = torch.from_numpy(np.ascontiguousarray(a.transpose(2, 0, 1)))
    h, w = x.shape[1:]
    if min(h, w) < 8:
        raise DataError(f"{name}: {w} x {h} pixels are too few for a collage")
    k = min(1.0, math.sqrt(STORED / (w * h)))
    small = x if k == 1 else area_means(x, max(8, round(h * k)), max(8, round(w * k))).float()
    return Photo(name, w, h, pixels=small)


@dataclass(frozen=True)
class CollageView:
    """A part of the picture: its centre as a share of the sides, the magnification, and its size in pixels."""

    centre: tuple[float, float] = (0.5, 0.5)
    zoom: float = 1.0
    size: tuple[int, int] = (900, 600)

    def window(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The part as (left, top, right, bottom) of a picture of so many pixels."""
        w, h = max(1, min(width, round(width / self.zoom))), max(1, min(height, round(height / self.zoom)))
        left = min(max(round(self.centre[0] * width - w / 2), 0), width - w)
        top = min(max(round(self.centre[1] * height - h / 2), 0), height - h)
        return left, top, left + w, top + h


def shown(photo: Photo, look: CollageView, wish: Wish, detail: float | None) -> bytes:
    """The part of a collage, or of a ``.fk`` file's picture, as JPEG."""
    if wish.depth and photo.code is None:
        look = replace(look, zoom=min(look.zoom, DEEP_ZOOM))
    w, h = (max(16, round(s * look.zoom)) for s in look.size)
    if photo.code is not None:
        from fractalkit import fk

        made = fk.decode(photo.code, h, w, window=look.window(w, h), detail=detail)
        return jpeg(_rgb8(np.asarray(made)), 92)
    from fractalkit.fit.tiling import draw
    from fractalkit.maps.collage import decode, good_size

    code = photo.collage(wish)
    if wish.depth:
        whole = draw(code, h, w, depth=wish.depth, picture=photo.pixels)
        left, top, right, bottom = look.window(w, h)
        part = whole[:, top:bottom, left:right]
    else:
        h, w = good_size(code, h, w)  # a little larger, and so is the part
        part = decode(code, h, w, window=look.window(w, h))[0].clamp(0, 1)
    return jpeg(_bytes(part), 92)


def _bytes(part: Any) -> npt.NDArray[np.uint8]:
    made: npt.NDArray[np.uint8] = (255 * part).round().byte().permute(1, 2, 0).contiguous().numpy()
    return made


def _rgb8(samples: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    x = samples if samples.ndim == 3 else samples[..., None]
    x = (x >> 8).astype(np.uint8) if x.dtype == np.uint16 else x.astype(np.uint8)
    if x.shape[2] == 1:
        x = np.repeat(x, 3, axis=2)
    return np.ascontiguousarray(x[..., :3])


def write_collage(
    photo: Photo, wish: Wish, size: tuple[int, int], path: Path, say: Callable[[str, float], None]
) -> None:
    """Write a whole collage as a PNG of about ``size`` (width, height); whole tiles, in strips."""
    from fractalkit.fit.tiling import draw
    from fractalkit.maps.collage import strips, valid_size
    from fractalkit.render.rows_png import PngRows

    say("makes the code", 0.0)
    code = photo.collage(wish)
    height, width = valid_size(code, size[1], size[0])
    if wish.depth:
        pieces = iter([(0, draw(code, height, width, depth=wish.depth, picture=photo.pixels)[None])])
    else:
        pieces = strips(code, height, width)
    with PngRows(path, width, height, channels=3, text={"software": "FractalKit"}) as png:
        for top, piece in pieces:
            png.write(_bytes(piece[0].clamp(0, 1)))
            say("draws", (top + piece.shape[2]) / height)
