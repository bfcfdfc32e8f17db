"""COIN: a picture as a small network from place to colour, fitted to it, and the network's weights as the file.

Dupont et al., *COIN: COmpression with Implicit Neural representations* (2021): a perceptron with sines (SIREN, Sitzmann
et al., 2020). A baseline to compare with: it needs thousands of steps for each picture. Here the weights are
quantised evenly, tensor by tensor, and entropy coded, where the paper counts 16 bits each.
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

FREQUENCY = 30.0  # of the sines, as in SIREN
MAX_LAYERS, MAX_WIDTH = 32, 1024
EXPECTED_BITS = 8.5  # of a weight in the file, by which the network's size is chosen
SAMPLE = 1 << 14  # places a step
CHUNK = 1 << 16


@dataclass(frozen=True)
class CoinCode:
    """A network of ``layers`` hidden layers of ``width`` sines, quantised.

    Attributes:
        height, width, channels, depth: of the picture.
        layers, hidden: of the network.
        steps: of the quantiser, one for each tensor, weight and bias in turn.
        levels: ``[N]`` int64, all weights in units of those.
        metadata: "icc" and "exif", as bytes.
    """

    height: int
    width: int
    channels: int
    depth: int
    layers: int
    hidden: int
    steps: tuple[float, ...]
    levels: np.ndarray
    metadata: dict[str, bytes] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The ``.fk`` file."""
        settings = struct.pack(f"<BH{len(self.steps)}f", self.layers, self.hidden, *self.steps)
        header = container.Header("coin", self.height, self.width, self.channels, self.depth, settings, self.metadata)
        return container.write(header, [write_numbers(_kinds(self.shapes), self.levels)])

    @classmethod
    def from_bytes(
        cls, data: bytes, name: str = ".fk data", *, max_pixels: int = container.MAX_PIXELS, partial: bool = False
    ) -> CoinCode:
        """From a ``.fk`` file; the beginning of one shows nothing, so ``partial`` changes nothing.

        Raises:
            DataError: damaged, cut off, of another codec, or larger than ``max_pixels``; it begins with ``name``.
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
        """Of the tensors, weight and bias in turn."""
        return _shapes(self.layers, self.hidden, self.channels)

    def tensors(self) -> list[Tensor]:
        """The weights."""
        out, at = [], 0
        for shape, step in zip(self.shapes, self.steps, strict=True):
            n = math.prod(shape)
            out.append(torch.from_numpy(self.levels[at : at + n].astype(np.float32).reshape(shape)) * step)
            at += n
        return out

    @torch.no_grad()
    def decode(
        self,
        height: int | None = None,
        width: int | None = None,
        *,
        window: tuple[float, float, float, float] | None = None,
        deblock: bool | None = None,
    ) -> np.ndarray:
        """``[H, W]`` or ``[H, W, C]`` uint8 or uint16, at any size: the network asked at more places.

        Args:
            height, width: of what is drawn; None takes the picture's own pixels.
            window: x0, y0, x1, y1 in [0, 1].
            deblock: has no meaning here; the network knows no blocks.
        """
        x0, y0, x1, y1 = window or (0.0, 0.0, 1.0, 1.0)
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise UsageError(f"window: expected 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1, got {window}")
        h = height or max(1, round(self.height * (y1 - y0)))
        w = width or max(1, round(self.width * (x1 - x0)))
        if h < 1 or w < 1:
            raise UsageError(f"size: expected at least 1 x 1, got {w} x {h}")
        ys = y0 + (torch.arange(h, dtype=torch.float64) + 0.5) / h * (y1 - y0)
        xs = x0 + (torch.arange(w, dtype=torch.float64) + 0.5) / w * (x1 - x0)
        top = 255 if self.depth == 8 else 65535
        out = np.empty((h, w, self.channels), np.uint8 if self.depth == 8 else np.uint16)
        net = self.tensors()
        rows = max(1, CHUNK // w)
        for y in range(0, h, rows):
            part = torch.cartesian_prod(ys[y : y + rows], xs).float() * 2 - 1
            v = (evaluate(net, part).clamp(0, 1) * top).round().numpy()
            out[y : y + rows] = v.reshape(-1, w, self.channels)
        return out[..., 0] if self.channels == 1 else out

    def summary(self) -> dict[str, Any]:
        """Plain facts."""
        return {"layers": self.layers, "width of layers": self.hidden, "weights": len(self.levels),
                "bits a weight": 8 * len(self.to_bytes()) / len(self.levels)}  # fmt: skip


def _shapes(layers: int, hidden: int, channels: int) -> list[tuple[int, ...]]:
    sizes = [2] + [hidden] * layers + [channels]
    return [s for a, b in pairwise(sizes) for s in ((b, a), (b,))]


def _kinds(shapes: list[tuple[int, ...]]) -> np.ndarray:
    """Which contexts each number has: those of its tensor."""
    return np.repeat(np.arange(len(shapes), dtype=np.uint8), [math.prod(s) for s in shapes])


def network_size(pixels: int, channels: int, bpp: float) -> tuple[int, int]:
    """(layers, width) whose file is expected to have ``bpp`` bits a pixel; as deep as the paper's.

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
    """Colours ``[N, C]`` at places ``[N, 2]`` (y, x) in [-1, 1]."""
    x = places
    for weight, bias in zip(tensors[:-2:2], tensors[1:-2:2], strict=True):
        x = torch.sin(FREQUENCY * torch.addmm(bias, x, weight.T))
    return torch.addmm(tensors[-1], x, tensors[-2].T) + 0.5


def encode_coin(
    image: np.ndarray,
    *,
    bpp: float = 0.3,
    iterations: int = 2000,
    seed: int = 0,
    lr: float | None = None,
    metadata: dict[str, bytes] | None = None,
    callback: Callable[[int, float], None] | None = None,
) -> CoinCode:
    """Fit a network to a picture and quantise it, as finely as ``bpp`` allows.

    Args:
        image: ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]``, uint8 or uint16.
        bpp: bits a pixel that the file may have; a picture too small for it gets the smallest network there is.
        iterations: of Adam, each at 16,384 places; the paper has 50,000 at all.
        seed: of first weights and places.
        lr: peak learning rate; it falls to a hundredth along a cosine. None: 2e-3, and less for layers wider than 24.
        callback: called with the iteration and its mean squared error (of values in [0, 1]).

    Raises:
        UsageError: no picture, or a number out of range.
    """
    if image.ndim not in (2, 3) or 0 in image.shape or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise UsageError(f"image: expected [H, W] or [H, W, 3 or 4], got {list(image.shape)}")
    if image.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"image: expected uint8 or uint16, got {image.dtype}")
    if not (bpp > 0 and math.isfinite(bpp)) or iterations < 1:
        raise UsageError(f"bpp {bpp}, iterations {iterations}: expected numbers above 0")
    h, w = image.shape[:2]
    flat = np.ascontiguousarray(image).reshape(h * w, -1)
    channels = flat.shape[1]
    depth = 8 if image.dtype == np.uint8 else 16
    colours = torch.from_numpy(flat.astype(np.float32) / (2**depth - 1))
    layers, hidden = network_size(h * w, channels, bpp)
    if lr is None:
        lr = 2e-3 * min(1.0, 24 / hidden)
    generator = torch.Generator().manual_seed(seed)
    net = _first(layers, hidden, channels, generator)
    adam = torch.optim.Adam(net, lr=lr)
    places = torch.cartesian_prod(
        (torch.arange(h, dtype=torch.float64) + 0.5) / h, (torch.arange(w, dtype=torch.float64) + 0.5) / w
    ).float() * 2 - 1  # fmt: skip
    for step in range(iterations):
        rate = lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / iterations))) * min(1, (step + 1) / 50)
        adam.param_groups[0]["lr"] = rate
        if h * w > SAMPLE:
            index = torch.randint(h * w, (SAMPLE,), generator=generator)
            loss = (evaluate(net, places[index]) - colours[index]).square().mean()
        else:
            loss = (evaluate(net, places) - colours).square().mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        if callback is not None:
            callback(step, float(loss.detach()))
    made = None
    for bits in range(12, 4, -1):  # the finest that fits
        made = _quantised([p.detach() for p in net], bits, (h, w, channels, depth), (layers, hidden), metadata or {})
        if 8 * len(made.to_bytes()) <= bpp * h * w:
            break
    assert made is not None
    return made


def _first(layers: int, hidden: int, channels: int, generator: torch.Generator) -> list[Tensor]:
    """SIREN's first weights."""
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
        # float32, as the file has it; biases shift whole layers, so they are kept finer
        fine = bits + 2 if p.ndim == 1 else bits
        step = float(np.float32(max(2 * float(p.abs().max()) / (2**fine - 1), 1e-8)))
        steps.append(step)
        levels.append((p / step).round().long().flatten())
    return CoinCode(*size, *form, tuple(steps), torch.cat(levels).numpy(), metadata)
