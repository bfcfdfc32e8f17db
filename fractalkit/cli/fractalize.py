"""``fractalkit fractalize``: a photograph made of small copies of itself, or of another."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import Progress, answer, command_line, pick_tensors, warn
from fractalkit.cli.options import (
    PATH,
    Real,
    Whole,
    device_option,
    json_option,
    max_pixels_option,
    res_option,
    source_argument,
)
from fractalkit.errors import UsageError
from fractalkit.raster.png import COMMAND_KEY
from fractalkit.raster.view import Size

if TYPE_CHECKING:
    from torch import Tensor

MAX_WHOLE = 1 << 26  # pixels of a picture drawn in memory; larger ones are written in strips
MAX_PIXELS = 1 << 33


@click.command(
    epilog="""\b
Examples:
  fractalkit fractalize photo.jpg                          photo.fractal.png
  fractalkit fractalize photo.jpg --tiles 64 --texture 0.7 --res 4096 -o wall.png
  fractalkit fractalize photo.jpg --blend 0 -o mosaic.png          flat tiles
  fractalkit fractalize face.jpg --style romanesco.jpg --self-weight 0 -o face_of_romanesco.png
  fractalkit fractalize photo.jpg --depth 1                tiles that end in the photograph
  fractalkit fractalize photo.jpg --res 30000 -o poster.png --code photo.safetensors

Every tile shows the whole picture, whose tiles show it again, at every depth."""
)
@source_argument("source", type=PATH)
@click.option("-o", "--out", type=PATH, help="PNG.  [default: SOURCE.fractal.png]")
@click.option("--tiles", type=Whole(2, 256), default=48, help="Tiles along each side.")
@click.option("--texture", type=Real(0, 0.9), default=0.5, metavar="X", help="Contrast of the copies within the tiles.")
@click.option(
    "--blend", type=Real(0, 1), default=0.5, metavar="X",
    help="0 for flat tiles, 1 for tiles that follow the picture's shades.",
)  # fmt: skip
@click.option("--depth", type=Whole(0, 8), default=0, help="Depth of tiles within tiles; 0 for the fixed point.")
@click.option("--iterations", type=Whole(0, 100), default=4, help="Iterations that correct the colours.")
@click.option("--style", type=PATH, help="Another picture for the tiles to show.")
@click.option("--self-weight", type=Real(0), default=1.0, metavar="X")
@click.option("--style-weight", type=Real(0), default=1.0, metavar="X")
@click.option("--turn", type=Whole(0, 3), default=0, help="Quarter turns of the style.")
@click.option("--flip", is_flag=True, help="Mirror the style.")
@res_option("1440", times=True)
@click.option("--code", type=PATH, help="Also write the collage, as .safetensors.")
@click.option("--seed", type=int, hidden=True, expose_value=False)
@device_option(
    "cpu", "gpu", "cuda", "mps", told="Where to draw, with tensors: gpu, which is WebGPU, cannot; auto is the CPU."
)
@max_pixels_option
@json_option
@click.pass_context
def fractalize(
    ctx: click.Context, source: Path, out: Path | None, tiles: int, texture: float, blend: float, depth: int,
    iterations: int, style: Path | None, self_weight: float, style_weight: float, turn: int, flip: bool,
    res: Size | None, code: Path | None, device: str, max_pixels: int, as_json: bool,
) -> None:  # fmt: skip
    """Draw SOURCE, a photograph, as a mosaic of copies of itself."""
    from fractalkit.files import check_writable
    from fractalkit.fit.tiling import Style, judge
    from fractalkit.fit.tiling import fractalize as fit

    where = pick_tensors(device, "fractalize draws")
    size = res or Size.parse("1440")
    out = out or Path(f"{source.stem}.fractal.png")
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: pictures of this command are PNG; give a name that ends in .png")
    if code is not None and code.suffix.lower() != ".safetensors":
        raise UsageError(f"--code {code}: give a name that ends in .safetensors")
    for path in (out, code):
        if path is not None:
            check_writable(path)
    if out.resolve() == source.resolve():
        raise UsageError(f"{out}: input and output are the same file; give another --out")
    began = time.perf_counter()
    picture = _load(source, max_pixels)
    other = Style(_load(style, max_pixels), style_weight, turn, flip) if style is not None else None
    h, w = picture.shape[1:]
    width, height = size.pixels((w, h), scales=True)
    if width * height > MAX_PIXELS:
        raise UsageError(f"--res {size}: {width:,} x {height:,} pixels are more than {MAX_PIXELS:,}; ask for fewer")
    if depth and width * height > MAX_WHOLE:
        raise UsageError(f"--depth: is limited to pictures of {MAX_WHOLE:,} pixels; leave it out or ask for fewer")
    made = fit(
        picture, tiles, texture=texture, blend=blend, iterations=iterations, style=other, self_weight=self_weight
    )
    fitted = time.perf_counter() - began
    texts = {COMMAND_KEY: command_line(ctx), "software": "FractalKit"}
    height, width = _write(out, made.to(device=where), height, width, depth, picture.to(where), texts)
    if code is not None:
        made.save(code)
    scores = judge(made, picture)
    result: dict[str, Any] = {
        "source": str(source), "out": str(out), "width": width, "height": height, "tiles": tiles,
        "lipschitz": float(made.lipschitz()[0]), **{k: round(v, 4) for k, v in scores.items()},
        "fit_seconds": round(fitted, 3), "seconds": round(time.perf_counter() - began, 3),
    }  # fmt: skip
    text = (
        f"{out}: {width} x {height}, {tiles} x {tiles} tiles; SSIM from a distance {scores['ssim']:.3f}, "
        f"correlation of tiles and picture {scores['correlation']:.2f}; {result['seconds']:.1f} s"
    )
    answer(result, as_json, text)


def _load(path: Path, max_pixels: int) -> Tensor:
    import numpy as np
    import torch

    from fractalkit.data.pictures import read_picture

    read = read_picture(path, max_pixels=max_pixels)
    for note in read.warnings:
        warn(note)
    a = read.samples.astype(np.float32) / np.iinfo(read.samples.dtype).max
    if a.ndim == 2:
        a = np.repeat(a[..., None], 3, -1)
    if a.shape[2] == 4:
        a = a[..., :3] * a[..., 3:] + 1 - a[..., 3:]  # on white
    return torch.from_numpy(np.ascontiguousarray(a.transpose(2, 0, 1)))


def _write(
    out: Path, code: Any, height: int, width: int, depth: int, picture: Tensor, text: dict[str, str]
) -> tuple[int, int]:
    """Write the picture and return its size; large ones are rounded up to whole tiles and written in strips."""
    from fractalkit.fit.tiling import draw
    from fractalkit.maps.collage import strips, valid_size
    from fractalkit.render.rows_png import PngRows

    if height * width <= MAX_WHOLE:
        pieces = iter([(0, draw(code, height, width, depth=depth, picture=picture)[None])])
    else:
        height, width = valid_size(code, height, width)
        pieces = strips(code, height, width)
    progress = Progress()
    with PngRows(out, width, height, channels=3, text=text) as png:
        for y0, piece in pieces:
            png.write((255 * piece[0].clamp(0, 1)).round().byte().permute(1, 2, 0).contiguous().cpu().numpy())
            progress("writing", (y0 + piece.shape[2]) / height)
    progress.clear()
    return height, width
