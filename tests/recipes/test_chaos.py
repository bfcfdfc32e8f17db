"""Benchmarks of the chaos game at tiny size: every method, the tables, the files."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from fractalkit.codes import preset
from recipes.benchmarks import chaos, report
from recipes.benchmarks.limits import fill, increments, random_words


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    return tmp_path


def run(*words):
    got = CliRunner().invoke(chaos.main, words, catch_exceptions=False)
    assert got.exit_code == 0, got.output
    return got.output


def test_rates_at_tiny_size(results):
    sizes = ["--points", "2e5", "--slow", "1e5", "--stored", "1e5", "--quality", "2", "--repeats", "1"]
    out = run("rates", *sizes, "--threads", "2")
    assert "numba, 2 threads" in out and "counts over the faster eager torch" in out
    data = json.loads((results / "chaos_rates.json").read_text())
    assert all(row["M/CPU-s"] > 0 for row in data["rows"]) and len(data["rows"]) >= 9
    assert [v["target"] for v in data["summary"] if "a core" in v["figure"]] == [200, 60, 60]
    assert data["machine"]["cores"] >= 1 and data["repeats"] == 1


def test_memory_at_tiny_size(results, tmp_path):
    run("memory", "--points", "1e4", "--counted", "1e5", "--folder", str(tmp_path))
    ply, counts = json.loads((results / "chaos_memory.json").read_text())["rows"]
    assert ply["points"] == 10_000 and 10 < ply["peak MiB"] < 4000 and 10 < counts["peak MiB"] < 4000


def test_startup_at_tiny_size(results):
    assert "fractalkit --help" in run("startup", "--repeats", "1")
    first = json.loads((results / "chaos_startup.json").read_text())["rows"][0]
    assert 0 < first["best"] <= first["median s"] <= first["worst"]


def test_a_machine_without_a_card_is_told_so(monkeypatch):
    monkeypatch.setattr(chaos.torch.cuda, "is_available", lambda: False)
    assert run("cuda").startswith("skipped")


def test_a_number_of_points_that_is_none_is_refused():
    got = CliRunner().invoke(chaos.main, ["rates", "--points", "many"])
    assert got.exit_code == 2 and "'many' is not a number of points" in got.output


def test_the_usual_loop_draws_the_same_fern():
    mine = chaos.usual_loop(preset("barnsley-fern"), 1 << 20).numpy().reshape(100, 10, 100, 10).sum((1, 3))
    ours = increments(chaos.pixels(preset("barnsley-fern"), 1 << 20), chaos.SIDE**2, 1 << 20)
    ours = ours.reshape(100, 10, 100, 10).sum((1, 3))
    assert mine.sum() == ours.sum() == 1 << 20
    assert np.abs(mine - ours.astype(float)).sum() / mine.sum() < 0.1  # what two samples differ by


def test_limits_do_the_work_they_are_timed_for():
    assert random_words(1) != random_words(2)
    assert (fill(np.zeros((9, 3), np.float32)) == 1).all()
    places = np.array([0, 3, 3, 1], np.int32)
    assert increments(places, 4, 6).tolist() == [2, 1, 0, 3]


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_atomic_increments_in_tritons_interpreter():
    code = """
import torch
from recipes.benchmarks import limits_cuda
limits_cuda.PER_PROGRAM = 2
places = torch.arange(3000, dtype=torch.int32) % 7
got = limits_cuda.atomic_increments(places, 8, 5000)
assert got.tolist() == torch.bincount(places[torch.arange(5000) % 3000], minlength=8).tolist(), got
"""
    env = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("flam3-render") is None, reason="needs flam3-render")
def test_flam3_draws_the_fern_upright_in_the_same_square(tmp_path):
    from PIL import Image

    code = preset("barnsley-fern")
    out = tmp_path / "fern.png"
    subprocess.run(
        ["flam3-render"], input=chaos.flame(code, 20), text=True, check=True, capture_output=True,
        env={"nthreads": "1", "out": str(out), "seed": "1", "isaac_seed": "1"},
    )  # fmt: skip
    with Image.open(out) as image:
        theirs = np.asarray(image.convert("L"), dtype=float)[::-1] > 30
    ours = increments(chaos.pixels(code, 1 << 22), chaos.SIDE**2, 1 << 22).reshape(1000, 1000) > 0
    coarse = [a.reshape(50, 20, 50, 20).any((1, 3)) for a in (theirs, ours)]
    assert (coarse[0] & coarse[1]).sum() / (coarse[0] | coarse[1]).sum() > 0.9
