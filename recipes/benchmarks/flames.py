"""Compare pictures of flames with those of flam3, flame by flame.

    python -m recipes.benchmarks.flames DIR --out flames.json --sheet flames.png
    python -m recipes.benchmarks.flames swan DIR     flames of JWildfire beside their pictures, see flames_swan
    python -m recipes.benchmarks.flames whole DIR... how many flames are drawn whole, see flames_whole

Every flame whose variations both programs know is drawn at the same size and quality, by flam3-render with two seeds
and by FractalKit. Reported are our RMSE against flam3's pictures over the RMSE between those two (1 means as close to
flam3 as flam3 to itself) and the ratio of the mean levels. Needs flam3-render (Debian: apt-get install flam3-utils).
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, tostring

import numpy as np

from fractalkit.codes import flame_scan, flame_xml
from fractalkit.codes.flame import Flame, read_flames
from fractalkit.codes.flame_parts import PARAMETERS, VARIATIONS
from fractalkit.errors import FractalKitError
from fractalkit.render.flame import render_flame, to_8_bit

# attributes of maps that are neither variations nor their parameters
KEPT = {"weight", "color", "color_speed", "symmetry", "opacity", "animate", "coefs", "post", "chaos", "plotmode"}
TIMEOUT = 120  # seconds per picture of flam3


def elements(path: Path) -> list[Element]:
    """Flame elements of a file."""
    root, _ = flame_scan.parse(path.read_bytes(), str(path))
    return [e for e in root.iter() if e.tag == "flame"]


def unknown(flame: Flame) -> list[str]:
    """Attributes of maps that are probably variations unknown to one of the two programs."""
    out = {"a camera in space"} if flame.in_space() else set()
    for x in [*flame.xforms, *([flame.final] if flame.final else [])]:
        out |= {name for name in x.variations if name not in VARIATIONS}  # flam3 has its own only
        for key, value in x.extras.items():
            with contextlib.suppress(ValueError):
                if float(value) != 0 and "_" not in key:
                    out.add(key)
    return sorted(out)


def fitted(e: Element, side: int, quality: float) -> Element:
    """Copy of a flame with at most ``side`` pixels per side, without motion, at the given quality."""
    e = copy.deepcopy(e)
    w, h = (float(v) for v in e.get("size", "100 100").split())
    ratio = side / max(w, h)
    e.set("size", f"{max(8, round(w * ratio))} {max(8, round(h * ratio))}")
    # convert the zoom to a scale, so that the quality refers to the picture
    e.set("scale", repr(float(e.get("scale", "50")) * 2 ** float(e.get("zoom", "0")) * ratio))
    e.set("zoom", "0")
    e.set("quality", repr(quality))
    e.set("temporal_samples", "1")
    e.set("passes", "1")
    return e


def by_flam3(text: bytes, seed: str, folder: Path) -> tuple[np.ndarray, float]:
    """Render with flam3: picture ``[H, W, 3]`` and CPU seconds."""
    from PIL import Image

    source, target = folder / "a.flame", folder / "a.png"
    source.write_bytes(text)
    target.unlink(missing_ok=True)
    before = os.times()
    subprocess.run(
        ["flam3-render"], check=True, timeout=TIMEOUT, capture_output=True,
        env={**os.environ, "in": str(source), "out": str(target), "isaac_seed": seed, "nthreads": "1", "verbose": "0"},
    )  # fmt: skip
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    with Image.open(target) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64), spent


def stripped(e: Element) -> Element:
    """Remove attributes that one of the programs does not know, so that both draw the same flame."""
    for x in [*e.iter("xform"), *e.iter("finalxform")]:
        for key in list(x.attrib):
            if flame_xml.ALIASES.get(key) == "linear":
                x.set("linear", repr(float(x.get("linear", "0")) + float(x.attrib.pop(key))))
            elif key not in KEPT and key not in VARIATIONS and key not in PARAMETERS and key not in flame_xml.ALIASES:
                del x.attrib[key]
    return e


def compare(
    e: Element, name: str, side: int, quality: float, folder: Path, strip: bool = False
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Compare one flame: a row of the table, and flam3's picture beside ours."""
    row: dict[str, Any] = {"flame": name}
    e = fitted(e, side, quality)
    if strip:
        with warnings.catch_warnings(), contextlib.suppress(FractalKitError):
            warnings.simplefilter("ignore")
            row["stripped"] = unknown(read_flames(tostring(e))[0])
        e = stripped(e)
    text = tostring(e)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flame = read_flames(text)[0]
    except FractalKitError as error:
        return row | {"skipped": str(error)}, None
    row["name"] = flame.name
    row["variations"] = sorted({v for x in flame.xforms for v in x.variations})
    if strange := unknown(flame):
        return row | {"skipped": f"unknown variations: {', '.join(strange)}"}, None
    try:
        a, spent = by_flam3(text, "first", folder)
        b, _ = by_flam3(text, "second", folder)
    except (subprocess.SubprocessError, OSError) as error:
        return row | {"skipped": f"flam3-render: {type(error).__name__}"}, None
    try:
        start = time.process_time()
        ours = to_8_bit(render_flame(flame, seed=1, threads=1, batches=1)).astype(np.float64)
        row["cpu_seconds"] = {"flam3": round(spent, 3), "ours": round(time.process_time() - start, 3)}
    except FractalKitError as error:
        return row | {"failed": str(error)}, None
    if ours.shape != a.shape:
        return row | {"failed": f"sizes differ: {ours.shape} and {a.shape}"}, None
    return row | distances(a, b, ours), np.concatenate([a, ours], axis=1).astype(np.uint8)


def distances(a: np.ndarray, b: np.ndarray, ours: np.ndarray) -> dict[str, Any]:
    """Distances and mean levels of two pictures by flam3 and one of ours."""
    floor = rmse(a, b)
    off = float(np.sqrt((rmse(ours, a) ** 2 + rmse(ours, b) ** 2) / 2))
    mean = float((a.mean() + b.mean()) / 2)
    return {
        "floor": floor, "rmse": off, "ratio": off / floor if floor > 0 else (1.0 if off == 0 else None),
        "mean_flam3": mean, "mean_ratio": float(ours.mean()) / mean if mean > 0 else (1.0 if ours.max() == 0 else None),
        "mean_seeds": float(a.mean() / b.mean()) if b.mean() > 0 else None,
    }  # fmt: skip


def rmse(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square error."""
    return float(np.sqrt(((a - b) ** 2).mean()))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Fractions of the flames that meet the two targets."""
    done = [r for r in rows if r.get("ratio") is not None and r.get("mean_ratio") is not None]
    if not done:
        return {"flames": 0}
    ratios = np.array([r["ratio"] for r in done])
    means = np.array([r["mean_ratio"] for r in done])
    return {
        "flames": len(done),
        "skipped": sum("skipped" in r for r in rows),
        "failed": sum("failed" in r for r in rows),
        "ratio_median": float(np.median(ratios)),
        "ratio_within_1.15": float((ratios <= 1.15).mean()),
        "mean_within_1_percent": float((np.abs(means - 1) <= 0.01).mean()),
        "both": float(((ratios <= 1.15) & (np.abs(means - 1) <= 0.01)).mean()),
    }


def save_sheet(pictures: list[np.ndarray], path: Path, columns: int = 6) -> None:
    """Save pairs of pictures, flam3's on the left and ours on the right."""
    from fractalkit.raster.png import save_png

    h, w = max(p.shape[0] for p in pictures), max(p.shape[1] for p in pictures)
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (h + 4), columns * (w + 8), 3), 24, np.uint8)
    for k, p in enumerate(pictures):
        y, x = (k // columns) * (h + 4), (k % columns) * (w + 8)
        sheet[y : y + p.shape[0], x : x + p.shape[1]] = p
    save_png(path, sheet)


def main() -> None:
    """The command."""
    if sys.argv[1:2] == ["swan"]:
        from recipes.benchmarks import flames_swan

        return flames_swan.main(sys.argv[2:])
    if sys.argv[1:2] == ["whole"]:
        from recipes.benchmarks import flames_whole

        return flames_whole.main(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--quality", type=float, default=40)
    parser.add_argument("--most", type=int, default=1000, help="maximum number of flames per file")
    parser.add_argument("--only", help="only files whose name contains this")
    parser.add_argument("--strip", action="store_true", help="remove unknown variations instead of skipping the flame")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    if shutil.which("flam3-render") is None:
        raise SystemExit("flam3-render is not installed; apt-get install flam3-utils")
    rows, pictures = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, e in flames_of(options.folder, options.only or "", options.most):
            row, picture = compare(e, name, options.side, options.quality, Path(folder), options.strip)
            rows.append(row)
            pictures += [] if picture is None else [picture]
            why = row.get("skipped") or row.get("failed")
            figures = why[:60] if why else f"{row['ratio'] or -1:7.3f} {row['mean_ratio'] or -1:7.4f}"
            print(f"{row['flame'][:44]:44s} {row.get('name', '')[:24]:24s} {figures}", flush=True)
    result = {
        "side": options.side, "quality": options.quality,
        "summary": summary([r for r in rows if not r.get("stripped")]),
        "summary_stripped": summary([r for r in rows if r.get("stripped")]), "rows": rows,
    }  # fmt: skip
    print(json.dumps({k: v for k, v in result.items() if k.startswith("summary")}, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.sheet and pictures:
        save_sheet(pictures, options.sheet)


def flames_of(folder: Path, only: str, most: int) -> Iterator[tuple[str, Element]]:
    """Yield name and element of the flames in a folder, at most ``most`` per file."""
    for path in sorted([*folder.rglob("*.flame"), *folder.rglob("*.flam3")]):
        if only in path.name:
            for k, e in enumerate(elements(path)[:most], 1):
                yield f"{path.stem}:{k}", e


if __name__ == "__main__":
    main()
