"""Fits of random codes, which nobody chose: clouds of the plane and of space, K given or not.

Recovered is a code whose attractor is within 1.1 times the sampling floor in the Chamfer distance and within 1.3 times
in the total variation of the density, both on new points.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np

from fractalkit.fit import compare_clouds, density_distance, fit_cloud
from fractalkit.orbit import sample
from recipes.benchmarks.random_codes import PLANE, RULES, SPACE, Case, draw_case
from recipes.benchmarks.report import load, put, put_progress, save, timed

CHAMFER, DENSITY = 1.1, 1.3  # limits over the floors,
FLOORS = 5  # medians of so many samples: those of small dusts differ by a fifth
SHOWN = ["space", "number", "points", "K", "found", "chamfer", "hausdorff", "density", "recovered", "cpu_seconds"]


def judged(case: Case, points: int, effort: int, seed: int, maps: int | str) -> dict[str, Any]:
    """Fit a sample of a case's attractor and compare the attractors on new points."""
    fitted, x = (sample(case.code, points, seed=s + case.number).points.numpy() for s in (1000, 2000))
    with timed() as t:
        code = fit_cloud(fitted, maps=maps, effort=effort, seed=seed)
    y = sample(code, points, seed=4000 + case.number).points.numpy()
    got, density = compare_clouds(y, x, points=None), density_distance(y, x)
    chamfer, hausdorff, least = _floors(case, points, x)
    ratio = {"chamfer": got.chamfer / chamfer, "hausdorff": got.hausdorff / hausdorff, "density": density / least}
    return {
        "space": case.code.dim, "number": case.number, "points": points, "effort": effort,
        "rule": case.rule, "kinds": list(case.kinds), "K": case.maps, "found": len(code), **ratio,
        "total variation": density, "recovered": ratio["chamfer"] <= CHAMFER and ratio["density"] <= DENSITY,
        "seconds": t.wall, "cpu_seconds": t.cpu,
    }  # fmt: skip


def _floors(case: Case, points: int, x: np.ndarray) -> tuple[float, float, float]:
    """Medians of the Chamfer and Hausdorff distances and the total variation from other samples of the code to one."""
    rows = []
    for i in range(FLOORS):
        again = sample(case.code, points, seed=3000 + 10_000 * i + case.number).points.numpy()
        c = compare_clouds(again, x, points=None)
        rows.append((c.chamfer, c.hausdorff, density_distance(again, x)))
    chamfer, hausdorff, density = np.median(rows, axis=0)
    return float(chamfer), float(hausdorff), float(density)


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each rule and each kind of code, and for all, in the plane and in space and by number of points."""
    out = []
    for dim, points in sorted({(r["space"], r["points"]) for r in rows}, key=lambda p: (p[0], -p[1])):
        here = [r for r in rows if (r["space"], r["points"]) == (dim, points)]
        kinds = sorted({k for r in here for k in r["kinds"]})
        parts = [("all", here)] + [(rule, [r for r in here if r["rule"] == rule]) for rule in RULES]
        parts += [(kind, [r for r in here if kind in r["kinds"]]) for kind in kinds]
        for name, some in parts:
            if some:
                out.append(_line(dim, points, name, some))
    return out


def _line(dim: int, points: int, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    middle = {f: float(np.median([r[f] for r in rows])) for f in ("chamfer", "hausdorff", "density", "cpu_seconds")}
    right = sum(r["found"] == r["K"] for r in rows)
    return {
        "space": dim, "points": points, "codes": name, "cases": len(rows),
        "recovered": f"{100 * np.mean([r['recovered'] for r in rows]):.0f} %", "K right": right,
        "chamfer": middle["chamfer"], "hausdorff": middle["hausdorff"], "density": middle["density"],
        "cpu s": middle["cpu_seconds"], "longest": max(r["cpu_seconds"] for r in rows),
    }  # fmt: skip


@click.command("random")
@click.option("--plane", default=len(PLANE), show_default=True, help="Cases in the plane.")
@click.option("--space", default=len(SPACE), show_default=True, help="Cases in space.")
@click.option("--first", default=0, show_default=True, help="Number of the first case; those below 40 are the suite.")
@click.option("--points", multiple=True, type=int, default=[20_000, 2000], show_default=True, help="May be repeated.")
@click.option("--effort", default=5, show_default=True)
@click.option("--maps", type=click.Choice(["given", "auto"]), default="given", show_default=True)
@click.option("--name", help="Name of the results; by default inverse_random or inverse_random_auto.")
@click.option("--more", is_flag=True, help="Keep the rows of an earlier run at this effort and add others.")
def random(
    plane: int, space: int, first: int, points: tuple[int, ...], effort: int, maps: str, name: str | None, more: bool
) -> None:
    """Random codes by three rules, as clouds."""
    name = name or ("inverse_random_auto" if maps == "auto" else "inverse_random")
    rows = [r for r in load(name) if more and r["effort"] == effort]
    done = {(r["space"], r["number"], r["points"]) for r in rows}
    for n in points:
        for dim, count in ((2, plane), (3, space)):
            for number in range(first, first + count):
                if (dim, number, n) in done:
                    continue
                case = draw_case(number, dim)
                rows.append(judged(case, n, effort, 0, "auto" if maps == "auto" else case.maps))
                put_progress(rows[-1], SHOWN)
                save(name, rows, summary=summary(rows))
    put(summary(rows))
