"""Flames: reading every dialect, round trips, and errors for bad files."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from fractalkit.codes.flame import Flame, read_flames, write_flames
from fractalkit.codes.flame_blend import blend
from fractalkit.codes.flame_parts import CAMERA, PARAMETERS, VARIATIONS, Xform
from fractalkit.codes.flame_xml import to_xml
from fractalkit.errors import DataError, FileWarning

XFORM = '<xform weight="1" coefs="0.5 0 0 0.5 0 0" linear="1"/>'


def flame(inside: str = XFORM, attributes: str = "") -> bytes:
    return f"<flame {attributes}>{inside}</flame>".encode()


def one(inside: str = XFORM, attributes: str = "") -> Flame:
    (made,) = read_flames(flame(inside, attributes))
    return made


def noted(inside: str = XFORM, attributes: str = "") -> Flame:
    """A flame of which something is mended or not drawn."""
    with pytest.warns(FileWarning):
        return one(inside, attributes)


def test_the_ninety_nine_variations_of_flam3_come_first():
    names = list(VARIATIONS)
    assert names[:3] == ["linear", "sinusoidal", "spherical"]
    assert names[98] == "mobius" and PARAMETERS["mobius_re_a"] == ("mobius", "re_a")


def test_defaults_are_flam3s():
    f = one('<xform weight="1"/><xform weight="1" color="0.25 0.5"/>')
    assert (f.size, f.scale, f.brightness, f.estimator_radius) == ((100, 100), 50.0, 4.0, 9.0)
    assert [x.color for x in f.xforms] == [0.0, 0.25] and f.xforms[0].color_speed == 0.5
    assert f.xforms[1].extras == {"color second": "0.5"} and f.xforms[0].variations == {}


def test_an_xform_of_everything():
    x = noted(
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
    text = flame(
        '<xform weight="1" linear="1" strange42="0.5" Oddity="1"/><edit by="x"><a/></edit>', 'cam_zdimish="0.5"'
    )
    with pytest.warns(UserWarning, match="Oddity, strange42"):
        (f,) = read_flames(text)
    write_flames(tmp_path / "a.flame", [f])
    with pytest.warns(UserWarning):
        (back,) = read_flames(tmp_path / "a.flame")
    assert back.same(f) and back.extras == {"cam_zdimish": "0.5"} and "<a" in back.children[0]
    assert back.xforms[0].extras["strange42"] == "0.5"


def test_what_xml_forbids_is_mended_named_and_written_back():
    maps = (
        '<xform weight="1" log="0.5" log#1#="0.25" crop_Base Sup.="1" lines/circles="2" Mobius="1" chaos="1 2 3" '
        'taprats(1/0)="1 &amp; 2" note="a & b < c" note="twice"/>'
    )
    f = noted(maps + "<edit><edit>" + "<edit>" * 3000 + "</edit>" * 3000 + "<a b='>'/></edit></edit><edit c='>'/>")
    x = f.xforms[0]
    assert x.variations == {"log": 0.5, "log#1#": 0.25, "mobius": 1.0} and x.chaos == (1, 2, 3)
    assert x.extras["crop_Base Sup."] == "1" and x.extras["lines/circles"] == "2"
    assert x.extras["taprats(1/0)"] == "1 & 2" and x.extras["note"] == "a & b < c"
    said = "; ".join(f.mended)
    assert all(w in said for w in ("log#1#", "twice", "Mobius is read as mobius", "chaos has 3", "loose &"))
    assert len(f.children) == 2 and f.children[0].count("<edit>") == 3002 and "<a b='>'/>" in f.children[0]
    with pytest.warns(FileWarning):
        (back,) = read_flames(to_xml([f]).encode())
    assert back.same(f) and 'log#1#="0.25"' in to_xml([back])
    with pytest.raises(DataError, match="log#1#"):
        read_flames(to_xml([f]).encode(), strict=True)


def test_layers_and_several_final_maps():
    layer = f'<layer weight="0.5">{XFORM}<finalxform linear="1"/><finalxform swirl="1"/></layer>'
    f = one(layer + layer.replace("linear", "bubble")).by_layer()[0]
    assert [list(x.variations) for x in f.finals] == [["linear"], ["swirl"]]
    (f,) = read_flames(f"<jwf-flame>{layer}{layer.replace('linear', 'bubble')}</jwf-flame>".encode())
    assert [list(g.xforms[0].variations) for g in f.by_layer()] == [["linear"], ["bubble"]]
    text = to_xml([f])
    assert text.count("<layer weight=") == 2 and read_flames(text.encode())[0].same(f)


def test_what_is_not_drawn_is_named():
    f = noted(
        '<xform weight="1" linear="1" linear_odd="2" pre_no_such_form="0.5" pre_no_such_form_x="1" dust_wf="0" '
        'wfield_type="NONE" mod_hue="0.0" motif="a" curveA_enabled="false" curveA_x0="2" julian_fx_priority="0"/>',
        'nick="me" background_image="a.png" grad_edit_hue_curve_x0="1" cam_zdimish="0.0" post_symmetry_order="3"',
    )
    assert f.unknown == ["pre_no_such_form"] and not f.whole
    assert f.unread == ["background_image", "linear_odd", "motif"]


def test_round_trip_of_a_flame_made_here():
    rng = np.random.default_rng(0)
    coefs, post = tuple(rng.normal(size=6)), tuple(rng.normal(size=6))
    x = Xform(0.3, 0.2, 0.1, 0.5, 0.0, coefs=coefs, post=post, variations={"blob": 0.4}, parameters={"blob_low": 0.2})
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
    camera = 'cam_pitch="0.6" cam_yaw="-1" cam_persp="0.2" cam_zpos="0.3" cam_dof="0.05" cam_roll="0.3"'
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f = one(SPACE, camera)
    assert [getattr(f, c) for c in CAMERA] == [0.6, -1.0, 0.3, 0.2, 0.3, 0.05] and f.extras == {}
    x = f.xforms[0]
    assert x.variations == {"linear3D": 0.5, "julia3D": 0.25, "spherical3D": 0.125, "flatten": 1.0}
    assert x.parameter("julia3D_power") == -3 and x.parameter("curl3D_cz") == 0.1 and x.extras == {"curl3D": "0"}
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
    assert not of(julia3D=0.0).in_space() and of(julia3D=1.0).in_space()
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
        (flame(XFORM * 1001), "more than 1000 xforms"), (flame(XFORM + "<finalxform/>" * 21), "more than 20 final"),
        (b'<flame a="1', "not well-formed"), (b'<flame log#1#="1', "not well-formed"),
        (b'<flame ="1"/>', "well-formed"),
        (b'<!DOCTYPE a><flame log#1#="1"/>', "document type"), (flame(XFORM + "<edit>" * 600_000), "more elements"),
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
    n = refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted((shared_data / "flames").rglob("*.fl*m*")):
            try:
                flames = read_flames(path)
            except DataError as error:
                assert str(error).startswith(str(path)) and "\n" not in str(error)
                refused += 1
                continue
            assert all(a.same(b) for a, b in zip(flames, read_flames(to_xml(flames).encode()), strict=True)), path
            n += len(flames)
    assert n > 400 and refused == 0, (n, refused)
