"""Every command of the README runs, on small inputs, and what it draws is no empty or flat picture."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

import fractalkit
from fractalkit.codes import preset
from fractalkit.data import load_cloud, save_cloud
from fractalkit.orbit import sample
from tests.pictures import scene

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [b for b in re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S) if "fractalkit " in b]
NOT_HERE = ("pip install", "fractalkit demo", "fractalkit studio", "fractalkit train", "python -m")
SMALLER = {
    "--points 1e8": "--points 2e4", "--points 20000": "--points 600", "-o found.ply": "-o found.ply --effort 0",
    "--res 1920x1080 --quality 200": "--res 96x54 --quality 20", "--random 12": "--random 2",
    "--res 30000": "--res 400",
    "--tiles 64": "--tiles 8", "--res 6000 --window 2600,2200,4040,3640": "--res 600 --window 260,220,404,364",
    "--res 1440x900": "--res 144x90", "film.gif --res 480": "film.gif --res 64 --frames 2 --quality 10",
    "-o between.gif": "-o between.gif --res 64 --frames 2 --quality 10",
    "--interpolate 1 11": "--interpolate 1 11 --frames 2 --res 56", "-o dive.gif": "-o dive.gif --frames 2 --res 64x48",
}  # fmt: skip
SLOW = ("--random 12", "ifs cloud.ply --maps 4", "your-scan", "--method neural", "tree.glb", "compress album")


def commands(block: str) -> list[list[str]]:
    """The words of each command of FractalKit in a block, on less data."""
    for told, done in SMALLER.items():
        block = block.replace(told, done)
    lines = [line.split("  #")[0] for line in block.splitlines()]
    calls = [part for line in lines for part in line.split(" && ") if part.startswith("fractalkit ")]
    return [shlex.split(c)[1:] for c in calls if not c.startswith(NOT_HERE)]


def case(block: str) -> object:
    marks = [pytest.mark.slow] if any(word in block for word in SLOW) else []
    return pytest.param(block, marks=marks, id=" ".join(block.splitlines()[0].split()[:4]))


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = Image.fromarray(scene(72, 96))
    for name in ("photo.jpg", "photo.png", "face.jpg", "romanesco.jpg", "aerial.png", "album/one.png", "album/two.png"):
        Path(name).parent.mkdir(exist_ok=True)
        picture.save(name)
    cloud = sample(preset("coral"), 3000, seed=1).points.numpy()
    save_cloud("your-scan.ply", cloud, np.abs(cloud) / np.abs(cloud).max())
    for name, flame in (("your", "reef"), ("a", "crest"), ("b", "ruffles")):
        shutil.copy(ROOT / "gallery" / "codes" / f"{flame}.flame", f"{name}.flame")
    fractalkit.preset("barnsley-fern").save("barnsley-fern.ifs.json")
    fractalkit.compress("photo.jpg", quality=60).save("photo.fk")
    return {p.resolve() for p in tmp_path.rglob("*") if p.is_file()}


def varied(a: np.ndarray) -> bool:
    """Whether a picture has something on it: values that differ, and not in a few pixels only."""
    grey = a.astype(float).reshape(*a.shape[:2], -1).mean(2)
    return bool(grey.std() > 4 and (np.abs(grey - np.median(grey)) > 8).mean() > 0.002)


def look(path: Path) -> None:
    """Fail where a file shows nothing."""
    suffix = path.suffix
    if suffix in (".png", ".gif", ".jpg", ".webp"):
        with Image.open(path) as image:
            frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)]
        assert all(varied(f) for f in frames), f"{path.name}: flat or empty"
    elif suffix == ".fk":
        assert varied(np.asarray(fractalkit.decompress(path))), f"{path.name}: flat"
    elif suffix in (".stl", ".glb", ".ply"):
        cloud = load_cloud(path)
        assert len(cloud) > 500 and np.ptp(cloud.points, axis=0).min() > 0, f"{path.name}: flat"
    elif suffix == ".flame":  # beside a sheet of random flames
        assert fractalkit.open(path).xforms, f"{path.name}: no maps"
    else:
        assert path.name.endswith(".ifs.json") and len(fractalkit.load(path)) > 1, path.name


@pytest.mark.parametrize("block", [case(b) for b in BLOCKS if commands(b)])
def test_what_it_draws_is_seen(block, inputs):
    from fractalkit.cli.main import main

    if "tree.glb" in block:
        pytest.importorskip("open3d")
    for words in commands(block):
        before = {p: p.stat().st_mtime_ns for p in Path.cwd().rglob("*") if p.is_file()}
        with pytest.raises(SystemExit) as done:
            main(words)
        assert done.value.code == 0, words
        made = [p for p in Path.cwd().rglob("*") if p.is_file() and before.get(p) != p.stat().st_mtime_ns]
        assert made, words
        for path in made:
            look(path)


def test_flat_pictures_are_found(tmp_path):
    black, speck = np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80, 3), np.uint8)
    speck[3, 4] = 255
    for a in (black, speck, black + 200):
        assert not varied(a)
    assert varied(scene(60, 80))
    Image.fromarray(black).save(tmp_path / "a.png")
    with pytest.raises(AssertionError, match=r"a\.png"):
        look(tmp_path / "a.png")
