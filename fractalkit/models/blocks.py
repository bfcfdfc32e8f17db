"""Parts of the trunks: residual blocks, layer strings, diagonal Gaussians."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fractalkit.errors import UsageError

_LAYER = re.compile(r"(\d+)(?:([xdm])(\d+))?")
MAX_LAYERS = 200


@dataclass(frozen=True)
class Layer:
    """One layer of a trunk at side ``size``; ``other`` is the downsampling factor, or the side to upsample from."""

    size: int
    kind: str  # "block", "down" or "mix"
    other: int = 0


def parse_layers(text: str) -> list[Layer]:
    """Parse a layer string as in Child (2021): ``7x4`` four blocks at 7 x 7, ``14d2`` down by 2, ``7m1`` up from 1 x 1.

    Sides need not be multiples: ``7d2`` leads to 4 x 4, and ``7m4`` from there to 7 x 7.

    Raises:
        UsageError: a malformed part, or more than 200 blocks.

    >>> [(layer.kind, layer.size, layer.other) for layer in parse_layers("14x1,14d2,7x2")]
    [('block', 14, 0), ('down', 14, 2), ('block', 7, 0), ('block', 7, 0)]
    """
    out: list[Layer] = []
    for part in text.replace(" ", "").split(","):
        match = _LAYER.fullmatch(part)
        if match is None:
            raise UsageError(f"layers: {part!r} is not of the form 7x4, 14d2 or 7m1 (in {text!r})")
        size, kind, other = int(match[1]), match[2] or "x", int(match[3] or 1)
        if size < 1 or other < 1:
            raise UsageError(f"layers: {part!r} holds a zero (in {text!r})")
        if kind == "x":
            if len(out) + other > MAX_LAYERS:
                raise UsageError(f"layers: more than {MAX_LAYERS} blocks in {text!r}")
            out += [Layer(size, "block")] * other
        elif kind == "d":
            if other > size:
                raise UsageError(f"layers: {part!r} divides {size} by {other}, which leaves nothing (in {text!r})")
            out.append(Layer(size, "down", other))
        else:
            if other > size:
                raise UsageError(f"layers: {part!r} grows {other} to {size}, which is smaller (in {text!r})")
            out.append(Layer(size, "mix", other))
    return out


def conv(cin: int, cout: int, kernel: int, *, scale: float = 1.0, zero: bool = False) -> nn.Conv2d:
    """A convolution that keeps the size; weights scaled by ``scale`` or zero, biases zero."""
    layer = nn.Conv2d(cin, cout, kernel, padding=kernel // 2)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        layer.weight.mul_(0.0 if zero else scale)
    return layer


class Block(nn.Module):
    """The bottleneck block of Child (2021): 1x1, 3x3, 3x3, 1x1, an activation before each; ``[B, cin, H, W]`` -> cout.

    The 3x3 convolutions become 1x1 below 3 x 3 pixels, where they would see only padding.
    """

    def __init__(
        self, cin: int, middle: int, cout: int, size: int, *, residual: bool = False, scale: float = 1.0,
        zero: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        kernel = 3 if size > 2 else 1
        self.residual = residual
        self.c1 = conv(cin, middle, 1)
        self.c2 = conv(middle, middle, kernel)
        self.c3 = conv(middle, middle, kernel)
        self.c4 = conv(middle, cout, 1, scale=scale, zero=zero)

    def forward(self, x: Tensor) -> Tensor:
        h = self.c1(F.relu(x))
        h = self.c2(F.relu_(h))
        h = self.c3(F.relu_(h))
        h = self.c4(F.relu_(h))
        return x + h if self.residual else h


def shrunk(side: int, factor: int) -> int:
    """The side that :func:`shrink` leads to, rounded up.

    >>> shrunk(14, 2), shrunk(7, 2)
    (7, 4)
    """
    return -(-side // factor)


def shrink(h: Tensor, factor: int) -> Tensor:
    """Averages over factor x factor cells, or over cells that overlap where the factor does not divide the side."""
    side = h.shape[-1]
    return F.adaptive_avg_pool2d(h, shrunk(side, factor)) if side % factor else F.avg_pool2d(h, factor)


def grow(h: Tensor, side: int) -> Tensor:
    """Repeat each cell, or interpolate linearly where ``side`` is not a multiple of that of ``h``."""
    if side % h.shape[-1]:
        return F.interpolate(h, size=side, mode="bilinear", align_corners=False)
    return F.interpolate(h, scale_factor=side // h.shape[-1])


def space_to_depth(x: Tensor, factor: int) -> Tensor:
    """Move f x f pixels into channels, ``[B, C, H, W]`` -> ``[B, C f f, H/f, W/f]``, to make convolutions cheaper."""
    return F.pixel_unshuffle(x, factor) if factor > 1 else x


def working(h: Tensor) -> Tensor:
    """Convert a state once to the precision and memory format of the convolutions."""
    kind = h.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else h.dtype
    return h.to(dtype).contiguous(memory_format=torch.channels_last)


def full(x: Tensor) -> Tensor:
    """Convert to at least float32, where bfloat16 is not precise enough."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


# ---- diagonal Gaussians, parameters [B, 2 z, H, W]: mean and raw log sigma

_RANGE = 6.0  # log sigma stays within +-6: e^-6 is fine enough, and nothing overflows in bfloat16


def gaussian(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log sigma, at least float32; log sigma is softly kept within +-6."""
    mean, raw = full(parameters).chunk(2, dim=1)
    return mean, _RANGE * torch.tanh(raw / _RANGE)


def kl_divergence(m1: Tensor, s1: Tensor, m2: Tensor, s2: Tensor) -> Tensor:
    """KL(N(m1, e^s1) || N(m2, e^s2)) in nats, elementwise.

    >>> zero = torch.zeros(1)
    >>> round(float(kl_divergence(zero + 1, zero, zero, zero)), 4)
    0.5
    """
    return s2 - s1 - 0.5 + 0.5 * (torch.exp(2 * (s1 - s2)) + ((m1 - m2) * torch.exp(-s2)) ** 2)


def log_normal(z: Tensor, mean: Tensor, log_sigma: Tensor) -> Tensor:
    """log N(z; mean, e^log_sigma), elementwise."""
    return -0.5 * math.log(2 * math.pi) - log_sigma - 0.5 * ((z - mean) * torch.exp(-log_sigma)) ** 2
