"""fractalkit enlarge: files, sizes, windows, and errors for bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import fractalkit
from fractalkit.cli import enlarge as command
from fractalkit.cli.main import main
from tests.pictures import scene


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(60, 80)).save("photo.png")
    return tmp_path


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def opened(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_sizes_and_report(here):
    r = run("enlarge", "photo.png", "--json")
    assert r.exit_code == 0, r.stderr
    facts = json.loads(r.stdout)
    assert (facts["width"], facts["height"], facts["detail"]) == (160, 120, 1.0)
    same = fractalkit.enlarge("photo.png")
    assert np.array_equal(opened("photo.large.png"), same)
    assert run("enlarge", "photo.png", "--res", "200", "--detail", 2, "-o", "rich.jpg").exit_code == 0
    assert opened("rich.jpg").shape == (150, 200, 3)


def test_window(here):
    assert run("enlarge", "photo.png", "--res", "4x", "--window", "50%,50%,75%,75%", "-o", "part.png").exit_code == 0
    whole = fractalkit.enlarge(Image.open("photo.png"), (320, 240))
    assert np.abs(opened("part.png").astype(int) - whole[120:180, 160:240]).max() <= 1


def test_large_pictures_are_written_in_strips(here, monkeypatch):
    run("enlarge", "photo.png", "-o", "whole.png")
    monkeypatch.setattr(command, "MAX_WHOLE", 1000)
    assert run("enlarge", "photo.png", "-o", "strips.png").exit_code == 0
    assert np.array_equal(opened("whole.png"), opened("strips.png"))
    assert "more than 1,000 pixels" in run("enlarge", "photo.png", "-o", "a.jpg").stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("photo.png", "--detail", "3"), "detail"),
        (("photo.png", "-o", "photo.png"), "same file"),
        (("photo.png", "-o", "a.txt"), "suffix"),
        (("photo.png", "--res", "100000"), "at most 256 times"),
        (("none.png",), "no such file"),
        (("a.fk",), "decompress"),
    ],
)
def test_errors_leave_no_file(here, args, words):
    Path("a.fk").write_bytes(b"x")
    r = run("enlarge", *args)
    assert r.exit_code in (1, 2) and words in r.stderr and r.stderr.count("\n") <= 2
    assert not Path("photo.large.png").exists()


def test_compressed_pictures_are_enlarged_from_their_stored_size(here):
    assert run("compress", "photo.png", "--quality", 60, "--effort", 1, "-o", "a.fk").exit_code == 0
    assert run("decompress", "a.fk", "-o", "stored.png").exit_code == 0
    r = run("decompress", "a.fk", "--res", "3x", "--detail", 1, "--window", "30,40,190,140", "-o", "part.png")
    assert r.exit_code == 0, r.stderr
    want = fractalkit.enlarge("stored.png", (240, 180), window=(30, 40, 190, 140))
    assert np.array_equal(opened("part.png"), want)
