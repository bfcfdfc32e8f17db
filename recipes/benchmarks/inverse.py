"""The inverse problem: distances between attractors of fitted codes and the clouds.

    python -m recipes.benchmarks.inverse known                     seven attractors, K given, 10 seeds each
    python -m recipes.benchmarks.inverse known --effort 3          the same in a quarter of the time
    python -m recipes.benchmarks.inverse auto                      K unknown, one seed each
    python -m recipes.benchmarks.inverse random                    random codes: 40 in the plane, 20 in space
    python -m recipes.benchmarks.inverse amortised                 codes of the kind that networks invert, at effort 0
    python -m recipes.benchmarks.inverse pictures                  pictures of those in the plane
    python -m recipes.benchmarks.inverse clouds FOLDER             scans: bunny, horse, elephant, tree; K = 4 to 64

Ratios are relative to the floor of the same row: the distance between two independent samples of the set, or between
the two halves of a scan. All distances are measured on new points that the fit has not seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from fractalkit.codes.presets import preset
from fractalkit.data.clouds import load_cloud
from fractalkit.fit import compare_clouds, fit_cloud, sampling_floor
from fractalkit.orbit import sample
from recipes.benchmarks.inverse_amortised import amortised
from recipes.benchmarks.inverse_pictures import pictures
from recipes.benchmarks.inverse_random import random
from recipes.benchmarks.report import load, put, put_progress, save, table, timed

# name: preset, points of the cloud, points measured, upper limit of the ratio of Chamfer distances
KNOWN = {
    "triangle": ("sierpinski-triangle", 20_000, 20_000, 1.05),
    "dragon": ("heighway-dragon", 20_000, 20_000, 1.05),
    "tetrahedron": ("sierpinski-tetrahedron", 20_000, 20_000, 1.05),
    "fern": ("barnsley-fern", 20_000, 20_000, 1.15),
    "fern in space": ("fern-3d", 20_000, 20_000, 1.15),
    "tree in space": ("tree-3d", 20_000, 20_000, 1.15),
    "sponge": ("menger-sponge", 20_000, 400_000, 1.2),
    "triangle, 1000": ("sierpinski-triangle", 1000, 1000, 1.3),
}
SCANS = {
    "bunny": "bunny_res_8171_ascii_conf_faces.ply",
    "horse": "horse.ply",
    "elephant": "elephant_19753_ble_tristrips.ply",
    "tree": "tree_puu1_147989_ble_rgb.ply",
}


@click.group()
def main() -> None:
    """Benchmarks of fit_cloud."""


main.add_command(amortised)
main.add_command(random)
main.add_command(pictures)


@main.command()
@click.option("--name", "names", multiple=True, type=click.Choice(list(KNOWN)), help="Only this one; may be repeated.")
@click.option("--seeds", default=10)
@click.option("--effort", default=5)
def known(names: tuple[str, ...], seeds: int, effort: int) -> None:
    """Attractors with a known number of maps."""
    rows: list[dict[str, Any]] = []
    for name in names or KNOWN:
        source, fitted, measured, limit = KNOWN[name]
        truth = preset(source)
        for seed in range(seeds):
            x = sample(truth, measured, seed=1000 + seed).points.numpy()
            again = sample(truth, measured, seed=2000 + seed).points.numpy()
            some = x[np.random.default_rng(seed).permutation(len(x))[:fitted]]
            with timed() as t:
                code = fit_cloud(some, maps=len(truth), seed=seed, effort=effort)
            got = compare_clouds(sample(code, measured, seed=3000 + seed).points, x, points=None)
            floor = compare_clouds(again, x, points=None)
            rows.append(
                {
                    "name": name, "seed": seed, "maps": len(truth), "points": measured, "effort": effort,
                    "chamfer": got.chamfer, "chamfer_ratio": got.chamfer / floor.chamfer, "limit": limit,
                    "hausdorff_ratio": got.hausdorff / floor.hausdorff, "fscore": got.fscore,
                    "seconds": t.wall, "cpu_seconds": t.cpu,
                }
            )  # fmt: skip
            put_progress(rows[-1], ["name", "seed", "chamfer_ratio", "hausdorff_ratio", "seconds"])
    summary = []
    for name in dict.fromkeys(r["name"] for r in rows):
        mine = [r for r in rows if r["name"] == name]
        cd, hd = [r["chamfer_ratio"] for r in mine], [r["hausdorff_ratio"] for r in mine]
        summary.append(
            {
                "name": name, "maps": mine[0]["maps"], "limit": mine[0]["limit"], "seeds": len(mine),
                "within": sum(r["chamfer_ratio"] <= r["limit"] for r in mine), "chamfer median": float(np.median(cd)),
                "worst": max(cd), "hausdorff <= 1.5": sum(h <= 1.5 for h in hd),
                "hausdorff median": float(np.median(hd)),
                "seconds": float(np.median([r["seconds"] for r in mine])), "longest": max(r["seconds"] for r in mine),
            }
        )  # fmt: skip
    put(summary)
    click.echo(str(save(f"inverse_known_effort{effort}", rows, summary=summary)))


@main.command()
@click.option("--seeds", default=1)
@click.option("--effort", default=5)
def auto(seeds: int, effort: int) -> None:
    """Attractors with an unknown number of maps."""
    rows: list[dict[str, Any]] = []
    for name, (source, fitted, _, _) in KNOWN.items():
        if name == "triangle, 1000":
            continue
        truth = preset(source)
        for seed in range(seeds):
            x = sample(truth, fitted, seed=1000 + seed).points
            again = sample(truth, fitted, seed=2000 + seed).points
            with timed() as t:
                code = fit_cloud(x, maps="auto", seed=seed, effort=effort)
            got = compare_clouds(sample(code, fitted, seed=3000 + seed).points, x)
            rows.append(
                {
                    "name": name, "seed": seed, "true": len(truth), "found": len(code),
                    "chamfer_ratio": got.chamfer / compare_clouds(again, x).chamfer,
                    "rule": code.provenance["maps_rule"], "seconds": t.wall,
                }
            )  # fmt: skip
            put_progress(rows[-1])
    click.echo(table(rows, ["name", "seed", "true", "found", "chamfer_ratio", "seconds"]))
    click.echo(str(save("inverse_auto", rows)))


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", "names", multiple=True, type=click.Choice(list(SCANS)), help="Only this one; may be repeated.")
@click.option("--maps", multiple=True, type=click.IntRange(1, 64), help="Only this many; may be repeated.")
@click.option("--effort", default=5)
@click.option("--seed", default=0)
def clouds(folder: Path, names: tuple[str, ...], maps: tuple[int, ...], effort: int, seed: int) -> None:
    """Scans in FOLDER, which are not attractors: distance against the number of maps.

    Rows of earlier runs at the same effort are kept in the file unless they are computed again.
    """
    rows = {(r["name"], r["maps"]): r for r in load("inverse_clouds") if r["effort"] == effort}
    for name in names or SCANS:
        x = np.asarray(load_cloud(folder / SCANS[name]).points)
        floor = sampling_floor(x)
        n = min(len(x), 20_000)
        for k in maps or (4, 8, 16, 32, 64):
            with timed() as t:
                code = fit_cloud(x, maps=k, seed=seed, effort=effort)
            got = compare_clouds(sample(code, n, seed=3).points, x)
            rows[name, k] = {
                "name": name, "maps": k, "effort": effort, "chamfer %": 100 * got.chamfer,
                "floor %": 100 * floor.chamfer, "hausdorff95 %": 100 * got.hausdorff95, "fscore": got.fscore,
                "fscore floor": floor.fscore, "isotropy": code.provenance["isotropy"], "seconds": t.wall,
                "cpu_seconds": t.cpu,
            }  # fmt: skip
            put_progress(rows[name, k])
            order = list(SCANS)
            done = sorted(rows.values(), key=lambda r: (order.index(r["name"]), r["maps"]))
            save("inverse_clouds", done)
    click.echo(table(done, list(done[-1])))


if __name__ == "__main__":
    main()
