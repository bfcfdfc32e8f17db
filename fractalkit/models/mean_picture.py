"""Mean pictures of collages of features, drawn in strips: any size, any window, in bounded memory.

A picture is a collage of C channels and a small network that is applied at each point. Any size is drawn on the next
lattice of points at or above it that the grid of ranges divides well, with at least as many points as a training
picture has, and area-averaged to the size asked for. Strips are independent windows of one
fixed point (:mod:`fractalkit.core.levels`), so several threads draw them and memory does not grow with the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fractalkit.codes.collage import WHOLE, CollageCode
from fractalkit.core import Levels, Window, ahead
from fractalkit.errors import UsageError
from fractalkit.maps.collage import CollageMap, check_size
from fractalkit.maps.fields import fold, spline
from fractalkit.raster.area import area_span, area_taps
from fractalkit.raster.cosines import cosines

BASE = 80  # approximate points per side of the coarsest level, which is solved directly
WASTE = 1.04  # largest factor per side by which a lattice may exceed the requested size
KEEP_BYTES = 16 << 20  # coarser levels up to this size are computed once
STRIP_BYTES = 4 << 20  # of the coarser level per strip, if it is recomputed for each strip
STRIP_POINTS = 1 << 18
MAX_PIXELS = 1 << 31  # of a picture in memory
MOST_SHARP = 100.0

Means = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MeanPicture:
    """The mean picture of a sample.

    Attributes:
        code: its collage of features, a batch of one.
        mean: features ``[1, C, H, W]`` to mean values ``[1, O, H, W]`` in [0, 1], point by point.
        size: points per side of a training picture; pictures are drawn from at least as many.
        layers: weights ``[H, C]``, ``[H]``, ``[O, H]``, ``[O]`` where ``mean`` is sigmoid(linear(silu(linear))).
        detail: contrast of the self-reference beyond the training resolution, 0 to 2; see :class:`CollageMap`.
        cells: points along each side of a training pixel.
    """

    code: CollageCode
    mean: Callable[[Tensor], Tensor]
    size: int
    layers: tuple[Tensor, ...] | None = None
    detail: float = 1.0
    cells: int = 1

    @staticmethod
    def of(model: Any, h: Tensor, *, detail: float = 0.0, sharpness: float = 1.0) -> MeanPicture:
        """The mean picture of features ``[1, width, G, G]`` of a model with a collage head.

        Args:
            sharpness: factor of the logits, an inverse temperature: 1 draws the probability of each pixel, more of it
                the same digit with harder edges.

        Raises:
            UsageError: a sharpness that is not above 0, or other than 1 for a model without logits.
        """
        head = model.head
        bernoulli = model.likelihood.name == "bernoulli"
        check_sharpness(sharpness, bernoulli)

        def mean(f: Tensor) -> Tensor:
            parameters = head.pixels(f)
            return model.likelihood.mean(parameters if sharpness == 1 else sharpness * parameters)

        with torch.no_grad():
            code = head.code(h)
            last = (head.pixel2 * sharpness, head.bias2 * sharpness)
            layers = tuple(t.detach() for t in (head.pixel1, head.bias1, *last))
        tensors = {k: getattr(code, k).detach() for k in ("contrast", "brightness", "mixing", "patches")}
        code = replace(code, **tensors)
        cells = model.cells
        return MeanPicture(code, mean, model.config.size * cells, layers if bernoulli else None, detail, cells)

    @property
    def fast(self) -> bool:
        """Whether the compiled kernel knows this kind of picture."""
        one_domain = self.code.continuous and self.code.domains == (WHOLE,)
        like = self.code.brightness
        return one_domain and self.layers is not None and like.dtype == torch.float32 and like.device.type == "cpu"


@dataclass(frozen=True, eq=False)
class Still:
    """A mean picture ``[O, H, W]`` of a model that draws one size only."""

    means: Means


def check_sharpness(sharpness: float, bernoulli: bool) -> None:
    """Raise a UsageError where pictures cannot be drawn so sharply."""
    if not 0 < sharpness <= MOST_SHARP:
        raise UsageError(f"sharpness: expected a number above 0, at most {MOST_SHARP:g}, got {sharpness}")
    if sharpness != 1 and not bernoulli:
        raise UsageError("sharpness: is for models of black and white pixels; this one has colours or greys")


def lattice(grid: tuple[int, int], least: int, height: int, width: int) -> tuple[int, int, int]:
    """Rows and columns of points from which a height x width picture is drawn, and how often the grid divides them.

    >>> lattice((7, 7), 56, 28, 28), lattice((7, 7), 56, 1120, 1120), lattice((7, 7), 56, 1440, 1440)
    ((56, 56, 1), (1127, 1127, 2), (1470, 1470, 2))
    """
    asked = [n * -(-least // n) for n in (height, width)]
    best = tuple(-(-n // g) * g for n, g in zip(asked, grid, strict=True))
    levels = 1
    while best[0] * best[1] > (BASE * BASE) * (grid[0] * grid[1]) ** levels:
        steps = [g ** (levels + 1) for g in grid]
        finer = tuple(-(-n // s) * s for n, s in zip(asked, steps, strict=True))
        if any(f > WASTE * n for f, n in zip(finer, asked, strict=True)):
            break
        best, levels = finer, levels + 1
    return best[0], best[1], levels


def rows(
    picture: MeanPicture | Still, height: int, width: int, *, window: Window | None = None, engine: str = "auto",
    threads: int | None = None,
) -> Iterator[Means]:  # fmt: skip
    """Draw the mean picture in strips from the top: ``[O, n, W]`` float32 in [0, 1].

    Args:
        height, width: pixels of the whole picture.
        window: (left, top, right, bottom) in these pixels; None for all of it.
        engine: "numba" (CPU, float32, see :attr:`MeanPicture.fast`), "torch" (anything), or "auto".
        threads: of the numba engine; None takes torch's number.

    Raises:
        UsageError: a size below 1, a window outside, or an engine that cannot draw this picture.
    """
    check_size(height, width)
    left, top, right, bottom = window or (0, 0, width, height)
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise UsageError(
            f"window: ({left}, {top}, {right}, {bottom}) is not inside the {width} x {height} picture; "
            "expected 0 <= left < right <= width and 0 <= top < bottom <= height"
        )
    if isinstance(picture, Still):
        if picture.means.shape[1:] != (height, width):
            raise UsageError(f"this model draws {picture.means.shape[2]} x {picture.means.shape[1]} pixels only")
        return iter([picture.means[:, top:bottom, left:right]])
    if engine not in ("auto", "numba", "torch"):
        raise UsageError(f"engine: expected auto, numba or torch, got {engine!r}")
    if engine == "numba" and not picture.fast:
        raise UsageError("engine: numba draws float32 pictures of one whole-picture domain on the CPU; use torch")
    fused = picture.fast and engine != "torch"
    n, m, _ = lattice(picture.code.grid, picture.size, height, width)
    points = MeanMap(picture, n, m, fused=fused)
    threads = (threads or torch.get_num_threads()) if fused else 1
    return _strips(points, (width, height), (left, top, right, bottom), threads)


def _strips(map: MeanMap, size: tuple[int, int], window: Window, threads: int) -> Iterator[Means]:
    """Area means of a window of the map's points, in strips."""
    (width, height), (left, top, right, bottom) = size, window
    c0, c1, across = area_taps(width, map.width, left, right)
    r0, r1 = area_span(height, map.height, top, bottom)
    levels, columns, channels = Levels(), c1 - c0, map.code.channels
    each = max(1, min(STRIP_POINTS // columns, bottom - top))
    with torch.no_grad():
        if not levels.prepare(map, (c0, r0, c1, r1), KEEP_BYTES // (4 * channels)):
            # each row of a strip recomputes a row of the coarser level
            each = max(1, min(each, STRIP_BYTES // (4 * channels * min(columns, map.width // map.code.grid[1]))))
    each = max(1, each * height // map.height)  # points to pixels

    def strip(span: tuple[int, int]) -> Means:
        return np.clip(averaged(span), 0, 1)  # rounding

    def averaged(span: tuple[int, int]) -> Means:
        f0, f1, down = area_taps(height, map.height, *span)
        with torch.no_grad():
            means = levels.at(map, (c0, f0, c1, f1))[0]
            if not map.fused:
                return across.apply(down.apply(means, -2), -1).float().cpu().numpy()
        if across.index.shape[1] == down.index.shape[1] == 1:
            return means.numpy()
        from fractalkit.raster.area_cpu import resample

        out = np.empty((len(means), span[1] - span[0], right - left), np.float32)
        weights = (taps.weight.astype(np.float32) for taps in (down, across))
        resample(means.numpy(), down.index[:, 0], next(weights), across.index[:, 0], next(weights), out)
        return out

    spans = ((y, min(y + each, bottom)) for y in range(top, bottom, each))
    return ahead(strip, spans, min(threads, -(-(bottom - top) // each)))


def draw(picture: MeanPicture | Still, height: int, width: int, **options: Any) -> Means:
    """The whole mean picture, or a window, at once: ``[O, H, W]``; arguments and errors as in :func:`rows`.

    Raises:
        UsageError: more than 2^31 pixels.
    """
    left, top, right, bottom = options.get("window") or (0, 0, width, height)
    if (right - left) * (bottom - top) > MAX_PIXELS:
        raise UsageError(f"size {width} x {height}: is too large for memory; draw windows of it, or rows() of strips")
    return np.concatenate(list(rows(picture, height, width, **options)), axis=1)


def to_bytes(means: Means, *, binarize: bool = False, invert: bool = False) -> NDArray[np.uint8]:
    """8-bit pixels: ``[O, n, W]`` to ``[n, W]``, or ``[n, W, O]`` for several channels."""
    if binarize:
        out = (means >= 0.5).view(np.uint8) * np.uint8(255)
    else:
        out = (means * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    if invert:
        np.subtract(255, out, out=out)
    return out[0] if len(out) == 1 else np.ascontiguousarray(np.moveaxis(out, 0, -1))


# ---- the finest level


class MeanMap(CollageMap):
    """The finest level of a collage of features; its lift also applies the network and returns means ``[1, O, h, w]``.

    Args:
        fused: use one compiled loop for features and network (:mod:`.mean_picture_cpu`) instead of torch.
    """

    def __init__(self, picture: MeanPicture, height: int, width: int, *, fused: bool = False) -> None:
        native = (picture.size, picture.size)
        super().__init__(picture.code, height, width, detail=picture.detail, native=native, cells=picture.cells)
        self.picture, self.fused = picture, fused

    def lift(self, parts: Sequence[Tensor], window: Window | None) -> Tensor:
        """Means in a window, ``[1, O, h, w]``."""
        if not self.fused:
            return self.picture.mean(super().lift(parts, window))
        from fractalkit.models.mean_picture_cpu import fill_means

        left, top, right, bottom = window = window or self.whole()
        ((s0, _),) = self._reads(WHOLE, window)[0]
        source = self.copies(parts, window)[0][0].contiguous().numpy()  # [C, rows, U]
        net, line = self._tables.network, self._line(left, right)
        numbers, weight, reads = self._row_numbers(top, bottom)
        out = np.empty((len(net.b2), bottom - top, right - left), np.float32)
        fill_means(
            numbers, weight, reads - s0, source, line.t, line.cosines, line.segments, net.w1, net.b1, net.w2, net.b2,
            out,
        )  # fmt: skip
        return torch.from_numpy(out)[None]

    @cached_property
    def _tables(self) -> _Tables:
        return _Tables.of(self.picture)

    def _line(self, left: int, right: int) -> _Line:
        """The kernel's tables for columns left … right - 1, computed once for all strips."""
        held = self.__dict__.setdefault("_lines", {})
        if (left, right) not in held:
            ((s0, s1),) = self._reads(WHOLE, (left, 0, right, 1))[1]
            held[left, right] = _Line.of(self.width // self.code.grid[1], (left, right), (s0, s1), self._tables)
        return held[left, right]

    def _row_numbers(self, top: int, bottom: int) -> tuple[Means, Means, NDArray[np.int64]]:
        """For rows top … bottom - 1: numbers along x ``[R, C, Gw, K]``, contrasts ``[R, C, Gw]``, rows read ``[R]``."""
        gh, gw = self.code.grid
        m, tables = self.height // gh, self._tables
        p, q = 2 * np.arange(top, bottom) + 1, 2 * self.height
        _, t = fold(gh, p, q, True)
        place = spline(gh, p, q).astype(np.float32)  # [R, Gh]
        a, cp, ky, kx = tables.patches.shape
        c = self.code.channels
        weight = np.einsum("rg,cgw->rcw", place, tables.contrast)
        bright = np.einsum("rg,cgw->rcw", place, tables.brightness)
        numbers = np.zeros((len(p), c, gw, kx), np.float32)
        if a:
            mixing = np.tensordot(place, tables.mixing, (1, 1))  # [R, C, Gw, A]
            shown = np.einsum("rk,apkl->rpal", cosines(ky, t, q).astype(np.float32), tables.patches)
            if cp == 1:  # one product for all channels
                numbers += (mixing.reshape(len(p), c * gw, a) @ shown[:, 0]).reshape(numbers.shape)
            else:
                numbers += mixing @ shown
        numbers[..., 0] += bright
        place_in = np.arange(top, bottom) % m
        odd = (np.arange(top, bottom) // m) % 2 == 1
        return numbers, weight, np.where(odd, m - 1 - place_in, place_in)


@dataclass(frozen=True, eq=False)
class _Tables:
    """A picture's parameters in the layout of the kernel: one set per channel, cosines padded to a multiple of four."""

    contrast: Means
    brightness: Means
    mixing: Means
    patches: Means
    network: Any

    @staticmethod
    def of(picture: MeanPicture) -> _Tables:
        from fractalkit.models.mean_picture_cpu import Network

        code = picture.code
        assert picture.layers is not None
        contrast, mixing = (
            t[0].expand(code.channels, *t.shape[2:]).numpy() for t in (code.contrast[..., 0], code.mixing)
        )
        patches = torch.nn.functional.pad(code.patches, (0, -code.patches.shape[3] % 4)).numpy()
        network = Network.of(*(t.float().numpy() for t in picture.layers))
        return _Tables(contrast, code.brightness[0].numpy(), mixing, patches, network)


@dataclass(frozen=True, eq=False)
class _Line:
    """The kernel's tables for columns of the finest level."""

    t: NDArray[np.float32]
    cosines: NDArray[np.float32]
    segments: NDArray[np.int64]

    @staticmethod
    def of(m: int, columns: tuple[int, int], source: tuple[int, int], tables: _Tables) -> _Line:
        """Columns left … right - 1 of ranges of m points, which read ``source`` of them."""
        (left, right), (s0, s1) = columns, source
        u = np.arange(s0, s1)
        t = ((u + 0.5) / m - 0.5).astype(np.float32)
        shown = cosines(tables.patches.shape[3], 2 * u + 1, 2 * m).T.astype(np.float32)
        segments = []
        for j in range(left // m, (right - 1) // m + 1):
            a, b = max(left, j * m) - j * m, min(right, (j + 1) * m) - j * m  # places in the range
            if j % 2:  # u = m - 1 - place
                segments.append((j, m - b - s0, b - a, j * m + b - 1 - left, -1))
            else:
                segments.append((j, a - s0, b - a, j * m + a - left, 1))
        return _Line(t, np.ascontiguousarray(shown), np.array(segments, np.int64))
