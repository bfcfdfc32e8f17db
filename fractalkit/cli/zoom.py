"""``fractalkit zoom``: a zoom film into a point, or an HTML page to explore."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import Progress, answer, command_line, on, pick_engine
from fractalkit.cli.completion import presets
from fractalkit.cli.options import (
    PATH,
    QUALITY,
    SEED,
    Real,
    Whole,
    device_option,
    json_option,
    res_option,
    source_argument,
    threads_option,
    variations_option,
)
from fractalkit.errors import DataError, UsageError
from fractalkit.raster.png import COMMAND_KEY, SEED_KEY
from fractalkit.raster.view import Size

if TYPE_CHECKING:
    from fractalkit.render.zoom import Approach


@click.command(
    epilog="""\b
Examples:
  fractalkit zoom barnsley-fern -o fern.mp4 --depth 1e6
  fractalkit zoom vdvae_mnist --seed 7 -o digit.gif --res 480x480 --depth 1000
  fractalkit zoom sheep.flame -o dive.gif --depth 1e6              all samples fall into the window
  fractalkit zoom photo.jpg -o itself.gif --depth 1e5      fractalized first: tiles within tiles
  fractalkit zoom photo.fk --at 0.4,0.3 -o frames/         continues where it stopped
  fractalkit zoom sierpinski-triangle -o page.html --depth 1e9     one file, for any browser"""
)
@source_argument("source", shell_complete=presets)
@click.option("-o", "--out", type=PATH, help="mp4, gif, webp, a folder, or html.  [default: NAME.mp4, or NAME.webp "
              "without PyAV]")  # fmt: skip
@click.option(
    "--at", metavar="X,Y", help="Target of the zoom, in shares of the width, y down.  [default: an interesting point]"
)
@click.option("--depth", type=Real(1, 1e13, min_open=True), default=1e4, help="Final magnification.")
@click.option("--frames", type=Whole(1, 1_000_000), help="Number of frames.  [default: 240; gif, png, webp: 96]")
@click.option("--fps", type=Real(1, 120), help="Frames per second.  [default: 30; gif, png, webp: 20]")
@res_option("1280x720; gif, png, webp: 480x270", old=True)
@click.option("--quality", type=QUALITY, help="Samples per pixel, of codes and flames.")
@click.option("--palette", help="Palette, of codes.")
@click.option("--levels", type=Whole(1, 6), default=4, help="Complete levels of an html page.")
@click.option("--seed", type=SEED, default=0, help="Random seed of the sample or of the points.")
@click.option("--strict", is_flag=True, help="Refuse flames with parts that are mended or cannot be drawn.")
@device_option("cpu", "gpu")
@threads_option
@variations_option
@json_option
@click.pass_context
def zoom(
    ctx: click.Context, source: str, out: Path | None, at: str | None, depth: float, frames: int | None,
    fps: float | None,
    res: Size | None, quality: float | None, palette: str | None, levels: int, seed: int, strict: bool,
    device: str, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Film a zoom into a fixed point; every frame is drawn at full detail, at any depth.

    SOURCE is a preset or a code (.ifs.json), a flame, a compressed picture (.fk), a photograph, which is fractalized
    first, or a model with a collage, such as vdvae_mnist, whose sample --seed selects. Where a flame cannot be drawn
    deeper, because its maps do not contract there or nothing is there, the film ends and a note says so. A GPU draws
    codes at any depth, and flames as a whole: their deep windows need more digits than it has.
    """
    from fractalkit.files import check_writable
    from fractalkit.render.film import ANIMATED, check_film
    from fractalkit.render.zoom import Approach, interesting

    started = time.perf_counter()
    out = out or Path(f"{Path(source).name.split('.')[0]}.{'mp4' if find_spec('av') else 'webp'}")
    # formats that store each frame alone get a small film
    usual = ("480x270", 96, 20.0) if out.suffix.lower() in ANIMATED else ("1280x720", 240, 30.0)
    size, frames, fps = (res or Size.parse(usual[0])).pixels((16, 9)), frames or usual[1], fps or usual[2]
    page = out.suffix.lower() in (".html", ".htm")
    folder = not page and check_film(out) == "frames"
    if not folder:
        check_writable(out)
    thing, engine = _opened(source, device, palette, quality=quality, seed=seed, threads=threads)
    notes = _notes(thing, source, strict)
    _say_how_deep(thing, source, depth, size[0])
    centre = _point(at) if at is not None else interesting(thing, min(depth, 1e12))
    wish = depth
    depth, why = _reached(thing, source, centre, depth, size[0])
    texts = {SEED_KEY: str(seed), COMMAND_KEY: command_line(ctx)}
    progress = Progress()
    result: dict[str, Any] = {
        "source": source, "output": str(out), "at": list(centre), "depth": depth, "asked_depth": wish,
        "limit": why or None, "seed": seed, "notes": notes, "command": command_line(ctx),
        "engine": engine,
    }  # fmt: skip
    try:
        if page:
            from fractalkit.render.viewer import save_viewer
            from fractalkit.web import card_script

            result["tiles"] = save_viewer(
                thing, out, at=centre, depth=depth, whole=levels, title=source, note=command_line(ctx),
                card=card_script(thing), progress=progress,
            )  # fmt: skip
        else:
            width, height = size
            way = Approach(centre, depth, frames, height / width, thing.aspect)
            spent = _film(thing, way, size, out, None if folder else fps, texts, progress)
            result |= {"frames": frames, "width": width, "height": height, "drawn": len(spent)} | _seconds(spent)
    finally:
        progress.clear()
    result["seconds"] = round(time.perf_counter() - started, 3)
    what = f"{result['tiles']} tiles" if page else f"{frames} frames of {size[0]} x {size[1]}"
    text = f"{out}: {what}, to x {depth:g} at {centre[0]:.6g},{centre[1]:.6g}, {result['seconds']:.1f} s{on(engine)}"
    answer(result, as_json, text)


def _opened(source: str, device: str, palette: str | None, **options: Any) -> tuple[Any, str]:
    """The windows of a source, and the name of what draws them."""
    from fractalkit.render.colours_from import colour_table
    from fractalkit.render.windows import open_source

    table = None if palette is None else colour_table(palette)
    where, engine = pick_engine(device)
    thing = open_source(source, palette=table, device=where, **options)
    if where == "cpu":
        return thing, engine
    if hasattr(thing, "device"):
        return thing, engine + (" (deep windows on the CPU)" if hasattr(thing, "flame") else "")
    if device != "auto":
        raise UsageError(f"--device {device}: draws codes and flames; {source} is drawn by the CPU")
    return thing, "CPU"


def _film(
    thing: Any, way: Approach, size: tuple[int, int], out: Path, fps: float | None, texts: dict[str, str],
    progress: Progress,
) -> list[float]:  # fmt: skip
    """Draw all frames, or those that a folder lacks where ``fps`` is None; the CPU seconds of each."""
    from fractalkit.render.film import missing, save_film, save_frame, with_progress
    from fractalkit.render.zoom import rgb

    spent: list[float] = []

    def drawn(which: Sequence[int]) -> Iterator[Any]:
        for k in which:
            before = time.process_time()
            pixels = rgb(thing.window(*way.box(k), *size))
            spent.append(time.process_time() - before)
            yield pixels

    if fps is None:
        left = missing(out, way.frames)
        for k, pixels in zip(left, with_progress(drawn(left), len(left), progress), strict=True):
            save_frame(pixels, out, k, texts)
    else:
        save_film(with_progress(drawn(range(way.frames)), way.frames, progress), out, fps=fps, text=texts)
    return spent


def _seconds(spent: list[float]) -> dict[str, Any]:
    """The report's part on the CPU seconds of frames."""
    some = max(1, len(spent) // 10)
    means = {"first_tenth": spent[:some], "last_tenth": spent[-some:]}
    told = {name: statistics.fmean(part) for name, part in means.items() if part}
    return {"cpu_seconds_a_frame": told | {"most": max(spent)}} if spent else {}


def _notes(thing: Any, source: str, strict: bool) -> list[str]:
    """What was put right in a flame and what is not drawn of it; with ``strict`` it is refused."""
    flame = getattr(thing, "flame", None)
    notes: list[str] = [] if flame is None else flame.notes()
    if strict and notes:
        raise DataError(f"{source}: {'; '.join(notes)}")
    return notes


def _say_how_deep(thing: Any, source: str, depth: float, width: int) -> None:
    """Name the magnification beyond which there is no more detail."""
    if hasattr(thing, "deepest") and depth > thing.deepest(width):
        click.echo(
            f"fractalkit: note: beyond x {thing.deepest(width):.3g} {source} is interpolated, without more detail",
            err=True,
        )


def _reached(thing: Any, source: str, at: tuple[float, float], depth: float, width: int) -> tuple[float, str]:
    """How deep a source can be drawn about a point, and what ends it if that is less than asked for, which it says."""
    if not hasattr(thing, "reach"):
        return depth, ""
    kept, why = thing.reach(at, depth, width)
    if kept <= 1:
        raise UsageError(f"{source}: there is nothing to zoom into at {at[0]:g},{at[1]:g} ({why}); choose another --at")
    thing.aim(at)
    if kept < depth:
        click.echo(f"fractalkit: note: {source} is drawn to x {kept:.3g}, not {depth:.3g}: {why}", err=True)
    return float(kept), str(why)


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = (float(v) for v in text.split(","))
    except ValueError:
        raise UsageError(f"--at {text}: expected two numbers, such as 0.4,0.3") from None
    return x, y
