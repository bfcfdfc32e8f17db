"""Random flames and mutants: small trial pictures, a score of how interesting they are, and sheets of the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_random import breed, mutate, random_flame
from fractalkit.errors import DataError, UsageError
from fractalkit.render.colours_from import colour_table, names
from fractalkit.render.flame import render_flame, to_8_bit
from fractalkit.render.flame_taste import QUALITY, SIDE, taste
from fractalkit.render.pictures import sheet_shape

MAX_SHEET = 400
_RELATIVES = 0.5  # score that mutants and children should have
_APART = 0.45  # how much they should differ


def frame(flame: Flame, *, seed: int = 0) -> Flame | None:
    """The flame with a camera that frames its samples; None if they escape, or concentrate in a point.

    The frame is the box that leaves out a hundredth of the samples on each side, found in [-6, 6]^2 and refined once.
    """
    from fractalkit.orbit.flame import accumulate

    centre, half = np.zeros(2), 6.0
    for _ in range(2):
        cells = 96
        near = replace(
            flame, size=(cells, cells), center=(float(centre[0]), float(centre[1])), scale=cells / (2 * half),
            zoom=0.0, rotate=0.0, cam_zoom=1.0, oversample=1,
        ).expanded()  # fmt: skip
        try:
            hist = accumulate(near, 40_000, gutter=0, seed=seed, threads=1, compiled=False)
        except DataError:
            return None
        mass = np.asarray(hist[..., 3], dtype=np.float64)
        total = float(mass.sum())
        if not total > 12_000:
            return None
        low, high = np.zeros(2), np.zeros(2)
        for axis, line in ((0, mass.sum(0)), (1, mass.sum(1))):
            share = np.cumsum(line) / total
            low[axis], high[axis] = np.searchsorted(share, 0.01), np.searchsorted(share, 0.99) + 1
        corner = centre - half
        unit = 2 * half / cells
        box_low, box_high = corner + low * unit, corner + high * unit
        centre, half = (box_low + box_high) / 2, 0.56 * float((box_high - box_low).max())
        if half < 1e-3:
            return None
    w, h = flame.size
    return replace(
        flame,
        center=(float(centre[0]), float(centre[1])),
        scale=min(w, h) / (2 * half),
        zoom=0.0,
        rotate=0.0,
        cam_zoom=1.0,
    )


def trial(flame: Flame, *, seed: int = 0) -> npt.NDArray[np.float32] | None:
    """A small picture of a flame, float32 ``[H, W, 3]``; None if there is nothing to draw."""
    ratio = SIDE / max(flame.size)
    size = tuple(max(8, round(s * ratio)) for s in flame.size)
    small = replace(
        flame, size=(size[0], size[1]), scale=flame.scale * ratio * 2**flame.zoom, zoom=0.0, oversample=1,
        estimator_radius=3.0,
    )  # fmt: skip
    try:
        return render_flame(small, quality=QUALITY, seed=seed, threads=1, batches=1)
    except (DataError, UsageError):
        return None


def interest(flame: Flame, *, seed: int = 0) -> float:
    """The score of a flame's trial picture, 0 to 1: see :func:`.flame_taste.taste`."""
    picture = trial(flame, seed=seed)
    return 0.0 if picture is None else taste(picture)


def worth_seeing(
    make: Callable[[np.random.Generator], Flame], n: int, *, seed: int = 0, tries: int = 24, least: float = 0.7,
    refit: bool = True, unlike: Sequence[Flame] = (), apart: float = 0.0,
    progress: Callable[[str, float], None] | None = None,
) -> list[Flame]:  # fmt: skip
    """The first n candidates with a score of at least ``least``, or else the best ones, in the order they were made.

    Args:
        make: makes a candidate from a random generator.
        tries: largest number of candidates per flame.
        refit: frame each candidate; otherwise it keeps its camera.
        unlike: flames that none may look like, and ``apart``: how far, see :func:`apart_from`. Candidates that look
            like earlier ones are only taken if there are not enough others.

    Raises:
        DataError: fewer than n candidates have a score above 0.
    """
    if not 1 <= n <= MAX_SHEET:
        raise UsageError(f"expected 1 to {MAX_SHEET} flames, got {n}")
    pool: list[_Candidate] = []
    seen = [t for f in unlike if (t := _glance(f)) is not None] if apart else []
    good = 0
    for k in range(n * tries):
        found = _candidate(make, seed, k, refit)
        if found is None:
            continue
        found.new = not apart or all(apart_from(found.glance, s) >= apart for s in seen)
        pool.append(found)
        if found.new and found.score >= least:
            good += 1
            seen.append(found.glance)
        if progress is not None:
            progress("search", good / n)
        if good >= n:
            break
    if len(pool) < n:
        raise DataError(f"only {len(pool)} of {n} flames show anything; ask for fewer, or try another --seed")
    pool.sort(key=lambda c: (not c.new, -min(c.score, least), c.number))
    return [c.flame for c in sorted(pool[:n], key=lambda c: c.number)]


@dataclass
class _Candidate:
    score: float
    number: int
    flame: Flame
    glance: npt.NDArray[np.float64]
    new: bool = True


def _candidate(make: Callable[[np.random.Generator], Flame], seed: int, number: int, refit: bool) -> _Candidate | None:
    """A candidate with its score, or None if it shows nothing."""
    try:
        flame: Flame | None = make(np.random.default_rng([seed, number]))
    except DataError:
        return None
    if refit and flame is not None:
        flame = frame(flame, seed=number)
    picture = None if flame is None else trial(flame, seed=number)
    if flame is None or picture is None:
        return None
    score = taste(picture)
    return _Candidate(score, number, flame, _blurred(picture)) if score > 0 else None


def _glance(flame: Flame) -> npt.NDArray[np.float64] | None:
    framed = frame(flame)
    picture = None if framed is None else trial(framed)
    return None if picture is None else _blurred(picture)


def _blurred(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """A picture as 12 x 12 cells of mean colour."""
    rows, columns = (np.linspace(0, s, 13).astype(int)[:-1] for s in picture.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(picture.astype(np.float64), rows, 0), columns, 1)
    area = np.outer(np.diff([*rows, picture.shape[0]]), np.diff([*columns, picture.shape[1]]))
    return np.asarray(sums / area[..., None])


def apart_from(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """How much two pictures of 12 x 12 cells differ, 0 to about 1.4, whichever way they are turned or mirrored."""
    ways = [np.rot90(m, k) for m in (b, b[:, ::-1]) for k in range(4)]
    size = np.sqrt(((a * a).mean() + (b * b).mean()) / 2)
    return float(min(np.sqrt(((a - w) ** 2).mean()) for w in ways) / max(size, 1e-9))


def random_flames(
    n: int, palette: str | None = None, *, size: tuple[int, int] = (640, 480), seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> list[Flame]:  # fmt: skip
    """n interesting random flames in one palette, see :func:`colour_table`; None takes a random palette for each."""
    fixed = None if palette is None else colour_table(palette, seed=seed)

    def make(rng: np.random.Generator) -> Flame:
        colours = fixed if fixed is not None else colour_table(str(rng.choice(names())))
        return random_flame(rng, colours, size=size)

    return worth_seeing(make, n, seed=seed, apart=_APART, progress=progress)


def mutants(
    parent: Flame, n: int, *, strength: float = 1.0, seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> list[Flame]:  # fmt: skip
    """n mutants of a flame that are worth seeing and do not look alike, framed anew."""
    one = replace(parent, layers=(), layer_attributes=()) if parent.layers else parent
    return worth_seeing(
        lambda rng: mutate(one, rng, strength), n, seed=seed, least=_RELATIVES, unlike=[one],
        apart=min(_APART * strength, 0.9), progress=progress,
    )  # fmt: skip


def children(
    one: Flame, two: Flame, n: int, *, seed: int = 0, progress: Callable[[str, float], None] | None = None
) -> list[Flame]:
    """n children of two flames that are worth seeing and do not look alike, see :func:`.flame_random.breed`."""
    return worth_seeing(
        lambda rng: breed(one, two, rng), n, seed=seed, least=_RELATIVES, unlike=[one, two], apart=_APART,
        progress=progress,
    )  # fmt: skip


def sheet(
    flames: list[Flame], *, quality: float, seed: int = 0, threads: int | None = None,
    progress: Callable[[str, float], None] | None = None, device: str | None = None,
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """Draw flames of one size on a sheet, row by row, with black gaps: uint8 ``[H, W, 3]``; ``device`` of
    :func:`~fractalkit.orbit.flame.accumulate`."""
    down, across = sheet_shape(len(flames))
    w, h = flames[0].size
    gap = max(2, w // 64)
    out = np.zeros((down * (h + gap) - gap, across * (w + gap) - gap, 3), np.uint8)
    for k, flame in enumerate(flames):
        y, x = (k // across) * (h + gap), (k % across) * (w + gap)
        out[y : y + h, x : x + w] = to_8_bit(
            render_flame(flame, quality=quality, seed=seed, threads=threads, device=device, batches=1)
        )
        if progress is not None:
            progress("draw", (k + 1) / len(flames))
    return out
