"""fractalkit compress and decompress: files, folders, patterns, sizes, and errors for bad input."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fractalkit.cli.main import main
from fractalkit.data.pictures import read_picture
from tests.pictures import psnr, scene


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for i in range(3):
        path = Path("album", "deep" if i == 2 else "", f"p{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(48, 64, seed=i)).save(path)
    return tmp_path


def size_of(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def test_there_and_back(here):
    r = run("compress", "album/p0.png", "-o", "a.fk", "--quality", 60)
    assert r.exit_code == 0 and "bits per pixel" in r.stdout
    r = run("decompress", "a.fk", "-o", "b.png", "--json")
    assert json.loads(r.stdout)["files"][0]["width"] == 64
    assert psnr(scene(48, 64), read_picture(Path("b.png")).samples) > 30


@pytest.mark.parametrize(
    ("options", "size"),
    [(("--res", "2x"), (128, 96)), (("--res", "32"), (32, 24)), (("--res", "50x70"), (50, 70)),
     (("--res", "1.5x"), (96, 72)),
     (("--window", "0,0,0.5,0.5"), (32, 24)), (("--window", "0%,0%,50%,50%"), (32, 24)),
     (("--window", "32,0,64,20", "--res", "2x"), (32, 20)), (("--window", "0.25,0,0.5,1", "--res", "96"), (32, 96))],
)  # fmt: skip
def test_sizes(here, options, size):
    run("compress", "album/p0.png", "-o", "a.fk")
    assert run("decompress", "a.fk", "-o", "b.png", *options).exit_code == 0
    assert size_of("b.png") == size


@pytest.mark.slow
def test_a_folder_over_processes_and_again(here):
    r = run("compress", "album", "-o", "packed", "--jobs", 2, "--effort", 1, "--json")
    assert r.exit_code == 0, r.stderr
    assert sorted(str(p.relative_to("packed")) for p in Path("packed").rglob("*.fk")) == [
        "deep/p2.fk",
        "p0.fk",
        "p1.fk",
    ]
    Path("packed/p1.fk").unlink()
    files = json.loads(run("compress", "album", "-o", "packed", "--effort", 1, "--json").stdout)["files"]
    assert [f.get("skipped", False) for f in files] == [True, False, True]
    r = run("decompress", "packed", "-o", "out", "--suffix", ".jpg")
    assert r.exit_code == 0 and len(list(Path("out").rglob("*.jpg"))) == 3


def test_one_bad_file_does_not_stop_the_others(here):
    Path("album/bad.png").write_bytes(b"nothing")
    r = run("compress", "album/*.png", "-o", "packed", "--effort", 1)
    assert r.exit_code == 1 and "bad.png" in r.stderr and "1 of 3 files failed" in r.stderr
    assert len(list(Path("packed").glob("*.fk"))) == 2


def test_profile_and_exif_are_kept(here):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "a scene"
    Image.fromarray(scene(20, 30)).save("c.png", icc_profile=profile, exif=exif)
    run("compress", "c.png")
    for name in ("d.png", "d.jpg", "d.webp"):
        run("decompress", "c.fk", "-o", name)
        with Image.open(name) as image:
            assert image.info["icc_profile"] == profile and image.getexif()[0x010E] == "a scene"


def test_trace(here):
    run("compress", "album/p0.png", "-o", "a.fk")
    r = run("decompress", "a.fk", "--trace", "t.gif", "--start", "album/p1.png", "--steps", 4)
    assert r.exit_code == 0, r.stderr
    with Image.open("t.gif") as image:
        assert image.n_frames >= 2  # equal frames become one


def test_info(here):
    run("compress", "album/p0.png", "-o", "a.fk")
    facts = json.loads(run("info", "a.fk", "--json").stdout)
    assert facts["codec"] == "quadtree" and facts["bytes"] == Path("a.fk").stat().st_size
    assert sum(facts["leaves"].values()) > 0


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("compress", "none.png"), 1, "none.png: there is no such file"),
        (("compress", "*.bmp"), 2, "no file matches"),
        (("compress",), 2, "Missing argument"),
        (("compress", "album/p0.png", "--bpp", 1, "--psnr", 30), 2, "give one"),
        (("compress", "album/p0.png", "--bpp", "nan"), 2, "finite"),
        (("compress", "album/p0.png", "--bytes", 30), 2, "at least"),
        (("compress", "album", "-o", "one.fk"), 2, "give a folder"),
        (("compress", "album/p0.png", "-o", "no/where/a.fk", "--effort", 11), 2, "effort"),
        (("compress", "album/p0.png", "--cluster", "tcp://127.0.0.1:9"), 2, "no scheduler"),
        (("decompress", "album/p0.png", "-o", "b.png"), 1, "not a .fk file"),
        (("decompress", "empty.fk"), 1, "empty.fk: empty"),
        (("decompress", "cut.fk"), 1, "--partial"),
        (("decompress", "good.fk", "--res", "0"), 2, "--res"),
        (("decompress", "good.fk", "--res", "99999999"), 2, "GiB"),
        (("decompress", "good.fk", "--window", "0,0,2000,1"), 2, "leaves the picture"),
        (("decompress", "good.fk", "--window", "0,0,1.5,1"), 2, "whole pixels"),
        (("decompress", "good.fk", "--max-pixels", 10), 1, "--max-pixels"),
        (("decompress", "good.fk", "-o", "a.xyz"), 2, "suffix"),
        (("decompress", "good.fk", "-o", "good.fk"), 2, "same file"),
        (("decompress", "good.fk", "--trace", "t.png"), 2, ".gif"),
    ],
)
def test_bad_input(here, args, code, words):
    run("compress", "album/p0.png", "-o", "good.fk")
    Path("empty.fk").touch()
    Path("cut.fk").write_bytes(Path("good.fk").read_bytes()[:-5])
    before = sorted(str(p) for p in Path().rglob("*"))
    r = run(*args)
    assert r.exit_code == code, r.stderr
    assert words in r.stderr and r.stderr.count("\n") == 1
    made = {str(p) for p in Path().rglob("*")} - set(before)
    assert not any(Path(p).is_file() for p in made)
