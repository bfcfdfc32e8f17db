import math

import pytest
import torch

from fractalkit.errors import UsageError
from fractalkit.models.blocks import Block, gaussian, kl_divergence, log_normal, parse_layers, space_to_depth


def test_layer_strings_of_the_literature():
    layers = parse_layers("28x1, 28d2,14x1,14d2,7x1,7d7,1x1")
    assert [(x.size, x.kind, x.other) for x in layers] == [
        (28, "block", 0), (28, "down", 2), (14, "block", 0), (14, "down", 2), (7, "block", 0), (7, "down", 7),
        (1, "block", 0),
    ]  # fmt: skip
    assert [x.kind for x in parse_layers("1x2,7m1,7x3")] == ["block"] * 2 + ["mix"] + ["block"] * 3


@pytest.mark.parametrize("text", ["", "7", "7y2", "0x1", "7x0", "7d8", "7m8", "7x300", "7x-1", "x", "7x1;7x2"])
def test_other_strings_are_refused(text):
    if text == "7":
        assert parse_layers(text)[0].size == 7
        return
    with pytest.raises(UsageError, match="layers"):
        parse_layers(text)


def test_kl_is_that_of_torch():
    g = torch.Generator().manual_seed(0)
    m1, s1, m2, s2 = torch.randn(4, 50, generator=g, dtype=torch.float64)
    p, q = torch.distributions.Normal(m1, s1.exp()), torch.distributions.Normal(m2, s2.exp())
    assert torch.allclose(kl_divergence(m1, s1, m2, s2), torch.distributions.kl_divergence(p, q))
    assert torch.allclose(log_normal(m2, m1, s1), p.log_prob(m2))


def test_gaussians_stay_in_range():
    mean, log_sigma = gaussian(torch.tensor([3.0, 1e9, -1e9, 0.5]).view(1, 4, 1, 1))
    assert mean.flatten().tolist() == [3.0, 1e9] and torch.isfinite(log_sigma).all()
    assert float(log_sigma[0, 0]) == -6 and math.isclose(float(log_sigma[0, 1]), 0.5, rel_tol=0.01)


def test_blocks_and_stems_keep_what_they_should():
    x = torch.randn(2, 6, 5, 5)
    assert Block(6, 3, 4, 5)(x).shape == (2, 4, 5, 5)
    same = Block(6, 3, 6, 5, residual=True, zero=True)
    assert torch.equal(same(x), x)  # with a zero last layer a residual block is the identity
    before = x.clone()
    Block(6, 3, 6, 5, residual=True)(x)
    assert torch.equal(x, before)  # what is activated in place is its own
    y = torch.randn(1, 3, 8, 8)
    assert torch.equal(torch.nn.functional.pixel_shuffle(space_to_depth(y, 4), 4), y)
