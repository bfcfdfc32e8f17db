"""The form that readers of clouds return, and how named or unnamed columns become points, colours and normals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fractalkit.errors import DataError

_COLOURS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_NORMALS = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"))
_SPLATS = ("f_dc_0", "f_dc_1", "f_dc_2")
KNOWN = frozenset(n for names in (*_COLOURS, *_NORMALS, _SPLATS, ("x", "y", "z", "opacity")) for n in names)
_HARMONIC = 0.5 / np.sqrt(np.pi)  # the constant spherical harmonic, the unit of f_dc
OPAQUE = 0.1  # opacity from which a Gaussian splat counts as a point


@dataclass
class RawCloud:
    """Unchecked contents of a file: points ``[N, D]`` float64, colours ``[N, 3]`` in 0..1, triangles ``[M, 3]``.

    ``warnings`` are sentences about what was mended or left out.
    """

    points: np.ndarray
    colours: np.ndarray | None = None
    normals: np.ndarray | None = None
    triangles: np.ndarray | None = None
    kind: str = ""
    comments: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check_count(points: int, most: int) -> None:
    """Raise a DataError for more than ``most`` points."""
    if points > most:
        raise DataError(f"holds more than {most:,} points, the limit; thin it out first")


def from_named(columns: Mapping[str, np.ndarray], *, flat: bool = False) -> RawCloud:
    """Make points, colours and normals from named columns and ignore the others; ``flat`` drops z.

    Gaussian splats (Kerbl et al., *3D Gaussian splatting*, 2023) have the colour 1/2 + f_dc / (2 √π), and those of an
    opacity below 0.1 are left out. Colours that are not numbers become the mean of the others.

    Raises:
        DataError: no x or y column.
    """
    named = {name.strip().lower(): column for name, column in columns.items()}
    if "packed_position" in named:
        raise DataError("holds compressed splats, which are not read; splat-transform converts them to a plain PLY")
    if "x" not in named or "y" not in named:
        raise DataError(f"has no x and y columns (found: {', '.join(named) or 'none'}); export the positions too")
    axes = ("x", "y", "z") if "z" in named and not flat else ("x", "y")
    points = np.stack([np.asarray(named[a], dtype=np.float64) for a in axes], axis=1)
    colours = next((c for names in _COLOURS if (c := _stack(named, names)) is not None), None)
    normals = next((c for names in _NORMALS if (c := _stack(named, names)) is not None), None)
    raw = RawCloud(points, None, _float(normals))
    if colours is not None:
        _give_colours(raw, colours)
    elif (harmonics := _stack(named, _SPLATS)) is not None:
        _give_splats(raw, harmonics, named.get("opacity"))
    return raw


def _give_colours(raw: RawCloud, rgb: np.ndarray) -> None:
    """Set the colours of a cloud; those that are not numbers become the mean of the others."""
    lost = np.zeros(len(rgb), bool) if rgb.dtype.kind in "iu" else ~np.isfinite(rgb).all(axis=1)
    if len(rgb) and lost.all():
        raw.warnings.append("none of its colours is a number, so it has none")
        return
    raw.colours = unit_colours(rgb)
    if lost.any():
        raw.colours[lost] = raw.colours[~lost].mean(axis=0)
        raw.warnings.append(f"{int(lost.sum()):,} of {len(rgb):,} colours are no numbers and became the mean colour")


def _give_splats(raw: RawCloud, harmonics: np.ndarray, opacity: np.ndarray | None) -> None:
    """Set colours from spherical harmonics of degree zero, and leave out what is nearly transparent."""
    _give_colours(raw, np.clip(0.5 + _HARMONIC * harmonics.astype(np.float64), 0, 1))
    if opacity is None:
        return
    seen = opacity >= np.log(OPAQUE / (1 - OPAQUE))  # of the logistic function of the stored number
    if seen.all() or not seen.any():
        return
    keep_points(raw, seen, f"splats have an opacity below {OPAQUE:g}")


def keep_points(raw: RawCloud, keep: np.ndarray, why: str) -> None:
    """Keep the points of a mask ``[N]``, with their colours and normals; a warning counts the others and says why."""
    raw.warnings.append(f"{int((~keep).sum()):,} of {len(keep):,} {why} and were left out")
    raw.points = raw.points[keep]
    raw.colours = None if raw.colours is None else raw.colours[keep]
    raw.normals = None if raw.normals is None else raw.normals[keep]


def from_columns(table: np.ndarray, *, kind: str) -> RawCloud:
    """Make points, colours and normals from an unnamed table ``[N, C]`` by the conventions of its format.

    2 columns are x y; 3 x y z; 4 x y z and intensity; 5 x y and a colour; 6 x y z and a colour or a normal; 7 x y z and
    a colour with alpha (in .pts an intensity before the colour); 9 both. Negative values distinguish normals from
    colours.

    Raises:
        DataError: fewer than 2 columns.
    """
    width = table.shape[1]
    if width < 2:
        raise DataError(f"has {width} column, but a point needs x and y")
    raw = RawCloud(np.ascontiguousarray(table[:, : 2 if width in (2, 5) else 3], dtype=np.float64))
    if kind == "xyzn" and width >= 6:
        raw.normals = _float(table[:, 3:6])
    elif kind == "pts" and width >= 7:
        raw.colours = unit_colours(table[:, 4:7])
    elif width == 5:
        raw.colours = _maybe_colours(table[:, 2:5])
    elif width >= 6:
        raw.colours = _maybe_colours(table[:, 3:6])
        if raw.colours is None and _are_normals(table[:, 3:6]):
            raw.normals = _float(table[:, 3:6])
        if width >= 9:
            if raw.colours is None:
                raw.colours = _maybe_colours(table[:, 6:9])
            elif _are_normals(table[:, 6:9]):
                raw.normals = _float(table[:, 6:9])
    return raw


def unit_colours(rgb: np.ndarray) -> np.ndarray:
    """Convert RGB of any numeric type to float32 in 0..1.

    The range of uint8 is 0..255, that of uint16 0..65535. For other types it is the first of 0..1, 0..255 and 0..65535
    that contains all values.

    >>> unit_colours(np.array([[0, 128, 255]], np.uint8)).round(3).tolist()[0][::2]
    [0.0, 1.0]
    """
    if rgb.dtype == np.uint8:
        scale = 255.0
    elif rgb.dtype == np.uint16:
        scale = 65535.0
    else:
        finite = rgb[np.isfinite(rgb)]
        top = float(finite.max()) if finite.size else 0.0
        scale = 1.0 if top <= 1 else 255.0 if top <= 255 else 65535.0
    return np.clip(np.nan_to_num(rgb.astype(np.float32) / np.float32(scale)), 0, 1)


def _stack(named: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    return np.stack([named[n] for n in names], axis=1) if all(n in named for n in names) else None


def _float(normals: Any) -> np.ndarray | None:
    return None if normals is None else np.asarray(normals, dtype=np.float32)


def _maybe_colours(rgb: np.ndarray) -> np.ndarray | None:
    finite = rgb[np.isfinite(rgb)]
    return unit_colours(rgb) if finite.size and finite.min() >= 0 and finite.max() <= 255 else None


def _are_normals(n: np.ndarray) -> bool:
    length = np.linalg.norm(n[np.isfinite(n).all(axis=1)], axis=1)
    return bool(len(length)) and bool(np.abs(np.median(length) - 1) < 0.05)
