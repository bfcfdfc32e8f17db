"""Flames: samples per CPU second compared with flam3, memory of a large still, and time per frame of a zoom film.

    python -m recipes.benchmarks.flame_speed samples DIR      full colour, one thread, per flame; also the fern
    python -m recipes.benchmarks.flame_speed still            3840 x 2160 at quality 1000: peak memory, CPU seconds
    python -m recipes.benchmarks.flame_speed film             100 frames of 1920 x 1080 of a fern: time per frame
    python -m recipes.benchmarks.flame_speed thumbnails DIR   a hundred flames of 96 pixels, quality 30, one process
    python -m recipes.benchmarks.flame_speed zooms DIR        three flames to a millionth: time a frame, blank tiles

Rates of both programs are marginal: the CPU time of many samples minus that of few, without reading, compiling, tone
mapping and writing. Ours is the better of two runs, flam3's a single run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring, tostring

import click
import numpy as np
import torch

from fractalkit.codes import flame_xml, preset
from fractalkit.codes.flame import Flame, read_flames
from fractalkit.codes.flame_random import flame_of
from fractalkit.errors import FractalKitError
from fractalkit.orbit.flame import accumulate
from recipes.benchmarks.flames import by_flam3, elements, fitted, unknown
from recipes.benchmarks.report import peak_memory, put, save

SIDE = 256


@click.group()
def main() -> None:
    """Speed and memory of flames."""


def flam3_rate(e: Element, folder: Path, seconds: float = 1.5) -> float:
    """Marginal samples per CPU second of flam3-render."""
    e = fitted(e, SIDE, 20)
    e.set("estimator_radius", "0")
    w, h = (int(v) for v in e.get("size", "").split())

    def cost(quality: float) -> float:
        e.set("quality", repr(quality))
        return by_flam3(tostring(e), "s", folder)[1]

    few = cost(20.0)
    guess = max(cost(60.0) - few, 0.02)
    more = 20.0 + 40.0 * min(50.0, max(1.0, seconds / guess))
    return (more - 20.0) * w * h / max(cost(more) - few, 1e-3)


def our_rate(flame: Flame, seconds: float = 1.0) -> float:
    """Marginal samples per CPU second of :func:`accumulate`, on one thread, by a loop of its own."""
    flame = flame.expanded()

    def cost(n: int) -> float:
        t = time.process_time()
        accumulate(flame, n, threads=1, compiled=True)
        return time.process_time() - t

    cost(1000)  # compile or load
    few = cost(100_000)
    n = int(2e6 * min(40.0, max(1.0, seconds / max(cost(2_100_000) - few, 0.01))))
    return n / max(min(cost(n + 100_000) for _ in range(2)) - few, 1e-4)


def known(path: Path) -> list[tuple[str, Element, Flame]]:
    """Flames of a file whose variations both programs know."""
    out = []
    for k, e in enumerate(elements(path), 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                flame = read_flames(tostring(fitted(e, SIDE, 20)))[0]
            except FractalKitError:
                continue
        if not unknown(flame):
            out.append((f"{path.stem}:{k}", e, flame))
    return out


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--most", default=1000, help="Maximum number of flames.")
def samples(folder: Path, most: int) -> None:
    """Samples per CPU second, and the ratio to flam3."""
    fern = flame_of(
        preset("barnsley-fern"), size=(SIDE, SIDE), low=torch.tensor([-3.0, 0.0]), high=torch.tensor([3.0, 10.0])
    )
    todo = [("fern", fromstring(flame_xml.to_xml([fern])).find("flame"), fern)]
    for path in sorted([*folder.rglob("*.flame"), *folder.rglob("*.flam3")]):
        todo += known(path)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, e, flame in todo[: most + 1]:
            assert e is not None
            try:
                theirs = flam3_rate(e, Path(scratch))
            except (subprocess.SubprocessError, OSError):
                continue
            ours = our_rate(flame)
            rows.append({"flame": name, "ours, M/s": ours / 1e6, "flam3, M/s": theirs / 1e6, "ratio": ours / theirs})
            click.echo(f"{name}: {ours / 1e6:.1f} {theirs / 1e6:.1f} {ours / theirs:.2f}", err=True)
    real = [r for r in rows if r["flame"] != "fern"]
    columns = ("ours, M/s", "flam3, M/s", "ratio")
    slowest = min(real, key=lambda r: r["ratio"])
    summary = [
        rows[0],
        {"flame": f"median of {len(real)} flames"} | {c: float(np.median([r[c] for r in real])) for c in columns},
        slowest | {"flame": f"least: {slowest['flame']}"},
    ]
    put(summary)
    click.echo(str(save("flame_speed", rows, summary=summary)))


@main.command()
@click.option("--inside", is_flag=True, hidden=True)
@click.option("--quality", default=1000.0)
def still(inside: bool, quality: float) -> None:
    """A still of 3840 x 2160 of a random flame, in a separate process."""
    if not inside:
        done = [
            subprocess.run(
                [sys.executable, "-m", "recipes.benchmarks.flame_speed", "still", "--inside", "--quality", str(q)],
                check=True, capture_output=True, text=True,
            ).stdout.split()
            for q in (1.0, quality)
        ]  # fmt: skip
        rows = [
            {"quality": q, "peak MiB": float(p), "CPU s": float(s)}
            for q, (p, s) in zip((1.0, quality), done, strict=True)
        ]
        picture = 3840 * 2160 * 3 * 4 / (1 << 20)
        put(rows)
        click.echo(f"the picture in float32: {picture:.0f} MiB")
        click.echo(str(save("flame_still", rows, picture_mib=picture)))
        return
    from fractalkit.codes.flame_random import random_flame
    from fractalkit.render.colours_from import colour_table
    from fractalkit.render.flame import render_flame, to_8_bit
    from fractalkit.render.flame_sheet import worth_seeing

    flame = worth_seeing(lambda rng: random_flame(rng, colour_table("aurora"), size=(256, 144)), 1, seed=3)[0]
    t = time.process_time()
    to_8_bit(render_flame(flame, size=(3840, 2160), quality=quality, threads=2))
    click.echo(f"{peak_memory():.0f} {time.process_time() - t:.1f}")


@main.command()
@click.option("--frames", default=100)
@click.option("--source", default="barnsley-fern")
def film(frames: int, source: str) -> None:
    """Time per frame of a zoom film, 1920 x 1080, up to a magnification of 1e9."""
    from fractalkit.render.windows import open_source
    from fractalkit.render.zoom import Approach, interesting

    opened = open_source(source, quality=30.0, seed=0)
    way = Approach(interesting(opened, 1e9), 1e9, frames, 1920 / 1080)
    seconds = []
    for k, box in enumerate(way):
        t = time.process_time()
        opened.window(*box, 1920, 1080)
        if k:  # the first frame compiles
            seconds.append(time.process_time() - t)
    rows = [
        {"frames": name, "CPU s per frame, median": float(np.median(s)), "longest": float(max(s))}
        for name, s in zip(("first third", "second", "last"), np.array_split(seconds, 3), strict=True)
    ]
    put(rows)
    click.echo(str(save("flame_film", rows, frames=frames, source=source)))


def whole_flames(folders: tuple[Path, ...]) -> list[tuple[str, Flame]]:
    """The flames of folders that are drawn whole, in the order of their names."""
    out = []
    for path in sorted(p for f in folders for p in [*f.rglob("*.flame"), *f.rglob("*.flam3")]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                flames = read_flames(path)
            except FractalKitError:
                continue
        out += [(f"{path.stem}:{k}", f) for k, f in enumerate(flames, 1) if f.whole]
    return out


FOLDERS = click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))


@main.command()
@FOLDERS
@click.option("-n", "count", default=100)
def thumbnails(folders: tuple[Path, ...], count: int) -> None:
    """CPU seconds of small pictures of different flames, evenly chosen, in one process; the first one by itself."""
    from fractalkit.render.flame import render_flame, to_8_bit

    found = whole_flames(folders)
    rows: list[dict[str, Any]] = []
    spent: list[float] = []
    for k in range(count):
        name, flame = found[k * len(found) // count]
        ratio = 96 / max(flame.size)
        size = (max(8, round(flame.size[0] * ratio)), max(8, round(flame.size[1] * ratio)))
        t = time.process_time()
        to_8_bit(render_flame(flame, size=size, quality=30, threads=1, batches=1))
        spent.append(time.process_time() - t)
        rows.append({"flame": name, "CPU s": spent[-1]})
    summary = {
        "flames": count, "CPU s in all": sum(spent), "the first": spent[0], "median": float(np.median(spent)),
        "longest of the others": max(spent[1:]),
    }  # fmt: skip
    put([summary])
    click.echo(str(save("flame_thumbnails", rows, summary=summary)))


PLANE = {"linear", "linear3D", "pre_linear", "post_linear", "affine3D"}


@main.command()
@FOLDERS
@click.option("--depth", default=1e6)
@click.option("--frames", default=7)
def zooms(folders: tuple[Path, ...], depth: float, frames: int) -> None:
    """Zooms into three flames, evenly chosen of those without an affine map and without layers."""
    from fractalkit.render.viewer import tiles
    from fractalkit.render.windows import windows_of
    from fractalkit.render.zoom import Approach, interesting

    found = [
        (name, f)
        for name, f in whole_flames(folders)
        if not f.layers and all(set(x.variations) - PLANE for x in f.xforms)
    ]
    rows: list[dict[str, Any]] = []
    levels = round(np.log2(depth)) + 1
    for k in range(3):
        name, flame = found[(2 * k + 1) * len(found) // 6]
        windows: Any = windows_of(flame)
        at = interesting(windows, depth)
        kept, why = windows.reach(at, depth, 320)
        windows.aim(at)
        spent, dark = [], 0
        for box in Approach(at, kept, frames, 9 / 16, windows.aspect):
            windows.window(*box, 320, 180)
            t = time.process_time()
            dark += int(windows.window(*box, 320, 180).max() < 16)
            spent.append(time.process_time() - t)
        blank, drawn = 0, 0
        for level, column, row in tiles(windows.aspect, levels, 1, at, near=1):
            if level in (levels // 2, levels - 1):
                n = 1 << level
                blank += int(windows.window(column / n, row / n, (column + 1) / n, (row + 1) / n, 64, 64).max() < 16)
                drawn += 1
        rows.append({
            "flame": name, "depth": kept, "why": why, "blank frames": dark, "blank tiles": blank, "tiles": drawn,
            "CPU s a frame, second": spent[1], "middle": spent[frames // 2], "last": spent[-1],
        })  # fmt: skip
        click.echo(str(rows[-1]), err=True)
    put(rows)
    click.echo(str(save("flame_zooms", rows, depth=depth)))


if __name__ == "__main__":
    main()
