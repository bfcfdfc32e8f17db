"""The chaos game of a flame: histograms for seeds and numbers of threads."""

import numpy as np
import pytest

from fractalkit.codes.flame import Flame, Xform
from fractalkit.errors import DataError, UsageError
from fractalkit.orbit import flame as orbit_flame
from fractalkit.orbit.flame import accumulate

HALF = (0.5, 0.0, 0.0, 0.5)


@pytest.fixture(autouse=True, params=[0, 1 << 40], ids=["compiled", "instructions"])
def _both_loops(request, monkeypatch):
    """Every test has the loop of the flame's own, and that which looks up its instructions."""
    monkeypatch.setattr(orbit_flame, "FEW", request.param)


def triangle(**options) -> Flame:
    maps = tuple(
        Xform(1.0, i / 2, coefs=(*HALF, x, y), variations={"linear": 1.0})
        for i, (x, y) in enumerate([(0, 0), (0.5, 0), (0, 0.5)])
    )
    palette = np.ones((256, 4))
    palette[:, 0] = np.arange(256) / 255
    return Flame(size=(64, 64), center=(0.5, 0.5), scale=64.0, palette=palette, xforms=maps, **options)


def test_every_sample_is_counted_and_lies_on_the_attractor():
    h = accumulate(triangle(), 40_000, seed=3, threads=1)
    assert h.shape == (64, 64, 4) and h[..., 3].sum() == 40_000
    y, x = np.nonzero(h[..., 3] > 3)  # the first steps of a chain are a millionth off
    assert ((x & y) == 0).all()  # Sierpinski's triangle at powers of two
    share = h[:32, 32:, 3].sum() / 40_000
    assert abs(share - 1 / 3) < 0.02


def test_seed_and_threads_fix_it():
    f = triangle()
    a, b = (accumulate(f, 5000, seed=1, threads=2) for _ in range(2))
    assert (a == b).all() and a[..., 3].sum() == 5000
    assert (a != accumulate(f, 5000, seed=2, threads=2)).any()
    again = accumulate(f, 5000, seed=9, threads=1, out=a.copy())
    assert again[..., 3].sum() == 10_000


def test_camera_gutter_and_oversample():
    f = triangle(oversample=2, zoom=1.0, rotate=90.0)
    h = accumulate(f, 20_000, gutter=5, threads=1)
    assert h.shape == (138, 138, 4) and 0 < h[..., 3].sum() < 20_000
    small = accumulate(triangle(rotate=90.0), 20_000, threads=1)[..., 3]
    plain = accumulate(triangle(), 20_000, threads=1)[..., 3]
    # a quarter turn about the centre, one way or the other
    off = [np.abs((np.rot90(plain, k) > 0).astype(int) - (small > 0)).mean() for k in (1, 3)]
    assert min(off) < 0.1


def test_opacity_xaos_post_final_and_colour():
    f = triangle()
    hidden = Flame(**{**f.__dict__, "xforms": (Xform(**{**f.xforms[0].__dict__, "opacity": 0.0}), *f.xforms[1:])})
    assert abs(accumulate(hidden, 30_000, threads=1)[..., 3].sum() / 30_000 - 2 / 3) < 0.02
    never = Flame(
        **{**f.__dict__, "xforms": tuple(Xform(**{**x.__dict__, "chaos": (1.0, 1.0, 0.0)}) for x in f.xforms)}
    )
    h = accumulate(never, 30_000, threads=1)[..., 3]
    assert h[32:, :32].sum() < 100
    moved = Flame(**{**f.__dict__, "final": Xform(coefs=(1, 0, 0, 1, 10, 0), variations={"linear": 1.0})})
    assert accumulate(moved, 1000, threads=1).sum() == 0
    pushed = Flame(
        **{**f.__dict__, "xforms": tuple(Xform(**{**x.__dict__, "post": (1, 0, 0, 1, 10, 0)}) for x in f.xforms)}
    )
    assert accumulate(pushed, 1000, threads=1).sum() == 0
    red = accumulate(f, 40_000, threads=1)
    assert red[..., 0].sum() / red[..., 3].sum() == pytest.approx(0.5, abs=0.02)


def test_an_orbit_that_escapes_is_caught():
    f = Flame(size=(32, 32), xforms=(Xform(1.0, coefs=(3, 0, 0, 3, 1, 1), variations={"linear": 1.0}),))
    h = accumulate(f, 20_000, threads=1)
    assert np.isfinite(h).all()


def test_bad_arguments():
    with pytest.raises(DataError):
        accumulate(Flame(), 10)
    with pytest.raises(UsageError):
        accumulate(triangle(), -1)
    with pytest.raises(UsageError):
        accumulate(triangle(), 10, out=np.zeros((3, 3, 4), np.float32))


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 12_345])
def test_as_many_samples_as_were_asked_for(samples):
    for plain in (False, True):
        assert accumulate(triangle(), samples, threads=1, plain=plain)[..., 3].sum() == samples


def strange() -> Flame:
    """Xaos, post transforms, a final map with a probability, opacities, uniform numbers, diverging maps."""
    maps = (
        Xform(0.5, 0.1, 0.4, coefs=(0.7, 0.3, -0.3, 0.7, 0.2, 0.1), variations={"julia": 0.8, "linear": 0.1},
              chaos=(1.0, 0.5, 2.0)),
        Xform(1.0, 0.9, 0.6, opacity=0.5, coefs=(0.5, 0.2, -0.1, 0.6, -0.4, 0.3),
              variations={"spherical": 0.5, "sinusoidal": 0.6, "noise": 0.1}, chaos=(0.2, 1.0, 1.0)),
        Xform(0.3, 0.5, 0.5, coefs=(1.2, 0.0, 0.0, 1.2, 1.0, 0.0), variations={"swirl": 0.7, "exponential": 0.2},
              post=(0.8, 0.1, -0.1, 0.8, 0.1, 0.2)),
    )  # fmt: skip
    palette = np.linspace(0, 1, 256)[:, None] * [1.0, 0.5, 0.2, 0.0] + [0, 0.1, 0.3, 1.0]
    final = Xform(color=0.3, color_speed=0.2, opacity=0.6, coefs=(1, 0, 0, 1, 0.2, 0), variations={"bent": 1.0})
    return Flame(size=(48, 32), scale=12.0, rotate=20.0, palette=palette, xforms=maps, final=final)


@pytest.mark.parametrize("mode", ["step", "linear"])
def test_the_plain_twin_agrees(mode):
    f = strange()
    f = Flame(**{**f.__dict__, "palette_mode": mode})
    n = 400_000
    one, two = (accumulate(f, n, seed=s, threads=1).astype(float) for s in (1, 2))
    twin = accumulate(f, n, seed=3, plain=True).astype(float)
    noise = np.sqrt(((one - two) ** 2).sum((0, 1)))
    assert (np.sqrt(((twin - one) ** 2).sum((0, 1))) < 1.15 * noise).all()
    assert np.allclose(twin.sum((0, 1)), one.sum((0, 1)), rtol=0.01)
    assert (accumulate(f, 5000, seed=4, plain=True) == accumulate(f, 5000, seed=4, plain=True)).all()


def test_a_long_run_starts_anew_and_still_counts():
    # more than 10,000 steps of each of 512 chains: those of a fresh start are counted but not drawn
    n = 512 * 10_300
    assert accumulate(triangle(), n, threads=1)[..., 3].sum() == pytest.approx(n - 20 * 512, abs=512)


def painted() -> Flame:
    """A carpet painted black and white, and a small copy of it, in a red palette."""
    maps = (
        Xform(1.0, 0.5, variations={"dc_menger": 1.0}),
        Xform(1.0, 0.5, coefs=(*HALF, 0.5, 0.5), variations={"linear": 1.0}),
    )
    palette = np.tile([1.0, 0.0, 0.0, 1.0], (256, 1))
    return Flame(size=(24, 24), scale=16.0, palette=palette, xforms=maps, final=Xform(variations={"linear": 1.0}))


def test_painted_points_have_their_own_colours_for_one_step():
    h = accumulate(painted(), 60_000, seed=1, plain=True).reshape(24, 24, 4)
    carpet = h[5:11, 5:11].sum((0, 1))  # that of the first map alone: [-0.4, -0.1]^2
    assert carpet[3] > 1000 and carpet[0] == carpet[1] == carpet[2] and 0.2 < carpet[0] / carpet[3] < 0.95
    copy = h[20:, 20:].sum((0, 1))  # of the second alone: beyond [-0.5, 0.5]^2
    assert copy[3] > 1000 and copy[0] == copy[3] and copy[1] == copy[2] == 0


@pytest.mark.slow
def test_the_loop_paints_as_the_twin_does():
    loop, twin = (accumulate(painted(), 200_000, seed=1, threads=1, plain=p).sum((0, 1)) for p in (False, True))
    assert loop == pytest.approx(twin, rel=0.01)


def test_late_colours_are_those_before_the_last_map():
    late = accumulate(triangle(), 30_000, seed=2, late=True, plain=True)
    usual = accumulate(triangle(), 30_000, seed=2, plain=True)
    # the same points; the lower right third has colour 0.5 half of the time, and late the mean of all colours
    assert (late[..., 3] == usual[..., 3]).all()
    right = (slice(0, 32), slice(32, 64))
    means = [h[right][..., 0].sum() / h[right][..., 3].sum() for h in (usual, late)]
    assert means[0] == pytest.approx(0.5, abs=0.02) and means[1] == pytest.approx(0.5, abs=0.02)
    left = (slice(32, 64), slice(0, 32))
    assert usual[left][..., 0].sum() / usual[left][..., 3].sum() > 0.7
    loop = accumulate(triangle(), 30_000, seed=2, late=True, threads=1)
    for h in (late, loop):
        assert h[left][..., 0].sum() / h[left][..., 3].sum() == pytest.approx(0.5, abs=0.02)
    with pytest.raises(UsageError, match="late"):
        accumulate(triangle(), 100, late=True, compiled=True)
