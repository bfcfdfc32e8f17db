"""Dataclasses of plain settings whose types and ranges are checked, and that JSON can hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from fractalkit.errors import DataError, UsageError

BELOW_ONE = 1 - 1e-9  # the upper limit of a half-open range that ends at one
_KINDS: dict[str, tuple[Any, str]] = {
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "str": (str, "a word"),
}


def within(default: float, low: float, high: float) -> Any:
    """A field of numbers from ``low`` to ``high``, both included."""
    return dataclasses.field(default=default, metadata={"within": (low, high)})


def one_of(default: str, *others: str) -> Any:
    """A field of words, each one of these."""
    return dataclasses.field(default=default, metadata={"one_of": (default, *others)})


@dataclasses.dataclass(frozen=True)
class CheckedSettings:
    """Base class of frozen dataclasses whose fields are ``int``, ``float``, ``bool`` or ``str``.

    Ranges and choices are given by :func:`within` and :func:`one_of`. Messages about stored settings begin with
    ``title``.

    Raises:
        UsageError: a value of another type or out of range; the message names the field.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Lamp(CheckedSettings):
    ...     watts: int = within(5, 1, 60)
    ...     colour: str = one_of("white", "red")
    >>> Lamp.from_dict({"watts": 7})
    Lamp(watts=7, colour='white')
    >>> Lamp(watts=0)
    Traceback (most recent call last):
    fractalkit.errors.UsageError: watts: expected a whole number from 1 to 60, got 0
    """

    title: ClassVar[str] = "config"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            kind = field.type if isinstance(field.type, str) else field.type.__name__
            _check(field.name, kind, getattr(self, field.name), field.metadata)

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """The same settings with some values replaced.

        Raises:
            UsageError: an unknown name, or a value of another type or out of range.
        """
        names = [f.name for f in dataclasses.fields(self)]
        if unknown := sorted(set(changes) - set(names)):
            raise UsageError(f"{unknown[0]}: is no setting; there are {', '.join(names)}")
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Name and value of every field."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Settings from the form of :meth:`to_dict`.

        Raises:
            DataError: no object, an unknown name, or a value of another type or out of range.
        """
        if not isinstance(data, dict):
            raise DataError(f"{cls.title}: expected an object")
        if unknown := sorted(set(data) - {f.name for f in dataclasses.fields(cls)}):
            raise DataError(f"{cls.title}: {unknown[0]!r} is unknown; a newer FractalKit may know it")
        try:
            return cls(**data)
        except UsageError as error:
            raise DataError(f"{cls.title}: {error}") from error


def json_plain(value: Any, digits: int | None = None) -> Any:
    """A value that JSON can hold: NaN and infinity become None, numbers are rounded to ``digits`` significant digits.

    >>> json_plain({1: (2.0, float("nan"))})
    {'1': [2.0, None]}
    """
    if isinstance(value, dict):
        return {str(k): json_plain(v, digits) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_plain(v, digits) for v in value]
    if isinstance(value, float):
        return None if not math.isfinite(value) else value if digits is None else float(f"{value:.{digits}g}")
    return value


def _check(name: str, kind: str, value: Any, rules: Mapping[str, Any]) -> None:
    types, words = _KINDS[kind]
    fits = isinstance(value, types) and (kind == "bool" or not isinstance(value, bool))
    if "within" in rules:
        low, high = rules["within"]
        fits = fits and low <= value <= high
        words += f" from {low:g} to {high:g}"
    elif "one_of" in rules:
        fits = fits and value in rules["one_of"]
        words = " or ".join(rules["one_of"])
    elif kind == "float":
        fits = fits and math.isfinite(value)
    if not fits:
        raise UsageError(f"{name}: expected {words}, got {value!r}")
