"""Windows of pictures at any magnification: one interface, and its implementation for each kind of code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fractalkit.codec.cloud_file import CloudCode
from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.codes.collage import CollageCode
from fractalkit.codes.flame import Flame
from fractalkit.codes.open import kind_of, load
from fractalkit.errors import UsageError
from fractalkit.models.sampling import Sampler
from fractalkit.raster.part import Part
from fractalkit.raster.picture import Picture

Pixels = npt.NDArray[np.uint8]


class Zoomable(Protocol):
    """A picture of which windows can be drawn at any magnification."""

    @property
    def aspect(self) -> float:
        """Height over width of the picture."""
        ...

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """Draw the window x0 … x1, y0 … y1, in shares of the picture's width, y down."""
        ...


@dataclass(frozen=True)
class CollageWindows:
    """A collage sample (:class:`fractalkit.models.mean_picture.MeanPicture`)."""

    picture: Any
    threads: int | None = None
    aspect: float = 1.0

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """Draw at full detail; black beyond the picture's edge."""
        from fractalkit.models.mean_picture import draw, to_bytes

        total = max(1, round(width / (x1 - x0)))
        left, top = round(x0 * total), round(y0 * total)
        cut = (max(left, 0), max(top, 0), min(left + width, total), min(top + height, total))
        if cut[0] >= cut[2] or cut[1] >= cut[3]:
            return np.zeros((height, width), np.uint8)
        part = to_bytes(draw(self.picture, total, total, window=cut, threads=self.threads))
        if part.shape[:2] == (height, width):
            return part
        out = np.zeros((height, width, *part.shape[2:]), np.uint8)
        out[cut[1] - top : cut[3] - top, cut[0] - left : cut[2] - left] = part
        return out


@dataclass(frozen=True)
class CodeWindows:
    """A picture compressed to a code (``.fk``)."""

    code: Any
    aspect: float

    def deepest(self, width: int) -> float:
        """Magnification beyond which a picture of this width is interpolated: 64 pixels per sample."""
        return 64 * self.code.width / width

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """Decode at full detail; the window must lie within the picture."""
        from fractalkit import fk

        part = (max(x0, 0.0), max(y0 / self.aspect, 0.0), min(x1, 1.0), min(y1 / self.aspect, 1.0))
        asked = Part.of_shares((self.code.width, self.code.height), part, height, width)
        return np.ascontiguousarray(fk.decode_part(self.code, asked))


@dataclass(frozen=True)
class FractalWindows:
    """A photograph made of itself (:func:`fractalkit.fit.tiling.fractalize`)."""

    code: Any
    aspect: float

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """Draw at full detail, tiles within tiles; black beyond the picture's edge."""
        from PIL import Image

        from fractalkit.maps.collage import decode, good_size

        # sizes that the grid divides often are fast to draw; the result is then reduced a little
        total = max(1, round(width / (x1 - x0)))
        rows, columns = good_size(self.code, max(1, round(total * self.aspect)), total)
        left, right = round(x0 * columns), round(x1 * columns)
        top, bottom = (round(v / self.aspect * rows) for v in (y0, y1))
        cut = (max(left, 0), max(top, 0), min(right, columns), min(bottom, rows))
        out = np.zeros((max(1, bottom - top), max(1, right - left), self.code.brightness.shape[1]), np.uint8)
        if cut[0] < cut[2] and cut[1] < cut[3]:
            part = (decode(self.code, rows, columns, window=cut)[0].clamp(0, 1) * 255).round().byte()
            out[cut[1] - top : cut[3] - top, cut[0] - left : cut[2] - left] = part.permute(1, 2, 0).numpy()
        out = out[..., 0] if out.shape[2] == 1 else out
        return np.asarray(Image.fromarray(out).resize((width, height), Image.Resampling.BOX))


def open_source(source: str | Path, **options: Any) -> Zoomable:
    """Open a code, a model by name, or a photograph, which is fractalized first.

    Args:
        source: a file, or the name of a preset or of a model.
        options: palette ``[256, 3]``, quality, seed, threads and device, for the kinds that know them.

    Raises:
        DataError: a file that is missing, damaged, or neither a code nor a picture.
        UsageError: a code that has no windows.
    """
    from fractalkit.data.pictures import SUFFIXES

    if Path(source).suffix.lower() in SUFFIXES and kind_of(source) is None:
        from fractalkit.data.pictures import read_picture

        return _photograph(read_picture(Path(source)).samples)
    try:
        return windows_of(load(source), **options)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error


@singledispatch
def windows_of(code: Any, **options: Any) -> Zoomable:
    """The windows of a code or a model; a new kind registers itself with ``windows_of.register``.

    Args:
        options: palette ``[256, 3]``, quality, seed, threads and device, for the kinds that know them.

    Raises:
        UsageError: a kind that has none.
    """
    if not hasattr(code, "width"):
        raise UsageError(f"a {type(code).__name__} has no windows to zoom into")
    return CodeWindows(code, code.height / code.width)


@windows_of.register
def _(
    code: AffineIFS, *, palette: Any = None, quality: float | None = None, seed: int = 0, device: str = "cpu", **_: Any
) -> Zoomable:
    if code.dim == 3:
        return windows_of(CloudCollage.of(code), quality=quality, seed=seed, device=device)
    from fractalkit.render.zoom_ifs import IFSWindows

    return IFSWindows(code, palette=palette, quality=quality or 20.0, seed=seed, device=device)


@windows_of.register
def _(code: CloudCode, **options: Any) -> Zoomable:
    return windows_of(code.collage, **options)


@windows_of.register
def _(code: CloudCollage, *, quality: float | None = None, seed: int = 0, device: str = "cpu", **_: Any) -> Zoomable:
    from fractalkit.render.zoom_cloud import CloudWindows

    return CloudWindows(code, quality=quality, seed=seed, device=device)


@windows_of.register
def _(
    code: Flame, *, quality: float | None = None, seed: int = 0, threads: int | None = None,
    device: str | None = None, **_: Any,
) -> Zoomable:  # fmt: skip
    from fractalkit.render.zoom_flame import FlameWindows

    return FlameWindows(code, quality or 12.0, seed, threads, device)


@windows_of.register
def _(code: CollageCode, **_: Any) -> Zoomable:
    return FractalWindows(code, code.grid[0] / code.grid[1])


@windows_of.register
def _(code: Sampler, *, seed: int = 0, threads: int | None = None, **_: Any) -> Zoomable:
    import torch

    from fractalkit.models.sampling import pictures

    if not code.any_size:
        raise UsageError(f"{type(code).__name__}: draws one size only, so there is nothing to zoom into")
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # small layers are slower on several threads
    try:
        return CollageWindows(pictures(code, [seed], detail=1.0)[0], threads)
    finally:
        torch.set_num_threads(before)


@windows_of.register
def _(code: Picture, **options: Any) -> Zoomable:
    return _photograph(code.eight_bit()) if code.code is None else windows_of(code.code, **options)


def _photograph(samples: npt.NDArray[Any]) -> Zoomable:
    import torch

    from fractalkit.data.crops import rgb
    from fractalkit.fit.tiling import fractalize

    a = rgb(samples)
    code = fractalize(torch.from_numpy(a.copy()).permute(2, 0, 1) / 255)
    return FractalWindows(code, a.shape[0] / a.shape[1])
