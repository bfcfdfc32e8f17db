"""Mean pictures of collages of features, drawn in strips: any size, any window, in bounded memory.

A picture is a collage of C channels, the same small network at each point, and how many points a pixel of the size
that it was learned at is the mean of. Any size is drawn at the next lattice of points at or above it that divides well
by the grid of ranges, with at least as many points as a learned picture has, and area-averaged to exactly what was
asked. From level to level, coarse first, a window of the picture needs a window of the coarser one: strips are
independent of each other, so they are drawn by several threads, and memory does not grow with the picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fractalkit.codes.collage import WHOLE, CollageCode
from fractalkit.errors import UsageError
from fractalkit.maps.collage import decode, strips
from fractalkit.maps.dense import spline
from fractalkit.maps.fields import cosines, fold

MAX_SIDE = 1 << 40
BASE = 80  # points a side of the coarsest level, about: solved outright, so it should be small
WASTE = 1.04  # points a side beyond those asked for that a better lattice may cost
KEEP_BYTES = 16 << 20  # coarser levels up to this size are made once
STRIP_BYTES = 1 << 20  # of the coarser level that a strip reads, where it is made anew
STRIP_POINTS = 1 << 17

Window = tuple[int, int, int, int]  # top, left, bottom, right, half open
Means = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Picture:
    """One mean picture.

    Attributes:
        code: its collage of features, a batch of one.
        mean: features ``[1, C, H, W]`` to mean values ``[1, O, H, W]`` in [0, 1], point by point.
        size: points a side from which on one of them is enough for a pixel.
        layers: weights ``[H, C]``, ``[H]``, ``[O, H]``, ``[O]`` where ``mean`` is sigmoid(linear(silu(linear))).
    """

    code: CollageCode
    mean: Callable[[Tensor], Tensor]
    size: int
    layers: tuple[Tensor, ...] | None = None

    @staticmethod
    def of(model: Any, h: Tensor) -> Picture:
        """Of a model with a collage head, and features ``[1, width, G, G]`` that it sampled or inferred."""
        head = model.head

        def mean(f: Tensor) -> Tensor:
            return model.likelihood.mean(head.pixels(f))

        bernoulli = model.likelihood.name == "bernoulli"
        with torch.no_grad():
            code = head.code(h)
            layers = tuple(t.detach() for t in (head.pixel1, head.bias1, head.pixel2, head.bias2))
        tensors = {k: getattr(code, k).detach() for k in ("contrast", "brightness", "mixing", "patches")}
        code = replace(code, **tensors)
        return Picture(code, mean, model.config.size * model.cells, layers if bernoulli else None)

    @property
    def fast(self) -> bool:
        """Whether the compiled kernel knows this kind of picture."""
        one_domain = self.code.continuous and self.code.domains == (WHOLE,)
        like = self.code.brightness
        return one_domain and self.layers is not None and like.dtype == torch.float32 and like.device.type == "cpu"


@dataclass(frozen=True, eq=False)
class Still:
    """A mean picture of one size, ``[O, H, W]``, of a model that knows no other."""

    means: Means


def lattice(grid: tuple[int, int], least: int, height: int, width: int) -> tuple[int, int, int]:
    """Points down and across that a height x width picture is drawn at, and how often the grid divides them.

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
    picture: Picture | Still,
    height: int,
    width: int,
    *,
    window: Window | None = None,
    engine: str = "auto",
    threads: int | None = None,
) -> Iterator[Means]:
    """The mean picture in strips from the top: ``[O, n, W]`` float32 in [0, 1].

    Args:
        height, width: pixels of the whole picture.
        window: (top, left, bottom, right) in these pixels, at full detail; None for all of it.
        engine: "numba" (CPU, float32, see :attr:`Picture.fast`), "torch" (anything), or "auto".
        threads: of the numba engine; None takes torch's number.

    Raises:
        UsageError: a size below 1, a window outside, or an engine that cannot draw this picture.
    """
    _check_size(height, width)
    top, left, bottom, right = window or (0, 0, height, width)
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise UsageError(
            f"window: ({left}, {top}, {right}, {bottom}) is not inside the {width} x {height} picture; "
            "expected 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height"
        )
    if isinstance(picture, Still):
        if picture.means.shape[1:] != (height, width):
            raise UsageError(f"this model draws {picture.means.shape[2]} x {picture.means.shape[1]} pixels only")
        return iter([picture.means[:, top:bottom, left:right]])
    if engine not in ("auto", "numba", "torch"):
        raise UsageError(f"engine: expected auto, numba or torch, got {engine!r}")
    if engine == "numba" and not picture.fast:
        raise UsageError("engine: numba draws float32 pictures of one whole-picture domain on the CPU; use torch")
    n, m, levels = lattice(picture.code.grid, picture.size, height, width)
    if engine == "torch" or not picture.fast:
        return _plain(picture, (height, width), (n, m), (top, left, bottom, right))
    return _Fused(picture, (n, m), levels).draw(
        (height, width), (top, left, bottom, right), threads or torch.get_num_threads()
    )


def draw(picture: Picture | Still, height: int, width: int, **options: Any) -> Means:
    """The whole mean picture, or a window, at once: ``[O, H, W]``; arguments as in :func:`rows`."""
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


def _check_size(height: int, width: int) -> None:
    for name, n in (("height", height), ("width", width)):
        if not 1 <= n <= MAX_SIDE:
            raise UsageError(f"{name}: expected 1 to {MAX_SIDE} pixels, got {n}")


# ---- area averages


def area_taps(n: int, points: int, start: int, stop: int) -> tuple[int, int, NDArray[np.int64], NDArray[np.float32]]:
    """Pixels start … stop - 1 of n as means of points: first and end of the points they need, taps and weights.

    Returns:
        (first, end, index ``[P]`` of each pixel's first point from ``first`` on, weight ``[P, taps]``).

    >>> area_taps(2, 4, 1, 2)
    (2, 4, array([0]), array([[0.5, 0.5]], dtype=float32))
    """
    first, end = start * points // n, -(-stop * points // n)
    # pixel k covers k points / n … (k + 1) points / n; in units of 1 / n, from the first point on
    rest = start * points - first * n
    low = rest + np.arange(stop - start, dtype=np.int64) * points
    high = low + points
    index = low // n
    reach = int((-(-high // n) - index).max())
    at = (index[:, None] + np.arange(reach)) * n
    overlap = np.minimum(at + n, high[:, None]) - np.maximum(at, low[:, None])
    return first, end, index, (np.maximum(overlap, 0) / points).astype(np.float32)


def _plain(picture: Picture, size: tuple[int, int], points: tuple[int, int], window: Window) -> Iterator[Means]:
    """The twin: strips of the fixed point, the network, averages, each in torch."""
    (height, width), (n, m), (top, left, bottom, right) = size, points, window
    code = picture.code
    c0, c1, x_index, x_weight = area_taps(width, m, left, right)
    r0, r1, *_ = area_taps(height, n, top, bottom)
    whole = (r0, c0, r1, c1) == (0, 0, n, m)
    each = max(1, STRIP_POINTS // (c1 - c0))

    def strip(y0: int, y1: int) -> Tensor:
        return picture.mean(decode(code, n, m, window=(y0, c0, y1, c1)))[0]

    def lines() -> Iterator[tuple[int, Tensor]]:
        if whole:
            for y, f in strips(code, n, m, rows=each):
                yield y, picture.mean(f)[0]
            return
        for y in range(r0, r1, each):
            yield y, strip(y, min(y + each, r1))

    held: Tensor | None = None  # points not yet averaged, from row ``at`` on
    at = r0
    y = top
    with torch.no_grad():
        for start, means in lines():
            held = means if held is None else torch.cat([held, means], dim=1)
            end = start + means.shape[1]
            # pixels that are complete
            stop = min(bottom, end * height // n)
            if stop <= y:
                continue
            f0, f1, index, weight = area_taps(height, n, y, stop)
            part = held[:, f0 - at : f1 - at].cpu().numpy()
            yield _average(part, index, weight, x_index, x_weight)
            y = stop
            keep = y * n // height
            held, at = held[:, keep - at :], keep


def _average(values: NDArray[Any], yi: Any, yw: Any, xi: Any, xw: Any) -> Means:
    """Area means in NumPy: ``[O, R, X]`` -> ``[O, rows, columns]``."""
    taps = np.minimum(yi[:, None] + np.arange(yw.shape[1]), values.shape[1] - 1)
    lines = (values[:, taps] * yw[:, :, None]).sum(2)
    taps = np.minimum(xi[:, None] + np.arange(xw.shape[1]), values.shape[2] - 1)
    return (lines[:, :, taps] * xw).sum(3).astype(np.float32)


# ---- the fused engine


@dataclass(frozen=True, eq=False)
class _Line:
    """Columns of a level: what the kernel needs of x. ``source`` are the columns read of the coarser level."""

    source: tuple[int, int]
    t: NDArray[np.float32]
    cosines: NDArray[np.float32]
    segments: NDArray[np.int64]


@dataclass(eq=False)
class _Fused:
    picture: Picture
    points: tuple[int, int]
    levels: int
    kept: dict[int, tuple[Window, Means]] = field(default_factory=dict)
    lines: dict[tuple[int, int, int], _Line] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from fractalkit.render.collage_cpu import Network

        code = self.picture.code
        assert self.picture.layers is not None
        self.network = Network.of(*(t.float().numpy() for t in self.picture.layers))
        self.contrast, self.brightness, self.mixing, self.patches = (
            t[0].numpy() for t in (code.contrast[..., 0], code.brightness, code.mixing, code.patches[None])
        )
        self.channels = code.channels
        if self.contrast.shape[0] == 1:
            self.contrast = np.repeat(self.contrast, self.channels, axis=0)
        if self.mixing.shape[0] == 1:
            self.mixing = np.repeat(self.mixing, self.channels, axis=0)
        # cosines padded to a multiple of four
        a, cp, ky, kx = self.patches.shape
        padded = np.zeros((a, cp, ky, -(-kx // 4) * 4), np.float32)
        padded[..., :kx] = self.patches
        self.patches = padded

    def size(self, level: int) -> tuple[int, int]:
        """Points down and across at a level, 0 the coarsest."""
        gh, gw = self.picture.code.grid
        down = self.levels - level
        return self.points[0] // gh**down, self.points[1] // gw**down

    def draw(self, size: tuple[int, int], window: Window, threads: int) -> Iterator[Means]:
        """Strips, drawn a few ahead by several threads."""
        (height, width), (top, left, bottom, right) = size, window
        n, m = self.points
        c0, c1, x_index, x_weight = area_taps(width, m, left, right)
        r0, r1, *_ = area_taps(height, n, top, bottom)
        self._prepare((r0, c0, r1, c1))
        columns = c1 - c0
        each = max(1, min(STRIP_POINTS // columns, bottom - top))
        below = self.levels - 1
        if below not in self.kept:
            # each row of a strip reads a row of the coarser level, made anew
            row = (min(columns, self.size(below)[1])) * self.channels * 4
            each = max(1, min(each, STRIP_BYTES // row))
        each = max(1, each * height // n)  # points to pixels
        same = x_weight.shape[1] == 1 and height == n

        def strip(y0: int, y1: int) -> Means:
            f0, f1, y_index, y_weight = area_taps(height, n, y0, y1)
            means = self._means((f0, c0, f1, c1))
            if same:
                return means
            from fractalkit.render.collage_cpu import resample

            out = np.empty((len(means), y1 - y0, right - left), np.float32)
            resample(means, y_index, y_weight, x_index, x_weight, out)
            return out

        spans = ((y, min(y + each, bottom)) for y in range(top, bottom, each))
        if threads <= 1 or bottom - top <= each:
            for span in spans:
                yield strip(*span)
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="rows") as pool:
            ahead: deque[Future[Means]] = deque()
            try:
                for span in spans:
                    ahead.append(pool.submit(strip, *span))
                    if len(ahead) > threads + 1:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def _prepare(self, window: Window) -> None:
        """Make the coarse levels that are small, or of which a small part is needed."""
        parts = [window]
        for level in range(self.levels, 0, -1):
            parts.append(self._below(level, parts[-1]))
        parts.reverse()
        h, w = self.size(0)
        top, left, bottom, right = parts[0]
        whole = parts[0] == (0, 0, h, w)
        base = decode(self.picture.code, h, w, window=None if whole else parts[0])
        self.kept[0] = parts[0], base[0].numpy()
        for level in range(1, self.levels):
            top, left, bottom, right = parts[level]
            if (bottom - top) * (right - left) * self.channels * 4 > KEEP_BYTES:
                break
            self.kept[level] = parts[level], self._features(level, parts[level])

    def _below(self, level: int, part: Window) -> Window:
        """The window of the coarser level that a window reads."""
        h, w = self.size(level - 1)
        (top, bottom), (left, right) = _folded(h, part[0], part[2]), _folded(w, part[1], part[3])
        return top, left, bottom, right

    def _source(self, level: int, part: Window) -> tuple[Window, Means]:
        """The window of the level below that ``part`` of ``level`` reads, or more."""
        if level - 1 in self.kept:
            return self.kept[level - 1]
        below = self._below(level, part)
        return below, self._features(level - 1, below)

    def _arguments(self, level: int, part: Window) -> tuple[Any, ...]:
        where, source = self._source(level, part)
        line = self._line(level, part[1], part[3], where[1], where[3])
        q, w, reads = self._row_numbers(level, part[0], part[2])
        return q, w, reads - where[0], source, line.t, line.cosines, line.segments

    def _features(self, level: int, part: Window) -> Means:
        from fractalkit.render.collage_cpu import fill_features

        out = np.empty((self.channels, part[2] - part[0], part[3] - part[1]), np.float32)
        fill_features(*self._arguments(level, part), out)  # type: ignore[call-arg]
        return out

    def _means(self, part: Window) -> Means:
        from fractalkit.render.collage_cpu import fill_means

        net = self.network
        out = np.empty((len(net.b2), part[2] - part[0], part[3] - part[1]), np.float32)
        fill_means(*self._arguments(self.levels, part), net.w1, net.b1, net.w2, net.b2, out)  # type: ignore[call-arg]
        return out

    def _line(self, level: int, left: int, right: int, s0: int, s1: int) -> _Line:
        key = (level, left, right)
        if key in self.lines and self.lines[key].source == (s0, s1):
            return self.lines[key]
        width, m = self.size(level)[1], self.size(level - 1)[1]
        u = np.arange(s0, s1)
        t = ((u + 0.5) / m - 0.5).astype(np.float32)
        shown = cosines(self.patches.shape[3], 2 * u + 1, 2 * m).T.astype(np.float32)
        segments = []
        for j in range(left // m, (right - 1) // m + 1):
            a, b = max(left, j * m) - j * m, min(right, (j + 1) * m) - j * m  # places in the range
            if j % 2:  # u = m - 1 - place
                segments.append((j, m - b - s0, b - a, j * m + b - 1 - left, -1))
            else:
                segments.append((j, a - s0, b - a, j * m + a - left, 1))
        assert right <= width
        made = _Line((s0, s1), t, np.ascontiguousarray(shown), np.array(segments, np.int64))
        self.lines[key] = made
        return made

    def _row_numbers(self, level: int, top: int, bottom: int) -> tuple[Means, Means, NDArray[np.int64]]:
        """For rows top … bottom - 1: numbers along x ``[R, C, Gw, K]``, contrasts ``[R, C, Gw]``, rows read ``[R]``."""
        height, m = self.size(level)[0], self.size(level - 1)[0]
        gh, gw = self.picture.code.grid
        p, q = 2 * np.arange(top, bottom) + 1, 2 * height
        _, t = fold(gh, p, q, True)
        place = spline(gh, p, q).astype(np.float32)  # [R, Gh]
        a, cp, ky, kx = self.patches.shape
        c = self.channels
        weight = np.einsum("rg,cgw->rcw", place, self.contrast)
        bright = np.einsum("rg,cgw->rcw", place, self.brightness)
        numbers = np.zeros((len(p), c, gw, kx), np.float32)
        if a:
            mixing = np.tensordot(place, self.mixing, (1, 1))  # [R, C, Gw, A]
            shown = np.einsum("rk,apkl->rpal", cosines(ky, t, q).astype(np.float32), self.patches)
            if cp == 1:  # one product for all channels
                numbers += (mixing.reshape(len(p), c * gw, a) @ shown[:, 0]).reshape(numbers.shape)
            else:
                numbers += mixing @ shown
        numbers[..., 0] += bright
        place_in = np.arange(top, bottom) % m
        odd = (np.arange(top, bottom) // m) % 2 == 1
        return numbers, weight, np.where(odd, m - 1 - place_in, place_in)


def _folded(m: int, start: int, stop: int) -> tuple[int, int]:
    """The places within ranges of m points, odd ones mirrored, of points start … stop - 1: an interval again.

    >>> _folded(10, 8, 15), _folded(10, 12, 14), _folded(10, 3, 40)
    ((5, 10), (6, 8), (0, 10))
    """
    if stop - start >= 2 * m:
        return 0, m
    low, high = m, 0
    for j in range(start // m, (stop - 1) // m + 1):
        a, b = max(start, j * m) - j * m, min(stop, (j + 1) * m) - j * m
        if j % 2:
            a, b = m - b, m - a
        low, high = min(low, a), max(high, b)
    return low, high
