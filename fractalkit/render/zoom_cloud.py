"""Windows of a collage of clouds, at any depth, in constant time: only the words whose pieces are seen are drawn.

A word r_1 … r_k stands for the piece f_1 … f_(k-1)(X_k) of the cloud, which lies in the image of a known ball. Words
are grown by the ranges of their domains until their balls are small beside the window, and dropped where these miss it.
In space the camera moves towards the piece that is in front in the middle of the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.errors import UsageError
from fractalkit.orbit.address import Addresses
from fractalkit.orbit.by_address import draw
from fractalkit.render.camera import Camera
from fractalkit.render.flame_tone import Tone, develop
from fractalkit.render.palette import encode
from fractalkit.render.splat import backdrop, default_tint, draw_cloud

# mypy: disable-error-code="no-untyped-def, untyped-decorator"

Array = npt.NDArray[np.float64]

_WHOLE = 200_000  # points of the whole that frame it
_WORDS, _CHILDREN = 20_000, 2_000_000  # at most, of one window and of one step
_FRONT = 1500  # of one step in space: the nearest
_FINE = 0.15  # pieces of this share of the window are small enough
_DEPTH = 4000
_AROUND = 1.6  # the part of space that is kept, in windows
_BEHIND = 6.0


@dataclass(frozen=True)
class CloudWords:
    """Pieces x = A y + t - origin of sets y in X_last; their shares of the whole mass and maps of colour."""

    a: Array  # [W, D, D]
    t: Array  # [W, D]
    last: npt.NDArray[np.int64]
    mass: Array
    tint: Array  # [W, 3, 4]

    def __getitem__(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> CloudWords:
        return CloudWords(self.a[rows], self.t[rows], self.last[rows], self.mass[rows], self.tint[rows])

    def __len__(self) -> int:
        return len(self.last)


@nb.njit(cache=True, nogil=True)
def _moved(a, t, counts, x):
    """Points A x + t, float64 ``[N, D]``: of ``counts[w]`` points after each other by the map of word w."""
    out, first = np.empty_like(x), 0
    for w in range(len(counts)):
        for i in range(first, first + counts[w]):
            for r in range(x.shape[1]):
                out[i, r] = t[w, r]
                for k in range(x.shape[1]):
                    out[i, r] += a[w, r, k] * x[i, k]
        first += counts[w]
    return out


@nb.njit(cache=True, nogil=True)
def _count(x, middle_x, middle_y, shades, hist):
    """Add points of the plane, in cells about a middle, y up, to ``hist`` ``[H, W, 4]``: their colour, or the only one,
    and 1."""
    for i in range(len(x)):
        column, row = np.floor(middle_x + x[i, 0]), np.floor(middle_y - x[i, 1])
        if column >= 0 and row >= 0 and column < hist.shape[1] and row < hist.shape[0]:
            j = i if len(shades) > 1 else 0
            cell = hist[int(row), int(column)]
            for k in range(3):
                cell[k] += np.float32(shades[j, k])
            cell[3] += 1


class CloudWindows:
    """Pictures of windows of a collage, in the plane or in space.

    Args:
        code: a contractive collage.
        quality: points for each pixel.
        seed: fixes the points.
        device: "gpu" draws the points of the pieces on the GPU.

    Raises:
        DataError: the code does not contract.
    """

    aspect = 1.0  # height over width of the whole

    def __init__(self, code: CloudCollage, *, quality: float | None = None, seed: int = 0, device: str = "cpu") -> None:
        self.code, self.table = code, Addresses.of(code)
        self.quality, self.seed = quality or (3.0 if code.dim == 3 else 20.0), seed
        self.device = device
        self.engine = "wgsl" if device == "gpu" else "numba"
        centres, self.radii = (v.cpu().numpy() for v in code.bounds())
        self.centres = centres
        whole = draw(self.table, 0, _WHOLE, seed=seed, of=_WHOLE, tolerance=1e-6 * self.table.size, colours=False)
        self.whole = whole.points.numpy()
        if code.dim == 3:
            self.camera = Camera.frame(self.whole, (1000, 1000), up="auto", margin=0.06)
            self.slope = 1000 / self.camera.focal((1000, 1000))  # of the ray at the picture's edge, from side to side
        else:
            low, high = self.whole.min(0), self.whole.max(0)
            self.side = max(float((high - low).max()), 1e-300) / 0.9
            self.corner = (low + high) / 2 - self.side / 2

    def focus(self) -> tuple[float, float]:
        """A point of the cloud near the middle of the picture, in front where it is in space."""
        x, y, depth = self._seen(self.whole)
        near = np.argsort((x - 0.5) ** 2 + (y - 0.5) ** 2)[:200]
        i = near[int(np.argmin(depth[near]))]
        return float(x[i]), float(y[i])

    def _seen(self, points: Array) -> tuple[Array, Array, Array]:
        """Places in the picture, in shares of its width, and depths."""
        if self.code.dim == 2:
            x, y = ((points - self.corner) / self.side).T
            return x, 1 - y, np.zeros(len(points))
        v = self.camera.view(points)
        return 0.5 + v[:, 0] / v[:, 2] / self.slope, 0.5 - v[:, 1] / v[:, 2] / self.slope, v[:, 2]

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> npt.NDArray[np.uint8]:
        """The picture of x0 … x1, y0 … y1 (shares of the whole's width, y down), uint8 ``[height, width, 3]``.

        Raises:
            UsageError: an empty window, or one so small that float64 cannot tell its edges apart.
        """
        if not (x1 > x0 and y1 > y0 and x1 - x0 > 1e-12 * max(1.0, abs(x0), abs(y0))):
            raise UsageError(f"window: {x0:g},{y0:g},{x1:g},{y1:g} is empty, or deeper than float64 can tell (1e-12)")
        middle, size = ((x0 + x1) / 2, (y0 + y1) / 2), x1 - x0
        if self.code.dim == 2:
            return self._plane(middle, size, width, height)
        return self._space(middle, size, width, height)

    def words(self, origin: Array, directions: Array, reach: float, slope: float, fine: float) -> CloudWords:
        """The words whose balls meet a beam, relative to ``origin``, of balls up to ``fine``.

        Args:
            directions: rows right, up and, in space, forward ``[D, D]``.
            reach: half the beam's width at the origin, and ``slope`` its growth for each unit forward.
        """
        d = self.code.dim
        a, b, domains = self.table.maps[:, :, :d], self.table.maps[:, :, d], self.table.domains
        norms, running = self.table.norms, self.table.running
        coloured = len(self.table.tints) > 0
        n = len(norms)
        start = np.broadcast_to(np.eye(d), (n, d, d))
        tint = np.broadcast_to(np.eye(3, 4), (n, 3, 4))
        grown = CloudWords(start, np.broadcast_to(-origin, (n, d)), np.arange(n), np.diff(running), tint)
        done: list[CloudWords] = []
        for _ in range(_DEPTH):
            at = np.einsum("wij,wj->wi", grown.a, self.centres[grown.last]) + grown.t
            ball = np.linalg.norm(grown.a, 2, axis=(1, 2)) * self.radii[grown.last]
            v = at @ directions.T
            half = reach + slope * v[:, 2] if d == 3 else np.full(len(v), reach)
            seen = (np.abs(v[:, :2]) <= (half + ball * (1 + slope))[:, None]).all(axis=1)
            small = ball <= fine
            done.append(grown[seen & small])
            ahead, grown = v[seen & ~small, -1], grown[seen & ~small]
            if d == 3 and len(grown) > _FRONT:  # what fills space hides what lies behind
                grown = grown[np.argsort(ahead, kind="stable")[:_FRONT]]
            sizes = np.diff(domains[grown.last], axis=1)[:, 0]
            if not len(grown):
                break
            if sizes.sum() > _CHILDREN or sum(map(len, done)) + len(grown) > _WORDS:
                done.append(grown)
                break
            parent = np.repeat(np.arange(len(grown)), sizes)
            last, offset = grown.last[parent], np.cumsum(sizes) - sizes
            child = domains[last, 0] + np.arange(len(parent)) - offset[parent]
            total = running[domains[last, 1]] - running[domains[last, 0]]
            pa, tint = grown.a[parent], grown.tint[parent]
            if coloured:
                m = self.table.tints[last]
                tint = np.concatenate(
                    [tint[:, :, :3] @ m[:, :, :3], tint[:, :, :3] @ m[:, :, 3:] + tint[:, :, 3:]], axis=2
                )
            grown = CloudWords(
                pa @ a[last], np.einsum("wij,wj->wi", pa, b[last]) + grown.t[parent], child,
                grown.mass[parent] * (running[child + 1] - running[child]) / total, tint,
            )  # fmt: skip
        return CloudWords(
            *(np.concatenate([getattr(w, name) for w in done]) for name in CloudWords.__dataclass_fields__)
        )

    def points(self, words: CloudWords, n: int, fine: float) -> tuple[Array, Array | None]:
        """About n points of some words by their masses, and their colours if the code has some."""
        share = np.cumsum(words.mass / words.mass.sum()) * n
        counts = np.diff(np.floor(np.concatenate([[0.0], share]) + 0.5)).astype(np.int64)
        of = np.repeat(np.arange(len(words)), counts)
        largest = float(np.linalg.norm(words.a, 2, axis=(1, 2)).max())
        orbit = draw(
            self.table, 0, len(of), seed=self.seed, tolerance=max(fine / max(largest, 1e-300), 1e-15 * self.table.size),
            starts=words.last[of], colours=self.code.coloured, engine=self.engine,
        )  # fmt: skip
        x = _moved(words.a, words.t, counts, orbit.points.numpy())
        if orbit.colours is None:
            return x, None
        tint = np.ascontiguousarray(words.tint[:, :, :3]), np.ascontiguousarray(words.tint[:, :, 3])
        return x, np.clip(_moved(*tint, counts, orbit.colours.double().numpy()), 0, 1)

    def _plane(self, middle: tuple[float, float], size: float, width: int, height: int) -> npt.NDArray[np.uint8]:
        origin = self.corner + self.side * np.array([middle[0], 1 - middle[1]])
        unit = self.side * size / width
        words = self.words(origin, np.eye(2), unit * max(width, height) / 2, 0.0, _FINE * unit * width)
        look = Tone(
            size=(width, height), pixels_per_unit=float(np.sqrt(height * width)), quality=self.quality, oversample=1,
            estimator_radius=0.0, brightness=6.0, gamma=2.6, highlight_power=1.0,
        )  # fmt: skip
        hist = np.zeros((*look.cells, 4), np.float32)
        if len(words):
            x, c = self.points(words, int(self.quality * width * height), 0.3 * unit)
            middles = (width / 2 + look.gutter, height / 2 + look.gutter)
            _count(x / unit, *middles, np.array([[0.55, 0.85, 0.45]]) if c is None else c, hist)
        return (develop(hist, look) * 255 + 0.5).astype(np.uint8)

    def _space(self, middle: tuple[float, float], size: float, width: int, height: int) -> npt.NDArray[np.uint8]:
        basis, eye = self.camera.basis(), self.camera.eye
        ray = np.array([(middle[0] - 0.5) * self.slope, (0.5 - middle[1]) * self.slope, 1.0])
        x, y, depth = self._seen(self.whole)
        near = np.argsort((x - middle[0]) ** 2 + (y - middle[1]) ** 2)[:12]
        about = float(depth[near].min())
        origin = eye + (about * ray) @ basis
        # the beam about the ray: shear the directions so that the ray is straight ahead
        sheared = basis - np.outer([ray[0], ray[1], 0.0], basis[2])
        slope = self.slope * size / 2
        extent = about * self.slope * size  # of the window at that depth
        words = self.words(origin, sheared, _AROUND * about * slope, _AROUND * slope, _FINE * extent)
        if not len(words):
            return encode(backdrop((width, height), "dark"))
        at = np.einsum("wij,wj->wi", words.a, self.centres[words.last]) + words.t
        ahead = at @ basis[2]
        central = (np.abs(at @ sheared[:2].T) <= 0.15 * extent).all(axis=1)
        front = float((ahead[central] if central.any() else ahead).min())
        # from the middle of the whole to the front of the piece, as the window shrinks
        front += (self.camera.distance - about - front) * size if size < 1 else self.camera.distance - about - front
        keep = (ahead > front - 3 * extent) & (ahead < front + _BEHIND * extent)
        words = words[keep] if keep.any() else words
        target = front * (ray @ basis)
        extent = (about + front) * self.slope * size
        points, colours = self.points(words, int(self.quality * width * height), 0.3 * extent / width)
        if colours is None:
            colours = self._tints(points + origin)
        local = (points - target) / extent
        camera = Camera(
            (0.0, 0.0, 0.0), 1 / self.slope * width / min(width, height), self.camera.azimuth, self.camera.elevation,
            self.camera.fov, self.camera.up,
        )  # fmt: skip
        seen = camera.view(local)
        inside = (seen[:, 2] > 0.05) & (np.abs(seen[:, :2]) <= 0.75 * self.slope * seen[:, 2:]).all(axis=1)
        return draw_cloud(local[inside], colours[inside], size=(width, height), camera=camera, supersample=2)

    def _tints(self, points: Array) -> Array:
        """Clay by the height in the whole."""
        axis = "xyz".index(self.camera.up)
        ends = np.zeros((2, 3))
        ends[:, axis] = np.quantile(self.whole[:, axis], [0.0, 1.0])
        low, high = default_tint(ends, self.camera.up, "dark")
        t = np.clip((points[:, axis] - ends[0, axis]) / max(float(np.ptp(ends[:, axis])), 1e-300), 0, 1)[:, None]
        return np.asarray(low + t * (high - low))
