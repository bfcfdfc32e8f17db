"""Tone curves of flames."""

from __future__ import annotations

import numpy as np
import pytest

from fractalkit.codes.flame_curves import bezier, spline, tone_curves
from fractalkit.codes.flame_unread import unread_of_flame


def test_spline_goes_through_its_points_and_bends_as_stated():
    rng = np.random.default_rng(5)
    points = np.stack([np.sort(rng.uniform(0, 1, 6)), rng.uniform(0, 1, 6)], 1)
    assert spline(points[::-1], points[:, 0]) == pytest.approx(points[:, 1])  # in any order
    x, y = points.T
    slope = np.diff(y) / np.diff(x)
    bend = np.r_[0, 3 * np.diff(slope) / (x[2:] - x[:-2]), 0]
    for k in range(5):  # the second derivative is linear from bend to bend
        t, h = np.array([0.3, 0.7]) * (x[k + 1] - x[k]), 0.1 * (x[k + 1] - x[k])
        p, q, r = (spline(points, x[k] + t + d) for d in (-h, 0, h))
        assert (p - 2 * q + r) / h**2 == pytest.approx(bend[k] + (bend[k + 1] - bend[k]) * np.array([0.3, 0.7]))


def test_bezier_with_weights_is_an_arc_of_a_circle():
    points = np.array([[0, 0, 1], [0, 2, 1 / 3], [2, 2, 1 / 3], [2, 0, 1]])  # a half circle about (1, 0)
    at = np.linspace(0.05, 1.95, 9)
    assert bezier(points, at) == pytest.approx(np.sqrt(1 - (at - 1) ** 2), abs=1e-3)


def test_overall_curve_comes_before_that_of_the_channel():
    curves = tone_curves({"overall_curve": "0 0 1 0.5", "red_curve": "0 1 1 0"})
    assert curves is not None
    at = np.linspace(0, 1, curves.shape[1])
    assert curves[0] == pytest.approx(1 - at / 2)
    assert curves[1] == pytest.approx(at / 2)


@pytest.mark.parametrize("text", ["", "0", "0 0 1", "0 0 1 x", "0 0 1 nan", "0 0 " * 10_000])
def test_texts_that_are_no_curves_are_named_and_change_nothing(text):
    extras = {"overall_curve": text, "curves": text}
    assert tone_curves(extras) is None
    assert unread_of_flame(extras) == ["curves", "overall_curve"]


def test_straight_curves_change_nothing():
    assert tone_curves({"red_curve": "0 0 0.25 0.25 1 1", "curves": "0 0 1 1 1 1 " * 8}) is None
