"""Flames on the GPU, or on a program that plays one: the samples and the noise of the loops for the CPU."""

from dataclasses import replace

import numpy as np
import pytest

from fractalkit.codes.flame import Flame, Xform
from fractalkit.errors import DataError
from fractalkit.orbit.flame import accumulate, camera_of, colours_of
from fractalkit.orbit.wgsl.flame import accumulate_gpu, portions
from fractalkit.orbit.wgsl.flame_text import flame_shader
from tests.orbit.gpu import device
from tests.orbit.test_flame import painted, strange, triangle

N = 300_000


def on_gpu(flame, samples=N, seed=5, **how):
    device()
    cells = (flame.size[1] * flame.oversample, flame.size[0] * flame.oversample)
    return accumulate_gpu(flame, samples, cells, camera_of(flame, 0), colours_of(flame), seed=seed, **how)


def solid() -> Flame:
    """In space: affine maps of three planes, pre_ and post_ forms, z alone, a camera with blur and depth."""
    maps = (
        Xform(1.0, 0.1, 0.4, coefs=(0.6, 0.2, -0.2, 0.6, 0.4, 0.1), zx_coefs=(0.8, 0.3, -0.3, 0.8, 0.1, 0.2),
              variations={"linear3D": 0.9, "pre_blur3D": 0.1}),
        Xform(1.0, 0.9, 0.6, coefs=(0.5, 0.2, -0.1, 0.6, -0.4, 0.3), yz_post=(0.9, 0.2, -0.2, 0.9, 0.1, 0.0),
              variations={"spherical": 0.4, "hemisphere": 0.5, "post_zscale": 0.8, "pre_rotate_x": 0.3}),
        Xform(0.5, 0.5, 0.5, coefs=(0.4, 0.0, 0.0, 0.4, 1.0, 0.0), variations={"julia3D": 0.6, "post_mobius": 1.0}),
    )  # fmt: skip
    return replace(strange(), xforms=maps, final=None, cam_pitch=0.6, cam_yaw=0.3, cam_persp=0.2, cam_dof=0.5)


def coloured() -> Flame:
    """Variations that read and set the colour, and hide points."""
    maps = (
        Xform(1.0, 0.2, 0.5, coefs=(0.6, 0.3, -0.3, 0.6, 0.4, 0.1), variations={"linear": 0.8, "dc_linear": 0.2}),
        Xform(1.0, 0.8, 0.5, coefs=(0.6, -0.2, 0.2, 0.6, -0.4, 0.3), variations={"crop": 1.0},
              extras={"var_color": "0.5"}),
        Xform(0.6, 0.5, 0.5, coefs=(0.5, 0.0, 0.0, 0.5, 0.3, 0.3), variations={"linear": 1.0, "post_dc_bubble": 0.4}),
    )  # fmt: skip
    return replace(strange(), xforms=maps)


def moved() -> Flame:
    """In space: colours of distances, variations at other places than their names say, a blur that grows outwards."""
    first, second, third = solid().xforms
    maps = (
        replace(first, extras={"color_type": "DISTANCE"}),
        replace(second, variations={"spherical": 0.4, "hemisphere": 0.5, "swirl": 0.2, "bubble": 0.3},
                extras={"swirl_fx_priority": "-1", "bubble_fx_priority": "2", "color_type": "DISTANCE"}),
        replace(third, extras={"post_mobius_fx_priority": "-1"}),
    )  # fmt: skip
    return replace(solid(), xforms=maps, blur_curve=5.0)


def tabled() -> Flame:
    """Variations that look numbers up."""
    maps = (
        Xform(1.0, 0.2, 0.5, variations={"gpattern": 1.0}),
        Xform(1.0, 0.8, 0.5, coefs=(0.6, -0.2, 0.2, 0.6, -0.4, 0.3), variations={"linear": 0.6, "maurer_lines": 0.5}),
    )
    return replace(strange(), xforms=maps, final=None)


FLAMES = {
    "strange": strange, "solid": solid, "coloured": coloured, "painted": painted, "moved": moved, "tabled": tabled,
}  # fmt: skip


@pytest.mark.parametrize("name", FLAMES)
def test_the_loops_for_the_cpu_agree(name):
    f = FLAMES[name]()
    one, two = (accumulate(f, N, seed=s, threads=1).astype(float) for s in (1, 2))
    gpu = on_gpu(f).astype(float)
    noise = np.abs(one - two).sum((0, 1))
    assert (np.abs(gpu - one).sum((0, 1)) < 1.15 * noise + 1e-9).all()
    # later starts of the loops' few chains count steps that are not drawn
    assert np.allclose(gpu.sum((0, 1)), one.sum((0, 1)), rtol=0.012)


def test_tables_stand_in_the_buffer_of_numbers():
    shader = flame_shader(tabled())
    assert "var<private> t_" not in shader.text and len(shader.numbers) > 800


def test_the_same_bits_whatever_the_order():
    f = strange()
    first = on_gpu(f, sort=True)
    assert (first == on_gpu(f, sort=True)).all()
    assert (first == on_gpu(f, sort=False)).all() and (first == on_gpu(f, sort=True, group=256)).all()
    assert (first != on_gpu(f, seed=6)).any()


@pytest.mark.parametrize("samples", [1, 63, 64, 12_345])
def test_as_many_samples_as_were_asked_for(samples):
    assert on_gpu(triangle(), samples, sort=True)[..., 3].sum() == samples


def test_faint_maps_keep_their_mean():
    # samples of a thousandth are whole numbers by chance
    f = triangle()
    faint = replace(f, xforms=(*f.xforms[:2], replace(f.xforms[2], opacity=0.125)))  # weighs 10^-3
    h = on_gpu(faint, 400_000)
    share = h[32:, :32, 3].sum() / on_gpu(f, 400_000)[32:, :32, 3].sum()
    assert 0.0009 < share < 0.0011


def test_many_maps_and_xaos():
    f = triangle()
    many = replace(f, xforms=tuple(replace(f.xforms[k % 3], weight=1 / (1 + k)) for k in range(48)))
    never = replace(f, xforms=tuple(replace(x, chaos=(1.0, 1.0, 0.0)) for x in f.xforms))
    for flame in (many, never):
        gpu, loop = on_gpu(flame)[..., 3], accumulate(flame, N, threads=1)[..., 3]
        assert np.abs(gpu - loop).sum() / N < 0.12
    assert on_gpu(never)[32:, :32, 3].sum() < 600


def test_a_structure_has_one_text():
    f = strange()
    moved = replace(f, xforms=tuple(replace(x, coefs=tuple(0.9 * v for v in x.coefs), weight=0.3) for x in f.xforms))
    one, two = flame_shader(f), flame_shader(moved)
    assert one.text == two.text and (one.numbers != two.numbers).any()
    with pytest.raises(DataError, match="1 to 1000"):
        flame_shader(replace(f, xforms=()))


@pytest.mark.parametrize("chains", [64, 4096])
def test_portions_are_all_samples(chains):
    n = chains * 25_000 + 7
    drawn = steps = 0
    for p in portions(n, chains, 999):
        assert 0 < p.steps <= 999 and 0 < p.need <= chains
        drawn += max(0, p.steps - max(0, p.first - p.t)) * chains - (chains - p.need)
        steps += p.steps
    # two later starts, 20 steps each that count and are not drawn
    assert drawn == n - 2 * 20 * chains and steps * chains >= n + 20 * chains


def test_chains_forget_their_starts_before_they_are_drawn():
    maps = tuple(Xform(1.0, c, 0.5, coefs=(0.95, 0.0, 0.0, 0.95, x, 0.0), variations={"linear": 1.0})
                 for c, x in ((0.0, 0.015), (1.0, -0.015)))  # fmt: skip
    flame = replace(strange(), xforms=maps, final=None)
    shares = on_gpu(flame)[..., 3].sum(0)
    middle, unit = len(shares) / 2, flame.scale * flame.oversample
    far = np.abs(np.arange(len(shares)) + 0.5 - middle) > 0.35 * unit  # the attractor reaches 0.3
    assert shares.sum() > 0 and shares[far].sum() < 1e-4 * shares.sum()
