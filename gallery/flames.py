"""Pictures of flames for the gallery: random ones that are worth a look, a loop, a dive."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame_random import random_flame
from fractalkit.render.animate import Motion, draw_frame
from fractalkit.render.colours_from import colour_table, names
from fractalkit.render.flame_sheet import sheet, worth_seeing
from fractalkit.render.zoom import Approach, interesting, open_source

Image = npt.NDArray[np.uint8]
SEED = 3


def flames(side: int = 200, n: int = 8) -> Image:
    """Random flames, the dull ones left out."""
    found = worth_seeing(
        lambda rng: random_flame(rng, colour_table(str(rng.choice(names()))), size=(side, side)), n, seed=SEED
    )
    return sheet(found, quality=200, seed=SEED)


def flame_loop(side: int = 180, frames: int = 6) -> Image:
    """Frames of a loop: the maps of one flame turn once about."""
    found = worth_seeing(lambda rng: random_flame(rng, colour_table("aurora"), size=(side, side)), 1, seed=SEED)
    film = Motion((found[0],), frames, loop=True)
    return np.concatenate([draw_frame(film, k, quality=200, seed=SEED) for k in range(frames)], axis=1)


def dive(height: int = 200, frames: int = 6) -> Image:
    """A zoom into the fern, each picture 63 times nearer than the last."""
    fern = open_source("barnsley-fern", quality=60.0, seed=SEED)
    way = Approach(interesting(fern, 1e9), 1e9, frames, 1.0)
    return np.concatenate([fern.window(*box, height, height) for box in way], axis=1)


FLAMES = {
    "flames": (flames, "Flames", "Random flames worth a look: `fractalkit render --random 8 --seed 3`."),
    "flame-loop": (flame_loop, "A loop", "One flame, its maps turning: `fractalkit animate a.flame --loop`."),
    "dive": (dive, "A dive", "Into the fern, a thousand million times: `fractalkit zoom barnsley-fern --depth 1e9`."),
}
