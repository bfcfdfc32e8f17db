"""Write mean pictures to files: one, a sheet of many, or an animation. Files are replaced atomically."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fractalkit.errors import UsageError
from fractalkit.files import atomic_path
from fractalkit.models.mean_picture import MeanPicture, Means, Still, Window, draw, rows, to_bytes
from fractalkit.render.rows_png import PngRows

Pixels = NDArray[np.uint8]
ANIMATED = (".gif", ".png", ".webp")


@dataclass(frozen=True)
class View:
    """The part of a picture to draw, and how to draw it.

    Attributes:
        height, width: of the whole picture, in pixels.
        window: (left, top, right, bottom) in these pixels; None for the whole picture.
        binarize: draw the likelier value of each pixel, black or white, instead of the mean.
        invert: draw dark on light.
    """

    height: int
    width: int
    window: Window | None = None
    binarize: bool = False
    invert: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the part."""
        left, top, right, bottom = self.window or (0, 0, self.width, self.height)
        return bottom - top, right - left

    def strips(
        self, picture: MeanPicture | Still, *, threads: int | None = None, engine: str = "auto"
    ) -> Generator[Pixels]:
        """Draw strips of 8-bit rows from the top, ``[n, W]`` or ``[n, W, 3]``."""
        means: Iterable[Means] = rows(
            picture, self.height, self.width, window=self.window, threads=threads, engine=engine
        )
        for strip in means:
            yield to_bytes(strip, binarize=self.binarize, invert=self.invert)

    def pixels(self, picture: MeanPicture | Still, *, threads: int | None = None) -> Pixels:
        """Draw the whole part, ``[H, W]`` or ``[H, W, 3]``."""
        means = draw(picture, self.height, self.width, window=self.window, threads=threads)
        return to_bytes(means, binarize=self.binarize, invert=self.invert)


def save_picture(
    picture: MeanPicture | Still, path: Path, view: View, *, text: Mapping[str, str] | None = None,
    threads: int | None = None, progress: Callable[[str, float], None] | None = None,
) -> None:  # fmt: skip
    """Write a PNG in the memory of a few rows.

    Args:
        progress: called with "draw" and the fraction done.

    Raises:
        DataError: the file cannot be written.
    """
    height, width = view.shape
    strips = view.strips(picture, threads=threads)
    first = next(strips)
    with PngRows(path, width, height, channels=_channels(first), text=text) as png, contextlib.closing(strips):
        png.write(first)
        for strip in strips:
            png.write(strip)
            if progress is not None:
                progress("draw", png.done / height)


def save_pictures(
    pictures: Sequence[MeanPicture | Still], paths: Sequence[Path], view: View, texts: Sequence[Mapping[str, str]], *,
    threads: int | None = None, progress: Callable[[str, float], None] | None = None,
) -> None:  # fmt: skip
    """Write PNGs in parallel; after an error, files already finished are kept."""
    threads = threads or torch.get_num_threads()
    if len(pictures) < threads or threads == 1:
        for k, (picture, path, text) in enumerate(zip(pictures, paths, texts, strict=True)):
            each = progress if len(pictures) == 1 else None
            save_picture(picture, path, view, text=text, threads=threads, progress=each)
            if progress is not None:
                progress("draw", (k + 1) / len(pictures))
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="pictures") as pool:
        jobs = [
            pool.submit(save_picture, picture, path, view, text=text, threads=1)
            for picture, path, text in zip(pictures, paths, texts, strict=True)
        ]
        try:
            for k, job in enumerate(jobs):
                job.result()
                if progress is not None:
                    progress("draw", (k + 1) / len(jobs))
        except BaseException:
            for job in jobs:
                job.cancel()
            raise


def sheet_shape(n: int) -> tuple[int, int]:
    """Rows and columns of a sheet of n pictures, nearly square.

    >>> sheet_shape(16), sheet_shape(10), sheet_shape(2)
    ((4, 4), (3, 4), (1, 2))
    """
    columns = int(np.ceil(np.sqrt(n)))
    return -(-n // columns), columns


def save_sheet(
    pictures: Sequence[MeanPicture | Still], path: Path, view: View, *, text: Mapping[str, str] | None = None,
    threads: int | None = None,
) -> None:  # fmt: skip
    """Write all pictures on one sheet, row by row, in the memory of a few rows of each."""
    down, across = sheet_shape(len(pictures))
    height, width = view.shape
    empty = 255 if view.invert else 0
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(threads or torch.get_num_threads(), thread_name_prefix="sheet"))
        png = None
        for i in range(down):
            some = [view.strips(p, threads=1) for p in pictures[i * across : (i + 1) * across]]
            done = 0
            while done < height:
                tiles = list(pool.map(next, some))
                if png is None:
                    png = stack.enter_context(
                        PngRows(path, width * across, height * down, channels=_channels(tiles[0]), text=text)
                    )
                blank = np.full_like(tiles[0], empty)
                png.write(np.concatenate(tiles + [blank] * (across - len(tiles)), axis=1))
                done += len(tiles[0])


def save_animation(frames: Iterable[Pixels], path: Path, *, fps: float, text: Mapping[str, str] | None = None) -> None:
    """Write an endless GIF, animated PNG or WebP.

    Raises:
        UsageError: another suffix.
        DataError: the file cannot be written.
    """
    from PIL import Image, PngImagePlugin

    kind = path.suffix.lower()
    if kind not in ANIMATED:
        raise UsageError(f"{path}: an animation is a {', '.join(ANIMATED)} file, or frames named with {{frame}}")
    images: Iterator[Image.Image] = (Image.fromarray(f) for f in frames)
    first = next(images)
    options: dict[str, Any] = {"append_images": images}
    if kind == ".gif":
        options["comment"] = "; ".join(f"{k}={v}" for k, v in (text or {}).items()).encode()[:255]
    elif kind == ".png":
        info = PngImagePlugin.PngInfo()
        for key, value in (text or {}).items():
            info.add_itxt(key, value, zip=True)
        options["pnginfo"] = info
        options["append_images"] = list(images)  # Pillow reads them twice
    with atomic_path(path) as temporary:
        first.save(temporary, kind[1:].upper(), save_all=True, duration=1000 / fps, loop=0, **options)


def _channels(pixels: Pixels) -> int:
    return 1 if pixels.ndim == 2 else pixels.shape[2]
