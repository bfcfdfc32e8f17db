"""Formulas of variations as instructions for :mod:`fractalkit.orbit.flame_ops`, whose registers are rows of points.

One instruction acts on all points of a row, so that what it costs to look it up does not count, and a formula needs no
compiler. Parameters are numbers by now: what depends on them alone is worked out here. Conditions are rows of zeros and
ones; under one, only the points concerned take the new value, and code is skipped if there are none. Code that draws
random numbers is never skipped, so that what a point draws does not depend on the points beside it.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fractalkit.codes.variation_text import CONSTANTS, FUNCTIONS, MOST_TURNS, PAINTS, Declared

# what instructions do: the place in this tuple is their number in code
OPS = (
    "end", "add", "sub", "mul", "div", "add_s", "mul_s", "rsub_s", "div_s", "rdiv_s", "affine", "copy", "fill",
    "select", "negate", "min", "max", "lt", "le", "eq", "ne", "both", "either", "floor", "trunc", "rint", "abs",
    "fmod", "hash", "random", "table", "sin", "cos", "tan", "acos", "atan2", "sqrt", "exp", "log", "sinh", "cosh",
    "power", "skip_none", "count", "leave", "index", "next",
)  # fmt: skip
NUMBER = {name: i for i, name in enumerate(OPS)}
X, Y, Z, C, HID, PAINTED = range(6)  # rows of the point, whether it is hidden, and the code of its paint or 0
PLOT = 6  # rows of the point that is drawn: x, y, colour, hidden, paint
FIRST_FREE = 11
MAX_DEPTH = 256  # of loops within loops; what Python reads as text cannot have as many
LEVELS = 32  # of red, green and blue of painted points
Value = int | float  # a row, or a number


@dataclass
class Assembler:
    """Instructions, their numbers and the rows they use.

    A value is an ``int``, the number of a row, or a ``float``, a number known by now.
    """

    code: list[list[int]] = field(default_factory=list)
    scalars: list[float] = field(default_factory=list)
    tables: dict[tuple[float, ...], int] = field(default_factory=dict)  # where their numbers begin, behind how many
    constants: dict[str, int] = field(default_factory=dict)  # hex of a number -> its row, below zero until the end
    rows: int = FIRST_FREE
    free: list[int] = field(default_factory=list)
    temporary: set[int] = field(default_factory=set)

    # ---- rows

    def row(self) -> int:
        """A new row, temporary until something keeps it."""
        if self.free:
            r = self.free.pop()
        else:
            r = self.rows
            self.rows += 1
        self.temporary.add(r)
        return r

    def done(self, *values: Value) -> None:
        """Give back rows that were temporary."""
        for v in values:
            if isinstance(v, int) and v in self.temporary:
                self.temporary.discard(v)
                self.free.append(v)

    def keep(self, v: Value) -> Value:
        """The value in a row that is nobody else's; numbers stay numbers."""
        if isinstance(v, float):
            return v
        if v not in self.temporary:
            v = self.put("copy", v)
        self.temporary.discard(v)
        return v

    def release(self, v: Value) -> None:
        """Give back a row that was kept."""
        if isinstance(v, int) and v >= FIRST_FREE:
            self.temporary.discard(v)
            if v not in self.free:
                self.free.append(v)

    def held(self, v: Value) -> int:
        """The row of a value, for instructions that take no numbers."""
        if isinstance(v, int):
            return v
        key = float(v).hex()
        return self.constants.setdefault(key, -1 - len(self.constants))

    # ---- instructions

    def put(
        self, op: str, a: Value = 0, b: Value = 0, c: Value = 0, *, scalars: Sequence[float] = (), to: int = -1
    ) -> int:
        """Append an instruction that makes a row; its arguments' rows are given back after it."""
        dst = self.row() if to < 0 else to
        rows = [self.held(v) for v in (a, b, c)]
        self.code.append([NUMBER[op], dst, *rows, len(self.scalars)])
        self.scalars += scalars
        self.done(*(v for v in (a, b, c) if v != dst))
        return dst

    def jump(self, op: str, a: int = 0, b: int = 0, scalar: float = 0.0) -> int:
        """Append an instruction that may go elsewhere; returns its place, for :meth:`land`."""
        self.code.append([NUMBER[op], 0, a, b, 0, len(self.scalars)])
        self.scalars.append(scalar)
        return len(self.code) - 1

    def land(self, at: int) -> None:
        """Let a jump go to where the code ends now."""
        self.code[at][1] = len(self.code)

    # ---- arithmetic with numbers worked out

    def add(self, a: Value, b: Value) -> Value:
        """a + b."""
        if isinstance(a, float) and isinstance(b, float):
            return a + b
        if isinstance(a, float):
            a, b = b, a
        return self.put("add_s", a, scalars=[b]) if isinstance(b, float) else self.put("add", a, b)

    def sub(self, a: Value, b: Value) -> Value:
        """a - b."""
        if isinstance(a, float):
            return a - b if isinstance(b, float) else self.put("rsub_s", b, scalars=[a])
        return self.put("add_s", a, scalars=[-b]) if isinstance(b, float) else self.put("sub", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        """a b."""
        if isinstance(a, float) and isinstance(b, float):
            return a * b
        if isinstance(a, float):
            a, b = b, a
        if isinstance(b, float):
            return a if b == 1.0 else self.put("mul_s", a, scalars=[b])
        return self.put("mul", a, b)

    def div(self, a: Value, b: Value) -> Value:
        """a / b."""
        if isinstance(a, float):
            if isinstance(b, float):
                with np.errstate(all="ignore"):
                    return float(np.float64(a) / np.float64(b))
            return self.put("rdiv_s", b, scalars=[a])
        if isinstance(b, float):
            return a if b == 1.0 else self.put("div_s", a, scalars=[b])
        return self.put("div", a, b)

    def call(self, name: str, *values: Value) -> Value:
        """A function of FUNCTIONS, or a condition."""
        if name in _FOLDED and all(isinstance(v, float) for v in values):
            with np.errstate(all="ignore"):
                return float(_FOLDED[name](*values))
        return self.put(name, *values)

    def both(self, a: Value, b: Value) -> Value:
        """a and b."""
        for v, other in ((a, b), (b, a)):
            if isinstance(v, float):
                return other if v else 0.0
        return self.put("both", a, b)

    def either(self, a: Value, b: Value) -> Value:
        """a or b."""
        for v, other in ((a, b), (b, a)):
            if isinstance(v, float):
                return 1.0 if v else other
        return self.put("either", a, b)

    def negate(self, a: Value) -> Value:
        """not a."""
        return 1.0 - a if isinstance(a, float) else self.put("negate", a)

    def select(self, test: Value, a: Value, b: Value) -> Value:
        """a where the condition holds, else b."""
        if isinstance(test, float):
            return a if test else b
        return self.put("select", test, a, b)

    def look_up(self, table: tuple[float, ...], k: Value) -> Value:
        """The number of a table at the whole number not above k, brought into its range."""
        if isinstance(k, float):
            return table[int(min(max(k, 0.0), len(table) - 1))] if k == k else table[0]
        if table not in self.tables:
            self.tables[table] = len(self.scalars)
            self.scalars += [float(len(table)), *table]
        dst = self.put("table", k)
        self.code[-1][-1] = self.tables[table]
        return dst

    def affine(self, a: float, x: Value, b: float, y: Value, c: float) -> Value:
        """a x + b y + c."""
        if isinstance(x, float) and isinstance(y, float):
            return a * x + b * y + c
        code = [self.held(x), self.held(y)]
        dst = self.row()
        self.code.append([NUMBER["affine"], dst, *code, 0, len(self.scalars)])
        self.scalars += [a, b, c]
        return dst

    def clamped(self, v: Value) -> Value:
        """Between 0 and 1."""
        return self.call("min", self.call("max", v, 0.0), 1.0)

    # ---- the whole

    def finished(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
        """Code ``[N, 6]``, its numbers, the constants ``[M]`` whose rows follow the others, and how many others."""
        code = np.array(self.code, np.int64)
        code[:, 2:5] = np.where(code[:, 2:5] < 0, self.rows - 1 - code[:, 2:5], code[:, 2:5])
        constants = np.array([float.fromhex(k) for k in self.constants])
        return code, np.array([*self.scalars, 0.0, 0.0, 0.0]), constants, self.rows


def _log(x: float) -> float:
    return float(np.log(max(x, 2.2250738585072014e-308))) if x >= 0 else math.nan


_FOLDED: dict[str, Callable[..., float]] = {
    "sqrt": lambda a: float(np.sqrt(np.float64(a))), "sin": math.sin, "cos": math.cos, "tan": math.tan,
    "exp": lambda a: math.exp(max(min(a, 708.0), -708.0)), "log": _log, "sinh": lambda a: float(np.sinh(a)),
    "cosh": lambda a: float(np.cosh(a)), "acos": lambda a: float(np.arccos(a)), "floor": np.floor, "trunc": np.trunc,
    "rint": np.rint, "abs": abs, "atan2": math.atan2, "fmod": lambda a, b: float(np.fmod(a, np.float64(b))),
    "min": lambda a, b: a if a < b else b, "max": lambda a, b: a if a > b else b,
    "power": lambda a, b: math.exp(max(min(b * _log(a), 708.0), -708.0)), "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b, "eq": lambda a, b: a == b, "ne": lambda a, b: a != b,
}  # fmt: skip
_COMPARED = {ast.Lt: ("lt", False), ast.LtE: ("le", False), ast.Gt: ("lt", True), ast.GtE: ("le", True),
             ast.Eq: ("eq", False), ast.NotEq: ("ne", False)}  # fmt: skip


class Formula:
    """One variation or function, with all numbers but the point known.

    Args:
        to: takes the instructions.
        names: values of parameters, and of the point by its words.
    """

    def __init__(self, declared: Declared, to: Assembler, names: dict[str, Value]) -> None:
        self.declared, self.asm = declared, to
        self.names = dict(names)
        self.own: set[str] = set()  # names whose rows are this formula's
        self.masks: list[Value] = []
        self.loop_at: list[int] = []

    def run(self) -> list[Value]:
        """The returned values; rows of variables are given back."""
        body, last = self.declared.program.body[:-1], self.declared.program.body[-1]
        self.block(body)
        assert isinstance(last, ast.Return) and last.value is not None
        wanted = last.value.elts if isinstance(last.value, ast.Tuple) else [last.value]
        out: list[Value] = []
        for e in wanted:
            v = self.value(e)
            # a variable, or what another value is: a copy, since both are given back
            out.append(v if isinstance(v, float) or v in self.asm.temporary else self.asm.put("copy", v))
        return out

    def close(self) -> None:
        """Give back the rows of variables."""
        for name in self.own:
            self.asm.release(self.names[name])
        self.own.clear()

    # ---- expressions

    def value(self, e: ast.expr) -> Value:
        """An expression's value."""
        asm = self.asm
        if isinstance(e, ast.Constant):
            return float(e.value)  # type: ignore[arg-type]
        if isinstance(e, ast.Name):
            return self.names[e.id] if e.id in self.names else CONSTANTS[e.id]
        if isinstance(e, ast.BinOp):
            return self.operation(e)
        if isinstance(e, ast.UnaryOp):
            inner = self.value(e.operand)
            if isinstance(e.op, ast.Not):
                return asm.negate(inner)
            return asm.mul(inner, -1.0) if isinstance(e.op, ast.USub) else inner
        if isinstance(e, ast.BoolOp):
            join = asm.both if isinstance(e.op, ast.And) else asm.either
            first, *rest = [self.value(v) for v in e.values]
            for r in rest:
                first = join(first, r)
            return first
        if isinstance(e, ast.Compare):
            return self.comparison(e)
        if isinstance(e, ast.IfExp):
            return asm.select(self.value(e.test), self.value(e.body), self.value(e.orelse))
        assert isinstance(e, ast.Call)
        return self.calls(e)[0]

    def operation(self, e: ast.BinOp) -> Value:
        asm, a = self.asm, self.value(e.left)
        if isinstance(e.op, ast.Pow):
            for n in (2, 3, 4):
                if isinstance(e.right, ast.Constant) and e.right.value == n:
                    return self.times(a, n)
            return asm.call("power", a, self.value(e.right))
        b = self.value(e.right)
        if isinstance(e.op, ast.Mod):
            kept = [self.borrowed(v) for v in (a, b)]
            whole = asm.call("floor", asm.div(*kept))
            out = asm.sub(kept[0], asm.mul(kept[1], whole))
            self.returned(kept, (a, b))
            return out
        plain = {ast.Add: asm.add, ast.Sub: asm.sub, ast.Mult: asm.mul, ast.Div: asm.div}
        return plain[type(e.op)](a, b)  # type: ignore[index]

    def times(self, a: Value, n: int) -> Value:
        if isinstance(a, float):
            return a**n
        kept = self.borrowed(a)
        square = self.asm.mul(kept, kept)
        if n == 4:
            held = self.borrowed(square)
            out = self.asm.mul(held, held)
            self.returned([held], [square])
        else:
            out = square if n == 2 else self.asm.mul(square, kept)
        self.returned([kept], [a])
        return out

    def borrowed(self, v: Value) -> Value:
        """The value as one that several instructions can read."""
        if isinstance(v, int):
            self.asm.temporary.discard(v)
        return v

    def returned(self, kept: Sequence[Value], before: Sequence[Value]) -> None:
        """After :meth:`borrowed`: rows that nobody owns are given back."""
        owned = {v for v in self.names.values() if isinstance(v, int)}
        for v in {k for k in kept if isinstance(k, int)}:
            if v >= FIRST_FREE and v not in owned and v not in self.held_outside:
                self.asm.release(v)

    held_outside: frozenset[int] = frozenset()
    loops_outside = 0

    def comparison(self, e: ast.Compare) -> Value:
        sides = [self.borrowed(self.value(v)) for v in (e.left, *e.comparators)]
        out: Value = 1.0
        for a, o, b in zip(sides, e.ops, sides[1:], strict=False):
            name, turned = _COMPARED[type(o)]  # type: ignore[index]
            out = self.asm.both(out, self.asm.call(name, *((b, a) if turned else (a, b))))
        self.returned(sides, sides)
        return out

    def calls(self, e: ast.Call) -> list[Value]:
        """The values of a call."""
        assert isinstance(e.func, ast.Name)
        name = e.func.id
        if name == "random":
            return [self.asm.put("random")]
        given = [self.value(a) for a in e.args]
        if name in FUNCTIONS:
            return [self.asm.call(name, *given)]
        function = self.declared.functions(name)
        assert function is not None
        if function.table:
            return [self.asm.look_up(function.table, given[0])]
        borrowed = [self.borrowed(v) for v in given]
        inner = Formula(function, self.asm, dict(zip(function.words(), borrowed, strict=True)))
        inner.loops_outside = self.loops_outside + len(self.loop_at)
        inner.held_outside = self.held_outside | {v for v in (*self.names.values(), *borrowed) if isinstance(v, int)}
        out = inner.run()
        inner.close()
        self.returned(borrowed, given)
        return out

    # ---- statements

    def block(self, body: Sequence[ast.stmt]) -> None:
        """Statements one after the other."""
        for s in body:
            if isinstance(s, ast.Assign):
                self.assign(s)
            elif isinstance(s, ast.If) and isinstance(s.body[0], ast.Break):
                self.leave(s)
            elif isinstance(s, ast.If):
                self.branch(s)
            elif isinstance(s, ast.For):
                self.loop(s)

    def assign(self, s: ast.Assign) -> None:
        target, value = s.targets[0], s.value
        if isinstance(target, ast.Name):
            self.set(target.id, self.value(value))
            return
        assert isinstance(target, ast.Tuple)
        if isinstance(value, ast.Tuple):
            # all values before any name: those that are rows of names are copied first
            values = [self.value(v) for v in value.elts]
            values = [v if isinstance(v, float) or v in self.asm.temporary else self.asm.put("copy", v) for v in values]
        else:
            assert isinstance(value, ast.Call)
            values = self.calls(value)
        for t, v in zip(target.elts, values, strict=True):
            assert isinstance(t, ast.Name)
            self.set(t.id, v)

    def set(self, name: str, v: Value) -> None:
        """Give a name a value: under a condition where it holds only."""
        if self.masks:
            row = self.names[name]
            assert isinstance(row, int)
            if isinstance(self.masks[-1], float):
                if self.masks[-1]:
                    self.asm.put("copy", v, to=row)
                return
            made = self.asm.put("select", self.borrowed(self.masks[-1]), v, row)
            self.asm.put("copy", made, to=row)
            return
        kept = self.asm.keep(v)
        if name in self.own:
            self.asm.release(self.names[name])
        self.names[name] = kept
        self.own.add(name)

    def begin(self, body: Sequence[ast.stmt]) -> None:
        """Names that a block sets get rows of their own, so that they may be set for some points only."""
        for name in _assigned(body):
            now = self.names.get(name, 0.0)
            if name in self.own and isinstance(now, int):
                continue
            row = self.asm.put("copy", now) if isinstance(now, int) else self.asm.put("fill", scalars=[now])
            self.asm.temporary.discard(row)
            self.names[name] = row
            self.own.add(name)

    def under(self, test: Value, body: Sequence[ast.stmt]) -> None:
        """Statements where a condition holds, which is a row of one's own or a number."""
        mask = self.asm.both(self.masks[-1], test) if self.masks else test
        if isinstance(mask, float) and not mask:
            return
        fresh = isinstance(mask, int) and mask in self.asm.temporary
        self.borrowed(mask)
        at = None
        if isinstance(mask, int) and not _draws(body, self.declared):
            at = self.asm.jump("skip_none", mask)
        self.masks.append(mask)
        self.block(body)
        self.masks.pop()
        if at is not None:
            self.asm.land(at)
        if fresh:
            self.asm.release(mask)

    def branch(self, s: ast.If) -> None:
        test = self.value(s.test)
        if isinstance(test, float) and not self.masks:  # known by now
            self.block(s.body if test else s.orelse)
            return
        kept = self.asm.keep(test)
        self.begin([*s.body, *s.orelse])
        self.under(kept, s.body)
        if s.orelse:
            other = self.asm.negate(kept)
            held = self.asm.keep(other)
            self.under(held, s.orelse)
            self.asm.release(held)
        self.asm.release(kept)

    def leave(self, s: ast.If) -> None:
        """A break: the points that it concerns leave the loop's and all inner conditions."""
        gone = self.asm.keep(self.asm.both(self.masks[-1], self.value(s.test)))
        stays = self.asm.keep(self.asm.negate(gone))
        for mask in self.masks[self.loop_at[-1] :]:
            assert isinstance(mask, int)
            made = self.asm.put("both", mask, self.borrowed(stays))
            self.asm.put("copy", made, to=mask)
        for v in (gone, stays):
            self.asm.release(v)

    def loop(self, s: ast.For) -> None:
        assert isinstance(s.iter, ast.Call) and isinstance(s.target, ast.Name)
        turns = self.value(s.iter.args[0])
        assert isinstance(turns, float)  # made of parameters and numbers
        n = min(max(int(turns), 0), MOST_TURNS) if math.isfinite(turns) else 0
        if n == 0:
            return
        self.begin([*s.body, s])
        depth = self.loops_outside + len(self.loop_at)
        live = self.asm.put("copy", self.masks[-1] if self.masks else 1.0)
        self.asm.temporary.discard(live)
        self.asm.jump("count", depth)
        start = len(self.asm.code)
        out = self.asm.jump("leave", depth, scalar=float(n))
        early = None if _draws(s.body, self.declared) else self.asm.jump("skip_none", live)
        self.loop_at.append(len(self.masks))
        self.masks.append(live)
        row = self.names[s.target.id]
        assert isinstance(row, int)
        self.asm.code.append([NUMBER["index"], row, depth, 0, 0, 0])
        self.block(s.body)
        self.masks.pop()
        self.loop_at.pop()
        self.asm.code.append([NUMBER["next"], start, depth, 0, 0, 0])
        self.asm.land(out)
        if early is not None:
            self.asm.land(early)
        self.asm.release(live)


def _assigned(body: Sequence[ast.stmt]) -> list[str]:
    """Names that statements set, in order."""
    found: dict[str, None] = {}
    for s in body:
        for n in ast.walk(s):
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
                found[n.id] = None
    return list(found)


def _draws(body: Sequence[ast.stmt], declared: Declared) -> bool:
    """Whether statements draw random numbers."""
    for s in body:
        for n in ast.walk(s):
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name):
                if n.func.id == "random":
                    return True
                function = None if n.func.id in FUNCTIONS else declared.functions(n.func.id)
                if function is not None and function.program.draws:
                    return True
    return False


def assemble(
    declared: Declared, to: Assembler, point: dict[str, Value], weight: float, numbers: dict[str, float]
) -> tuple[list[Value], Value, Value, Value]:
    """The instructions of a variation at a point.

    Args:
        point: x, y, z and color.
        numbers: parameters by their names, with ``p_`` before them, and numbers of the affine map (ca ... cf).

    Returns:
        What it adds to x, y and, if it likes to, z; the colour; whether the point is hidden; the code of its paint
        (:meth:`fractalkit.maps.variation_code.Code.end_paint`), or 0.
    """
    uses = declared.program.uses
    names: dict[str, Value] = {word: float(numbers[f"p_{p}"]) for word, p in declared.words().items()}
    names |= {k: float(v) for k, v in numbers.items() if not k.startswith("p_")}
    names |= point | {"w": float(weight)}
    made: list[Value] = []
    x, y = point["x"], point["y"]
    if uses & {"r", "r2"}:
        made.append(to.add(to.mul(x, x), to.mul(y, y)))
        to.temporary.discard(made[-1])  # type: ignore[arg-type]
        names["r2"] = made[-1]
    for word, of in (("r", ("sqrt", names.get("r2", 0.0))), ("theta", ("atan2", x, y)), ("phi", ("atan2", y, x))):
        if word in uses:
            made.append(to.call(*of))  # type: ignore[arg-type]
            to.temporary.discard(made[-1])  # type: ignore[arg-type]
            names[word] = made[-1]
    names |= {"hidden": 0.0} | dict.fromkeys(PAINTS, -1.0)
    formula = Formula(declared, to, names)
    formula.held_outside = frozenset(v for v in names.values() if isinstance(v, int))
    values = formula.run()
    ends: list[Value] = []
    for name in ("color", "hidden"):
        v = formula.names[name]
        ends.append(to.put("copy", v) if isinstance(v, int) and name in formula.own else v)
    paint: Value = 0.0
    if declared.program.paints:
        ends[0], paint = _paint(to, [formula.names[name] for name in PAINTS], ends[0])
    formula.close()
    for m in made:
        to.release(m)
    return values, ends[0], ends[1], paint


def _paint(to: Assembler, rgb: list[Value], colour: Value) -> tuple[Value, Value]:
    """The colour in the palette and the code of the paint, 0 for points without."""
    found = to.call("max", to.call("max", rgb[0], rgb[1]), rgb[2])
    # rows of names are not temporary, and stay
    bits = [to.call("floor", to.mul(to.clamped(v), LEVELS - 0.001)) for v in rgb]
    code = to.add(to.add(to.mul(bits[0], float(LEVELS**2)), to.mul(bits[1], float(LEVELS))), to.add(bits[2], 1.0))
    painted = to.keep(to.call("le", 0.0, found))
    paint = to.keep(to.select(painted, code, 0.0))
    kept = to.keep(colour)
    shade = to.keep(to.select(painted, to.clamped(kept), kept))
    to.release(painted)
    to.release(kept)
    return shade, paint
