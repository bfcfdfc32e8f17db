"""Pictures side by side with titles, for notebooks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from fractalkit.errors import UsageError
from fractalkit.raster.picture import as_picture

GROUND, INK = "#0b0d10", "#cccccc"  # of dark figures


def show(
    *panels: Any,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    height: float = 2.5,
    dark: bool = False,
    dpi: int = 72,
    jpeg: int | None = None,
    **how: Any,
) -> None:
    """Show pictures in rows with titles, by Matplotlib.

    Args:
        panels: pictures as :func:`~fractalkit.raster.picture.as_picture` takes them, or pairs (title, picture). With
            ``cmap``, any array ``[H, W]``. All of a row share its height.
        titles: of panels that are no pairs.
        columns: in a row; None: one row.
        height: of a picture in inches.
        dark: light titles on a dark ground.
        dpi: pixels of the figure per inch.
        jpeg: quality of the JPEG that a notebook shows; None: a PNG.
        how: options of ``Axes.imshow``.

    Raises:
        UsageError: no pictures, or what is none.
    """
    import matplotlib.pyplot as plt

    if not panels:
        raise UsageError("show: expected one picture or more")
    pairs = zip(titles, panels, strict=True) if titles else (p if isinstance(p, tuple) else ("", p) for p in panels)
    shown = [(str(title), np.asarray(x) if "cmap" in how else _rgb(x)) for title, x in pairs]
    columns = min(columns or len(shown), len(shown))
    rows = -(-len(shown) // columns)
    widths = [max(a.shape[1] / a.shape[0] for _, a in shown[k::columns]) * height for k in range(columns)]
    head = 0.28 if any(title for title, _ in shown) else 0.02
    figure, axes = plt.subplots(
        rows, columns, figsize=(sum(widths), (height + head) * rows), dpi=dpi, squeeze=False, width_ratios=widths,
        facecolor=GROUND if dark else "white",
    )  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    for axis, (title, a) in zip(axes.flat, shown, strict=False):
        axis.imshow(a, **({"interpolation": "antialiased"} | how))
        axis.set_title(title, fontsize=9, color=INK if dark else "black")
    figure.subplots_adjust(0, 0, 1, 1 - head / (height + head) / rows, 0.03, head / height)
    show_figure(figure, jpeg)


def show_figure(figure: Any, jpeg: int | None = None) -> None:
    """Show a figure of Matplotlib: as a JPEG of a quality in notebooks, where a PNG would be large."""
    import matplotlib.pyplot as plt

    if jpeg is None:
        plt.show()
        return
    from IPython.display import Image, display

    file = io.BytesIO()
    figure.savefig(file, format="jpeg", facecolor=figure.get_facecolor(), pil_kwargs={"quality": jpeg})
    plt.close(figure)
    display(Image(file.getvalue(), format="jpeg"))


def _rgb(x: Any) -> Any:
    """Bytes ``[H, W, 3 or 4]`` of a picture; of floating point, what leaves [0, 1] is cut off."""
    if "float" in str(getattr(x, "dtype", "")):
        x = x.clip(0, 1)
    a = as_picture(x).eight_bit()
    return np.repeat(a[..., None], 3, axis=2) if a.ndim == 2 else a
