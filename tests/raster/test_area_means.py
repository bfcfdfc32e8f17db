"""Area averages of whole pictures."""

import pytest
import torch

from fractalkit.raster.area import area_means


def test_whole_cells_are_plain_means():
    x = torch.rand(2, 30, 12)
    assert torch.allclose(area_means(x, 10, 4), x.double().view(2, 10, 3, 4, 3).mean((2, 4)), atol=1e-12)


@pytest.mark.parametrize("size", [(28, 28), (7, 45), (64, 3), (1, 1), (300, 500)])
def test_the_mean_of_a_picture_is_kept(size):
    x = torch.rand(30, 33)
    made = area_means(x, *size)
    assert made.shape == size and made.dtype == torch.float64
    assert abs(float(made.mean() - x.double().mean())) < 1e-12
