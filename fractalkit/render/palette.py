"""Colour: sRGB, linear light and Oklab; palettes, and sets of distinct colours for the maps of a code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.errors import UsageError, did_you_mean

Array = npt.NDArray[np.float64]

# B. Ottosson, A perceptual color space for image processing (2020): linear sRGB -> cone responses -> Lab.
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_CONES_BACK = np.linalg.inv(_CONES)
_LAB_BACK = np.linalg.inv(_LAB)


def to_linear(srgb: npt.ArrayLike) -> Array:
    """sRGB in [0, 1] (IEC 61966-2-1) -> linear light, ``[..., 3]``."""
    c = np.asarray(srgb, dtype=np.float64)
    return np.where(c <= 0.04045, c / 12.92, ((np.maximum(c, 0) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: npt.ArrayLike) -> Array:
    """Linear light -> sRGB, clipped to [0, 1], ``[..., 3]``."""
    c = np.clip(np.asarray(linear, dtype=np.float64), 0, 1)
    return np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055)


def to_oklab(linear: npt.ArrayLike) -> Array:
    """Linear sRGB ``[..., 3]`` -> Oklab (L, a, b); L from 0 (black) to 1 (white).

    >>> to_oklab([1.0, 1.0, 1.0]).round(3).tolist()
    [1.0, 0.0, 0.0]
    """
    return np.cbrt(np.asarray(linear, dtype=np.float64) @ _CONES.T) @ _LAB.T


def from_oklab(lab: npt.ArrayLike) -> Array:
    """Oklab ``[..., 3]`` -> linear sRGB, not clipped."""
    return (np.asarray(lab, dtype=np.float64) @ _LAB_BACK.T) ** 3 @ _CONES_BACK.T


def encode(linear: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Linear light ``[..., 3]`` -> 8-bit sRGB, rounded to nearest."""
    return (to_srgb(linear) * 255 + 0.5).astype(np.uint8)


def parse_colour(text: str) -> Array:
    """``#rrggbb`` -> sRGB in [0, 1], ``[3]``.

    >>> parse_colour("#ff8000").round(3).tolist()
    [1.0, 0.502, 0.0]
    """
    digits = text.removeprefix("#")
    try:
        if len(digits) != 6:
            raise ValueError
        return np.frombuffer(bytes.fromhex(digits), np.uint8) / 255.0
    except ValueError:
        raise UsageError(f"colour: expected #rrggbb, got {text!r}") from None


@dataclass(frozen=True)
class Palette:
    """Colours along [0, 1], interpolated linearly in Oklab between evenly spaced stops.

    Args:
        name: name in options.
        stops: two or more colours, ``#rrggbb``.
    """

    name: str
    stops: tuple[str, ...]

    @staticmethod
    def of(colours: Sequence[str] | npt.ArrayLike) -> Palette:
        """The palette of two or more colours: ``#rrggbb`` texts, or ``[N, 3]`` whole numbers to 255 or shares to 1.

        >>> Palette.of([[0, 0, 0], [255, 128, 0]]) == Palette.of(["#000000", "#ff8000"])
        True

        Raises:
            UsageError: anything else.
        """
        if isinstance(colours, list | tuple) and all(isinstance(c, str) for c in colours):
            texts = [str(c) for c in colours]
        else:
            a = np.asarray(colours)
            if a.ndim != 2 or a.shape[1] != 3 or not (0 <= a.min(initial=0) <= a.max(initial=0) <= 255):
                raise UsageError(f"palette: expected colours [N, 3] of 0 to 255 or 0 to 1, got {a.shape}")
            whole = a if a.dtype.kind in "ui" else a * (255 if a.max(initial=0) <= 1 else 1)
            texts = ["#" + bytes(row).hex() for row in np.rint(whole).astype(np.uint8)]
        if len(texts) < 2:
            raise UsageError("palette: expected two colours or more")
        return Palette("own", tuple(texts))

    def linear(self, t: npt.ArrayLike) -> Array:
        """Linear light at t: ``[...]`` in [0, 1] (clipped) -> ``[..., 3]``."""
        lab = to_oklab(to_linear(np.stack([parse_colour(s) for s in self.stops])))
        # a table of 1024 steps: finer than 8 bits can show, and pictures have millions of pixels
        at = np.linspace(0, len(lab) - 1, 1024)
        table = np.stack([np.interp(at, np.arange(len(lab)), lab[:, c]) for c in range(3)], axis=1)
        index = (np.clip(np.asarray(t, dtype=np.float64), 0, 1) * 1023 + 0.5).astype(np.intp)
        return np.clip(from_oklab(table), 0, 1)[index]

    def __call__(self, t: npt.ArrayLike) -> Array:
        """sRGB in [0, 1] at t: ``[...]`` -> ``[..., 3]``.

        >>> (PALETTES["ember"]([0.0, 1.0]) * 255).round().astype(int).tolist()
        [[27, 10, 24], [255, 240, 205]]
        """
        return to_srgb(self.linear(t))


def named(stops: dict[str, tuple[str, ...]]) -> dict[str, Palette]:
    """Palettes by name, from the stops of each."""
    return {name: Palette(name, colours) for name, colours in stops.items()}


PALETTES = named(
    {
        "fernlight": ("#07150f", "#0f3d2a", "#2c7a3f", "#7fb84a", "#d6e27a", "#fbfadf"),
        "ember": ("#1b0a18", "#5a1230", "#a8283a", "#e35b32", "#f7a64a", "#fff0cd"),
        "tidepool": ("#061320", "#0c3a56", "#11717f", "#3fae9b", "#a4dcae", "#f4fbe4"),
        "nightbloom": ("#100a24", "#3a1c66", "#7a3196", "#c8528f", "#f59a86", "#ffeccb"),
        "glacier": ("#08111f", "#16365f", "#2f6aa3", "#6aa6d0", "#b2d8ea", "#f8fdff"),
        "amberglass": ("#150b06", "#4a2410", "#8d4c16", "#cd8425", "#eec160", "#fff6d8"),
        "heather": ("#120f1e", "#36305a", "#6a5b93", "#a588b4", "#d9b9c8", "#fbf1ee"),
        "copperleaf": ("#08161a", "#1c444a", "#4e7770", "#a2967c", "#dcae78", "#fdeccb"),
        "lichen": ("#0f1410", "#33402c", "#67713d", "#a49c4b", "#d9c878", "#f8f3d6"),
        "moonstone": ("#0c0e14", "#2c3340", "#586577", "#8e9cab", "#c6d0d8", "#fbfcfd"),
        "firefly": ("#0a0d1c", "#1c2a54", "#2d5c7c", "#4c9a7c", "#a6cf5e", "#fff6b0"),
    }
)


# palettes of many hues for flames; none of the colours is too dark to glow
HUED = named(
    {
        "opal": ("#f4e9d8", "#8fd0c9", "#5a7fd6", "#b07ad1", "#f0a1a8", "#ffe2b8"),
        "kingfisher": ("#0fa3b1", "#1b5fa8", "#f28f3b", "#ffd275", "#1a936f", "#0b4f6c"),
        "autumn-walk": ("#7a1f1f", "#c8451d", "#ef9a2d", "#f6d860", "#8a9a3b", "#3f5f3a"),
        "aurora": ("#1de9b6", "#3fb6ff", "#6a5cff", "#d65cff", "#ff6fae", "#7dffb0"),
        "coral-reef": ("#ff7f6b", "#ffc3a0", "#3ec6c1", "#1f6f8b", "#f9d56e", "#e05297"),
        "stained-glass": ("#c1121f", "#ffb703", "#2a9d8f", "#1d4e89", "#7b2d8b", "#f77f00"),
        "frost-fire": ("#e8f6ff", "#6fb7ff", "#2348a8", "#7c1d3f", "#ff5a1f", "#ffd9a0"),
        "meadow": ("#f7f5d0", "#b8d45a", "#4f9d4b", "#2f6f7e", "#c77dbb", "#ffd1e0"),
    }
)

PaletteLike = str | Palette | Sequence[str] | npt.NDArray[Any] | Callable[[Any], Any]


def palette(name: PaletteLike) -> Palette:
    """The palette of that name, one of :data:`PALETTES`, :data:`HUED` and the colour maps of matplotlib, or that of
    colours (:meth:`Palette.of`) or of a colour map of matplotlib; a Palette passes through.

    Raises:
        UsageError: no such palette; the message lists them.
    """
    if isinstance(name, Palette):
        return name
    if callable(name):  # a colour map
        return Palette.of(np.asarray(name(np.linspace(0, 1, 17)))[:, :3])
    if not isinstance(name, str):
        return Palette.of(name)
    known = PALETTES | HUED
    if name in known:
        return known[name]
    import matplotlib

    if name in matplotlib.colormaps:
        stops = matplotlib.colormaps[name](np.linspace(0, 1, 17), bytes=True)
        return Palette(name, tuple("#" + bytes(s[:3]).hex() for s in stops))
    hint = did_you_mean(name, known)
    raise UsageError(f"palette: no {name!r} among {', '.join(known)} and the colour maps of matplotlib{hint}")


_PIECES = (
    # hues that go well together, of similar lightness
    "#e8a33d", "#3e9fb3", "#d9604c", "#86b05a", "#8d78c4", "#e9c98f", "#2f7f6f", "#c9739b", "#6f9fe0", "#b4793f",
)  # fmt: skip


def distinct(k: int, neighbours: Sequence[Sequence[float]] | None = None) -> Array:
    """k distinct, harmonious colours, sRGB ``[K, 3]``, for the pieces of an attractor.

    The first ten are chosen by hand; further hues advance by the golden angle, on three levels of lightness in Oklab.

    Args:
        neighbours: positions ``[K, D]`` of the pieces; colours are assigned so that close pieces differ most.
    """
    chosen = to_oklab(to_linear(np.stack([parse_colour(c) for c in _PIECES])))
    if k > len(chosen):
        i = np.arange(k - len(chosen))
        hue = np.radians(47 + 137.50776405 * i)
        level = np.array([0.74, 0.62, 0.84])[i % 3]
        chroma = np.array([0.11, 0.115, 0.085])[i % 3]
        more = np.stack([level, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
        chosen = np.concatenate([chosen, more])
    lab = chosen[:k]
    if neighbours is not None and k > 2:
        lab = lab[_deal(lab, np.asarray(neighbours, dtype=np.float64))]
    return to_srgb(from_oklab(lab))


def distinct_nearby(places: Array, *, shades: int = 24, near: int = 10) -> Array:
    """A colour for each of many pieces, sRGB ``[K, 3]``, of a few distinct ones: neighbours differ most.

    Args:
        places: ``[K, D]`` of the pieces.
        shades: of :func:`distinct` to choose from.
        near: neighbours that a piece is told from.
    """
    from scipy.spatial import cKDTree

    k = len(places)
    if k <= shades:
        return distinct(k, places.tolist())
    chosen = distinct(shades)
    lab = to_oklab(to_linear(chosen))
    gap = np.linalg.norm((lab[:, None] - lab[None]) * [0.8, 1, 1], axis=2)
    neighbours = cKDTree(places).query(places, near + 1)[1][:, 1:]
    pick = np.full(k, -1)
    used = np.zeros(shades)
    for i in range(k):
        around = pick[neighbours[i]]
        around = around[around >= 0]
        # the nearest colour around it as far off as can be, and all used alike
        score = (gap[:, around].min(axis=1).clip(max=0.2) if len(around) else 0.2) - 0.1 * used / (1 + used.mean())
        pick[i] = int(np.argmax(score))
        used[pick[i]] += 1
    return chosen[pick]


def _deal(lab: Array, places: Array) -> npt.NDArray[np.intp]:
    """Swap colours while that lowers Σ over pairs of closeness in space times closeness in colour."""
    k = len(lab)
    gap = np.linalg.norm(places[:, None] - places[None], axis=2)
    scale = np.sort(gap, axis=1)[:, min(2, k - 1)].mean() + 1e-12
    near = np.exp(-((gap / (1.5 * scale)) ** 2))
    alike = np.exp(-((np.linalg.norm((lab[:, None] - lab[None]) * [0.8, 1, 1], axis=2) / 0.12) ** 2))
    np.fill_diagonal(near, 0)
    np.fill_diagonal(alike, 0)
    order = np.arange(k)
    for _ in range(8):
        changed = False
        for i in range(k):
            for j in range(i + 1, k):
                a, b = order[i], order[j]
                now = near[i] @ alike[a][order] + near[j] @ alike[b][order]
                order[i], order[j] = b, a
                then = near[i] @ alike[b][order] + near[j] @ alike[a][order]
                if then < now - 1e-12:
                    changed = True
                else:
                    order[i], order[j] = a, b
        if not changed:
            break
    return order
