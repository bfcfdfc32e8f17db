"""Pictures of flames: samples in batches into a histogram that is saved, gone on with, and developed at any time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.errors import DataError, UsageError, first_line
from fractalkit.files import atomic_path
from fractalkit.render.flame_tone import Look, develop

MAX_CELLS = 1 << 28  # of a histogram: 4 GiB
BATCHES = 16  # a still is drawn in as many parts, between which it may be looked at
_FORMAT = "fractalkit-flame-buffer"


def look_of(flame: Flame, quality: float | None = None, *, transparent: bool = False) -> Look:
    """The tone map's settings of a flame, its quality times 4^zoom."""
    w, h = flame.size
    return Look(
        size=(h, w),
        pixels_per_unit=flame.scale * 2**flame.zoom,
        quality=(flame.quality if quality is None else quality) * 4**flame.zoom,
        oversample=flame.oversample,
        filter_radius=flame.filter,
        filter_shape=flame.filter_shape,
        brightness=flame.brightness,
        gamma=flame.gamma,
        gamma_threshold=flame.gamma_threshold,
        vibrancy=flame.vibrancy,
        highlight_power=flame.highlight_power,
        background=flame.background,
        estimator_radius=flame.estimator_radius,
        estimator_minimum=flame.estimator_minimum,
        estimator_curve=flame.estimator_curve,
        earlyclip=flame.extras.get("earlyclip", "0") not in ("0", ""),
        transparent=transparent,
    )


def resized(flame: Flame, size: tuple[int, int]) -> Flame:
    """The flame at W x H pixels, the same part of the plane in view: scaled by the smaller ratio of the sides.

    >>> resized(Flame(size=(100, 100), scale=50), (300, 200)).scale
    100.0
    """
    w, h = size
    if not (1 <= w <= 100_000 and 1 <= h <= 100_000):
        raise UsageError(f"size: expected 1 to 100,000 pixels a side, got {w} x {h}")
    ratio = min(w / flame.size[0], h / flame.size[1])
    return replace(flame, size=(w, h), scale=flame.scale * ratio)


@dataclass
class Exposure:
    """What has been drawn of a flame so far.

    Attributes:
        flame: whose picture it is; its size, camera, oversample, filter and estimation fix the histogram.
        histogram: float32 ``[*cells, 4]``, sums of opacity times (r, g, b, 1).
        quality: samples a pixel in it (times 4^zoom in truth, as a flame's quality is understood).
        seed: of its batches.
        batches: how many there have been: the next one has this number.
    """

    flame: Flame
    histogram: npt.NDArray[np.float32]
    quality: float = 0.0
    seed: int = 0
    batches: int = 0

    @classmethod
    def empty(cls, flame: Flame, seed: int = 0) -> Exposure:
        """Nothing drawn yet.

        Raises:
            UsageError: a picture that is too large.
        """
        flame = flame.expanded()
        cells = look_of(flame, 1.0).cells
        if cells[0] * cells[1] > MAX_CELLS:
            raise UsageError(
                f"size: {flame.size[0]} x {flame.size[1]} pixels with oversample {flame.oversample} need a histogram "
                f"of {cells[0] * cells[1] * 16 >> 20:,} MiB, more than {MAX_CELLS * 16 >> 20:,}; lower one of them"
            )
        return cls(flame, np.zeros((*cells, 4), np.float32), seed=seed)

    def expose(
        self,
        quality: float,
        *,
        batches: int = BATCHES,
        threads: int | None = None,
        device: str | None = None,
        plain: bool = False,
        callback: Callable[[Exposure, float], None] | None = None,
    ) -> Exposure:
        """Add samples: ``quality`` a pixel (times 4^zoom), in batches; the same for a seed and a number of threads.

        Args:
            callback: called after each batch with this and the share done of what was asked for.

        Raises:
            UsageError: a quality that is not a positive number.
            DataError: the flame has no map to draw with.
        """
        from fractalkit.orbit.flame import accumulate

        if not (quality > 0 and math.isfinite(quality)):
            raise UsageError(f"quality: expected a positive number, got {quality}")
        w, h = self.flame.size
        total = max(1, round(quality * 4**self.flame.zoom * w * h))
        batches = max(1, min(batches, total))
        gutter = look_of(self.flame, 1.0).gutter
        before, done = self.quality, 0
        for k in range(batches):
            n = total * (k + 1) // batches - done
            seed = int(
                np.random.SeedSequence([self.seed, self.batches]).generate_state(1, np.uint64)[0] >> np.uint64(1)
            )
            accumulate(
                self.flame, n, gutter=gutter, seed=seed, threads=threads, device=device, plain=plain,
                out=self.histogram,
            )  # fmt: skip
            self.batches += 1
            done += n
            self.quality = before + quality * done / total
            if callback is not None:
                callback(self, done / total)
        return self

    def develop(self, *, transparent: bool = False, threads: int | None = None) -> npt.NDArray[np.float32]:
        """The picture so far: float32 ``[H, W, 3 or 4]`` in [0, 1], see :func:`.flame_tone.develop`."""
        if not self.quality > 0:
            raise UsageError("quality: nothing has been drawn yet")
        return develop(self.histogram, look_of(self.flame, self.quality, transparent=transparent), threads=threads)

    def save(self, path: str | Path) -> None:
        """Write a ``.safetensors`` file from which :meth:`load` goes on; a DataError where it cannot be written."""
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        from fractalkit.codes.flame_xml import to_xml

        meta = {
            "format": _FORMAT,
            "version": "1",
            "flame": to_xml([self.flame]),
            "state": json.dumps({"quality": self.quality, "seed": self.seed, "batches": self.batches}),
        }
        try:
            with atomic_path(path) as temporary:
                save_file({"histogram": self.histogram}, temporary, metadata=meta)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: cannot be written ({first_line(error)})") from error

    @classmethod
    def load(cls, path: str | Path) -> Exposure:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: not such a file, or damaged.
        """
        from safetensors import SafetensorError, safe_open

        from fractalkit.codes.flame_xml import read_flames

        path = Path(path)
        try:
            with safe_open(path, framework="numpy") as file:
                meta: dict[str, Any] = file.metadata() or {}
                if meta.get("format") != _FORMAT:
                    raise DataError(f"{path}: holds no flame buffer; give a file that --buffer wrote")
                histogram = np.array(file.get_tensor("histogram"))
            state = json.loads(meta["state"])
            flame = read_flames(meta["flame"].encode(), str(path))[0]
            out = cls.empty(flame, int(state["seed"]))
            quality, batches = float(state["quality"]), int(state["batches"])
        except (SafetensorError, KeyError, ValueError, TypeError, IndexError, OverflowError, RecursionError) as error:
            if isinstance(error, (DataError, UsageError)):
                raise
            raise DataError(f"{path}: a damaged flame buffer ({error})") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
        if histogram.shape != out.histogram.shape or histogram.dtype != np.float32 or not 0 <= quality <= 1e12:
            raise DataError(f"{path}: the buffer does not fit its flame; draw it anew")
        if not (np.isfinite(histogram).all() and histogram.min() >= 0):
            raise DataError(f"{path}: the buffer holds values that are not finite or negative; draw it anew")
        out.histogram, out.quality, out.batches = histogram, quality, batches
        return out


def render_flame(
    flame: Flame,
    *,
    size: tuple[int, int] | None = None,
    quality: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str | None = None,
    plain: bool = False,
    transparent: bool = False,
    batches: int = BATCHES,
    callback: Callable[[Exposure, float], None] | None = None,
) -> npt.NDArray[np.float32]:
    """A flame's picture.

    Args:
        size: (W, H); None: the flame's own. Quality, the samples a pixel, is apart from it.
        seed: fixes the picture for a number of threads.
        threads: None for all.
        device, plain: see :func:`fractalkit.orbit.flame.accumulate`.
        transparent: straight alpha in place of the background.
        callback: see :meth:`Exposure.expose`; develop what it is given to show a preview.

    Returns:
        float32 ``[H, W, 3]``, or 4 with ``transparent``: values of the display in [0, 1].
    """
    flame = flame if size is None else resized(flame, size)
    exposure = Exposure.empty(flame, seed)
    exposure.expose(
        flame.quality if quality is None else quality,
        batches=batches, threads=threads, device=device, plain=plain, callback=callback,
    )  # fmt: skip
    return exposure.develop(transparent=transparent, threads=threads)


def to_8_bit(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Values in [0, 1] to bytes, rounded down as flam3 does."""
    return np.minimum(picture * np.float32(255) + np.float32(1e-3), 255).astype(np.uint8)


def save_flame_picture(
    path: str | Path, picture: npt.NDArray[np.float32], *, bits: int = 8, text: dict[str, str] | None = None
) -> None:
    """Write a picture by its suffix: png of 8 or 16 bits, npy (float32 ``[H, W, C]``) or tiff (float32).

    Raises:
        UsageError: another suffix, or bits that are neither 8 nor 16.
        DataError: it cannot be written.
    """
    from fractalkit.render.deep import save_npy, save_png16, save_tiff
    from fractalkit.render.png import save_png

    path = Path(path)
    suffix = path.suffix.lower()
    if bits not in (8, 16):
        raise UsageError(f"bits: expected 8 or 16, got {bits}")
    if suffix == ".png" and bits == 8:
        save_png(path, to_8_bit(picture), text)
    elif suffix == ".png":
        save_png16(path, (picture * np.float32(65535) + np.float32(0.5)).astype(np.uint16), text)
    elif suffix == ".npy":
        save_npy(path, picture)
    elif suffix in (".tif", ".tiff"):
        save_tiff(path, picture, text)
    else:
        raise UsageError(f"{path}: expected .png, .npy or .tiff")
