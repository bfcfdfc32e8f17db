"""Samples of a window of a flame have the distribution of the chaos game's samples in it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_parts import Xform
from fractalkit.orbit.flame import accumulate
from fractalkit.orbit.flame_window import FlameWindow
from tests.orbit.test_flame import strange, triangle

CELLS = 8


def crop(flame: Flame, box: tuple[float, ...], samples: int) -> np.ndarray:
    """Shares of the samples of the chaos game in the cells of a box: ``[CELLS, CELLS, 4]``."""
    side, aspect = box[2] - box[0], flame.size[1] / flame.size[0]
    unit, turn = flame.size[0] / flame.pixels_per_unit, math.radians(flame.rotate)
    dx, dy = (box[0] + side / 2 - 0.5) * unit, (box[1] + side / 2 - 0.5 * aspect) * unit
    c, s = math.cos(turn), math.sin(turn)
    near = replace(
        flame, size=(CELLS, CELLS), scale=flame.scale * CELLS / side / flame.size[0],
        center=(flame.center[0] + c * dx + s * dy, flame.center[1] - s * dx + c * dy),
    )  # fmt: skip
    return accumulate(near, samples, seed=3, threads=1, compiled=True).astype(float) / samples


def box_about(flame: Flame, side: float, seed: int) -> tuple[float, float, float, float]:
    """A box beside a sample that is drawn at random."""
    w = FlameWindow(flame, seed=1)
    inside = np.flatnonzero(w.whole.within((0.1, 0.1, 0.9, 0.6)) & (w.weights > 0))
    r = inside[np.random.default_rng(seed).integers(len(inside))]
    x, y = float(w.whole.u[r]) - 0.4 * side, float(w.whole.v[r]) - 0.6 * side
    return x, y, x + side, y + side


def blurred() -> Flame:
    """Maps that draw random numbers, one of them a blur, and a tilted camera."""
    maps = (
        Xform(1.0, 0.2, coefs=(0.6, 0.2, -0.2, 0.6, 0.3, 0.1), variations={"julian": 0.9},
              parameters={"julian_power": 3.0}),
        Xform(0.5, 0.8, coefs=(0.5, 0.1, -0.3, 0.5, -0.4, 0.2), variations={"linear3D": 0.7, "gaussian_blur": 0.2}),
    )  # fmt: skip
    return Flame(size=(64, 64), scale=20.0, xforms=maps, cam_pitch=0.4, cam_persp=0.2)


@pytest.mark.parametrize("make", [strange, blurred])
def test_a_window_of_modest_depth_is_the_crop(make):
    flame = make()
    box = box_about(flame, 1 / 10, 5)
    truth, total, mass = crop(flame, box, 4_000_000), np.zeros((CELLS, CELLS, 4)), 0.0
    seeds = 4
    for s in range(seeds):
        picture, got, m = FlameWindow(flame, seed=10 + s).expose(box, CELLS, CELLS, 200_000)
        assert picture[..., 3].sum() == pytest.approx(got, rel=1e-3)
        total += picture / got * m / seeds
        mass += m / seeds
    assert mass == pytest.approx(truth[..., 3].sum(), rel=0.05)
    assert np.abs(total - truth)[..., 3].sum() < 0.06 * mass
    assert np.allclose(total.sum((0, 1)), truth.sum((0, 1)), rtol=0.06)


def test_mass_of_a_deep_window_of_the_triangle():
    """A box about the piece of one word of nine letters has 3^-9 of the mass."""
    w = FlameWindow(triangle(), seed=2)
    x, side = (0b101101001 + 0.5) / 512 - 0.5 / 512, 1 / 512  # an address of zeros and second maps
    box = (x - side / 50, -side / 50, x + side * 0.98, side * 0.98)
    assert w.crowd(box).mass == pytest.approx(3.0**-9, rel=0.2)
    assert w.mass(box) == pytest.approx(3.0**-9, rel=0.25)
    picture, got, _ = w.expose(box, 32, 32, 100_000)
    assert got > 10_000
    y, _ = np.nonzero(picture[2:, 2:, 3] > 0)
    assert len(y) > 60 and len(y) < 32 * 32 / 2  # a triangle with holes, not a blob


def test_nothing_is_where_nothing_is_and_seeds_fix_all():
    w = FlameWindow(triangle(), seed=2)
    empty = (0.78, 0.78, 0.79, 0.79)
    assert w.expose(empty, 8, 8, 1000)[1] == 0.0
    box = (0.1, 0.1, 0.1 + 1e-3, 0.1 + 1e-3)
    w.crowd((0.3, 0.0, 0.301, 0.001))  # what was drawn before does not matter
    a = w.expose(box, 8, 8, 10_000)[0]
    b = FlameWindow(triangle(), seed=2).expose(box, 8, 8, 10_000)[0]
    assert (a == b).all()
