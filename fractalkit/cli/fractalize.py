"""``fractalkit fractalize``: a photograph made of itself, or of another."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import COMMAND_KEY, Progress, command_line, emit
from fractalkit.cli.decompress import parse_res
from fractalkit.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

MAX_WHOLE = 1 << 26  # pixels of a drawing that is held in memory; larger ones are written strip by strip
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

Every tile shows the whole picture, and each of its parts does so again, at every depth."""
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="PNG.  [default: SOURCE.fractal.png]")
@click.option("--tiles", type=click.IntRange(2, 256), default=48, show_default=True, help="Along each side.")
@click.option(
    "--texture", type=click.FloatRange(0, 0.9), default=0.5, show_default=True, metavar="X",
    help="Contrast of the tiles: more of them, or more of the picture.",
)  # fmt: skip
@click.option(
    "--blend", type=click.FloatRange(0, 1), default=0.5, show_default=True, metavar="X",
    help="0 flat tiles, 1 tiles that follow the picture's shades.",
)  # fmt: skip
@click.option("--depth", type=click.IntRange(0, 8), default=0, show_default=True, help="Tiles of tiles; 0 for ever.")
@click.option(
    "--iterations", type=click.IntRange(0, 100), default=4, show_default=True, help="Corrections of the colours."
)
@click.option("--style", type=click.Path(path_type=Path), help="Another picture for the tiles to show.")
@click.option("--self-weight", type=click.FloatRange(0), default=1.0, show_default=True, metavar="X")
@click.option("--style-weight", type=click.FloatRange(0), default=1.0, show_default=True, metavar="X")
@click.option("--turn", type=click.IntRange(0, 3), default=0, show_default=True, help="Quarter turns of the style.")
@click.option("--flip", is_flag=True, help="Mirror the style.")
@click.option("--res", metavar="Nx|N|WxH", help="Size: times the original, the longer side, or both.  [default: 1440]")
@click.option("--code", type=click.Path(path_type=Path), help="Write the collage, safetensors.")
@click.option("--seed", type=int, hidden=True)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="cpu", hidden=True)
@click.option("--max-pixels", type=click.IntRange(1), metavar="N", default=1 << 28, help="Larger pictures are refused.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def fractalize(
    ctx: click.Context, source: Path, out: Path | None, tiles: int, texture: float, blend: float, depth: int,
    iterations: int, style: Path | None, self_weight: float, style_weight: float, turn: int, flip: bool,
    res: str | None, code: Path | None, seed: int | None, device: str, max_pixels: int, as_json: bool,
) -> None:  # fmt: skip
    """Make SOURCE, a photograph, of itself."""
    from fractalkit.files import check_writable
    from fractalkit.fit.fractalize import Style, judge
    from fractalkit.fit.fractalize import fractalize as fit

    size = parse_res(res) or ("longer", 1440.0, 1440.0)
    out = out or Path(f"{source.stem}.fractal.png")
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: pictures of this command are PNG; give a name that ends in .png")
    if code is not None and code.suffix.lower() != ".safetensors":
        raise UsageError(f"--code {code}: give a name that ends in .safetensors")
    for path in (out, code):
        if path is not None:
            check_writable(path)
    if out.resolve() == source.resolve():
        raise UsageError(f"{out}: input and output are one file; give another --out")
    began = time.perf_counter()
    picture = _load(source, max_pixels)
    other = Style(_load(style, max_pixels), style_weight, turn, flip) if style is not None else None
    h, w = picture.shape[1:]
    kind, a, b = size
    k = a if kind == "times" else a / max(h, w)
    width, height = (round(a), round(b)) if kind == "both" else (max(1, round(w * k)), max(1, round(h * k)))
    if width * height > MAX_PIXELS:
        raise UsageError(f"--res {res}: {width:,} x {height:,} pixels are more than {MAX_PIXELS:,}; ask for fewer")
    if depth and width * height > MAX_WHOLE:
        raise UsageError(f"--depth: pictures of more than {MAX_WHOLE:,} pixels have every depth; leave it out")
    made = fit(
        picture, tiles, texture=texture, blend=blend, iterations=iterations, style=other, self_weight=self_weight
    )
    fitted = time.perf_counter() - began
    text = {COMMAND_KEY: command_line(ctx), "software": "FractalKit"}
    height, width = _write(out, made, height, width, depth, picture, text)
    if code is not None:
        made.save(code)
    scores = judge(made, picture)
    result: dict[str, Any] = {
        "source": str(source), "out": str(out), "width": width, "height": height, "tiles": tiles,
        "lipschitz": float(made.lipschitz()[0]), **{k: round(v, 4) for k, v in scores.items()},
        "fit_seconds": round(fitted, 3), "seconds": round(time.perf_counter() - began, 3),
    }  # fmt: skip
    if as_json:
        emit(result)
    else:
        click.echo(
            f"{out}: {width} x {height}, {tiles} x {tiles} tiles; similarity from afar {scores['ssim']:.3f}, "
            f"tiles and picture correlate by {scores['correlation']:.2f}; {result['seconds']:.1f} s"
        )


def _load(path: Path, max_pixels: int) -> Tensor:
    import numpy as np
    import torch

    from fractalkit.data.pictures import read_picture

    read = read_picture(path, max_pixels=max_pixels)
    for note in read.warnings:
        click.echo(f"fractalkit: warning: {note}", err=True)
    a = read.samples.astype(np.float32) / np.iinfo(read.samples.dtype).max
    if a.ndim == 2:
        a = np.repeat(a[..., None], 3, -1)
    if a.shape[2] == 4:
        a = a[..., :3] * a[..., 3:] + 1 - a[..., 3:]  # on white
    return torch.from_numpy(np.ascontiguousarray(a.transpose(2, 0, 1)))


def _write(
    out: Path, code: Any, height: int, width: int, depth: int, picture: Tensor, text: dict[str, str]
) -> tuple[int, int]:
    """The size that was written; large pictures are rounded up to whole tiles and written strip by strip."""
    from fractalkit.fit.fractalize import draw
    from fractalkit.maps.collage import strips, valid_size
    from fractalkit.render.rows_png import PngRows

    if height * width <= MAX_WHOLE:
        shown = draw(code, height, width, depth=depth, picture=picture)
        pieces = iter([(0, shown[None])])
    else:
        height, width = valid_size(code, height, width)
        pieces = strips(code, height, width)
    progress = Progress()
    with PngRows(out, width, height, channels=3, text=text) as png:
        for y0, piece in pieces:
            png.write((255 * piece[0].clamp(0, 1)).round().byte().permute(1, 2, 0).contiguous().numpy())
            progress("writing", (y0 + piece.shape[2]) / height)
    progress.clear()
    return height, width
