"""Public names: those in the README's table exist, and the top-level functions work."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import types
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fractalkit
from fractalkit.codes import AffineIFS, CollageCode, Flame, QuadtreeCode, Xform
from fractalkit.errors import DataError, UsageError

ROOT = Path(fractalkit.__file__).parent
PACKAGES = sorted(f"fractalkit.{p.name}" for p in pkgutil.iter_modules(fractalkit.__path__) if p.ispkg)


def promised() -> list[tuple[str, str]]:
    """List the (package, name) pairs in the README's table of packages."""
    text = (ROOT.parent / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| package | contents |") :].split("\n\n")[0]
    out = []
    for row in table.splitlines()[2:]:
        package, content = (cell.strip() for cell in row.strip("|").split("|"))
        out += [(package.strip("`"), name) for name in re.findall(r"`([A-Za-z_]\w*)`", content)]
    assert len(out) > 40
    return out


@pytest.mark.parametrize(("package", "name"), promised())
def test_what_the_readme_promises_is_exported(package: str, name: str) -> None:
    home = importlib.import_module(package)
    try:
        value = getattr(home, name)
    except AttributeError:
        value = importlib.import_module(f"{package}.{name}")
    assert isinstance(value, types.ModuleType) or name in home.__all__
    assert name in dir(home)


@pytest.mark.parametrize("package", ["fractalkit", *PACKAGES])
def test_exports_exist_and_hide_no_module(package: str) -> None:
    home = importlib.import_module(package)
    modules = {p.name for p in pkgutil.iter_modules(home.__path__)}
    for name in getattr(home, "__all__", []):
        value = getattr(home, name)
        assert name not in modules or isinstance(value, types.ModuleType), f"{package}.{name} hides the module"
        assert name in dir(home)


def test_no_two_classes_share_a_public_name() -> None:
    homes = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    shared = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert not shared, shared


def test_the_package_is_light_and_complete() -> None:
    code = """
import sys, fractalkit
assert set(fractalkit.__all__) <= set(dir(fractalkit)) and len(fractalkit.__all__) == 18
print(sorted({"torch", "numpy", "PIL", "scipy", "numba"} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fractalkit.nothing  # noqa: B018


def test_a_cloud_is_fitted_saved_loaded_and_sampled(tmp_path: Path) -> None:
    triangle = fractalkit.preset("sierpinski-triangle")
    points = fractalkit.sample(triangle, 600, seed=3)
    assert points.shape == (600, 2) and points.equal(fractalkit.sample("sierpinski-triangle", 600, seed=3))
    assert not points.equal(fractalkit.sample(triangle, 600, seed=4))
    found = fractalkit.fit_cloud(points, maps=3, effort=0, seed=0)
    found.save(tmp_path / "a.ifs.json")
    again = fractalkit.load(tmp_path / "a.ifs.json")
    assert isinstance(again, AffineIFS) and again.matrices.equal(found.matrices)
    assert fractalkit.sample(tmp_path / "a.ifs.json", 50, seed=1).equal(fractalkit.sample(found, 50, seed=1))


def test_a_picture_is_compressed_and_decoded_at_any_size(tmp_path: Path) -> None:
    y, x = np.mgrid[:40, :56]
    picture = np.stack([x * 4, y * 6, x + y], axis=2).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    codes = [fractalkit.compress(p, quality=70) for p in (picture, Image.fromarray(picture), tmp_path / "a.png")]
    assert isinstance(codes[0], QuadtreeCode) and len({c.to_bytes() for c in codes}) == 1
    (tmp_path / "a.fk").write_bytes(codes[0].to_bytes())
    same = fractalkit.decompress(tmp_path / "a.fk")
    assert same.shape == (40, 56, 3) and np.abs(same.astype(float) - picture).mean() < 4
    assert fractalkit.decompress(codes[0], (112, 80)).shape == (80, 112, 3)
    assert fractalkit.compress(Image.new("P", (16, 16)), quality=50).channels == 3
    with pytest.raises(UsageError, match="quality"):
        fractalkit.compress(picture, method="coin", quality=3)
    with pytest.raises(UsageError, match="AffineIFS"):
        fractalkit.decompress("barnsley-fern")


def test_a_photograph_becomes_a_mosaic_of_itself() -> None:
    picture = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0))
    code = fractalkit.fractalize(picture, tiles=6)
    assert isinstance(code, CollageCode)
    assert fractalkit.decompress(code, (96, 64)).shape == (64, 96, 3)
    with pytest.raises(UsageError, match="size"):
        fractalkit.decompress(code)


def test_codes_are_rendered(tmp_path: Path) -> None:
    fern = fractalkit.render("barnsley-fern", (60, 40), seed=1)
    assert fern.shape == (40, 60, 3) and fern.dtype == np.uint8 and fern.std() > 5
    assert np.array_equal(fern, fractalkit.render(fractalkit.preset("barnsley-fern"), (60, 40), seed=1))
    maps = (Xform(weight=1.0, coefs=(0.5, 0, 0, 0.5, 0.5, 0), variations={"linear": 1.0}),
            Xform(weight=1.0, coefs=(0.5, 0, 0, 0.5, -0.5, 0.3), variations={"swirl": 1.0}))  # fmt: skip
    Flame(xforms=maps, size=(40, 30), scale=10.0, quality=20.0).save(tmp_path / "a.flame")
    own = fractalkit.render(tmp_path / "a.flame")
    assert own.shape == (30, 40, 3) and own.max() > 50
    assert fractalkit.render(tmp_path / "a.flame", (20, 50), palette="viridis").shape == (50, 20, 3)
    with pytest.raises(UsageError, match="quality"):
        fractalkit.render("barnsley-fern", quality=3)
    with pytest.raises(DataError, match="no preset"):
        fractalkit.render("no-such-thing")
    assert inspect.ismodule(fractalkit.render) and fractalkit.render.save_png


def test_a_model_is_sampled() -> None:
    two = fractalkit.sample("vdvae_mnist", 2, (30, 44), seed=5)
    assert two.shape == (2, 1, 44, 30) and -1e-6 < float(two.min()) < float(two.max()) < 1 + 1e-6
    assert two[1:].equal(fractalkit.sample("vdvae_mnist", 1, (30, 44), seed=6))
    with pytest.raises(UsageError, match="Flame"):
        fractalkit.sample(Flame())
    with pytest.raises(UsageError, match="points"):
        fractalkit.sample("barnsley-fern", 3, (4, 4))
