"""What a code's pieces fill of a set of pixels, on grids: the density of :mod:`.density` where each place counts once.

A binary picture tells where an attractor is and not how dense it is; where pieces overlap, no weights give it an even
density. So of the images of the set's cells one in each cell is kept, and the masses of grids are those of the cells
that are left: a union, which has no weights. Its derivative by one map is that of the map's piece where the others
leave room.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.fit.density import DEPTH, SIDES, Density, Level, Placed
from fractalkit.fit.density_kernels import jacobian, spread
from fractalkit.fit.target import Target

# mypy: disable-error-code="no-untyped-def"

CELLS = 10_000  # of the set, at most
_LOOKED = 4000  # cells from which derivatives are told
_RIGHT = (1.6, 6.0, 24.0)  # distances at the levels that the true code has, about, in blocks
_MANY = 4000  # blocks; of more the distance is no less


class Filled(Density):
    """Grids over a set's cells, of which a target's points are the centres, ``cell`` apart in the target's units."""

    filled = True

    def __init__(self, target: Target, cell: float, *, cap: float, isotropy: float = 0.0, seed: int = 0) -> None:
        z = target.lookup.points[:, :2]
        self.cell = cell
        # grids of cells and of blocks of 2 x 2 cells; what lies further away than the set is wide is at their border
        span = np.floor(np.ptp(z, axis=0) / cell).astype(np.int64) // 2 + 1
        self.low = z.min(axis=0) - cell * (2 * span + 0.5)
        self.shape = 3 * span[::-1]  # in blocks
        blocks = self._images(np.eye(3, 4)[None], target.lookup.points, 2)[0]
        self.blocks, self.mass = self._centred(blocks), 1 / len(blocks)
        super().__init__(target, cap=cap, isotropy=isotropy, seed=seed)

    def _level(self, side: int) -> Level:
        level = super()._level(side)
        mass = np.zeros_like(level.mass)
        spread(self.blocks, self.mass, level.frame, self.dim, side, mass)
        return Level(side, level.frame, mass, _RIGHT[SIDES[2].index(side)] * max(self.mass, 1 / _MANY))

    def _images(self, maps: np.ndarray, points: np.ndarray, factor: int):
        """Images of points ``[N, 3]``: one in each cell, or if ``factor`` is 2, of each map one in each block.

        Returns:
            points ``[M, 3]``, sources and maps ``[M]``, and whether each is the first in its cell or block.
        """
        stamp = np.full(tuple(self.shape * (2 // factor)), -1, np.int8)
        return _images(maps, points, self.low, 1 / (factor * self.cell), factor == 2, stamp)

    def _centred(self, y: np.ndarray) -> np.ndarray:
        """Centres of the blocks that points are in."""
        out = np.zeros_like(y)
        side = 2 * self.cell
        out[:, :2] = (np.floor((y[:, :2] - self.low) / side) + 0.5) * side + self.low
        return out

    # ---- pieces and unions

    def pieces(self, maps: np.ndarray, points: np.ndarray, level: Level) -> np.ndarray:
        y, _, letters, _ = self._images(maps, self.points, 2)
        return self._spread(self._centred(y), letters, len(maps), level)

    def _spread(self, y: np.ndarray, letters: np.ndarray, k: int, level: Level) -> np.ndarray:
        psi = np.zeros((k, len(level.mass)))
        ends = np.searchsorted(letters, np.arange(k + 1))
        for i in range(k):
            spread(y[ends[i] : ends[i + 1]], self.mass, level.frame, 2, level.side, psi[i])
        return psi

    def joined(self, psi: np.ndarray, weights: np.ndarray, level: Level) -> np.ndarray:
        m = np.maximum(level.mass, 1e-12)
        return np.asarray(m * (1 - np.prod(1 - np.minimum(psi / m, 1), axis=0)) + np.maximum(psi - m, 0).sum(axis=0))

    def room(self, kept: np.ndarray, level: Level) -> np.ndarray:
        return np.clip(1 - kept / np.maximum(level.mass, 1e-12), 0, 1) * (level.mass > 0) + (level.mass <= 0)

    def likely(self, psi: np.ndarray, level: Level, steps: int = 30) -> np.ndarray:
        return np.full(len(psi), 1 / len(psi))

    def shares(self, psi: np.ndarray, kept: np.ndarray, level: Level) -> np.ndarray:
        return np.ones(len(psi))

    def expected(self, level: int, orbits: int) -> float:
        return self.levels[level].floor

    # ---- refinement

    def _placed(self, maps: np.ndarray, weights: np.ndarray, level: Level, orbits: int, depth: int) -> Placed:
        q, chain = self._union(maps, level, 1 if depth == 1 else 4 if depth == DEPTH else 3)
        return self._compared(maps, weights, level, q, chain)

    def _slopes(self, now: Placed, level: Level) -> np.ndarray:
        j = self._derivative(now.maps, now.path, level)
        j /= 2 * np.sqrt(now.mass + 2 * self.mass)[:, None]
        return j

    def _union(self, maps: np.ndarray, level: Level, layers: int):
        """Masses of what the pieces of pieces fill, and for each layer its images."""
        chain, points = [], self.points
        for i in range(layers):
            y, sources, letters, first = self._images(maps, points, 2 if i == layers - 1 else 1)
            chain.append((y, sources, letters, first))
            points = y
        q = np.zeros_like(level.mass)
        spread(self._centred(y[first]), self.mass, level.frame, 2, level.side, q)
        return q, tuple(chain)

    def _derivative(self, maps: np.ndarray, chain, level: Level) -> np.ndarray:
        """Derivative ``[cells, 7 K]`` by the maps and by the logarithms of the masses of their pieces."""
        k, depth = len(maps), len(chain)
        y, _, letters, _ = chain[-1]
        psi = self._spread(self._centred(y), letters, k, level)
        stride = max(len(y) // _LOOKED, 1)
        at = np.random.default_rng(0).permutation(len(y))[: len(y) // stride] if stride > 1 else np.arange(len(y))
        at = at[np.argsort(letters[at], kind="stable")]
        address, z = np.empty((len(at), depth), np.int64), np.empty((len(at), depth + 1, 3))
        for i, (points, sources, names, _) in enumerate(reversed(chain)):
            address[:, i], z[:, i] = names[at], points[at]
            at = sources[at]
        z[:, depth] = self.points[at]
        ends = np.searchsorted(address[:, 0], np.arange(k + 1))
        total = np.zeros((len(level.mass), 7 * k), np.float32)
        for i in range(k):
            mine = slice(ends[i], ends[i + 1])
            if ends[i] == ends[i + 1]:
                continue
            one = np.zeros_like(total)
            jacobian(maps, 2, address[mine], z[mine], depth, level.frame, level.side, one)
            others = self.joined(np.delete(psi, i, axis=0), np.ones(k - 1), level)
            one *= (self.room(others, level) * (len(y) / len(address) * self.mass * (ends[i + 1] - ends[i])))[:, None]
            total += one
        return total


@nb.njit(cache=True, nogil=True)
def _images(maps, points, low, inverse, every, stamp):
    """Images of points, one in each cell of ``stamp [H, W]``, which is -1 throughout; of ``every`` map, or of all."""
    h, w = stamp.shape
    most = len(maps) * len(points)
    out, first = np.empty((most, 3)), np.empty(most, np.bool_)
    sources, letters = np.empty(most, np.int32), np.empty(most, np.int32)
    n = 0
    for m in range(len(maps)):
        for i in range(len(points)):
            p, q = points[i, 0], points[i, 1]
            x = maps[m, 0, 0] * p + maps[m, 0, 1] * q + maps[m, 0, 3]
            y = maps[m, 1, 0] * p + maps[m, 1, 1] * q + maps[m, 1, 3]
            u = int(min(max((x - low[0]) * inverse, 0.0), w - 1.0))
            v = int(min(max((y - low[1]) * inverse, 0.0), h - 1.0))
            seen = stamp[v, u]
            if seen == m or (seen >= 0 and not every):
                continue
            stamp[v, u] = m
            out[n, 0], out[n, 1], out[n, 2] = x, y, 0.0
            sources[n], letters[n], first[n] = i, m, seen < 0
            n += 1
    return out[:n].copy(), sources[:n].copy(), letters[:n].copy(), first[:n].copy()
