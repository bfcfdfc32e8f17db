"""Collages decoded: the map itself, its fixed point coarse-first at any size, any window of it, strips of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fractalkit.codes.collage import CollageCode, Domain
from fractalkit.core import IteratedMap, Levels, Window, fixed_point
from fractalkit.errors import UsageError
from fractalkit.maps.combine import combine
from fractalkit.maps.fields import axis_of
from fractalkit.maps.nodes import NodeMap, Nodes, centre_nodes
from fractalkit.maps.orbits import base_map, read_base
from fractalkit.raster.area import Taps
from fractalkit.raster.batch import PictureTensor

STRIP_BYTES = 40 << 20  # larger than the blocks that glibc keeps in its heap, to avoid fragmentation
KEEP_BYTES = 32 << 20  # coarser pictures up to this size are made whole and kept while strips are drawn
MAX_SIDE = 1 << 40
STRONGEST = 0.97  # Lipschitz constant of the copied detail at ``detail`` 2
MOST_DETAIL = 4.0  # largest factor of its contrast, for codes that hardly copy

Span = tuple[int, int]


class CollageMap(NodeMap):
    """The collage operator on pictures ``[B, C, H, W]``; sup norm per item, contracting by max sum_d |contrast|.

    A plain code's domains are averaged over H / Gh x W / Gw blocks, Jacquin's operator. A continuous code needs the
    picture at points: where a domain's points are pixel centres (a whole-image domain and an odd Gh, Gw) the step is
    exact, elsewhere it interpolates linearly between centres (a mean of two on each axis for an even grid), and its
    fixed point is near, not equal to, the picture that :func:`decode` samples.

    Coarse first, pooling commutes with the step, so the copies are read from the fixed point at 1 / Gh x 1 / Gw of the
    pixels as they are. Where the grid no longer divides the size, the equations are solved (:mod:`.orbits`).

    Args:
        code: a contractive code; gradients flow to it. It is checked only if no gradient is recorded: codes of networks
            contract by construction (see :meth:`CollageCode.bounded`).
        height, width: of the picture, in pixels.
        detail: how much detail finer than the picture at ``native`` pixels the copies have, 0 to 2. At 0 they are that
            picture, enlarged by cubic convolution; at 1 the result is the fixed point. In between the contrast of the
            detail falls by this factor from level to level; above 1 it rises, at 2 to the most that contracts.
        native: (width, height) of the pictures that a model was trained on; needed for a ``detail`` other than 1.
        cells: points of the native picture along each side of a pixel that was learned. Copies of it show its pixels'
            means, as the points inside a pixel were never seen one by one.

    Raises:
        DataError: the code is not finite or does not contract.
        UsageError: a size below 1, a detail out of range or without ``native``.
    """

    def __init__(
        self,
        code: CollageCode,
        height: int,
        width: int,
        *,
        detail: float = 1.0,
        native: tuple[int, int] | None = None,
        cells: int = 1,
    ) -> None:
        check_size(height, width)
        if not 0 <= detail <= 2:
            raise UsageError(f"detail: expected 0 to 2, got {detail}")
        if detail != 1 and native is None:
            raise UsageError("detail: other than 1, it needs the native size, of the pictures the code was made for")
        recorded = torch.is_grad_enabled() and (code.contrast.requires_grad or code.brightness.requires_grad)
        if not recorded:
            code.check()
        super().__init__(code)
        self.height, self.width, self.native, self.cells = height, width, native, cells
        self.detail = 1.0 if self._small else detail

    @cached_property
    def nodes(self) -> Nodes:  # type: ignore[override]
        """The pixels: their centres for a continuous code, their areas for a plain one."""
        return centre_nodes(self.code, self.height, self.width)

    def whole(self) -> Window:
        """(0, 0, width, height)."""
        return 0, 0, self.width, self.height

    def level(self) -> tuple[str, int, int, float]:
        """The size and the detail."""
        return "collage", self.height, self.width, self.detail

    def needs(self, window: Window | None) -> list[tuple[IteratedMap, Window | None]]:
        """The domains at 1 / Gh x 1 / Gw of the size, or the map to solve if the grid no longer divides the size."""
        window = window or self.whole()
        if self._undivided:
            with torch.autocast(self.code.brightness.device.type, enabled=False):
                return [(base_map(self.code, self.fields, self.height, self.width, window), None)]
        maps: list[tuple[IteratedMap, Window | None]] = []
        for domain in self.code.domains:
            height, width = self._shown(domain)
            read = self._reads(domain, window)
            if self.detail > 0:
                coarse = self._at(domain.scale * height, domain.scale * width, self.detail)
                maps += [(coarse, (left, top, right, bottom)) for top, bottom in read[0] for left, right in read[1]]
            if self.detail != 1:
                maps.append((self._at(*self._native_below(domain)), None))
        return [(map, map.whole() if part is None else part) for map, part in maps]

    def lift(self, parts: Sequence[Tensor], window: Window | None) -> Tensor:
        """One step that reads the coarser fixed points as they are, without averaging: exact for both kinds of code."""
        window = window or self.whole()
        left, top, right, bottom = window
        (gh, gw), fields, mirror = self.code.grid, self.fields, self.code.continuous
        with torch.autocast(self.code.brightness.device.type, enabled=False):
            if self._undivided:
                return read_base(self.code, fields, self.height, self.width, window, parts[0])
            sources = self.copies(parts, window)
            rows = None if (top, bottom) == (0, self.height) else np.arange(top, bottom)
            cols = None if (left, right) == (0, self.width) else np.arange(left, right)
            y, _ = axis_of(gh, self.height, mirror, fields.patches.shape[2], rows)
            x, _ = axis_of(gw, self.width, mirror, fields.patches.shape[3], cols)
            return combine(fields.brightness, fields.weights, sources, fields.auxiliary(y, x), y, x)

    def copies(self, parts: Sequence[Tensor], window: Window) -> list[Tensor]:
        """The copied domains, ``[B, C, Uy, Ux]`` each, on the range coordinates that a window meets."""
        remaining = iter(parts)
        sources = []
        for domain in self.code.domains:
            rows, cols = self._reads(domain, window)
            flips = [dim for dim, flip in zip((-2, -1), domain.flips, strict=True) if flip]
            shown: Tensor | None = None
            if self.detail > 0:
                pieces = [[next(remaining) for _ in cols] for _ in rows]
                shown = _joined([_joined([p.flip(flips) if flips else p for p in row], -1) for row in pieces], -2)
            if self.detail != 1:
                plain = self._enlarged(next(remaining), domain, rows, cols)
                plain = plain.flip(flips) if flips else plain
                shown = plain if shown is None else torch.lerp(plain, shown, self._share)
            assert shown is not None
            sources.append(shown.mT if domain.transposed else shown)
        return sources

    # ---- sizes

    @property
    def _undivided(self) -> bool:
        gh, gw = self.code.grid
        if not (self.height % gh or self.width % gw):
            return False
        if self.detail != 1:
            raise UsageError(
                f"detail: {self.width} x {self.height} is no multiple of the grid; draw at valid_size(...)"
            )
        return True

    @property
    def _small(self) -> bool:
        """Whether the picture has no more pixels than those that the code was made for: no detail to change."""
        return self.native is not None and self.width <= self.native[0] and self.height <= self.native[1]

    @cached_property
    def _share(self) -> float | Tensor:
        """The factor of the detail's contrast, a number or ``[B, 1, 1, 1]``."""
        if self.detail <= 1:
            return self.detail
        most = (STRONGEST / self.code.lipschitz().clamp_min(1e-6)).clamp(1, MOST_DETAIL)
        return (1 + (self.detail - 1) * (most - 1))[:, None, None, None].to(self.code.brightness.dtype)

    def _at(self, height: int, width: int, detail: float = 1.0) -> CollageMap:
        """The same code at another size; in full detail where no more can be changed, or no range divides the size."""
        other = CollageMap.__new__(CollageMap)  # without the checks
        other.code, other.fields, other.native, other.cells = self.code, self.fields, self.native, self.cells
        other.detail = 1.0
        other.height, other.width = height, width
        if not (other._small or other._undivided):
            other.detail = detail
        return other

    def _shown(self, domain: Domain) -> tuple[int, int]:
        """Rows and columns of a domain that a range shows."""
        size = self.height // self.code.grid[0], self.width // self.code.grid[1]
        return size[::-1] if domain.transposed else size  # type: ignore[return-value]

    def _reads(self, domain: Domain, window: Window) -> tuple[list[Span], list[Span]]:
        """The rows and columns of the coarser picture that a window reads in a domain, as intervals."""
        (gh, gw), mirror = self.code.grid, self.code.continuous
        axes = [
            _stretches(self.height // gh, mirror, window[1], window[3]),
            _stretches(self.width // gw, mirror, window[0], window[2]),
        ]
        if domain.transposed:
            axes.reverse()
        sizes = self._shown(domain)
        cells = domain.row, domain.col
        rows, cols = (
            [(c * n + n - b, c * n + n - a) if flip else (c * n + a, c * n + b) for a, b in spans]
            for spans, n, c, flip in zip(axes, sizes, cells, domain.flips, strict=True)
        )
        return rows, cols

    # ---- detail

    def _native_below(self, domain: Domain) -> tuple[int, int]:
        """Height and width of the picture in which a domain is read at the native size."""
        assert self.native is not None
        (gh, gw), (width, height) = self.code.grid, self.native
        size = max(1, height // gh), max(1, width // gw)
        if domain.transposed:
            size = size[::-1]
        return domain.scale * size[0], domain.scale * size[1]

    def _enlarged(self, native: Tensor, domain: Domain, rows: list[Span], cols: list[Span]) -> Tensor:
        """The same intervals of a domain, interpolated from the pixels of the picture at the native size."""
        height, width = self._shown(domain)
        if self.cells > 1:
            down, across = (max(1, n // self.cells) for n in native.shape[-2:])
            native = F.adaptive_avg_pool2d(native, (down, across))
        for dim, spans, n in ((-2, rows, height * domain.scale), (-1, cols, width * domain.scale)):
            places = np.concatenate([np.arange(a, b) for a, b in spans])
            native = Taps.cubic(2 * places + 1, 2 * n, native.shape[dim]).apply(native, dim)
        return native


def _stretches(block: int, mirror: bool, start: int, stop: int) -> list[Span]:
    """The intervals within ranges of ``block`` pixels that pixels start … stop - 1 cover; odd ranges may be mirrored.

    >>> _stretches(10, True, 8, 15), _stretches(10, False, 8, 12), _stretches(10, True, 3, 40)
    ([(5, 10)], [(0, 2), (8, 10)], [(0, 10)])
    """
    if stop - start >= 2 * block:
        return [(0, block)]
    spans = []
    for j in range(start // block, (stop - 1) // block + 1):
        a, b = max(start, j * block) - j * block, min(stop, (j + 1) * block) - j * block
        spans.append((block - b, block - a) if mirror and j % 2 else (a, b))
    joined: list[Span] = []
    for a, b in sorted(spans):
        if joined and a <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(b, joined[-1][1])
        else:
            joined.append((a, b))
    return joined


def _joined(pieces: list[Tensor], dim: int) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)


def valid_size(code_or_grid: CollageCode | tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """The next size at or above (height, width) that the grid of ranges divides.

    >>> valid_size((7, 4), 1440, 900)
    (1442, 900)
    """
    gh, gw = code_or_grid.grid if isinstance(code_or_grid, CollageCode) else code_or_grid
    check_size(height, width)
    return -(-height // gh) * gh, -(-width // gw) * gw


def good_size(
    code_or_grid: CollageCode | tuple[int, int], height: int, width: int, *, waste: float = 1.05
) -> tuple[int, int]:
    """The size at or above (height, width) whose coarsest picture is smallest, at most ``waste`` times larger per side.

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


def decode(
    code: CollageCode,
    height: int | tuple[int, int] | None = None,
    width: int | None = None,
    *,
    size: tuple[int, int] | None = None,
    window: Window | None = None,
) -> PictureTensor:
    """The fixed point at a size, or a window of it: ``[B, C, h, w]``, differentiable in the code's four tensors.

    The same as ``fixed_point(CollageMap(code, height, width), window)``, as a tensor with ``save(path)`` and ``pil``.
    Cost is about that of one step, whatever the contrast. A size need not be a multiple of the grid, but is decoded
    faster where it is. Runs in float32 or float64, under autocast too.

    Args:
        code: a contractive code.
        height, width: pixels of the whole picture.
        size: (width, height) in their place.
        window: (left, top, right, bottom), half open, in its pixels; cost is that of the window, whatever the size.

    Raises:
        DataError: the code is not finite or does not contract.
        UsageError: no size, a size below 1, a window that is empty or leaves the picture.

    >>> code = CollageCode(torch.full((1, 1, 2, 2), 0.5), torch.ones(1, 1, 2, 2))
    >>> decode(code, 4, 6).shape == decode(code, size=(6, 4)).shape
    True
    """
    if isinstance(height, tuple | list) and width is size is None:
        size, height = (height[0], height[-1]), None  # (width, height), as everywhere
    if size is not None and height is width is None:
        width, height = size
    if isinstance(height, tuple | list) or height is None or width is None:
        raise UsageError("decode: a collage has no size of its own; give height and width, or size=(width, height)")
    return PictureTensor.of(fixed_point(CollageMap(code, height, width), window))


def strips(code: CollageCode, height: int, width: int, *, rows: int | None = None) -> Iterator[tuple[int, Tensor]]:
    """The fixed point in strips of full width from the top: pairs (top, ``[B, C, rows, W]``), in bounded memory.

    Small coarse levels are made once; larger ones are drawn anew for each strip, which adds 1 / G to its cost.

    Args:
        rows: height of a strip; None takes about 40 MiB.

    Raises:
        DataError, UsageError: as :func:`decode`; rows below 1.
    """
    map = CollageMap(code, height, width)
    pixel_bytes = code.batch * code.channels * map.fields.brightness.element_size()
    each = max(1, STRIP_BYTES // (pixel_bytes * width)) if rows is None else rows
    if each < 1:
        raise UsageError(f"rows: expected at least 1, got {rows}")
    levels = Levels(KEEP_BYTES // pixel_bytes)

    def draw() -> Iterator[tuple[int, Tensor]]:
        for top in range(0, height, each):
            yield top, levels.at(map, (0, top, width, min(top + each, height)))

    return draw()


def check_size(height: int, width: int) -> None:
    """Raise a UsageError for sides below 1 or above 2^40, beyond which coordinates lose precision."""
    for name, size in (("height", height), ("width", width)):
        if not 1 <= size <= MAX_SIDE:
            raise UsageError(f"{name}: expected 1 to {MAX_SIDE} pixels, got {size}")
