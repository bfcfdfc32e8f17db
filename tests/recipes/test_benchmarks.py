"""The command for all benchmarks, with small runs."""

import json

import pytest
from click.testing import CliRunner

from recipes.benchmarks.__main__ import ENTRIES, ROOT, main

pytestmark = pytest.mark.slow


def test_two_of_them_into_one_page(tmp_path):
    result = CliRunner().invoke(main, ["--only", "startup", "--only", "poster", "-o", str(tmp_path / "new")])
    assert result.exit_code == 0, result.stderr
    page = (tmp_path / "new" / "benchmarks.md").read_text()
    assert "| A poster of one sample |" in page and "fractalkit --help" in page
    assert result.stdout.strip() == page.strip()
    found = json.loads((tmp_path / "new" / "benchmarks.json").read_text())
    assert set(found["benchmarks"]) == {"startup", "poster"} and found["machine"]["cores"] >= 1
    (rows,) = found["benchmarks"]["startup"]["results"].values()
    assert rows["rows"][0]["median s"] > 0


def test_what_lacks_its_data_or_fails_is_named(tmp_path, monkeypatch):
    lacking = CliRunner().invoke(main, ["--full", "--only", "scans", "-o", str(tmp_path)])
    assert lacking.exit_code == 0 and "| Scans |  | needs --clouds |" in lacking.stdout
    (tmp_path / "photographs").mkdir()
    failing = CliRunner().invoke(
        main, ["--full", "--only", "fractalize", "--photographs", str(tmp_path / "photographs"), "-o", str(tmp_path)]
    )
    assert failing.exit_code == 1 and "failed: " in failing.stderr


def test_they_are_all_there():
    for entry in ENTRIES.values():
        for line in (entry.small, entry.full):
            assert line is None or (ROOT / "recipes" / "benchmarks" / f"{line.split()[0]}.py").is_file()
