"""All variations as WGSL, run on whatever device there is, against their code for the compiler."""

import zlib

import numpy as np
import pytest

from fractalkit.codes.flame_parts import KNOWN
from fractalkit.maps.variation_code import find
from fractalkit.orbit.wgsl.formulas import STATE, function_texts, variation_text
from fractalkit.orbit.wgsl.mathematics import MATHEMATICS
from tests.maps.test_variations import by_numbers, given
from tests.orbit.gpu import device

POINTS, DRAWS, BATCH = 64, 512, 24
ALL = [(name, space) for name in KNOWN for space in ((False, True) if find(name).space else (False,))]
WEIGHT, COLOR = 0.7, 0.4
# these are noise of the far digits of a sine or of numbers of 48 bits, or of a map that doubles each error,
# or jump at cuts
POINT_ALONE, HEIGHT_ALONE = [0, 1, 4], [2, 3]
COORDINATES = (
    {"waves4": [1, 2, 3, 4], "waves42": [1, 2, 3, 4], "r_circleblur": [2, 3, 4], "jac_asn": [2, 3, 4]}
    | dict.fromkeys(
        ["dc_booleans", "dc_gabornoise", "dc_randomoctree", "dc_starsfield", "dc_tesla", "dc_voronoise", "dc_vortex",
         "dc_warping", "glsl_mandala", "glsl_randomoctree", "glsl_starsfield"], POINT_ALONE)
    | dict.fromkeys(
        ["cut_2ewangtile", "cut_alientext", "cut_booleans", "cut_bricks", "cut_btruchet", "cut_fun", "cut_jigsaw",
         "cut_randomtile", "cut_spots", "cut_truchet", "cut_truchetweaving", "cut_tstruchet"], HEIGHT_ALONE)
)  # fmt: skip
LOOSE = {"juliac": 5e-3}  # an angle of a random whole number up to 99,999, modulo a fraction
MAIN = """
@group(0) @binding(0) var<storage, read> points: array<vec4f>;
@group(0) @binding(1) var<storage, read> numbers: array<f32>;
@group(0) @binding(2) var<storage, read> draws: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read> N: array<vec4f>;
var<private> place: u32;
fn random() -> f32 { place += 1u; return draws[min(place, %du) - 1u]; }
%s
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let p = points[id.x];
  _ = draws[0];
  _ = numbers[0];
  _ = N[0];
%s}
"""


def splitmix(seed: int) -> np.ndarray:
    """The numbers that compiled code draws from a seed."""
    state = np.uint64(seed) + np.arange(1, DRAWS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def inputs():
    rng = np.random.default_rng(11)
    points = np.zeros((POINTS, 4), np.float32)
    points[:, :3] = rng.normal(0, 1.2, (POINTS, 3))
    return points


def on_device(batch, points, parameters, seed):
    """Values ``[variations, points, 5]`` of a batch: x, y, z, colour, whether hidden."""
    gpu = device()
    functions, texts, calls, numbers = {}, [], [], []
    tables = [0.0] * 4

    def place(table):
        tables.extend(table.table)
        return len(tables) - len(table.table)

    for i, (name, space) in enumerate(batch):
        d = find(name)
        function_texts(d, functions, place)
        texts.append(variation_text(d, space))
        at = "p.x, p.y, p.z" if space else "p.x, p.y"
        args = "".join(f", numbers[{len(numbers) + k}]" for k in range(1 + len(parameters[name])))
        numbers += [WEIGHT, *parameters[name]]
        o = f"out[{5 * i}u * {POINTS}u + 5u * id.x"
        calls.append(
            f"  {{ place = 0u; s_color = {COLOR}f; s_hidden = false; s_paint = 0.0f;\n"
            f"    let v = v_{name}{'_3d' if space else ''}({at}{args});\n"
            f"    {o}] = v.x; {o} + 1u] = v.y; {o} + 2u] = {'v.z' if space else '0.0f'};\n"
            f"    {o} + 3u] = s_color + 4.0f * s_paint; {o} + 4u] = f32(s_hidden); }}\n"
        )
    body = STATE + MATHEMATICS + "".join(functions.values()) + "".join(texts)
    pipeline = gpu.pipeline(MAIN % (DRAWS, body, "".join(calls)))
    out = gpu.buffer(4 * 5 * POINTS * len(batch))
    given_ = [points, np.array(numbers, np.float32), splitmix(seed).astype(np.float32)]
    looked_up = np.array(tables + [0.0] * (-len(tables) % 4), np.float32)
    gpu.run((pipeline, gpu.bind(pipeline, [*map(gpu.buffer, given_), out, gpu.buffer(looked_up)]), 1))
    return gpu.read(out, np.float32, 5 * POINTS * len(batch)).reshape(len(batch), POINTS, 5).astype(np.float64)


def wanted(name, space, point, more, seed):
    """x, y, z, colour with its paint, whether hidden, by the code for the compiler, in float64."""
    d = find(name)
    values = by_numbers(name, point, COLOR, WEIGHT, more, seed, space)
    n = 3 if space else 2
    rest = values[n:]
    color = rest.pop(0) if d.program.colors else COLOR
    return [*values[:n], *([0.0] if n == 2 else []), color, rest.pop(0) if d.program.hides else 0.0]


def close(name, space, got, point, more, seed):
    """Whether a value is right: as near as points are that lie a few units in the last place apart."""
    seen = COORDINATES.get(name, slice(None))
    want, got = np.array(wanted(name, space, point, more, seed))[seen], got[seen]
    size, tolerance = 1 + np.abs(want).max(), LOOSE.get(name, 2e-4)
    if not np.isfinite(want).all() or size > 1e6:  # a pole: the point goes on from a random one
        return True
    if np.isfinite(got).all() and np.abs(got - want).max() < tolerance * size:
        return True
    for step in (1e-6, -1e-6, 1e-5, -1e-5, 1e-4, -1e-4):
        moved = np.array(wanted(name, space, [v * (1 + step) + step for v in point], more, seed))[seen]
        if (
            not np.isfinite(moved).all()
            or np.abs(got - moved).max() < tolerance * size + 2 * np.abs(moved - want).max()
        ):
            return True
    return False


BATCHES = [ALL[i : i + BATCH] for i in range(0, len(ALL), BATCH)]


@pytest.mark.parametrize("batch", BATCHES, ids=lambda b: b[0][0])
def test_values_are_those_of_the_compiled_code(batch):
    points, seed = inputs(), 12345
    parameters = {n: [float(np.float32(v)) for v in given(n, np.random.default_rng(zlib.crc32(n.encode())))]
                  for n, _ in batch}  # fmt: skip
    values = on_device(batch, points, parameters, seed)
    wrong = {}
    for (name, space), got in zip(batch, values, strict=True):
        bad = [
            k for k in range(POINTS) if not close(name, space, got[k], points[k, :3].tolist(), parameters[name], seed)
        ]
        if len(bad) > POINTS // 16:
            k = bad[0]
            wrong[name, space] = (len(bad), got[k], wanted(name, space, points[k, :3].tolist(), parameters[name], seed))
    assert not wrong, wrong
