import numpy as np
import pytest
import torch

from fractalkit.errors import DataError, UsageError
from fractalkit.models.inverse import (
    InverseConfig,
    InverseNet,
    Proposals,
    from_white,
    negative_likelihood,
    to_white,
    views,
    whitening,
)
from fractalkit.models.pretrained import from_pretrained
from fractalkit.tensors import read_tensors, save_tensors
from tests.models.tiny import build


def tiny(seed: int = 0) -> InverseNet:
    torch.manual_seed(seed)
    return InverseNet(InverseConfig(side=16, width=4, hidden=8, slots=5)).eval()


def clouds() -> np.ndarray:
    return np.random.default_rng(0).random((3, 400, 2)) ** 2 @ np.array([[3.0, 1.0], [0.0, 0.2]]) + 5


def test_proposals_depend_on_the_set_of_points_and_the_seed():
    points = clouds()
    frames = whitening(points)
    with torch.no_grad():
        found = tiny()(views(points, frames, 16))
        mixed = tiny()(views(points[:, ::-1], frames, 16))
        other = tiny(1)(views(points, frames, 16))
    assert found.maps.shape == (3, 5, 6) and found.rate.shape == (3, 5) and found.spread.shape == (3, 5, 2)
    assert torch.equal(found.maps, mixed.maps) and torch.equal(found.rate, mixed.rate)
    assert not torch.equal(found.maps, other.maps)
    assert not torch.equal(found.maps[0], found.maps[1])


def test_whitening_takes_any_affine_change_away():
    points = clouds()
    frame = whitening(points)
    z = np.einsum("bij,bnj->bni", frame[:, :, :2], points) + frame[:, None, :, 2]
    np.testing.assert_allclose(z.mean(axis=1), 0, atol=1e-10)
    np.testing.assert_allclose(np.einsum("bni,bnj->bij", z, z) / 400, np.broadcast_to(np.eye(2), (3, 2, 2)), atol=1e-9)
    moved = points @ np.array([[1.0, 2.0], [0.5, -3.0]]).T - 7
    other = whitening(moved)
    w = np.einsum("bij,bnj->bni", other[:, :, :2], moved) + other[:, None, :, 2]
    np.testing.assert_allclose(np.linalg.norm(w, axis=2), np.linalg.norm(z, axis=2), atol=1e-8)  # up to a turn
    line = np.stack([np.arange(9.0), 2 * np.arange(9.0)], axis=1)[None]
    assert np.isnan(whitening(line)).all()


def test_maps_survive_the_change_of_coordinates():
    rng = np.random.default_rng(1)
    maps, frames = rng.standard_normal((3, 4, 2, 3)), whitening(clouds())
    numbers = to_white(maps, frames)
    np.testing.assert_allclose(from_white(numbers, frames), maps, atol=1e-9)
    x = rng.standard_normal(2)

    def at(m, p):
        return m[..., :2] @ p + m[..., 2]

    a, t = numbers[0, 1, :4].reshape(2, 2), numbers[0, 1, 4:]
    np.testing.assert_allclose(a @ at(frames[0], x) + t, at(frames[0], at(maps[0, 1], x)), atol=1e-8)


def test_the_likelihood_knows_no_order_and_prefers_the_truth():
    g = torch.Generator().manual_seed(0)
    maps, weight = torch.randn(2, 3, 6, generator=g), torch.tensor([[1.0, 1, 0], [1, 0.5, 1]])
    near = Proposals(maps, torch.zeros(2, 3), torch.full((2, 3, 2), -2.0))
    far = Proposals(maps + 1, torch.zeros(2, 3), torch.full((2, 3, 2), -2.0))
    loss = negative_likelihood(near, maps, weight)
    order = [2, 0, 1]
    assert torch.allclose(loss, negative_likelihood(near, maps[:, order], weight[:, order]))
    assert (loss < negative_likelihood(far, maps, weight)).all()
    maps[0, 2] = 100  # no map of the first code
    assert torch.allclose(loss[0], negative_likelihood(near, maps, weight)[0])


def test_files_of_something_else_are_refused(tmp_path):
    tiny().save_pretrained(tmp_path / "a.safetensors", dtype=torch.float16)
    assert InverseNet.from_pretrained(tmp_path / "a.safetensors").config.slots == 5
    build().save_pretrained(tmp_path / "b.safetensors")
    with pytest.raises(UsageError, match="is a vdvae, and what is needed here is"):
        InverseNet.from_pretrained(tmp_path / "b.safetensors")
    about, tensors = read_tensors(tmp_path / "a.safetensors")
    for config, message in (
        (about["config"].replace('"side": 16', '"side": 17'), "multiple of 16"),
        (about["config"].replace('"slots": 5', '"slots": 4096'), "do not fit|larger network"),
    ):
        save_tensors(tmp_path / "c.safetensors", tensors, about | {"config": config})
        with pytest.raises((DataError, UsageError), match=message):
            from_pretrained(tmp_path / "c.safetensors")
    with pytest.raises(UsageError, match="multiple of 16"):
        InverseConfig(side=40)
