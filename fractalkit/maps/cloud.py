"""The graph-directed Hutchinson operator on vectors of point sets of fixed sizes, whose points have fixed addresses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.core import IteratedMap
from fractalkit.errors import UsageError

MAX_POINTS = 1 << 24


class CloudMap(IteratedMap):
    """N points, each the copy of another into its range: ``(T x)_n = f_{r(n)}(x_{s(n)})``, s(n) in the domain of r(n).

    The operator of a :class:`CloudCollage`, X_r -> f_r(∪ X_s), multiplies points; fixing the source of each point keeps
    their number constant, and the fixed point lies exactly on the attractor. T contracts by
    :meth:`CloudCollage.lipschitz` in the metric ``max_n |x_n - y_n| / v_{r(n)}``, with v the code's scales.

    Args:
        code: a contractive collage; gradients flow to its matrices and offsets.
        ranges: r, ``[N]`` integers in 0 … R-1.
        sources: s, ``[N]`` integers in 0 … N-1; point s(n) is of a range in the domain of r(n).

    Raises:
        DataError: the code does not contract.
        UsageError: ranges or sources out of range, or too many points.
    """

    def __init__(self, code: CloudCollage, ranges: Tensor, sources: Tensor) -> None:
        code.check_contractive()
        n = ranges.shape[0]
        if ranges.ndim != 1 or sources.shape != ranges.shape or not 1 <= n <= MAX_POINTS:
            raise UsageError(f"ranges and sources: expected equal shapes [N] with 1 <= N <= {MAX_POINTS}")
        if not (_within(ranges, len(code)) and _within(sources, n)):
            raise UsageError(f"ranges must be in 0 … {len(code) - 1} and sources in 0 … {n - 1}")
        self.code, self.ranges, self.sources = code, ranges.long(), sources.long()
        first, last = code.domains[self.ranges].unbind(1)
        of = self.ranges[self.sources]
        if not bool(((of >= first) & (of < last)).all()):
            raise UsageError("sources: the source of every point must be of a range in the domain of its own range")

    @classmethod
    def stratified(cls, code: CloudCollage, points: int, seed: int = 0) -> CloudMap:
        """About ``points`` points, each range as many as its weight asks for and at least one.

        The sources of a range cover its domain evenly by weight, one from each of equal shares of its mass.

        Raises:
            UsageError: fewer points than ranges, or too many.

        >>> from fractalkit.codes import preset
        >>> CloudMap.stratified(CloudCollage.of(preset("sierpinski-triangle")), 300).start().shape
        torch.Size([300, 2])
        """
        if not len(code) <= points <= MAX_POINTS:
            raise UsageError(f"points: expected {len(code)} (one a range) to {MAX_POINTS}, got {points}")
        w = code.weights.detach().cpu().numpy()
        # whole numbers that sum to the total, each within one of its share
        counts = 1 + np.diff(np.floor(np.concatenate([[0.0], np.cumsum(w)]) * (points - len(w)) + 0.5)).astype(np.int64)
        start = np.concatenate([[0], np.cumsum(counts)])
        ranges = np.repeat(np.arange(len(w)), counts)
        jitter = np.random.default_rng(seed).random(len(ranges))
        u = (np.arange(len(ranges)) - start[ranges] + jitter) / counts[ranges]
        mass = np.concatenate([[0.0], np.cumsum(w)])
        low, high = code.domains.cpu().numpy()[ranges].T
        at = mass[low] + u * (mass[high] - mass[low])
        source = np.clip(np.searchsorted(mass, at, side="right") - 1, low, high - 1)
        share = np.clip((at - mass[source]) / w[source], 0.0, 1.0)
        which = np.minimum((share * counts[source]).astype(np.int64), counts[source] - 1)
        where = code.matrices.device
        return cls(code, torch.from_numpy(ranges).to(where), torch.from_numpy(start[source] + which).to(where))

    def start(self) -> Tensor:
        """All points at the mean of the offsets: ``[N, D]`` float64."""
        return self.code.offsets.mean(dim=0).detach().expand(len(self.ranges), -1).clone()

    def step(self, x: Tensor) -> Tensor:
        """Points ``[N, D]`` -> ``[N, D]``."""
        a, b = self.code.matrices.to(x)[self.ranges], self.code.offsets.to(x)[self.ranges]
        return torch.einsum("nij,nj->ni", a, x[self.sources]) + b

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """``max_n |x_n - y_n| / v_{r(n)}``, ``[1]``."""
        return (torch.linalg.vector_norm(x - y, dim=1) / self.code.scales().to(x)[self.ranges]).amax()[None]

    def lipschitz(self) -> Tensor:
        """:meth:`CloudCollage.lipschitz`, ``[1]``."""
        return self.code.offsets.new_tensor([self.code.lipschitz()])


def _within(index: Tensor, n: int) -> bool:
    return bool(((index >= 0) & (index < n)).all())
