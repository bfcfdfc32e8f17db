"""Collages decoded: the map itself, its fixed point coarse-first at any size, any window of it, strips of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.collage import CollageCode
from fractalkit.core import IteratedMap
from fractalkit.errors import UsageError
from fractalkit.maps.combine import combine
from fractalkit.maps.fields import axis_of
from fractalkit.maps.nodes import Fields, NodeMap, centre_nodes
from fractalkit.maps.orbits import base

STRIP_BYTES = 40 << 20  # above what glibc keeps in its heap, which strips of other sizes would fragment
KEEP_BYTES = 32 << 20  # coarser pictures up to this size are made whole and kept while strips are drawn
MAX_SIDE = 1 << 40


class CollageMap(IteratedMap):
    """The collage operator on pictures ``[B, C, H, W]``; sup norm per item, contracting by max sum_d |contrast|.

    A plain code's domains are averaged over H / Gh x W / Gw blocks, Jacquin's operator. A continuous code needs the
    picture at points: where a domain's points are pixel centres (a whole-image domain and an odd Gh, Gw) the step is
    exact, elsewhere it interpolates linearly between centres (a mean of two on each axis for an even grid), and its
    fixed point is near, not equal to, the picture that :func:`decode` samples.

    Args:
        code: a contractive code; gradients flow to it.
        height, width: of the picture; multiples of the grid for the coarser level to exist, else any size.

    Raises:
        DataError: the code is not finite or does not contract.
        UsageError: a size below 1.
    """

    def __init__(self, code: CollageCode, height: int, width: int) -> None:
        _check_size(height, width)
        self.code, self.height, self.width = code.check(), height, width
        self._nodes = NodeMap(code, centre_nodes(code, height, width))

    def start(self) -> Tensor:
        """The brightness of the ranges, without any copy of the picture."""
        return self._nodes.start()

    def step(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> ``[B, C, H, W]``."""
        return self._nodes.step(x)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Largest absolute difference of each item: ``[B]``."""
        return self._nodes.distance(x, y)

    def lipschitz(self) -> Tensor:
        """The code's own, ``[B]``."""
        return self._nodes.lipschitz()

    def coarse(self) -> CollageMap | None:
        """The same code on 1 / Gh x 1 / Gw of the pixels, for a single whole-image domain on a grid that divides."""
        gh, gw = self.code.grid
        domain = self.code.domains[0]
        if len(self.code.domains) > 1 or domain.scale > 1 or self.height % gh or self.width % gw:
            return None
        h, w = self.height // gh, self.width // gw
        return CollageMap(self.code, w, h) if domain.transposed else CollageMap(self.code, h, w)

    def lift(self, x: Tensor) -> Tensor:
        """One step that reads the coarser fixed point as it is, without averaging: exact for both kinds of code."""
        decoder = _Decoder(self.code)
        decoder.kept[(x.shape[-2], x.shape[-1])] = x
        return decoder.lift(self.height, self.width, None, None)


def valid_size(code_or_grid: CollageCode | tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """The next size at or above (height, width) that the grid of ranges divides.

    >>> valid_size((7, 4), 1440, 900)
    (1442, 900)
    """
    gh, gw = code_or_grid.grid if isinstance(code_or_grid, CollageCode) else code_or_grid
    _check_size(height, width)
    return -(-height // gh) * gh, -(-width // gw) * gw


def good_size(
    code_or_grid: CollageCode | tuple[int, int], height: int, width: int, *, waste: float = 1.05
) -> tuple[int, int]:
    """The size at or above (height, width) whose coarsest picture is smallest, at most ``waste`` times larger a side.

    It is a multiple of as high a power of the grid as that allows, so nearly all of the work is lifts. Best for windows
    and strips of huge pictures, and needed for those of plain codes; resample to the size that was asked for.

    >>> good_size((7, 7), 1440, 1440), good_size((7, 7), 10**9, 10**9)
    ((1470, 1470), (1008840175, 1008840175))
    """
    grid = code_or_grid.grid if isinstance(code_or_grid, CollageCode) else code_or_grid
    best = valid_size(grid, height, width)
    power = list(grid)
    while True:
        power = [n * g for n, g in zip(power, grid, strict=True)]
        size = -(-height // power[0]) * power[0], -(-width // power[1]) * power[1]
        if size[0] > waste * height or size[1] > waste * width:
            return best
        best = size


def decode(code: CollageCode, height: int, width: int, *, window: tuple[int, int, int, int] | None = None) -> Tensor:
    """The fixed point at a size, or a window of it: ``[B, C, h, w]``, differentiable in the code's four tensors.

    Coarse first: one lift per factor of the grid, from the smallest picture, where the equations are solved (see
    :mod:`fractalkit.maps.orbits`). Cost is about that of one step, whatever the contrast. A size need not be a multiple
    of the grid, but is decoded faster where it is. Runs in float32 or float64, under autocast too.

    Args:
        code: a contractive code (tested only where no gradient is recorded; a network's own codes are so by
            construction, see :meth:`CollageCode.bounded`).
        height, width: pixels of the whole picture.
        window: (y0, x0, y1, x1), half open, in its pixels; cost is that of the window, whatever the size.

    Raises:
        DataError: the code is not finite or does not contract.
        UsageError: a size below 1, a window that is empty or leaves the picture.
    """
    _check_size(height, width)
    if window is None:
        return _Decoder(code).at(height, width, None, None)
    y0, x0, y1, x1 = window
    if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
        raise UsageError(
            f"window: ({y0}, {x0}, {y1}, {x1}) is not inside the {height} x {width} picture; "
            "expected 0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width"
        )
    return _Decoder(code).at(height, width, np.arange(y0, y1), np.arange(x0, x1))


def strips(code: CollageCode, height: int, width: int, *, rows: int | None = None) -> Iterator[tuple[int, Tensor]]:
    """The fixed point in strips of full width from the top: pairs (y0, ``[B, C, rows, W]``), in bounded memory.

    Small coarse levels are made once; larger ones are drawn anew for each strip, which adds 1 / G to its cost.

    Args:
        rows: height of a strip; None takes about 40 MiB.

    Raises:
        DataError, UsageError: as :func:`decode`; rows below 1.
    """
    _check_size(height, width)
    decoder = _Decoder(code)
    row_bytes = code.batch * code.channels * width * decoder.fields.brightness.element_size()
    if rows is None:
        rows = max(1, STRIP_BYTES // row_bytes)
    if rows < 1:
        raise UsageError(f"rows: expected at least 1, got {rows}")
    decoder.keep = KEEP_BYTES // (code.batch * code.channels * decoder.fields.brightness.element_size())

    def draw() -> Iterator[tuple[int, Tensor]]:
        for y0 in range(0, height, rows):
            yield y0, decoder.at(height, width, np.arange(y0, min(y0 + rows, height)), None)

    return draw()


class _Decoder:
    """Pictures of one code at the sizes and pixels asked for, each coarser picture made once."""

    def __init__(self, code: CollageCode) -> None:
        if not (torch.is_grad_enabled() and any(t.requires_grad for t in (code.contrast, code.brightness))):
            code.check()
        self.code = code
        self.fields = Fields.of(code)
        self.kept: dict[tuple[int, int], Tensor] = {}
        self.keep = 0  # pixels up to which a picture is made whole even where a part would do

    def at(self, h: int, w: int, rows: np.ndarray | None, cols: np.ndarray | None) -> Tensor:
        """Pixels rows x cols (all where None) of the h x w picture."""
        if (h, w) in self.kept:
            return _select(self.kept[h, w], rows, cols)
        if rows is not None or cols is not None:
            asked = (h if rows is None else len(rows)) * (w if cols is None else len(cols))
            if h * w > max(self.keep, asked):
                return self._part(h, w, rows, cols)
        self.kept[h, w] = whole = self._part(h, w, None, None)
        return _select(whole, rows, cols)

    def _part(self, h: int, w: int, rows: np.ndarray | None, cols: np.ndarray | None) -> Tensor:
        gh, gw = self.code.grid
        if h % gh or w % gw:
            with torch.autocast(self.code.brightness.device.type, enabled=False):
                return base(self.code, self.fields, h, w, rows, cols)
        return self.lift(h, w, rows, cols)

    def lift(self, h: int, w: int, rows: np.ndarray | None, cols: np.ndarray | None) -> Tensor:
        """One step from the coarser pictures that the domains need."""
        gh, gw = self.code.grid
        fields, mirror = self.fields, self.code.continuous
        y, local_y = axis_of(gh, h, mirror, fields.patches.shape[2], rows)
        x, local_x = axis_of(gw, w, mirror, fields.patches.shape[3], cols)
        mh, mw = h // gh, w // gw
        # what each domain reads, by size of picture, so that a picture is drawn once for all of them
        wanted: dict[tuple[int, int], list[tuple[np.ndarray | None, np.ndarray | None]]] = {}
        reads = []
        for domain in self.code.domains:
            s = domain.scale
            (hd, rd, fully), (wd, cd, fullx) = (mh, local_y, rows is None), (mw, local_x, cols is None)
            if domain.transposed:
                (hd, rd, fully), (wd, cd, fullx) = (wd, cd, fullx), (hd, rd, fully)
            rd, cd = _cell(rd, hd, domain.row, domain.flips[0]), _cell(cd, wd, domain.col, domain.flips[1])
            reads.append((domain, (s * hd, s * wd), rd, cd))
            wanted.setdefault((s * hd, s * wd), []).append((None if fully else rd, None if fullx else cd))
        drawn = {}
        for size, requests in wanted.items():
            rs, cs = (_union([r[k] for r in requests]) for k in (0, 1))
            drawn[size] = (self.at(*size, rs, cs), rs, cs)
        with torch.autocast(self.code.brightness.device.type, enabled=False):
            sources = []
            for domain, size, rd, cd in reads:
                picture, rs, cs = drawn[size]
                picture = _take(_take(picture, rd, rs, -2), cd, cs, -1)
                sources.append(picture.mT if domain.transposed else picture)
            return combine(fields.brightness, fields.weights, sources, fields.auxiliary(y, x), y, x)


def _cell(local: np.ndarray, block: int, cell: int, flip: bool) -> np.ndarray:
    """Rows (or columns) of the picture of scale * block pixels that range pixels ``local`` show."""
    return cell * block + (block - 1 - local if flip else local)


def _union(requests: list[np.ndarray | None]) -> np.ndarray | None:
    if any(r is None for r in requests):
        return None
    return np.unique(np.concatenate(requests))  # type: ignore[arg-type]


def _take(picture: Tensor, want: np.ndarray, have: np.ndarray | None, dim: int) -> Tensor:
    """Lines ``want`` of a picture that holds the lines ``have`` (all of them where None)."""
    index = want if have is None else np.searchsorted(have, want)
    n = len(index)
    if n == picture.shape[dim] and bool((index == np.arange(n)).all()):
        return picture
    if n == picture.shape[dim] and bool((index == np.arange(n)[::-1]).all()):
        return picture.flip(dim)
    if n > 1 and bool((np.diff(index) == 1).all()):
        return picture.narrow(dim, int(index[0]), n)
    return picture.index_select(dim, torch.from_numpy(np.ascontiguousarray(index, dtype=np.int64)).to(picture.device))


def _select(picture: Tensor, rows: np.ndarray | None, cols: np.ndarray | None) -> Tensor:
    if rows is not None:
        picture = _take(picture, rows, None, -2)
    return picture if cols is None else _take(picture, cols, None, -1)


def _check_size(height: int, width: int) -> None:
    for name, size in (("height", height), ("width", width)):
        if not 1 <= size <= MAX_SIDE:
            raise UsageError(f"{name}: expected 1 to {MAX_SIDE} pixels, got {size}")
