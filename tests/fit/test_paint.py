"""Colours of affine codes: blends and functions of the position, chosen by what they explain."""

import numpy as np
import pytest
import torch

from fractalkit.codes import preset
from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.algebra import compose
from fractalkit.errors import DataError
from fractalkit.fit.metrics import explained
from fractalkit.fit.paint import FEWEST, paint
from fractalkit.orbit import histogram, sample, stream


def orbit(n: int = 6000, depth: int = 8) -> tuple[np.ndarray, np.ndarray]:
    o = sample(preset("sierpinski-triangle"), n, seed=1, depth=depth, dtype=torch.float64)
    return o.points.numpy(), o.addresses.to(torch.int32).numpy().astype(np.int64)


def test_a_blend_stays_a_blend() -> None:
    x, address = orbit()
    truth = np.array([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.2, 0.1, 0.9]])
    rgb = sum(0.6 * 0.4**j * truth[address[:, j]] for j in range(8)) + 0.4**8 * truth.mean(axis=0)
    p = paint(address, x, rgb, 3)
    assert p.field is None and p.speed == 0.6 and p.explained > 0.999
    assert np.abs(p.colours - truth).max() < 0.01


@pytest.mark.parametrize("depth", [1, 2])
def test_functions_of_the_position_are_found(depth: int) -> None:
    x, address = orbit()
    piece = address[:, 0] if depth == 1 else 3 * address[:, 0] + address[:, 1]
    rng = np.random.default_rng(0)
    truth = rng.uniform(-0.4, 0.4, (3**depth, 3, 2))
    centres = np.stack([x[piece == k].mean(axis=0) for k in range(3**depth)])
    rgb = 0.5 + np.einsum("nij,nj->ni", truth[piece], 3**depth * (x - centres[piece])) / 3
    p = paint(address, x, rgb.clip(0, 1), 3)
    assert p.explained > 0.97 and p.field.shape == (3**depth, 3, 3)
    shown = coloured(p).colour_of(torch.from_numpy(address), torch.from_numpy(x)).numpy()
    assert explained(x, shown, x, rgb.clip(0, 1)) > 0.97


def test_noise_and_few_points_get_a_blend() -> None:
    x, address = orbit()
    p = paint(address, x, np.random.default_rng(0).random((len(x), 3)), 3)
    assert p.field is None and p.explained < 0.02
    few = 2 * FEWEST * 3 - 1
    assert paint(address[:few], x[:few], np.c_[x, x[:, :1]][:few], 3).field is None
    assert paint(address, x, np.full((len(x), 3), 0.25), 3).explained == 1


def coloured(p) -> AffineIFS:
    code = preset("sierpinski-triangle")
    return AffineIFS(code.matrices, code.offsets, code.probabilities, p.colours, p.speed, colour_field=p.field)


@pytest.fixture(params=[1, 2])
def code(request) -> AffineIFS:
    k = 3**request.param
    field = np.random.default_rng(1).uniform(-0.5, 0.5, (k, 3, 3)) + np.array([0, 0, 0.5])
    plain = preset("sierpinski-triangle")
    return AffineIFS(plain.matrices, plain.offsets, plain.probabilities, np.full((3, 3), 0.5), colour_field=field)


def test_orbits_and_counts_have_the_same_colours(code: AffineIFS) -> None:
    o = sample(code, 5000, seed=2, colours=True, depth=2, dtype=torch.float64)
    a = o.addresses.to(torch.int64)
    field = code.colour_field[a[:, 0] if len(code.colour_field) == 3 else 3 * a[:, 0] + a[:, 1]]
    truth = (torch.einsum("nij,nj->ni", field[:, :, :2], o.points) + field[:, :, 2]).clamp(0, 1)
    assert torch.allclose(o.colours.double(), truth, atol=1e-6) and float(truth.std()) > 0.1
    h = histogram(code, 5000, shape=(16, 16), colours=True, seed=2, dtype=torch.float64)
    assert torch.allclose(h.rgb.sum((0, 1)), truth.sum(0), rtol=1e-3)
    even = next(stream(code, 500, seed=2, colours=True, stratified=True))
    assert even.colours.shape == (500, 3) and float(even.colours.std()) > 0.1
    assert compose(code, code).colour_field is None


def test_files_keep_the_field(code: AffineIFS) -> None:
    back = AffineIFS.from_json(code.to_json())
    assert torch.equal(back.colour_field, code.colour_field) and back.to_json() == code.to_json()
    data = code.to_dict()
    for change, words in (
        (lambda d: d["maps"][1].pop("colour_fields"), "colour_fields is given for 2 of 3"),
        (lambda d: d["maps"][1].update(colour_fields=[[[0, 0, 0]]]), "expected 3 rows"),
        (lambda d: d["maps"][1].update(colour_fields=7), "expected 1 or 3 matrices"),
        (lambda d: [m.pop("colour") for m in d["maps"]], "needs colours"),
    ):
        changed = AffineIFS.from_dict(data).to_dict()
        change(changed)
        with pytest.raises(DataError, match=words):
            AffineIFS.from_dict(changed)
