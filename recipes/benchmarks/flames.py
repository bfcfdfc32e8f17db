"""Our pictures of flames beside those of flam3, flame by flame.

    python -m recipes.benchmarks.flames DIR --out flames.json --sheet flames.png

Every flame whose variations both programs know is drawn at the same size and quality, by flam3-render with two seeds
and by us. Reported is our RMSE against flam3's pictures over the RMSE between the two of them (1: no farther from flam3
than flam3 from itself), and our mean level over theirs. Needs flam3-render (Debian: apt-get install flam3-utils).
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, tostring

import numpy as np

from fractalkit.codes import flame_xml
from fractalkit.codes.flame import PARAMETERS, VARIATIONS, VARIATIONS_3D, Flame
from fractalkit.errors import FractalKitError
from fractalkit.render.flame import render_flame, to_8_bit

# attributes of maps that are neither variations nor parameters of some
KEPT = {"weight", "color", "color_speed", "symmetry", "opacity", "animate", "coefs", "post", "chaos", "plotmode"}
TIMEOUT = 120  # seconds for one picture of flam3's


def elements(path: Path) -> list[Element]:
    """The flames of a file as they stand in it."""
    root = flame_xml._parse(path.read_bytes(), str(path))
    return [e for e in root.iter() if e.tag == "flame"]


def unknown(flame: Flame) -> list[str]:
    """Attributes of maps that look like variations that one of the two does not know."""
    out = {"a camera in space"} if flame.in_space() else set()
    for x in [*flame.xforms, *([flame.final] if flame.final else [])]:
        out |= {name for name in x.variations if name in VARIATIONS_3D}  # flam3 knows the plane only
        for key, value in x.extras.items():
            with contextlib.suppress(ValueError):
                if float(value) != 0 and "_" not in key:
                    out.add(key)
    return sorted(out)


def fitted(e: Element, side: int, quality: float) -> Element:
    """The same flame, at most ``side`` pixels a side, still, at this quality."""
    e = copy.deepcopy(e)
    w, h = (float(v) for v in e.get("size", "100 100").split())
    ratio = side / max(w, h)
    e.set("size", f"{max(8, round(w * ratio))} {max(8, round(h * ratio))}")
    # the zoom as a scale, so that the quality is that of the picture
    e.set("scale", repr(float(e.get("scale", "50")) * 2 ** float(e.get("zoom", "0")) * ratio))
    e.set("zoom", "0")
    e.set("quality", repr(quality))
    e.set("temporal_samples", "1")
    e.set("passes", "1")
    return e


def by_flam3(text: bytes, seed: str, folder: Path) -> tuple[np.ndarray, float]:
    """flam3's picture ``[H, W, 3]`` and its CPU seconds."""
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
    """Without what one of the two programs does not know, so that both see the same flame."""
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
    """One row of the table, and the pictures: flam3's, flam3's again, ours."""
    row: dict[str, Any] = {"flame": name}
    e = fitted(e, side, quality)
    if strip:
        with warnings.catch_warnings(), contextlib.suppress(FractalKitError):
            warnings.simplefilter("ignore")
            row["stripped"] = unknown(flame_xml.read_flames(tostring(e))[0])
        e = stripped(e)
    text = tostring(e)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flame = flame_xml.read_flames(text)[0]
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
    floor = rmse(a, b)
    off = float(np.sqrt((rmse(ours, a) ** 2 + rmse(ours, b) ** 2) / 2))
    mean = float((a.mean() + b.mean()) / 2)
    row |= {
        "floor": floor, "rmse": off, "ratio": off / floor if floor > 0 else (1.0 if off == 0 else None),
        "mean_flam3": mean, "mean_ratio": float(ours.mean()) / mean if mean > 0 else (1.0 if ours.max() == 0 else None),
        "mean_seeds": float(a.mean() / b.mean()) if b.mean() > 0 else None,
    }  # fmt: skip
    return row, np.concatenate([a, ours], axis=1).astype(np.uint8)


def rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).mean()))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares of the flames that meet the two aims."""
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
    """Pairs side by side, flam3's left, ours right."""
    from fractalkit.render.png import save_png

    h, w = max(p.shape[0] for p in pictures), max(p.shape[1] for p in pictures)
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (h + 4), columns * (w + 8), 3), 24, np.uint8)
    for k, p in enumerate(pictures):
        y, x = (k // columns) * (h + 4), (k % columns) * (w + 8)
        sheet[y : y + p.shape[0], x : x + p.shape[1]] = p
    save_png(path, sheet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--quality", type=float, default=40)
    parser.add_argument("--most", type=int, default=1000, help="flames of one file at most")
    parser.add_argument("--only", help="files whose name holds this")
    parser.add_argument("--strip", action="store_true", help="leave out of flames what one does not know, not flames")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    if shutil.which("flam3-render") is None:
        raise SystemExit("flam3-render is not here; apt-get install flam3-utils")
    rows, pictures = [], []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted([*options.folder.rglob("*.flame"), *options.folder.rglob("*.flam3")]):
            if options.only and options.only not in path.name:
                continue
            for k, e in enumerate(elements(path)[: options.most], 1):
                row, picture = compare(
                    e, f"{path.stem}:{k}", options.side, options.quality, Path(folder), options.strip
                )
                rows.append(row)
                if picture is not None:
                    pictures.append(picture)
                said = row.get("skipped") or row.get("failed")
                print(
                    f"{row['flame'][:44]:44s} {row.get('name', '')[:24]:24s} "
                    + (said[:60] if said else f"{row['ratio'] or -1:7.3f} {row['mean_ratio'] or -1:7.4f}"),
                    flush=True,
                )
    whole = [r for r in rows if not r.get("stripped")]
    result = {
        "side": options.side, "quality": options.quality, "summary": summary(whole),
        "summary_stripped": summary([r for r in rows if r.get("stripped")]), "rows": rows,
    }  # fmt: skip
    print(json.dumps({k: v for k, v in result.items() if k.startswith("summary")}, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.sheet and pictures:
        save_sheet(pictures, options.sheet)


if __name__ == "__main__":
    main()
