"""Rate and distortion of compressed scans, beside Draco.

    python -m recipes.benchmarks.cloud_codec DIR                             seven scans, four sizes of file
    python -m recipes.benchmarks.cloud_codec DIR --scans bunny --bytes 1000  one of them

Half of a scan's points are compressed (of a mesh, 100,000 points of its surface); the other half is the dense sample
that the results are compared with. Distances are shares of the diagonal:

- Chamfer: mean of the mean distances to the nearest point, both ways, of 20,000 points a side to all of the other side.
- D1 and D2: point-to-point and point-to-plane PSNR as MPEG has them, 10 log10(diagonal^2 / e), with e the larger of the
  two mean squared errors; normals of the dense sample and of the decoded cloud by PCA of 12 neighbours.

FractalKit's files are decoded to as many points as the dense sample has. Draco (DracoPy, compression level 10) codes
points, so it gets its best chance: random subsets of eleven sizes, merged where they fall into one cell, at 4 to 9 bits
a coordinate, and of all these files of up to 20,000 bytes the hull, each the nearest of its size or less. "draco bytes"
is the size at which that hull has the same distance, interpolated in logarithms; nothing where it never gets there.
Draco is left out where DracoPy is not installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy.spatial import cKDTree

from fractalkit import fk
from fractalkit.data import load_cloud
from fractalkit.orbit import sample
from recipes.benchmarks.cloud_collage import SCANS
from recipes.benchmarks.report import RESULTS, put_progress, save, table, timed

SIZES = (700, 1500, 3000, 6000)
QUERIES = 20_000
MOST = 20_000  # bytes of a file of Draco that is looked at
SUBSETS = (350, 600, 1000, 1600, 2500, 4000, 6000, 9000, 14_000, 24_000, 48_000)
COLUMNS = [
    "scan", "bytes", "ranges", "chamfer %", "F", "D1 dB", "D2 dB", "draco chamfer %", "draco F", "draco D1 dB",
    "draco D2 dB", "draco bytes", "of draco", "cpu_seconds",
]  # fmt: skip
Curve = list[dict[str, float]]


class Yardstick:
    """The dense sample ``[N, 3]`` of a scan, with its normals."""

    def __init__(self, points: np.ndarray) -> None:
        self.points, self.tree = points, cKDTree(points)
        self.diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
        self.queries = np.random.default_rng(1).permutation(len(points))[:QUERIES]
        self.normals = normals(points, self.tree, points[self.queries])

    def against(self, made: np.ndarray, seed: int = 0) -> dict[str, float]:
        """Distances of a decoded cloud; see the head of the module."""
        tree = cKDTree(made)
        some = made[np.random.default_rng(seed).permutation(len(made))[:QUERIES]]
        mine = self.points[self.queries]
        there, far = tree.query(mine)
        back, near = self.tree.query(some)
        its = normals(self.points, self.tree, self.points[near])
        plane = np.einsum("nd,nd->n", mine - made[far], self.normals) ** 2
        other = np.einsum("nd,nd->n", some - self.points[near], its) ** 2
        p, q = (float((d < 0.01 * self.diagonal).mean()) for d in (back, there))
        return {
            "chamfer %": 50 * float(there.mean() + back.mean()) / self.diagonal,
            "F": 2 * p * q / max(p + q, 1e-9),
            "D1 dB": self._psnr(max((there**2).mean(), (back**2).mean())),
            "D2 dB": self._psnr(max(plane.mean(), other.mean())),
        }

    def _psnr(self, error: float) -> float:
        return 10 * float(np.log10(self.diagonal**2 / max(float(error), 1e-300)))


def normals(points: np.ndarray, tree: Any, at: np.ndarray) -> np.ndarray:
    """Unit normals ``[N, 3]``: the least axis of the 12 nearest points."""
    near = points[tree.query(at, k=12)[1]]
    near = near - near.mean(axis=1, keepdims=True)
    out: np.ndarray = np.linalg.eigh(np.einsum("nki,nkj->nij", near, near))[1][:, :, 0]
    return out


def halves(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What is compressed and what it is compared with."""
    x = load_cloud(path).points
    x = x[np.random.default_rng(0).permutation(len(x))]
    return x[: len(x) // 2], x[len(x) // 2 :]


def draco(points: np.ndarray, stick: Yardstick) -> Curve:
    """Distances of Draco's files, in the order of their bytes."""
    import DracoPy

    low = points.min(axis=0)
    side = float(np.ptp(points, axis=0).max())
    out = []
    for bits in range(4, 10):
        for n in (n for n in SUBSETS if n <= len(points)):
            cells = np.unique(np.round((points[:n] - low) / side * (2**bits - 1)).astype(np.int64), axis=0)
            cloud = (cells / (2**bits - 1) * side + low).astype(np.float32)
            data = DracoPy.encode(cloud, quantization_bits=bits, compression_level=10)
            if len(data) < MOST:
                made = np.asarray(DracoPy.decode(data).points, dtype=np.float64)
                out.append({"bytes": float(len(data)), **stick.against(made)})
    return sorted(out, key=lambda r: r["bytes"])


def hull(curve: Curve) -> Curve:
    """The files that are nearer than all smaller ones."""
    best, out = np.inf, []
    for r in curve:
        if r["chamfer %"] < best:
            best = r["chamfer %"]
            out.append(r)
    return out


def same_distance(curve: Curve, chamfer: float) -> float | None:
    """Bytes at which a hull has a distance; None beyond its ends."""
    d, b = (np.log([r[k] for r in curve][::-1]) for k in ("chamfer %", "bytes"))
    return float(np.exp(np.interp(np.log(chamfer), d, b))) if d[0] <= np.log(chamfer) <= d[-1] else None


def rows_of(name: str, path: Path, sizes: tuple[int, ...], peer: bool) -> tuple[list[dict[str, Any]], Curve]:
    """One scan's rows, and Draco's hull."""
    points, dense = halves(path)
    stick = Yardstick(dense)
    curve = hull(draco(points, stick)) if peer else []
    rows = []
    for size in sizes:
        with timed() as t:
            code = fk.encode(points, method="cloud", bytes=size)
        made = sample(code.collage, len(dense), seed=0, stratified=True).points.double().numpy()
        row: dict[str, Any] = {"scan": name, "bytes": len(code.to_bytes()), "ranges": len(code.collage)}
        row |= {**stick.against(made), "cpu_seconds": round(t.cpu, 1)}
        other = [r for r in curve if r["bytes"] <= row["bytes"]]
        if other:
            row |= {f"draco {k}": v for k, v in other[-1].items() if k != "bytes"}
        if curve and (at := same_distance(curve, row["chamfer %"])) is not None:
            row |= {"draco bytes": round(at), "of draco": row["bytes"] / at}
        rows.append(row)
        put_progress(row, COLUMNS)
    return rows, curve


def draw(path: Path, rows: list[dict[str, Any]], curves: dict[str, Curve]) -> None:
    """Chamfer distance and D1 against bytes, a column a scan, in one picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(r["scan"] for r in rows))
    figure, axes = plt.subplots(2, len(names), figsize=(2.5 * len(names) + 1, 5.6), sharex=True, squeeze=False)
    for i, name in enumerate(names):
        mine = [r for r in rows if r["scan"] == name]
        for axis, key in zip(axes[:, i], ("chamfer %", "D1 dB"), strict=True):
            axis.plot(
                [r["bytes"] for r in mine], [r[key] for r in mine], "o-", color="#c0392b", ms=4, label="FractalKit"
            )
            curve = [r for r in curves.get(name, []) if 300 < r["bytes"] < MOST]
            axis.plot([r["bytes"] for r in curve], [r[key] for r in curve], ".-", color="#7f8c8d", ms=4, label="Draco")
            axis.set_xscale("log")
            axis.grid(alpha=0.25, which="both", lw=0.5)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0, i].set_yscale("log")
        ticks = [0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6]
        axes[0, i].set_yticks(ticks, [f"{t:g}" for t in ticks])
        axes[0, i].minorticks_off()
        axes[0, i].set_title(name)
        axes[1, i].set_xlabel("bytes")
        axes[1, i].set_xticks([500, 2000, 8000], ["500", "2,000", "8,000"])
    axes[0, 0].set_ylabel("Chamfer distance, % of the diagonal")
    axes[1, 0].set_ylabel("D1 PSNR, dB")
    axes[0, 0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--scans", multiple=True, type=click.Choice(list(SCANS)), help="Some of the scans.")
@click.option("--bytes", "sizes", multiple=True, type=click.IntRange(100), help="Sizes of files.")
@click.option("--draco/--no-draco", "peer", default=True, help="Compare with Draco, if DracoPy is installed.")
def main(folder: Path, scans: tuple[str, ...], sizes: tuple[int, ...], peer: bool) -> None:
    """Rate and distortion of the scans in FOLDER, beside Draco."""
    from importlib.util import find_spec

    peer = peer and find_spec("DracoPy") is not None
    rows: list[dict[str, Any]] = []
    curves: dict[str, Curve] = {}
    for name in scans or tuple(SCANS):
        found, curves[name] = rows_of(name, folder / SCANS[name], sizes or SIZES, peer)
        rows += found
        save("cloud_codec", rows, draco=curves)
        draw(RESULTS / "cloud_codec.png", rows, curves)
    click.echo(table(rows, COLUMNS))


if __name__ == "__main__":
    main()
