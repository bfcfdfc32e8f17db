"""The chaos game of a flame in plain torch, on any device: the twin that the compiled loop is compared with.

It needs no compiling, so that it is also the quicker one for a glance at a flame that is not seen again.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.flame import IDENTITY, Flame, Xform
from fractalkit.errors import DataError
from fractalkit.maps.variations_cpu import arguments, formula
from fractalkit.orbit.flame_loop import FUSE, LARGE, NEAR, variations_of, visible

CHAINS = {"cpu": 1 << 12, "cuda": 1 << 18}


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
        """Points and colours after a map: affine map, variations, post map, colour."""
        a, d, b, e, cc, cf = f.coefs
        p, q = a * x + b * y + cc, d * x + e * y + cf
        before = z
        x, y, z = torch.zeros_like(p), torch.zeros_like(q), torch.zeros_like(z)
        for name, weight, space in variations_of(f, self.space, self.new_linear):
            given: list[Tensor | float] = []
            for argument in arguments(name, space):
                if argument in ("u1", "u2", "u3", "u4", "u5"):
                    given.append(self.uniform(len(p)))
                elif argument in ("cb", "ce", "cc", "cf"):
                    given.append({"cb": b, "ce": e, "cc": cc, "cf": cf}[argument])
                else:
                    given.append(f.parameter(f"{name}_{argument.removeprefix('p_')}"))
            # numbers as tensors: formulas call functions of them too
            tensors = [v if isinstance(v, Tensor) else p.new_tensor(v) for v in (weight, *given)]
            at = (x, y, z) if name == "flatten" else (p, q, before) if space else (p, q)
            g, h, *depth = formula(name, space)(*at, *tensors)
            if name == "pre_blur":
                p, q = p + g, q + h
                continue
            x, y = x + g, y + h
            z = z + depth[0] if depth else z
        if f.post != IDENTITY:
            a, d, b, e, cc, cf = f.post
            x, y = a * x + b * y + cc, d * x + e * y + cf
        return x, y, z, f.color_speed * f.color + (1 - f.color_speed) * c

    def seen(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Points in space as the camera shows them; see :mod:`fractalkit.orbit.flame`."""
        f = self.flame
        z = z - f.cam_zpos
        x, h = math.cos(f.cam_yaw) * x + math.sin(f.cam_yaw) * y, math.cos(f.cam_yaw) * y - math.sin(f.cam_yaw) * x
        cp, sp = math.cos(f.cam_pitch), math.sin(f.cam_pitch)
        y, z = cp * h - sp * z, sp * h + cp * z
        if f.cam_dof != 0:
            r, v = 0.1 * f.cam_dof * z * self.uniform(len(x)), 2 * math.pi * self.uniform(len(x))
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
    dtype: torch.dtype = torch.float64,
) -> np.ndarray:
    """A histogram as :func:`fractalkit.orbit.flame.accumulate`'s, of another random stream: float32 ``[*cells, 4]``.

    Raises:
        DataError: the flame has no maps.
    """
    if not flame.xforms:
        raise DataError(f"flame {flame.name!r}: has no xform")
    device = torch.device(device)
    generator = torch.Generator(device).manual_seed(seed % (1 << 63))
    plain = PlainFlame(flame, generator, device=device, dtype=dtype)
    cumulative = torch.from_numpy(np.cumsum(flame.matrix(), 1)[:, :-1]).to(device, dtype)
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
        new = [torch.empty_like(v) for v in (x, y, z, c)]
        for i, f in enumerate(flame.xforms):
            mine = torch.nonzero(last == i)[:, 0]
            if len(mine):
                for whole, part in zip(new, plain.xform(f, x[mine], y[mine], z[mine], c[mine]), strict=True):
                    whole[mine] = part
        x, y, z, c = new
        lost = ~((x.abs() < LARGE) & (y.abs() < LARGE) & (z.abs() < LARGE))
        z = torch.where(lost, 0.0, z)
        x = torch.where(lost, 2 * plain.uniform(n) - 1, x)
        y = torch.where(lost, 2 * plain.uniform(n) - 1, y)
        bad = torch.where(lost, (bad + 1) % 5, 0)
        if turn < 0:
            continue
        fx, fy, fz, fc = x, y, z, c
        if flame.final is not None:
            made = plain.xform(flame.final, x, y, z, c)
            drawn = plain.uniform(n) < flame.final.opacity
            fx, fy, fz, fc = (torch.where(drawn, a, b) for a, b in zip(made, (x, y, z, c), strict=True))
        if plain.space:
            fx, fy = plain.seen(fx, fy, fz)
        u, v = k[0] * fx + k[1] * fy + k[2], k[3] * fx + k[4] * fy + k[5]
        inside = (u >= 0) & (v >= 0) & (u < cells[1]) & (v < cells[0]) & (bad == 0)
        inside[max(0, samples - turn * n) :] = False  # chains have no order here, so the first ones are as good as any
        place = (v[inside].long() * cells[1] + u[inside].long()).clamp(0, len(out) - 1)
        shade = (fc.clamp(0, 1) * float(colours[1][0]) + plain.uniform(n) * float(colours[1][1])).long()[inside]
        out.index_add_(0, place, table[shade] * weights[last[inside]][:, None])
    return out.reshape(*cells, 4).cpu().numpy()
