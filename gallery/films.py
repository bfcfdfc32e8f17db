"""Moving pictures of the gallery."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from designs import SEED, Image, load
from PIL import Image as Pillow
from session import record

from fractalkit.codes.flame_blend import turned
from fractalkit.render.flame import render_flame, resized, to_8_bit

SWAYS = {"crest": 6.0, "anemone": 5.0, "ruffles": 18.0}  # flames, and how far their maps turn to either side, degrees


def sway(path: Path, side: int = 250, frames: int = 40, quality: float = 150.0) -> None:
    """Three flames whose maps turn to and fro, side by side, in a loop of two seconds."""
    flames = [(resized(load(name), (side, side)), degrees) for name, degrees in SWAYS.items()]

    def frame(share: float) -> Image:
        angles = [degrees * math.sin(math.tau * (share + k / 3)) for k, (_, degrees) in enumerate(flames)]
        return np.concatenate(
            [
                to_8_bit(render_flame(turned(f, angle), quality=quality, seed=SEED, threads=1))[..., :3]
                for (f, _), angle in zip(flames, angles, strict=True)
            ],
            axis=1,
        )

    pictures = [Pillow.fromarray(frame(k / frames)) for k in range(frames)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=50, loop=0, quality=72, method=6)


FILMS = {
    "session": (
        record,
        "A session in the studio",
        "From two bare maps: a corner is dragged, variations are added, a relative is chosen, and it is rendered.",
    ),
    "sway": (
        sway,
        "Swaying flames",
        "Crest, Anemone and Ruffles: maps that turn a few degrees to and fro move every copy of themselves.",
    ),
}
