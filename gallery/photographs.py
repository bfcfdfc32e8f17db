"""Gallery pictures made from a photograph that comes with matplotlib: Grace Hopper, U.S. Navy, public domain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from matplotlib import cbook
from PIL import Image as Pillow
from PIL import ImageDraw

from fractalkit.codes import preset
from fractalkit.codes.collage import CollageCode
from fractalkit.fit.enlargement import enlarge
from fractalkit.fit.quadtree import encode
from fractalkit.fit.restore import denoise, inpaint
from fractalkit.fit.tiling import Style, draw, fractalize
from fractalkit.maps.quadtree_picture import decode, trace
from fractalkit.render import draw_ifs
from fractalkit.render.preview import font

Image = npt.NDArray[np.uint8]
PAPER, INK = (250, 249, 246), (40, 40, 44)


def photograph() -> Image:
    """``[600, 512, 3]``."""
    with cbook.get_sample_data("grace_hopper.jpg") as f, Pillow.open(f) as image:
        return np.asarray(image.convert("RGB"))


def side_by_side(panels: list[tuple[str, Image]], gap: int = 14, foot: int = 34) -> Image:
    """Arrange panels of the same height in a row on white, each with a caption below."""
    height = max(p.shape[0] for _, p in panels)
    width = sum(p.shape[1] for _, p in panels) + gap * (len(panels) + 1)
    sheet = Pillow.new("RGB", (width, height + gap + foot), PAPER)
    pen = ImageDraw.Draw(sheet)
    x = gap
    for words, p in panels:
        sheet.paste(Pillow.fromarray(p), (x, gap))
        pen.text((x + p.shape[1] / 2, gap + height + foot / 2), words, fill=INK, font=font(13), anchor="mm")
        x += p.shape[1] + gap
    return np.array(sheet)


def zoom() -> Image:
    """An eightfold enlargement: bicubic interpolation of the decoded pixels, and the fixed point."""
    a = photograph()
    code = encode(a, bpp=0.8)
    y, x, n = 36, 236, 56
    fine = decode(code, 8 * 600, 8 * 512, window=(8 * x, 8 * y, 8 * (x + n), 8 * (y + n)))
    pixels = Pillow.fromarray(decode(code)[y : y + n, x : x + n])
    bicubic = np.asarray(pixels.resize((8 * n, 8 * n), Pillow.Resampling.BICUBIC))
    return side_by_side([("8 x, bicubic, of the 0.8 bit a pixel picture", bicubic), ("8 x, the fixed point", fine)])


def enlarged() -> Image:
    """Five parts of the photograph at half its size, enlarged four times: bicubic, and three amounts of detail."""
    a = photograph()
    small = np.rint(a.reshape(300, 2, 256, 2, 3).mean((1, 3))).astype(np.uint8)
    whole = Pillow.fromarray(small).resize((1024, 1200), Pillow.Resampling.BICUBIC)
    made = [np.asarray(whole), *(enlarge(small, 1200, detail=d) for d in (0, 1, 2))]
    names = ["bicubic", "detail 0", "detail 1", "detail 2"]
    rows = []
    for y, x in ((6, 92), (55, 90), (95, 100), (70, 58), (235, 20)):
        cut = slice(4 * y, 4 * y + 208), slice(4 * x, 4 * x + 208)
        rows.append(side_by_side([(n if y == 235 else "", v[cut]) for n, v in zip(names, made, strict=True)]))
    return np.concatenate([r[:-34] for r in rows[:-1]] + rows[-1:])


def rates() -> Image:
    """One photograph at three rates."""
    a = photograph()
    panels = []
    for rate in (0.1, 0.25, 0.75):
        code = encode(a, bpp=rate, effort=7)
        panels.append((f"{rate:g} bits a pixel, {len(code.to_bytes()) / 1000:.1f} kB", decode(code)[40:360, 110:430]))
    return side_by_side(panels)


def iterates() -> Image:
    """Iterates of a plain PIFS from a checkerboard to the photograph: 0, 1, 2, 3 and 8 steps."""
    a = photograph()[40:360, 110:430]
    code = encode(a, quality=70, method="pifs")
    y, x = np.indices(a.shape[:2])
    start = np.repeat((255 * ((y // 40 + x // 40) % 2))[..., None], 3, -1).astype(np.uint8)
    frames = dict(enumerate(trace(code, start, 8)))
    panels = []
    for n in (0, 1, 2, 3, 8):
        small = Pillow.fromarray(frames[n]).resize((224, 224), Pillow.Resampling.LANCZOS)
        panels.append((f"{n} steps", np.asarray(small)))
    return side_by_side(panels)


def restored() -> Image:
    """A noisy photograph and one that lacks three quarters of its pixels, each restored by a short code."""
    a = photograph()[40:296, 120:376]
    rng = np.random.default_rng(1)
    noisy = (a + rng.normal(0, 25, a.shape)).clip(0, 255).astype(np.uint8)
    known = rng.random(a.shape[:2]) < 0.25
    hole = np.where(known[..., None], a, 0).astype(np.uint8)
    return side_by_side(
        [
            ("noise of 25 levels", noisy), ("denoised", denoise(noisy)), ("one pixel in four", hole),
            ("inpainted", inpaint(hole, known, rounds=40, finest=4)),
        ]
    )  # fmt: skip


def fractal() -> Image:
    """The photograph made of itself, and a part of it, six times larger."""
    x = torch.from_numpy(photograph()[20:480, 56:456].copy()).permute(2, 0, 1) / 255
    code = fractalize(x, 40, texture=0.55, blend=0.6)
    whole = drawn(code, 552, 480)
    part = drawn(code, 6 * 552, 6 * 480)[1200 : 1200 + 552, 1000 : 1000 + 480]
    return side_by_side([("a photograph made of 1,600 of itself", whole), ("a part, six times larger", part)])


def styled() -> Image:
    """The photograph made of tiles that show a romanesco."""
    x = torch.from_numpy(photograph()[20:480, 56:456].copy()).permute(2, 0, 1) / 255
    render = draw_ifs(preset("romanesco"), size=(480, 480), background="light", seed=1)
    y = torch.from_numpy(render[..., :3].copy()).permute(2, 0, 1) / 255
    code = fractalize(x, 32, texture=0.7, blend=0.9, style=Style(y), self_weight=0.0)
    whole = drawn(code, 552, 480)
    part = drawn(code, 6 * 552, 6 * 480)[1200 : 1200 + 552, 1000 : 1000 + 480]
    return side_by_side([("a photograph made of romanesco", whole), ("a part, six times larger", part)])


def drawn(code: CollageCode, height: int, width: int) -> Image:
    """``[H, W, 3]``."""
    return np.asarray((255 * draw(code, height, width)).round().byte().permute(1, 2, 0).numpy())


PHOTOGRAPHS = {
    "fractal": (
        fractal,
        "A photograph made of itself",
        "A single collage code, in which every tile shows the whole picture, at every depth.",
    ),
    "styled": (styled, "A face of romanesco", "The same photograph, made of tiles that show the preset `romanesco`."),
    "zoom": (
        zoom,
        "Eightfold enlargement",
        "Of a compressed photograph: bicubic interpolation, and the fixed point.",
    ),
    "enlarged": (
        enlarged,
        "Enlarged four times",
        "Parts of a small photograph: bicubic interpolation; the smoothest picture with its averages, the likeliest, "
        "and the richest.",
    ),
    "rates": (rates, "Rates", "A photograph compressed to 3.8, 9.6 and 28.8 kilobytes."),
    "iterates": (iterates, "Iterates", "The plain partitioned IFS from a checkerboard to its fixed point."),
    "restored": (restored, "Restored", "Denoising and inpainting by a short code that fits the known pixels."),
}
