"""Collages through ``fractalkit ifs`` and ``info``: methods, outputs, awkward clouds and damaged codes."""

import json
from pathlib import Path

import numpy as np
import pytest

from fractalkit.codes import AffineIFS, CloudCollage, load, preset
from fractalkit.data import load_cloud, save_cloud
from fractalkit.orbit import sample
from tests.cli.test_cli import here, refused, run  # noqa: F401 - a fixture
from tests.codes.test_cloud_collage import random_collage


def sphere(n: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_a_scan_becomes_a_collage_and_its_files_open_again(here: Path) -> None:  # noqa: F811
    x = sphere(1500)
    save_cloud(here / "ball.ply", x, (x + 1) / 2)
    result = run("ifs", "ball.ply", "--method", "collage", "--maps", 40, "--effort", 0, "--json")
    assert result.exit_code == 0, result.stderr
    out = json.loads(result.stdout)
    assert out["method"] == "collage" and out["maps"] == 40 and out["points"] == 1500 and out["coloured"]
    assert out["comparison"]["chamfer"] < 2 * out["floor_input"]["chamfer"]
    assert out["code_bytes"] == (here / "ball.ifs.json").stat().st_size
    drawn = load_cloud(here / "ball.ifs.ply")
    assert len(drawn) == 1500 and abs(np.linalg.norm(drawn.points, axis=1).mean() - 1) < 0.05
    assert drawn.colours is not None and np.abs(drawn.colours - (drawn.points + 1) / 2).mean() < 0.1
    code = load(here / "ball.ifs.json")
    assert isinstance(code, CloudCollage) and code.provenance["figures"]["comparison"] == out["comparison"]
    assert isinstance(load(here / "ball.ifs.png"), CloudCollage)
    told = json.loads(run("info", "ball.ifs.json", "--json").stdout)
    assert told["ranges"] == 40 and told["lipschitz"] < 1
    again = run("ifs", "ball.ifs.json", "--points", 3000, "-o", "more.npy", "--no-preview")
    assert again.exit_code == 0 and "40 ranges of a collage" in again.stdout
    assert len(load_cloud(here / "more.npy")) == 3000


@pytest.mark.slow
def test_the_method_is_chosen_by_the_cloud(here: Path) -> None:  # noqa: F811
    save_cloud(here / "triangle.ply", sample(preset("sierpinski-triangle"), 1500, seed=3).points.numpy())
    save_cloud(here / "ball.ply", sphere(1500))
    plain = run("ifs", "triangle.ply", "--effort", 0, "--no-preview")
    assert plain.exit_code == 0 and "the cloud is an attractor" in plain.stdout, plain.stderr
    assert isinstance(load(here / "triangle.ifs.json"), AffineIFS)
    other = run("ifs", "ball.ply", "--effort", 0, "--no-preview")
    assert other.exit_code == 0 and "no attractor of few maps" in other.stdout, other.stderr
    assert isinstance(load(here / "ball.ifs.json"), CloudCollage)


def awkward() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    line = np.linspace(0, 1, 50)[:, None]
    return {
        "one": np.array([[1.0, 2.0, 3.0]]),
        "three": np.eye(3),
        "twenty": rng.random((20, 3)),
        "planar": np.c_[rng.random((60, 2)), np.zeros(60)],
        "collinear": line * [1.0, 2.0, 3.0],
        "duplicates": np.repeat(rng.random((5, 3)), 20, axis=0),
        "clusters": np.r_[rng.random((60, 3)), rng.random((60, 3)) + 1e4],
        "outliers": np.r_[rng.random((200, 3)), np.full((2, 3), 1e6)],
        "plane": rng.random((80, 2)),
    }


@pytest.mark.parametrize("name", awkward())
def test_awkward_clouds_are_fitted(here: Path, name: str) -> None:  # noqa: F811
    x = awkward()[name]
    np.save(here / "cloud.npy", x)
    result = run("ifs", "cloud.npy", "--method", "collage", "--maps", 8, "--effort", 0, "--points", 100)
    assert result.exit_code == 0, result.stderr
    assert ("2 strays" in result.stdout) == (name == "outliers")
    drawn = load_cloud(here / "cloud.ifs.ply").points
    assert len(drawn) == 100 and np.isfinite(drawn).all()
    inside = x[(np.abs(x) < 1e5).all(1)]
    span = max(float(np.ptp(inside, axis=0).max()), 1e-3)
    near = ((drawn >= inside.min(0) - span) & (drawn <= inside.max(0) + span)).all(1)
    assert near.all()


def test_strays_are_kept_where_asked(here: Path) -> None:  # noqa: F811
    np.save(here / "cloud.npy", awkward()["outliers"])
    options = ["--method", "collage", "--maps", 8, "--effort", 0, "--points", 100, "--no-preview"]
    result = run("ifs", "cloud.npy", *options, "--keep-strays", "--json")
    report = json.loads(result.stdout)
    assert report["input"]["points"] == 202 and not any("stray" in note for note in report["notes"])


@pytest.mark.slow
def test_few_points_are_fitted_without_a_method(here: Path) -> None:  # noqa: F811
    np.savetxt(here / "few.xyz", np.eye(3))
    result = run("ifs", "few.xyz", "--no-preview")
    assert result.exit_code == 0 and "no plain IFS can be fitted to it" in result.stdout, result.stderr


def test_options_of_collages(here: Path) -> None:  # noqa: F811
    refused(run("ifs", "missing.ply", "--method", "ifs", "--maps", 100), 1, "no such file")
    np.save(here / "a.npy", sphere(50))
    refused(run("ifs", "a.npy", "--method", "ifs", "--maps", 100), 2, "at most 64", "--method collage")
    refused(run("ifs", "a.npy", "--maps", 70_000), 2, "65,536")
    refused(run("ifs", "a.npy", "--code", "a.txt"), 2, "safetensors")
    refused(run("ifs", "sierpinski-triangle", "--method", "collage"), 2, "--method")
    assert [p.name for p in here.iterdir()] == ["a.npy"]
    # a plain IFS in a file of tensors is a collage of one vertex
    assert run("ifs", "sierpinski-triangle", "--points", 100, "--no-preview", "--code", "s.safetensors").exit_code == 0
    assert isinstance(load(here / "s.safetensors"), CloudCollage)
    assert run("ifs", "s.safetensors", "--points", 100, "--no-preview").exit_code == 0


def test_damaged_codes_are_refused(here: Path) -> None:  # noqa: F811
    good = json.loads(random_collage(1, scale=0.2, spread=0.3).to_json())
    changes = {
        "expands": lambda d: [r.update(matrix=(2 * np.eye(3)).tolist()) for r in d["ranges"]],
        "absent": lambda d: d["ranges"][2].update(domain=[3, 99]),
        "nan": lambda d: d["ranges"][2].update(weight=float("nan")),
        "many": lambda d: d.update(ranges=d["ranges"][:1] * 70_000),
    }
    words = {"expands": "does not contract", "absent": "domains[2]", "nan": "weight", "many": "65,536"}
    for name, change in changes.items():
        data = json.loads(json.dumps(good))
        change(data)
        (here / f"{name}.ifs.json").write_text(json.dumps(data))
        for command in ("ifs", "info"):
            refused(run(command, f"{name}.ifs.json"), 1, f"{name}.ifs.json", words[name])
    random_collage(1, scale=0.2, spread=0.3).save(here / "cut.safetensors")
    whole = (here / "cut.safetensors").read_bytes()
    (here / "cut.safetensors").write_bytes(whole[:-9])
    refused(run("ifs", "cut.safetensors"), 1, "cut.safetensors")
