"""Points of an attractor, or their histogram: the chaos game by any of four engines, or points by address."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.errors import UsageError
from fractalkit.orbit import by_address
from fractalkit.orbit.records import Histogram, Orbit
from fractalkit.orbit.streams import CHAINS, MOST, Plan, plan

ENGINES = ("auto", "torch", "numba", "triton", "wgsl")
MAX_DEPTH = 64
COLOUR_DEPTH = 16  # maps of an address that a colour is blended from
GRADIENT_DEPTH = 32  # maps of an address that a gradient is followed through
MAX_CELLS = 1 << 31
_CHUNK_ROWS = 16  # rows of CHAINS points that a stream makes at a time
_COUNT_LIMIT = 1 << 31  # points into 32-bit counters before they are added to the 64-bit ones


def pick_engine(engine: str, device: torch.device | str | None) -> tuple[str, torch.device]:
    """Resolve "auto" and None to an engine and a device.

    Raises:
        UsageError: an unknown engine, or one that does not run on that device.
    """
    if engine not in ENGINES:
        raise UsageError(f"engine: unknown name {engine!r}, choose one of {', '.join(ENGINES)}")
    if device == "gpu" or engine == "wgsl":  # its results are on the CPU
        if engine not in ("auto", "wgsl") or device not in (None, "gpu"):
            raise UsageError(f"engine: {engine} and the device {device} do not go together; wgsl runs on gpu alone")
        return "wgsl", torch.device("cpu")
    where = torch.device(device) if device is not None else torch.device("cuda" if engine == "triton" else "cpu")
    if engine == "auto":
        has_triton = where.type == "cuda" and importlib.util.find_spec("triton") is not None
        engine = "numba" if where.type == "cpu" else "triton" if has_triton else "torch"
    if engine == "numba" and where.type != "cpu":
        raise UsageError(f"engine: numba runs on the CPU, not on {where}")
    if engine == "triton" and where.type != "cuda":
        raise UsageError(f"engine: triton runs on CUDA, not on {where}")
    if where.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device: {where} was asked for, but this machine has no usable CUDA device")
    return engine, where


def why_not(
    ifs: AffineIFS | CloudCollage, device: torch.device | str, *, double: bool = False, even: bool = False
) -> str:
    """Why a device does not draw points of a code, which the CPU then does; "" where it does.

    Neither "gpu" nor Metal has float64, in which torch draws collages.
    """
    kind = "gpu" if device == "gpu" else torch.device(device).type
    if kind == "cpu":
        return ""
    if even:
        return "points that cover an attractor evenly are found by the CPU"
    if kind != "cuda" and double:
        return "coordinates so far from the origin need float64, which the device has not"
    if kind not in ("cuda", "gpu") and isinstance(ifs, CloudCollage):
        return "collages of clouds need float64, which the device has not"
    return ""


def _checked_type(dtype: torch.dtype, engine: str) -> torch.dtype:
    if dtype not in (torch.float32, torch.float64):
        raise UsageError(f"dtype: expected float32 or float64, got {dtype}")
    if engine == "wgsl" and dtype != torch.float32:
        raise UsageError("dtype: the engine wgsl computes in float32; use engine numba or torch for float64")
    return dtype


def _walker(p: Plan, engine: str, dtype: torch.dtype, device: torch.device) -> Any:
    _checked_type(dtype, engine)
    if engine == "numba":
        from fractalkit.orbit.numba_cpu import NumbaWalker

        return NumbaWalker(p, np.dtype("float32" if dtype == torch.float32 else "float64"))
    if engine == "wgsl":
        from fractalkit.orbit.wgsl.cloud import WgslWalker

        return WgslWalker(p)
    if engine == "triton":
        from fractalkit.orbit.triton_cuda import TritonWalker

        return TritonWalker(p, dtype, device)
    from fractalkit.orbit.torch_twin import TorchWalker

    return TorchWalker(p, dtype, device)


def stream(
    ifs: AffineIFS | CloudCollage,
    n: int,
    *,
    chunk: int = _CHUNK_ROWS * CHAINS,
    seed: int | torch.Generator = 0,
    engine: str = "auto",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    depth: int = 0,
    burn_in: int | None = None,
    colours: bool = False,
    stratified: bool = False,
) -> Iterator[Orbit]:
    """Yield exactly the points of :func:`sample` in pieces of about ``chunk`` or fewer, in bounded memory.

    Args, Raises: as :func:`sample`; pieces are multiples of 65,536 points but for the last.
    """
    if not 0 <= n <= MOST:
        raise UsageError(f"n: expected 0 to {MOST:,} points, got {n}; take several seeds for more")
    if not 0 <= depth <= MAX_DEPTH:
        raise UsageError(f"depth: expected 0 to {MAX_DEPTH}, got {depth}")
    engine, where = pick_engine(engine, device)
    if colours and isinstance(ifs, AffineIFS) and (ifs.colour_field is not None or not stratified):
        for piece in stream(ifs, n, chunk=chunk, seed=seed, engine=engine, dtype=dtype, device=device,
                            depth=max(depth, COLOUR_DEPTH), burn_in=burn_in, stratified=stratified):  # fmt: skip
            yield _coloured(ifs, piece, depth)
        return
    if stratified or isinstance(ifs, CloudCollage):
        code = ifs if isinstance(ifs, CloudCollage) else CloudCollage.of(ifs)
        yield from by_address.stream(
            code, n, chunk=chunk, seed=seed, engine=engine, dtype=_checked_type(dtype, engine), device=where,
            depth=depth, colours=colours, stratified=stratified,
        )  # fmt: skip
        return
    p = plan(ifs, seed, burn_in)
    past = max(depth - 1, 0)
    if past > p.burn:
        raise UsageError(f"depth: an address of {depth} maps needs a burn-in of at least {past}, got {p.burn}")
    walker = _walker(p, engine, dtype, where)
    walker.skip(p.burn - past)
    yield from _walked(walker, n, chunk, ifs.dim, depth, dtype, None if engine in ("numba", "wgsl") else where)


def _walked(
    walker: Any, n: int, chunk: int, dim: int, depth: int, dtype: torch.dtype, where: torch.device | None
) -> Iterator[Orbit]:
    """The pieces of :func:`stream` by a walker that is ``depth - 1`` steps short of its first point.

    ``where`` is None for a walker that writes NumPy arrays.
    """

    def empty(shape: tuple[int, ...], kind: torch.dtype) -> Any:
        if where is None:
            return np.empty(shape, np.dtype(str(kind).removeprefix("torch.")))
        return torch.empty(shape, dtype=kind, device=where)

    def words(x: Any) -> Any:
        return x.view(np.uint16) if where is None else x

    past = max(depth - 1, 0)
    history = empty((past, CHAINS), torch.int16)
    if past:
        walker.skip(past, words(history))
    rows = max(chunk // CHAINS, 1)
    done = 0
    while done < n:
        r = min(rows, -(-(n - done) // CHAINS))
        points = empty((r, CHAINS, dim), dtype)
        symbols = empty((r, CHAINS), torch.int16) if depth else None
        walker.points(r, points, None if symbols is None else words(symbols))
        take = min(n - done, r * CHAINS)
        addresses = None
        if symbols is not None:
            both = torch.cat([_tensor(history), _tensor(symbols)])  # [past + r, CHAINS]
            columns = [both[past - j : past - j + r].reshape(-1)[:take] for j in range(depth)]
            addresses = torch.stack(columns, dim=1).view(torch.uint16)
            history = both[len(both) - past :]
        yield Orbit(_tensor(points).view(-1, dim)[:take], addresses)
        done += take


def _coloured(ifs: AffineIFS, piece: Orbit, depth: int) -> Orbit:
    """The piece with colours computed from its addresses and points; addresses are then cut to ``depth`` maps."""
    assert piece.addresses is not None
    on = ifs.to(dtype=piece.points.dtype, device=piece.points.device)
    rgb = on.colour_of(piece.addresses, piece.points).float().clamp(0, 1)
    kept = piece.addresses.view(torch.int16)[:, :depth].contiguous().view(torch.uint16) if depth else None
    return Orbit(piece.points, kept, rgb)


def _tensor(x: Any) -> Tensor:
    return torch.from_numpy(x) if isinstance(x, np.ndarray) else x


def sample(
    ifs: AffineIFS | CloudCollage,
    n: int,
    *,
    seed: int | torch.Generator = 0,
    engine: str = "auto",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    depth: int = 0,
    burn_in: int | None = None,
    colours: bool = False,
    stratified: bool = False,
) -> Orbit:
    """n points of the attractor, distributed by the invariant measure: Barnsley's chaos game on 65,536 chains.

    Up to 65,536 points are independent draws; point i + 65,536 is the image of point i under one map. A sample begins
    with every shorter sample of the same seed. All engines take the same maps; points agree to rounding. Points of a
    collage of clouds are drawn by their addresses (:mod:`.address`) and are all independent.

    Args:
        ifs: a contractive code, or collage of clouds.
        n: number of points, 0 or more.
        seed: a 64-bit integer, or a torch.Generator from which one is drawn.
        engine: "numba" (CPU threads), "triton" (CUDA), "wgsl" (any GPU, by the extra gpu), "torch" (any device, the
            plain twin), or "auto".
        dtype: torch.float32 or torch.float64, which wgsl does not compute.
        device: None for the CPU ("cuda" with engine="triton"); "gpu" for wgsl, whose results are on the CPU.
        depth: how many of the last maps to return with each point, 0 to 64.
        burn_in: steps before the first point of a chaos game; None lets the code's contraction decide.
        colours: return colours too, of a code that has some, blended along the last 16 maps or more.
        stratified: n points by address of which every piece of the attractor has its share to within two; they depend
            on n.

    Raises:
        DataError: a map of the code does not contract.
        UsageError: an argument out of range, or an engine that the device does not run.

    >>> from fractalkit.codes import preset
    >>> o = sample(preset("barnsley-fern"), 1000, seed=1, depth=2, engine="torch")
    >>> o.points.shape, o.addresses.shape
    (torch.Size([1000, 2]), torch.Size([1000, 2]))
    """
    if not (depth or colours or stratified) and n > CHAINS and isinstance(ifs, AffineIFS):
        # straight into one array, padded to whole rows of chains
        engine, where = pick_engine(engine, device)
        p = plan(ifs, seed, burn_in)
        walker = _walker(p, engine, dtype, where)
        walker.skip(p.burn)
        rows = -(-n // CHAINS)
        if engine in ("numba", "wgsl"):
            array = np.empty((rows, CHAINS, ifs.dim), np.float32 if dtype == torch.float32 else np.float64)
            # chains are written side by side: few rows at a time stay in the cache
            for r in range(0, rows, _CHUNK_ROWS):
                walker.points(min(_CHUNK_ROWS, rows - r), array[r : r + _CHUNK_ROWS], None)
            whole = torch.from_numpy(array)
        else:
            whole = torch.empty(rows, CHAINS, ifs.dim, dtype=dtype, device=where)
            walker.points(rows, whole, None)
        return Orbit(whole.view(-1, ifs.dim)[:n])
    pieces = list(stream(ifs, n, chunk=n + CHAINS, seed=seed, engine=engine, dtype=dtype, device=device, depth=depth,
                         burn_in=burn_in, colours=colours, stratified=stratified))  # fmt: skip
    if len(pieces) == 1:
        return pieces[0]
    _, where = pick_engine(engine, device)
    points = torch.cat([torch.empty(0, ifs.dim, dtype=dtype, device=where), *(o.points for o in pieces)])
    # torch concatenates no unsigned integers of 16 bits
    words = [o.addresses.view(torch.int16) for o in pieces if o.addresses is not None]
    none = torch.empty(0, depth, dtype=torch.int16, device=where)
    shades = [o.colours for o in pieces if o.colours is not None]
    return Orbit(
        points,
        torch.cat([none, *words]).view(torch.uint16) if depth else None,
        torch.cat([torch.empty(0, 3, device=where), *shades]) if colours else None,
    )


def extent(ifs: AffineIFS | CloudCollage, *, margin: float = 0.02, points: int = 1 << 18) -> tuple[Tensor, Tensor]:
    """Corners ``[D]`` of the attractor's extent, as a sample shows it, plus ``margin`` of its longest side."""
    x = sample(ifs, points, dtype=torch.float64).points
    low, high = x.amin(0), x.amax(0)
    pad = max(float((high - low).max()), 1e-12 * max(float(x.abs().max()), 1e-300)) * margin
    return low - pad, high + pad


def histogram(
    ifs: AffineIFS | CloudCollage,
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
        colours: sum colours too, blended along each orbit as the code says; exact in units of 2^-16.
        progress: called now and then with the number of points done.

    Other arguments and errors as :func:`sample`. The result does not depend on the number of threads.
    """
    cells = _check_histogram(ifs, n, shape, colours)
    engine, where = pick_engine(engine, device)
    low, high = _corners(ifs, bounds)
    sides = np.array(shape[::-1], dtype=np.int64)  # x first
    scale = sides / (high - low).numpy()
    grid = (scale, -low.numpy() * scale, sides)
    total = torch.zeros(cells + 1, dtype=torch.int64)
    rgb = torch.zeros(cells + 1, 3, dtype=torch.int64) if colours else None
    if isinstance(ifs, CloudCollage):
        by_address.count(ifs, n, grid, total, rgb, progress=progress, seed=seed, engine=engine,
                      dtype=_checked_type(dtype, engine), device=where)  # fmt: skip
    elif colours and ifs.colour_field is not None:
        pieces = stream(ifs, n, seed=seed, engine=engine, dtype=dtype, device=where, burn_in=burn_in, colours=True)
        by_address.add(pieces, grid, total, rgb, progress)
    else:
        p = plan(ifs, seed, burn_in)
        _count_all(ifs, n, _walker(p, engine, dtype, where), engine, p.burn, grid, total, rgb, progress)
    return Histogram(
        total[:-1].view(*shape),
        None if rgb is None else rgb[:-1].view(*shape, 3).double() / 65536,
        low,
        high,
        int(total[-1]),
    )


def _count_all(ifs, n, walker, engine, burn, grid, total, rgb, progress) -> None:  # type: ignore[no-untyped-def]
    """Add n points of a chaos game, burn-in first, to the counts and sums of colours."""
    tint = ifs.colours.detach().cpu().double().numpy() if ifs.colours is not None else np.zeros((len(ifs), 3))
    if rgb is not None:
        _warm_colours(walker, engine, ifs, burn, tint)
    else:
        walker.skip(burn)
    for done, rows, last in _portions(n, _COUNT_LIMIT // (1 if progress is None else 16)):
        _count(walker, engine, rows, last, grid, tint, ifs.colour_speed, total, rgb)
        if progress is not None:
            progress(done)


def _check_histogram(ifs: AffineIFS | CloudCollage, n: int, shape: tuple[int, ...], colours: bool) -> int:
    """The number of cells of a histogram; UsageError: an argument that :func:`histogram` does not take."""
    if not 0 <= n <= MOST:
        raise UsageError(f"n: expected 0 to {MOST:,} points, got {n}; take several seeds for more")
    cells = int(np.prod([int(s) for s in shape], dtype=object)) if shape else 0
    if len(shape) != ifs.dim or min(shape, default=0) < 1 or cells > MAX_CELLS:
        raise UsageError(f"shape: expected {ifs.dim} sides of at least 1 and at most {MAX_CELLS} cells, got {shape}")
    if colours and not ifs.coloured:
        raise UsageError("colours: this code has none")
    return cells


def _corners(ifs: AffineIFS | CloudCollage, bounds: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """The corners given, or those of :func:`extent`, as float64 on the CPU."""
    low, high = bounds if bounds is not None else extent(ifs)
    low, high = low.double().cpu(), high.double().cpu()
    if low.shape != (ifs.dim,) or high.shape != (ifs.dim,) or not bool((high > low).all()):
        raise UsageError("bounds: expected low [D] below high [D]")
    return low, high


def _portions(n: int, most: int) -> Iterator[tuple[int, int, int]]:
    """Cut n points into portions: (points done after it, whole rows of chains, chains of the last row)."""
    done = 0
    while done < n:
        rows, last = divmod(min(n - done, most), CHAINS)
        if rows and last and n - done > rows * CHAINS + last:
            last = 0  # only the very end of the sample stops inside a row
        done += rows * CHAINS + last
        yield done, rows, last


def _warm_colours(walker: Any, engine: str, ifs: AffineIFS, burn: int, tint: np.ndarray) -> None:
    """Do the burn-in: every chain starts in the mean colour, and its last steps blend the maps' colours in."""
    mean = torch.from_numpy(ifs.probabilities.detach().cpu().double().numpy() @ tint)
    walker.tone[:] = (
        mean.numpy()[:, None]
        if isinstance(walker.tone, np.ndarray)
        else mean.to(walker.tone.dtype).to(walker.tone.device)[:, None]
    )
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


def followed(ifs: AffineIFS, n: int, **options: Any) -> Tensor:
    """The points of :func:`sample`, ``[n, D]``, with gradients by matrices and offsets through their last 32 maps."""
    with torch.no_grad():
        orbit = sample(ifs, n, **{**options, "depth": GRADIENT_DEPTH})
    assert orbit.addresses is not None
    on = ifs.to(dtype=orbit.points.dtype, device=orbit.points.device)
    x = torch.zeros_like(orbit.points)
    for symbols in orbit.addresses.view(torch.int16).long().flip(1).unbind(1):
        x = (on.matrices[symbols] @ x[..., None])[..., 0] + on.offsets[symbols]
    return x + (orbit.points - x).detach()  # the values of the chaos game
