"""The inverse problem of clouds of any shape: a collage, in which every part of a cloud is a copy of a larger part.

    clean       drop non-finite points, duplicates and far outliers, scale to a diagonal of one          (here)
    draw        a denser sample, where there are few points for each map                         (resample.py)
    grow        split the cell with the largest error times points, each a copy of a larger cell         (partition.py)
    choose      search again for the domain of every cell, harder, among all cells                       (partition.py)
    refine      Gauss-Newton on the distance of the attractor, the nearest of its rounds                 (attractor.py)
                whose ranges are divided on the way that stray far from the cloud, or miss it       (division.py)
    paint       an affine map of colours along each map of points                                        (here)

A. E. Jacquin's answer to photographs (*Image coding based on a fractal theory of iterated contractive image
transformations*, 1992), for clouds. All budgets are counts, so that a seed determines the result on any machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.errors import DataError, UsageError
from fractalkit.fit.attractor import SHARE, Graph, GraphRefiner
from fractalkit.fit.cells import Cells
from fractalkit.fit.division import DividedGraph
from fractalkit.fit.metrics import compare_clouds, sampling_floor
from fractalkit.fit.partition import Partition, Search
from fractalkit.fit.resample import FEWEST, Neighbourhoods, smoothing
from fractalkit.fit.target import as_colours, as_numbers, named_strays, usable_points

MAX_COLLAGE_MAPS = 1 << 16
FITTED, FITTED_QUICKLY = 40_000, 20_000  # points that are fitted at most, the latter at effort 0, or
PER_RANGE = 100  # for every range, whichever is more, but
MOST = 2_000_000  # never more than these
FEW = 40  # points for each range, below which a denser sample is drawn, of
DENSE = 60  # for each range, but
MOST_OF_A_POINT, MOST_DENSE = 4, 400_000  # never more than these for each point, and in all
CAP = 0.9  # largest norm of a map of points, and of one of colours
MIN_REFINED = 200  # points below which there is no refinement
DIVIDED = 0.12  # share of the ranges that divisions make, up to
MOST_DIVIDED = 512  # ranges, beyond which none stray far, and where there are
_FEWEST_DIVIDED = 20  # points for each range
_DIVISIONS = 3  # rounds of refinement that divide
_FAR = 0.2  # weight of far pairs where ranges are divided, see GraphRefiner
_ISOLATED = 30.0  # distance to the fourth neighbour, in units of its 99 % quantile, beyond which a point is left out


def fit_cloud_collage(
    points: Tensor | np.ndarray,
    *,
    maps: int = 256,
    colours: Tensor | np.ndarray | None = None,
    effort: int = 5,
    seed: int = 0,
    generator: torch.Generator | None = None,
    keep_strays: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> CloudCollage:
    """Fit a collage to a cloud of any shape.

    Args:
        points: ``[N, D]``, D = 2 or 3, any scale; one finite point or more. Above 40,000, or 20,000 at effort 0, and
            100 for each map, a sample is fitted.
        maps: the number of ranges, 1 to 65,536; fewer if there are fewer points or the cloud needs no more.
        colours: RGB in [0, 1] ``[N, 3]``; each map of points then gets an affine map of colours.
        effort: 0 (about a second for 256 maps) to 9; a step makes the search for domains about half as long again.
        seed: determines the result; a ``generator`` is drawn from instead.
        keep_strays: fit points far from all others too; they are left out otherwise.
        progress: called with a short label and the fraction of the work done.

    Returns:
        The code, in the cloud's own units, every norm at most 0.9; its weights are the shares of points. ``provenance``
        describes the fit: distances of the attractor from the fitted points, as :func:`compare_clouds` has them, the
        floor of these distances, and ``collage_bound``, a proven bound of the Hausdorff distance between the two.

    Raises:
        DataError: no finite point, a wrong shape, or coordinates too large.
        UsageError: an option out of range.
    """
    if isinstance(maps, bool) or not isinstance(maps, int) or not 1 <= maps <= MAX_COLLAGE_MAPS:
        raise UsageError(f"maps: expected a number from 1 to {MAX_COLLAGE_MAPS:,}, got {maps!r}")
    if isinstance(effort, bool) or not 0 <= effort <= 9:
        raise UsageError(f"effort: expected 0 to 9, got {effort}")
    x = as_numbers(points)
    rgb = None if colours is None else as_colours(colours, len(x))
    if generator is not None:
        seed = int(torch.randint(0, 2**62, (), generator=generator))
    rng = np.random.default_rng(seed)
    fitted = max(FITTED if effort else FITTED_QUICKLY, PER_RANGE * maps)
    cloud = clean(x, limit=min(fitted, MOST), rng=rng, keep_strays=keep_strays)
    say = progress or (lambda word, share: None)

    ranges = min(maps, len(cloud.points))
    dense = _denser(cloud, ranges, rng)
    cells = Cells(dense.points, cloud.dim, ranges)
    partition = Partition(cells, rng, cap=CAP)
    quick, thorough = searches(effort, ranges)
    spare = _spare(ranges, len(dense.points))
    partition.grow(ranges - spare, quick, lambda share: say("cells", 0.4 * share))
    partition.choose(thorough, lambda share: say("domains", 0.4 + 0.4 * share))
    graph = DividedGraph.of(partition.graph())
    graph, rounds = _refine(graph, cells, effort, spare, rng, lambda share: say("refinement", 0.8 + 0.15 * share))
    made = {"seed": seed, "effort": effort, "maps": maps, "rounds": rounds, "smoothing": dense.width}
    return _code(graph, cells, cloud, dense, x, rgb, made, rng)


def searches(effort: int, ranges: int) -> tuple[Search, Search]:
    """The search for domains while cells are split, and the final one; harder for fewer ranges."""
    work = 1.5 ** (effort - 5) * min(max((1024 / ranges) ** 0.25, 1.0), 2.0)
    quick = Search(max(6, round(16 * work**0.5)), max(2, round(3 * work**0.5)), 3, 96)
    thorough = Search(max(8, round(48 * work)), max(2, round(6 * work)), 4, 128, max(1, round(2 * work)), 6)
    return quick, thorough


@dataclass(frozen=True)
class CleanCloud:
    """A cleaned and scaled cloud.

    Attributes:
        points: ``[N, 3]``, distinct, diagonal one (if there are two or more); in the plane with a third
            coordinate of zero.
        dim: D.
        kept: ``[N]``, the indices of these points in the cloud as given.
        centre, scale: a point z is centre + scale * z in the cloud's own units.
        notes: sentences on what was left out.
    """

    points: np.ndarray
    dim: int
    kept: np.ndarray
    centre: np.ndarray
    scale: float
    notes: tuple[str, ...]


def clean(points: np.ndarray, *, limit: int, rng: np.random.Generator, keep_strays: bool = False) -> CleanCloud:
    """Drop non-finite points, duplicates and strays, draw at most ``limit`` points, and scale them.

    Raises:
        DataError: a wrong shape, no finite point, or coordinates too large.
    """
    points, kept, notes = usable_points(points, keep_strays=keep_strays)
    if not len(kept):
        raise DataError("points: no finite point, a fit needs at least one")
    if len(kept) > 2 * limit:
        kept = np.sort(rng.choice(kept, 2 * limit, replace=False))
    first = np.unique(points[kept], axis=0, return_index=True)[1]
    if len(first) < len(kept):
        notes.append(f"dropped {len(kept) - len(first):,} duplicate points")
    kept = kept[np.sort(first)]
    if len(kept) > limit:
        kept = np.sort(rng.choice(kept, limit, replace=False))
        notes.append(f"fitted a sample of {limit:,} of {len(points):,} points")
    centre, scale = _box(points[kept])
    unit = (points[kept] - centre) / scale
    far = _isolated(unit)
    if len(far) and not keep_strays:
        notes.append(named_strays(points, kept[far]))
        kept = np.delete(kept, far)
        centre, scale = _box(points[kept])
        unit = (points[kept] - centre) / scale
    return CleanCloud(np.pad(unit, ((0, 0), (0, 3 - unit.shape[1]))), unit.shape[1], kept, centre, scale, tuple(notes))


def _box(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and diagonal of the bounding box; a diagonal of one for a single point."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = high / 2 - low / 2
    largest = float(half.max())
    with np.errstate(over="ignore"):
        diagonal = 2 * largest * float(np.linalg.norm(half / largest)) if largest > 0 else 1.0
    if not np.isfinite(diagonal):
        raise DataError("points: coordinates too large for double precision; scale the cloud down")
    return low / 2 + high / 2, diagonal


def _isolated(unit: np.ndarray) -> np.ndarray:
    """Indices of points whose fourth neighbour is much farther than is usual, if they are few."""
    n = len(unit)
    if n < 100:
        return np.zeros(0, dtype=np.int64)
    fourth = cKDTree(unit).query(unit, k=5)[0][:, 4]
    far = np.flatnonzero(fourth > _ISOLATED * np.quantile(fourth, 0.99))
    return far if len(far) <= 0.002 * n else far[:0]


@dataclass(frozen=True)
class Dense:
    """What is fitted: points ``[M, 3]``, the points of the cloud that they were made from ``[M]``, and how smoothly."""

    points: np.ndarray
    origin: np.ndarray
    width: float


def _denser(cloud: CleanCloud, ranges: int, rng: np.random.Generator) -> Dense:
    """The cloud, or where it has few points for each range and its density is smooth, a denser sample of that."""
    x = cloud.points
    n = len(x)
    count = min(DENSE * ranges, MOST_OF_A_POINT * n, MOST_DENSE)
    width = smoothing(x, rng) if n >= FEWEST and n < FEW * ranges and count > n else 0.0
    if width == 0:
        return Dense(x, np.arange(n), 0.0)
    points, origin = Neighbourhoods.of(x).draw(count, width, rng)
    return Dense(points, origin, width)


def _spare(ranges: int, points: int) -> int:
    """How many of the ranges are left for divisions."""
    if ranges > MOST_DIVIDED or points < max(MIN_REFINED, _FEWEST_DIVIDED * ranges):
        return 0
    return round(DIVIDED * ranges)


def _refine(
    divided: DividedGraph, cells: Cells, effort: int, spare: int, rng: np.random.Generator,
    tick: Callable[[float], None],
) -> tuple[DividedGraph, int]:  # fmt: skip
    """Rounds of refinement, in the first half of which ``spare`` ranges are divided.

    Returns:
        The graph whose attractor is nearest to the points, of those with all ranges, and the round it is of.
    """
    n = len(cells.points)
    if n < MIN_REFINED:
        return divided, 0
    ranges = len(divided.cell) + spare
    more = min(max((ranges / 64) ** 0.3, 1.0), 1.5)
    rounds = min(round(12 * more * 1.4 ** (effort - 5)), 40)
    refiner = GraphRefiner(cells.points, cells.metric, cells.spacing, cap=CAP, far=_FAR if spare else 0.0)
    # maps of few points would follow the accidents of the sample
    damping = max(0.1, 20 * ranges / n)
    # round -> how many ranges there are to be from then on
    due = {
        max(1, rounds * k // (2 * _DIVISIONS)): ranges - spare + spare * k // _DIVISIONS
        for k in range(1, _DIVISIONS + 1)
    }
    best, least, chosen, start = divided, np.inf, 0, None
    for k in range(rounds + 1):
        pool = divided.graph.pool(SHARE * n, rng, sweeps=24 if start is None else 4, start=start)
        if spare and k in due:
            sample = pool.thin(rng)
            count = due[k] - len(divided.cell)
            divided = divided.divide(sample, refiner.pairs(sample.points), cells.points, count)
            pool = divided.graph.pool(SHARE * n, rng, sweeps=8)
            least = np.inf
        start = pool.points
        after, chamfer = refiner.round(divided.graph, pool.thin(rng), damping=damping)
        if chamfer < least:
            best, least, chosen = divided, chamfer, k
        divided = divided.with_graph(after)
        tick(k / rounds)
    return best, chosen


def _paint(graph: Graph, cells: Cells, rgb: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Affine maps of colours, ``[R, 3, 3]`` and ``[R, 3]``, from the colours ``[N, 3]`` of the cells' points.

    Each is the least-squares map from the colours at points of the attractor's sources to those at their images.
    """
    sample = graph.sample(4 * len(cells.points), rng)
    owner = sample.owner
    tree = cKDTree(cells.points)
    target, given = (rgb[tree.query(z)[1]] for z in (sample.points, sample.sources))
    return colour_maps(owner, len(graph.maps), target, given)


def colour_maps(owner: np.ndarray, ranges: int, target: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares maps ``[R, 3, 3]`` and ``[R, 3]`` of colours from ``given`` to ``target [N, 3]``, for each range.

    ``owner [N]`` are the ranges, in order, each with one pair at least; norms are at most CAP.
    """
    starts = np.searchsorted(owner, np.arange(ranges))
    counts = np.diff(np.append(starts, len(owner)))[:, None]
    mean_to, mean_from = (np.add.reduceat(c, starts) / counts for c in (target, given))
    t, g = target - mean_to[owner], given - mean_from[owner]
    covariance = np.add.reduceat(np.einsum("ni,nj->nij", g, g), starts) / counts[..., None]
    cross = np.add.reduceat(np.einsum("ni,nj->nij", t, g), starts) / counts[..., None]
    # a weak pull to zero keeps maps of few points, or of one colour, from extremes
    ridge = 1e-3 + 0.1 / counts[..., None]
    matrices = np.linalg.solve(covariance + ridge * np.eye(3), cross.transpose(0, 2, 1)).transpose(0, 2, 1)
    u, s, vt = np.linalg.svd(matrices)
    matrices = (u * np.minimum(s, CAP)[:, None]) @ vt
    return matrices, mean_to - np.einsum("rij,rj->ri", matrices, mean_from)


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """Hausdorff distance of two clouds, zero for the same."""
    if a is b:
        return 0.0
    return max(float(cKDTree(b).query(a)[0].max()), float(cKDTree(a).query(b)[0].max()))


def _code(
    divided: DividedGraph, cells: Cells, cloud: CleanCloud, dense: Dense, x: np.ndarray, rgb: np.ndarray | None,
    made: dict[str, Any], rng: np.random.Generator,
) -> CloudCollage:  # fmt: skip
    """The code in the cloud's units, with colours and figures."""
    d, graph = cloud.dim, divided.graph
    a, t = graph.maps[:, :d, :d], graph.maps[:, :d, 3]
    offsets = cloud.centre + cloud.scale * t - a @ cloud.centre
    paint = None if rgb is None else _paint(graph, cells, rgb[cloud.kept][dense.origin][cells.order], rng)
    attractor = graph.sample(len(cloud.points), rng)
    figures = compare_clouds(attractor.points, cloud.points, points=20_000)
    floor = sampling_floor(cloud.points, points=20_000)
    starts = np.append(cells.bounds[cells.leaves(), 0], len(cells.points))
    parts, ends = divided.shares(cells.points, starts, attractor)
    provenance = {
        "fit": "fractalkit.fit.fit_cloud_collage",
        **made,
        "notes": list(cloud.notes),
        "input_points": len(x),
        "fitted_points": len(cloud.points),
        "drawn_points": len(cells.points) if dense.width else 0,
        "input_sha256": hashlib.sha256(np.ascontiguousarray(x, dtype=np.float64).tobytes()).hexdigest(),
        "figures": figures.to_dict() | {"floor": floor.chamfer, "floor_fscore": floor.fscore},
        "collage_bound": (graph.collage_bound(parts, ends) + _apart(dense.points, cloud.points)) * cloud.scale,
    }
    matrices, offsets, domains, weights = (
        torch.from_numpy(np.ascontiguousarray(v)) for v in (a, offsets, graph.domains, graph.weights)
    )
    m, o = (None, None) if paint is None else (torch.from_numpy(v) for v in paint)
    return CloudCollage(matrices, offsets, domains, weights, m, o, provenance).check_contractive()
