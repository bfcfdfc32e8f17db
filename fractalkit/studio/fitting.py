"""Fits in the studio: a cloud or a picture's subject, a search for maps, and refinement while somebody pulls at them.

A subject is scaled and moved so that its bounding box is centred at the origin and its diagonal is two. A search finds
maps by :func:`fractalkit.fit.fit_cloud`, or those of a picture's shape by :func:`fractalkit.fit.fit_picture`; steps of
refinement follow, towards the masses of grids over the points (:mod:`fractalkit.fit.density`) or the shape's pixels
(:mod:`fractalkit.fit.raster`). Between two steps the maps may be replaced by those that a page has pulled at; maps that
are held stay where they are.
"""

from __future__ import annotations

import tempfile
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.errors import DataError, FractalKitError

if TYPE_CHECKING:
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.fit.foreground import Foreground

Array = npt.NDArray[Any]
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".ppm", ".pgm")
MAX_PIXELS = 1 << 26
POINTS, SEARCHED, SHOWN = 8000, 4000, 3000
SIDE = 224  # pixels of a picture's longer side that it is refined on
MAX_MAPS = 24
MAX_REFINED = 100  # maps of a flame that is refined, so that a step takes a second or so and can be stopped
EFFORT = 1
STEPS = 40  # of a refinement that nobody pulls at
ENOUGH = 1e-4  # gain in agreement of the last steps below which it ends
LAST = 16
_CAP = 0.985


@dataclass
class Subject:
    """What is fitted: points ``[N, 2 or 3]`` (y upwards), and colours ``[N, 3]`` and lit pixels or None."""

    name: str
    points: Array
    colours: Array | None = None
    lit: Array | None = None
    origin: Array = field(default_factory=lambda: np.zeros(2))  # of the pixels' lower left corner
    unit: float = 1.0  # the picture's longer side
    shape: Foreground | None = None  # the subject of a black-and-white picture
    notes: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """What a page shows: a sample of the points, in a flame's coordinates (y downwards)."""
        some = self.points[:: max(1, len(self.points) // SHOWN)] * [1, -1, 1][: self.points.shape[1]]
        return {
            "name": self.name, "count": len(self.points), "dimension": self.points.shape[1],
            "kind": "cloud" if self.lit is None else "picture", "notes": list(self.notes),
            "points": np.round(some, 4).tolist(),
        }  # fmt: skip


def read_subject(data: bytes, name: str, *, scratch: Path | None = None) -> Subject:
    """The subject of a dropped file: a cloud, a mesh, or a picture of something on a plain ground.

    Raises:
        DataError: neither; the sentence begins with the file's name.
    """
    suffix = Path(name).suffix.lower()
    with tempfile.TemporaryDirectory(prefix="fractalkit-studio-", dir=scratch) as folder:
        path = Path(folder) / f"file{suffix[:16]}"
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _picture(path, name) if suffix in PICTURES else _cloud(path, name)
        except FractalKitError as error:
            text = str(error).replace(str(path), name)
            raise DataError(text if text.startswith(name) else f"{name}: {text}") from None


def _cloud(path: Path, name: str) -> Subject:
    from fractalkit.data import load_cloud
    from fractalkit.fit.target import usable_points

    cloud = load_cloud(path, max_points=5_000_000, mesh_samples=POINTS)
    x, kept, notes = usable_points(np.asarray(cloud.points), keep_strays=False)
    if len(kept) < 20:
        raise DataError(f"{name}: {len(kept)} points; a fit needs at least 20")
    rng = np.random.default_rng(0)
    kept = np.sort(rng.choice(kept, POINTS, replace=False)) if len(kept) > POINTS else kept
    colours = None if cloud.colours is None else np.asarray(cloud.colours, np.float64)[kept]
    points, _, _ = _centred(x[kept])
    return Subject(name, points, colours, notes=(*cloud.warnings, *notes))


def subject_of_points(x: Array, name: str = "points") -> Subject:
    """The subject of points ``[N, 2 or 3]``."""
    return Subject(name, _centred(x)[0])


def _picture(path: Path, name: str) -> Subject:
    from fractalkit.data.pictures import read_picture
    from fractalkit.fit.foreground import foreground_of
    from fractalkit.fit.picture import cloud_of, shrunk

    found = shrunk(foreground_of(read_picture(path, max_pixels=MAX_PIXELS).samples), 512)
    drawn, colours = cloud_of(found, POINTS, 0)
    points, centre, scale = _centred(drawn)
    subject = Subject(name, points, colours)
    if not found.binary:  # brightness is a density of points
        return subject
    small = shrunk(found, SIDE)
    return replace(subject, lit=np.flipud(small.mass > 0), origin=-scale * centre, unit=scale, shape=found)


def _centred(x: Array) -> tuple[Array, Array, float]:
    low, high = x.min(axis=0), x.max(axis=0)
    centre, scale = (low + high) / 2, 2 / max(float(np.linalg.norm(high - low)), 1e-300)
    if not 1e-290 < scale < 1e290:
        raise DataError("all points are in one place, or out of all bounds; a fit needs a shape")
    return (x - centre) * scale, centre, scale


# ---- codes as arrays

Maps = tuple[Array, Array, Array]  # matrices [K, D, D], offsets [K, D], weights [K]


def search(
    subject: Subject,
    maps: int | str,
    seed: int,
    say: Callable[[str, float], None],
    show: Callable[[AffineIFS], None] | None = None,
    *,
    effort: int = EFFORT,
) -> AffineIFS:
    """Find maps of a subject, those of a shape as ``fractalkit ifs`` does; ``show`` gets the best so far."""
    from fractalkit.fit import fit_cloud, fit_picture

    if subject.shape is not None:

        def told(code: AffineIFS, agreement: float) -> None:
            if show is not None:
                show(_moved(code, subject))

        found = fit_picture(subject.shape, maps=maps, effort=effort, seed=seed, progress=say, callback=told)
        return replace(_moved(found, subject), name=Path(subject.name).stem[:80])
    some = np.random.default_rng(seed).permutation(len(subject.points))[:SEARCHED]
    colours = None if subject.colours is None else subject.colours[some]
    found = fit_cloud(
        subject.points[some], maps=maps, colours=colours, effort=effort, seed=seed, keep_strays=True, progress=say,
        callback=show,
    )  # fmt: skip
    return replace(found, name=Path(subject.name).stem[:80])


def _moved(code: AffineIFS, subject: Subject) -> AffineIFS:
    """A code of a picture, whose longer side has length one, in the subject's coordinates."""
    origin = code.offsets.new_tensor(subject.origin)
    return replace(code, offsets=origin + subject.unit * code.offsets - code.matrices @ origin)


class ByDensity:
    """Steps towards the masses of a subject's points on grids. Agreement: 1 where a sample of the truth would be."""

    def __init__(self, subject: Subject) -> None:
        from fractalkit.fit.density import Density
        from fractalkit.fit.target import make_target

        self.target = make_target(subject.points, limit=POINTS, rng=np.random.default_rng(0))
        if self.target.dim != subject.points.shape[1]:
            raise DataError(f"{subject.name}: lies in a plane or on a line of its space; drop it with fewer columns")
        self.density = Density(self.target, cap=_CAP)
        self.space = self.target.subspace

    def step(self, maps: Maps) -> tuple[Maps, float]:
        """The maps after a few steps, and their agreement before them."""
        a, t, w = maps
        d, s = self.target.dim, self.space
        rows = np.zeros((len(a), 3, 4))
        rows[:, :d, :d] = s.basis.T @ a @ s.basis
        rows[:, :d, 3] = (a @ s.centre + t - s.centre) @ s.basis / s.scale
        misfit = self.density.misfit(rows, w)
        rows, w, _ = self.density.refine(rows, w, levels=(1,), steps=1)
        rows, w, _ = self.density.refine(rows, w, levels=(2,), steps=2)
        return (*s.lift(rows[:, :d, :d], rows[:, :d, 3]), w), 1 / max(misfit, 1.0)


class ByPixels:
    """Steps until the attractor touches the pixels of a shape and no others. Agreement: the share of pixels that do."""

    def __init__(self, subject: Subject) -> None:
        from fractalkit.fit.raster import STAGES, Raster

        assert subject.lit is not None
        self.raster, self.stages = Raster(subject.lit), STAGES
        self.origin, self.unit = subject.origin, subject.unit
        self.speed: Array | None = None
        self.taken = 0

    def step(self, maps: Maps) -> tuple[Maps, float]:
        """The maps after a step, and their agreement before it."""
        from fractalkit.fit.search import clip_maps

        a, t, w = maps
        rows = np.zeros((len(a), 3, 4))
        rows[:, :2, :2] = a
        rows[:, :2, 3] = (a @ self.origin + t - self.origin) / self.unit
        stage = self.stages[0 if self.taken < 8 else 2]
        drawn = self.raster.draw(rows, 4)
        if (drawn.touched.index >= 0).any():
            move = stage.rate * self.raster.step(rows, drawn, stage)
            self.speed = move if self.speed is None or len(self.speed) != len(move) else 0.6 * self.speed + move
            rows[:, :2, [0, 1, 3]] += self.speed
            clip_maps(rows, 2, _CAP, 0.0)
        self.taken += 1
        a = rows[:, :2, :2]
        return (a, rows[:, :2, 3] * self.unit + self.origin - a @ self.origin, w), drawn.iou

    def pulled(self) -> None:
        """Begin anew from maps that somebody moved."""
        self.speed, self.taken = None, 0


# ---- with a hand in it


@dataclass
class Hand:
    """What a page has pulled at since the last step: a flame, and the maps that it holds."""

    flame: Flame | None = None
    held: tuple[int, ...] = ()
    lock: threading.Lock = field(default_factory=threading.Lock)
    news: bool = False

    def give(self, flame: Flame | None, held: tuple[int, ...]) -> None:
        """Replace what is pulled at."""
        with self.lock:
            self.flame, self.held, self.news = flame, held, True

    def moved(self) -> bool:
        """Whether something was given since this was asked last."""
        with self.lock:
            news, self.news = self.news, False
            return news

    def take(self) -> tuple[Flame | None, tuple[int, ...]]:
        """What was pulled at, once; what is held, until it is let go."""
        with self.lock:
            flame, self.flame = self.flame, None
            return flame, self.held


def maps_of(flame: Flame) -> Maps:
    """The affine maps of a flame, as the code's (y upwards).

    Raises:
        DataError: a map that a code cannot hold.
    """
    from fractalkit.studio.codes import affine_tables

    a, t, w = affine_tables(flame)
    return a, t, w / w.sum()


def with_maps(flame: Flame, maps: Maps) -> Flame:
    """The flame with other affine maps and weights."""
    from fractalkit.codes.flame_parts import IDENTITY
    from fractalkit.studio.codes import in_space
    from fractalkit.studio.solid import FLIP, blocks_of

    deep, moved = in_space(flame), []
    for x, a, t, w in zip(flame.xforms, *maps, strict=True):
        if deep:
            fields: dict[str, Any] = {**blocks_of(FLIP @ a @ FLIP, FLIP @ t), "variations": {"linear3D": 1.0}}
        else:
            (p, q), (r, s) = a
            fields = {"coefs": (p, -r, -q, s, t[0], -t[1]), "post": IDENTITY, "variations": {"linear": 1.0}}
        moved.append(replace(x, weight=float(w), **fields))
    return replace(flame, xforms=tuple(moved))


def _fitting(maps: Maps, subject: Subject) -> Maps:
    """The maps, or a DataError where there are too many, or of other dimensions than the subject."""
    dim = subject.points.shape[1]
    if len(maps[0]) > MAX_REFINED:
        raise DataError(f"the flame has {len(maps[0])} maps; those with up to {MAX_REFINED} can be refined")
    if maps[0].shape[1] != dim:
        raise DataError(f"{subject.name}: lies in {dim} dimensions, and the flame's maps do not; search for new ones")
    return maps


def refine(
    subject: Subject, flame: Flame, hand: Hand, tell: Callable[[Flame, float, float], None], *, steps: int = STEPS
) -> tuple[Flame, float]:
    """Refine a flame's maps towards a subject, and return the best with its agreement.

    Args:
        hand: looked at between steps. While something is held, and for ``steps`` after that, it goes on.
        tell: gets the flame, its agreement and the share of the work after each step; may raise to stop it.

    Raises:
        DataError: the flame has maps that a code cannot hold, or the subject cannot be refined.
    """
    from fractalkit.studio.codes import in_space

    way = ByDensity(subject) if subject.lit is None else ByPixels(subject)
    maps = _fitting(maps_of(flame), subject)
    best, most, trace, left = maps, -1.0, [0.0], steps
    while left > 0:
        pulled, held = hand.take()
        if pulled is not None and len(pulled.xforms) == len(flame.xforms) and in_space(pulled) == in_space(flame):
            flame, maps = pulled, maps_of(pulled)
            most, trace, left = -1.0, [0.0], steps
            if isinstance(way, ByPixels):
                way.pulled()
        new, agreement = way.step(maps)
        if agreement > most:
            best, most = maps, agreement
        for k in held:
            if k < len(new[0]):
                new[0][k], new[1][k] = maps[0][k], maps[1][k]
        maps, left = new, left if held else left - 1
        tell(with_maps(flame, maps), agreement, 1 - left / steps)
        trace.append(most)
        if not held and len(trace) > LAST and trace[-1] - trace[-LAST] < ENOUGH:
            break
    return with_maps(flame, best), most
