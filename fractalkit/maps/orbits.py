"""Where a size no longer divides: the fixed point solved outright, on orbits of points or by iteration on a small grid.

A continuous code with one domain follows one orbit x_{k+1} = D(tau(x_k)) from each point, and its fixed point is the
sum f(x_0) = b(x_0) + w(x_0) (b(x_1) + w(x_1) (b(x_2) + ...)). Points of a pixel grid are rational, so the orbits close:
after a few steps the points on an axis are permuted, and with m the order of that permutation f = S_m / (1 - W_m), S_m
the sum and W_m the product of m terms, found by squaring the map (T, T^2, T^4, ...). That is exact, and its cost does
not depend on the contrast. Where the order is large the squaring stops when the contrasts have made the rest
negligible; where the points are few of many (a window of a huge picture) the sum is taken term by term.

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

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.collage import CollageCode, Domain
from fractalkit.core import Implicit, Unrolled, solve
from fractalkit.errors import UsageError
from fractalkit.maps.combine import combine, spread
from fractalkit.maps.fields import Axis, Constants, Ints, Taps, enter, fold, ints, point_axis
from fractalkit.maps.nodes import Fields, Key, NodeMap, Nodes, centre_nodes, key_of, point_nodes

COARSEST, FINEST = 128, 1024  # pixels a side of an interpolated base
CLOSED = 1024  # denominators up to which several domains' points are collected
LARGEST_BASE = 4096  # pixels a side of a plain code's base
MAX_TERMS = 4000
EPSILON = {torch.float32: 1e-7, torch.float64: 1e-14}


def base(code: CollageCode, fields: Fields, h: int, w: int, rows: np.ndarray | None, cols: np.ndarray | None) -> Tensor:
    """The fixed point on the pixels rows x cols (all where None) of an h x w picture, any size: ``[B, C, r, c]``."""
    if not code.continuous:
        return _areas(code, h, w, rows, cols)
    if len(code.domains) == 1:
        return _orbit_sum(code, fields, h, w, rows, cols)
    return _points(code, h, w, rows, cols)


# ---- one domain: orbits


@dataclass(frozen=True, eq=False)
class Hop:
    """f at one set of points from f at the next: fields on two axes, and the flat places of their images."""

    y: Axis
    x: Axis
    image: Constants  # "rows" [Uy], "cols" [Ux] places of the images of the range coordinates among the next points
    transposed: bool


@dataclass(frozen=True, eq=False)
class Cycle:
    """Points that are permuted: the hop onto themselves, the flat permutation and its order."""

    hop: Hop
    flat: np.ndarray
    order: int


class _Points:
    """Sets of coordinates on two axes, py / q0 and px / q1."""

    def __init__(self, py: Ints, px: Ints, q: tuple[int, int]) -> None:
        self.py, self.px, self.q = py, px, q

    @staticmethod
    def centres(key: Key, h: int, w: int, rows: np.ndarray | None, cols: np.ndarray | None) -> _Points:
        """Pixel centres; denominators that the domains keep, where their scales divide the grid."""
        grid, domains, _ = key
        lcm = math.lcm(*(d.scale for d in domains))
        qh, qw = 2 * h * lcm, 2 * w * lcm
        if any(d.transposed for d in domains):
            qh = qw = math.lcm(qh, qw)
        points = []
        for n, q, chosen in ((h, qh, rows), (w, qw, cols)):
            chosen = np.arange(n) if chosen is None else chosen
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
    """Hops from points to their images and so on, ending with the Cycle in which they are permuted.

    Where there are as many images as points, and too many to collect all that their orbits meet, the last are the
    points that are left.
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
            yield _cycle(hop, len(points.py), len(points.px))
            return
        yield hop
        points = following


def _cycle(hop: Hop, ny: int, nx: int) -> Cycle:
    """The permutation of all node pairs, flat, and its order."""
    rows = hop.image.arrays["rows"], hop.y.constants.arrays["inverse"]
    cols = hop.image.arrays["cols"], hop.x.constants.arrays["inverse"]
    if hop.transposed:  # node (y, x) reads (rows[x], cols[y])
        to_row, to_col = rows[0][cols[1]], cols[0][rows[1]]
        flat = to_row[None, :] * nx + to_col[:, None]
        order = 2 * math.lcm(_order(to_row[to_col]), _order(to_col[to_row]))
    else:
        to_row, to_col = rows[0][rows[1]], cols[0][cols[1]]
        flat = to_row[:, None] * nx + to_col[None, :]
        order = math.lcm(_order(to_row), _order(to_col))
    return Cycle(hop, flat.ravel(), order)


def _order(permutation: np.ndarray) -> int:
    """The least m with permutation^m the identity."""
    seen, order = np.zeros(len(permutation), dtype=bool), 1
    for start in range(len(permutation)):
        length, at = 0, start
        while not seen[at]:
            seen[at] = True
            at, length = int(permutation[at]), length + 1
        order = math.lcm(order, max(length, 1))
    return order


Plan = tuple[Hop | Cycle | _Points, ...]


@lru_cache(maxsize=64)
def _whole_plan(key: Key, h: int, w: int) -> Plan:
    return tuple(_hops(key, _Points.centres(key, h, w, None, None)))


def _plan(key: Key, h: int, w: int, rows: np.ndarray | None, cols: np.ndarray | None) -> Plan:
    if rows is None and cols is None:
        return _whole_plan(key, h, w)
    return tuple(_hops(key, _Points.centres(key, h, w, rows, cols)))


def _orbit_sum(
    code: CollageCode, fields: Fields, h: int, w: int, rows: np.ndarray | None, cols: np.ndarray | None
) -> Tensor:
    rate = min(float(code.lipschitz().max()), 1 - 1e-6)
    epsilon = EPSILON[fields.brightness.dtype]
    terms = min(MAX_TERMS, math.ceil(math.log(epsilon) / math.log(max(rate, 1e-30))))
    *hops, last = _plan(key_of(code), h, w, rows, cols)
    if isinstance(last, Cycle):
        value = _closed_sum(fields, last, terms)
    else:
        assert isinstance(last, _Points)
        value = _open_sum(fields, key_of(code), last, terms, epsilon)
    for hop in reversed(hops):
        assert isinstance(hop, Hop)
        b, c = _terms(fields, hop.y, hop.x)
        value = torch.addcmul(b, c, _pull(value, hop))
    return value


def _open_sum(fields: Fields, key: Key, points: _Points, terms: int, epsilon: float) -> Tensor:
    """The fixed point at points, one orbit each, summed until what is left cannot be seen."""
    grid, (domain,), count = key
    py, px, q = points.py, points.px, points.q
    value = weight = None
    turned = False
    for k in range(terms):
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
    assert value is not None
    return value


def _terms(fields: Fields, y: Axis, x: Axis) -> tuple[Tensor, Tensor]:
    """b with the patches, and w, at the points of two axes: ``[B, C, Ey, Ex]`` both."""
    first = combine(fields.brightness, fields.mixing, [], fields.auxiliary(y, x), y, x)
    return first, spread(fields.contrast[:, :, 0], y, x)


def _pull(value: Tensor, hop: Hop) -> Tensor:
    """f at a hop's images, spread over its points."""
    at = hop.image.on(value)
    value = value.index_select(-2, at["rows"]).index_select(-1, at["cols"])
    if hop.transposed:
        value = value.mT
    return value.index_select(-2, hop.y.on(value)[1]).index_select(-1, hop.x.on(value)[1])


def _closed_sum(fields: Fields, cycle: Cycle, terms: int) -> Tensor:
    """The fixed point on permuted points, by squaring the map until it is a power whose own fixed point is known."""
    b, w = _terms(fields, cycle.hop.y, cycle.hop.x)
    shape = b.shape
    b, w, places = b.flatten(2), w.flatten(2), cycle.flat
    exact = cycle.order <= 2 * terms
    power = cycle.order if exact else 1 << math.ceil(math.log2(max(terms, 1)))
    total: tuple[Tensor, Tensor, np.ndarray] | None = None
    while True:
        if power & 1:
            total = (b, w, places) if total is None else _after(total, (b, w, places))
        power >>= 1
        if not power:
            break
        b, w, places = _after((b, w, places), (b, w, places))
    b, w, _ = total  # type: ignore[misc]
    return (b / (1 - w) if exact else b).reshape(shape)


def _after(first: tuple, then: tuple) -> tuple:
    """first after then: b1 + w1 (b2 + w2 f(s2(s1))) at s1."""
    (b1, w1, s1), (b2, w2, s2) = first, then
    at = torch.from_numpy(s1).to(b1.device)
    return torch.addcmul(b1, w1, b2.index_select(-1, at)), w1 * w2.index_select(-1, at), s2[s1]


# ---- several domains, and plain codes: iteration


def _fixed(code: CollageCode, map: NodeMap) -> Tensor:
    """The map's fixed point to rounding, with its implicit gradient."""
    rate = float(map.lipschitz().max())
    epsilon = EPSILON[map.start().dtype]
    scale = max(float(map.step(torch.zeros_like(map.start())).detach().abs().max()), 1e-30) / max(1 - rate, 1e-6)
    steps = min(MAX_TERMS, math.ceil(math.log(epsilon * max(1 - rate, 1e-6)) / math.log(max(rate, 1e-30))) + 1)
    records = torch.is_grad_enabled()
    adjoint = Implicit(tol=100 * epsilon, max_steps=MAX_TERMS) if records else Unrolled()
    return solve(map, tol=10 * epsilon * scale, max_steps=max(steps, 2), adjoint=adjoint).value


@lru_cache(maxsize=64)
def _collected(key: Key, h: int, w: int) -> tuple[_Points, Nodes] | None:
    """All points that several domains map the centres of h x w pixels to, or None where that would be too many."""
    grid, domains, _ = key
    points = _Points.centres(key, h, w, None, None)
    if max(points.q) > 2 * CLOSED or any(g % d.scale for g in grid for d in domains):
        return None
    closure = _closure(key, points, 2 * CLOSED + 1)
    assert closure is not None  # all are multiples of 1 / q
    return closure, point_nodes(key, closure.py, closure.px, closure.q, closed=True)


def _points(code: CollageCode, h: int, w: int, rows: np.ndarray | None, cols: np.ndarray | None) -> Tensor:
    """Several domains: exact where the points close, interpolated where they do not."""
    key = key_of(code)
    points = _Points.centres(key, h, w, rows, cols)
    collected = _collected(key, h, w)
    if collected is not None:
        closure, nodes = collected
        value = _fixed(code, NodeMap(code, nodes))
        takes = Taps.pick(points.py, closure.py), Taps.pick(points.px, closure.px)
    else:
        nh, nw = (_fine(n, g) for n, g in zip((h, w), code.grid, strict=True))
        value = _fixed(code, NodeMap(code, centre_nodes(code, nh, nw)))
        takes = Taps.at(points.py, points.q[0], nh), Taps.at(points.px, points.q[1], nw)
    return takes[1].apply(takes[0].apply(value, -2), -1)


def _fine(n: int, ranges: int) -> int:
    """A size that the grid divides, from ``COARSEST`` to about ``FINEST``, a multiple of n where that is small."""
    n = n * ranges if n * ranges <= FINEST else FINEST - FINEST % ranges
    return n * max(1, -(-COARSEST // n))


def _areas(code: CollageCode, h: int, w: int, rows: np.ndarray | None, cols: np.ndarray | None) -> Tensor:
    """A plain code: exact where the scales divide the grid, on the least size whose pixels the domains keep whole."""
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
    value = _fixed(code, NodeMap(code, centre_nodes(code, *sizes)))
    for dim, n, chosen, size in ((-2, h, rows, sizes[0]), (-1, w, cols, sizes[1])):
        chosen = np.arange(n) if chosen is None else chosen
        value = Taps.over(chosen, chosen + 1, n, size).apply(value, dim)
    return value
