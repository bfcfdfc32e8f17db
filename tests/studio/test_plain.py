"""Flames as plain data: back as they were, and refused by a sentence where they are wrong."""

import json
import math

import numpy as np
import pytest

from fractalkit.codes.flame import Flame, read_flames
from fractalkit.codes.flame_parts import Xform
from fractalkit.errors import DataError
from fractalkit.studio.offers import STARTS, starts
from fractalkit.studio.plain import from_plain, to_plain


def a_flame(**other):
    ramp = np.round(np.linspace(0, 255, 256)) / 255
    palette = np.stack([ramp, ramp[::-1], 0 * ramp, np.ones(256)], axis=1)
    maps = (
        Xform(1.0, 0.25, 0.4, coefs=(0.5, 0.1, -0.1, 0.5, 0.3, 0.2), variations={"julian": 0.7, "pre_blur": 0.1},
              parameters={"julian_power": 3.0}, chaos=(1.0, 0.0)),
        Xform(0.5, 1.0, opacity=0.5, post=(0.9, 0.0, 0.0, 0.9, 0.1, 0.0), variations={"linear": 1.0},
              extras={"note": "a"}),
    )  # fmt: skip
    given = {"size": (64, 48), "scale": 12.0, "palette": palette, "xforms": maps, "symmetry": (3,), "name": "x"}
    return Flame(**(given | other))


@pytest.mark.parametrize("name", [s["name"] for s in starts()])
def test_starting_points_come_back_as_they_were(name):
    flame = read_flames(STARTS / f"{name}.flame")[0]
    assert flame.whole
    assert from_plain(json.loads(json.dumps(to_plain(flame)))).same(flame)


def test_a_flame_with_everything_comes_back():
    flame = a_flame(
        final=Xform(color_speed=0.0, variations={"bubble": 1.0}), more_finals=(Xform(variations={"linear": 1.0}),),
        extras={"plugins": "x"}, children=("<edit/>",), cam_pitch=0.4,
        layers=({"palette": np.ones((256, 4)), "xforms": (Xform(1.0, variations={"linear": 1.0}),), "final": None,
                 "more_finals": (), "symmetry": (), "children": ()},),
        layer_attributes=({"weight": "1"}, {"weight": "0.5"}),
    )  # fmt: skip
    again = from_plain(to_plain(flame))
    assert again.same(flame)
    assert again.layers[0]["xforms"][0].variations == {"linear": 1.0}


def test_a_variation_of_weight_zero_stays_in_the_plain_form_only():
    plain = to_plain(a_flame())
    plain["xforms"][0]["variations"].append(["swirl", 0])
    assert "swirl" not in from_plain(plain).xforms[0].variations


def test_colours_that_are_not_opaque_keep_their_alpha():
    palette = np.ones((256, 4))
    palette[7, 3] = 0.2
    assert from_plain(to_plain(a_flame(palette=palette))).palette[7, 3] == pytest.approx(0.2)


def spoilt(change):
    plain = to_plain(a_flame())
    change(plain)
    return plain


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.pop("xforms"), "missing field 'xforms'"),
        (lambda p: p.update(more=1), "unknown field 'more'"),
        (lambda p: p["xforms"].clear(), "has no map"),
        (lambda p: p["xforms"].extend([p["xforms"][0]] * 1000), "at most 1,000"),
        (lambda p: [x.update(weight=0) for x in p["xforms"]], "no map has a weight"),
        (lambda p: p["xforms"][0].update(weight=-1), "weight: expected 0 to"),
        (lambda p: p["xforms"][0].update(weight=True), "expected a number"),
        (lambda p: p["xforms"][0].update(coefs=[1, 0, 0, 1, 0]), "expected 6 numbers"),
        (lambda p: p["xforms"][0].update(coefs=[math.nan] * 6), "coefs"),
        (lambda p: p["xforms"][0]["variations"].append(["no-such", 1]), "no variation is called 'no-such'"),
        (lambda p: p["xforms"][0]["parameters"].update(no_such=1), "no variation has a parameter"),
        (lambda p: p["settings"].update(size=[10**9, 10]), "1 to 20,000"),
        (lambda p: p["settings"].update(gamma=0), "gamma"),
        (lambda p: p["settings"].update(name="a\nb"), "name"),
        (lambda p: p["settings"].update(oversample=99), "oversample"),
        (lambda p: p.update(palette="00"), "256 colours"),
        (lambda p: p.update(palette="zz" * 768), "256 colours"),
        (lambda p: p.update(extras={"a": "b" * (2 << 20)}), "characters of text"),
        (lambda p: p.update(layers=[{}]), "layer"),
    ],
)
def test_wrong_fields_are_named(change, words):
    with pytest.raises(DataError, match=words):
        from_plain(spoilt(change))


@pytest.mark.parametrize("what", [None, 1, [], "flame", {"settings": 1}])
def test_other_things_are_no_flame(what):
    with pytest.raises(DataError):
        from_plain(what)
