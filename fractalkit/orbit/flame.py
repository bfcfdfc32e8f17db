"""The chaos game of a flame: samples into a histogram, never stored.

The loop is written out for each flame's structure (which maps have which variations) with all numbers as arguments,
and compiled once for that structure; compiled loops are kept on disk (:mod:`.flame_loop`). Each thread has chains and a
histogram of its own. Samples depend on the seed and on the number of threads, on nothing else.

A flame in space (:meth:`~fractalkit.codes.flame.Flame.in_space`) has z beside x and y and a camera that turns it into
the plane. The camera is that of Apophysis 7x and Fractorium::

    x1 =  cos(yaw) x + sin(yaw) y               about z
    y1 = -sin(yaw) x + cos(yaw) y
    y2 =  cos(pitch) y1 - sin(pitch) (z - zpos)  about x
    z2 =  sin(pitch) y1 + cos(pitch) (z - zpos)  towards the camera
    (x1, y2) + 0.1 dof z2 u (cos v, sin v)       u in [0, 1), v in [0, 2 pi), uniform: a disc, denser in its middle
    ... / (1 - persp z2)                         what is at the camera or behind it is not drawn

and the centre, the scale and the rotation of the picture are those of the plane, after it.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.errors import UsageError
from fractalkit.orbit.flame_loop import CHAINS, RESTART, prepare

MAX_BUFFERS = 1 << 30  # bytes of histograms of threads beside the first
FULL = 1 << 22  # a sum of samples in a cell


def accumulate(
    flame: Flame,
    samples: int,
    *,
    gutter: int = 0,
    seed: int = 0,
    threads: int | None = None,
    device: str | None = None,
    plain: bool = False,
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Add samples of a flame to a histogram.

    Args:
        flame: with its symmetries expanded (:meth:`~fractalkit.codes.flame.Flame.expanded`).
        samples: steps of the chaos game; those outside the picture count.
        gutter: cells beside the picture on each side.
        threads: None for all cores.
        device: as torch names it. Another than the CPU takes the plain twin (:mod:`.flame_plain`).
        plain: the twin in any case, which need not be compiled; another random stream, so another noise.
        out: to add to; None for a new one.

    Returns:
        float32 ``[H oversample + 2 gutter, W oversample + 2 gutter, 4]``: sums of weight times (r, g, b, a), colours in
        [0, 1] from the palette; the weight of an opacity o is 10^(log2 o).

    Raises:
        DataError: no map of the flame has a weight.
        UsageError: a number out of range.
    """
    if samples < 0 or gutter < 0 or flame.symmetry:
        raise UsageError("samples and gutter must not be negative, and symmetries must be expanded")
    w, h = flame.size
    cells = (h * flame.oversample + 2 * gutter, w * flame.oversample + 2 * gutter, 4)
    if out is None:
        out = np.zeros(cells, np.float32)
    if out.shape != cells or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise UsageError(f"out: expected float32 {list(cells)}, got {out.dtype} {list(out.shape)}")
    if samples == 0:
        return out
    camera = _camera(flame, gutter)
    if plain or device not in (None, "cpu"):
        from fractalkit.orbit.flame_plain import accumulate_plain

        out += accumulate_plain(flame, samples, cells[:2], camera, _colours(flame), seed=seed, device=device or "cpu")
        return out
    run, numbers = prepare(flame)
    cumulative = np.cumsum(flame.matrix(), 1)
    cumulative[:, -1] = 2.0
    table, scale = _colours(flame)
    table = table.ravel()
    scale = np.append(scale, 0.0)  # the last one tells the loop to stop
    threads = max(1, min(threads or os.cpu_count() or 1, 1 + MAX_BUFFERS // out.nbytes, samples))
    # as many chains as flam3 starts for so many samples: where maps do not contract, it shows
    chains = min(CHAINS, max(16, samples // threads // RESTART))
    seeds = np.random.SeedSequence([seed, threads]).generate_state(threads * chains, np.uint64).reshape(threads, chains)
    shares = [samples * (k + 1) // threads - samples * k // threads for k in range(threads)]
    # float32 cannot count past 2^24 one by one: where cells are that full, samples are gathered apart and added at once
    full = bool(out.max() > FULL)
    buffers = [] if full else [out]
    buffers += [np.zeros_like(out) for _ in range(threads - len(buffers))]

    def one(k: int) -> None:
        state, picture = seeds[k].copy(), buffers[k].ravel()
        run(numbers, cumulative, table, scale, camera, state, shares[k], cells[0], cells[1], picture)

    with ThreadPoolExecutor(threads) as pool:  # even for one: this thread has to hear a Ctrl-C
        try:
            list(pool.map(one, range(threads)))
        except BaseException:
            scale[-1] = 1.0
            raise
    for b in buffers if full else buffers[1:]:
        out += b
    return out


def _camera(flame: Flame, gutter: int) -> npt.NDArray[np.float64]:
    """Six numbers of the affine map from the plane to cells."""
    ppu = flame.scale * 2.0**flame.zoom * flame.oversample
    c, s = math.cos(math.radians(flame.rotate)), math.sin(math.radians(flame.rotate))
    cx, cy = flame.center
    w, h = flame.size
    ox, oy = w * flame.oversample / 2 + gutter, h * flame.oversample / 2 + gutter
    return np.array([ppu * c, -ppu * s, ox - ppu * (c * cx - s * cy), ppu * s, ppu * c, oy - ppu * (s * cx + c * cy)])


def _colours(flame: Flame) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """The palette as a table ``[M, 4]``, and (factor, chance): the row of a colour c in [0, 1] is that of
    factor c + chance u, rounded down, with u uniform in [0, 1)."""
    palette = np.ascontiguousarray(flame.palette, np.float32)
    if flame.palette_mode != "linear":
        return palette, np.array([255.9999, 0.0])
    # between neighbours in quarters, or the table would not stay in the nearest cache; the chance makes up for it
    at = np.minimum(np.arange(4 * 256 + 1) / 4, 255.0)
    low = np.minimum(at.astype(np.int64), 254)
    t = (at - low)[:, None].astype(np.float32)
    return np.ascontiguousarray(palette[low] * (1 - t) + palette[low + 1] * t), np.array([1024.0, 0.9999])
