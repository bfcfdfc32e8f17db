"""Imports point from higher layers to lower ones, and heavy libraries are imported lazily."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fractalkit

ROOT = Path(fractalkit.__file__).parent

# What each part may import, beside itself, the standard library and other people's libraries.
BASE = {"arguments", "checked", "compiled", "rows", "errors", "files", "lazy", "tensors"}
ALLOWED = {
    "errors": set(),
    "arguments": {"errors"},
    "checked": {"errors"},
    "files": {"errors", "interrupts"},
    "tensors": {"errors", "files"},
    "lazy": set(),
    "rows": set(),
    "compiled": set(),
    "interrupts": set(),
    "core": {"arguments", "errors"},
    "raster": BASE | {"data"},
    "codec": BASE | {"codes", "raster"},
    "codes": BASE | {"raster"},
    "jobs": BASE | {"interrupts"},
    "maps": BASE | {"core", "codes", "raster"},
    "orbit": BASE | {"core", "codes", "maps"},
    "fit": BASE | {"core", "codec", "codes", "maps", "models", "orbit", "raster"},  # a network proposes maps
    "fk": BASE | {"codec", "codes", "maps", "models", "fit", "raster"},
    "pil_plugin": BASE | {"codec", "fk", "fit"},
    "data": BASE,
    "train": BASE | {"data"},  # any network with the right methods; knows none by name
    "models": BASE | {"codec", "core", "codes", "maps", "train", "raster"},  # a configuration says how it is trained
    "render": BASE | {"codec", "core", "codes", "maps", "orbit", "fit", "fk", "models", "raster", "data"},
    "api": BASE | {"codec", "codes", "maps", "orbit", "fit", "data", "models", "fk", "raster", "render"},
    "web": BASE | {"codes", "orbit", "render"},
    "demo": BASE | {"core", "codec", "codes", "maps", "orbit", "fit", "data", "render", "models", "fk", "raster"},
    "studio": BASE | {"codes", "maps", "orbit", "fit", "fk", "data", "render", "raster", "web", "jobs"},
    "cli": BASE
    | {"interrupts", "core", "codec", "codes", "maps", "orbit", "fit", "data", "render", "train", "models", "jobs"}
    | {"fk", "demo", "studio", "raster", "web"},
    "__main__": {"cli"},
}


def part(module: str) -> str:
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


def arrows():
    """Yield (file, its package, the package it imports) for every import, also inside functions."""
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
        ("import fractalkit.cli.ifs, fractalkit.render.fractal_files, fractalkit.render.window", ("open3d",)),
    ],
)
def test_heavy_libraries_come_only_when_asked_for(statement, absent):
    code = f"import sys; {statement}; print([m for m in {absent!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def files():
    return {".".join(("fractalkit", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): p
            for p in sorted(ROOT.rglob("*.py"))}  # fmt: skip


def imports(tree, modules):
    """Modules of this package that a file imports, functions included, blocks under TYPE_CHECKING excluded."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            inside = [f"{node.module}.{a.name}" for a in node.names]
            yield from (name for name in inside if name in modules)
            if not all(name in modules for name in inside):
                yield node.module
        todo += ast.iter_child_nodes(node)


def circles(graph):
    """Return sets of files that import each other, by Tarjan's algorithm."""
    index, low, stack, found = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in sorted(graph[v]):
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            at = stack.index(v)
            group = frozenset(stack[at:])
            del stack[at:]
            if len(group) > 1:
                found.append(group)

    for v in sorted(graph):
        if v not in index:
            visit(v)
    return set(found)


def test_no_file_imports_itself_through_others():
    modules = files()
    graph = {
        name: set(imports(ast.parse(path.read_text(encoding="utf-8")), modules)) - {name}
        for name, path in modules.items()
    }
    assert sum(map(len, graph.values())) > 300
    found = {tuple(sorted(c)) for c in circles(graph)}
    assert not found


def test_circles_are_found():
    text = (
        "if TYPE_CHECKING:\n import fractalkit.a\nelse:\n import fractalkit.b\ndef f():\n from fractalkit import c, d"
    )
    assert set(imports(ast.parse(text), {"fractalkit", *(f"fractalkit.{x}" for x in "abcd")})) == {
        "fractalkit.b", "fractalkit.c", "fractalkit.d"
    }  # fmt: skip
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {frozenset("bc")}
