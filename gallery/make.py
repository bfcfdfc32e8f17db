"""Make the gallery: ``python gallery/make.py NAME``, ``--all`` or ``--list``.

Each picture carries its code, its command and its seed in the PNG; ``fractalkit info`` shows them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from fractalkit.cli.common import CODE_KEY, COMMAND_KEY, SEED_KEY
from fractalkit.cli.render import FLAME_KEY
from fractalkit.codes import preset
from fractalkit.codes.flame_xml import to_xml
from fractalkit.codes.presets import PRESETS
from fractalkit.render import Camera, draw_ifs, read_png_text, save_png
from fractalkit.render.palette import encode
from fractalkit.render.preview import INK, font
from fractalkit.render.splat import backdrop

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from designs import DESIGNS, SINGLE, load  # noqa: E402
from flames import FLAMES  # noqa: E402  # files beside this one
from page import PAGE  # noqa: E402
from photographs import PHOTOGRAPHS  # noqa: E402

DRAWN = PHOTOGRAPHS | FLAMES | DESIGNS | PAGE

Image = npt.NDArray[np.uint8]
SEED = 1


@dataclass(frozen=True)
class Picture:
    """One preset in one view. ``view`` is (azimuth, elevation) in degrees, for codes in space."""

    size: tuple[int, int] = (720, 720)
    palette: str | None = None
    background: str = "dark"
    view: tuple[float, float] | None = None


PICTURES: dict[str, Picture] = {
    "barnsley-fern": Picture((860, 640), "fernlight"),
    "heighway-dragon": Picture((480, 720)),
    "maple-leaf": Picture((600, 600)),
    "menger-sponge": Picture((520, 520), view=(34, 24)),
    "sierpinski-tetrahedron": Picture((640, 640), view=(20, 12)),
    "tree-3d": Picture((600, 600)),
    "pine-3d": Picture((860, 640)),
    "fern-3d": Picture((800, 720)),
    "romanesco": Picture((600, 600), view=(30, 30)),
    "nautilus": Picture((440, 540)),
    "coral": Picture((640, 760)),
    "turritella": Picture((700, 460)),
}


def one(name: str) -> Image:
    """The picture of a preset."""
    p = PICTURES[name]
    ifs = preset(name)
    camera = None
    if ifs.dim == 3 and p.view is not None:
        from fractalkit.orbit import sample

        x = sample(ifs, 40_000, seed=SEED, dtype=torch.float64).points
        camera = Camera.frame(x.numpy(), p.size, azimuth=p.view[0], elevation=p.view[1])
    return draw_ifs(ifs, size=p.size, palette=p.palette, background=p.background, seed=SEED, camera=camera)


def sheet(columns: int = 8, side: int = 112) -> Image:
    """All presets, each with its name."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    rows = math.ceil(len(PRESETS) / columns)
    cell = (side + 26, side + 12)
    size = (rows * cell[0] + 12, columns * cell[1] + 12)
    canvas = encode(backdrop(size, "dark")).copy()
    empty = encode(backdrop((side, side), "dark")).astype(np.int16)
    for i, name in enumerate(PRESETS):
        drawn = draw_ifs(preset(name), size=(side, side), seed=SEED, supersample=3).astype(np.int16)
        r, c = i // columns * cell[0] + 12, i % columns * cell[1] + 12
        # each small picture brings its own backdrop: only what it adds is laid on the sheet
        part = canvas[r : r + side, c : c + side].astype(np.int16)
        canvas[r : r + side, c : c + side] = np.clip(part + drawn - empty, 0, 255)
    picture = Pillow.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    for i, name in enumerate(PRESETS):
        r, c = i // columns * cell[0] + 12, i % columns * cell[1] + 12
        pen.text((c + side / 2, r + side + 12), name, fill=INK["dark"][1], font=font(9), anchor="ms")
    return np.array(picture)


def digits(side: int = 256, n: int = 16, columns: int = 8) -> Image:
    """Samples of the model that comes with the package, seeds from 0 on."""
    from fractalkit.models.vdvae import VDVAE

    model = VDVAE.from_pretrained("vdvae_mnist")
    full = side + -side % 7  # a multiple of the collage's grid
    rows = []
    for first in range(0, n, columns):
        h = model.sample([torch.Generator().manual_seed(SEED + first + i) for i in range(columns)])
        rows.append(torch.cat(list(model.draw(h, full, full)[:, 0]), dim=1))
    return (255 * torch.cat(rows)).round().byte().numpy()


def make(name: str, folder: Path) -> Path:
    """Draw NAME into ``folder/NAME.png``."""
    path = folder / f"{name}.png"
    text = {COMMAND_KEY: f"python gallery/make.py {name}", SEED_KEY: str(SEED), "software": "FractalKit"}
    if name == "presets":
        image = sheet()
        text["presets"] = json.dumps(list(PRESETS))
    elif name == "digits":
        image = digits()
    elif name in DRAWN:
        image = DRAWN[name][0]()
        if name in SINGLE:
            text[FLAME_KEY] = to_xml([load(name)])
    else:
        image = one(name)
        text[CODE_KEY] = preset(name).to_json()
    save_png(path, image, text)
    return path


GROUPS: dict[str, tuple[str, ...]] = {
    "Flames": (
        "reef", "lace", "crest", "foam", "anemone", "ruffles", "nebula", "pearls", "flames", "mutants", "variations",
        "flame-loop",
    ),
    "Flames in space": ("fountain", "medusa"),
    "Codes of the plane": (
        "wreath", "sunflower", "tiling", "barnsley-fern", "maple-leaf", "heighway-dragon", "morphs", "strangers",
        "dive",
    ),
    "Codes in space": (
        "coral", "romanesco", "nautilus", "turritella", "fern-3d", "pine-3d", "tree-3d", "menger-sponge",
        "sierpinski-tetrahedron",
    ),
    "Photographs": tuple(PHOTOGRAPHS),
    "Samples of a model": ("digits",),
    "Presets": ("presets",),
    "The page": ("demo",),
}  # fmt: skip
JOBS = [name for names in GROUPS.values() for name in names]


def words(name: str) -> tuple[str, str]:
    """Title and description of a picture."""
    if name == "presets":
        return "All presets", f"the {len(PRESETS)} codes of `fractalkit ifs --list`."
    if name == "digits":
        return (
            "Digits",
            "Sixteen samples of `vdvae_mnist`, a model trained on digits of 28 x 28 pixels, at 259 pixels a side.",
        )
    if name in DRAWN:
        _, title, source = DRAWN[name]
        return title, source
    return PRESETS[name].title, PRESETS[name].source


def index() -> str:
    """The text of gallery/README.md."""
    lines = [
        "# Gallery",
        "",
        "Each picture holds its command, its seed and, where it has one, its code; `fractalkit info FILE` shows them.",
        "",
    ]
    for group, names in GROUPS.items():
        lines += [f"## {group}", ""]
        for name in names:
            title, source = words(name)
            lines += [
                f"### {title}",
                "",
                f"![{title}]({name}.png)",
                "",
                source,
                "",
                f"    python gallery/make.py {name}",
                "",
            ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="pictures to make")
    parser.add_argument("--all", action="store_true", help="make them all, and README.md")
    parser.add_argument("--list", action="store_true", help="list their names")
    parser.add_argument("--index", action="store_true", help="write README.md alone")
    parser.add_argument("--folder", type=Path, default=HERE, help="where they go (default: beside this file)")
    args = parser.parse_args(argv)
    if args.list:
        print("\n".join(JOBS))
        return 0
    if args.index and not args.names and not args.all:
        (args.folder / "README.md").write_text(index(), encoding="utf-8")
        return 0
    names = list(JOBS) if args.all else args.names
    unknown = [n for n in names if n not in JOBS]
    if unknown or not names:
        parser.error(f"no picture named {unknown[0]}; --list shows them" if unknown else "give a NAME, --all or --list")
    for name in names:
        path = make(name, args.folder)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB, {', '.join(read_png_text(path))}")
    if args.all or args.index:
        (args.folder / "README.md").write_text(index(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
