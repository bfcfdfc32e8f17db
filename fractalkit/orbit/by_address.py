"""Points of a collage of clouds, drawn by address: pieces of a sample, streams and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.errors import UsageError
from fractalkit.orbit.address import Addresses
from fractalkit.orbit.records import Orbit
from fractalkit.orbit.streams import seed_of

CHUNK = 1 << 20


def draw(
    code: Addresses, first: int, n: int, *, seed: int, of: int = 0, tolerance: float, starts: np.ndarray | None = None,
    depth: int = 0, colours: bool = False, engine: str = "numba", device: torch.device | str = "cpu",
) -> Orbit:  # fmt: skip
    """Points first … first + n - 1 of a sample, float64; by the engine wgsl with the digits of float32.

    Args:
        of: the size of a sample that covers the measure evenly; 0: independent draws.
        tolerance: at most what the end of an address may move its point.
        starts: ``[n]`` int64, the first range of each address where it is given; u chooses the others.
        depth: ranges of each address to return.
    """
    if engine == "wgsl":
        from fractalkit.orbit.wgsl.address import on_gpu

        return on_gpu(code).draw(first, n, seed, of, tolerance, starts, depth, colours)
    if engine == "numba":
        from fractalkit.orbit.address_cpu import draw as compiled

        return compiled(code, first, n, seed, of, tolerance, starts, depth, colours)
    from fractalkit.orbit.address_twin import draw as plain

    return plain(code, first, n, seed, of, tolerance, starts, depth, colours, torch.device(device))


def stream(
    code: CloudCollage, n: int, *, chunk: int = CHUNK, seed: int | torch.Generator = 0, engine: str = "numba",
    dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", depth: int = 0, colours: bool = False,
    stratified: bool = False,
) -> Iterator[Orbit]:  # fmt: skip
    """Pieces of n points by address; arguments and errors as :func:`fractalkit.orbit.stream`."""
    if colours and not code.coloured:
        raise UsageError("colours: this code has none")
    table, number = Addresses.of(code), seed_of(seed)
    tolerance = torch.finfo(dtype).eps * table.size
    chunk = max(min(chunk, CHUNK), 1)
    for first in range(0, n, chunk):
        piece = draw(
            table, first, min(chunk, n - first), seed=number, of=n if stratified else 0, tolerance=tolerance,
            depth=depth, colours=colours, engine=engine, device=device,
        )  # fmt: skip
        yield Orbit(piece.points.to(dtype), piece.addresses, piece.colours)


def count(
    code: CloudCollage, n: int, grid: tuple[np.ndarray, np.ndarray, np.ndarray], total: Tensor, rgb: Tensor | None,
    *, progress: Callable[[int], None] | None = None, **options: Any,
) -> None:  # fmt: skip
    """Add n points to counts ``[cells + 1]`` int64, whose last is for those outside, and colours ``[cells + 1, 3]``.

    ``grid`` is (scale, shift, sides) per coordinate, x first; colours are sums in units of 2^-16.
    """
    if options.get("engine") == "wgsl":
        from fractalkit.orbit.wgsl.address import on_gpu

        table, dtype = Addresses.of(code), options["dtype"]
        tolerance = torch.finfo(dtype).eps * table.size
        on_gpu(table).count(n, seed_of(options["seed"]), tolerance, grid, total, rgb, progress)
        return
    add(stream(code, n, colours=rgb is not None, **options), grid, total, rgb, progress)


def add(
    pieces: Iterator[Orbit], grid: tuple[np.ndarray, np.ndarray, np.ndarray], total: Tensor, rgb: Tensor | None,
    progress: Callable[[int], None] | None = None,
) -> None:  # fmt: skip
    """Add pieces of a sample to counts and sums of colours, as :func:`count` does."""
    scale, shift, sides = (torch.from_numpy(g) for g in grid)
    strides = torch.cat([torch.ones(1, dtype=torch.int64), torch.cumprod(sides, 0)[:-1]])
    done = 0
    for piece in pieces:
        f = scale * piece.points.cpu().double() + shift
        inside = ((f >= 0) & (f < sides)).all(dim=1)
        cell = torch.where(inside, (torch.where(inside[:, None], f, 0.0).long() * strides).sum(1), len(total) - 1)
        total.index_add_(0, cell, torch.ones_like(cell))
        if rgb is not None and piece.colours is not None:
            rgb.index_add_(0, cell, (piece.colours.cpu().double() * 65536).long())
        done += len(piece)
        if progress is not None:
            progress(done)
