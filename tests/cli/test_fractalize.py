"""fractalkit fractalize: files, sizes, and errors for bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fractalkit.cli import fractalize as command
from fractalkit.cli.main import main
from fractalkit.codes.collage import CollageCode
from tests.pictures import scene


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(60, 80)).save("photo.png")
    Image.fromarray(scene(50, 50, 1)).save("grey.png")
    return tmp_path


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def test_picture_code_and_report(here):
    r = run("fractalize", "photo.png", "--tiles", 10, "--res", 200, "--code", "c.safetensors", "--json")
    assert r.exit_code == 0, r.stderr
    facts = json.loads(r.stdout)
    assert facts["ssim"] > 0.9 and (facts["width"], facts["height"]) == (200, 150)
    with Image.open("photo.fractal.png") as image:
        assert image.size == (200, 150) and "fractalize photo.png" in image.text["fractalkit:command"]
    assert CollageCode.load("c.safetensors").grid == (10, 10)


@pytest.mark.slow
def test_large_pictures_are_written_in_strips_and_are_the_same(here, monkeypatch):
    run("fractalize", "photo.png", "--tiles", 8, "--res", "160x120", "-o", "a.png")
    monkeypatch.setattr(command, "MAX_WHOLE", 100)
    assert run("fractalize", "photo.png", "--tiles", 8, "--res", "160x120", "-o", "b.png").exit_code == 0
    with Image.open("a.png") as a, Image.open("b.png") as b:
        assert np.abs(np.asarray(a).astype(int) - np.asarray(b)).max() <= 1


def test_style_and_grey(here):
    r = run("fractalize", "grey.png", "--style", "photo.png", "--turn", 1, "--flip", "--tiles", 6, "--res", 96)
    assert r.exit_code == 0 and Path("grey.fractal.png").exists()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("none.png",), 1, "none.png: there is no such file"),
        (("photo.png", "-o", "a.jpg"), 2, ".png"),
        (("photo.png", "-o", "photo.png"), 2, "same file"),
        (("photo.png", "--tiles", 1), 2, "--tiles"),
        (("photo.png", "--res", "0x4"), 2, "--res"),
        (("photo.png", "--res", "10000000"), 2, "ask for fewer"),
        (("photo.png", "--self-weight", 0), 2, "not both 0"),
        (("photo.png", "--code", "a.json"), 2, ".safetensors"),
        (("photo.png", "--res", 20000, "--depth", 2), 2, "--depth"),
        (("photo.png", "-o", "no/a.png"), 1, "does not exist"),
    ],
)
def test_bad_input(here, args, code, words):
    before = set(Path().iterdir())
    r = run("fractalize", *args)
    assert r.exit_code == code, r.stderr
    assert words in r.stderr and r.stderr.count("\n") == 1
    assert set(Path().iterdir()) == before
