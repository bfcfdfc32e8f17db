"""Versions, addresses and the conda recipe agree with pyproject.toml."""

import re
import runpy
import shutil
import tomllib
from pathlib import Path

import pytest

import fractalkit

ROOT = Path(__file__).resolve().parents[1]
CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # names that differ there


def project(root: Path = ROOT) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_conda_recipe_has_our_version_and_requirements():
    yaml = pytest.importorskip("yaml")
    recipe = yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["context"]["version"] == fractalkit.__version__
    assert f">={recipe['context']['python_min']}" == project()["requires-python"]
    wanted = {re.sub(r"^[\w-]+", lambda m: CONDA.get(m[0], m[0]) + " ", r) for r in project()["dependencies"]}
    assert set(recipe["requirements"]["run"]) == wanted | {"python >=${{ python_min }}"}
    entry = recipe["build"]["python"]["entry_points"][0].split(" = ")
    assert project()["scripts"] == {entry[0]: entry[1]}
    assert set(recipe) == {
        "schema_version", "context", "package", "source", "build", "requirements", "tests", "about", "extra",
    }  # fmt: skip


def test_version_and_notes_agree():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(fractalkit.__version__)}\] - \d{{4}}-\d\d-\d\d$", changes, re.M)
    assert f"\nversion: {fractalkit.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_a_release_has_the_addresses_of_its_repository(tmp_path):
    for name in ("pyproject.toml", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path / name)
    assert "github.com" not in str(project(tmp_path)["urls"])
    main = runpy.run_path(str(ROOT / ".ci" / "address"))["main"]
    main("Some-One/Kit", tmp_path)
    urls = project(tmp_path)["urls"]
    assert urls["Source"] == "https://github.com/Some-One/Kit"
    assert urls["Documentation"] == "https://some-one.github.io/kit/"
    assert "\nrepository-code: https://github.com/Some-One/Kit\n" in (tmp_path / "CITATION.cff").read_text()
    for wrong in ("", "one", "https://github.com/a/b", "Some-One/Kit"):
        with pytest.raises(SystemExit):
            main(wrong, tmp_path)
