"""Heads, which turn features of the trunk into pictures: collages, for any size, or plain convolutions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fractalkit.codes.collage import CollageCode
from fractalkit.core import Window, fixed_point
from fractalkit.errors import UsageError
from fractalkit.maps.collage import CollageMap
from fractalkit.maps.dense import DenseMap, is_dense
from fractalkit.models.blocks import Block, conv, full, space_to_depth

PRODUCTS = 1 << 16  # pixels times ranges up to which a CPU draws by matrix products


class CollageHead(nn.Module):
    """Features ``[B, width, f G, f G]`` -> a collage code of ``features`` channels -> pixels of any size.

    Each of the G x G ranges gets a contrast, a brightness and weights of the auxiliary patches, channel by channel;
    they are continuous fields, so the fixed point has no seams. It is a map of features: a small network, the same at
    every point, turns them into the parameters of the likelihood (as the authors' 1x1 convolution does, with one layer
    more, so that a smooth field can have a sharp edge).

    Args:
        fold: cells f of the features along each side of a range; their features are joined.
        rho: bound on the contrasts, so on the Lipschitz constant of each map.
        continuous: fields are splines; else each range has its own number, as in the paper, and seams.
        patches, order: number of auxiliary patches, and of cosines along each side that a patch is made of.
    """

    def __init__(
        self, width: int, grid: int, *, features: int, hidden: int, outputs: int, patches: int, order: int, rho: float,
        continuous: bool = True, fold: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.grid, self.features, self.rho, self.count, self.continuous = grid, features, rho, patches, continuous
        self.fold = fold
        self.emit = conv(width * fold**2, features * (2 + patches), 1)
        with torch.no_grad():
            # begin with hardly any self-reference and mostly brightness, as a plain decoder would
            weight = self.emit.weight.view(features, 2 + patches, -1)
            weight[:, 0] *= 0.1
            weight[:, 2:] *= 0.5
        steps = torch.arange(order, dtype=torch.float32)
        fall = 1 / (1 + steps[:, None] + steps[None, :])
        self.patches = nn.Parameter(torch.randn(patches, 1, order, order) * fall)
        self.pixel1 = nn.Parameter(torch.randn(hidden, features) / math.sqrt(features))
        self.bias1 = nn.Parameter(torch.zeros(hidden))
        self.pixel2 = nn.Parameter(torch.randn(outputs, hidden) * (0.5 / math.sqrt(hidden)))
        self.bias2 = nn.Parameter(torch.zeros(outputs))

    def code(self, x: Tensor) -> CollageCode:
        """The collage code of the features ``[B, width, f G, f G]``."""
        b, x = x.shape[0], space_to_depth(x, self.fold)
        raw = full(self.emit(F.silu(x))).reshape(b, self.features, 2 + self.count, self.grid, self.grid)
        return CollageCode(
            contrast=self.rho * torch.tanh(raw[:, :, 0, :, :, None]), brightness=raw[:, :, 1],
            mixing=raw[:, :, 2:].permute(0, 1, 3, 4, 2), patches=self.patches, continuous=self.continuous,
        )  # fmt: skip

    def fixed_point(self, code: CollageCode, height: int, width: int, window: Window | None = None) -> Tensor:
        """The fixed point ``[B, features, height, width]``; by matrix products where they are faster."""
        # Their cost is that of pixels times ranges: with 49 ranges and float32, they lose from 56 x 56 pixels on.
        large = window is None and height * width * math.prod(code.grid) > PRODUCTS
        slow = large and code.brightness.device.type == "cpu"
        if slow or not is_dense(code, height, width):
            return fixed_point(CollageMap(code, height, width), window)
        return fixed_point(DenseMap(code, height, width, self.rho), window)

    def pixels(self, f: Tensor) -> Tensor:
        """The network at each point: ``[B, features, H, W]`` -> ``[B, outputs, H, W]``."""
        b, c, h, w = f.shape
        hidden = F.silu(torch.baddbmm(self.bias1[:, None], self.pixel1.expand(b, -1, -1), f.reshape(b, c, h * w)))
        return torch.baddbmm(self.bias2[:, None], self.pixel2.expand(b, -1, -1), hidden).reshape(b, -1, h, w)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Likelihood parameters ``[B, outputs, height, width]``, sides multiples of G."""
        return self.pixels(self.fixed_point(self.code(x), height, width))


class ConvHead(nn.Module):
    """Features ``[B, width, G, G]`` -> likelihood parameters at the one size it was made for, by convolutions."""

    def __init__(self, width: int, grid: int, size: int, *, features: int, outputs: int) -> None:
        super().__init__()
        if size % grid:
            raise UsageError(f"head: {size} is no multiple of the trunk's last side {grid}")
        self.size = size
        self.grow = conv(width, features * (size // grid) ** 2, 1)
        self.block = Block(features, features, features, size, residual=True)
        self.out = conv(features, outputs, 1)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Likelihood parameters ``[B, outputs, size, size]``.

        Raises:
            UsageError: another size was asked for.
        """
        if (height, width) != (self.size, self.size):
            raise UsageError(f"a convolutional head draws {self.size} x {self.size} only; a collage draws any size")
        x = F.pixel_shuffle(self.grow(F.silu(x)), self.size // x.shape[-1])
        return self.out(F.silu(self.block(x)))
