"""Write the files of a fit to a picture: the attractor's points, its code, a preview, and the figures of the fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fractalkit import __version__
from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.dimension import similarity_dimension
from fractalkit.errors import naming
from fractalkit.fit import Foreground, fit_picture, foreground_of
from fractalkit.orbit.api import why_not
from fractalkit.orbit.coverage import covering_weights
from fractalkit.raster.png import CODE_KEY, COMMAND_KEY, SEED_KEY, save_png
from fractalkit.render.attractor import piece_colours
from fractalkit.render.fractal_files import Clock, Progress, write_points
from fractalkit.render.palette import parse_colour
from fractalkit.render.preview import INK, side_by_side
from fractalkit.render.splat import BACKGROUNDS
from fractalkit.render.zoom_ifs import IFSWindows

ZOOM = 8
PANEL = 640
_MARGIN = 26  # around what a panel shows, for its label too
_FINE = 2  # cells a side of a pixel that is drawn
_SAMPLES = 60  # a pixel
_PLAIN = 0.93  # grey of what has no colour
Image = npt.NDArray[np.uint8]
Window = tuple[float, float, float, float]  # left, top, right and bottom, in pixels of the picture


def write_picture_fractal(
    picture: npt.NDArray[Any], cloud_path: Path, *, source: str = "", code_path: Path | None = None,
    preview_path: Path | None = None, maps: int | str = "auto", threshold: float | None = None, kind: str = "auto",
    effort: int = 3, points: int | None = None, even: bool | None = None, seed: int = 0, command: str = "",
    device: torch.device | str = "cpu", clock: Clock | None = None, progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:  # fmt: skip
    """Fit a code to a picture; write its attractor, the code and a preview; return the report.

    Args:
        picture: samples, as :func:`fractalkit.data.pictures.read_picture` gives them.
        cloud_path, code_path, preview_path: outputs; None is not written.
        source: name of the picture's file.
        maps, threshold, kind, effort: of :func:`fractalkit.fit.fit_picture`.
        points: of the attractor; None takes as many as the subject has pixels.
        even: cover the attractor evenly, else by its weights; None: evenly for a set, by weights for a measure.
        device: to draw the points on, as of :func:`.fractal_files.write_fractal`.

    Raises:
        DataError: no subject, or an output that cannot be written.
        UsageError: an option out of range.
    """
    clock = clock or Clock()
    name = Path(source).stem
    with clock("fit"), naming(source or "picture"):
        subject = foreground_of(picture, threshold=threshold, kind=kind)
        code = fit_picture(subject, maps=maps, effort=effort, seed=seed, progress=progress)
    about = code.provenance
    n = points or max(int(subject.lit.sum()), 1)
    even = about["kind"] == "set" if even is None else even
    result: dict[str, Any] = {
        "name": name, "maps": len(code), "dimension": 2, "method": "picture", "kind": about["kind"],
        "rule": about["rule"], "threshold": about["threshold"], "light": subject.light,
        "maps_rule": about["maps_rule"], "iou": about["iou"], "lipschitz": code.lipschitz(),
        "similarity_dimension": similarity_dimension(code), "coloured": code.coloured,
        "input": {"kind": "picture", "size": list(picture.shape[:2]), "pixels": int(subject.lit.sum())},
        "command": command, "seed": seed, "points": n, "even": even, "warnings": [], "notes": [],
        "not_by_device": why_not(code, device, even=even),
    }  # fmt: skip
    if "distance" in about:
        result["distance"] = about["distance"]
    if about["iou"] < 0.9:
        result["notes"].append("the subject is no attractor of so few maps; the code draws it in copies of itself")
    made = {"source": Path(source).name, "command": command, "version": __version__}
    code = replace(code, name=name, provenance={**about, **made})
    with clock("draw"):
        write_points(cloud_path, code, n, even=even, seed=seed, device=device, progress=progress)
    if code_path is not None:
        code.save(code_path)
        result["code_bytes"] = code_path.stat().st_size
    if preview_path is not None:
        with clock("picture"):
            texts = {SEED_KEY: str(seed), COMMAND_KEY: command, CODE_KEY: code.to_json()}
            say = partial(progress, "picture")
            image = picture_preview(subject, code, title=name, figures=_figures(result), progress=say)
            save_png(preview_path, image, text=texts)
    paths = {"cloud": cloud_path, "code": code_path, "preview": preview_path}
    result["outputs"] = {what: str(path) for what, path in paths.items() if path is not None}
    return result | {"seconds": clock.seconds}


def _figures(result: dict[str, Any]) -> list[str]:
    out = [f"{result['maps']} maps", f"{result['kind']}: {result['iou']:.1%} of the pixels agree"]
    if result["similarity_dimension"] <= 2:
        out.append(f"dimension {result['similarity_dimension']:.3f}")
    return out


def window_of_detail(subject: Foreground, zoom: int) -> tuple[int, int, int, int]:
    """The window of 1/zoom of the picture with the longest outline: left, top, width and height in pixels."""
    lit = subject.lit
    h, w = lit.shape
    sy, sx = max(h // zoom, 1), max(w // zoom, 1)
    edge = np.zeros((h + 1, w + 1), np.int64)
    line = np.zeros((h, w), np.int64)
    line[:, 1:] += lit[:, 1:] != lit[:, :-1]
    line[1:] += lit[1:] != lit[:-1]
    edge[1:, 1:] = line.cumsum(0).cumsum(1)
    total = edge[sy:, sx:] - edge[:-sy, sx:] - edge[sy:, :-sx] + edge[:-sy, :-sx]
    y0, x0 = np.unravel_index(int(total.argmax()), total.shape)
    return int(x0), int(y0), sx, sy


def picture_preview(
    subject: Foreground,
    code: AffineIFS,
    *,
    title: str = "",
    figures: list[str] | None = None,
    panel: int = PANEL,
    progress: Callable[[float], None] = lambda share: None,
) -> Image:
    """Two rows: the subject, the attractor and its pieces, and under each the window of greatest detail, 8 x.

    The frame in the upper row shows where the window is. ``progress`` is called with the share that is done.

    Returns:
        uint8 ``[H, W, 3]``.
    """
    h, w = subject.lit.shape
    everything = (0.0, 0.0, float(w), float(h))
    x0, y0, sx, sy = window_of_detail(subject, ZOOM)
    detail = (float(x0), float(y0), float(x0 + sx), float(y0 + sy))
    pieces = piece_colours(code)
    rows: list[Any] = []
    for window in (everything, detail):
        progress(len(rows) / 2)
        views = [
            _of_picture(subject, window, panel),
            *(_of_code(code, tints, window, h, max(h, w), panel) for tints in (None, pieces)),
        ]
        rows.append([_framed(v, window, detail, panel) if window is everything else v for v in views])
    lit = int(subject.lit.sum())
    labels = [
        [f"picture, {lit:,} pixels of its subject", "attractor", f"its {len(code)} pieces, one map each"],
        [f"{ZOOM} x", f"{ZOOM} x", f"{ZOOM} x"],
    ]
    top = side_by_side(rows[0], labels=labels[0])
    return np.concatenate([top, side_by_side(rows[1], labels=labels[1], title=title, figures=figures or [])])


def _ground() -> npt.NDArray[np.float64]:
    return np.asarray(parse_colour(BACKGROUNDS["dark"][1]), dtype=np.float64)


def _of_picture(subject: Foreground, window: Window, panel: int) -> Image:
    """The subject on the preview's ground; a pixel is a block where it is enlarged."""
    h, w = subject.lit.shape
    cover = subject.mass / subject.mass.max()
    colour = subject.colours if subject.colours is not None else np.full((h, w, 3), _PLAIN)
    if not subject.binary:
        cover = cover**0.5
    return _placed(window, panel, lambda x, y: (cover[y, x], colour[y, x]), (h, w))


def _of_code(
    code: AffineIFS, tints: npt.NDArray[Any] | None, window: Window, height: int, side: int, panel: int
) -> Image:
    """The attractor, a pixel lit where it is touched, in the colours of the first map of the address or of the code."""
    if tints is not None:
        code = replace(code, colours=torch.from_numpy(np.asarray(tints, dtype=np.float64)), colour_speed=1.0)
    elif not code.coloured:
        code = replace(code, colours=torch.full((len(code), 3), _PLAIN, dtype=torch.float64))
    x0, y0, x1, y1 = window
    scale = (panel - 2 * _MARGIN) / max(x1 - x0, y1 - y0)
    w, h = max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1)
    unit = 1 / side
    sums = np.zeros((h * _FINE, w * _FINE, 4), np.float32)
    views = IFSWindows(replace(code, weights=covering_weights(code)))
    views.collect((x0 * unit, (height - y1) * unit, x1 * unit, (height - y0) * unit), _SAMPLES * h * w, sums)
    there = (sums[..., 3] > 0).astype(np.float64)
    rgb = sums[..., :3] / np.maximum(sums[..., 3:], 1)
    cover = there.reshape(h, _FINE, w, _FINE).mean(axis=(1, 3))
    mean = rgb.reshape(h, _FINE, w, _FINE, 3).mean(axis=(1, 3)) / np.maximum(cover, 1e-9)[..., None]
    cover = np.minimum(cover * 1.5, 1.0)  # a touched pixel counts as a lit one in the picture
    out = np.empty((panel, panel, 3))
    out[:] = _ground()
    top, left = (panel - h) // 2, (panel - w) // 2
    part = out[top : top + h, left : left + w]
    part += cover[..., None] * (mean - part)
    return np.asarray((out * 255 + 0.5).astype(np.uint8))


def _placed(window: Window, panel: int, look: Any, shape: tuple[int, int]) -> Image:
    """A window of a picture in the middle of a square panel; ``look`` gives cover and colour of pixels x and y."""
    x0, y0, x1, y1 = window
    scale = (panel - 2 * _MARGIN) / max(x1 - x0, y1 - y0)
    w, h = max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1)
    factor = max(1, round(2 / scale)) if scale < 1 else 1  # sub-samples of a pixel that shows several of the picture's
    x = x0 + (np.arange(w * factor) + 0.5) / (scale * factor)
    y = y0 + (np.arange(h * factor) + 0.5) / (scale * factor)
    xi, yi = np.minimum(x.astype(np.int64), shape[1] - 1), np.minimum(y.astype(np.int64), shape[0] - 1)
    cover, colour = look(xi[None, :], yi[:, None])
    tone = _ground() + cover[..., None] * (colour - _ground())
    out = np.empty((panel, panel, 3))
    out[:] = _ground()
    top, left = (panel - h) // 2, (panel - w) // 2
    out[top : top + h, left : left + w] = tone.reshape(h, factor, w, factor, 3).mean(axis=(1, 3))
    return (out * 255 + 0.5).astype(np.uint8)


def _framed(image: Image, whole: Window, part: Window, panel: int) -> Image:
    """The panel with a thin frame around a part of the picture."""
    w, h = whole[2], whole[3]
    scale = (panel - 2 * _MARGIN) / max(w, h)
    left, top = (panel - round(w * scale)) // 2, (panel - round(h * scale)) // 2
    x0, y0, x1, y1 = (round(v * scale) for v in part)
    x0, x1, y0, y1 = x0 + left, min(x1 + left, panel - 1), y0 + top, min(y1 + top, panel - 1)
    ink = (np.asarray(parse_colour(INK["dark"][0])) * 255 + 0.5).astype(np.uint8)
    out = image.copy()
    out[y0 : y1 + 1, [x0, x1]] = ink
    out[[y0, y1], x0 : x1 + 1] = ink
    return out
