"""Points of a collage of clouds by their addresses: one number u in [0, 1) names a point.

The first range r of an address is the one in whose share of the running weights u lies; u's place within that share is
again a number in [0, 1), and names a range of the domain of r, and so on, as an arithmetic decoder reads a message.
The address ends where the images of the rest are smaller than the tolerance, and the point is computed from its end,
where a known point of the attractor stands: x = f_r(f_s(… a)). Random u give independent draws of the measure; u of
the form (i + jitter) / N give points of which every piece of the cloud has its share to within two.

All of this is done in whole numbers, so that every engine finds the same addresses, those without float64 too. A number
u is a place in 0 … 2^62 (:data:`WHOLE`), as are the running weights. A place p within the share of r leads to the place
base + (p + jitter) span / share in the domain of r; the jitter, 31 fresh bits at each step, stands for the digits of u
that come after its last one. Lengths are logarithms. Point i draws its bits from chain i of :mod:`.streams`: steps 0
and 1 for u, 2, 3, … for the jitter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.errors import DataError

MAX_WORD = 512  # ranges of an address
BITS = 62
WHOLE = 1 << BITS
LEAST = 4  # least share of a range, so that no span is more than 2^60 shares
LENGTHS = 4096  # units of a logarithm to base 2
LARGEST = 1e150  # offset of a map, from which on squares overflow
_SMALLEST = 2.0**-250  # of lengths


@dataclass(frozen=True)
class Addresses:
    """A collage as the plain arrays that the engines read.

    Attributes:
        maps: ``[R, D, D + 1]`` float64, linear part beside offset; ``tints`` ``[R, 3, 4]`` those of colours, or R = 0.
        norms, radii: ``[R]``, of the maps and of balls around the sets.
        domains: ``[R, 2]`` int64.
        running: ``[R + 1]`` running weights, from 0 to 1; ``edges`` the same as places, int64.
        anchors, shades: ``[R, D]`` a point of each set and ``[R, 3]`` its colour; ``after`` ``[R]`` the range that it
            is a copy from.
        size: of the whole, to which tolerances are relative.
    """

    maps: np.ndarray
    norms: np.ndarray
    radii: np.ndarray
    domains: np.ndarray
    running: np.ndarray
    anchors: np.ndarray
    after: np.ndarray
    tints: np.ndarray
    shades: np.ndarray
    size: float
    edges: np.ndarray = field(init=False)
    guide: np.ndarray = field(init=False)  # for each of 2^b equal parts of the whole the first range in it, int64
    steps: np.ndarray = field(init=False)  # [R, 6] int64, see _steps
    kept: dict[str, Any] = field(init=False, default_factory=dict, repr=False)  # what an engine keeps of it

    def __post_init__(self) -> None:
        shares = np.maximum((np.diff(self.running) * float(WHOLE)).astype(np.int64), LEAST)
        shares[shares.argmax()] += WHOLE - shares.sum()
        edges = np.concatenate([[0], np.cumsum(shares)])
        bits = max(len(shares) * 2 - 1, 1).bit_length()
        first = np.searchsorted(edges, np.arange(1 << bits) << (BITS - bits), side="right") - 1
        for name, value in {"edges": edges, "guide": first, "steps": self._steps(edges)}.items():
            object.__setattr__(self, name, value)

    def _steps(self, edges: np.ndarray) -> np.ndarray:
        """What an address needs of each range: factor and shift of span / share and of span / WHOLE, where span is that
        of its domain; logarithms of its norm and radius, rounded up."""
        span = (edges[self.domains[:, 1]] - edges[self.domains[:, 0]]).astype(np.float64)
        pairs = [_factor(span / np.diff(edges)), _factor(span / WHOLE)]
        lengths = [np.ceil(LENGTHS * np.log2(np.maximum(v, _SMALLEST))) for v in (self.norms, self.radii)]
        return np.stack([*pairs[0], *pairs[1], *lengths], axis=1).astype(np.int64)

    @classmethod
    def of(cls, code: CloudCollage) -> Addresses:
        """Prepare a collage; DataError: it does not contract, or it is too large."""
        far = float(code.offsets.detach().abs().max())
        if not far < LARGEST:
            raise DataError(f"offsets: up to {far:.3g}, too large to draw; scale the cloud down")
        centres, radii = (v.cpu().numpy() for v in code.bounds())
        a, b = (v.detach().cpu().numpy() for v in (code.matrices, code.offsets))
        domains = code.domains.cpu().numpy()
        running = np.concatenate([[0.0], np.cumsum(code.weights.detach().cpu().numpy())])
        running /= running[-1]
        middle = (running[domains[:, 0]] + running[domains[:, 1]]) / 2
        after = np.clip(np.searchsorted(running, middle, side="right") - 1, domains[:, 0], domains[:, 1] - 1)
        maps = np.concatenate([a, b[..., None]], axis=2)
        if code.colour_matrices is not None and code.colour_offsets is not None:
            m, o = (v.detach().cpu().numpy() for v in (code.colour_matrices, code.colour_offsets))
            tints = np.concatenate([m, o[..., None]], axis=2)
            shades = _fixed(tints, after, np.full((len(o), 3), 0.5))
        else:
            tints, shades = np.zeros((0, 3, 4)), np.zeros((0, 3))
        low, high = (centres - radii[:, None]).min(0), (centres + radii[:, None]).max(0)
        return cls(
            maps, code.norms().numpy(), radii, domains, running, _fixed(maps, after, centres), after, tints,
            shades, max(float(np.linalg.norm(high - low)), 1e-300),
        )  # fmt: skip


def _factor(ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """m and e with m 2^(e - 31) just below a ratio, 2^30 <= m + 1 and m < 2^31."""
    share, e = np.frexp(ratio)
    return np.floor(share * (1 - 2.0**-40) * 2.0**31), e


def end_of(tolerance: float) -> int:
    """The logarithm of a length at which addresses end, rounded down."""
    return math.floor(LENGTHS * math.log2(max(tolerance, _SMALLEST)))


def spread(of: int) -> tuple[int, int, int]:
    """How places are spread evenly: (q, f, b) with place i q + (i f >> b) + jitter q of point i of ``of``.

    >>> q, f, b = spread(3)
    >>> [(i * q + (i * f >> b)) / WHOLE for i in range(4)]
    [0.0, 0.3333333333333333, 0.6666666666666666, 1.0]
    """
    b = BITS - of.bit_length()
    q, rest = divmod(WHOLE, of)
    return q, (rest << b) // of, b


def _fixed(maps: np.ndarray, after: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The points x_r that satisfy x_r = f_r(x_after(r)), one for each range."""
    d = maps.shape[1]
    for _ in range(4000):
        new = np.einsum("rij,rj->ri", maps[:, :, :d], x[after]) + maps[:, :, d]
        moved, x = float(np.abs(new - x).max()), new
        if not moved > 1e-15 * max(float(np.abs(x).max()), 1e-300):
            break
    return x
