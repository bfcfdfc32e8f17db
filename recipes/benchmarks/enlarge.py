"""Photographs reduced by area and enlarged again: bicubic interpolation, and FractalKit at several amounts of detail.

    python -m recipes.benchmarks.enlarge FOLDER... --most 14

PSNR is of RGB, SSIM of luma, both without a border of 8 pixels. *Sharpness* needs no reference: the mean length of the
gradient of luma, in levels a pixel (the photograph's own is in the first rows). *Beyond* is the share of pixels that
are more than 30 levels outside the range of the 3 x 3 small pixels around them, in per cent. *Consistency* is the
largest difference, in levels, between the small picture and the averages of the result. Seconds are CPU seconds a
megapixel of the result, of one thread.
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from fractalkit.data.images import list_pictures
from fractalkit.data.pictures import eight_bit, on_white, read_picture
from fractalkit.fit.enlargement import enlarge
from recipes.benchmarks.codec import luma, psnr, ssim
from recipes.benchmarks.report import put, put_progress, save

MOST = 768  # pixels a side; the middle of larger pictures
EDGE = 8


def photographs(folder: Path, most: int) -> list[Path]:
    """Pictures of a folder and its folders, evenly spaced in order of name."""
    inner = sorted(p for p in folder.iterdir() if p.is_dir())
    found = [p for part in (inner or [folder]) for p in list_pictures(part)]
    return found[:: -(-len(found) // most)]


def middle(path: Path) -> np.ndarray:
    """RGB ``[H, W, 3]`` with sides that are multiples of 8."""
    a = eight_bit(read_picture(path).samples)
    a = np.repeat(a[..., None], 3, -1) if a.ndim == 2 else on_white(a)
    h, w = (min(MOST, n) // 8 * 8 for n in a.shape[:2])
    y, x = (a.shape[0] - h) // 2, (a.shape[1] - w) // 2
    return np.ascontiguousarray(a[y : y + h, x : x + w, :3])


def reduced(a: np.ndarray, times: int) -> np.ndarray:
    """Means of ``times`` x ``times`` pixels, float64."""
    h, w = a.shape[:2]
    return a.reshape(h // times, times, w // times, times, 3).mean((1, 3))


def bicubic(small: np.ndarray, times: int) -> np.ndarray:
    """Pillow's bicubic interpolation."""
    size = small.shape[1] * times, small.shape[0] * times
    return np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


def beyond(small: np.ndarray, made: np.ndarray, times: int) -> float:
    """Share of pixels, in per cent, with a channel 30 levels outside the range of its neighbourhood."""
    low, high = (f(small, (3, 3, 1)).repeat(times, 0).repeat(times, 1) for f in (minimum_filter, maximum_filter))
    out = (made < low.astype(float) - 30) | (made > high.astype(float) + 30)
    return float(100 * out.any(-1).mean())


def measured(a: np.ndarray, small: np.ndarray, made: np.ndarray, times: int) -> dict[str, float]:
    """Scores of an enlargement ``made`` of ``small`` by the photograph ``a``."""
    cut = slice(EDGE, -EDGE)
    grey = luma(made)
    return {
        "PSNR": psnr(a[cut, cut], made[cut, cut]),
        "SSIM": ssim(luma(a)[cut, cut], grey[cut, cut]),
        "sharpness": float(np.hypot(*np.gradient(grey.astype(float))).mean()),
        "beyond %": beyond(small, made, times),
        "consistency": float(np.abs(reduced(made, times) - small).max()),
    }


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--most", type=click.IntRange(1), default=14, help="Pictures of a folder.")
@click.option("--details", default="0,1,2", help="Amounts of detail.")
def main(folders: tuple[Path, ...], most: int, details: str) -> None:
    """One row per folder, factor and method: means over the pictures."""
    torch.set_num_threads(1)
    enlarge(np.zeros((32, 32, 3), np.uint8), 64)  # compiles
    rows: list[dict[str, Any]] = []
    for folder in folders:
        paths = photographs(folder, most)
        for times in (2, 4):
            scores: dict[str, list[dict[str, float]]] = defaultdict(list)
            for path in paths:
                a = middle(path)
                small = reduced(a, times).round().astype(np.uint8)
                scores["photograph"].append({"sharpness": measured(a, small, a, times)["sharpness"]})
                scores["bicubic"].append(measured(a, small, bicubic(small, times), times))
                for detail in details.split(","):
                    began = time.process_time()
                    made = enlarge(small, a.shape[0], a.shape[1], detail=float(detail))
                    seconds = (time.process_time() - began) / (made.shape[0] * made.shape[1] / 1e6)
                    found = measured(a, small, made, times) | {"CPU s / MP": seconds}
                    gain = found["PSNR"] - scores["bicubic"][-1]["PSNR"]
                    scores[f"detail {detail}"].append({"gain": gain, **found})
            for method, many in scores.items():
                row: dict[str, Any] = {"folder": folder.name, "pictures": len(paths), "times": times, "method": method}
                row |= dict.fromkeys(("gain", "PSNR", "SSIM", "sharpness", "beyond %", "consistency", "CPU s / MP"), "")
                row |= {k: float(np.mean([m[k] for m in many])) for k in many[0]}
                rows.append(row)
                put_progress(row)
    put(rows)
    save("enlarge", rows)


if __name__ == "__main__":
    main()
