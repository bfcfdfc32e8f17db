"""``fractalkit compress``: compress pictures and clouds to ``.fk`` files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from fractalkit.cli.batch import full_name, report, run, sources, targets
from fractalkit.cli.cloud_files import CLOUDS, compress_cloud, compressed_line, is_cloud
from fractalkit.cli.completion import models
from fractalkit.cli.options import PATH, Real, Whole, json_option, max_pixels_option, source_argument, spread_options
from fractalkit.codec.methods import METHODS
from fractalkit.errors import UsageError


@click.command(
    epilog="""\b
Examples:
  fractalkit compress photo.png                            photo.fk, quality 50
  fractalkit compress photo.png --bpp 0.5 -o small.fk
  fractalkit compress photo.png --bytes 20000 --effort 8
  fractalkit compress photo.png --psnr 34
  fractalkit compress photo.png --bpp 0.3 --tune eye       errors where they are least visible
  fractalkit compress screenshot.png --lossless            every sample; best for text and drawings
  fractalkit compress album -o packed --quality 40         a folder, on all cores; skips existing files
  fractalkit compress photo.png --method neural --bpp 0.4  one forward pass of a trained network
  fractalkit compress photo.png --method coin --bpp 0.3    a small network fitted to this picture, in minutes
  fractalkit compress "scans/*.tif" -o packed --cluster tcp://10.0.0.1:8786
  fractalkit compress scan.ply --bytes 4000                a cloud or mesh, as a collage of itself

Grey, RGB and RGBA with 8 or 16 bits. Colour profiles and EXIF data are kept; the EXIF orientation is applied."""
)
@source_argument("source", nargs=-1, required=True)
@click.option("-o", "--out", type=PATH, help="Output file or folder.  [default: beside each source]")
@click.option("--quality", type=Real(1, 100), help="Quality, from 1 to 100.  [default: 50]")
@click.option("--bpp", type=Real(0, min_open=True), help="Size of the file in bits per pixel.")
@click.option("--bytes", "size", type=Whole(1), help="Size of the file in bytes, to within 1 %.")
@click.option("--psnr", type=Real(0, min_open=True), help="PSNR over all channels, in decibels.")
@click.option(
    "--effort",
    type=Whole(0, 9),
    help="From 0 to 9, more time for a smaller file (quadtree, pifs, cloud).  [default: 5]",
)
@click.option(
    "--tune",
    type=click.Choice(["psnr", "eye"]),
    help="Least squared error, or errors weighed by how visible they are (quadtree).  [default: psnr]",
)
@click.option(
    "--method", type=click.Choice(list(METHODS)), default="auto",
    help="auto: quadtree, or lossless, if need be in fewer colours, where that is better, as for text and drawings; "
    "lossless: copies of earlier pixels and differences; cloud, for clouds and meshes; neural: neural collages, one "
    "forward pass; as baselines, pifs: ranges of one size, one map each, and coin: a network fitted to each picture.",
)  # fmt: skip
@click.option("--lossless", is_flag=True, help="Keep every sample: short for --method lossless.")
@click.option(
    "--model", metavar="NAME", shell_complete=models,
    help="Weights for neural, by name or path.  [default: chosen by rate]",
)  # fmt: skip
@click.option("--iterations", type=Whole(1, 10**6), help="Optimiser steps of coin.  [default: 2000]")
@click.option(
    "--chroma", type=click.Choice(["auto", "half", "full"]), help="Chroma resolution (quadtree, pifs).  [default: auto]"
)
@click.option("--deblock/--no-deblock", default=None, help="Filter block edges when decoding.  [default: if it helps]")
@max_pixels_option
@spread_options("files")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    help="Device of the search (quadtree).  [default: cpu]",
)
@click.option("--seed", type=int, metavar="N", help="Random seed (coin, cloud).")
@json_option
def compress(
    source: tuple[str, ...], out: Path | None, quality: float | None, bpp: float | None, size: int | None,
    psnr: float | None, effort: int | None, tune: str | None, method: str, lossless: bool, model: str | None,
    iterations: int | None, chroma: str | None, deblock: bool | None, max_pixels: int, jobs: int | None,
    cluster: str | None, force: bool, device: str | None, seed: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Compress pictures and clouds. SOURCE is a file, a folder or a pattern."""
    from fractalkit.data.pictures import SUFFIXES

    if lossless:
        if method not in ("auto", "lossless"):
            raise UsageError(f"--lossless and --method {method} were given together; give one")
        method = "lossless"
    found = sources(source, (*SUFFIXES, *CLOUDS))
    made = targets(found, out, ".fk")
    aims = {"quality": quality, "bpp": bpp, "bytes": size, "psnr": psnr}
    options: dict[str, Any] = {
        "effort": effort, "tune": tune, "model": model, "iterations": iterations, "chroma": chroma, "deblock": deblock,
        "device": device, "seed": seed,
    }  # fmt: skip
    ways = ["cloud" if is_cloud(f) and method in ("auto", "cloud") else method for f, _ in found]
    checked = {way: _checked(way, aims, options) | {"method": way} for way in dict.fromkeys(ways)}
    items = [
        {"source": str(f), "target": str(t), "options": checked[way], "max_pixels": max_pixels,
         "alone": len(found) == 1}
        for (f, _), t, way in zip(found, made, ways, strict=True)
    ]  # fmt: skip
    results, failures = run(compress_file, items, jobs=jobs, cluster=cluster, force=force, bar="compress")
    report(results, failures, _line, as_json)


def _checked(method: str, aims: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """All options of the encoder.

    Raises:
        UsageError: several aims (quality, bpp, bytes, psnr), or an option that the method does not have.
    """
    given = [k for k, v in aims.items() if v is not None]
    if len(given) > 1:
        raise UsageError(f"--{' and --'.join(given)} were given together; give one")
    known = METHODS[method].options
    options = options | ({} if "seed" in known else {"seed": None})  # harmless where nothing is random
    for name, value in (options | aims).items():
        if value is not None and name not in known:
            others = [k for k in aims if k in known]
            instead = f"give --{' or --'.join(others)}" if name in aims and others else "leave it out"
            raise UsageError(f"--{name}: has no effect with --method {method}; {instead}")
    if options["model"] is not None:
        options["model"] = full_name(options["model"])
    return options | aims


def compress_file(item: dict[str, Any]) -> dict[str, Any]:
    """Compress one file; at the top level of the module, so that other processes can call it."""
    import numpy as np

    from fractalkit import fk
    from fractalkit.cli.common import pick_device
    from fractalkit.data.pictures import read_picture
    from fractalkit.files import atomic_path, check_writable
    from fractalkit.raster.samples import sum_of_squares

    began = time.perf_counter()
    check_writable(item["target"])
    if item["options"]["method"] == "cloud":
        return compress_cloud(item)
    picture = read_picture(Path(item["source"]), max_pixels=item["max_pixels"])
    options = dict(item["options"])
    if options["device"]:
        options["device"] = str(pick_device(options["device"]))
    if options["method"] in ("auto", "quadtree", "pifs") and not item["alone"]:
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
    if picture.samples.size <= 1 << 27:  # measuring means decoding, too slow for huge pictures
        error = sum_of_squares(fk.decode(code), picture.samples) / picture.samples.size
    top = 255.0 if code.depth == 8 else 65535.0
    pixels = code.height * code.width
    return {
        "source": item["source"], "target": item["target"], "width": code.width, "height": code.height,
        "channels": code.channels, "depth": code.depth, "bytes": len(data), "bpp": 8 * len(data) / pixels,
        "psnr": 10 * float(np.log10(top**2 / error)) if error > 0 else None, "seconds": round(seconds, 3),
        "warnings": picture.warnings,
    }  # fmt: skip


def _fitted(picture: Any, options: dict[str, Any]) -> Any:
    """Fit a COIN, which takes minutes, with a progress bar."""
    from tqdm import tqdm

    from fractalkit import fk

    with tqdm(desc="fit", unit="step", total=options["iterations"] or 2000, leave=False, disable=None) as bar:

        def tick(step: int, error: float) -> None:
            bar.update()
            if step % 50 == 0:
                bar.set_postfix_str(f"mean squared error {error:.5f}")

        return fk.encode(picture.samples, metadata=picture.metadata, callback=tick, **options)


def _line(r: dict[str, Any]) -> str:
    if "points" in r:
        return compressed_line(r)
    psnr = f"{r['psnr']:.2f} dB, " if r["psnr"] is not None else ""
    return (
        f"{r['target']}: {r['width']} x {r['height']}, {r['bytes']:,} bytes, {r['bpp']:.3f} bits per pixel, {psnr}"
        f"{r['seconds']:.2f} s"
    )
