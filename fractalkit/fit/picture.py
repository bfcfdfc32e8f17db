"""Fit a code to a picture: its subject as a cloud, then as pixels.

foreground    which pixels belong to the subject                                            (foreground.py)
search        of a set: up to 12 maps whose pieces fill it                     (set_search.py, exchange.py)
              else maps of a cloud drawn from it, as for any cloud                          (cloud.py)
refine        Gauss-Newton until the attractor touches these pixels and no others           (raster.py)
weigh         weights by the brightness of a measure, through the exact Markov operator     (image.py)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import UsageError
from fractalkit.fit.cloud import MAX_FIT_MAPS, fit_cloud
from fractalkit.fit.foreground import Foreground, foreground_of
from fractalkit.fit.image import draw_points, fit_weights
from fractalkit.fit.paint import paint
from fractalkit.fit.raster import FINE, LETTERS, Raster, RasterFit, as_code
from fractalkit.fit.set_search import MOST, SetSearch
from fractalkit.orbit.coverage import covering_weights

SIDE = 512  # pixels of the picture's longer side that the fit looks at, at most
DONE = 0.97  # agreement of pixels at which no further search is begun
GAINED, PROMISING = 0.001, 0.85  # agreement that further steps gain if they go on, and from which on they are made
LONGER = 3  # times that they are made, at most
POINTS = 8_000  # of the cloud that is searched; the pixels make up for what it leaves open


def fit_picture(
    picture: np.ndarray | Foreground,
    *,
    maps: int | str = "auto",
    threshold: float | None = None,
    kind: str = "auto",
    effort: int = 3,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
    callback: Callable[[AffineIFS, float], None] | None = None,
) -> AffineIFS:
    """Fit a planar code whose attractor is the subject of a picture, or whose measure is its brightness.

    Args:
        picture: as for :func:`~fractalkit.fit.foreground.foreground_of`, row 0 at the top; or its foreground.
        maps: K, or "auto", as for :func:`~fractalkit.fit.cloud.fit_cloud`.
        threshold, kind: of :func:`~fractalkit.fit.foreground.foreground_of`.
        effort: of the search for maps, 0 to 9; each step doubles it. It ends when the pixels agree.
        seed: determines the result.
        callback: called with the code and the agreement before each step of refinement.

    Returns:
        The code, float64, in coordinates where the picture's longer side has length one, its lower left corner is the
        origin and y points up; every norm is below one. It has colours if the picture has. In its ``provenance`` are
        "iou" (pixels of the fitted grid that are both lit and touched, over those that are either), "threshold", "rule"
        and "kind" ("set" or "measure").

    Raises:
        DataError: a picture without a subject.
        UsageError: an option out of range.
    """
    if isinstance(maps, bool) or not (maps == "auto" or (isinstance(maps, int) and 1 <= maps <= MAX_FIT_MAPS)):
        raise UsageError(f"maps: expected a number from 1 to {MAX_FIT_MAPS} or 'auto', got {maps!r}")
    subject = picture if isinstance(picture, Foreground) else foreground_of(picture, threshold=threshold, kind=kind)
    say = progress or (lambda word, share: None)
    small = shrunk(subject, SIDE)
    mass = np.flipud(small.mass)
    points, colours = cloud_of(small, POINTS, seed)
    raster = Raster(mass > 0, seed=seed)
    search = None
    if subject.binary and (maps == "auto" or 2 <= int(maps) <= MOST):
        search = SetSearch(mass > 0, effort=effort, seed=seed, progress=_part(say, 0.0, 0.8))
    if search is None or not search.planar:
        fitted, found = _as_cloud(points, colours, raster, maps, effort, seed, say, callback)
        return _finished(fitted, found, small, mass, seed, effort)
    rough, rule = search.auto() if maps == "auto" else (search.fixed(int(maps)), "given")
    say("pixels", 0.8)
    fitted = _converged(raster, raster.refine(rough.maps, isotropy=rough.isotropy, callback=_told(callback)), callback)
    code = replace(as_code(fitted.maps), provenance={"maps_rule": rule, "isotropy": rough.isotropy})
    if colours is not None:
        code = _painted(code, raster, fitted.maps, points, colours)
    return _finished(fitted, code, small, mass, seed, effort)


def _as_cloud(
    points: np.ndarray, colours: np.ndarray | None, raster: Raster, maps: int | str, effort: int, seed: int,
    say: Callable[[str, float], None], callback: Callable[[AffineIFS, float], None] | None,
) -> tuple[RasterFit, AffineIFS]:  # fmt: skip
    """The best of a few codes of a cloud, refined by pixels."""
    tries = max(1, effort - 1)
    best: tuple[RasterFit, AffineIFS] | None = None
    for attempt in range(tries):
        begin, share = attempt / tries, 1 / tries
        found = fit_cloud(
            points, maps=maps, colours=colours, effort=effort, seed=seed + attempt,
            progress=_part(say, begin, 0.8 * share),
        )  # fmt: skip
        say("pixels", begin + 0.8 * share)
        fitted = raster.refine(as_maps(found), callback=_told(callback))
        if best is None or fitted.iou > best[0].iou:
            best = fitted, found
        if best[0].iou >= DONE:
            break
    assert best is not None
    return best


def _converged(
    raster: Raster, fitted: RasterFit, callback: Callable[[AffineIFS, float], None] | None
) -> RasterFit:  # fmt: skip
    """A code that is refined on as long as that gains: a map of little area moves slowly."""
    for _ in range(LONGER):
        if not PROMISING < fitted.iou < DONE:
            break
        more = raster.refine(fitted.maps, stages=FINE, isotropy=fitted.isotropy, callback=_told(callback))
        slow = more.iou < fitted.iou + GAINED
        fitted = max(fitted, more, key=lambda f: f.iou)
        if slow:
            break
    return fitted


def _painted(
    code: AffineIFS, raster: Raster, maps: np.ndarray, points: np.ndarray, colours: np.ndarray
) -> AffineIFS:  # fmt: skip
    """A code with colours of points ``[N, 2]``, each of which has the address of the nearest pixel that is touched."""
    touched = raster.draw(maps, 4).touched
    cells = np.minimum((points / raster.unit).astype(np.int64), np.array(raster.lit.shape)[::-1] - 1)
    rows = np.where(touched.index >= 0)
    if not len(rows[0]):
        return code
    near = cKDTree(np.stack(rows, axis=1)).query(cells[:, ::-1])[1]
    address = touched.addresses(LETTERS, touched.index[rows[0][near], rows[1][near]])[0]
    made = paint(address, points, colours, len(maps))
    field = None if made.field is None else torch.from_numpy(made.field)
    return replace(code, colours=torch.from_numpy(made.colours), colour_speed=made.speed, colour_field=field)


def _part(say: Callable[[str, float], None], begin: float, share: float) -> Callable[[str, float], None]:
    """The progress of one part of the work."""
    return lambda word, done: say(word, begin + share * done)


def _told(callback: Callable[[AffineIFS, float], None] | None) -> Callable[[np.ndarray, float], None] | None:
    return None if callback is None else lambda maps, iou: callback(as_code(maps), iou)


def _finished(
    fitted: RasterFit, found: AffineIFS, subject: Foreground, mass: np.ndarray, seed: int, effort: int
) -> AffineIFS:
    """The code with weights, colours and its provenance."""
    code = as_code(fitted.maps)
    code = replace(
        code, weights=found.probabilities, colours=found.colours, colour_speed=found.colour_speed,
        colour_field=found.colour_field,
    )  # fmt: skip
    kind = "set" if subject.binary else "measure"
    about: dict[str, Any] = {
        "fit": "fractalkit.fit.fit_picture", "kind": kind, "iou": fitted.iou, "grid": list(mass.shape),
        "rule": subject.rule, "threshold": subject.threshold, "seed": seed, "effort": effort,
        "maps_rule": found.provenance.get("maps_rule", "given"), "isotropy": found.provenance.get("isotropy", 0.0),
        "pixels": int((mass > 0).sum()),
    }  # fmt: skip
    if kind == "set":
        code = replace(code, weights=covering_weights(code))
    else:
        code, about["distance"] = fit_weights(code, torch.from_numpy(mass / mass.sum()))
    return replace(code, provenance=about).check_contractive()


def as_maps(code: AffineIFS) -> np.ndarray:
    """Maps ``[K, 3, 4]`` of a code of the plane."""
    out = np.zeros((len(code), 3, 4))
    out[:, :2, :2] = code.matrices.detach().double().numpy()
    out[:, :2, 3] = code.offsets.detach().double().numpy()
    return out


def shrunk(subject: Foreground, side: int) -> Foreground:
    """A foreground of at most so many pixels a side; a block is lit where half of it is, or a pixel of a drawing is."""
    h, w = subject.mass.shape
    if max(h, w) <= side:
        return subject
    shape = (max(1, round(h * side / max(h, w))), max(1, round(w * side / max(h, w))))
    small = _pooled(subject.mass, shape)
    share = _pooled(subject.lit.astype(np.float64), shape)
    # what is thin is half of no block
    lit = share >= (min(0.5, float(share.max())) if subject.binary else 1e-9)
    mass = np.where(lit, 1.0 if subject.binary else small, 0.0)
    colours = None
    if subject.colours is not None:
        inside = subject.colours * subject.lit[..., None]
        planes = [_pooled(inside[..., c], shape) / np.maximum(share, 1e-9) for c in range(3)]
        colours = np.stack(planes, axis=2).clip(0, 1)
    return replace(subject, mass=mass, colours=colours)


def _pooled(x: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    one = torch.from_numpy(np.ascontiguousarray(x))[None, None]
    return np.asarray(torch.nn.functional.adaptive_avg_pool2d(one, shape)[0, 0].numpy())


def cloud_of(subject: Foreground, count: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Points ``[N, 2]`` of a subject, and their colours: of a set one in each of up to ``count`` pixels, else by mass.

    The longer side has length one, the lower left corner is the origin, and y points up.
    """
    mass = np.flipud(subject.mass)
    unit = 1 / max(mass.shape)
    rng = np.random.default_rng(seed)
    if subject.binary:
        cells = np.flatnonzero(mass > 0)
        if len(cells) > count:
            cells = np.sort(rng.choice(cells, count, replace=False))
        at = np.stack([cells % mass.shape[1], cells // mass.shape[1]], axis=1)
        points = (at + rng.random(at.shape)) * unit
    else:
        points = draw_points(torch.from_numpy(mass / mass.sum()), count, seed).numpy()
        at = (points / unit).astype(np.int64)
    if subject.colours is None:
        return points, None
    rows = (mass.shape[0] - 1 - at[:, 1]).clip(0, mass.shape[0] - 1)
    return points, subject.colours[rows, at[:, 0].clip(0, mass.shape[1] - 1)]
