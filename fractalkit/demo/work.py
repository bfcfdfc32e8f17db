"""What the page does, apart from the page: uploads and numbers in, pictures and files out, all of it within limits."""

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
from fractalkit.render.zoom import Box, CodeWindows, CollageWindows, FractalWindows, Zoomable, rgb

Pixels = npt.NDArray[np.uint8]
Say = Callable[[str, float], None]

MODEL = "vdvae_mnist"
MAX_PICTURE = 1 << 24  # pixels of an upload
MAX_POINTS = 2_000_000  # of an uploaded cloud
MAX_MAPS, MAX_EFFORT = 32, 3
MAX_SIDE = 4096  # of a picture to download
MAX_QUALITY = 500.0
SIDE = 720  # of a picture on the page
SHOWN = 150_000  # points of the view in space
THUMB, CHOSEN = 224, 560  # pixels a side of small pictures, and of the one that was chosen


@dataclass(frozen=True)
class PhotoWindows:
    """A photograph enlarged by bicubic interpolation, to lay beside what a code has."""

    pixels: Pixels

    @property
    def aspect(self) -> float:
        """Height over width."""
        return self.pixels.shape[0] / self.pixels.shape[1]

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """Interpolated, however near."""
        from PIL import Image

        w = self.pixels.shape[1]
        box = (x0 * w, y0 * w, min(x1 * w, w), min(y1 * w, self.pixels.shape[0]))
        return np.asarray(Image.fromarray(self.pixels).resize((width, height), Image.Resampling.BICUBIC, box=box))


# ---- looking closer


@dataclass(frozen=True)
class Look:
    """Things of one shape, and the part of them that is seen.

    Attributes:
        things: one or several, seen side by side.
        box: x0, y0, x1, y1 in shares of the width.
        deepest: magnification beyond which there is nothing new.
    """

    things: tuple[Zoomable, ...]
    box: Box
    deepest: float

    @staticmethod
    def at(*things: Zoomable, deepest: float) -> Look:
        """The whole of them."""
        return Look(things, (0.0, 0.0, 1.0, things[0].aspect), deepest)

    @property
    def magnification(self) -> float:
        """1 for the whole."""
        return 1 / (self.box[2] - self.box[0])

    def nearer(self, x: float, y: float, factor: float) -> Look:
        """About a point of what is seen (shares of its sides), so many times nearer; below 1, farther."""
        x0, y0, x1, y1 = self.box
        aspect = self.things[0].aspect
        w = min(max((x1 - x0) / factor, 1 / self.deepest), 1.0)
        cx, cy = x0 + x * (x1 - x0), y0 + y * (y1 - y0)
        left = min(max(cx - w / 2, 0.0), 1 - w)
        top = min(max(cy - w * aspect / 2, 0.0), aspect - w * aspect)
        return replace(self, box=(left, top, left + w, top + w * aspect))

    def size(self, side: int = SIDE) -> tuple[int, int]:
        """Width and height of a picture whose longer side has so many pixels."""
        aspect = self.things[0].aspect
        return (side, max(1, round(side * aspect))) if aspect <= 1 else (max(1, round(side / aspect)), side)

    def pictures(self, side: int = SIDE) -> list[Pixels]:
        """Of each thing, the longer side so many pixels: uint8 ``[H, W, 3]``."""
        width, height = self.size(side)
        return [rgb(t.window(*self.box, width, height)) for t in self.things]


# ---- what the tabs make


@lru_cache(maxsize=1)
def _model() -> Any:
    from fractalkit.models.vdvae import VDVAE

    return VDVAE.from_pretrained(MODEL)


def digits(seed: int, count: int, temperature: float, say: Say) -> list[tuple[Pixels, str]]:
    """Thumbnails of samples and their seeds."""
    import torch

    from fractalkit.render.collage import Picture, draw, to_bytes

    made = []
    for k in range(count):
        h = _model().sample([torch.Generator().manual_seed(seed + k)], temperature)
        made.append((to_bytes(draw(Picture.of(_model(), h), THUMB // 2, THUMB // 2)), f"seed {seed + k}"))
        say("drawing", (k + 1) / count)
    return made


def digit(seed: int, temperature: float) -> Look:
    """One sample, to look into."""
    import torch

    from fractalkit.render.collage import Picture

    h = _model().sample([torch.Generator().manual_seed(seed)], temperature)
    return Look.at(CollageWindows(Picture.of(_model(), h), os.cpu_count()), deepest=2.0**24)


def read_photo(path: str | None) -> Pixels:
    """An upload, uint8 ``[H, W, 3]``, 8 bits and without its alpha."""
    from fractalkit.data.crops import rgb as on_white
    from fractalkit.data.pictures import read_picture

    if path is None:
        raise UsageError("give a picture first")
    return np.ascontiguousarray(on_white(read_picture(Path(path), max_pixels=MAX_PICTURE).samples))


def fractal(path: str | None, tiles: int, texture: float, blend: float) -> Look:
    """A photograph made of itself, to look into."""
    import torch

    from fractalkit.fit.fractalize import fractalize

    photo = read_photo(path)
    picture = torch.tensor(photo).permute(2, 0, 1).float() / 255
    code = fractalize(picture, int(tiles), texture=texture, blend=blend)
    return Look.at(FractalWindows(code, photo.shape[0] / photo.shape[1]), deepest=2.0**20)


def save_whole(look: Look, side: int, folder: Path) -> Path:
    """The whole of a look's first thing as a PNG, the longer side so many pixels."""
    from fractalkit.render.png import save_png

    if not 16 <= side <= MAX_SIDE:
        raise UsageError(f"the side of a picture is 16 to {MAX_SIDE} pixels here; the command line has no such limit")
    path = folder / "fractal.png"
    save_png(path, Look.at(look.things[0], deepest=look.deepest).pictures(side)[0], {"software": "FractalKit"})
    return path


@dataclass(frozen=True)
class Packed:
    """A compressed photograph.

    Attributes:
        look: the code's picture, and the photograph's enlargement.
        file: the ``.fk`` file.
        bits: of a pixel of the photograph; ``psnr`` over all channels, dB; ``jpeg`` the PSNR of a JPEG that is no
            smaller than the file, or None where none is so small.
    """

    look: Look
    file: Path
    size: int
    bits: float
    psnr: float
    jpeg: float | None


def compress(path: str | None, bpp: float, folder: Path) -> Packed:
    """A photograph as a quadtree of maps, to so many bits a pixel."""
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
    """PSNR of the best JPEG of at most so many bytes."""
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
    """A cloud's fractal: the picture beside the input, the view in space, files, and figures as rows of text."""

    preview: Pixels
    view: Path
    files: list[Path]
    rows: list[tuple[str, str]]


def fit(path: str | None, example: str, maps: int, effort: int, seed: int, up: str, folder: Path, say: Say) -> Fitted:
    """The code of an uploaded cloud, or of 20,000 points of a preset."""
    from fractalkit.codes.dimension import similarity_dimension
    from fractalkit.codes.presets import preset
    from fractalkit.data import load_cloud, save_cloud
    from fractalkit.fit.cloud import fit_cloud
    from fractalkit.fit.metrics import compare_clouds, sampling_floor
    from fractalkit.orbit import sample
    from fractalkit.orbit.even import even
    from fractalkit.render.attractor import colours_of, piece_colours
    from fractalkit.render.preview import preview

    if not (1 <= maps <= MAX_MAPS and 0 <= effort <= MAX_EFFORT):
        raise UsageError(f"here a fit has 1 to {MAX_MAPS} maps and an effort of 0 to {MAX_EFFORT}")
    say("reading", 0.0)
    if path is not None:
        cloud = load_cloud(path, max_points=MAX_POINTS, mesh_samples=20_000, seed=seed)
        points, colours, name = np.asarray(cloud.points), cloud.colours, Path(path).stem
        colours = None if colours is None else np.asarray(colours)
    else:
        points, colours, name = sample(preset(example), 20_000, seed=seed + 1).points.numpy(), None, example
    found = fit_cloud(
        points,
        maps=maps,
        colours=colours,
        effort=effort,
        seed=seed,
        progress=lambda word, share: say(word, share * 0.8),
    )
    say("drawing", 0.85)
    n = min(len(points), 20_000)
    comparison = compare_clouds(even(found, n).points.double().numpy(), points)
    floor = sampling_floor(points)
    figures = [f"Chamfer {comparison.chamfer:.2%}"]
    picture = preview(points, colours, found, title=name, figures=figures, up=up, panel=560)
    say("writing", 0.95)
    code, ply, view = folder / f"{name[:60]}.ifs.json", folder / f"{name[:60]}.ifs.ply", folder / "view.glb"
    found.save(code)
    orbit = even(found, SHOWN, depth=12)
    assert orbit.addresses is not None
    x = orbit.points.double().numpy()
    own = colours_of(found, x, orbit.addresses.long(), None) if found.colours is not None else None
    shades = piece_colours(found)[orbit.addresses[:, 0].long().numpy()] if own is None else own
    save_cloud(ply, x, shades)
    _save_view(view, x, np.round(shades * 255).clip(0, 255).astype(np.uint8), up, points)
    rows = [
        ("maps", str(len(found))),
        ("Chamfer distance, share of the diagonal", f"{comparison.chamfer:.3%}"),
        ("as near as another sample of the input", f"{floor.chamfer:.3%}"),
        ("F-score at 1 %", f"{comparison.fscore:.3f}"),
        ("similarity dimension", f"{similarity_dimension(found):.3f}"),
        ("bytes of the code", f"{code.stat().st_size:,}"),
    ]
    return Fitted(picture, view, [code, ply], rows)


def _save_view(view: Path, x: Any, shades: Pixels, up: str, points: Any) -> None:
    """The view in space, turned so that what is up in the picture is up in it."""
    from fractalkit.demo.points_glb import save_points_glb
    from fractalkit.render.camera import guess_up

    if x.shape[1] == 3:
        axis = "xyz".index(guess_up(np.asarray(points, dtype=np.float64)) if up == "auto" else up)
        x = x[:, [(axis + 1) % 3, (axis + 2) % 3, axis]]
    save_points_glb(view, x, shades)


# ---- flames


def new_flames(count: int, seed: int, palette: str, say: Say) -> list[Any]:
    """Flames worth seeing, of 256 pixels a side."""
    from fractalkit.render.flame_sheet import random_flames

    return random_flames(count, None if palette == "any" else palette, size=(256, 256), seed=seed, progress=say)


def relatives(parent: Any, count: int, seed: int, strength: float, say: Say) -> list[Any]:
    """Mutants of a flame."""
    from fractalkit.render.flame import resized
    from fractalkit.render.flame_sheet import mutants

    return mutants(resized(parent, (256, 256)), count, strength=strength, seed=seed, progress=say)


def thumbnails(flames: Sequence[Any], say: Say, side: int = THUMB) -> list[Pixels]:
    """A small picture of each."""
    from fractalkit.render.flame import render_flame, to_8_bit

    made = []
    for k, flame in enumerate(flames):
        made.append(to_8_bit(render_flame(flame, size=(side, side), quality=50.0, batches=1)))
        say("drawing", (k + 1) / len(flames))
    return made


def read_flame(path: str) -> list[Any]:
    """The first nine flames of an upload."""
    from fractalkit.codes.flame_xml import read_flames

    return read_flames(Path(path))[:9]


def render(flame: Any, width: int, height: int, quality: float, seed: int, folder: Path, say: Say) -> list[Path]:
    """A flame as a PNG that carries it, and as a ``.flame`` file."""
    from fractalkit.codes.flame_xml import to_xml, write_flames
    from fractalkit.render.flame import render_flame, resized, to_8_bit
    from fractalkit.render.png import save_png

    if flame is None:
        raise UsageError("choose a flame first: make some, and click on one")
    if not (16 <= width <= MAX_SIDE and 16 <= height <= MAX_SIDE and 1 <= quality <= MAX_QUALITY):
        raise UsageError(
            f"here a side has 16 to {MAX_SIDE} pixels and a pixel 1 to {MAX_QUALITY:g} samples; "
            "fractalkit render has no such limits"
        )
    sized = replace(resized(flame, (width, height)), oversample=2 if max(width, height) <= 2048 else 1)
    picture = render_flame(sized, quality=quality, seed=seed, callback=lambda _, share: say("drawing", share))
    if not picture.any():
        raise DataError("this flame shows nothing; choose another one")
    png, xml = folder / "flame.png", folder / "flame.flame"
    save_png(png, to_8_bit(picture), {"fractalkit:flame": to_xml([sized]), "fractalkit:seed": str(seed)})
    write_flames(xml, [sized])
    return [png, xml]
