"""Compilation of functions that only other compiled functions call, and whether a module's are compiled."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def inner(signature: str | None = None) -> Callable[[Callable[..., Any]], Any]:
    """A decorator like ``numba.njit(cache=True)``, without the wrappers by which Python and C would call.

    They take a third of the time that a small function with many arguments takes to compile.

    Args:
        signature: argument types, so that the function is compiled for these alone, when its module is imported.
    """
    import numba as nb

    options: Any = {"cache": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return nb.njit(**options) if signature is None else nb.njit(signature, **options)


def on_disk(module: Path, function: str = "*") -> bool:
    """Whether a function of a module was compiled since it was written, so that it takes no long time now.

    Looks where Numba keeps what it compiled (its version is not looked at), without importing it.

    Args:
        module: the file of the module.
        function: its name; give the one that is compiled last, as a process may have died before it; "*": any.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    folders = [*Path(given).glob(f"{module.parent.name}_*")] if given else [module.parent / "__pycache__"]
    if not given and not os.access(module.parent, os.W_OK):  # a package that is not the user's to write to
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folders += (home / "numba").glob(f"{module.parent.name}_*")
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    found = (f for folder in folders for f in folder.glob(f"{module.stem}.{function}-*.{version}.nbi"))
    return any(f.stat().st_mtime >= module.stat().st_mtime for f in found)
