"""COIN: a picture is stored as the weights of a small network from position to colour that is fitted to it.

Dupont et al., *COIN: COmpression with Implicit Neural representations* (2021): a perceptron with sines (SIREN, Sitzmann
et al., 2020). A baseline for comparison: it takes thousands of steps per picture. Here the weights are quantised
uniformly, tensor by tensor, and entropy coded; the paper counts 16 bits each.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codec import container
from fractalkit.codec.weights_syntax import read_numbers, write_numbers
from fractalkit.errors import DataError, UsageError
from fractalkit.models.picture_code import PictureCode
from fractalkit.raster.part import Part
from fractalkit.raster.samples import checked_samples

FREQUENCY = 30.0  # of the sines, as in SIREN
MAX_LAYERS, MAX_WIDTH = 32, 1024
EXPECTED_BITS = 8.5  # per weight in the file; the size of the network follows from it
SAMPLE = 1 << 14  # positions per step
CHUNK = 1 << 16


@dataclass(frozen=True)
class CoinCode(PictureCode):
    """A network of ``layers`` hidden layers of ``width`` sines, quantised.

    Attributes:
        height, width, channels, depth: of the picture.
        layers, hidden: of the network.
        steps: quantiser steps, one per tensor, weight and bias in turn.
        levels: ``[N]`` int64, all weights in units of their step.
        metadata: "icc" and "exif", as bytes.
    """

    layers: int
    hidden: int
    steps: tuple[float, ...]
    levels: np.ndarray
    metadata: dict[str, bytes] = field(default_factory=dict, repr=False)

    def to_bytes(self) -> bytes:
        """The ``.fk`` file."""
        settings = struct.pack(f"<BH{len(self.steps)}f", self.layers, self.hidden, *self.steps)
        header = container.Header("coin", self.height, self.width, self.channels, self.depth, settings, self.metadata)
        return container.write(header, [write_numbers(_kinds(self.shapes), self.levels)])

    @classmethod
    def from_bytes(
        cls, data: bytes, name: str = ".fk data", *, max_pixels: int = container.MAX_PIXELS, partial: bool = False
    ) -> CoinCode:
        """Read a ``.fk`` file. The beginning of a file draws nothing, so ``partial`` has no effect.

        Raises:
            DataError: damaged, truncated, of another codec, or larger than ``max_pixels``; it begins with ``name``.
        """
        header, segments = container.read(data, name, max_pixels=max_pixels)
        if header.codec != "coin":
            raise DataError(f"{name}: coded by {header.codec!r}, not by COIN")
        bad = DataError(f"{name}: settings out of range; the file is damaged")
        if len(header.settings) < 3 or len(segments) != 1:
            raise bad
        layers, hidden = struct.unpack_from("<BH", header.settings)
        if not (1 <= layers <= MAX_LAYERS and 1 <= hidden <= MAX_WIDTH):
            raise bad
        tensors = _shapes(layers, hidden, header.channels)
        if len(header.settings) != 3 + 4 * len(tensors):
            raise bad
        steps = struct.unpack_from(f"<{len(tensors)}f", header.settings, 3)
        if not all(math.isfinite(s) and 0 < s < 1e4 for s in steps):
            raise bad
        levels = read_numbers(segments[0], _kinds(tensors))
        return cls(
            header.height, header.width, header.channels, header.depth, layers, hidden, steps, levels, header.metadata
        )

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the tensors, weight and bias in turn."""
        return _shapes(self.layers, self.hidden, self.channels)

    def tensors(self) -> list[Tensor]:
        """Weights and biases, dequantised."""
        out, at = [], 0
        for shape, step in zip(self.shapes, self.steps, strict=True):
            n = math.prod(shape)
            out.append(torch.from_numpy(self.levels[at : at + n].astype(np.float32).reshape(shape)) * step)
            at += n
        return out

    @torch.no_grad()
    def decode_part(self, part: Part, deblock: bool | None = None) -> np.ndarray:
        left, top, right, bottom = part.box
        h, w = part.height, part.width
        ys = (top + (torch.arange(h, dtype=torch.float64) + 0.5) / h * (bottom - top)) / self.height
        xs = (left + (torch.arange(w, dtype=torch.float64) + 0.5) / w * (right - left)) / self.width
        out = np.empty((h, w, self.channels), self.dtype)
        net = self.tensors()
        rows = max(1, CHUNK // w)
        for y in range(0, h, rows):
            points = torch.cartesian_prod(ys[y : y + rows], xs).float() * 2 - 1
            v = (evaluate(net, points).clamp(0, 1) * self.top).round().numpy()
            out[y : y + rows] = v.reshape(-1, w, self.channels)
        return out[..., 0] if self.channels == 1 else out

    def summary(self) -> dict[str, Any]:
        """Facts of the code by name."""
        return {"layers": self.layers, "width of layers": self.hidden, "weights": len(self.levels),
                "bits a weight": 8 * len(self.to_bytes()) / len(self.levels)}  # fmt: skip


def _shapes(layers: int, hidden: int, channels: int) -> list[tuple[int, ...]]:
    sizes = [2] + [hidden] * layers + [channels]
    return [s for a, b in pairwise(sizes) for s in ((b, a), (b,))]


def _kinds(shapes: list[tuple[int, ...]]) -> np.ndarray:
    """Set of contexts of each number: one set per tensor."""
    return np.repeat(np.arange(len(shapes), dtype=np.uint8), [math.prod(s) for s in shapes])


def network_size(pixels: int, channels: int, bpp: float) -> tuple[int, int]:
    """(layers, width) of a network whose file is expected to take ``bpp`` bits per pixel; depths as in the paper.

    >>> network_size(768 * 512, 3, 0.3)
    (10, 38)
    """
    numbers = bpp * pixels / EXPECTED_BITS
    layers = 5 if numbers < 5000 else 10
    width = 1
    while width < MAX_WIDTH and sum(math.prod(s) for s in _shapes(layers, width + 1, channels)) <= numbers:
        width += 1
    return layers, width


def evaluate(tensors: list[Tensor], places: Tensor) -> Tensor:
    """Colours ``[N, C]`` at positions ``[N, 2]`` (y, x) in [-1, 1]."""
    x = places
    for weight, bias in zip(tensors[:-2:2], tensors[1:-2:2], strict=True):
        x = torch.sin(FREQUENCY * torch.addmm(bias, x, weight.T))
    return torch.addmm(tensors[-1], x, tensors[-2].T) + 0.5


def encode_coin(
    image: np.ndarray,
    *,
    bpp: float | None = None,
    bytes: int | None = None,
    iterations: int = 2000,
    seed: int = 0,
    lr: float | None = None,
    metadata: dict[str, bytes] | None = None,
    callback: Callable[[int, float], None] | None = None,
) -> CoinCode:
    """Fit a network to a picture and quantise it as finely as the size of the file allows.

    Args:
        image: ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]``, uint8 or uint16.
        bpp, bytes: largest size of the file, in bits per pixel (0.3 if neither is given) or in bytes; a picture too
            small for it gets the smallest network.
        iterations: steps of Adam at 16,384 positions each; the paper takes 50,000 at all positions.
        seed: of the initial weights and the positions.
        lr: peak learning rate; it falls to a hundredth along a cosine. None: 2e-3, less for layers wider than 24.
        callback: called with the iteration and its mean squared error (of values in [0, 1]).

    Raises:
        UsageError: an image of another shape or type, or a number out of range.
    """
    image, depth = checked_samples(image)
    h, w = image.shape[:2]
    if bpp is not None and bytes is not None:
        raise UsageError("bpp and bytes were given together; give one")
    if bpp is None:
        bpp = 0.3 if bytes is None else 8 * bytes / (h * w)
    if not (bpp > 0 and math.isfinite(bpp)) or iterations < 1:
        raise UsageError(f"bpp {bpp}, iterations {iterations}: expected numbers above 0")
    colours = torch.from_numpy(image.reshape(h * w, -1).astype(np.float32) / (2**depth - 1))
    channels = colours.shape[1]
    layers, hidden = network_size(h * w, channels, bpp)
    generator = torch.Generator().manual_seed(seed)
    net = _first(layers, hidden, channels, generator)
    if lr is None:
        lr = 2e-3 * min(1.0, 24 / hidden)
    _fit(net, _places(h, w), colours, iterations, lr, generator, callback)
    weights = [p.detach() for p in net]
    for bits in range(12, 4, -1):  # the finest quantiser that fits
        made = _quantised(weights, bits, (h, w, channels, depth), (layers, hidden), metadata or {})
        if 8 * len(made.to_bytes()) <= bpp * h * w:
            break
    return made


def _places(h: int, w: int) -> Tensor:
    """Centres of all pixels, ``[H W, 2]`` (y, x) in [-1, 1]."""
    centres = [(torch.arange(n, dtype=torch.float64) + 0.5) / n for n in (h, w)]
    return torch.cartesian_prod(*centres).float() * 2 - 1


def _fit(
    net: list[Tensor], places: Tensor, colours: Tensor, iterations: int, lr: float, generator: torch.Generator,
    callback: Callable[[int, float], None] | None,
) -> None:  # fmt: skip
    """Fit the network to the colours ``[N, C]`` at places ``[N, 2]``, at most ``SAMPLE`` of them in each step."""
    adam = torch.optim.Adam(net, lr=lr)
    for step in range(iterations):
        rate = lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / iterations))) * min(1, (step + 1) / 50)
        adam.param_groups[0]["lr"] = rate
        some: Any = slice(None)
        if len(places) > SAMPLE:
            some = torch.randint(len(places), (SAMPLE,), generator=generator)
        loss = (evaluate(net, places[some]) - colours[some]).square().mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        if callback is not None:
            callback(step, float(loss.detach()))


def _first(layers: int, hidden: int, channels: int, generator: torch.Generator) -> list[Tensor]:
    """Initial weights of a SIREN."""
    out: list[Tensor] = []
    for i, shape in enumerate(_shapes(layers, hidden, channels)):
        fan_in = 2 if i < 2 else hidden
        bound = 1 / fan_in if i < 2 else math.sqrt(6 / fan_in) / FREQUENCY
        out.append(((2 * torch.rand(shape, generator=generator) - 1) * bound).requires_grad_())
    return out


def _quantised(
    net: list[Tensor], bits: int, size: tuple[int, int, int, int], form: tuple[int, int], metadata: dict[str, bytes]
) -> CoinCode:
    steps, levels = [], []
    for p in net:
        # float32, as in the file; biases shift whole layers, so their steps are finer
        fine = bits + 2 if p.ndim == 1 else bits
        step = float(np.float32(max(2 * float(p.abs().max()) / (2**fine - 1), 1e-8)))
        steps.append(step)
        levels.append((p / step).round().long().flatten())
    return CoinCode(*size, *form, tuple(steps), torch.cat(levels).numpy(), metadata)
