"""Noise of latents: one stream for a batch, one for each item, between two, or given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fractalkit.errors import UsageError


class Given:
    """Standard normal numbers that are known: one tensor for each layer, used in turn.

    Those of :meth:`VDVAE.latents` draw the same picture again, or another class in the same hand.
    """

    def __init__(self, layers: Sequence[Tensor]) -> None:
        self._layers, self._used = list(layers), 0

    def next(self, shape: Sequence[int]) -> Tensor:
        """The numbers of the next layer.

        Raises:
            UsageError: there are none left, or they have another shape.
        """
        if self._used == len(self._layers):
            raise UsageError(f"noise: {len(self._layers)} layers are given, and the model has more")
        self._used += 1
        out = self._layers[self._used - 1]
        if out.shape != tuple(shape):
            raise UsageError(f"noise: layer {self._used} is {list(out.shape)}, the model's {list(shape)}")
        return out


@dataclass(frozen=True)
class Between:
    """Noise between two streams: cos(angle) of the first plus sin(angle) of the second.

    Standard normal at every angle; 0 is the first stream, pi / 2 the second.
    """

    first: torch.Generator | Given
    second: torch.Generator | Given
    angle: float


Item = torch.Generator | Between | Given
Noise = torch.Generator | Sequence[Item]


def normal(shape: Sequence[int], noise: Noise, device: torch.device) -> Tensor:
    """Standard normal numbers ``[B, …]``, from one stream for the batch or one for each item."""
    if isinstance(noise, torch.Generator):
        return torch.randn(tuple(shape), generator=noise, device=noise.device).to(device)
    if len(noise) != shape[0]:
        raise UsageError(f"noise: {len(noise)} generators for a batch of {shape[0]}")
    return torch.stack([_normal(shape[1:], n, device) for n in noise])


def _normal(shape: Sequence[int], noise: Item, device: torch.device) -> Tensor:
    if isinstance(noise, Between):
        a, b = (_normal(shape, g, device) for g in (noise.first, noise.second))
        return math.cos(noise.angle) * a + math.sin(noise.angle) * b
    if isinstance(noise, Given):
        return noise.next(shape).to(device)
    return torch.randn(tuple(shape), generator=noise, device=noise.device).to(device)


def stream(noise: Noise) -> torch.Generator:
    """A generator for choices that concern the whole batch."""
    first = noise if isinstance(noise, torch.Generator) else noise[0]
    if not isinstance(first, torch.Generator):
        raise UsageError("noise: training draws from generators")
    return first


def temperatures(
    temperature: float | Mapping[int, float], sides: Sequence[int], layers: int | None = None
) -> list[float]:
    """The temperature of each layer of latents.

    Args:
        temperature: of all layers, or by their side; sides that are not named have 1.
        sides: of the layers, from the top.
        layers: the layers after so many have temperature 0, so that they take their means; None for no such limit.

    Raises:
        UsageError: a temperature that is negative or not finite, a side or a number of layers that there is not.

    >>> temperatures({1: 0.5}, [1, 1, 7], layers=2)
    [0.5, 0.5, 0.0]
    """
    by_side = temperature if isinstance(temperature, Mapping) else dict.fromkeys(sides, temperature)
    for side, value in by_side.items():
        if side not in sides:
            known = ", ".join(str(s) for s in sorted(set(sides)))
            raise UsageError(f"temperature: no layer of latents has side {side}; there are {known}")
        if not value >= 0 or not math.isfinite(value):
            raise UsageError(f"temperature: expected a number from 0, got {value}")
    if layers is not None and not 0 <= layers <= len(sides):
        raise UsageError(f"layers: expected 0 to {len(sides)}, got {layers}")
    kept = len(sides) if layers is None else layers
    return [float(by_side.get(side, 1.0)) if k < kept else 0.0 for k, side in enumerate(sides)]
