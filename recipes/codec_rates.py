"""Learn the rates with which the encoder of quadtree codes begins.

    python recipes/codec_rates.py FOLDER [FOLDER ...] [-o fractalkit/fit/quadtree_rates.npz]

Every picture is encoded at several steps of the quantiser. The decisions of the last pass are counted over all
pictures, and rates are learned from the sums as from pass to pass. They do not belong to the format of files. Without
a file to begin with, a crude one is written first.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np

from fractalkit.codes.quadtree import step_index
from fractalkit.fit import quadtree_rd as rd
from fractalkit.fit.quadtree import EFFORTS, _Encoder
from recipes.codec_priors import pictures

STEPS = 6  # FINEST and its doubles


def crude() -> rd.Rates:
    """Rates by rules of thumb."""
    mq = np.arange(9)[:, None, None]
    k = np.arange(rd.LEVELS)[None, None, :]
    dq = np.arange(8)[None, :, None]
    scale = 0.25 + 0.28 * mq - 0.02 * dq * (mq < 3)
    weight = np.exp(-k / np.maximum(scale, 0.15))
    level = -np.log2(weight / weight.sum(-1, keepdims=True)) + (k > 0)
    last = np.full((rd.SIZES, 128), 12.0)
    for b in range(rd.SIZES):
        p = np.exp(-np.arange(2 * (4 << b) - 1) / (1.5 + 1.2 * b))
        last[b, : len(p)] = -np.log2(p / p.sum())
    n = np.arange(24)
    mean = np.repeat([1.5 + 1.2 * n + np.maximum(0, n - 1) + (n > 0)], rd.SIZES, 0)
    return rd.Rates(
        np.repeat(level[None], rd.SIZES, 0), last, mean, np.ones((rd.HIGHEST + 1, 2)),
        np.repeat([[0.3, 3.0]], rd.SIZES, 0), np.full(rd.SIZES, 7.0),
        np.repeat([1 + 1.8 * np.arange(17)], rd.SIZES, 0),
    )  # fmt: skip


def write(path: Path, learned: list[list[rd.Rates]]) -> None:
    """Write rates by step, and by luma and chroma, in parts of a bit."""
    tables = {
        f.name: np.rint(rd.UNITS * np.array([[getattr(r, f.name) for r in two] for two in learned])).astype(np.uint16)
        for f in fields(rd.Rates)
    }
    np.savez_compressed(path, **tables)  # type: ignore[arg-type]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("fractalkit/fit/quadtree_rates.npz"))
    parser.add_argument("--limit", type=int, default=14, help="pictures per folder")
    parser.add_argument("--side", type=int, default=512, help="pixels a side, of their middles")
    options = parser.parse_args()
    sums = [{chroma: rd.Counts.empty() for chroma in (False, True)} for _ in range(STEPS)]
    plan = EFFORTS[5]
    if not options.out.exists():
        write(options.out, [[crude()] * 2] * STEPS)
    for picture in pictures(options.folders, options.limit):
        y, x = (max(0, n - options.side) // 2 for n in picture.shape[:2])
        part = np.ascontiguousarray(picture[y : y + options.side, x : x + options.side])
        for k, total in enumerate(sums):
            encoder = _Encoder(part, 8, k % 2 == 0, plan, None, {}, 1, "cpu", False, None)
            encoder.run(step_index(rd.FINEST * 2**k), plan.passes + 1)
            for chroma, counts in encoder.kept[0].counts.items():
                for f in fields(rd.Counts):
                    getattr(total[chroma], f.name)[:] += getattr(counts, f.name)
    write(options.out, [[rd.Rates.learn(total[chroma]) for chroma in (False, True)] for total in sums])
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
