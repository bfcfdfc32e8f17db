"""Points of a collage of clouds by their addresses on a GPU: the very addresses of :mod:`fractalkit.orbit.address`.

Places are whole numbers of 62 bits, here as pairs of 32. Maps are composed from the beginning of an address,
x = f_r(f_s(… a)) as A a + t, so that no ranges need to be stored; in float32, which is enough relative to the whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.orbit.address import MAX_WORD, Addresses, end_of, spread
from fractalkit.orbit.records import Orbit
from fractalkit.orbit.streams import counter
from fractalkit.orbit.wgsl.device import Gpu, open_gpu
from fractalkit.orbit.wgsl.shaders import RANDOM, SUM, cell_text, pipeline_of

GROUP = 64
CHUNK = 1 << 20  # points of one start of the shader
COLUMNS = 9  # of a range's whole numbers: domain, factors and shifts, lengths, what it is a copy from

WHOLE_NUMBERS = """
fn wide(a: u32, b: u32) -> vec2u {  // of 64 bits, the lower half first
  let al = a & 65535u; let ah = a >> 16u; let bl = b & 65535u; let bh = b >> 16u;
  let one = ah * bl + ((al * bl) >> 16u);
  let two = al * bh + (one & 65535u);
  return vec2u((two << 16u) | ((al * bl) & 65535u), ah * bh + (one >> 16u) + (two >> 16u));
}
fn plus(a: vec2u, b: vec2u) -> vec2u {
  let low = a.x + b.x;
  return vec2u(low, a.y + b.y + select(0u, 1u, low < a.x));
}
fn minus64(a: vec2u, b: vec2u) -> vec2u { return vec2u(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x)); }
fn times(a: vec2u, b: vec2u) -> vec2u { return wide(a.x, b.x) + vec2u(0u, a.x * b.y + a.y * b.x); }
fn reaches(a: vec2u, b: vec2u) -> bool { return a.y > b.y || (a.y == b.y && a.x >= b.x); }
fn right(a: vec2u, n: u32) -> vec2u {
  if (n == 0u) { return a; }
  if (n >= 32u) { return vec2u(a.y >> (n - 32u), 0u); }
  return vec2u((a.x >> n) | (a.y << (32u - n)), a.y >> n);
}
fn left(a: vec2u, n: u32) -> vec2u {
  if (n == 0u) { return a; }
  if (n >= 32u) { return vec2u(0u, a.x << (n - 32u)); }
  return vec2u(a.x << n, (a.y << n) | (a.x >> (32u - n)));
}
fn low31(a: vec2u) -> u32 { return a.x & 0x7fffffffu; }
fn scaled(place: vec2u, more: u32, rest: u32, m: u32, e: i32) -> vec2u {
  let low = plus(wide(low31(place), m), right(wide(more, m), 31u));
  let high = plus(wide(right(place, 31u).x, m), right(low, 31u));
  if (e < 0) { return right(high, u32(-e)); }
  let n = u32(e);
  if (n < 31u) { return left(high, n) | vec2u(low31(low) >> (31u - n), 0u); }
  return left(high, n) | left(vec2u(low31(low), 0u), n - 31u) | right(vec2u(rest, 0u), 62u - n);
}
fn key_of(at: vec2u) -> vec2u {  // splitmix64
  let step = vec2u(0x7f4a7c15u, 0x9e3779b9u);
  var x = plus(times(at, step), step);
  x = times(x ^ right(x, 30u), vec2u(0x1ce4e5b9u, 0xbf58476du));
  x = times(x ^ right(x, 27u), vec2u(0x133111ebu, 0x94d049bbu));
  return x ^ right(x, 31u);
}
"""
DRAW = """
struct Settings {{ first: vec2u, counter: vec2u, q: vec2u, f: vec2u, b: u32, n: u32, ranges: u32, depth: u32,
                  end: i32, edges: u32, down: u32, begun: u32, cells: u32, none1: u32, none2: u32, none3: u32,
                  scale: vec4f, shift: vec4f, sides: vec4u }};
@group(0) @binding(0) var<uniform> settings: Settings;
@group(0) @binding(1) var<storage, read> table: array<u32>;    // guide; edges; whole numbers of ranges
@group(0) @binding(2) var<storage, read> numbers: array<f32>;  // maps, points, maps of colours, colours
@group(0) @binding(3) var<storage, read> starts: array<u32>;
{buffers}
{random}
{whole}
{functions}
fn edge(s: u32) -> vec2u {{ let at = settings.edges + 2u * s; return vec2u(table[at], table[at + 1u]); }}
fn of_range(s: u32, column: u32) -> u32 {{
  return table[settings.edges + 2u * settings.ranges + 2u + {columns}u * s + column];
}}
fn range_at(place: vec2u, low: u32, high: u32) -> u32 {{
  var s = max(table[right(place, settings.down).x], low);
  let near = min(s + 8u, high - 1u);
  while (s < near && reaches(place, edge(s + 1u))) {{ s++; }}
  var end = select(s, high - 1u, s == near);
  while (s < end) {{
    let middle = (s + end + 1u) / 2u;
    if (reaches(place, edge(middle))) {{ s = middle; }} else {{ end = middle - 1u; }}
  }}
  return s;
}}
fn point(at: u32) -> {vector} {{ return {vector}({point}); }}
fn shade(at: u32) -> vec3f {{ return vec3f(numbers[at], numbers[at + 1u], numbers[at + 2u]); }}
@compute @workgroup_size({group})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {{
  let i = id.x + id.y * groups.x * {group}u;
  if (i >= settings.n) {{ return; }}
  let key = key_of(plus(settings.counter, vec2u(i, 0u)));
  let one = mixed(0u, key.x, key.y) >> 1u;
  let two = mixed(1u, key.x, key.y) >> 1u;
  var place = left(vec2u(one, 0u), 31u) | vec2u(two, 0u);
  if ((settings.q.x | settings.q.y) != 0u) {{
    let k = plus(settings.first, vec2u(i, 0u));
    place = plus(times(k, settings.q), right(times(k, settings.f), settings.b));
    place = plus(place, plus(wide(right(settings.q, 31u).x, one), right(wide(low31(settings.q), one), 31u)));
  }}
  var a = {identity};
  var x = {vector}();
{begin}
  var low = 0u;
  var high = settings.ranges;
  var size = 0;
  var length = 0u;
  var s = 0u;
  if (settings.begun == 1u) {{
    s = starts[i];
{word}
{follow}
    place = plus(edge(low), scaled(place, 0u, 0u, of_range(s, 4u), bitcast<i32>(of_range(s, 5u))));
  }}
  for (var step = 2u; step < {most}u; step++) {{
    s = range_at(place, low, high);
{word}
    if (size + bitcast<i32>(of_range(s, 7u)) <= settings.end) {{ break; }}
    let e = bitcast<i32>(of_range(s, 3u));
    var rest = 0u;
    if (e > 31) {{ rest = mixed(step + {longest}u, key.x, key.y) >> 1u; }}
    let within = minus64(place, edge(s));
    let m = of_range(s, 2u);
{follow}
    place = plus(edge(low), scaled(within, mixed(step, key.x, key.y) >> 1u, rest, m, e));
  }}
  x += a * point({points_at} + {dim}u * s);
{end}
}}
"""
FOLLOW = """    { let at = MAP_SIZEu * s; x += a * point(at + LAST_MAPu); a = a * MATRIX; }
    TINT
    size += bitcast<i32>(of_range(s, 6u));
    low = of_range(s, 0u);
    high = of_range(s, 1u);"""
TINT = """{ let at = TINTS + 12u * s; colour += tint * shade(at + 9u);
      tint = tint * mat3x3f(shade(at), shade(at + 3u), shade(at + 6u)); }"""
STORE = """
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<storage, read_write> digits: array<u32>;"""
WORD = "    if (length < settings.depth) { digits[settings.depth * i + length] = s; }\n    length++;"
FILL = """  for (; length < settings.depth; length++) {
    s = of_range(s, 8u);
    digits[settings.depth * i + length] = s;
  }"""
COUNT = "@group(0) @binding(4) var<storage, read_write> counts: array<atomic<u32>>;"
COLOURS = "\n@group(0) @binding(5) var<storage, read_write> sums: array<atomic<u32>>;"
BEGIN = """  var colour = vec3f();
  var tint = mat3x3f(1.0f, 0.0f, 0.0f, 0.0f, 1.0f, 0.0f, 0.0f, 0.0f, 1.0f);"""


def address_text(dim: int, coloured: bool, counted: bool) -> str:
    """The shader for the plane or for space, that writes points or counts them."""
    size = dim * (dim + 1)
    columns = ", ".join(f"point(at + {dim * j}u)" for j in range(dim))
    points_at, tints_at = f"{size}u * settings.ranges", f"{size + dim}u * settings.ranges"
    follow = FOLLOW.replace("MAP_SIZE", str(size)).replace("LAST_MAP", str(dim * dim))
    follow = follow.replace("MATRIX", f"mat{dim}x{dim}f({columns})")
    follow = follow.replace("TINT", TINT.replace("TINTS", tints_at) if coloured else "")
    unit = ", ".join("1.0f" if i % (dim + 1) == 0 else "0.0f" for i in range(dim * dim))
    shades = f"shade({size + dim + 12}u * settings.ranges + 3u * s)"
    ends = [f"  colour = clamp(colour + tint * {shades}, vec3f(0.0f), vec3f(1.0f));"] if coloured else []
    ends += _counted(dim, coloured) if counted else _stored(dim, coloured)
    return DRAW.format(
        buffers=COUNT + COLOURS * coloured if counted else STORE, functions=SUM if counted and coloured else "",
        random=RANDOM, whole=WHOLE_NUMBERS, columns=COLUMNS, group=GROUP, dim=dim, vector=f"vec{dim}f",
        point=", ".join(f"numbers[at + {k}u]" for k in range(dim)), identity=f"mat{dim}x{dim}f({unit})",
        begin=BEGIN if coloured else "", word="" if counted else WORD, follow=follow, most=2 + MAX_WORD,
        longest=MAX_WORD, points_at=points_at, end="\n".join(ends),
    )  # fmt: skip


def _counted(dim: int, coloured: bool) -> list[str]:
    """Lines that count a point and add its colour."""
    vector = "vec4f(x, 0.0f, 0.0f)" if dim == 2 else "vec4f(x, 0.0f)"
    lines = [cell_text(dim, vector), "    atomicAdd(&counts[cell], 1u);"]
    return lines + [f"  add(6u * cell + {2 * i}u, colour.{c});" for i, c in enumerate("xyz") if coloured]


def _stored(dim: int, coloured: bool) -> list[str]:
    """Lines that write a point, its colour and what follows its address."""
    values = [f"x.{c}" for c in "xyz"[:dim]] + [f"colour.{c}" for c in "xyz" if coloured]
    return [f"  out[{len(values)}u * i + {k}u] = {v};" for k, v in enumerate(values)] + [FILL]


class WgslAddresses:
    """A collage on a GPU."""

    def __init__(self, code: Addresses, gpu: Gpu | None = None) -> None:
        self.gpu, self.code = gpu or open_gpu(), code
        self.dim, self.ranges = code.maps.shape[1], len(code.norms)
        table = [code.guide.astype(np.uint32), code.edges.view(np.uint32)]
        rows = np.concatenate([code.domains, code.steps, code.after[:, None]], axis=1)
        table.append(rows.astype(np.int64).astype(np.uint32).ravel())
        numbers = [code.maps.swapaxes(1, 2), code.anchors, code.tints.swapaxes(1, 2), code.shades]
        self.fixed = [
            self.gpu.buffer(np.concatenate(table)),
            self.gpu.buffer(np.concatenate([np.float32(v).ravel() for v in numbers])),
        ]
        self.settings = self.gpu.buffer(128, uniform=True)

    def draw(
        self, first: int, n: int, seed: int, of: int, tolerance: float, starts: np.ndarray | None, depth: int,
        colours: bool,
    ) -> Orbit:  # fmt: skip
        """Points, colours and words by address, as :func:`fractalkit.orbit.by_address.draw` describes them; float32."""
        each = self.dim + 3 * colours
        out, digits = np.empty((n, each), np.float32), np.empty((n, depth), np.uint16)
        text = address_text(self.dim, colours, False)
        for at in range(0, n, CHUNK):
            m = min(CHUNK, n - at)
            made, words = self.gpu.buffer(4 * m * each), self.gpu.buffer(4 * m * max(depth, 1))
            part = None if starts is None else starts[at : at + m]
            self._run(text, first + at, m, seed, of, tolerance, part, [made, words], depth=depth)
            out[at : at + m] = self.gpu.read(made, np.float32, m * each).reshape(m, each)
            if depth:
                digits[at : at + m] = self.gpu.read(words, np.uint32, m * depth).reshape(m, depth)
        return Orbit(
            torch.from_numpy(out[:, : self.dim].astype(np.float64)),
            torch.from_numpy(digits.view(np.int16)).view(torch.uint16) if depth else None,
            torch.from_numpy(out[:, self.dim :].copy()) if colours else None,
        )

    def count(
        self, n: int, seed: int, tolerance: float, grid: tuple[np.ndarray, np.ndarray, np.ndarray], total: Tensor,
        rgb: Tensor | None, progress: Any = None,
    ) -> None:  # fmt: skip
        """Add n points to counts and colours, as :func:`fractalkit.orbit.by_address.count` does."""
        text = address_text(self.dim, rgb is not None, True)
        counts = self.gpu.buffer(4 * len(total))
        sums = [] if rgb is None else [self.gpu.buffer(24 * len(total))]
        for first in range(0, n, CHUNK):
            m = min(CHUNK, n - first)
            self._run(text, first, m, seed, 0, tolerance, None, [counts, *sums], grid=grid, cells=len(total) - 1)
            if (first // CHUNK) % 2048 == 2047 or first + m == n:  # before a counter is full
                total += torch.from_numpy(self.gpu.read(counts, np.uint32, len(total)).astype(np.int64))
                self.gpu.write(counts, np.zeros(len(total), np.uint32))
            if progress is not None:
                self.gpu.wait()
                progress(first + m)
        if rgb is not None:
            rgb += torch.from_numpy(self.gpu.read(sums[0], np.uint64, 3 * len(total)).astype(np.int64)).view(-1, 3)

    def _run(
        self, text: str, first: int, n: int, seed: int, of: int, tolerance: float, starts: np.ndarray | None,
        outs: list[Any], *, depth: int = 0, cells: int = 0, grid: tuple[np.ndarray, ...] | None = None,
    ) -> None:  # fmt: skip
        """Start the shader for points first … first + n - 1."""
        q, f, b = spread(of) if of else (0, 0, 0)
        code, pipeline = self.code, pipeline_of(self.gpu, text)
        shift = 62 - (len(code.guide).bit_length() - 1)
        head = np.array([first, counter(seed, first), q, f], np.uint64).view(np.uint32)
        told = [b, n, self.ranges, depth, end_of(tolerance) % 2**32, len(code.guide), shift, int(starts is not None)]
        tail = np.zeros((3, 4), np.uint32)
        if grid is not None:
            tail[0, : self.dim], tail[1, : self.dim] = (np.float32(v).view(np.uint32) for v in grid[:2])
            tail[2, : self.dim] = grid[2]
        whole = np.concatenate([head, np.array([*told, cells, 0, 0, 0], np.uint32), tail.ravel()])
        self.gpu.write(self.settings, whole)
        given = self.gpu.buffer(np.zeros(1, np.uint32) if starts is None else starts.astype(np.uint32))
        bound = self.gpu.bind(pipeline, [self.settings, *self.fixed, given, *outs])
        self.gpu.run((pipeline, bound, -(-n // GROUP)))


def on_gpu(code: Addresses) -> WgslAddresses:
    """A collage's tables on the GPU, made once."""
    if "wgsl" not in code.kept:
        code.kept["wgsl"] = WgslAddresses(code)
    made: WgslAddresses = code.kept["wgsl"]
    return made
