"""What all codes made of affine maps share."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.errors import DataError
from fractalkit.lazy import Shown


def as_tensor(name: str, value: Any) -> Tensor | None:
    """A tensor as it is; arrays and lists of numbers as float64, or float32 arrays as such; None as None.

    Raises:
        DataError: anything else; the message names the field.
    """
    if value is None or isinstance(value, Tensor):
        return value
    try:
        array = np.asarray(value)
        return torch.from_numpy(array if array.dtype == np.float32 else array.astype(np.float64))
    except (TypeError, ValueError):
        raise DataError(f"{name}: expected a tensor, an array or lists of numbers") from None


def shares(weights: Tensor) -> Tensor:
    """Weights over their sum; where that is one but for rounding they stay, so that a file's survive bit for bit."""
    rounding = len(weights) * torch.finfo(weights.dtype).eps
    settled = not weights.requires_grad and abs(float(weights.sum()) - 1) <= rounding
    return weights if settled else weights / weights.sum()


def parse_json(text: str | bytes, **options: Any) -> Any:
    """The value of a JSON text, by :func:`json.loads` and its options; a DataError where it is none."""
    try:
        return json.loads(text, **options)
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"not valid JSON ({str(error) or 'nested too deeply'})") from error


def checked_dimension(data: Any, form: str, version: int) -> int:
    """The dimension, 2 or 3, of a code's object in a file; a DataError for another format, version or dimension."""
    if not isinstance(data, dict) or data.get("format") != form:
        raise DataError(f'format: expected an object with "format": "{form}"')
    if data.get("version") != version:
        raise DataError(f"version: expected {version}, got {data.get('version')!r}; a newer FractalKit may read it")
    d = data.get("dimension")
    if d not in (2, 3) or isinstance(d, bool):
        raise DataError(f"dimension: expected 2 or 3, got {d!r}")
    return int(d)


class AffineMaps(Shown):
    """Base class of codes of affine maps f_k(x) = A_k x + t_k.

    Attributes:
        matrices: A, ``[K, D, D]`` with D = 2 or 3.
        offsets: t, ``[K, D]``.
    """

    matrices: Tensor
    offsets: Tensor

    def __len__(self) -> int:
        return self.matrices.shape[0]

    @property
    def dim(self) -> int:
        """D, the dimension of the space: 2 or 3."""
        return self.matrices.shape[1]

    def apply(self, points: Tensor, maps: Tensor) -> Tensor:
        """``f_{maps[n]}(points[n])`` for each n: points ``[N, D]``, maps ``[N]`` integer -> ``[N, D]``."""
        return torch.einsum("nij,nj->ni", self.matrices[maps], points) + self.offsets[maps]

    def norms(self) -> Tensor:
        """Spectral norms of linear parts, the maps' Lipschitz constants: ``[K]`` float64 on the CPU, no gradient."""
        return torch.linalg.matrix_norm(self.matrices.detach().cpu().double(), ord=2)
