"""The quadtree codec tuned for squared error and for the eye, beside AVIF at the same rates.

    python -m recipes.benchmarks.tune FOLDER [--rates 0.25,0.5] [--pictures 4]

PSNR is of RGB, SSIM and MS-SSIM (Wang, Simoncelli and Bovik, 2003) of luma: means over the pictures. SSIMULACRA2, in
which 100 is the picture itself, needs `pip install ".[bench]"` and is left out without it. AVIF has no target in bits:
its measures are interpolated in the logarithm of the rate between the two qualities on either side.
"""

from __future__ import annotations

import io
import math
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from fractalkit.data.images import list_pictures
from fractalkit.data.pictures import read_picture
from fractalkit.fit.quadtree import encode
from fractalkit.maps.quadtree_picture import decode
from recipes.benchmarks.codec import luma, psnr, ssim, through_pillow
from recipes.benchmarks.report import put, put_progress, save

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """MS-SSIM of 8-bit luma; the scales are means of 2 x 2 pixels."""

    def blur(v: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(v, 1.5, truncate=3.34))

    out = 1.0
    for k, weight in enumerate(WEIGHTS):
        ma, mb = blur(a), blur(b)
        va, vb, cov = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
        field = (2 * cov + 58.5225) / (va + vb + 58.5225)
        if k == len(WEIGHTS) - 1:
            field = field * (2 * ma * mb + 6.5025) / (ma**2 + mb**2 + 6.5025)
        out *= max(float(field.mean()), 1e-6) ** weight
        h, w = (n // 2 * 2 for n in a.shape)
        a, b = (v[:h, :w].reshape(h // 2, 2, w // 2, 2).mean((1, 3)) for v in (a, b))
    return out


def ssimulacra2(a: np.ndarray, b: np.ndarray) -> float:
    """SSIMULACRA2 of 8-bit pictures, by the package of that name, which reads files."""
    from ssimulacra2 import compute_ssimulacra2

    files = []
    for picture in (a, b):
        files.append(io.BytesIO())
        Image.fromarray(picture).save(files[-1], "BMP")
    return float(compute_ssimulacra2(*files))


def measures(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """All measures of a picture as shown; SSIMULACRA2 where its package is installed."""
    grey, shown = luma(a), luma(b)
    out = {"PSNR": psnr(a, b), "SSIM": ssim(grey, shown), "MS-SSIM": ms_ssim(grey, shown)}
    if find_spec("ssimulacra2"):
        out["SSIMULACRA2"] = ssimulacra2(a, b)
    return out


def avif(a: np.ndarray, rate: float) -> dict[str, float] | None:
    """Measures of AVIF at a rate in bits per pixel, or None if its least quality takes more."""

    @cache
    def file(quality: int) -> tuple[float, np.ndarray]:
        return through_pillow(a, "AVIF", quality=quality, speed=6)

    low, high = 0, 100
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if file(middle)[0] <= rate else (low, middle)
    (below, one), (above, other) = file(low), file(high)
    if not below <= rate <= above:
        return None
    share = math.log(rate / below) / math.log(above / below) if above > below else 0.0
    first, second = measures(a, one), measures(a, other)
    return {name: (1 - share) * v + share * second[name] for name, v in first.items()}


def ours(a: np.ndarray, rate: float, effort: int, tune: str) -> dict[str, float]:
    """Measures of the quadtree codec at a rate."""
    return measures(a, decode(encode(a, bpp=rate, effort=effort, tune=tune, threads=1)))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--rates", default="0.25,0.5", help="Bits per pixel.")
@click.option("--effort", default=5, show_default=True, type=click.IntRange(0, 9))
@click.option("--pictures", type=click.IntRange(1), help="Take so many, evenly from the folder; all by default.")
def main(folder: Path, rates: str, effort: int, pictures: int | None) -> None:
    """One row per rate and codec."""
    rows: list[dict[str, Any]] = []
    paths = list_pictures(folder)
    n = min(len(paths), pictures or len(paths))
    taken = [read_picture(paths[i * len(paths) // n]).samples[..., :3] for i in range(n)]
    for rate in map(float, rates.split(",")):
        for codec in ("psnr", "eye", "AVIF"):
            scores = [avif(a, rate) if codec == "AVIF" else ours(a, rate, effort, codec) for a in taken]
            known = [s for s in scores if s is not None]
            if len(known) < len(scores):  # a mean over other pictures would not compare
                continue
            means = {name: float(np.mean([s[name] for s in known])) for name in known[0]}
            rows.append({"bpp": rate, "codec": codec if codec == "AVIF" else f"--tune {codec}", "pictures": n, **means})
            put_progress(rows[-1])
    put(rows)
    save("tune", rows)


if __name__ == "__main__":
    main()
