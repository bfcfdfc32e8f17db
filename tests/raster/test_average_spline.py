"""The spline through area averages: its averages, what it reproduces, nested refinement, and its compiled loops."""

import numpy as np
import torch
from scipy.interpolate import make_interp_spline

from fractalkit.raster.average_spline import refine
from fractalkit.raster.average_spline_cpu import refine as compiled


def test_averages_are_kept_exactly():
    x = torch.randn(2, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(torch.nn.functional.avg_pool2d(refine(x), 2), x, atol=1e-14)


def test_it_is_the_derivative_of_the_cubic_spline_through_running_sums():
    x = torch.randn(1, 1, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mirrored = np.tile(np.concatenate([x[0, 0], x[0, 0].flip(0)]), 3)  # far borders, whose conditions do not matter
    sums = make_interp_spline(np.arange(241), np.concatenate([[0], np.cumsum(mirrored)]), k=3)
    means = 2 * np.diff(sums(80 + np.arange(81) / 2))
    assert np.allclose(refine(x.expand(1, 3, 40))[0, 0], means, atol=1e-5)


def test_refined_twice_is_the_same_spline():
    x = torch.randn(1, 1, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    mirrored = np.tile(np.concatenate([x[0, 0], x[0, 0].flip(0)]), 3)
    sums = make_interp_spline(np.arange(241), np.concatenate([[0], np.cumsum(mirrored)]), k=3)
    means = 4 * np.diff(sums(80 + np.arange(161) / 4))
    assert np.allclose(refine(refine(x))[0, 0], means, atol=1e-4)


def test_compiled_loops_agree():
    for shape in ((1, 1), (1, 9), (3, 2), (30, 23)):
        x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(3))
        out = np.empty((2 * shape[0], 2 * shape[1]), np.float32)
        compiled(x[0].numpy(), out)
        assert np.allclose(out, refine(x)[0], atol=1e-6)
