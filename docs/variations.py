"""Generate variations.md and its pictures: what each variation of flames does to a grid of lines and a circle.

python docs/variations.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fractalkit.codes.variation_list import FOLDER, catalogue
from fractalkit.raster.png import save_png
from fractalkit.render.variation_picture import SIDE, picture

HERE = Path(__file__).resolve().parent
HEAD = """# Variations of flames

What each variation does, with its default parameters, to a grid of lines over [-1, 1]² (lines along x blue, along y
orange) and to a circle (white); the window is [-2, 2]². Those that paint points are shown by the colours that they
give, over [-1, 1]². `python docs/variations.py` generates this page. Each variation
has a `pre_` and a `post_` form, and any case of its name is understood. The formulas are in
`fractalkit/codes/variations`; your own come from a file with `--variations`:

```text
variation ripple2(amount=0.5, scale=1): Waves away from the origin.
    s = 1 + amount * sin(2 * pi * r / scale)
    return w * x * s, w * y * s
```

`fractalkit/codes/variation_text.py` describes the language.
"""
ACROSS, GAP = 8, 4


def page() -> str:
    """The text of the page; the pictures are written on the way."""
    parts = [HEAD]
    (HERE / "variations").mkdir(exist_ok=True)
    for path in sorted(FOLDER.glob("*.variations")):
        own = [d for d in catalogue().variations.values() if d.where == path.name]
        if not own:
            continue
        rows = -(-len(own) // ACROSS)
        sheet = np.full((rows * (SIDE + GAP), ACROSS * (SIDE + GAP), 3), 255, np.uint8)
        for k, d in enumerate(own):
            top, left = k // ACROSS * (SIDE + GAP), k % ACROSS * (SIDE + GAP)
            sheet[top : top + SIDE, left : left + SIDE] = picture(d)
        save_png(HERE / "variations" / f"{path.stem}.png", sheet)
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        parts.append(f"## {path.stem}\n\n{title} Row by row:\n\n![{path.stem}](variations/{path.stem}.png)\n")
        for d in own:
            parameters = ", ".join(f"{p} = {v:.4g}" for p, v in d.parameters.items())
            parts.append(f"- **{d.name}**{f' ({parameters})' if parameters else ''}: {d.doc}")
        parts[-1] += "\n"
    return "\n".join(parts)


if __name__ == "__main__":
    (HERE / "variations.md").write_text(page(), encoding="utf-8")
