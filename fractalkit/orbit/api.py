"""The chaos game: points of an attractor, or their histogram, by whichever engine is at hand."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import UsageError
from fractalkit.orbit.streams import CHAINS, MOST, Plan, plan

ENGINES = ("auto", "torch", "numba", "triton")
MAX_DEPTH = 64
MAX_CELLS = 1 << 31
_CHUNK_ROWS = 16  # rows of CHAINS points that a stream makes at a time
_COUNT_LIMIT = 1 << 31  # points into 32-bit counters before they are added to the 64-bit ones


@dataclass(frozen=True)
class Orbit:
    """Points of an attractor.

    Attributes:
        points: ``[N, D]``.
        addresses: ``[N, L]`` uint16, the last L maps that made each point, most recent first; None when L = 0.
    """

    points: Tensor
    addresses: Tensor | None = None

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class Histogram:
    """Counts of orbit points on a grid.

    Attributes:
        counts: int64, ``[H, W]`` in the plane (row 0 at the lowest y) or ``[Z, Y, X]`` in space.
        rgb: sums of colours, float64 ``[*shape, 3]``; divide by counts for the mean colour. None unless asked for.
        low, high: corners ``[D]`` of the grid, x first.
        outside: points that fell beside the grid.
    """

    counts: Tensor
    rgb: Tensor | None
    low: Tensor
    high: Tensor
    outside: int


def pick_engine(engine: str, device: torch.device | str | None) -> tuple[str, torch.device]:
    """The engine and device that "auto" and None come to.

    Raises:
        UsageError: an unknown engine, or one that does not run on that device.
    """
    if engine not in ENGINES:
        raise UsageError(f"engine: unknown name {engine!r}, choose one of {', '.join(ENGINES)}")
    where = torch.device(device) if device is not None else torch.device("cuda" if engine == "triton" else "cpu")
    if engine == "auto":
        has_triton = where.type == "cuda" and importlib.util.find_spec("triton") is not None
        engine = "numba" if where.type == "cpu" else "triton" if has_triton else "torch"
    if engine == "numba" and where.type != "cpu":
        raise UsageError(f"engine: numba runs on the CPU, not on {where}")
    if where.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device: {where} was asked for, but this machine has no usable CUDA device")
    return engine, where


def _walker(p: Plan, engine: str, dtype: torch.dtype, device: torch.device) -> Any:
    if dtype not in (torch.float32, torch.float64):
        raise UsageError(f"dtype: expected float32 or float64, got {dtype}")
    if engine == "numba":
        from fractalkit.orbit.numba_cpu import NumbaWalker

        return NumbaWalker(p, np.dtype("float32" if dtype == torch.float32 else "float64"))
    if engine == "triton":
        from fractalkit.orbit.triton_cuda import TritonWalker

        return TritonWalker(p, dtype, device)
    from fractalkit.orbit.torch_twin import TorchWalker

    return TorchWalker(p, dtype, device)


def stream(
    ifs: AffineIFS,
    n: int,
    *,
    chunk: int = _CHUNK_ROWS * CHAINS,
    seed: int | torch.Generator = 0,
    engine: str = "auto",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    depth: int = 0,
    burn_in: int | None = None,
) -> Iterator[Orbit]:
    """The points of :func:`sample`, the very same, in pieces of at most about ``chunk``, in bounded memory.

    Args, Raises: as :func:`sample`; pieces are multiples of 65,536 points but for the last.
    """
    if not 0 <= n <= MOST:
        raise UsageError(f"n: expected 0 to {MOST:,} points, got {n}; take several seeds for more")
    if not 0 <= depth <= MAX_DEPTH:
        raise UsageError(f"depth: expected 0 to {MAX_DEPTH}, got {depth}")
    engine, where = pick_engine(engine, device)
    p = plan(ifs, seed, burn_in)
    walker = _walker(p, engine, dtype, where)
    numpy = engine == "numba"

    def empty(shape: tuple[int, ...], kind: torch.dtype) -> Any:
        if numpy:
            return np.empty(shape, np.dtype(str(kind).removeprefix("torch.")))
        return torch.empty(shape, dtype=kind, device=where)

    past = max(depth - 1, 0)
    if past > p.burn:
        raise UsageError(f"depth: an address of {depth} maps needs a burn-in of at least {past}, got {p.burn}")
    walker.skip(p.burn - past)
    history = empty((past, CHAINS), torch.int16)
    if past:
        walker.skip(past, history.view(np.uint16) if numpy else history)
    rows = max(chunk // CHAINS, 1)
    done = 0
    while done < n:
        r = min(rows, -(-(n - done) // CHAINS))
        points = empty((r, CHAINS, ifs.dim), dtype)
        symbols = empty((r, CHAINS), torch.int16) if depth else None
        walker.points(r, points, symbols if symbols is None or not numpy else symbols.view(np.uint16))
        take = min(n - done, r * CHAINS)
        if numpy:
            points = torch.from_numpy(points)
        addresses = None
        if symbols is not None:
            both = torch.cat([_tensor(history), _tensor(symbols)])  # [past + r, CHAINS]
            columns = [both[past - j : past - j + r].reshape(-1)[:take] for j in range(depth)]
            addresses = torch.stack(columns, dim=1).view(torch.uint16)
            history = both[len(both) - past :]
        yield Orbit(points.view(-1, ifs.dim)[:take], addresses)
        done += take


def _tensor(x: Any) -> Tensor:
    return torch.from_numpy(x) if isinstance(x, np.ndarray) else x


def sample(
    ifs: AffineIFS,
    n: int,
    *,
    seed: int | torch.Generator = 0,
    engine: str = "auto",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    depth: int = 0,
    burn_in: int | None = None,
) -> Orbit:
    """n points of the attractor, distributed by the invariant measure: Barnsley's chaos game on 65,536 chains.

    Up to 65,536 points are independent draws; point i + 65,536 is the image of point i under one map. A sample begins
    with every shorter sample of the same seed. All engines take the same maps; points agree to rounding.

    Args:
        ifs: a contractive code.
        n: number of points, 0 or more.
        seed: a 64-bit integer, or a torch.Generator from which one is drawn.
        engine: "numba" (CPU threads), "triton" (CUDA), "torch" (any device, the plain twin), or "auto".
        dtype: torch.float32 or torch.float64.
        device: None for the CPU ("cuda" with engine="triton").
        depth: how many of the last maps to return with each point, 0 to 64.
        burn_in: steps before the first point; None lets the code's contraction decide.

    Raises:
        DataError: a map of the code does not contract.
        UsageError: an argument out of range, or an engine that the device does not run.

    >>> from fractalkit.codes import preset
    >>> o = sample(preset("barnsley-fern"), 1000, seed=1, depth=2, engine="torch")
    >>> o.points.shape, o.addresses.shape
    (torch.Size([1000, 2]), torch.Size([1000, 2]))
    """
    if not depth and n > CHAINS:
        # straight into one array, padded to whole rows of chains
        engine, where = pick_engine(engine, device)
        p = plan(ifs, seed, burn_in)
        walker = _walker(p, engine, dtype, where)
        walker.skip(p.burn)
        rows = -(-n // CHAINS)
        if engine == "numba":
            array = np.empty((rows, CHAINS, ifs.dim), walker.tab.dtype)
            for r in range(
                0, rows, _CHUNK_ROWS
            ):  # chains are written side by side: few rows at a time stay in the cache
                walker.points(min(_CHUNK_ROWS, rows - r), array[r : r + _CHUNK_ROWS], None)
            whole = torch.from_numpy(array)
        else:
            whole = torch.empty(rows, CHAINS, ifs.dim, dtype=dtype, device=where)
            walker.points(rows, whole, None)
        return Orbit(whole.view(-1, ifs.dim)[:n])
    pieces = list(stream(ifs, n, chunk=n + CHAINS, seed=seed, engine=engine, dtype=dtype, device=device, depth=depth,
                         burn_in=burn_in))  # fmt: skip
    if not pieces:
        _, where = pick_engine(engine, device)
        none = torch.empty(0, depth, dtype=torch.uint16, device=where) if depth else None
        return Orbit(torch.empty(0, ifs.dim, dtype=dtype, device=where), none)
    return pieces[0]


def extent(ifs: AffineIFS, *, margin: float = 0.02, points: int = 1 << 18) -> tuple[Tensor, Tensor]:
    """Corners ``[D]`` of the attractor's extent, as a sample shows it, plus ``margin`` of its longest side."""
    x = sample(ifs, points, dtype=torch.float64).points
    low, high = x.amin(0), x.amax(0)
    pad = max(float((high - low).max()), 1e-12 * max(float(x.abs().max()), 1e-300)) * margin
    return low - pad, high + pad


def histogram(
    ifs: AffineIFS,
    n: int,
    *,
    shape: tuple[int, ...],
    bounds: tuple[Tensor, Tensor] | None = None,
    colours: bool = False,
    seed: int | torch.Generator = 0,
    engine: str = "auto",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    burn_in: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Histogram:
    """Counts of n orbit points, the very points of :func:`sample`, on a grid; no point is ever stored.

    Memory is that of the grid (32-bit counters for each thread and 64-bit totals), whatever n is.

    Args:
        shape: ``(H, W)`` in the plane, ``(Z, Y, X)`` in space.
        bounds: corners (low ``[D]``, high ``[D]``), x first; None takes :func:`extent`.
        colours: sum colours too, blended along each orbit as AffineIFS says; exact in units of 2^-16.
        progress: called now and then with the number of points done.

    Other arguments and errors as :func:`sample`. The result does not depend on the number of threads.
    """
    if not 0 <= n <= MOST:
        raise UsageError(f"n: expected 0 to {MOST:,} points, got {n}; take several seeds for more")
    cells = int(np.prod([int(s) for s in shape], dtype=object)) if shape else 0
    if len(shape) != ifs.dim or min(shape, default=0) < 1 or cells > MAX_CELLS:
        raise UsageError(f"shape: expected {ifs.dim} sides of at least 1 and at most {MAX_CELLS} cells, got {shape}")
    if colours and ifs.colours is None:
        raise UsageError("colours: this code has none")
    engine, where = pick_engine(engine, device)
    low, high = bounds if bounds is not None else extent(ifs)
    low, high = low.double().cpu(), high.double().cpu()
    if low.shape != (ifs.dim,) or high.shape != (ifs.dim,) or not bool((high > low).all()):
        raise UsageError("bounds: expected low [D] below high [D]")
    sides = np.array(shape[::-1], dtype=np.int64)  # x first
    scale = sides / (high - low).numpy()
    grid = (scale, -low.numpy() * scale, sides)
    p = plan(ifs, seed, burn_in)
    walker = _walker(p, engine, dtype, where)
    total = torch.zeros(cells + 1, dtype=torch.int64)
    rgb = torch.zeros(cells + 1, 3, dtype=torch.int64) if colours else None
    tint = ifs.colours.detach().double().cpu().numpy() if ifs.colours is not None else np.zeros((len(ifs), 3))
    if colours:
        _warm_colours(walker, engine, ifs, p.burn, tint)
    else:
        walker.skip(p.burn)
    done = 0
    while done < n:
        rows, last = divmod(min(n - done, _COUNT_LIMIT // (1 if progress is None else 16)), CHAINS)
        if rows and last and n - done > rows * CHAINS + last:
            last = 0  # only the very end of the sample stops inside a row
        _count(walker, engine, rows, last, grid, tint, ifs.colour_speed, total, rgb)
        done += rows * CHAINS + last
        if progress is not None:
            progress(done)
    return Histogram(
        total[:-1].view(*shape),
        None if rgb is None else rgb[:-1].view(*shape, 3).double() / 65536,
        low,
        high,
        int(total[-1]),
    )


def _warm_colours(walker: Any, engine: str, ifs: AffineIFS, burn: int, tint: np.ndarray) -> None:
    """The burn-in, with the chains' colours blended over its last steps; before those it is the mean colour."""
    mean = torch.from_numpy(ifs.probabilities.detach().double().cpu().numpy() @ tint)
    walker.tone[:] = mean.numpy()[:, None] if isinstance(walker.tone, np.ndarray) else mean.to(walker.tone)[:, None]
    left = 1 - ifs.colour_speed
    blend = min(burn, 1 if left == 0 else math.ceil(-17 * math.log(2) / math.log(left)))
    walker.skip(burn - blend)
    nowhere = (np.ones(ifs.dim), np.zeros(ifs.dim), np.ones(ifs.dim, np.int64))
    dump = torch.zeros(2, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64)
    _count(walker, engine, blend, 0, nowhere, tint, ifs.colour_speed, *dump)


def _count(walker, engine, rows, last, grid, tint, speed, total, rgb) -> None:  # type: ignore[no-untyped-def]
    if engine == "numba":
        import numba

        size = len(total) * (4 + (24 if rgb is not None else 0))
        workers = max(1, min(numba.get_num_threads(), (4 << 30) // size))
        hist = np.zeros((workers, len(total)), np.uint32)
        sums = np.zeros((workers, len(total), 3), np.int64) if rgb is not None else None
        walker.count(rows, last, grid, tint, speed, hist, sums)
        for w in range(workers):
            total += torch.from_numpy(hist[w]).to(torch.int64)
            if rgb is not None and sums is not None:
                rgb += torch.from_numpy(sums[w])
    else:
        walker.count(rows, last, grid, tint, speed, total, rgb)
