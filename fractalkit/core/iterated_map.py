"""The one abstraction: a contraction of a complete metric space, whose fixed point is what is shown."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class IteratedMap(ABC):
    """A contraction T on a complete metric space (X, d).

    Banach (1922): if d(Tx, Ty) <= l d(x, y) with l < 1, then T has exactly one fixed point x*, and T^n x -> x* from any
    x, with d(T^n x, x*) <= l^n d(x, x*). Barnsley's collage theorem (1985) bounds the error of any x with x* unknown:

        d(x, x*) <= d(x, T x) / (1 - l).

    A new map must write :meth:`step` and :meth:`start`, and a :meth:`lipschitz` that it can prove. Elements of the
    space are tensors; the first axis may be a batch of independent problems, in which case distances are per item.
    """

    @abstractmethod
    def start(self) -> Tensor:
        """Any element of the space, with the dtype and device that :meth:`step` wants."""

    @abstractmethod
    def step(self, x: Tensor) -> Tensor:
        """T x: same shape, dtype and device as x; differentiable in x and in the map's own tensors."""

    @abstractmethod
    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """The metric in which T contracts: ``[B]`` (``[1]`` for a map that is not batched)."""

    @abstractmethod
    def lipschitz(self) -> Tensor:
        """A proven upper bound on T's Lipschitz constant in :meth:`distance`, below one: ``[B]`` or ``[1]``."""

    def coarse(self) -> IteratedMap | None:
        """The same map one level coarser, whose fixed point :meth:`lift` turns into this one's, or None."""
        return None

    def lift(self, x: Tensor) -> Tensor:
        """This map's fixed point (or an approximation to it) from the coarse map's.

        Raises:
            NotImplementedError: the map has no coarser level.
        """
        raise NotImplementedError(f"{type(self).__name__} has no coarser level to lift from")


def collage_bound(map: IteratedMap, x: Tensor) -> Tensor:
    """Barnsley's collage theorem: d(x, x*) <= d(x, T x) / (1 - l), ``[B]``, with x* never computed."""
    return map.distance(x, map.step(x)) / (1 - map.lipschitz())
