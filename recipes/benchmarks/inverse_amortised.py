"""Fits of codes of three to six maps whose singular values are uniform, the kind that networks are trained to invert.

Yamaguti (*Amortized Set Prediction for Inverse IFS*) reports a Chamfer distance of .0259 after 30 steps of refinement
and .0195 after 1,000. How its clouds are scaled is not known to us: distances here are shares of the diagonal.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.random import random_ifs
from fractalkit.fit import compare_clouds, density_distance, fit_cloud
from fractalkit.orbit import sample
from recipes.benchmarks.inverse_random import CHAMFER, DENSITY
from recipes.benchmarks.report import put, put_progress, save, timed

SHOWN = ["number", "points", "K", "found", "chamfer", "floor", "density", "recovered", "cpu_seconds"]
_SEEDS = 777_000  # of the codes; training draws its own by another generator


def drawn(number: int) -> AffineIFS:
    """The code of a number."""
    g = torch.Generator().manual_seed(_SEEDS + number)
    k = int(torch.randint(3, 7, (), generator=g))
    return random_ifs(k, 2, rule="scales", generator=g)


def judged(number: int, points: int, effort: int, maps: str) -> dict[str, Any]:
    """Fit a sample of a code's attractor and compare on new points."""
    code = drawn(number)
    fitted, x, again = (sample(code, points, seed=s + number).points.numpy() for s in (10_000, 20_000, 30_000))
    with timed() as t:
        found = fit_cloud(fitted, maps="auto" if maps == "auto" else len(code), effort=effort)
    y = sample(found, points, seed=40_000 + number).points.numpy()
    chamfer, floor = (compare_clouds(c, x, points=None).chamfer for c in (y, again))
    density = density_distance(y, x) / density_distance(again, x)
    return {
        "number": number, "points": points, "effort": effort, "maps": maps, "K": len(code), "found": len(found),
        "chamfer": chamfer, "floor": floor, "density": density,
        "recovered": chamfer <= CHAMFER * floor and density <= DENSITY, "cpu_seconds": t.cpu,
    }  # fmt: skip


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each number of points."""
    out = []
    for points in sorted({r["points"] for r in rows}):
        here = [r for r in rows if r["points"] == points]
        middle = {f: float(np.median([r[f] for r in here])) for f in ("chamfer", "floor", "density", "cpu_seconds")}
        out.append(
            {
                "points": points, "cases": len(here), "chamfer": middle["chamfer"], "floor": middle["floor"],
                "over floor": float(np.median([r["chamfer"] / r["floor"] for r in here])),
                "density": middle["density"], "recovered": f"{100 * np.mean([r['recovered'] for r in here]):.0f} %",
                "K right": sum(r["K"] == r["found"] for r in here), "cpu s": middle["cpu_seconds"],
                "longest": max(r["cpu_seconds"] for r in here),
            }
        )  # fmt: skip
    return out


@click.command("amortised")
@click.option("--cases", default=40, show_default=True)
@click.option("--first", default=0, show_default=True, help="Number of the first code.")
@click.option("--points", multiple=True, type=int, default=[2000, 20_000], show_default=True, help="May be repeated.")
@click.option("--effort", default=0, show_default=True)
@click.option("--maps", type=click.Choice(["given", "auto"]), default="given", show_default=True)
@click.option("--name", default="inverse_amortised", show_default=True, help="Name of the results.")
def amortised(cases: int, first: int, points: tuple[int, ...], effort: int, maps: str, name: str) -> None:
    """Codes of the kind that networks are trained to invert, at effort 0."""
    judged(first, points[0], effort, maps)  # compiles, and reads the weights
    rows: list[dict[str, Any]] = []
    for n in points:
        for number in range(first, first + cases):
            rows.append(judged(number, n, effort, maps))
            put_progress(rows[-1], SHOWN)
    put(summary(rows))
    save(name, rows, summary=summary(rows))
