"""Learn the priors of the quadtree codec, the initial state of its contexts.

    python recipes/codec_priors.py FOLDER [FOLDER ...] [-o fractalkit/codec/priors.npz]

Every picture is encoded at several qualities. Then all planes are coded one after the other in random order, with
models that keep adapting. Their final state is saved. Changing the priors changes the file format.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from fractalkit.codec.quadtree_segments import QUADTREE, write_planes
from fractalkit.fit.quadtree import encode

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif"}


def pictures(folders: list[Path], limit: int) -> list[np.ndarray]:
    """Read up to ``limit`` pictures per folder, at most 1024 pixels a side; JPEGs are halved to remove their blocks."""
    out = []
    for folder in folders:
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        for path in files[:: max(1, len(files) // limit)][:limit]:
            with Image.open(path) as opened:
                im: Image.Image = opened.convert("L" if opened.mode == "L" else "RGB")
                if path.suffix.lower() in (".jpg", ".jpeg"):
                    im = im.reduce(2)
                im.thumbnail((1024, 1024), Image.Resampling.BOX)
                out.append(np.asarray(im))
    return out


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("fractalkit/codec/priors.npz"))
    parser.add_argument("--limit", type=int, default=30, help="pictures per folder")
    options = parser.parse_args()
    codes = []
    for i, picture in enumerate(pictures(options.folders, options.limit)):
        for quality in (34, 40, 46, 52, 60, 74):
            effort = 6 if (i + quality) % 3 == 0 else 1
            chroma = "half" if i % 4 == 3 else "full"
            codes.append(encode(picture, quality=quality, effort=effort, chroma=chroma, deblock=False))
    states = {name: QUADTREE.fresh(name) for name in QUADTREE.shapes}
    total = 0
    for i in np.random.default_rng(0).permutation(len(codes)):
        code = codes[i]
        for tile in range(len(code.tiles)):
            parts = write_planes(code.planes(tile), code.settings.top, code.settings.bottom, states.__getitem__)
            total += sum(map(len, parts))
    np.savez_compressed(options.out, **QUADTREE.packed(states))  # type: ignore[arg-type]
    print(f"{options.out}: {options.out.stat().st_size} bytes, from {len(codes)} codes of {total} bytes in all")


if __name__ == "__main__":
    main()
