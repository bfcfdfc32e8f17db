"""The catalogue of variations: the files of ``codes/variations``, and files of one's own that are added to it.

An attribute of a map names a variation by any of its names, in any case, with ``pre_`` or ``post_`` before it or
without; its parameters follow it after an underscore. What is found here are the catalogue's own spellings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from fractalkit.codes.variation_text import MOST_BYTES, Declared, read_variations
from fractalkit.errors import DataError

FOLDER = Path(__file__).parent / "variations"
VARIABLE = "FRACTALKIT_VARIATIONS"  # the environment's: files of one's own that are known from the start
PLACES = ("pre_", "post_")
MOST_MADE = 1024  # variations that flames bring; the oldest are forgotten
_AGAIN = re.compile(r"#\d+#")  # behind the name of a variation that a map of JWildfire has again


class Catalogue:
    """Variations by name. Reading is quick, as formulas are only looked at when a flame has them."""

    def __init__(self) -> None:
        self.variations: dict[str, Declared] = {}
        self.functions: dict[str, Declared] = {}
        self.names: dict[str, str] = {}  # every name in small letters -> the first one
        self.files: dict[str, str] = {}  # one's own, with the text that was read
        self.usual: set[str] = set()  # names as programs spell them
        self.made: dict[str, Declared] = {}  # those that flames bring, by name
        self._seen: dict[str, tuple[str, Declared] | None] = {}
        self._parameters: dict[str, tuple[str, str] | None] = {}

    def add(self, text: str, where: str, *, shared: bool = False) -> list[Declared]:
        """Take up the variations of a file's text; with ``shared`` its functions serve all files that follow.

        Raises:
            DataError: a line or a formula is none, or a name is taken.
        """
        found = read_variations(text, where, self.functions.get)
        variations = [d for d in found if not d.function]
        new: dict[str, str] = {}
        for d in variations:
            for name in (d.name, *d.also):
                key = name.lower()
                if key in self.names or new.get(key, d.name) != d.name:
                    raise DataError(f"{where}: line {d.line}: there is a variation {name} already; choose another name")
                new[key] = d.name
        self.names |= new
        self.usual |= {n for d in variations for n in (d.name, *d.also)}
        self.variations |= {d.name: d for d in variations}
        if shared:
            self.functions |= {d.name: d for d in found if d.function}
        self._seen.clear()
        self._parameters.clear()
        return variations

    def put(self, declared: Declared) -> None:
        """Take up a variation that a flame brings; :meth:`find` knows it, lists of all variations do not."""
        while len(self.made) >= MOST_MADE:
            self.made.pop(next(iter(self.made)))
        self.made[declared.name] = declared
        self._seen.clear()
        self._parameters.clear()

    def base(self, name: str) -> Declared | None:
        """The variation of a name without ``pre_`` or ``post_``, in any case."""
        known = self.variations.get(name) or self.made.get(name)
        return known or self.variations.get(self.names.get(name.lower(), ""))

    def find(self, attribute: str) -> tuple[str, Declared] | None:
        """(``pre_``, ``post_`` or nothing, the variation) of an attribute's name, or None."""
        if attribute not in self._seen:
            self._seen[attribute] = self._find(_AGAIN.sub("", attribute))
        return self._seen[attribute]

    def _find(self, attribute: str) -> tuple[str, Declared] | None:
        whole = self.base(attribute)
        if whole is not None:
            return whole.place, whole
        for place in PLACES:
            if attribute[: len(place)].lower() == place:
                found = self.base(attribute[len(place) :])
                return None if found is None else (place, found)
        return None

    def spelled(self, attribute: str) -> str | None:
        """An attribute's name as the catalogue spells it, or None: ``post_Mobius`` is ``post_mobius``."""
        found = self.find(attribute)
        return None if found is None else _key(*found) + "".join(_AGAIN.findall(attribute))

    def parameter(self, attribute: str) -> tuple[str, str] | None:
        """(variation, parameter) in the catalogue's spelling of an attribute such as ``pre_julian_power``, or None."""
        if attribute not in self._parameters:
            self._parameters[attribute] = self._parameter(attribute)
        return self._parameters[attribute]

    def _parameter(self, attribute: str) -> tuple[str, str] | None:
        at = len(attribute)
        while (at := attribute.rfind("_", 0, at)) > 0:
            found = self.find(attribute[:at])
            if found is not None:
                short = _short(found[1], attribute[at + 1 :])
                if short is not None:
                    return str(self.spelled(attribute[:at])), short
        return None


def _key(place: str, declared: Declared) -> str:
    return declared.name if declared.place else place + declared.name


def _short(declared: Declared, name: str) -> str | None:
    if name in declared.parameters:
        return name
    small = name.lower()
    for key, short in [(p, p) for p in declared.parameters] + list(declared.spellings.items()):
        if key.lower() == small:
            return short
    return None


@cache
def catalogue() -> Catalogue:
    """The variations that are known: our own, and those of the files that the environment names in VARIABLE."""
    made = Catalogue()
    for path in sorted(FOLDER.glob("*.variations"), key=lambda p: (p.stem != "functions", p.stem)):
        made.add(path.read_text(encoding="utf-8"), path.name, shared=path.stem == "functions")
    for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        _add(made, Path(name), _looked_at)
    return made


def add_variations(path: str | Path, check: Callable[[Declared], None] | None = None) -> list[str]:
    """Add the variations of a file to those that are known, for as long as this process runs; returns their names.

    Every formula is looked at. A file that was added before, unchanged, is not added again.

    Args:
        check: may refuse a variation before any is added.

    Raises:
        DataError: missing, not text, or a line or a formula is none; the message names the file and the line.
    """
    return _add(catalogue(), Path(path), check or _looked_at)


def add_text(text: str, where: str, check: Callable[[Declared], None] | None = None) -> list[str]:
    """:func:`add_variations` of a text; ``where`` names it in messages.

    Raises:
        DataError: a line or a formula is none; the message says which.
    """
    return _add_text(catalogue(), where, text, where, check or _looked_at)


def _looked_at(declared: Declared) -> None:
    declared.check()


def _add(to: Catalogue, path: Path, check: Callable[[Declared], None]) -> list[str]:
    return _add_text(to, str(path.resolve()), _text(path), str(path), check)


def _add_text(to: Catalogue, key: str, text: str, where: str, check: Callable[[Declared], None]) -> list[str]:
    if to.files.get(key) == text:
        return [d.name for d in read_variations(text, where) if not d.function]
    trial = read_variations(text, where, to.functions.get)
    if not any(not d.function for d in trial):
        raise DataError(f"{where}: declares no variation; expected a line 'variation name(parameter=1): what it does'")
    for d in trial:
        d.check()
        if not d.function:
            check(d)
    names = [d.name for d in to.add(text, where)]
    to.files[key] = text
    return names


def _text(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; check the name")
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path}: {path.stat().st_size:,} bytes are more than a file of variations may have")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({type(error).__name__})") from None


class Parameters(Mapping[str, dict[str, float]]):
    """Variations -> their parameters and defaults: those of some names, or all, with ``pre_`` and ``post_`` forms too.

    Iterating gives the names without prefixes.
    """

    def __init__(self, names: tuple[str, ...] | None = None) -> None:
        self._names = names

    def __getitem__(self, name: str) -> dict[str, float]:
        found = None if self._names is not None and name not in self._names else catalogue().find(name)
        if found is None or catalogue().spelled(name) != name:
            raise KeyError(name)
        return found[1].parameters

    def __iter__(self) -> Iterator[str]:
        return iter(catalogue().variations if self._names is None else self._names)

    def __len__(self) -> int:
        return len(catalogue().variations if self._names is None else self._names)


class Attributes(Mapping[str, tuple[str, str]]):
    """Full names of parameters (``julian_power``), in the catalogue's spelling -> (variation, parameter)."""

    def __getitem__(self, name: str) -> tuple[str, str]:
        found = catalogue().parameter(name)
        if found is None or "_".join(found) != name:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return (f"{n}_{p}" for n, d in catalogue().variations.items() for p in d.parameters)

    def __len__(self) -> int:
        return sum(len(d.parameters) for d in catalogue().variations.values())
