"""The chaos game of an affine code on a GPU: the chains, keys and maps of the other engines, in float32.

A chain looks its map up in a table with a row for each entry of the alias table. Where there are :data:`FEW` maps, it
has all of them at hand instead, applies each, and keeps one value, which is sooner done than a look-up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fractalkit.orbit.streams import CHAINS, Plan
from fractalkit.orbit.wgsl.device import Gpu, open_gpu
from fractalkit.orbit.wgsl.shaders import RANDOM, SUM, cell_text, pipeline_of

GROUP = 64
FEW = 8  # maps
ROWS = 256  # of one start of the shader; all cards compute that many in some milliseconds

WALK = """
struct Settings {{ t: u32, rows: u32, last: u32, bits: u32, cells: u32, speed: f32, kept: f32, spare: u32,
                  scale: vec4f, shift: vec4f, sides: vec4u }};
struct Map {{ {numbers}, number: u32 }};
@group(0) @binding(0) var<uniform> settings: Settings;
@group(0) @binding(1) var<storage, read> maps: array<Map, {slots}>;  // one a slot of the alias table, or each
@group(0) @binding(2) var<storage, read> columns: array<{column}, {columns}>;  // threshold, and what it parts
@group(0) @binding(3) var<storage, read> keys: array<vec2u, {chains}>;
@group(0) @binding(4) var<storage, read_write> state: array<vec4f, {chains}>;
{buffers}
{random}
@compute @workgroup_size({group})
fn main(@builtin(global_invocation_id) id: vec3u) {{
  let k = keys[id.x];
  var q = state[id.x];
{begin}
  let steps = settings.rows + select(0u, 1u, id.x < settings.last);
  for (var r = 0u; r < steps; r++) {{
    let u = mixed(settings.t + r, k.x, k.y);
    let column = u >> (32u - settings.bits);
    let rest = u << settings.bits;
{step}
{each}
  }}
  state[id.x] = q;
{end}
}}
"""
STORE = ("@group(0) @binding(5) var<storage, read_write> out: array<f32>;\n"
         "@group(0) @binding(6) var<storage, read_write> symbols: array<u32>;")  # fmt: skip
STORED = """    let at = r * {chains}u + id.x;
{points}
    symbols[at] = number;"""
COUNT = "@group(0) @binding(5) var<storage, read_write> counts: array<atomic<u32>, {cells}>;"
COUNTED = "    atomicAdd(&counts[cell], 1u);"
COLOUR = """
@group(0) @binding(6) var<storage, read> tints: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> tones: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> sums: array<atomic<u32>>;"""
COLOURED = """
    tone = settings.speed * tints[number] + settings.kept * tone;
    add(6u * cell, tone.x);
    add(6u * cell + 2u, tone.y);
    add(6u * cell + 4u, tone.z);"""


def walk_text(dim: int, how: str, columns: int, maps: int, cells: int = 1) -> str:
    """The shader for the plane or for space. Sizes stand in the text, so that no index needs to be compared with them.

    Args:
        how: "skip", "points", "count" or "colours".
        columns: of the alias table.
        maps: how many there are.
        cells: counters, the one of points outside included.
    """
    axes, few = "xyz"[:dim], maps <= FEW
    counted = f"{cell_text(dim, 'q')}\n{COUNTED}"
    stored = STORED.format(
        chains=CHAINS, points="\n".join(f"    out[{dim}u * at + {i}u] = q.{a};" for i, a in enumerate(axes))
    )
    count = COUNT.format(cells=cells)
    buffers = {"skip": "", "points": STORE, "count": count, "colours": count + COLOUR + SUM}[how]
    each = {"skip": "", "points": stored, "count": counted, "colours": counted + COLOURED}[how]
    begin = _at_hand(columns, maps) if few else []
    step = _of_few(dim, columns, maps) if few else _looked_up(dim)
    if how == "colours":
        begin.append("  var tone = tones[id.x];")
    return WALK.format(
        numbers=", ".join(f"m{i}{j}: f32" for i in range(dim) for j in range(dim + 1)), buffers=buffers, each=each,
        random=RANDOM, slots=maps if few else 2 * columns, columns=columns, column="vec4u" if few else "u32",
        chains=CHAINS, group=GROUP, step="\n".join(step), begin="\n".join(begin),
        end="  tones[id.x] = tone;" if how == "colours" else "",
    )  # fmt: skip


def _looked_up(dim: int) -> list[str]:
    """Lines of a step that look the map up."""
    return [
        "    let s = 2u * column + select(0u, 1u, rest >= columns[column]);",
        f"    q = {_applied('maps[s]', dim)};",
        "    let number = maps[s].number;",
    ]


def _at_hand(columns: int, maps: int) -> list[str]:
    """Lines that fetch all there is."""
    return [f"  let c{i} = columns[{i}];" for i in range(columns)] + [f"  let f{i} = maps[{i}];" for i in range(maps)]


def _of_few(dim: int, columns: int, maps: int) -> list[str]:
    """Lines of a step that apply all maps and keep the value of one."""
    lines = ["    var number = select(c0.z, c0.y, rest < c0.x);"]
    lines += [
        f"    number = select(number, select(c{i}.z, c{i}.y, rest < c{i}.x), column == {i}u);"
        for i in range(1, columns)
    ]
    lines.append(f"    var to = {_applied('f0', dim)};")
    lines += [f"    to = select(to, {_applied(f'f{i}', dim)}, number == {i}u);" for i in range(1, maps)]
    return [*lines, "    q = to;"]


def _applied(name: str, dim: int) -> str:
    """A map's value, in the order of the other engines."""
    values = []
    for i in range(dim):
        out = f"{name}.m{i}{dim}"
        for j in reversed(range(dim)):
            out = f"fma({name}.m{i}{j}, q.{'xyz'[j]}, {out})"
        values.append(out)
    return f"vec4f({', '.join([*values, *['0.0f'] * (4 - dim)])})"


class WgslWalker:
    """All chains, advanced on a GPU; the interface of the other walkers, with arrays on the CPU."""

    def __init__(self, plan: Plan, gpu: Gpu | None = None) -> None:
        self.plan, self.gpu, self.t = plan, gpu or open_gpu(), 0
        k = len(plan.maps)
        table = np.concatenate([plan.maps.reshape(k, -1).astype(np.float32).view(np.uint32),
                                np.arange(k, dtype=np.uint32)[:, None]], 1)  # fmt: skip
        start = np.zeros((CHAINS, 4), np.float32)
        start[:, : plan.dim] = plan.start
        keys = np.stack([plan.key1, plan.key2], 1)
        self.settings = self.gpu.buffer(80, uniform=True)
        columns = np.zeros((len(plan.threshold), 4), np.uint32)
        columns[:, 0], columns[:, 1:3] = plan.threshold, plan.pair
        choice = [table, columns] if k <= FEW else [table[plan.pair.reshape(-1)], plan.threshold]
        given = [*map(np.ascontiguousarray, choice), keys, start]
        self.fixed = [self.settings, *map(self.gpu.buffer, given)]
        self.bits = len(plan.threshold).bit_length() - 1
        self.tone = np.zeros((3, CHAINS), np.float32)  # running colour of each chain

    def _run(self, how: str, rows: int, others: list[object], last: int = 0, grid=None, speed: float = 0.0) -> None:  # type: ignore[no-untyped-def]
        """Advance all chains by ``rows`` steps, and the first ``last`` ones by one more."""
        scale, shift, sides = grid or (np.zeros(self.plan.dim),) * 3
        cells = int(np.prod(sides, dtype=object))
        text = walk_text(self.plan.dim, how, len(self.plan.threshold), len(self.plan.maps), cells + 1)
        pipeline = pipeline_of(self.gpu, text)
        bound = self.gpu.bind(pipeline, [*self.fixed, *others])
        tail = np.zeros((3, 4), np.uint32)
        tail[0, : self.plan.dim] = np.float32(scale).view(np.uint32)
        tail[1, : self.plan.dim] = np.float32(shift).view(np.uint32)
        tail[2, : self.plan.dim] = sides
        shares = np.array([speed, 1 - speed], np.float32).view(np.uint32)
        for first in range(0, max(rows, 1), ROWS):
            n = min(ROWS, rows - first)
            ends = first + n >= rows
            head = [
                (self.t + first) % 2**32,
                n,
                last if ends else 0,
                self.bits,
                cells,
                *shares,
                0,
            ]
            self.gpu.write(self.settings, np.array(head, np.uint32).tobytes() + tail.tobytes())
            self.gpu.run((pipeline, bound, CHAINS // GROUP))
        self.t += rows

    def points(self, rows: int, points: npt.NDArray[np.float32], symbols: npt.NDArray[np.uint16] | None) -> None:
        """Write the next ``rows`` points of every chain: ``[rows, CHAINS, D]``, and their maps ``[rows, CHAINS]``."""
        for first in range(0, rows, 16):
            n = min(16, rows - first)
            out, named = self.gpu.buffer(4 * n * CHAINS * self.plan.dim), self.gpu.buffer(4 * n * CHAINS)
            self._run("points", n, [out, named])
            if points.size:
                points[first : first + n] = self.gpu.read(out, np.float32, n * CHAINS * self.plan.dim).reshape(
                    n, CHAINS, self.plan.dim
                )
            if symbols is not None:
                symbols[first : first + n] = self.gpu.read(named, np.uint32, n * CHAINS).reshape(n, CHAINS)

    def skip(self, rows: int, symbols: npt.NDArray[np.uint16] | None = None) -> None:
        """Advance without writing points; symbols ``[rows, CHAINS]`` where wanted."""
        if symbols is None:
            self._run("skip", rows, [])
        else:
            self.points(rows, np.empty(0, np.float32), symbols)

    def count(self, rows, last, grid, tint, speed, total: Tensor, rgb: Tensor | None) -> None:  # type: ignore[no-untyped-def]
        """Add the next ``rows`` points of every chain, and one more of the first ``last``, to counts ``[cells + 1]``.

        Arguments as of the other walkers; colours are computed in float32 and summed exactly.
        """
        gpu, cells = self.gpu, len(total)
        counts = gpu.buffer(4 * cells)
        others = [counts]
        if rgb is not None:
            tones, tints = np.zeros((CHAINS, 4), np.float32), np.zeros((len(tint), 4), np.float32)
            tones[:, :3], tints[:, :3] = self.tone.T, tint
            others += [gpu.buffer(tints), gpu.buffer(tones), gpu.buffer(24 * cells)]
        self._run("count" if rgb is None else "colours", rows, others, last, grid, speed)
        total += _tensor(gpu.read(counts, np.uint32, cells))
        if rgb is not None:
            self.tone = gpu.read(others[2], np.float32, 4 * CHAINS).reshape(CHAINS, 4)[:, :3].T.copy()
            rgb += _tensor(gpu.read(others[3], np.uint64, 3 * cells)).reshape(cells, 3)


def _tensor(values: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.int64))
