"""The one abstraction: a contraction of a complete metric space. Its fixed point is the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from fractalkit.errors import UsageError

Window = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the whole picture, half open


class IteratedMap(ABC):
    """A contraction T on a complete metric space (X, d).

    Banach (1922): if d(Tx, Ty) <= l d(x, y) with l < 1, then T has exactly one fixed point x*, and T^n x -> x* from any
    x, with d(T^n x, x*) <= l^n d(x, x*). Barnsley's collage theorem (1985) bounds the error of any x with x* unknown:

        d(x, x*) <= d(x, T x) / (1 - l).

    A new map must write :meth:`step`, and :meth:`start` unless ``solve`` is given where to begin. With a
    :meth:`lipschitz` that it can prove, results come with a bound on their error; :meth:`distance` is Euclidean unless
    written.
    Elements of the space are tensors; the first axis may be a batch of independent problems, in which case distances
    are per item.

    A map whose fixed point follows from that of a coarser map also writes :meth:`needs` and :meth:`lift`, and
    :meth:`whole` and :meth:`level` if parts of it can be had; :func:`fractalkit.core.fixed_point` then decodes it
    coarse first, in windows of any size.
    """

    exact_lift = True  # False: lift() gives a start that steps still have to improve

    def start(self) -> Tensor:
        """Any element of the space, with the dtype and device that :meth:`step` wants.

        Raises:
            UsageError: the map does not write it.
        """
        raise UsageError(f"{type(self).__name__}: has no start; write its method start(), or give solve(map, x0)")

    @abstractmethod
    def step(self, x: Tensor) -> Tensor:
        """T x: same shape, dtype and device as x; differentiable in x and in the map's own tensors."""

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """The metric in which T contracts: ``[B]`` (``[1]`` for a map that is not batched).

        By default the Euclidean distance of each item, where the first of several axes is the batch.
        """
        difference = x - y
        return (difference.flatten(1) if difference.ndim > 1 else difference.reshape(1, -1)).norm(dim=1)

    def lipschitz(self) -> Tensor:
        """A proven upper bound on T's Lipschitz constant in :meth:`distance`, below one: ``[B]`` or ``[1]``.

        Raises:
            UsageError: the map does not say; :attr:`bounded` is then False.
        """
        raise UsageError(f"{type(self).__name__}: has no Lipschitz bound; write its method lipschitz()")

    @property
    def bounded(self) -> bool:
        """Whether the map has a Lipschitz bound."""
        return type(self).lipschitz is not IteratedMap.lipschitz

    def coarse(self) -> IteratedMap | None:
        """The coarser map that :meth:`needs` reads, None at the coarsest level or where it reads several."""
        maps = {m.level(): m for m, _ in self.needs(self.whole()) or ()}
        return next(iter(maps.values())) if len(maps) == 1 else None

    def whole(self) -> Window | None:
        """The window of the whole picture, or None if the map has no windows."""
        return None

    def level(self) -> Hashable:
        """The key under which core caches this map's fixed point among those of its other levels; None: not cached."""
        return None

    def needs(self, window: Window | None) -> Sequence[tuple[IteratedMap, Window | None]] | None:
        """The windows of coarser maps' fixed points that a window of this one reads; None at the coarsest level."""
        return None

    def lift(self, parts: Sequence[Tensor], window: Window | None) -> Tensor:
        """Compute a window of this map's fixed point from the parts that :meth:`needs` lists, in that order.

        Raises:
            NotImplementedError: the map has no coarser level.
        """
        raise NotImplementedError(f"{type(self).__name__} has no coarser level to lift from")

    def solve_options(self) -> dict[str, Any]:
        """The options that :func:`fractalkit.core.fixed_point` passes to :func:`fractalkit.core.solve`."""
        return {"tol": None}


class FunctionMap(IteratedMap):
    """A function x -> T x as a map, with nothing known of its contraction.

    Args:
        function: of a tensor; or of a NumPy array, where ``x0`` is one.
        x0: where to begin: a tensor, an array or a number.
    """

    def __init__(self, function: Callable[[Any], Any], x0: Any) -> None:
        self.function = function
        self.arrays = not isinstance(x0, Tensor | int | float)
        x = x0 if isinstance(x0, Tensor) else torch.as_tensor(x0)
        self.x0 = x if x.is_floating_point() and not isinstance(x0, float) else x.double()

    def start(self) -> Tensor:
        return self.x0

    def step(self, x: Tensor) -> Tensor:
        y = self.function(x.numpy() if self.arrays else x)
        return torch.as_tensor(y, dtype=x.dtype, device=x.device)


def collage_bound(map: IteratedMap, x: Tensor) -> Tensor:
    """Barnsley's collage theorem: d(x, x*) <= d(x, T x) / (1 - l), ``[B]``, with x* never computed."""
    return map.distance(x, map.step(x)) / (1 - map.lipschitz())
