"""Open whatever can be drawn: codes, models, clouds and pictures, by the suffix and the first bytes of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fractalkit.codes.open import kind_of, load
from fractalkit.data.clouds import READERS, load_cloud
from fractalkit.data.pictures import SUFFIXES
from fractalkit.raster.picture import as_picture


def open_any(source: str | Path, **options: Any) -> Any:
    """A code, a model, a cloud or a picture; arguments and errors as of :func:`fractalkit.open`."""
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix in SUFFIXES and kind_of(path) is None:
        return as_picture(path)
    if suffix in READERS and kind_of(path) is None:
        return load_cloud(path, **options)
    return load(source, **options)
