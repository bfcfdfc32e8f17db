"""Fit pictures of known codes."""

import numpy as np
import pytest
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import DataError, UsageError
from fractalkit.fit.image import _measure, draw_points, fit_image, measure_distance
from fractalkit.maps.measure import MeasureMap


def known() -> AffineIFS:
    a = torch.tensor(
        [[[0.45, -0.2], [0.2, 0.45]], [[0.5, 0.1], [-0.1, 0.4]], [[0.3, 0.25], [-0.2, 0.35]]], dtype=torch.float64
    )
    return AffineIFS(a, torch.tensor([[0.25, 0.1], [0.42, 0.15], [0.1, 0.55]]), torch.tensor([0.5, 0.2, 0.3]))


def picture(code, side=48):
    return MeasureMap(code, (side, side), torch.zeros(2), torch.ones(2)).render().flip(0)


def test_gradients_find_a_known_code_from_near_it():
    code = known()
    target = picture(code)
    g = torch.Generator().manual_seed(0)
    off = AffineIFS(
        code.matrices + 0.05 * torch.randn(3, 2, 2, generator=g, dtype=torch.float64),
        code.offsets + 0.03 * torch.randn(3, 2, generator=g, dtype=torch.float64),
        torch.full((3,), 1 / 3),
    )
    fitted = fit_image(target, start=off, side=48, iterations=60)
    about = fitted.provenance
    assert about["distance"] < 0.25 * about["distance_start"]
    assert (fitted.probabilities - code.probabilities).abs().max() < 0.08


def test_it_refuses_what_is_no_picture():
    with pytest.raises(DataError, match="above zero"):
        fit_image(np.zeros((20, 20)))
    with pytest.raises(DataError, match="finite"):
        fit_image(np.full((20, 20), np.nan))
    with pytest.raises(UsageError, match="side"):
        fit_image(np.ones((20, 20)), side=4)


def test_points_are_drawn_from_the_measure():
    mu = _measure(picture(known()))
    x = draw_points(mu, 4000, 0)
    assert x.shape == (4000, 2) and float(x.min()) >= 0 and float(x.max()) <= 1
    assert measure_distance(known(), mu) < 0.02
