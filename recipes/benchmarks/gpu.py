"""The GPU engine beside the loops for the CPU: rates, start-up, the time of a new structure, and noise.

    python -m recipes.benchmarks.gpu rates             counts of affine codes, and the flames of gallery/codes
    python -m recipes.benchmarks.gpu rates FOLDER      the flames of a folder

On a program that plays a card, such as Mesa's lavapipe, rates are per CPU second; on a card per second, and the CPU's
too, with all of its threads. Rates are marginal: of long runs less short ones. Noise is the difference of the GPU's
picture from the CPU's, over that between two seeds of the CPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numba
import numpy as np

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.flame import Flame, read_flames
from fractalkit.codes.presets import preset
from fractalkit.errors import FractalKitError
from fractalkit.orbit import extent, histogram
from fractalkit.orbit.flame import accumulate
from fractalkit.orbit.wgsl.device import open_gpu
from fractalkit.render.flame import resized
from recipes.benchmarks.report import save

CODES = ("barnsley-fern", "sierpinski-triangle", "menger-sponge")
FLAMES = Path(__file__).resolve().parents[2] / "gallery" / "codes"
SIDE = 200  # pixels of the flames' pictures
FRESH = """
import time, torch, numba, fractalkit.orbit.flame
from fractalkit.orbit.wgsl.device import open_gpu
start = time.process_time()
open_gpu()
print(time.process_time() - start)
"""


@click.group()
def main() -> None:
    """Benchmarks of the GPU engine."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True), default=FLAMES)
@click.option("--samples", default=4e6, show_default=True, help="Of each flame; ten times as many on a card.")
@click.option("--points", default=1e8, show_default=True, help="Counted of each code; ten times as many on a card.")
@click.option("--most", default=20, show_default=True, help="Flames.")
def rates(folder: Path, samples: float, points: float, most: int) -> None:
    """Rates of counts and of flames."""
    os.environ["MESA_SHADER_CACHE_DISABLE"] = "true"  # a new structure is compiled, not found on disk
    gpu = open_gpu()
    clock, threads = (time.process_time, 1) if gpu.software else (time.perf_counter, None)
    if threads:
        numba.set_num_threads(threads)
    more = 1 if gpu.software else 10
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    start = float(done.stdout)
    print(f"{gpu}, {gpu.driver}: opened in {start:.2f} CPU s")
    codes = [_code(name, int(points * more), clock) for name in CODES]
    flames = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".flame", ".flam3"))[:most]:
        try:
            flames.append(_flame(path, int(samples * more), clock, threads))
        except FractalKitError as error:
            print(f"{path.name}: {error}")
    save(
        "gpu", [*codes, *flames], device=str(gpu), driver=gpu.driver, software=gpu.software, start_cpu_seconds=start,
        per="CPU second" if gpu.software else "second",
        median_flame_rate=float(np.median([f["gpu"] for f in flames])) if flames else None,
        median_noise=float(np.median([f["noise"] for f in flames])) if flames else None,
    )  # fmt: skip


def _marginal(run: Callable[[int], Any], n: int, clock: Callable[[], float]) -> float:
    """Numbers a second, in millions: of n less a fifth of them."""
    times = []
    for m in (n // 5, n):
        began = clock()
        run(m)
        times.append(clock() - began)
    return (n - n // 5) / max(times[1] - times[0], 1e-9) / 1e6


def _counted(code: AffineIFS, shape: tuple[int, ...], bounds: Any, engine: str, n: int) -> None:
    histogram(code, n, shape=shape, bounds=bounds, engine=engine)


def _code(name: str, points: int, clock: Callable[[], float]) -> dict[str, Any]:
    code = preset(name)
    bounds = extent(code)
    shape = (1000, 1000) if code.dim == 2 else (100, 100, 100)
    out: dict[str, Any] = {"code": name}
    for engine in ("numba", "wgsl"):
        histogram(code, 1000, shape=shape, bounds=bounds, engine=engine)
        run = partial(_counted, code, shape, bounds, engine)
        out[engine] = _marginal(run, points, clock)
    print(f"{name:24s} {out['wgsl']:10.1f} M points, Numba {out['numba']:.1f} M: {out['wgsl'] / out['numba']:.2f}")
    return out


def _flame(path: Path, samples: int, clock: Callable[[], float], threads: int | None) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flame = read_flames(path)[0].expanded()
    flame = replace(resized(flame, (SIDE, SIDE)), oversample=1)
    began = time.process_time()
    accumulate(flame, 1, device="gpu")
    new = time.process_time() - began
    out = {
        "flame": path.name, "maps": len(flame.xforms), "new_structure_cpu_seconds": new,
        "gpu": _marginal(lambda n: accumulate(flame, n, device="gpu"), samples, clock),
        "noise": _noise(flame, samples),
        "numba": _marginal(lambda n: accumulate(flame, n, compiled=True, threads=threads), samples, clock),
    }  # fmt: skip
    print(f"{path.name:24.24s} {len(flame.xforms):3d} maps {out['gpu']:8.1f} M samples, Numba {out['numba']:8.1f} M, "
          f"noise {out['noise']:.2f}, new structure {new:.2f} CPU s")  # fmt: skip
    return out


def _noise(flame: Flame, samples: int) -> float:
    """Of cells of 4 x 4 pixels, as shares of all samples: those not drawn after a new start make no difference."""

    def coarse(h: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        n = SIDE // 4
        sums = h.astype(np.float64).reshape(n, 4, n, 4, 4).sum((1, 3))[..., 3]
        return sums / max(sums.sum(), 1e-9)

    one, two = (coarse(accumulate(flame, samples, seed=s, compiled=True, threads=1)) for s in (1, 2))
    gpu = coarse(accumulate(flame, samples, seed=3, device="gpu"))
    return float(np.abs(gpu - one).sum() / max(np.abs(two - one).sum(), 1e-12))


if __name__ == "__main__":
    main()
