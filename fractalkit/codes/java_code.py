"""Variations that JWildfire's files hold as Java (``custom_wf``), as formulas of the language of variations.

What is read is a subset: methods ``init`` and ``transform`` of declarations, assignments, conditions and loops over
arithmetic (:mod:`.java_formula`). Anything else is refused; nothing is compiled or run.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from fractalkit.codes.java_formula import NUMBER, TRUTH, WHOLE, JavaPart, Reader, tokens_of
from fractalkit.codes.variation_text import WORDS
from fractalkit.errors import DataError

TURNS = 256
TYPES = {"double": NUMBER, "float": NUMBER, "int": WHOLE, "long": WHOLE, "boolean": TRUTH}
_SIGNS = {"=": "", "+=": "+", "-=": "-", "*=": "*", "/=": "/", "%=": "%"}
# Java's names of the point before the variation and of what it adds
_POINT = {f"pAffineTP.{c}": JavaPart(f"at_{c}", NUMBER) for c in "xyz"} | {
    f"pVarTP.{c}": JavaPart(f"to_{c}", NUMBER) for c in "xyz"
}
_PRECALC = {
    "getPrecalcSqrt": "sqrt({0}_x * {0}_x + {0}_y * {0}_y)", "getPrecalcSumsq": "({0}_x * {0}_x + {0}_y * {0}_y)",
    "getPrecalcAtan": "atan2({0}_x, {0}_y)", "getPrecalcAtanYX": "atan2({0}_y, {0}_x)",
    "getPrecalcSinA": "({0}_x / sqrt({0}_x * {0}_x + {0}_y * {0}_y))",
    "getPrecalcCosA": "({0}_y / sqrt({0}_x * {0}_x + {0}_y * {0}_y))",
}  # fmt: skip
_PAINTS = {"redColor": "red", "greenColor": "green", "blueColor": "blue"}
_STARTS = {"": ("0, 0, 0", "to"), "pre_": ("0, 0, 0", "at"), "post_": ("x, y, z", "to")}


@dataclass
class JavaVariation:
    """A variation in Java.

    Attributes:
        parameters: name -> default.
        lines: the formula.
    """

    parameters: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


class Body(Reader):
    """Reads statements into lines."""

    types: Collection[str] = TYPES  # words that begin declarations

    def __init__(self, text: str, names: dict[str, JavaPart], where: str) -> None:
        super().__init__(tokens_of(text, where), names, where)
        self.lines: list[str] = []
        self.indent = 1
        self.loops = 0

    def put(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    def call(self, name: str) -> JavaPart:
        point, _, method = name.rpartition(".")
        if point in ("pAffineTP", "pVarTP") and method in _PRECALC:
            while self.take().text != ")":
                pass
            return JavaPart(_PRECALC[method].format("at" if point == "pAffineTP" else "to"), NUMBER)
        if name == "pContext.isPreserveZCoordinate":
            self.arguments()
            return JavaPart("(1 < 0)", TRUTH)
        return super().call(name)

    def primary(self) -> JavaPart:
        if self.peek() == "pVarTP.color":
            self.take()
            return JavaPart("color", NUMBER)
        return super().primary()

    # ---- statements

    def block(self) -> bool:
        """Statements up to a closing bracket; whether the last one is a return."""
        self.depth += 1
        if self.depth > 60:
            raise self.refuse("is nested too deeply")
        left = False
        while not self.passed("}"):
            left = self.statement()
            if left:
                self.want("}")
                break
        self.depth -= 1
        return left

    def inner(self) -> bool:
        """A statement or a block of them, one level deeper."""
        self.indent += 1
        self.put("pass")
        left = self.block() if self.passed("{") else self.statement()
        self.indent -= 1
        return left

    def statement(self) -> bool:
        """One statement; whether it is a return."""
        word = self.peek()
        if self.passed(";"):
            return False
        if self.passed("{"):
            return self.block()
        if self.passed("return"):
            self.want(";")
            return True
        if word == "if":
            return self.condition()
        if word in ("for", "while"):
            self.loop()
            return False
        self.passed("final")
        if self.peek() in self.types:
            self.declaration(self.take().text)
        else:
            self.assignment()
        self.want(";")
        return False

    def condition(self) -> bool:
        self.want("if")
        self.want("(")
        test = self.truth().text
        self.want(")")
        if self.loops and self.breaks():
            self.put(f"if {test}:")
            self.put("    break")
            return False
        self.put(f"if {test}:")
        left = self.inner()
        if self.passed("else"):
            self.put("else:")
            other = self.inner()
            if left != other or (left and self.loops):
                raise self.refuse("a return beside an else is not read")
            return left
        if left and self.loops:
            raise self.refuse("a return within a loop is not read")
        if not left:
            return False
        # what follows is done where the condition does not hold
        self.put("else:")
        self.indent += 1
        self.put("pass")
        while self.at < len(self.tokens) and self.peek() != "}" and not self.statement():
            pass
        self.indent -= 1
        return self.peek() == "}"

    def breaks(self) -> bool:
        """Whether nothing but a break follows, which is then passed."""
        for words in (("break", ";"), ("{", "break", ";", "}")):
            if tuple(self.peek(i) for i in range(len(words))) == words:
                self.at += len(words)
                return True
        return False

    def loop(self) -> None:
        word = self.take().text
        self.want("(")
        turns = self.turns() if word == "for" else TURNS
        if word == "for" and not self.passed(";"):
            self.passed("final")
            if self.peek() in self.types:
                self.declaration(self.take().text)
            else:
                self.assignment()
            self.want(";")
        self.put(f"for turn_{self.loops} in range({turns}):")
        self.indent += 1
        test = self.truth().text
        self.put(f"if not {test}:")
        self.put("    break")
        self.indent -= 1
        step = -1
        if word == "for":
            self.want(";")
            step = self.at
            self.skip()
        else:
            self.want(")")
        self.loops += 1
        if self.inner():
            raise self.refuse("a return within a loop is not read")
        if step >= 0 and self.tokens[step].text != ")":
            after, self.at = self.at, step
            self.indent += 1
            self.assignment()
            self.indent -= 1
            self.at = after
        self.loops -= 1

    def turns(self) -> int:
        """How often a loop runs at most: of ``int k = 0; k < 32; k++`` 32 times."""
        words = [self.peek(i) for i in range(8)]
        counts = words[0] == "int" and words[2] == "=" and words[4] == ";" and words[6] in ("<", "<=")
        if not counts or not (words[3].isdigit() and words[7].isdigit() and self.peek(8) == ";"):
            return TURNS
        # a name that is set in more places than the loop's head may be set in its body
        later = [t.text for t in self.tokens[self.at + 3 :]]
        signs = {"=", "+=", "-=", "*=", "/=", "%=", "++", "--"}
        if sum(name == words[1] and later[i + 1] in signs for i, name in enumerate(later[:-1])) > 1:
            return TURNS
        return min(max(int(words[7]) - int(words[3]) + (words[6] == "<="), 1), TURNS)

    def skip(self) -> None:
        """Pass what stands before the bracket that closes, and the bracket."""
        depth = 1
        while depth:
            sign = self.take().text
            depth += (sign == "(") - (sign == ")")

    def declaration(self, kind: str) -> None:
        while True:
            name = self.take().text
            value = JavaPart("(1 < 0)", TRUTH) if kind == "boolean" else JavaPart("0", WHOLE)
            if self.passed("="):
                value = self.expression()
            self.declare(name, kind, value)
            if not self.passed(","):
                return

    def declare(self, name: str, kind: str, value: JavaPart) -> None:
        """A new variable and its first value."""
        self.names[name] = JavaPart(f"j_{name}", TYPES[kind])
        self.set(name, value)

    def assignment(self) -> None:
        step = {"++": "+", "--": "-"}
        if self.peek() in step:
            sign = step[self.take().text]
            self.set(self.take().text, JavaPart("1", WHOLE), sign)
            return
        name, sign = self.take().text, self.take().text
        if sign in step:
            self.set(name, JavaPart("1", WHOLE), step[sign])
        elif sign in _SIGNS:
            self.set(name, self.expression(), _SIGNS[sign])
        else:
            raise self.refuse(f"{name} {sign} is not read")

    def set(self, name: str, value: JavaPart, sign: str = "") -> None:
        """A name's new value, or its old one joined with a value."""
        bare = name.removeprefix("this.")
        field_ = name.rpartition(".")[2]
        if name == "pVarTP.rgbColor":
            return
        if name == "pVarTP.doHide" and value.kind == TRUTH and not sign:
            self.put(f"hidden = {value.text}")
            return
        if name.startswith("pVarTP.") and field_ in _PAINTS and not sign:
            self.put(f"{_PAINTS[field_]} = {value.text} / 255")
            return
        target = JavaPart("color", NUMBER) if name == "pVarTP.color" else self.names.get(bare)
        if target is None or not re.fullmatch(r"j_\w+|(at|to)_[xyz]|color", target.text):
            raise self.refuse(f"{name} cannot be set")
        value = self.joined(target, sign, value) if sign else value
        if (value.kind == TRUTH) != (target.kind == TRUTH):
            raise self.refuse(f"{name} is {target.kind}, and is set to {value.kind}")
        whole = target.kind == WHOLE and value.kind == NUMBER
        self.put(f"{target.text} = {f'trunc({value.text})' if whole else value.text}")


def _method(text: str, name: str) -> str:
    """What stands in the brackets of a method, with the closing one; nothing where there is none."""
    match = re.search(rf"\bvoid\s+{name}\s*\([^)]*\)\s*(?:throws\s+\w+\s*)?\{{", text)
    if match is None:
        return ""
    depth, at = 1, match.end()
    while depth and at < len(text):
        depth += (text[at] == "{") - (text[at] == "}")
        at += 1
    return text[match.end() : at]


def java_variation(code: str, place: str, fields: dict[str, float], where: str) -> JavaVariation:
    """The formula of a variation in Java.

    Args:
        place: ``pre_``, ``post_`` or nothing: which point the code changes.
        fields: parameters that the code knows by these names; it may declare others, as whole classes do.
        where: begins messages.

    Raises:
        DataError: something is not read.
    """
    if len(code) > 100_000:
        raise DataError(f"{where}: {len(code):,} characters are more than a formula may have")
    code = re.sub(r"/\*.*?\*/|//[^\n\r]*", " ", code, flags=re.DOTALL)
    made = JavaVariation(dict(fields))
    names = _POINT | {"pAmount": JavaPart("w", NUMBER)} | {n: JavaPart(_word(n), NUMBER) for n in fields}
    fixed = _declared(code, made, names)
    body = _method(code, "transform")
    if not body:
        raise DataError(f"{where}: there is no method transform")
    start, out = _STARTS[place]
    lines = ["    at_x, at_y, at_z = x, y, z", f"    to_x, to_y, to_z = {start}"]
    for text in (fixed + _method(code, "init"), body):
        reader = Body(text if text.endswith("}") else text + "}", names, where)
        reader.block()
        lines += reader.lines
        names = reader.names
    made.lines = [*lines, f"    return {out}_x, {out}_y, {out}_z"]
    return made


def _word(name: str) -> str:
    """What the language calls a parameter."""
    return f"p_{name}" if name in WORDS or keyword.iskeyword(name) else name


def _declared(code: str, made: JavaVariation, names: dict[str, JavaPart]) -> str:
    """Take up the parameters of a class; returns declarations of its other fields."""
    constants = dict(re.findall(r'String\s+(\w+)\s*=\s*"(\w*)"\s*;', code))
    listed = re.search(r"paramNames\s*=\s*\{([^}]*)\}", code)
    values = re.search(r"new\s+Object\s*\[\s*\]\s*\{([^}]*)\}", code)
    of_field: dict[str, str] = {}
    if listed and values:
        words = [w.strip() for w in listed[1].split(",") if w.strip()]
        given = [w.strip() for w in values[1].split(",") if w.strip()]
        of_field = {f: constants.get(w, w.strip('"')) for w, f in zip(words, given, strict=False)}
    head = code.partition("void")[0] if listed or "class" in code else ""
    rest = []
    for kind, name, value in re.findall(r"\b(double|float|int|boolean)\s+(\w+)\s*=\s*([^;,{}]*);", head):
        if name in of_field and re.fullmatch(r"[-+0-9.eE]+[dDfF]?", value.strip()):
            made.parameters[of_field[name]] = float(value.strip().rstrip("dDfF"))
            names[name] = JavaPart(_word(of_field[name]), WHOLE if kind == "int" else NUMBER)
        else:
            rest.append(f"{kind} {name} = {value};")
    return " ".join(rest)
