"""Pictures of a flame that is being edited: rough at once, then better and better, until the next change.

A page asks for a picture; the one thread of :class:`Painter` draws it in steps of some tens of milliseconds and looks
between them whether a page has asked for another. While something is dragged (``live``) a picture has at most
:data:`LIVE_CELLS` pixels and little density estimation; when it is let go the whole picture is drawn. Where only the
tone changes, the histogram is kept and developed anew.
"""

from __future__ import annotations

import base64
import io
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.errors import FractalKitError, first_line
from fractalkit.render.flame import TONE_FIELDS, drawn_layers, look_of, resized, to_8_bit
from fractalkit.render.flame_tone import develop
from fractalkit.studio.glimpse import glimpse
from fractalkit.studio.loops import MACHINE

LIVE_CELLS = 80_000  # pixels of a picture while something is dragged
LIVE_RADIUS = 2.0  # of its density estimation
LIVE_TIME = 0.1  # seconds for the samples of its first picture, and at least and at most how many a pixel
LIVE_LEAST, LIVE_FIRST = 2.0, 16.0
LIVE_MOST = 40.0  # where it stops
FIRST_QUALITY = 3.0  # of the first whole picture
MOST = 120.0  # samples a pixel at which a picture is done
STEP = 0.08  # seconds between looks at what pages ask for
PLAIN_STEP = 250_000  # samples of a step without the loop, whose chains are many
CHAINS = 256  # of each thread: few samples are drawn soonest by many
GUTTER = 16  # cells about a histogram, so that the radius of the estimation may change up to this
MAX_PIXELS = 4_000_000
_KEPT = {*TONE_FIELDS} - {"oversample", "filter_shape", "estimator_radius"} | {
    "name", "quality", "temporal_samples", "balancing_red", "balancing_green", "balancing_blue", "hue", "time",
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What a page asks for: a flame at a size (width, height), its serial number, and whether something is dragged."""

    flame: Flame
    size: tuple[int, int]
    serial: int = 0
    live: bool = False
    most: float = MOST


@dataclass(frozen=True)
class Frame:
    """A picture for a page: its request's number, samples a pixel, whether it is the last, and its bytes."""

    serial: int
    quality: float
    done: bool
    live: bool
    size: tuple[int, int]
    data: bytes


def fitted(flame: Flame, request: Request, rough: bool) -> Flame:
    """The flame as it is drawn for a request: its size, one cell a pixel, and not too fine an estimation."""
    w, h = request.size
    if rough:
        shrink = min(1.0, (LIVE_CELLS / (w * h)) ** 0.5)
        w, h = max(1, round(w * shrink)), max(1, round(h * shrink))
    drawn = resized(flame, (w, h))
    # the estimation is in pixels of the whole picture
    radius = min(flame.estimator_radius * min(1.0, w / flame.size[0]), float(GUTTER))
    return replace(drawn, oversample=1, estimator_radius=min(radius, LIVE_RADIUS) if rough else radius)


def _shape(flame: Flame) -> tuple[Any, ...]:
    """What determines a flame's samples, tone left out; equal for two flames if one histogram serves both."""
    values = {n: v for n, v in flame.__dict__.items() if n not in _KEPT and n != "palette"}
    values.pop("estimator_radius")
    return (repr(values), flame.palette.tobytes(), flame.by_jwildfire)


@dataclass
class Canvas:
    """The picture of one page while it grows, drawn by a device."""

    send: Callable[[Frame | str], None]
    device: str = "cpu"
    wanted: Request | None = None
    request: Request | None = None
    flame: Flame | None = None
    layers: list[Flame] = field(default_factory=list)
    histogram: npt.NDArray[np.float32] | None = None
    shape: tuple[Any, ...] = ()
    quality: float = 0.0
    goal: float = 0.0
    rate: float = 4e6  # samples a second, measured
    batches: int = 0
    rough: bool = False
    resting: bool = False  # the page draws by itself

    def begin(self, request: Request, *, rough: bool) -> None:
        """Take up a request; the histogram is kept where only the tone is another.

        Args:
            rough: a small picture, unless there is a large one already that serves.
        """
        self.request = request
        flame = fitted(request.flame, request, rough=False)
        self.rough = rough and _shape(flame) != self.shape
        if self.rough:
            flame = fitted(request.flame, request, rough=True)
        shape = _shape(flame)
        if shape != self.shape or self.histogram is None:
            w, h = flame.size
            self.histogram = np.zeros((h + 2 * GUTTER, w + 2 * GUTTER, 4), np.float32)
            self.layers = drawn_layers(flame.expanded() if not flame.layers else flame)
            self.shape, self.quality, self.batches = shape, 0.0, 0
            soon = min(max(self.rate * LIVE_TIME / (w * h), LIVE_LEAST), LIVE_FIRST)
            self.goal = soon if self.rough else FIRST_QUALITY
        self.flame = flame
        if self.quality >= self.goal:
            self.further()

    @property
    def early(self) -> bool:
        """Whether it is drawn without the loops, which are being compiled."""
        return MACHINE.absent and self.device != "gpu"

    def further(self) -> None:
        """Set the number of samples of the next picture."""
        self.goal = min(self.quality * 2.2, self.limit)

    @property
    def limit(self) -> float:
        """Samples a pixel at which the picture is done."""
        assert self.request is not None
        return LIVE_MOST if self.rough else self.request.most

    def expose(self) -> None:
        """Add the samples of one step, up to the goal."""
        from fractalkit.orbit.flame import accumulate

        assert self.flame is not None and self.histogram is not None
        pixels = self.flame.size[0] * self.flame.size[1]
        wanted = (self.goal - self.quality) * pixels
        n = max(1, min(round(wanted), PLAIN_STEP if self.early else round(self.rate * STEP)))
        started = time.perf_counter()
        seed = int(np.random.SeedSequence([1, self.batches]).generate_state(1, np.uint64)[0] >> np.uint64(1))
        for i, layer in enumerate(self.layers):
            accumulate(
                layer, n, gutter=GUTTER, seed=seed + i, compiled=False, plain=self.early, chains=CHAINS,
                device=self.device,
                out=self.histogram,
            )  # fmt: skip
        spent = max(time.perf_counter() - started, 1e-4)
        self.rate = min(max(0.5 * self.rate + 0.5 * n / spent, 2e5), 1e9)
        self.batches += 1
        self.quality += n / pixels

    def frame(self) -> Frame:
        """The picture so far."""
        assert self.flame is not None and self.histogram is not None and self.request is not None
        flame, cells = replace(self.flame, zoom=0.0, scale=self.flame.scale * 2**self.flame.zoom), self.histogram
        w, h = flame.size
        k = math.ceil((w * h / LIVE_CELLS) ** 0.5) if self.request.live and not self.rough else 1
        if k > 1:  # a tone that is being dragged: the cells of the whole picture, k by k
            flame, cells = _pooled(flame, cells, k)
        look = look_of(flame, self.quality * k * k)
        cut = (GUTTER if k == 1 else cells.shape[0] - flame.size[1] >> 1) - look.gutter
        cells = cells if cut <= 0 else cells[cut:-cut, cut:-cut]
        done = self.quality >= self.limit * 0.999 and self.rough <= self.request.live
        picture = to_8_bit((glimpse if MACHINE.absent else develop)(np.ascontiguousarray(cells), look))
        return Frame(
            self.request.serial, round(self.quality, 2), done, self.request.live, flame.size,
            jpeg(picture, 86 if self.rough or k > 1 else 94),
        )  # fmt: skip


def _pooled(flame: Flame, cells: npt.NDArray[np.float32], k: int) -> tuple[Flame, npt.NDArray[np.float32]]:
    """The flame at a k-th of its size, and sums of k by k cells with a border of at least what its filters need."""
    w, h = flame.size[0] // k, flame.size[1] // k
    small = replace(
        flame, size=(w, h), scale=flame.scale / k, estimator_radius=min(flame.estimator_radius / k, LIVE_RADIUS)
    )
    border = GUTTER // k
    if border < look_of(small, 1.0).gutter:
        small, border = replace(small, estimator_radius=0.0, filter=0.0), GUTTER // k
    first = GUTTER - border * k
    rows, columns = h + 2 * border, w + 2 * border
    part = cells[first : first + rows * k, first : first + columns * k]
    return small, np.ascontiguousarray(part.reshape(rows, k, columns, k, 4).sum((1, 3)))


def jpeg(pixels: npt.NDArray[np.uint8], quality: int) -> bytes:
    """A picture ``[H, W, 3]`` as JPEG, colours at full resolution."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def glance(flame: Flame, size: tuple[int, int] = (160, 120), quality: float = 10.0) -> bytes:
    """A small picture of a flame, as JPEG; an empty one where it cannot be drawn."""
    canvas = Canvas(lambda _: None)
    w, h = flame.size
    ratio = min(size[0] / w, size[1] / h)
    try:
        request = Request(flame, (max(1, round(w * ratio)), max(1, round(h * ratio))), most=quality)
        canvas.begin(request, rough=False)
        canvas.goal = quality
        while canvas.quality < canvas.goal * 0.999:
            canvas.expose()
        return canvas.frame().data
    except FractalKitError:
        return jpeg(np.zeros((size[1], size[0], 3), np.uint8), 80)


def as_url(data: bytes) -> str:
    """A JPEG as a ``data:`` address."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


class Painter:
    """Draws for all pages on a device, one step after the other, in a thread of its own."""

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._canvases: dict[int, Canvas] = {}
        self._news = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the present step."""
        with self._news:
            self._stopped = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(3)

    def join(self, page: int, send: Callable[[Frame | str], None]) -> None:
        """Draw for a page; ``send`` is called with pictures, or with a sentence, from the painter's thread."""
        with self._news:
            self._canvases[page] = Canvas(send, self._device)

    def leave(self, page: int) -> None:
        """The page is gone."""
        with self._news:
            self._canvases.pop(page, None)

    def ask(self, page: int, request: Request) -> None:
        """Draw this for a page, in place of what it asked for before."""
        with self._news:
            canvas = self._canvases.get(page)
            if canvas is not None:
                canvas.wanted, canvas.resting = request, False
                self._news.notify()

    def rest(self, page: int) -> None:
        """Draw no more for a page until it asks again."""
        with self._news:
            canvas = self._canvases.get(page)
            if canvas is not None:
                canvas.wanted, canvas.resting = None, True

    def _next(self) -> Canvas | None:
        """The next canvas with work, new requests first; None at the end."""
        with self._news:
            while not self._stopped:
                for canvas in self._canvases.values():
                    if canvas.wanted is not None:
                        return canvas
                for page, canvas in self._canvases.items():
                    if canvas.request is not None:
                        self._canvases[page] = self._canvases.pop(page)  # to the end of the line
                        return canvas
                self._news.wait()
            return None

    def _run(self) -> None:
        MACHINE.take()  # while the page is loaded
        while (canvas := self._next()) is not None:
            try:
                self._step(canvas)
            except Exception as error:  # one flame must not end the pictures of all others
                canvas.request = None
                known = isinstance(error, FractalKitError)
                canvas.send(str(error) if known else f"cannot be drawn ({type(error).__name__}: {first_line(error)})")

    def _step(self, canvas: Canvas) -> None:
        with self._news:
            fresh, canvas.wanted = canvas.wanted, None
            if canvas.resting:
                canvas.request = None
                return
        if fresh is not None:
            canvas.begin(fresh, rough=True)
            if canvas.quality > 0:  # the tone alone is new
                self._show(canvas)
                return
        canvas.expose()
        if canvas.quality >= canvas.goal * 0.999:
            self._show(canvas)

    def _show(self, canvas: Canvas) -> None:
        frame = canvas.frame()
        request = canvas.request
        if frame.done:
            canvas.request = None
        elif canvas.rough and request is not None and not request.live:
            canvas.begin(request, rough=False)  # it stands still: the whole picture now
        else:
            canvas.further()
        canvas.send(frame)
        MACHINE.shown.set()
