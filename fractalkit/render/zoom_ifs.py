"""Windows of the invariant measure of an affine code at any depth, in constant time: only visible pieces are drawn.

The measure is the sum of p_w times its image under f_w over any complete set of words w. Words are extended until their
pieces are small compared with the window, and dropped if their pieces miss it. Orbit points of the whole attractor are
then mapped by the remaining words, so that all of them are in or near the window, however small it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.bounds import bounding_ball
from fractalkit.errors import UsageError
from fractalkit.orbit import sample
from fractalkit.render.attractor import CELL_POINTS, plane_window
from fractalkit.render.flame_tone import Tone, develop, settings_of_pixels
from fractalkit.render.palette import Palette
from fractalkit.render.tonemap import tone_map

# mypy: disable-error-code="no-untyped-def"

_POINTS = 1 << 18  # of the whole measure, which each piece is a copy of
_WORDS = 6000  # largest number of words in a window
_FINE = 0.2  # size of the pieces as a share of the window
_DEPTH = 4000
_LOOK: dict[str, Any] = {"brightness": 6.0, "gamma": 2.6, "highlight_power": 1.0}  # of the tone map


@dataclass(frozen=True)
class Words:
    """Words of letters, of which each stands for a piece of the measure.

    Attributes:
        maps: ``[N, 2, 3]``, relative to the window's middle, x - middle = A y + t, which keeps their precision at any
            depth.
        mass: ``[N]``.
        tint: colours ``[N, 3]`` of the letters, blended, and ``rest [N]`` the weight of the colours below them.
        field: colours as affine functions of y ``[N, 3, 3]``, or None.
    """

    maps: np.ndarray
    mass: np.ndarray
    tint: np.ndarray
    rest: np.ndarray
    field: np.ndarray | None


class IFSWindows:
    """Windows of the measure of a planar code, each with an exposure of its own.

    Args:
        ifs: a contractive code of the plane. Its ``colour_field`` counts unless a palette is given.
        palette: ``[256, 3]`` sRGB along the order of maps; None takes the code's colours, or a green.
        quality: samples a pixel.
        seed: fixes the points.
        device: "gpu" copies the points to the pieces on the GPU, but for those of a ``colour_field``.

    Raises:
        UsageError: a code in space.
        DataError: a map does not contract.
    """

    aspect = 1.0  # height over width of the whole

    def __init__(
        self, ifs: AffineIFS, *, palette: npt.NDArray[np.float64] | None = None, quality: float = 20.0, seed: int = 0,
        oversample: int = 1, device: str = "cpu",
    ) -> None:  # fmt: skip
        if ifs.dim != 2:
            raise UsageError("zoom: expected a code of the plane; one in space has no window")
        ifs = ifs.to(device="cpu", dtype=torch.float64).check_contractive()
        self.quality, self.oversample = quality, oversample
        low, high = plane_window(ifs, (1000, 1000))
        self.corner, self.side = low.numpy(), float(high[0] - low[0])
        centre, radius = bounding_ball(ifs)
        self.centre, self.radius = centre.double().numpy(), float(radius)
        self.a, self.t = ifs.matrices.detach().numpy(), ifs.offsets.detach().numpy()
        self.p = ifs.probabilities.detach().numpy()
        k = len(ifs)
        if palette is not None:
            tints = palette[np.linspace(0, 255, k).astype(int)] if k > 1 else palette[[128]]
        elif ifs.colours is not None:
            tints = ifs.colours.detach().numpy()
        else:
            ramp = np.linspace(0.35, 1, k)[:, None]
            tints = np.array([[0.55, 0.85, 0.45]]) * ramp + (1 - ramp) * np.array([[0.1, 0.3, 0.35]])
        self.tints, self.speed = np.ascontiguousarray(tints, dtype=np.float64), ifs.colour_speed
        orbit = sample(ifs, _POINTS, seed=seed, dtype=torch.float64, depth=24)
        assert orbit.addresses is not None
        self.points = orbit.points.numpy()
        self.blend = AffineIFS(
            ifs.matrices, ifs.offsets, ifs.probabilities, torch.from_numpy(self.tints.clip(0, 1)), self.speed
        ).colour_of(orbit.addresses).numpy()  # fmt: skip

        self.field, self.letters = None, 0  # of a word, at least, so that it tells its function of the colours
        if palette is None and ifs.colour_field is not None:
            self.field = ifs.colour_field.detach().numpy()
            self.letters = 1 if len(self.field) == k else 2
        self.device = device
        self.copies = None
        if device == "gpu" and self.field is None:
            from fractalkit.orbit.wgsl.copies import Copies

            self.copies = Copies(self.points, self.blend)

    def focus(self) -> tuple[float, float]:
        """A point around which the attractor is self-similar: the fixed point of two maps in turn.

        Of all pairs, the one with a large weight and a weak contraction is chosen, so that the zoom passes much detail.
        """
        best, at = -1.0, self.centre
        for i in range(len(self.p)):
            for j in range(len(self.p)):
                if i == j and len(self.p) > 1:
                    continue
                a = self.a[i] @ self.a[j]
                worth = float(self.p[i] * self.p[j]) * abs(float(np.linalg.det(a))) ** 0.25
                if worth > best:
                    best, at = worth, np.linalg.solve(np.eye(2) - a, self.a[i] @ self.t[j] + self.t[i])
        x, y = (at - self.corner) / self.side
        return float(x), float(1 - y)

    def for_browser(self) -> dict[str, Any] | None:
        """What ``fractalkit/web/deep.js`` needs to draw windows, as JSON can hold it; None for a ``colour_field``.

        ``maps``: six numbers each, of x' = m[0] x + m[1] y + m[4], y' = m[2] x + m[3] y + m[5]; ``chances``, ``tints``
        and ``speed`` of their colours; ``corner`` and ``side`` of the whole; ``centre`` and ``radius`` of a ball that
        every map takes into itself; ``tone``, and ``flush``, a shader.
        """
        if self.field is not None:
            return None
        from fractalkit.orbit.wgsl.flame_text import FLUSH

        maps = np.concatenate([self.a.reshape(-1, 4), self.t], axis=1)
        look = Tone(size=(1, 1), pixels_per_unit=1.0, estimator_radius=0.0, **_LOOK)
        return {
            "maps": maps.tolist(), "chances": self.p.tolist(), "tints": self.tints.tolist(), "speed": float(self.speed),
            "corner": self.corner.tolist(), "side": self.side, "centre": self.centre.tolist(), "radius": self.radius,
            "tone": settings_of_pixels(look), "flush": FLUSH,
        }  # fmt: skip

    def words(self, x0: float, y0: float, x1: float, y1: float) -> Words:
        """The words whose pieces are in a window."""
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        half = np.array([x1 - x0, y1 - y0]) / 2
        fine = _FINE * float(half.max()) * 2
        # map, mass and colour of a word, the weight of the colours below it, and its first letters
        todo: list[tuple[Any, ...]] = [(np.eye(2), np.zeros(2) - middle, 1.0, np.zeros(3), 1.0, ())]
        done = []
        s = self.speed
        for length in range(_DEPTH):
            grown = []
            for word in todo:
                a, t = word[:2]
                reach = float(np.linalg.norm(a, 2)) * self.radius
                at = a @ self.centre + t
                if (np.abs(at) > half + reach).any():
                    continue
                if reach <= fine and length >= self.letters:
                    done.append(word)
                else:
                    grown.append(word)
            if not grown:
                break
            if len(done) + len(grown) * len(self.p) > _WORDS and length >= self.letters:
                done += grown
                break
            todo = [
                (
                    a @ self.a[k], a @ self.t[k] + t, p * self.p[k], c + rest * s * self.tints[k], rest * (1 - s),
                    (*first, k)[: self.letters],
                )
                for a, t, p, c, rest, first in grown
                for k in range(len(self.p))
                if self.p[k] > 0
            ]  # fmt: skip
        if not done:
            return Words(np.zeros((0, 2, 3)), np.zeros(0), np.zeros((0, 3)), np.zeros(0), None)
        maps = np.stack([np.concatenate([w[0], w[1][:, None]], axis=1) for w in done])
        mass, tint, rest = (np.array([w[i] for w in done]) for i in (2, 3, 4))
        if self.field is None:
            return Words(maps, mass, tint, rest, None)
        piece = np.ravel_multi_index(np.array([w[5] for w in done]).T, (len(self.p),) * self.letters)
        f = self.field[piece]
        slopes = f[:, :, :2] @ maps  # of x - middle by y, with a constant
        slopes[:, :, 2] += f[:, :, :2] @ middle + f[:, :, 2]
        return Words(maps, mass, tint, rest, slopes)

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> npt.NDArray[np.uint8]:
        """The picture of x0 … x1, y0 … y1 (shares of the whole's width, y down), uint8 ``[height, width, 3]``.

        Raises:
            UsageError: an empty window, or one so small that float64 cannot tell its edges apart.
        """
        if not (x1 > x0 and y1 > y0 and x1 - x0 > 1e-13 * max(1.0, abs(x0), abs(y0))):
            raise UsageError(f"window: {x0:g},{y0:g},{x1:g},{y1:g} is empty, or deeper than float64 can tell (1e-13)")
        left, right = self.corner[0] + self.side * x0, self.corner[0] + self.side * x1
        top, bottom = self.corner[1] + self.side * (1 - y0), self.corner[1] + self.side * (1 - y1)
        s = self.oversample
        h, w = height, width
        n = int(self.quality * h * w)
        look = Tone(
            size=(w, h), pixels_per_unit=float(np.sqrt(h * w)), quality=self.quality, oversample=s,
            estimator_radius=0.0, **_LOOK,
        )  # fmt: skip
        hist = np.zeros((*look.cells, 4), np.float32)
        self.collect((left, bottom, right, top), n, hist, gutter=look.gutter)
        return (develop(hist, look) * 255 + 0.5).astype(np.uint8)

    def collect(
        self, box: tuple[float, float, float, float], n: int, hist: npt.NDArray[np.float32], *, gutter: int = 0
    ) -> None:
        """Add about n points of the window ``box`` (left, bottom, right, top, in the attractor's units) to ``hist``.

        Args:
            hist: ``[H, W, 4]``, sums of the colours and the number of points in each cell, row 0 at the top; ``gutter``
                cells around the window belong to it.
        """
        left, bottom, right, top = box
        words = self.words(left, bottom, right, top)
        mass = words.mass
        if len(mass):
            # distribute the samples over the words; rounding the cumulative sum keeps the total
            share = np.cumsum(mass / mass.sum()) * n
            counts = np.diff(np.floor(np.concatenate([[0.0], share]) + 0.5)).astype(np.int64)
            rows, columns = hist.shape[0] - 2 * gutter, hist.shape[1] - 2 * gutter
            scale = columns / (right - left)
            if self.copies is not None:
                down = np.array([[1.0], [-1.0]]) * scale
                shift = np.array([columns / 2 + gutter, rows / 2 + gutter])
                maps = words.maps
                cells = np.concatenate([maps[..., :2] * down, (maps[..., 2:] * down) + shift[:, None]], axis=2)
                self.copies.add(cells, counts, np.c_[words.tint, words.rest], hist)
            elif words.field is None:
                _scatter(
                    words.maps, counts, words.tint, words.rest, self.points, self.blend, scale, rows, columns, gutter,
                    hist,
                )  # fmt: skip
            else:
                _scatter_field(words.maps, counts, words.field, self.points, scale, rows, columns, gutter, hist)


def draw_window(
    ifs: AffineIFS, size: tuple[int, int], window: tuple[int, int, int, int], *, palette: str | Palette | None = None,
    seed: int = 0, supersample: int = 2, device: str = "cpu",
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """A part of the picture of a planar code that :func:`fractalkit.render.draw_ifs` draws, with points of its own.

    Args:
        size: (width, height) of the whole picture.
        window: (left, top, right, bottom) in its pixels.
        palette, seed, supersample: as of ``draw_ifs``.
        device: as of :class:`IFSWindows`.

    Returns:
        uint8 ``[bottom - top, right - left, 3]``.

    Raises:
        UsageError: a window too small for float64.
        DataError: a map does not contract.
    """
    left, top, right, bottom = window
    low, high = plane_window(ifs, size)
    unit = float(high[0] - low[0]) / size[0]
    if not unit > 1e-15 * float(high.abs().max()):
        raise UsageError(f"window: pixels of a picture of {size[0]:,} x {size[1]:,} are too small for float64")
    x, y = float(low[0]), float(high[1])
    rows, columns = (bottom - top) * supersample, (right - left) * supersample
    hist = np.zeros((rows, columns, 4), np.float32)
    views = IFSWindows(ifs, seed=seed, device=device)
    box = (x + left * unit, y - bottom * unit, x + right * unit, y - top * unit)
    views.collect(box, CELL_POINTS * rows * columns, hist)
    rgb = hist[..., :3] if palette is None and ifs.coloured else None
    return tone_map(hist[..., 3], rgb, colours=palette, supersample=supersample)


@nb.njit(inline="always")
def _to_pixels(m, scale, rows, columns, gutter):
    """A word's map followed by that to columns and rows: a, b, c, d and its offsets e, f."""
    e, f = m[0, 2] * scale + columns / 2 + gutter, rows / 2 + gutter - m[1, 2] * scale
    return m[0, 0] * scale, m[0, 1] * scale, -m[1, 0] * scale, -m[1, 1] * scale, e, f


@nb.njit(cache=True, nogil=True)
def _scatter(maps, counts, tint, rest, points, blend, scale, rows, columns, gutter, hist):
    """Add points mapped by each word to ``hist``; y points up in the plane and down in the picture."""
    start = np.int64(0)
    total = len(points)
    h, w = hist.shape[0], hist.shape[1]
    for k in range(len(counts)):
        a, b, c, d, e, f = _to_pixels(maps[k], scale, rows, columns, gutter)
        for i in range(start, start + counts[k]):
            j = i % total
            x, y = points[j, 0], points[j, 1]
            px, py = a * x + b * y + e, c * x + d * y + f
            if px >= 0 and py >= 0 and px < w and py < h:
                q, r = int(py), int(px)
                hist[q, r, 0] += tint[k, 0] + rest[k] * blend[j, 0]
                hist[q, r, 1] += tint[k, 1] + rest[k] * blend[j, 1]
                hist[q, r, 2] += tint[k, 2] + rest[k] * blend[j, 2]
                hist[q, r, 3] += 1
        start += counts[k]


@nb.njit(cache=True, nogil=True)
def _scatter_field(maps, counts, field, points, scale, rows, columns, gutter, hist):
    """The same with colours as affine functions ``[N, 3, 3]`` of the points, cut to [0, 1]."""
    start = np.int64(0)
    total = len(points)
    h, w = hist.shape[0], hist.shape[1]
    for k in range(len(counts)):
        a, b, c, d, e, f = _to_pixels(maps[k], scale, rows, columns, gutter)
        for i in range(start, start + counts[k]):
            j = i % total
            x, y = points[j, 0], points[j, 1]
            px, py = a * x + b * y + e, c * x + d * y + f
            if px >= 0 and py >= 0 and px < w and py < h:
                q, r = int(py), int(px)
                for n in range(3):
                    v = field[k, n, 0] * x + field[k, n, 1] * y + field[k, n, 2]
                    hist[q, r, n] += min(max(v, 0.0), 1.0)
                hist[q, r, 3] += 1
        start += counts[k]
