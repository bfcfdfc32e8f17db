"""``fractalkit animate``: a film through flames."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import click

from fractalkit.cli.common import COMMAND_KEY, SEED_KEY, command_line, emit
from fractalkit.cli.render import Size
from fractalkit.errors import DataError, UsageError


@click.command(
    epilog="""\b
Examples:
  fractalkit animate a.flame b.flame -o ab.mp4
  fractalkit animate sheep.flame --loop --frames 160 -o sheep.gif --size 400x300
  fractalkit animate keys.flame -o frames/ --motion-blur 8       gone on with where it was left
  fractalkit animate a.flame b.flame -o ab.mp4 --cluster tcp://10.0.0.1:8786

Frames are kept in OUT.frames until the film is whole: a run that was stopped goes on from there. On a
cluster that folder has to be one that all machines share."""
)
@click.argument("source", nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("flames.mp4"), show_default=True,
              help="mp4, gif, png, webp, or a folder.")  # fmt: skip
@click.option("--frames", type=click.IntRange(1, 1_000_000), default=120, show_default=True)
@click.option("--fps", type=click.FloatRange(1, 120), default=30.0, show_default=True)
@click.option("--size", type=Size(), help="Pixels.  [default: the first flame's]")
@click.option("--quality", type=float, help="Samples a pixel.  [default: the flames' own]")
@click.option("--loop", is_flag=True, help="Back to the first flame, maps turning: repeats without a seam.")
@click.option("--times", is_flag=True, help="Keyframes at the flames' own times, not evenly.")
@click.option(
    "--motion-blur", type=click.IntRange(1, 1000), default=1, show_default=True, help="Samples in time a frame."
)
@click.option("--shutter", type=float, default=0.5, show_default=True, help="How much of a frame's time they cover.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 3), default=0, show_default=True)
@click.option("--jobs", type=click.IntRange(1), help="Processes.  [default: as many as cores]")
@click.option("--cluster", metavar="ADDRESS", help="Draw on a Dask cluster.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the report.")
@click.pass_context
def animate(
    ctx: click.Context, source: tuple[str, ...], out: Path, frames: int, fps: float, size: tuple[int, int] | None,
    quality: float | None, loop: bool, times: bool, motion_blur: int, shutter: float, seed: int, jobs: int | None,
    cluster: str | None, as_json: bool,
) -> None:  # fmt: skip
    """A film through flames: from each to the next, or round in a loop.

    SOURCE are .flame files; of each, all flames are keyframes, in their order.
    """
    from tqdm import tqdm

    from fractalkit.codes.flame_xml import read_flames, to_xml
    from fractalkit.files import check_writable
    from fractalkit.jobs import map_items
    from fractalkit.render.animate import Motion, frame_job
    from fractalkit.render.film import check_film, missing, read_frames, save_film

    started = time.perf_counter()
    if quality is not None and not 0 < quality <= 1e9:
        raise UsageError(f"--quality: expected a positive number of samples a pixel, got {quality:g}")
    flames = tuple(f for s in source for f in read_flames(Path(s)))
    kind = check_film(out)
    if kind != "frames":
        check_writable(out)
    when = tuple(f.time for f in flames) if times else None
    motion: dict[str, Any] = {"frames": frames, "times": when, "loop": loop, "blur": motion_blur, "shutter": shutter}
    Motion(flames, **motion).at(0.5)  # what is wrong is said before any work
    draw = {"size": size, "quality": quality, "seed": seed, "threads": 1}
    folder = out if kind == "frames" else out.with_name(out.name + ".frames")
    xml = to_xml(list(flames))
    left = missing(folder, frames)
    _same_film(folder, hashlib.sha256((xml + json.dumps([motion, draw])).encode()).hexdigest(), len(left) < frames)
    options = {"motion": motion, "draw": draw}
    items = [{"flames": xml, "frame": k, "folder": str(folder.resolve()), "options": options} for k in left]
    failures = []
    with tqdm(total=frames, initial=frames - len(left), desc="draw", unit="frame", disable=None) as bar:
        for k, result in map_items(frame_job, items, jobs=jobs, cluster=cluster):
            bar.update()
            if isinstance(result, Exception):
                failures.append(f"frame {left[k]}: {result}")
    if failures:
        raise DataError(f"{len(failures)} of {frames} frames failed, first {failures[0]}; those done are in {folder}")
    if kind != "frames":
        texts = {SEED_KEY: str(seed), COMMAND_KEY: command_line(ctx)}
        save_film(read_frames(folder, frames), out, fps=fps, text=texts)
        shutil.rmtree(folder)
    result = {
        "sources": list(source), "flames": len(flames), "output": str(out), "frames": frames, "drawn": len(left),
        "seed": seed, "command": command_line(ctx), "seconds": round(time.perf_counter() - started, 3),
    }  # fmt: skip
    if as_json:
        emit(result)
    else:
        click.echo(f"{out}: {frames} frames, {len(left)} drawn now, {result['seconds']:.1f} s")


def _same_film(folder: Path, digest: str, begun: bool) -> None:
    """Note what is drawn into a folder, or refuse to mix two films in it."""
    note = folder / "film.sha256"
    try:
        if begun and note.is_file() and note.read_text().strip() != digest:
            raise UsageError(f"{folder}: holds frames of another film, or of other options; remove it or name another")
        note.write_text(digest + "\n")
    except OSError as error:
        raise DataError(f"{note}: cannot be written ({error.strerror or error})") from error
