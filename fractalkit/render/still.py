"""Sources of still pictures: flames and affine codes, prepared as options ask."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractalkit.errors import DataError, FileWarning, UsageError, naming
from fractalkit.raster.png import CODE_KEY, COMMAND_KEY, FLAME_KEY, SEED_KEY
from fractalkit.raster.view import Size

if TYPE_CHECKING:
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.flame import Flame
    from fractalkit.render.flame import Exposure

Note = Callable[[str], Any]


def prepared(
    source: str, index: int | None = None, wanted: str | None = None, *, size: Size | None,
    palette: str | None, oversample: int | None, note: Note = warnings.warn, strict: bool = False,
) -> Flame:  # fmt: skip
    """The flame of a source at a size; arguments and errors as :func:`load_flame`."""
    from fractalkit.render.flame import resized

    flame = load_flame(source, index, wanted, size=size, palette=palette, note=note, strict=strict)
    if size is not None:
        flame = resized(flame, size.pixels(flame.size))
    return flame if oversample is None else replace(flame, oversample=oversample)


def load_flame(
    source: str, index: int | None = None, wanted: str | None = None, *, size: Size | None = None,
    palette: str | None = None, note: Note = warnings.warn, strict: bool = False,
) -> Flame:  # fmt: skip
    """The flame that a source holds: one of a .flame file, or an affine code as a flame.

    Args:
        index, wanted: number from 1, or name, of the flame of a file of several; the first if neither is given.
        size: of the picture, for codes; their default is 1000 x 1000.
        palette: colours instead of the source's own.
        note: called with a sentence if the first of several flames is taken, and for what was mended or is not drawn.
        strict: refuse a flame that was mended or is not drawn whole.

    Raises:
        DataError: the file cannot be used, or holds no such flame.
        UsageError: options that do not fit the source.
    """
    import numpy as np

    path = Path(source)
    table = None
    if palette is not None:
        from fractalkit.render.colours_from import colour_table

        table = colour_table(palette)
    if path.suffix.lower() in (".flame", ".flam3", ".xml"):
        from fractalkit.codes.flame import read_flames

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FileWarning)
            flame = choose(read_flames(path), path, index, wanted, note)
        if strict and flame.notes():
            raise DataError(f"{path}: {'; '.join(flame.notes())}")
        for remark in flame.notes():
            note(f"{path}: {remark}")
        if table is not None:
            flame = replace(flame, palette=np.concatenate([table, np.ones((256, 1))], axis=1), hue=0.0)
        return flame
    if index is not None or wanted is not None:
        raise UsageError(f"{source}: --index and --name choose among the flames of a file; this is none")
    if path.suffix.lower() == ".png" and path.is_file():
        from fractalkit.codes.flame import read_flames
        from fractalkit.raster.png import read_png_text

        text = read_png_text(path)
        if FLAME_KEY in text and CODE_KEY not in text:
            return choose(read_flames(text[FLAME_KEY].encode(), str(path)), path, index, wanted, note)
    ifs = load_affine(source)
    if ifs.dim != 2:
        raise UsageError(f"{source}: a code in space; fractalkit ifs draws it")
    from fractalkit.codes.flame_random import flame_of
    from fractalkit.render.attractor import plane_window

    w, h = (size or Size("longer", 1000, 1000)).pixels()
    low, high = plane_window(ifs, (w, h))
    return replace(flame_of(ifs, size=(w, h), low=low, high=high, palette=table), oversample=2)


def choose(flames: list[Flame], path: Path, index: int | None, wanted: str | None, note: Note = warnings.warn) -> Flame:
    """The flame of a name or a number, or the first."""
    if wanted is not None:
        named = [f for f in flames if f.name == wanted]
        if not named:
            some = ", ".join(f.name or "(no name)" for f in flames[:8])
            raise UsageError(f"{path}: --name: no flame {wanted!r} among {some}{' ...' if len(flames) > 8 else ''}")
        return named[0]
    if index is not None:
        if index > len(flames):
            raise UsageError(f"{path}: --index {index}: there are {len(flames)} flames")
        return flames[index - 1]
    if len(flames) > 1:
        note(f"{path} holds {len(flames)} flames; this is the first, --index or --name choose")
    return flames[0]


def load_affine(source: str) -> AffineIFS:
    """An affine code from a file, from rows of FractalDB, or a preset."""
    path = Path(source)
    if path.suffix.lower() == ".csv":
        from fractalkit.codes.affine import AffineIFS
        from fractalkit.data.fractaldb import read_rows

        a, t, p = read_rows(path)
        with naming(path):
            return AffineIFS(a, t, p, name=path.stem).check_contractive()
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.open import load_as

    return load_as(AffineIFS, source)


def texts(flame: Flame, seed: int, command: str) -> dict[str, str]:
    """The text of a picture: its flame, its seed, the command."""
    from fractalkit.codes.flame_xml import to_xml

    return {FLAME_KEY: to_xml([flame]), SEED_KEY: str(seed), COMMAND_KEY: command}


def develop(exposure: Exposure, source: str, *, transparent: bool = False, threads: int | None = None) -> Any:
    """Develop an exposure; a DataError names the source if its numbers overflow."""
    try:
        return exposure.develop(transparent=transparent, threads=threads)
    except DataError as error:
        raise DataError(f"{source}: {error}; its brightness, gamma or weights are too large") from error
