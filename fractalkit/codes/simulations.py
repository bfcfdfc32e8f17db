"""What some variations of flames simulate before they draw: clusters, snow crystals, terrains, orbits, trajectories.

Each function returns the numbers of a table, of which a formula in ``variations/simulations.variations`` draws points.
They depend on their arguments alone. Sizes are bounded, so that no file takes long to read: what is beyond is cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MOST_PARTICLES = 10_000  # of a cluster
MOST_CELLS = 1 << 18  # of a crystal
MOST_STEPS = 2000
MOST_CURL = 10_000  # steps of a curlicue
MOST_ROWS = 14_000  # points of a trajectory, polygons of a pattern
MOST_POINTS = 43_000  # of a crystal's picture
MOST_WALK = 50_000  # steps, should particles never arrive
WALKERS = 64  # particles that walk at once
LEVELS = 8  # of a terrain: 257 x 257 heights


class JavaRandom:
    """Java's random numbers, a linear congruential generator of 48 bits (java.util.Random).

    >>> round(JavaRandom(42).uniform(), 6)
    0.727564
    """

    def __init__(self, seed: int) -> None:
        self.state = (seed ^ 0x5DEECE66D) & ((1 << 48) - 1)

    def bits(self, n: int) -> int:
        """The next n bits, at most 32."""
        self.state = (self.state * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        return self.state >> (48 - n)

    def uniform(self) -> float:
        """A number in [0, 1) of 53 bits."""
        return ((self.bits(26) << 27) + self.bits(27)) / (1 << 53)


# ---- clusters


def cluster(
    count: int, seed: int, *, space: bool, glue: float = 1.0, force: Sequence[float] = (0.0, 0.0, 0.0), half: int = 0
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """A cluster that grows by diffusion: particles walk at random until they touch it (T. Witten and L. Sander, 1981).

    Particles far away walk in leaps as long as what is free around them.

    Args:
        space: in space by steps of 0.9 along an axis, until they are within ``glue`` of another; else from cell to cell
            of a square lattice, until they are beside one.
        force: added to each step in space.
        half: of the lattice, in cells: what leaves it begins again; 0 for none.

    Returns:
        Positions ``[N, 2 or 3]``, the first one the origin, and the index of that which each touched first, -1 for the
        origin. N is below ``count`` where they take too long.
    """
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed % (1 << 63))
    count = min(max(count, 1), MOST_PARTICLES)
    axes = 3 if space else 2
    step, reach = (0.9, glue) if space else (1.0, 1.0)
    drift = np.asarray(force[:axes]) if space else np.zeros(axes)
    points, parents = np.zeros((count, axes)), np.full(count, -1)
    n, known, radius = 1, 1, 3.0  # those up to ``known`` are in the tree
    tree = cKDTree(points[:1])
    walkers = _starts(rng, 1, radius, axes)
    for _ in range(MOST_WALK):
        if len(walkers) < min(WALKERS, 1 + n // 16):  # few, as long as the cluster is small
            walkers = np.concatenate([walkers, _starts(rng, 1, radius, axes)])
        far, found = tree.query(walkers)
        if n > known:
            new = np.linalg.norm(walkers[:, None] - points[None, known:n], axis=2)
            nearer = new.min(1) < far
            found, far = np.where(nearer, known + new.argmin(1), found), np.minimum(far, new.min(1))
        for k in np.nonzero(far <= reach + 1e-9)[0]:
            if n < count and (space or not (points[:n] == walkers[k]).all(1).any()):
                points[n], parents[n] = walkers[k], found[k]
                radius = max(radius, float(np.hypot.reduce(walkers[k])))
                n += 1
        if n == count:
            break
        if n - known >= WALKERS:
            tree, known = cKDTree(points[:n]), n
        moved = walkers + _steps(rng, far - reach - step, step, axes, drift)
        moved = moved if space else np.rint(moved)
        size = np.abs(moved).max(1)
        lost = (np.hypot.reduce(moved, 1) > 2.1 * radius + 6) | ((size > half - 2) & (half > 0)) | (far <= reach + 1e-9)
        moved[lost] = _starts(rng, int(lost.sum()), radius, axes)
        walkers = moved
    return points[:n], parents[:n]


def _starts(rng: np.random.Generator, count: int, radius: float, axes: int) -> Floats:
    """Random points of a circle or sphere, on the lattice in the plane."""
    at = rng.normal(size=(count, axes))
    at *= radius / np.maximum(np.hypot.reduce(at, 1), 1e-9)[:, None]
    return at if axes == 3 else np.rint(at)


def _steps(rng: np.random.Generator, free: Floats, step: float, axes: int, drift: Floats) -> Floats:
    """A leap in any direction where there is room and nothing draws particles aside, else a step along an axis."""
    out = np.zeros((len(free), axes))
    out[np.arange(len(free)), rng.integers(axes, size=len(free))] = step * rng.choice([-1.0, 1.0], size=len(free))
    out += drift
    leaps = (free > 2 * step) & (not drift.any())
    way = rng.normal(size=(int(leaps.sum()), axes))
    out[leaps] = way * (free[leaps] / np.maximum(np.hypot.reduce(way, 1), 1e-9))[:, None]
    return out


def depths(parents: npt.NDArray[np.int64]) -> Floats:
    """How far from the origin each particle is, as a share of its longest branch, 0 to 1."""
    length = np.zeros(len(parents))
    for i, p in enumerate(parents):
        length[i] = length[p] + 1 if p >= 0 else 0
    longest = length.copy()
    for i in range(len(parents) - 1, 0, -1):
        longest[parents[i]] = max(longest[parents[i]], longest[i])
    return length / np.maximum(longest, 1)


# ---- crystals


def crystal(
    size: int, steps: int, level: float, freezing: float, diffusion: float, asymmetry: float, noise: float,
    threshold: float, seed: int,
) -> Floats:  # fmt: skip
    """A snow crystal on a hexagonal lattice (C. Reiter, A local cellular model for snow crystal growth, 2005).

    Cells hold water. Those with 1 or more are ice; they and their neighbours keep what they have and gain
    ``freezing`` / 1000 a step; what the others have spreads.

    Args:
        size: cells of a row; level, noise: what they hold at the start, and how much more or less by chance.
        asymmetry: how much of its water a cell keeps, in halves.

    Returns:
        Rows of (x, y, water above ``threshold``) ``[N, 3]``, x and y in about -0.5 to 0.5.
    """
    w = max(2, min(size, math.isqrt(MOST_CELLS // 4)))
    h = 2 * w - 1
    n = w * h + (w - 1) * (h - 1)
    water = level + noise * (1 - 2 * np.random.default_rng(seed % (1 << 63)).random(n))
    water[n // 2] = 1.0
    near = (-h, 1 - w, w, h, w - 1, -w)  # rows of w and w - 1 cells by turns, as one

    def neighbours(values: Floats) -> Floats:
        out = np.zeros_like(values)
        for d in near:
            if d > 0:
                out[:-d] += values[d:]
            else:
                out[-d:] += values[:d]
        return out

    speed = diffusion / 1000 + 1
    keep = 0.5 * asymmetry / speed
    give = (speed - keep) / 6
    for _ in range(min(steps, MOST_STEPS)):
        ice = water >= 1
        beside = neighbours(ice.astype(float)) > 0
        still = np.where(ice | beside, water + np.where(beside & (water > 0), freezing / 1000, 0.0), 0.0)
        free = np.where(beside, 0.0, water)
        spread = neighbours(free)
        water = keep * free + give * spread + still
    rows, columns = np.divmod(np.arange(h * w), w)
    stretch = math.sqrt(3) / 2
    wide = int(2 * w * stretch)
    picture = np.zeros((h, wide))
    first = h * rows + columns
    between = [np.clip(first + d, 0, n - 1) for d in (1 - w, w)]
    for shift, values in ((0, water[first]), (1, (water[between[0]] + water[between[1]]) / 2)):
        at = np.rint((2 * columns + shift) * stretch).astype(int)
        inside = (at < wide) & (values > threshold)
        picture[rows[inside], at[inside]] = values[inside] - threshold
    i, j = np.nonzero(picture > 0)
    out = np.stack([i / h - 0.5, (j / wide - 0.5) * stretch, picture[i, j]], 1)
    if len(out) > MOST_POINTS:
        out = out[np.random.default_rng(0).permutation(len(out))[:MOST_POINTS]]
    return out


# ---- terrains


def terrain(level: int, roughness: float, seed: int, finer: int, passes: int, shrink: float, grow: float) -> Floats:
    """Heights 0 to 1 by midpoint displacement (A. Fournier, D. Fussell and L. Carpenter, 1982): ``[2^n + 1] * 2``.

    Args:
        level: the n of the coarse terrain; roughness: the factor of the displacement from level to level.
        finer: further levels without displacement, each smoothed ``passes`` times by two steps (G. Taubin, 1995) of
            ``shrink`` and ``grow`` times the distance to the mean of the neighbours.
    """
    level = max(1, min(level, LEVELS))
    n = 1 << level
    random = JavaRandom(seed)
    z = np.zeros((n + 1, n + 1))

    def chance() -> float:
        return 2 * random.uniform() - 1

    for i, j in ((0, 0), (0, n), (n, n), (n, 0)):
        z[i, j] = chance()
    scale = roughness
    for k in range(level):
        side = n >> k
        half = side // 2
        for i in range(0, n, side):
            for j in range(0, n, side):
                corners = z[i, j] + z[i + side, j] + z[i + side, j + side] + z[i, j + side]
                z[i + half, j + half] = corners / 4 + chance() * scale
        for i in range(0, n + 1, half):
            for j in range((i + half) % side, n + 1, side):
                around = [
                    z[a, b] for a, b in ((i - half, j), (i, j - half), (i + half, j), (i, j + half))
                    if 0 <= a <= n and 0 <= b <= n
                ]  # fmt: skip
                z[i, j] = sum(around) / len(around) + chance() * scale
        scale *= roughness
    z = (z - z.min()) / max(float(np.ptp(z)), 1e-300)
    for _ in range(min(max(finer, 0), 2, LEVELS - level)):
        z = _halved(z)
        for factor in (shrink, grow) * min(max(passes, 0), 24):
            z = z + factor * (_around(z) - z)
    return z


def _halved(z: Floats) -> Floats:
    """Twice as fine, between neighbours on the edges of triangles: sides of squares and their falling diagonals."""
    out = np.empty((2 * len(z) - 1, 2 * len(z) - 1))
    out[::2, ::2] = z
    out[1::2, ::2] = (z[1:] + z[:-1]) / 2
    out[::2, 1::2] = (z[:, 1:] + z[:, :-1]) / 2
    out[1::2, 1::2] = (z[1:, :-1] + z[:-1, 1:]) / 2
    return out


def _around(z: Floats) -> Floats:
    """The mean of the neighbours along the edges of the triangles."""
    total, count = np.zeros_like(z), np.zeros_like(z)
    n = len(z)
    for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1)):
        to = slice(max(-a, 0), n - max(a, 0)), slice(max(-b, 0), n - max(b, 0))
        of = slice(max(a, 0), n - max(-a, 0)), slice(max(b, 0), n - max(-b, 0))
        total[to] += z[of]
        count[to] += 1
    return total / count


# ---- orbits and patterns


def turned_lattice(
    width: int, turns: float, parts: float, elliptic: bool, wobble: float, wrap: float, skew: int
) -> npt.NDArray[np.int64]:
    """How long each point of a square of the integer lattice takes to come back when it is turned: ``[W, W]``.

    The rotation by ``turns`` / ``parts`` of a circle is three skews, each rounded, so a permutation (M. Minsky's
    circles, HAKMEM 149); a step is ``parts`` rotations, or as many as bring points back.

    Args:
        elliptic: with two skews, Minsky's.
        wobble: how much the angle varies with the distance; wrap: coordinates are taken modulo so many widths, if any.
        skew: added to the last of the skews.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = (int(width * wrap) if wrap else 2 * width) | 1
    low = -(size // 2)
    slow, fast = turns / ((1 + wobble) * parts), turns / ((1 - wobble) * parts)

    def skews(v: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """How far rows and columns at v move, not rounded."""
        angle = 2 * np.pi * (slow - (np.cos(2 * np.pi * v / 512) - 1) / 2 * (fast - slow))
        if elliptic:
            by = np.sqrt(2 * (1 - np.cos(angle))) * v
            return -by, by
        s = np.sin(angle)
        return (np.cos(angle) - 1) / np.where(s == 0, 1e-9, s) * v, s * v

    def wrapped(v: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return (v - low) % size + low if wrap else v

    x, y = (v.ravel() for v in np.meshgrid(*[np.arange(low, low + size)] * 2, indexing="ij"))
    here = np.arange(size * size)
    for _ in range(int(parts)):
        by = -_rounded(-skews(y)[0] + 1e-8) + skew if elliptic else _rounded(skews(y)[0])
        x = wrapped(x + by)
        y = wrapped(y + _rounded(skews(x)[1] + 1e-8))
        if not elliptic:
            x = wrapped(x + _rounded(skews(y)[0]) + skew)
    away = (x < low) | (x >= low + size) | (y < low) | (y >= low + size)
    stays = ~away
    links = coo_array((np.ones(int(stays.sum())), (here[stays], ((x - low) * size + y - low)[stays])), (size**2,) * 2)
    _, label = connected_components(links, directed=False)
    length = np.bincount(label)[label].reshape(size, size)
    start = -(width // 2) - low
    return length[start : start + width, start : start + width]


def _rounded(v: Floats) -> npt.NDArray[np.int64]:
    return np.floor(v + 0.5).astype(np.int64)


def polygons(
    sides: Sequence[int], seed: int, width: float, height: float, line: float, place: float, size: float, *,
    fill: bool, outline: bool, color: float, speed: float, edge: float,
) -> Floats:  # fmt: skip
    """Columns of regular polygons: rows of (corners, radius, x, y, colour, 1 for an outline) ``[N, 6]``.

    Args:
        sides: of the polygons of a column, again and again.
        line: between their centres; place, size: by how much these vary by chance.
        color, speed: of what is filled: color + speed times a random number; edge: that of outlines.
    """
    random = JavaRandom(seed)
    rows: list[tuple[float, ...]] = []
    column = 0.0
    while column <= width and len(rows) < MOST_ROWS:
        y, k = 0.0, 0
        while y <= height and len(rows) < MOST_ROWS:
            x = column + place * (2 * random.uniform() - 1)
            r = line / 2 + size * (2 * random.uniform() - 1)
            n = sides[k % len(sides)]
            if outline:
                rows.append((n, r, x, y, edge, 1.0))
            if fill:
                rows.append((n, r, x, y, (color + speed * random.uniform()) % 1.0, 0.0))
            k += 1
            y += line
        column += line
    return np.array(rows).reshape(-1, 6)


# ---- trajectories


def tube(move: Callable[[float, float, float], tuple[float, float, float]], start: Sequence[float], time: float,
         count: int, warmup: int) -> Floats:  # fmt: skip
    """The way of a point and a frame along it: rows of position, normal and binormal ``[N, 9]``.

    Args:
        move: the velocity at a place.
        time: from row to row, in two steps of Euler, each coordinate after the other; warmup: steps before the first.
    """
    x, y, z = start

    def step(dt: float) -> None:
        nonlocal x, y, z
        x += move(x, y, z)[0] * dt
        y += move(x, y, z)[1] * dt
        z += move(x, y, z)[2] * dt

    for _ in range(min(warmup, 5 * MOST_ROWS)):
        step(time / 2)
    places, ways, aside = [], [], []
    for _ in range(min(max(count, 2), MOST_ROWS)):
        before = (x, y, z)
        step(time / 2)
        step(time / 2)
        if not all(abs(v) < 1e9 for v in (x, y, z)):
            break
        places.append((x, y, z))
        ways.append((x - before[0], y - before[1], z - before[2]))
        aside.append(move(x, y, z))
    if len(places) < 2:
        return np.zeros((0, 9))
    tangent, normal = _unit(np.array(ways)), np.array(aside)
    normal[0] = (1.0, 0.0, 0.0)
    normal = _unit(normal - (normal * tangent).sum(1, keepdims=True) * tangent)
    return np.concatenate([np.array(places), normal, _unit(np.cross(tangent, normal))], 1)


def closed_tube(place: Callable[[float], tuple[float, float, float]], count: int) -> Floats:
    """A closed curve and a frame along it that turns as little as can be: rows as of :func:`tube`, and the first again.

    Args:
        place: the point of an angle, 0 to 2 pi; count: of places.
    """
    n = min(max(count, 3), MOST_ROWS - 1)
    points = np.array([place(2 * math.pi * k / n) for k in range(n)])
    tangent = _unit(np.roll(points, -1, 0) - np.roll(points, 1, 0))
    normal = np.empty_like(points)
    last = np.eye(3)[np.abs(tangent[0]).argmin()]
    for k, way in enumerate(tangent):
        across = last - (last @ way) * way
        size = float(np.linalg.norm(across))
        last = normal[k] = across / size if size > 1e-12 else last
    rows = np.concatenate([points, normal, _unit(np.cross(tangent, normal))], 1)
    return np.concatenate([rows, rows[:1]])


def _unit(v: Floats) -> Floats:
    return v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300)


def curliecue(count: int, turn: float, start: float, step: float = 0.01) -> Floats:
    """A curlicue: steps whose direction turns by an angle that grows evenly: ``[count + 1, 2]``.

    Args:
        turn: by how many turns it grows from step to step; start: both coordinates of the first point.
        step: the length of a step.
    """
    k = np.arange(min(max(count, 1), MOST_CURL), dtype=np.float64)
    angle = 2 * np.pi * (turn * (k * (k - 1) / 2) % 1)
    steps = step * np.stack([np.cos(angle), np.sin(angle)], 1)
    return start + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)])
