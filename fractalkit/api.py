"""The functions of ``import fractalkit`` that choose by the type of what they are given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractalkit.codes.open import held, load
from fractalkit.errors import UsageError
from fractalkit.raster.view import SizeLike, size_in

if TYPE_CHECKING:
    from torch import Tensor

    from fractalkit.raster.picture import Picture

MOST_PIXELS = 1 << 26  # of a picture in memory
MOST_POINTS = 1 << 31  # of a sample in memory


def open(source: str | Path, **options: Any) -> Any:
    """Open whatever FractalKit knows: a code, a model, a point cloud or a picture.

    Args:
        source: a file, or the name of a preset or of a model. A picture that FractalKit drew gives its code.
        options: of the reader: of codes as :func:`fractalkit.codes.load`, of clouds as
            :func:`fractalkit.data.load_cloud`.

    Returns:
        A code (:class:`~fractalkit.codes.AffineIFS`, :class:`~fractalkit.codes.Flame` ...), a model, a
        :class:`~fractalkit.data.Cloud`, or a :class:`Picture`.

    Raises:
        DataError: a file that is missing, damaged, or of no known kind.
    """
    from fractalkit.render.sources import open_any

    return open_any(source, **options)


def save(thing: Any, path: str | Path) -> None:
    """Write a code, a model, a cloud, a mesh or a picture to a file; the suffix names the format.

    Args:
        thing: also points ``[N, 2]`` or ``[N, 3]``, anything that :func:`~fractalkit.raster.picture.as_picture` takes,
            and several pictures ``[B, C, H, W]``, which become one sheet.
        path: of a suffix that suits the thing.

    Raises:
        UsageError: a suffix that does not suit it.
        DataError: the file cannot be written.
    """
    path = Path(path)
    from fractalkit.data import Cloud, Mesh, save_cloud, save_mesh
    from fractalkit.data.writers import SUFFIXES
    from fractalkit.raster.picture import as_picture, sheet

    if isinstance(thing, Mesh):
        save_mesh(path, thing)
    elif isinstance(thing, Cloud):
        save_cloud(path, thing.points, thing.colours)
    elif hasattr(thing, "save") and not hasattr(thing, "getbands"):
        thing.save(path)
    elif path.suffix.lower() in SUFFIXES and getattr(thing, "ndim", 0) == 2 and thing.shape[1] in (2, 3):
        save_cloud(path, thing)
    else:
        (sheet(thing) if getattr(thing, "ndim", 0) == 4 else as_picture(thing)).save(path)


def fit(thing: Any, maps: int | str = "auto", **options: Any) -> Any:
    """Find a code whose fixed point is a cloud or a picture: the inverse problem.

    Args:
        thing: a :class:`~fractalkit.data.Cloud`, points ``[N, 2]`` or ``[N, 3]``, a path of either kind, or a picture
            as :func:`compress` takes it.
        maps: their number, or "auto".
        options: effort, seed, progress, and others of :func:`fractalkit.fit.fit_attractor` (clouds: method, colours) or
            :func:`fractalkit.fit.fit_picture` (pictures: threshold, kind).

    Returns:
        An :class:`~fractalkit.codes.AffineIFS`, or a :class:`~fractalkit.codes.CloudCollage` of a cloud that is no
        attractor.

    Raises:
        DataError: a file that cannot be read, or points or a picture that cannot be fitted.
        UsageError: an option out of range, or another kind of thing.
    """
    from fractalkit.data import Cloud
    from fractalkit.raster.picture import Picture, as_picture

    if isinstance(thing, str | Path):
        thing = open(thing)
    from fractalkit.fit import fit_attractor, fit_picture

    if isinstance(thing, Cloud):
        return fit_attractor(thing.points, maps=maps, **{"colours": thing.colours} | options)
    if not isinstance(thing, Picture) and getattr(thing, "ndim", 0) == 2 and thing.shape[1] in (2, 3):
        return fit_attractor(thing, maps=maps, **options)
    return fit_picture(as_picture(thing).eight_bit(), maps=maps, **options)


def compress(image: Any, *, method: str = "auto", lossless: bool = False, **options: Any) -> Any:
    """Compress a picture or a cloud to a code: ``code.save("x.fk")`` writes its file, ``code.to_bytes()`` returns it.

    Args:
        image: a path, a Pillow image, an array ``[H, W]`` or ``[H, W, C]``, or a tensor ``[C, H, W]``; floating point
            is rounded to 8 bits. Or a cloud: a file, a :class:`~fractalkit.data.Cloud`, or with ``method="cloud"``
            points.
        lossless: keep every sample of a picture, short for ``method="lossless"``.
        method, options: as :func:`fractalkit.fk.encode`: quality, bpp, bytes, psnr, effort ...

    Raises:
        DataError: a file that cannot be read as a picture.
        UsageError: an option that the method lacks, or one out of range.
    """
    from fractalkit import fk
    from fractalkit.raster.picture import as_picture

    if lossless:
        if method not in ("auto", "lossless"):
            raise UsageError(f"lossless and the method {method!r} do not go together; give one")
        method = "lossless"
    if method == "auto" and _is_cloud(image):
        method = "cloud"
    if method == "cloud":
        return fk.encode(open(image) if isinstance(image, str | Path) else image, method=method, **options)
    if isinstance(image, str | Path):
        from fractalkit.data import read_picture

        read = read_picture(Path(image))
        return fk.encode(read.samples, method=method, metadata=read.metadata, **options)
    return fk.encode(as_picture(image).whole_numbers(), method=method, **options)


def _is_cloud(thing: Any) -> bool:
    from fractalkit.data.clouds import READERS, Cloud

    return Path(thing).suffix.lower() in READERS if isinstance(thing, str | Path) else isinstance(thing, Cloud)


def enlarge(
    image: Any, size: SizeLike = None, *, detail: float = 1.0,
    window: tuple[int, int, int, int] | None = None,
) -> Picture:  # fmt: skip
    """Enlarge a picture with detail copied from its own coarser scales.

    Args:
        image: what :func:`fractalkit.compress` takes; floating point is rounded to 8 bits.
        size: (width, height), the longer side, or a text such as "4x"; None: "2x".
        detail: 0 for the smoothest picture with the same averages, 1 for the likeliest, 2 for the richest.
        window: (left, top, right, bottom) in pixels of the result.

    Returns:
        A :class:`Picture`, uint8 or uint16. Averaged back to its own size, it is ``image`` up to rounding.

    Raises:
        DataError: a file that cannot be read as a picture.
        UsageError: a size, a detail or a window out of range.
    """
    from fractalkit.fit import enlarge as enlarged
    from fractalkit.raster.picture import Picture, as_picture

    picture = as_picture(image)
    width, height = size_in("2x" if size is None else size, (picture.width, picture.height))
    return Picture(enlarged(picture.whole_numbers(), height, width, detail=detail, window=window))


def fractalize(image: Any, tiles: int = 48, size: SizeLike = 1440, **options: Any) -> Picture:
    """Make a picture out of small copies of itself, each of which is made of them again.

    Args:
        image: as of :func:`compress`.
        tiles: along each side.
        size: (width, height), the longer side, or a text such as "4x".
        options: as :func:`fractalkit.fit.fractalize`: texture, blend, iterations, style, self_weight.

    Returns:
        A :class:`Picture`, uint8 ``[H, W, 3]``. Its ``code`` is the :class:`~fractalkit.codes.CollageCode`, and
        ``render(picture, size)`` draws it at any other size.

    Raises:
        DataError: a file that cannot be read as a picture.
        UsageError: an option out of range, or a size beyond 2^26 pixels, which ``fractalkit fractalize`` writes.
    """
    import numpy as np
    import torch

    from fractalkit.data.crops import rgb
    from fractalkit.fit import fractalize as find
    from fractalkit.fit.tiling import draw
    from fractalkit.raster.picture import Picture, as_picture

    picture = as_picture(image)
    width, height = size_in(size, (picture.width, picture.height))
    if width * height > MOST_PIXELS:
        raise UsageError(f"size: {width:,} x {height:,} are more than 2^26 pixels; the command fractalize draws them")
    if picture.dtype == np.float32 and picture.ndim == 3 and picture.shape[2] == 3:
        x = picture.tensor()  # not rounded
    else:
        x = torch.from_numpy(rgb(picture.eight_bit()).copy()).permute(2, 0, 1) / 255
    code = find(x, tiles, **options)
    shown = (255 * draw(code, height, width).clamp(0, 1)).round().byte()
    return Picture(shown.permute(1, 2, 0).contiguous().numpy(), code=code)


def decompress(source: Any, size: SizeLike = None, *, points: int | None = None, **options: Any) -> Any:
    """Decode a compressed picture or a collage code at any size, or a compressed cloud with any number of points.

    Args:
        source: a code, the bytes of a ``.fk`` file, or a file that holds a code.
        size: (width, height), the longer side, or a text such as "4x"; None: the picture's own. A collage code has
            none, and needs width and height.
        points: of a cloud, their number; None: as many as were compressed.
        options: ``window`` and others of the codec, as :func:`fractalkit.fk.decode`.

    Returns:
        A :class:`Picture`, uint8 or uint16; of a collage code float32. Of a cloud a :class:`~fractalkit.data.Cloud`.

    Raises:
        DataError: a file that is missing or damaged.
        UsageError: another kind of code, or a collage without a size.
    """
    from fractalkit import fk
    from fractalkit.codes.collage import CollageCode
    from fractalkit.raster.picture import Picture, as_picture

    if isinstance(source, bytes):
        source = fk.load(source)
    code = load(source) if isinstance(source, str | Path) else source
    if isinstance(code, CollageCode):
        from fractalkit.maps.collage import decode

        if not isinstance(size, tuple | list):
            raise UsageError("size: a collage code has no size of its own; give (width, height)")
        width, height = size
        return as_picture(decode(code, height, width, **options).clamp(0, 1))
    if not hasattr(code, "to_bytes") or not (hasattr(code, "collage") or hasattr(code, "width")):
        raise UsageError(f"decompress: expected a compressed picture or a collage, got {type(code).__name__}")
    coded: Any = code
    if hasattr(coded, "collage"):
        if options:
            raise UsageError(f"{min(options)}: is for pictures; a cloud takes points")
        return _points(coded, points, size)
    if points is not None:
        raise UsageError("points: is for clouds; a picture takes size and window")
    width, height = size_in(size, (coded.width, coded.height))
    return Picture(fk.decode(coded, height, width, **options), code=code)


def _points(code: Any, n: int | None, size: SizeLike) -> Any:
    """The points of a compressed cloud."""
    from fractalkit.data import Cloud
    from fractalkit.orbit import sample as drawn

    if size is not None:
        raise UsageError("size: is for pictures; a cloud takes points")
    if n is not None and (isinstance(n, bool) or not (isinstance(n, int) and n >= 1)):
        raise UsageError(f"points: expected a whole number from 1, got {n!r}")
    collage = code.collage
    orbit = drawn(collage, n or code.settings.points, stratified=True, colours=collage.coloured)
    return Cloud(orbit.points.double().numpy(), None if orbit.colours is None else orbit.colours.numpy())


def sample(
    source: Any, n: int = 1, size: SizeLike = None, *, window: tuple[int, int, int, int] | None = None,
    seed: int = 0, **options: Any,
) -> Tensor:  # fmt: skip
    """Draw n samples: points of an attractor, or pictures of a generative model.

    Args:
        source: an affine code, a collage of clouds, a preset's name, a model of the package by name, a file that holds
            one of these, or a model.
        n: number of points, or of pictures.
        size: (width, height) of the pictures, the longer side, or a text such as "4x"; None: as in training.
        window: (left, top, right, bottom) in pixels, the part of each picture to draw.
        seed: fixes the result; picture k of a model has seed + k, so it does not depend on the others.
        options: of :func:`fractalkit.orbit.sample` or :func:`fractalkit.models.pictures`.

    Returns:
        Points ``[n, D]``, with gradients where the matrices or offsets of an affine code require them; or pictures
        ``[n, C, H, W]`` in [0, 1], a tensor with ``save(path)`` and ``pil``.

    Raises:
        DataError: a file that is missing or damaged.
        UsageError: what has no samples, or an option out of range.
    """
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.cloud_collage import CloudCollage

    if not (isinstance(n, int) and n >= 1):
        raise UsageError(f"n: expected a whole number from 1, got {n}")
    if not (isinstance(seed, int) and 0 <= seed < 2**63 - n):
        raise UsageError(f"seed: expected a whole number from 0 to 2^63 - n, got {seed}")
    thing = held(load(source) if isinstance(source, str | Path) else source, CloudCollage)
    if isinstance(thing, AffineIFS | CloudCollage):
        from fractalkit.orbit import sample as points
        from fractalkit.orbit.api import followed

        if n > MOST_POINTS:
            raise UsageError(f"n: {n:,} points are more than 2^31 in memory; the command sample writes any number")
        if size is not None or window is not None:
            raise UsageError("size and window: are for pictures; the samples of an affine code are points")
        if isinstance(thing, AffineIFS) and (thing.matrices.requires_grad or thing.offsets.requires_grad):
            return followed(thing, n, seed=seed, **options)
        return points(thing, n, seed=seed, **options).points
    from fractalkit.models import Sampler

    if not isinstance(thing, Sampler):
        raise UsageError(f"sample: expected the code of a cloud or a generative model, got {type(thing).__name__}")
    return thing.sample(n, size, seed=seed, window=window, **options)


def animate(
    source: Any, path: str | Path, *, frames: int = 60, fps: float = 30.0, size: SizeLike = None,
    depth: float | None = None, quality: float | None = None, seed: int = 0,
) -> Path:  # fmt: skip
    """Write a film: flames that turn or change into each other, or a zoom into a code.

    Args:
        source: a flame, a list of flames, or a file of them: their maps turn once, from flame to flame, in a loop. A
            list of affine codes of the plane: each changes into the next, and the last into the first. With
            ``depth``: any code, model or picture, or a file that holds one; the film zooms into it.
        path: of suffix mp4 (needs PyAV), gif, webp or png; a path without suffix is a folder of frames.
        size: (width, height), or the side of a square; None: a flame's own, 480 x 480 for others.
        depth: magnification of the last frame.
        quality: samples per pixel of flames.

    Returns:
        The path.

    Raises:
        DataError: a file that cannot be read, or the film cannot be written.
        UsageError: a source that does not move, or an option out of range.
    """
    from fractalkit.codes.flame import Flame
    from fractalkit.render.animate import Motion, draw_frame
    from fractalkit.render.film import check_film, save_film, save_frame

    path = Path(path)
    _check_film(frames, seed, fps=fps, quality=quality, depth=depth)
    box = None if size is None else size_in(size, (1, 1))
    if depth is not None:
        pixels = _zoom(source, frames, box or (480, 480), depth, quality, seed)
    else:
        things = source if isinstance(source, list | tuple) else [source]
        found = [f for t in things for f in _codes_of(t)]
        flames = [f if isinstance(f, Flame) else _still(f, box or (480, 480), alone=len(found) == 1) for f in found]
        motion = Motion(tuple(flames), frames, loop=True)
        pixels = (draw_frame(motion, k, size=box, quality=quality, seed=seed) for k in range(frames))
    if check_film(path) == "frames":
        path.mkdir(parents=True, exist_ok=True)
        for k, frame in enumerate(pixels):
            save_frame(frame, path, k)
    else:
        save_film(pixels, path, fps=fps)
    return path


def _check_film(frames: Any, seed: Any, **numbers: Any) -> None:
    """Refuse numbers of a film that are none or out of range."""
    if isinstance(frames, bool) or not (isinstance(frames, int) and frames >= 1):
        raise UsageError(f"frames: expected a whole number from 1, got {frames!r}")
    if isinstance(seed, bool) or not (isinstance(seed, int) and 0 <= seed < 2**63):
        raise UsageError(f"seed: expected a whole number from 0 to 2^63, got {seed!r}")
    for name, value in numbers.items():
        most = 1000.0 if name == "fps" else 1e300
        if value is not None and not (isinstance(value, int | float) and 0 < value <= most):
            raise UsageError(f"{name}: expected a positive number up to {most:g}, got {value!r}")


def _codes_of(thing: Any) -> list[Any]:
    from fractalkit.codes.open import is_preset_name, load_all

    if not isinstance(thing, str | Path):
        return [thing]
    return [load(thing)] if is_preset_name(thing) else list(load_all(thing))


def _still(code: Any, size: tuple[int, int], alone: bool) -> Any:
    """An affine code of the plane as a flame whose maps do not turn."""
    from dataclasses import replace

    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.flame_random import flame_of
    from fractalkit.render.attractor import plane_window

    if not isinstance(code, AffineIFS) or code.dim != 2 or alone:
        raise UsageError("animate: expected flames, or two codes of the plane; depth=... zooms into one of any kind")
    # in units of its window, so that what lies between two codes of other units is in the picture too
    low, high = plane_window(code, size)
    middle, half = (low + high) / 2, float(high[0] - low[0]) / 2
    a, t = code.matrices.double(), code.offsets.double()
    code = replace(code, matrices=a, offsets=(a @ middle + t - middle) / half)
    flame = flame_of(code, size=size, low=(low - middle) / half, high=(high - middle) / half)
    return replace(flame, quality=20.0, xforms=tuple(replace(x, animate=0.0) for x in flame.xforms))


def _zoom(
    source: Any, frames: int, size: tuple[int, int], depth: float, quality: float | None, seed: int
) -> Iterator[Any]:
    """The frames of a zoom to where there is most to see."""
    from fractalkit.render.windows import open_source, windows_of
    from fractalkit.render.zoom import Approach, interesting, rgb

    options = {"quality": quality, "seed": seed}
    thing = open_source(source, **options) if isinstance(source, str | Path) else windows_of(source, **options)
    width, height = size
    way = Approach(interesting(thing, min(depth, 1e12)), depth, frames, height / width, thing.aspect)
    return (rgb(thing.window(*box, width, height)) for box in way)
