"""The same results on any device: ``pytest --device cuda`` runs these on an accelerator, against the CPU."""

import numpy as np
import pytest
import torch

from fractalkit.codes import preset
from fractalkit.core import fixed_point
from fractalkit.fit.quadtree_search import features, search
from fractalkit.fit.tiling import Style, fractalize
from fractalkit.fit.tiling import draw as mosaic
from fractalkit.maps.collage import CollageMap
from fractalkit.maps.measure import MeasureMap
from fractalkit.models.mean_picture import draw
from fractalkit.models.neural_collage import NeuralCollage, NeuralCollageConfig
from fractalkit.models.scores import evaluate
from fractalkit.orbit import histogram, sample
from fractalkit.orbit.flame import accumulate
from fractalkit.train.config import TrainConfig
from fractalkit.train.loop import train
from fractalkit.train.ranks import Ranks
from tests.maps.test_collage import make
from tests.models.tiny import build, generators
from tests.orbit.test_flame import triangle
from tests.train import tiny

FLOATS = (torch.float32,)  # Metal has no float64


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [(27, 18), (20, 22)])
def test_collages(device, dtype, size):
    code = make((3, 3), rho=0.7, dtype=dtype)
    want = fixed_point(CollageMap(code, *size))
    got = fixed_point(CollageMap(code.to(device=device), *size))
    assert got.device.type == device.type and torch.allclose(got.cpu(), want, atol=1e-4)


def test_measures(device):
    code = preset("sierpinski-triangle").to(device=device, dtype=torch.float32)
    got = MeasureMap(code, (16, 16)).render()
    want = MeasureMap(code.to(device="cpu"), (16, 16)).render()
    assert got.device.type == device.type and torch.allclose(got.cpu(), want, atol=1e-6)


def test_orbits(device):
    points = sample(preset("barnsley-fern"), 500, engine="torch", device=device, seed=3).points
    want = sample(preset("barnsley-fern"), 500, engine="torch", device="cpu", seed=3).points
    assert points.device.type == device.type and torch.allclose(points.cpu(), want, atol=1e-4)


def test_models(device):
    model = build().to(device)
    noise = [torch.Generator().manual_seed(1)]
    h = model.features(noise)
    want = build().draw(build().features(generators(1, 1)), 20, 20)
    assert h.device.type == device.type
    assert torch.allclose(torch.from_numpy(draw(model.picture(h), 20, 20)), want[0], atol=1e-3)


@pytest.mark.gpu
def test_a_step_of_training_is_the_same(device):
    losses = []
    for where in (device, torch.device("cpu")):
        model = build().to(where)
        x = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0)).round().to(where)
        losses.append(float(model.eval_losses(x, [torch.Generator().manual_seed(k) for k in (1, 2)])["elbo"].mean()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.gpu
def test_colours_and_addresses_of_an_orbit(device):
    code = preset("barnsley-fern")
    told = {"engine": "torch", "seed": 3, "burn_in": 15}
    here, there = (sample(code, 300, depth=4, device=d, colours=code.coloured, **told) for d in ("cpu", device))
    assert torch.equal(there.addresses.cpu().view(torch.int16), here.addresses.view(torch.int16))
    grid = {"shape": (20, 20), "bounds": (torch.tensor([-3.0, 0.0]), torch.tensor([3.0, 10.0]))}
    counts = [histogram(code, 70_000, device=d, **grid, **told).counts for d in ("cpu", device)]
    assert (counts[0] - counts[1].cpu()).abs().sum() < 70


@pytest.mark.gpu
def test_the_plain_twin_of_flames(device):
    f, n = triangle(), 6_000
    here, there = (accumulate(f, n, seed=1, plain=True, device=str(d)) for d in ("cpu", device))
    assert there[..., 3].sum() == n
    coarse = [h.reshape(8, 8, 8, 8, 4).sum((1, 3)) / n for h in (here, there)]
    assert np.abs(coarse[0] - coarse[1]).sum() < 0.5


@pytest.mark.gpu
def test_evaluation(device):
    images = (np.random.default_rng(0).random((3, 1, 6, 6)) > 0.6).astype(np.uint8)
    here, there = (evaluate(build().to(d), images, 2, k=3, batch=2) for d in ("cpu", device))
    assert there["kl"] == pytest.approx(here["kl"], rel=0.5)  # generators of devices differ
    assert np.isfinite(there["bound"]) and there["elbo"] > 0


@pytest.mark.gpu
def test_the_training_loop_and_its_resumption(device, tmp_path):
    data = tiny.pictures()
    for steps in (6, 9):
        config = TrainConfig(**tiny.SETTINGS | {"steps": steps, "bf16": False})
        done = train(tiny.model(), data, tmp_path, config, valid=tiny.pictures(20, seed=1), ranks=Ranks(device),
                     resume=True)  # fmt: skip
        assert done.step == steps and done.skipped == 0
    assert done.best is not None and np.isfinite(done.best)


@pytest.mark.gpu
def test_a_neural_codec_learns(device):
    torch.manual_seed(0)
    net = NeuralCollage(NeuralCollageConfig(weight=0.05, analysis=8, synthesis=8))
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    losses = []
    for where in (torch.device("cpu"), device):
        moved = net.to(where)
        moved.zero_grad()
        value = moved.losses(x.to(where), torch.Generator(where).manual_seed(0), 0)["loss"]
        value.backward()
        losses.append(float(value.detach()))
        assert all(bool(p.grad.isfinite().all()) for p in moved.parameters() if p.grad is not None)
    assert losses[1] == pytest.approx(losses[0], rel=0.5)


@pytest.mark.gpu
def test_mosaics(device):
    picture = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(1))
    code = fractalize(picture, 4, style=Style(picture.flip(1)))
    for depth in (0, 2):
        want = mosaic(code, 96, 140, depth=depth, picture=picture)
        got = mosaic(code.to(device=device), 96, 140, depth=depth, picture=picture.to(device))
        assert got.device.type == device.type and torch.allclose(got.cpu(), want, atol=1e-4)


@pytest.mark.gpu
def test_the_search_for_domains(device):
    rng, order = np.random.default_rng(0), features(3, 16)
    ranges, domains = (rng.normal(size=(n, len(order))).astype(np.float32) for n in (50, 70))
    here, there = (search(ranges, domains, np.linalg.norm(domains, axis=1), order, 8, str(d)) for d in ("cpu", device))
    assert (here[0] == there[0]).mean() > 0.95 and (here[1] == there[1]).mean() > 0.95
