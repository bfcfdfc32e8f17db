"""``fractalkit sample``: pictures of a model, new or reconstructed, of any size, as files, a sheet or an animation."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import COMMAND_KEY, SEED_KEY, Progress, command_line, emit, pick_device
from fractalkit.cli.completion import models
from fractalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from fractalkit.models.vdvae import VDVAE
    from fractalkit.render.collage import Picture, Still
    from fractalkit.render.pictures import View

MODEL_KEY = "fractalkit:model"
MAX_PIXELS = 1 << 34  # of one file
MAX_FRAME = 1 << 26  # pixels of a frame of an animation
MAX_WALK = 1 << 33  # pixels of all frames
MAX_ITEMS = 100_000
FRAMES = 48


class Size(click.ParamType):
    """Pixels: one number for a square, or WIDTHxHEIGHT."""

    name = "N|WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """(width, height)."""
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().split("x")
        numbers = [whole(p) for p in parts]
        if len(parts) > 2 or None in numbers:
            self.fail(f"{value!r} is neither a number of pixels nor WIDTHxHEIGHT, such as 1440 or 1440x900", param, ctx)
        width, height = numbers[0], numbers[-1]
        assert width is not None and height is not None
        if min(width, height) < 1:
            self.fail(f"{value!r}: a picture has at least 1 pixel a side", param, ctx)
        return width, height


class Corners(click.ParamType):
    """x0,y0,x1,y1 in pixels."""

    name = "x0,y0,x1,y1"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1)."""
        if isinstance(value, tuple):
            return value
        numbers = [whole(p) for p in str(value).replace(" ", "").split(",")]
        if len(numbers) != 4 or None in numbers:
            self.fail(f"{value!r} is not four whole numbers x0,y0,x1,y1 (pixels of --res)", param, ctx)
        return tuple(numbers)  # type: ignore[return-value]


def whole(text: str) -> int | None:
    """A whole number, 1e6 too; None for anything else.

    >>> whole("1440"), whole("1e6"), whole("-3"), whole("14.5"), whole("x")
    (1440, 1000000, -3, None, None)
    """
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if math.isfinite(value) and value == int(value) else None


@click.command(
    epilog="""\b
Examples:
  fractalkit sample --model vdvae_mnist --res 1440              vdvae_mnist-0.png
  fractalkit sample --model vdvae_mnist -n 16 --grid            16 digits on one sheet
  fractalkit sample --model vdvae_mnist -n 64 --res 28 -o sheet.png
  fractalkit sample --model vdvae_mnist --res 1440x900 --seed 5 -n 3 -o "nine-{seed}.png"
  fractalkit sample --model vdvae_mnist --res 1e6 --window 500000,400000,501440,401440
  fractalkit sample --model vdvae_mnist --interpolate 3 8 --frames 60 -o walk.gif
  fractalkit sample --model vdvae_mnist --from digit.png --res 700
  fractalkit sample --model vdvae_mnist --res 30000 -o poster.png
  fractalkit sample --model vdvae_mnist -n 64 --res 28 -o "{seed}.png" --cluster tcp://10.0.0.1:8786

Item i of a run has seed SEED + i: item 5 of "--seed 0 -n 64" is "--seed 5 -n 1", at every size. Pictures carry their
seed and command, which fractalkit info shows. A name that holds {seed} (or {frame}) is a pattern; one name for
several pictures is a sheet. With --jobs or --cluster, pictures that are there already are not drawn again."""
)
@click.option(
    "--model",
    metavar="NAME|FILE",
    shell_complete=models,
    help="A model of the package, a safetensors file, or OWNER/NAME on the hub.",
)
@click.option("--res", type=Size(), metavar="N|WxH", help="Size in pixels, any at all.  [default: 1440]")
@click.option("-n", "count", type=click.IntRange(1, MAX_ITEMS), metavar="N", help="How many.  [default: 1]")
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    metavar="X",
    default=1.0,
    show_default=True,
    help="Scales sigma of each latent.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1 - MAX_ITEMS),
    metavar="N",
    default=0,
    show_default=True,
    help="Of the first.",
)
@click.option(
    "--mean/--binarize", "mean", default=True, show_default="mean",
    help="Probabilities as grey, or each pixel's likelier value: black below 1/2, white from it on.",
)  # fmt: skip
@click.option("--invert", is_flag=True, help="Dark on light.")
@click.option("--grid", is_flag=True, help="One sheet of all.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="PNG, or a pattern.  [default: MODEL-{seed}.png]")
@click.option("--window", type=Corners(), metavar="x0,y0,x1,y1", help="Draw this part only, in pixels of --res.")
@click.option(
    "--interpolate", type=click.IntRange(0, 2**63 - 1), nargs=2, metavar="A B", help="Walk from seed A to seed B."
)
@click.option("--frames", type=click.IntRange(2, 100_000), metavar="N", help="Of the walk.  [default: 48]")
@click.option("--fps", type=click.FloatRange(0.1, 100), metavar="X", help="Frames a second.  [default: 24]")
@click.option("--from", "source", type=click.Path(path_type=Path), help="Reconstruct this picture: light on dark.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1, 4096), metavar="N", help="Processor threads.")
@click.option("--jobs", type=click.IntRange(1, 4096), metavar="N", help="Processes, of one thread each.")
@click.option("--cluster", metavar="ADDRESS", help="Spread the pictures over a Dask cluster.")
@click.option("--force", is_flag=True, help="With these, draw anew what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--list", "list_", is_flag=True, help="List the models of the package.")
@click.pass_context
def sample(
    ctx: click.Context,
    model: str | None,
    res: tuple[int, int] | None,
    count: int | None,
    temperature: float,
    seed: int,
    mean: bool,
    invert: bool,
    grid: bool,
    out: Path | None,
    window: tuple[int, int, int, int] | None,
    interpolate: tuple[int, int] | None,
    frames: int | None,
    fps: float | None,
    source: Path | None,
    device: str,
    threads: int | None,
    jobs: int | None,
    cluster: str | None,
    force: bool,
    as_json: bool,
    list_: bool,
) -> None:
    """Draw pictures from a model, at any size.

    A model draws a sample as the fixed point of a collage, which has every resolution: the same digit at 28 pixels,
    at 1440, or a window of it at a million. What is drawn is the mean picture, the probability of each pixel.
    """
    if list_:
        _list(as_json)
        return
    if model is None:
        raise UsageError("give --model: a name (--list shows them) or a safetensors file")
    started = time.perf_counter()
    if interpolate is None and (frames is not None or fps is not None):
        raise UsageError("--frames and --fps belong to --interpolate A B")
    if interpolate is not None and (count is not None or source is not None or grid):
        raise UsageError("--interpolate draws one walk; it goes with neither -n, --grid nor --from")
    n = count or 1
    stem = Path(model).name.removesuffix(".safetensors")
    width, height = res or (1440, 1440)
    box = _window(window, width, height)
    paths = _paths(out, stem, seed, n, grid, interpolate)
    sheet = interpolate is None and len(paths) == 1 and n > 1
    if (cluster is not None or jobs is not None) and (sheet or interpolate is not None):
        raise UsageError("--cluster and --jobs share out pictures of their own; name them by a pattern with {seed}")
    _affordable((width, height), window, n if sheet else 1, 0 if interpolate is None else frames or FRAMES)

    import torch

    from fractalkit.cli.sample_jobs import draw
    from fractalkit.models.hub import from_pretrained
    from fractalkit.render.pictures import View, save_pictures, save_sheet

    before = torch.get_num_threads()
    many = threads or before
    ctx.call_on_close(lambda: torch.set_num_threads(before))
    # a layer of 7 x 7 loses by being shared among threads, a hundredfold where the machine is busy; strips do not
    torch.set_num_threads(1)
    net = from_pretrained(model, device=pick_device(device), architecture="vdvae")
    if net.config.head != "collage":
        side = net.config.size
        if res is not None and res != (side, side):
            raise UsageError(f"{model}: has no collage, so it draws {side} x {side} only; leave out --res")
        height = width = side
        box = _window(window, side, side)
    view = View(height, width, box, binarize=not mean, invert=invert)
    texts = {COMMAND_KEY: command_line(ctx), MODEL_KEY: stem}
    progress = Progress()
    result: dict[str, Any] = {
        "model": model, "width": view.shape[1], "height": view.shape[0], "temperature": temperature,
        "kind": "binary" if not mean else "mean",
    }  # fmt: skip
    if source is not None:
        result["from"] = str(source)
    if cluster is not None or jobs is not None:
        from fractalkit.cli.sample_jobs import spread

        if source is not None:
            read(source, net)  # what is wrong with it is said here, once
        seeds = [seed + i for i in range(n)]
        drawn_now = spread(
            model, seeds, paths, view, texts, temperature=temperature, source=source, device=device, jobs=jobs,
            cluster=cluster, force=force,
        )  # fmt: skip
        result |= {"seeds": seeds, "drawn": drawn_now}
    elif interpolate is not None:
        number = frames or FRAMES
        drawn = _walk(net, interpolate, number, temperature, view, many, progress)
        ends = "-".join(map(str, interpolate))
        _save_walk(drawn, paths[0], fps or 24.0, number, texts | {SEED_KEY: ends})
        result |= {"interpolate": list(interpolate), "frames": number}
    else:
        seeds = [seed + i for i in range(n)]
        pictures = draw(net, seeds, temperature, None if source is None else str(source))
        if not getattr(pictures[0], "fast", True):
            torch.set_num_threads(many)
        if sheet:
            save_sheet(pictures, paths[0], view, text=texts | {SEED_KEY: f"{seeds[0]}-{seeds[-1]}"}, threads=many)
        else:
            each = [texts | {SEED_KEY: str(s)} for s in seeds]
            save_pictures(pictures, paths, view, each, threads=many, progress=progress)
        result["seeds"] = seeds
    result |= {"outputs": [str(p) for p in paths], "seconds": round(time.perf_counter() - started, 3)}
    progress.clear()
    if as_json:
        emit(result)
    else:
        _report(result)


def _list(as_json: bool) -> None:
    from fractalkit.models.hub import names

    if as_json:
        emit({"models": names()})
    else:
        click.echo("\n".join(names()) or "no models come with this package")


def _window(window: tuple[int, int, int, int] | None, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Corners as (top, left, bottom, right)."""
    if window is None:
        return None
    x0, y0, x1, y1 = window
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise UsageError(
            f"--window {x0},{y0},{x1},{y1}: is empty or leaves the picture of {width:,} x {height:,} pixels; "
            "expected 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height"
        )
    return y0, x0, y1, x1


def _affordable(res: tuple[int, int], window: tuple[int, int, int, int] | None, n: int, frames: int) -> None:
    """Refuse what no disk or viewer holds, and say what to do instead."""
    if max(res) > 1 << 40:
        raise UsageError(
            f"--res: {max(res):,} pixels a side are more than 2^40, where places can no longer be told apart"
        )
    width, height = res if window is None else (window[2] - window[0], window[3] - window[1])
    limit = MAX_FRAME if frames else MAX_PIXELS
    if width * height * n > limit:
        size = width * height * n / 2**30
        what = "a frame" if frames else "the picture" if n == 1 else f"a sheet of {n}"
        raise UsageError(
            f"--res {res[0]}x{res[1]}: {what} would have {width * height * n:,} pixels, {size:,.0f} GiB; "
            f"the limit is {limit / 2**30:.3g} GiB; draw a part with --window x0,y0,x1,y1"
        )
    if width * height * frames > MAX_WALK:
        size = width * height * frames / 2**30
        raise UsageError(f"{frames} frames of {width}x{height} are {size:.1f} GiB; take fewer, or a smaller --res")


def _paths(
    out: Path | None, stem: str, seed: int, n: int, grid: bool, interpolate: tuple[int, int] | None
) -> list[Path]:
    """The files to be written; one for several pictures is a sheet.

    Raises:
        UsageError, DataError: names that cannot be.
    """
    from fractalkit.files import check_writable

    if interpolate is not None:
        path = out or Path(f"{stem}-{interpolate[0]}-{interpolate[1]}.gif")
        if "{frame}" not in path.name and path.suffix.lower() not in (".gif", ".png", ".webp"):
            raise UsageError(
                f"-o {path}: a walk is a .gif, .png or .webp file, or frames named like walk-{{frame}}.png"
            )
        check_writable(path)
        return [path]
    pattern = out or Path(f"{stem}-grid.png" if grid else f"{stem}-{{seed}}.png")
    if pattern.suffix.lower() != ".png":
        raise UsageError(f"-o {pattern}: pictures are PNG; name it {pattern.stem}.png")
    if "{seed}" not in pattern.name:
        check_writable(pattern)
        return [pattern]
    if grid:
        raise UsageError(f"-o {pattern}: a sheet is one file; leave out {{seed}} or --grid")
    paths = [pattern.with_name(pattern.name.replace("{seed}", str(seed + i))) for i in range(n)]
    check_writable(paths[0])
    return paths


def picture_of(net: VDVAE, h: torch.Tensor) -> Picture | Still:
    """What features ``[1, C, s, s]`` stand for."""
    from fractalkit.render.collage import Picture, Still

    if net.config.head == "collage":
        return Picture.of(net, h)
    return Still(net.draw(h, net.config.size, net.config.size)[0].cpu().numpy())


def read(path: Path, net: VDVAE) -> torch.Tensor:
    """A picture as the model wants it, ``[1, C, S, S]`` in [0, 1]; a warning where it looks like a negative."""
    import torch

    from fractalkit.data.images import read_square

    if not path.is_file():
        raise DataError(f"{path}: there is no such file; check the name")
    x = torch.from_numpy(read_square(path, net.config.size, net.config.channels).copy()).float()[None] / 255
    border = torch.cat([x[..., 0, :].flatten(), x[..., -1, :].flatten(), x[..., 0].flatten(), x[..., -1].flatten()])
    if net.config.likelihood == "bernoulli" and float(border.mean()) > 0.5:
        click.echo(
            f"fractalkit: warning: {path}: has a light border, but the model knows light strokes on dark ground; "
            "invert it if the reconstruction is poor",
            err=True,
        )
    return x.to(next(net.parameters()).device)


def _walk(
    net: VDVAE,
    ends: tuple[int, int],
    frames: int,
    temperature: float,
    view: View,
    threads: int,
    progress: Progress,
) -> Iterator[np.ndarray]:
    """Frames from one seed to another: the noise of every layer turns from the one's to the other's."""
    import torch

    from fractalkit.models.vdvae import Between

    for k in range(frames):
        a, b = (torch.Generator().manual_seed(s) for s in ends)
        h = net.sample([Between(a, b, math.pi / 2 * k / (frames - 1))], temperature)
        yield view.pixels(picture_of(net, h), threads=threads)
        progress("walk", (k + 1) / frames)


def _save_walk(drawn: Iterator[np.ndarray], path: Path, fps: float, frames: int, texts: dict[str, str]) -> None:
    from fractalkit.render.pictures import save_animation
    from fractalkit.render.png import save_png

    if "{frame}" not in path.name:
        save_animation(drawn, path, fps=fps, text=texts)
        return
    digits = len(str(frames - 1))
    for k, pixels in enumerate(drawn):
        save_png(path.with_name(path.name.replace("{frame}", f"{k:0{digits}d}")), pixels, texts)


def _report(result: dict[str, Any]) -> None:
    outputs = result["outputs"]
    if "frames" in result:
        what = f"{result['frames']} frames"
    else:
        n = len(result["seeds"])
        what = "1 picture" if n == 1 else f"{n} pictures"
    names = outputs[0] if len(outputs) == 1 else f"{outputs[0]} … {outputs[-1]}"
    now = f", {result['drawn']} drawn now," if "drawn" in result else ""
    click.echo(f"{names}: {what} of {result['width']} x {result['height']}{now} in {result['seconds']:.2f} s")
