"""Files of the cloud codec: settings and up to four entropy-coded segments, in the container of ``.fk`` files."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch

from fractalkit.codec import cloud_geometry as geometry
from fractalkit.codec import cloud_syntax as syntax
from fractalkit.codec import container
from fractalkit.codec.entropy import DECODE, ENCODE, coder, finish
from fractalkit.codec.priors import Priors
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.errors import DataError
from fractalkit.raster.colour import TO_RGB

# mypy: disable-error-code="call-arg"

_EIGHTHS = (1.0, 0.9170040432046712, 0.8408964152537145, 0.7711054127039704, 0.7071067811865476, 0.6484197773255048,
            0.5946035575013605, 0.5452538663326288)  # fmt: skip
ORIGIN_BITS = 16  # bits of the origin behind the binary point, in units of the scale
CAP = 0.9  # largest norm of a map
POOL = 4096  # inner nodes among which domains are sought, about
CLOUD = Priors(
    "cloud_priors.npz",
    {
        "tree": (syntax.TREE_CONTEXTS, syntax.SETS),
        "colours": (syntax.COLOUR_CONTEXTS, syntax.SETS),
        "shapes": (syntax.SHAPE_CONTEXTS, syntax.SETS),
        "maps": (syntax.MAP_CONTEXTS, syntax.SETS),
    },
)
SEGMENTS = ("tree", "colours", "shapes", "maps")
_FORMAT = "<BhIHBBBBBBB"


def step_of(index: int) -> float:
    """The step of an index, 2^(-index / 8), the same on every machine."""
    return math.ldexp(_EIGHTHS[index & 7], -(index >> 3))


def index_of(step: float) -> int:
    """The index of the step nearest to one, 0 to 255."""
    return min(255, max(0, round(-8 * math.log2(step))))


@dataclass(frozen=True)
class CloudSettings:
    """What a cloud's file says before its segments.

    Attributes:
        dim: 2 or 3.
        coloured: whether there are colours.
        exponent: coordinates are over 2^exponent.
        origin: mean of the cloud, ``dim`` integers in units of 2^(exponent - 16).
        points: of the cloud that was coded, which ``decompress`` gives unless told otherwise.
        leaves: of the tree, 1 to 65,536; no cut is coded once there are so many.
        steps: indices of four steps: means along the tangents and the normal, shapes along both.
        colour: index of the step of colours.
        base: depth from which on the steps are as given; above they are finer.
        ranks: domains a leaf may choose from.
    """

    dim: int
    coloured: bool
    exponent: int
    origin: tuple[int, ...]
    points: int
    leaves: int
    steps: tuple[int, int, int, int]
    colour: int
    base: int
    ranks: int = 64

    def pack(self) -> bytes:
        """The bytes of the settings."""
        head = struct.pack(
            _FORMAT, self.dim | self.coloured << 2, self.exponent, self.points, self.leaves - 1, *self.steps,
            self.colour, self.base, self.ranks,
        )  # fmt: skip
        return head + b"".join(v.to_bytes(8, "little", signed=True) for v in self.origin)

    @classmethod
    def unpack(cls, data: bytes, name: str) -> CloudSettings:
        """The settings of some bytes; a DataError where one is out of its range."""
        head = struct.calcsize(_FORMAT)
        bad = DataError(f"{name}: settings of a cloud out of range; the file is damaged")
        if len(data) < head:
            raise bad
        flags, exponent, points, leaves, a, b, c, d, colour, base, ranks = struct.unpack(_FORMAT, data[:head])
        dim = flags & 3
        if dim < 2 or flags > 7 or len(data) != head + 8 * dim or not -1000 <= exponent <= 1000:
            raise bad
        if points < 1 or ranks < 1 or base > syntax.MAX_DEPTH:
            raise bad
        rest = data[head:]
        origin = tuple(int.from_bytes(rest[8 * i : 8 * i + 8], "little", signed=True) for i in range(dim))
        return cls(dim, flags > 3, exponent, origin, points, leaves + 1, (a, b, c, d), colour, base, ranks)

    @property
    def scale(self) -> float:
        """The unit of the coded coordinates."""
        return math.ldexp(1.0, self.exponent)

    @property
    def centre(self) -> np.ndarray:
        """The origin of the coded coordinates ``[dim]``."""
        return np.array([math.ldexp(float(v), self.exponent - ORIGIN_BITS) for v in self.origin])


@dataclass
class CloudTree:
    """The tree of a cloud, its M nodes breadth first, and what is coded of its R leaves.

    Attributes:
        kids: ``[M, 2]`` int64; those of a leaf are meaningless.
        live: ``[M]`` uint8, 1 where a node has children.
        share: ``[M]`` int64, of the first child's mass in 4096ths.
        depth: ``[M]`` int64.
        mean: ``[M, 3]``, cov: ``[M, 3, 3]``, colour: ``[M, 3]`` luma and chroma.
        guess: ``[M, 3, 3]`` covariances that the means suggest.
        order: ``[R]`` nodes of the leaves from left to right; span ``[M, 2]``: the leaves below each node.
        turn, rank, contrast: ``[R]`` of the leaves' maps.
    """

    kids: np.ndarray
    live: np.ndarray
    share: np.ndarray
    depth: np.ndarray
    mean: np.ndarray
    cov: np.ndarray
    guess: np.ndarray
    colour: np.ndarray
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    span: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    turn: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    rank: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    contrast: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def empty(cls, leaves: int, dim: int) -> CloudTree:
        """Room for a tree of so many leaves, of which the root is known."""
        m = 2 * leaves - 1
        guess = np.zeros((m, 3, 3))
        guess[0, range(dim), range(dim)] = 0.04
        return cls(
            np.zeros((m, 2), np.int64), np.zeros(m, np.uint8), np.zeros(m, np.int64), np.zeros(m, np.int64),
            np.zeros((m, 3)), np.zeros((m, 3, 3)), guess, np.zeros((m, 3)),
        )  # fmt: skip

    def cut_to(self, size: int) -> None:
        """Forget the room behind the nodes that there are, and put the leaves in order."""
        for name in ("kids", "live", "share", "depth", "mean", "cov", "guess", "colour"):
            setattr(self, name, getattr(self, name)[:size].copy())
        self.order, self.span = syntax.leaves_in_order(self.kids, self.live)
        r = len(self.order)
        self.turn, self.rank, self.contrast = (np.zeros(r, np.int64) for _ in range(3))

    def mass(self) -> np.ndarray:
        """Share ``[M]`` of the cloud of every node."""
        out: np.ndarray = geometry.masses(self.kids, self.live, self.share)
        return out

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Standard deviations ``[M, 3]`` along the principal axes of all nodes; the axes ``[M, 3, 3]``, in columns."""
        geometry.moments(self.kids, self.live, len(self.live), self.share, self.mean, self.cov)
        values, vectors = np.zeros((len(self.cov), 3)), np.zeros((len(self.cov), 3, 3))
        geometry.principal_of_all(self.cov, values, vectors)
        return np.sqrt(values), vectors


def turns() -> np.ndarray:
    """The orthogonal matrices ``[32, 3, 3]`` between the principal axes of domain and range."""
    out = np.zeros((syntax.TURNS, 3, 3))
    for i in range(syntax.TURNS):
        angle = (i & 7) * math.pi / 4
        mirror, down = (-1.0 if i & 8 else 1.0), (-1.0 if i & 16 else 1.0)
        co, si = math.cos(angle), math.sin(angle)
        out[i] = [[co, -mirror * si, 0], [si, mirror * co, 0], [0, 0, down]]
    return out


def likeness(sigma: np.ndarray) -> np.ndarray:
    """Features ``[M, 2]`` of nodes: their second and third extent over the first."""
    return sigma[:, 1:] / np.maximum(sigma[:, :1], 1e-30)


def domains(tree: CloudTree, sigma: np.ndarray, ranks: int) -> tuple[np.ndarray, np.ndarray]:
    """The nodes ``[R, ranks]`` that may be a leaf's domain, likest first, and how many they are ``[R]``.

    Of more than POOL inner nodes every second, third … may be one, so that the work grows with R alone.
    """
    inner = np.flatnonzero(tree.live)
    inner = inner[:: 1 + len(inner) // POOL]
    out, n = syntax.all_candidates(tree.mass(), likeness(sigma), inner, tree.order, ranks)
    return out, n


# ---- segments


def _written(name: str, work: Callable[..., Any], room: int) -> tuple[bytes, Any]:
    """The bytes that ``work(state, data, prob, count, weight)`` writes, and what it returns."""
    while True:
        state, data = coder(ENCODE, np.zeros(room, np.uint8))
        made = work(state, data, *CLOUD.learned(name))
        n = finish(state, data)
        if n >= 0:
            return data[:n].tobytes(), made
        room *= 4


Source = tuple[np.ndarray, np.ndarray, np.ndarray]


def write_tree(s: CloudSettings, source: Source, leaves: int) -> tuple[CloudTree, np.ndarray, bytes]:
    """Code a tree of children ``[S, 2]`` (-1 of a leaf), shares and means; returns it as it is read, which node of the
    source each of its nodes is, and the segment."""
    t, n, _, _ = steps_of(s)

    def work(*coder: Any) -> tuple[CloudTree, np.ndarray]:
        tree, origin = CloudTree.empty(leaves, s.dim), np.zeros(2 * leaves - 1, np.int64)
        size = syntax.code_tree(
            *coder, source, origin, tree.kids, tree.live, tree.share, tree.mean, tree.guess, tree.depth, t, n, s.base,
            s.dim, False,
        )  # fmt: skip
        tree.cut_to(size)
        return tree, origin[:size]

    data, (tree, origin) = _written("tree", work, 1024 + 16 * leaves)
    return tree, origin, data


def write_colours(s: CloudSettings, tree: CloudTree, target: np.ndarray) -> bytes:
    """Code the colours ``[M, 3]`` of the nodes of a tree; it gets those that are read."""

    def work(*coder: Any) -> None:
        syntax.code_colours(
            *coder, target, tree.kids, tree.live, tree.share, tree.depth, tree.colour, colour_steps(s), s.base, False
        )

    return _written("colours", work, 1024 + 16 * len(tree.live))[0]


def write_shapes(s: CloudSettings, tree: CloudTree, target: np.ndarray) -> bytes:
    """Code the covariances ``[R, 3, 3]`` of the leaves of a tree; it gets those that are read."""
    _, _, t, n = steps_of(s)

    def work(*coder: Any) -> None:
        syntax.code_shapes(
            *coder, target, tree.kids, tree.live, tree.mean, tree.guess, tree.order, tree.cov, t, n, s.dim, False
        )

    return _written("shapes", work, 1024 + 16 * len(tree.order))[0]


def write_maps(s: CloudSettings, tree: CloudTree) -> bytes:
    """Code turns, ranks and contrasts of a tree."""

    def work(*coder: Any) -> None:
        syntax.code_maps(*coder, tree.turn, tree.rank, tree.contrast, s.coloured, s.dim, s.ranks, False)

    return _written("maps", work, 1024 + 16 * len(tree.order))[0]


def _reading(segment: bytes) -> tuple[np.ndarray, np.ndarray]:
    return coder(DECODE, np.frombuffer(segment + b"\0" * (not segment), np.uint8).copy())


def steps_of(s: CloudSettings) -> tuple[float, float, float, float]:
    """The four steps of the geometry."""
    a, b, c, d = (step_of(i) for i in s.steps)
    return a, b, c, d


COLOUR_SCALE = (1.0, 1.5, 1.5)  # steps of luma and chroma over the step of colours


def colour_steps(s: CloudSettings) -> np.ndarray:
    """Steps of luma and chroma ``[3]``."""
    return np.array(COLOUR_SCALE) * step_of(s.colour)


NO_SOURCE = (np.zeros((0, 2), np.int64), np.zeros(0, np.int64), np.zeros((0, 3)))


def read_tree(s: CloudSettings, segments: dict[str, tuple[bytes, bool]]) -> CloudTree:
    """Everything that the segments hold; each comes with whether it was cut off. Any bytes give a tree."""
    tree = CloudTree.empty(s.leaves, s.dim)
    t0, n0, t1, n1 = steps_of(s)
    data, cut = segments["tree"]
    size = syntax.code_tree(
        *_reading(data), *CLOUD.learned("tree"), NO_SOURCE, np.zeros(0, np.int64), tree.kids,
        tree.live, tree.share, tree.mean, tree.guess, tree.depth, t0, n0, s.base, s.dim, cut,
    )  # fmt: skip
    tree.cut_to(size)
    if s.coloured:
        data, cut = segments["colours"]
        syntax.code_colours(
            *_reading(data), *CLOUD.learned("colours"), np.zeros((0, 3)), tree.kids, tree.live,
            tree.share, tree.depth, tree.colour, colour_steps(s), s.base, cut,
        )  # fmt: skip
    data, cut = segments["shapes"]
    syntax.code_shapes(
        *_reading(data), *CLOUD.learned("shapes"), np.zeros((0, 3, 3)), tree.kids, tree.live,
        tree.mean, tree.guess, tree.order, tree.cov, t1, n1, s.dim, cut,
    )  # fmt: skip
    data, cut = segments["maps"]
    syntax.code_maps(
        *_reading(data), *CLOUD.learned("maps"), tree.turn, tree.rank, tree.contrast, s.coloured,
        s.dim, s.ranks, cut,
    )  # fmt: skip
    return tree


# ---- from a tree to maps


def maps_of(
    tree: CloudTree, sigma: np.ndarray, axes: np.ndarray, domain: np.ndarray, floor: float
) -> tuple[np.ndarray, np.ndarray]:
    """The affine maps ``[R, 3, 3]`` and ``[R, 3]`` of the leaves, whose domains are nodes ``[R]``."""
    r = tree.order
    turn = turns()[tree.turn]
    shrink = sigma[r][:, :, None] * turn / np.maximum(sigma[domain], floor)[:, None, :]
    u, s, v = np.linalg.svd(shrink)
    shrink = (u * np.minimum(s, CAP)[:, None, :]) @ v
    matrices = axes[r] @ shrink @ axes[domain].transpose(0, 2, 1)
    offsets = tree.mean[r] - np.einsum("nij,nj->ni", matrices, tree.mean[domain])
    return matrices, offsets


def chosen(tree: CloudTree, sigma: np.ndarray, ranks: int) -> np.ndarray:
    """The nodes ``[R]`` that are the leaves' domains."""
    can, n = domains(tree, sigma, ranks)
    out: np.ndarray = can[np.arange(len(n)), np.minimum(tree.rank, n - 1)]
    return out


_TO_RGB = np.array(TO_RGB)


def to_luma(rgb: np.ndarray) -> np.ndarray:
    """Luma and chroma ``[N, 3]`` of RGB (JFIF), chroma around 0."""
    out: np.ndarray = rgb @ np.linalg.inv(_TO_RGB).T
    return out


def to_rgb(luma: np.ndarray) -> np.ndarray:
    """The inverse of :func:`to_luma`."""
    out: np.ndarray = luma @ _TO_RGB.T
    return out


@dataclass(frozen=True)
class CloudCode(container.FileCode):
    """A compressed cloud: the settings and segments of its ``.fk`` file, decoded on demand.

    Attributes:
        settings: what the segments are.
        segments: byte strings by the names in SEGMENTS, each with whether it was cut off.
        metadata: "icc" and "exif" have no meaning here; kept as they are.
    """

    settings: CloudSettings
    segments: dict[str, tuple[bytes, bool]] = field(repr=False)
    metadata: dict[str, bytes] = field(default_factory=dict, repr=False)

    @cached_property
    def tree(self) -> CloudTree:
        """The tree with all that is coded of it."""
        return read_tree(self.settings, self.segments)

    @cached_property
    def collage(self) -> CloudCollage:
        """The ranges with their maps and domains, in the cloud's own units."""
        made: dict[str, Any] = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in self.arrays().items()}
        return CloudCollage(**made)

    def arrays(self) -> dict[str, Any]:
        """What a :class:`~fractalkit.codes.cloud_collage.CloudCollage` is made of, by the names of its fields."""
        s, tree = self.settings, self.tree
        sigma, axes = tree.axes()
        domain = chosen(tree, sigma, s.ranks)
        matrices, offsets = maps_of(tree, sigma, axes, domain, step_of(s.steps[3]) / 4)
        weights = tree.mass()[tree.order]
        out: dict[str, Any] = {"domains": tree.span[domain], "weights": weights / weights.sum()}
        d = s.dim
        matrices, offsets = matrices[:, :d, :d], offsets[:, :d]
        shift = s.centre - np.einsum("nij,j->ni", matrices, s.centre)
        out |= {"matrices": matrices, "offsets": offsets * s.scale + shift}
        if s.coloured:
            gain = tree.contrast / syntax.CONTRASTS
            own, its = tree.colour[tree.order], tree.colour[domain]
            out["colour_matrices"] = gain[:, None, None] * np.eye(3)
            out["colour_offsets"] = to_rgb(own - gain[:, None] * its)
        return out

    def summary(self) -> dict[str, Any]:
        """Plain facts: points, ranges, steps, bytes by part."""
        s, tree = self.settings, self.tree
        names = ("means", "normal means", "shapes", "normal shapes")
        return {
            "dimension": s.dim, "points": s.points, "ranges": len(tree.order), "deepest": int(tree.depth.max()),
            "colours": s.coloured, "scale": s.scale, "centre": s.centre.tolist(),
            "steps": dict(zip(names, steps_of(s), strict=True)),
            "bytes by part": {name: len(data) for name, (data, _) in self.segments.items()},
        }  # fmt: skip

    def to_bytes(self) -> bytes:
        """The ``.fk`` file."""
        names = [n for n in SEGMENTS if n != "colours" or self.settings.coloured]
        header = container.Header("cloud", 1, 1, 3 if self.settings.coloured else 1, 8, self.settings.pack(),
                                  self.metadata)  # fmt: skip
        return container.write(header, [self.segments[n][0] for n in names])

    @classmethod
    def from_bytes(
        cls, data: bytes, name: str = ".fk data", *, max_pixels: int = container.MAX_PIXELS, partial: bool = False
    ) -> Self:
        """The code of a ``.fk`` file; with ``partial`` also of the beginning of one.

        Raises:
            DataError: damaged, cut off, or of another codec; it begins with ``name``.
        """
        header, segments = container.read(data, name, max_pixels=max_pixels, partial=partial)
        if header.codec != "cloud":
            raise DataError(f"{name}: coded by {header.codec!r}, not by the cloud codec")
        settings = CloudSettings.unpack(header.settings, name)
        names = [n for n in SEGMENTS if n != "colours" or settings.coloured]
        if len(segments) != len(names):
            raise DataError(f"{name}: {len(segments)} segments, a cloud has {len(names)}; the file is damaged")
        whole = [n for n, _ in header.segments]
        parts = {n: (s, len(s) < w) for n, s, w in zip(names, segments, whole, strict=True)}
        return cls(settings, parts, header.metadata)
