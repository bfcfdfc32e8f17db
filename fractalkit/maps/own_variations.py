"""Variations of one's own, from a text file: read, checked and tried before a flame is drawn with them."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import torch

from fractalkit.codes.variation_list import VARIABLE, add_text, add_variations, catalogue
from fractalkit.codes.variation_text import Declared
from fractalkit.errors import DataError
from fractalkit.maps.variation_code import arguments, tensor_code

POINTS = 256
OWN = "A variation of one's own."


def load_variations(path: str | Path) -> list[str]:
    """Add the variations of a file to those that flames may have; returns their names.

    The language is that of :mod:`fractalkit.codes.variation_text`. They are known for as long as this process runs, and
    to processes that it starts.

    Raises:
        DataError: missing, a line or a formula is none, a name is taken, or a formula gives no number anywhere; the
            message names the file and the line.
    """
    names = add_variations(path, check=try_out)
    there = [p for p in os.environ.get(VARIABLE, "").split(os.pathsep) if p]
    if str(Path(path).resolve()) not in there:
        os.environ[VARIABLE] = os.pathsep.join([*there, str(Path(path).resolve())])
    return names


def register_variation(name: str, formula: str, about: str = "", **parameters: float) -> str:
    """Add a variation of one's own to those that flames may have, for as long as this process runs.

    Args:
        name: of the variation, as flames spell it.
        formula: what it adds to x and y, such as ``"w * sin(rate * y), w * x"``, or several lines of which the last
            begins with ``return``; the language is that of :mod:`fractalkit.codes.variation_text`.
        about: one line that says what it does.
        parameters: with their defaults.

    Returns:
        The name.

    Raises:
        DataError: the formula is none, a name is taken by another variation, or it gives no number anywhere.

    >>> register_variation("doc_wave", "w * (x + sin(rate * y)), w * y", rate=2)
    'doc_wave'
    """
    given = ", ".join(f"{key}={float(value)!r}" for key, value in parameters.items())
    lines = textwrap.dedent(formula).strip().splitlines() or [""]
    if "return" not in lines[-1]:
        lines[-1] = f"return {lines[-1]}"
    body = "\n".join(f"    {line}" for line in lines)
    text = f"variation {name}({given}): {about or OWN}\n{body}\n"
    return add_text(text, f"variation {name}", check=try_out)[0]


@torch.no_grad()
def try_out(declared: Declared) -> None:
    """Apply a variation with its defaults to points about the origin.

    Raises:
        DataError: it divides by zero whatever the point is, or gives no finite number at any point.
    """
    at = f"{declared.where}: line {declared.line}: variation {declared.name}"
    generator = torch.Generator().manual_seed(1)

    def uniform() -> torch.Tensor:
        return torch.rand(POINTS, generator=generator, dtype=torch.float64)

    x, y, z = (3 * uniform() - 1.5 for _ in range(3))
    given = [declared.parameters.get(a[2:], 0.5) for a in arguments(declared)]
    numbers = [torch.tensor(v, dtype=torch.float64) for v in (1.0, *given)]
    try:
        dx, dy, *_ = tensor_code(declared)(x, y, z, uniform(), *numbers, uniform)
    except (ZeroDivisionError, OverflowError, ValueError):
        raise DataError(f"{at}: divides by zero, or leaves the range of numbers, whatever the point is") from None
    if not (torch.isfinite(dx + 0 * x) & torch.isfinite(dy + 0 * x)).any():
        raise DataError(f"{at}: gives no finite number at any of {POINTS} points about the origin")


def known_variations() -> list[str]:
    """The names of all variations that flames may have, without their pre_ and post_ forms, sorted."""
    return sorted(catalogue().variations, key=str.lower)
