"""Run every example in the help texts, in a folder with the files that it names.

Files are tiny; where a number makes the work long (a poster, a hundred million points, an epoch) it alone is made
smaller, by the words of :data:`SMALLER` and :data:`LIMITS`.
"""

import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fractalkit
from fractalkit.cli.main import COMMANDS, main
from fractalkit.codes import preset
from fractalkit.data import save_cloud
from fractalkit.data.mnist import PACKED
from fractalkit.orbit import sample
from tests.cli.test_render import FLAME
from tests.pictures import scene

pytestmark = pytest.mark.slow

SMALLER = [
    ("--points 1e8", "--points 1e5"), ("--res 30000", "--res 300"), ("--res 4096", "--res 256"),
    ("--res 1440 ", "--res 144 "), ("--res 1440x900", "--res 144x90"), ("-n 64 --res 28", "-n 6 --res 28"),
    ("-n 16 --grid", "-n 4 --grid --res 56"), ("--frames 60", "--frames 3 --res 56"), ("--frames 160", "--frames 4"),
    ("--res 700", "--res 70"), ("--res 1600x1200", "--res 64x48"), ("--res 1920", "--res 96"),
    ("--res 1920x1080 --quality 500", "--res 64x36 --quality 5"), ("--add-quality 500", "--add-quality 5"),
    ("--res 2000", "--res 64 --quality 5"), ("--random 16", "--random 2"), ("--mutate 9", "--mutate 2"),
    ("--breed 6", "--breed 2"),
    ("--res 400x300", "--res 40x30"), ("--k 1000 --k-items 200", "--k 10 --k-items 2"), ("--items 1000", "--items 4"),
    ("--steps 20000", ""), ("--steps 5000", ""), ("--sample-every 500", "--sample-every 2"),
    ("--samples 1000", "--samples 100"), ("--grid --res 240", "--grid --res 56"), ("--size 64", "--size 32"),
    ("--maps 16", "--maps 3"), ("--effort 2", "--effort 0"), ("--effort 8", "--effort 6"),
    ("--psnr 34", "--psnr 26"), ("--bytes 20000", "--bytes 1500"), ("--motion-blur 8", "--motion-blur 2"),
    ("coin --bpp 0.3", "coin --bpp 3 --iterations 20"),
    ("neural --bpp 0.4", "neural --bpp 4"), ("--tiles 64", "--tiles 8"), ("--depth 1e9", "--depth 10 --levels 1"),
    ("-o bunny.stl", "-o bunny.stl --points 3000"),
]  # fmt: skip
# what bounds the work of a command's examples, where they themselves do not say
LIMITS = {
    "train": "--steps 2 --batch 4 --valid-items 4 --threads 1",
    "evaluate": "--threads 1 --batch 4",
    "zoom": "--frames 3 --res 48x32",
    "animate": "--frames 3 --quality 2",
    "fractalize": "--tiles 8 --iterations 1 --res 256",
    "ifs": "--effort 0 --maps 3",
}
CLUSTER = "--cluster tcp://10.0.0.1:8786"  # tests/test_jobs.py has a real one
NOT_RUN = {
    "demo": "tests/cli/test_demo.py drives it", "studio": "tests/cli/test_studio.py drives it",
    "completion": "tests/cli/test_completion.py runs it",
}  # fmt: skip


def examples():
    for name in COMMANDS:
        if name in NOT_RUN:
            continue
        text = main.get_command(None, name).epilog or ""
        for line in re.findall(r"^  ((?:fractalkit|torchrun) .*)$", text, re.M):
            yield pytest.param(name, re.split(r"\s{2,}", line)[0], id=re.split(r"\s{2,}", line)[0])


EXAMPLES = list(examples())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Create the files that the examples read."""
    root = tmp_path_factory.mktemp("examples")
    cloud = sample(preset("sierpinski-tetrahedron"), 300, seed=1).points.numpy()
    for name in ("bunny.ply", "horse.ply", "scan.pcd", "scan.ply"):
        save_cloud(root / name, cloud)
    np.savetxt(root / "leaf.csv", sample(preset("maple-leaf"), 300, seed=1).points.numpy(), delimiter=",")
    x = sample(preset("maple-leaf"), 20_000, seed=1).points.numpy()
    leaf = np.histogram2d(x[:, 1], x[:, 0], bins=48)[0][::-1] > 0
    Image.fromarray(np.pad(leaf, 4).astype(np.uint8) * 255).save(root / "leaf.png")
    preset("sierpinski-tetrahedron").save(root / "bunny.ifs.json")
    for name in (
        "photo.png",
        "screenshot.png",
        "photo.jpg",
        "face.jpg",
        "romanesco.jpg",
        "album/a.png",
        "album/b.jpg",
        "scans/a.tif",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(scene(48, 64)).save(root / name)
    Image.fromarray(scene(28, 28, 1)).save(root / "digit.png")
    for name in ("sheep", "a", "b"):
        (root / f"{name}.flame").write_text(FLAME)
    comet = FLAME.replace('name="a"', 'name="comet"')
    for name in ("pack", "keys"):
        (root / f"{name}.flame").write_text(f"<flames>{FLAME}{comet}</flames>")
    (root / "maps.csv").write_text("0.5,0,0,0.5,0,0,0.5\n0.5,0,0,0.5,0.5,0.5,0.5\n")
    bits = np.random.default_rng(0).integers(0, 256, (20, 98), np.uint8)
    (root / "data").mkdir()
    np.savez(root / "data" / PACKED, train=bits, valid=bits[:6], test=bits[:6])
    (root / "data" / "fashion").mkdir()
    for place in (root / "data", root / "data" / "fashion"):
        for name, n in (("train", 120), ("t10k", 20)):
            pixels = np.random.default_rng(n).integers(0, 256, (n, 28, 28), np.uint8)
            head = b"\0\0\x08\x03" + b"".join(v.to_bytes(4, "big") for v in pixels.shape)
            (place / f"{name}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
            labels = bytes(k % 10 for k in range(n))
            (place / f"{name}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + n.to_bytes(4, "big") + labels)
    (root / "photos").mkdir()
    for k in range(6):
        Image.fromarray(scene(40 + k, 50)).save(root / "photos" / f"{k}.png")
    (root / "runs" / "c").mkdir(parents=True)
    (root / "runs" / "c" / "run.toml").write_text('model = "vdvae_mnist"\n[set]\nsmooth = 0.1\n[train]\nlr = 0.001\n')
    (root / "runs" / "a").mkdir()
    weights = Path(fractalkit.__file__).parent / "models" / "weights" / "vdvae_mnist.safetensors"
    shutil.copy(weights, root / "runs" / "a" / "best.safetensors")
    here = Path.cwd()
    os.chdir(root)
    try:
        for line in (
            "ifs bunny.ifs.json --points 1e4", "compress photo.png", "compress album -o packed --jobs 1",
            "render sheep.flame --buffer sheep.safetensors", "compress scan.ply --quality 20",
            "ifs scan.ply --method collage --maps 8 --effort 0 --points 300",
        ):  # fmt: skip
            assert run(line.split()) == 0
    finally:
        os.chdir(here)
    whole = (root / "photo.fk").read_bytes()
    (root / "begun.fk").write_bytes(whole[: len(whole) * 2 // 3])
    return root


def run(words):
    with pytest.raises(SystemExit) as left:
        main.main(words)
    return left.value.code


def shortened(name, line):
    line = line.replace(CLUSTER, "--jobs 1") + " "
    for told, done in SMALLER:
        line = line.replace(told, done)
    words = shlex.split(line)
    given = {w for w in words if w.startswith("-")}
    limits = shlex.split(LIMITS.get(name, ""))
    if name == "ifs" and Path(words[2]).suffix in ("", ".json", ".png", ".fk") and words[2] != "leaf.png":
        limits = []  # a code, which is drawn
    for flag, value in zip(limits[::2], limits[1::2], strict=True):
        if flag not in given:
            words += [flag, value]
    return [os.path.expanduser(w) for w in words]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_it_runs_as_printed(name, line, folder, tmp_path, monkeypatch, capfd):
    # each in a copy, so that none leans on what another has left
    shutil.copytree(folder, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "here"))
    monkeypatch.setenv("FRACTALKIT_DATA", str(tmp_path / "here" / "data"))
    words = shortened(name, line)
    if name == "train" and "--resume" not in words and "runs/a" in words:
        shutil.rmtree("runs/a")
    if "--resume" in words:
        shutil.rmtree("runs/a")  # what --resume finds none of, it begins
    if words[0] == "torchrun":
        words = words[words.index("train") - 1 :]  # its two processes are tests/train's
    if name == "compress":
        shutil.rmtree("packed")  # done files are skipped
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*") if p.is_file()}
    threads = torch.get_num_threads()
    try:
        code = run(words[1:])
    finally:
        torch.set_num_threads(threads)
    out, err = capfd.readouterr()
    assert code == 0, f"{shlex.join(words)}\n{err}"
    made = [p for p in Path().rglob("*") if p.is_file() and p.stat().st_mtime_ns != before.get(p)]
    if not any("--out" in p.opts for p in main.get_command(None, name).params):
        assert out.strip() and not made
    else:
        assert made and all(p.stat().st_size for p in made), out


def test_every_command_has_examples():
    for name in COMMANDS:
        assert "Examples:" in (main.get_command(None, name).epilog or ""), name
    assert len(EXAMPLES) > 60
