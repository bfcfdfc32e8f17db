"""``fractalkit animate``: a film of a sequence of flames or affine codes."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import answer, command_line, on, pick_engine
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
    variations_option,
)
from fractalkit.errors import DataError, UsageError
from fractalkit.raster.png import COMMAND_KEY, SEED_KEY
from fractalkit.raster.view import Size

if TYPE_CHECKING:
    from fractalkit.codes.flame import Flame


@click.command(
    epilog="""\b
Examples:
  fractalkit animate a.flame b.flame -o ab.mp4
  fractalkit animate barnsley-fern sierpinski-triangle --loop -o between.gif
  fractalkit animate sheep.flame --loop --frames 160 -o sheep.gif --res 400x300
  fractalkit animate keys.flame -o frames/ --motion-blur 8       continues where it stopped
  fractalkit animate a.flame b.flame -o ab.mp4 --cluster tcp://10.0.0.1:8786

Frames are kept in OUT.frames until the film is complete, so that a stopped run continues from there. On a
cluster, all machines must share that folder."""
)
@source_argument("source", nargs=-1, required=True)
@click.option("-o", "--out", type=PATH, default=Path("flames.mp4"), help="mp4, gif, png, webp, or a folder.")
@click.option("--frames", type=Whole(1, 1_000_000), default=120)
@click.option("--fps", type=Real(1, 120), default=30.0)
@res_option("the first flame's", old=True)
@click.option("--quality", type=QUALITY, help="Samples per pixel.  [default: the flames' own]")
@click.option("--loop", is_flag=True, help="Return to the first flame while the maps rotate, so that the film repeats.")
@click.option("--times", is_flag=True, help="Place keyframes at the times in the files, not evenly.")
@click.option("--motion-blur", type=Whole(1, 1000), default=1, help="Points in time per frame.")
@click.option("--shutter", type=float, default=0.5, help="Share of a frame's time that motion blur covers.")
@click.option("--seed", type=SEED, default=0)
@click.option("--strict", is_flag=True, help="Refuse flames with parts that are mended or cannot be drawn.")
@device_option("cpu", "gpu", "cuda", "mps")
@click.option("--jobs", type=Whole(1), help="Processes.  [default: as many as cores]")
@click.option("--cluster", metavar="ADDRESS", help="Spread the frames over a Dask cluster.")
@variations_option
@json_option
@click.pass_context
def animate(
    ctx: click.Context, source: tuple[str, ...], out: Path, frames: int, fps: float, res: Size | None,
    quality: float | None, loop: bool, times: bool, motion_blur: int, shutter: float, seed: int, strict: bool,
    device: str, jobs: int | None, cluster: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Film a sequence of flames or of affine codes, or a loop.

    Each SOURCE is a .flame file, all of whose flames are keyframes, in order; or an affine code of the plane: a
    .ifs.json file, or the name of a preset.
    """
    from fractalkit.codes.flame import notes_of
    from fractalkit.files import check_writable, locked_folder
    from fractalkit.render.animate import Motion, keyframes
    from fractalkit.render.film import check_film, read_frames, save_film

    started = time.perf_counter()
    codes = [code for s in source for code in _codes(s, strict)]
    flames, follow = keyframes(codes, None if res is None else res.pixels())
    kind = check_film(out)
    if kind != "frames":
        check_writable(out)
    when = tuple(f.time for f in flames) if times else None
    motion: dict[str, Any] = {"frames": frames, "times": when, "loop": loop, "blur": motion_blur, "shutter": shutter}
    if follow:  # so that films of flames begun before this option go on
        motion["follow"] = True
    Motion(flames, **motion).at(0.5)  # report errors before any work
    where, engine = pick_engine(device)
    draw: dict[str, Any] = {
        "size": None if res is None else res.pixels(flames[0].size),
        "quality": quality,
        "seed": seed,
        "threads": 1,
    }
    if where != "cpu":  # so that films begun before this option go on
        draw["device"] = where
    folder = out if kind == "frames" else out.with_name(out.name + ".frames")
    with locked_folder(folder, "another process draws this film; wait for it, or name another --out"):
        drawn = _draw_frames(flames, folder, motion, draw, jobs, cluster)
        if kind != "frames":
            texts = {SEED_KEY: str(seed), COMMAND_KEY: command_line(ctx)}
            save_film(read_frames(folder, frames), out, fps=fps, text=texts)
            shutil.rmtree(folder)
    result = {
        "sources": list(source), "flames": len(flames), "output": str(out), "frames": frames, "drawn": drawn,
        "notes": notes_of(flames), "engine": engine,
        "seed": seed, "command": command_line(ctx), "seconds": round(time.perf_counter() - started, 3),
    }  # fmt: skip
    answer(result, as_json, f"{out}: {frames} frames, {drawn} drawn now, {result['seconds']:.1f} s{on(engine)}")


def _codes(source: str, strict: bool) -> list[Any]:
    """The flames of a file, or the affine code of a file or a preset."""
    from fractalkit.codes.flame import read_flames
    from fractalkit.codes.open import is_preset_name, load, load_all

    if is_preset_name(source):
        return [load(source)]
    suffix = Path(source).suffix.lower()
    return list(load_all(source) if suffix in (".json", ".ifs", ".png") else read_flames(Path(source), strict=strict))


def _draw_frames(
    flames: tuple[Flame, ...], folder: Path, motion: dict[str, Any], draw: dict[str, Any], jobs: int | None,
    cluster: str | None,
) -> int:  # fmt: skip
    """Draw the frames that the folder lacks; the number drawn."""
    from tqdm import tqdm

    from fractalkit.codes.flame_xml import to_xml
    from fractalkit.jobs import map_items
    from fractalkit.render.animate import frame_job
    from fractalkit.render.film import missing

    frames = motion["frames"]
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
        raise DataError(
            f"{len(failures)} of {frames} frames failed, the first with: {failures[0]}; the others are in {folder}"
        )
    return len(left)


def _same_film(folder: Path, digest: str, begun: bool) -> None:
    """Record in the folder which film its frames belong to; refuse frames of another film."""
    note = folder / "film.sha256"
    try:
        if begun and note.is_file() and note.read_text().strip() != digest:
            raise UsageError(
                f"{folder}: contains frames of another film or of other options; remove it or name another folder"
            )
        note.write_text(digest + "\n")
    except OSError as error:
        raise DataError(f"{note}: cannot be written ({error.strerror or error})") from error
