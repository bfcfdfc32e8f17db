"""Names of a package that are imported on first use (PEP 562), so that ``import fractalkit`` stays light."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import inspect


def attach(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: its ``__name__``.
        homes: public name -> the module that defines it, absolute or relative to the package (``".camera"``); with a
            colon at the end, the module itself.

    >>> get, names = attach("fractalkit", {"one_line": ".errors"})
    >>> get("one_line")("a\\nb")
    'a\\\\nb'
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(homes[name].rstrip(":"), package)
        value = module if homes[name].endswith(":") else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        own = {n for n in vars(sys.modules[package]) if n not in ("TYPE_CHECKING", "annotations", "attach", "lazy")}
        return sorted(own | set(homes))

    return get, names


def resolve(where: str) -> Any:
    """Import the object named ``module:name``; the name may have dots.

    >>> resolve("fractalkit.errors:DataError.exit_code")
    1
    """
    module, _, name = where.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def make_callable(package: str, home: str, name: str) -> None:
    """Let a package be called as the function ``name`` of its module ``home``, which is imported on the first call."""

    class CallablePackage(ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return getattr(import_module(home, package), name)(*args, **kwargs)

        @property
        def __signature__(self) -> inspect.Signature:
            import inspect

            return inspect.signature(getattr(import_module(home, package), name))

    sys.modules[package].__class__ = CallablePackage


class Shown:
    """Mixin of what a notebook shows as a picture, drawn by :func:`fractalkit.render.drawing.thumbnail`."""

    def _repr_png_(self) -> bytes | None:
        # by name, as drawing is a layer above codes and data
        png: bytes | None = resolve("fractalkit.render.drawing:thumbnail")(self)
        return png
