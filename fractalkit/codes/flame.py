"""Fractal flames (Draves and Reckase, *The Fractal Flame Algorithm*, 2003) and the files that hold them.

A flame is an iterated function system whose maps are sums of variations of an affine map, with colours and render
settings. Unknown attributes and elements of a file are kept in ``extras`` and ``children`` and are written back
verbatim.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from fractalkit.codes.flame_motion import at_frame, moving
from fractalkit.codes.flame_parts import CAMERA, IDENTITY, JWILDFIRE, FlameSettings, Xform
from fractalkit.codes.flame_unread import is_number, unread_of_flame
from fractalkit.codes.flame_xml import read_fields, to_xml
from fractalkit.codes.variation_list import catalogue
from fractalkit.errors import DataError, FileWarning, UsageError, one_line
from fractalkit.files import atomic_path, refuse_picture


@dataclass(frozen=True, eq=False)
class Flame(FlameSettings):
    """A flame and the settings of its picture, those of :class:`FlameSettings`; lengths are in units of the plane.

    Attributes:
        palette: ``[256, 4]`` float64, RGBA in [0, 1].
        xforms: the maps; ``final``: a map applied to every plotted point, or None; ``more_finals``: JWildfire's others,
            applied after it, one after the other.
        symmetry: kinds of ``<symmetry>`` elements, see :meth:`expanded`.
        extras: unknown attributes, verbatim; ``children``: unknown elements, as text.
        layers: JWildfire's layers after the first, each its ``palette``, ``xforms``, ``final``, ``more_finals``,
            ``symmetry`` and ``children``; ``layer_attributes``: the attributes of all layers, verbatim, or empty.
        mended: what the reader put right, a phrase for each kind.
    """

    palette: np.ndarray = field(default_factory=lambda: np.ones((256, 4)))
    xforms: tuple[Xform, ...] = ()
    final: Xform | None = None
    symmetry: tuple[int, ...] = ()
    extras: dict[str, str] = field(default_factory=dict)
    children: tuple[str, ...] = ()
    more_finals: tuple[Xform, ...] = ()
    layers: tuple[dict[str, Any], ...] = ()
    layer_attributes: tuple[dict[str, str], ...] = ()
    mended: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise UsageError(f"flame: the name is a text, got {type(self.name).__name__}; maps are xforms=[...]")
        object.__setattr__(self, "xforms", tuple(self.xforms))  # a list will do

    @property
    def finals(self) -> tuple[Xform, ...]:
        """All final maps, in the order of their application."""
        return self.more_finals if self.final is None else (self.final, *self.more_finals)

    @property
    def by_jwildfire(self) -> bool:
        """Whether JWildfire wrote it, whose picture, camera and opacity are not those of flam3."""
        return self.extras.get("version", "").strip().lower().startswith("jwildfire")

    @property
    def frame(self) -> float:
        """The frame that JWildfire's motion curves are looked up at, 1 if the file names none."""
        text = self.extras.get("frame", "1")
        return float(text) if is_number(text) else 1.0

    @property
    def pixels_per_unit(self) -> float:
        """Pixels a unit of the plane."""
        return self.scale * 2.0**self.zoom * self.cam_zoom

    @property
    def turned_in_space(self) -> bool:
        """Whether the camera is not one that looks straight down."""
        return any(getattr(self, c) != 0 for c in CAMERA if c != "cam_zpos" or not self.by_jwildfire)

    @property
    def maps(self) -> tuple[Xform, ...]:
        """All maps, final ones included."""
        return (*self.xforms, *self.finals)

    @property
    def all_maps(self) -> list[Xform]:
        """The maps of all layers."""
        return [f for layer in self.by_layer() for f in layer.maps]

    def by_layer(self) -> list[Flame]:
        """Each layer as a flame of its own."""
        if not self.layers:
            return [self]
        first = replace(self, layers=(), layer_attributes=())
        return [first, *(replace(first, **layer) for layer in self.layers)]

    @property
    def unknown(self) -> list[str]:
        """Variations that this program lacks, sorted; rendering leaves them out."""
        return sorted(set().union(*(x.unknown for x in self.all_maps)))

    @property
    def unread(self) -> list[str]:
        """Attributes of the flame and its maps that would show in the picture and have no effect here, sorted."""
        foreign = {f.name for f in fields(FlameSettings) if f.name in JWILDFIRE and getattr(self, f.name) != f.default}
        names = {*unread_of_flame(self.extras), *(a for x in self.all_maps for a in x.unread)}
        if self.by_jwildfire:
            names -= set().union(*(at_frame(x, self.frame)[1] for x in self.all_maps))
            if not any(moving(x.extras) for x in self.all_maps):
                names.discard("motion_blur_length")
        return sorted(names if self.by_jwildfire else names | foreign)

    @property
    def whole(self) -> bool:
        """Whether all that the file says is drawn."""
        return not self.unknown and not self.unread

    def notes(self) -> list[str]:
        """What was put right in reading and what is not drawn: phrases."""
        return notes_of([self])

    def same(self, other: Flame) -> bool:
        """Whether all fields are equal, palettes to 1e-9."""
        mine, theirs = dict(self.__dict__), dict(other.__dict__)
        tables = []
        for part in (mine, theirs):
            part.pop("mended")
            layers = [dict(layer) for layer in part.pop("layers")]
            tables.append(np.stack([part.pop("palette"), *(layer.pop("palette") for layer in layers)]))
            part["layers"] = layers
        a, b = tables
        return mine == theirs and a.shape == b.shape and bool(np.abs(a - b).max() < 1e-9)

    def in_space(self) -> bool:
        """Whether the picture depends on z: the camera is tilted, or x or y depend on z in a variation of a map.

        Most variations move x and y independently of z; seen from above without perspective they need no z.

        >>> Flame(xforms=(Xform(variations={"linear3D": 1.0}),)).in_space()
        False
        >>> Flame(xforms=(Xform(variations={"linear3D": 1.0}),), cam_pitch=0.5).in_space()
        True
        """
        if self.turned_in_space or any(x.is_solid for x in self.maps):
            return True
        found = (catalogue().find(n) for x in self.maps for n, w in x.variations.items() if w != 0)
        return any(f is not None and f[1].deep for f in found)

    def expanded(self) -> Flame:
        """The same flame with its symmetries as maps: rotations by multiples of 360 / |n| degrees, a mirror for n < 0.

        In space they rotate about the z axis. A symmetry of kind 0 or +-1 without a mirror adds nothing.
        """
        added = []
        for kind in self.symmetry:
            n = max(1, abs(kind))
            if kind < 0:
                added.append((-1.0, 0.0, 0.0, 1.0, 0.0, 0.0))
            for k in range(1, n):
                c, s = math.cos(2 * math.pi * k / n), math.sin(2 * math.pi * k / n)
                added.append((c, s, -s, c, 0.0, 0.0))
        linear = "linear3D" if self.in_space() else "linear"  # linear would put all copies into the plane z = 0
        made = tuple(
            Xform(1.0, i / max(1, len(added) - 1), 0.0, animate=0.0, coefs=c, variations={linear: 1.0})
            for i, c in enumerate(added)
        )
        return replace(self, xforms=self.xforms + made, symmetry=())

    def matrix(self) -> np.ndarray:
        """Probabilities of the next map given the last: ``[K + 1, K]``, the last row for the first step.

        Raises:
            DataError: no map has a weight.
        """
        w = np.array([x.weight for x in self.xforms])
        if not len(w) or not (w > 0).any():
            raise DataError(f"flame {self.name!r}: no xform has a weight above zero; give one, as Xform(weight=1, ...)")
        rows = []
        for x in self.xforms:
            factors = np.ones(len(w))
            factors[: len(x.chaos)] = x.chaos[: len(w)]
            row = w * factors
            rows.append(row if row.sum() > 0 else w)
        rows.append(w)
        m = np.array(rows)
        return np.asarray(m / m.sum(1, keepdims=True))

    def __repr__(self) -> str:
        return f"Flame({self.name!r}, {len(self.xforms)} maps, {self.size[0]} x {self.size[1]})"

    # ---- files

    def summary(self) -> dict[str, Any]:
        """Size, camera, maps with their variations, and what is unknown; facts that JSON can hold."""
        camera = {"center": list(self.center), "scale": self.scale, "zoom": self.zoom, "rotate": self.rotate}
        return {
            "name": self.name,
            "width": self.size[0],
            "height": self.size[1],
            "quality": self.quality,
            "camera": camera | {c: getattr(self, c) for c in CAMERA if getattr(self, c)},
            "in_space": self.in_space(),
            "maps": [_describe(x) for x in self.xforms],
            "final": {} if self.final is None else _describe(self.final),
            "more_finals": [_describe(x) for x in self.more_finals],
            "symmetry": list(self.symmetry),
            "variations": sorted({n for x in self.maps for n in x.variations}),
            "layers": len(self.layer_attributes),
            "whole": self.whole,
            "unknown_variations": self.unknown,
            "unknown_attributes": self.unread,
            "mended": list(self.mended),
        }

    def save(self, path: str | Path) -> None:
        """Write a ``.flame`` file of this flame, whole or not at all.

        Raises:
            UsageError: the suffix of a picture.
        """
        refuse_picture(path, "a flame is a .flame file")
        write_flames(path, [self])

    @classmethod
    def load(cls, path: str | Path, *, index: int = 1) -> Flame:
        """Read one flame of a file, by its number from 1; errors as :func:`read_flames`.

        Raises:
            UsageError: the file holds fewer flames.
        """
        flames = read_flames(path)
        if not 1 <= index <= len(flames):
            raise UsageError(f"{path}: flame {index}: there are {len(flames)} flames")
        return flames[index - 1]


def _describe(x: Xform) -> dict[str, Any]:
    facts = {"weight": x.weight, "color": x.color, "opacity": x.opacity, "variations": x.variations}
    return facts | {
        "post": x.post != IDENTITY,
        "xaos": any(c != 1 for c in x.chaos),
        "parameters": x.parameters,
        "unknown_variations": sorted(x.unknown),
        "unknown_attributes": x.unread,
    }


def read_flames(source: str | Path | bytes, name: str = "flame", *, strict: bool = False) -> list[Flame]:
    """All flames of a file, or of its text as bytes, which messages then call ``name``.

    What was mended, and variations and attributes that rendering leaves out, are named in one
    :class:`~fractalkit.errors.FileWarning`; with ``strict`` the file is refused instead.

    Raises:
        DataError: missing, not well-formed, with a document type or entities, too large, without a flame, or with a
            value out of range; the message names the file, the flame and the field.
    """
    if not isinstance(source, bytes):
        name = str(source)
    flames = [Flame(**given) for given in read_fields(source, name)]
    notes = notes_of(flames)
    if notes and strict:
        raise DataError(f"{name}: {'; '.join(notes)}")
    if notes:
        warnings.warn(one_line(f"{name}: {'; '.join(notes)}"), FileWarning, stacklevel=2)
    return flames


def notes_of(flames: Sequence[Flame]) -> list[str]:
    """The notes of several flames as those of one: what was mended, and all that is not drawn."""
    unknown = sorted(set().union(*(f.unknown for f in flames)))
    unread = sorted(set().union(*(f.unread for f in flames)))
    return [
        *dict.fromkeys(m for f in flames for m in f.mended),
        *([f"variations that are not known are left out: {some(unknown)}"] if unknown else []),
        *([f"attributes that are not known have no effect: {some(unread)}"] if unread else []),
    ]


def some(names: Sequence[str], most: int = 12) -> str:
    """The first few names, and how many others there are.

    >>> some(["a", "b", "c"], 2)
    'a, b and 1 other'
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} other{'s' * (rest > 1)}" if rest > 0 else "")


def write_flames(path: str | Path, flames: Sequence[Flame]) -> None:
    """Write a ``.flame`` file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(to_xml(flames), encoding="utf-8")
