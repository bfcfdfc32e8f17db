"""The fixed point of a collage as a few matrix products, the form used in training.

For one whole-picture domain, mirrored, and odd G, with N = G M points a side,

    f_N = S_N + w_N f_M(tau)         S = [brightness, mixing] B_N,   w = contrast P_N

where P_N holds the interpolation of range numbers at the N^2 points and B_N that and its products with the patches:
constants of the geometry (and of the patches), shared by the batch, so that every field of every channel comes out of
one matrix product. The M grid is closed under tau, as an odd multiple of an odd multiple of 1 / 2M is one again, so f_M
solves f_M = S_M + w_M f_M(tau) among its own points, exactly: composing the step with itself doubles its reach,

    S <- S + w S(tau),   w <- w w(tau),   tau <- tau tau,

and after k doublings the error is below rho^(2^k) (:class:`fractalkit.core.Squaring`).
:class:`fractalkit.maps.collage.CollageMap` is the general form; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fractalkit.codes.collage import WHOLE, CollageCode
from fractalkit.core import IteratedMap, Window
from fractalkit.errors import UsageError
from fractalkit.maps.collage import CollageMap
from fractalkit.maps.fields import fold, spline
from fractalkit.maps.orbits import OrbitMap, doublings
from fractalkit.raster.cosines import cosines

MATRIX = 256  # coarse pixels up to which reading them is a matrix product


def is_dense(code: CollageCode, height: int, width: int) -> bool:
    """Whether :class:`DenseMap` takes this code at this size."""
    gh, gw = code.grid
    odd = gh % 2 == 1 and gw % 2 == 1
    return (
        code.continuous
        and odd
        and code.domains == (WHOLE,)
        and code.patches.shape[1] == 1
        and height % gh == 0
        and width % gw == 0
    )


class DenseMap(CollageMap):
    """:class:`CollageMap` by matrix products: a continuous code with one whole domain, an odd grid, shared patches.

    Differentiable. The coarse picture is always computed whole. Under autocast the fine level has the lower precision.

    Args:
        height, width: sides of the whole picture, multiples of the grid's.
        rho: a bound on the contrasts that is known; None computes it from the code, which synchronises a GPU.

    Raises:
        UsageError: another kind of code or size.
    """

    def __init__(self, code: CollageCode, height: int, width: int, rho: float | None = None) -> None:
        if not is_dense(code, height, width):
            raise UsageError(f"code: the dense form is not for this code or size ({height} x {width}); use decode")
        super().__init__(code, height, width)
        self.rho = float(code.lipschitz().max()) if rho is None else rho

    def needs(self, window: Window | None) -> list[tuple[IteratedMap, Window | None]]:
        """The whole picture at 1 / Gh x 1 / Gw of the size, on a grid that tau maps into itself."""
        code, kind = self.code, self.code.brightness.device.type
        h, w = self.height // code.grid[0], self.width // code.grid[1]
        y, x = _centres(code.grid[0], h, code.patches.shape[2]), _centres(code.grid[1], w, code.patches.shape[3])
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else code.brightness.dtype
        with torch.autocast(kind, enabled=False):
            s, weight = _fields(code, y, x)  # [B, C, h w]
        places = (y.reads[:, None] * w + x.reads[None, :]).reshape(-1)
        rate = s.new_full((1,), self.rho)
        return [(OrbitMap(s, weight, places, rate, doublings(self.rho, precision)), None)]

    def lift(self, parts: Sequence[Tensor], window: Window | None) -> Tensor:
        """S + w f_M(tau), ``[B, C, h, w]``."""
        left, top, right, bottom = window or self.whole()
        (coarse,), code = parts, self.code
        mh, mw = self.height // code.grid[0], self.width // code.grid[1]
        y = _axis(code.grid[0], self.height, code.patches.shape[2], top, bottom)
        x = _axis(code.grid[1], self.width, code.patches.shape[3], left, right)
        fields, weight = _fields(code, y, x)
        # gather one coarse pixel for each point by a product with a 0-1 matrix, faster than indexing in both directions
        at = torch.from_numpy((y.reads[:, None] * mw + x.reads[None, :]).reshape(-1)).to(coarse.device)
        reads = F.one_hot(at, mh * mw).to(fields.dtype).T if mh * mw <= MATRIX else None
        read = coarse.to(fields.dtype) @ reads if reads is not None else coarse.to(fields.dtype).index_select(-1, at)
        return torch.addcmul(fields, weight, read).reshape(*coarse.shape[:2], bottom - top, right - left)


@dataclass(frozen=True, eq=False)
class _Axis:
    """One axis of E points: interpolation ``[E, G]``, cosines ``[E, K]`` in the ranges, and the pixel of the coarse
    picture that each reads."""

    place: np.ndarray
    cosines: np.ndarray
    reads: np.ndarray
    made: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def on(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Both matrices as tensors like ``like``, converted once."""
        key = (like.dtype, like.device)
        if key not in self.made:
            with torch.inference_mode(False):
                self.made[key] = tuple(torch.from_numpy(a).to(like) for a in (self.place, self.cosines))  # type: ignore[assignment]
        return self.made[key]


@lru_cache(maxsize=256)
def _axis(ranges: int, size: int, count: int, start: int, stop: int) -> _Axis:
    """Pixels start … stop - 1 of ``size``, a multiple of ``ranges``."""
    p, q = 2 * np.arange(start, stop) + 1, 2 * size
    _, t = fold(ranges, p, q, True)
    return _Axis(spline(ranges, p, q), cosines(count, t, q), (t * (size // ranges) // q).astype(np.int64))


@lru_cache(maxsize=64)
def _centres(ranges: int, size: int, count: int) -> _Axis:
    """All pixels of any size; the coarse picture is the picture itself, as the centres map to each other."""
    p, q = 2 * np.arange(size) + 1, 2 * size
    _, t = fold(ranges, p, q, True)
    return _Axis(spline(ranges, p, q), cosines(count, t, q), ((t - 1) // 2).astype(np.int64))


def _fields(code: CollageCode, y: _Axis, x: _Axis) -> tuple[Tensor, Tensor]:
    """S and w at the points of two axes, ``[B, C, E]`` and ``[B, C or 1, E]``."""
    b, c = code.brightness.shape[:2]
    (my, cy), (mx, cx) = y.on(code.patches), x.on(code.patches)
    place = torch.einsum("yg,xh->ghyx", my, mx).reshape(my.shape[1] * mx.shape[1], -1)  # [G^2, E]
    shown = torch.einsum("akl,yk,xl->ayx", code.patches[:, 0], cy, cx).reshape(len(code.patches), place.shape[1])
    basis = torch.cat([place, (shown[:, None] * place).reshape(-1, place.shape[1])])  # [(1 + A) G^2, E]
    mixing = code.mixing.movedim(-1, 2).flatten(2).expand(b, c, -1)  # [B, C, A G^2]
    numbers = torch.cat([code.brightness.flatten(2), mixing], dim=2)
    weight = code.contrast[..., 0].flatten(2)
    # one product of two matrices each; a batched product would copy the constant for every picture
    return (
        (numbers.reshape(b * c, -1) @ basis).view(b, c, -1),
        (weight.reshape(-1, weight.shape[2]) @ place).view(*weight.shape[:2], -1),
    )
