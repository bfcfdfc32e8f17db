"""Every command that decodes a contraction does it through the one recursion and the one verb of core."""

from collections import Counter

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import fractalkit.core.levels as levels
import fractalkit.core.solution as solution
from fractalkit.cli.main import main
from tests.models.tiny import build
from tests.pictures import scene

DECODES = {
    "sample": "sample --model tiny.safetensors --res 40 -o digit.png",
    "sample one window": "sample --model tiny.safetensors --res 1e6 --window 500000,0,500016,16 -o digit.png",
    "sample a walk": "sample --model tiny.safetensors --res 12 --interpolate 1 2 --frames 2 -o walk.gif",
    "compress": "compress photo.png --effort 0 -o photo.fk",
    "decompress": "decompress maps.fk -o back.png",
    "decompress larger": "decompress maps.fk --res 2x -o back.png",
    "decompress a neural collage": "decompress neural.fk -o back.png",
    "decompress it larger": "decompress neural.fk --res 2x -o back.png",
    "fractalize": "fractalize photo.png --tiles 6 --res 60 -o itself.png",
    "fractalize with a style": "fractalize photo.png --style photo.png --tiles 6 --res 60 -o itself.png",
    "zoom into a photograph": "zoom photo.png --frames 1 --res 24x16 --depth 10 -o dive.gif",
    "zoom into a compressed picture": "zoom maps.fk --frames 1 --res 24x16 --depth 3 -o dive.gif",
    "zoom into a sample": "zoom tiny.safetensors --frames 1 --res 24x16 --depth 10 -o dive.gif",
}
ORBITS = {  # these follow orbits, or read files only
    "ifs": "ifs sierpinski-triangle --points 500 --no-preview -o points.ply",
    "render": "render sierpinski-triangle --res 24 --quality 1 -o fern.png",
    "zoom into a code": "zoom sierpinski-triangle --frames 1 --res 24x16 --quality 2 --depth 4 -o dive.gif",
    "info": "info maps.fk",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from fractalkit import fk

    here = tmp_path_factory.mktemp("trace")
    a = scene(64, 64)
    Image.fromarray(a).save(here / "photo.png")
    (here / "maps.fk").write_bytes(fk.encode(a, method="pifs", quality=50).to_bytes())
    (here / "neural.fk").write_bytes(fk.encode(a, method="neural", bpp=0.8).to_bytes())
    build().save_pretrained(here / "tiny.safetensors")
    return here


@pytest.fixture
def trace(monkeypatch):
    """Counts of solves, by the kind of map, and of windows that were asked for."""
    count: Counter = Counter()
    iterate, windows = solution._iterate, levels.Levels._windows

    def solved(map, *args, **options):
        count[f"solve {type(map).__name__}"] += 1
        return iterate(map, *args, **options)

    def asked(self, needs):
        count["fixed_point"] += 1
        return windows(self, needs)

    monkeypatch.setattr(solution, "_iterate", solved)
    monkeypatch.setattr(levels.Levels, "_windows", asked)
    return count


def run(words, folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main, words.split())
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", DECODES)
def test_what_decodes_a_contraction_is_solved_in_core(name, folder, trace, monkeypatch):
    run(DECODES[name], folder, monkeypatch)
    assert sum(n for what, n in trace.items() if what.startswith("solve ")) >= 1, dict(trace)


@pytest.mark.parametrize("name", ORBITS)
def test_what_follows_an_orbit_needs_no_solver(name, folder, trace, monkeypatch):
    run(ORBITS[name], folder, monkeypatch)
    assert not trace


def test_training_and_evaluation_go_the_same_way(trace):
    model, noise = build(), torch.Generator().manual_seed(0)
    x = torch.from_numpy(np.random.default_rng(0).random((2, 1, 6, 6))).float().round()
    model.losses(x, noise, 0)["loss"].backward()
    assert trace["solve OrbitMap"] >= 2  # the points of the likelihood, and a finer window
    trace.clear()
    model.eval_losses(x, noise)
    assert trace["solve OrbitMap"] == 1 and trace["fixed_point"] >= 1


def test_pictures_of_measures_go_the_same_way(trace):
    from fractalkit.codes import preset
    from fractalkit.core import fixed_point
    from fractalkit.maps.convert import to_map

    assert abs(float(fixed_point(to_map(preset("sierpinski-triangle"), (32, 32))).sum()) - 1) < 1e-6
    assert trace["solve MeasureMap"] == 4  # 32, 16, 8 and 4 cells a side
