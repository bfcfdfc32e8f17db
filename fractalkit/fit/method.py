"""Fit a code of either kind to a cloud: a plain IFS where the cloud is an attractor, else a collage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.errors import DataError, UsageError
from fractalkit.fit.cloud import FRACTAL_QUICKLY, MAX_FIT_MAPS, attractor_ratio, fit_cloud
from fractalkit.fit.cloud_collage import MAX_COLLAGE_MAPS, fit_cloud_collage
from fractalkit.fit.smoothness import is_smooth_surface
from fractalkit.fit.target import as_numbers

METHODS = ("auto", "ifs", "collage")
_POINTS_A_RANGE = 40
_RANGES = (64, 1024)  # of a collage by default, at least and at most,
_FEW_RANGES = 256  # and at effort 0


def fit_attractor(
    points: Tensor | np.ndarray,
    *,
    method: str = "auto",
    maps: int | str = "auto",
    colours: Tensor | np.ndarray | None = None,
    effort: int = 5,
    seed: int = 0,
    keep_strays: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> AffineIFS | CloudCollage:
    """Fit a plain IFS or a collage to a cloud.

    Args:
        points: ``[N, D]``, D = 2 or 3; one finite point or more.
        method: "ifs" (:func:`fit_cloud`), "collage" (:func:`fit_cloud_collage`), or "auto": a collage of what is a
            smooth surface (:func:`.smoothness.is_smooth_surface`), else a plain IFS where a quick fit of one comes
            within 1.3 times the sampling floor (:func:`.cloud.attractor_ratio`), else a collage.
        maps: their number, at most 64 for a plain IFS and 65,536 for a collage; "auto" lets :func:`fit_cloud` choose,
            and takes one for every 40 points, 64 to 1,024, for a collage; at effort 0 at most 256.
        colours, effort, seed, keep_strays, progress: as those of the two functions.

    Returns:
        The code; in its ``provenance`` are "method", "reason" (a sentence) and "maps_rule".

    Raises:
        DataError: points that cannot be fitted.
        UsageError: an option out of range.
    """
    check_method(method, maps)
    x = as_numbers(points)
    say = progress or (lambda word, share: None)
    options: dict[str, Any] = {
        "colours": colours, "effort": effort, "seed": seed, "keep_strays": keep_strays, "progress": say
    }  # fmt: skip
    if method == "auto":
        method, reason = _judge(x, maps, effort, seed, keep_strays, say)
    else:
        reason = "as asked"
    made: dict[str, Any] = {"method": method, "reason": reason}
    if method == "ifs":
        ifs = fit_cloud(x, maps=maps, **options)
        return replace(ifs, provenance=ifs.provenance | made)
    count = default_ranges(x, effort) if maps == "auto" else int(maps)
    made["maps_rule"] = f"one for every {_POINTS_A_RANGE} points" if maps == "auto" else "given"
    code = fit_cloud_collage(x, maps=count, **options)
    return replace(code, provenance=code.provenance | made)


def check_method(method: str, maps: int | str) -> None:
    """Raise a UsageError where a method does not take that number of maps."""
    if method not in METHODS:
        raise UsageError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    most = MAX_FIT_MAPS if method == "ifs" else MAX_COLLAGE_MAPS
    if isinstance(maps, bool) or not (maps == "auto" or (isinstance(maps, int) and 1 <= maps <= most)):
        more = "; a collage takes more" if method == "ifs" and isinstance(maps, int) and maps > most else ""
        raise UsageError(f"maps: expected a number from 1 to {most:,} or 'auto', got {maps!r}{more}")


def default_ranges(x: np.ndarray, effort: int = 5) -> int:
    """The number of ranges of a collage of points ``[N, D]``: one for every 40, 64 to 1,024, or 256 at effort 0."""
    least, most = _RANGES
    return int(np.clip(len(x) // _POINTS_A_RANGE, least, _FEW_RANGES if effort == 0 else most))


def _judge(
    x: np.ndarray, maps: int | str, effort: int, seed: int, keep_strays: bool, say: Callable[[str, float], None]
) -> tuple[str, str]:
    """The method for a cloud, and why."""
    if isinstance(maps, int) and maps > MAX_FIT_MAPS:
        return "collage", f"more than the {MAX_FIT_MAPS} maps that a plain IFS takes"
    say("attractor?", 0.0)
    if x.ndim == 2 and is_smooth_surface(x):
        return "collage", "the cloud is a smooth surface, which is no union of a few copies of itself"
    try:
        ratio, k = attractor_ratio(x, maps, effort=effort, seed=seed, keep_strays=keep_strays)
    except DataError:  # a cloud that no plain IFS is fitted to; the collage says so if it has the same fault
        return "collage", "no plain IFS can be fitted to it"
    if ratio <= FRACTAL_QUICKLY:
        return (
            "ifs",
            f"the cloud is an attractor: a quick fit of {k} maps comes within {ratio:.2f} x its floor",
        )
    return "collage", f"the cloud is no attractor of few maps: a quick fit of {k} stays {ratio:.2f} x its floor away"
