"""Draw the gallery: ``python gallery/make.py NAME``, ``--all`` or ``--list``.

Each PNG contains its code, its command and its seed; ``fractalkit info`` shows them.
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

from fractalkit.codes import preset
from fractalkit.codes.flame_xml import to_xml
from fractalkit.codes.presets import PRESETS
from fractalkit.raster.png import CODE_KEY, COMMAND_KEY, FLAME_KEY, SEED_KEY
from fractalkit.render import Camera, draw_ifs, read_png_text, save_png
from fractalkit.render.palette import encode
from fractalkit.render.preview import INK, font
from fractalkit.render.splat import backdrop

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from bunnies import BUNNIES  # noqa: E402
from designs import DESIGNS, SINGLE, load  # noqa: E402
from films import FILMS  # noqa: E402
from flames import FLAMES  # noqa: E402
from page import PAGE  # noqa: E402
from photographs import PHOTOGRAPHS  # noqa: E402

DRAWN = PHOTOGRAPHS | FLAMES | DESIGNS | BUNNIES | PAGE

Image = npt.NDArray[np.uint8]
SEED = 1


@dataclass(frozen=True)
class Picture:
    """How to draw a preset. ``size`` is (width, height); ``view`` is (azimuth, elevation) in degrees, for 3D codes."""

    size: tuple[int, int] = (720, 720)
    palette: str | None = None
    background: str = "dark"
    view: tuple[float, float] | None = None


PICTURES: dict[str, Picture] = {
    "barnsley-fern": Picture((640, 860), "fernlight"),
    "heighway-dragon": Picture((720, 480)),
    "maple-leaf": Picture((600, 600)),
    "menger-sponge": Picture((520, 520), view=(34, 24)),
    "sierpinski-tetrahedron": Picture((640, 640), view=(20, 12)),
    "tree-3d": Picture((600, 600)),
    "pine-3d": Picture((640, 860)),
    "fern-3d": Picture((720, 800)),
    "romanesco": Picture((600, 600), view=(30, 30)),
    "nautilus": Picture((540, 440)),
    "coral": Picture((760, 640)),
    "turritella": Picture((460, 700)),
}


def one(name: str) -> Image:
    """Draw a preset."""
    p = PICTURES[name]
    ifs = preset(name)
    camera = None
    if ifs.dim == 3 and p.view is not None:
        from fractalkit.orbit import sample

        x = sample(ifs, 40_000, seed=SEED, dtype=torch.float64).points
        camera = Camera.frame(x.numpy(), p.size, azimuth=p.view[0], elevation=p.view[1])
    return draw_ifs(ifs, size=p.size, palette=p.palette, background=p.background, seed=SEED, camera=camera)


def sheet(columns: int = 8, side: int = 112) -> Image:
    """Draw all presets on one sheet, each with its name."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    rows = math.ceil(len(PRESETS) / columns)
    cell = (side + 26, side + 12)
    size = (columns * cell[1] + 12, rows * cell[0] + 12)
    canvas = encode(backdrop(size, "dark")).copy()
    empty = encode(backdrop((side, side), "dark")).astype(np.int16)
    for i, name in enumerate(PRESETS):
        drawn = draw_ifs(preset(name), size=(side, side), seed=SEED, supersample=3).astype(np.int16)
        r, c = i // columns * cell[0] + 12, i % columns * cell[1] + 12
        # subtract the backdrop of each small picture and add the rest to the sheet
        part = canvas[r : r + side, c : c + side].astype(np.int16)
        canvas[r : r + side, c : c + side] = np.clip(part + drawn - empty, 0, 255)
    picture = Pillow.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    for i, name in enumerate(PRESETS):
        r, c = i // columns * cell[0] + 12, i % columns * cell[1] + 12
        pen.text((c + side / 2, r + side + 12), name, fill=INK["dark"][1], font=font(9), anchor="ms")
    return np.array(picture)


# picture: model, title, guidance, sharpness, what it was trained on
MODELS = {
    "digits": ("vdvae_mnist", "Digits", 3.0, 3.0, "digits"),
    "clothes": ("vdvae_fashion", "Clothes", 1.2, 1.0, "photographs of clothes"),
}


def samples(name: str, side: int = 210, rows: int = 2) -> Image:
    """Samples of a model in the package, each class once a row, with consecutive seeds from SEED on."""
    from fractalkit.models.vdvae import VDVAE

    source, _, guidance, sharpness, _ = MODELS[name]
    model = VDVAE.from_pretrained(source)
    full = side + -side % 7  # a multiple of the collage's grid
    drawn = []
    for row in range(rows):
        seeds = [torch.Generator().manual_seed(SEED + 10 * row + i) for i in range(10)]
        h = model.features(seeds, labels=range(10), guidance=guidance)
        drawn.append(torch.cat(list(model.draw(h, full, full, sharpness=sharpness)[:, 0]), dim=1))
    return (255 * torch.cat(drawn)).round().byte().numpy()


def file_name(name: str) -> str:
    """Return the name of a picture's file."""
    return f"{name}.gif" if name == "session" else f"{name}.webp" if name in FILMS else f"{name}.png"


def make(name: str, folder: Path) -> Path:
    """Draw NAME to ``folder/NAME.png``, or a film to ``folder/NAME.webp`` or ``.gif``."""
    path = folder / file_name(name)
    if name in FILMS:
        FILMS[name][0](path)
        return path
    text = {COMMAND_KEY: f"python gallery/make.py {name}", SEED_KEY: str(SEED), "software": "FractalKit"}
    if name == "presets":
        image = sheet()
        text["presets"] = json.dumps(list(PRESETS))
    elif name in MODELS:
        image = samples(name)
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
        "sway", "reef", "lace", "crest", "foam", "anemone", "ruffles", "nebula", "pearls", "flames", "mutants",
        "variations", "flame-loop",
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
    "Clouds as collages": tuple(BUNNIES),
    "Photographs": tuple(PHOTOGRAPHS),
    "Samples of models": tuple(MODELS),
    "Presets": ("presets",),
    "In the browser": ("session", "studio", "demo"),
}  # fmt: skip
JOBS = [name for names in GROUPS.values() for name in names]


def words(name: str) -> tuple[str, str]:
    """Return the title and the description of a picture."""
    if name == "presets":
        return "All presets", f"The {len(PRESETS)} codes of `fractalkit ifs --list`."
    if name in MODELS:
        model, title, _, _, data = MODELS[name]
        return (
            title,
            f"Twenty samples of `{model}`, a model trained on {data} of 28 x 28 pixels, at 210 x 210 pixels each.",
        )
    if name in FILMS:
        return FILMS[name][1:]
    if name in DRAWN:
        _, title, source = DRAWN[name]
        return title, source
    return PRESETS[name].title, PRESETS[name].source


def index() -> str:
    """Return the text of gallery/README.md."""
    lines = [
        "# Gallery",
        "",
        "Each picture contains its command, its seed and its code, if it has one; `fractalkit info FILE` shows them.",
        "",
    ]
    for group, names in GROUPS.items():
        lines += [f"## {group}", ""]
        for name in names:
            title, source = words(name)
            lines += [
                f"### {title}",
                "",
                f"![{title}]({file_name(name)})",
                "",
                source,
                "",
                f"    python gallery/make.py {name}",
                "",
            ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="pictures to draw")
    parser.add_argument("--all", action="store_true", help="draw all pictures and write README.md")
    parser.add_argument("--list", action="store_true", help="list their names")
    parser.add_argument("--index", action="store_true", help="write README.md only")
    parser.add_argument("--folder", type=Path, default=HERE, help="output folder (default: the folder of this file)")
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
        texts = "" if name in FILMS else ", ".join(["", *read_png_text(path)])
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB{texts}")
    if args.all or args.index:
        (args.folder / "README.md").write_text(index(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
