"""The functions that variations are written with, for torch tensors; :mod:`.fast_math` has them for numbers.

Where an argument is a number it is taken as a tensor of the other's type; of numbers alone the result is a number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Value = Any  # a tensor or a number; conditions are tensors of truth values, or one


def _lift(function: Callable[..., Tensor]) -> Callable[..., Value]:
    def lifted(*given: Value) -> Value:
        like = next((v for v in given if isinstance(v, Tensor)), None)
        if like is None:
            return function(*(torch.tensor(float(v), dtype=torch.float64) for v in given)).item()
        return function(*(v if isinstance(v, Tensor) else like.new_tensor(v) for v in given))

    return lifted


sin, cos, tan, sinh, cosh, exp, log, sqrt = (
    _lift(f) for f in (torch.sin, torch.cos, torch.tan, torch.sinh, torch.cosh, torch.exp, torch.log, torch.sqrt)
)
acos, floor, trunc, rint, absolute = (_lift(f) for f in (torch.acos, torch.floor, torch.trunc, torch.round, torch.abs))
atan2, fmod, least, greatest = (_lift(f) for f in (torch.atan2, torch.fmod, torch.minimum, torch.maximum))
power = _lift(torch.pow)  # for a >= 0


def times(a: Value, n: int) -> Value:
    """a to the n, for n = 2, 3, 4."""
    s = a * a
    return s if n == 2 else s * a if n == 3 else s * s


def where(condition: Value, a: Value, b: Value, like: Tensor) -> Value:
    """a where the condition holds, else b; numbers take the type of ``like``."""
    if not isinstance(condition, Tensor):
        return a if condition else b
    if isinstance(a, bool | Tensor) and isinstance(b, Tensor) and b.dtype == torch.bool:
        return torch.where(condition, torch.as_tensor(a, device=like.device), b)
    if isinstance(a, Tensor) and a.dtype == torch.bool:  # b is no truth value yet: nothing looks at it
        return condition & a
    if isinstance(a, bool) and not isinstance(b, Tensor):
        return torch.where(
            condition, torch.as_tensor(a, device=like.device), torch.as_tensor(bool(b), device=like.device)
        )
    one, two = (v if isinstance(v, Tensor) else like.new_tensor(float(v)) for v in (a, b))
    return torch.where(condition, one, two)


def both(a: Value, b: Value) -> Value:
    """Logical and."""
    return a & b


def either(a: Value, b: Value) -> Value:
    """Logical or."""
    return a | b


def negate(a: Value) -> Value:
    """Logical not."""
    return ~a if isinstance(a, Tensor) else not a


def some(a: Value) -> bool:
    """Whether a condition holds anywhere."""
    return bool(a.any()) if isinstance(a, Tensor) else bool(a)


def everywhere(like: Tensor) -> Tensor:
    """A condition that holds."""
    return torch.ones_like(like, dtype=torch.bool)


def nowhere(like: Tensor) -> Tensor:
    """A condition that does not hold."""
    return torch.zeros_like(like, dtype=torch.bool)


def hash3(i: Value, j: Value, k: Value) -> Value:
    """A number in [0, 1) that three whole numbers fix."""
    like = next((v for v in (i, j, k) if isinstance(v, Tensor)), None)
    a, b, c = (torch.as_tensor(v, device=None if like is None else like.device).long() for v in (i, j, k))
    h = (a * 374761393 + b * 668265263 + c * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 3266489917) & 0xFFFFFFFF
    h = h ^ (h >> 16)
    return h.double().item() / 4294967296 if like is None else h.to(torch.float64).to(like.dtype) / 4294967296


def looked_up(table: tuple[float, ...], k: Value, like: Tensor) -> Tensor:
    """The number of a table at the whole number not above k, brought into its range."""
    at = (k if isinstance(k, Tensor) else like.new_tensor(float(k))).nan_to_num(0.0).clamp(0, len(table) - 1)
    return torch.tensor(table, dtype=like.dtype, device=like.device)[at.floor().long()]
