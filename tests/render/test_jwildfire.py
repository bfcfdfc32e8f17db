"""JWildfire's picture: camera, density, opacity, layers and affine maps in space."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fractalkit.codes.flame import Flame, read_flames
from fractalkit.codes.flame_parts import Xform
from fractalkit.maps import apply_variation
from fractalkit.orbit.flame import accumulate, as_flam3
from fractalkit.orbit.flame_loop import variations_of
from fractalkit.orbit.flame_plain import PlainFlame
from fractalkit.render.flame import Exposure, drawn_layers, look_of
from fractalkit.render.flame_tone import Tone, develop
from tests.render.flame_twin import develop as develop_twin

HEAD = '<flame version="JWildfire V7.30" size="40 32" scale="12" quality="20" '
MAPS = """<xform weight="1" color="0.3" opacity="0.5" coefs="0.5 0.1 -0.1 0.5 0.4 0.1"
 yzCoefs="0.9 0.1 -0.2 0.8 0.1 0.2"
 zxPost="0.9 0.3 -0.3 0.9 0.1 0.1" linear3D="1" bubble="0.3"/>
<xform weight="1" color="0.8" coefs="0.6 0 0 0.6 -0.3 0.2" linear3D="1"/>
<finalxform color="0" coefs="1 0 0 1 0.1 0" linear3D="1"/><finalxform linear3D="0.9" spherical3D="0.1"/>"""
CAMERA = 'cam_pitch="0.5" cam_yaw="0.3" cam_roll="0.4" cam_persp="0.1" cam_dof="0.3" cam_zpos="0.5" rotate="20">'
MOVED = (
    HEAD
    + """preserve_z="1" cam_pitch="0.5">
<xform weight="1" color="0.25" symmetry="-0.5" color_type="DISTANCE" coefs="0.5 0 0 0.5 0.4 0.1"
 bubble="0.3" swirl="0.4" swirl_fx_priority="-1" sinusoidal="0.5"/>
<xform weight="1" color="0.8" coefs="0.6 0 0 0.6 -0.3 0.2" linear="0.7" log="0.2" log_fx_priority="1" bubble="0.1"/>
</flame>"""
)


def flame(text: str) -> Flame:
    return read_flames(text.encode())[0]


def test_the_compiled_loop_equals_its_twin_in_space():
    f = flame(HEAD.replace("12", "6") + CAMERA + MAPS + "</flame>")
    assert f.whole and f.in_space()
    a = accumulate(f, 200_000, seed=1, plain=True)
    b = accumulate(f, 200_000, seed=2, threads=1)
    # in cells of 8 x 8 pixels; an opacity of 0.5 is half the samples, and final maps without a type keep the colour
    sums = [h.reshape(4, 8, 5, 8, 4).sum((1, 3)) for h in (a, b)]
    full = sums[0][..., 3] > 1000
    assert full.sum() > 2 and np.allclose(sums[0][full], sums[1][full], rtol=0.1)
    assert abs(a[..., 3].sum() / 150_000 - 1) < 0.05 and a[..., 0].max() > 0


def test_affine_maps_of_three_planes():
    x = Xform(coefs=(1, 0, 0, 1, 1, 2), yz_coefs=(0, 1, -1, 0, 10, 20), zx_post=(2, 0, 0, 3, 0, 5))
    assert x.solid(1.0, 2.0, 3.0) == (2.0, -3.0 + 2 + 10, 2.0 + 20)  # y becomes z, z becomes -y
    assert x.solid(1.0, 2.0, 3.0, post=True) == (2.0, 2.0, 14.0)
    text = HEAD + ">" + MAPS + "</flame>"
    f = flame(text)
    assert f.xforms[0].yz_coefs[1] == 0.1 and f.xforms[0].zx_post[5] == 0.1 and f.xforms[1].zx_coefs[0] == 1


def test_priorities_distances_and_depth():
    f = flame(MOVED)
    assert f.whole
    one, two = as_flam3(f).xforms
    assert one.variations["zscale"] == 0.5 and two.variations["zscale"] == 0.7  # those of the plane that are added up
    told = [(u.name, u.place, u.adds) for u in variations_of(one, True, False)]
    assert told[0] == ("swirl", "pre_", True) and [place for _, place, _ in told[1:]] == ["", "", ""]
    plain = PlainFlame(as_flam3(f), torch.Generator(), device=torch.device("cpu"))
    start = [torch.tensor([v], dtype=torch.float64) for v in (0.3, -0.2, 0.7, 0.5)]
    x, y, z, c, _ = (float(v) for v in plain.xform(one, *start))
    # the colour begins again after 256 of 254 steps
    far = ((x - 0.3) ** 2 + (y + 0.2) ** 2 + (z - 0.7) ** 2) ** 0.5
    assert abs(c - (0.25 + 0.5 * far) % (256 / 254)) < 1e-12


@pytest.mark.filterwarnings("ignore:.*is read as:fractalkit.errors.FileWarning")
def test_variations_that_jwildfire_draws_in_its_own_way():
    x = 'weight="1" linear="0.5" kaleidoscope="0.3" kaleidoscope_pull="0.2" kaleidoscope_fx_priority="-1" cylinder="1"'
    body = f'><xform {x} coefs="1 0 0 1 0 0"/></flame>'
    f = flame(HEAD + body)
    assert f.whole
    there = as_flam3(f).xforms[0]
    own = "Kaleidoscope_jwildfire"
    assert set(there.variations) == {"linear", own, "cylinder_jwildfire"} and there.parameter(f"{own}_pull") == 0.2
    assert [u.place for u in variations_of(there, False, False) if u.name == own] == ["pre_"]
    other = flame('<flame size="40 32" scale="12"' + body)  # another program's
    assert as_flam3(other) is other and set(other.xforms[0].variations) == set(f.xforms[0].variations)
    point = torch.tensor([0.7], dtype=torch.float64), torch.tensor([0.4], dtype=torch.float64)
    u, v = (float(t) for t in apply_variation(own, *point))
    c, s = np.cos(45), np.sin(45)  # radians
    assert abs(u - (0.7 * c - 0.4 * s + 1)) < 1e-12 and abs(v - (0.4 * c + 0.7 * s + 1)) < 1e-12
    near = [float(t) for t in apply_variation("npolar", *point)]  # where parity is even it plays no part
    assert abs(near[0] - np.log(np.hypot(np.arctan2(0.7, 0.4), np.log(0.65) / 2) / np.pi) / np.pi) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_the_loops_agree_on_priorities_distances_and_depth(compiled):
    f = flame(MOVED)
    a = accumulate(f, 200_000, seed=1, plain=True)
    b = accumulate(f, 200_000, seed=2, threads=1, compiled=compiled)
    sums = [h.reshape(4, 8, 5, 8, 4).sum((1, 3)) for h in (a, b)]
    full = sums[0][..., 3] > 1000
    assert full.sum() > 2 and np.allclose(sums[0][full], sums[1][full], rtol=0.1)


def test_saturation():
    look = Tone(size=(4, 4), quality=9.0, estimator_radius=0.0, jwildfire=True, saturation=0.0)
    hist = np.random.default_rng(0).random((*look.cells, 4)).astype(np.float32) * 4
    grey, usual = develop(hist, look), develop(hist, replace(look, saturation=1.0))
    assert np.ptp(grey, -1).max() < 1e-6 < np.ptp(usual, -1).max()
    assert np.allclose(grey[..., 0], (usual.max(-1) + usual.min(-1)) / 2, atol=1e-6)


def test_the_picture_equals_its_twin():
    rng = np.random.default_rng(0)
    for glow, oversample in ((0.24, 1), (-3.0, 2)):
        look = Tone(
            size=(6, 5), quality=9.0, oversample=oversample, estimator_radius=0.0, jwildfire=True, contrast=0.8,
            white_level=250.0, low_density_brightness=glow, balancing=(0.8, 1.0, 1.3), fg_opacity=0.5,
            background=(0.2, 0.4, 0.6), gamma=2.5,
        )  # fmt: skip
        hist = rng.poisson(2, size=(*look.cells, 1)) * rng.random((*look.cells, 4))
        hist[..., 3] = np.maximum(hist[..., 3], hist[..., :3].max(2))
        assert np.abs(develop(hist, look) - develop_twin(hist, look)).max() < 1e-5


def test_density_zoom_and_white_level_by_hand():
    f = flame(HEAD + 'cam_zoom="2" white_level="250" contrast="0.5" brightness="3" low_density_brightness="0" '
              'filter="0" gamma="2" gamma_threshold="0">' + MAPS + "</flame>")  # fmt: skip
    look = look_of(f)
    assert f.pixels_per_unit == 24 and look.pixels_per_unit == 24 and look.estimator_radius == 0
    n, area = 50.0, 40 * 32 / 24**2
    hist = np.full((*look.cells, 4), n, np.float32) * np.float32([0.5, 0.25, 0, 1])
    alpha = np.sqrt(2 * 0.5 * 3 * np.log10(1 + n / (0.5 * area * 20)))
    expected = alpha * np.array([0.5, 0.25, 0]) * 200 / 250
    assert np.allclose(develop(hist, look)[2, 2], expected, rtol=1e-4)


def test_layers_add_with_their_weights():
    layer = '<layer weight="{}" visible="{}"><xform weight="1" color="1" coefs="0.1 0 0 0.1 {} 0" linear="1"/></layer>'
    inside = layer.format(1, 1, -1) + layer.format(0.25, 1, 1) + layer.format(1, 0, 0)
    f = flame(HEAD.replace("<flame", "<jwf-flame") + ">" + inside + "</jwf-flame>")
    assert len(f.by_layer()) == 3 and len(drawn_layers(f)) == 2
    hist = Exposure.empty(f).expose(10, batches=1, plain=True).histogram
    left, right = hist[:, : hist.shape[1] // 2].sum((0, 1)), hist[:, hist.shape[1] // 2 :].sum((0, 1))
    assert abs(left[3] / right[3] - 1) < 0.02 and left[3] > 12_000
    assert abs(right[0] / right[3] / (left[0] / left[3]) - 0.25) < 0.1
