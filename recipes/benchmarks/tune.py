"""The quadtree codec tuned for squared error and for the eye, at the same rates.

    python -m recipes.benchmarks.tune FOLDER

PSNR is of RGB, SSIM and MS-SSIM (Wang, Simoncelli and Bovik, 2003) of luma: means over the pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy.ndimage import gaussian_filter

from fractalkit.data.images import list_pictures
from fractalkit.data.pictures import read_picture
from fractalkit.fit.quadtree import encode
from fractalkit.maps.quadtree_picture import decode
from recipes.benchmarks.codec import luma, psnr, ssim
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


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--rates", default="0.25,0.5", help="Bits per pixel.")
@click.option("--effort", default=2, type=click.IntRange(0, 9))
def main(folder: Path, rates: str, effort: int) -> None:
    """One row per rate and tuning."""
    rows: list[dict[str, Any]] = []
    pictures = [read_picture(path).samples for path in list_pictures(folder)]
    for rate in rates.split(","):
        for tune in ("psnr", "eye"):
            scores = []
            for a in pictures:
                d = decode(encode(a, bpp=float(rate), effort=effort, tune=tune, threads=1))
                grey, shown = luma(a).astype(float), luma(d).astype(float)
                scores.append((psnr(a, d), ssim(grey, shown), ms_ssim(grey, shown)))
            means = np.mean(scores, 0)
            row = {"bpp": float(rate), "tune": tune, "pictures": len(pictures), "PSNR": means[0], "SSIM": means[1]}
            rows.append({k: float(v) if isinstance(v, np.floating) else v for k, v in row.items()})
            rows[-1]["MS-SSIM"] = float(means[2])
            put_progress(rows[-1])
    put(rows)
    save("tune", rows)


if __name__ == "__main__":
    main()
