"""The functions that variations are written with, for torch tensors; :mod:`.variations_cpu` has them for numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

pi = math.pi
sin, cos, tan, sinh, cosh, exp, log, sqrt = (
    torch.sin, torch.cos, torch.tan, torch.sinh, torch.cosh, torch.exp, torch.log, torch.sqrt,
)  # fmt: skip
acos, floor, trunc, atan2 = torch.acos, torch.floor, torch.trunc, torch.atan2
rint, fmod = torch.round, torch.fmod


def where(condition: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """a where the condition holds, else b."""
    return torch.where(condition, a, b)


def power(a: Tensor, b: Tensor | float) -> Tensor:
    """a to the b, for a >= 0."""
    return torch.pow(a, b)


def both(a: Tensor, b: Tensor) -> Tensor:
    """Logical and."""
    return a & b
