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
    (x1, y2) + 0.1 dof z2 u (cos v, sin v)       u in [0, 1), v in [0, 2 pi), uniform: a disc, denser in its middle;
                                                 times d^2 / 4p with Fractorium's blur curve p, d = 10 at the edges
    ... / (1 - persp z2)                         what is at the camera or behind it is not drawn

and the centre, the scale and the rotation of the picture are those of the plane, after it. JWildfire's camera has a
third angle, between the other two, and turns the picture about the origin instead of the centre; its zpos is the depth
below which samples are blurred, and does not move them::

    x2 =  cos(roll) x1 + sin(roll) z,  z1 = cos(roll) z - sin(roll) x1
    a blur of radius 0.1 dof max(zpos - z2, 0) u
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_motion import at_frame
from fractalkit.codes.flame_parts import Xform
from fractalkit.codes.variation_list import catalogue
from fractalkit.errors import UsageError
from fractalkit.orbit.flame_loop import CHAINS, RESTART, paint_table, paints, prepare, variations_of, visible

MAX_BUFFERS = 1 << 30  # bytes of histograms of threads beside the first
FEW = 40_000_000  # samples that are drawn sooner than a loop is compiled, at up to USUAL instructions each
USUAL = 200
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
    late: bool = False,
    compiled: bool | None = None,
    chains: int | None = None,
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Add samples of a flame to a histogram.

    Args:
        flame: with its symmetries expanded (:meth:`~fractalkit.codes.flame.Flame.expanded`).
        samples: steps of the chaos game; those outside the picture count.
        gutter: cells beside the picture on each side.
        threads: None for all cores.
        device: "gpu" takes the engine of :mod:`.wgsl`, on cards of every maker, with noise of its own stream; another
            than the CPU, as torch names it, the plain twin (:mod:`.flame_plain`).
        plain: the twin in any case, which need not be compiled; another random stream, so another noise.
        late: points are drawn in the colour c that they had before their last map, which is that of row floor(256 c) of
            the palette, as JWildfire Swan does; by the twin or the loop that looks its instructions up.
        compiled: whether by a loop compiled for this flame's structure, or by one that looks its instructions up
            (:mod:`.flame_machine`); None: the latter for up to :data:`FEW` samples,
            or fewer where formulas have long loops.
        chains: of each thread, at most :data:`~fractalkit.orbit.flame_loop.CHAINS`; None: as many as flam3 starts for
            so many samples, which shows where maps do not contract. With more, few samples are drawn sooner.
        out: to add to; None for a new one.

    Returns:
        float32 ``[H oversample + 2 gutter, W oversample + 2 gutter, 4]``: sums of weight times (r, g, b, a), colours in
        [0, 1] from the palette; the weight of an opacity o is 10^(log2 o).

    Raises:
        DataError: no map of the flame has a weight.
        UsageError: a number out of range.
    """
    out = _checked(flame, samples, gutter, out)
    if samples == 0:
        return out
    camera = camera_of(flame, gutter)
    flame = as_flam3(flame)
    if device == "gpu" and not (plain or late):
        from fractalkit.orbit.wgsl.flame import accumulate_gpu

        out += accumulate_gpu(flame, samples, out.shape[:2], camera, colours_of(flame), seed=seed)
        return out
    if plain or device not in (None, "cpu"):
        from fractalkit.orbit.flame_plain import accumulate_plain

        out += accumulate_plain(
            flame, samples, out.shape[:2], camera, colours_of(flame, late), seed=seed, device=device or "cpu", late=late
        )
        return out
    if compiled is None:
        compiled = not late and samples * _work(flame) > FEW * USUAL
    elif compiled and late:
        raise UsageError("late: a compiled loop draws points in their own colours; leave out compiled")
    _run_threads(flame, samples, camera, seed, threads, out, compiled, chains, late)
    return out


def as_flam3(flame: Flame) -> Flame:
    """A flame of JWildfire with its maps' opacity and colours as flam3 would say them; others as they are.

    There an opacity o is a share of the samples, here they weigh o^(log2 10); a colour type NONE keeps the colour;
    with ``preserve_z`` variations of the plane add the weighted z of the point; motion curves are followed to the
    flame's frame; and a variation ``NAME_jwildfire`` stands for NAME, which other programs draw differently.
    """
    if not flame.by_jwildfire:
        return flame
    deep = flame.extras.get("preserve_z", "0").strip() == "1" and flame.in_space()

    def told(x: Xform, usual: str) -> Xform:
        x = _as_there(at_frame(x, flame.frame)[0])
        kept = x.extras.get("color_type", usual).strip().upper() == "NONE"
        x = replace(x, opacity=max(x.opacity, 0.0) ** math.log10(2), color_speed=0.0 if kept else x.color_speed)
        uses = variations_of(x, True, False) if deep else []
        flat = sum(u.weight for u in uses if not u.place and u.declared.program.returns == 2)
        if flat == 0:
            return x
        return replace(x, variations=x.variations | {"zscale": x.variations.get("zscale", 0.0) + flat})

    finals = [replace(told(x, "NONE"), opacity=1.0) for x in flame.finals]
    maps = tuple(told(x, "DIFFUSION") for x in flame.xforms)
    return replace(flame, xforms=maps, final=finals[0] if finals else None, more_finals=tuple(finals[1:]))


def _as_there(x: Xform) -> Xform:
    """A map whose variations are those that JWildfire draws by their names."""
    names: dict[str, str] = {}
    for name in x.variations:
        found = catalogue().find(name)
        own = "" if found is None else f"{found[1].name}_jwildfire"
        if found is not None and own in catalogue().variations:
            names[name] = name.replace(found[1].name, own, 1)
    if not names:
        return x

    def renamed(key: str) -> str:
        old = next((n for n in names if key.lower() == n.lower() or key.lower().startswith(n.lower() + "_")), "")
        return names[old] + key[len(old) :] if old else key

    variations = {names.get(n, n): v for n, v in x.variations.items()}
    parameters = {renamed(k): v for k, v in x.parameters.items()}
    return replace(x, variations=variations, parameters=parameters, extras={renamed(k): v for k, v in x.extras.items()})


def _checked(flame: Flame, samples: int, gutter: int, out: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    """The histogram to add to; refuses what :func:`accumulate` does not take."""
    if samples < 0 or gutter < 0 or flame.symmetry:
        raise UsageError("samples and gutter must not be negative, and symmetries must be expanded")
    w, h = flame.size
    cells = (h * flame.oversample + 2 * gutter, w * flame.oversample + 2 * gutter, 4)
    if out is None:
        return np.zeros(cells, np.float32)
    if out.shape != cells or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise UsageError(f"out: expected float32 {list(cells)}, got {out.dtype} {list(out.shape)}")
    return out


def _run_threads(
    flame: Flame,
    samples: int,
    camera: npt.NDArray[np.float64],
    seed: int,
    threads: int | None,
    out: npt.NDArray[np.float32],
    compiled: bool,
    chains: int | None,
    late: bool,
) -> None:
    """Add samples by one of the two loops, each thread into a histogram of its own."""
    run = _compiled(flame) if compiled else _interpreted(flame)
    cumulative = np.cumsum(flame.matrix(), 1)
    cumulative[:, -1] = 2.0
    table, scale = colours_of(flame, late)
    table = table.ravel()
    # the third tells the loop to stop, the fourth whether points are drawn in the colours from before their last maps
    scale = np.append(scale, [0.0, float(late)])
    threads = max(1, min(threads or os.cpu_count() or 1, 1 + MAX_BUFFERS // out.nbytes, samples))
    # as many chains as flam3 starts for so many samples: where maps do not contract, it shows
    chains = min(CHAINS, max(16, samples // threads // RESTART) if chains is None else max(1, chains))
    seeds = np.random.SeedSequence([seed, threads]).generate_state(threads * chains, np.uint64).reshape(threads, chains)
    shares = [samples * (k + 1) // threads - samples * k // threads for k in range(threads)]
    # float32 cannot count past 2^24 one by one: where cells are that full, samples are gathered apart and added at once
    full = bool(out.max() > FULL)
    buffers = [] if full else [out]
    buffers += [np.zeros_like(out) for _ in range(threads - len(buffers))]

    def one(k: int) -> None:
        state, picture = seeds[k].copy(), buffers[k].ravel()
        run(cumulative, table, scale, camera, state, shares[k], out.shape[0], out.shape[1], picture)

    with ThreadPoolExecutor(threads) as pool:  # even for one: this thread has to hear a Ctrl-C
        try:
            list(pool.map(one, range(threads)))
        except BaseException:
            scale[2] = 1.0
            raise
    for b in buffers if full else buffers[1:]:
        out += b


def _compiled(flame: Flame) -> Callable[..., None]:
    """The loop that is compiled for the flame's structure."""
    run, numbers = prepare(flame)
    return partial(run, numbers)


def _work(flame: Flame) -> int:
    """Instructions of a sample, those in loops for each turn; at least USUAL."""
    from fractalkit.orbit.flame_ops import instructions

    return max(USUAL, instructions(flame).work())


def _interpreted(flame: Flame) -> Callable[..., None]:
    """The loop that looks up the flame's instructions."""
    from fractalkit.orbit import flame_machine
    from fractalkit.orbit.flame_ops import instructions

    machine: Any = flame_machine
    told, matrix = instructions(flame), flame.matrix()
    alike = bool((matrix == matrix[-1]).all())
    weights = np.array([visible(f.opacity) for f in flame.xforms])

    def run(cumulative: npt.NDArray[np.float64], *others: Any) -> None:
        state = others[3]
        table = told.registers(len(state))
        code = (told.code, told.scalars, told.starts, table.ravel(), table)
        machine.play(machine.execute, *code, alike, cumulative, weights, *others)

    return run


def camera_of(flame: Flame, gutter: int) -> npt.NDArray[np.float64]:
    """Six numbers of the affine map from the plane to cells."""
    ppu = flame.pixels_per_unit * flame.oversample
    c, s = math.cos(math.radians(flame.rotate)), math.sin(math.radians(flame.rotate))
    cx, cy = flame.center
    w, h = flame.size
    ox, oy = w * flame.oversample / 2 + gutter, h * flame.oversample / 2 + gutter
    turned = (cx, cy) if flame.by_jwildfire and flame.turned_in_space else (c * cx - s * cy, s * cx + c * cy)
    return np.array([ppu * c, -ppu * s, ox - ppu * turned[0], ppu * s, ppu * c, oy - ppu * turned[1]])


def colours_of(flame: Flame, late: bool = False) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """The palette as a table ``[M, 4]``, and (factor, chance): the row of a colour c in [0, 1] is that of
    factor c + chance u, rounded down, with u uniform in [0, 1). Behind it are the colours of painted points, if any."""
    table, scale = _palette(flame, late)
    return (np.concatenate([table, paint_table()]) if paints(flame) else table), scale


def _palette(flame: Flame, late: bool) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    palette = np.ascontiguousarray(flame.palette, np.float32)
    if late:
        return palette, np.array([255.9999, 0.0])
    if flame.by_jwildfire:  # the row is that of 254 c, rounded; by chance between two
        return palette, np.array([254.0, 0.9999])
    if flame.palette_mode != "linear":
        return palette, np.array([255.9999, 0.0])
    # between neighbours in quarters, or the table would not stay in the nearest cache; the chance makes up for it
    at = np.minimum(np.arange(4 * 256 + 1) / 4, 255.0)
    low = np.minimum(at.astype(np.int64), 254)
    t = (at - low)[:, None].astype(np.float32)
    return np.ascontiguousarray(palette[low] * (1 - t) + palette[low + 1] * t), np.array([1024.0, 0.9999])
