"""What ``compress`` and ``decompress`` do with files that hold a cloud."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from fractalkit.cli.common import drew, on, pick_engine
from fractalkit.errors import DataError, UsageError

# suffixes that only clouds have; text and NumPy files are taken for clouds where they are named, not in folders
CLOUDS = (
    ".ply", ".pcd", ".xyz", ".xyzn", ".xyzrgb", ".pts", ".obj", ".off", ".stl", ".glb", ".gltf", ".3mf", ".las", ".laz",
    ".e57", ".splat",
)  # fmt: skip
NAMED = (*CLOUDS, ".txt", ".csv", ".npy", ".npz", ".bin")
MOST = 10**10  # points that decompress writes


def is_cloud(path: Path) -> bool:
    """Whether a file is compressed as a cloud, by its suffix."""
    return path.suffix.lower() in NAMED


def holds_cloud(path: Path) -> bool:
    """Whether a ``.fk`` file holds a cloud; no, where its header is damaged, of which who decodes it will tell."""
    from fractalkit.codec.container import read_header

    try:
        with path.open("rb") as f:
            return read_header(f, str(path)).codec == "cloud"
    except (DataError, OSError):
        return False


def compress_cloud(item: dict[str, Any]) -> dict[str, Any]:
    """Compress one cloud; its facts, for the report."""
    from fractalkit import fk
    from fractalkit.data import load_cloud
    from fractalkit.files import atomic_path
    from fractalkit.fit.metrics import compare_clouds

    began = time.perf_counter()
    cloud = load_cloud(Path(item["source"]))
    options = {k: item["options"][k] for k in ("quality", "bytes", "effort", "seed")}
    code = fk.encode(cloud, method="cloud", **options)
    data = code.to_bytes()
    with atomic_path(item["target"]) as temporary:
        temporary.write_bytes(data)
    seconds = time.perf_counter() - began
    like = compare_clouds(_points(code, min(20_000, len(cloud)), 0), cloud.points)
    return {
        "source": item["source"], "target": item["target"], "points": len(cloud), "dimension": cloud.dim,
        "colours": cloud.colours is not None, "ranges": len(code.tree.order), "bytes": len(data),
        "bits_per_point": 8 * len(data) / len(cloud), "chamfer": like.chamfer, "fscore": like.fscore,
        "seconds": round(seconds, 3), "warnings": cloud.warnings,
    }  # fmt: skip


def _points(code: Any, n: int, seed: int) -> Any:
    import torch

    from fractalkit.orbit import stream

    # of float64, as clouds far from the origin have no digits to spare
    return next(iter(stream(code.collage, n, chunk=n, seed=seed, stratified=True, dtype=torch.float64))).points


def decompress_cloud(item: dict[str, Any], code: Any) -> dict[str, Any]:
    """Write the points of a code, piece by piece; facts, for the report."""
    import torch

    from fractalkit.data.writers import CloudWriter, needs_double
    from fractalkit.orbit import stream
    from fractalkit.orbit.api import why_not

    began = time.perf_counter()
    collage = code.collage
    n = item["points"] or code.settings.points
    middle, radius = collage.bounds()
    double = needs_double((middle - radius[:, None]).numpy().min(0), (middle + radius[:, None]).numpy().max(0))
    notes: list[str] = []
    where, name = pick_engine(item["device"])
    why = why_not(collage, where, double=double)
    engine = drew(item["device"], name, why, notes.append)
    with CloudWriter(item["target"], dim=collage.dim, colours=collage.coloured, double=double) as out:
        for piece in stream(
            collage, n, seed=item["seed"], stratified=True, colours=collage.coloured,
            dtype=torch.float64 if double else torch.float32, device="cpu" if why else where,
        ):  # fmt: skip
            out.write(piece.points.cpu().numpy(), None if piece.colours is None else piece.colours.cpu().numpy())
    return {
        "source": item["source"], "target": item["target"], "points": n, "dimension": collage.dim,
        "engine": engine, "seconds": round(time.perf_counter() - began, 3), "warnings": notes,
    }  # fmt: skip


def compressed_line(r: dict[str, Any]) -> str:
    """One line on a compressed cloud."""
    return (
        f"{r['target']}: {r['points']:,} points, {r['ranges']:,} ranges, {r['bytes']:,} bytes, "
        f"Chamfer distance {100 * r['chamfer']:.3f} %, F-score {r['fscore']:.3f} at 1 %, {r['seconds']:.2f} s"
    )


def decompressed_line(r: dict[str, Any]) -> str:
    """One line on a decompressed cloud."""
    return f"{r['target']}: {r['points']:,} points, {r['seconds']:.2f} s{on(r['engine'])}"


def only_for(kind: str, given: dict[str, Any]) -> None:
    """A UsageError where an option has a value that is only for the other kind of file: clouds or pictures."""
    for name, value in given.items():
        if value is not None and value is not False:
            raise UsageError(f"--{name}: is only for {kind}; leave it out")
