"""Palettes by number, read from the user's own copy of flam3's list, which is not part of this package."""

from __future__ import annotations

import colorsys
import functools
import os
import re
from pathlib import Path

import numpy as np

PLACES = ("/usr/share/flam3/flam3-palettes.xml", "/usr/local/share/flam3/flam3-palettes.xml")
MAX_BYTES = 16 << 20
_ENTRY = re.compile(rb"<palette\b([^>]*)>?")


def numbered(number: int, hue: float = 0.0) -> np.ndarray | None:
    """Colours ``[256, 3]`` in [0, 1] of a palette, its hue rotated by ``hue`` turns; None without a list.

    The list is looked up in the variable ``flam3_palettes``, as in flam3, then in the usual folders.
    """
    table = _read(os.environ.get("flam3_palettes", ""))  # noqa: SIM112 (flam3's own spelling)
    if number not in table:
        return None
    rgb = table[number]
    if hue % 1:
        rgb = np.array([_turned(r, g, b, hue) for r, g, b in rgb.tolist()])
    return rgb


def _turned(r: float, g: float, b: float, hue: float) -> tuple[float, float, float]:
    h, s, v = colorsys.rgb_to_hsv(r, g, b)
    return colorsys.hsv_to_rgb((h + hue) % 1, s, v)


@functools.cache
def _read(given: str) -> dict[int, np.ndarray]:
    for place in [given, *PLACES] if given else PLACES:
        path = Path(place)
        try:
            if not path.is_file() or path.stat().st_size > MAX_BYTES:
                continue
            text = path.read_bytes()
        except OSError:
            continue
        out = {}
        for entry in _ENTRY.finditer(text):
            found = entry.group(1)
            number = re.search(rb'\bnumber="(\d+)"', found)
            data = re.search(rb'\bdata="([0-9a-fA-F\s]+)"', found)
            if number and data:
                digits = b"".join(data.group(1).split())
                if len(digits) == 256 * 8:
                    values = np.frombuffer(bytes.fromhex(digits.decode()), np.uint8).reshape(256, 4)
                    out[int(number.group(1))] = values[:, 1:] / 255.0
        return out
    return {}
