"""The functions of ``import fractalkit`` that choose by the type of what they are given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractalkit.arguments import (
    COLOURS,
    COUNTS,
    MAPS,
    PATHS,
    SEEDS,
    SIZES,
    contents,
    known,
    seed_number,
    verb,
    whole_number,
)
from fractalkit.codes.open import held, load
from fractalkit.errors import UsageError
from fractalkit.raster.view import SizeLike, WindowLike, size_in, window_in

if TYPE_CHECKING:
    from torch import Tensor

    from fractalkit.raster.picture import Picture

MOST_PIXELS = 1 << 26  # of a picture in memory
MOST_POINTS = 1 << 31  # of a sample in memory
MOST_FACTOR = 32  # larger numbers are sides in pixels


@verb()
def open(source: Any, **options: Any) -> Any:
    """Open whatever FractalKit knows: a code, a model, a point cloud or a picture.

    Args:
        source: a file, or the name of a preset or of a model. A picture that FractalKit drew gives its code. Pictures
            and compressed pictures may also be the bytes of a file, or a file open for reading; what is a picture in
            memory, of Pillow or an array, becomes a :class:`Picture`.
        options: of the reader: of codes as :func:`fractalkit.codes.load`, of clouds as
            :func:`fractalkit.data.load_cloud`.

    Returns:
        A code (:class:`~fractalkit.codes.AffineIFS`, :class:`~fractalkit.codes.Flame` ...), a model, a
        :class:`~fractalkit.data.Cloud`, or a :class:`Picture`.

    Raises:
        DataError: a file that is missing, damaged, or of no known kind.
    """
    from fractalkit import fk
    from fractalkit.data.clouds import load_cloud
    from fractalkit.raster.picture import as_picture
    from fractalkit.render.sources import open_any

    known("open", options, load_cloud, fk.load)
    if isinstance(source, str | Path):
        return open_any(source, **options)
    data = contents(source)
    return _held_in(data, **options) if isinstance(data, bytes) else as_picture(data)


def _held_in(data: bytes, **options: Any) -> Any:
    """The code or the picture in the bytes of a file."""
    from fractalkit import fk
    from fractalkit.codec.container import MAGIC
    from fractalkit.raster.picture import as_picture

    return fk.load(data, **options) if data.startswith(MAGIC) else as_picture(data)


@verb(PATHS)
def save(thing: Any, path: str | Path, **options: Any) -> None:
    """Write a code, a model, a cloud, a mesh or a picture to a file; the suffix names the format.

    Args:
        thing: also points ``[N, 2]`` or ``[N, 3]``, anything that :func:`~fractalkit.raster.picture.as_picture` takes,
            several pictures ``[B, C, H, W]``, which become one sheet, and a list of pictures: a sheet, or with the
            suffix gif or mp4 a film. A code, a cloud or points are drawn where the suffix is a picture's.
        path: of a suffix that suits the thing.
        options: of the format of a picture, such as quality=80 of jpg; fps of a film.

    Raises:
        UsageError: a suffix that does not suit it.
        DataError: the file cannot be written.
    """
    if isinstance(thing, str | Path) and not isinstance(path, str | Path):
        thing, path = path, thing  # the order of numpy.save
    path = Path(path)
    from fractalkit.data import Cloud, Mesh, save_mesh
    from fractalkit.raster.picture import Picture, as_picture, sheet

    thing = _drawn(open(thing) if isinstance(thing, str | Path) else thing, path.suffix.lower())
    if isinstance(thing, Mesh):
        save_mesh(path, thing)
    elif isinstance(thing, Cloud) or _are_points(thing):
        _save_cloud(thing, path)
    elif isinstance(thing, list | tuple) and path.suffix.lower() in (".gif", ".mp4"):
        from fractalkit.render.film import save_film

        known("save", options, save_film)
        save_film((as_picture(p).eight_bit() for p in thing), path, **options)
    elif hasattr(thing, "save") and not hasattr(thing, "getbands"):
        if not isinstance(thing, Picture):
            known("save", options, thing.save)
        thing.save(path, **options)
    else:
        several = isinstance(thing, list | tuple) or getattr(thing, "ndim", 0) == 4
        (sheet(thing) if several else as_picture(thing)).save(path, **options)


def _drawn(thing: Any, suffix: str) -> Any:
    """A picture of a code, a cloud or points where the suffix is a picture's; anything else as it is."""
    from fractalkit.codes.open import Code
    from fractalkit.data import Cloud
    from fractalkit.data.pictures import SUFFIXES

    if suffix not in SUFFIXES or not (isinstance(thing, Cloud | Code) or _are_points(thing)):
        return thing
    from fractalkit.render.drawing import draw

    return draw(thing)


def _save_cloud(thing: Any, path: Path) -> None:
    from fractalkit.data import Cloud, save_cloud
    from fractalkit.data.mesh_files import ALWAYS_MESHES

    if path.suffix.lower() in ALWAYS_MESHES:
        raise UsageError(
            f"{path}: is the name of a mesh, which fractalkit.render.surface makes of points; a cloud is a .ply file"
        )
    save_cloud(path, *((thing.points, thing.colours) if isinstance(thing, Cloud) else (thing,)))


def _are_points(thing: Any) -> bool:
    """Whether it is an array or a tensor ``[N, 2]`` or ``[N, 3]`` of floating point, which is no picture."""
    shape: Any = getattr(thing, "shape", ())
    return len(shape) == 2 and shape[1] in (2, 3) and "float" in str(thing.dtype) and not hasattr(thing, "pil")


@verb(MAPS, SEEDS, COLOURS)
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
    import numpy as np

    from fractalkit.data import Cloud
    from fractalkit.raster.picture import as_picture

    if isinstance(thing, str | Path):
        thing = open(thing)
    elif isinstance(thing, list | tuple):
        try:
            thing = np.asarray(thing, dtype=np.float64)
        except (TypeError, ValueError):
            raise UsageError("fit: expected points [N, 2] or [N, 3], got a list of something else") from None
    from fractalkit.fit import fit_attractor, fit_picture

    if "seed" in options:
        options["seed"] = seed_number(options["seed"])
    maps = maps if isinstance(maps, str) else whole_number("maps", maps)
    cloud = isinstance(thing, Cloud) or _are_points(thing)
    known("fit", options, fit_attractor if cloud else fit_picture)
    if isinstance(thing, Cloud):
        return fit_attractor(thing.points, maps=maps, **{"colours": thing.colours} | options)
    if cloud:
        return fit_attractor(thing, maps=maps, **options)
    return fit_picture(as_picture(thing).eight_bit(), maps=maps, **options)


@verb({"q": "quality", "bits_per_pixel": "bpp"}, dict.fromkeys(("max_bytes", "n_bytes", "target_bytes"), "bytes"))
def compress(image: Any, *, method: str = "auto", lossless: bool = False, **options: Any) -> Any:
    """Compress a picture or a cloud to a code: ``code.save("x.fk")`` writes its file, ``code.to_bytes()`` returns it.

    Args:
        image: a path, the bytes of a file, a file open for reading, a Pillow image, an array ``[H, W]`` or
            ``[H, W, C]``, or a tensor ``[C, H, W]``; floating point is rounded to 8 bits. Or a cloud: a file, a
            :class:`~fractalkit.data.Cloud`, or with ``method="cloud"`` points.
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
    image = contents(image)
    if isinstance(image, str | Path | bytes):
        from fractalkit.data import read_picture

        read = read_picture(image if isinstance(image, bytes) else Path(image))
        return fk.encode(read.samples, method=method, metadata=read.metadata, **options)
    return fk.encode(as_picture(image).whole_numbers(), method=method, **options)


def _is_cloud(thing: Any) -> bool:
    from fractalkit.data.clouds import READERS, Cloud

    return Path(thing).suffix.lower() in READERS if isinstance(thing, str | Path) else isinstance(thing, Cloud)


@verb(SIZES)
def enlarge(
    image: Any, size: SizeLike | float = None, *, detail: float = 1.0, window: WindowLike | None = None
) -> Picture:
    """Enlarge a picture with detail copied from its own coarser scales.

    Args:
        image: what :func:`fractalkit.compress` takes; floating point is rounded to 8 bits.
        size: (width, height), the longer side, or a factor: a text such as "4x", or a number up to 32 that is below the
            picture's longer side; None: "2x".
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
    own = picture.width, picture.height
    if size is None or (isinstance(size, int | float) and 0 < size <= min(MOST_FACTOR, max(own) - 1)):
        size = f"{size or 2}x"
    width, height = size_in(size, own)  # type: ignore[arg-type]
    part = None if window is None else window_in(window, (width, height))
    return Picture(enlarged(picture.whole_numbers(), height, width, detail=detail, window=part))


@verb(SIZES, {"n_tiles": "tiles", "num_tiles": "tiles"})
def fractalize(image: Any, tiles: int = 48, size: SizeLike = 1440, **options: Any) -> Picture:
    """Make a picture out of small copies of itself, each of which is made of them again.

    Args:
        image: as of :func:`compress`.
        tiles: along each side.
        size: (width, height), the longer side, or a text such as "4x".
        options: as :func:`fractalkit.fit.fractalize`: texture, blend, iterations, self_weight, and style: another
            picture for the tiles to show, of any kind that ``image`` may be.

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
    from fractalkit.fit.tiling import Style, draw
    from fractalkit.raster.picture import Picture, as_picture

    known("fractalize", options, find, besides=("tiles", "size"))
    picture = as_picture(image)
    width, height = size_in(size, (picture.width, picture.height))
    if not isinstance(options.get("style"), Style | None):
        shown = torch.from_numpy(rgb(as_picture(options["style"]).eight_bit()).copy()).permute(2, 0, 1) / 255
        options["style"] = Style(shown)
    if width * height > MOST_PIXELS:
        raise UsageError(f"size: {width:,} x {height:,} are more than 2^26 pixels; the command fractalize draws them")
    if picture.dtype == np.float32 and picture.ndim == 3 and picture.shape[2] == 3:
        x = picture.tensor()  # not rounded
    else:
        x = torch.from_numpy(rgb(picture.eight_bit()).copy()).permute(2, 0, 1) / 255
    code = find(x, whole_number("tiles", tiles), **options)
    shown = (255 * draw(code, height, width).clamp(0, 1)).round().byte()
    return Picture(shown.permute(1, 2, 0).contiguous().numpy(), code=code)


@verb(SIZES, dict.fromkeys(("n", "n_points", "num_points"), "points"))
def decompress(source: Any, size: SizeLike = None, *, points: int | None = None, **options: Any) -> Any:
    """Decode a compressed picture or a collage code at any size, or a compressed cloud with any number of points.

    Args:
        source: a code, the bytes of a ``.fk`` file, an open one, or a file that holds a code.
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

    source = contents(source)
    if isinstance(source, bytes):
        source = fk.load(source)
    code = load(source) if isinstance(source, str | Path) else source
    if isinstance(code, CollageCode):
        from fractalkit.maps.collage import decode

        if not isinstance(size, tuple | list):
            raise UsageError("size: a collage code has no size of its own; give (width, height)")
        width, height = size_in(size, (1, 1))
        known("decompress", options, decode, besides=("size",))
        return as_picture(decode(code, height, width, **_in_pixels(options, (width, height))).clamp(0, 1))
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
    known("decompress", options, fk.decode, besides=("size",))
    return Picture(fk.decode(coded, height, width, **_in_pixels(options, (width, height))), code=code)


def _in_pixels(options: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """The options with their window in pixels of a picture of a size."""
    window = options.get("window")
    return options if window is None else options | {"window": window_in(window, size)}


def _points(code: Any, n: int | None, size: SizeLike) -> Any:
    """The points of a compressed cloud."""
    from fractalkit.data import Cloud
    from fractalkit.orbit import sample as drawn

    if size is not None:
        raise UsageError("size: is for pictures; a cloud takes points")
    n = None if n is None else whole_number("points", n)
    collage = code.collage
    orbit = drawn(collage, n or code.settings.points, stratified=True, colours=collage.coloured)
    return Cloud(orbit.points.double().numpy(), None if orbit.colours is None else orbit.colours.numpy())


@verb(COUNTS, SIZES, SEEDS)
def sample(
    source: Any, n: int = 1, size: SizeLike = None, *, window: WindowLike | None = None, seed: Any = 0, **options: Any,
) -> Tensor:  # fmt: skip
    """Draw n samples: points of an attractor, or pictures of a generative model.

    Args:
        source: an affine code, a collage of clouds, a preset's name, a model of the package by name, a file that holds
            one of these, or a model.
        n: number of points, or of pictures.
        size: (width, height) of the pictures, the longer side, or a text such as "4x"; None: as in training.
        window: (left, top, right, bottom) in pixels, the part of each picture to draw.
        seed: fixes the result, or a generator of torch or NumPy, from which one is drawn; picture k of a model has
            seed + k, so it does not depend on the others.
        options: of :func:`fractalkit.orbit.sample` or :func:`fractalkit.models.pictures`, and ``device``, to which a
            model is moved.

    Returns:
        Points ``[n, D]``, with gradients where the matrices or offsets of an affine code require them, a tensor with
        ``save(path)``; or pictures ``[n, C, H, W]`` in [0, 1], a tensor with ``save(path)`` and ``pil``.

    Raises:
        DataError: a file that is missing or damaged.
        UsageError: what has no samples, or an option out of range.
    """
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.cloud_collage import CloudCollage

    n = whole_number("n", n)
    seed = seed_number(seed, n)
    thing = held(load(source) if isinstance(source, str | Path) else source, CloudCollage)
    if isinstance(thing, AffineIFS | CloudCollage):
        from fractalkit.orbit import sample as points
        from fractalkit.orbit.api import followed
        from fractalkit.raster.batch import PointTensor

        if n > MOST_POINTS:
            raise UsageError(f"n: {n:,} points are more than 2^31 in memory; the command sample writes any number")
        if size is not None or window is not None:
            raise UsageError("size and window: are for pictures; the samples of an affine code are points")
        known("sample", options, points, besides=("n", "seed"))
        if isinstance(thing, AffineIFS) and (thing.matrices.requires_grad or thing.offsets.requires_grad):
            return PointTensor.of(followed(thing, n, seed=seed, **options))
        return PointTensor.of(points(thing, n, seed=seed, **options).points)
    from fractalkit.models import Sampler

    if not isinstance(thing, Sampler):
        raise UsageError(f"sample: expected the code of a cloud or a generative model, got {type(thing).__name__}")
    if (device := options.pop("device", None)) is not None:
        thing = _moved(thing, device)
    return thing.sample(n, size, seed=seed, window=window, **options)


def _moved(model: Any, device: Any) -> Any:
    """A network on a device, as ``model.to(device)`` moves it."""
    try:
        return model.to(device)
    except (AssertionError, RuntimeError, TypeError):  # PyTorch's, of no such device or none on this machine
        raise UsageError(f"device: {device!r} is none that PyTorch has on this machine; cpu always is") from None


@verb(PATHS, SIZES, SEEDS, {"n_frames": "frames", "num_frames": "frames", "duration": "seconds", "zoom": "depth"})
def animate(
    source: Any, path: str | Path, *, frames: int | None = None, fps: float = 30.0, seconds: float | None = None,
    size: SizeLike = None, depth: float | None = None, quality: float | None = None, seed: int = 0,
) -> Path:  # fmt: skip
    """Write a film: flames that turn or change into each other, or a zoom into a code.

    Args:
        source: a flame, a list of flames, or a file of them: their maps turn once, from flame to flame, in a loop. A
            list of affine codes of the plane: each changes into the next, and the last into the first. With
            ``depth``: any code, model or picture, or a file that holds one; the film zooms into it.
        path: of suffix mp4 (needs PyAV), gif, webp or png; a path without suffix is a folder of frames.
        size: (width, height), or the side of a square; None: a flame's own, 480 x 480 for others.
        frames: their number; None: 60, or as many as ``seconds`` take.
        fps: frames per second.
        depth: magnification of the last frame.
        quality: samples per pixel of flames.

    Returns:
        The path.

    Raises:
        DataError: a file that cannot be read, or the film cannot be written.
        UsageError: a source that does not move, or an option out of range.
    """
    from fractalkit.render.animate import Motion, draw_frame, keyframes
    from fractalkit.render.film import check_film, save_film, save_frame

    path = Path(path)
    _check_film(fps=fps, quality=quality, depth=depth, seconds=seconds)
    frames = _frames(frames, seconds, fps)
    seed = seed_number(seed)
    box = None if size is None else size_in(size, (1, 1))
    if depth is not None:
        pixels = _zoom(source, frames, box or (480, 480), depth, quality, seed)
    else:
        things = source if isinstance(source, list | tuple) else [source]
        found = [f for t in things for f in _codes_of(t)]
        flames, follow = keyframes(found, box)
        motion = Motion(flames, frames, loop=True, follow=follow)
        pixels = (draw_frame(motion, k, size=box, quality=quality, seed=seed) for k in range(frames))
    if check_film(path) == "frames":
        path.mkdir(parents=True, exist_ok=True)
        for k, frame in enumerate(pixels):
            save_frame(frame, path, k)
    else:
        save_film(pixels, path, fps=fps)
    return path


def _frames(frames: Any, seconds: float | None, fps: float) -> int:
    if frames is not None and seconds is not None:
        raise UsageError("frames, seconds: give one of them; the film has fps frames per second")
    if frames is None:
        frames = 60 if seconds is None else max(1, round(seconds * fps))
    return whole_number("frames", frames)


def _check_film(**numbers: Any) -> None:
    """Refuse numbers of a film that are none or out of range."""
    for name, value in numbers.items():
        most = 1000.0 if name == "fps" else 1e300
        if value is not None and not (isinstance(value, int | float) and 0 < value <= most):
            raise UsageError(f"{name}: expected a positive number up to {most:g}, got {value!r}")


def _codes_of(thing: Any) -> list[Any]:
    from fractalkit.codes.open import is_preset_name, load_all

    if not isinstance(thing, str | Path):
        return [thing]
    return [load(thing)] if is_preset_name(thing) else list(load_all(thing))


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
