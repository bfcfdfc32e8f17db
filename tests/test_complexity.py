"""No function is too complex: McCabe's number as radon counts it, 25 at most, and few above 15."""

from pathlib import Path

import pytest

import fractalkit

ROOT = Path(fractalkit.__file__).parent
MOST, MANY, SHARE = 25, 15, 0.015


def functions():
    """(complexity, name) of every function and method of the package."""
    visitors = pytest.importorskip("radon.visitors", reason="radon comes with the extra dev")
    for path in sorted(ROOT.rglob("*.py")):
        found = visitors.ComplexityVisitor.from_code(path.read_text(encoding="utf-8"))
        methods = [m for c in found.classes for m in c.methods]
        yield from ((f.complexity, f"{path.relative_to(ROOT)}:{f.lineno} {f.name}") for f in found.functions + methods)


def test_functions_can_be_held_in_mind():
    found = sorted(functions(), reverse=True)
    assert len(found) > 1000
    assert found[0][0] <= MOST, found[:3]
    above = [name for complexity, name in found if complexity > MANY]
    assert len(above) <= SHARE * len(found), above
