"""The coarsest level of a collage: solved on orbits of points, or by iteration on a small grid.

A continuous code with one domain follows one orbit x_{k+1} = D(tau(x_k)) from each point, and its fixed point is the
sum f(x_0) = b(x_0) + w(x_0) (b(x_1) + w(x_1) (b(x_2) + ...)). Points of a pixel grid are rational, so the orbits close:
after a few steps the points on an axis are permuted, and what is left is the map f -> b + w f(s) with s a permutation,
solved by squaring it (:class:`fractalkit.core.Squaring`), at a cost that does not depend on the contrast. Where the
points are few of many (a window of a huge picture) the sum is truncated at rounding error.

With several domains the points that the domains map to each other are collected, if every scale divides the grid and
the picture is not large, and the equations iterated on them (:class:`NodeMap`), exact again. Otherwise the iteration
interpolates linearly on a grid of up to ``FINEST`` pixels a side; the error left is its interpolation error times the
contrasts of the lifts that follow. A plain code is iterated on pixels cut at the borders of ranges, exact where every
scale divides the grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.collage import CollageCode, Domain
from fractalkit.core import IteratedMap, Squaring, Window
from fractalkit.errors import UsageError
from fractalkit.maps.combine import combine, spread
from fractalkit.maps.fields import Axis, enter, fold, point_axis
from fractalkit.maps.nodes import MAX_STEPS, Fields, Key, NodeMap, Nodes, centre_nodes, key_of, point_nodes
from fractalkit.raster.area import Constants, Ints, Taps, ints

COARSEST, FINEST = 128, 1024  # pixels a side of an interpolated base
CLOSED = 1024  # denominators up to which several domains' points are collected
LARGEST_BASE = 4096  # pixels a side of a plain code's base
EPSILON = {torch.float32: 1e-7, torch.float64: 1e-14}


def base_map(code: CollageCode, fields: Fields, h: int, w: int, window: Window) -> IteratedMap:
    """The map to solve for a window of an h x w picture of any size."""
    if not code.continuous:
        sizes = _area_sizes(code, h, w)
        return NodeMap(code, centre_nodes(code, *sizes), ("areas", *sizes))
    if len(code.domains) == 1:
        return _orbit_map(code, fields, _plan(key_of(code), h, w, window)[-1])
    collected = _collected(key_of(code), h, w)
    if collected is not None:
        return NodeMap(code, collected[1], ("points", h, w))
    fine = _fine(h, code.grid[0]), _fine(w, code.grid[1])
    return NodeMap(code, centre_nodes(code, *fine), ("fine", *fine))


def read_base(code: CollageCode, fields: Fields, h: int, w: int, window: Window, value: Tensor) -> Tensor:
    """The window of the picture, ``[B, C, r, c]``, from the fixed point of :func:`base_map`."""
    key = key_of(code)
    if code.continuous and len(code.domains) == 1:
        for hop in reversed(_plan(key, h, w, window)[:-1]):
            assert isinstance(hop, Hop)
            b, c = _terms(fields, hop.y, hop.x)
            value = torch.addcmul(b, c, _pull(value, hop))
        return value
    left, top, right, bottom = window
    sizes = (value.shape[-2], value.shape[-1])
    takes = []
    for k, (n, start, stop) in enumerate(((h, top, bottom), (w, left, right))):
        if not code.continuous:
            pixels = np.arange(start, stop)
            takes.append(Taps.over(pixels, pixels + 1, n, sizes[k]))
            continue
        points = _Points.centres(key, h, w, window)
        p, collected = (points.py, points.px)[k], _collected(key, h, w)
        if collected is None:
            takes.append(Taps.at(p, points.q[k], sizes[k]))
        else:
            takes.append(Taps.pick(p, (collected[0].py, collected[0].px)[k]))
    return takes[1].apply(takes[0].apply(value, -2), -1)


class OrbitMap(IteratedMap):
    """f -> b + w f(s) on values ``[B, C, ny, nx]``: sup norm per item, contracting by max |w|.

    Args:
        b, w: of one shape, or w of one that expands to b's.
        places: s, ``[ny nx]``, the flat index that each point reads.
        rate: a bound on |w|, ``[B]``.
        steps: number of squarings, see :func:`doublings`.
    """

    def __init__(self, b: Tensor, w: Tensor, places: np.ndarray, rate: Tensor, steps: int) -> None:
        self.b, self.w, self.places, self.rate, self.steps = b, w, places, rate, steps

    def affine(self) -> tuple[Tensor, Tensor, np.ndarray]:
        """b, w and s."""
        return self.b, self.w, self.places

    def start(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.b)

    def step(self, x: Tensor) -> Tensor:
        """b + w x(s)."""
        at = torch.from_numpy(self.places).to(x.device)
        return torch.addcmul(self.b, self.w, x.flatten(2).index_select(-1, at).reshape(x.shape))

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Largest absolute difference of each item: ``[B]``."""
        return (x - y).abs().flatten(1).amax(dim=1)

    def lipschitz(self) -> Tensor:
        """The bound given, ``[B]``."""
        return self.rate

    def solve_options(self) -> dict[str, Any]:
        """Solve by repeated squaring, to rounding error."""
        return {"solver": Squaring(), "steps": self.steps}


def doublings(rate: float, precision: torch.dtype) -> int:
    """The number of squarings after which a map that contracts by ``rate`` has converged to rounding error.

    >>> doublings(0.5, torch.float32), doublings(0.999, torch.float32)
    (5, 14)
    """
    terms = math.log(torch.finfo(precision).eps) / math.log(min(max(rate, 1e-30), 1 - 1e-7))
    return math.ceil(math.log2(max(terms, 2.0)))


# ---- one domain: orbits


@dataclass(frozen=True, eq=False)
class Hop:
    """The relation between f at one set of points and f at their images: fields on two axes, and indices."""

    y: Axis
    x: Axis
    image: Constants  # "rows" [Uy], "cols" [Ux] places of the images of the range coordinates among the next points
    transposed: bool


@dataclass(frozen=True, eq=False)
class Cycle:
    """A set of points that the domain map permutes: the hop onto itself and the flat permutation."""

    hop: Hop
    flat: np.ndarray


class _Points:
    """Sets of coordinates on two axes, py / q0 and px / q1."""

    def __init__(self, py: Ints, px: Ints, q: tuple[int, int]) -> None:
        self.py, self.px, self.q = py, px, q

    @staticmethod
    def centres(key: Key, h: int, w: int, window: Window) -> _Points:
        """Pixel centres; denominators that the domains keep, where their scales divide the grid."""
        grid, domains, _ = key
        lcm = math.lcm(*(d.scale for d in domains))
        qh, qw = 2 * h * lcm, 2 * w * lcm
        if any(d.transposed for d in domains):
            qh = qw = math.lcm(qh, qw)
        points = []
        left, top, right, bottom = window
        for n, q, chosen in ((h, qh, np.arange(top, bottom)), (w, qw, np.arange(left, right))):
            points.append((2 * ints(chosen, 8 * q * max(grid) * lcm) + 1) * (q // (2 * n)))
        return _Points(points[0], points[1], (qh, qw))

    def same(self, other: _Points) -> bool:
        """Whether the two are equal sets."""
        return self.q == other.q and _equal(self.py, other.py) and _equal(self.px, other.px)

    def inside(self, other: _Points) -> bool:
        """Whether every coordinate is one of the other's."""
        return self.q == other.q and bool(np.isin(self.py, other.py).all()) and bool(np.isin(self.px, other.px).all())


def _equal(a: Ints, b: Ints) -> bool:
    return len(a) == len(b) and bool((a == b).all())


def _image(key: Key, points: _Points, k: int) -> tuple[_Points, tuple[Ints, Ints]]:
    """The distinct images of points under domain k after tau, and the image of each distinct range coordinate."""
    grid, domains, _ = key
    d = domains[k]
    t = [np.unique(fold(g, p, q, True)[1]) for g, p, q in zip(grid, (points.py, points.px), points.q, strict=True)]
    (py, px), q = _entered(d, t, points.q, max(grid))
    return _Points(np.unique(py), np.unique(px), q), (py, px)


def _entered(
    domain: Domain, t: list[Ints], q: tuple[int, int], ranges: int
) -> tuple[tuple[Ints, Ints], tuple[int, int]]:
    """The picture's rows and columns that range coordinates t / q on two axes show."""
    if domain.transposed:
        t, q = t[::-1], q[::-1]
    (py, qy), (px, qx) = (enter(t[i], q[i], (domain.row, domain.col)[i], domain.scale, domain.flips[i]) for i in (0, 1))
    bound = 8 * max(qy, qx) * ranges * domain.scale
    return (ints(py, bound), ints(px, bound)), (qy, qx)


def _closure(key: Key, points: _Points, limit: int) -> _Points | None:
    """The smallest set around points that every domain maps into itself, or None beyond ``limit`` on an axis."""
    while True:
        py, px = points.py, points.px
        for k in range(len(key[1])):
            image, _ = _image(key, points, k)
            if image.q != points.q:
                return None
            py, px = np.union1d(py, image.py), np.union1d(px, image.px)
        if max(len(py), len(px)) > limit:
            return None
        if len(py) == len(points.py) and len(px) == len(points.px):
            return points
        points = _Points(py, px, points.q)


def _hops(key: Key, points: _Points) -> Iterator[Hop | Cycle | _Points]:
    """Yield hops from points to their images, ending with the cycle that permutes them.

    If the orbits meet too many points to collect them all, the last item is the set of points reached.
    """
    grid, domains, count = key
    closed = False
    while True:
        y, _ty = point_axis(grid[0], points.py, points.q[0], count[0])
        x, _tx = point_axis(grid[1], points.px, points.q[1], count[1])
        following, (py, px) = _image(key, points, 0)
        stuck = len(following.py) + len(following.px) == len(points.py) + len(points.px)  # a transpose swaps them
        if not closed and stuck and not following.inside(points):
            closure = _closure(key, following, 4 * (len(points.py) + len(points.px)) + 64)
            if closure is None:
                yield points
                return
            following, closed = closure, True
        places = Constants({"rows": np.searchsorted(following.py, py), "cols": np.searchsorted(following.px, px)})
        hop = Hop(y, x, places, domains[0].transposed)
        if following.same(points):
            yield _cycle(hop, len(points.px))
            return
        yield hop
        points = following


def _cycle(hop: Hop, nx: int) -> Cycle:
    """The permutation of all node pairs, flat."""
    rows = hop.image.arrays["rows"], hop.y.constants.arrays["inverse"]
    cols = hop.image.arrays["cols"], hop.x.constants.arrays["inverse"]
    if hop.transposed:  # node (y, x) reads (rows[x], cols[y])
        flat = rows[0][cols[1]][None, :] * nx + cols[0][rows[1]][:, None]
    else:
        flat = rows[0][rows[1]][:, None] * nx + cols[0][cols[1]][None, :]
    return Cycle(hop, flat.ravel())


Plan = tuple[Hop | Cycle | _Points, ...]


@lru_cache(maxsize=64)
def _plan(key: Key, h: int, w: int, window: Window) -> Plan:
    return tuple(_hops(key, _Points.centres(key, h, w, window)))


def _orbit_map(code: CollageCode, fields: Fields, last: Hop | Cycle | _Points) -> OrbitMap:
    """The map on the last points of a plan: on a cycle, or on open orbits that have been summed."""
    rate = code.lipschitz().detach().to(fields.brightness.dtype)
    most = float(rate.max())
    if isinstance(last, Cycle):
        b, w = _terms(fields, last.hop.y, last.hop.x)
        return OrbitMap(b, w, last.flat, rate, doublings(most, b.dtype))
    assert isinstance(last, _Points)
    b, w = _series(fields, key_of(code), last, min(most, 1 - 1e-6))
    return OrbitMap(b, w, np.arange(b[0, 0].numel()), rate, 1)


def _series(fields: Fields, key: Key, points: _Points, rate: float) -> tuple[Tensor, Tensor]:
    """B and W with f(x_0) = B + W f(x_n) along each point's orbit, with n so large that W is below rounding error."""
    grid, (domain,), count = key
    py, px, q = points.py, points.px, points.q
    epsilon = EPSILON[fields.brightness.dtype]
    value = weight = None
    turned = False
    for k in range(min(MAX_STEPS, math.ceil(math.log(epsilon) / math.log(max(rate, 1e-30))))):
        (y, _), (x, _) = (point_axis(g, p, n, m) for g, p, n, m in zip(grid, (py, px), q, count, strict=True))
        b, c = (t.mT if turned else t for t in _terms(fields, y, x))
        if value is None or weight is None:
            value, weight = b, c
        else:
            value, weight = torch.addcmul(value, weight, b), weight * c
        if k % 8 == 7 and float(weight.detach().abs().max()) <= epsilon:
            break
        t = [fold(g, p, n, True)[1] for g, p, n in zip(grid, (py, px), q, strict=True)]
        (py, px), q = _entered(domain, t, q, max(grid))
        turned ^= domain.transposed
    assert value is not None and weight is not None
    return value, weight


def _terms(fields: Fields, y: Axis, x: Axis) -> tuple[Tensor, Tensor]:
    """b with the patches, and w, at the points of two axes: ``[B, C, Ey, Ex]`` both."""
    first = combine(fields.brightness, fields.mixing, [], fields.auxiliary(y, x), y, x)
    return first, spread(fields.contrast[:, :, 0], y, x)


def _pull(value: Tensor, hop: Hop) -> Tensor:
    """Read f at a hop's images for each of its points."""
    at = hop.image.on(value)
    value = value.index_select(-2, at["rows"]).index_select(-1, at["cols"])
    if hop.transposed:
        value = value.mT
    return value.index_select(-2, hop.y.on(value)[1]).index_select(-1, hop.x.on(value)[1])


# ---- several domains, and plain codes: iteration


@lru_cache(maxsize=64)
def _collected(key: Key, h: int, w: int) -> tuple[_Points, Nodes] | None:
    """All points that several domains map the centres of h x w pixels to, or None where that would be too many."""
    grid, domains, _ = key
    points = _Points.centres(key, h, w, (0, 0, w, h))
    if max(points.q) > 2 * CLOSED or any(g % d.scale for g in grid for d in domains):
        return None
    closure = _closure(key, points, 2 * CLOSED + 1)
    assert closure is not None  # all are multiples of 1 / q
    return closure, point_nodes(key, closure.py, closure.px, closure.q, closed=True)


def _fine(n: int, ranges: int) -> int:
    """A size that the grid divides, from ``COARSEST`` to about ``FINEST``, a multiple of n where that is small."""
    n = n * ranges if n * ranges <= FINEST else FINEST - FINEST % ranges
    return n * max(1, -(-COARSEST // n))


def _area_sizes(code: CollageCode, h: int, w: int) -> tuple[int, int]:
    """The least size whose pixels the domains of a plain code keep whole, or about ``COARSEST`` where they cannot."""
    lcm = math.lcm(*(d.scale for d in code.domains))
    sizes = [math.lcm(n, lcm) for n in (h, w)]
    if any(d.transposed for d in code.domains):
        sizes = [math.lcm(*sizes)] * 2
    if any(g % d.scale for g in code.grid for d in code.domains):
        sizes = [n * max(1, -(-COARSEST // n)) for n in sizes]
    if max(sizes) > LARGEST_BASE:
        raise UsageError(
            f"{h} x {w}: divided by the {code.grid[0]} x {code.grid[1]} grid as often as it can be, the picture still "
            f"has more than {LARGEST_BASE} pixels a side; decode at good_size(...) and resample"
        )
    return sizes[0], sizes[1]
