"""Functions that JWildfire's files hold as Java after GLSL (``dc_code``, ``glsl_code``), as functions of the language.

The text has a method that gives a colour, others that it calls, which are written out at each call, and fields. What
it may have else is in :mod:`.java_code` and :mod:`.java_vectors`; nothing is compiled or run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fractalkit.codes.java_code import TYPES
from fractalkit.codes.java_formula import NUMBER, TRUTH, WHOLE, JavaPart, Token, tokens_of
from fractalkit.codes.java_vectors import VECTORS, VectorBody
from fractalkit.errors import DataError

MOST_CALLS = 400  # of methods, written out
MOST_LINES = 4000
_SKIPPED = ("public", "private", "static", "final")


@dataclass(frozen=True)
class JavaMethod:
    """A method: what it gives, the kinds and names that it takes, and what stands in its brackets."""

    kind: str
    takes: tuple[tuple[str, str], ...]
    body: tuple[Token, ...]


class ShaderBody(VectorBody):
    """Reads methods that give values.

    Args:
        methods: those that may be called, by name.
    """

    types = (*TYPES, *VECTORS)

    def __init__(self, text: str, names: dict[str, JavaPart], where: str, methods: Mapping[str, JavaMethod]) -> None:
        super().__init__(text, names, where)
        self.methods = methods
        self.fields: dict[str, JavaPart] = {}  # what all methods know
        self.within: list[str] = []  # methods that are being written out
        self.calls = 0
        self.mark = "j"  # begins the names of variables
        self.gives = JavaPart("", NUMBER)

    def put(self, line: str) -> None:
        if len(self.lines) > MOST_LINES:
            raise self.refuse(f"is more than {MOST_LINES:,} lines, written out")
        super().put(line)

    def statement(self) -> bool:
        if self.within and self.passed("return"):
            value = self.expression()
            self.want(";")
            self.give(self.gives, value)
            return True
        return super().statement()

    def declare(self, name: str, kind: str, value: JavaPart) -> None:
        new = self.variable(f"{self.mark}_{name}", kind)
        if new.parts and not value.parts:
            value = JavaPart("", new.kind, ("0",) * len(new.parts))
        self.give(new, value)
        self.names[name] = new

    def variable(self, name: str, kind: str) -> JavaPart:
        """A variable of a kind, spread into numbers where it is a vector."""
        if kind in VECTORS:
            return JavaPart("a vector", kind, tuple(f"{name}__{'xyzw'[i]}" for i in range(VECTORS[kind])))
        if kind not in TYPES:
            raise self.refuse(f"the type {kind[:20]} is not known")
        return JavaPart(name, TYPES[kind])

    def give(self, to: JavaPart, value: JavaPart) -> None:
        """Set a variable."""
        if len(to.parts) != len(value.parts) or (to.kind == TRUTH) != (value.kind == TRUTH):
            raise self.refuse(f"{value.kind} cannot be {to.kind}")
        if not to.parts:
            whole = to.kind == WHOLE and value.kind == NUMBER
            self.put(f"{to.text} = {f'trunc({value.text})' if whole else value.text}")
            return
        parts = value.parts
        if set(parts) & set(to.parts):  # p = p.yx
            fresh = []
            for part in parts:
                self.kept += 1
                self.put(f"k_{self.kept} = {part}")
                fresh.append(f"k_{self.kept}")
            parts = tuple(fresh)
        for name, part in zip(to.parts, parts, strict=True):
            self.put(f"{name} = {part}")

    def set(self, name: str, value: JavaPart, sign: str = "") -> None:
        head, _, path = name.removeprefix("this.").partition(".")
        to = self.names.get(head)
        if to is not None and path and to.parts:
            to = self.members(to, path)
        if to is None or not all(re.fullmatch(r"j\d*_\w+", t) for t in to.parts or (to.text,)):
            raise self.refuse(f"{name[:40]} cannot be set")
        self.give(to, self.joined(to, sign, value) if sign else value)

    def call(self, name: str) -> JavaPart:
        if name not in self.methods:
            return super().call(name)
        return self.written(name, self.arguments())

    def written(self, name: str, given: list[JavaPart]) -> JavaPart:
        """A method written out; returns the variable that has what it gives."""
        method = self.methods[name]
        self.calls += 1
        if name in self.within or len(self.within) > 8 or self.calls > MOST_CALLS:
            raise self.refuse(f"{name[:40]} calls itself, or is called too often")
        if len(given) != len(method.takes):
            raise self.refuse(f"{name[:40]} takes {len(method.takes)} values")
        before = self.tokens, self.at, self.names, self.mark, self.gives, self.loops, self.depth
        self.names, self.mark, self.loops = dict(self.fields), f"j{self.calls}", 0
        self.gives = self.variable(f"{self.mark}_", method.kind)
        nothing = JavaPart("(1 < 0)", TRUTH) if self.gives.kind == TRUTH else JavaPart("0", WHOLE)
        self.give(self.gives, JavaPart("", "", ("0",) * len(self.gives.parts)) if self.gives.parts else nothing)
        for (kind, argument), value in zip(method.takes, given, strict=True):
            self.declare(argument, kind, value)
        self.within.append(name)
        self.tokens, self.at = list(method.body), 0
        self.block()
        gave = self.gives
        self.within.pop()
        self.tokens, self.at, self.names, self.mark, self.gives, self.loops, self.depth = before
        return gave


def _pieces(tokens: list[Token], where: str) -> tuple[dict[str, JavaMethod], list[Token]]:
    """The methods of a text by name, and what stands beside them."""
    methods: dict[str, JavaMethod] = {}
    beside: list[Token] = []
    at, n = 0, len(tokens)
    while at < n:
        if tokens[at].text in _SKIPPED:
            at += 1
            continue
        if at + 2 < n and tokens[at + 2].text == "(" and tokens[at + 1].kind == "name":
            kind, name = tokens[at].text, tokens[at + 1].text
            end = next((i for i in range(at, n) if tokens[i].text == ")"), n)
            words = [t.text for t in tokens[at + 3 : end] if t.text not in ("final", ",")]
            close, depth = end + 1, 0
            while close < n:
                depth += (tokens[close].text == "{") - (tokens[close].text == "}")
                close += 1
                if not depth:
                    break
            if depth or end + 1 >= n or tokens[end + 1].text != "{" or len(words) % 2:
                raise DataError(f"{where}: {name[:40]} is no method")
            methods[name] = JavaMethod(
                kind, tuple(zip(words[::2], words[1::2], strict=True)), tuple(tokens[end + 2 : close])
            )
            at = close
            continue
        stop = next((i for i in range(at, n) if tokens[i].text == ";"), n - 1)
        if tokens[at].text != "import":
            beside += tokens[at : stop + 1]
        at = stop + 1
    return methods, beside


def shader_lines(code: str, main: str, given: Mapping[str, JavaPart], takes: list[str], where: str) -> list[str]:
    """The formula of a method that gives a colour (``getRGBColor``), or a complex number.

    Args:
        main: its name.
        given: names that the text knows, such as parameters, and what they are in the language.
        takes: names in the language of what the method takes.

    Raises:
        DataError: something is not read.
    """
    methods, beside = _pieces(tokens_of(code, where), where)
    if main not in methods:
        raise DataError(f"{where}: there is no method {main}")
    body = ShaderBody("", dict(given), where, methods)
    body.tokens = [*beside, Token("sign", "}")]
    body.block()
    body.fields = dict(body.names)
    arguments = [JavaPart(t, NUMBER) for t in takes]
    if [kind for kind, _ in methods[main].takes] == ["vec2"]:
        arguments = [JavaPart("a vector", "vec2", tuple(takes))]
    gives = body.written(main, arguments)
    size = 3 if main == "getRGBColor" else 2
    if len(gives.parts) < size:
        raise DataError(f"{where}: {main} gives {gives.kind}, expected a vec{size}")
    return [*body.lines, f"    return {', '.join(gives.parts[:size])}"]
