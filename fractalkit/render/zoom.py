"""Zooms into whatever has a fixed point: one small interface, a registry of sources, paths of a camera.

A source is anything with ``aspect`` (height over width of the whole) and

    window(x0, y0, x1, y1, width, height) -> uint8 [height, width] or [height, width, 3]

in shares of the whole's width, y down: the whole is 0 … 1 by 0 … aspect. To add a kind of source, append an Opener to
:data:`OPENERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fractalkit.errors import UsageError

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1


class Zoomable(Protocol):
    """What can be looked at closely."""

    @property
    def aspect(self) -> float:
        """Height over width of the whole."""
        ...

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """The part x0 … x1, y0 … y1, in shares of the whole's width."""
        ...


@dataclass(frozen=True)
class CollageWindows:
    """A collage sample (:class:`fractalkit.render.collage.Picture`)."""

    picture: Any
    threads: int | None = None
    aspect: float = 1.0

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """Drawn at full detail; beyond the picture's edge it is black."""
        from fractalkit.render.collage import draw, to_bytes

        total = max(1, round(width / (x1 - x0)))
        left, top = round(x0 * total), round(y0 * total)
        cut = (max(top, 0), max(left, 0), min(top + height, total), min(left + width, total))
        if cut[0] >= cut[2] or cut[1] >= cut[3]:
            return np.zeros((height, width), np.uint8)
        part = to_bytes(draw(self.picture, total, total, window=cut, threads=self.threads))
        if part.shape[:2] == (height, width):
            return part
        out = np.zeros((height, width, *part.shape[2:]), np.uint8)
        out[cut[0] - top : cut[2] - top, cut[1] - left : cut[3] - left] = part
        return out


@dataclass(frozen=True)
class CodeWindows:
    """A picture compressed to a code (``.fk``)."""

    code: Any
    aspect: float

    def deepest(self, width: int) -> float:
        """Magnification beyond which pictures of so many pixels across are interpolated: 64 to a sample."""
        return 64 * self.code.width / width

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """Decoded at full detail; the window has to lie within the picture."""
        from fractalkit import fk

        part = (max(x0, 0.0), max(y0 / self.aspect, 0.0), min(x1, 1.0), min(y1 / self.aspect, 1.0))
        out = np.asarray(fk.decode(self.code, height, width, window=part))
        return np.ascontiguousarray(out)


@dataclass(frozen=True)
class FractalWindows:
    """A photograph made of itself (:func:`fractalkit.fit.fractalize.fractalize`)."""

    code: Any
    aspect: float

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """Drawn at full detail, tiles of tiles of tiles; beyond the picture's edge it is black."""
        from PIL import Image

        from fractalkit.maps.collage import decode, good_size

        # a size that the grid divides often is quick to draw; what is drawn is then made a little smaller
        total = max(1, round(width / (x1 - x0)))
        rows, columns = good_size(self.code, max(1, round(total * self.aspect)), total)
        left, right = round(x0 * columns), round(x1 * columns)
        top, bottom = (round(v / self.aspect * rows) for v in (y0, y1))
        cut = (max(top, 0), max(left, 0), min(bottom, rows), min(right, columns))
        out = np.zeros((max(1, bottom - top), max(1, right - left), self.code.brightness.shape[1]), np.uint8)
        if cut[0] < cut[2] and cut[1] < cut[3]:
            part = (decode(self.code, rows, columns, window=cut)[0].clamp(0, 1) * 255).round().byte()
            out[cut[0] - top : cut[2] - top, cut[1] - left : cut[3] - left] = part.permute(1, 2, 0).numpy()
        return np.asarray(Image.fromarray(out).resize((width, height), Image.Resampling.BOX))


@dataclass(frozen=True)
class FlameWindows:
    """A flame, by moving its camera: constant time, though fewer samples fall into smaller windows."""

    flame: Any
    quality: float = 30.0
    seed: int = 0
    threads: int | None = None

    @property
    def aspect(self) -> float:
        """Height over width."""
        return float(self.flame.size[1] / self.flame.size[0])

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """Drawn by the chaos game."""
        from fractalkit.render.flame import render_flame, to_8_bit

        f = self.flame
        unit = f.size[0] / (f.scale * 2**f.zoom)  # of the plane, across the whole
        turn = math.radians(f.rotate)
        dx, dy = ((x0 + x1) / 2 - 0.5) * unit, ((y0 + y1) / 2 - 0.5 * self.aspect) * unit
        c, s = math.cos(turn), math.sin(turn)
        near = replace(
            f, size=(width, height), scale=width / (unit * (x1 - x0)), zoom=0.0,
            center=(f.center[0] + c * dx + s * dy, f.center[1] - s * dx + c * dy),
        )  # fmt: skip
        return to_8_bit(render_flame(near, quality=self.quality, seed=self.seed, threads=self.threads, batches=1))


@dataclass(frozen=True)
class Opener:
    """How a kind of source is recognised and opened.

    Attributes:
        name: for people.
        fits: whether a source (a path or a name) is of this kind.
        open: the source and the options of the command (palette, quality, seed, threads) to a Zoomable.
    """

    name: str
    fits: Callable[[str], bool]
    open: Callable[..., Zoomable]


OPENERS: list[Opener] = []


def open_source(source: str, **options: Any) -> Zoomable:
    """The Zoomable that a source stands for, by the first Opener that it fits.

    Raises:
        UsageError: none fits.
    """
    for opener in OPENERS:
        if opener.fits(source):
            return opener.open(source, **options)
    raise UsageError(f"{source}: nothing to zoom into; known are {', '.join(o.name for o in OPENERS)}")


def suffix_in(*suffixes: str) -> Callable[[str], bool]:
    """Whether a source's name ends so."""
    return lambda source: Path(source).name.lower().endswith(suffixes)


@dataclass(frozen=True)
class Approach:
    """A camera's way: from the whole to a point, each frame as much nearer than the last.

    Args:
        centre: (x, y) in shares of the whole's width.
        start, depth: magnification of the first and of the last frame.
        frames: how many.
        aspect: height over width of the frames; ``whole`` that of the source.
    """

    centre: tuple[float, float]
    depth: float
    frames: int
    aspect: float
    whole: float = 1.0
    start: float = 1.0

    def __post_init__(self) -> None:
        if not (self.start >= 1 and self.depth > self.start and math.isfinite(self.depth)):
            raise UsageError(f"depth: expected a magnification above {self.start:g}, got {self.depth:g}")
        if self.frames < 1:
            raise UsageError(f"frames: expected 1 or more, got {self.frames}")
        if not (0 <= self.centre[0] <= 1 and 0 <= self.centre[1] <= self.whole):
            raise UsageError(f"at: expected a point of the picture, 0 to 1 and 0 to {self.whole:.4g}")

    def box(self, frame: int) -> Box:
        """The window of a frame, within the whole, the centre moving into the frame's middle as it comes near."""
        share = frame / max(self.frames - 1, 1)
        m = self.start * (self.depth / self.start) ** share
        w = min(1.0, self.whole / self.aspect) / m
        h = w * self.aspect
        x = min(max(self.centre[0] - w / 2, 0.0), 1.0 - w)
        y = min(max(self.centre[1] - h / 2, 0.0), self.whole - h)
        return x, y, x + w, y + h

    def __iter__(self) -> Iterator[Box]:
        return (self.box(k) for k in range(self.frames))


def interesting(source: Zoomable, depth: float, *, side: int = 96) -> tuple[float, float]:
    """A point with something to see all the way down to a magnification: the liveliest sixteenth, again and again.

    Lively is where neighbouring pixels differ most, the middle a little before the edges.
    """
    own = getattr(source, "focus", None)
    if own is not None:
        x, y = own()
        return float(x), float(y)
    h = max(8, round(side * source.aspect))
    box: Box = (0.0, 0.0, 1.0, source.aspect)
    while 1 / (box[2] - box[0]) < 4 * depth:
        level = rgb(source.window(*box, side, h)).astype(np.float64).mean(axis=2)
        edges = np.zeros((h, side))
        edges[:-1] += np.abs(np.diff(level, axis=0))
        edges[:, :-1] += np.abs(np.diff(level, axis=1))
        if not edges.any():
            break
        sums = np.pad(edges.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        dy, dx = h // 4, side // 4
        blocks = sums[dy:, dx:] - sums[:-dy, dx:] - sums[dy:, :-dx] + sums[:-dy, :-dx]
        y, x = np.indices(blocks.shape)
        far = ((y / max(h - dy, 1) - 0.5) ** 2 + (x / max(side - dx, 1) - 0.5) ** 2) * 2
        at = int((blocks * (1 - 0.4 * far)).argmax())
        j, i = divmod(at, blocks.shape[1])
        w = box[2] - box[0]
        x0, y0 = box[0] + w * i / side, box[1] + w * source.aspect * j / h
        box = (x0, y0, x0 + w / 4, y0 + w * source.aspect / 4)
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def rgb(pixels: Pixels) -> Pixels:
    """Grey or colour to colour ``[H, W, 3]``."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., :3])


def _flame(
    source: str, *, quality: float | None = None, seed: int = 0, threads: int | None = None, **_: Any
) -> Zoomable:
    from fractalkit.codes.flame_xml import read_flames

    return FlameWindows(read_flames(Path(source))[0], quality or 30.0, seed, threads)


def _fk(source: str, **_: Any) -> Zoomable:
    from fractalkit import fk

    code = fk.load(source)
    return CodeWindows(code, code.height / code.width)


def _code(
    source: str,
    *,
    palette: npt.NDArray[np.float64] | None = None,
    quality: float | None = None,
    seed: int = 0,
    **_: Any,
) -> Zoomable:
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.presets import preset
    from fractalkit.render.zoom_ifs import IFSWindows

    ifs = AffineIFS.load(source) if Path(source).suffix == ".json" else preset(source)
    return IFSWindows(ifs, palette=palette, quality=quality or 20.0, seed=seed)


OPENERS += [
    Opener("flames (.flame)", suffix_in(".flame", ".flam3"), _flame),
    Opener("compressed pictures (.fk)", suffix_in(".fk"), _fk),
    Opener("codes (.ifs.json) and presets", lambda s: suffix_in(".json")(s) or not Path(s).suffix, _code),
]
