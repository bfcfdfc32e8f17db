"""The picture of a variation: what it does to a grid of lines and a circle."""

from __future__ import annotations

import numpy as np
import torch

from fractalkit.codes.variation_text import Declared
from fractalkit.maps import apply_variation
from fractalkit.maps.variation_code import LEVELS, PAINT, arguments, tensor_code

SIDE = 128
AFFINE = (1.0, 0.4, 0.6, 0.0, 1.0, 0.5)
NUMBERS = {"fan2": {"x": 0.6, "y": 0.3}, "rings2": {"val": 0.5}, "perspective": {"angle": 0.6, "dist": 2.0}}


def lines() -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Points of a grid of lines in [-1, 1]^2 and of a circle, and their colours ``[N, 3]``."""
    t = torch.linspace(-1, 1, 1201, dtype=torch.float64)
    at = torch.linspace(-1, 1, 9, dtype=torch.float64) + 1e-3
    a, b = (v.reshape(-1) for v in torch.meshgrid(at, t, indexing="ij"))
    angle = np.pi * torch.linspace(-1, 1, 4801, dtype=torch.float64)
    x, y = torch.cat([a, b, 0.75 * angle.cos()]), torch.cat([b, a, 0.75 * angle.sin()])
    colours = np.repeat([[0.45, 0.75, 1.0], [1.0, 0.62, 0.35], [1.0, 1.0, 1.0]], [len(a), len(a), len(angle)], axis=0)
    return x, y, colours


@torch.no_grad()
def _moved(declared: Declared) -> np.ndarray:
    """What a variation of weight 1 does to the lines: uint8 ``[SIDE, SIDE, 3]``, the window [-2, 2]^2."""
    x, y, colours = lines()
    moved = apply_variation(declared.name, x, y, parameters=NUMBERS.get(declared.name), coefs=AFFINE, seed=1)
    u, v = ((w * (SIDE / 4) + SIDE / 2).numpy() for w in moved)
    good = np.isfinite(u) & np.isfinite(v) & (u >= 0) & (v >= 0) & (u < SIDE) & (v < SIDE)
    sums = np.zeros((SIDE * SIDE, 4))
    rows = np.concatenate([colours, np.ones((len(u), 1))], 1)[good]
    np.add.at(sums, v[good].astype(int) * SIDE + u[good].astype(int), rows)
    share = 1 - np.exp(-sums[:, 3:] / 3)
    mean = sums[:, :3] / np.maximum(sums[:, 3:], 1)
    back = np.array([0.06, 0.07, 0.10])
    return ((back + (mean - back) * share) * 255).round().astype(np.uint8).reshape(SIDE, SIDE, 3)


@torch.no_grad()
def _painted(declared: Declared) -> np.ndarray:
    """The colours of a variation that paints points, as :func:`_moved` but over [-1, 1]^2, if it does by default."""
    generator, n = torch.Generator().manual_seed(1), 3 * SIDE * SIDE
    x, y, c = (torch.rand(n, generator=generator, dtype=torch.float64) for _ in range(3))
    given = [x.new_tensor(1.0), *(x.new_tensor(declared.parameters[a[2:]]) for a in arguments(declared))]
    u, v, _, c, _ = tensor_code(declared)(
        2 * x - 1, 2 * y - 1, 0 * x, c, *given, lambda: torch.rand(n, generator=generator, dtype=torch.float64)
    )
    code = ((c + 1) / PAINT).floor().long()
    if not (code > 0).any():
        return _moved(declared)
    code = code.clamp(min=1) - 1
    rgb = torch.stack([code // LEVELS**2, code // LEVELS % LEVELS, code % LEVELS], 1).numpy() / (LEVELS - 1)
    u, v = ((w * (SIDE / 2) + SIDE / 2).clamp(0, SIDE - 1).long().numpy() for w in (u, v))
    sums = np.zeros((SIDE * SIDE, 4))
    np.add.at(sums, v * SIDE + u, np.concatenate([rgb, np.ones((n, 1))], 1))
    mean = sums[:, :3] / np.maximum(sums[:, 3:], 1)
    return (mean * 255).round().astype(np.uint8).reshape(SIDE, SIDE, 3)


def picture(declared: Declared) -> np.ndarray:
    """A variation with its default parameters: uint8 ``[SIDE, SIDE, 3]``.

    Lines of a grid over [-1, 1]^2 and a circle are moved, in the window [-2, 2]^2. Of a variation that paints points,
    the colours that it gives over [-1, 1]^2.
    """
    return _painted(declared) if declared.program.paints else _moved(declared)
