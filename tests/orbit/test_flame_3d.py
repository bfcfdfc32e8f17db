"""The chaos game of 3D flames: known projections of the camera, and 2D flames unchanged."""

import math

import numpy as np
import pytest

from fractalkit.codes.flame import Flame, Xform
from fractalkit.orbit import flame as orbit_flame
from fractalkit.orbit.flame import accumulate
from fractalkit.orbit.flame_loop import write

HALF = (0.5, 0.0, 0.0, 0.5)
CORNERS = [(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]


@pytest.fixture(autouse=True, params=[0, 1 << 40], ids=["compiled", "instructions"])
def _both_loops(request, monkeypatch):
    """Every test has the loop of the flame's own, and that which looks up its instructions."""
    monkeypatch.setattr(orbit_flame, "FEW", request.param)


def points(at, **options) -> Flame:
    """A flame whose attractor is a set of points: each map is constant."""
    maps = tuple(Xform(1.0, coefs=(0, 0, 0, 0, x, y), variations={"linear": 1.0, "ztranslate": z}) for x, y, z in at)
    return Flame(**{"size": (81, 81), "scale": 10.0, "xforms": maps} | options)


def seen(flame: Flame, samples: int = 4000) -> set[tuple[int, int]]:
    """Return the occupied cells (column, row), relative to the centre."""
    rows, columns = np.nonzero(accumulate(flame, samples, threads=1)[..., 3])
    return {(int(c) - 40, int(r) - 40) for r, c in zip(rows, columns, strict=True)}


def projected(p, pitch=0.0, yaw=0.0, persp=0.0, zpos=0.0) -> tuple[int, int]:
    """Project with matrices, ten cells per unit."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    about_z = np.array([[cy, sy, 0], [-sy, cy, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    x, y, z = about_x @ about_z @ (np.array(p) - [0, 0, zpos])
    k = 10 / (1 - persp * z)
    return math.floor(k * x + 40.5) - 40, math.floor(k * y + 40.5) - 40


SQUARE = {(-10, -10), (-10, 10), (10, -10), (10, 10)}


def test_a_cube_from_above_and_from_its_side():
    box = [(2 * x, y, z / 2) for x, y, z in CORNERS]
    # a hair of yaw makes it a flame in space; without perspective from above, heights make no difference
    above = points(box, cam_yaw=1e-12)
    assert above.in_space() and seen(above) == {(x, y) for x in (-20, 20) for y in (-10, 10)}
    side = seen(points(box, cam_pitch=math.pi / 2))
    assert side == {(x, y) for x in (-20, 20) for y in (-5, 5)}
    front = seen(points(box, cam_pitch=math.pi / 2, cam_yaw=math.pi / 2))
    assert front == {(x, y) for x in (-10, 10) for y in (-5, 5)}


@pytest.mark.parametrize(
    "camera",
    [
        {"pitch": 0.7}, {"yaw": 0.4}, {"pitch": 0.7, "yaw": -2.1}, {"pitch": 0.5, "yaw": 0.3, "persp": 0.2},
        {"persp": 0.3, "zpos": 0.6}, {"pitch": -1.2, "yaw": 1.0, "persp": -0.25, "zpos": -0.5},
    ],
)  # fmt: skip
def test_projections(camera):
    flame = points(CORNERS, **{f"cam_{k}": v for k, v in camera.items()})
    assert seen(flame) == {projected(p, **camera) for p in CORNERS}


def test_perspective_makes_the_near_face_larger_and_leaves_out_what_is_behind():
    assert seen(points(CORNERS, cam_persp=0.5)) == {(2 * x, 2 * y) for x, y in SQUARE} | {
        projected(p, persp=0.5) for p in CORNERS if p[2] < 0
    }
    assert seen(points(CORNERS, cam_persp=1.5)) == {(x * 2 // 5, y * 2 // 5) for x, y in SQUARE}


def test_depth_blur_grows_with_the_distance_from_the_focal_plane():
    def radius(z, dof=3.0, zpos=0.0):
        f = points([(0.0, 0.0, z)], cam_dof=dof, cam_zpos=zpos)
        return max(math.hypot(x, y) for x, y in seen(f, 20_000))

    assert radius(1e-9) == 0 and radius(0.7, zpos=0.7) == 0
    assert radius(1.0) == pytest.approx(3, abs=1) and radius(-4.0) == pytest.approx(12, abs=1.2)
    assert radius(4.0, dof=6.0) == pytest.approx(24, abs=1.5)


def test_plain_variations_leave_z_alone_and_linear_by_its_dialect():
    def z_of(variations, **extras):
        """Return z after a second map of the point (0, 0, 0.5)."""
        first = Xform(1.0, coefs=(0, 0, 0, 0, 0, 0), chaos=(0.0, 1.0), opacity=0.0, variations={"ztranslate": 0.5})
        second = Xform(1.0, chaos=(1.0, 0.0), variations=variations)
        f = Flame(size=(81, 81), scale=10.0, xforms=(first, second), cam_pitch=math.pi / 2, extras=extras)
        ((_, row),) = seen(f)
        return -row / 10

    # few structures, as each is compiled
    assert z_of({"linear": 1.0, "swirl": 1.0}) == 0 and z_of({"linear": 1.0, "swirl": 1.0}, new_linear="1") == 0.5
    assert z_of({"linear3D": 1.0, "ztranslate": 1.0, "flatten": 1.0}) == 0
    sums = {"linear3D": 1.0, "zscale": 2.0, "bubble": 0.5, "cylinder": 0.25, "hemisphere": 0.5}
    assert z_of(sums) == pytest.approx(0.5 + 1 + 0.5 + 0.25 + 0.5, abs=0.1)


def test_seeds_fix_it_and_final_maps_and_escapes_are_caught():
    rng = np.random.default_rng(0)
    maps = tuple(
        Xform(1.0, i / 2, coefs=tuple(rng.normal(0, 0.6, 6)), post=(*HALF, 0.3, 0), variations=v)
        for i, v in enumerate(
            [
                {"julia3D": 0.7, "pre_blur": 0.1}, {"bubble": 0.5, "zscale": -0.5}, {"curl3D": 0.6, "julian": 0.3},
                {"linear3D": 3.0, "hemisphere": 1.0},
            ]
        )
    )  # fmt: skip
    final = Xform(opacity=0.5, variations={"spherical3D": 1.0, "waves": 0.1})
    f = Flame(size=(32, 32), xforms=maps, final=final, cam_pitch=0.4, cam_persp=0.1, cam_dof=0.2)
    a, b = (accumulate(f, 20_000, seed=1, threads=2) for _ in range(2))
    assert (a == b).all() and np.isfinite(a).all() and a[..., 3].sum() > 5000
    assert (a != accumulate(f, 20_000, seed=2, threads=2)).any()


def test_linear3d_alone_is_drawn_as_linear():
    def triangle(name):
        maps = (Xform(1.0, i / 2, coefs=(*HALF, x, y), variations={name: 1.0}) for i, (x, y) in enumerate(AT))
        return Flame(size=(64, 64), xforms=tuple(maps))

    a, b = write(triangle("linear")), write(triangle("linear3D"))
    assert a[0] == b[0] and np.array_equal(a[1], b[1])


AT = [(0, 0), (0.5, 0), (0, 0.5)]


def test_flames_of_the_plane_have_no_depth():
    maps = tuple(Xform(1.0, i / 2, coefs=(*HALF, x, y), variations={"linear": 1.0}) for i, (x, y) in enumerate(AT))
    assert "depth" not in write(Flame(xforms=maps))[0] and "depth" in write(Flame(xforms=maps, cam_pitch=0.1))[0]


def test_the_plain_twin_agrees_in_space():
    maps = (
        Xform(1.0, 0.1, coefs=(0.8, 0.2, -0.2, 0.8, 0.3, 0.1), variations={"julia3D": 0.7, "ztranslate": 0.2}),
        Xform(0.6, 0.8, coefs=(0.6, 0.0, 0.0, 0.6, -0.5, 0.2), variations={"bubble": 0.8, "linear3D": 0.4}),
        Xform(0.3, 0.4, coefs=(*HALF, 0.1, -0.3), variations={"linear3D": 1.0, "hemisphere": 0.3, "flatten": 1.0}),
    )
    f = Flame(
        size=(40, 40), scale=12.0, xforms=maps, cam_pitch=0.6, cam_yaw=0.3, cam_persp=0.1, cam_dof=0.3, cam_zpos=0.1
    )
    one, two = (accumulate(f, 300_000, seed=s, threads=1)[..., 3] for s in (1, 2))
    twin = accumulate(f, 300_000, seed=3, plain=True)[..., 3]
    assert np.linalg.norm(twin - one) < 1.1 * np.linalg.norm(two - one)
    assert twin.sum() == pytest.approx(one.sum(), rel=0.01)
