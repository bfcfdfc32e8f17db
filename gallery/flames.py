"""Gallery pictures of flames: random flames, a loop, a zoom, and a 3D flame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame, Xform
from fractalkit.codes.flame_random import random_flame
from fractalkit.render.animate import Motion, draw_frame
from fractalkit.render.colours_from import colour_table, names
from fractalkit.render.flame import render_flame, to_8_bit
from fractalkit.render.flame_sheet import sheet, worth_seeing
from fractalkit.render.windows import open_source
from fractalkit.render.zoom import Approach, interesting

Image = npt.NDArray[np.uint8]
SEED = 4


def flames(side: int = 200, n: int = 9) -> Image:
    """Random flames that pass the test of ``worth_seeing``."""
    found = worth_seeing(
        lambda rng: random_flame(rng, colour_table(str(rng.choice(names()))), size=(side, side)), n, seed=SEED
    )
    return sheet(found, quality=200, seed=SEED)


def flame_loop(side: int = 180, frames: int = 6) -> Image:
    """Frames of a loop in which the maps of one flame make one full turn."""
    found = worth_seeing(lambda rng: random_flame(rng, colour_table("aurora"), size=(side, side)), 1, seed=SEED)
    film = Motion((found[0],), frames, loop=True)
    return np.concatenate([draw_frame(film, k, quality=200, seed=SEED) for k in range(frames)], axis=1)


def dive(height: int = 200, frames: int = 6) -> Image:
    """A zoom into the fern; each picture magnifies the previous one 63 times."""
    fern = open_source("barnsley-fern", quality=60.0, seed=SEED)
    way = Approach(interesting(fern, 1e9), 1e9, frames, 1.0)
    return np.concatenate([fern.window(*box, height, height) for box in way], axis=1)


def medusa(width: int = 560, height: int = 520) -> Image:
    """A 3D flame: tufts of fifth roots below part of a sphere."""
    tufts = Xform(
        1.0, 0.0, coefs=(-0.66, 0.72, -0.72, -0.66, -0.39, -0.3), variations={"julia3D": 0.72},
        parameters={"julia3D_power": 5.0},
    )  # fmt: skip
    dome = Xform(0.33, 1.0, coefs=(-1.12, -0.58, 0.58, -1.12, 0.47, 0.27), variations={"bubble": 0.9})
    turns = Xform(
        0.33, 0.5, 0.3, coefs=(0.61, -0.35, 0.35, 0.61, 0.11, 0.0), variations={"linear3D": 0.63, "ztranslate": -0.01}
    )
    flame = Flame(
        size=(width, height), center=(0.07, -0.15), scale=0.5 * width, quality=600.0, oversample=2,
        estimator_radius=4.0, brightness=6.0, gamma=3.2, highlight_power=1.0, cam_pitch=0.73, cam_yaw=0.4,
        cam_persp=0.15, cam_dof=0.12, palette=np.concatenate([colour_table("aurora"), np.ones((256, 1))], axis=1),
        xforms=(tufts, dome, turns),
    )  # fmt: skip
    return to_8_bit(render_flame(flame, seed=SEED, threads=1))


FLAMES = {
    "flames": (flames, "Flames", "Random flames: `fractalkit render --random 9 --seed 4`."),
    "flame-loop": (flame_loop, "A loop", "A flame whose maps rotate: `fractalkit animate a.flame --loop`."),
    "medusa": (
        medusa,
        "Medusa",
        "A 3D flame of `julia3D`, `bubble` and `linear3D`, seen by a tilted camera with perspective and depth blur.",
    ),
    "dive": (dive, "A deep zoom", "Into the fern, a billion times: `fractalkit zoom barnsley-fern --depth 1e9`."),
}
