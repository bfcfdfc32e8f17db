"""Preview of a fit: the input, the attractor, and the attractor coloured by map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.errors import UsageError
from fractalkit.orbit.coverage import even
from fractalkit.render.attractor import draw_ifs, piece_colours
from fractalkit.render.camera import Camera
from fractalkit.render.palette import parse_colour
from fractalkit.render.splat import BACKGROUNDS, checked, draw_cloud

Image = npt.NDArray[np.uint8]

INK = {"dark": ("#e9e6df", "#989ca6"), "light": ("#26282c", "#77746c")}  # title, figures
MOST_DRAWN = 1_000_000
_ALONE = 400_000  # points of a code that comes without a cloud
_PIECES = 250_000  # points that show the pieces, at least


def preview(
    points: npt.ArrayLike | None, colours: npt.ArrayLike | None, ifs: AffineIFS | CloudCollage, *,
    title: str = "", figures: Sequence[str] = (), seed: int = 0, panel: int = 720, up: str = "auto",
    usual: str | None = None, background: str = "dark", progress: Callable[[float], None] = lambda share: None,
) -> Image:  # fmt: skip
    """Panels under one camera and one light: input | attractor, as many points | its pieces.

    The pieces have a colour for each first map of the address, and are drawn with 250,000 points or more.

    Args:
        points: the input cloud ``[N, D]``; None for a code alone, which gives its picture and its pieces.
        colours: of the input, sRGB ``[N, 3]`` in [0, 1], or None.
        ifs: the code.
        title, figures: of the caption; the figures are strings such as ``"Chamfer 0.31 %"``, set in one line.
        seed: of the code's picture, where it is drawn by the chaos game; clouds use :func:`fractalkit.orbit.even`.
        panel: side of each square panel in pixels.
        up: "x", "y", "z" or "auto", which way the input stands; "auto" is z for an affine code alone, if not planar.
        usual: the axis that points up by the convention of the input's file, which "auto" takes unless it is planar.
        background: "dark" or "light".
        progress: called with the share that is done, after each panel.

    Returns:
        uint8 ``[H, W, 3]``, H = panel + caption, W = 3 panels, or 2 for a code alone.

    Raises:
        DataError: rows that are not finite. UsageError: dimensions that differ, an option out of range.
    """
    size = (panel, panel)
    ifs = ifs.to(device="cpu")
    labels: list[str]
    if points is None:
        n = _ALONE
    else:
        x, c = checked(points, colours)
        if x.shape[1] != ifs.dim:
            raise UsageError(f"the cloud has {x.shape[1]} dimensions, the code has {ifs.dim}")
        step = -(-len(x) // MOST_DRAWN)
        x, c = x[:: max(step, 1)], None if c is None else c[:: max(step, 1)]
        n = len(x)
    progress(0.0)
    y, own, first = _covering(ifs, n)
    progress(0.2)
    k = len(ifs)
    if points is None:
        if up == "auto" and isinstance(ifs, AffineIFS):
            usual = "z"
        camera = Camera.frame(y, size, up=up, usual=usual, margin=0.085) if ifs.dim == 3 else None
        images = [draw_ifs(ifs, size=size, seed=seed, background=background, camera=camera)]
        labels = ["attractor"]
    else:
        camera = None
        if ifs.dim == 3 and n:
            # frame the attractor too, as a poor fit may extend beyond the input
            camera = Camera.frame(np.concatenate([x, y]), size, up=up, usual=usual, margin=0.085)
        images = [
            draw_cloud(x, c, size=size, camera=camera, background=background),
            draw_cloud(y, own, size=size, camera=camera, background=background),
        ]
        labels = [f"input, {len(x):,} points", f"attractor, {len(y):,} points"]
    progress(0.6)
    # the pieces in full detail: a fit's own pieces repeat the whole, which a few thousand points cannot show
    fine, _, first = (y, own, first) if n >= _PIECES else _covering(ifs, _PIECES)
    images.append(draw_cloud(fine, piece_colours(ifs)[first], size=size, camera=camera, background=background))
    progress(1.0)
    what = "range" if isinstance(ifs, CloudCollage) else "piece"
    labels.append(f"its {k:,} {what}{'s' if k != 1 else ''}, one map each")
    return side_by_side(images, title=title, labels=labels, figures=figures, background=background)


def _covering(
    ifs: AffineIFS | CloudCollage, n: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None, npt.NDArray[np.int64]]:
    """Even points ``[n, D]``, their colours if the code has some, and the first map or range of each."""
    orbit = even(ifs, n, depth=1, colours=ifs.coloured)
    assert orbit.addresses is not None
    points, colours = checked(orbit.points, orbit.colours)
    return points, colours, orbit.addresses[:, 0].to(torch.int64).numpy()


def side_by_side(
    images: Sequence[npt.ArrayLike],
    *,
    title: str = "",
    labels: Sequence[str] = (),
    figures: Sequence[str] = (),
    background: str = "dark",
) -> Image:
    """Pictures of one height in a row, a label in each, and a caption line below when there is a title or a figure.

    Raises:
        UsageError: no pictures, or heights that differ.
    """
    parts = [np.asarray(i) for i in images]
    if not parts or len({p.shape[0] for p in parts}) != 1:
        raise UsageError("images: expected one or more pictures of the same height")
    row = np.concatenate(parts, axis=1)
    h, w = row.shape[:2]
    unit = max(h / 720, 0.3)
    strip = int(46 * unit) if title or figures else 0
    if background not in BACKGROUNDS:
        raise UsageError(f"background: expected {' or '.join(BACKGROUNDS)}, got {background!r}")
    ground = (parse_colour(BACKGROUNDS[background][1]) * 255 + 0.5).astype(np.uint8)
    out = np.empty((h + strip, w, 3), np.uint8)
    out[:h], out[h:] = row, ground
    if strip or any(labels):
        from PIL import Image as Pillow
        from PIL import ImageDraw

        canvas = Pillow.fromarray(out)
        pen = ImageDraw.Draw(canvas)
        strong, soft = INK[background]
        at = 0
        for part, label in zip(parts, labels, strict=False):
            if label:
                face = font(13 * unit)
                text = _shortened(label, face, part.shape[1] - 32 * unit)
                pen.text((at + part.shape[1] / 2, h - 14 * unit), text, fill=soft, font=face, anchor="ms")
            at += part.shape[1]
        base = h + strip * 0.56
        room = w - 40 * unit
        head = font(16 * unit, bold=True)
        text = _shortened(title, head, room * (0.5 if figures else 1.0))
        pen.text((20 * unit, base), text, fill=strong, font=head, anchor="ls")
        if figures:
            face = font(14 * unit)
            left = room - pen.textlength(text, font=head) - 24 * unit
            line = _shortened("   ·   ".join(figures), face, left)
            pen.text((w - 20 * unit, base), line, fill=soft, font=face, anchor="rs")
        out = np.array(canvas)
    return out


@lru_cache(maxsize=32)
def font(pixels: float, bold: bool = False) -> Any:
    """DejaVu Sans, which is part of Matplotlib, at a height in pixels."""
    from pathlib import Path

    import matplotlib
    from PIL import ImageFont

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(str(file), max(round(pixels), 6))


def _shortened(text: str, face: Any, room: float) -> str:
    """The text, or as much of it as fits into ``room`` pixels, with an ellipsis."""
    text = " ".join(text.split())
    if face.getlength(text) <= room:
        return text
    while text and face.getlength(text + "…") > room:
        text = text[:-1]
    return text.rstrip() + "…" if text else ""
