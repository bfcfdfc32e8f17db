"""Codes of pictures through ``fractalkit ifs``."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fractalkit.codes import AffineIFS, load
from fractalkit.data import load_cloud
from tests.cli.test_cli import here, run  # noqa: F401 - a fixture
from tests.fit.test_picture import lit, triangle


@pytest.mark.slow
def test_a_coloured_picture_gives_its_code_and_files(here: Path) -> None:  # noqa: F811
    inside = np.flipud(lit(triangle(), 96))
    ramp = np.linspace(60, 220, 96)[None, :].repeat(96, 0)
    colours = np.dstack([ramp, 255 - ramp, np.full_like(ramp, 40.0)])
    Image.fromarray(np.where(inside[..., None], colours, 250).astype(np.uint8)).save(here / "leaf.png")
    result = run("ifs", "leaf.png", "--maps", 3, "--effort", 0, "--json")
    assert result.exit_code == 0, result.stderr
    out = json.loads(result.stdout)
    assert out["kind"] == "set" and out["coloured"] and not out["light"] and out["iou"] > 0.9
    assert out["points"] == inside.sum() == len(load_cloud(here / "leaf.ifs.ply"))
    code = load(here / "leaf.ifs.json")
    assert isinstance(code, AffineIFS) and code.provenance["source"] == "leaf.png" and code.lipschitz() < 1
    preview = np.asarray(Image.open(here / "leaf.ifs.png"))
    assert preview.shape[1] == 3 * 640 and isinstance(load(here / "leaf.ifs.png"), AffineIFS)
    again = run("ifs", "leaf.ifs.png", "--points", 500, "-o", "more.npy", "--no-preview")
    assert again.exit_code == 0 and len(load_cloud(here / "more.npy")) == 500
