"""The chaos game of a flame on a GPU: samples into a histogram that comes back at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.orbit.flame_loop import FUSE as COUNTED
from fractalkit.orbit.flame_loop import RESTART
from fractalkit.orbit.streams import chain_keys
from fractalkit.orbit.wgsl.device import Gpu, open_gpu
from fractalkit.orbit.wgsl.flame_text import FLUSH, GROUP, MOST_UNIFORM, flame_shader
from fractalkit.orbit.wgsl.shaders import pipeline_of

CHAINS = {False: 1 << 18, True: 1 << 12}  # at most; of a card, and of a program on the CPU
FULL = {False: 16_000_000, True: 4_000_000}  # samples between two flushes, and of one start of the shader
# steps of a chain that are not drawn; more than the CPU's, as chains are many and short: where a flame forgets its
# start slowly, a share of each chain would show it
FUSE = 100
AHEAD = 8  # starts of the shader before it is waited for, so that a Ctrl-C is heard
WORTH = {False: 200, True: 10}  # samples a cell that take some ten times as long as a histogram that comes back


def names_of(seed: int, chains: int, last: int) -> npt.NDArray[np.uint32]:
    """The keys, counts and numbers of chains ``[chains, 4]``."""
    key = chain_keys(seed, 0, chains)
    out = np.zeros((chains, 4), np.uint32)
    out[:, 0], out[:, 1] = key & np.uint64(0xFFFFFFFF), key >> np.uint64(32)
    out[:, 3] = last | (np.arange(chains, dtype=np.uint32) << np.uint32(13))
    return out


def batches_of(samples: int, cells: int, most: int, software: bool) -> int:
    """In how many histograms samples should come back, each to be added to the whole: fewer where they are few a cell.

    >>> batches_of(400_000_000, 4_000_000, 16, False), batches_of(400_000_000, 4_000_000, 16, True)
    (1, 10)
    """
    return max(1, min(most, samples // (WORTH[software] * cells)))


class Portion(NamedTuple):
    """One start of the shader: steps t ... t + steps - 1 of the chains, drawn from ``first`` on; in the last one only
    chains below ``need``."""

    t: int
    steps: int
    first: int
    need: int


def portions(samples: int, chains: int, most: int) -> Iterator[Portion]:
    """Cut the chaos game into portions of at most ``most`` steps. Chains begin anew after RESTART steps; the first
    FUSE steps are not drawn. As in the loops for the CPU, COUNTED of these count as samples when chains begin anew.

    >>> list(portions(1000, 64, 100))
    [Portion(t=0, steps=100, first=100, need=64), Portion(t=100, steps=16, first=100, need=40)]
    """
    done, again = 0, 0
    while done < samples:
        t = 0
        while t < RESTART + again and done < samples:
            free = max(0, FUSE - (COUNTED if again else 0) - t)
            steps = min(most, RESTART + again - t, free + -(-(samples - done) // chains))
            counted = max(0, steps - free)
            need = min(chains, samples - done - (counted - 1) * chains)
            yield Portion(t, steps, FUSE, need)
            done += min(counted * chains, samples - done)
            t += steps
        again = FUSE


def accumulate_gpu(
    flame: Flame,
    samples: int,
    cells: tuple[int, int],
    camera: npt.NDArray[np.float64],
    colours: tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]],
    *,
    seed: int = 0,
    gpu: Gpu | None = None,
    group: int = GROUP,
    sort: bool | None = None,
) -> npt.NDArray[np.float32]:
    """A histogram as :func:`fractalkit.orbit.flame.accumulate`'s, float32 ``[*cells, 4]``: the same bits each time.

    Args, Raises: as there. Nothing but time depends on ``group`` and ``sort``, for which see :func:`flame_shader`; by
    default they are as is best for the device.
    """
    gpu = gpu or open_gpu()
    shader = flame_shader(flame, group, not gpu.software if sort is None else sort)
    walk, flush = pipeline_of(gpu, shader.text), pipeline_of(gpu, FLUSH)
    # fewer chains for few samples: where maps do not contract, it shows
    chains = max(group, min(CHAINS[gpu.software], 1 << max(0, (samples // 512).bit_length() - 1)))
    rows, columns = cells
    size, full = 4 * rows * columns, FULL[gpu.software]
    brightest = max(shader.brightest * float(colours[0].max()), 1e-30)
    unit = 2.0 ** math.floor(math.log2((2**32 / full - 1) / brightest))
    settings, sums, counts = gpu.buffer(96, uniform=True), gpu.buffer(4 * size), gpu.buffer(4 * size)
    told = gpu.buffer(np.array([np.float32(1 / unit).view(np.uint32), size], np.uint32), uniform=True)
    state = [gpu.buffer(16 * chains), gpu.buffer(names_of(seed, chains, len(flame.xforms)))]
    given = [
        gpu.buffer(shader.numbers, uniform=len(shader.numbers) <= 4 * MOST_UNIFORM),
        gpu.buffer(np.ascontiguousarray(colours[0], np.float32)),
    ]
    walking = (walk, gpu.bind(walk, [settings, *given, *state, counts]), chains // group)
    flushing = (flush, gpu.bind(flush, [told, counts, sums]), -(-size // 256))
    shades = [*colours[1][:2], unit, 0, *camera[:3], 0, *camera[3:], 0]
    for turn, part in enumerate(portions(samples, chains, max(1, full // chains))):
        head = np.array([part.t, part.steps, part.first, part.need, rows, columns, part.t == 0, 0], np.uint32)
        gpu.write(settings, head.tobytes() + np.array(shades, np.float32).tobytes())
        gpu.run(walking, flushing)
        if turn % AHEAD == AHEAD - 1:
            gpu.wait()
    return gpu.read(sums, np.float32, size).reshape(rows, columns, 4)
