"""What all shaders share: random numbers, and compiled shaders that are kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from fractalkit.orbit.streams import MIX1, MIX2, STRIDE
from fractalkit.orbit.wgsl.device import Gpu

KEPT = 64  # compiled shaders
_pipelines: OrderedDict[str, Any] = OrderedDict()

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


def pipeline_of(gpu: Gpu, text: str) -> Any:
    """A shader's pipeline, compiled once."""
    if text not in _pipelines:
        while len(_pipelines) >= KEPT:
            _pipelines.popitem(last=False)
        _pipelines[text] = gpu.pipeline(text)
    _pipelines.move_to_end(text)
    return _pipelines[text]
