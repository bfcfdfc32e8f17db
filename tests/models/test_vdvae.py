import math

import pytest
import torch

from fractalkit.errors import DataError, UsageError
from fractalkit.maps.collage import decode
from fractalkit.models.class_priors import fit_class_tables
from fractalkit.models.noise import Between, Given
from fractalkit.models.vdvae import VDVAE, VDVAEConfig, excess_variation, hidden_variation
from tests.models.tiny import build, generators, pictures


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"head": "conv"},
        {"channels": 3, "likelihood": "logistic-mixture"},
        {"cells": 1},
        {"prior": "block"},
        {"prior": "block", "classes": 3},
        {"prior": "block", "prior_blocks": 2, "free": 0.5},
        {"size": 10, "encoder": "5x1,5d2,3x1,3d3,1x1", "decoder": "1x1,3m1,3x1,5m3,5x1"},
    ],
)
def test_losses_have_gradients_everywhere(changes):
    model = build(**changes)
    labels = torch.tensor([0, 2, 1, 2]) if model.classes else None
    got = model.losses(
        pictures(4, model.config.channels, model.config.size), torch.Generator().manual_seed(0), 10, labels
    )
    got["loss"].backward()
    assert torch.isfinite(got["loss"]) and float(got["elbo"]) == pytest.approx(float(got["nll"] + got["kl"]), rel=1e-5)
    missing = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not missing


def test_a_trunk_that_ends_finer_than_the_grid_is_folded():
    model = build(stem=1, encoder="6x1,6d2,3x1,3d2,2x1,2d2,1x1", decoder="1x1,2m1,2x1,3m2,3x1,6m3,6x1", grid=3)
    assert model.layer_sides == [1, 2, 3, 6]
    h = model.features(generators(1))
    code = model.head.code(h)
    assert h.shape == (1, 8, 6, 6) and code.grid == (3, 3) and model.draw(h, 21, 21).shape == (1, 1, 21, 21)
    h[..., :2, :2] += 1  # the cells of the first range
    moved = (model.head.code(h).brightness - code.brightness).abs().amax((0, 1)) > 1e-6
    assert moved.tolist() == [[True, False, False], [False] * 3, [False] * 3]


def test_free_bits_cost_nothing_and_priors_are_trained_alone():
    model, x = build(), pictures(4)
    plain, free = (build(free=f).losses(x, torch.Generator().manual_seed(0), 1) for f in (0.0, 100.0))
    assert float((free["loss"] - plain["loss"]).detach()) == pytest.approx(3 * 100 - float(plain["kl"]), abs=1e-3)
    assert float(free["elbo"]) == float(plain["elbo"])
    model = build(prior="block", prior_blocks=2)
    whole = model.losses(x, torch.Generator().manual_seed(0), 1)
    for name, p in model.named_parameters():
        p.requires_grad_(".deep." in name)
    alone = model.losses(x, torch.Generator().manual_seed(0), 1)
    assert alone.keys() == {"loss", "kl"} and float(alone["loss"].detach()) == float(whole["kl"])
    alone["loss"].backward()
    assert all((p.grad is not None) == (".deep." in name) for name, p in model.named_parameters())


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
    whole = model.features(generators(5))
    for i in range(5):
        assert torch.equal(model.features(generators(1, i)), whole[i : i + 1])
    x = pictures(3)
    assert torch.equal(model.infer(x[2:], generators(1, 2)), model.infer(x, generators(3))[2:])


def test_temperature_scales_sigma():
    model = build()
    cold = model.features(generators(2), 0.0)
    assert torch.equal(cold[0], cold[1])  # the mean of every layer
    model_z = model.decoder.blocks[0]
    h = torch.zeros(1, 8, 1, 1)
    noise = torch.Generator().manual_seed(3)
    full = model_z(h, None, noise, 1.0)[0]
    assert not torch.equal(full, model_z(h, None, torch.Generator().manual_seed(3), 0.5)[0])
    with pytest.raises(UsageError, match="temperature"):
        model.features(generators(1), -1.0)


def test_the_picture_is_the_collage_at_every_size():
    model = build()
    h = model.features(generators(2))
    code = model.head.code(h)
    assert float(code.lipschitz().max()) < model.config.rho
    learned = model.config.size * model.cells  # points a side
    assert learned == 12
    for size in (12, 27):
        want = model.likelihood.mean(model.head.pixels(decode(code, size, size)))
        assert torch.allclose(model.draw(h, size, size, detail=1.0), want, atol=1e-5)
    # as the likelihood has it, a pixel of a learned picture is the mean over its points
    want = torch.nn.functional.avg_pool2d(model.draw(h, 12, 12), 2)
    assert torch.allclose(model.draw(h, 6, 6), want, atol=1e-6)
    assert model.draw(h, 10, 7).shape == (2, 1, 10, 7)


def test_a_convolutional_head_has_one_size():
    model = build(head="conv")
    h = model.features(generators(1))
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
        ({"grid": 2}, "grid"),
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
    h = model.features(generators(1))
    picture = model.draw(h, 12, 12)
    double = model.double()
    assert torch.allclose(double.draw(h.double(), 12, 12).float(), picture, atol=1e-4)


# ---- classes, latents, temperatures


def labelled() -> VDVAE:
    model = build(prior="block", classes=3)
    with torch.no_grad():
        for block in model.decoder.blocks:
            block.deep.labels.mul_(20), block.deep.block.c4.weight.mul_(20)
    return model


def test_a_block_in_the_prior_begins_as_the_linear_prior():
    torch.manual_seed(0)
    deep = VDVAE(VDVAEConfig(**{**build().config.to_dict(), "prior": "block", "prior_blocks": 3, "classes": 3}))
    linear = build()
    found = deep.state_dict() | linear.state_dict()
    deep.load_state_dict(found)
    assert all(deep.neutral(name) == (name not in linear.state_dict()) for name in found)
    assert torch.equal(deep.features(generators(2), labels=[0, 2]), linear.features(generators(2)))


def test_classes_change_samples_and_no_class_is_a_class_of_its_own():
    model = labelled()
    drawn = [model.features(generators(1), labels=[y]) for y in (None, 0, 1, 2)]
    assert torch.equal(drawn[0], model.features(generators(1)))
    assert all(not torch.allclose(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    both = model.features(generators(2), labels=[1, None])
    assert torch.equal(both, torch.cat([drawn[2], model.features(generators(1, 1))]))
    with pytest.raises(UsageError, match="label: expected 0 to 2, got 3"):
        model.features(generators(1), labels=[3])
    with pytest.raises(UsageError, match="knows no classes"):
        build().features(generators(1), labels=[0])


def test_guidance_moves_means_away_from_those_without_a_class():
    model = labelled()
    none, one = model.features(generators(1), 0.0), model.features(generators(1), 0.0, labels=[1])
    assert torch.allclose(model.features(generators(1), 0.0, labels=[1], guidance=0.0), none, atol=1e-6)
    assert torch.equal(model.features(generators(1), 0.0, labels=[1], guidance=1.0), one)
    far = model.features(generators(1), 0.0, labels=[1], guidance=2.0)
    assert (far - none).norm() > (one - none).norm()
    with pytest.raises(UsageError, match="guidance: expected a number from 0 to 10"):
        model.features(generators(1), labels=[1], guidance=-1.0)


def test_tables_of_classes_lower_the_bound_and_leave_other_samples_alone():
    model = build(prior="block", classes=2)
    g = torch.Generator().manual_seed(3)
    y = torch.arange(120) % 2
    x = torch.zeros(120, 1, 6, 6)
    x[y == 0, :, :3], x[y == 1, :, 3:] = 1.0, 1.0
    x = torch.where(torch.rand(x.shape, generator=g) < 0.1, 1 - x, x)
    before = [float(model.eval_losses(x, torch.Generator().manual_seed(0), v)["elbo"].mean()) for v in (y, None)]
    plain = model.features(generators(2))
    fit_class_tables(model, x, y)
    after = [float(model.eval_losses(x, torch.Generator().manual_seed(0), v)["elbo"].mean()) for v in (y, None)]
    assert after[0] < before[0] - 0.01 and after[1] == pytest.approx(before[1], rel=1e-6)
    assert torch.equal(model.features(generators(2)), plain)
    with pytest.raises(UsageError, match="at least 20 pictures of each of 2 classes"):
        fit_class_tables(model, x[:30], y[:30])


def test_latents_draw_the_same_picture_again():
    model, x = labelled(), pictures(2)
    found = model.latents(x, generators(2), labels=[1, None])
    again = model.features(found.given(), labels=[1, None])
    assert torch.allclose(again, torch.cat([model._posterior(x[:1], generators(1), torch.tensor([1]))[0],
                                            model.infer(x[1:], generators(1, 1))]), atol=1e-4)  # fmt: skip
    assert [z.shape[-1] for z in found.z] == model.layer_sides
    other = model.features(found.given(), labels=[2, 0])
    assert not torch.allclose(other, again, atol=1e-3)
    with pytest.raises(UsageError, match="the model has more"):
        model.features([Given([found.noise[0][0]])])


def test_class_scores_are_differences_of_elbos():
    model, x = labelled(), pictures(3)
    scores = model.class_scores(x)
    elbos = [-model.eval_losses(x, torch.Generator().manual_seed(0), torch.full((3,), y))["elbo"] for y in range(3)]
    want = torch.stack(elbos, 1)
    assert torch.allclose(scores - scores[:, :1], want - want[:, :1], atol=1e-3)
    redrawn = model.redrawn(x, generators(3), 2)
    own = scores.argmax(1).tolist()
    given = model.latents(x[:1], generators(1), labels=[own[0]]).given()
    assert torch.equal(redrawn[:1], model.features(given, labels=[2]))


def test_temperature_by_side_and_first_layers():
    model = build()  # layers at sides 1, 3, 3
    assert torch.equal(model.features(generators(2), {1: 0.0, 3: 0.0}), model.features(generators(2), 0.0))
    assert torch.equal(model.features(generators(1), layers=0), model.features(generators(1), 0.0))
    assert torch.equal(model.features(generators(1), layers=3), model.features(generators(1)))
    assert torch.equal(model.features(generators(1), layers=1), model.features(generators(1), {3: 0.0}))
    with pytest.raises(UsageError, match="side 7; there are 1, 3"):
        model.features(generators(1), {7: 1.0})
    with pytest.raises(UsageError, match="layers: expected 0 to 3, got 4"):
        model.features(generators(1), layers=4)
    a, b = model.latents(pictures(2), generators(2)).given()
    assert torch.isfinite(model.features([Between(a, b, 0.5)])).all()


def test_hidden_variation_is_what_a_monotone_course_lacks():
    ramp = torch.linspace(0, 1, 8).expand(1, 1, 8, 8)
    assert float(hidden_variation(ramp, 4).max()) == pytest.approx(0, abs=1e-6)
    bump = torch.zeros(1, 1, 8, 8)
    bump[..., 1, :] = 0.5  # inside the upper pixels, on every line
    assert torch.allclose(hidden_variation(bump, 4)[0, 0], torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    assert torch.allclose(hidden_variation(bump.mT, 4)[0, 0], torch.tensor([[1.0, 0.0], [1.0, 0.0]]))


def test_sharpness_is_a_factor_of_the_logits():
    model = build()
    h = model.features(generators(1))
    soft, hard = (torch.logit(model.draw(h, 6, 6, detail=1.0, sharpness=s).double()) for s in (1.0, 2.0))
    fine = [torch.logit(model.draw(h, 12, 12, detail=1.0, sharpness=s).double()) for s in (1.0, 2.0)]
    assert torch.allclose(fine[1], 2 * fine[0], atol=1e-3) and not torch.allclose(soft, hard)
    with pytest.raises(UsageError, match="sharpness: expected a number above 0"):
        model.draw(h, 6, 6, sharpness=0.0)
    colours = build(channels=3, likelihood="logistic-mixture")
    with pytest.raises(UsageError, match="sharpness: is for models of black and white"):
        colours.draw(colours.features(generators(1)), 6, 6, sharpness=2.0)
