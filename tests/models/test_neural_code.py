"""Files of neural collages."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import fractalkit.pil_plugin  # noqa: F401 - teaches Pillow the format
from fractalkit import fk
from fractalkit.cli.main import main
from fractalkit.codec import container
from fractalkit.errors import DataError, UsageError
from fractalkit.models import neural_code
from fractalkit.models.neural_code import (
    MODELS,
    NeuralCode,
    between,
    encode_neural,
    learn_contexts,
    load_network,
    vector,
)
from fractalkit.models.neural_collage import NeuralCollage, NeuralCollageConfig
from tests.pictures import psnr, scene


def made(**options):
    return encode_neural(scene(70, 100), **options)


def test_there_and_back():
    code = made()
    data = code.to_bytes()
    again = NeuralCode.from_bytes(data)
    assert again.to_bytes() == data and again.model == "nc_aerial_mid"
    assert all(np.array_equal(a, b) for a, b in zip(code.planes, again.planes, strict=True))
    assert np.array_equal(code.decode(), again.decode()) and psnr(scene(70, 100), again.decode()) > 27


@pytest.mark.parametrize("model", MODELS)
def test_models_of_the_package(model):
    code = made(model=model)
    assert psnr(scene(70, 100), code.decode()) > {"low": 24, "mid": 27, "high": 31}[model.split("_")[-1]]
    assert code.summary()["crops"] == 3 * 4


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (32, 32), (33, 31)])
def test_small_pictures(size):
    a = scene(64, 64)[: size[0], : size[1]]
    code = NeuralCode.from_bytes(encode_neural(a).to_bytes())
    assert code.decode().shape == a.shape and psnr(a, code.decode()) > 24


def test_grey_has_no_chroma():
    a = scene(64, 64)[..., 1]
    code = NeuralCode.from_bytes(encode_neural(a).to_bytes())
    assert code.channels == 1 and code.decode().shape == (64, 64) and psnr(a, code.decode()) > 27
    colour = encode_neural(np.repeat(a[..., None], 3, 2))
    assert len(code.to_bytes()) <= len(colour.to_bytes())


def test_sixteen_bits():
    a = scene(64, 64).astype(np.uint16) * 257
    code = NeuralCode.from_bytes(encode_neural(a, model="nc_aerial_high").to_bytes())
    b = code.decode()
    assert b.dtype == np.uint16 and psnr(a, b) > 30


def test_strips_join_without_a_seam(monkeypatch):
    a = scene(256, 64)
    whole = encode_neural(a)
    monkeypatch.setattr(neural_code, "STRIP", 4)
    parts = encode_neural(a)
    assert all(np.array_equal(p, q) for p, q in zip(whole.planes, parts.planes, strict=True))
    assert np.abs(whole.decode().astype(int) - parts.decode()).max() <= 1
    assert np.array_equal(NeuralCode.from_bytes(parts.to_bytes()).planes[0], whole.planes[0])


def test_any_size_agrees_with_its_own():
    code = made()
    small = code.decode().astype(float)
    large = code.decode(280, 400)
    assert large.shape == (280, 400, 3)
    assert np.abs(large.reshape(70, 4, 100, 4, 3).mean((1, 3)) - small).mean() < 1.5
    assert code.decode(35).shape == (35, 50, 3) and code.decode(width=33).shape == (23, 33, 3)
    part = code.decode(280, 400, window=(200, 140, 400, 280))
    assert np.abs(part.astype(int) - large[140:, 200:]).mean() < 1.0


@pytest.mark.parametrize("bpp", [0.3, 1.0, 3.0])
def test_a_rate_is_kept(bpp):
    a = scene(128, 160)
    data = encode_neural(a, bpp=bpp).to_bytes()
    assert 0.85 * bpp < 8 * len(data) / (128 * 160) <= bpp
    assert encode_neural(a, bytes=len(data)).to_bytes() == data


def test_decibels_are_reached():
    a = scene(96, 96)
    assert 30 <= psnr(a, encode_neural(a, psnr=30).decode()) < 30.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bpp": 1, "psnr": 30}, "together"),
        ({"bpp": -1}, "bpp"),
        ({"bytes": 20}, "too few"),
        ({"psnr": 90}, "more than"),
        ({"scale": 500}, "scale"),
        ({"model": "vdvae_mnist"}, "is a vdvae"),
        ({"model": "nothing"}, "nothing"),
    ],
)
def test_what_cannot_be_done(options, words):
    with pytest.raises((UsageError, DataError), match=words):
        made(**options)


def test_bad_pictures():
    for a in (np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8), np.uint8), np.zeros((8, 8), np.float32)):
        with pytest.raises(UsageError):
            encode_neural(a)


def test_another_network_is_named():
    data = made().to_bytes()
    header, segments = container.read(data, "a.fk")

    def with_settings(settings):
        return container.write(container.Header("neural", header.height, header.width, 3, 8, settings, {}), segments)

    other = bytearray(header.settings)
    other[1] ^= 1
    with pytest.raises(DataError, match=r"a\.fk: made with other weights of 'nc_aerial_mid'"):
        NeuralCode.from_bytes(with_settings(bytes(other)), "a.fk")
    missing = header.settings[:5] + bytes([3]) + b"abc"
    with pytest.raises(DataError, match=r"a\.fk: needs the model 'abc'"):
        NeuralCode.from_bytes(with_settings(missing), "a.fk")
    path = header.settings[:5] + bytes([9]) + b"../secret"
    with pytest.raises(DataError, match="needs the model"):
        NeuralCode.from_bytes(with_settings(path), "a.fk")


def test_damaged_files_say_so_or_draw():
    data = made().to_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        bad = bytearray(data[: rng.integers(5, len(data) + 1)])
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        with contextlib.suppress(DataError):
            fk.load(bytes(bad)).decode()
    part = NeuralCode.from_bytes(data[: len(data) // 2], partial=True)
    assert part.decode().shape == (70, 100, 3)


def test_contexts_that_have_learned_take_fewer_bytes():
    net = NeuralCollage(load_network("nc_aerial_mid")[0].config)
    net.load_state_dict(load_network("nc_aerial_mid")[0].state_dict())
    for buffer, value in ((net.coder_prob, 512), (net.coder_count, 0), (net.coder_weight, 307)):
        buffer.fill_(value)
    before = len(made(model=net).to_bytes())
    first = learn_contexts(net, [scene(96, 96, seed=s) for s in range(4)])
    assert first > 0 and len(made(model=net).to_bytes()) < before
    assert all(torch.equal(v, v.half().float()) for v in (net.coder_prob, net.coder_count, net.coder_weight))


def test_a_new_network_makes_files_too():
    net = NeuralCollage(NeuralCollageConfig(weight=0.05, analysis=8, synthesis=8))
    code = NeuralCode.from_bytes(made(model=net).to_bytes())
    assert psnr(scene(70, 100), code.decode()) > 30


def test_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(64, 80)).save("a.png")

    def run(*args):
        return CliRunner().invoke(main, [str(a) for a in args])

    r = run("compress", "a.png", "--method", "neural", "--bpp", 0.8, "--json")
    assert r.exit_code == 0 and json.loads(r.stdout)["files"][0]["bpp"] <= 0.8
    assert run("decompress", "a.fk", "-o", "b.png", "--res", "2x").exit_code == 0
    with Image.open("b.png") as image:
        assert image.size == (160, 128)
    facts = json.loads(run("info", "a.fk", "--json").stdout)
    assert facts["codec"] == "neural" and facts["model"].startswith("nc_aerial")
    r = run("compress", "a.png", "--method", "coin", "--bpp", 3, "--iterations", 40, "--seed", 1, "-o", "c.fk")
    assert r.exit_code == 0 and run("decompress", "c.fk", "-o", "c.png").exit_code == 0
    assert run("decompress", "c.fk", "--trace", "c.gif").exit_code == 1
    for options in (("--method", "neural", "--quality", 50), ("--method", "neural", "--effort", 5),
                    ("--method", "coin", "--psnr", 30), ("--model", "nc_aerial_mid")):  # fmt: skip
        r = run("compress", "a.png", *options)
        assert r.exit_code == 2 and "has no effect" in r.stderr and not Path("c2.fk").exists()
    with Image.open("a.fk") as image:
        assert image.size == (80, 64) and image.mode == "RGB" and np.asarray(image).shape == (64, 80, 3)
    with Image.open("a.png") as image:
        image.save("d.fk", method="neural", bpp=1.0)
    assert fk.load("d.fk").model.startswith("nc_")


def test_methods_and_their_options():
    a = scene(32, 32)
    with pytest.raises(UsageError, match="method"):
        fk.encode(a, method="jpeg")
    with pytest.raises(UsageError, match="effort"):
        fk.encode(a, method="neural", effort=3)
    assert psnr(a, fk.decode(fk.encode(a, quality=60))) > 28


def test_codes_are_points():
    pictures = [scene(64, 64, seed=s) for s in (0, 1)]
    a, b = (encode_neural(p, model="nc_aerial_high", scale=16) for p in pictures)
    apart = np.linalg.norm(vector(a) - vector(b))
    # of luma and half-size chroma, which is how the planes are scaled
    luma = [p.astype(float) @ [0.299, 0.587, 0.114] / 255 for p in pictures]
    assert 0.9 * np.linalg.norm(luma[0] - luma[1]) < apart < 1.3 * np.linalg.norm(luma[0] - luma[1])
    half = between(a, b, 0.5)
    assert np.array_equal(between(a, b, 0.0).planes[0], a.planes[0])
    assert NeuralCode.from_bytes(half.to_bytes()).decode().shape == (64, 64, 3)
    blend = (a.decode().astype(float) + b.decode()) / 2
    assert np.abs(half.decode() - blend).mean() < 6
    with pytest.raises(UsageError, match="width"):
        between(a, encode_neural(pictures[0][:, :32], model="nc_aerial_high", scale=16), 0.5)
