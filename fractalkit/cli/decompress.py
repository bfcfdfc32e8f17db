"""``fractalkit decompress``: ``.fk`` files to pictures of any size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from fractalkit.cli.batch import report_failures, run, sources, targets
from fractalkit.cli.common import emit
from fractalkit.errors import DataError, UsageError


@click.command(
    epilog="""\b
Examples:
  fractalkit decompress photo.fk                             photo.png
  fractalkit decompress photo.fk --res 4x -o large.png       four times as wide and high
  fractalkit decompress photo.fk --res 1920 -o desk.jpg      the longer side
  fractalkit decompress photo.fk --window 0.4,0.3,0.6,0.5 --res 1600x1200 -o part.png
  fractalkit decompress photo.fk --trace film.gif            the iterates, from grey
  fractalkit decompress packed -o pictures                   a folder; done files are skipped
  fractalkit decompress begun.fk --partial                   what there is of a file that was cut off

The suffix of --out decides the format: png, jpg, webp, avif, tif and others."""
)
@click.argument("source", nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File, or folder.  [default: beside each source]")
@click.option("--suffix", default=".png", show_default=True, metavar=".EXT", help="Format of files in a folder.")
@click.option("--res", metavar="Nx|N|WxH", help="Size: times the original, the longer side, or both sides.")
@click.option("--window", metavar="x0,y0,x1,y1", help="Show this part only; 0 to 1, from the upper left.")
@click.option("--deblock/--no-deblock", default=None, help="Filter the borders of leaves.  [default: as coded]")
@click.option("--trace", type=click.Path(path_type=Path), help="Write the iterates as an animated GIF instead.")
@click.option("--steps", type=click.IntRange(1, 200), default=10, show_default=True, help="Of the trace.")
@click.option("--start", type=click.Path(path_type=Path), help="Picture that the trace starts from.")
@click.option("--partial", is_flag=True, help="Take the beginning of a file.")
@click.option("--max-pixels", type=click.IntRange(1), metavar="N", default=1 << 28, help="Larger pictures are refused.")
@click.option("--jobs", type=click.IntRange(1, 4096), metavar="N", help="Processes.  [default: one a core]")
@click.option("--cluster", metavar="ADDRESS", help="Spread the files over a Dask cluster.")
@click.option("--force", is_flag=True, help="Do files anew whose results are there.")
@click.option("--seed", type=int, hidden=True)
@click.option("--device", type=click.Choice(["auto", "cpu"]), default="cpu", hidden=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def decompress(
    source: tuple[str, ...], out: Path | None, suffix: str, res: str | None, window: str | None, deblock: bool | None,
    trace: Path | None, steps: int, start: Path | None, partial: bool, max_pixels: int, jobs: int | None,
    cluster: str | None, force: bool, seed: int | None, device: str, as_json: bool,
) -> None:  # fmt: skip
    """Turn .fk files into pictures: SOURCE is a file, a folder or a pattern."""
    from fractalkit.data.pictures import check_picture_suffix

    size, part = parse_res(res), parse_window(window)
    if start is not None and trace is None:
        raise UsageError("--start: is where a --trace begins; give both")
    found = sources(source, (".fk",))
    if trace is not None:
        if len(found) > 1:
            raise UsageError("--trace: is made of one file; name one")
        if trace.suffix.lower() != ".gif":
            raise UsageError(f"--trace {trace}: give a name that ends in .gif")
        result = _write_trace(found[0][0], trace, start, steps, max_pixels)
        emit(result) if as_json else click.echo(f"{trace}: {result['frames']} frames")
        return
    if not suffix.startswith("."):
        suffix = "." + suffix
    made = targets(found, out, suffix)
    for target in made:
        check_picture_suffix(target)
    items = [
        {
            "source": str(f), "target": str(t), "size": size, "window": part, "deblock": deblock, "partial": partial,
            "max_pixels": max_pixels,
        }
        for (f, _), t in zip(found, made, strict=True)
    ]  # fmt: skip
    results, failures = run(decompress_file, items, jobs=jobs, cluster=cluster, force=force, bar="decompress")
    for r in results:
        for note in r.get("warnings", ()):
            click.echo(f"fractalkit: warning: {note}", err=True)
        if not as_json:
            there = f"{r['target']}: there already, skipped (--force does it anew)"
            click.echo(
                there if r.get("skipped") else f"{r['target']}: {r['width']} x {r['height']}, {r['seconds']:.2f} s"
            )
    if as_json:
        emit({"files": results, "failed": failures})
    report_failures(failures, len(items))


def parse_res(text: str | None) -> tuple[str, float, float] | None:
    """("times", k, k), ("longer", n, n) or ("both", width, height).

    >>> parse_res("4x"), parse_res("1440"), parse_res("640x480")
    (('times', 4.0, 4.0), ('longer', 1440.0, 1440.0), ('both', 640.0, 480.0))
    """
    if text is None:
        return None
    plain = text.strip().lower()
    try:
        if plain.endswith("x"):
            kind, a = "times", float(plain[:-1])
            b = a
        elif "x" in plain:
            kind = "both"
            a, b = (float(int(v)) for v in plain.split("x"))
        else:
            kind, a = "longer", float(int(plain))
            b = a
    except ValueError:
        raise UsageError(f"--res {text}: expected a factor such as 4x, a side such as 1440, or 1920x1080") from None
    if not (0 < a < 1e9 and 0 < b < 1e9):
        raise UsageError(f"--res {text}: expected sizes above 0 and below a thousand million")
    return kind, a, b


def parse_window(text: str | None) -> tuple[float, float, float, float] | None:
    """Four numbers in [0, 1]."""
    if text is None:
        return None
    try:
        x0, y0, x1, y1 = (float(v) for v in text.split(","))
    except ValueError:
        raise UsageError(f"--window {text}: expected x0,y0,x1,y1 between 0 and 1") from None
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise UsageError(f"--window {text}: expected 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1")
    return x0, y0, x1, y1


def decompress_file(item: dict[str, Any]) -> dict[str, Any]:
    """One file; importable, so that other processes can do it."""
    from fractalkit import fk
    from fractalkit.data.pictures import write_picture
    from fractalkit.files import check_writable

    began = time.perf_counter()
    check_writable(item["target"])
    code = fk.load(item["source"], max_pixels=item["max_pixels"], partial=item["partial"])
    window = item["window"]
    w = code.width * ((window[2] - window[0]) if window else 1)
    h = code.height * ((window[3] - window[1]) if window else 1)
    height = width = None
    if item["size"] is not None:
        kind, a, b = item["size"]
        k = a if kind == "times" else a / max(w, h)
        width, height = (round(a), round(b)) if kind == "both" else (max(1, round(w * k)), max(1, round(h * k)))
    samples = fk.decode(code, height, width, window=window, deblock=item["deblock"])
    notes = write_picture(Path(item["target"]), samples, code.metadata)
    return {
        "source": item["source"], "target": item["target"], "width": samples.shape[1], "height": samples.shape[0],
        "seconds": round(time.perf_counter() - began, 3), "warnings": notes,
    }  # fmt: skip


def _write_trace(path: Path, trace: Path, start: Path | None, steps: int, max_pixels: int) -> dict[str, Any]:
    import numpy as np
    from PIL import Image

    from fractalkit import fk
    from fractalkit.codes.quadtree import QuadtreeCode
    from fractalkit.data.pictures import read_picture
    from fractalkit.files import atomic_path, check_writable
    from fractalkit.maps.quadtree import trace as iterates

    check_writable(trace)
    code = fk.load(path, max_pixels=max_pixels)
    if not isinstance(code, QuadtreeCode):
        raise DataError(f"{path}: only quadtree codes have iterates to show")
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
            temporary,
            "GIF",
            save_all=True,
            append_images=frames[1:],
            duration=[900] + [350] * (steps - 1) + [1500],
            loop=0,
        )
    return {"source": str(path), "target": str(trace), "frames": len(frames)}
