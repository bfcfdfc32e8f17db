"""The command line: outputs, exit codes, standard output and standard error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fractalkit.cli.main import explain, main
from fractalkit.codes import AffineIFS, Flame, Xform, preset
from fractalkit.data import load_cloud, save_cloud
from fractalkit.orbit import sample
from fractalkit.raster.png import save_png


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def refused(result: Result, code: int, *words: str) -> None:
    """Check for one sentence on standard error, no output, and the exit code."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("fractalkit: error: ") and result.stderr.count("\n") == 1
    assert all(w in result.stderr for w in words), result.stderr


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'scipy', 'numba', 'open3d', 'matplotlib'}"
    script = f"""
import sys
from fractalkit.cli.main import main
for args in (["--help"], ["ifs", "--help"], ["info", "--help"], ["--version"]):
    try:
        main(args)
    except SystemExit as end:
        assert end.code == 0
found = {heavy} & set(sys.modules)
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "a fractal that approximates a scan" in done.stdout and "barnsley-fern" in done.stdout


def test_module_runs_and_knows_its_version() -> None:
    from fractalkit import __version__

    done = subprocess.run(
        [sys.executable, "-m", "fractalkit", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"fractalkit {__version__}\n")


def test_a_preset_makes_cloud_code_and_report(here: Path) -> None:
    result = run("ifs", "sierpinski-triangle", "--points", 5000, "--no-preview")
    assert result.exit_code == 0, result.stderr
    assert "similarity dimension 1.5850" in result.stdout
    assert sorted(p.name for p in here.iterdir()) == ["sierpinski-triangle.ifs.json", "sierpinski-triangle.ifs.ply"]
    cloud = load_cloud(here / "sierpinski-triangle.ifs.ply")
    ours = preset("sierpinski-triangle")
    assert np.array_equal(cloud.points, sample(ours, 5000).points.double().numpy())
    assert "code sha256" in cloud.comments[0]
    assert AffineIFS.load(here / "sierpinski-triangle.ifs.json").to_json() == ours.to_json()


def test_a_similarity_dimension_beyond_the_space_is_called_a_bound() -> None:
    from fractalkit.cli.ifs import report_lines
    from fractalkit.render.fractal_files import figures

    told = {"name": "x", "maps": 4, "maps_rule": "given", "dimension": 3, "similarity_dimension": 14.4, "warnings": []}
    told |= {"method": "ifs", "reason": "", "notes": [], "lipschitz": 0.95, "outputs": {}, "seconds": {}, "points": 1}
    assert "14.4000 (an upper bound; the space has 3)" in "\n".join(report_lines(told))
    assert figures(told) == ["4 maps"] and figures(told | {"similarity_dimension": 2.5})[1] == "dimension 2.500"


def test_up_turns_the_picture(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def picture(*_: object, up: str, **__: object) -> np.ndarray:
        asked.append(up)
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr("fractalkit.render.fractal_files.draw_preview", picture)
    for words in ([], ["--up", "y"]):
        assert run("ifs", "menger-sponge", "--points", 100, *words).exit_code == 0
    assert asked == ["auto", "y"]
    refused(run("ifs", "menger-sponge", "--up", "w"), 2, "--up")


@pytest.mark.slow
def test_json_is_one_object_and_nothing_else(here: Path) -> None:
    code = here / "a.ifs.json"
    code.write_text(preset("barnsley-fern").to_json())
    command = [sys.executable, "-m", "fractalkit", "ifs", "a.ifs.json", "--points", "2000", "--json", "-o", "b.csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=here, check=False)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert out["maps"] == 4 and out["points"] == 2000 and set(out["outputs"]) == {"cloud", "preview"}
    assert out["floor_attractor"]["chamfer"] > 0
    assert len(load_cloud(here / "b.csv")) == 2000
    # the picture carries the code, and can be drawn again
    told = json.loads(run("info", here / "b.ifs.png", "--json").stdout)
    assert told["code"]["maps"] == 4 and told["seed"] == "0" and "--points 2000" in told["command"]
    again = run("ifs", here / "b.ifs.png", "--points", 2000, "--no-preview", "-o", "c.csv")
    assert again.exit_code == 0, again.stderr
    assert (here / "c.csv").read_text() == (here / "b.csv").read_text()


def test_a_coloured_cloud_is_fitted(here: Path) -> None:
    x = sample(preset("sierpinski-triangle"), 1500, seed=3).points.numpy()
    rgb = np.stack([x[:, 0] > 0, x[:, 0] <= 0, np.zeros(len(x))], axis=1).astype(np.float32)
    save_cloud(here / "cloud.ply", x, rgb)
    result = run("ifs", "cloud.ply", "--maps", 3, "--effort", 0, "--no-preview", "--json")
    assert result.exit_code == 0, result.stderr
    out = json.loads(result.stdout)
    assert out["maps"] == 3 and out["points"] == 1500 and out["even"] is True
    assert out["comparison"]["chamfer"] < 3 * out["floor_input"]["chamfer"]
    assert out["collage_bound"] >= out["comparison"]["chamfer"]
    fitted = load_cloud(here / "cloud.ifs.ply")
    assert fitted.dim == 2 and fitted.colours is not None
    right = fitted.points[:, 0] > 0.2
    assert fitted.colours[right, 0].mean() > 0.7 > 0.3 > fitted.colours[right, 1].mean()
    code = AffineIFS.load(here / "cloud.ifs.json")
    assert code.name == "cloud" and code.provenance["source"] == "cloud.ply"
    assert code.provenance["figures"]["comparison"] == out["comparison"]


def test_far_from_the_origin_nothing_is_rounded_away(here: Path) -> None:
    from dataclasses import replace

    import torch

    ours = preset("sierpinski-triangle")
    shift = torch.tensor([5e6, -3e6], dtype=torch.float64)
    far = replace(ours, offsets=ours.offsets + shift - ours.matrices @ shift)
    (here / "far.ifs.json").write_text(far.to_json())
    assert run("ifs", "far.ifs.json", "--points", 3000, "--no-preview").exit_code == 0
    near = sample(ours, 3000, dtype=torch.float64).points
    there = torch.from_numpy(load_cloud(here / "far.ifs.ply").points)
    assert float((there - shift - near).abs().max()) < 1e-6


def test_list(here: Path) -> None:
    shown = run("ifs", "--list")
    assert shown.exit_code == 0
    assert any(line.split()[:3] == ["barnsley-fern", "4", "2D"] for line in shown.stdout.splitlines())
    rows = json.loads(run("ifs", "--list", "--json").stdout)["presets"]
    assert {"name", "title", "maps", "dimension", "source"} == set(rows[0])


def test_info(here: Path) -> None:
    (here / "a.ifs.json").write_text(preset("menger-sponge").to_json())
    told = json.loads(run("info", "a.ifs.json", "--json").stdout)
    assert told["maps"] == 20 and told["dimension"] == 3 and len(told["norms"]) == 20
    assert abs(told["similarity_dimension"] - np.log(20) / np.log(3)) < 1e-9
    save_cloud(here / "a.ply", np.eye(3), np.eye(3), "made by hand")
    shown = run("info", "a.ply")
    assert shown.exit_code == 0 and "made by hand" in shown.stdout
    told = json.loads(run("info", "a.ply", "--json").stdout)
    assert (told["points"], told["colours"], told["low"], told["high"]) == (3, True, [0, 0, 0], [1, 1, 1])


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (["ifs"], 2, "SOURCE"),
        (["ifs", "barnsley-fern", "--maps", "3"], 2, "--maps"),
        (["ifs", "barnsley-fern", "--effort", "3"], 2, "--effort"),
        (["ifs", "barnsley-fern", "--maps", "none"], 2, "auto"),
        (["ifs", "barnsley-fern", "--maps", "0"], 2, "auto"),
        (["ifs", "x.ply", "--maps", "0"], 1, "x.ply: there is no such file"),
        (["render", "x.flame", "--res", "nan"], 1, "x.flame: there is no such file"),
        (["info", ""], 2, "one of the words is empty"),
        (["ifs", "barnsley-fern", "--points", "0"], 2, "--points"),
        (["ifs", "barnsley-fern", "--points", "1.5"], 2, "--points"),
        (["ifs", "barnsley-fern", "--points", "nan"], 2, "--points"),
        (["ifs", "barnsley-fern", "--preview", "a.png", "--no-preview"], 2, "contradict"),
        (["ifs", "barnsley-fern", "--preview", "a.jpg"], 2, "PNG"),
        (["ifs", "barnsley-fern", "--code", "a.txt"], 2, "JSON"),
        (["ifs", "barnsley-fern", "-o", "a.docx"], 2, "suffix"),
        (["ifs", "barnsley-fern", "-o", "a.ply", "--code", "no/a.json"], 1, "does not exist"),
        (["ifs", "barnsley-fern", "-o", "no/a.ply"], 1, "does not exist"),
        (["ifs", "barnsley-fern", "--points", "3e7", "--even"], 2, "--chaos"),
        (["ifs", "barnsley-fern", "--device", "tpu"], 2, "device"),
        (["ifs", "barnsley-ferm"], 1, "barnsley-fern"),
        (["ifs", "missing.ply"], 1, "no such file"),
        (["ifs", "missing.ifs.json"], 1, "missing.ifs.json"),
        (["info", "missing.ply"], 1, "no such file"),
        (["info", "."], 1, "folder"),
        (["frobnicate"], 2, "frobnicate"),
        (["ifs", "--frobnicate"], 2, "frobnicate"),
    ],
)
def test_refusals(here: Path, args: list[str], code: int, word: str) -> None:
    refused(run(*args), code, word)
    assert not list(here.iterdir())


def test_broken_sources(here: Path) -> None:
    (here / "cut.ply").write_bytes(
        b"ply\nformat ascii 1.0\nelement vertex 1000000000000\nproperty float x\nend_header\n"
    )
    steep = preset("sierpinski-triangle").to_dict()
    steep["maps"][1]["matrix"][0][0] = 1.5
    (here / "steep.ifs.json").write_text(json.dumps(steep))
    (here / "few.xyz").write_text("0 0 0\n1 1 1\n")
    (here / "plain.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    before = {p.name: p.read_bytes() for p in here.iterdir()}
    refused(run("ifs", "cut.ply"), 1, "cut.ply", "bytes are left")
    refused(run("ifs", "steep.ifs.json"), 1, "steep.ifs.json", "maps[1].matrix", "1.5")
    refused(run("ifs", "few.xyz", "--method", "ifs"), 1, "few.xyz", "2 distinct")
    refused(run("ifs", "plain.png"), 1, "plain.png")
    refused(run("info", "cut.ply", "--json"), 1, "cut.ply")
    assert {p.name: p.read_bytes() for p in here.iterdir()} == before


def test_the_input_is_never_overwritten(here: Path) -> None:
    code = here / "a.ifs.json"
    code.write_text(preset("sierpinski-triangle").to_json())
    before = code.read_bytes()
    refused(run("ifs", "a.ifs.json", "--code", "./a.ifs.json"), 2, "overwrite the input")
    save_cloud(here / "b.ply", np.random.default_rng(0).random((50, 2)))
    refused(run("ifs", "b.ply", "-o", here / "b.ply"), 2, "overwrite the input")
    refused(run("ifs", "sierpinski-triangle", "--code", "x.json", "-o", "x.ply", "--preview", "x.json"), 2, "PNG")
    assert code.read_bytes() == before and sorted(p.name for p in here.iterdir()) == ["a.ifs.json", "b.ply"]


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (OSError(28, "No space left on device", "a.ply"), 1, "disk is full"),
        (PermissionError(13, "Permission denied", "a.ply"), 1, "a.ply: Permission denied"),
        (MemoryError(), 1, "memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division by zero"), 1, "FRACTALKIT_DEBUG"),
    ],
)
def test_an_error_while_drawing_leaves_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, word: str
) -> None:
    from fractalkit.data.writers import CloudWriter

    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(CloudWriter, "write", fail)
    monkeypatch.delenv("FRACTALKIT_DEBUG", raising=False)
    result = run("ifs", "sierpinski-triangle", "--points", 100, "--no-preview")
    assert result.exit_code == code
    assert "fractalkit: error: " in result.stderr and word in result.stderr and "Traceback" not in result.stderr
    assert not list(here.iterdir())


def test_debug_shows_the_traceback(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTALKIT_DEBUG", "1")
    result = run("ifs", "missing.ply")
    assert result.exit_code == 1 and "Traceback" in result.stderr


def test_explain_takes_only_the_first_line() -> None:
    assert explain(RuntimeError("one\ntwo")) == ("unexpected RuntimeError: one (FRACTALKIT_DEBUG=1 shows where)", 1)


def test_a_picture_without_a_subject_is_refused(here: Path) -> None:
    save_png(here / "plain.png", np.zeros((40, 40, 3), np.uint8))
    refused(run("ifs", "plain.png", "--maps", 3), 1, "plain.png", "plain ground", "--threshold")
    refused(run("ifs", "plain.png", "--method", "collage"), 2, "--method collage", "for clouds")
    refused(run("ifs", "sierpinski-triangle", "--threshold", 0.5), 2, "--threshold", "picture")
    assert sorted(p.name for p in here.iterdir()) == ["plain.png"]
    refused(run("ifs", "gone.ply", "--points", 0), 1, "gone.ply", "no such file")


def test_a_code_of_another_kind_is_named(here: Path) -> None:
    Flame(xforms=(Xform(weight=1.0, variations={"linear": 1.0}),)).save(here / "a.flame")
    refused(run("ifs", "a.flame", "--maps", 3), 1, "a.flame: holds a flame", "fractalkit render")


FLAME = """<flames><flame name="{name}" size="40 30" center="0 0.1" scale="20" cam_pitch="0.5" mystery="1">
<xform weight="1" color="0" swirl="0.5" oddity="0.25" coefs="0.5 0 0 0.5 0 0"/>
<xform weight="2" color="1" blob="0.5" blob_low="0.2" coefs="0.5 0 0 0.5 1 0"/>
<finalxform color="0" spherical="1" coefs="1 0 0 1 0 0"/></flame></flames>"""


def test_info_of_flames(here: Path) -> None:
    (here / "a.flame").write_text(FLAME.format(name="a"))
    out = run("info", "a.flame", "--json")
    assert out.stderr == ""
    told = json.loads(out.stdout)
    assert (told["kind"], told["name"], told["width"], told["height"]) == ("flame", "a", 40, 30)
    assert [m["weight"] for m in told["maps"]] == [1, 2] and told["maps"][1]["variations"] == {"blob": 0.5}
    assert told["variations"] == ["blob", "spherical", "swirl"] and told["unknown_variations"] == ["oddity"]
    assert told["camera"] == {"center": [0, 0.1], "scale": 20, "zoom": 0, "rotate": 0, "cam_pitch": 0.5}
    assert told["final"]["variations"] == {"spherical": 1} and told["unknown_attributes"] == ["mystery"]
    shown = run("info", "a.flame").stdout
    assert "map 2" in shown and "oddity" in shown and "cam pitch" in shown
    (here / "two.flame").write_text(f"<all>{FLAME.format(name='a')}{FLAME.format(name='b')}</all>")
    told = json.loads(run("info", "two.flame", "--json").stdout)
    assert told["count"] == 2 and [f["name"] for f in told["flames"]] == ["a", "b"]
    assert "flame 2" in run("info", "two.flame").stdout


def test_info_of_a_picture_of_flames(here: Path) -> None:
    save_png(here / "a.png", np.zeros((4, 4, 3), np.uint8), {"fractalkit:flame": FLAME.format(name="a"), "Title": "t"})
    told = json.loads(run("info", "a.png", "--json").stdout)
    assert told["kind"] == "picture" and told["flame"]["name"] == "a" and told["text"] == {"Title": "t"}


def test_idle_threads_sleep_unless_told_otherwise():
    code = """
import os
from fractalkit.cli.main import main
try:
    main(["--version"])
except SystemExit:
    print(os.environ["OMP_WAIT_POLICY"])
"""
    free = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "KMP_"))}
    for given, got in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        done = subprocess.run([sys.executable, "-c", code], env=free | given, capture_output=True, text=True)
        assert done.stdout.split()[-1] == got
