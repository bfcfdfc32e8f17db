"""The README's Python, JSON and links work, its commands exist, and CI runs its test command."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from fractalkit.codes import AffineIFS
from fractalkit.codes.presets import PRESETS
from tests.pictures import scene

# the same words on less data
SMALLER = {"20_000": "500", "effort=2": "effort=0", '"barnsley-fern"': '"sierpinski-triangle"', "maps=4": "maps=3",
           "depth=1000": "depth=1000, frames=2, size=(48, 36)"}  # fmt: skip
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def readme():
    return (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def test_its_python_runs(readme, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(48, 64)).save("photo.jpg")
    names = {}
    for code in blocks(readme, "python"):
        for told, done in SMALLER.items():
            code = code.replace(told, done)
        exec(code, names)
    assert (tmp_path / "fern.png").stat().st_size > 10_000
    assert names["picture"].shape == (48, 64, 3) and names["digits"].shape == (4, 1, 280, 280)
    with Image.open("dive.webp") as film:
        assert film.n_frames == 2
    assert names["same"].matrices.equal(names["code"].matrices)
    assert names["solution"].converged and int(names["counts"].sum()) == 1_000_000
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert names["digit"].shape == (1, 1, 560, 560) and 0.02 < float(names["digit"].mean()) < 0.4
    assert names["fields"].shape[2:] == (64, 64) and bool(names["fields"].isfinite().all())


def test_its_code_is_one(readme):
    (text,) = blocks(readme, "json")
    assert len(AffineIFS.from_dict(json.loads(text))) == 3


def test_its_links_lead_somewhere(readme):
    links = re.findall(r"\]\(([^)]+)\)", readme) + re.findall(r'src="([^"]+)"', readme)
    assert len(links) > 5
    for link in links:
        assert "://" in link or (ROOT / link).is_file(), link


def test_its_commands_exist(readme):
    from fractalkit.cli.main import main

    shell = "\n".join(blocks(readme, "sh"))
    for line in re.findall(r"^(?:.* && )?fractalkit (.*)$", shell, re.M):
        name, *words = line.split("#")[0].split()
        command = main.get_command(None, name)
        known = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)}
        assert {w for w in words if w.startswith("-")} <= known, line
        if name == "ifs" and re.fullmatch(r"[a-z0-9][a-z0-9-]*", words[0]):
            assert words[0] in PRESETS, line
    for module in re.findall(r"python -m (recipes[.\w]+)", readme):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_ci_takes_the_readmes_test_command(readme):
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (expression,) = re.findall(r"command=\$\(sed -n '([^']+)' README\.md\)", script)
    found = subprocess.run(["sed", "-n", expression, str(ROOT / "README.md")], capture_output=True, text=True)
    assert found.stdout == 'pip install ".[test]" && pytest\n'
