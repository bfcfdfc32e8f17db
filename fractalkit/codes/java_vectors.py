"""Vectors in formulas of Java, as JWildfire has them after GLSL: spread into numbers when the text is read.

``vec2``, ``vec3``, ``vec4`` and ``mat2``, their components in any order (``p.yx``, ``color.rgb``), their methods
(``plus``, ``minus``, ``multiply``, ``division``, ``times``), GLSL's functions component by component, and functions of
complex numbers (``c_mul``), which are vectors of two.
"""

from __future__ import annotations

import re

from fractalkit.codes.java_code import Body
from fractalkit.codes.java_formula import NUMBER, TRUTH, JavaPart

VECTORS = {"vec2": 2, "vec3": 3, "vec4": 4, "mat2": 4}
_METHODS = {"plus": "+", "add": "+", "minus": "-", "multiply": "*", "times": "*", "division": "/"}
_COMPONENTS = {c: i for word in ("xyzw", "rgba", "stpq") for i, c in enumerate(word)}
# functions of complex numbers: what takes their numbers in the language, one or two functions of several numbers
_COMPLEX = {
    "c_sqrt": "csqrt", "c_ln": "clog", "clog": "clog", "c_exp": "cexp", "cexp": "cexp", "c_asinh": "casinh",
    "c_acosh": "cacosh", "c_atanh": "catanh", "c_mul": "cmul", "cmul": "cmul", "c_div": "cdiv", "c_pow": "cpower",
    "cpow": "cpower",
}  # fmt: skip
_OF_COMPLEX = {
    "c_conj": ("{0}", "(-{1})"), "ccon": ("{0}", "(-{1})"),
    "c_inv": ("({0} / ({0} ** 2 + {1} ** 2))", "(-{1} / ({0} ** 2 + {1} ** 2))"),
    "c_sin": ("(sin({0}) * cosh({1}))", "(cos({0}) * sinh({1}))"),
    "c_cos": ("(cos({0}) * cosh({1}))", "(-sin({0}) * sinh({1}))"),
    "c_sinh": ("(sinh({0}) * cos({1}))", "(cosh({0}) * sin({1}))"),
    "c_cosh": ("(cosh({0}) * cos({1}))", "(sinh({0}) * sin({1}))"),
    "c_tan": ("(sin(2 * {0}) / (cos(2 * {0}) + cosh(2 * {1})))", "(sinh(2 * {1}) / (cos(2 * {0}) + cosh(2 * {1})))"),
    "c_tanh": ("(sinh(2 * {0}) / (cosh(2 * {0}) + cos(2 * {1})))", "(sin(2 * {1}) / (cosh(2 * {0}) + cos(2 * {1})))"),
    "c_to_polar": ("sqrt({0} ** 2 + {1} ** 2)", "atan2({1}, {0})"),
}  # fmt: skip
_FIXED = {"c_one": ("1.0", "0.0"), "c_i": ("0.0", "1.0"), "c_ni": ("0.0", "(-1.0)")}


class VectorBody(Body):
    """Reads statements in which vectors stand."""

    kept = 0

    def keep(self, text: str) -> str:
        """A name, or number, that has a value, so that it can stand in several places."""
        if re.fullmatch(r"\w+(\.\d*)?", text):
            return text
        self.kept += 1
        self.put(f"k_{self.kept} = {text}")
        return f"k_{self.kept}"

    def vector(self, parts: list[str] | tuple[str, ...], kind: str = "") -> JavaPart:
        """A vector of numbers; of one it is the number."""
        if len(parts) == 1:
            return JavaPart(parts[0], NUMBER)
        return JavaPart("a vector", kind or f"vec{len(parts)}", tuple(self.keep(p) for p in parts))

    def argument(self) -> JavaPart:
        part = self.expression()
        if part.kind == TRUTH:
            raise self.refuse(f"{part.text[:40]!r} is a condition, expected a number")
        return part if part.parts else JavaPart(self.keep(part.text), part.kind)

    # ---- operators

    def joined(self, a: JavaPart, sign: str, b: JavaPart) -> JavaPart:
        if not a.parts and not b.parts:
            return super().joined(a, sign, b)
        if sign not in "+-*/":
            raise self.refuse(f"{sign} between {a.kind} and {b.kind}")
        if sign == "*" and "mat2" in (a.kind, b.kind) and a.parts and b.parts:
            return self.product(a, b)
        return self.each("join", [a, b], lambda p: f"({p[0]} {sign} {p[1]})")

    def product(self, a: JavaPart, b: JavaPart) -> JavaPart:
        """A matrix, given column by column, times a vector or the other way round."""
        if len(a.parts) + len(b.parts) != 6:
            raise self.refuse(f"{a.kind} times {b.kind} is not read")
        m, v = (a.parts, b.parts) if a.kind == "mat2" else (b.parts, a.parts)
        rows = ((m[0], m[2]), (m[1], m[3])) if a.kind == "mat2" else ((m[0], m[1]), (m[2], m[3]))
        return self.vector([f"({p} * {v[0]} + {q} * {v[1]})" for p, q in rows])

    def signed(self, sign: str, part: JavaPart) -> JavaPart:
        if not part.parts or sign == "+":
            return part if part.parts else super().signed(sign, part)
        if sign == "!":
            raise self.refuse(f"! before {part.kind}")
        return self.vector([f"(-{p})" for p in part.parts], part.kind)

    def chosen(self, test: JavaPart, yes: JavaPart, no: JavaPart) -> JavaPart:
        if not yes.parts and not no.parts:
            return super().chosen(test, yes, no)
        if test.kind != TRUTH or yes.kind != no.kind:
            raise self.refuse("a choice needs a condition and two values of one kind")
        pairs = zip(yes.parts, no.parts, strict=True)
        return self.vector([f"({p} if {test.text} else {q})" for p, q in pairs], yes.kind)

    def each(self, name: str, given: list[JavaPart], how) -> JavaPart:  # type: ignore[no-untyped-def]
        """A function of each component; numbers are taken with all of them."""
        sizes = {len(g.parts) for g in given if g.parts}
        if len(sizes) != 1:
            raise self.refuse(f"{name} of vectors of {' and '.join(map(str, sorted(sizes)))} numbers")
        kind = next(g.kind for g in given if g.parts)
        return self.vector([how([g.parts[i] if g.parts else g.text for g in given]) for i in range(sizes.pop())], kind)

    # ---- values

    def primary(self) -> JavaPart:
        self.passed("new")
        head, _, rest = self.peek().partition(".")
        known = self.names.get(head)
        if rest and known is not None and known.parts:
            self.take()
            part = self.members(known, rest)
        else:
            part = super().primary()
        while part.parts and self.passed("."):
            part = self.members(part, self.take().text)
        return part

    def members(self, part: JavaPart, path: str) -> JavaPart:
        """What stands behind the dots after a vector: components, then perhaps a method."""
        *words, last = path.split(".")
        if self.peek() != "(":
            words.append(last)
        for word in words:
            places = [_COMPONENTS.get(c, 9) for c in word]
            if not 1 <= len(places) <= 4 or max(places) >= len(part.parts):
                raise self.refuse(f"{word[:20]} of {part.kind} is not known")
            part = self.vector([part.parts[i] for i in places])
        if self.peek() != "(":
            return part
        given = self.arguments()
        if last not in _METHODS or len(given) != 1 or not part.parts:
            raise self.refuse(f"{last[:20]} of {part.kind} is not known")
        return self.joined(part, _METHODS[last], given[0])

    def applied(self, name: str, given: list[JavaPart]) -> JavaPart:
        if name in VECTORS:
            return self.made(name, given)
        if name in _FIXED and not given:
            return self.vector(_FIXED[name])
        if name == "atan" and len(given) == 2:
            name = "atan2"
        special = getattr(self, f"of_{name}", None)
        if special is not None:
            wanted = 2 if name in ("dot", "distance", "cross", "reflect") else 1
            if len(given) != wanted:
                raise self.refuse(f"{name} of {len(given)} values is not known")
            return special(*given)  # type: ignore[no-any-return]
        if not any(g.parts for g in given):
            return super().applied(name, given)
        if name in _COMPLEX or name in _OF_COMPLEX or name in ("c_add", "c_sub", "c_asin", "c_acos", "c_atan"):
            return self.complex(name, given)
        return self.each(name, given, lambda p: super(VectorBody, self).applied(name, [_number(v) for v in p]).text)

    def made(self, name: str, given: list[JavaPart]) -> JavaPart:
        """A vector of the numbers and vectors that it is given; of one number all are that."""
        parts = [p for g in given for p in (g.parts or (g.text,))]
        size = VECTORS[name]
        if len(given) == 1 and len(parts) == 1 and name != "mat2":
            parts *= size
        if len(parts) < size or (len(parts) > size and len(given) > 1):
            raise self.refuse(f"{name} of {len(parts)} numbers")
        return self.vector(parts[:size], name)

    def complex(self, name: str, given: list[JavaPart]) -> JavaPart:
        """A function of complex numbers."""
        if name in ("c_add", "c_sub") and len(given) == 2:
            return self.joined(given[0], "+" if name == "c_add" else "-", given[1])
        pairs = [g.parts or (g.text, "0") for g in given]
        flat = [p for pair in pairs for p in pair]
        if any(len(p) != 2 for p in pairs) or len(given) != (2 if _COMPLEX.get(name, "")[-3:] in _TWO else 1):
            raise self.refuse(f"{name} of these values is not known")
        if name in _OF_COMPLEX:
            return self.vector([t.format(*flat) for t in _OF_COMPLEX[name]])
        if name in ("c_asin", "c_atan", "c_acos"):  # -i asinh(iz), -i atanh(iz), pi / 2 - asin(z)
            turned = self.vector((f"(-{flat[1]})", flat[0]))
            p, q = self.complex("c_atanh" if name == "c_atan" else "c_asinh", [turned]).parts
            return self.vector((f"(pi / 2 - {q})", p) if name == "c_acos" else (q, f"(-{p})"))
        self.kept += 2
        names = f"k_{self.kept - 1}", f"k_{self.kept}"
        self.put(f"{', '.join(names)} = {_COMPLEX[name]}({', '.join(flat)})")
        return self.vector(names)

    # ---- functions of whole vectors

    def of_dot(self, a: JavaPart, b: JavaPart) -> JavaPart:
        if not a.parts and not b.parts:
            return self.joined(a, "*", b)
        return _number("(" + " + ".join(self.each("dot", [a, b], lambda p: f"({p[0]} * {p[1]})").parts) + ")")

    def of_length(self, a: JavaPart) -> JavaPart:
        return _number(f"sqrt({' + '.join(f'{p} ** 2' for p in a.parts or (a.text,))})")

    of_cabs = of_length

    def of_carg(self, a: JavaPart) -> JavaPart:
        if len(a.parts) != 2:
            raise self.refuse(f"the angle of {a.kind} is not known")
        return _number(f"atan2({a.parts[1]}, {a.parts[0]})")

    of_arg = of_carg

    def of_distance(self, a: JavaPart, b: JavaPart) -> JavaPart:
        return self.of_length(self.joined(a, "-", b))

    def of_normalize(self, a: JavaPart) -> JavaPart:
        return self.joined(a, "/", _number(self.keep(self.of_length(a).text)))

    def of_reflect(self, a: JavaPart, b: JavaPart) -> JavaPart:
        twice = _number(self.keep(f"2 * {self.of_dot(a, b).text}"))
        return self.joined(a, "-", self.joined(twice, "*", b))

    of_Reflect = of_reflect

    def of_cross(self, a: JavaPart, b: JavaPart) -> JavaPart:
        if len(a.parts) != 3 or len(b.parts) != 3:
            raise self.refuse(f"cross of {a.kind} and {b.kind}")
        p, q = a.parts, b.parts
        return self.vector([f"({p[i]} * {q[j]} - {p[j]} * {q[i]})" for i, j in ((1, 2), (2, 0), (0, 1))])


_TWO = ("mul", "div", "wer")  # how the names of those end that take two numbers


def _number(text: str) -> JavaPart:
    return JavaPart(text, NUMBER)
