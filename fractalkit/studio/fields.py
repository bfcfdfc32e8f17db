"""Numbers of a page's message, checked."""

from __future__ import annotations

from typing import Any

from fractalkit.errors import DataError


def whole(message: dict[str, Any], name: str, low: int, high: int) -> int:
    """A whole number of a message in a range.

    Raises:
        DataError: it is none.
    """
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DataError(f"{name}: expected a whole number from {low:,} to {high:,}")
    return value


def real(message: dict[str, Any], name: str, low: float, high: float) -> float:
    """A number of a message in a range; errors as :func:`whole`."""
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise DataError(f"{name}: expected a number from {low:g} to {high:g}")
    return float(value)
