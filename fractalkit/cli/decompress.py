"""``fractalkit decompress``: decode ``.fk`` files: pictures at any size, clouds with any number of points."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.batch import report, run, sources, targets
from fractalkit.cli.cloud_files import decompress_cloud, decompressed_line, holds_cloud, only_for
from fractalkit.cli.common import answer, only_cpu
from fractalkit.cli.options import (
    PATH,
    SEED,
    Real,
    Whole,
    detail_option,
    device_option,
    json_option,
    max_pixels_option,
    res_option,
    source_argument,
    spread_options,
    window_option,
)
from fractalkit.errors import DataError, UsageError
from fractalkit.raster.part import Part
from fractalkit.raster.view import Region, Size

if TYPE_CHECKING:
    import numpy as np

# options that mean nothing for clouds, and the items that hold them
OF_PICTURES = {"res": "size", "window": "window", "detail": "detail", "deblock": "deblock"}
MAX_OUTPUT = 1 << 29  # samples of a picture in memory


@click.command(
    epilog="""\b
Examples:
  fractalkit decompress photo.fk -o again.png                at the stored size
  fractalkit decompress photo.fk --res 4x -o large.png       four times as wide and high
  fractalkit decompress photo.fk --res 1920 -o desk.jpg      the longer side
  fractalkit decompress photo.fk --res 8x --window 40%,30%,60%,50% -o part.png
  fractalkit decompress photo.fk --res 4x --detail 1 -o fine.png      with detail from its own coarser scales
  fractalkit decompress photo.fk --trace film.gif            the iterates, starting from grey
  fractalkit decompress packed -o pictures                   a folder; skips existing files
  fractalkit decompress begun.fk --partial                   as much as a truncated file contains
  fractalkit decompress scan.fk --points 1e6 -o scan.ply     a cloud, with as many points as you like

The suffix of --out selects the format: png, jpg, webp, avif, tif …; ply, pcd, xyz, csv … for clouds."""
)
@source_argument("source", nargs=-1, required=True)
@click.option("-o", "--out", type=PATH, help="Output file or folder.  [default: beside each source]")
@click.option(
    "--suffix", metavar=".EXT", help="Format of the files in an output folder.  [default: .png, and .ply for clouds]"
)
@click.option(
    "--points", type=Real(1, 1e10), help="Number of points of a cloud.  [default: as many as were compressed]"
)
@res_option("the stored size", times=True)
@window_option
@detail_option(None)
@click.option("--deblock/--no-deblock", default=None, help="Filter block edges.  [default: as stored in the file]")
@click.option("--trace", type=PATH, help="Write the iterates as an animated GIF instead of a picture.")
@click.option("--steps", type=Whole(1, 200), default=10, help="Number of iterates in the trace.")
@click.option("--start", type=PATH, help="Picture from which the trace starts.")
@click.option("--partial", is_flag=True, help="Decode as much as a truncated file contains.")
@max_pixels_option
@spread_options("files")
@click.option("--seed", type=SEED, default=0, help="Random seed of a cloud's points.")
@device_option(
    "cpu", "gpu", "cuda", "mps",
    told="Where to draw the points of clouds: gpu is any card, by WebGPU; pictures are decoded by the CPU.",
)  # fmt: skip
@json_option
def decompress(
    source: tuple[str, ...], out: Path | None, suffix: str | None, points: float | None, res: Size | None,
    window: Region | None, detail: float | None, deblock: bool | None, trace: Path | None, steps: int,
    start: Path | None, partial: bool, max_pixels: int, jobs: int | None, cluster: str | None, force: bool, seed: int,
    device: str, as_json: bool,
) -> None:  # fmt: skip
    """Decode .fk files to pictures and clouds. SOURCE is a file, a folder or a pattern."""
    if window is not None and window.unit == "old shares":
        x0, y0, x1, y1 = (f"{100 * v:g}%" for v in window.corners)
        click.echo(
            f"fractalkit: note: the window is in shares, as in earlier versions, where --res is the size of the part; "
            f"write --window {x0},{y0},{x1},{y1}, and --res for the whole picture",
            err=True,
        )
    if start is not None and trace is None:
        raise UsageError("--start: is only for --trace; give both")
    found = sources(source, (".fk",))
    clouds = trace is None and all(holds_cloud(f) for f, _ in found)
    if not clouds:
        only_cpu(device, "pictures are decoded")
    if trace is not None:
        if len(found) > 1:
            raise UsageError("--trace: takes a single file; name one")
        if trace.suffix.lower() != ".gif":
            raise UsageError(f"--trace {trace}: give a name that ends in .gif")
        result = _write_trace(found[0][0], trace, start, steps, max_pixels)
        answer(result, as_json, f"{trace}: {result['frames']} frames")
        return
    made = _targets(found, out, suffix, force)
    items = [
        {
            "source": str(f), "target": str(t), "size": res, "window": window, "detail": detail,
            "deblock": deblock, "partial": partial, "max_pixels": max_pixels, "seed": seed,
            "points": None if points is None else int(points), "device": device if clouds else "cpu",
        }
        for (f, _), t in zip(found, made, strict=True)
    ]  # fmt: skip
    results, failures = run(decompress_file, items, jobs=jobs, cluster=cluster, force=force, bar="decompress")
    report(results, failures, _line, as_json)


def _targets(found: list[tuple[Path, Path]], out: Path | None, suffix: str | None, force: bool) -> list[Path]:
    """Output paths; those of clouds end in .ply unless another suffix is given.

    Raises:
        UsageError: a suffix with which no picture, or no cloud, can be written; or a name that nobody gave, of a file
            that exists already, such as the original.
    """
    from fractalkit.data.pictures import check_picture_suffix
    from fractalkit.data.writers import check_suffix

    if suffix is not None and not suffix.startswith("."):
        suffix = "." + suffix
    made = targets(found, out, suffix or ".png")
    for i, (f, _) in enumerate(found):
        if not holds_cloud(f):
            check_picture_suffix(made[i])
        elif suffix is None and made[i] != out:
            made[i] = made[i].with_suffix(".ply")
        else:
            check_suffix(made[i])
    if out is None and len(made) == 1 and made[0].exists() and not force:
        raise UsageError(f"{made[0]}: exists already; give --out another name, or --force to replace it")
    return made


def _line(r: dict[str, Any]) -> str:
    if "points" in r:
        return decompressed_line(r)
    return f"{r['target']}: {r['width']} x {r['height']}, {r['seconds']:.2f} s"


def decompress_file(item: dict[str, Any]) -> dict[str, Any]:
    """Decode one file; at the top level of the module, so that other processes can call it."""
    from fractalkit import fk
    from fractalkit.data.pictures import write_picture
    from fractalkit.files import check_writable

    began = time.perf_counter()
    check_writable(item["target"])
    code = fk.load(item["source"], max_pixels=item["max_pixels"], partial=item["partial"])
    if not hasattr(code, "width"):
        only_for("pictures", {k: item[v] for k, v in OF_PICTURES.items()})
        return decompress_cloud(item, code)
    only_for("clouds", {"points": item["points"]})
    samples = _decoded(code, item["size"], item["window"], item["detail"], item["deblock"])
    notes = write_picture(Path(item["target"]), samples, code.metadata)
    return {
        "source": item["source"], "target": item["target"], "width": samples.shape[1], "height": samples.shape[0],
        "seconds": round(time.perf_counter() - began, 3), "warnings": notes,
    }  # fmt: skip


def _decoded(
    code: Any, size: Size | None, window: Region | None, detail: float | None, deblock: bool | None
) -> np.ndarray:
    from fractalkit import fk

    stored = code.width, code.height
    if detail is None:
        made: np.ndarray = fk.decode_part(code, part_of(stored, size, window), deblock)
        return made
    if window is not None and window.unit == "old shares":
        raise UsageError("--detail: give --window in pixels of --res, or with percent signs")
    width, height = stored if size is None else size.pixels(stored, scales=True)
    if width * height * code.channels > MAX_OUTPUT and window is None:
        raise UsageError(f"--res {size}: {width:,} x {height:,} pixels are too many for memory; ask for a --window")
    box = None if window is None else window.pixels((width, height))
    made = fk.decode(code, height, width, window=box, deblock=deblock, detail=detail)
    return made


def part_of(stored: tuple[int, int], size: Size | None, window: Region | None) -> Part:
    """The part of a picture of a stored size (width, height) to decode."""
    if window is not None and window.unit == "old shares":  # --res was the size of the part
        x0, y0, x1, y1 = window.corners
        part = (x1 - x0) * stored[0], (y1 - y0) * stored[1]
        width, height = (None, None) if size is None else size.pixels(part, scales=True)
        return Part.of_shares(stored, window.corners, height, width)
    width, height = stored if size is None else size.pixels(stored, scales=True)
    return Part.of(stored, height, width, None if window is None else window.pixels((width, height)))


def _write_trace(path: Path, trace: Path, start: Path | None, steps: int, max_pixels: int) -> dict[str, Any]:
    import numpy as np
    from PIL import Image

    from fractalkit import fk
    from fractalkit.codes.quadtree import QuadtreeCode
    from fractalkit.data.pictures import read_picture
    from fractalkit.files import atomic_path, check_writable
    from fractalkit.maps.quadtree_picture import trace as iterates

    check_writable(trace)
    code = fk.load(path, max_pixels=max_pixels)
    if not isinstance(code, QuadtreeCode):
        raise DataError(f"{path}: only quadtree codes have iterates; --trace needs one")
    begin = None
    if start is not None:
        samples = read_picture(start).samples
        image = Image.fromarray((samples // 257).astype(np.uint8) if samples.dtype == np.uint16 else samples)
        mode = {1: "L", 3: "RGB", 4: "RGBA"}[code.channels]
        begin = np.asarray(image.convert(mode).resize((code.width, code.height), Image.Resampling.LANCZOS))
        if code.depth == 16:
            begin = begin.astype(np.uint16) * 257
    frames = []
    for x in iterates(code, begin, steps):
        x8 = (x // 257).astype(np.uint8) if x.dtype == np.uint16 else x
        image = Image.fromarray(x8).convert("RGB")
        image.thumbnail((960, 960))
        frames.append(image)
    with atomic_path(trace) as temporary:
        frames[0].save(
            temporary, "GIF", save_all=True, append_images=frames[1:], duration=[900] + [350] * (steps - 1) + [1500],
            loop=0,
        )  # fmt: skip
    return {"source": str(path), "target": str(trace), "frames": len(frames)}
