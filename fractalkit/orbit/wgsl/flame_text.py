"""A flame as a shader: its structure as text, its numbers in buffers, so that numbers change without a new shader.

A workgroup plays many chains at once. In each step every chain draws its next map by itself; the workgroup then sorts
its chains by map, so that neighbours do the same work. A chain takes its random numbers and its count with it, so that
nothing depends on the order, which differs from run to run. Random numbers are those of
:mod:`fractalkit.orbit.streams`.

Samples are summed in whole numbers, as :attr:`unit` a full sample, rounded up or down by chance; a second shader adds
them to sums in float32 before they could overflow. Sums of whole numbers do not depend on the order: a picture has the
same bits each time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_parts import IDENTITY, Xform
from fractalkit.codes.variation_text import Declared
from fractalkit.errors import DataError
from fractalkit.maps.variation_code import LEVELS, arguments
from fractalkit.orbit.flame_loop import (
    LARGE,
    NEAR,
    TURN,
    Use,
    blur_factors,
    direct_color,
    distance_color,
    hides,
    paints,
    variations_of,
    visible,
)
from fractalkit.orbit.wgsl.formulas import STATE, function_texts, literal, variation_text
from fractalkit.orbit.wgsl.mathematics import MATHEMATICS
from fractalkit.orbit.wgsl.shaders import RANDOM

GROUP = 64  # chains of a workgroup
FEW = 32  # maps whose choice is written out
MOST_UNIFORM = 4096  # vectors that any device takes as a uniform buffer
MOST_MAPS = 1000
# Settings of a run, a uniform buffer of 24 numbers of 32 bits:
#   t, steps: the first step and how many; first: the first one that is drawn; need: the last one draws chains below
#   this; rows, columns of cells; restart: 1 to begin at random points; spare; shades, chance of the palette's row;
#   unit, in whole numbers; three spare; the camera's two rows, each a x + b y + c
SETTINGS = """
struct Settings { t: u32, steps: u32, first: u32, need: u32, rows: u32, columns: u32, restart: u32, spare: u32,
                  shades: f32, chance: f32, unit: f32, other: f32, row_x: vec4f, row_y: vec4f };
"""
DRAW = """
var<private> key: vec2u;
var<private> count: u32;
fn random() -> f32 {
  let u = mixed(count, key.x, key.y);
  count += 1u;
  return f32(u >> 8u) * 5.9604645e-08f;
}
"""
WALK = """
@group(0) @binding(0) var<uniform> settings: Settings;
@group(0) @binding(1) {numbers}
@group(0) @binding(2) var<storage, read> palette: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> points: array<vec4f>;  // x, y, colour, z of chains
@group(0) @binding(4) var<storage, read_write> names: array<vec4u>;   // key; count; last map, strays, number
@group(0) @binding(5) var<storage, read_write> cells: array<atomic<u32>>;
{random}
{formulas}
{sorting}
@compute @workgroup_size({group})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {{
  var q = points[id.x];
  let name = names[id.x];
  key = name.xy;
  count = name.z;
  var last = name.w & 1023u;
  var bad = (name.w >> 10u) & 7u;
  var number = name.w >> 13u;
  if (settings.restart == 1u) {{
    q = vec4f(2.0f * random() - 1.0f, 2.0f * random() - 1.0f, random(), 0.0f);
    last = {maps}u;
    bad = 0u;
  }}
{clear}
  for (var step = 0u; step < settings.steps; step++) {{
    let u = random();
    var pick = 0u;
{choose}
{sort}
    var x = q.x;
    var y = q.y;
    var c = q.z;
    var z = q.w;
    var hidden = false;
    var shown = 0.0f;
    var opacity = 1.0f;
    switch pick {{
{cases}
      default: {{}}
    }}
    last = pick;
    if (within(x, {large}) && within(y, {large}) && within(z, {large})) {{
      bad = 0u;
    }} else {{
      x = 2.0f * random() - 1.0f;
      y = 2.0f * random() - 1.0f;
      z = 0.0f;
      bad = (bad + 1u) % 5u;
    }}
    q = vec4f(x, y, c, z);
    let drawn = bad == 0u && (step + 1u < settings.steps || number < settings.need);
    if (settings.t + step < settings.first) {{ continue; }}
    var seen = true;
{plot}
    let fx = settings.row_x.x * x + settings.row_x.y * y + settings.row_x.z;
    let fy = settings.row_y.x * x + settings.row_y.y * y + settings.row_y.z;
    let inside = fx >= 0.0f && fy >= 0.0f && fx < f32(settings.columns) && fy < f32(settings.rows);
    if (drawn && seen && inside && !hidden && opacity != 0.0f) {{
      let bits = mixed(count, key.y, key.x);
      let chance = f32(bits >> 16u) * 1.5258789e-05f;
      let up = f32(bits & 65535u) * 1.5258789e-05f;
      var shade = u32(clamp(c, 0.0f, 1.0f) * settings.shades + chance * settings.chance);
{paint}
      let add = vec4u(palette[shade] * (opacity * settings.unit) + up);
      let at = 4u * (u32(fy) * settings.columns + u32(fx));
      atomicAdd(&cells[at], add.x);
      atomicAdd(&cells[at + 1u], add.y);
      atomicAdd(&cells[at + 2u], add.z);
      atomicAdd(&cells[at + 3u], add.w);
    }}
  }}
  points[id.x] = q;
  names[id.x] = vec4u(key, count, last | (bad << 10u) | (number << 13u));
}}
"""
SORTING = """
var<workgroup> dealt: array<vec4f, {group}>;
var<workgroup> tags: array<vec4u, {group}>;
var<workgroup> tally: array<atomic<u32>, {twice}>;  // of this step and of the next one
"""
CLEAR = """  for (var i = lane; i < {twice}u; i += {group}u) {{ atomicStore(&tally[i], 0u); }}
  workgroupBarrier();"""
SORT = """    let now = (step & 1u) * {maps}u;
    var to = atomicAdd(&tally[now + pick], 1u);
    workgroupBarrier();
    for (var i = 0u; i < pick; i++) {{ to += atomicLoad(&tally[now + i]); }}
    dealt[to] = q;
    tags[to] = vec4u(key, count, pick | (bad << 10u) | (number << 13u));
    for (var i = lane; i < {maps}u; i += {group}u) {{ atomicStore(&tally[{maps}u - now + i], 0u); }}
    workgroupBarrier();
    q = dealt[lane];
    let tag = tags[lane];
    key = tag.xy;
    count = tag.z;
    pick = tag.w & 1023u;
    bad = (tag.w >> 10u) & 7u;
    number = tag.w >> 13u;"""
FLUSH = """
struct Flush { each: f32, n: u32 };
@group(0) @binding(0) var<uniform> flush: Flush;
@group(0) @binding(1) var<storage, read_write> cells: array<u32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 256u;
  if (i < flush.n) {
    sums[i] += f32(cells[i]) * flush.each;
    cells[i] = 0u;
  }
}
"""


@dataclass(frozen=True)
class FlameShader:
    """A flame for the GPU.

    Attributes:
        text: the shader of its structure.
        numbers: ``[N]`` float32, all its numbers; the same text takes others.
        brightest: the weight of a sample of its most opaque map.
        places: where in ``numbers`` those of maps are, by names such as ``0.coefs.2``, ``0.post.5``, ``1.color``,
            ``1.color_speed``, ``1.variations.linear`` and ``final0.parameters.julian_power``.
    """

    text: str
    numbers: npt.NDArray[np.float32]
    brightest: float
    places: dict[str, int]


class _Writer:
    """Writes the maps of a flame and gathers its numbers."""

    def __init__(self, flame: Flame) -> None:
        self.flame, self.space = flame, flame.in_space()
        self.hides, self.paints = hides(flame), paints(flame)
        self.new_linear = flame.extras.get("new_linear", "0").strip() == "1"
        self.numbers: list[float] = []
        self.places: dict[str, int] = {}
        self.label = ""  # of the map that is written
        self.used: dict[tuple[str, bool], Declared] = {}

    def number(self, value: float, name: str = "") -> str:
        """A number of the flame, by its place in the buffer; ``name``: what it is of the map that is written."""
        self.numbers.append(float(value))
        place = len(self.numbers) - 1
        if name:
            self.places[f"{self.label}.{name}"] = place
        return f"N[{place // 4}].{'xyzw'[place % 4]}"

    def table(self, d: Declared) -> int:
        """The place of a table's numbers in the buffer: each chain would get a copy of what stands in the text."""
        place = len(self.numbers)
        self.numbers += d.table
        return place

    @property
    def vector(self) -> str:
        return "vec3f" if self.space else "vec2f"

    def affine(self, f: Xform, p: str, *, post: bool = False) -> tuple[str, dict[str, str]]:
        """The affine maps of a point, and the names of the first one's numbers: :meth:`Xform.solid`."""
        which = "post" if post else "coefs"
        a, d, b, e, c, g = (self.number(v, f"{which}.{i}") for i, v in enumerate(getattr(f, which)))
        names = {"ca": a, "cb": b, "cc": c, "cd": d, "ce": e, "cf": g}
        x, y = f"{a} * {p}.x + {b} * {p}.y", f"{d} * {p}.x + {e} * {p}.y"
        if not f.is_solid:
            return f"{p} = {self.vector}({x} + {c}, {y} + {g}{f', {p}.z' if self.space else ''});", names
        lines = [f"{p} = vec3f({x}, {y}, {p}.z);"]
        planes = (f.yz_post, f.zx_post) if post else (f.yz_coefs, f.zx_coefs)
        (h, i, j, k, m, n), (o, q, r, s, t, u) = ([self.number(v) for v in plane] for plane in planes)
        lines.append(f"{p} = vec3f({p}.x, {h} * {p}.y + {j} * {p}.z, {i} * {p}.y + {k} * {p}.z);")
        lines.append(f"{p} = vec3f({o} * {p}.x + {r} * {p}.z, {p}.y, {q} * {p}.x + {s} * {p}.z);")
        lines.append(f"{p} += vec3f({c} + {t}, {g} + {m}, {n} + {u});")
        return " ".join(lines), names

    def call(self, use: Use, f: Xform, at: str, names: dict[str, str]) -> str:
        """A variation at a point."""
        d = use.declared
        self.used[d.name, use.space] = d
        given = [f"{at}.{axis}" for axis in ("xyz" if use.space else "xy")]
        given.append(self.number(use.weight, f"variations.{use.name}"))
        for a in arguments(d):
            full = f"{use.name}_{a[2:]}"
            given.append(names[a] if a in names else self.number(f.parameter(full), f"parameters.{full}"))
        return f"v_{d.name}{'_3d' if use.space else ''}({', '.join(given)})"

    def term(self, use: Use, f: Xform, names: dict[str, str]) -> str:
        """The line by which a variation acts."""
        at = "s" if use.place == "post_" else "p"
        made = self.call(use, f, at, names)
        flat = self.space and not use.space
        if not use.place or use.adds:
            to = "p" if use.place == "pre_" else "s"
            return f"{to} += {f'vec3f({made}, 0.0f)' if flat else made};"
        if use.declared.depth:
            return f"{at}.z = {made}.z;" if use.space else f"_ = {made};"
        return f"{{ let v = {made}; {at} = vec3f(v, {at}.z); }}" if flat else f"{at} = {made};"

    def xform(self, f: Xform, label: str, indent: str) -> str:
        """Lines that map x, y, z, the colour c, and whether the point is hidden and how it is painted."""
        self.label = label
        uses = variations_of(f, self.space, self.new_linear)
        programs = [u.declared.program for u in uses]
        affine, names = self.affine(f, "p")
        speed, color = self.number(f.color_speed, "color_speed"), self.number(f.color, "color")
        lines = [f"var p = vec{'3f(x, y, z' if self.space else '2f(x, y'});", affine, f"var s = {self.vector}();"]
        moves = distance_color(f)
        if moves is not None:
            lines.insert(1, "let start = p;")
        else:
            lines.append(f"c = mix(c, {color}, {speed});")
        coloured, reads = any(p.colors for p in programs), any("color" in p.uses for p in programs)
        lines += ["s_color = c;"] if coloured or reads else []
        lines += ["s_hidden = false;"] if any(p.hides for p in programs) else []
        lines += ["s_paint = 0.0f;"] if any(p.paints for p in programs) else []
        for use in uses:
            lines.append(self.term(use, f, names))
            lines += ["hidden = hidden || s_hidden;"] if use.hides else []
        if f.post != IDENTITY or f.is_solid:
            lines.append(self.affine(f, "s", post=True)[0])
        lines.append(f"x = s.x; y = s.y;{' z = s.z;' if self.space else ''}")
        if moves is not None:
            lines += [f"c = {color} + {self.number(moves)} * distance(start, s);"]
            lines += [f"c -= {literal(TURN)} * floor(c * {literal(1 / TURN)});"]
        elif coloured:
            lines.append(f"c = mix(c, clamp(s_color, 0.0f, 1.0f), {self.number(direct_color(f))});")
        lines += ["if (s_paint > 0.0f) { shown = s_paint; }"] if any(p.paints for p in programs) else []
        return "\n".join(indent + line for line in lines)

    def camera(self) -> list[str]:
        """Lines that bring x, y and z into the picture's plane; see :mod:`fractalkit.orbit.flame`."""
        f = self.flame
        cy, sy, cp, sp, cr, sr = (
            self.number(g(v)) for v in (f.cam_yaw, f.cam_pitch, f.cam_roll) for g in (math.cos, math.sin)
        )
        level = self.number(f.cam_zpos)
        lines = [] if f.by_jwildfire else [f"z -= {level};"]
        lines.append(f"let h = {cy} * y - {sy} * x;")
        lines.append(f"x = {cy} * x + {sy} * y;")
        if f.cam_roll != 0:
            lines.append(f"{{ let g = {cr} * x + {sr} * z; z = {cr} * z - {sr} * x; x = g; }}")
        lines.append(f"y = {cp} * h - {sp} * z;")
        lines.append(f"z = {sp} * h + {cp} * z;")
        if f.cam_dof != 0:
            away = f"max({level} - z, 0.0f)" if f.by_jwildfire else "z"
            lines.append(f"let blur = {self.number(0.1 * f.cam_dof)} * {away} * random();")
            lines.append("let turn = 6.2831853f * random();")
            if (factors := blur_factors(f)) is not None:
                a, b = (self.number(v) for v in factors)
                lines[-2] = lines[-2][:-1] + f" * ({a} * x * x + {b} * y * y);"
            lines.append("x += blur * k_cos(turn); y += blur * k_sin(turn);")
        if f.cam_persp != 0:
            lines.append(f"let near = 1.0f - {self.number(f.cam_persp)} * z;")
            lines.append(f"seen = near > {literal(NEAR)}; x /= near; y /= near;")
        return lines

    def choose(self) -> str:
        """Lines that count how many running sums of weights the number u reaches: each map's own or one for all."""
        sums = np.cumsum(self.flame.matrix(), 1)[:, :-1]
        sums, others = sums[-1:] if (sums == sums[-1]).all() else sums, sums.shape[1]
        place = len(self.numbers)
        rows = [[self.number(v) for v in row] for row in sums]
        if others >= FEW:
            row = f" + {others}u * last" if len(sums) > 1 else ""
            turn = f"let k = {place}u + i{row}; pick += select(0u, 1u, u >= N[k / 4u][k % 4u]);"
            return f"    for (var i = 0u; i < {others}u; i++) {{ {turn} }}"
        counts = [" + ".join(f"select(0u, 1u, u >= {v})" for v in row) or "0u" for row in rows]
        if len(counts) == 1:
            return f"    pick = {counts[0]};"
        cases = [f"      case {i}u: {{ pick = {count}; }}" for i, count in enumerate(counts)]
        return "\n".join(["    switch last {", *cases, "      default: {}", "    }"])

    def plot(self) -> str:
        """Lines of the final maps and the camera."""
        lines = []
        for i, final in enumerate(self.flame.finals):
            sure = final.opacity >= 1
            head = "    {" if sure else f"    if (random() < {self.number(final.opacity)}) {{"
            lines += [head, self.xform(final, f"final{i}", "      "), "    }"]
        lines += ["    " + line for line in self.camera()] if self.space else []
        return "\n".join(lines)


def flame_shader(flame: Flame, group: int = GROUP, sort: bool = True) -> FlameShader:
    """The shader of a flame whose symmetries are expanded and whose maps are as flam3 says.

    Args:
        group: chains of a workgroup.
        sort: whether it sorts its chains by map, which does not pay where all maps are computed for each chain anyway.

    Raises:
        DataError: no maps, or more than 1000.
    """
    k = len(flame.xforms)
    if not 0 < k <= MOST_MAPS:
        raise DataError(f"flame {flame.name!r}: has {k} maps; expected 1 to {MOST_MAPS}")
    w = _Writer(flame)
    weights = [visible(f.opacity) for f in flame.xforms]
    cases = [
        f"      case {i}u: {{\n{w.xform(f, str(i), ' ' * 8)}\n        opacity = {w.number(weight)};\n      }}"
        for i, (f, weight) in enumerate(zip(flame.xforms, weights, strict=True))
    ]
    plot, choose = w.plot(), w.choose()
    functions: dict[str, str] = {}
    for d in w.used.values():
        function_texts(d, functions, w.table)
    formulas = [STATE, MATHEMATICS, *functions.values(), *(variation_text(d, s) for (_, s), d in w.used.items())]
    sizes = {"group": group, "maps": k, "twice": 2 * k}
    several, quarter = sort and k > 1, -(-len(w.numbers) // 4)
    small = quarter <= MOST_UNIFORM
    text = SETTINGS + WALK.format(
        random=RANDOM + DRAW, formulas="\n".join(formulas), maps=k, group=group,
        sorting=SORTING.format(**sizes) if several else "", clear=CLEAR.format(**sizes) if several else "",
        sort=SORT.format(**sizes) if several else "",
        choose=choose, cases="\n".join(cases), large=literal(LARGE), plot=plot,
        numbers=f"var<{'uniform' if small else 'storage, read'}> N: array<vec4f, {quarter}>;",
        paint=f"      if (shown > 0.0f) {{ shade = arrayLength(&palette) - {LEVELS**3 + 1}u + u32(shown); }}"
        if w.paints else "",
    )  # fmt: skip
    numbers = np.zeros(4 * quarter, np.float32)
    numbers[: len(w.numbers)] = w.numbers
    return FlameShader(text, numbers, max(weights), w.places)
