"""Points of a collage of clouds by their addresses: one number u in [0, 1) names a point.

The first range r of an address is the one in whose share of the running weights u lies; u's place within that share is
again a number in [0, 1), and names a range of the domain of r, and so on, as an arithmetic decoder reads a message.
The address ends where the images of the rest are smaller than the tolerance, and the point is computed from its end,
where a known point of the attractor stands: x = f_r(f_s(… a)). Random u give independent draws of the measure; u of
the form (i + jitter) / N give points of which every piece of the cloud has its share to within two.

A number has 53 bits. Before they are used up, its last place is filled with 32 more. Point i draws its bits from
chain i of :mod:`.streams`: steps 0 and 1 for u, 2, 3, … for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fractalkit.codes.cloud_collage import CloudCollage

MAX_WORD = 512  # ranges of an address
QUANTUM = 2.0**-53
COARSE = 2.0**-28  # numbers known no better than this are filled up
BELOW_ONE = 1 - QUANTUM


@dataclass(frozen=True)
class Addresses:
    """A collage as the plain arrays that the engines read.

    Attributes:
        maps: ``[R, D, D + 1]`` float64, linear part beside offset; ``tints`` ``[R, 3, 4]`` those of colours, or R = 0.
        norms, radii: ``[R]``, of the maps and of balls around the sets.
        domains: ``[R, 2]`` int64.
        running: ``[R + 1]`` running weights, from 0 to 1.
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
    guide: np.ndarray = field(init=False)  # for each of equal shares of [0, 1) the first range in it

    def __post_init__(self) -> None:
        cells = 1 << max(len(self.norms) * 2 - 1, 1).bit_length()
        first = np.searchsorted(self.running, np.arange(cells) / cells, side="right") - 1
        object.__setattr__(self, "guide", np.maximum(first, 0))

    @classmethod
    def of(cls, code: CloudCollage) -> Addresses:
        """Prepare a collage; DataError: it does not contract."""
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
            maps, code.norms().cpu().numpy(), radii, domains, running, _fixed(maps, after, centres), after, tints,
            shades, max(float(np.linalg.norm(high - low)), 1e-300),
        )  # fmt: skip


def _fixed(maps: np.ndarray, after: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The points x_r that satisfy x_r = f_r(x_after(r)), one for each range."""
    d = maps.shape[1]
    for _ in range(4000):
        new = np.einsum("rij,rj->ri", maps[:, :, :d], x[after]) + maps[:, :, d]
        moved, x = float(np.abs(new - x).max()), new
        if not moved > 1e-15 * max(float(np.abs(x).max()), 1e-300):
            break
    return x
