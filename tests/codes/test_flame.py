"""Flames: every dialect in, the same out, and what is said of bad files."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from fractalkit.codes.flame import CAMERA, PARAMETERS, VARIATIONS, Flame, Xform
from fractalkit.codes.flame_blend import blend
from fractalkit.codes.flame_xml import read_flames, to_xml, write_flames
from fractalkit.errors import DataError

XFORM = '<xform weight="1" coefs="0.5 0 0 0.5 0 0" linear="1"/>'


def flame(inside: str = XFORM, attributes: str = "") -> bytes:
    return f"<flame {attributes}>{inside}</flame>".encode()


def one(inside: str = XFORM, attributes: str = "") -> Flame:
    (made,) = read_flames(flame(inside, attributes))
    return made


def test_there_are_ninety_nine_variations():
    assert len(VARIATIONS) == 99 and list(VARIATIONS)[:3] == ["linear", "sinusoidal", "spherical"]
    assert list(VARIATIONS)[98] == "mobius" and PARAMETERS["mobius_re_a"] == ("mobius", "re_a")


def test_defaults_are_flam3s():
    f = one('<xform weight="1"/><xform weight="1" color="0.25 0.5"/>')
    assert (f.size, f.scale, f.brightness, f.estimator_radius) == ((100, 100), 50.0, 4.0, 9.0)
    assert [x.color for x in f.xforms] == [0.0, 0.25] and f.xforms[0].color_speed == 0.5
    assert f.xforms[1].extras == {"color second": "0.5"} and f.xforms[0].variations == {}


def test_an_xform_of_everything():
    x = one(
        '<xform weight="2" color="1" color_speed="0.1" symmetry="0.5" opacity="0.5" animate="0" coefs="1 2 3 4 5 6" '
        'post="1 0 0 1 2 3" chaos="0.5" julian="0.7" julian_power="3" Re_A="0.2" oscope_damping="1" odd="text">'
        '<motion motion_function="sin" motion_frequency="1" weight="0.1"/></xform>'
    ).xforms[0]
    assert x.color_speed == 0.25  # the last in the document counts
    assert x.coefs == (1, 2, 3, 4, 5, 6) and x.post[4:] == (2, 3) and x.chaos == (0.5,)
    assert x.variations == {"julian": 0.7} and x.extras == {"odd": "text"} and len(x.motions) == 1
    assert x.parameter("julian_power") == 3 and x.parameter("julian_dist") == 1
    assert x.parameter("mobius_re_a") == 0.2 and x.parameter("oscilloscope_damping") == 1


def test_old_ways_to_name_variations():
    assert one('<xform weight="1" var1="2"/>').xforms[0].variations == {"spherical": 1.0}
    assert one('<xform weight="1" var="0.5 0 0.25"/>').xforms[0].variations == {"linear": 0.5, "spherical": 0.25}


def test_five_palettes():
    ramp = np.arange(256)
    rgb = np.stack([ramp, ramp[::-1], np.full(256, 7)], 1).astype(np.uint8)
    digits = rgb.tobytes().hex()
    forms = [
        f'<palette count="256" format="RGB">{digits[:400]}\n {digits[400:]}</palette>',
        '<palette count="256" format="RGBA">' + np.insert(rgb, 3, 255, 1).tobytes().hex() + "</palette>",
        '<colors count="256" data="' + np.insert(rgb, 0, 0, 1).tobytes().hex().upper() + '"/>',
        "".join(f'<color index="{i}" rgb="{r} {g} {b}"/>' for i, (r, g, b) in enumerate(rgb)),
        "".join(f'<color index="{i}" rgba="{r} {g} {b} 255"/>' for i, (r, g, b) in enumerate(rgb)),
    ]
    for form in forms:
        assert np.abs(one(XFORM + form).palette[:, :3] * 255 - rgb).max() < 1e-9
    sparse = one(XFORM + '<color index="0" rgb="0 0 0"/><color index="128" rgb="255 255 255"/>').palette
    assert abs(sparse[64, 0] - 0.5) < 1e-9 and abs(sparse[192, 0] - 0.5) < 1e-9
    assert one(XFORM, 'palette="15" hue="0.3"').extras == {"palette": "15"}


def test_symmetries_become_maps():
    f = one(XFORM + '<symmetry kind="-3"/>').expanded()
    assert len(f.xforms) == 4 and f.symmetry == () and f.xforms[1].coefs[0] == -1
    a = np.array(f.xforms[2].coefs[:4]).reshape(2, 2)
    assert np.allclose(np.linalg.matrix_power(a, 3), np.eye(2)) and f.xforms[3].color_speed == 0


def test_chances_follow_weights_and_chaos():
    f = one('<xform weight="1" chaos="0 1"/><xform weight="3"/>')
    assert np.allclose(f.matrix(), [[0, 1], [0.25, 0.75], [0.25, 0.75]])


def test_several_flames_with_and_without_an_element_around():
    two = flame() + b"\n" + flame(attributes='name="b"')
    for text in (two, b"<flames>" + two + b"</flames>", b'\xef\xbb\xbf<?xml version="1.0"?>\n<x>' + two + b"</x>"):
        assert [f.name for f in read_flames(text)] == ["", "b"]


def test_what_is_unknown_is_kept_and_named_once(tmp_path):
    text = flame('<xform weight="1" linear="1" waves42="0.5" Epispiral="1"/><edit by="x"><a/></edit>', 'cam_roll="0.5"')
    with pytest.warns(UserWarning, match="Epispiral, waves42"):
        (f,) = read_flames(text)
    write_flames(tmp_path / "a.flame", [f])
    with pytest.warns(UserWarning):
        (back,) = read_flames(tmp_path / "a.flame")
    assert back.same(f) and back.extras == {"cam_roll": "0.5"} and "<a" in back.children[0]
    assert back.xforms[0].extras["waves42"] == "0.5"


def test_round_trip_of_a_flame_made_here():
    rng = np.random.default_rng(0)
    x = Xform(
        0.3, 0.2, 0.1, 0.5, 0.0, tuple(rng.normal(size=6)), tuple(rng.normal(size=6)), {"blob": 0.4}, {"blob_low": 0.2}
    )
    palette = np.concatenate([rng.random((256, 3)) * 0.5, np.full((256, 1), 0.5)], 1)
    f = Flame(
        name='a "b" <c>',
        size=(640, 480),
        center=(0.1, -0.2),
        palette=palette,
        xforms=(x,),
        final=replace(x, weight=0.0),
        symmetry=(2, -3),
    )
    assert read_flames(to_xml([f, f]).encode())[1].same(f)


SPACE = (
    '<xform weight="1" coefs="0.5 0 0 0.5 0 0" linear3D="0.5" julia3D="0.25" julia3D_power="-3" curl3D="0" '
    'curl3D_cz="0.1" Spherical3D="0.125" flatten="1"/>'
)


def test_space_is_read_and_written():
    camera = 'cam_pitch="0.6" cam_yaw="-1" cam_persp="0.2" cam_zpos="0.3" cam_dof="0.05" cam_zoom="1.7"'
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f = one(SPACE, camera)
    assert [getattr(f, c) for c in CAMERA] == [0.6, -1.0, 0.2, 0.3, 0.05] and f.extras == {"cam_zoom": "1.7"}
    x = f.xforms[0]
    assert x.variations == {"linear3D": 0.5, "julia3D": 0.25, "spherical3D": 0.125, "flatten": 1.0}
    assert x.parameter("julia3D_power") == -3 and x.parameter("curl3D_cz") == 0.1 and x.extras == {}
    (back,) = read_flames(to_xml([f]).encode())
    assert back.same(f) and back.in_space()
    assert one(XFORM, 'cam_perspective="0.2"').cam_persp == 0.2
    assert all(word in to_xml([f]) for word in ('cam_perspective="0.2"', 'cam_pitch="0.6"', 'cam_dof="0.05"'))
    with pytest.raises(DataError, match="cam_pitch"):
        one(XFORM, 'cam_pitch="up"')


def test_which_flames_are_in_space():
    def of(attributes="", **variations):
        return replace(one(XFORM, attributes), xforms=(Xform(1.0, variations=variations),))

    assert not of(linear=1.0, bubble=1.0).in_space() and not of('cam_pitch="0" cam_zpos="0.0"', swirl=1.0).in_space()
    assert not of(linear3D=1.0, zscale=1.0, ztranslate=0.3, zcone=1.0, flatten=1.0).in_space()
    assert not of(julia3D=0.0).in_space() and of(julia3D=1.0).in_space() and of(hemisphere=0.1).in_space()
    assert all(of(f'{c}="0.1"', linear=1.0).in_space() for c in CAMERA)
    final = replace(of(linear=1.0), final=Xform(variations={"curl3D": 1.0}))
    assert final.in_space()


def test_symmetries_and_blends_keep_z():
    f = replace(one(SPACE, 'cam_pitch="1"'), symmetry=(2,))
    assert f.expanded().xforms[1].variations == {"linear3D": 1.0}
    half = blend([f, replace(f, cam_pitch=0.0, xforms=f.xforms[:1], symmetry=())], [0.5, 0.5])
    assert half.cam_pitch == 0.5 and half.xforms[0].parameter("julia3D_power") == -3
    assert half.xforms[1].variations == {"linear3D": 1.0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no <flame>"), (b"<flame", "not well-formed"), (b"<a/>", "no <flame>"), (flame(""), "no xform"),
        (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><flame>&b;</flame>', "document type"),
        (flame('<xform weight="1" coefs="nan 0 0 1 0 0"/>'), "coefs is nan"),
        (flame('<xform weight="1" coefs="1 0 0 1 0"/>'), "expected 6 numbers"),
        (flame('<xform weight="0"/>'), "no xform has a weight"), (flame('<xform weight="-1"/>'), "weight"),
        (flame(XFORM + "<palette count='256'>00FF00</palette>"), "hexadecimal"),
        (flame(XFORM + '<palette count="3" format="RGB">' + "00" * 9 + "</palette>"), "3 colours"),
        (flame('<xform weight="1" chaos="1 1 1"/>'), "chaos has 3"),
        (flame('<xform weight="1" chaos="-1"/>'), "negative"),
        (flame(attributes='size="0 10"'), "size"), (flame(attributes='size="1000000 10"'), "size"),
        (flame(attributes='scale="0"'), "scale"), (flame(attributes='gamma="x"'), "gamma"),
        (b"<a>" * 50 + b"</a>" * 50, "deeper"),
    ],
)  # fmt: skip
def test_bad_files(text, words):
    with pytest.raises(DataError, match=words):
        read_flames(text)


def test_every_file_at_hand_is_read_and_written(shared_data):
    n = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted((shared_data / "flames").rglob("*.fl*m*")):
            flames = read_flames(path)
            assert all(a.same(b) for a, b in zip(flames, read_flames(to_xml(flames).encode()), strict=True)), path
            n += len(flames)
    assert n > 100
