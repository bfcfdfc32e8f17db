import math

import pytest
import torch

from fractalkit.errors import DataError, UsageError
from fractalkit.maps.collage import decode
from fractalkit.models.vdvae import VDVAEConfig, excess_variation
from tests.models.tiny import build, generators, pictures


@pytest.mark.parametrize(
    "changes", [{}, {"head": "conv"}, {"channels": 3, "likelihood": "logistic-mixture"}, {"cells": 1}]
)
def test_losses_have_gradients_everywhere(changes):
    model = build(**changes)
    got = model.losses(pictures(4, model.config.channels), torch.Generator().manual_seed(0), 10)
    got["loss"].backward()
    assert torch.isfinite(got["loss"]) and float(got["elbo"]) == pytest.approx(float(got["nll"] + got["kl"]), rel=1e-5)
    missing = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not missing


def test_the_bound_is_below_the_importance_weighted_one():
    model, x = build(), pictures(8)
    one = torch.stack([model.eval_losses(x, torch.Generator().manual_seed(i))["elbo"] for i in range(60)]).mean()
    many = model.importance_bound(x, torch.Generator().manual_seed(1), 200, chunk=64).mean()
    again = -torch.stack(
        [model.eval_losses(x, torch.Generator().manual_seed(i))["log_weight"] for i in range(60)]
    ).mean()
    assert float(many) < float(one) + 0.05 and float(again) == pytest.approx(float(one), abs=0.5)
    with pytest.raises(UsageError, match="k"):
        model.importance_bound(x, torch.Generator(), 0)


def test_importance_bound_is_exact_where_the_posterior_is_the_prior():
    model, x = build(), pictures(3)
    with torch.no_grad():
        for block in model.decoder.blocks:  # z has no part in the picture, and q = p
            block.inject.weight.zero_()
            block.prior.weight.zero_(), block.prior.bias.zero_()
            block.posterior.c4.weight.zero_(), block.posterior.c4.bias.zero_()
    exact = model.eval_losses(x, torch.Generator().manual_seed(0))
    assert torch.allclose(exact["kl"], torch.zeros_like(exact["kl"]))
    assert torch.allclose(model.importance_bound(x, torch.Generator().manual_seed(5), 7), exact["nll"], atol=1e-4)


def test_an_item_does_not_depend_on_its_batch():
    model = build()
    whole = model.sample(generators(5))
    for i in range(5):
        assert torch.equal(model.sample(generators(1, i)), whole[i : i + 1])
    x = pictures(3)
    assert torch.equal(model.infer(x[2:], generators(1, 2)), model.infer(x, generators(3))[2:])


def test_temperature_scales_sigma():
    model = build()
    cold = model.sample(generators(2), 0.0)
    assert torch.equal(cold[0], cold[1])  # the mean of every layer
    model_z = model.decoder.blocks[0]
    h = torch.zeros(1, 8, 1, 1)
    noise = torch.Generator().manual_seed(3)
    full = model_z(h, None, noise, 1.0)[0]
    assert not torch.equal(full, model_z(h, None, torch.Generator().manual_seed(3), 0.5)[0])
    with pytest.raises(UsageError, match="temperature"):
        model.sample(generators(1), -1.0)


def test_the_picture_is_the_collage_at_every_size():
    model = build()
    h = model.sample(generators(2))
    code = model.head.code(h)
    assert float(code.lipschitz().max()) < model.config.rho
    learned = model.config.size * model.cells  # points a side
    assert learned == 12
    for size in (12, 27):
        want = model.likelihood.mean(model.head.pixels(decode(code, size, size)))
        assert torch.allclose(model.draw(h, size, size), want, atol=1e-5)
    # as the likelihood has it, a pixel of a learned picture is the mean over its points
    want = torch.nn.functional.avg_pool2d(model.draw(h, 12, 12), 2)
    assert torch.allclose(model.draw(h, 6, 6), want, atol=1e-6)
    assert model.draw(h, 10, 7).shape == (2, 1, 10, 7)


def test_a_convolutional_head_has_one_size():
    model = build(head="conv")
    h = model.sample(generators(1))
    assert model.draw(h, 6, 6).shape == (1, 1, 6, 6)
    with pytest.raises(UsageError, match="any size"):
        model.draw(h, 12, 12)


def test_excess_variation_is_what_averaging_hides():
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1
    assert float(excess_variation(edge, 2)) == pytest.approx(0, abs=1e-6)  # a clean edge costs nothing
    board = torch.zeros(1, 1, 8, 8)
    board[..., ::2, ::2] = board[..., 1::2, 1::2] = 1
    assert float(excess_variation(board, 2)) == pytest.approx(2 * 7 * 8 / 2)  # all of it is hidden


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem": 4}, "stem"),
        ({"encoder": "3x1,1x1"}, "encoder"),
        ({"decoder": "1x1,3x1"}, "decoder"),
        ({"decoder": "1x1,6m1,6x1"}, "decoder"),
        ({"decoder": "1x1,3m1"}, "blocks"),
        ({"rho": 1.0}, "rho"),
        ({"width": 0}, "width"),
        ({"head": "magic"}, "head"),
        ({"latent": "2"}, "latent"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_bad_configuration_is_named(changes, message):
    good = build().config.to_dict()
    with pytest.raises(DataError, match=message):
        from fractalkit.models.vdvae import VDVAE

        VDVAE(VDVAEConfig.from_dict({**good, **changes}))


def test_float64_agrees_with_float32():
    model = build()
    x = pictures(2)
    single = model.eval_losses(x, torch.Generator().manual_seed(0))["nll"]
    assert math.isfinite(float(single.sum()))
    h = model.sample(generators(1))
    picture = model.draw(h, 12, 12)
    double = model.double()
    assert torch.allclose(double.draw(h.double(), 12, 12).float(), picture, atol=1e-4)
