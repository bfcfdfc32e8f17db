"""Values of a formula of the language of variations at one point after the other, without a compiler.

For what is computed once when a file is read, such as the way of a point in a field. The formula's tree becomes nested
functions of the point; nothing is evaluated as Python.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from fractalkit.errors import DataError

Point = Mapping[str, float]


def _safe(function: Callable[..., float]) -> Callable[..., float]:
    def call(*given: float) -> float:
        try:
            value = function(*given)
            return float(value) if isinstance(value, float | int) else math.nan  # no whole numbers, which grow for ever
        except (ValueError, OverflowError, ZeroDivisionError):
            return math.nan

    return call


def _sign(x: float) -> float:
    return -1.0 if x < 0 else 1.0


_CALLS: dict[str, Callable[..., float]] = {
    **{name: _safe(getattr(math, name)) for name in (
        "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos", "atan", "exp", "log", "sqrt", "floor", "ceil",
        "trunc", "atan2", "fmod",
    )},
    "rint": _safe(round), "abs": abs, "min": min, "max": max, "sign": _sign, "real_power": _safe(math.pow),
}  # fmt: skip
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: _safe(operator.truediv),
    ast.Pow: _safe(operator.pow), ast.Mod: _safe(operator.mod), ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip


def values_of(text: str, names: Mapping[str, float], where: str) -> Callable[[Point], float]:
    """A formula as a function of a point, a mapping from names to numbers; what has no value is nan.

    Args:
        names: numbers that are the same everywhere; the names that are none of them are the point's.
        where: begins messages.

    Raises:
        DataError: something in it is not arithmetic, or its values depend on chance.

    >>> values_of("a * x + (1 if x > 1 else 0) / 0.5", {"a": 3.0}, "f")({"x": 2.0})
    8.0
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _node(tree, {**names, "pi": math.pi}, where)
    except (SyntaxError, RecursionError):
        raise DataError(f"{where}: this is no formula") from None


def _node(e: ast.expr, names: Mapping[str, float], where: str) -> Callable[[Point], Any]:
    def part(inner: ast.expr) -> Callable[[Point], Any]:
        return _node(inner, names, where)

    match e:
        case ast.Constant(value=int() | float() as value):
            number = float(value)
            return lambda p: number
        case ast.Name(id=name):
            if name in names:
                number = float(names[name])
                return lambda p: number
            return lambda p: p[name]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            of = part(inner)
            return lambda p: -of(p)
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            of = part(inner)
            return lambda p: not of(p)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            a, b, apply = part(left), part(right), _OPERATORS[type(op)]
            return lambda p: apply(a(p), b(p))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPERATORS:
            a, b, apply = part(left), part(right), _OPERATORS[type(op)]
            return lambda p: apply(a(p), b(p))
        case ast.BoolOp(op=op, values=values):
            parts, every = [part(v) for v in values], isinstance(op, ast.And)
            return lambda p: all(v(p) for v in parts) if every else any(v(p) for v in parts)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            a, b, c = part(test), part(body), part(orelse)
            return lambda p: b(p) if a(p) else c(p)
        case ast.Call(func=ast.Name(id=name), args=args) if name in _CALLS:
            given, call = [part(a) for a in args], _CALLS[name]
            return lambda p: call(*(g(p) for g in given))
    raise DataError(f"{where}: {ast.unparse(e)[:40]!r} cannot be computed here")
