"""Fits of pictures of random codes: what agrees at full view and, from the code alone, in windows 2 to 8 times as big.

The fit sees one picture of the whole. The windows are those with the longest outline in it (as in Djeacoumar et al.,
Eurographics 2025, who zoom too); truth and fit are drawn in them alike. Recovered is a code whose pixels agree by 95 %.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import click
import numpy as np
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.fit import fit_picture, foreground_of
from fractalkit.orbit import extent, histogram, touched_cells
from fractalkit.orbit.coverage import covering_weights
from fractalkit.render.picture_files import window_of_detail
from fractalkit.render.zoom_ifs import IFSWindows
from recipes.benchmarks.random_codes import PLANE, RULES, Case, draw_case
from recipes.benchmarks.report import load, put, put_progress, save, timed

AGREED = 0.95
ZOOMS = (2, 4, 8)
VIEW, CELLS, SAMPLES = 256, 2, 60  # pixels of a window, cells a side of a pixel, points a cell
SHOWN = ["number", "side", "kind", "K", "iou", "floor 8x", "iou 2x", "iou 4x", "iou 8x", "psnr", "cpu_seconds"]


def framed(code: AffineIFS, margin: float = 0.03) -> AffineIFS:
    """A code moved so that its attractor lies in the unit square, with a margin."""
    low, high = (v.double() for v in extent(code))
    side = float((high - low).max()) * (1 + 2 * margin)
    corner = (low + high) / 2 - side / 2
    return replace(code, offsets=(code.matrices @ corner + code.offsets - corner) / side)


def mask(code: AffineIFS, side: int) -> np.ndarray:
    """The pixels of the unit square that an attractor touches; row 0 lowest."""
    factor = max(4096 // side, 2)
    return touched_cells(code, (side * factor, side * factor), np.zeros(2), np.ones(2)).mask(factor)


def drawn(code: AffineIFS, side: int, kind: str) -> np.ndarray:
    """A picture: the set, or the measure with the brightest hundredth of its pixels white; uint8, row 0 at the top."""
    if kind == "set":
        return np.asarray(np.flipud(mask(code, side)).astype(np.uint8) * 255)
    counts = histogram(code, 40 * side * side, shape=(side, side), bounds=(torch.zeros(2), torch.ones(2))).counts
    x = np.flipud(counts.numpy()).astype(np.float64)
    return np.asarray((np.minimum(x / np.quantile(x[x > 0], 0.99), 1) * 255 + 0.5).astype(np.uint8))


def window(code: AffineIFS, box: tuple[float, float, float, float], seed: int) -> np.ndarray:
    """The pixels that an attractor touches in a window (left, bottom, right, top)."""
    sums = np.zeros((VIEW * CELLS, VIEW * CELLS, 4), np.float32)
    views = IFSWindows(replace(code, weights=covering_weights(code)), seed=seed)
    views.collect(box, SAMPLES * VIEW * VIEW * CELLS * CELLS, sums)
    seen = sums[..., 3] > 0
    return np.asarray(seen.reshape(VIEW, CELLS, VIEW, CELLS).any(axis=(1, 3)))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of masks."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """In dB, of pictures of uint8."""
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return 10 * math.log10(255**2 / error) if error else 99.0


def judged(case: Case, side: int, kind: str, effort: int, seed: int) -> dict[str, Any]:
    """Fit one picture of a case and compare the codes."""
    truth = framed(case.code)
    picture = drawn(truth, side, kind)
    with timed() as t:
        code = fit_picture(picture, maps=case.maps, kind=kind, effort=effort, seed=seed)
    row: dict[str, Any] = {
        "number": case.number, "rule": case.rule, "kinds": list(case.kinds), "K": case.maps, "side": side, "kind": kind,
        "effort": effort, "iou": iou(mask(truth, side), mask(code, side)), "fitted iou": code.provenance["iou"],
        "psnr": psnr(picture, drawn(code, side, kind)), "seconds": t.wall, "cpu_seconds": t.cpu,
    }  # fmt: skip
    row["recovered"] = row["iou"] >= AGREED
    subject = foreground_of(picture, kind=kind)
    for zoom in ZOOMS:
        x0, y0, w, h = (v / side for v in window_of_detail(subject, zoom))
        box = (x0, 1 - y0 - h, x0 + w, 1 - y0)
        true = window(truth, box, 1)
        row[f"iou {zoom}x"] = iou(true, window(code, box, 2))
        row[f"floor {zoom}x"] = iou(true, window(truth, box, 2))
    return row


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each size and kind of picture, of all codes and of those with at most five maps, by rule."""
    out = []
    for side, kind in sorted({(r["side"], r["kind"]) for r in rows}):
        for rule in ("all", *RULES):
            for most in (5, 8):
                some = [
                    r for r in rows
                    if (r["side"], r["kind"]) == (side, kind) and r["K"] <= most and rule in ("all", r["rule"])
                ]  # fmt: skip
                if some:
                    out.append({
                        "side": side, "kind": kind, "codes": rule, "K": f"2 to {most}", "cases": len(some),
                        "recovered": f"{100 * np.mean([r['recovered'] for r in some]):.0f} %",
                        "iou": float(np.median([r["iou"] for r in some])),
                        "iou 8x": float(np.median([r["iou 8x"] for r in some])),
                        "psnr": float(np.median([r["psnr"] for r in some])),
                        "cpu s": float(np.median([r["cpu_seconds"] for r in some])),
                    })  # fmt: skip
    return out


@click.command("pictures")
@click.option("--cases", default=len(PLANE), show_default=True, help="Number of cases.")
@click.option("--first", default=0, show_default=True, help="Number of the first case; those below 40 are the suite.")
@click.option("--rule", type=click.Choice(list(RULES)), help="Only codes of this rule.")
@click.option("--most", default=8, show_default=True, help="Only codes of at most so many maps.")
@click.option("--side", "sides", multiple=True, default=(512,), show_default=True, help="Pixels; may be repeated.")
@click.option("--kind", "kinds", multiple=True, default=("set",), show_default=True, help="set or measure.")
@click.option("--effort", default=3, show_default=True)
@click.option("--seed", default=0, show_default=True)
def pictures(
    cases: int, first: int, rule: str | None, most: int, sides: tuple[int, ...], kinds: tuple[str, ...], effort: int,
    seed: int,
) -> None:  # fmt: skip
    """Pictures of random codes of the plane; rows of earlier runs are kept unless they are computed again."""
    name = f"inverse_pictures_effort{effort}"
    rows = {(r["number"], r["side"], r["kind"]): r for r in load(name)}
    for number in range(first, first + cases):
        case = draw_case(number)
        if case.maps > most or rule not in (None, case.rule):
            continue
        for side in sides:
            for kind in kinds:
                rows[number, side, kind] = judged(case, side, kind, effort, seed)
                put_progress(rows[number, side, kind], SHOWN)
                done = [rows[k] for k in sorted(rows)]
                save(name, done, summary=summary(done))
    put(summary([rows[k] for k in sorted(rows)]))
