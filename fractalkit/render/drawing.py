"""Draw any code, cloud or compressed picture by one function."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.codes.flame import Flame
from fractalkit.codes.open import held, load
from fractalkit.data.clouds import READERS, Cloud, load_cloud
from fractalkit.errors import UsageError
from fractalkit.raster.picture import Picture, as_picture
from fractalkit.raster.png import CODE_KEY, FLAME_KEY, SEED_KEY
from fractalkit.raster.view import SizeLike, size_in

SIDE = 1000  # of what has no size of its own
SHOWN = 360  # longer side in a notebook


def draw(
    source: Any,
    size: SizeLike = None,
    *,
    palette: str | None = None,
    quality: float | None = None,
    seed: int = 0,
) -> Picture:
    """Draw a flame, an attractor, a cloud, a collage, or a compressed picture: uint8 ``[H, W, 3]``.

    Args:
        source: a code, a :class:`~fractalkit.data.Cloud`, points ``[N, 2]`` or ``[N, 3]``, a file that holds one of
            these, the name of a preset, or a picture that was drawn from a code.
        size: (width, height) in pixels, the longer side, or a text such as "2x"; None: a flame's or a compressed
            picture's own, 1000 x 1000 for others.
        palette: name of a palette or a colour map, in place of the colours of an affine code or a flame.
        quality: samples per pixel, of flames only; None: the flame's own.
        seed: of the orbit's points, and of a model's picture.

    Returns:
        The picture; :meth:`Picture.save` writes the code into PNG files.

    Raises:
        DataError: the source cannot be read, or its map does not contract.
        UsageError: what cannot be drawn, or an option out of range.
    """
    own = (SIDE, SIDE)
    if isinstance(source, Picture) and source.code is not None:
        source, own = source.code, (source.width, source.height)
    code = _opened(source)
    if isinstance(code, Flame):
        own = code.size
    elif hasattr(code, "width"):
        own = code.width, code.height
    box = None if size is None else size_in(size, own)
    if quality is not None and not isinstance(code, Flame):
        raise UsageError("quality: is an option of flames; other codes have none")
    if isinstance(code, AffineIFS | CloudCollage):
        from fractalkit.render.attractor import draw_ifs

        pixels = draw_ifs(code, size=box or own, palette=palette, seed=seed)
        return Picture(pixels, {CODE_KEY: code.to_json(), SEED_KEY: str(seed)}, code)
    if isinstance(code, Flame):
        return _flame(code, box, palette, quality, seed)
    if palette is not None:
        raise UsageError("palette: is an option of affine codes and flames; this code has colours of its own")
    if isinstance(code, Cloud):
        from fractalkit.render.splat import draw_cloud

        return Picture(draw_cloud(code.points, code.colours, size=box or own))
    return _by_windows(code, box, seed)


def _opened(source: Any) -> Any:
    """The code or the cloud in a source."""
    if isinstance(source, str | Path):
        suffix = Path(source).suffix.lower()
        source = load_cloud(source) if suffix in READERS else load(source)
    source = held(source, CloudCollage)
    if getattr(source, "ndim", 0) == 2 and source.shape[1] in (2, 3):
        return Cloud(np.asarray(source, dtype=np.float64))
    return source


def _flame(
    flame: Flame, size: tuple[int, int] | None, palette: str | None, quality: float | None, seed: int
) -> Picture:
    from fractalkit.codes.flame_xml import to_xml
    from fractalkit.render.colours_from import colour_table
    from fractalkit.render.flame import render_flame, to_8_bit

    if palette is not None:
        table = np.concatenate([colour_table(palette), np.ones((256, 1))], axis=1)
        flame = replace(flame, palette=table, hue=0.0)
    pixels = to_8_bit(render_flame(flame, size=size, quality=quality, seed=seed))
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
