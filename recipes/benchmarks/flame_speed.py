"""Flames: samples a CPU second beside flam3, memory of a large still, and time a frame of a zoom film.

    python -m recipes.benchmarks.flame_speed samples DIR      full colour, one thread, flame by flame; the fern too
    python -m recipes.benchmarks.flame_speed still            3840 x 2160 at quality 1000: peak memory, CPU seconds
    python -m recipes.benchmarks.flame_speed film             100 frames of 1920 x 1080 into a fern: time of each

Both programs' samples are counted at the margin: the CPU time of many samples less that of few, so that reading,
compiling, tone mapping and writing are in neither. Ours is the better of two runs, flam3's one run.
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
from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_random import flame_of
from fractalkit.errors import FractalKitError
from fractalkit.orbit.flame import accumulate
from recipes.benchmarks.flames import by_flam3, elements, fitted, unknown
from recipes.benchmarks.report import peak_memory, save, table

SIDE = 256


@click.group()
def main() -> None:
    """Speed and memory of flames."""


def flam3_rate(e: Element, folder: Path, seconds: float = 1.5) -> float:
    """Samples a CPU second of flam3-render, at the margin."""
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
    """Samples a CPU second of :func:`accumulate`, at the margin, one thread."""
    flame = flame.expanded()

    def cost(n: int) -> float:
        t = time.process_time()
        accumulate(flame, n, threads=1)
        return time.process_time() - t

    cost(1000)  # compile, or fetch from disk
    few = cost(100_000)
    n = int(2e6 * min(40.0, max(1.0, seconds / max(cost(2_100_000) - few, 0.01))))
    return n / max(min(cost(n + 100_000) for _ in range(2)) - few, 1e-4)


def known(path: Path) -> list[tuple[str, Element, Flame]]:
    """Flames of a file whose variations both programs have."""
    out = []
    for k, e in enumerate(elements(path), 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                flame = flame_xml.read_flames(tostring(fitted(e, SIDE, 20)))[0]
            except FractalKitError:
                continue
        if not unknown(flame):
            out.append((f"{path.stem}:{k}", e, flame))
    return out


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--most", default=1000, help="Flames at most.")
def samples(folder: Path, most: int) -> None:
    """Samples a CPU second, ours over flam3's."""
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
    click.echo(table(summary, list(summary[0])))
    click.echo(str(save("flame_speed", rows, summary=summary)))


@main.command()
@click.option("--inside", is_flag=True, hidden=True)
@click.option("--quality", default=1000.0)
def still(inside: bool, quality: float) -> None:
    """A still of 3840 x 2160 of a random flame, in a process of its own."""
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
        click.echo(table(rows, list(rows[0])))
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
    """Frames of a zoom film, 1920 x 1080, down to a thousand million times: is the time of a frame flat?"""
    from fractalkit.render.zoom import Approach, interesting, open_source

    opened = open_source(source, quality=30.0, seed=0)
    way = Approach(interesting(opened, 1e9), 1e9, frames, 1920 / 1080)
    seconds = []
    for k, box in enumerate(way):
        t = time.process_time()
        opened.window(*box, 1920, 1080)
        if k:  # the first one compiles
            seconds.append(time.process_time() - t)
    rows = [
        {"frames": name, "CPU s a frame, median": float(np.median(s)), "longest": float(max(s))}
        for name, s in zip(("first third", "second", "last"), np.array_split(seconds, 3), strict=True)
    ]
    click.echo(table(rows, list(rows[0])))
    click.echo(str(save("flame_film", rows, frames=frames, source=source)))


if __name__ == "__main__":
    main()
