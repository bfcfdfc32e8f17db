"""Expressions of Java, which JWildfire's files have as formulas, as text of the language of variations.

Only what is arithmetic is read: numbers, names that the caller gives, operators, the choice ``a ? b : c``, and the
functions of JWildfire's ``MathLib``. Nothing is evaluated. Whole numbers divide as Java has it: 1 / 2 is 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fractalkit.errors import DataError

MOST_CHARACTERS = 20_000
MOST_DEPTH = 60
WHOLE, NUMBER, TRUTH = "a whole number", "a number", "a condition"

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[dDfFlL]?)|(?P<name>[A-Za-z_][A-Za-z0-9_.]*)"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|\+\+|--|\+=|-=|\*=|/=|%=|[-+*/%<>!?:(),;{}=\[\]&|^.]))"
)
_LEVELS = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6}
_WORDS = {"&&": "and", "||": "or"}
# functions of Java: how many numbers they take, and what they are in the language; each number stands there once, since
# it may draw a random one
_CALLS: dict[str, tuple[int, str]] = {
    **{name: (1, f"{name}({{0}})") for name in (
        "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos", "atan", "exp", "log", "sqrt", "floor", "ceil",
        "rint", "trunc", "abs",
    )},
    "fabs": (1, "abs({0})"), "iabs": (1, "abs({0})"), "log10": (1, "(log({0}) / 2.302585092994046)"),
    "atan2": (2, "atan2({0}, {1})"), "fmod": (2, "fmod({0}, {1})"), "min": (2, "min({0}, {1})"),
    "max": (2, "max({0}, {1})"), "pow": (2, "real_power({0}, {1})"), "sqr": (1, "({0}) ** 2"),
    "round": (1, "floor({0} + 0.5)"), "frac": (1, "fract({0})"), "fract": (1, "fract({0})"),
    "signum": (1, "signum({0})"), "sgn": (1, "signum({0})"),
    "toRadians": (1, "({0} * pi / 180)"), "toDegrees": (1, "({0} * 180 / pi)"), "random": (0, "random()"),
    "hypot": (2, "sqrt(({0}) ** 2 + ({1}) ** 2)"), "cbrt": (1, "cube_root({0})"),
    "lerp": (3, "mix({0}, {1}, {2})"), "dabs": (1, "abs({0})"), "mix": (3, "mix({0}, {1}, {2})"),
    "clamp": (3, "clamp({0}, {1}, {2})"), "step": (2, "(0 if {1} < {0} else 1)"), "mod": (2, "(({0}) % ({1}))"),
    "smoothstep": (3, "smooth({0}, {1}, {2})"), "sign": (1, "signum({0})"),
    "exp2": (1, "(2 ** ({0}))"), "log2": (1, "(log({0}) / 0.6931471805599453)"), "invSqrt": (1, "(1 / sqrt({0}))"),
}  # fmt: skip
_CONSTANTS = {
    "pi": "pi", "PI": "pi", "M_PI": "pi", "M_PI_2": "(pi / 2)", "M_PI_4": "(pi / 4)", "M_1_PI": "(1 / pi)",
    "M_2_PI": "(2 / pi)", "M_2PI": "(2 * pi)", "M_E": "2.718281828459045", "E": "2.718281828459045",
    "EPSILON": "0.00000001", "SMALL_EPSILON": "1e-300", "M_SQRT2": "1.4142135623730951",
}  # fmt: skip


@dataclass(frozen=True)
class JavaPart:
    """An expression: its text in the language, and what it gives."""

    text: str
    kind: str
    parts: tuple[str, ...] = ()  # of a vector, whose numbers these are


@dataclass(frozen=True)
class Token:
    """A word, number or sign."""

    kind: str
    text: str


def tokens_of(text: str, where: str) -> list[Token]:
    """The tokens of a text without its comments.

    Raises:
        DataError: too long, or a character that is none.
    """
    if len(text) > MOST_CHARACTERS:
        raise DataError(f"{where}: {len(text):,} characters are more than a formula may have")
    text = re.sub(r"/\*.*?\*/|//[^\n\r]*", " ", text, flags=re.DOTALL).rstrip()
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise DataError(f"{where}: {text[at : at + 20].strip()!r} is not arithmetic")
        found.append(Token(str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return found


class Reader:
    """Reads tokens from left to right.

    Args:
        names: names of Java -> what they are in the language.
        where: begins messages.
    """

    def __init__(self, tokens: list[Token], names: Mapping[str, JavaPart], where: str) -> None:
        self.tokens, self.names, self.where = tokens, dict(names), where
        self.at = 0
        self.depth = 0

    def refuse(self, why: str) -> DataError:
        return DataError(f"{self.where}: {why}")

    def peek(self, ahead: int = 0) -> str:
        """The text of the next token, or nothing."""
        at = self.at + ahead
        return self.tokens[at].text if at < len(self.tokens) else ""

    def take(self) -> Token:
        """The next token."""
        if self.at >= len(self.tokens):
            raise self.refuse("ends too early")
        self.at += 1
        return self.tokens[self.at - 1]

    def want(self, text: str) -> None:
        """Pass a sign that must stand here."""
        found = self.peek()
        if found != text:
            raise self.refuse(f"expected {text!r}, found {found[:20] or 'the end'!r}")
        self.at += 1

    def passed(self, text: str) -> bool:
        """Whether a sign stands here, which is then passed."""
        if self.peek() != text:
            return False
        self.at += 1
        return True

    # ---- expressions

    def number(self) -> JavaPart:
        """An expression that is a number."""
        part = self.expression()
        if part.kind not in (WHOLE, NUMBER):
            raise self.refuse(f"{part.text[:40]!r} is {part.kind}, expected a number")
        return part

    def truth(self) -> JavaPart:
        """An expression that is a condition."""
        part = self.expression()
        if part.kind != TRUTH:
            raise self.refuse(f"{part.text[:40]!r} is {part.kind}, expected a condition")
        return part

    def expression(self) -> JavaPart:
        """Any expression."""
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise self.refuse("is nested too deeply")
        part = self.binary(1)
        if self.passed("?"):
            yes = self.expression()
            self.want(":")
            no = self.expression()
            part = self.chosen(part, yes, no)
        self.depth -= 1
        return part

    def chosen(self, test: JavaPart, yes: JavaPart, no: JavaPart) -> JavaPart:
        """One of two values."""
        if test.kind != TRUTH or (yes.kind == TRUTH) != (no.kind == TRUTH):
            raise self.refuse("a choice needs a condition and two values of one kind")
        kind = yes.kind if yes.kind == no.kind else NUMBER
        return JavaPart(f"({yes.text} if {test.text} else {no.text})", kind)

    def binary(self, level: int) -> JavaPart:
        left = self.unary()
        while (sign := self.peek()) in _LEVELS and _LEVELS[sign] >= level:
            self.take()
            left = self.joined(left, sign, self.binary(_LEVELS[sign] + 1))
        return left

    def joined(self, a: JavaPart, sign: str, b: JavaPart) -> JavaPart:
        """Two expressions with an operator between them."""
        if sign in _WORDS:
            if a.kind != TRUTH or b.kind != TRUTH:
                raise self.refuse(f"{sign} needs conditions")
            return JavaPart(f"({a.text} {_WORDS[sign]} {b.text})", TRUTH)
        if TRUTH in (a.kind, b.kind):
            raise self.refuse(f"{sign} needs numbers")
        if _LEVELS[sign] < 5:
            return JavaPart(f"({a.text} {sign} {b.text})", TRUTH)
        whole = a.kind == b.kind == WHOLE
        if sign == "%":
            return JavaPart(f"fmod({a.text}, {b.text})", WHOLE if whole else NUMBER)
        text = f"({a.text} {sign} {b.text})"
        return JavaPart(f"trunc{text}", WHOLE) if whole and sign == "/" else JavaPart(text, WHOLE if whole else NUMBER)

    def unary(self) -> JavaPart:
        sign = self.peek()
        if sign in ("-", "+", "!"):
            self.take()
            self.depth += 1
            if self.depth > MOST_DEPTH:
                raise self.refuse("is nested too deeply")
            part = self.unary()
            self.depth -= 1
            return self.signed(sign, part)
        if sign == "(" and self.peek(1) in ("double", "float", "int", "long") and self.peek(2) == ")":
            self.at += 1
            whole = self.take().text in ("int", "long")
            self.want(")")
            part = self.unary()
            if not whole:
                return JavaPart(part.text, NUMBER)
            return JavaPart(f"trunc({part.text})", WHOLE) if part.kind == NUMBER else part
        return self.primary()

    def signed(self, sign: str, part: JavaPart) -> JavaPart:
        """A value behind a sign."""
        if (part.kind == TRUTH) != (sign == "!"):
            raise self.refuse(f"{sign} before {part.kind}")
        return JavaPart(
            f"(not {part.text})" if sign == "!" else f"(-{part.text})" if sign == "-" else part.text, part.kind
        )

    def primary(self) -> JavaPart:
        token = self.take()
        if token.kind == "number":
            return self.literal(token.text)
        if token.text == "(":
            part = self.expression()
            self.want(")")
            return part
        if token.kind != "name":
            raise self.refuse(f"{token.text!r} cannot stand here")
        name = token.text.removeprefix("Math.").removeprefix("MathLib.")
        if self.peek() == "(":
            return self.call(name)
        if name in self.names:
            return self.names[name]
        if name in ("true", "false"):
            return JavaPart("(0 < 1)" if name == "true" else "(1 < 0)", TRUTH)
        if name in _CONSTANTS:
            return JavaPart(_CONSTANTS[name], NUMBER)
        raise self.refuse(f"{name} is not known")

    def literal(self, text: str) -> JavaPart:
        if text[:2] in ("0x", "0X"):
            return JavaPart(str(int(text, 16)), WHOLE)
        plain = text.rstrip("dDfFlL")
        whole = plain.isdigit() and text[-1] not in "dDfF"
        return JavaPart(str(int(plain)) if whole else repr(float(plain)), WHOLE if whole else NUMBER)

    def arguments(self) -> list[JavaPart]:
        """What a call is given, in its brackets."""
        self.want("(")
        given: list[JavaPart] = []
        while not self.passed(")"):
            if given:
                self.want(",")
            given.append(self.argument())
        return given

    def argument(self) -> JavaPart:
        """One value that a call is given."""
        return self.number()

    def call(self, name: str) -> JavaPart:
        """A call, whose brackets follow."""
        return self.applied(name, self.arguments())

    def applied(self, name: str, given: list[JavaPart]) -> JavaPart:
        """What a function gives."""
        if name == "pContext.random" and len(given) == 1:
            return JavaPart(f"floor(({given[0].text}) * random())", WHOLE)
        count, text = _CALLS.get(name.removeprefix("pContext."), (-1, ""))
        if count != len(given):
            raise self.refuse(f"{name} of {len(given)} numbers is not known")
        if name == "pow" and given[1].text in ("2", "3", "4", "2.0", "3.0", "4.0"):
            return JavaPart(f"({given[0].text}) ** {given[1].text[0]}", NUMBER)
        kept = WHOLE if name in ("abs", "iabs", "min", "max") and all(g.kind == WHOLE for g in given) else NUMBER
        if name == "round":
            kept = WHOLE
        return JavaPart(text.format(*(g.text for g in given)), kept)


def expression(text: str, names: Mapping[str, str], where: str) -> str:
    """One expression as text of the language.

    Args:
        names: names of Java that are numbers -> what they are in the language.
        where: begins messages.

    Raises:
        DataError: it is none.

    >>> expression("2*sin(x) + pow(x, 1/2.0)", {"x": "a_x"}, "f")
    '((2 * sin(a_x)) + real_power(a_x, (1 / 2.0)))'
    """
    reader = Reader(tokens_of(text, where), {k: JavaPart(v, NUMBER) for k, v in names.items()}, where)
    part = reader.number()
    reader.passed(";")
    if reader.peek():
        raise reader.refuse(f"{reader.peek()[:20]!r} after the formula")
    return part.text
