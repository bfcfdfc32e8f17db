"""L-systems (A. Lindenmayer, 1968) as Fractint and JWildfire write them: a grammar, and the lines that a turtle draws.

    Name { ; a comment
    Angle 6
    Axiom F--F--F
    F=F+F--F+F
    }

F and D draw a step, G and M go one; + and - turn by 360 degrees / Angle, | by 180, ! swaps the two; [ and ] keep and
take back the place, the direction and the step; \\ and / turn by the degrees that follow; @ multiplies the step by what
follows, with I by one over it, with Q by its root; C, < and > set, raise and lower the colour by 256ths.
"""

from __future__ import annotations

import math
import re

from fractalkit.errors import DataError

MOST_SYMBOLS = 200_000
MOST_LINES = 26_000
LARGEST = 1e9  # of a number of a grammar

_AMOUNT = re.compile(r"\d*\.?\d*")


def read_grammar(text: str) -> tuple[str, float, dict[str, str]]:
    """The axiom, the angle in degrees and the rules of a grammar.

    Raises:
        DataError: no axiom.

    >>> read_grammar("K { Angle 6\\n Axiom f--f \\n f=f+f }")
    ('F--F', 60.0, {'F': 'F+F'})
    """
    axiom, angle, rules = "", 90.0, dict[str, str]()
    for line in re.sub(r"[{}]", "\n", text).upper().splitlines():
        line = line.split(";")[0].strip()
        if match := re.match(r"AXIOM\s*=?\s*(\S+)", line):
            axiom = match[1]
        elif match := re.match(r"ANGLE\s*=?\s*([\d.]+)", line):
            parts = float(match[1]) if match[1].count(".") < 2 and match[1] != "." else 0.0
            angle = min(360 / parts, LARGEST) if parts > 0 else 90.0
        elif match := re.match(r"(\S)\s*=(.*)", line):
            rules[match[1]] = re.sub(r"\s", "", match[2])
    if not axiom:
        raise DataError("a grammar without an axiom; expected a line 'Axiom F'")
    return axiom, angle, rules


def expanded(axiom: str, rules: dict[str, str], times: int) -> str:
    """The axiom with all its symbols replaced by their rules, so many times or until it is very long."""
    for _ in range(min(times, 100)):
        parts, length = list[str](), 0
        for symbol in axiom:
            part = rules.get(symbol, symbol)
            parts.append(part[: MOST_SYMBOLS - length])
            length += len(part)
            if length > MOST_SYMBOLS:
                return "".join(parts)
        if (longer := "".join(parts)) == axiom:
            break
        axiom = longer
    return axiom


class _Turtle:
    """Draws symbols; ``lines`` are rows of x, y, x, y, colour."""

    def __init__(self, angle: float, step: float) -> None:
        self.x = self.y = self.way = self.color = 0.0
        self.step, self.angle, self.sign = step, angle, 1.0
        self.kept: list[tuple[float, ...]] = []
        self.lines: list[tuple[float, ...]] = []

    def go(self, draw: bool) -> None:
        x, y = self.x, self.y
        self.x += self.step * math.cos(math.radians(self.way))
        self.y += self.step * math.sin(math.radians(self.way))
        if draw:
            self.lines.append((x, y, self.x, self.y, self.color % 1.0))

    def plain(self, symbol: str) -> None:
        if symbol in "DF":
            self.go(True)
        elif symbol in "MG":
            self.go(False)
        elif symbol in "+-":
            self.way += self.angle * self.sign * (1 if symbol == "+" else -1)
        elif symbol == "|":
            self.way += 180
        elif symbol == "!":
            self.sign = -self.sign
        elif symbol == "[":
            self.kept.append((self.x, self.y, self.way, self.step, self.color))
        elif symbol == "]" and self.kept:
            self.x, self.y, self.way, self.step, self.color = self.kept.pop()

    def by(self, symbol: str, marks: str, amount: float) -> None:
        if symbol in "\\/":
            self.way += amount * self.sign * (1 if symbol == "\\" else -1)
        elif symbol == "@":
            amount = math.sqrt(amount) if "Q" in marks else amount
            factor = 1 / amount if "I" in marks and amount > 0 else amount
            self.step = max(min(self.step * factor, 1e6), -1e6)
        else:
            amount /= 256
            self.color = amount if symbol == "C" else self.color + (amount if symbol == "<" else -amount)


def lines_of(text: str, times: int, step: float, angle: float = 0.0) -> list[tuple[float, ...]]:
    """The lines of a grammar: rows of x, y, x, y and a colour in [0, 1), at most :data:`MOST_LINES`.

    Args:
        times: how often the rules are applied.
        angle: degrees instead of the grammar's; 0 for that.

    Raises:
        DataError: no axiom, or nothing is drawn.

    >>> lines_of("Angle 4\\nAxiom F+F", 0, 2.0)[1][:3]
    (2.0, 0.0, 2.0)
    """
    axiom, own, rules = read_grammar(text)
    symbols = expanded(axiom, rules, times)
    turtle = _Turtle(angle or own, step)
    at = 0
    while at < len(symbols) and len(turtle.lines) < MOST_LINES:
        symbol = symbols[at]
        at += 1
        if symbol not in "\\/@<>C":
            turtle.plain(symbol)
            continue
        marks = ""
        while symbol == "@" and symbols[at : at + 1] in ("I", "Q"):
            marks += symbols[at]
            at += 1
        amount = _AMOUNT.match(symbols, at)
        assert amount is not None
        at = amount.end()
        if amount[0].strip("."):
            turtle.by(symbol, marks, min(float(amount[0]), LARGEST))
    if not turtle.lines:
        raise DataError("a grammar that draws nothing; expected F in its axiom or its rules")
    return turtle.lines
