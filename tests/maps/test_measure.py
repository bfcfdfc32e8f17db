"""The Markov operator on a grid: closed forms, the chaos game, and gradients."""

import pytest
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.moments import covariance, mean
from fractalkit.codes.presets import preset
from fractalkit.core import Implicit, solve
from fractalkit.errors import DataError, UsageError
from fractalkit.maps.measure import MeasureMap
from fractalkit.orbit import histogram


def sierpinski(dtype=torch.float64):
    half = torch.eye(2, dtype=dtype).expand(3, 2, 2) / 2
    return AffineIFS(half, torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.25, 0.5]], dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_has_mass_one_and_the_moments_of_the_measure(dtype):
    ifs = sierpinski(dtype)
    m = MeasureMap(ifs, (64, 64))
    x = m.render()
    assert x.dtype == dtype and abs(float(x.sum()) - 1) < 1e-5 and float(x.min()) >= 0
    at = m.low + (torch.stack(torch.meshgrid(*[torch.arange(64.0)] * 2, indexing="xy"), -1).to(dtype) + 0.5) * m.cell
    got = (x[..., None] * at).sum((0, 1))
    assert torch.allclose(got, mean(ifs), atol=1e-3)
    spread = torch.einsum("hw,hwi,hwj->ij", x, at - got, at - got)
    assert torch.allclose(spread, covariance(ifs), atol=float(m.cell.max()) ** 2)


def test_it_agrees_with_the_chaos_game():
    ifs = preset("barnsley-fern")
    m = MeasureMap(ifs, (48, 40))
    x = m.render()
    counts = histogram(ifs, 1_000_000, shape=(48, 40), bounds=(m.low, m.high)).counts.double() / 1e6
    pool = torch.nn.AvgPool2d(4)
    assert float((pool(x[None]) - pool(counts[None])).abs().sum() * 16) < 0.12
    assert float(torch.corrcoef(torch.stack([pool(x[None]).ravel(), pool(counts[None]).ravel()]))[0, 1]) > 0.99


def test_implicit_and_unrolled_gradients_agree_with_differences():
    ifs = sierpinski()
    low, high = torch.tensor([-0.1, -0.1]), torch.tensor([1.1, 1.1])
    target = torch.rand(16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def value(t, implicit=True):
        m = MeasureMap(AffineIFS(ifs.matrices, t, ifs.probabilities), (16, 16), low, high)
        if implicit:
            return (solve(m, tol=1e-9, adjoint=Implicit(tol=1e-12)).value * target).sum()
        return (solve(m, m.render().detach(), steps=60).value * target).sum()

    t = ifs.offsets.clone() + 0.013
    t.requires_grad_()
    (a,) = torch.autograd.grad(value(t), t)
    (b,) = torch.autograd.grad(value(t, False), t)
    assert torch.allclose(a, b, atol=1e-7)
    d = torch.zeros_like(a)
    d[1, 0] = 1e-6
    difference = (value(t.detach() + d) - value(t.detach() - d)) / 2e-6
    assert abs(float(difference - a[1, 0])) < 1e-5


def test_what_it_refuses():
    with pytest.raises(DataError, match="plane"):
        MeasureMap(preset("menger-sponge"), (8, 8))
    with pytest.raises(UsageError, match="2 to 4096"):
        MeasureMap(sierpinski(), (1, 8))
