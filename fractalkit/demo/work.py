"""The computations behind the page: pictures and files from uploads and numbers, within limits."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.errors import DataError, UsageError
from fractalkit.render.windows import CodeWindows, CollageWindows, FractalWindows, Zoomable
from fractalkit.render.zoom import Box, rgb

Pixels = npt.NDArray[np.uint8]
Say = Callable[[str, float], None]

MODEL = "vdvae_mnist"
MAX_PICTURE = 1 << 24  # pixels of an uploaded picture
MAX_POINTS = 2_000_000  # points of an uploaded cloud
MAX_MAPS, MAX_EFFORT = 32, 3
MAX_SIDE = 4096  # pixels of the longer side of a picture to download
MAX_QUALITY = 500.0
SIDE = 720  # pixels of the longer side of a picture on the page
SHOWN = 150_000  # points of the 3D view
THUMB, CHOSEN = 224, 560  # sides in pixels of small pictures and of the selected one


@dataclass(frozen=True)
class PhotoWindows:
    """A photograph with bicubic interpolation, to compare codes with."""

    pixels: Pixels

    @property
    def aspect(self) -> float:
        """Height over width."""
        return self.pixels.shape[0] / self.pixels.shape[1]

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """Draw a window (in shares of the width), uint8 ``[height, width, 3]``."""
        from PIL import Image

        w = self.pixels.shape[1]
        box = (x0 * w, y0 * w, min(x1 * w, w), min(y1 * w, self.pixels.shape[0]))
        return np.asarray(Image.fromarray(self.pixels).resize((width, height), Image.Resampling.BICUBIC, box=box))


# ---- zooming


@dataclass(frozen=True)
class Look:
    """A view of one or several pictures of the same shape.

    Attributes:
        things: the pictures, shown side by side.
        box: the window x0, y0, x1, y1 in shares of the width.
        deepest: magnification beyond which there is no more detail.
    """

    things: tuple[Zoomable, ...]
    box: Box
    deepest: float

    @staticmethod
    def at(*things: Zoomable, deepest: float) -> Look:
        """A view of the whole pictures."""
        return Look(things, (0.0, 0.0, 1.0, things[0].aspect), deepest)

    @property
    def magnification(self) -> float:
        """Magnification, 1 for the whole picture."""
        return 1 / (self.box[2] - self.box[0])

    def nearer(self, x: float, y: float, factor: float) -> Look:
        """Zoom in by ``factor`` about a point, in shares of the sides of the window; out if it is below 1."""
        x0, y0, x1, y1 = self.box
        aspect = self.things[0].aspect
        w = min(max((x1 - x0) / factor, 1 / self.deepest), 1.0)
        cx, cy = x0 + x * (x1 - x0), y0 + y * (y1 - y0)
        left = min(max(cx - w / 2, 0.0), 1 - w)
        top = min(max(cy - w * aspect / 2, 0.0), aspect - w * aspect)
        return replace(self, box=(left, top, left + w, top + w * aspect))

    def size(self, side: int = SIDE) -> tuple[int, int]:
        """(width, height) of a picture whose longer side has ``side`` pixels."""
        aspect = self.things[0].aspect
        return (side, max(1, round(side * aspect))) if aspect <= 1 else (max(1, round(side / aspect)), side)

    def pictures(self, side: int = SIDE) -> list[Pixels]:
        """Draw the view of each picture, uint8 ``[H, W, 3]``, the longer side of ``side`` pixels."""
        width, height = self.size(side)
        return [rgb(t.window(*self.box, width, height)) for t in self.things]


# ---- computations of the tabs


@lru_cache(maxsize=1)
def _model() -> Any:
    from fractalkit.models.vdvae import VDVAE

    return VDVAE.from_pretrained(MODEL)


def digits(seed: int, count: int, temperature: float, say: Say) -> list[tuple[Pixels, str]]:
    """Thumbnails of samples and their seeds."""
    from fractalkit.models.mean_picture import draw, to_bytes
    from fractalkit.models.sampling import pictures

    made = []
    for k in range(count):
        picture = pictures(_model(), [seed + k], temperature=temperature)[0]
        made.append((to_bytes(draw(picture, THUMB // 2, THUMB // 2)), f"seed {seed + k}"))
        say("drawing", (k + 1) / count)
    return made


def digit(seed: int, temperature: float) -> Look:
    """A view of one sample."""
    from fractalkit.models.sampling import pictures

    picture = pictures(_model(), [seed], temperature=temperature)[0]
    return Look.at(CollageWindows(picture, os.cpu_count()), deepest=2.0**24)


def read_photo(path: str | None) -> Pixels:
    """Read an uploaded picture as uint8 ``[H, W, 3]``, composited on white."""
    from fractalkit.data.crops import rgb as on_white
    from fractalkit.data.pictures import read_picture

    if path is None:
        raise UsageError("upload a picture first")
    return np.ascontiguousarray(on_white(read_picture(Path(path), max_pixels=MAX_PICTURE).samples))


def fractal(path: str | None, tiles: int, texture: float, blend: float) -> Look:
    """Fractalize a photograph and return a view of it."""
    import torch

    from fractalkit.fit.tiling import fractalize

    photo = read_photo(path)
    picture = torch.tensor(photo).permute(2, 0, 1).float() / 255
    code = fractalize(picture, int(tiles), texture=texture, blend=blend)
    return Look.at(FractalWindows(code, photo.shape[0] / photo.shape[1]), deepest=2.0**20)


def save_whole(look: Look, side: int, folder: Path) -> Path:
    """Save the whole first picture of a view as a PNG, the longer side of ``side`` pixels."""
    from fractalkit.raster.png import save_png

    if not 16 <= side <= MAX_SIDE:
        raise UsageError(
            f"the longer side is limited to 16 to {MAX_SIDE} pixels here; the command line has no such limit"
        )
    path = folder / "fractal.png"
    save_png(path, Look.at(look.things[0], deepest=look.deepest).pictures(side)[0], {"software": "FractalKit"})
    return path


@dataclass(frozen=True)
class Packed:
    """A compressed photograph.

    Attributes:
        look: a view of the decoded and of the original picture.
        file: the ``.fk`` file.
        size: of the file, in bytes.
        bits: bits per pixel.
        psnr: over all channels, in dB.
        jpeg: PSNR of the best JPEG that is no larger than the file, None if there is none.
    """

    look: Look
    file: Path
    size: int
    bits: float
    psnr: float
    jpeg: float | None


def compress(path: str | None, bpp: float, folder: Path) -> Packed:
    """Compress a photograph to a quadtree of maps, at a rate in bits per pixel."""
    from fractalkit import fk

    photo = read_photo(path)
    h, w = photo.shape[:2]
    code = fk.encode(photo, bpp=bpp, effort=3)
    data = code.to_bytes()
    file = folder / f"{Path(path or 'photo').stem[:60]}.fk"
    file.write_bytes(data)
    windows = CodeWindows(code, h / w)
    look = Look.at(windows, PhotoWindows(photo), deepest=max(windows.deepest(SIDE), 2.0))
    made = np.asarray(fk.decode(code))
    return Packed(look, file, len(data), 8 * len(data) / (h * w), _psnr(made, photo), _jpeg(photo, len(data)))


def _psnr(a: Pixels, b: Pixels) -> float:
    error = float(np.mean((rgb(a).astype(np.float64) - b) ** 2))
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


def _jpeg(photo: Pixels, size: int) -> float | None:
    """PSNR of the best JPEG of at most ``size`` bytes, None if there is none."""
    from PIL import Image

    best = None
    low, high = 1, 95
    while low <= high:
        quality = (low + high) // 2
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if buffer.tell() <= size:
            best, low = buffer, quality + 1
        else:
            high = quality - 1
    return None if best is None else _psnr(np.asarray(Image.open(best)), photo)


@dataclass(frozen=True)
class Fitted:
    """A fitted cloud: input and attractor as a picture, a 3D view, files, and a table of measures."""

    preview: Pixels
    view: Path
    files: list[Path]
    rows: list[tuple[str, str]]


def fit(path: str | None, example: str, maps: int, effort: int, seed: int, up: str, folder: Path, say: Say) -> Fitted:
    """Fit a code to an uploaded cloud, or to 20,000 points of a preset."""
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.dimension import similarity_dimension
    from fractalkit.codes.presets import preset
    from fractalkit.data import load_cloud, save_cloud
    from fractalkit.fit import compare_clouds, fit_attractor, sampling_floor
    from fractalkit.orbit import sample
    from fractalkit.orbit.coverage import even
    from fractalkit.render.attractor import piece_colours
    from fractalkit.render.preview import preview

    if not (1 <= maps <= MAX_MAPS and 0 <= effort <= MAX_EFFORT):
        raise UsageError(f"fits are limited to 1 to {MAX_MAPS} maps and an effort of 0 to {MAX_EFFORT} here")
    say("reading", 0.0)
    if path is not None:
        cloud = load_cloud(path, max_points=MAX_POINTS, mesh_samples=20_000, seed=seed)
        points, colours, name = np.asarray(cloud.points), cloud.colours, Path(path).stem
        colours = None if colours is None else np.asarray(colours)
    else:
        points, colours, name = sample(preset(example), 20_000, seed=seed + 1).points.numpy(), None, example
    # the examples are attractors; a scan is none
    method = "ifs" if path is None else "collage"
    found = fit_attractor(
        points, method=method, maps=maps, colours=colours, effort=effort, seed=seed,
        progress=lambda word, share: say(word, share * 0.8),
    )  # fmt: skip
    say("drawing", 0.85)
    n = min(len(points), 20_000)
    comparison = compare_clouds(even(found, n).points.double().numpy(), points)
    floor = sampling_floor(points)
    figures = [f"Chamfer {comparison.chamfer:.2%}"]
    picture = preview(points, colours, found, title=name, figures=figures, up=up, panel=560)
    say("writing", 0.95)
    code, ply, view = folder / f"{name[:60]}.ifs.json", folder / f"{name[:60]}.ifs.ply", folder / "view.glb"
    found.save(code)
    orbit = even(found, SHOWN, depth=1, colours=found.coloured)
    assert orbit.addresses is not None
    x = orbit.points.double().numpy()
    own = None if orbit.colours is None else orbit.colours.double().numpy()
    shades = piece_colours(found)[orbit.addresses[:, 0].long().numpy()] if own is None else own
    save_cloud(ply, x, shades)
    _save_view(view, x, np.round(shades * 255).clip(0, 255).astype(np.uint8), up, points)
    rows = [
        ("maps", str(len(found))),
        ("Chamfer distance, share of the diagonal", f"{comparison.chamfer:.3%}"),
        ("sampling floor of the input", f"{floor.chamfer:.3%}"),
        ("F-score at 1 %", f"{comparison.fscore:.3f}"),
        *([("similarity dimension", f"{similarity_dimension(found):.3f}")] if isinstance(found, AffineIFS) else []),
        ("size of the code in bytes", f"{code.stat().st_size:,}"),
    ]
    return Fitted(picture, view, [code, ply], rows)


def _save_view(view: Path, x: Any, shades: Pixels, up: str, points: Any) -> None:
    """Write the 3D view, with the same axis up as in the picture."""
    from fractalkit.demo.points_glb import save_points_glb
    from fractalkit.render.camera import guess_up

    if x.shape[1] == 3:
        axis = "xyz".index(guess_up(np.asarray(points, dtype=np.float64)) if up == "auto" else up)
        x = x[:, [(axis + 1) % 3, (axis + 2) % 3, axis]]
    save_points_glb(view, x, shades)


# ---- flames


def new_flames(count: int, seed: int, palette: str, say: Say) -> list[Any]:
    """Random flames of 256 x 256 pixels."""
    from fractalkit.render.flame_sheet import random_flames

    return random_flames(count, None if palette == "any" else palette, size=(256, 256), seed=seed, progress=say)


def relatives(parent: Any, count: int, seed: int, strength: float, say: Say) -> list[Any]:
    """Mutants of a flame."""
    from fractalkit.render.flame import resized
    from fractalkit.render.flame_sheet import mutants

    return mutants(resized(parent, (256, 256)), count, strength=strength, seed=seed, progress=say)


def thumbnails(flames: Sequence[Any], say: Say, side: int = THUMB) -> list[Pixels]:
    """Draw a small picture of each flame."""
    from fractalkit.render.flame import render_flame, to_8_bit

    made = []
    for k, flame in enumerate(flames):
        made.append(to_8_bit(render_flame(flame, size=(side, side), quality=50.0, batches=1)))
        say("drawing", (k + 1) / len(flames))
    return made


def read_flame(path: str) -> list[Any]:
    """The first nine flames of an uploaded file."""
    from fractalkit.codes.flame import read_flames

    return read_flames(Path(path))[:9]


def render(flame: Any, width: int, height: int, quality: float, seed: int, folder: Path, say: Say) -> list[Path]:
    """Render a flame as a PNG that contains its code, and write it as a ``.flame`` file."""
    from fractalkit.codes.flame import write_flames
    from fractalkit.codes.flame_xml import to_xml
    from fractalkit.raster.png import save_png
    from fractalkit.render.flame import render_flame, resized, to_8_bit

    if flame is None:
        raise UsageError("select a flame first: make some, and click on one")
    if not (16 <= width <= MAX_SIDE and 16 <= height <= MAX_SIDE and 1 <= quality <= MAX_QUALITY):
        raise UsageError(
            f"sides are limited to 16 to {MAX_SIDE} pixels and the quality to 1 to {MAX_QUALITY:g} samples per pixel "
            "here; fractalkit render has no such limits"
        )
    sized = replace(resized(flame, (width, height)), oversample=2 if max(width, height) <= 2048 else 1)
    picture = render_flame(sized, quality=quality, seed=seed, callback=lambda _, share: say("drawing", share))
    if not picture.any():
        raise DataError("the picture of this flame is empty; select another one")
    png, xml = folder / "flame.png", folder / "flame.flame"
    save_png(png, to_8_bit(picture), {"fractalkit:flame": to_xml([sized]), "fractalkit:seed": str(seed)})
    write_flames(xml, [sized])
    return [png, xml]
