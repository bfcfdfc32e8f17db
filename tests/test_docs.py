"""Pages in docs: generated pages are up to date, and links are valid."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "gallery" / "README.md"])


def test_the_command_reference_is_up_to_date():
    done = subprocess.run([sys.executable, "docs/make.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) + re.findall(r'src="([^"]+)"', text):
        assert "://" in link or (page.parent / link).exists(), link


def test_the_licences_of_all_requirements_are_listed_and_none_spreads():
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \**([a-z0-9-]+)\** \| ([^|]+) \|", text, re.M))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = [r for name, extra in project["optional-dependencies"].items() if name != "dev" for r in extra]
    for requirement in [*project["dependencies"], *optional]:
        name = re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()
        elsewhere = name == "open3d"  # the same library under the name that it has on other systems
        assert name in rows or name == "fractalkit" or elsewhere, f"{name}: python docs/make.py renews docs/licences.md"
    bad = {n: terms for n, terms in rows.items() if "GPL" in terms and "LGPL" not in terms and "exception" not in terms}
    assert not bad, bad
