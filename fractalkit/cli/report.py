"""Measures of an attractor against its input, and how they are put to a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from fractalkit.codes.affine import AffineIFS

POINTS = 20_000  # of each cloud that is compared
LABELS = {"chamfer": "Chamfer", "hausdorff95": "Hausdorff 95 %", "hausdorff": "Hausdorff", "fscore": "F-score at 1 %"}


def measure(ifs: AffineIFS, points: np.ndarray | None, seed: int) -> dict[str, Any]:
    """Distances, all over the diagonal of the input's (or the attractor's) bounding box, and their sampling floors.

    ``floor_attractor`` compares two independent samples of the attractor, ``floor_input`` the input with itself, each
    point against the others; ``collage_bound`` bounds the Hausdorff distance by the collage theorem.
    """
    from fractalkit.fit.metrics import compare_clouds
    from fractalkit.orbit import sample

    n = POINTS if points is None else min(POINTS, len(points))
    a, b = (_numpy(sample(ifs, n, seed=seed + i)) for i in (1, 2))
    out: dict[str, Any] = {"compared_points": n, "floor_attractor": compare_clouds(a, b, seed=seed).to_dict()}
    if points is None:
        return out
    import numpy as np

    from fractalkit.fit.cloud import collage_bound
    from fractalkit.fit.metrics import sampling_floor

    some = points
    if len(points) > n:
        some = points[np.random.default_rng(seed).choice(len(points), n, replace=False)]
    diagonal = float(np.linalg.norm(points.max(axis=0) - points.min(axis=0))) or 1.0
    out["comparison"] = compare_clouds(a, some, seed=seed).to_dict()
    out["floor_input"] = sampling_floor(some, seed=seed).to_dict()
    out["collage_bound"] = collage_bound(ifs, some) / diagonal
    return out


def figures(result: dict[str, Any]) -> list[str]:
    """Short strings for the caption of a picture."""
    shape = f"{result['maps']} maps"
    out = [shape]
    if result["similarity_dimension"] <= result["dimension"]:
        out.append(f"dimension {result['similarity_dimension']:.3f}")
    if "comparison" in result:
        out.append(f"Chamfer {result['comparison']['chamfer']:.3%} (floor {result['floor_input']['chamfer']:.3%})")
        out.append(f"F-score at 1 % {result['comparison']['fscore']:.3f}")
    return out


def lines(result: dict[str, Any]) -> list[str]:
    """The report that the command prints."""
    out = [f"{result['name']}: {result['maps']} maps in {result['dimension']}D ({result['maps_rule']})"]
    out += [f"  warning: {w}" for w in result["warnings"]]
    out += [f"  note: {n}" for n in result["notes"]]
    similarity, space = result["similarity_dimension"], result["dimension"]
    beyond = f" (an upper bound; the space has {space})" if similarity > space else ""
    out.append(f"  similarity dimension {similarity:.4f}{beyond}, largest norm {result['lipschitz']:.4f}")
    floors = [k for k in ("floor_input", "floor_attractor") if k in result]
    shown = [k for k in ("comparison", *floors) if k in result]
    heads = {"comparison": "fit", "floor_input": "input, itself", "floor_attractor": "attractor, twice"}
    out.append("")
    out.append(f"  {'share of the diagonal':24s}" + "".join(f"{heads[k]:>18s}" for k in shown))
    for key, label in LABELS.items():
        cells = [f"{result[k][key]:.4f}" if key == "fscore" else f"{result[k][key]:.4%}" for k in shown]
        out.append(f"  {label:24s}" + "".join(f"{c:>18s}" for c in cells))
    if "collage_bound" in result:
        out.append(f"  {'Hausdorff, at most':24s}{result['collage_bound']:>18.4%}   (collage theorem)")
    out.append("")
    for what, path in result["outputs"].items():
        size = f"  {result['points']:,} points" if what == "cloud" else ""
        out.append(f"  {what:8s} {path}{size}")
    spent = ", ".join(f"{name} {value:.1f}" for name, value in result["seconds"].items())
    out.append(f"  seconds  {spent}")
    return out


def _numpy(orbit) -> np.ndarray:  # type: ignore[no-untyped-def]
    return orbit.points.double().cpu().numpy()
