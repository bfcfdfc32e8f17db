import pytest
import torch
import torch.nn.functional as F

from fractalkit.errors import UsageError
from fractalkit.models.likelihoods import Bernoulli, LogisticMixture


def test_bernoulli_is_the_cross_entropy():
    logits, x = torch.randn(3, 1, 4, 4), (torch.rand(3, 1, 4, 4) > 0.5).float()
    want = -F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none").flatten(1).sum(1)
    assert torch.allclose(Bernoulli(1).log_prob(logits, x), want, atol=1e-5)


@pytest.mark.parametrize("cells", [2, 3])
def test_bernoulli_of_cells_has_the_mean_probability(cells):
    logits, x = torch.randn(2, 1, 4 * cells, 4 * cells), (torch.rand(2, 1, 4, 4) > 0.5).float()
    p = F.avg_pool2d(torch.sigmoid(logits), cells)
    want = -F.binary_cross_entropy(p, x, reduction="none").flatten(1).sum(1)
    assert torch.allclose(Bernoulli(1).log_prob(logits, x, cells), want, atol=1e-4)
    huge = 1e4 * torch.sign(torch.randn(1, 1, 4 * cells, 4 * cells))
    assert torch.isfinite(Bernoulli(1).log_prob(huge, x[:1], cells)).all()


def test_grey_mixture_is_a_distribution_over_256_levels():
    likelihood = LogisticMixture(1, components=3)
    features = torch.randn(1, likelihood.outputs, 1, 1)
    levels = torch.arange(256.0).view(-1, 1, 1, 1) / 255
    p = likelihood.log_prob(features.expand(256, -1, -1, -1), levels).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-3)
    assert 0 <= float(likelihood.mean(features)) <= 1


def test_rgb_mixture_sums_to_one_over_the_last_channel():
    likelihood = LogisticMixture(3, components=2)
    features = torch.randn(1, likelihood.outputs, 1, 1)
    colours = torch.full((256, 3, 1, 1), 0.4)
    colours[:, 0], colours[:, 1] = 100 / 255, 50 / 255
    colours[:, 2, 0, 0] = torch.arange(256.0) / 255
    joint = likelihood.log_prob(features.expand(256, -1, -1, -1), colours)
    # p(r, g) summed over b, found once more by summing b out at another place: both are at most one and equal
    assert float(joint.logsumexp(0)) < 0
    assert likelihood.mean(features).shape == (1, 3, 1, 1)


def test_certain_pixels_have_finite_scores_and_gradients():
    likelihood = LogisticMixture(1)
    features = torch.full((1, likelihood.outputs, 2, 2), -50.0, requires_grad=True)
    score = likelihood.log_prob(features, torch.tensor([[[[0.0, 1.0], [0.5, 0.25]]]]))
    score.sum().backward()
    assert torch.isfinite(score).all() and torch.isfinite(features.grad).all()


def test_a_mixture_is_for_grey_or_rgb():
    with pytest.raises(UsageError, match="1 or 3 channels"):
        LogisticMixture(2)
