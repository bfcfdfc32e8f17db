"""The formulas of variations as WGSL: one more kind of code from the one checked text.

WGSL has types and no uninitialised values: each name becomes a variable at the head of its function, and one that is
now a number and now a condition becomes two. Random numbers are drawn in lines of their own, in the order in which
:mod:`fractalkit.maps.variation_code` draws them for numbers, so that both use up the same ones. A shader that contains
formulas must have a function ``random() -> f32``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from fractalkit.codes.variation_text import MOST_TURNS, PAINTS, SETTABLE, Declared
from fractalkit.maps.variation_code import LEVELS, FormulaCode, arguments

TINY, LARGEST = 1.1754944e-38, 3.4028235e38  # of normal float32
# what a formula may set beside the point, in variables of the shader's module
STATE = """var<private> s_color: f32;
var<private> s_hidden: bool;
var<private> s_paint: f32;
"""
_STATE = {"color": "s_color", "hidden": "s_hidden"} | {name: f"o_{name}" for name in PAINTS}


def literal(value: float) -> str:
    """A number as WGSL spells it, brought into the range of float32.

    >>> literal(2), literal(1e-300), literal(-1e300)
    ('2.0f', '1.1754944e-38f', '-3.4028235e+38f')
    """
    if value and abs(value) < TINY:
        value = TINY if value > 0 else -TINY
    return f"{min(max(float(value), -LARGEST), LARGEST)!r}f"


class _Shader(FormulaCode):
    """Code in WGSL."""

    def __init__(self, declared: Declared) -> None:
        super().__init__(declared)
        self.kinds: dict[str, str] = {}  # variables at the head -> their types
        self.parts = 0
        if not declared.function:
            self.names |= _STATE

    def literal(self, value: float) -> str:
        return literal(value)

    def choice(self, test: str, yes: str, no: str) -> str:
        return f"select({no}, {yes}, {test})"

    def known(self, name: str, given: str) -> str:
        return f"k_{name}({given})"

    def whole_power(self, a: str, n: int) -> str:
        return f"power_{n}({a})"

    def remainder(self, a: str, b: str) -> str:
        return f"k_mod({a}, {b})"

    def random(self) -> str:
        return self.part("random()")

    def of_file(self, name: str, given: str, function: Declared) -> str:
        call = f"f_{name}({given})"
        return self.part(call) if function.program.draws else call

    def part(self, text: str) -> str:
        """A name for a value that is needed once, at this place of the code."""
        self.parts += 1
        self.put(f"let t{self.parts} = {text};")
        return f"t{self.parts}"

    def type_of(self, e: ast.expr) -> str:
        """The type of an expression."""
        if isinstance(e, ast.Name):
            return self.kinds.get(self.names.get(e.id, ""), "f32")
        if isinstance(e, ast.IfExp):
            return self.type_of(e.body)
        negated = isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.Not)
        return "bool" if negated or isinstance(e, ast.Compare | ast.BoolOp) else "f32"

    # ---- statements

    def put(self, line: str) -> None:
        self.lines.append("  " * self.indent + line)

    def named(self, t: ast.expr, kind: str) -> str:
        """The variable of a name that is set."""
        assert isinstance(t, ast.Name)
        if t.id not in SETTABLE or self.declared.function:
            self.names[t.id] = f"{'b' if kind == 'bool' else 'l'}_{t.id}"
            self.kinds[self.names[t.id]] = kind
        return self.names[t.id]

    def assign(self, s: ast.Assign) -> None:
        target, value = s.targets[0], s.value
        if not isinstance(target, ast.Tuple):
            text, kind = self.text(value), self.type_of(value)
            self.put(f"{self.named(target, kind)} = {text};")
            return
        if isinstance(value, ast.Tuple):
            # all values before any name
            texts = [self.text(v) for v in value.elts]
            made = [(self.part(text), self.type_of(v)) for text, v in zip(texts, value.elts, strict=True)]
        else:
            whole = self.part(self.text(value))
            made = [(f"{whole}[{i}]", "f32") for i in range(len(target.elts))]
        for t, (text, kind) in zip(target.elts, made, strict=True):
            self.put(f"{self.named(t, kind)} = {text};")

    def leave(self, test: str) -> None:
        self.put(f"if ({test}) {{ break; }}")

    def branch(self, s: ast.If) -> None:
        self.put(f"if ({self.text(s.test)}) {{")
        self.inside(s.body)
        if s.orelse:
            self.put("} else {")
            self.inside(s.orelse)
        self.put("}")

    def inside(self, body: list[ast.stmt]) -> None:
        """Statements one level deeper."""
        self.indent += 1
        self.block(body)
        self.indent -= 1

    def loop(self, s: ast.For) -> None:
        assert isinstance(s.iter, ast.Call)
        turns = self.part(f"clamp(i32({self.text(s.iter.args[0])}), 0, {MOST_TURNS})")
        self.put(f"for (var i{turns} = 0; i{turns} < {turns}; i{turns}++) {{")
        self.put(f"  {self.named(s.target, 'f32')} = f32(i{turns});")
        self.inside(s.body)
        self.put("}")

    def derived(self) -> None:
        uses = self.program.uses
        if uses & {"r", "r2"}:
            self.put("let r2 = x * x + y * y;")
        for name, text in (("r", "sqrt(r2)"), ("theta", "k_atan2(x, y)"), ("phi", "k_atan2(y, x)")):
            if name in uses:
                self.put(f"let {name} = {text};")

    def start_paint(self) -> None:
        if self.program.paints:
            for name in PAINTS:
                self.kinds[_STATE[name]] = "f32"
                self.put(f"{_STATE[name]} = -1.0f;")

    def end_paint(self) -> None:
        """Lines after a formula that may set red, green or blue: the code of its paint, 1 + 1024 r + 32 g + b."""
        if self.program.paints:
            bits = [f"floor({LEVELS - 0.001}f * clamp({_STATE[name]}, 0.0f, 1.0f))" for name in PAINTS]
            code = f"1.0f + {LEVELS**2}.0f * {bits[0]} + {LEVELS}.0f * {bits[1]} + {bits[2]}"
            self.put(f"if (max(max({', '.join(_STATE[n] for n in PAINTS[:2])}), {_STATE[PAINTS[2]]}) >= 0.0f) {{")
            self.put(f"  s_paint = {code};")
            self.put("  s_color = clamp(s_color, 0.0f, 1.0f);")
            self.put("}")

    def text_of(self, head: str, returned: str) -> str:
        """The whole function."""
        variables = [f"  var {name}: {kind};" for name, kind in self.kinds.items()]
        return "\n".join([f"fn {head} {{", *variables, *self.lines, f"  return {returned};", "}"]) + "\n"


def _vector(n: int) -> str:
    return "f32" if n == 1 else f"vec{n}f" if n <= 4 else f"array<f32, {n}>"


def _table_text(declared: Declared, place: int) -> str:
    """The function that looks up a table whose numbers begin at a place of the buffer N."""
    n, k = len(declared.table), f"p_{next(iter(declared.parameters))}"
    at = f"u32(clamp(select(0.0f, {k}, {k} >= 0.0f), 0.0f, {n - 1}.0f))"
    lines = f"  let i = {place}u + {at};\n  return N[i / 4u][i % 4u];"
    return f"fn f_{declared.name}({k}: f32) -> f32 {{\n{lines}\n}}\n"


def function_texts(declared: Declared, done: dict[str, str], place: Callable[[Declared], int]) -> None:
    """Add to ``done`` the functions of files that a formula needs, those they need first.

    Args:
        place: where the numbers of a table begin in the shader's buffer N of vectors.
    """
    for name in sorted(declared.program.calls):
        function = declared.functions(name)
        assert function is not None
        name = function.name
        if name in done:
            continue
        if function.table:
            done[name] = _table_text(function, place(function))
            continue
        function_texts(function, done, place)
        code = _Shader(function)
        code.block(list(function.program.body[:-1]))
        values, kind = code.values(), _vector(function.program.returns)
        given = ", ".join(f"p_{p}: f32" for p in function.parameters)
        returned = values[0] if len(values) == 1 else f"{kind}({', '.join(values)})"
        done[name] = code.text_of(f"f_{name}({given}) -> {kind}", returned)


def variation_text(declared: Declared, space: bool) -> str:
    """The function ``v_NAME`` of a variation, in space ``v_NAME_3d``.

    It takes x, y, in space z, w and :func:`~fractalkit.maps.variation_code.arguments`, and returns what it adds to
    them. The colour is read from ``s_color`` and written there, hidden points set ``s_hidden``, and painted ones
    ``s_paint`` (:data:`STATE`).
    """
    code, program = _Shader(declared), declared.program
    if not space and "z" in program.uses:
        code.put("let z = 0.0f;")
    code.start_paint()
    code.derived()
    code.block(list(program.body[:-1]))
    values = code.values()
    code.end_paint()
    values = [*values, "0.0f"][:3] if space else values[:2]
    given = ", ".join(f"{a}: f32" for a in ["x", "y", *(["z"] if space else []), "w", *arguments(declared)])
    kind = _vector(len(values))
    name = f"v_{declared.name}{'_3d' if space else ''}"
    return code.text_of(f"{name}({given}) -> {kind}", f"{kind}({', '.join(values)})")
