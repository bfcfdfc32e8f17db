"""Coarse-first decoding: the recursion that computes windows of a fixed point from coarser fixed points."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from fractalkit.core.iterated_map import IteratedMap, Window
from fractalkit.core.solution import ConvergenceError, solve
from fractalkit.errors import UsageError

A = TypeVar("A")
B = TypeVar("B")
Need = tuple[IteratedMap, Window | None]


def fixed_point(map: IteratedMap, window: Window | None = None) -> Tensor:
    """Compute the fixed point of a map, or a window of it, from its coarser levels.

    A map without a coarser level is solved by :func:`solve`. Any other is lifted from the windows that it needs of the
    coarser ones, so the cost is that of the window, whatever the size of the whole.

    Args:
        window: (left, top, right, bottom) in pixels of the whole picture; None for all of it.

    Raises:
        UsageError: a window that is empty or leaves the picture, or of a map that has none.
        ConvergenceError: values that are not finite, as of a map that does not contract.
    """
    return Levels().at(map, window)


class Levels:
    """A cache of the fixed points of one map and of its coarser levels.

    Args:
        keep: levels of at most this many pixels are computed whole and cached, even where only a part is needed.
    """

    def __init__(self, keep: int = 0) -> None:
        self.keep = keep
        self._kept: dict[Hashable, list[tuple[Window | None, Tensor]]] = {}

    def at(self, map: IteratedMap, window: Window | None = None) -> Tensor:
        """Compute a window of the map's fixed point, or all of it if None."""
        return self._windows([(map, _inside(window, map.whole()))])[0]

    def prepare(self, map: IteratedMap, window: Window | None, most: int) -> bool:
        """Compute the coarser levels that a window reads, and cache each part of at most ``most`` pixels.

        Returns:
            Whether everything that the window reads directly is cached.
        """
        kept = True
        for coarse, part in _merged(map.needs(_inside(window, map.whole())) or ()):
            self.prepare(coarse, part, most)
            if _area(part) <= most:
                self._hold(coarse, part, self.at(coarse, part))
            else:
                kept = False
        return kept

    def _windows(self, asked: Sequence[Need]) -> list[Tensor]:
        """Compute several windows; the coarser windows that they need are merged and computed once."""
        wanted = _merged([(map, self._grown(map, window)) for map, window in asked])
        drawn = [(map, window, self._held(map, window)) for map, window in wanted]
        missing = [(map, window) for map, window, x in drawn if x is None]
        needs = [map.needs(window) for map, window in missing]
        flat = [need for each in needs for need in each or ()]
        # a lift that only gives a start carries no gradient: the fixed point does not depend on the start
        with nullcontext() if all(map.exact_lift for map, _ in missing) else torch.no_grad():
            parts = iter(self._windows(flat) if flat else [])
        for (map, window), each in zip(missing, needs, strict=True):
            some = None if each is None else list(islice(parts, len(each)))
            drawn.append((map, window, self._made(map, window, some)))
        return [_find(drawn, map, window) for map, window in asked]

    def _made(self, map: IteratedMap, window: Window | None, parts: list[Tensor] | None) -> Tensor:
        whole = map.whole()
        if parts is None:
            solved = self._held(map, whole)
            if solved is None:
                solved = _solved(map)
                self._hold(map, whole, solved)
            return _crop(solved, whole, window)
        if map.exact_lift:
            x = map.lift(parts, window)
        else:
            with torch.no_grad():
                start = map.lift(parts, window)
            x = _solved(map, start)
        if window == whole:
            self._hold(map, whole, x)
        return x

    def _grown(self, map: IteratedMap, window: Window | None) -> Window | None:
        """Replace the window by the whole picture if that is small enough to be cached."""
        whole = map.whole()
        return whole if _area(whole) <= max(self.keep, _area(window)) else window

    def _held(self, map: IteratedMap, window: Window | None) -> Tensor | None:
        for held, x in self._kept.get(map.level(), ()):
            if _contains(held, window):
                return _crop(x, held, window)
        return None

    def _hold(self, map: IteratedMap, window: Window | None, x: Tensor) -> None:
        if map.level() is not None and self._held(map, window) is None:
            self._kept[map.level()] = [*self._kept.get(map.level(), ()), (window, x)]


def _solved(map: IteratedMap, start: Tensor | None = None) -> Tensor:
    """The fixed point by :func:`solve`; a ConvergenceError where it has values that are not finite."""
    solution = solve(map, start, **map.solve_options())
    if not bool(torch.isfinite(solution.value).all()):
        raise ConvergenceError(f"{type(map).__name__}: no fixed point was found; {solution.message}")
    return solution.value


def ahead(function: Callable[[A], B], items: Iterable[A], threads: int = 1) -> Iterator[B]:
    """Map a function over items in order, with several threads that work a few items ahead in bounded memory."""
    if threads <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="levels") as pool:
        waiting: deque[Future[B]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


# ---- windows


def _inside(window: Window | None, whole: Window | None) -> Window | None:
    if whole is None:
        if window is not None:
            raise UsageError("window: this map has no windows; leave it out")
        return None
    if window is None:
        return whole
    left, top, right, bottom = window
    if not (whole[0] <= left < right <= whole[2] and whole[1] <= top < bottom <= whole[3]):
        raise UsageError(
            f"window: ({left}, {top}, {right}, {bottom}) is not inside the {whole[2]} x {whole[3]} picture; "
            "expected 0 <= left < right <= width and 0 <= top < bottom <= height"
        )
    return window


def _area(window: Window | None) -> int:
    return 0 if window is None else (window[2] - window[0]) * (window[3] - window[1])


def _contains(held: Window | None, window: Window | None) -> bool:
    if held is None or window is None:
        return held == window
    return held[0] <= window[0] and held[1] <= window[1] and held[2] >= window[2] and held[3] >= window[3]


def _crop(x: Tensor, held: Window | None, window: Window | None) -> Tensor:
    if held is None or window is None or held == window:
        return x
    left, top = held[0], held[1]
    return x[..., window[1] - top : window[3] - top, window[0] - left : window[2] - left]


def _merged(needs: Sequence[Need]) -> list[Need]:
    """Merge windows of the same map where their bounding window is no larger than their sum."""
    out: list[Need] = []
    for map, window in needs:
        for n, (other, held) in enumerate(out):
            if map.level() is None or other.level() != map.level() or held is None or window is None:
                continue
            both = min(held[0], window[0]), min(held[1], window[1]), max(held[2], window[2]), max(held[3], window[3])
            if _area(both) <= _area(held) + _area(window):
                out[n] = other, both
                break
        else:
            out.append((map, window))
    return out


def _find(drawn: Sequence[tuple[IteratedMap, Window | None, Tensor | None]], map: IteratedMap, window: Any) -> Tensor:
    """Find the computed window of the same map that contains this one, and crop it."""
    for other, held, x in drawn:
        same = other is map or (map.level() is not None and other.level() == map.level())
        if same and x is not None and _contains(held, window):
            return _crop(x, held, window)
    raise AssertionError("a window that was asked for was not drawn")
