"""``--device`` of the commands that draw, the machine's verdict on its GPU, and ``fractalkit doctor``."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import fractalkit
from fractalkit.codes import CloudCollage, preset
from fractalkit.errors import UsageError
from fractalkit.orbit import sample
from fractalkit.orbit.api import why_not
from fractalkit.orbit.wgsl import trust
from tests.cli.test_render import folder, run  # noqa: F401
from tests.orbit.gpu import device

GOOD = trust.Verdict("Card", False, 1.01, 2e9, 1e8, 0.5)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    """No test reads the verdict of this machine, or leaves one."""
    monkeypatch.setattr(trust, "kept_file", lambda: tmp_path / "kept" / "gpu.json")
    trust.trusted.cache_clear()
    yield
    trust.trusted.cache_clear()


def test_a_flame_on_the_gpu_and_who_drew_it(folder, capsys):  # noqa: F811
    name = str(device())
    told = []
    for where in ("gpu", "gpu", "cpu"):
        assert run("render", "a.flame", "--quality", "200", "--device", where, "-o", f"{len(told)}.png", "--json") == 0
        told.append(json.loads(capsys.readouterr().out)["engine"])
    assert told == [name, name, "CPU"]
    one, again, other = (np.asarray(Image.open(f"{k}.png"), np.float64) for k in range(3))
    assert (one == again).all() and np.abs(one - other).mean() < 3 and other.std() > 20
    assert run("render", "a.flame", "--device", "gpu") == 0
    assert f" s on {name}" in capsys.readouterr().out


def test_points_of_a_code_on_the_gpu(folder, capsys):  # noqa: F811
    device()
    told = {}
    for where in ("gpu", "cpu"):
        assert run("ifs", "barnsley-fern", "--points", "5000", "--no-preview", "--device", where,
                   "-o", f"{where}.npy", "--json") == 0  # fmt: skip
        told[where] = json.loads(capsys.readouterr().out)
    assert np.allclose(np.load("gpu.npy"), np.load("cpu.npy"), atol=1e-4)
    assert told["gpu"]["engine"] == str(device()) and told["cpu"]["engine"] == "CPU"
    collage = CloudCollage.of(preset("barnsley-fern"))
    assert [why_not(collage, "gpu", double=double) == "" for double in (False, True)] == [True, False]
    assert "float64" in why_not(collage, "mps") and not why_not(collage, "cpu", double=True, even=True)
    assert run("ifs", "barnsley-fern", "--points", "500", "--even", "--no-preview", "--device", "gpu", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["engine"] == "CPU" and "cover an attractor evenly" in told["notes"][0]


def test_pictures_of_codes_on_the_gpu(folder, capsys):  # noqa: F811
    name = str(device())
    CloudCollage.of(preset("barnsley-fern")).save("collage.ifs.json")
    for source in ("menger-sponge", "collage.ifs.json"):
        drawn = []
        for where in ("gpu", "cpu"):
            assert run("render", source, "--res", "60", "--device", where, "-o", f"{where}.png", "--json") == 0
            assert json.loads(capsys.readouterr().out)["engine"] == (name if where == "gpu" else "CPU")
            drawn.append(np.asarray(Image.open(f"{where}.png"), np.float64))
        # points agree to rounding, so few of them fall into other pixels
        assert np.abs(drawn[0] - drawn[1]).mean() < 1 and drawn[0].std() > 20
    assert run("render", "collage.ifs.json", "a.flame", "--res", "30", "--quality", "9", "--device", "gpu",
               "--jobs", "1", "-o", "out", "--json") == 0  # fmt: skip
    assert [r["engine"] for r in json.loads(capsys.readouterr().out)["files"]] == [name, name]


def test_pictures_and_clouds_of_the_facade_on_the_gpu(folder, capsys):  # noqa: F811
    name = str(device())
    for source, window in (("a.flame", None), ("barnsley-fern", None), ("barnsley-fern", (20, 20, 60, 60))):
        one, other = (np.asarray(fractalkit.render(source, 80, window=window, device=d), np.float64)
                      for d in ("gpu", "cpu"))  # fmt: skip
        assert 0 < np.abs(one - other).mean() < 6 and other.std() > 20
    points = np.random.default_rng(1).normal(size=(600, 2))
    (folder / "c.fk").write_bytes(fractalkit.compress(points, method="cloud", effort=0).to_bytes())
    clouds = {}
    for where in ("gpu", "cpu"):
        assert run("decompress", "c.fk", "--points", "3000", "--device", where, "-o", f"{where}.npy", "--json") == 0
        assert json.loads(capsys.readouterr().out)["files"][0]["engine"] == (name if where == "gpu" else "CPU")
        clouds[where] = np.load(f"{where}.npy")
    assert np.abs(clouds["gpu"] - clouds["cpu"]).max() < 1e-4


def test_films_on_the_gpu(folder, capsys):  # noqa: F811
    name = str(device())
    small = ("--frames", "2", "--quality", "60", "--device")
    made = {}
    for where in ("gpu", "cpu"):
        for command, source, more in (
            ("zoom", "barnsley-fern", ("--res", "48x32", "--depth", "1e5")),
            ("animate", "a.flame", ("--loop", "--jobs", "1")),
        ):  # fmt: skip
            assert run(command, source, "-o", f"{command}-{where}", "--json", *more, *small, where) == 0
            assert json.loads(capsys.readouterr().out)["engine"] == (name if where == "gpu" else "CPU")
            frames = [np.asarray(Image.open(f)) for f in sorted(folder.glob(f"{command}-{where}/frame-*.png"))]
            made[command, where] = np.array(frames, np.float64)
    for command in ("zoom", "animate"):
        one, other = made[command, "gpu"], made[command, "cpu"]
        assert np.abs(one - other).mean() < 3 and (other.std((1, 2, 3)) > 20).all()
    Image.new("RGB", (8, 8)).save("a.png")
    assert run("zoom", "a.png", *small, "gpu") == 2
    assert "a.png is drawn by the CPU" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize(
    "words", [("a.flame",), ("--random", "2", "--res", "16"), ("a.flame", "a.flame", "--jobs", "1", "-o", "{name}.png")]
)
def test_a_device_that_is_not_there_is_refused_in_a_sentence(folder, capsys, words):  # noqa: F811
    assert run("render", *words, "--device", "cuda") == 2
    assert "no usable CUDA device" in capsys.readouterr().err


def test_what_a_command_or_an_engine_cannot_do_is_refused(folder, capsys):  # noqa: F811
    Image.new("RGB", (8, 8)).save("a.png")
    (folder / "a.fk").write_bytes(fractalkit.compress(np.zeros((8, 8, 3), np.uint8)).to_bytes())
    for words, why in (
        (("fractalize", "a.png", "--device", "gpu"), "WebGPU has not"),
        (("enlarge", "a.png", "--device", "gpu"), "are enlarged by the CPU only"),
        (("enlarge", "a.png", "--device", "cuda"), "are enlarged by the CPU only"),
        (("decompress", "a.fk", "--device", "gpu", "-o", "b.png"), "are decoded by the CPU only"),
    ):
        assert run(*words) == 2
        assert why in capsys.readouterr().err
    with pytest.raises(UsageError, match="Cloud is drawn by the CPU"):
        fractalkit.render(np.zeros((9, 2)), 16, device="gpu")
    with pytest.raises(UsageError, match="expected auto"):
        fractalkit.render("barnsley-fern", 16, device="tpu")
    with pytest.raises(UsageError, match="triton runs on CUDA"):
        sample(preset("barnsley-fern"), 10, engine="triton", device="cpu")


def test_a_verdict_is_kept_and_auto_goes_by_it(monkeypatch, tmp_path):
    pytest.importorskip("wgpu")
    assert trust.kept() is None
    for verdict, taken in (
        (GOOD, True), (replace(GOOD, software=True), False), (replace(GOOD, difference=1.3), False),
        (replace(GOOD, rate=9e7), False),
    ):  # fmt: skip
        trust.keep(verdict)
        trust.trusted.cache_clear()
        assert trust.kept() == verdict and trust.trusted() is taken
    for text in ("", "[]", '{"format": 1}', json.dumps({"format": 9})):
        trust.kept_file().write_text(text)
        assert trust.kept() is None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    trust.keep(GOOD)
    trust.trusted.cache_clear()
    assert trust.trusted() is False


def test_doctor_tests_the_gpu(folder, capsys):  # noqa: F811
    assert run("doctor", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["packages"]["numpy"] and told["engines"]["numba"]
    gpu = told["gpu"]
    if gpu["found"]:
        assert gpu["right"] and gpu["rate"] > 0 and trust.kept() is not None
    else:
        assert gpu["reason"].startswith("device gpu: ")


def test_doctor_says_why_there_is_no_gpu(folder, capsys, monkeypatch):  # noqa: F811
    def none():
        raise UsageError("device gpu: the package wgpu is missing")

    monkeypatch.setattr("fractalkit.orbit.wgsl.device.open_gpu", none)
    assert run("doctor") == 0
    assert "none: device gpu: the package wgpu is missing" in capsys.readouterr().out
