"""The foreground of a picture: which pixels belong to the subject, how much each weighs, and in which colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fractalkit.errors import DataError, UsageError
from fractalkit.raster.colour import LUMA

LEAST = 50  # pixels of a foreground
SPECK = 2e-4  # parts of a photograph's foreground smaller than this share of it are left out
_BINS = 256


@dataclass(frozen=True)
class Foreground:
    """The subject of a picture; row 0 is at the top.

    Attributes:
        mass: ``[H, W]``, at least 0; what does not belong to the subject is 0. Constant where the subject is a set.
        colours: ``[H, W, 3]`` sRGB in [0, 1], or None for a picture in grey.
        rule: a sentence on how it was found.
        threshold: between subject and ground, 0 to 1; None where the alpha channel tells them apart.
        light: the subject is lighter than its ground.
    """

    mass: np.ndarray
    colours: np.ndarray | None
    rule: str
    threshold: float | None
    light: bool

    @property
    def lit(self) -> np.ndarray:
        """The pixels of the subject, ``[H, W]``."""
        return self.mass > 0

    @property
    def binary(self) -> bool:
        """Whether the subject is a set, all of whose pixels weigh the same."""
        inside = self.mass[self.lit]
        return bool(inside.min() == inside.max())


def foreground_of(
    picture: np.ndarray, *, threshold: float | None = None, kind: str = "auto", ground: str = "auto"
) -> Foreground:
    """Find the subject of a picture.

    A channel of transparency tells it; else what differs from the border's colour by more than a threshold, which
    Otsu's rule finds (*A threshold selection method from gray-level histograms*, 1979) on the distances from it.

    Args:
        picture: ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]``, uint8, uint16, or floating point from 0 to 1.
        threshold: 0 to 1. Pixels lighter than it, or darker, whichever the border is not, belong to the subject; of an
            alpha channel, those that are more opaque.
        kind: "set" (each pixel of the subject weighs the same), "measure" (by how much it differs from the ground), or
            "auto": a measure for grey pictures of a light subject on black whose greys are spread, else a set.
        ground: "dark", "light" or "auto", by the border.

    Raises:
        DataError: no subject, or nothing else.
        UsageError: a threshold or a word out of range.
    """
    _check(threshold, kind, ground)
    x = _shares(picture)
    rgb = x[..., :3] if x.ndim == 3 else np.repeat(x[..., None], 3, axis=2)
    grey = rgb @ np.array(LUMA)
    edge = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    light_ground = ground == "light" if ground != "auto" else float(np.median(edge.mean(axis=1))) > 0.5
    alpha = x[..., 3] if x.ndim == 3 and x.shape[2] == 4 else None
    if alpha is not None and alpha.min() < 0.5 < alpha.max():
        light_ground = False
        given = 0.5 if threshold is None else threshold
        weight, lit, rule = alpha, alpha > given, f"what is more opaque than {given:.3g}"
    else:
        weight, lit, given, rule = _against(rgb, grey, edge, threshold, light_ground)
    coloured = bool(np.ptp(rgb, axis=2)[lit].mean() > 0.04) if lit.any() else False
    measure = kind == "measure" or (kind == "auto" and not coloured and not light_ground and _spread(weight, grey, lit))
    if not measure:
        lit = _whole(lit, photograph=_soft(grey))
    if not LEAST <= int(lit.sum()) < lit.size:
        share = "all" if lit.all() else f"{int(lit.sum())}"
        raise DataError(
            f"{share} of its {lit.size:,} pixels belong to a subject by the rule ({rule}); give a picture of a "
            "subject on a plain ground, or --threshold"
        )
    mass = np.where(lit, weight if measure else 1.0, 0.0)
    return Foreground(mass, rgb if coloured else None, rule, given, not light_ground)


def _against(
    rgb: np.ndarray, grey: np.ndarray, edge: np.ndarray, threshold: float | None, light_ground: bool
) -> tuple[np.ndarray, np.ndarray, float, str]:
    """What each pixel weighs against the ground, which are the subject's, by what threshold, and that in words."""
    if threshold is None:
        weight = np.abs(rgb - np.median(edge, axis=0)).max(axis=2)
        given = _level(weight)
        rule = f"what is further than {given:.3g} from the border's colour (Otsu's rule)"
        return weight, weight > given, given, rule
    if light_ground:
        return 1 - grey, grey < threshold, threshold, f"what is darker than {threshold:.3g}"
    return grey, grey > threshold, threshold, f"what is lighter than {threshold:.3g}"


def _shares(picture: np.ndarray) -> np.ndarray:
    """Samples from 0 to 1 as float64."""
    x = np.asarray(picture)
    if x.ndim == 3 and x.shape[2] == 1:
        x = x[..., 0]
    if x.ndim not in (2, 3) or (x.ndim == 3 and x.shape[2] not in (3, 4)) or min(x.shape[:2]) < 8:
        raise DataError(
            f"picture: expected [H, W], [H, W, 3] or [H, W, 4] of at least 8 x 8 pixels, got {list(x.shape)}"
        )
    if x.dtype not in (np.uint8, np.uint16) and x.dtype.kind not in "fb":
        raise DataError(f"picture: expected uint8, uint16 or floating point, got {x.dtype}")
    scale = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(x.dtype, 1.0)
    x = x.astype(np.float64) / scale
    if not np.isfinite(x).all() or x.min() < 0 or x.max() > 1:
        raise DataError("picture: expected finite samples from 0 to 1")
    return x


def _check(threshold: float | None, kind: str, ground: str) -> None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"threshold: expected 0 to 1, got {threshold:g}")
    if kind not in ("auto", "set", "measure") or ground not in ("auto", "dark", "light"):
        raise UsageError(f"kind, ground: expected auto, set or measure, and auto, dark or light, got {kind}, {ground}")


def _level(far: np.ndarray) -> float:
    """The threshold that leaves least variance within the two classes; a quarter of a level for two-valued pictures."""
    counts, edges = np.histogram(far, bins=_BINS, range=(0.0, 1.0))
    centre = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    sums = np.cumsum(counts * centre)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    between = np.nan_to_num(between)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return float(edges[1:][best].mean())


def _spread(weight: np.ndarray, grey: np.ndarray, lit: np.ndarray) -> bool:
    """Whether the ground is black throughout and the subject's greys differ: a density, not an outline."""
    if float(np.quantile(grey[~lit], 0.5)) > 0.01 if (~lit).any() else True:
        return False
    inside = weight[weight > 0.5 / 255]
    return len(inside) > LEAST and float(inside.std() / inside.mean()) > 0.35


def _soft(grey: np.ndarray) -> bool:
    """Whether a picture has more greys than a drawing: a photograph or a scan."""
    return len(np.unique((grey * 255).astype(np.int64))) > 64


def _whole(lit: np.ndarray, *, photograph: bool) -> np.ndarray:
    """The foreground without specks and pinholes, where it comes from a photograph."""
    if not photograph or not lit.any():
        return lit
    out = lit.copy()
    for value in (True, False):
        parts, count = ndimage.label(out == value)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        small = sizes < max(SPECK * lit.sum(), 4)
        small[0] = False
        out[small[parts]] = not value
    return out
