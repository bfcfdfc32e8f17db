"""Learn the weights of the filter of the quadtree codec (:mod:`fractalkit.maps.quadtree_filter`).

    python -m recipes.codec_filter FOLDER [FOLDER ...] [-o fractalkit/maps/quadtree_filter.npz]

The middle of every picture is encoded at several qualities without the filter. For each class of cells, the weights are
those of least squared error between the decoded planes, filtered, and the planes themselves, in units of the step.
Changing the weights changes the file format.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from fractalkit.fit.quadtree import encode
from fractalkit.maps import quadtree_filter as filters
from fractalkit.maps import quadtree_filter_cpu as cpu
from fractalkit.maps.quadtree_picture import plane_at
from fractalkit.raster.colour import to_planes
from recipes.codec_priors import SUFFIXES

SIDE = 512
LARGE = 1500  # width from which on a picture is halved
QUALITIES = (28, 36, 44, 52, 60)
RIDGE = 2e-3


def pictures(folders: list[Path], limit: int) -> list[np.ndarray]:
    """Read the middle of up to ``limit`` pictures per folder."""
    out = []
    for folder in folders:
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        for path in files[:: max(1, len(files) // limit)][:limit]:
            with Image.open(path) as opened:
                im: Image.Image = opened.convert("RGB")
                if im.width > LARGE:
                    im = im.reduce(2)
                y, x = max(0, im.height - SIDE) // 2, max(0, im.width - SIDE) // 2
                out.append(np.asarray(im)[y : y + SIDE, x : x + SIDE])
    return out


def differences(q: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """What the weights multiply: ``[H W, 2 n]`` float32."""
    h, w = (n - 2 * cpu.PAD for n in q.shape)

    def moved(dy: int, dx: int) -> np.ndarray:
        return q[cpu.PAD + dy : cpu.PAD + dy + h, cpu.PAD + dx : cpu.PAD + dx + w]

    out = []
    for dy, dx in taps.tolist():
        d, e = moved(dy, dx) - moved(0, 0), moved(-dy, -dx) - moved(0, 0)
        out += [(d.clip(-cut, cut) + e.clip(-cut, cut)).ravel() for cut in (cpu.FAR, cpu.NEAR)]
    return np.stack(out, -1).astype(np.float32)


class Sums:
    """Normal equations of the weights of one kind of plane."""

    def __init__(self, taps: np.ndarray) -> None:
        self.taps, n = taps, 2 * len(taps)
        self.squares, self.products = np.zeros((cpu.CLASSES, n, n)), np.zeros((cpu.CLASSES, n))

    def add(self, shown: np.ndarray, wanted: np.ndarray, step: float) -> None:
        """Add a decoded plane and what it should be."""
        q = filters.in_units(shown, step)
        kinds = cpu.classes(q, *shown.shape).repeat(cpu.CELL, 0).repeat(cpu.CELL, 1)
        kinds = kinds[: shown.shape[0], : shown.shape[1]].ravel()
        d, error = differences(q, self.taps), ((wanted - shown) * (cpu.UNITS / step)).ravel().astype(np.float32)
        order = np.argsort(kinds, kind="stable")
        ends = np.searchsorted(kinds[order], np.arange(cpu.CLASSES + 1))
        for k in range(cpu.CLASSES):
            some = order[ends[k] : ends[k + 1]]
            self.squares[k] += d[some].T @ d[some]
            self.products[k] += d[some].T @ error[some]

    def solved(self) -> np.ndarray:
        """The weights ``[classes, n, 2]`` int16."""
        n = self.squares.shape[1]
        ridge = np.array([max(1.0, RIDGE * np.trace(s) / n) for s in self.squares])
        made = np.linalg.solve(self.squares + ridge[:, None, None] * np.eye(n), self.products[..., None])
        whole = np.rint(made * filters.SCALE).clip(1 - filters.SCALE, filters.SCALE - 1)
        return np.asarray(whole.reshape(cpu.CLASSES, -1, 2).astype(np.int16))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("fractalkit/maps/quadtree_filter.npz"))
    parser.add_argument("--limit", type=int, default=30, help="pictures per folder")
    options = parser.parse_args()
    sums = {False: Sums(filters.LUMA), True: Sums(filters.CHROMA)}
    read = pictures(options.folders, options.limit)
    for n, picture in enumerate(read):
        for quality in QUALITIES:
            half = (n + quality // 4) % 4 > 0
            code = encode(picture, quality=quality, effort=1, chroma="half" if half else "full", threads=1)
            planes = to_planes(picture, 8, half)
            for i, p in enumerate(code.planes(0)):
                sums[i > 0].add(plane_at(p, deblock=code.settings.deblock), planes[i], p.step)
    made = {name: sums[chroma].solved() for name, chroma in (("luma", False), ("chroma", True))}
    np.savez_compressed(options.out, **made)  # type: ignore[arg-type]
    print(f"{options.out}: {options.out.stat().st_size} bytes, from {len(read)} pictures")


if __name__ == "__main__":
    main()
