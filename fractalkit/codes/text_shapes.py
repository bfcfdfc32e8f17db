"""The area of a text's glyphs as triangles, in the fonts that Matplotlib brings (DejaVu).

Lengths are in sizes of the font; the text begins at the origin, x to the right, y up from its baseline.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
UNITS = 100.0  # of outlines for one size of the font: curves become lines as they would at this many pixels
MOST_CHARACTERS = 300
_SERIF = re.compile(r"serif|times|roman|georgia|garamond|bookman|palatino|century|cambria|antiqua|didot|baskerville")
_SANS = re.compile(r"sans")
_MONO = re.compile(r"mono|courier|consolas|typewriter|terminal|menlo|fixed")


@dataclass(frozen=True)
class TextShape:
    """A text's area.

    Attributes:
        triangles: ``[N, 3, 2]``, none for a text of blanks.
        width: how far the next letter would be; ``ascent``, ``height``: the font's ascent, and that of a line.
        font: the name of the font.
    """

    triangles: Floats
    width: float
    ascent: float
    height: float
    font: str


def text_shape(text: str, font: str) -> TextShape:
    """The area of one line of text, of which the first MOST_CHARACTERS count.

    Args:
        font: the name of a font; serifs, even widths, bold and italic letters are chosen by its words.
    """
    family, weight, style = alike(font)
    face = _face(family, weight, style)
    parts = []
    at = 0.0
    for letter in text[:MOST_CHARACTERS]:
        if letter.isprintable():
            triangles, advance = _letter(letter, family, weight, style)
            parts.append(triangles + np.array([at, 0.0]))
            at += advance
    up, down, line = (v / face.units_per_EM for v in (face.ascender, -face.descender, face.height))
    triangles = np.concatenate(parts) if parts else np.zeros((0, 3, 2))
    name = " ".join(filter(None, [family, "Bold" * (weight == "bold"), style.title() * (style != "normal")]))
    return TextShape(triangles, at, up, max(line, up + down), name)


def _face(family: str, weight: str, style: Any) -> Any:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    face = get_font(findfont(FontProperties(family=family, weight=weight, style=style)))
    face.set_size(UNITS, 72)
    return face


def alike(font: str) -> tuple[str, str, str]:
    """Family, weight and style of the font here that is most like one of a name.

    >>> alike("Times New Roman Bold"), alike("Arial")
    (('DejaVu Serif', 'bold', 'normal'), ('DejaVu Sans', 'normal', 'normal'))
    """
    name = font.lower()
    kind = "Sans Mono" if _MONO.search(name) else "Serif" if _SERIF.search(name) and not _SANS.search(name) else "Sans"
    bold = any(word in name for word in ("bold", "black", "heavy", "impact"))
    slanted = any(word in name for word in ("italic", "oblique"))
    style = "normal" if not slanted else "italic" if kind == "Serif" else "oblique"
    return f"DejaVu {kind}", "bold" if bold else "normal", style


@lru_cache(maxsize=1024)
def _letter(letter: str, family: str, weight: str, style: Any) -> tuple[Floats, float]:
    """Triangles ``[N, 3, 2]`` of one letter, and how far the next one is."""
    from matplotlib.ft2font import LoadFlags
    from matplotlib.path import Path

    face = _face(family, weight, style)
    advance = face.load_char(ord(letter), flags=LoadFlags.NO_HINTING).linearHoriAdvance / 65536 / UNITS
    corners, codes = face.get_path()
    polygons = Path(corners, codes).to_polygons() if len(corners) else []
    return triangles_of([np.asarray(p) / UNITS for p in polygons]), advance


def triangles_of(polygons: list[Floats]) -> Floats:
    """The area within closed polygons ``[n, 2]``, by their winding: triangles ``[N, 3, 2]``.

    The area is cut at the height of every corner; what lies between the same two edges stays one trapezoid.
    """
    lines = [np.concatenate([p[:-1], p[1:]], 1) for p in polygons if len(p) > 2]
    if not lines:
        return np.zeros((0, 3, 2))
    edges = np.concatenate(lines)
    edges = edges[edges[:, 1] != edges[:, 3]]
    turn = np.where(edges[:, 3] > edges[:, 1], 1, -1)
    low, high = np.minimum(edges[:, 1], edges[:, 3]), np.maximum(edges[:, 1], edges[:, 3])
    slope = (edges[:, 2] - edges[:, 0]) / (edges[:, 3] - edges[:, 1])
    levels = np.unique(edges[:, [1, 3]])
    open_ones: dict[tuple[int, int], float] = {}  # pairs of edges -> where the area between them begins
    out: list[Floats] = []

    def close(pair: tuple[int, int], bottom: float, top: float) -> None:
        (a, b), (c, d) = ([edges[e, 0] + slope[e] * (y - edges[e, 1]) for e in pair] for y in (bottom, top))
        out.extend(np.array([[(a, bottom), (b, bottom), (c, top)], [(d, top), (c, top), (b, bottom)]]))

    for bottom, top in itertools.pairwise(levels):
        here = np.nonzero((low <= bottom) & (high >= top))[0]
        middle = edges[here, 0] + slope[here] * ((bottom + top) / 2 - edges[here, 1])
        here = here[np.argsort(middle)]
        inside = np.cumsum(turn[here])
        pairs = {(int(here[i]), int(here[i + 1])) for i in range(len(here) - 1) if inside[i] != 0}
        for pair in [p for p in open_ones if p not in pairs]:
            close(pair, open_ones.pop(pair), bottom)
        for pair in sorted(pairs - set(open_ones)):
            open_ones[pair] = bottom
    for pair, bottom in open_ones.items():
        close(pair, bottom, float(levels[-1]))
    made = np.array(out)
    return made[areas(made) > 1e-12]


def areas(triangles: Floats) -> Floats:
    """The areas of triangles ``[N, 3, 2]`` or ``[N, 3, 3]``."""
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    if triangles.shape[2] == 2:
        return np.asarray(abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2)
    return np.asarray(np.linalg.norm(np.cross(a, b), axis=1) / 2)


def choice_table(shares: Floats, rows: Floats) -> Floats:
    """A table from which rows are chosen by their shares with one random number (A. J. Walker's aliases).

    Row k, of an even choice, is ``(p, other, numbers of row k)``: with probability p it is row k, else row ``other``.
    """
    n = len(shares)
    scaled = shares * (n / shares.sum())
    out = np.concatenate([np.ones((n, 1)), np.arange(n)[:, None], rows.reshape(n, -1)], 1)
    few, many = ([int(i) for i in np.nonzero(m)[0]] for m in (scaled < 1, scaled >= 1))
    while few and many:
        i, j = few.pop(), many[-1]
        out[i, :2] = scaled[i], j
        scaled[j] -= 1 - scaled[i]
        if scaled[j] < 1:
            few.append(many.pop())
    return out
