"""``fractalkit render``, ``zoom`` and ``animate`` as they are called."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fractalkit.cli.main import main

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
    assert run("render", "g.csv", "--size", "20x16", "--quality", "2", "--palette", "magma") == 0


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
        (["render", "a.flame", "--size", "0"], 2, "size"),
        (["render", "a.flame", "--quality", "-1"], 2, "quality"),
        (["render", "a.flame", "--index", "7"], 2, "index"),
        (["render", "a.flame", "--palette", "nil"], 2, "palette"),
        (["render", "none.flame"], 1, "none.flame"),
        (["render", "a.flame", "-o", "a.bmp"], 2, "tiff"),
        (["zoom", "a.flame", "--depth", "0.5"], 2, "depth"),
        (["animate", "a.flame", "-o", "x.gif"], 2, "loop"),
    ],
)
def test_bad_calls(folder, capsys, words, code, said):
    assert run(*words) == code
    assert said in capsys.readouterr().err


def test_films(folder):
    assert run("zoom", "sierpinski-triangle", "-o", "z.gif", "--frames", "2", "--size", "24x16", "--quality", "3") == 0
    words = ["animate", "a.flame", "--loop", "-o", "f", "--frames", "2", "--quality", "2", "--jobs", "1"]
    assert run(*words) == 0
    (folder / "f" / "frame-000001.png").unlink()
    assert run(*words) == 0
    assert len(list((folder / "f").glob("frame-*.png"))) == 2


def test_zoom_says_where_a_compressed_picture_ends(tmp_path):
    from fractalkit import fk
    from tests.pictures import scene

    (tmp_path / "a.fk").write_bytes(fk.encode(scene(60, 80), quality=20, effort=0).to_bytes())
    words = ["zoom", str(tmp_path / "a.fk"), "-o", str(tmp_path / "a.gif"), "--frames", "2", "--size", "40x30"]
    for depth, said in (("100", False), ("200", True)):  # 64 x 80 / 40 = 128
        r = CliRunner().invoke(main, [*words, "--depth", depth, "--at", "0.4,0.3"])
        assert r.exit_code == 0, r.output
        assert ("beyond x 128" in r.stderr) == said


def test_zoom_into_a_photograph_made_of_itself(tmp_path):
    from tests.pictures import scene

    Image.fromarray(scene(60, 80)).save(tmp_path / "a.png")
    r = CliRunner().invoke(main, ["zoom", str(tmp_path / "a.png"), "-o", str(tmp_path / "z"), "--frames", "3",
                                  "--size", "48x36", "--depth", "1e5", "--at", "0.4,0.3"])  # fmt: skip
    assert r.exit_code == 0, r.output
    frames = sorted((tmp_path / "z").glob("*.png"))
    assert len(frames) == 3
    deep = np.asarray(Image.open(frames[-1]).convert("L"), dtype=float)
    assert deep.shape == (36, 48) and deep.std() > 0.5


def test_a_network_without_samples_is_named():
    for command in (["sample", "--model"], ["zoom"]):
        r = CliRunner().invoke(main, [*command, "nc_aerial_mid"])
        assert r.exit_code == 2 and "is a neural-collage" in r.output
