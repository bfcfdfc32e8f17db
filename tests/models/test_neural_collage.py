"""The networks, the collages that they produce, and the losses."""

import numpy as np
import pytest
import torch

from fractalkit.data.crops import crop_splits, load_crops, mirrored, rgb
from fractalkit.errors import DataError
from fractalkit.maps.collage import decode
from fractalkit.models.neural_collage import (
    NeuralCollage,
    NeuralCollageConfig,
    cosines,
    join,
    laplace_bits,
    split,
)
from fractalkit.models.neural_collage import (
    rgb as to_rgb,
)
from fractalkit.models.pretrained import from_pretrained
from fractalkit.raster.colour import FROM_RGB, TO_RGB
from tests.pictures import scene


def batch(b=2, h=64, w=96, seed=0):
    pictures = [scene(h, w, seed=seed + i) for i in range(b)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def trained(rho=0.6, seed=0):
    """Give the last layers nonzero weights, as after training."""
    net = NeuralCollage(NeuralCollageConfig(weight=0.01, analysis=16, synthesis=16, rho=rho))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layers in (net.analysis, net.synthesis):
            layers[-1].weight.copy_(0.2 * torch.randn(layers[-1].weight.shape, generator=generator))
        net.patches += 0.05 * torch.randn(net.patches.shape, generator=generator)
    return net


def test_colours_and_cosines_are_inverses():
    assert torch.allclose(torch.tensor(TO_RGB) @ torch.tensor(FROM_RGB), torch.eye(3), atol=1e-5)
    b = cosines(8)
    assert torch.allclose(b @ b.T, torch.eye(64), atol=1e-5)
    # twice as fine, their means over 2 x 2 are the same cosines
    fine = cosines(16).reshape(64, 8, 2, 8, 2).mean((2, 4)).reshape(64, 64)
    assert torch.allclose(fine, b, atol=1e-5)


def test_numbers_split_and_join():
    y = torch.randn(2, 384, 4, 6)
    assert torch.equal(join(*split(y)), y)


def test_fine_steps_keep_the_picture():
    x = batch()
    net = NeuralCollage(NeuralCollageConfig(weight=100.0, analysis=8, synthesis=8))
    made = net.synthesise(net.parameters_of(x).round()).draw(12)
    # what is lost is chroma at half size
    luma = torch.tensor(FROM_RGB[0])
    assert torch.einsum("c,bcyx->byx", luma, made - x).abs().max() < 0.01


def test_codes_draw_what_training_draws():
    net = trained()
    with torch.no_grad():
        made = net.synthesise(net.parameters_of(batch()).round())
        y, chroma = made.codes()
        planes = torch.cat([decode(c, 32, 32) for c in (y, chroma)], 1)
        whole = planes.reshape(2, 2, 3, 3, 32, 32).permute(0, 3, 1, 4, 2, 5).reshape(2, 3, 64, 96)
        assert made.contrast.abs().max() > 0.02
        assert torch.allclose(to_rgb(whole), made.draw(60), atol=2e-4)


def test_contrasts_are_bounded():
    made = trained(rho=0.5).synthesise(50 * torch.randn(1, 384, 4, 4))
    assert made.contrast.abs().sum(-1).max() <= 0.5 + 1e-6 and made.chroma.abs().max() <= 0.5
    assert max(float(c.lipschitz().max()) for c in made.codes()) <= 0.5 + 1e-6


def test_the_collage_theorem_bounds_the_error():
    net, x = trained(), batch(b=1)
    with torch.no_grad():
        made = net.synthesise(net.parameters_of(x).round())
        # in the sense of the largest error of a plane: colours mix planes, so luma alone
        grey = x.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        bound = made.collage_bound(grey)
        error = made.planes(80)[:, 0] + 0.5 - grey[:, 0]
        luma = torch.einsum("c,bcyx->byx", torch.tensor(FROM_RGB[0]), bound)
        assert error.abs().max() <= luma.abs().max() * (1 + 1e-4)


def test_more_steps_of_the_map_come_closer():
    net, x = trained(), batch(b=1)
    with torch.no_grad():
        made = net.synthesise(net.parameters_of(x).round())
        end = made.draw(60)
        errors = [float((made.draw(n) - end).abs().max()) for n in (1, 4, 8, 16)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.6**12


def test_laplace_bits_sum_to_one():
    v = torch.arange(-400, 401, dtype=torch.float64)
    for scale in (-2.0, 0.0, 2.5):
        mass = 2 ** -laplace_bits(v, torch.tensor(scale, dtype=torch.float64))
        assert abs(float(mass.sum()) - 1) < 1e-5


def test_losses_have_gradients_everywhere_and_fall():
    net, x = trained(), batch()
    out = net.losses(x, torch.Generator().manual_seed(0), 0)
    out["loss"].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    first = float(net.eval_losses(x, torch.Generator())["loss"].mean())
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    for step in range(15):
        optimiser.zero_grad()
        net.losses(x, torch.Generator().manual_seed(step), step)["loss"].backward()
        optimiser.step()
    assert float(net.eval_losses(x, torch.Generator())["loss"].mean()) < first


@pytest.mark.parametrize("change", [{"rho": 1.0}, {"weight": 0}, {"analysis": 0}, {"weight": "x"}, {"other": 1}])
def test_bad_configurations(change):
    with pytest.raises(DataError):
        NeuralCollageConfig.from_dict(NeuralCollageConfig().to_dict() | change)


def test_it_survives_its_file(tmp_path):
    net = trained()
    net.save_pretrained(tmp_path / "a.safetensors")
    again = from_pretrained(tmp_path / "a.safetensors")
    assert again.config == net.config
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in net.state_dict().items())


def album(folder, sizes):
    from PIL import Image

    for i, (h, w, mode) in enumerate(sizes):
        Image.fromarray(scene(h, w, seed=i)).convert(mode).save(folder / f"{i:03}.png")


def test_crops_of_mixed_pictures(tmp_path):
    album(tmp_path, [(40, 50, "RGB"), (20, 90, "L"), (64, 64, "RGBA"), (33, 70, "RGB"), (64, 48, "RGB")])
    splits = crop_splits(tmp_path)
    assert [p.name for p in splits["test"]] == ["003.png"] and [p.name for p in splits["valid"]] == ["000.png"]
    crops = load_crops(tmp_path, "train", size=32)
    assert crops.images.shape[1:] == (3, 32, 32) and len(crops.images) > 6
    assert np.array_equal(crops.images, load_crops(tmp_path, "train", size=32).images)


def test_no_pictures_for_a_split(tmp_path):
    album(tmp_path, [(40, 40, "RGB")])
    with pytest.raises(DataError, match="test"):
        load_crops(tmp_path, "test", size=32)


def test_colours_of_all_kinds():
    assert rgb(np.full((2, 2), 9, np.uint8)).shape == (2, 2, 3)
    assert rgb(np.full((2, 2, 3), 65535, np.uint16)).max() == 255
    clear = np.zeros((1, 1, 4), np.uint8)
    assert (rgb(clear) == 255).all()
    assert mirrored(np.arange(6).reshape(2, 3), 5, 3)[:, 0].tolist() == [0, 3, 3, 0, 0]
