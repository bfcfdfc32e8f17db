"""Every notebook script runs at small size, and its rendered notebook has the same cells."""

import json
import re
import runpy
from pathlib import Path

import matplotlib
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2] / "recipes"
SCRIPTS = sorted(p for p in ROOT.glob("*.py") if "format_name: percent" in p.read_text(encoding="utf-8"))


def cells(script: Path) -> list[str]:
    """Return the text of the cells; Markdown cells without comment marks."""
    text = script.read_text(encoding="utf-8").split("# ---\n", 2)[2]
    out = []
    for part in re.split(r"^# %%", text, flags=re.M)[1:]:
        head, _, body = part.partition("\n")
        prose = "[markdown]" in head
        lines = body.strip().splitlines()
        out.append("\n".join(re.sub(r"^# ?", "", line) if prose else line for line in lines).strip())
    return out


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg", "ignore:__array__ implementation")
def test_it_runs(script, monkeypatch, tmp_path):
    monkeypatch.setenv("FRACTALKIT_SMALL", "1")
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import torch

    dtype = torch.get_default_dtype()  # of the whole process, and a notebook may choose its own
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        plt.close("all")
        torch.set_default_dtype(dtype)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_its_rendered_twin_is_up_to_date(script):
    book = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))
    assert ["".join(c["source"]).strip() for c in book["cells"]] == cells(script)
    code = [c for c in book["cells"] if c["cell_type"] == "code"]
    assert all(c["execution_count"] for c in code if "".join(c["source"]).strip())
    assert any("image/png" in o.get("data", {}) for c in code for o in c["outputs"])
