"""Frames of flame animations: keyframes, loops, motion blur. Each frame can be drawn on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_blend import between, turned
from fractalkit.errors import DataError, UsageError
from fractalkit.render.flame import Exposure, resized, to_8_bit

_ONE_CODE = (
    "expected flames, or two affine codes of the plane or more; the command zoom, or depth=... from Python, films one "
    "code of any kind"
)


@dataclass(frozen=True)
class Motion:
    """A path through keyframes.

    Args:
        flames: keyframes, all drawn at the size of the first one.
        frames: number of frames.
        times: increasing time of each keyframe; None spaces them evenly.
        loop: return from the last flame to the first, and turn animated maps once between two keyframes, so that the
            film repeats seamlessly. A single flame only turns.
        blur: points in time per frame; 1 for no motion blur.
        shutter: share of a frame's time that these points cover.
        follow: draw each frame in the window that holds its attractor, for flames of affine maps alone.
    """

    flames: tuple[Flame, ...]
    frames: int
    times: tuple[float, ...] | None = None
    loop: bool = False
    blur: int = 1
    shutter: float = 0.5
    follow: bool = False

    def __post_init__(self) -> None:
        if not self.flames or self.frames < 1 or self.blur < 1 or not 0 <= self.shutter <= 10:
            raise UsageError(
                "animate: expected a flame, a frame and a sample in time or more, and a shutter of 0 to 10"
            )
        if len(self.flames) == 1 and not self.loop:
            raise UsageError("animate: one flame does not move; give another, or --loop to turn its maps")

    def at(self, share: float) -> Flame:
        """The flame at a position in the film, from 0 to 1."""
        flame = self._at(share)
        return _framed(flame) if self.follow else flame

    def _at(self, share: float) -> Flame:
        flames = [resized(f, self.flames[0].size) for f in self.flames]
        if not self.loop:
            times = list(self.times) if self.times is not None else list(range(len(flames)))
            return between(flames, times, times[0] + share * (times[-1] - times[0]))
        n = len(flames)
        place = (share % 1) * n
        angle = 360 * (place % 1)
        a, b = flames[int(place) % n], flames[(int(place) + 1) % n]
        if n == 1:
            return turned(a, angle)
        return between([turned(a, angle), turned(b, angle)], [0.0, 1.0], place % 1)

    def share(self, frame: float) -> float:
        """Position of a frame in the film."""
        return frame / self.frames if self.loop else frame / max(self.frames - 1, 1)


def keyframes(codes: Sequence[Any], size: tuple[int, int] | None = None) -> tuple[tuple[Flame, ...], bool]:
    """Flames as they are and affine codes of the plane as flames, and whether the film is to follow their attractor.

    Args:
        size: (width, height) of codes; None: 480 x 480.

    Raises:
        UsageError: codes of another kind, or one alone.
    """
    follow = not any(isinstance(code, Flame) for code in codes)
    if follow and len(codes) == 1:
        raise UsageError(f"animate: {_ONE_CODE}")
    return tuple(code if isinstance(code, Flame) else _still(code, size or (480, 480)) for code in codes), follow


def _still(code: Any, size: tuple[int, int]) -> Flame:
    """An affine code of the plane as a flame whose maps do not turn."""
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.flame_random import flame_of
    from fractalkit.render.attractor import plane_window

    if not isinstance(code, AffineIFS) or code.dim != 2:
        raise UsageError(f"animate: {_ONE_CODE}")
    # in units of its window, so that two codes of other units have maps alike
    low, high = plane_window(code, size)
    middle, half = (low + high) / 2, float(high[0] - low[0]) / 2
    a, t = code.matrices.double(), code.offsets.double()
    code = replace(code, matrices=a, offsets=(a @ middle + t - middle) / half)
    flame = flame_of(code, size=size, low=(low - middle) / half, high=(high - middle) / half)
    return replace(flame, quality=20.0, xforms=tuple(replace(x, animate=0.0) for x in flame.xforms))


def _framed(flame: Flame) -> Flame:
    """A flame of affine maps in the window that holds its attractor; as it is, where its maps do not contract."""
    import torch

    from fractalkit.codes.affine import AffineIFS
    from fractalkit.render.attractor import plane_window

    maps = [x for x in flame.xforms if x.weight > 0]
    columns = torch.tensor([x.coefs for x in maps], dtype=torch.float64)
    try:
        code = AffineIFS(
            columns[:, :4].reshape(-1, 2, 2).mT, columns[:, 4:], torch.tensor([x.weight for x in maps]).double()
        )
        low, high = plane_window(code, flame.size)
    except (DataError, UsageError):
        return flame
    x, y = ((low + high) / 2).tolist()
    return replace(flame, center=(x, y), scale=flame.size[0] / float(high[0] - low[0]), rotate=0.0, zoom=0.0)


def draw_frame(
    motion: Motion, frame: int, *, size: tuple[int, int] | None = None, quality: float | None = None, seed: int = 0,
    threads: int | None = None, device: str | None = None,
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """Draw a frame, ``[H, W, 3]``. Its samples depend on the seed, the frame and the device only.

    With motion blur, all points in time are added to one histogram, which is tone-mapped once, as in flam3.
    """
    steps = [(k + 0.5) / motion.blur - 0.5 for k in range(motion.blur)]
    flames = [motion.at(motion.share(frame + motion.shutter * s)) for s in steps]
    if size is not None:
        flames = [resized(f, size) for f in flames]
    middle = flames[len(flames) // 2]
    wish = middle.quality if quality is None else quality
    exposure = Exposure.empty(middle, int(np.random.SeedSequence([seed, frame]).generate_state(1)[0]))
    for f in flames:
        same = {n: getattr(middle, n) for n in ("oversample", "filter", "filter_shape", "estimator_radius")}
        exposure.flame = replace(f.expanded(), **same)
        exposure.expose(wish / len(flames) * 4 ** (middle.zoom - f.zoom), batches=1, threads=threads, device=device)
    exposure.flame = middle.expanded()
    exposure.quality = wish
    return to_8_bit(exposure.develop(threads=threads))


def frame_job(item: dict[str, object]) -> int:
    """Draw a frame to its file; an item of :func:`fractalkit.jobs.map_items`, whose flames are given as XML."""
    from fractalkit.codes.flame import read_flames
    from fractalkit.render.film import FRAME, save_frame

    frame, options, folder = item["frame"], item["options"], Path(str(item["folder"]))
    assert isinstance(frame, int) and isinstance(options, dict)
    if (folder / FRAME.format(frame)).is_file():  # drawn by a worker that died before it could report
        return frame
    flames = tuple(read_flames(str(item["flames"]).encode()))
    motion = Motion(flames, **options["motion"])
    pixels = draw_frame(motion, frame, **options["draw"])
    save_frame(pixels, folder, frame)
    return frame
