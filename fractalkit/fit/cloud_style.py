"""A cloud made of parts of another one: a collage whose ranges copy cells of a style.

The style gets a collage of its own. Each range of the cloud is then matched with runs of the style's ranges that are
several times as large, and its map refined. The code holds both: the ranges of the style come first, with a share of
10^-9 of the mass, so that they are copied but not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.errors import DataError, UsageError
from fractalkit.fit.attractor import Graph, GraphRefiner, PointPool, apply
from fractalkit.fit.cells import PROBES, SHAPES, Cells, describe
from fractalkit.fit.cloud_collage import (
    CAP,
    FITTED,
    MAX_COLLAGE_MAPS,
    MOST,
    PER_RANGE,
    clean,
    colour_maps,
    fit_cloud_collage,
    searches,
)
from fractalkit.fit.matching import match
from fractalkit.fit.metrics import compare_clouds, sampling_floor
from fractalkit.fit.partition import Partition, Search
from fractalkit.fit.target import as_colours, as_numbers

HIDDEN = 1e-9  # mass of the style
STYLE_MAPS = (64, 512)  # ranges of the style, at least and at most; one for every
_POINTS_A_RANGE = 40
_POINTS = 60_000  # of the style's attractor
_LARGER = (3.0, 80.0)  # share of the style that a domain has, in shares of the cloud that the range has
_ROUNDS = 10


def fit_cloud_style(
    points: Tensor | np.ndarray,
    style: Tensor | np.ndarray,
    *,
    maps: int = 256,
    colours: Tensor | np.ndarray | None = None,
    style_colours: Tensor | np.ndarray | None = None,
    effort: int = 5,
    seed: int = 0,
    keep_strays: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> CloudCollage:
    """Fit a collage to a cloud whose parts are copies of parts of another cloud.

    Args:
        points: ``[N, D]``, D = 2 or 3.
        style: ``[M, D]``, at any scale.
        maps: the number of ranges of the cloud; those of the style, 64 to 512, come in addition.
        colours: RGB in [0, 1] ``[N, 3]``, that the copies are brought to by affine maps of colours.
        style_colours: RGB of the style ``[M, 3]``; without ``colours`` the copies keep them.
        effort, seed, keep_strays, progress: as of :func:`fit_cloud_collage`.

    Returns:
        The code, in the units of the cloud. Its first ranges are the style, with a share of 10^-9 of the mass.

    Raises:
        DataError: points that cannot be fitted, or clouds of different dimensions.
        UsageError: an option out of range.
    """
    if isinstance(maps, bool) or not isinstance(maps, int) or not 1 <= maps <= MAX_COLLAGE_MAPS - STYLE_MAPS[1]:
        raise UsageError(f"maps: expected a number from 1 to {MAX_COLLAGE_MAPS - STYLE_MAPS[1]:,}, got {maps!r}")
    if isinstance(effort, bool) or not 0 <= effort <= 9:
        raise UsageError(f"effort: expected 0 to 9, got {effort}")
    x, y = as_numbers(points), as_numbers(style)
    if x.ndim == y.ndim == 2 and x.shape[1] != y.shape[1]:
        raise DataError(f"style: a cloud of {y.shape[1]} dimensions for one of {x.shape[1]}; both need the same")
    rgb = None if colours is None else as_colours(colours, len(x))
    style_rgb = None if style_colours is None else as_colours(style_colours, len(y))
    say = progress or (lambda word, share: None)
    rng = np.random.default_rng(seed)

    model = _Style.of(y, style_rgb, effort, seed, rng, lambda word, share: say("style", 0.4 * share))
    cloud = clean(x, limit=min(max(FITTED, PER_RANGE * maps), MOST), rng=rng, keep_strays=keep_strays)
    ranges = min(maps, len(cloud.points))
    cells = Cells(cloud.points, cloud.dim, ranges)
    quick, thorough = searches(effort, ranges)
    partition = Partition(cells, rng, cap=CAP)
    partition.grow(ranges, quick, lambda share: say("cells", 0.4 + 0.2 * share))
    graph = model.copied(cells, thorough, lambda share: say("domains", 0.6 + 0.3 * share))
    graph, pool = _refined(graph, model, cells, rng)
    say("refinement", 1.0)

    d = cloud.dim
    every = np.concatenate([model.graph.maps, graph.maps])
    matrices = every[:, :d, :d]
    offsets = cloud.centre + cloud.scale * every[:, :d, 3] - matrices @ cloud.centre
    weights = np.concatenate([HIDDEN * model.graph.weights, (1 - HIDDEN) * graph.weights])
    domains = np.concatenate([model.graph.domains, graph.domains])
    paint = model.painted(pool, cells, None if rgb is None else rgb[cloud.kept][cells.order])
    provenance = {
        "fit": "fractalkit.fit.fit_cloud_style", "seed": seed, "effort": effort, "maps": maps,
        "style_ranges": len(model.graph.maps), "notes": list(cloud.notes), "input_points": len(x),
        "figures": compare_clouds(pool.points, cells.points, points=20_000).to_dict()
        | {"floor": sampling_floor(cells.points, points=20_000).chamfer},
    }  # fmt: skip
    a, b, c, w = (torch.from_numpy(np.ascontiguousarray(v)) for v in (matrices, offsets, domains, weights))
    m, o = (None, None) if paint is None else (torch.from_numpy(v) for v in paint)
    return CloudCollage(a, b, c, w, m, o, provenance).check_contractive()


@dataclass(frozen=True)
class _Style:
    """A style, of diagonal one about zero: its graph, maps of colours ``[R, 3, 4]`` or None, points of its attractor
    in the order of ranges, their colours, and runs of ranges that may be copied.

    Attributes:
        ends: ``[R + 1]``, the interval of points of each range.
        runs: ``[C, 2]`` of ranges.
    """

    graph: Graph
    tints: np.ndarray | None
    points: np.ndarray
    rgb: np.ndarray | None
    ends: np.ndarray
    runs: np.ndarray

    @classmethod
    def of(
        cls, y: np.ndarray, rgb: np.ndarray | None, effort: int, seed: int, rng: np.random.Generator,
        progress: Callable[[str, float], None],
    ) -> _Style:  # fmt: skip
        """The style of a cloud ``[M, D]``."""
        maps = int(np.clip(len(y) // _POINTS_A_RANGE, *STYLE_MAPS))
        code = fit_cloud_collage(y, maps=maps, colours=rgb, effort=effort, seed=seed, progress=progress)
        cloud = clean(y, limit=FITTED, rng=rng)
        d = code.dim
        whole = np.zeros((len(code), 3, 4))
        a, b = code.matrices.numpy(), code.offsets.numpy()
        whole[:, :d, :d] = a
        whole[:, :d, 3] = (b + a @ cloud.centre - cloud.centre) / cloud.scale
        graph = Graph(whole, code.domains.numpy(), code.weights.numpy())
        pool = graph.sample(_POINTS, rng)
        ends = np.searchsorted(pool.owner, np.arange(len(code) + 1))
        tints = shades = None
        if rgb is not None and code.colour_matrices is not None and code.colour_offsets is not None:
            tints = np.concatenate([code.colour_matrices.numpy(), code.colour_offsets.numpy()[..., None]], axis=2)
            shades = rgb[cloud.kept][cKDTree(cloud.points).query(pool.points)[1]]
        return cls(graph, tints, pool.points, shades, ends, _runs(ends))

    def copied(self, cells: Cells, search: Search, tick: Callable[[float], None]) -> Graph:
        """The leaves of a cloud's cells, each the copy of the run of the style that is likest."""
        leaves = cells.leaves()
        r, n, c = len(leaves), len(cells.points), len(self.runs)
        bounds = np.concatenate([cells.bounds[leaves], self.ends[self.runs] + n])
        points = np.concatenate([cells.points, self.points])
        mean, std, axes = np.zeros((r + c, 3)), np.zeros((r + c, 3)), np.zeros((r + c, 3, 3))
        white, shape = np.zeros((r + c, PROBES, 3), np.float32), np.zeros((r + c, SHAPES))
        for k, (start, end) in enumerate(bounds):
            describe(points[start:end], mean[k], axes[k], std[k], white[k], shape[k])
        size = (bounds[:, 1] - bounds[:, 0]) / np.where(np.arange(r + c) < r, n, len(self.points))
        maps, domains = np.zeros((r, 3, 4)), np.zeros((r, 2), np.int64)
        for k in range(r):
            fit = (CAP * std[r:, :2] >= std[k, :2]).all(axis=1)
            fit &= (size[r:] >= _LARGER[0] * size[k]) & (size[r:] <= _LARGER[1] * size[k])
            can = np.flatnonzero(fit) if fit.any() else np.arange(c)
            near = np.argsort(np.linalg.norm(shape[r + can] - shape[k], axis=1), kind="stable")
            can = can[near[: 2 * search.candidates]]
            maps[k], chosen, _ = match(
                k, can + r, points, cells.metric, bounds, mean, axes, std, white, cells.spacing, search.kept,
                search.rounds, search.polished, search.polish, search.points, CAP,
            )  # fmt: skip
            domains[k] = self.runs[chosen - r]
            tick(k / r)
        weights = (bounds[:r, 1] - bounds[:r, 0]) / n
        return Graph(maps, domains, weights)

    def pool(self, graph: Graph, points: int, rng: np.random.Generator) -> PointPool:
        """Copies of points of the style by a graph of a cloud."""
        counts = graph.counts(points)
        owner = np.repeat(np.arange(len(counts)), counts)
        low, high = self.ends[graph.domains[owner, 0]], self.ends[graph.domains[owner, 1]]
        source = self.points[low + (rng.random(len(owner)) * (high - low)).astype(np.int64)]
        return PointPool(apply(graph.maps, owner, source), source, owner, np.zeros_like(owner))

    def painted(self, pool: PointPool, cells: Cells, rgb: np.ndarray | None) -> tuple[np.ndarray, np.ndarray] | None:
        """Maps of colours of the style and of the cloud, with the colours of its points, or None without any."""
        r, n = len(self.graph.maps), int(pool.owner[-1]) + 1
        if rgb is None and self.tints is None:
            return None
        grey = np.concatenate([np.zeros((r, 3, 3)), np.full((r, 3, 1), 0.5)], axis=2)
        below = grey if self.tints is None else self.tints
        if rgb is None:
            m, o = np.tile(np.eye(3), (n, 1, 1)), np.zeros((n, 3))
        else:
            given = np.full((len(self.points), 3), 0.5) if self.rgb is None else self.rgb
            its = given[cKDTree(self.points).query(pool.sources)[1]]
            m, o = colour_maps(pool.owner, n, rgb[cKDTree(cells.points).query(pool.points)[1]], its)
        return np.concatenate([below[:, :, :3], m]), np.concatenate([below[:, :, 3], o])


def _runs(ends: np.ndarray) -> np.ndarray:
    """Intervals of ranges ``[C, 2]`` that hold points, of lengths that grow geometrically, overlapping."""
    r = len(ends) - 1
    out, length = [], 1
    while length <= r:
        first = np.arange(0, r - length + 1, max(1, length // 4))
        out.append(np.stack([first, first + length], axis=1))
        length = max(length + 1, int(length * 1.4))
    runs = np.concatenate(out)
    full = ends[runs[:, 1]] - ends[runs[:, 0]] >= 8
    return runs[full] if full.any() else np.array([[0, r]])


def _refined(graph: Graph, style: _Style, cells: Cells, rng: np.random.Generator) -> tuple[Graph, PointPool]:
    """The nearest of some rounds of refinement, and points of it."""
    n = len(cells.points)
    refiner = GraphRefiner(cells.points, cells.metric, cells.spacing, cap=CAP)
    damping = max(0.1, 20 * len(graph.maps) / n)
    best, least = (graph, style.pool(graph, n, rng)), np.inf
    for _ in range(_ROUNDS):
        pool = style.pool(graph, n, rng)
        after, chamfer = refiner.round(graph, pool, damping=damping)
        if chamfer < least:
            best, least = (graph, pool), chamfer
        graph = after
    return best


def copies_of_whole(points: Tensor | np.ndarray, ranges: Tensor | np.ndarray, *, size: float = 1.0) -> CloudCollage:
    """A code each of whose ranges is a copy of the whole cloud, upright, in the place of a part of it.

    Args:
        points: ``[N, D]``.
        ranges: the number of each point's part ``[N]``, from 0 without gaps, such as the last map of its address.
        size: of the copies; 1 makes them as wide as their parts.

    Raises:
        DataError: a part without points.
    """
    x, part = as_numbers(points), np.asarray(ranges).astype(np.int64)
    count, d = int(part.max()) + 1, x.shape[1]
    if not np.bincount(part, minlength=count).all():
        raise DataError("ranges: a part has no points; draw more of them")
    matrices, offsets = np.zeros((count, d, d)), np.zeros((count, d))
    middle = x.mean(axis=0)
    reach = np.linalg.norm(x - middle, axis=1).mean()
    for r in range(count):
        cell = x[part == r]
        at = cell.mean(axis=0)
        matrices[r] = np.eye(d) * size * np.linalg.norm(cell - at, axis=1).mean() / reach
        offsets[r] = at - matrices[r] @ middle
    everything = torch.tensor([[0, count]]).expand(count, 2)
    return CloudCollage(torch.from_numpy(matrices), torch.from_numpy(offsets), everything, torch.ones(count))
