"""The same results on any device: ``pytest --device cuda`` runs these on an accelerator, against the CPU."""

import pytest
import torch

from fractalkit.codes import preset
from fractalkit.core import fixed_point
from fractalkit.maps.collage import CollageMap
from fractalkit.maps.measure import MeasureMap
from fractalkit.models.mean_picture import draw
from fractalkit.orbit import sample
from tests.maps.test_collage import make
from tests.models.tiny import build, generators

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
