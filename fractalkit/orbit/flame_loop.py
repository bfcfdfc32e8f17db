"""Generate the source of a flame's chaos game: many chains, sorted by their next map, so that each has a plain loop.

A step of the chaos game chooses a map at random, which no processor predicts, and variations call sines and logarithms
one number at a time. Here :data:`CHAINS` chains make their choice together; their points are then moved into the order
of the maps chosen, and each map's formulas run over its own stretch without a branch, several numbers to a vector
register (:mod:`fractalkit.maps.fast_math`). What is left is memory: a load, an addition and a store of four float32 for
each sample.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import math
import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_parts import IDENTITY, Xform
from fractalkit.codes.variation_list import catalogue
from fractalkit.codes.variation_text import Declared
from fractalkit.errors import DataError
from fractalkit.maps import fast_math
from fractalkit.maps.variation_code import (
    LEVELS,
    MATH,
    PAINT,
    arguments,
    draw_lines,
    function_codes,
    has_color,
    number_code,
    table_codes,
)

CHAINS = 512  # at most
FUSE = 20
RESTART = 10_000  # steps of a chain, as in flam3: where maps do not contract, the picture depends on its starts
LARGE = 1e10
TURN = 256 / 254  # JWildfire's colours of distances begin again after 256 of the palette's 254 steps
NEAR = 1e-6  # least 1 - persp z that is drawn: points nearer to the camera are skipped
HIDDEN = 4.0  # taken off the colour of a point that is not drawn, which is in [0, 1] else

HEAD = '''"""Written by fractalkit.orbit.flame_loop; may be deleted. Mathematics {digest}."""

import numba as nb
import numpy as np

from fractalkit.maps.fast_math import {math}

pi = 3.141592653589793
EPS = 1e-10
STEP, M1, M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S30, S27, S31, S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
CHAINS, FUSE, LARGE, NEAR, RESTART, HIDDEN = {chains}, {fuse}, {large}, {near}, {restart}, {hidden}
# of one array: x, y, colour of the chains; and the same in the order of the maps that come next. Unsigned, since signed
# indices are looked at for minus signs; at fixed distances, so that compilers see that nothing overlaps
Y0, C0 = np.uint64({chains}), np.uint64(2 * {chains})
X1, Y1, C1 = np.uint64(3 * {chains}), np.uint64(4 * {chains}), np.uint64(5 * {chains})
Z0, Z1 = np.uint64(6 * {chains}), np.uint64(7 * {chains})
ZERO = np.uint64(0)
FOUR, ONE, TWO, THREE = np.uint64(4), np.uint64(1), np.uint64(2), np.uint64(3)

'''
LOOP = '''
@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={{"contract"}})
def run(N, cumulative, colours, scale, camera, state, samples, rows, columns, picture):
    A = np.zeros({rows_of_state} * CHAINS)
    pick, cell, shade = np.zeros(CHAINS, np.int64), np.zeros(CHAINS, np.int64), np.zeros(CHAINS, np.int64)
    bad0, bad1 = np.zeros(CHAINS, np.int64), np.zeros(CHAINS, np.int64)
    first, place = np.zeros({maps} + 2, np.uint64), np.zeros({maps} + 1, np.uint64)
    every, chains = np.uint64(len(state)), len(state)
    top, right = np.float64(rows), np.float64(columns)
    shades, chance = scale[0], scale[1]
    k0, k1, k2, k3, k4, k5 = camera[0], camera[1], camera[2], camera[3], camera[4], camera[5]
    wide = np.int64(columns)
    done, turn, age, bads = 0, -FUSE, RESTART, 0
    while done < samples:
        if age >= RESTART:
            if scale[2] != 0.0:  # somebody wants it to stop; looked at some times a second
                break
            for k in range(ZERO, every):
{start}
            for k in range({maps} + 1):
                first[k] = ZERO
            first[{maps} + 1] = every
            for k in range(ZERO, every):
                bad0[k] = 0
            bads = 0
            age = -FUSE if turn == 0 else 0
        # which map comes next
{choose}
        for k in range(ZERO, every):
            m = np.uint64(pick[k])
            p = place[m]
            place[m] = p + ONE
            A[p + X1], A[p + Y1], A[p + C1] = A[k], A[k + Y0], A[k + C0]{move}
        if bads:
            # after the places were used up they stand at the ends; back to the beginnings, and the same again
            for k in range({maps}):
                place[k] = first[k]
            for k in range(ZERO, every):
                m = np.uint64(pick[k])
                p = place[m]
                place[m] = p + ONE
                bad1[p] = bad0[k]
            for k in range(ZERO, every):
                bad0[k] = bad1[k]
        # the maps, each over its stretch
        strays = 0
{maps_text}
        if strays or bads:
            # as in flam3: it goes on from a random point, counted but not drawn unless it happens again and again
            bads = 0
            for k in range(ZERO, every):
                x, y = A[k], A[k + Y0]
                if abs(x) < LARGE and abs(y) < LARGE{large_z}:
                    bad0[k] = 0
                    continue
{reset}
                A[k], A[k + Y0] = x, y{flat}
                bad0[k] += 1
                bads += 1
                if bad0[k] == 5:
                    bad0[k] = 0
        age += 1
        if turn < 0:
            turn += 1
            continue
        need = min(samples - done, chains)
        done += need
        if age <= 0:
            continue
{plot}


@nb.njit(nogil=True, error_model="numpy", forceinline=True)
def add(a, b, weight, picture, colours, cell, shade):
    """Samples of a stretch into the histogram."""
    s = np.float32(weight)
    for k in range(a, b):
        at = cell[k]
        if at < 0:
            continue
        o, p = np.uint64(at), np.uint64(shade[k])
        r0, r1, r2, r3 = colours[p], colours[p + ONE], colours[p + TWO], colours[p + THREE]
        q0, q1, q2, q3 = picture[o], picture[o + ONE], picture[o + TWO], picture[o + THREE]
        picture[o], picture[o + ONE] = q0 + s * r0, q1 + s * r1
        picture[o + TWO], picture[o + THREE] = q2 + s * r2, q3 + s * r3
'''


class _Writer:
    """Writes the text of loops, and gathers the flame's numbers."""

    def __init__(self, flame: Flame) -> None:
        self.numbers: list[float] = []
        self.used: dict[tuple[str, bool], Declared] = {}
        self.space = flame.in_space()
        self.hides = hides(flame)
        self.paints = paints(flame)
        # where a file of Apophysis 7x or Fractorium says so, linear is what linear3D was before
        self.new_linear = flame.extras.get("new_linear", "0").strip() == "1"

    def number(self, value: float, before: list[str]) -> str:
        """Name a number and add to ``before`` the line that reads it from the arguments ahead of the loop."""
        self.numbers.append(float(value))
        name = f"n{len(self.numbers) - 1}"
        before.append(f"{name} = N[{len(self.numbers) - 1}]")
        return name

    @staticmethod
    def random(name: str) -> list[str]:
        """A uniform number in [0, 1), from the state of chain k."""
        return ["seed = state[k]", *draw_lines(name, "seed"), "state[k] = seed"]

    def xform(self, x: Xform, before: list[str]) -> list[str]:
        """Lines that map x and y, in space also depth, by one transform, and blend its colour into c."""
        variations = variations_of(x, self.space, self.new_linear)
        lines, affine = self._affine(x.coefs, "p, q", before)
        if x.yz_coefs != IDENTITY or x.zx_coefs != IDENTITY:
            lines = self._solid(x.coefs, x.yz_coefs, x.zx_coefs, "p, q, depth", before)
        s, colour = self.number(x.color_speed, before), self.number(x.color, before)
        moves = distance_color(x)
        blend = [f"c = {s} * {colour} + (1.0 - {s}) * c"]
        if moves is not None:
            blend, lines = (
                [],
                [f"x0, y0{', depth0' if self.space else ''} = x, y{', depth' if self.space else ''}", *lines],
            )
        coloured, hides = any(v.declared.program.colors for v in variations), any(v.hides for v in variations)
        lines += [*blend, "blended = c"] if coloured else blend  # variations read the blended colour
        lines += ["hid = False"] if hides else []
        painted = any(v.declared.program.paints for v in variations)
        lines += ["painted = 0.0"] if painted else []
        lines += self._sum(variations, x, affine, before)
        if x.yz_post != IDENTITY or x.zx_post != IDENTITY:
            lines += self._solid(x.post, x.yz_post, x.zx_post, "x, y, depth", before)
        elif x.post != IDENTITY:
            lines += self._affine(x.post, "x, y", before)[0]
        if moves is not None:
            far = f"sqrt((x - x0) ** 2 + (y - y0) ** 2{' + (depth - depth0) ** 2' if self.space else ''})"
            lines.append(f"c = {colour} + {self.number(moves, before)} * {far}")
            lines.append(f"c = c - {TURN} * floor(c * {1 / TURN})")
        elif coloured:
            share = self.number(direct_color(x), before)
            lines.append(f"c = blended + {share} * (min(max(c, 0.0), 1.0) - blended)")
        lines += [f"c = c + {PAINT} * painted"] if painted else []
        return [*lines, "c = where(hid, min(c, 1.0) - HIDDEN, c)"] if hides else lines

    def _sum(self, variations: list[Use], x: Xform, affine: dict[str, str], before: list[str]) -> list[str]:
        """Lines from the point p, q (and depth) to x, y (and depth): pre_ forms, the sum, post_ forms."""
        lines: list[str] = []
        terms: list[list[str]] = [[], [], []]
        for i, v in enumerate(v for v in variations if v.place != "post_"):
            at, made = ("p", "q", "depth"), [f"{name}{i}" for name in "ghf"]
            lines += self._call(v, x, at, made, affine, before)
            if v.place:
                lines += self._placed(v, at, made)
                continue
            for total, part in zip(terms, made[: 3 if v.space else 2], strict=False):
                total.append(part)
        sums = [" + ".join(t) or "0.0" for t in terms][: 3 if self.space else 2]
        lines.append(f"x, y{', depth' if self.space else ''} = {', '.join(sums)}")
        for v in (v for v in variations if v.place == "post_"):
            at = ("x", "y", "depth")
            lines += [*self._call(v, x, at, ["g", "h", "f"], affine, before), *self._placed(v, at, ["g", "h", "f"])]
        return lines

    def _call(
        self, v: Use, x: Xform, at: tuple[str, str, str], made: list[str], affine: dict[str, str], before: list[str]
    ) -> list[str]:
        """Lines that call a variation at a point."""
        d = v.declared
        self.used[d.name, v.space] = d
        given = [*at[: 3 if v.space else 2], *(["c"] if has_color(d) else []), self.number(v.weight, before)]
        names = arguments(d)
        given += [affine[a] if a in affine else self.number(x.parameter(f"{v.name}_{a[2:]}"), before) for a in names]
        out = made[: 3 if v.space else 2] + (["c"] if d.program.colors else []) + (["gone"] if v.hides else [])
        lines = [f"{', '.join(out)} = v_{d.name}{'_3d' if v.space else ''}({', '.join(given)})"]
        if d.program.draws:
            call = lines[0]
            lines = [f"{call.replace(' = ', ', state[k] = ', 1)[:-1]}, state[k])"]
        if d.program.paints:
            lines += [*_unpainted("paint"), "painted = where(paint > 0.0, paint, painted)"]
        return [*lines, "hid = hid | gone"] if v.hides else lines

    def _placed(self, v: Use, at: tuple[str, str, str], made: list[str]) -> list[str]:
        """Lines by which a pre_ or post_ form moves the point."""
        n = 3 if v.space else 2
        if v.adds:
            return [f"{', '.join(at[:n])} = {', '.join(f'{a} + {b}' for a, b in zip(at[:n], made, strict=False))}"]
        if v.declared.depth:
            return [f"{at[2]} = {made[2]}"] if v.space else []
        return [f"{', '.join(at[:n])} = {', '.join(made[:n])}"]

    def _affine(self, coefs: Sequence[float], to: str, before: list[str]) -> tuple[list[str], dict[str, str]]:
        """The line that maps x and y to ``to`` by an affine map, and its names of b, c, e and f for variations."""
        a, d, b, e, c, f = (self.number(v, before) for v in coefs)
        names = {"ca": a, "cb": b, "cc": c, "cd": d, "ce": e, "cf": f}
        return [f"{to} = {a} * x + {b} * y + {c}, {d} * x + {e} * y + {f}"], names

    def _solid(
        self, xy: Sequence[float], yz: Sequence[float], zx: Sequence[float], to: str, before: list[str]
    ) -> list[str]:
        """Lines that map x, y and depth by JWildfire's three affine maps: see :meth:`Xform.solid`."""
        a, d, b, e, c, f = (self.number(v, before) for v in xy)
        g, h, i, j, k, m = (self.number(v, before) for v in yz)
        o, p, q, r, s, t = (self.number(v, before) for v in zx)
        return [
            f"v0, v1 = {a} * x + {b} * y, {d} * x + {e} * y",
            f"v1, v2 = {g} * v1 + {i} * depth, {h} * v1 + {j} * depth",
            f"v0, v2 = {o} * v0 + {q} * v2, {p} * v0 + {r} * v2",
            f"{to} = v0 + {c} + {s}, v1 + {f} + {k}, v2 + {m} + {t}",
        ]

    def camera(self, flame: Flame, before: list[str]) -> list[str]:
        """Lines that project x, y and depth to x and y in the picture."""
        cy, sy = (self.number(f(flame.cam_yaw), before) for f in (math.cos, math.sin))
        cp, sp = (self.number(f(flame.cam_pitch), before) for f in (math.cos, math.sin))
        level = self.number(flame.cam_zpos, before)
        lines = [] if flame.by_jwildfire else [f"depth = depth - {level}"]
        lines.append(f"x, h = {cy} * x + {sy} * y, {cy} * y - {sy} * x")
        if flame.cam_roll != 0:
            cr, sr = (self.number(f(flame.cam_roll), before) for f in (math.cos, math.sin))
            lines.append(f"x, depth = {cr} * x + {sr} * depth, {cr} * depth - {sr} * x")
        lines.append(f"y, depth = {cp} * h - {sp} * depth, {sp} * h + {cp} * depth")
        if flame.cam_dof != 0:
            blur = self.number(0.1 * flame.cam_dof, before)
            away = f"max({level} - depth, 0.0)" if flame.by_jwildfire else "depth"
            lines += [*self.random("g"), *self.random("h"), f"g, h = {blur} * {away} * g, 2.0 * pi * h"]
            if (factors := blur_factors(flame)) is not None:
                a, b = (self.number(v, before) for v in factors)
                lines.append(f"g = g * ({a} * x * x + {b} * y * y)")
            lines.append("x, y = x + g * cos(h), y + g * sin(h)")
        if flame.cam_persp != 0:
            lines.append(f"near = 1.0 - {self.number(flame.cam_persp, before)} * depth")
            lines.append("x, y = where(near > NEAR, x / near, np.nan), y / near")
        return lines


class Use(NamedTuple):
    """A variation of a map: its name, with its prefix; where it stands; its weight; whether with z; and whether there
    it adds to the point instead of taking its place."""

    name: str
    declared: Declared
    place: str
    weight: float
    space: bool
    adds: bool

    @property
    def hides(self) -> bool:
        """Whether it may hide points."""
        return self.declared.program.hides


def variations_of(x: Xform, space: bool, new_linear: bool) -> list[Use]:
    """The variations of a map in the order of evaluation: pre_ ones, those that are added up, post_ ones.

    JWildfire's ``fx_priority`` moves a variation: -1 before the others, 1 behind them, 2 and -2 to both places. One
    that is not a pre_ or post_ form then adds to the point.
    """
    weights = dict(x.variations)
    if space and new_linear and "linear" in weights:
        weights["linear3D"] = weights.get("linear3D", 0.0) + weights.pop("linear")
    elif not space and "linear3D" in weights:
        weights["linear"] = weights.get("linear", 0.0) + weights.pop("linear3D")
    uses = []
    for name, weight in weights.items():
        found = catalogue().find(name)
        if found is not None and weight != 0:
            place, declared = found
            for to, adds in _turns(x, name, place, declared):
                uses.append(Use(name, declared, to, weight, space and declared.space, adds))
            first = catalogue().base(declared.before) if declared.before else None
            if first is not None:
                uses.append(Use(name, first, first.place, weight, space and first.space, first.adds))
    return sorted(uses, key=lambda u: ("pre_", "", "post_").index(u.place))


def _turns(x: Xform, name: str, place: str, declared: Declared) -> list[tuple[str, bool]]:
    """Where a variation acts, and whether it adds to the point there."""
    moved = priority(x, name)
    if place == "pre_" or moved is None or declared.before:
        return [(place, declared.adds)]
    if place == "post_":
        return [("pre_" if moved < 0 else place, declared.adds)]
    places = {0: [""], -1: ["pre_"], 1: ["post_"]}.get(moved, ["pre_", "post_"])
    return [(to, True) for to in places]


def priority(x: Xform, name: str) -> int | None:
    """JWildfire's ``fx_priority`` of a variation of a map, -2 to 2, or None.

    >>> priority(Xform(extras={"Log_fx_priority": "-1"}), "log")
    -1
    """
    key = f"{name}_fx_priority"
    text = next((v for k, v in x.extras.items() if k.lower() == key.lower()), "").strip()
    return int(text) if text in ("-2", "-1", "0", "1", "2") else None


def distance_color(x: Xform) -> float | None:
    """How much of the palette a unit of the plane is, of JWildfire's maps that colour points by how far they move;
    None of others."""
    told = x.extras.get("color_type", "").strip().upper() == "DISTANCE"
    return 2.0 - 2.0 * x.color_speed if told else None


def blur_factors(flame: Flame) -> tuple[float, float] | None:
    """(a, b): the depth blur of a point (x, y) before the camera is times a x^2 + b y^2; None where it is the same.

    With Fractorium's ``blur_curve`` p it grows as d^2 / 4p, d being ten at the edge of the picture.
    """
    if flame.cam_dof == 0 or flame.blur_curve == 0:
        return None
    w, h = (v / (2 * flame.pixels_per_unit) for v in flame.size)
    return 25 / (flame.blur_curve * w * w), 25 / (flame.blur_curve * h * h)


def hides(flame: Flame) -> bool:
    """Whether a variation of a flame may hide points."""
    found = (catalogue().find(n) for x in flame.maps for n, weight in x.variations.items() if weight != 0)
    return any(f is not None and f[1].program.hides for f in found)


def paints(flame: Flame) -> bool:
    """Whether a variation of a flame may give points a colour that is not of the palette."""
    found = (catalogue().find(n) for x in flame.maps for n, weight in x.variations.items() if weight != 0)
    return any(f is not None and f[1].program.paints for f in found)


def paint_table() -> npt.NDArray[np.float32]:
    """The colours of painted points by their code, from 1: RGBA ``[LEVELS^3, 4]``."""
    level = np.linspace(0, 1, LEVELS, dtype=np.float32)
    rgb = np.stack(np.meshgrid(level, level, level, indexing="ij"), -1).reshape(-1, 3)
    return np.concatenate([rgb, np.ones((len(rgb), 1), np.float32)], 1)


def _unpainted(name: str) -> list[str]:
    """Lines that part c from the code of its paint, which is 0 if it has none."""
    return [f"{name} = where(c > 2.0, floor((c + 1.0) * {1 / PAINT}), 0.0)", f"c = c - {PAINT} * {name}"]


def direct_color(x: Xform) -> float:
    """How much of a colour that variations set is taken, 0 to 1: ``var_color`` of the file."""
    try:
        return min(max(float(x.extras.get("var_color", "1")), 0.0), 1.0)
    except ValueError:
        return 1.0


def _indent(lines: list[str], depth: int) -> str:
    return "\n".join(" " * depth + line for line in lines)


def _choose(maps: int, alike: bool) -> str:
    """The choice of each chain's next map: how many of the running sums of weights its number reaches."""
    limits = [f"t{i} = row[{i}]" for i in range(maps - 1)]
    count = " + ".join(f"np.int64(u >= t{i})" for i in range(maps - 1)) or "np.int64(0)"
    tally = [f"s{i} += np.int64(u >= t{i})" for i in range(maps - 1)]
    body = [*_Writer.random("u"), f"pick[k] = {count}", *tally]
    lines = [f"s{i} = np.int64(0)" for i in range(maps - 1)]
    if alike:
        lines += [f"row = cumulative[{maps}]", *limits, "for k in range(ZERO, every):", *("    " + b for b in body)]
    else:
        lines += [f"for last in range({maps} + 1):", "    row = cumulative[last]", *("    " + v for v in limits)]
        lines += ["    for k in range(first[last], first[last + 1]):", *("        " + b for b in body)]
    # map i + 1 and those after it have s_i chains
    lines += ["first[0] = ZERO", *(f"first[{i + 1}] = every - np.uint64(s{i})" for i in range(maps - 1))]
    lines += [f"first[{maps}], first[{maps + 1}] = every, every", f"for i in range({maps}):", "    place[i] = first[i]"]
    return _indent(lines, 8)


def write(flame: Flame) -> tuple[str, npt.NDArray[np.float64]]:
    """Return the source of the loop for a flame's structure, and its numbers."""
    w = _Writer(flame)
    deep = w.space
    maps: list[str] = []
    adds: list[str] = []
    k = len(flame.xforms)
    for i, x in enumerate(flame.xforms):
        before: list[str] = []
        body = w.xform(x, before)
        loop = ["x, y, c = A[k + X1], A[k + Y1], A[k + C1]"]
        loop += ["depth = A[k + Z1]"] if deep else []
        loop += ["c = where(c < -2.0, c + HIDDEN, c)"] if w.hides else []
        loop += _unpainted("paint") if w.paints else []
        loop += [*body, "A[k], A[k + Y0], A[k + C0] = x, y, c"]
        loop += ["A[k + Z0] = depth"] if deep else []
        also = " & (abs(depth) < LARGE)" if deep else ""
        loop.append(f"strays += 0 if (abs(x) < LARGE) & (abs(y) < LARGE){also} else 1")
        maps += [*before, f"for k in range(first[{i}], first[{i + 1}]):", *("    " + line for line in loop)]
        weight = w.number(visible(x.opacity), adds)
        adds += [
            f"if {weight} != 0.0:",
            f"    add(first[{i}], first[{i + 1}], {weight}, picture, colours, cell, shade)",
        ]
    alike = bool((flame.matrix() == flame.matrix()[-1]).all())
    start = [
        *w.random("g"),
        *w.random("h"),
        *w.random("u"),
        "A[k], A[k + Y0], A[k + C0] = 2.0 * g - 1.0, 2.0 * h - 1.0, u",
    ]
    reset = [*w.random("g"), *w.random("h"), "x, y = 2.0 * g - 1.0, 2.0 * h - 1.0"]
    if deep:
        start.append("A[k + Z0] = 0.0")  # they start in the plane
    text = LOOP.format(
        maps=k, start=_indent(start, 16), choose=_choose(k, alike), maps_text=_indent(maps, 8),
        reset=_indent(reset, 16), plot=_indent(_plot(w, flame) + adds, 8), rows_of_state=8 if deep else 6,
        move="\n            A[p + Z1] = A[k + Z0]" if deep else "",
        large_z=" and abs(A[k + Z0]) < LARGE" if deep else "",
        flat="\n                A[k + Z0] = 0.0" if deep else "",
    )  # fmt: skip
    functions: dict[str, str] = {}
    tables: dict[str, str] = {}
    for d in w.used.values():
        function_codes(d, functions)
        table_codes(d, tables)
    texts = [*functions.values(), *(number_code(d, space) for (_, space), d in w.used.items())]
    formulas = "\n\n".join(
        f'@nb.njit(error_model="numpy", fastmath={{"contract"}}, forceinline=True)\n{text}' for text in texts
    )
    return _head() + "".join(tables.values()) + "\n\n" + formulas + "\n" + text, np.array(w.numbers or [0.0])


def _plot(w: _Writer, flame: Flame) -> list[str]:
    """Where samples fall and which colours they have, of all chains at once: the final map and the camera."""
    before: list[str] = []
    body = ["x, y, c = A[k], A[k + Y0], A[k + C0]"]
    body += ["depth = A[k + Z0]"] if w.space else []
    if w.hides:
        body += ["gone = c < -2.0", "c = where(gone, c + HIDDEN, c)"]
    body += _unpainted("shown") if w.paints else []
    for final in flame.finals:
        inner = w.xform(final, before)
        if w.paints:
            inner += [*_unpainted("paint"), "shown = where(paint > 0.0, paint, shown)"]
        if final.opacity < 1:
            share = w.number(final.opacity, before)
            kept = ["x", "y", "c", *(["depth"] if w.space else []), *(["shown"] if w.paints else [])]
            body += [*(f"{v}0 = {v}" for v in kept), *w.random("u"), *inner, f"drawn = u < {share}"]
            body += [f"{v} = where(drawn, {v}, {v}0)" for v in kept]
        else:
            body += inner
    body += w.camera(flame, before) if w.space else []
    body += ["fx = where(gone | (c < -2.0), np.nan, x)", "x = fx"] if w.hides else []
    body += [
        "fx, fy = k0 * x + k1 * y + k2, k3 * x + k4 * y + k5",
        "inside = (fx >= 0.0) & (fy >= 0.0) & (fx < right) & (fy < top)",
        "fx, fy = where(inside, fx, 0.0), where(inside, fy, 0.0)",
        "cell[k] = where(inside, 4 * (np.int64(fy) * wide + np.int64(fx)), -1)",
        # bits of the state that the next number is not made of: rounding between rows of the palette is by chance
        "t = np.float64((state[k] * M2) >> S11) * 1.1102230246251565e-16",
        "shade[k] = 4 * np.int64(min(max(c, 0.0), 1.0) * shades + t * chance)",
    ]
    if w.paints:
        before.append(f"paints = len(colours) - {4 * LEVELS**3 + 4}")
        body.append("shade[k] = paints + 4 * np.int64(shown) if shown > 0.0 else shade[k]")
    return [
        *before,
        "for k in range(ZERO, every):",
        *("    " + line for line in body),
        "if bads:",
        "    for k in range(ZERO, every):",
        "        cell[k] = -1 if bad0[k] > 0 else cell[k]",
        "if need < chains:",
        "    for k in range(ZERO, every):  # an even choice of those that are still wanted",
        "        cell[k] = cell[k] if (np.int64(k) + 1) * need // chains > np.int64(k) * need // chains else -1",
    ]


@lru_cache
def _head() -> str:
    digest = hashlib.sha256(inspect.getsource(fast_math).encode()).hexdigest()[:12]
    return HEAD.format(
        digest=digest, math=", ".join(MATH), chains=CHAINS, fuse=FUSE, large=LARGE, near=NEAR, restart=RESTART,
        hidden=HIDDEN,
    )  # fmt: skip


def visible(opacity: float) -> float:
    """What a sample weighs: 10^(log2 opacity), so half the opacity is a tenth."""
    return 0.0 if opacity <= 0 else 10.0 ** math.log2(opacity)


def prepare(flame: Flame) -> tuple[Any, npt.NDArray[np.float64]]:
    """The compiled loop of a flame's structure, and the flame's numbers.

    Raises:
        DataError: no maps.
    """
    if not flame.xforms:
        raise DataError(f"flame {flame.name!r}: has no xform")
    text, numbers = write(flame)
    return _load(text), numbers


KEPT = 64  # loops; days of random flames would fill the memory with them
_kept: list[str] = []


@lru_cache(maxsize=KEPT)
def _load(text: str) -> Any:
    """Load the loop from a file in the cache folder, so that its compiled code is reused, or from memory."""
    name = "flame_" + hashlib.sha256(text.encode()).hexdigest()[:20]
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path.home() / ".cache" / "fractalkit") / "flames"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.py"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            beside = folder / f".{name}-{os.getpid()}"
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, path)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # what Numba looks for while it compiles
        while len(_kept) >= KEPT:
            sys.modules.pop(_kept.pop(0), None)
        _kept.append(name)
        spec.loader.exec_module(module)
        return module.run
    except OSError:
        space: dict[str, Any] = {"__name__": name}
        exec(compile(text.replace("cache=True, ", ""), f"<{name}>", "exec"), space)
        return space["run"]
