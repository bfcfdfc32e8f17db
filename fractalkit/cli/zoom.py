"""``fractalkit zoom``: a film into a point, or a page to look around in."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from fractalkit.cli.common import COMMAND_KEY, SEED_KEY, Progress, command_line, emit
from fractalkit.cli.completion import presets
from fractalkit.cli.render import Size
from fractalkit.errors import UsageError


@click.command(
    epilog="""\b
Examples:
  fractalkit zoom barnsley-fern -o fern.mp4 --depth 1e6
  fractalkit zoom vdvae_mnist --seed 7 -o digit.gif --size 480 --depth 1000
  fractalkit zoom photo.jpg -o itself.gif --depth 1e5      made of itself: tiles of tiles of tiles
  fractalkit zoom photo.fk --at 0.4,0.3 -o frames/         gone on with where it was left
  fractalkit zoom sierpinski-triangle -o page.html --depth 1e9     one file, for any browser"""
)
@click.argument("source", shell_complete=presets)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="mp4, gif, webp, a folder, or html.  [default: NAME.mp4]"
)
@click.option("--at", metavar="X,Y", help="The point, in shares of the width, y down.  [default: one worth a look]")
@click.option("--depth", type=float, default=1e4, show_default=True, help="Magnification at the end.")
@click.option("--frames", type=click.IntRange(1, 1_000_000), default=240, show_default=True)
@click.option("--fps", type=click.FloatRange(1, 120), default=30.0, show_default=True)
@click.option("--size", type=Size(), default="1280x720", show_default=True)
@click.option("--quality", type=float, help="Samples a pixel, of codes and flames.")
@click.option("--palette", help="Colours, for codes.")
@click.option("--levels", type=click.IntRange(1, 6), default=4, show_default=True, help="Of a page, that are whole.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 3), default=0, show_default=True, help="Of a sample, or of points."
)
@click.option("--threads", type=click.IntRange(1), help="[default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the report.")
@click.pass_context
def zoom(
    ctx: click.Context, source: str, out: Path | None, at: str | None, depth: float, frames: int, fps: float,
    size: tuple[int, int], quality: float | None, palette: str | None, levels: int, seed: int, threads: int | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Zoom into whatever has a fixed point: every frame is drawn anew, at full detail, however deep.

    SOURCE is a preset or a code (.ifs.json), a flame, a compressed picture (.fk), a photograph, which is then made of
    itself, or a model with a collage, such as vdvae_mnist, of which --seed picks the sample.
    """
    from fractalkit.files import check_writable
    from fractalkit.render.film import check_film, missing, save_film, save_frame, with_progress
    from fractalkit.render.zoom import Approach, interesting, rgb

    started = time.perf_counter()
    if not 1 < depth <= 1e13:
        raise UsageError(f"--depth: expected a magnification above 1 and at most 1e13, got {depth:g}")
    if quality is not None and not 0 < quality <= 1e6:
        raise UsageError(f"--quality: expected a positive number of samples a pixel, got {quality:g}")
    out = out or Path(f"{Path(source).name.split('.')[0]}.mp4")
    page = out.suffix.lower() in (".html", ".htm")
    folder = not page and check_film(out) == "frames"
    if not folder:
        check_writable(out)
    table = None
    if palette is not None:
        from fractalkit.render.colours_from import colour_table

        table = colour_table(palette)
    thing = open_thing(source, palette=table, quality=quality, seed=seed, threads=threads)
    if hasattr(thing, "deepest") and depth > thing.deepest(size[0]):
        click.echo(
            f"fractalkit: note: beyond x {thing.deepest(size[0]):.3g} {source} has no more detail, and is interpolated",
            err=True,
        )
    centre = _point(at) if at is not None else interesting(thing, min(depth, 1e12))
    texts = {SEED_KEY: str(seed), COMMAND_KEY: command_line(ctx)}
    progress = Progress()
    result: dict[str, Any] = {
        "source": source, "output": str(out), "at": list(centre), "depth": depth, "seed": seed,
        "command": command_line(ctx),
    }  # fmt: skip
    try:
        if page:
            from fractalkit.render.viewer import save_viewer

            result["tiles"] = save_viewer(
                thing,
                out,
                at=centre,
                depth=depth,
                whole=levels,
                title=source,
                note=command_line(ctx),
                progress=progress,
            )
        else:
            width, height = size
            way = Approach(centre, depth, frames, height / width, thing.aspect)
            spent: list[float] = []

            def drawn(which: Any) -> Iterator[Any]:
                for k in which:
                    before = time.process_time()
                    pixels = rgb(thing.window(*way.box(k), width, height))
                    spent.append(time.process_time() - before)
                    yield pixels

            if folder:
                left = missing(out, frames)
                for k, pixels in zip(left, with_progress(drawn(left), len(left), progress), strict=True):
                    save_frame(pixels, out, k, texts)
            else:
                save_film(with_progress(drawn(range(frames)), frames, progress), out, fps=fps, text=texts)
            result |= {"frames": frames, "width": width, "height": height, "drawn": len(spent)}
            if spent:
                result["cpu_seconds_a_frame"] = {
                    "first_tenth": statistics.fmean(spent[: max(1, len(spent) // 10)]),
                    "last_tenth": statistics.fmean(spent[-max(1, len(spent) // 10) :]),
                    "most": max(spent),
                }
    finally:
        progress.clear()
    result["seconds"] = round(time.perf_counter() - started, 3)
    if as_json:
        emit(result)
    else:
        what = f"{result['tiles']} tiles" if page else f"{frames} frames of {size[0]} x {size[1]}"
        click.echo(f"{out}: {what}, to x {depth:g} at {centre[0]:.6g},{centre[1]:.6g}, {result['seconds']:.1f} s")


def open_thing(source: str, **options: Any) -> Any:
    """What a source shows windows of; the models of the package beside what the registry knows.

    Raises:
        UsageError, DataError: nothing of that name, or a file that cannot be used.
    """
    from fractalkit.data.pictures import SUFFIXES
    from fractalkit.models.hub import names
    from fractalkit.render.zoom import CollageWindows, FractalWindows, open_source

    if Path(source).suffix.lower() in SUFFIXES:
        import torch

        from fractalkit.data.crops import rgb
        from fractalkit.data.pictures import read_picture
        from fractalkit.fit.fractalize import fractalize

        a = rgb(read_picture(Path(source)).samples)
        code = fractalize(torch.from_numpy(a.copy()).permute(2, 0, 1) / 255)
        return FractalWindows(code, a.shape[0] / a.shape[1])
    if source not in names() and Path(source).suffix != ".safetensors":
        return open_source(source, **options)
    import torch

    from fractalkit.models.hub import from_pretrained
    from fractalkit.render.collage import Picture

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small layers lose by being shared
    try:
        net = from_pretrained(source, architecture="vdvae")
        if getattr(net.config, "head", None) != "collage":
            raise UsageError(f"{source}: has no collage, so it has no samples of every size")
        h = net.sample([torch.Generator().manual_seed(options.get("seed") or 0)])
        return CollageWindows(Picture.of(net, h), options.get("threads"))
    finally:
        torch.set_num_threads(threads)


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = (float(v) for v in text.split(","))
    except ValueError:
        raise UsageError(f"--at {text}: expected two numbers, such as 0.4,0.3") from None
    return x, y
