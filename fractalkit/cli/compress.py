"""``fractalkit compress``: pictures to ``.fk`` files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from fractalkit.cli.batch import full_name, report_failures, run, sources, targets
from fractalkit.cli.common import emit
from fractalkit.cli.completion import models
from fractalkit.errors import UsageError


@click.command(
    epilog="""\b
Examples:
  fractalkit compress photo.png                            photo.fk, quality 50
  fractalkit compress photo.png --bpp 0.5 -o small.fk
  fractalkit compress photo.png --bytes 20000 --effort 8
  fractalkit compress photo.png --psnr 34
  fractalkit compress album -o packed --quality 40         a folder, over all cores; done files are skipped
  fractalkit compress photo.png --method neural --bpp 0.4  one forward pass of a trained network
  fractalkit compress photo.png --method coin --bpp 0.3    a small network for this picture, fitted for minutes
  fractalkit compress "scans/*.tif" -o packed --cluster tcp://10.0.0.1:8786

Grey, RGB and RGBA of 8 or 16 bits; colour profile and EXIF are kept, pictures are turned upright."""
)
@click.argument("source", nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File, or folder.  [default: beside each source]")
@click.option("--quality", type=click.FloatRange(1, 100), metavar="X", help="1 to 100.  [default: 50]")
@click.option("--bpp", type=click.FloatRange(0, min_open=True), metavar="X", help="Bits a pixel of the file.")
@click.option("--bytes", "size", type=click.IntRange(1), metavar="N", help="Bytes of the file.")
@click.option("--psnr", type=click.FloatRange(0, min_open=True), metavar="X", help="Decibels over all channels.")
@click.option(
    "--effort", type=click.IntRange(0, 9), metavar="N", help="0 to 9, time for rate, quadtree and pifs.  [default: 5]"
)
@click.option(
    "--method", type=click.Choice(["quadtree", "pifs", "neural", "coin"]), default="quadtree", show_default=True,
    help="neural: neural collages, one forward pass. To compare with: pifs, ranges of one size, each a map; coin, a "
    "network fitted to each picture.",
)  # fmt: skip
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=models,
    help="Weights of neural, by name or path.  [default: what suits the rate]",
)
@click.option("--iterations", type=click.IntRange(1, 10**6), metavar="N", help="Steps of coin.  [default: 2000]")
@click.option("--chroma", type=click.Choice(["auto", "half", "full"]), help="Quadtree and pifs.  [default: auto]")
@click.option("--deblock/--no-deblock", default=None, help="Filter the borders of leaves.  [default: where it helps]")
@click.option("--max-pixels", type=click.IntRange(1), metavar="N", default=1 << 28, help="Larger pictures are refused.")
@click.option("--jobs", type=click.IntRange(1, 4096), metavar="N", help="Processes.  [default: one a core]")
@click.option("--cluster", metavar="ADDRESS", help="Spread the files over a Dask cluster.")
@click.option("--force", is_flag=True, help="Do files anew whose results are there.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Of quadtree's search.  [default: cpu]"
)
@click.option("--seed", type=int, metavar="N", help="Of coin; nothing else is drawn at random.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compress(
    source: tuple[str, ...], out: Path | None, quality: float | None, bpp: float | None, size: int | None,
    psnr: float | None, effort: int | None, method: str, model: str | None, iterations: int | None,
    chroma: str | None, deblock: bool | None, max_pixels: int, jobs: int | None,
    cluster: str | None, force: bool, device: str | None, seed: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Compress pictures: SOURCE is a file, a folder or a pattern."""
    from fractalkit import fk
    from fractalkit.data.pictures import SUFFIXES

    aims = {"quality": quality, "bpp": bpp, "bytes": size, "psnr": psnr}
    given = [k for k, v in aims.items() if v is not None]
    if len(given) > 1:
        raise UsageError(f"--{' and --'.join(given)} were given together; give one")
    found = sources(source, SUFFIXES)
    made = targets(found, out, ".fk")
    if method != "coin":
        seed = None  # fixed by there being none
    options: dict[str, Any] = {
        "effort": effort, "model": model, "iterations": iterations, "chroma": chroma, "deblock": deblock,
        "device": device, "seed": seed,
    }  # fmt: skip
    for name in (k for k, v in options.items() if v is not None and k not in fk.OPTIONS[method]):
        raise UsageError(f"--{name}: means nothing to --method {method}; leave it out")
    if quality is not None and "quality" not in fk.OPTIONS[method]:
        raise UsageError(f"--quality: means nothing to --method {method}; give --bpp or --bytes")
    if psnr is not None and "psnr" not in fk.OPTIONS[method]:
        raise UsageError(f"--psnr: means nothing to --method {method}; give --bpp or --bytes")
    if model is not None:
        options["model"] = full_name(model)
    options |= aims | {"method": method}
    items = [
        {"source": str(f), "target": str(t), "options": options, "max_pixels": max_pixels, "alone": len(found) == 1}
        for (f, _), t in zip(found, made, strict=True)
    ]
    results, failures = run(compress_file, items, jobs=jobs, cluster=cluster, force=force, bar="compress")
    for r in results:
        for note in r.get("warnings", ()):
            click.echo(f"fractalkit: warning: {note}", err=True)
        if not as_json:
            click.echo(_line(r))
    if as_json:
        emit({"files": results, "failed": failures})
    report_failures(failures, len(items))


def compress_file(item: dict[str, Any]) -> dict[str, Any]:
    """One file; importable, so that other processes can do it."""
    import numpy as np

    from fractalkit import fk
    from fractalkit.cli.common import pick_device
    from fractalkit.data.pictures import read_picture
    from fractalkit.files import atomic_path, check_writable

    began = time.perf_counter()
    check_writable(item["target"])
    picture = read_picture(Path(item["source"]), max_pixels=item["max_pixels"])
    options = dict(item["options"])
    if options["device"]:
        options["device"] = str(pick_device(options["device"]))
    if options["method"] in ("quadtree", "pifs") and not item["alone"]:
        options["threads"] = 1
    if options["method"] == "coin" and item["alone"]:
        code = _fitted(picture, options)
    else:
        code = fk.encode(picture.samples, metadata=picture.metadata, **options)
    data = code.to_bytes()
    with atomic_path(item["target"]) as temporary:
        temporary.write_bytes(data)
    seconds = time.perf_counter() - began
    error = 0.0
    if picture.samples.size <= 1 << 27:  # to measure is to decode, which for huge pictures nobody waits for
        d = fk.decode(code).astype(np.float64) - picture.samples
        error = float(np.mean(d * d))
    top = 255.0 if code.depth == 8 else 65535.0
    pixels = code.height * code.width
    return {
        "source": item["source"], "target": item["target"], "width": code.width, "height": code.height,
        "channels": code.channels, "depth": code.depth, "bytes": len(data), "bpp": 8 * len(data) / pixels,
        "psnr": 10 * float(np.log10(top**2 / error)) if error > 0 else None, "seconds": round(seconds, 3),
        "warnings": picture.warnings,
    }  # fmt: skip


def _fitted(picture: Any, options: dict[str, Any]) -> Any:
    """COIN takes minutes: with a bar of its own."""
    from tqdm import tqdm

    from fractalkit import fk

    with tqdm(desc="fit", unit="step", total=options["iterations"] or 2000, leave=False, disable=None) as bar:

        def tick(step: int, error: float) -> None:
            bar.update()
            if step % 50 == 0:
                bar.set_postfix_str(f"mean squared error {error:.5f}")

        return fk.encode(picture.samples, metadata=picture.metadata, callback=tick, **options)


def _line(r: dict[str, Any]) -> str:
    if r.get("skipped"):
        return f"{r['target']}: there already, skipped (--force does it anew)"
    psnr = f"{r['psnr']:.2f} dB, " if r["psnr"] is not None else ""
    return (
        f"{r['target']}: {r['width']} x {r['height']}, {r['bytes']:,} bytes, {r['bpp']:.3f} bits a pixel, {psnr}"
        f"{r['seconds']:.2f} s"
    )
