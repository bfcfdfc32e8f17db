"""The commands ``fractalkit render``, ``zoom`` and ``animate``."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fractalkit.cli.main import main
from fractalkit.codes.flame import read_flames

X = '<xform weight="1" color="{c}" linear="1" coefs="0.5 0 0 0.5 {x} {y}"/>'
FLAME = '<flame name="a" size="32 24" scale="12" quality="5" estimator_radius="0">{}</flame>'.format(
    "".join(X.format(c=c, x=x, y=y) for c, x, y in ((0, 0.5, 0.5), (0.5, -0.5, 0.5), (1, 0, -0.5)))
    + '<color index="0" rgb="255 0 0"/><color index="255" rgb="0 128 255"/>'
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.flame").write_text(FLAME)
    return tmp_path


def run(*words):
    with pytest.raises(SystemExit) as left:
        main.main(list(words))
    return left.value.code


def test_a_flame_its_buffer_and_its_picture_again(folder, capsys):
    assert run("render", "a.flame", "--buffer", "b.safetensors", "--preview", "p.png", "--threads", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["quality"] == 5
    assert run("render", "b.safetensors", "--add-quality", "5", "-o", "b.npy") == 0
    assert np.load("b.npy").shape == (24, 32, 3)
    assert run("render", "a.png", "-o", "again.png", "--threads", "1") == 0  # the picture carries its flame
    with Image.open("a.png") as a, Image.open("again.png") as b:
        assert np.array_equal(np.asarray(a), np.asarray(b))
    (folder / "g.csv").write_text("0.5,0,0,0.5,0,0,0.5\n0.5,0,0,0.5,0.5,0.5,0.5\n")
    assert run("render", "g.csv", "--res", "20x16", "--quality", "2", "--palette", "magma") == 0


def test_a_flame_in_space_is_the_same_for_a_seed(folder, recwarn):
    maps = (
        '<xform weight="1" color="0" coefs="1 0 0 1 0.4 0.1" julia3D="0.8" julia3D_power="3"/>'
        '<xform weight="1" color="1" coefs="0.7 0 0 0.7 0 0" bubble="0.5" zscale="0.3"/>'
    )
    head = '<flame name="s" size="32 24" scale="8" quality="20" cam_pitch="0.9" cam_yaw="0.2" cam_perspective="0.1"'
    for name, more in (("s", ""), ("top", ' cam_zpos="1"')):
        (folder / f"{name}.flame").write_text(f'{head}{more} estimator_radius="0">{maps}</flame>')
    for source, seed, out in (("s", "1", "a1"), ("s", "1", "a2"), ("s", "2", "b"), ("top", "1", "c")):
        assert run("render", f"{source}.flame", "--seed", seed, "--threads", "1", "-o", f"{out}.png") == 0
    one, again, other, moved = (np.asarray(Image.open(f"{n}.png")) for n in ("a1", "a2", "b", "c"))
    assert np.array_equal(one, again) and (one != other).any() and (one != moved).any() and one.max() > 100
    assert run("render", "a1.png", "-o", "a3.png", "--seed", "1", "--threads", "1") == 0  # the picture has its camera
    assert np.array_equal(one, np.asarray(Image.open("a3.png")))
    assert not [w for w in recwarn if "not known" in str(w.message)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["render"], 2, "SOURCE"),
        (["render", "a.flame", "--res", "0"], 2, "--res"),
        (["render", "a.flame", "--quality", "-1"], 2, "quality"),
        (["render", "a.flame", "--index", "7"], 2, "index"),
        (["render", "a.flame", "--palette", "nil"], 2, "palette"),
        (["render", "none.flame"], 1, "none.flame"),
        (["render", "a.flame", "-o", "a.bmp"], 2, "tiff"),
        (["zoom", "a.flame", "--depth", "0.5"], 2, "depth"),
        (["animate", "a.flame", "-o", "x.gif"], 2, "loop"),
        (["render", "--breed", "3", "a.flame"], 2, "two flames"),
        (["render", "--breed", "0", "a.flame", "a.flame"], 2, "1 to 400"),
    ],
)
def test_bad_calls(folder, capsys, words, code, said):
    assert run(*words) == code
    assert said in capsys.readouterr().err


def test_every_flame_of_a_pattern_with_a_sheet_and_a_report(folder, capfd):
    (folder / "b.flame").write_text(FLAME.replace("linear=", "pre_odd_thing='0.5' log#1#='0' linear=") * 2)
    (folder / "c.flame").write_text("<flame>")
    assert run("render", "*.flame", "--all", "-o", "out", "--jobs", "1", "--json") == 1
    said, err = capfd.readouterr()
    told = json.loads(said)
    assert [f["whole"] for f in told["files"]] == [True, False, False] and (told["whole"], told["pictures"]) == (1, 3)
    assert "left out: pre_odd_thing" in told["files"][1]["notes"][-1] and "log#1#" in told["files"][1]["notes"][0]
    assert len(told["failed"]) == 1 and "c.flame" in told["failed"][0] and "Warning" not in err
    report = json.loads((folder / "out/report.json").read_text())
    assert report["sheets"] == ["out/contact-sheet.png"] and len(report["files"]) == 3
    with Image.open("out/contact-sheet.png") as sheet:
        assert np.asarray(sheet).std() > 5
    assert run("render", "*.flame", "--all", "-o", "out", "--jobs", "1") == 1  # pictures there tell for themselves
    assert "1 of 3 are drawn whole" in capfd.readouterr().out
    assert run("render", "b.flame", "--strict") == 1
    said, err = capfd.readouterr()
    assert err.startswith("fractalkit: ") and "pre_odd_thing" in err and not (folder / "b.png").exists()
    assert run("render", "b.flame", "--res", "8x8") == 0
    assert capfd.readouterr().err.count("fractalkit: note: b.flame") >= 2


def test_children_of_two_flames(folder):
    (folder / "b.flame").write_text(FLAME.replace("linear=", "julia="))
    assert run("render", "--breed", "2", "a.flame", "b.flame", "--res", "24", "--quality", "3", "-o", "c.png") == 0
    assert len(read_flames(folder / "c.flame")) == 2
    assert run("render", "--breed", "a.flame", "b.flame", "--res", "24", "--quality", "3", "-o", "a.png") == 2


def test_a_zoom_says_where_a_flame_ends(folder, capsys):
    words = ["zoom", "a.flame", "--frames", "2", "--res", "24x18", "--quality", "3", "-o", "z.gif", "--json"]
    assert run(*words, "--depth", "100") == 0
    said, err = capsys.readouterr()
    told = json.loads(said)
    assert told["limit"] is None and told["depth"] == told["asked_depth"] == 100 and "drawn to" not in err
    at = ",".join(map(str, told["at"]))
    assert run(*words, "--at", at, "--depth", "1e13") == 0
    said, err = capsys.readouterr()
    told = json.loads(said)
    assert told["depth"] < told["asked_depth"] == 1e13 and told["limit"] and told["limit"] in err
    assert run(*words, "--at", "0.01,0.01", "--depth", "100") == 2
    assert "nothing is there" in capsys.readouterr().err


def test_films(folder):
    assert run("zoom", "sierpinski-triangle", "-o", "z.gif", "--frames", "2", "--res", "24x16", "--quality", "3") == 0
    words = ["animate", "a.flame", "--loop", "-o", "f", "--frames", "2", "--quality", "2", "--jobs", "1"]
    assert run(*words) == 0
    (folder / "f" / "frame-000001.png").unlink()
    assert run(*words) == 0
    assert len(list((folder / "f").glob("frame-*.png"))) == 2


def test_zoom_says_where_a_compressed_picture_ends(tmp_path):
    from fractalkit import fk
    from tests.pictures import scene

    (tmp_path / "a.fk").write_bytes(fk.encode(scene(60, 80), quality=20, effort=0).to_bytes())
    words = ["zoom", str(tmp_path / "a.fk"), "-o", str(tmp_path / "a.gif"), "--frames", "2", "--res", "40x30"]
    for depth, said in (("100", False), ("200", True)):  # 64 x 80 / 40 = 128
        r = CliRunner().invoke(main, [*words, "--depth", depth, "--at", "0.4,0.3"])
        assert r.exit_code == 0, r.output
        assert ("beyond x 128" in r.stderr) == said


def test_zoom_into_a_photograph_made_of_itself(tmp_path):
    from tests.pictures import scene

    Image.fromarray(scene(60, 80)).save(tmp_path / "a.png")
    r = CliRunner().invoke(main, ["zoom", str(tmp_path / "a.png"), "-o", str(tmp_path / "z"), "--frames", "3",
                                  "--res", "48x36", "--depth", "1e5", "--at", "0.4,0.3"])  # fmt: skip
    assert r.exit_code == 0, r.output
    frames = sorted((tmp_path / "z").glob("*.png"))
    assert len(frames) == 3
    deep = np.asarray(Image.open(frames[-1]).convert("L"), dtype=float)
    assert deep.shape == (36, 48) and deep.std() > 0.5


def test_a_network_without_samples_is_named():
    words = {"sample --model": "is a neural-collage", "zoom": "nc_aerial_mid: a NeuralCollage has no windows"}
    for command, word in words.items():
        r = CliRunner().invoke(main, [*command.split(), "nc_aerial_mid"])
        assert r.exit_code == 2 and word in r.output


def test_the_former_name_of_res_means_what_it_meant(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("render", "barnsley-fern", "--size", "24", "--quality", "1", "-o", "a.png") == 0
    assert "--size is now --res" in capsys.readouterr().err
    assert run("render", "barnsley-fern", "--res", "24", "--quality", "1", "-o", "b.png") == 0
    assert "--size" not in capsys.readouterr().err
    for name in ("a.png", "b.png"):
        with Image.open(name) as picture:
            assert picture.size == (24, 24)


def test_a_picture_as_jpeg(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ("--res", "40x30", "--quality", "3")
    assert run("render", "maple-leaf", "-o", "leaf.jpg", *small) == 0
    with Image.open("leaf.jpg") as picture:
        assert picture.format == "JPEG" and picture.size == (40, 30)
    assert run("render", "maple-leaf", "-o", "clear.jpg", "--transparent", *small) == 2
    assert "clear.png" in capsys.readouterr().err


def test_presets_are_filmed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ("--frames", "3", "--res", "48", "--quality", "5", "--jobs", "1", "-o", "a.webp")
    assert run("animate", "barnsley-fern", "sierpinski-triangle", *small) == 0
    with Image.open("a.webp") as film:
        assert film.n_frames == 3
        film.seek(1)  # half-way, the attractor still fills the picture
        assert max(np.ptp(np.nonzero(np.asarray(film.convert("L")) > 30), axis=1)) > 36
    assert run("animate", "barnsley-fern", *small) == 2
    assert "two affine codes" in capsys.readouterr().err
