"""Pictures of flames: a histogram that grows in batches and can be saved, resumed and tone-mapped at any time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_curves import tone_curves
from fractalkit.codes.flame_unread import is_number
from fractalkit.errors import DataError, UsageError
from fractalkit.render.flame_tone import Tone, develop

MAX_CELLS = 1 << 28  # of a histogram: 4 GiB
BATCHES = 16  # of a still; a preview can be drawn after each
_FORMAT = "fractalkit-flame-buffer"


TONE_FIELDS = (
    "oversample", "filter_shape", "brightness", "gamma", "gamma_threshold", "vibrancy", "highlight_power", "background",
    "estimator_radius", "estimator_minimum", "estimator_curve", "contrast", "white_level", "low_density_brightness",
    "fg_opacity", "saturation",
)  # fmt: skip


def look_of(flame: Flame, quality: float | None = None, *, transparent: bool = False) -> Tone:
    """Settings of the tone map of a flame."""
    w, h = flame.size
    return Tone(
        size=(w, h), pixels_per_unit=flame.pixels_per_unit,
        quality=(flame.quality if quality is None else quality) * 4**flame.zoom, filter_radius=flame.filter,
        earlyclip=flame.extras.get("earlyclip", "0") not in ("0", ""), transparent=transparent,
        jwildfire=flame.by_jwildfire,
        balancing=(flame.balancing_red, flame.balancing_green, flame.balancing_blue),
        curves=tone_curves(flame.extras),
        **{name: getattr(flame, name) for name in TONE_FIELDS},
    )  # fmt: skip


def drawn_layers(flame: Flame) -> list[Flame]:
    """The layers of a flame that are to be drawn, the colours of each times its weight.

    As in JWildfire, each layer has as many samples as a flame without layers; one that is not visible has none.
    """
    out = []
    for layer, attributes in zip(flame.by_layer(), flame.layer_attributes or ({},), strict=False):
        if attributes.get("visible", "1").strip() == "0":
            continue
        weight = attributes.get("weight", "1")
        gain = float(weight) if is_number(weight) else 1.0
        if gain != 1:
            layer = replace(layer, palette=layer.palette * np.array([gain, gain, gain, 1.0]))
        out.append(layer.expanded() if layer.symmetry else layer)
    return out


def resized(flame: Flame, size: tuple[int, int]) -> Flame:
    """The flame at another size (width, height), with the same part of the plane in view.

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
    """The histogram of a flame, and how it was made.

    Attributes:
        flame: the flame; its size, camera, oversampling, filter and density estimation determine the histogram's shape.
        histogram: float32 ``[*cells, 4]``, sums of opacity times (r, g, b, 1).
        quality: samples per pixel so far, divided by 4^zoom as by the definition of a flame's quality.
        seed: seed of the batches.
        batches: number of batches so far.
    """

    flame: Flame
    histogram: npt.NDArray[np.float32]
    quality: float = 0.0
    seed: int = 0
    batches: int = 0

    @classmethod
    def empty(cls, flame: Flame, seed: int = 0) -> Exposure:
        """An empty histogram.

        Raises:
            UsageError: the picture is too large.
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
        """Add ``quality`` times 4^zoom samples per pixel, in batches; seed and number of threads fix the result.

        A GPU takes fewer batches where a histogram that comes back would cost more than its samples.

        Args:
            callback: called after each batch with this object and the fraction done.

        Raises:
            UsageError: a quality that is not a positive number.
            DataError: the flame has no maps.
        """
        from fractalkit.orbit.flame import accumulate

        if not (quality > 0 and math.isfinite(quality)):
            raise UsageError(f"quality: expected a positive number, got {quality}")
        w, h = self.flame.size
        total = max(1, round(quality * 4**self.flame.zoom * w * h))
        if device == "gpu" and not plain:
            from fractalkit.orbit.wgsl.device import open_gpu
            from fractalkit.orbit.wgsl.flame import batches_of

            batches = batches_of(total, self.histogram[..., 0].size, batches, open_gpu().software)
        batches = max(1, min(batches, total))
        gutter = look_of(self.flame, 1.0).gutter
        before, done = self.quality, 0
        for k in range(batches):
            n = total * (k + 1) // batches - done
            seed = int(
                np.random.SeedSequence([self.seed, self.batches]).generate_state(1, np.uint64)[0] >> np.uint64(1)
            )
            for i, layer in enumerate(drawn_layers(self.flame)):
                accumulate(
                    layer, n, gutter=gutter, seed=seed + i, threads=threads, device=device, plain=plain,
                    out=self.histogram,
                )  # fmt: skip
            self.batches += 1
            done += n
            self.quality = before + quality * done / total
            if callback is not None:
                callback(self, done / total)
        return self

    def develop(self, *, transparent: bool = False, threads: int | None = None) -> npt.NDArray[np.float32]:
        """Tone-map the histogram: float32 ``[H, W, 3 or 4]`` in [0, 1], see :func:`.flame_tone.develop`."""
        if not self.quality > 0:
            raise UsageError("quality: nothing has been drawn yet")
        return develop(self.histogram, look_of(self.flame, self.quality, transparent=transparent), threads=threads)

    def save(self, path: str | Path) -> None:
        """Write a ``.safetensors`` file for :meth:`load`; a DataError if it cannot be written."""
        import torch

        from fractalkit.codes.flame_xml import to_xml
        from fractalkit.tensors import save_tensors

        state = json.dumps({"quality": self.quality, "seed": self.seed, "batches": self.batches})
        meta = {"format": _FORMAT, "version": "1", "flame": to_xml([self.flame]), "state": state}
        save_tensors(path, {"histogram": torch.from_numpy(self.histogram)}, meta)

    @classmethod
    def load(cls, path: str | Path) -> Exposure:
        """Read a file written by :meth:`save`.

        Raises:
            DataError: another kind of file, or a damaged one.
        """
        from fractalkit.codes.flame import read_flames
        from fractalkit.tensors import read_tensors

        meta, tensors = read_tensors(path, max_bytes=32 * MAX_CELLS)
        if meta.get("format") != _FORMAT:
            raise DataError(f"{path}: holds no flame buffer; give a file that --buffer wrote")
        try:
            histogram = tensors["histogram"].numpy()
            state = json.loads(meta["state"])
            flame = read_flames(meta["flame"].encode(), str(path))[0]
            out = cls.empty(flame, int(state["seed"]))
            quality, batches = float(state["quality"]), int(state["batches"])
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, RecursionError) as error:
            if isinstance(error, (DataError, UsageError)):
                raise
            raise DataError(f"{path}: a damaged flame buffer ({error})") from error
        if histogram.shape != out.histogram.shape or histogram.dtype != np.float32 or not 0 <= quality <= 1e12:
            raise DataError(f"{path}: the buffer does not fit its flame; render it again")
        if not (np.isfinite(histogram).all() and histogram.min() >= 0):
            raise DataError(f"{path}: the buffer holds values that are not finite or negative; render it again")
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
    """Draw a flame.

    Args:
        size: (width, height) in pixels; None for the flame's own.
        quality: samples per pixel; None for the flame's own.
        seed: together with the number of threads, determines the picture.
        threads: number of threads; None for all.
        device, plain: see :func:`fractalkit.orbit.flame.accumulate`.
        transparent: add an alpha channel, not premultiplied, instead of the background.
        callback: see :meth:`Exposure.expose`; tone-map its argument for a preview.

    Returns:
        float32 ``[H, W, 3]``, or ``[H, W, 4]`` with ``transparent``: display values in [0, 1].
    """
    flame = flame if size is None else resized(flame, size)
    exposure = Exposure.empty(flame, seed)
    exposure.expose(
        flame.quality if quality is None else quality,
        batches=batches, threads=threads, device=device, plain=plain, callback=callback,
    )  # fmt: skip
    return exposure.develop(transparent=transparent, threads=threads)


def to_8_bit(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Convert values in [0, 1] to bytes, rounded down as in flam3."""
    return np.minimum(picture * np.float32(255) + np.float32(1e-3), 255).astype(np.uint8)


PLAIN = (".jpg", ".jpeg", ".webp")  # formats without the text of the code
WRITTEN = (".png", ".npy", ".tif", ".tiff", *PLAIN)


def save_flame_picture(
    path: str | Path, picture: npt.NDArray[np.float32], *, bits: int = 8, text: dict[str, str] | None = None
) -> None:
    """Write a picture in the format of its suffix: png with 8 or 16 bits, npy or tiff (both float32), jpg or webp.

    Raises:
        UsageError: another suffix, or bits other than 8 and 16.
        DataError: the file cannot be written.
    """
    from fractalkit.raster.picture import as_picture
    from fractalkit.raster.png import save_png
    from fractalkit.render.deep import save_npy, save_png16, save_tiff

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
    elif suffix in PLAIN:
        as_picture(to_8_bit(picture)).save(path, quality=95)
    else:
        raise UsageError(f"{path}: expected {', '.join(WRITTEN)}")
