"""A flame as instructions for a loop that looks them up (:mod:`.flame_machine`): nothing is compiled for a new flame.

A sample takes two to five times as long as in a loop of the flame's own (:mod:`.flame_loop`), which takes seconds to
compile: small pictures are drawn from instructions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_parts import IDENTITY, Xform
from fractalkit.errors import DataError
from fractalkit.maps.variation_code import arguments
from fractalkit.maps.variation_ops import (
    FIRST_FREE,
    HID,
    NUMBER,
    PAINTED,
    PLOT,
    Assembler,
    C,
    Value,
    X,
    Y,
    Z,
    assemble,
)
from fractalkit.orbit.flame_loop import (
    NEAR,
    TURN,
    Use,
    blur_factors,
    direct_color,
    distance_color,
    hides,
    paints,
    variations_of,
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Instructions:
    """A flame's maps as code.

    Attributes:
        code: ``[N, 6]``: operation, row to write or place to go, three rows to read, first number.
        scalars: the numbers.
        starts: ``[K + 1]``, where the code of each map begins, and that of what is plotted.
        constants: values of rows, the last ones; ``rows``: how many others.
    """

    code: npt.NDArray[np.int64]
    scalars: Floats
    starts: npt.NDArray[np.int64]
    constants: Floats
    rows: int

    def registers(self, points: int) -> Floats:
        """Rows for so many points ``[rows + M, points]``, the constants filled in."""
        out = np.zeros((self.rows + len(self.constants), points))
        out[self.rows :] = self.constants[:, None]
        return out

    def work(self) -> int:
        """How many instructions all maps have, those in loops counted for each turn."""
        total, turns = 0.0, [1.0]
        for op, *_, number in self.code.tolist():
            if op == NUMBER["leave"]:
                turns.append(turns[-1] * self.scalars[number])
            total += turns[-1]
            if op == NUMBER["next"]:
                turns.pop()
        return int(total)


class _Maps:
    """Writes the maps of a flame. Rows that a map uses are given back at its end."""

    def __init__(self, flame: Flame) -> None:
        self.flame, self.asm = flame, Assembler()
        self.space, self.hides, self.paints = flame.in_space(), hides(flame), paints(flame)
        self.new_linear = flame.extras.get("new_linear", "0").strip() == "1"

    def sum(self, a: float, x: Value, b: float, y: Value, c: float = 0.0) -> Value:
        """a x + b y + c."""
        return self.asm.keep(self.asm.affine(a, x, b, y, c))

    def solid(self, f: Xform, point: list[Value], *, post: bool) -> list[Value]:
        """The point after the affine maps of a map: :meth:`Xform.solid`."""
        a, d, b, e, c, cf = f.post if post else f.coefs
        x, y, z = point
        if not f.is_solid:
            if post and f.post == IDENTITY:
                return point
            return [self.sum(a, x, b, y, c), self.sum(d, x, e, y, cf), z]
        yz, zx = (f.yz_post, f.zx_post) if post else (f.yz_coefs, f.zx_coefs)
        x, y = self.sum(a, x, b, y), self.sum(d, x, e, y)
        y, z = self.sum(yz[0], y, yz[2], z), self.sum(yz[1], y, yz[3], z)
        x, z = self.sum(zx[0], x, zx[2], z), self.sum(zx[1], x, zx[3], z)
        offsets = (c + zx[4], cf + yz[4], yz[5] + zx[5])
        return [self.asm.keep(self.asm.add(v, o)) for v, o in zip((x, y, z), offsets, strict=True)]

    def xform(self, f: Xform, point: list[Value], c: Value) -> tuple[list[Value], Value, Value, Value]:
        """The point, the colour, whether it is hidden and its paint after a map: affine map, variations, post map,
        colour."""
        asm, keep = self.asm, self.asm.keep
        at = self.solid(f, point, post=False)
        blended = keep(asm.add(asm.mul(c, 1.0 - f.color_speed), f.color_speed * f.color))
        colour, hid, painted = blended, 0.0, 0.0
        total: list[Value] = [0.0, 0.0, 0.0]
        begun = False
        for use in variations_of(f, self.space, self.new_linear):
            made, colour, gone, paint = self.vary(use, f, total if use.place == "post_" else at, colour)
            hid, painted = self.either(hid, gone), self.repainted(painted, paint)
            if use.place == "pre_":
                at = self.placed(use, at, made)
            elif use.place:
                total = self.placed(use, total, made)
            else:
                new = [0.0 if m is None else m for m in made]
                total = [keep(asm.add(t, m)) for t, m in zip(total, new, strict=True)] if begun else new
                begun = True
        out = self.solid(f, total, post=True)
        moves = distance_color(f)
        if moves is not None:
            colour = self.moved(point, out, f.color, moves)
        elif colour != blended:
            mixed = asm.mul(asm.sub(asm.clamped(colour), blended), direct_color(f))
            colour = keep(asm.add(mixed, blended))
        return out, colour, hid, painted

    def moved(self, a: list[Value], b: list[Value], color: float, factor: float) -> Value:
        """The colour of a point that moved from a to b."""
        asm, keep = self.asm, self.asm.keep
        far: Value = 0.0
        for u, v in zip(a[: 3 if self.space else 2], b, strict=False):
            d = keep(asm.sub(v, u))
            far = keep(asm.add(far, asm.mul(d, d)))
        colour = keep(asm.add(asm.mul(asm.call("sqrt", far), factor), color))
        turns = keep(asm.call("floor", asm.mul(colour, 1 / TURN)))
        return keep(asm.sub(colour, asm.mul(turns, TURN)))

    def either(self, a: Value, b: Value) -> Value:
        """Whether a or b."""
        return self.asm.keep(self.asm.either(a, b)) if isinstance(b, int) or b else a

    def repainted(self, before: Value, paint: Value) -> Value:
        """The paint after another, which counts where there is some."""
        if isinstance(paint, float) and not paint:
            return before
        return self.asm.keep(self.asm.select(self.asm.call("lt", 0.0, paint), paint, before))

    def vary(self, use: Use, f: Xform, at: list[Value], c: Value) -> tuple[list[Value | None], Value, Value, Value]:
        """What a variation adds to x, y and z (None: nothing), the colour, what it hides, and its paint."""
        a, d, b, e, cc, cf = f.coefs
        affine = {"ca": a, "cb": b, "cc": cc, "cd": d, "ce": e, "cf": cf}
        numbers = {n: affine[n] if n in affine else f.parameter(f"{use.name}_{n[2:]}") for n in arguments(use.declared)}
        point = {"x": at[0], "y": at[1], "z": at[2] if use.space else 0.0, "color": c}
        values, colour, gone, paint = assemble(use.declared, self.asm, point, use.weight, numbers)
        kept = [self.asm.keep(v) for v in values]
        made: list[Value | None] = [*kept[:2], (kept[2] if len(kept) > 2 else 0.0) if use.space else None]
        gone, paint = self.asm.keep(gone), self.asm.keep(paint)
        return made, c if colour == c else self.asm.keep(colour), gone, paint

    def placed(self, use: Use, at: list[Value], made: list[Value | None]) -> list[Value]:
        """The point after a pre_ or post_ form."""
        if use.adds:
            return [t if m is None else self.asm.keep(self.asm.add(t, m)) for t, m in zip(at, made, strict=True)]
        stays = (True, True, False) if use.declared.depth else (False, False, False)
        return [t if m is None or k else m for t, m, k in zip(at, made, stays, strict=True)]

    def seen(self, x: Value, y: Value, z: Value) -> tuple[Value, Value]:
        """Points in space as the camera shows them; see :mod:`.flame`."""
        f, asm, keep = self.flame, self.asm, self.asm.keep
        z = z if f.by_jwildfire else keep(asm.sub(z, f.cam_zpos))
        cy, sy = math.cos(f.cam_yaw), math.sin(f.cam_yaw)
        x, h = self.sum(cy, x, sy, y), self.sum(cy, y, -sy, x)
        cr, sr = math.cos(f.cam_roll), math.sin(f.cam_roll)
        x, z = self.sum(cr, x, sr, z), self.sum(cr, z, -sr, x)
        cp, sp = math.cos(f.cam_pitch), math.sin(f.cam_pitch)
        y, z = self.sum(cp, h, -sp, z), self.sum(sp, h, cp, z)
        if f.cam_dof != 0:
            away = asm.call("max", asm.sub(f.cam_zpos, z), 0.0) if f.by_jwildfire else z
            r = keep(asm.mul(asm.mul(away, 0.1 * f.cam_dof), asm.put("random")))
            if (factors := blur_factors(f)) is not None:
                squares = asm.add(asm.mul(asm.mul(x, x), factors[0]), asm.mul(asm.mul(y, y), factors[1]))
                r = keep(asm.mul(r, squares))
            v = keep(asm.mul(asm.put("random"), 2 * math.pi))
            x = keep(asm.add(x, asm.mul(r, asm.call("cos", v))))
            y = keep(asm.add(y, asm.mul(r, asm.call("sin", v))))
        near = keep(asm.sub(1.0, asm.mul(z, f.cam_persp)))
        far = asm.call("lt", NEAR, near)
        return asm.select(far, asm.div(x, near), math.nan), asm.div(y, near)

    def plot(self) -> None:
        """Code of what is plotted: final maps and the camera."""
        asm, keep = self.asm, self.asm.keep
        point: list[Value] = [X, Y, Z if self.space else 0.0]
        colour: Value = C
        hidden: Value = HID if self.hides else 0.0
        shown: Value = PAINTED if self.paints else 0.0
        for final in self.flame.finals:
            out, shade, gone, paint = self.xform(final, point, colour)
            if final.opacity < 1:
                drawn = keep(asm.call("lt", asm.put("random"), final.opacity))
                out = [keep(asm.select(drawn, a, b)) for a, b in zip(out, point, strict=True)]
                shade = keep(asm.select(drawn, shade, colour))
                gone, paint = asm.both(drawn, gone), asm.select(drawn, keep(paint), 0.0) if paint else 0.0
            point, colour = out, shade
            hidden, shown = self.either(hidden, gone), self.repainted(shown, keep(paint))
        if self.space:
            point[:2] = self.seen(*point)
        self.end([PLOT, PLOT + 1, PLOT + 2, PLOT + 3, PLOT + 4], [*point[:2], colour, hidden, shown])

    def map(self, f: Xform) -> None:
        """Code of a map: from the rows of the point to the same rows."""
        out, colour, hid, painted = self.xform(f, [X, Y, Z if self.space else 0.0], C)
        self.end([X, Y, Z, C, HID, PAINTED], [*out, colour, hid, painted])

    def end(self, rows: list[int], values: list[Value]) -> None:
        """Code that writes values to their rows and stops; all others are free again."""
        # a value may be a row that is written before: none of them is read after it is
        held = [v if isinstance(v, float) or v >= FIRST_FREE else self.asm.put("copy", v) for v in values]
        for row, v in zip(rows, held, strict=True):
            self.asm.put("fill" if isinstance(v, float) else "copy", *([] if isinstance(v, float) else [v]),
                         scalars=[v] if isinstance(v, float) else [], to=row)  # fmt: skip
        self.asm.code.append([NUMBER["end"], 0, 0, 0, 0, 0])
        self.asm.free = list(range(self.asm.rows - 1, FIRST_FREE - 1, -1))
        self.asm.temporary.clear()


def instructions(flame: Flame) -> Instructions:
    """The code of a flame whose symmetries are expanded.

    Raises:
        DataError: no maps.
    """
    if not flame.xforms:
        raise DataError(f"flame {flame.name!r}: has no xform")
    w = _Maps(flame)
    starts = []
    for f in flame.xforms:
        starts.append(len(w.asm.code))
        w.map(f)
    starts.append(len(w.asm.code))
    w.plot()
    code, scalars, constants, rows = w.asm.finished()
    return Instructions(code, scalars, np.array(starts), constants, rows)
