"""A variation by itself, applied to points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fractalkit.codes.variation_list import catalogue
from fractalkit.codes.variation_text import AFFINE
from fractalkit.errors import UsageError
from fractalkit.maps.variation_code import arguments, find, tensor_code


@torch.no_grad()
def apply_variation(
    name: str,
    x: Tensor,
    y: Tensor,
    *,
    weight: float = 1.0,
    parameters: Mapping[str, float] | None = None,
    coefs: Sequence[float] = (1, 0, 0, 0, 1, 0),
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Apply one variation to points of the plane.

    Args:
        name: of the catalogue, or of a file that :func:`load_variations` read.
        x, y: coordinates ``[N]``.
        weight: the variation's weight.
        parameters: the variation's own, by name; the others have their defaults.
        coefs: (a, b, c, d, e, f) of the map x' = a x + b y + c, y' = d x + e y + f that comes before. It is not applied
            here; some formulas take numbers from it.
        seed: for variations that draw random numbers.

    Returns:
        The coordinates ``[N]`` of the varied points; they can be infinite or NaN where the formula is.

    Raises:
        UsageError: no variation has the name, or it has no such parameter.
    """
    if catalogue().find(name) is None:
        raise UsageError(f"no variation is called {name!r}; fractalkit.maps.known_variations() lists them")
    declared = find(name)
    given = dict(parameters or {})
    for parameter in given:
        if parameter not in declared.parameters:
            there = ", ".join(declared.parameters) or "none"
            raise UsageError(f"variation {name} has no parameter {parameter!r}; it has {there}")
    given = declared.parameters | given
    affine = dict(zip(AFFINE, coefs, strict=True))
    numbers = [weight, *(affine[a] if a in affine else given[a[2:]] for a in arguments(declared))]
    generator = torch.Generator().manual_seed(seed)

    def uniform() -> Tensor:
        return torch.rand(len(x), generator=generator, dtype=x.dtype)

    u, v, *_ = tensor_code(declared)(x, y, 0 * x, 0 * x, *(torch.tensor(n, dtype=x.dtype) for n in numbers), uniform)
    return u + 0 * x, v + 0 * x  # formulas without x and y give a single number
