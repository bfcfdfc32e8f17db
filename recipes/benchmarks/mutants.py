"""Mutation testing: modules are changed in small ways, one at a time, and their tests must fail.

    python -m recipes.benchmarks.mutants                         40 mutants per module in MODULES
    python -m recipes.benchmarks.mutants codes/algebra -n 100    of one

A mutant is the module with one change: a comparison inverted, a sum made a difference, a product a quotient, a
condition negated, an "and" made an "or", a number incremented, a return value dropped. Text, annotations and raise
statements are not changed. A mutant is killed if the module's tests fail or take ten times as long. Survivors are
listed with their line; some of them are equivalent to the original.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recipes.benchmarks.report import save, table

ROOT = Path(__file__).resolve().parents[2]
# module: its tests
MODULES = {
    "codes/algebra": ["tests/codes/test_algebra.py"],
    "codec/container": ["tests/codec/test_container.py"],
    "core/solve": ["tests/core"],
    "core/solvers": ["tests/core"],
    "data/ply": ["tests/data/test_clouds.py"],
    "fit/metrics": ["tests/fit/test_metrics.py"],
    "maps/measure": ["tests/maps/test_measure.py"],
    "render/tonemap": ["tests/render/test_tonemap.py"],
}
COMPARISONS = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATIONS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.MatMult: ast.Add,
}  # fmt: skip


class _Places(ast.NodeVisitor):
    """Nodes of functions that can be changed, with the change."""

    def __init__(self) -> None:
        self.found: list[tuple[ast.AST, str, Callable[[], None]]] = []
        self.inside = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.inside += 1
        for statement in node.body:
            self.visit(statement)  # not annotations, defaults or decorators
        self.inside -= 1

    def visit_Raise(self, node: ast.Raise) -> None:
        pass

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        for k, op in enumerate(node.ops):
            if type(op) in COMPARISONS:
                self._add(node, "comparison", node.ops, k, COMPARISONS[type(op)]())
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in OPERATIONS and not isinstance(node.left, ast.JoinedStr):
            other = OPERATIONS[type(node.op)]()
            self.found += [(node, "operation", lambda: setattr(node, "op", other))] if self.inside else []
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.found += [(node, "and, or", lambda: setattr(node, "op", other))] if self.inside else []
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        negated = ast.UnaryOp(ast.Not(), node.test)
        self.found += [(node, "condition", lambda: setattr(node, "test", negated))] if self.inside else []
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if not self.inside or isinstance(value, str | bytes) or value is None or value is ...:
            return
        other = (not value) if isinstance(value, bool) else value + 1
        self.found.append((node, "constant", lambda: setattr(node, "value", other)))

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and self.inside and not isinstance(node.value, ast.Constant):
            self.found.append((node, "return", lambda: setattr(node, "value", ast.Constant(None))))
        self.generic_visit(node)

    def _add(self, node: ast.AST, kind: str, where: list[Any], k: int, new: ast.AST) -> None:
        if self.inside:
            self.found.append((node, kind, lambda: where.__setitem__(k, new)))


def places(source: str) -> int:
    """Number of mutants of a module."""
    seen = _Places()
    seen.visit(ast.parse(source))
    return len(seen.found)


def mutant(source: str, k: int) -> tuple[str, int, str]:
    """Apply the k-th change: the module, the line, and the kind of change.

    >>> mutant("def f(a, b):\\n    return a < b", 0)
    ('def f(a, b):\\n    return None', 2, 'return')
    >>> mutant("def f(a, b):\\n    return a < b", 1)[0]
    'def f(a, b):\\n    return a >= b'
    """
    tree = ast.parse(source)
    seen = _Places()
    seen.visit(tree)
    node, kind, change = seen.found[k]
    change()
    return ast.unparse(ast.fix_missing_locations(tree)), getattr(node, "lineno", 0), kind


def fails(tree: Path, tests: list[str], limit: float) -> bool:
    """Whether the tests fail in a copy of the project."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help=f"any of {', '.join(MODULES)}; default all")
    parser.add_argument("-n", type=int, default=40, help="mutants per module, drawn with the seed; 40")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wrong = [m for m in options.modules if m not in MODULES]
    if wrong:
        parser.error(f"{wrong[0]}: none of {', '.join(MODULES)}")
    rows = []
    survivors: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "project"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "__pycache__", "gallery", "*.ipynb"))
        for name in options.modules or MODULES:
            path, tests = tree / "fractalkit" / f"{name}.py", MODULES[name]
            source = path.read_text(encoding="utf-8")
            began = time.perf_counter()
            if fails(tree, tests, 600):
                sys.exit(f"{name}: its tests fail without any change; fix them first")
            limit = max(60.0, 10 * (time.perf_counter() - began))
            count = places(source)
            chosen = sorted(random.Random(f"{options.seed} {name}").sample(range(count), min(options.n, count)))
            alive = []
            for k in chosen:
                changed, line, kind = mutant(source, k)
                path.write_text(changed, encoding="utf-8")
                if not fails(tree, tests, limit):
                    text = source.splitlines()[line - 1].strip()
                    alive.append({"module": name, "line": line, "kind": kind, "text": text})
                    print(f"  survived: {name}:{line} {kind}: {text}", flush=True)
            path.write_text(source, encoding="utf-8")
            survivors += alive
            rows.append({"module": name, "places": count, "mutants": len(chosen), "killed": len(chosen) - len(alive),
                         "rate": 1 - len(alive) / len(chosen)})  # fmt: skip
            print(f"{name}: {rows[-1]['killed']} of {len(chosen)} killed", flush=True)
    print(table(rows, ["module", "places", "mutants", "killed", "rate"]))
    save("mutants", rows, survivors=survivors)


if __name__ == "__main__":
    main()
