"""Benchmarks of sampling at tiny size, with a small untrained model."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fractalkit.codes.collage import CollageCode
from fractalkit.maps.collage import decode
from fractalkit.models.mean_picture import MeanPicture
from fractalkit.models.vdvae import VDVAE, VDVAEConfig
from recipes.benchmarks import report, samples


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    torch.manual_seed(0)
    config = VDVAEConfig(
        encoder="7x1,7d7,1x1", decoder="1x1,7m1,7x1", width=8, latent=2, features=3, hidden=4, patches=1, order=2
    )
    VDVAE(config).save_pretrained(tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def test_plain_steps_reach_the_fixed_point():
    g = torch.Generator().manual_seed(0)
    contrast = CollageCode.bounded(torch.randn(1, 2, 3, 3, 1, generator=g), 0.4)
    bright = torch.randn(1, 2, 3, 3, generator=g)
    code = CollageCode(contrast, bright, torch.zeros(1, 1, 3, 3, 0), torch.zeros(0, 1, 1, 1), continuous=False)
    picture = MeanPicture(code, lambda f: f, 9)
    assert torch.allclose(samples.plain_steps(picture, 27, 40), decode(code, 27, 27), atol=1e-5)


def test_components():
    shapes = np.zeros((9, 9))
    shapes[0:3, 0:3] = shapes[3, 3] = shapes[6, 8] = 1  # a corner joins, a speck stands alone
    assert samples.components(shapes) == 2 and samples.components(shapes, 4) == 1


def test_quality(model, monkeypatch):
    monkeypatch.setattr(samples, "train_classifier", lambda *a: (samples.Classifier().eval(), 0.1))
    words = ["quality", "--model", str(model), "--seeds", "3", "--side", "100"]
    got = CliRunner().invoke(samples.main, words, catch_exceptions=False)
    assert got.exit_code == 0, got.output
    data = json.loads((model.parent / "samples_quality.json").read_text())
    assert len(data["rows"]) == 3 and data["summary"][0]["value"] < 0.05


def test_peak(model):
    got = CliRunner().invoke(samples.main, ["peak", "--model", str(model)], catch_exceptions=False)
    before, after = map(float, got.output.split())
    assert 0 < before <= after


def test_megapixels_and_poster(model):
    picture = samples.picture_of(VDVAE.from_pretrained(model), 0)
    samples.consume(picture, 100, 1)
    got = CliRunner().invoke(samples.main, ["poster", "--model", str(model), "--side", "300"], catch_exceptions=False)
    assert got.exit_code == 0, got.output
    assert "300 x 300" in got.output
