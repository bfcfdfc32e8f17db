"""The chaos game of a flame in plain torch, on any device: the reference for the compiled loop.

It needs no compiling, so that it is also the quicker one for a glance at a flame that is not seen again.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_parts import Xform
from fractalkit.errors import DataError
from fractalkit.maps.variation_code import LEVELS, PAINT, arguments, tensor_code
from fractalkit.orbit.flame_loop import (
    FUSE,
    LARGE,
    NEAR,
    TURN,
    Use,
    blur_factors,
    direct_color,
    distance_color,
    variations_of,
    visible,
)
from fractalkit.orbit.streams import finest

CHAINS = {"cpu": 1 << 12, "cuda": 1 << 18}


def _placed(use: Use, at: list[Tensor], made: list[Tensor | None]) -> list[Tensor]:
    """The point after a pre_ or post_ form."""
    if use.adds:
        return [t if m is None else t + m for t, m in zip(at, made, strict=True)]
    kept = (True, True, False) if use.declared.depth else (False, False, False)
    return [t if k or m is None else m for t, m, k in zip(at, made, kept, strict=True)]


def _unpainted(c: Tensor) -> tuple[Tensor, Tensor]:
    """Colours in the palette, and the codes of painted points, 0 for others."""
    paint = torch.where(c > 2, torch.floor((c + 1) / PAINT), 0.0)
    return c - PAINT * paint, paint


class PlainFlame:
    """A flame's maps as functions of tensors ``[N]``."""

    def __init__(
        self, flame: Flame, generator: torch.Generator, *, device: torch.device, dtype: torch.dtype = torch.float64
    ) -> None:
        self.flame, self.generator, self.device, self.dtype = flame, generator, device, dtype
        self.space = flame.in_space()
        self.new_linear = flame.extras.get("new_linear", "0").strip() == "1"

    def uniform(self, n: int) -> Tensor:
        """``[n]`` in [0, 1)."""
        return torch.rand(n, generator=self.generator, device=self.device, dtype=self.dtype)

    def xform(self, f: Xform, x: Tensor, y: Tensor, z: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        """Points and colours after a map, and which points it hides: affine map, variations, post map, colour."""
        a, d, b, e, cc, cf = f.coefs
        p, q, depth = f.solid(x, y, z)
        affine = {"ca": a, "cb": b, "cc": cc, "cd": d, "ce": e, "cf": cf}
        c, painted = _unpainted(c)[0], torch.zeros_like(p)
        blended = f.color_speed * f.color + (1 - f.color_speed) * c
        c, hid = blended, torch.zeros_like(p, dtype=torch.bool)
        total = [torch.zeros_like(v) for v in (p, q, z)]
        at = [p, q, depth]
        for use in variations_of(f, self.space, self.new_linear):
            point = total if use.place == "post_" else at
            made, c, gone = self._vary(use, f, affine, point, c)
            if use.declared.program.paints:
                c, paint = _unpainted(c)
                painted = torch.where(paint > 0, paint, painted)
            hid = hid if gone is None else hid | gone
            if not use.place:
                total = [t if m is None else t + m for t, m in zip(total, made, strict=True)]
            elif use.place == "pre_":
                at = _placed(use, point, made)
            else:
                total = _placed(use, point, made)
        start = (x, y, z)
        x, y, z = f.solid(*total, post=True)
        moves = distance_color(f)
        if moves is not None:
            far = sum((a - b) ** 2 for a, b in zip((x, y, z), start, strict=True))
            c = f.color + moves * torch.as_tensor(far).sqrt()
            c = c - TURN * torch.floor(c / TURN)
        elif c is not blended:
            c = blended + direct_color(f) * (c.clamp(0, 1) - blended)
        return x, y, z, c + PAINT * painted, hid

    def _vary(
        self, use: Use, f: Xform, affine: dict[str, float], point: list[Tensor], c: Tensor
    ) -> tuple[list[Tensor | None], Tensor, Tensor | None]:
        """What a variation adds to x, y and z (None: nothing), the colour, and what it hides (None: nothing)."""
        x, y, z = point
        names = arguments(use.declared)
        numbers = [affine[n] if n in affine else f.parameter(f"{use.name}_{n[2:]}") for n in names]
        # numbers as tensors: formulas call functions of them too
        given = [x.new_tensor(v) for v in (use.weight, *numbers)]
        z = z if use.space else torch.zeros_like(x)
        *made, c, gone = tensor_code(use.declared)(x, y, z, c, *given, lambda: self.uniform(len(x)))
        if not use.space:
            made[2] = None
        elif made[2] is None:
            made[2] = 0.0
        parts = [None if v is None else v + torch.zeros_like(x) for v in made]
        return parts, c, gone

    def seen(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Points in space as the camera shows them; see :mod:`fractalkit.orbit.flame`."""
        f = self.flame
        z = z if f.by_jwildfire else z - f.cam_zpos
        x, h = math.cos(f.cam_yaw) * x + math.sin(f.cam_yaw) * y, math.cos(f.cam_yaw) * y - math.sin(f.cam_yaw) * x
        cr, sr = math.cos(f.cam_roll), math.sin(f.cam_roll)
        x, z = cr * x + sr * z, cr * z - sr * x
        cp, sp = math.cos(f.cam_pitch), math.sin(f.cam_pitch)
        y, z = cp * h - sp * z, sp * h + cp * z
        if f.cam_dof != 0:
            away = (f.cam_zpos - z).clamp(min=0) if f.by_jwildfire else z
            r, v = 0.1 * f.cam_dof * away * self.uniform(len(x)), 2 * math.pi * self.uniform(len(x))
            if (factors := blur_factors(f)) is not None:
                r = r * (factors[0] * x * x + factors[1] * y * y)
            x, y = x + r * v.cos(), y + r * v.sin()
        near = 1 - f.cam_persp * z
        return torch.where(near > NEAR, x / near, torch.nan), y / near


@torch.no_grad()
def accumulate_plain(
    flame: Flame,
    samples: int,
    cells: tuple[int, int],
    camera: np.ndarray,
    colours: tuple[np.ndarray, np.ndarray],
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    late: bool = False,
) -> np.ndarray:
    """A histogram as :func:`fractalkit.orbit.flame.accumulate`'s, of another random stream: float32 ``[*cells, 4]``.

    Args:
        dtype: of the arithmetic; None for float64, or float32 where the device has none.
        late: points are drawn in the colour that they had before their last map, as JWildfire Swan draws them.

    Raises:
        DataError: the flame has no maps.
    """
    if not flame.xforms:
        raise DataError(f"flame {flame.name!r}: has no xform")
    device = torch.device(device)
    dtype = dtype or finest(device)
    generator = torch.Generator(device).manual_seed(seed % (1 << 63))
    plain = PlainFlame(flame, generator, device=device, dtype=dtype)
    cumulative = torch.from_numpy(np.cumsum(flame.matrix(), 1)[:, :-1]).to(dtype).to(device)
    table = torch.from_numpy(colours[0]).to(device)
    k = camera.tolist()
    n = max(64, min(CHAINS.get(device.type, 1 << 14), samples // (2 * FUSE)))
    out = torch.zeros(cells[0] * cells[1], 4, device=device)
    x, y, c = 2 * plain.uniform(n) - 1, 2 * plain.uniform(n) - 1, plain.uniform(n)
    z = torch.zeros_like(x)
    last = torch.full((n,), len(flame.xforms), device=device)
    bad = torch.zeros(n, dtype=torch.int64, device=device)
    weights = torch.tensor([visible(f.opacity) for f in flame.xforms], device=device)
    for turn in range(-FUSE, -(-samples // n)):
        last = (plain.uniform(n)[:, None] >= cumulative[last]).sum(1)
        new = [*(torch.empty_like(v) for v in (x, y, z, c)), torch.zeros_like(last, dtype=torch.bool)]
        for i, f in enumerate(flame.xforms):
            mine = torch.nonzero(last == i)[:, 0]
            if len(mine):
                for whole, part in zip(new, plain.xform(f, x[mine], y[mine], z[mine], c[mine]), strict=True):
                    whole[mine] = part
        before_map = c
        x, y, z, c, hid = new
        lost = ~((x.abs() < LARGE) & (y.abs() < LARGE) & (z.abs() < LARGE))
        z = torch.where(lost, 0.0, z)
        x = torch.where(lost, 2 * plain.uniform(n) - 1, x)
        y = torch.where(lost, 2 * plain.uniform(n) - 1, y)
        bad = torch.where(lost, (bad + 1) % 5, 0)
        if turn < 0:
            continue
        fx, fy, fz, fc = x, y, z, before_map if late else c
        shown = _unpainted(fc)[1]
        for final in flame.finals:
            made = plain.xform(final, fx, fy, fz, fc)
            drawn = plain.uniform(n) < final.opacity
            before = (fx, fy, fz, fc, hid)
            fx, fy, fz, fc, gone = (torch.where(drawn, a, b) for a, b in zip(made, before, strict=True))
            hid = hid | gone
            again = _unpainted(fc)[1]
            shown = torch.where(again > 0, again, shown)
        fc = _unpainted(fc)[0]
        if plain.space:
            fx, fy = plain.seen(fx, fy, fz)
        u, v = k[0] * fx + k[1] * fy + k[2], k[3] * fx + k[4] * fy + k[5]
        inside = (u >= 0) & (v >= 0) & (u < cells[1]) & (v < cells[0]) & (bad == 0) & ~hid
        inside[max(0, samples - turn * n) :] = False  # chains have no order here, so the first ones are as good as any
        place = (v[inside].long() * cells[1] + u[inside].long()).clamp(0, len(out) - 1)
        shade = (fc.clamp(0, 1) * float(colours[1][0]) + plain.uniform(n) * float(colours[1][1])).long()
        shade = torch.where(shown > 0, len(table) - LEVELS**3 - 1 + shown.long(), shade)[inside]
        out.index_add_(0, place, table[shade] * weights[last[inside]][:, None])
    return out.reshape(*cells, 4).cpu().numpy()
