"""Photomosaics of one picture: likeness from a distance, likeness of the tiles, and time.

    python -m recipes.benchmarks.fractalize FOLDER

The measures are those of :func:`fractalkit.fit.tiling.judge`. Seconds are CPU seconds of one thread: the fit, and
drawing the fixed point at 1024 pixels.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from fractalkit.data.images import list_pictures
from fractalkit.data.pictures import read_picture
from fractalkit.fit.tiling import draw, fractalize, judge
from recipes.benchmarks.report import put, save

SETTINGS = ((48, 0.5, 0.5), (48, 0.7, 0.8), (48, 0.5, 0.0), (24, 0.5, 0.5), (96, 0.5, 0.5))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def main(folder: Path) -> None:
    """One row per setting: means and worst values over the pictures of FOLDER, at most 1024 pixels per side."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for tiles, texture, blend in SETTINGS:
        scores: dict[str, list[float]] = {}
        for path in list_pictures(folder):
            a = read_picture(path).samples
            a = np.repeat(a[..., None], 3, -1) if a.ndim == 2 else a[..., :3]
            step = max(1, max(a.shape[:2]) // 1024)
            x = torch.from_numpy(np.ascontiguousarray(a[::step, ::step].transpose(2, 0, 1))).double() / 255
            began = time.process_time()
            code = fractalize(x, tiles, texture=texture, blend=blend)
            fitted = time.process_time()
            k = 1024 / max(x.shape[1:])
            draw(code, round(x.shape[1] * k), round(x.shape[2] * k))
            drawn = time.process_time()
            for name, value in {**judge(code, x), "fit": fitted - began, "draw": drawn - fitted}.items():
                scores.setdefault(name, []).append(value)
        rows.append(
            {"tiles": tiles, "texture": texture, "blend": blend, "pictures": len(scores["ssim"])}
            | {"SSIM": float(np.mean(scores["ssim"])), "worst": min(scores["ssim"])}
            | {"correlation": float(np.mean(scores["correlation"])), "worst ": min(scores["correlation"])}
            | {"fit CPU s": float(np.mean(scores["fit"])), "draw CPU s": float(np.mean(scores["draw"]))}
        )
    put(rows)
    save("fractalize", rows)


if __name__ == "__main__":
    main()
