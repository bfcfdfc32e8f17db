"""Imports point one way: a lower layer never imports a higher one, and heavy libraries come only when asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fractalkit

ROOT = Path(fractalkit.__file__).parent

# What each part may import, beside itself, the standard library and other people's libraries.
BASE = {"errors", "files"}
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "interrupts": set(),
    "core": {"errors"},
    "codec": BASE,
    "codes": BASE | {"codec"},
    "jobs": BASE | {"interrupts"},
    "maps": BASE | {"core", "codes"},
    "orbit": BASE | {"core", "codes", "maps"},
    "fit": BASE | {"core", "codec", "codes", "maps", "orbit"},
    "fk": BASE | {"codec", "codes", "maps", "models", "fit"},
    "pil_plugin": BASE | {"codec", "fk", "fit"},
    "data": BASE,
    "train": BASE | {"data"},  # any network with the right methods; knows none by name
    "models": BASE | {"codec", "core", "codes", "maps", "train"},  # a configuration says how it is trained
    "render": BASE | {"core", "codes", "maps", "orbit", "fit", "fk"},
    "demo": BASE | {"core", "codec", "codes", "maps", "orbit", "fit", "data", "render", "models", "fk"},
    "cli": BASE
    | {"interrupts", "core", "codec", "codes", "maps", "orbit", "fit", "data", "render", "train", "models", "jobs"}
    | {"fk", "demo"},
    "__main__": {"cli"},
}


def part(module: str) -> str:
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


def arrows():
    """(file, part it belongs to, part it imports), wherever in the file the import stands."""
    for path in sorted(ROOT.rglob("*.py")):
        here = path.relative_to(ROOT).parts
        if here == ("__init__.py",):
            continue
        owner = here[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative imports hide where they point"
                modules = [node.module or ""]
                if node.module == "fractalkit":
                    modules = [f"fractalkit.{a.name}" for a in node.names if (ROOT / a.name).exists()]
            elif isinstance(node, ast.Import):
                modules = [a.name for a in node.names]
            else:
                continue
            for module in modules:
                if module.split(".")[0] == "fractalkit" and part(module):
                    yield path.relative_to(ROOT), owner, part(module)


def test_every_part_has_its_place():
    parts = {p.name.removesuffix(".py") for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert parts - {"__init__"} == set(ALLOWED)


def test_no_import_points_back():
    seen = 0
    for path, owner, target in arrows():
        seen += 1
        assert target == owner or target in ALLOWED[owner], f"{path}: {owner} must not import {target}"
    assert seen > 80


def test_the_layers_have_an_order():
    def above(name, path=()):
        assert name not in path, f"{' -> '.join(path)} -> {name} is a circle"
        for other in ALLOWED[name]:
            above(other, (*path, name))

    for name in ALLOWED:
        above(name)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import fractalkit", ("torch", "numpy")),
        ("import fractalkit.cli.main", ("torch", "numpy", "numba", "open3d", "matplotlib", "scipy")),
        ("import fractalkit.codes, fractalkit.orbit, fractalkit.data", ("numba", "open3d", "matplotlib", "triton")),
        ("import fractalkit.fit, fractalkit.render", ("open3d", "matplotlib", "triton")),
    ],
)
def test_heavy_libraries_come_only_when_asked_for(statement, absent):
    code = f"import sys; {statement}; print([m for m in {absent!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
