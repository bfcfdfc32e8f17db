"""Random flames and mutants worth looking at: small trial pictures, a score, and a sheet of the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_random import mutate, random_flame
from fractalkit.errors import DataError, UsageError
from fractalkit.render.colours_from import colour_table, names
from fractalkit.render.flame import render_flame, to_8_bit
from fractalkit.render.pictures import sheet_shape

_TRIAL = 64  # pixels a side of a trial picture
MAX_SHEET = 400


def frame(flame: Flame, *, seed: int = 0) -> Flame | None:
    """The camera that shows where a flame's samples are, or None where they are nowhere or all but at one point.

    A look at [-6, 6]^2 finds the box that holds all but a hundredth of the samples on each side; a second look at that
    box refines it.
    """
    from fractalkit.orbit.flame import accumulate

    centre, half = np.zeros(2), 6.0
    for _ in range(2):
        cells = 96
        trial = replace(
            flame, size=(cells, cells), center=(float(centre[0]), float(centre[1])), scale=cells / (2 * half),
            zoom=0.0, rotate=0.0, oversample=1,
        ).expanded()  # fmt: skip
        try:
            hist = accumulate(trial, 40_000, gutter=0, seed=seed, plain=True)
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
        flame, center=(float(centre[0]), float(centre[1])), scale=min(w, h) / (2 * half), zoom=0.0, rotate=0.0
    )


def interest(flame: Flame, *, seed: int = 0) -> float:
    """How much there is to see, 0 to 1, by a trial picture: neither bare nor full, many levels, structure, hues.

    The product of four numbers in [0, 1]: the share of pixels that are lit (best between a fifth and two thirds), the
    entropy of the levels, the contrast between neighbours against that between strangers (smoke has little, noise as
    much as strangers), and the spread of colours.
    """
    small = _small(flame)
    try:
        picture = render_flame(small, quality=12, seed=seed, threads=1, batches=1, plain=True)
    except (DataError, UsageError):
        return 0.0
    level = picture.max(axis=2).astype(np.float64)
    lit = float((level > 0.08).mean())
    filled = np.clip(lit / 0.2, 0, 1) * np.clip((1 - lit) / 0.35, 0, 1)
    counts = np.histogram(level[level > 0.03], bins=24, range=(0, 1))[0].astype(np.float64)
    if counts.sum() < 40:
        return 0.0
    p = counts / counts.sum()
    entropy = float(-(p[p > 0] * np.log(p[p > 0])).sum() / np.log(24))
    steps = (np.abs(np.diff(level, axis=0)).mean() + np.abs(np.diff(level, axis=1)).mean()) / 2
    strangers = float(
        np.abs(level - level.ravel()[np.random.default_rng(0).permutation(level.size)].reshape(level.shape)).mean()
    )
    rough = float(steps / max(strangers, 1e-9))
    structure = float(np.clip(rough / 0.2, 0, 1) * np.clip((0.9 - rough) / 0.3, 0, 1))
    weight = level.ravel() / max(float(level.sum()), 1e-9)
    chroma = (picture - picture.mean(axis=2, keepdims=True)).reshape(-1, 3)
    mean = weight @ chroma
    hues = float(np.clip(np.sqrt(weight @ ((chroma - mean) ** 2).sum(1)) / 0.12, 0, 1))
    edges = np.concatenate([level[0], level[-1], level[:, 0], level[:, -1]])
    inside = float(np.clip(1.4 - (edges > 0.25).mean(), 0, 1))
    return float(filled * entropy * structure * (0.4 + 0.6 * hues) * inside)


def _small(flame: Flame) -> Flame:
    ratio = _TRIAL / max(flame.size)
    w, h = (max(8, round(s * ratio)) for s in flame.size)
    return replace(flame, size=(w, h), scale=flame.scale * ratio, estimator_radius=3.0, oversample=1)


def worth_seeing(
    make: Callable[[np.random.Generator], Flame],
    n: int,
    *,
    seed: int = 0,
    tries: int = 20,
    least: float = 0.45,
    refit: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> list[Flame]:
    """n flames by ``make`` that have something to see: candidates in turn until enough score ``least``, or the best.

    Args:
        make: a flame from a generator.
        tries: candidates looked at, at most, for each flame that is wanted.
        refit: find a camera for each (else they keep their own).

    Raises:
        DataError: not enough of them can be drawn at all.
    """
    if not 1 <= n <= MAX_SHEET:
        raise UsageError(f"expected 1 to {MAX_SHEET} flames, got {n}")
    found: list[tuple[float, int, Flame]] = []
    good = 0
    for k in range(n * tries):
        candidate: Flame | None = make(np.random.default_rng([seed, k]))
        if refit and candidate is not None:
            candidate = frame(candidate, seed=k)
        if candidate is None:
            continue
        score = interest(candidate, seed=k)
        if score > 0:
            found.append((score, k, candidate))
        good += score >= least
        if progress is not None:
            progress("search", good / n)
        if good >= n:
            break
    if len(found) < n:
        raise DataError(f"only {len(found)} of {n} flames show anything; ask for fewer, or try another --seed")
    found.sort(key=lambda f: (-f[0], f[1]))
    return [f for _, _, f in sorted(found[:n], key=lambda f: f[1])]


def random_flames(
    n: int, palette: str | None = None, *, size: tuple[int, int], seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> list[Flame]:  # fmt: skip
    """n random flames worth seeing, in one palette (see :func:`colour_table`) or, with None, in any of ours."""
    fixed = None if palette is None else colour_table(palette, seed=seed)

    def make(rng: np.random.Generator) -> Flame:
        colours = fixed if fixed is not None else colour_table(str(rng.choice(names())))
        return random_flame(rng, colours, size=size)

    return worth_seeing(make, n, seed=seed, progress=progress)


def mutants(
    parent: Flame, n: int, *, strength: float = 1.0, seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> list[Flame]:  # fmt: skip
    """n mutants of a flame that show something, in its own camera and size."""
    return worth_seeing(
        lambda rng: mutate(parent, rng, strength), n, seed=seed, refit=False, least=0.1, progress=progress
    )


def sheet(
    flames: list[Flame], *, quality: float, seed: int = 0, threads: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """Pictures of flames of one size side by side, row by row, with black between: uint8 ``[H, W, 3]``."""
    down, across = sheet_shape(len(flames))
    w, h = flames[0].size
    gap = max(2, w // 64)
    out = np.zeros((down * (h + gap) - gap, across * (w + gap) - gap, 3), np.uint8)
    for k, flame in enumerate(flames):
        y, x = (k // across) * (h + gap), (k % across) * (w + gap)
        out[y : y + h, x : x + w] = to_8_bit(
            render_flame(flame, quality=quality, seed=seed, threads=threads, batches=1)
        )
        if progress is not None:
            progress("draw", (k + 1) / len(flames))
    return out
