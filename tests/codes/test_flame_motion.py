"""Motion curves of JWildfire: values of curves, and maps at the frame of a file."""

import math

import pytest

from fractalkit.codes.flame import read_flames
from fractalkit.codes.flame_motion import curve_value
from fractalkit.errors import FileWarning
from fractalkit.orbit.flame import as_flam3


def points(name: str, *at: tuple[float, float], kind: str = "SPLINE", on: str = "true") -> dict[str, str]:
    return {f"{name}_enabled": on, f"{name}_point_count": str(len(at)), f"{name}_interpolation": kind} | {
        f"{name}_{axis}{k}": str(p[i]) for k, p in enumerate(at) for i, axis in enumerate("xy")
    }


def test_values_of_curves():
    even = [(10.0 * k, math.sin(k)) for k in range(6)]
    assert all(abs(curve_value("c", points("c", *even), x) - y) < 1e-9 for x, y in even)
    # between even points it is the spline of Catmull and Rom
    a, b, c, d = (y for _, y in even[1:5])
    assert abs(curve_value("c", points("c", *even), 25) - (9 * (b + c) - a - d) / 16) < 1e-9
    assert curve_value("c", points("c", *even, kind="LINEAR"), 25) == (b + c) / 2
    assert curve_value("c", points("c", *even), -5) == 0 and curve_value("c", points("c", *even), 99) == even[-1][1]
    uneven = [curve_value("c", points("c", (0, 0), (1, 1), (10, 2), (11, 3)), x) for x in (0.2, 0.9, 3.0, 9.0, 10.7)]
    assert uneven == sorted(uneven)
    for bad in (points("c", *even, on="false"), points("c"), points("c", (5, 1), (1, 2)), points("c", (1, math.nan)),
                points("c", *even, kind="BEZIER"), points("c", *even) | {"c_x2": "a"},
                points("c", (0, 1e308), (10, -1e308), (20, 1e308))):  # fmt: skip
        assert curve_value("c", bad, 5) is None
    assert curve_value("c", points("c", *even), math.nan) is None


def test_maps_at_the_frame_of_their_file():
    curves = {
        **points("xyPostCoeff10Curve", (1, 0.0), (100, 1.0)), **points("julian_power", (1, 2.0), (100, 101.0)),
        **points("julian_amountCurve", (1, 0.0), (100, 1.0)), **points("weightCurve", (1, 1.0), (100, 1.0)),
    }  # fmt: skip
    more = " ".join(f'{k}="{v}"' for k, v in curves.items())
    head = '<flame version="JWildfire" frame="{}" size="9 9" motion_blur_length="{}">'
    page = head + '<xform weight="1" julian="1" {}/></flame>'
    f = read_flames(page.format(12, 0, more).encode())[0]
    x = as_flam3(f).xforms[0]
    assert f.whole and x.post == (1, 0, 1 / 9, 1, 0, 0) and abs(x.variations["julian"] - 1 / 9) < 1e-12
    assert x.parameters["julian_power"] == 13 and f.xforms[0].parameters == {}
    # what cannot be followed, and blur of what moves, are named
    odd = more + " " + " ".join(f'{k}="{v}"' for k, v in points("julian_dist", (1, 2.0), kind="BEZIER").items())
    with pytest.warns(FileWarning, match="no effect"):
        strange = read_flames(page.format(12, 20, odd).encode())[0]
    assert strange.unread == ["julian_dist", "motion_blur_length"]
    assert read_flames(page.format(12, 20, "").encode())[0].whole
