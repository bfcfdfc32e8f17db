"""The chaos game of a flame: samples into a histogram, never stored.

The loop is written out for each flame's structure (which maps have which variations) with all numbers as arguments,
and compiled once for that structure; compiled loops are kept on disk. Several chains run side by side in one thread, so
their long latencies overlap; each thread has a histogram of its own. Samples depend on the seed and on the number of
threads, on nothing else.

A flame in space (:meth:`~fractalkit.codes.flame.Flame.in_space`) has z in the loop's state and a camera that turns it
into the plane; all others have the loop of the plane. The camera is that of Apophysis 7x and Fractorium::

    x1 =  cos(yaw) x + sin(yaw) y               about z
    y1 = -sin(yaw) x + cos(yaw) y
    y2 =  cos(pitch) y1 - sin(pitch) (z - zpos)  about x
    z2 =  sin(pitch) y1 + cos(pitch) (z - zpos)  towards the camera
    (x1, y2) + 0.1 dof z2 u (cos v, sin v)       u in [0, 1), v in [0, 2 pi), uniform: a disc, denser in its middle
    ... / (1 - persp z2)                         what is at the camera or behind it is not drawn

and the centre, the scale and the rotation of the picture are those of the plane, after it.
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

from fractalkit.codes.flame import IDENTITY, KNOWN, VARIATIONS, VARIATIONS_3D, Flame, Xform
from fractalkit.errors import DataError, UsageError
from fractalkit.maps.variations_cpu import arguments, formula

CHAINS = 16
FUSE = 20
RESTART = 10_000  # steps of a chain, as in flam3: where maps do not contract, the picture depends on its starts
MAX_BUFFERS = 1 << 30  # bytes of histograms of threads beside the first
_LARGE = 1e10
_NEAR = 1e-6  # of 1 - persp z: what is nearer to the camera is not drawn
_BOTH = ("bubble", "cylinder")  # with forms in the plane and in space


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

    def __init__(self, flame: Flame) -> None:
        self.lines: list[str] = []
        self.numbers: list[float] = []
        self.used: list[tuple[str, bool]] = []
        self.space = flame.in_space()
        # where a file of Apophysis 7x or Fractorium says so, linear is what linear3D was before
        self.new_linear = flame.extras.get("new_linear", "0").strip() == "1"

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

    def given(self, x: Xform, name: str, space: bool, indent: str, affine: dict[str, str]) -> list[str]:
        """What a variation is given after its weight."""
        out = []
        for argument in arguments(name, space):
            if argument in ("u1", "u2", "u3", "u4", "u5"):
                self.random(argument, indent)
                out.append(argument)
            elif argument in affine:
                out.append(affine[argument])
            else:
                out.append(self.number(x.parameter(f"{name}_{argument.removeprefix('p_')}")))
        return out

    def xform(self, x: Xform, indent: str) -> None:
        """From x, y to x, y; in space from x, y, depth to x, y, depth."""
        a, d, b, e, c, f = (self.number(v) for v in x.coefs)
        self.lines.append(f"{indent}p, q = {a} * x + {b} * y + {c}, {d} * x + {e} * y + {f}")
        if self.space:
            self.xform_in_space(x, indent, {"cb": b, "ce": e, "cc": c, "cf": f})
            return
        weights = x.variations
        if "linear3D" in weights:
            weights = {**weights, "linear": weights.get("linear", 0.0) + weights["linear3D"]}
        names = [n for n in VARIATIONS if n in weights and weights[n] != 0]
        first = True
        for name in sorted(names, key=lambda n: n != "pre_blur"):
            given = self.given(x, name, False, indent, {"cb": b, "ce": e, "cc": c, "cf": f})
            if (name, False) not in self.used:
                self.used.append((name, False))
            call = f"v_{name}(p, q, {', '.join([self.number(weights[name]), *given])})"
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
        self.post(x, indent)

    def post(self, x: Xform, indent: str) -> None:
        """The affine map after the variations."""
        if x.post != IDENTITY:
            a, d, b, e, c, f = (self.number(v) for v in x.post)
            self.lines.append(f"{indent}x, y = {a} * x + {b} * y + {c}, {d} * x + {e} * y + {f}")

    def xform_in_space(self, x: Xform, indent: str, affine: dict[str, str]) -> None:
        """From p, q, depth to x, y, depth; z is a name of random numbers, so the third coordinate is called depth."""
        weights = dict(x.variations)
        if self.new_linear and "linear" in weights:
            weights["linear3D"] = weights.get("linear3D", 0.0) + weights.pop("linear")
        names = [n for n in KNOWN if weights.get(n, 0.0) != 0]
        self.lines.append(f"{indent}o = depth")
        started = False
        for name in sorted(names, key=lambda n: (n != "pre_blur", n == "flatten")):
            space = name in VARIATIONS_3D or name in _BOTH
            if name != "pre_blur" and not started:
                self.lines.append(f"{indent}x, y, depth = 0.0, 0.0, 0.0")
                started = True
            given = self.given(x, name, space, indent, affine)
            if (name, space) not in self.used:
                self.used.append((name, space))
            at = "x, y, depth" if name == "flatten" else "p, q, o" if space else "p, q"
            call = f"v_{name}({at}, {', '.join([self.number(weights[name]), *given])})"
            if space:
                self.lines.append(f"{indent}g, h, f = {call}")
                self.lines.append(f"{indent}x, y, depth = x + g, y + h, depth + f")
            elif name == "pre_blur":
                self.lines.append(f"{indent}g, h = {call}")
                self.lines.append(f"{indent}p, q = p + g, q + h")
            else:
                self.lines.append(f"{indent}g, h = {call}")
                self.lines.append(f"{indent}x, y = x + g, y + h")
        if not started:
            self.lines.append(f"{indent}x, y, depth = 0.0, 0.0, 0.0")
        self.post(x, indent)

    def camera(self, flame: Flame, indent: str) -> None:
        """From x, y, depth to x, y as they are seen."""
        cy, sy = self.number(math.cos(flame.cam_yaw)), self.number(math.sin(flame.cam_yaw))
        cp, sp = self.number(math.cos(flame.cam_pitch)), self.number(math.sin(flame.cam_pitch))
        self.lines.append(f"{indent}depth = depth - {self.number(flame.cam_zpos)}")
        self.lines.append(f"{indent}x, h = {cy} * x + {sy} * y, {cy} * y - {sy} * x")
        self.lines.append(f"{indent}y, depth = {cp} * h - {sp} * depth, {sp} * h + {cp} * depth")
        if flame.cam_dof != 0:
            self.random("g", indent)
            self.random("h", indent)
            self.lines.append(f"{indent}g, h = {self.number(0.1 * flame.cam_dof)} * depth * g, 2.0 * pi * h")
            self.lines.append(f"{indent}x, y = x + g * cos(h), y + g * sin(h)")
        if flame.cam_persp != 0:
            self.lines.append(f"{indent}near = 1.0 - {self.number(flame.cam_persp)} * depth")
            self.lines.append(f"{indent}if not near > NEAR:")
            self.lines.append(f"{indent}    continue")
            self.lines.append(f"{indent}x, y = x / near, y / near")


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
    xs, ys, cs = np.zeros(chains), np.zeros(chains), np.zeros(chains){zeros}
    last = np.full(chains, cumulative.shape[0] - 1)
    age, bad = np.zeros(chains, np.int64), np.zeros(chains, np.int64)
    for k in range(chains):
{start}
    done = 0
    turn = -FUSE
    while done < samples:
        for k in range(chains):
            x, y, c = xs[k], ys[k], cs[k]{load}
{pick}
            row = cumulative[last[k]]
            m = 0
            while u >= row[m]:
                m += 1
            last[k] = m
{maps}
            if not (abs(x) < LARGE and abs(y) < LARGE{large}):
                # as in flam3: it goes on from a random point, counted but not drawn unless it happens again and again
{reset}
                bad[k] += 1
                if bad[k] < 5:
                    xs[k], ys[k], cs[k] = x, y, c{keep_again}
                    done += turn == 0
                    continue
            bad[k] = 0
            if age[k] >= RESTART:
{reset}
                last[k] = cumulative.shape[0] - 1
                age[k] = -FUSE
            xs[k], ys[k], cs[k] = x, y, c{keep}
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
{final}{seen}
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
    w = _Writer(flame)
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
    # empty for flames of the plane: compiled loops are found again by their text
    space = dict.fromkeys(("zeros", "load", "large", "keep", "keep_again", "seen"), "")
    constants = f"FUSE, LARGE, RESTART = {FUSE}, {_LARGE}, {RESTART}\n"
    if w.space:
        w.lines = [""]
        w.camera(flame, " " * 12)
        space = {
            "zeros": "\n    zs = np.zeros(chains)  # they start in the plane",
            "load": "\n            depth = zs[k]",
            "large": " and abs(depth) < LARGE",
            "keep": "\n            zs[k] = depth",
            "keep_again": "\n                    zs[k] = depth",
            "seen": "\n".join(w.lines),
        }
        reset += "\n                depth = 0.0"
        constants += f"NEAR = {_NEAR}\n"
    loop = LOOP.format(
        start=start, pick=randoms(("u",), 12), maps="\n".join(maps), reset=reset, final="\n".join(final), **space
    )  # fmt: skip
    formulas = "\n\n".join('@nb.njit(error_model="numpy")\n' + inspect.getsource(formula(*used)) for used in w.used)
    text = HEAD + constants + "\n\n" + formulas + "\n" + loop
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
