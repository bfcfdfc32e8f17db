"""Windows of collages: the pieces of a window are those that the whole shows there, at any depth."""

import numpy as np
import pytest
import torch

from fractalkit.codes import CloudCollage, preset
from fractalkit.errors import UsageError
from fractalkit.orbit import sample
from fractalkit.render.windows import windows_of
from tests.codes.test_cloud_collage import random_collage


def test_words_hold_the_points_of_a_window_and_its_mass():
    code = random_collage(3, scale=0.3, dim=2)
    windows = windows_of(code)
    x = sample(code, 200_000, stratified=True, dtype=torch.float64).points.numpy()
    middle, reach = x[77], 0.01 * windows.side
    words = windows.words(middle, np.eye(2), reach, 0.0, 0.3 * reach)
    drawn, _ = windows.points(words, 50_000, 1e-3 * reach)
    inside = (np.abs(x - middle) <= reach).all(1)
    share = (np.abs(drawn) <= reach).all(1).mean() * words.mass.sum()
    assert inside.sum() > 100 and share == pytest.approx(inside.mean(), rel=0.1)
    assert words.mass.sum() < 5 * inside.mean() + 1e-3


@pytest.mark.parametrize("code", [random_collage(3, scale=0.3, dim=2, colours=True), preset("menger-sponge")])
def test_there_is_something_to_see_at_any_depth(code):
    windows = windows_of(code)
    x, y = windows.focus()
    for depth in (1.0, 1e3, 1e9):
        picture = windows.window(x - 0.5 / depth, y - 0.5 / depth, x + 0.5 / depth, y + 0.5 / depth, 48, 48)
        assert picture.shape == (48, 48, 3) and picture.max() > 90
        assert np.array_equal(
            picture, windows.window(x - 0.5 / depth, y - 0.5 / depth, x + 0.5 / depth, y + 0.5 / depth, 48, 48)
        )
    with pytest.raises(UsageError, match="deeper than float64"):
        windows.window(x, y, x + 1e-15, y + 1e-15, 48, 48)


def test_beside_the_cloud_there_is_nothing():
    windows = windows_of(CloudCollage.of(preset("menger-sponge")))
    assert windows.window(5.0, 5.0, 5.1, 5.1, 32, 32).max() < 60
