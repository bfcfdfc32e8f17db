"""Scans as collages: distance, density, time and size against the number of maps.

    python -m recipes.benchmarks.cloud_collage DIR                            seven scans; 64, 256 and 1,024 maps
    python -m recipes.benchmarks.cloud_collage DIR --scans bunny --maps 64    one of them
    python -m recipes.benchmarks.cloud_collage DIR --method ifs --maps 64     plain IFS, for comparison
    python -m recipes.benchmarks.cloud_collage DIR --plot collage.png

Three samples of 20,000 points are drawn from each scan, independently of each other: from the surface of a mesh, or
disjoint random subsets of a cloud. The first is fitted, the second is the yardstick, and the third compared with the
second is the floor. The attractor is sampled by the chaos game, not evenly, because even samples of a wrong set can be
nearer to a random sample than another random sample of the right set is. Distances are shares of the diagonal.

Density is measured on an attractor of 100 times as many points as were fitted:

- a hole is the distance from a point of the scan to the nearest point of the attractor. The scan is all points of the
  cloud, or 500,000 new points of the mesh. The largest hole is given in spacings of the fitted points, a spacing being
  the mean distance to the nearest neighbour; beside it stands the largest hole of the fitted points themselves.
- off is the mean distance from the attractor to the surface of the mesh (by Open3D, which computes the distance to its
  triangles), or to the nearest point of the whole cloud; at 100 times the points and at the number of fitted points.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy.spatial import cKDTree

from fractalkit.data.clouds import load_cloud
from fractalkit.data.mesh_files import load_mesh
from fractalkit.fit import compare_clouds
from fractalkit.orbit import sample
from recipes.benchmarks.report import load, put_progress, save, table, timed

SCANS = {
    "bunny": "bunny_res_8171_ascii_conf_faces.ply",
    "horse": "horse.ply",
    "elephant": "elephant_19753_ble_tristrips.ply",
    "spot": "spot.obj",
    "spruce": "spruce_tls_83392_bbe.ply",
    "tree": "tree_puu1_147989_ble_rgb.ply",
    "terrain": "terrain_topography_73403_ble_double_intensity_class.ply",
}
POINTS = 20_000
DENSE = 100
FINE = 500_000  # new points of a mesh, in which holes are looked for
# Chamfer over its floor that a number of maps should reach on a surface
GOALS = {64: 1.5, 256: 1.18, 1024: 1.07}
COLUMNS = (
    "scan", "maps", "chamfer %", "floor %", "over floor", "F", "F floor", "largest %", "largest floor %",
    "largest over floor", "hole", "hole of input", "off %", "off % at 1x", "cpu_seconds", "bytes",
)  # fmt: skip


@dataclass
class Scan:
    """Independent samples of a scan, ``[n, 3]``, and what the attractor is measured against.

    Attributes:
        fitted: points that are fitted.
        test: points with which the attractor is compared.
        again: points whose distance from ``test`` is the floor.
        fine: points in which holes are looked for.
        surface: vertices and triangles of a mesh, or None.
    """

    fitted: np.ndarray
    test: np.ndarray
    again: np.ndarray
    fine: np.ndarray
    surface: tuple[np.ndarray, np.ndarray] | None

    @property
    def diagonal(self) -> float:
        """Diagonal of the bounding box of the sample that is compared with."""
        return float(np.linalg.norm(np.ptp(self.test, axis=0)))

    @property
    def spacing(self) -> float:
        """Mean distance of a fitted point from its nearest neighbour."""
        return float(cKDTree(self.fitted).query(self.fitted, k=2, workers=-1)[0][:, 1].mean())


def read_scan(path: Path, points: int = POINTS, seed: int = 0) -> Scan:
    """Draw the samples: by three seeds from a mesh, or as disjoint subsets of a cloud.

    A cloud of fewer than three times the points gives three thirds.
    """
    if load_cloud(path, mesh_samples=1).triangles:
        one, two, three = (load_cloud(path, mesh_samples=points, seed=3 * seed + k).points for k in (1, 2, 3))
        mesh = load_mesh(path)
        fine = load_cloud(path, mesh_samples=FINE, seed=3 * seed + 1000).points
        return Scan(one, two, three, fine, (mesh.vertices, mesh.triangles))
    x = load_cloud(path).points
    order = np.random.default_rng(seed).permutation(len(x))
    n = min(points, len(x) // 3)
    one, two, three = (x[order[k * n : (k + 1) * n]] for k in range(3))
    return Scan(one, two, three, x, None)


def fit(method: str, points: np.ndarray, maps: int, effort: int, seed: int) -> Any:
    """The code of a cloud by ``collage`` or ``ifs``."""
    if method == "ifs":
        from fractalkit.fit import fit_cloud

        return fit_cloud(points, maps=maps, effort=effort, seed=seed)
    from fractalkit.fit import fit_cloud_collage

    return fit_cloud_collage(points, maps=maps, effort=effort, seed=seed)


def code_bytes(code: Any) -> int:
    """Size of the smallest file that the code itself can be saved as."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for name in ("code.ifs.json", "code.safetensors"):
            try:
                code.save(Path(folder) / name)
            except Exception:  # a kind of code that has no such file
                continue
            sizes.append((Path(folder) / name).stat().st_size)
        return min(sizes)


def distance_to(scan: Scan, points: np.ndarray) -> np.ndarray:
    """Distance of each point from the surface of the mesh, or from the nearest point of the cloud, ``[N]``."""
    if scan.surface is None:
        return cKDTree(scan.fine).query(points, workers=-1)[0]
    from fractalkit.data.open3d_io import import_open3d

    o3d = import_open3d()
    vertices, triangles = scan.surface
    centre, scale = vertices.mean(axis=0), scan.diagonal  # Open3D computes in float32
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(((vertices - centre) / scale).astype(np.float32), triangles.astype(np.uint32))
    return scale * scene.compute_distance(((points - centre) / scale).astype(np.float32)).numpy().astype(np.float64)


def measure(code: Any, scan: Scan, seed: int = 3) -> dict[str, float]:
    """Distances of samples of the attractor; see the head of the file."""
    n, diagonal = len(scan.fitted), scan.diagonal
    once = sample(code, n, seed=seed).points.numpy().astype(np.float64)
    got = compare_clouds(once, scan.test, points=None)
    floor = compare_clouds(scan.again, scan.test, points=None)
    many = sample(code, DENSE * n, seed=seed + 1).points.numpy().astype(np.float64)
    return {
        "chamfer %": 100 * got.chamfer, "floor %": 100 * floor.chamfer, "over floor": got.chamfer / floor.chamfer,
        "F": got.fscore, "F floor": floor.fscore, "largest %": 100 * got.hausdorff,
        "largest floor %": 100 * floor.hausdorff, "largest over floor": got.hausdorff / floor.hausdorff,
        "hole": float(cKDTree(many).query(scan.fine, workers=-1)[0].max()) / scan.spacing,
        "hole of input": float(cKDTree(scan.fitted).query(scan.fine, workers=-1)[0].max()) / scan.spacing,
        "off %": 100 * float(distance_to(scan, many).mean()) / diagonal,
        "off % at 1x": 100 * float(distance_to(scan, once).mean()) / diagonal,
    }  # fmt: skip


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot Chamfer over floor, F-score and largest distance over floor against the number of maps."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [n for n in SCANS if any(r["scan"] == n for r in rows)]
    colours = dict(
        zip(SCANS, ("#1f77b4", "#d62728", "#9467bd", "#e8a33d", "#2c7a4b", "#7bbf6a", "#8c6d4f"), strict=True)
    )
    panels = {
        "over floor": "Chamfer distance over its floor", "F": "F-score at 1 % of the diagonal",
        "largest over floor": "largest distance over its floor",
    }  # fmt: skip
    fig, axes = plt.subplots(1, 3, figsize=(13, 4.2), dpi=120)
    for ax, (column, title) in zip(axes, panels.items(), strict=True):
        for name in names:
            mine = sorted((r["maps"], r[column]) for r in rows if r["scan"] == name)
            ax.plot(*zip(*mine, strict=True), marker="o", ms=4, lw=1.8, color=colours[name], label=name)
        ax.set(title=title, xlabel="maps", xscale="log")
        ticks = sorted({r["maps"] for r in rows})
        ax.set_xticks(ticks, [f"{t:,}" for t in ticks], minor=False)
        ax.minorticks_off()
        ax.grid(alpha=0.25)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    axes[0].plot(list(GOALS), list(GOALS.values()), "_", ms=16, mew=2, color="black", label="goal for surfaces")
    axes[0].axhline(1, color="#999999", lw=1)
    axes[2].set_yscale("log")
    for axis in (axes[2].yaxis.set_major_formatter, axes[2].yaxis.set_minor_formatter):
        axis("{x:g}")
    axes[0].legend(fontsize=8, frameon=False)
    fig.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path)
    plt.close(fig)


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--maps",
    type=click.IntRange(1, 65_536),
    multiple=True,
    help="Numbers of maps; may be repeated.  [default: 64, 256, 1024]",
)
@click.option("--scans", type=click.Choice(list(SCANS)), multiple=True, help="Only these; may be repeated.")
@click.option("--method", type=click.Choice(["collage", "ifs"]), default="collage", show_default=True)
@click.option("--effort", default=5, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="PNG of the figures.")
def main(
    folder: Path, maps: tuple[int, ...], scans: tuple[str, ...], method: str, effort: int, seed: int, plot: Path | None
) -> None:  # fmt: skip
    name = "cloud_collage" if method == "collage" else f"cloud_collage_{method}"
    kept = {(r["scan"], r["maps"]): r for r in load(name) if r["effort"] == effort}
    with timed() as first:  # compiles
        fit(method, np.random.default_rng(0).normal(size=(500, 3)), 8, 1, 0)
    click.echo(f"first call, which compiles: {first.cpu:.1f} CPU s", err=True)
    done: list[dict[str, Any]] = []
    for scan in scans or SCANS:
        samples = read_scan(folder / SCANS[scan], seed=seed)
        for k in maps or (64, 256, 1024):
            with timed() as t:
                code = fit(method, samples.fitted, k, effort, seed)
            row: dict[str, Any] = {"scan": scan, "maps": k, "effort": effort, "points": len(samples.fitted)}
            row |= measure(code, samples) | {"cpu_seconds": t.cpu, "seconds": t.wall, "bytes": code_bytes(code)}
            kept[scan, k] = row
            put_progress(row, list(COLUMNS))
            order = list(SCANS)
            done = sorted(kept.values(), key=lambda r: (order.index(r["scan"]), r["maps"]))
            save(name, done)
    click.echo(table(done, list(COLUMNS)))
    if plot:
        draw(done, plot)


if __name__ == "__main__":
    main()
