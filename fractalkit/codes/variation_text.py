"""The language of variations of flames: short formulas, checked when they are read, never evaluated here.

A file (``.variations``) is text. A line that begins at the margin opens a variation or a function; the indented lines
below it are its formula::

    # a comment
    variation ripple2(amount=0.5, scale=1): Waves away from the origin.
        s = 1 + amount * sin(2 * pi * r / scale)
        return w * x * s, w * y * s

    function lerp(a, b, t): Between a and b.
        return a + t * (b - a)

    table heights(k): Numbers to look up: heights(0) is 1.5.
        1.5 2 -3.25

``return`` gives what the variation adds to x and y, and if it likes to z, weight included. A formula may use

* the point x, y, z after the affine map, the weight w, and r = |(x, y)|, r2 = r^2, theta = atan2(x, y),
  phi = atan2(y, x); the affine map's numbers ca ... cf (x' = ca x + cb y + cc, y' = cd x + ce y + cf): a formula that
  sets one of these has a variable that begins with its value; pi; EPS = 1e-10;
* its parameters by their names, or by ``p_`` and the name where the name has another meaning here (``p_x``);
* ``color``, the point's place in the palette, 0 to 1, which it may also set;
* ``red``, ``green`` and ``blue``, 0 to 1, which it may set: the point is drawn in that colour this time, whatever the
  palette (five bits each);
* ``hidden``, which it may set to a condition: the point is then not drawn this time;
* + - * / **, % (of the sign of the right side), comparisons, ``and``, ``or``, ``not``, ``a if condition else b``;
* sqrt sin cos tan exp log sinh cosh acos floor trunc rint abs atan2 fmod min max; ``hash(i, j, k)``, a number in [0, 1)
  that whole numbers fix; ``random()``, a new number in [0, 1) at each call; and functions of the same file or of
  ``functions.variations``, which may return several numbers: ``a, b = cmul(x, y, c, d)``;
* tables, by the whole number that is not above k, brought into their range (what is no number looks up the first);
* ``if`` / ``elif`` / ``else``, and ``for k in range(n)`` with n a number or made of parameters, which runs at most 256
  times and may leave by ``if condition: break``.

A line in a formula that begins with ``@`` says more: ``@also name, name`` gives other names of the variation,
``@spelled p: q, r`` other names of its parameter p, ``@adds`` that its pre_ and post_ forms add to the point, as blurs
do, where others replace it, ``@depth`` that they replace its z alone, ``@pre`` or ``@post`` that it always comes
before the sum of the others or acts on it, and ``@before other`` that ``other`` has its place, before
the sum or in it, with the same weight and parameters.

Formulas are turned into code for compilers and for tensors in :mod:`fractalkit.maps.variation_code`. Code that knows
functions of files must know tables (:attr:`Declared.table`), and call both by the name that they declare, which is
another than the formula's where a flame brings its own (:mod:`fractalkit.codes.variations_made`).
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fractalkit.errors import DataError, one_line

FUNCTIONS = dict.fromkeys(
    ("sqrt", "sin", "cos", "tan", "exp", "log", "sinh", "cosh", "acos", "floor", "trunc", "rint", "abs"), 1
) | {"atan2": 2, "fmod": 2, "min": 2, "max": 2, "hash": 3, "random": 0}
POINT = ("x", "y", "z", "w", "r", "r2", "theta", "phi", "color")
AFFINE = ("ca", "cb", "cc", "cd", "ce", "cf")
GIVEN = frozenset([*POINT, *AFFINE]) - {"color"}
CONSTANTS = {"pi": math.pi, "EPS": 1e-10}
PAINTS = ("red", "green", "blue")
SETTABLE = frozenset(["color", "hidden", *PAINTS])
WORDS = frozenset([*FUNCTIONS, *POINT, *AFFINE, *CONSTANTS, *SETTABLE])
FLAGS = "@also, @spelled, @adds, @depth, @pre, @post and @before"
MOST_TURNS = 256  # of a loop
MOST_WORK = 8192  # turns of loops within loops
MOST_BYTES = 1 << 20
MOST_NODES = 20_000  # of one formula
MOST_NUMBERS = 1 << 17  # of one table
NUMBER, TRUTH = "a number", "a condition"

_HEADER = re.compile(r"(variation|function|table)\s+([A-Za-z_][A-Za-z0-9_]*)\s*\(([^()]*)\)\s*:\s*(.*)$")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")


@dataclass(frozen=True)
class Program:
    """A checked formula.

    Attributes:
        body: statements, the last of which is the ``return``.
        uses: the words of POINT and AFFINE it reads; ``calls``: the functions of files it calls.
        draws: whether it draws random numbers; ``colors``, ``hides``: whether it sets the colour, or hides points;
            ``paints``: whether it sets red, green or blue.
        returns: how many numbers it returns.
    """

    body: tuple[ast.stmt, ...]
    uses: frozenset[str]
    calls: frozenset[str]
    draws: bool
    colors: bool
    hides: bool
    paints: bool
    returns: int


@dataclass(frozen=True, eq=False)
class Declared:
    """A variation or function as its file declares it; the formula is looked at when it is first asked for.

    Attributes:
        name: its first name; ``also``: further ones.
        parameters: their names and defaults; of a function, arguments, whose defaults mean nothing.
        spellings: other names of parameters -> their names here.
        adds, depth: how pre_ and post_ forms act, see the module; ``place``: ``pre_``, ``post_`` or nothing, where it
            always stands.
        table: the numbers of a table, which is a function of one number without a formula; else empty.
        before: another variation that has its place with the same weight and parameters, or nothing.
        written: of a variation that a flame brings, its name in files and the attributes that are its texts.
        text: the formula's lines; ``where``: the file's name; ``line``: that of the declaration.
    """

    name: str
    parameters: dict[str, float]
    doc: str
    text: str
    where: str
    line: int
    function: bool = False
    also: tuple[str, ...] = ()
    spellings: dict[str, str] = field(default_factory=dict)
    adds: bool = False
    depth: bool = False
    place: str = ""
    functions: Callable[[str], Declared | None] = lambda name: None
    table: tuple[float, ...] = ()
    before: str = ""
    written: tuple[str, dict[str, str]] | None = None

    @cached_property
    def program(self) -> Program:
        """The checked formula.

        Raises:
            DataError: it is none.
        """
        if self.table:
            return Program((), frozenset(), frozenset(), False, False, False, False, 1)
        return _Checker(self).program()

    def check(self) -> None:
        """Look at the formula.

        Raises:
            DataError: it is none.
        """
        assert self.program

    @cached_property
    def deep(self) -> bool:
        """Whether x or y depend on z, so that a flame that has it must be drawn in space."""
        return "z" in self.program.uses and _depends(self)

    @cached_property
    def space(self) -> bool:
        """Whether it has to do with z."""
        return self.program.returns == 3 or "z" in self.program.uses

    def words(self) -> dict[str, str]:
        """The names by which a formula knows its parameters -> their names."""
        taken = {*FUNCTIONS, *CONSTANTS} if self.function else WORDS
        return {(f"p_{p}" if p in taken or keyword.iskeyword(p) else p): p for p in self.parameters}


def read_variations(
    text: str, where: str, functions: Callable[[str], Declared | None] = lambda name: None
) -> list[Declared]:
    """The declarations of a file's text; formulas are checked later, by :attr:`Declared.program`.

    Args:
        where: the file's name, for messages.
        functions: finds functions that other files declare, by name.

    Raises:
        DataError: too large, or a line that is none; the message names the file and the line.
    """
    if len(text) > MOST_BYTES:
        raise DataError(f"{where}: {len(text):,} characters are more than a file of variations may have")
    own: dict[str, Declared] = {}
    found: list[Declared] = []

    def find(name: str) -> Declared | None:
        return own.get(name) or functions(name)

    blocks: list[tuple[int, re.Match[str], list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t":
            if not blocks:
                raise DataError(f"{where}: line {number}: a formula without a line 'variation name(...): what it does'")
            body = blocks[-1][2]
            body += [""] * (number - blocks[-1][0] - 1 - len(body)) + [line.expandtabs(4)]
            continue
        match = _HEADER.match(line)
        if match is None:
            raise DataError(
                f"{where}: line {number}: {line.strip()[:60]!r} is no declaration; "
                "expected 'variation name(parameter=1): what it does'"
            )
        blocks.append((number, match, []))
    for number, match, body in blocks:
        one = _declared(match, body, where, number, find)
        found.append(one)
        if one.function:
            own[one.name] = one
    return found


def _declared(
    match: re.Match[str], body: list[str], where: str, number: int, find: Callable[[str], Declared | None]
) -> Declared:
    kind, name, given, doc = match.groups()
    at = f"{where}: line {number}: {kind} {name}"
    if kind != "variation" and name in WORDS:
        raise DataError(f"{at}: this name has a meaning in formulas; choose another")
    if kind == "table":
        if not _NAME.match(given.strip()):
            raise DataError(f"{at}: a table has one argument: table {name}(k)")
        return Declared(name, {given.strip(): 0.0}, doc.strip(), "", where, number, True, table=_numbers(body, at))
    parameters: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in given.split(","))):
        key, _, value = (s.strip() for s in part.partition("="))
        if not _NAME.match(key) or key in parameters:
            raise DataError(f"{at}: {part[:40]!r} is no parameter, or a second one of this name")
        parameters[key] = _default(value, at, key)
    also: list[str] = []
    spellings: dict[str, str] = {}
    flags = set()
    before = ""
    lines = []
    for line in body:
        word, _, rest = line.strip().partition(" ")
        lines.append("" if word.startswith("@") else line)
        if word == "@also":
            also += [s.strip() for s in rest.split(",")]
        elif word == "@spelled":
            key, _, others = rest.partition(":")
            if key.strip() not in parameters:
                raise DataError(f"{at}: @spelled names {key.strip()[:40]!r}, which is no parameter of it")
            spellings |= dict.fromkeys((s.strip() for s in others.split(",")), key.strip())
        elif word == "@before":
            before = rest.strip()
        elif word in ("@adds", "@depth", "@pre", "@post"):
            flags.add(word)
        elif word.startswith("@"):
            raise DataError(f"{at}: {word[:40]} is not known; there are {FLAGS}")
    return Declared(
        name, parameters, doc.strip(), "\n".join(lines), where, number, kind == "function", tuple(also), spellings,
        "@adds" in flags, "@depth" in flags, "pre_" if "@pre" in flags else "post_" if "@post" in flags else "", find,
        before=before,
    )  # fmt: skip


def _numbers(body: list[str], at: str) -> tuple[float, ...]:
    """The numbers of a table."""
    words = " ".join(body).replace(",", " ").split()
    if not 1 <= len(words) <= MOST_NUMBERS:
        raise DataError(f"{at}: {len(words):,} numbers; a table has 1 to {MOST_NUMBERS:,}")
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError as error:
        raise DataError(f"{at}: {one_line(str(error))[:80]}; expected numbers") from None
    if not all(abs(v) < 1e300 for v in numbers):
        raise DataError(f"{at}: a number is not finite, or too large")
    return numbers


def _default(text: str, at: str, key: str) -> float:
    """A default: a number, or a number times pi; without one 0."""
    factor = re.fullmatch(r"([-+0-9.eE]+)\s*\*\s*pi", text)
    try:
        value = math.pi if text == "pi" else float(factor[1]) * math.pi if factor else float(text or "0")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{at}: the default of {key} is {text[:40]!r}, expected a number")
    return value


_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.Mod)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)


class _Renamed(ast.NodeTransformer):
    """Gives variables other names."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.copy_location(ast.Name(self.names.get(node.id, node.id), node.ctx), node)


def _own_variables(body: list[ast.stmt], taken: set[str]) -> list[ast.stmt]:
    """The same statements, in which those given numbers that they set are variables that begin with their values."""
    names = [n for s in body for n in ast.walk(s) if isinstance(n, ast.Name)]
    taken = taken | {n.id for n in names}
    renamed = {}
    for given in sorted({n.id for n in names if isinstance(n.ctx, ast.Store)} & GIVEN):
        renamed[given] = f"own_{given}"
        while renamed[given] in taken:
            renamed[given] += "_"
    first = [ast.parse(f"{own} = {given}").body[0] for given, own in renamed.items()]
    return [*first, *(_Renamed(renamed).visit(s) for s in body)] if renamed else body


class _OneAssignment(ast.NodeTransformer):
    """Writes ``a += b`` as ``a = a + b``, so that what reads a program knows one kind of assignment."""

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        if not isinstance(node.target, ast.Name) or not isinstance(node.op, _OPERATORS):
            return node
        value = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
        return ast.fix_missing_locations(ast.copy_location(ast.Assign([node.target], value), node))


class _Checker:
    """Goes through a formula once, with the kind of each variable."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.parameters = declared.words()
        self.uses: set[str] = set()
        self.calls: set[str] = set()
        self.set: set[str] = set()
        self.draws = False
        self.returns = 0
        self.loops: list[int] = []

    def refuse(self, node: ast.AST | None, why: str) -> DataError:
        d = self.declared
        line = d.line + (getattr(node, "lineno", 1) - 1 if node is not None else 0)
        return DataError(f"{d.where}: line {line}: {'function' if d.function else 'variation'} {d.name}: {why}")

    def program(self) -> Program:
        # one more level, so that the text is indented as it stands and line 1 is the declaration
        try:
            tree = ast.parse("if 1:\n" + (self.declared.text or "    pass"))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            at = ast.Pass(lineno=getattr(error, "lineno", 1) or 1)
            raise self.refuse(at, f"this is no formula ({getattr(error, 'msg', 'too deep')})") from None
        if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
            raise self.refuse(None, "the formula is too long")
        tree = _OneAssignment().visit(tree)
        outer = tree.body[0]
        assert isinstance(outer, ast.If)
        if len(tree.body) != 1 or outer.orelse:
            raise self.refuse(tree.body[-1], "this is no formula (indentation)")
        try:
            *body, last = outer.body if self.declared.function else _own_variables(outer.body, set(self.parameters))
            known = self.block(body, {})
            if not isinstance(last, ast.Return) or last.value is None:
                raise self.refuse(last, "the last line must be: return what is added to x, what is added to y")
            values = last.value.elts if isinstance(last.value, ast.Tuple) else [last.value]
            for value in values:
                self.number(value, known)
        except RecursionError:
            raise self.refuse(None, "the formula is too deep") from None
        if not self.declared.function and len(values) not in (2, 3):
            raise self.refuse(last, f"returns {len(values)} numbers; expected two, or three in space")
        called = [self.function(name, last).program for name in self.calls]
        return Program(
            (*body, last), frozenset(self.uses), frozenset(self.calls),
            self.draws or any(c.draws for c in called), bool(self.set - {"hidden"}), "hidden" in self.set,
            not self.set.isdisjoint(PAINTS), len(values),
        )  # fmt: skip

    # ---- statements

    def block(self, body: list[ast.stmt], known: Mapping[str, str]) -> dict[str, str]:
        """Check statements; returns the variables that have values after them, with their kinds."""
        here = dict(known)
        for s in body:
            if isinstance(s, ast.Assign) and len(s.targets) == 1:
                self.assign(s, here)
            elif isinstance(s, ast.If):
                self.branch(s, here)
            elif isinstance(s, ast.For):
                self.loop(s, here)
            elif not isinstance(s, ast.Pass):
                raise self.refuse(s, "only assignments, if, for and a return at the end may stand here")
        return here

    def assign(self, s: ast.Assign, here: dict[str, str]) -> None:
        target, value = s.targets[0], s.value
        if isinstance(target, ast.Name):
            self.target(target, self.kind(value, here), here)
            return
        if not isinstance(target, ast.Tuple) or not all(isinstance(t, ast.Name) for t in target.elts):
            raise self.refuse(s, "only names can be given values")
        if isinstance(value, ast.Tuple):
            kinds = [self.kind(v, here) for v in value.elts]
        else:
            kinds = [NUMBER] * self.called(value, here)
        if len(kinds) != len(target.elts):
            raise self.refuse(s, f"{len(target.elts)} names for {len(kinds)} values")
        for t, kind in zip(target.elts, kinds, strict=True):
            self.target(t, kind, here)

    def target(self, t: ast.expr, kind: str, here: dict[str, str]) -> None:
        assert isinstance(t, ast.Name)
        if t.id in SETTABLE and not self.declared.function:
            if kind != (TRUTH if t.id == "hidden" else NUMBER):
                raise self.refuse(t, f"{t.id} is set to {kind}")
            self.set.add(t.id)
            return
        if t.id in WORDS or t.id in self.parameters:
            raise self.refuse(t, f"{t.id} has a meaning of its own and cannot be set")
        if here.get(t.id, kind) != kind:
            raise self.refuse(t, f"{t.id} is {here[t.id]}, and here it is set to {kind}")
        here[t.id] = kind

    def branch(self, s: ast.If, here: dict[str, str]) -> None:
        if len(s.body) == 1 and isinstance(s.body[0], ast.Break) and not s.orelse:
            if not self.loops:
                raise self.refuse(s, "break outside a loop")
            self.truth(s.test, here)
            return
        self.truth(s.test, here)
        one, two = self.block(s.body, here), self.block(s.orelse, here)
        here.update({n: k for n, k in one.items() if two.get(n) == k})

    def loop(self, s: ast.For, here: dict[str, str]) -> None:
        call = s.iter
        good = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
        if not good or not isinstance(s.target, ast.Name) or s.orelse:
            raise self.refuse(s, "a loop must read: for k in range(n)")
        assert isinstance(call, ast.Call)
        if len(call.args) != 1 or call.keywords:
            raise self.refuse(s, "a loop must read: for k in range(n)")
        turns = call.args[0]
        self.number(turns, {})  # of parameters and numbers alone
        if any(isinstance(n, ast.Name) and n.id in (*POINT, *AFFINE) for n in ast.walk(turns)):
            raise self.refuse(s, "how often a loop runs may depend on parameters and numbers alone")
        most = MOST_TURNS
        if isinstance(turns, ast.Constant):
            most = int(turns.value) if isinstance(turns.value, int | float) else MOST_TURNS
            if most > MOST_TURNS:
                raise self.refuse(s, f"a loop runs at most {MOST_TURNS} times")
        self.loops.append(max(1, most))
        if math.prod(self.loops) > MOST_WORK:
            raise self.refuse(s, f"loops within loops run {math.prod(self.loops)} times; at most {MOST_WORK}")
        inside = dict(here)
        self.target(s.target, NUMBER, inside)
        self.block(s.body, inside)
        self.loops.pop()

    # ---- expressions

    def number(self, e: ast.expr, here: Mapping[str, str]) -> None:
        if self.kind(e, here) != NUMBER:
            raise self.refuse(e, f"{ast.unparse(e)[:40]!r} is a condition, expected a number")

    def truth(self, e: ast.expr, here: Mapping[str, str]) -> None:
        if self.kind(e, here) != TRUTH:
            raise self.refuse(e, f"{ast.unparse(e)[:40]!r} is a number, expected a condition such as x > 0")

    def kind(self, e: ast.expr, here: Mapping[str, str]) -> str:
        """NUMBER or TRUTH; refuses what is neither."""
        if isinstance(e, ast.Constant):
            return self.constant(e)
        if isinstance(e, ast.Name):
            return self.name(e, here)
        if isinstance(e, ast.BinOp) and isinstance(e.op, _OPERATORS):
            self.number(e.left, here)
            self.number(e.right, here)
            return NUMBER
        if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub | ast.UAdd):
            self.number(e.operand, here)
            return NUMBER
        if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.Not):
            self.truth(e.operand, here)
            return TRUTH
        if isinstance(e, ast.BoolOp):
            for v in e.values:
                self.truth(v, here)
            return TRUTH
        if isinstance(e, ast.Compare) and all(isinstance(o, _COMPARISONS) for o in e.ops):
            for v in (e.left, *e.comparators):
                self.number(v, here)
            return TRUTH
        if isinstance(e, ast.IfExp):
            self.truth(e.test, here)
            kinds = {self.kind(e.body, here), self.kind(e.orelse, here)}
            if len(kinds) > 1:
                raise self.refuse(e, "one side of 'if ... else' is a number and the other a condition")
            return kinds.pop()
        if isinstance(e, ast.Call):
            if self.called(e, here) != 1:
                raise self.refuse(e, f"{ast.unparse(e)[:40]!r} gives several numbers")
            return NUMBER
        raise self.refuse(e, f"{ast.unparse(e)[:40]!r} is not part of the language")

    def constant(self, e: ast.Constant) -> str:
        if isinstance(e.value, bool) or not isinstance(e.value, int | float) or not abs(e.value) < 1e300:
            raise self.refuse(e, f"{str(e.value)[:40]!r} is no number")
        return NUMBER

    def name(self, e: ast.Name, here: Mapping[str, str]) -> str:
        if e.id in here:
            return here[e.id]
        if e.id in self.parameters or e.id in CONSTANTS:
            return NUMBER
        if e.id in (*POINT, *AFFINE) and not self.declared.function:
            self.uses.add(e.id)
            return NUMBER
        raise self.refuse(e, f"{e.id} is not known here, or has no value on every way to this line")

    def called(self, e: ast.expr, here: Mapping[str, str]) -> int:
        """How many numbers a call gives."""
        if not isinstance(e, ast.Call) or not isinstance(e.func, ast.Name) or e.keywords:
            raise self.refuse(e, f"{ast.unparse(e)[:40]!r} is no call of a function")
        name = e.func.id
        if name in FUNCTIONS:
            want, gives = FUNCTIONS[name], 1
            self.draws |= name == "random"
        else:
            function = self.function(name, e)
            want, gives = len(function.parameters), function.program.returns
            self.calls.add(name)
        if len(e.args) != want:
            raise self.refuse(e, f"{name} takes {want} numbers, not {len(e.args)}")
        for a in e.args:
            self.number(a, here)
        return gives

    def function(self, name: str, e: ast.AST) -> Declared:
        found = self.declared.functions(name)
        # functions may call those above them only, so that none calls itself
        if found is None or (self.declared.where == found.where and found.line >= self.declared.line):
            raise self.refuse(e, f"there is no function {name} above this line")
        return found


def _depends(declared: Declared) -> bool:
    """Whether x or y of a variation depend on z: which names do, by going through the lines until nothing changes."""
    tainted = {"z"}
    *body, last = declared.program.body
    assert isinstance(last, ast.Return)

    def reads(e: ast.AST) -> bool:
        return any(isinstance(n, ast.Name) and n.id in tainted for n in ast.walk(e))

    def spread(statements: list[ast.stmt], under: bool) -> None:
        for s in statements:
            if isinstance(s, ast.Assign):
                target, value = s.targets[0], s.value
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                    pairs = list(zip(target.elts, value.elts, strict=True))
                else:
                    pairs = [(t, value) for t in (target.elts if isinstance(target, ast.Tuple) else [target])]
                tainted.update(t.id for t, v in pairs if isinstance(t, ast.Name) and (under or reads(v)))
            elif isinstance(s, ast.If | ast.For):
                inner = under or (isinstance(s, ast.If) and reads(s.test))
                spread(s.body, inner)
                spread(s.orelse, inner)

    while True:
        before = len(tainted)
        spread(list(body), False)
        if len(tainted) == before:
            break
    values = last.value.elts if isinstance(last.value, ast.Tuple) else []
    return any(reads(v) for v in values[:2])
