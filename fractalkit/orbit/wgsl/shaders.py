"""What all shaders share: random numbers, and compiled shaders that are kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from fractalkit.orbit.streams import MIX1, MIX2, STRIDE
from fractalkit.orbit.wgsl.device import Gpu

KEPT = 64  # compiled shaders
_pipelines: OrderedDict[str, Any] = OrderedDict()
_lock = threading.Lock()  # of them

# the hash of fractalkit.orbit.streams
RANDOM = f"""
fn mixed(c: u32, a: u32, b: u32) -> u32 {{
  var u = a + c * {STRIDE}u;
  u = (u ^ (u >> 16u)) * {MIX1}u;
  u = (u ^ (u >> 15u)) + b;
  u = u * {MIX2}u;
  return u ^ (u >> 15u);
}}
"""

# sums of numbers of 0 and more in units of 2^-16, as 64 bits, the lower half first
SUM = """
fn add(at: u32, value: f32) {
  let v = u32(value * 65536.0f);
  if (atomicAdd(&sums[at], v) > 0xffffffffu - v) { atomicAdd(&sums[at + 1u], 1u); }
}
"""


def cell_text(dim: int, point: str) -> str:
    """Lines that find the ``cell`` of a point, a vec4f, on a grid; the one after the last is for those outside.

    ``settings`` has scale and shift, vec4f, sides, vec4u, and cells, their number.
    """
    inside = " && ".join([f"f.{a} >= 0.0f && f.{a} < f32(settings.sides.{a})" for a in "xyz"[:dim]])
    cell = "u32(i32(f.y)) * settings.sides.x + u32(i32(f.x))"
    if dim == 3:
        cell = f"u32(i32(f.z)) * settings.sides.y * settings.sides.x + {cell}"
    return (
        f"    let f = settings.scale * {point} + settings.shift;\n"
        f"    let cell = select(settings.cells, {cell}, {inside});"
    )


def pipeline_of(gpu: Gpu, text: str) -> Any:
    """A shader's pipeline, compiled once."""
    with _lock:
        if text not in _pipelines:
            while len(_pipelines) >= KEPT:
                _pipelines.popitem(last=False)
            _pipelines[text] = gpu.pipeline(text)
        _pipelines.move_to_end(text)
        return _pipelines[text]
