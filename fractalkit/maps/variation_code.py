"""Code from the formulas of variations: for numbers, which a compiler takes, and for tensors.

Both come from one checked text (:mod:`fractalkit.codes.variation_text`). For numbers, conditions are conditions and
loops are loops, and random numbers come from a seed that the function takes and hands back. For tensors every line runs
for all points; under a condition, or in a loop that some points have left, only those concerned take the new value.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from typing import Any

from fractalkit.codes.variation_list import catalogue
from fractalkit.codes.variation_text import AFFINE, CONSTANTS, FUNCTIONS, MOST_TURNS, PAINTS, SETTABLE, Declared

# names of fast_math that compiled code uses
MATH = (
    "where", "both", "either", "negate", "sqrt", "sin", "cos", "tan", "exp", "log", "atan2", "acos", "power", "sinh",
    "cosh", "floor", "trunc", "rint", "fmod", "absolute", "least", "greatest", "hash3", "times", "looked_up",
)  # fmt: skip
PAINT = 4.0  # what a painted point's colour is above its place in the palette, times its code
LEVELS = 32  # of red, green and blue of painted points
_OTHER_NAMES = {"abs": "absolute", "min": "least", "max": "greatest", "hash": "hash3"}
_SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_DERIVED = {"r2": "x * x + y * y", "r": "sqrt(r2)", "theta": "atan2(x, y)", "phi": "atan2(y, x)"}


class FormulaCode:
    """Lines of one formula. The kinds of code differ in conditions, loops and random numbers, and in spelling."""

    tensors = False

    def __init__(self, declared: Declared) -> None:
        self.declared, self.program = declared, declared.program
        self.names = {word: f"p_{p}" for word, p in declared.words().items()}
        self.lines: list[str] = []
        self.indent = 1
        self.draw = 0
        self.masks: list[str] = []  # of tensors: where the lines count
        self.loop_at: list[int] = []  # how many masks there were at each loop
        self.mask = 0

    def put(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    # ---- expressions

    def text(self, e: ast.expr) -> str:
        """An expression; random numbers it needs are drawn in lines before it."""
        if isinstance(e, ast.Constant):
            return self.literal(float(e.value))  # type: ignore[arg-type]
        if isinstance(e, ast.Name):
            if e.id in self.names:
                return self.names[e.id]
            return self.literal(CONSTANTS[e.id]) if e.id in CONSTANTS else e.id
        if isinstance(e, ast.BinOp):
            return self.operation(e)
        if isinstance(e, ast.UnaryOp):
            inner = self.text(e.operand)
            return f"negate({inner})" if isinstance(e.op, ast.Not) else f"(-{inner})" if _minus(e) else inner
        if isinstance(e, ast.BoolOp):
            word = "both" if isinstance(e.op, ast.And) else "either"
            first, *rest = [self.text(v) for v in e.values]
            for r in rest:
                first = f"{word}({first}, {r})"
            return first
        if isinstance(e, ast.Compare):
            return self.comparison(e)
        if isinstance(e, ast.IfExp):
            return self.choice(*(self.text(v) for v in (e.test, e.body, e.orelse)))
        assert isinstance(e, ast.Call)
        return self.call(e)

    def literal(self, value: float) -> str:
        """A number as the code spells it."""
        return repr(value)

    def choice(self, test: str, yes: str, no: str) -> str:
        """One of two values."""
        return f"where({test}, {yes}, {no}{', like' if self.tensors else ''})"

    def known(self, name: str, given: str) -> str:
        """A call of a function of the language."""
        return f"{_OTHER_NAMES.get(name, name)}({given})"

    def whole_power(self, a: str, n: int) -> str:
        """a to the n, 2, 3 or 4."""
        return f"times({a}, {n})"

    def remainder(self, a: str, b: str) -> str:
        """a % b, of the sign of b."""
        return f"({a} - {b} * floor({a} / {b}))"

    def operation(self, e: ast.BinOp) -> str:
        a = self.text(e.left)
        if isinstance(e.op, ast.Pow):
            if isinstance(e.right, ast.Constant) and e.right.value in (2, 3, 4):
                return self.whole_power(a, int(e.right.value))  # type: ignore[arg-type]
            return self.known("power", f"{a}, {self.text(e.right)}")
        b = self.text(e.right)
        if isinstance(e.op, ast.Mod):
            return self.remainder(a, b)
        return f"({a} {_SIGNS[type(e.op)]} {b})"

    def comparison(self, e: ast.Compare) -> str:
        sides = [self.text(v) for v in (e.left, *e.comparators)]
        parts = [f"({a} {_SIGNS[type(o)]} {b})" for a, o, b in zip(sides, e.ops, sides[1:], strict=False)]
        first, *rest = parts
        for p in rest:
            first = f"both({first}, {p})"
        return first

    def call(self, e: ast.Call) -> str:
        assert isinstance(e.func, ast.Name)
        name = e.func.id
        if name == "random":
            return self.random()
        given = ", ".join(self.text(a) for a in e.args)
        if name in FUNCTIONS:
            return self.known(name, given)
        function = self.declared.functions(name)
        assert function is not None
        return self.of_file(function.name, given, function)

    def random(self) -> str:
        raise NotImplementedError

    def of_file(self, name: str, given: str, function: Declared) -> str:
        raise NotImplementedError

    # ---- statements

    def block(self, body: list[ast.stmt]) -> None:
        for s in body:
            if isinstance(s, ast.Assign):
                self.assign(s)
            elif isinstance(s, ast.If) and isinstance(s.body[0], ast.Break):
                self.leave(self.text(s.test))
            elif isinstance(s, ast.If):
                self.branch(s)
            elif isinstance(s, ast.For):
                self.loop(s)

    def target(self, t: ast.expr) -> str:
        assert isinstance(t, ast.Name)
        if t.id not in SETTABLE:
            self.names[t.id] = f"l_{t.id}"
        return self.names.get(t.id, t.id)

    def assign(self, s: ast.Assign) -> None:
        target, value = s.targets[0], s.value
        if not isinstance(target, ast.Tuple):
            self.set_one(target, self.text(value))
        elif isinstance(value, ast.Tuple):
            texts = [self.text(v) for v in value.elts]
            for i, text in enumerate(texts):
                self.put(f"t{i} = {text}")
            for i, t in enumerate(target.elts):
                self.set_one(t, f"t{i}")
        else:
            text = self.text(value)
            self.put(f"{', '.join(f't{i}' for i in range(len(target.elts)))} = {text}")
            for i, t in enumerate(target.elts):
                self.set_one(t, f"t{i}")

    def set_one(self, t: ast.expr, value: str) -> None:
        self.set(self.target(t), value)

    def set(self, name: str, value: str) -> None:
        self.put(f"{name} = {value}")

    def leave(self, test: str) -> None:
        raise NotImplementedError

    def branch(self, s: ast.If) -> None:
        raise NotImplementedError

    def loop(self, s: ast.For) -> None:
        raise NotImplementedError

    def derived(self) -> None:
        uses = self.program.uses
        for name, text in _DERIVED.items():
            if name in uses or (name == "r2" and "r" in uses):
                self.put(f"{name} = {text}")

    def start_paint(self) -> None:
        """Lines before a formula that may set red, green or blue."""
        if self.program.paints:
            self.put(f"{', '.join(PAINTS)} = -1.0, -1.0, -1.0")

    def end_paint(self) -> None:
        """Lines after it: a painted point's colour is that in the palette and PAINT (1 + 1024 r + 32 g + b), r, g and b
        whole numbers from 0 to 31."""
        if self.program.paints:
            bits = [f"floor(31.999 * least(greatest({name}, 0.0), 1.0))" for name in PAINTS]
            code = f"1.0 + 1024.0 * {bits[0]} + 32.0 * {bits[1]} + {bits[2]}"
            like = ", like" if self.tensors else ""
            self.put(f"found = greatest(greatest({PAINTS[0]}, {PAINTS[1]}), {PAINTS[2]})")
            plain = "least(greatest(color, 0.0), 1.0)"
            self.put(f"color = where(found >= 0.0, {plain} + {PAINT} * ({code}), color{like})")

    def values(self) -> list[str]:
        last = self.program.body[-1]
        assert isinstance(last, ast.Return) and last.value is not None
        return [self.text(v) for v in (last.value.elts if isinstance(last.value, ast.Tuple) else [last.value])]


def _minus(e: ast.UnaryOp) -> bool:
    return isinstance(e.op, ast.USub)


def _assigned(body: list[ast.stmt]) -> list[str]:
    """Names that statements set, in order."""
    found: dict[str, None] = {}
    for s in body:
        for n in ast.walk(s):
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
                found[n.id] = None
    return list(found)


class _Numbers(FormulaCode):
    """Code for numbers."""

    def random(self) -> str:
        name = f"u{self.draw}"
        self.draw += 1
        for line in draw_lines(name, "seed"):
            self.put(line)
        return name

    def of_file(self, name: str, given: str, function: Declared) -> str:
        if not function.program.draws:
            return f"f_{name}({given})"
        names = [f"u{self.draw + i}" for i in range(function.program.returns)]
        self.draw += len(names)
        self.put(f"{', '.join(names)}, seed = f_{name}({given}{', ' if given else ''}seed)")
        return ", ".join(names)

    def leave(self, test: str) -> None:
        self.put(f"if {test}:")
        self.put("    break")

    def branch(self, s: ast.If) -> None:
        self.put(f"if {self.text(s.test)}:")
        for body in (s.body, s.orelse):
            if body is s.orelse and body:
                self.put("else:")
            self.indent += 1
            self.block(body)
            if body is s.body:
                self.put("pass")
            self.indent -= 1

    def loop(self, s: ast.For) -> None:
        assert isinstance(s.iter, ast.Call)
        count = f"i{len(self.loop_at)}"
        self.put(f"for {count} in range(min(max(int({self.text(s.iter.args[0])}), 0), {MOST_TURNS})):")
        self.loop_at.append(0)
        self.indent += 1
        self.set_one(s.target, f"float({count})")
        self.block(s.body)
        self.indent -= 1
        self.loop_at.pop()


class _Tensors(FormulaCode):
    """Code for tensors."""

    tensors = True

    def random(self) -> str:
        name = f"u{self.draw}"
        self.draw += 1
        self.put(f"{name} = random()")
        return name

    def of_file(self, name: str, given: str, function: Declared) -> str:
        if not function.program.draws:
            return f"f_{name}({', '.join(filter(None, ['like', given]))})"
        names = [f"u{self.draw + i}" for i in range(function.program.returns)]
        self.draw += len(names)
        self.put(f"{', '.join(names)} = f_{name}({', '.join(filter(None, ['like', given, 'random']))})")
        return ", ".join(names)

    def set(self, name: str, value: str) -> None:
        self.put(f"{name} = where({self.masks[-1]}, {value}, {name}, like)" if self.masks else f"{name} = {value}")

    def begin(self, body: list[ast.stmt]) -> None:
        """Names that a block sets and that have no value yet get one, which nothing looks at."""
        for name in _assigned(body):
            if name not in self.names and name not in SETTABLE:
                self.names[name] = f"l_{name}"
                self.put(f"l_{name} = 0.0")

    def new_mask(self, text: str) -> str:
        name = f"m{self.mask}"
        self.mask += 1
        self.put(f"{name} = {text}")
        return name

    def under(self, test: str, body: list[ast.stmt]) -> None:
        mask = self.new_mask(f"both({self.masks[-1]}, {test})" if self.masks else test)
        self.put(f"if some({mask}):")
        self.masks.append(mask)
        self.indent += 1
        self.block(body)
        self.put("pass")
        self.indent -= 1
        self.masks.pop()

    def leave(self, test: str) -> None:
        gone = self.new_mask(f"both({self.masks[-1]}, {test})")
        for mask in self.masks[self.loop_at[-1] :]:
            self.put(f"{mask} = both({mask}, negate({gone}))")
        self.put(f"if not some({self.masks[self.loop_at[-1]]}):")
        self.put("    break")

    def branch(self, s: ast.If) -> None:
        self.begin([*s.body, *s.orelse])
        test = self.new_mask(self.text(s.test))
        self.under(test, s.body)
        if s.orelse:
            self.under(f"negate({test})", s.orelse)

    def loop(self, s: ast.For) -> None:
        assert isinstance(s.iter, ast.Call)
        self.begin(s.body)
        turns = self.text(s.iter.args[0])
        count = f"i{len(self.loop_at)}"
        live = self.new_mask(self.masks[-1] if self.masks else "everywhere(like)")
        self.put(f"for {count} in range(min(max(int({turns}), 0), {MOST_TURNS})):")
        self.loop_at.append(len(self.masks))
        self.masks.append(live)
        self.indent += 1
        self.put(f"{self.target(s.target)} = float({count})")
        self.block(s.body)
        self.indent -= 1
        self.masks.pop()
        self.loop_at.pop()


def draw_lines(name: str, seed: str) -> list[str]:
    """Lines that draw a uniform number in [0, 1) from a state of 64 bits, which they move on."""
    return [
        f"{seed} = {seed} + STEP",
        f"bits = ({seed} ^ ({seed} >> S30)) * M1",
        "bits = (bits ^ (bits >> S27)) * M2",
        "bits = bits ^ (bits >> S31)",
        f"{name} = np.float64(bits >> S11) * 1.1102230246251565e-16",
    ]


def find(name: str) -> Declared:
    """The variation of a name, as the catalogue spells it.

    Raises:
        KeyError: there is none.
    """
    found = catalogue().find(name)
    if found is None:
        raise KeyError(name)
    return found[1]


def arguments(declared: Declared) -> list[str]:
    """What a variation's code takes after the point and the weight: p_... for parameters, and numbers of the map."""
    uses = declared.program.uses
    return [f"p_{p}" for p in declared.parameters] + [a for a in AFFINE if a in uses]


def number_code(declared: Declared, space: bool) -> str:
    """The function ``v_NAME`` for numbers, in space ``v_NAME_3d``.

    It takes x, y, in space z, color if it has to do with it, w, :func:`arguments`, and a seed if it draws; it returns
    what it adds to x, y and in space z, then the new color, whether it hides the point, and the seed, as far as it has
    to do with them.
    """
    code = _Numbers(declared)
    program = declared.program
    first = ["x", "y", *(["z"] if space else []), *(["color"] if has_color(declared) else []), "w"]
    seed = ["seed"] if program.draws else []
    code.put(f'"""{declared.doc.splitlines()[0] if declared.doc else declared.name}"""'.replace("\\", ""))
    if not space and "z" in program.uses:
        code.put("z = 0.0")
    if program.hides:
        code.put("hidden = False")
    code.start_paint()
    code.derived()
    code.block(list(program.body[:-1]))
    values = code.values()
    code.end_paint()
    values = [*values, "0.0"][:3] if space else values[:2]
    ends = [*(["color"] if program.colors else []), *(["hidden"] if program.hides else []), *seed]
    code.put(f"return {', '.join([*values, *ends])}")
    head = f"def v_{declared.name}{'_3d' if space else ''}({', '.join([*first, *arguments(declared), *seed])}):"
    return "\n".join([head, *code.lines]) + "\n"


def has_color(declared: Declared) -> bool:
    """Whether a variation has to do with the point's colour."""
    return declared.program.colors or "color" in declared.program.uses


def function_codes(declared: Declared, done: dict[str, str], tensors: bool = False) -> None:
    """Add to ``done`` the functions of files that a formula needs, those they need first."""
    for name in sorted(declared.program.calls):
        function = declared.functions(name)
        assert function is not None
        name = function.name
        if name in done:
            continue
        if function.table:
            done[name] = _table_code(function, tensors)
            continue
        function_codes(function, done, tensors)
        code = (_Tensors if tensors else _Numbers)(function)
        code.block(list(function.program.body[:-1]))
        values = code.values()
        given = [f"p_{p}" for p in function.parameters]
        if tensors:
            given = ["like", *given, *(["random"] if function.program.draws else [])]
        elif function.program.draws:
            given, values = [*given, "seed"], [*values, "seed"]
        code.put(f"return {', '.join(values)}")
        done[name] = "\n".join([f"def f_{name}({', '.join(given)}):", *code.lines]) + "\n"


def _table_code(declared: Declared, tensors: bool) -> str:
    """The function of a table, and its numbers."""
    k = f"p_{next(iter(declared.parameters))}"
    numbers = f"({', '.join(map(repr, declared.table))},)"
    if tensors:
        return f"T_{declared.name} = {numbers}\n\n\ndef f_{declared.name}(like, {k}):\n" \
               f"    return looked_up(T_{declared.name}, {k}, like)\n"  # fmt: skip
    return f"def f_{declared.name}({k}):\n    return looked_up(T_{declared.name}, {k})\n"


def table_codes(declared: Declared, done: dict[str, str]) -> None:
    """Add to ``done`` the lines that give the tables their numbers which a formula's code for numbers looks up."""
    for name in sorted(declared.program.calls):
        function = declared.functions(name)
        assert function is not None
        if function.table:
            done[function.name] = f"T_{function.name} = np.array([{', '.join(map(repr, function.table))}])\n"
        else:
            table_codes(function, done)


@cache
def tensor_code(declared: Declared) -> Callable[..., tuple[Any, ...]]:
    """A variation for tensors ``[N]``.

    It takes x, y, z, color, w, :func:`arguments`, and a function without arguments that gives uniform numbers ``[N]``;
    w, parameters and numbers of the map are tensors. It returns what it adds to x, y and z (None: nothing), the colour,
    and which points are hidden (None: none).
    """
    from fractalkit.maps import torch_math

    code = _Tensors(declared)
    program = declared.program
    code.put("like = x")
    if program.hides:
        code.put("hidden = nowhere(x)")
    code.start_paint()
    code.derived()
    code.block(list(program.body[:-1]))
    values = [*code.values(), "None"][:3]
    code.end_paint()
    code.put(f"return {', '.join([*values, 'color', 'hidden' if program.hides else 'None'])}")
    given = ", ".join(["x", "y", "z", "color", "w", *arguments(declared), "random"])
    functions: dict[str, str] = {}
    function_codes(declared, functions, tensors=True)
    text = "\n".join([*functions.values(), f"def v({given}):", *code.lines])
    names = {n: getattr(torch_math, n) for n in (*MATH, "some", "everywhere", "nowhere")}
    exec(compile(text, f"<variation {declared.name}>", "exec"), names)
    made: Callable[..., tuple[Any, ...]] = names["v"]
    return made
