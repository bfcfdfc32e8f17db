"""The chaos game of a flame: samples into a histogram, never stored.

The loop is written out for each flame's structure (which maps have which variations) with all numbers as arguments,
and compiled once for that structure; compiled loops are kept on disk. Several chains run side by side in one thread, so
their long latencies overlap; each thread has a histogram of its own. Samples depend on the seed and on the number of
threads, on nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import IDENTITY, VARIATIONS, Flame, Xform
from fractalkit.errors import DataError, UsageError
from fractalkit.maps import variations
from fractalkit.maps.variations_cpu import arguments

CHAINS = 16
FUSE = 20
RESTART = 10_000  # steps of a chain, as in flam3: where maps do not contract, the picture depends on its starts
MAX_BUFFERS = 1 << 30  # bytes of histograms of threads beside the first
_LARGE = 1e10


def accumulate(
    flame: Flame,
    samples: int,
    *,
    gutter: int = 0,
    seed: int = 0,
    threads: int | None = None,
    device: str | None = None,
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Add samples of a flame to a histogram.

    Args:
        flame: with its symmetries expanded (:meth:`~fractalkit.codes.flame.Flame.expanded`).
        samples: steps of the chaos game; those outside the picture count.
        gutter: cells beside the picture on each side.
        threads: None for all cores.
        device: only the CPU is there; None or "cpu".
        out: to add to; None for a new one.

    Returns:
        float32 ``[H oversample + 2 gutter, W oversample + 2 gutter, 4]``: sums of weight times (r, g, b, a), colours in
        [0, 1] from the palette; the weight of an opacity o is 10^(log2 o).

    Raises:
        DataError: no map of the flame has a weight.
        UsageError: a number out of range, or another device.
    """
    if device not in (None, "cpu"):
        raise UsageError(f"device {device!r}: flames are drawn on the CPU; leave it out")
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
    run, numbers = prepare(flame)
    camera = _camera(flame, gutter)
    cumulative = np.cumsum(flame.matrix(), 1)
    cumulative[:, -1] = 2.0
    palette = np.ascontiguousarray(flame.palette, np.float32)
    smooth = flame.palette_mode == "linear"
    threads = max(1, min(threads or os.cpu_count() or 1, 1 + MAX_BUFFERS // out.nbytes, samples))
    seeds = np.random.SeedSequence([seed, threads]).generate_state(threads * CHAINS, np.uint64).reshape(threads, CHAINS)
    shares = [samples * (k + 1) // threads - samples * k // threads for k in range(threads)]
    buffers = [out] + [np.zeros_like(out) for _ in range(threads - 1)]

    def one(k: int) -> None:
        run(numbers, cumulative, palette, smooth, camera, seeds[k].copy(), shares[k], buffers[k])

    if threads == 1:
        one(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, range(threads)))
        for b in buffers[1:]:
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


class _Writer:
    """Writes the text of a loop, and gathers its numbers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.numbers: list[float] = []
        self.used: list[str] = []

    def number(self, value: float) -> str:
        """The place of a number among the arguments."""
        self.numbers.append(float(value))
        return f"N[{len(self.numbers) - 1}]"

    def random(self, name: str, indent: str) -> None:
        self.lines.append(f"{indent}z = state[k] + STEP")
        self.lines.append(f"{indent}state[k] = z")
        self.lines.append(f"{indent}z = (z ^ (z >> S30)) * M1")
        self.lines.append(f"{indent}z = (z ^ (z >> S27)) * M2")
        self.lines.append(f"{indent}z = z ^ (z >> S31)")
        self.lines.append(f"{indent}{name} = np.float64(z >> S11) * 1.1102230246251565e-16")

    def xform(self, x: Xform, indent: str) -> None:
        """From x, y to x, y."""
        a, d, b, e, c, f = (self.number(v) for v in x.coefs)
        self.lines.append(f"{indent}p, q = {a} * x + {b} * y + {c}, {d} * x + {e} * y + {f}")
        names = [n for n in VARIATIONS if n in x.variations and x.variations[n] != 0]
        first = True
        for name in sorted(names, key=lambda n: n != "pre_blur"):
            given = []
            for argument in arguments(name):
                if argument in ("u1", "u2", "u3", "u4", "u5"):
                    self.random(argument, indent)
                    given.append(argument)
                elif argument in ("cb", "ce", "cc", "cf"):
                    given.append({"cb": b, "ce": e, "cc": c, "cf": f}[argument])
                else:
                    given.append(self.number(x.parameter(f"{name}_{argument.removeprefix('p_')}")))
            if name not in self.used:
                self.used.append(name)
            call = f"v_{name}(p, q, {', '.join([self.number(x.variations[name]), *given])})"
            if name == "pre_blur":
                self.lines.append(f"{indent}g, h = {call}")
                self.lines.append(f"{indent}p, q = p + g, q + h")
                continue
            if first:
                self.lines.append(f"{indent}x, y = 0.0, 0.0")
                first = False
            self.lines.append(f"{indent}g, h = {call}")
            self.lines.append(f"{indent}x, y = x + g, y + h")
        if first:
            self.lines.append(f"{indent}x, y = 0.0, 0.0")
        if x.post != IDENTITY:
            a, d, b, e, c, f = (self.number(v) for v in x.post)
            self.lines.append(f"{indent}x, y = {a} * x + {b} * y + {c}, {d} * x + {e} * y + {f}")


HEAD = '''"""Written by fractalkit.orbit.flame; may be deleted."""

import math

import numba as nb
import numpy as np

from fractalkit.maps.variations_cpu import both, power, where

pi = math.pi
EPS = 1e-10
sin, cos, tan, sinh, cosh = math.sin, math.cos, math.tan, math.sinh, math.cosh
exp, log, sqrt, acos, atan2, fmod = math.exp, math.log, math.sqrt, math.acos, math.atan2, np.fmod
floor, trunc, rint = np.floor, np.trunc, np.rint
STEP, M1, M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S30, S27, S31, S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)

'''
LOOP = """
@nb.njit(cache=True, nogil=True, error_model="numpy")
def run(N, cumulative, palette, smooth, camera, state, samples, out):
    chains = len(state)
    rows, columns = out.shape[0], out.shape[1]
    xs, ys, cs = np.zeros(chains), np.zeros(chains), np.zeros(chains)
    last = np.full(chains, cumulative.shape[0] - 1)
    age, bad = np.zeros(chains, np.int64), np.zeros(chains, np.int64)
    for k in range(chains):
{start}
    done = 0
    turn = -FUSE
    while done < samples:
        for k in range(chains):
            x, y, c = xs[k], ys[k], cs[k]
{pick}
            row = cumulative[last[k]]
            m = 0
            while u >= row[m]:
                m += 1
            last[k] = m
{maps}
            if not (abs(x) < LARGE and abs(y) < LARGE):
                # as in flam3: it goes on from a random point, counted but not drawn unless it happens again and again
{reset}
                bad[k] += 1
                if bad[k] < 5:
                    xs[k], ys[k], cs[k] = x, y, c
                    done += turn == 0
                    continue
            bad[k] = 0
            if age[k] >= RESTART:
{reset}
                last[k] = cumulative.shape[0] - 1
                age[k] = -FUSE
            xs[k], ys[k], cs[k] = x, y, c
            age[k] += 1
            if turn < 0:
                continue
            if done >= samples:
                break
            done += 1
            if age[k] <= 0:
                continue
            if weight == 0.0:
                continue
{final}
            fx = camera[0] * x + camera[1] * y + camera[2]
            fy = camera[3] * x + camera[4] * y + camera[5]
            if fx >= 0.0 and fy >= 0.0 and fx < columns and fy < rows:
                i, j = np.int64(fy), np.int64(fx)
                place = min(max(c, 0.0), 1.0) * 256.0
                if smooth:
                    place = min(place, 255.0)
                    low = min(np.int64(place), 254)
                    t = np.float32(place - low)
                    for n in range(4):
                        v = palette[low, n] * (np.float32(1.0) - t) + palette[low + 1, n] * t
                        out[i, j, n] += np.float32(weight) * v
                else:
                    low = min(np.int64(place), 255)
                    s = np.float32(weight)
                    out[i, j, 0] += s * palette[low, 0]
                    out[i, j, 1] += s * palette[low, 1]
                    out[i, j, 2] += s * palette[low, 2]
                    out[i, j, 3] += s * palette[low, 3]
        turn = min(turn + 1, 0)
"""


def write(flame: Flame) -> tuple[str, npt.NDArray[np.float64]]:
    """The text of the loop for a flame, and its numbers."""
    w = _Writer()
    wide = " " * 16
    maps = []
    for i, x in enumerate(flame.xforms):
        w.lines = [f"{'            '}{'if' if i == 0 else 'elif'} m == {i}:"]
        w.xform(x, wide)
        s = w.number(x.color_speed)
        w.lines.append(f"{wide}c = {s} * {w.number(x.color)} + (1.0 - {s}) * c")
        w.lines.append(f"{wide}weight = {w.number(_visible(x.opacity))}")
        maps += w.lines
    maps += ["            else:", f"{wide}weight = 0.0"]
    w.lines = []
    final: list[str] = []
    if flame.final is not None:
        inner = "            "
        if flame.final.opacity < 1:
            w.random("u", inner)
            w.lines.append(f"{inner}if u < {w.number(flame.final.opacity)}:")
            inner += "    "
        w.xform(flame.final, inner)
        s = w.number(flame.final.color_speed)
        w.lines.append(f"{inner}c = {s} * {w.number(flame.final.color)} + (1.0 - {s}) * c")
        final = w.lines

    def randoms(names: tuple[str, ...], indent: int) -> str:
        w.lines = []
        for n in names:
            w.random(n, " " * indent)
        return "\n".join(w.lines)

    start = randoms(("g", "h", "u"), 8) + "\n        xs[k], ys[k], cs[k] = 2.0 * g - 1.0, 2.0 * h - 1.0, u"
    reset = randoms(("g", "h"), 16) + "\n                x, y = 2.0 * g - 1.0, 2.0 * h - 1.0"
    loop = LOOP.format(
        start=start, pick=randoms(("u",), 12), maps="\n".join(maps), reset=reset, final="\n".join(final)
    )  # fmt: skip
    formulas = "\n\n".join(
        '@nb.njit(error_model="numpy")\n' + inspect.getsource(getattr(variations, f"v_{n}")) for n in w.used
    )
    text = HEAD + f"FUSE, LARGE, RESTART = {FUSE}, {_LARGE}, {RESTART}\n\n\n" + formulas + "\n" + loop
    return text, np.array(w.numbers or [0.0])


def _visible(opacity: float) -> float:
    """What a sample weighs: 10^(log2 opacity), so half the opacity is a tenth."""
    return 0.0 if opacity <= 0 else 10.0 ** math.log2(opacity)


def prepare(flame: Flame) -> tuple[Any, npt.NDArray[np.float64]]:
    """The compiled loop of a flame's structure, and the flame's numbers."""
    if not flame.xforms:
        raise DataError(f"flame {flame.name!r}: has no xform")
    text, numbers = write(flame)
    return _load(text), numbers


@lru_cache(maxsize=64)
def _load(text: str) -> Any:
    """The loop of a text: from a file in the cache folder, so that what was compiled is found again, or from memory."""
    name = "flame_" + hashlib.sha256(text.encode()).hexdigest()[:20]
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path.home() / ".cache" / "fractalkit") / "flames"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.py"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            beside = folder / f".{name}-{os.getpid()}"
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, path)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module.run
    except OSError:
        space: dict[str, Any] = {}
        exec(compile(text.replace("cache=True, ", ""), f"<{name}>", "exec"), space)
        return space["run"]
