"""Draw any code, cloud or compressed picture by one function."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fractalkit.arguments import SEEDS, SIZES, seed_number, verb, whole_number
from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.codes.flame import Flame
from fractalkit.codes.open import held
from fractalkit.data.clouds import Cloud
from fractalkit.errors import DataError, UsageError
from fractalkit.raster.picture import Picture, as_picture
from fractalkit.raster.png import CODE_KEY, FLAME_KEY, SEED_KEY
from fractalkit.raster.view import SizeLike, WindowLike, size_in, window_in
from fractalkit.render.palette import Palette, PaletteLike
from fractalkit.render.palette import palette as named
from fractalkit.render.sources import open_any

SIDE = 1000  # of what has no size of its own
SHOWN = 360  # longer side in a notebook
COLOURS_OF = ("cmap", "colormap", "color", "colors", "colour", "colours")  # what other programs call a palette


@verb(SIZES, SEEDS, dict.fromkeys(COLOURS_OF, "palette"), {"n_points": "points"})
def draw(
    source: Any,
    size: SizeLike = None,
    *,
    window: WindowLike | None = None,
    palette: PaletteLike | None = None,
    background: str | None = None,
    points: int | None = None,
    quality: float | None = None,
    up: str | None = None,
    seed: int = 0,
    device: str | None = None,
) -> Picture:
    """Draw a flame, an attractor, a cloud, a collage, or a compressed picture: uint8 ``[H, W, 3]``.

    Args:
        source: a code, a :class:`~fractalkit.data.Cloud`, points ``[N, 2]`` or ``[N, 3]``, a file that holds one of
            these, the name of a preset, or a picture that was drawn from a code.
        size: (width, height) in pixels, the longer side, or a text such as "2x"; None: a flame's or a compressed
            picture's own, 1000 x 1000 for others.
        window: (left, top, right, bottom) in pixels of the picture at that size, the part to draw, or a text such as
            "40%,20%,60%,40%". The part of an attractor has points and an exposure of its own, however large the whole
            picture would be; in space, the camera comes nearer.
        palette: name of a palette or a colour map, or colours ``[N, 3]``, in place of the colours of an affine code or
            a flame.
        background: "dark" or "light" (also "black" or "white"), behind affine codes and clouds; None: dark.
        points: of the orbit, of affine codes only; None: enough for the size.
        quality: samples per pixel, of flames only; None: the flame's own.
        up: "x", "y", "z" or "auto", the axis that points up, of clouds and attractors in space; None: "auto" of clouds,
            z of attractors.
        seed: of the orbit's points, and of a model's picture.
        device: that draws flames, affine codes and collages of clouds: "gpu" is any card, by WebGPU, "cuda" and "mps"
            are torch's; None or "auto": a card that was found right and faster, or the CPU. Other kinds, and windows
            by "cuda" and "mps", are drawn by the CPU, and refuse another.

    Returns:
        The picture; :meth:`Picture.save` writes the code into PNG files.

    Raises:
        DataError: the source cannot be read, or its map does not contract.
        UsageError: what cannot be drawn, or an option out of range.
    """
    seed = seed_number(seed)
    _check(up, window)
    own = (SIDE, SIDE)
    if isinstance(source, Picture) and source.code is not None:
        source, own = source.code, (source.width, source.height)
    code = _opened(source)
    hues = palette if palette is None or isinstance(palette, str) else named(palette)
    if isinstance(code, Flame):
        own = code.size
    elif hasattr(code, "width"):
        own = code.width, code.height
    box = None if size is None else size_in(size, own)
    if quality is not None and not isinstance(code, Flame):
        raise UsageError("quality: is an option of flames; other codes have none")
    if hues is not None and not isinstance(code, AffineIFS | CloudCollage | Flame):
        raise UsageError("palette: is an option of affine codes and flames; this code has colours of its own")
    look = _look(code, background, points, window)
    where = _device(device, code, window)
    if window is not None:
        return _part(code, box or own, window, hues, quality, seed, where)
    return _whole(code, box, own, hues, quality, up, seed, where, look)


def _device(name: str | None, code: Any, window: Any) -> str:
    """The device that draws, "cpu", "gpu", "cuda" or "mps".

    Raises:
        UsageError: an unknown one, one that is not there, or one that does not draw this.
    """
    from fractalkit.orbit.api import why_not
    from fractalkit.orbit.wgsl.trust import chosen

    name = name or "auto"
    drawn = isinstance(code, AffineIFS | CloudCollage | Flame)
    if name == "auto" and not drawn:  # no card need be tested for what none draws
        return "cpu"
    where = chosen(name)
    if where == "cpu":
        return "cpu"
    if not drawn:
        raise UsageError(f"device: {type(code).__name__} is drawn by the CPU; leave out device")
    if window is not None and where != "gpu":
        raise UsageError(f"device: {where} draws whole pictures; windows take gpu or cpu")
    why = "" if isinstance(code, Flame) else why_not(code, where)
    if why and name != "auto":
        raise UsageError(f"device: {where} does not draw this; {why}")
    return "cpu" if why else where


def _look(code: Any, background: Any, points: Any, window: Any) -> dict[str, Any]:
    """The options that only whole pictures of affine codes and clouds have."""
    look = {"background": {"white": "light", "black": "dark"}.get(background, background), "points": points}
    look = {k: v for k, v in look.items() if v is not None}
    if look and window is not None:
        raise UsageError(f"{min(look)}: is for whole pictures; a window is drawn without it")
    if background is not None and not isinstance(code, AffineIFS | CloudCollage | Cloud):
        raise UsageError("background: is an option of affine codes and clouds; other codes fill the picture")
    if points is not None:
        if not isinstance(code, AffineIFS | CloudCollage):
            raise UsageError("points: is an option of affine codes; flames take quality, other codes have none")
        look["points"] = whole_number("points", points)
    return look


def _check(up: Any, window: Any) -> None:
    if up not in (None, "x", "y", "z", "auto"):
        raise UsageError(f"up: expected x, y, z or auto, got {up!r}")
    if up is not None and window is not None:
        raise UsageError("up: is for whole pictures; a window shows a part of the picture without it")


def _whole(
    code: Any, size: tuple[int, int] | None, own: tuple[int, int], hues: str | Palette | None, quality: float | None,
    up: str | None, seed: int, device: str, look: dict[str, Any],
) -> Picture:  # fmt: skip
    if isinstance(code, AffineIFS | CloudCollage):
        from fractalkit.render.attractor import draw_ifs

        pixels = draw_ifs(code, size=size or own, palette=hues, up=up or "z", seed=seed, device=device, **look)
        return Picture(pixels, {CODE_KEY: code.to_json(), SEED_KEY: str(seed)}, code)
    if isinstance(code, Flame):
        return _flame(code, size, hues, quality, seed, device)
    if isinstance(code, Cloud):
        from fractalkit.render.splat import draw_cloud

        return Picture(draw_cloud(code.points, code.colours, size=size or own, up=up or "auto", **look))
    return _by_windows(code, size, seed)


def _opened(source: Any) -> Any:
    """The code or the cloud in a source."""
    name = str(source) if isinstance(source, str | Path) else "render"
    source = held(open_any(source) if isinstance(source, str | Path) else source, CloudCollage)
    if isinstance(source, Picture):
        raise DataError(f"{name}: a picture without a code; fractalize, enlarge, compress or fit make something of it")
    kind = getattr(getattr(source, "dtype", None), "kind", "f")
    if getattr(source, "ndim", 0) == 2 and source.shape[1] in (2, 3) and kind in "biuf":
        return Cloud(np.asarray(source, dtype=np.float64))
    return source


def _part(
    code: Any,
    size: tuple[int, int],
    window: WindowLike,
    palette: str | Palette | None,
    quality: float | None,
    seed: int,
    device: str,
) -> Picture:  # fmt: skip
    """A window of the picture of ``size``."""
    from fractalkit.render.windows import windows_of
    from fractalkit.render.zoom import rgb

    left, top, right, bottom = window_in(window, size)
    if isinstance(code, Flame) and palette is not None:
        code, palette = _recoloured(code, palette), None
    if isinstance(code, AffineIFS) and code.dim == 2:
        from fractalkit.render.zoom_ifs import draw_window

        return Picture(draw_window(code, size, (left, top, right, bottom), palette=palette, seed=seed, device=device))
    table = None if palette is None else _table(palette)
    source = windows_of(code, palette=table, quality=quality, seed=seed, device=device)
    x0, y0, unit = 0.0, 0.0, 1 / size[0]
    if isinstance(code, AffineIFS | CloudCollage):
        unit = 1 / min(size)  # the square lies in the middle
        x0, y0 = (1 - size[0] * unit) / 2, (1 - size[1] * unit) / 2
    box = x0 + left * unit, y0 + top * unit, x0 + right * unit, y0 + bottom * unit
    return Picture(rgb(source.window(*box, right - left, bottom - top)))


def _table(palette: str | Palette) -> np.ndarray:
    from fractalkit.render.colours_from import colour_table

    return colour_table(palette) if isinstance(palette, str) else named(palette)(np.linspace(0, 1, 256))


def _recoloured(flame: Flame, palette: str | Palette) -> Flame:
    return replace(flame, palette=np.concatenate([_table(palette), np.ones((256, 1))], axis=1), hue=0.0)


def _flame(
    flame: Flame, size: tuple[int, int] | None, palette: str | Palette | None, quality: float | None, seed: int,
    device: str,
) -> Picture:  # fmt: skip
    from fractalkit.codes.flame_xml import to_xml
    from fractalkit.render.flame import render_flame, to_8_bit

    if palette is not None:
        flame = _recoloured(flame, palette)
    pixels = to_8_bit(render_flame(flame, size=size, quality=quality, seed=seed, device=device))
    return Picture(pixels, {FLAME_KEY: to_xml([flame]), SEED_KEY: str(seed)}, flame)


def _by_windows(code: Any, size: tuple[int, int] | None, seed: int) -> Picture:
    """Draw what has windows: a collage, a compressed picture, a sample of a model; or the raster of a map."""
    from fractalkit.maps.convert import has_map, to_map
    from fractalkit.render.windows import windows_of
    from fractalkit.render.zoom import rgb

    try:
        source = windows_of(code, seed=seed)
    except UsageError:
        if has_map(code):
            from fractalkit.core import fixed_point

            return Picture(as_picture(fixed_point(to_map(code, size or (SIDE, SIDE))).clamp(0, 1)), code=code)
        raise UsageError(f"render: {type(code).__name__} cannot be drawn; give a code, a cloud or a model") from None
    own = (code.width, code.height) if hasattr(code, "width") else (SIDE, round(SIDE * source.aspect))
    width, height = size or own
    return Picture(rgb(source.window(0.0, 0.0, 1.0, source.aspect, width, height)), code=code)


def thumbnail(code: Any) -> bytes | None:
    """The PNG that a notebook shows of a code; None if it has no picture."""
    quality = None
    if isinstance(code, Flame):
        quality = min(code.quality, 60.0)
        width, height = code.size
    else:
        width, height = getattr(code, "width", SHOWN), getattr(code, "height", SHOWN)
    scale = SHOWN / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    try:
        return draw(code, size, quality=quality)._repr_png_()
    except UsageError:
        return None
