"""``fractalkit enlarge``: a photograph enlarged by its own detail."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import Progress, answer, command_line, only_cpu, warn
from fractalkit.cli.options import (
    PATH,
    detail_option,
    device_option,
    json_option,
    max_pixels_option,
    res_option,
    source_argument,
    window_option,
)
from fractalkit.errors import UsageError
from fractalkit.raster.png import COMMAND_KEY
from fractalkit.raster.view import Region, Size

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from fractalkit.data.pictures import PictureFile

MAX_WHOLE = 1 << 26  # pixels of a picture in memory; larger ones are written in strips
MAX_PIXELS = 1 << 33


@click.command(
    epilog="""\b
Examples:
  fractalkit enlarge photo.jpg                              twice as wide and high: photo.large.png
  fractalkit enlarge photo.jpg --res 4x --detail 2 -o rich.png
  fractalkit enlarge photo.jpg --res 1920 --detail 0 -o plain.jpg      the smoothest, without detail of its own
  fractalkit enlarge photo.jpg --res 8x --window 40%,30%,60%,50% -o part.png

Averaged back to its size, the result is the photograph itself, whatever the detail."""
)
@source_argument("source", type=PATH)
@click.option("-o", "--out", type=PATH, help="Output picture.  [default: SOURCE.large.png]")
@res_option("2x", times=True)
@window_option
@detail_option(1.0)
@device_option("cpu", "gpu", "cuda", "mps", told="Where to draw; only the CPU can.")
@max_pixels_option
@json_option
@click.pass_context
def enlarge(
    ctx: click.Context, source: Path, out: Path | None, res: Size | None, window: Region | None, detail: float,
    device: str, max_pixels: int, as_json: bool,
) -> None:  # fmt: skip
    """Enlarge SOURCE, a photograph, with detail copied from its own coarser scales."""
    from fractalkit.data.pictures import check_picture_suffix, read_picture
    from fractalkit.files import check_writable
    from fractalkit.fit.enlargement import enlarged_rows

    if source.suffix.lower() == ".fk":
        raise UsageError(f"{source}: is a compressed picture; use fractalkit decompress with --res and --detail")
    only_cpu(device, "pictures are enlarged")
    size = res or Size.parse("2x")
    out = out or Path(f"{source.stem}.large.png")
    check_picture_suffix(out)
    check_writable(out)
    if out.resolve() == source.resolve():
        raise UsageError(f"{out}: input and output are the same file; give another --out")
    began = time.perf_counter()
    picture = read_picture(source, max_pixels=max_pixels)
    h, w = picture.samples.shape[:2]
    width, height = size.pixels((w, h), scales=True)
    box = None if window is None else window.pixels((width, height))
    left, top, right, bottom = box or (0, 0, width, height)
    shape = (bottom - top, right - left)
    if shape[0] * shape[1] > MAX_PIXELS:
        raise UsageError(
            f"--res {size}: {shape[1]:,} x {shape[0]:,} pixels are more than {MAX_PIXELS:,}; ask for fewer"
        )
    if shape[0] * shape[1] > MAX_WHOLE and out.suffix.lower() != ".png":
        raise UsageError(f"{out}: pictures of more than {MAX_WHOLE:,} pixels are written as PNG; end the name in .png")
    rows = enlarged_rows(picture.samples, height, width, detail=detail, window=box)
    notes = picture.warnings + _write(out, rows, shape, picture, command_line(ctx))
    for note in notes:
        warn(note)
    result: dict[str, Any] = {
        "source": str(source), "out": str(out), "width": shape[1], "height": shape[0], "detail": detail,
        "seconds": round(time.perf_counter() - began, 3), "warnings": notes,
    }  # fmt: skip
    answer(result, as_json, f"{out}: {shape[1]} x {shape[0]}, detail {detail:g}, {result['seconds']:.2f} s")


def _write(
    out: Path, rows: Iterator[np.ndarray], shape: tuple[int, int], picture: PictureFile, command: str
) -> list[str]:
    """Write strips; a picture of more than ``MAX_WHOLE`` pixels is never whole in memory."""
    import numpy as np

    from fractalkit.data.pictures import write_picture
    from fractalkit.render.rows_png import PngRows

    progress = Progress()
    samples, strips, done = picture.samples, [], 0
    if shape[0] * shape[1] <= MAX_WHOLE:
        for strip in rows:
            strips.append(strip)
            done += len(strip)
            progress("enlarging", done / shape[0])
        progress.clear()
        return write_picture(out, np.concatenate(strips), picture.metadata)
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    texts = {COMMAND_KEY: command, "software": "FractalKit"}
    bits = 8 * samples.dtype.itemsize
    with PngRows(out, shape[1], shape[0], channels=channels, text=texts, bits=bits) as png:
        for strip in rows:
            png.write(strip)
            done += len(strip)
            progress("writing", done / shape[0])
    progress.clear()
    return []
