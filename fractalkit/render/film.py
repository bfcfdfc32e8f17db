"""Write frames to mp4, GIF, animated PNG or WebP, or to a folder of PNG frames that can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fractalkit.errors import DataError, UsageError
from fractalkit.files import atomic_path
from fractalkit.raster.png import save_png
from fractalkit.render.pictures import ANIMATED, save_animation

Pixels = npt.NDArray[np.uint8]
FRAME = "frame-{:06d}.png"
VIDEO = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}  # suffix: name of the container


def check_film(path: Path) -> str:
    """The kind of a film: "video", "animation", or "frames" for a folder, which has no suffix.

    Raises:
        UsageError: another suffix.
    """
    suffix = path.suffix.lower()
    if suffix in VIDEO:
        return "video"
    if suffix in ANIMATED:
        return "animation"
    if suffix == "" or path.is_dir():
        return "frames"
    raise UsageError(f"{path}: a film is {', '.join((*VIDEO, *ANIMATED))}, or a folder of frames")


def save_film(frames: Iterable[Pixels], path: Path, *, fps: float = 30.0, text: dict[str, str] | None = None) -> None:
    """Write frames ``[H, W, 3]`` as a film, whole or not at all.

    Video is H.264 of constant quality, 4:2:0, and loses the last row or column of odd sizes. It needs PyAV.

    Raises:
        UsageError: an unknown suffix, or PyAV is not installed.
        DataError: the film cannot be written.
    """
    if check_film(path) == "animation":
        save_animation(frames, path, fps=fps, text=text)
        return
    try:
        import av
    except ImportError:
        raise UsageError(f"{path}: video needs PyAV; pip install av, or write .gif or frames") from None
    from fractions import Fraction

    first: Pixels | None = None
    try:
        with atomic_path(path) as temporary:
            options = {"movflags": "use_metadata_tags"}
            with av.open(str(temporary), "w", format=VIDEO[path.suffix.lower()], options=options) as out:
                for key, value in (text or {}).items():
                    out.metadata[key] = value
                stream = None
                for pixels in frames:
                    if stream is None:
                        first = pixels
                        stream = out.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
                        stream.height, stream.width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
                        stream.pix_fmt = "yuv420p"
                        stream.options = {"crf": "17", "preset": "fast"}
                    even = np.ascontiguousarray(pixels[: stream.height, : stream.width])
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
                if stream is not None:
                    out.mux(stream.encode())
            if first is None:
                raise UsageError(f"{path}: a film has one frame or more")
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(f"{path}: cannot be written ({error})") from error


def save_frame(pixels: Pixels, folder: Path, k: int, text: dict[str, str] | None = None) -> Path:
    """Write frame k of a folder, whole or not at all."""
    path = folder / FRAME.format(k)
    save_png(path, pixels, text)
    return path


def missing(folder: Path, frames: int) -> list[int]:
    """Numbers of the frames that a folder lacks; creates the folder if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror or error})") from error
    return [k for k in range(frames) if not (folder / FRAME.format(k)).is_file()]


def read_frames(folder: Path, frames: int) -> Iterator[Pixels]:
    """Yield the frames of a folder in order."""
    from PIL import Image

    for k in range(frames):
        with Image.open(folder / FRAME.format(k)) as image:
            yield np.asarray(image.convert("RGB"))


def with_progress(frames: Iterable[Pixels], total: int, progress: Callable[[str, float], None]) -> Iterator[Pixels]:
    """Yield frames and report progress."""
    for k, frame in enumerate(frames):
        progress("draw", k / total)
        yield frame
