"""Copies of a cloud of the plane by many affine maps, added to a picture on a GPU: windows of codes, however deep.

The maps are relative to the window, so float32 is enough at any depth.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fractalkit.orbit.wgsl.device import Gpu, open_gpu
from fractalkit.orbit.wgsl.shaders import SUM, pipeline_of

GROUP = 64
CHUNK = 1 << 21  # points of one start of the shader
AHEAD = 8  # starts before they are waited for, so that a Ctrl-C is heard

TEXT = f"""
struct Settings {{ first: u32, last: u32, words: u32, points: u32, rows: u32, columns: u32, none1: u32, none2: u32 }};
struct Word {{ x: vec4f, y: vec4f, tint: vec4f }};  // rows of the map, to cells; colour, and the share of the point's
@group(0) @binding(0) var<uniform> settings: Settings;
@group(0) @binding(1) var<storage, read> words: array<Word>;
@group(0) @binding(2) var<storage, read> begins: array<u32>;
@group(0) @binding(3) var<storage, read> points: array<vec2f>;
@group(0) @binding(4) var<storage, read> colours: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(6) var<storage, read_write> sums: array<atomic<u32>>;
{SUM}
@compute @workgroup_size({GROUP})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {{
  let i = settings.first + id.x + id.y * groups.x * {GROUP}u;
  if (i >= settings.last) {{ return; }}
  var w = 0u;  // the last word that begins at i or before
  var end = settings.words - 1u;
  while (w < end) {{
    let middle = (w + end + 1u) / 2u;
    if (begins[middle] <= i) {{ w = middle; }} else {{ end = middle - 1u; }}
  }}
  let word = words[w];
  let j = i % settings.points;
  let p = vec4f(points[j], 1.0f, 0.0f);
  let at = vec2f(dot(word.x, p), dot(word.y, p));
  if (at.x >= 0.0f && at.y >= 0.0f && at.x < f32(settings.columns) && at.y < f32(settings.rows)) {{
    let cell = u32(at.y) * settings.columns + u32(at.x);
    let c = word.tint.xyz + word.tint.w * colours[j].xyz;
    atomicAdd(&counts[cell], 1u);
    add(6u * cell, c.x);
    add(6u * cell + 2u, c.y);
    add(6u * cell + 4u, c.z);
  }}
}}
"""


class Copies:
    """A cloud on the GPU.

    Args:
        points: ``[N, 2]``, at most 2^31; ``colours``: ``[N, 3]``, 0 to 1.
    """

    def __init__(
        self, points: npt.NDArray[np.float64], colours: npt.NDArray[np.float64], gpu: Gpu | None = None
    ) -> None:
        self.gpu, self.count = gpu or open_gpu(), len(points)
        padded = np.pad(colours.astype(np.float32), ((0, 0), (0, 1)))
        self.fixed = [self.gpu.buffer(points.astype(np.float32)), self.gpu.buffer(padded)]
        self.settings = self.gpu.buffer(32, uniform=True)

    def add(
        self, maps: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], tints: npt.NDArray[np.float64],
        hist: npt.NDArray[np.float32],
    ) -> None:  # fmt: skip
        """Add copies to a histogram ``[H, W, 4]`` of sums of colours and numbers of points; the same bits each time.

        Args:
            maps: ``[W, 2, 3]`` float64, to cells; point i of all copies is a copy of point i mod N of the cloud.
            counts: points of each copy ``[W]``, fewer than 2^31 together.
            tints: ``[W, 4]``: a colour, and the share of the point's own, which is added.
        """
        begins = np.cumsum(counts) - counts
        n, (rows, columns) = int(counts.sum()), hist.shape[:2]
        rows_of = np.zeros((len(maps), 3, 4), np.float32)
        rows_of[:, :2, :3], rows_of[:, 2] = maps, tints
        gpu, pipeline = self.gpu, pipeline_of(self.gpu, TEXT)
        counted, sums = gpu.buffer(4 * rows * columns), gpu.buffer(24 * rows * columns)
        given = [gpu.buffer(rows_of), gpu.buffer(begins.astype(np.uint32))]
        bound = gpu.bind(pipeline, [self.settings, *given, *self.fixed, counted, sums])
        for turn, first in enumerate(range(0, n, CHUNK)):
            last = min(first + CHUNK, n)
            gpu.write(self.settings, np.array([first, last, len(maps), self.count, rows, columns, 0, 0], np.uint32))
            gpu.run((pipeline, bound, -(-(last - first) // GROUP)))
            if turn % AHEAD == AHEAD - 1:
                gpu.wait()
        rgb = gpu.read(sums, np.uint64, 3 * rows * columns).reshape(rows, columns, 3)
        hist[..., :3] += (rgb / 65536).astype(np.float32)
        hist[..., 3] += gpu.read(counted, np.uint32, rows * columns).reshape(rows, columns)
