"""Arguments of the functions that users call: whole numbers, seeds, other names for them, and names that are none."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from fractalkit.errors import DataError, UsageError, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])
MOST_SEED = 2**63 - 1

# What other programs call it -> what it is called here.
SIZES = dict.fromkeys(("res", "resolution"), "size")
COUNTS = dict.fromkeys(
    ("count", "num", "n_samples", "num_samples", "samples", "n_points", "num_points", "points"), "n"
)  # fmt: skip
SEEDS = dict.fromkeys(("rng", "generator", "random_state"), "seed")
MAPS = dict.fromkeys(("k", "K", "n_maps", "num_maps"), "maps")
PATHS = dict.fromkeys(("out", "output", "file", "filename"), "path")
COLOURS = {"colors": "colours"}


class ArgumentError(UsageError, TypeError):
    """An argument of a name that a function does not have; the message names the nearest that it has."""


def whole_number(name: str, value: Any, low: int = 1, high: int | None = None, *, span: str = "") -> int:
    """A whole number as ``int``, from whatever holds one: also NumPy's, and 1e6.

    Args:
        name: of the argument, for the message.
        low, high: the range, both included; None: without end.
        span: the range in words, where its limits are better said than written out.

    Raises:
        UsageError: anything else, or a number out of range.

    >>> whole_number("n", 1e6), whole_number("seed", 0, 0)
    (1000000, 0)
    >>> whole_number("n", 2.5)
    Traceback (most recent call last):
    fractalkit.errors.UsageError: n: expected a whole number from 1, got 2.5
    """
    number: int | None = None
    if not isinstance(value, bool):
        try:
            number = operator.index(value)
        except TypeError:
            number = int(value) if isinstance(value, float) and value.is_integer() else None
    if number is None or number < low or (high is not None and number > high):
        span = span or (f"from {low}" if high is None else f"from {low} to {high}")
        raise UsageError(f"{name}: expected a whole number {span}, got {value!r}")
    return number


def seed_number(value: Any, more: int = 0) -> int:
    """A seed from 0 to 2^63 - 1 - ``more``, or one that is drawn from a generator of torch or NumPy.

    Raises:
        UsageError: anything else.
    """
    if hasattr(value, "initial_seed"):  # torch.Generator
        import torch

        return int(torch.randint(2**31, (1,), generator=value, device=value.device))
    if hasattr(value, "integers"):  # numpy.random.Generator
        return int(value.integers(2**31))
    span = "from 0 to 2^63 - n" if more else "from 0 to 2^63"
    return whole_number("seed", value, 0, MOST_SEED - more, span=span)


def known(verb: str, options: Iterable[str], *functions: Callable[..., Any], besides: Iterable[str] = ()) -> None:
    """Refuse options that none of the functions has by name only.

    Args:
        verb: the function that was called, for the message.
        functions: to which the options would be passed.
        besides: other names that would have been right, for the hint.

    Raises:
        ArgumentError: it names the option, and the nearest that there is.
    """
    names = {name for function in functions for name in keywords(function, only=True)}
    for option in options:
        if option not in names:
            raise unknown(verb, option, names | set(besides))


def contents(source: Any) -> Any:
    """What is in a file open for reading, as bytes; anything else as it is.

    Raises:
        DataError: a file that is closed, or that cannot be read.
    """
    if hasattr(source, "read") and not hasattr(source, "getbands"):
        try:
            source = source.read()
        except (OSError, ValueError) as error:
            name = getattr(source, "name", "file")
            raise DataError(f"{name}: cannot be read ({error}); open it with mode 'rb'") from None
    return bytes(source) if isinstance(source, bytearray | memoryview) else source


def keywords(function: Callable[..., Any], only: bool = False) -> list[str]:
    """Names of the arguments of a function that can be given by name, or that must be."""
    named = [inspect.Parameter.KEYWORD_ONLY] + [inspect.Parameter.POSITIONAL_OR_KEYWORD] * (not only)
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind in named]


def unknown(verb: str, option: str, names: Iterable[str]) -> ArgumentError:
    """The error of an option that there is not."""
    names = sorted(names)
    if option in PATHS:
        return ArgumentError(f"{verb}: has no argument {option!r}; its result has a method save(path)")
    if option in ("shape", "image_size", "dim", "dims") and "size" in names:
        return ArgumentError(f"{verb}: has no argument {option!r}; give size=(width, height)")
    hint = did_you_mean(option, names) or f"; it has {', '.join(names)}"
    return ArgumentError(f"{verb}: has no argument {option!r}{hint}")


def verb(*others: Mapping[str, str]) -> Callable[[F], F]:
    """Decorate a function so that it takes other names for its arguments, and says what it lacks.

    A function with ``size`` also takes ``width`` and ``height``, and ``scale`` or ``factor`` for a multiple. An option
    that it passes on (``**options``) is checked where it goes to.

    Args:
        others: other name -> name.
    """

    def decorate(function: F) -> F:
        names = keywords(function)
        passes_on = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
        same = {other: name for table in others for other, name in table.items() if other not in names}
        what = function.__name__ if function.__name__ != "draw" else "render"

        @functools.wraps(function)
        def called(*args: Any, **options: Any) -> Any:
            if not options:
                return run(args, options)
            given = _renamed(what, options, same)
            if "size" in names:
                given = _sized(what, given, names)
            if twice := [name for name in names[: len(args)] if name in given and name not in options]:
                other = next(o for o in options if o not in names)
                raise ArgumentError(f"{what}: {other} is another name for {twice[0]}, which is given; give one")
            if not passes_on:
                for option in given:
                    if option not in names:
                        raise unknown(what, option, names)
            return run(args, given)

        def run(args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
            if args and hasattr(args[0], "filled") and hasattr(args[0], "mask"):  # of numpy.ma, which need not be here
                raise UsageError(
                    f"{what}: a masked array has gaps without values; give array.filled(...), or points without them"
                )
            try:
                return function(*args, **options)
            except OSError as error:
                if error.filename is None:
                    raise
                raise DataError(f"{str(error.filename)[:200]}: {error.strerror}") from None

        return cast(F, called)

    return decorate


def _renamed(what: str, options: Mapping[str, Any], same: Mapping[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for option, value in options.items():
        name = same.get(option, option)
        if name in out or (name != option and name in options):
            raise ArgumentError(f"{what}: {option} is another name for {name}; give one")
        out[name] = value
    return out


def _sized(what: str, options: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """``size`` from ``width`` and ``height``, or from a factor."""
    given = [k for k in ("width", "height", "scale", "factor") if k in options and k not in names]
    if not given:
        return options
    if "size" in options or (len(given) > 1 and given != ["width", "height"]):
        raise ArgumentError(f"{what}: {', '.join(['size', *given])}: give one of them, or width and height")
    out = {k: v for k, v in options.items() if k not in given}
    value = options[given[0]]
    if given[0] in ("width", "height"):
        return out | {"size": (options.get("width"), options.get("height"))}
    return out | {"size": value if isinstance(value, str) else f"{value}x"}
