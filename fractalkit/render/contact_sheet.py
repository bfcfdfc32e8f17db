"""Contact sheets: small pictures of many files with their names, those marked that are not drawn whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SIDE = 160  # pixels of a small picture at most
MOST = 400  # pictures on a sheet
_LINE = 14  # pixels below a picture for its name
_GAP = 6
_GROUND, _WHOLE, _PART = (24, 24, 24), (200, 200, 200), (255, 170, 60)


@dataclass(frozen=True)
class Entry:
    """A picture of a sheet: a PNG file, or None where there is none to show; its name; whether it is drawn whole."""

    picture: Path | None
    name: str
    whole: bool = True


def contact_sheet(entries: Sequence[Entry]) -> npt.NDArray[np.uint8]:
    """The sheet: uint8 ``[H, W, 3]``, pictures row by row, names below them, orange where a picture is not whole."""
    from PIL import Image, ImageDraw, ImageFont

    across = max(1, math.ceil(math.sqrt(1.3 * len(entries))))
    down = -(-len(entries) // across)
    cell = SIDE + _GAP
    sheet = Image.new("RGB", (across * cell + _GAP, down * (cell + _LINE) + _GAP), _GROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for k, entry in enumerate(entries):
        x, y = _GAP + (k % across) * cell, _GAP + (k // across) * (cell + _LINE)
        colour = _WHOLE if entry.whole else _PART
        small = None if entry.picture is None else _small(entry.picture)
        if small is None:
            pen.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=colour)
        else:
            at = (x + (SIDE - small.width) // 2, y + (SIDE - small.height) // 2)
            sheet.paste(small, at)
            if not entry.whole:
                pen.rectangle((at[0] - 1, at[1] - 1, at[0] + small.width, at[1] + small.height), outline=colour)
        pen.text((x, y + SIDE + 1), _shortened(entry.name, font), fill=colour, font=font)
    return np.asarray(sheet)


def _small(path: Path):  # type: ignore[no-untyped-def]
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            small = image.convert("RGB")
            small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
            return small
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _shortened(name: str, font) -> str:  # type: ignore[no-untyped-def]
    """The end of a name that fits below a picture."""
    name = name.encode("latin-1", "replace").decode("latin-1")
    while len(name) > 4 and font.getlength(name) > SIDE:
        name = "..." + name[4:]
    return name
