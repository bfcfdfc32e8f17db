"""fractalkit compress and decompress of clouds, and what other commands say of their files."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fractalkit.cli.main import main
from fractalkit.data import load_cloud, save_cloud
from fractalkit.fit.metrics import compare_clouds


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    u = np.random.default_rng(0).random((3000, 2))
    sheet = np.column_stack([u, 0.2 * np.sin(6 * u[:, 0])])
    Path("scans").mkdir()
    save_cloud("scans/a.ply", sheet, colours=np.column_stack([u, u[:, 0]]))
    save_cloud("scans/b.xyz", sheet[:500])
    save_cloud("plane.npy", u)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("scans/p.png")
    return tmp_path


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def test_there_and_back(here):
    r = run("compress", "scans/a.ply", "--bytes", 900, "-o", "a.fk", "--json")
    facts = json.loads(r.stdout)["files"][0]
    assert 870 <= facts["bytes"] == Path("a.fk").stat().st_size <= 900 and facts["points"] == 3000 and facts["colours"]
    r = run("decompress", "a.fk", "--points", 5000, "-o", "b.ply")
    assert r.exit_code == 0 and "5,000 points" in r.stdout
    before, after = load_cloud("scans/a.ply"), load_cloud("b.ply")
    assert len(after) == 5000
    assert compare_clouds(after.points, before.points).chamfer < 0.02
    assert np.abs(after.colours[:, 0] - after.points[:, 0]).mean() < 0.1


def test_a_folder_of_clouds_and_pictures(here):
    assert run("compress", "scans", "-o", "packed", "--quality", 15, "--jobs", 1).exit_code == 0
    assert sorted(p.name for p in Path("packed").iterdir()) == ["a.fk", "b.fk", "p.fk"]
    assert run("decompress", "packed", "-o", "back", "--jobs", 1).exit_code == 0
    assert sorted(p.name for p in Path("back").iterdir()) == ["a.ply", "b.ply", "p.png"]
    assert len(load_cloud("back/b.ply")) == 500


def test_a_planar_cloud_stays_planar(here):
    assert run("compress", "plane.npy", "--quality", 10, "-o", "c.fk").exit_code == 0
    assert run("decompress", "c.fk", "-o", "c.csv").exit_code == 0
    assert load_cloud("c.csv").dim == 2


def test_a_seed_determines_the_points(here):
    run("compress", "plane.npy", "--quality", 10, "-o", "c.fk")
    for name, seed in (("x", 1), ("y", 1), ("z", 2)):
        assert run("decompress", "c.fk", "-o", f"{name}.npy", "--seed", seed).exit_code == 0
    x, y, z = (np.load(f"{name}.npy") for name in "xyz")
    assert np.array_equal(x, y) and not np.array_equal(x, z)


def test_a_prefix_decodes_with_partial(here):
    run("compress", "scans/a.ply", "--quality", 30, "-o", "a.fk")
    data = Path("a.fk").read_bytes()
    Path("half.fk").write_bytes(data[: len(data) // 2])
    r = run("decompress", "half.fk", "-o", "half.ply")
    assert r.exit_code == 1 and "--partial" in r.stderr
    assert run("decompress", "half.fk", "--partial", "-o", "half.ply").exit_code == 0
    assert compare_clouds(load_cloud("half.ply").points, load_cloud("scans/a.ply").points).chamfer < 0.05


def test_info_describes_the_file(here):
    run("compress", "scans/a.ply", "--quality", 20, "-o", "a.fk")
    facts = json.loads(run("info", "a.fk", "--json").stdout)
    assert facts["kind"] == "compressed cloud" and facts["points"] == 3000 and facts["dimension"] == 3
    assert facts["bytes"] == Path("a.fk").stat().st_size and facts["colours"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compress", "scans/a.ply", "--psnr", "30"], "--quality or --bytes"),
        (["compress", "scans/a.ply", "--chroma", "half"], "--chroma"),
        (["compress", "scans/p.png", "--method", "cloud"], "p.png"),
        (["compress", "scans/a.ply", "--bytes", "9"], "at least"),
        (["decompress", "a.fk", "--res", "4x"], "only for pictures"),
        (["decompress", "a.fk", "--window", "0,0,5,5"], "only for pictures"),
        (["decompress", "a.fk", "-o", "a.png"], "suffix"),
        (["decompress", "a.fk", "--points", "0"], "--points"),
        (["decompress", "a.fk", "--trace", "a.gif"], "quadtree"),
        (["decompress", "p.fk", "--points", "50"], "only for clouds"),
    ],
)
def test_one_sentence_for_what_makes_no_sense(here, words, message):
    run("compress", "scans/a.ply", "--quality", 5, "-o", "a.fk")
    run("compress", "scans/p.png", "-o", "p.fk")
    before = set(here.rglob("*"))
    r = run(*words)
    assert r.exit_code in (1, 2) and message in r.stderr and "Traceback" not in r.stderr
    assert r.stderr.count("unexpected") == 0
    assert set(here.rglob("*")) == before


def test_every_command_that_takes_a_code_takes_a_compressed_cloud(here):
    run("compress", "scans/a.ply", "--quality", 10, "-o", "a.fk")
    drawn = run("ifs", "a.fk", "--points", 400, "-o", "a.npy", "--code", "a.ifs.json", "--no-preview")
    assert drawn.exit_code == 0 and "ranges of a collage" in drawn.stdout, drawn.stderr
    assert np.load("a.npy").shape == (400, 6)
    picture = run("render", "a.fk", "--res", "40x30", "--quality", 2, "-o", "a.png")
    assert picture.exit_code == 0, picture.stderr
    with Image.open("a.png") as image:
        assert image.size == (40, 30)
    for source in ("a.fk", "a.ifs.json", "a.png"):
        same = run("ifs", source, "--points", 400, "-o", "again.npy", "--no-preview")
        assert same.exit_code == 0 and np.array_equal(np.load("a.npy"), np.load("again.npy")), source
    film = run("zoom", "a.fk", "-o", "a.gif", "--frames", 2, "--res", "24x16")
    assert film.exit_code == 0, film.stderr


def test_pictures_of_codes_in_space_refuse_what_only_flames_have(here):
    run("compress", "scans/a.ply", "--quality", 10, "-o", "a.fk")
    for words in (["--transparent"], ["--bits", 16], ["--index", 1], ["-o", "a.tiff"]):
        r = run("render", "a.fk", "--res", "16x16", *words)
        assert r.exit_code == 2 and r.stderr.count("\n") == 1, r.stderr
    r = run("ifs", "a.fk", "--maps", 8)
    assert r.exit_code == 2 and "has its maps already" in r.stderr
    Path("cut.fk").write_bytes(Path("a.fk").read_bytes()[:100])
    r = run("render", "cut.fk")
    assert r.exit_code == 1 and "cut.fk" in r.stderr and not Path("cut.png").exists()
