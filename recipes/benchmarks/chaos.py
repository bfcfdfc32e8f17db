"""The chaos game: points per second compared with other programs and with limits, memory, and start-up time.

    python -m recipes.benchmarks.chaos rates       counts on 1000 x 1000 pixels, points stored, peers and limits
    python -m recipes.benchmarks.chaos memory      10^6 to 10^8 points into PLY, 10^8 to 10^10 into a histogram
    python -m recipes.benchmarks.chaos startup     seconds of fractalkit --help
    python -m recipes.benchmarks.chaos cuda        the Triton engine and the limits of the device

Rates are millions of points per CPU second, because wall time is unreliable on a busy machine. The programs take turns,
so that changes of the machine's load affect all of them, and ratios are those of medians. ``flam3-render`` is included
if it is installed (Debian: apt-get install flam3-utils).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numba
import numpy as np
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.presets import preset
from fractalkit.errors import DataError
from fractalkit.orbit import histogram, sample
from fractalkit.orbit.numba_cpu import NumbaWalker
from fractalkit.orbit.streams import CHAINS, plan
from recipes.benchmarks.limits import fill, increments, random_words
from recipes.benchmarks.report import put, put_progress, save, timed

FERN = "barnsley-fern"
SIDE = 1000  # pixels
LOW, WIDTH = (-5.0, -0.2), 10.4  # a square that contains the fern
BURN = 64  # steps of the usual loop before it counts, the minimum of our engines
SPACE = ("fern-3d", "sierpinski-tetrahedron")  # presets of points stored in 3D
TARGETS = {"counts": 200.0, "over eager torch": 10.0, "over flam3": 5.0, "stored in space": 60.0}


@click.group()
def main() -> None:
    """Benchmarks of the chaos game."""


def whole(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Parse numbers such as 1e8 or 100000000, one or several separated by commas."""
    words = str(value).split(",")
    try:
        numbers = [int(float(w)) for w in words]
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{value!r} is not a number of points") from error
    return numbers if param.name and param.name.endswith("s_list") else numbers[0]


@main.command()
@click.option("--points", default="1e9", callback=whole, show_default=True, help="Points counted by the fast engines.")
@click.option("--slow", default="1e8", callback=whole, show_default=True, help="Points counted by eager torch.")
@click.option("--stored", default="1e8", callback=whole, show_default=True, help="Points stored, 12 bytes each.")
@click.option("--quality", default=200, show_default=True, help="Samples per pixel of flam3-render.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--threads", default=0, show_default="all cores", help="Threads of the second row of each engine.")
def rates(points: int, slow: int, stored: int, quality: int, repeats: int, threads: int) -> None:
    """Points per CPU second: counts in 2D, points in 3D, other programs, and limits."""
    many = threads or numba.get_num_threads()
    runs = contestants(points, slow, stored, quality, many)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _, _, warm_up in runs.values():
        warm_up(0)  # compiled, imported, in the page cache
    for turn in range(repeats):
        for name, (_, n, run) in runs.items():
            wall, cpu = run(n)
            spent[name].append((wall, cpu))
            click.echo(f"{turn + 1}/{repeats}  {name:36s} {n / cpu / 1e6:8.1f} M/CPU-s", err=True)
    rows = []
    for name, (what, n, _) in runs.items():
        seconds = sorted(cpu for _, cpu in spent[name])
        rows.append(
            {
                "name": name, "measures": what, "points": n,
                "M/CPU-s": n / statistics.median(seconds) / 1e6,
                "best": n / seconds[0] / 1e6, "worst": n / seconds[-1] / 1e6,
                "M/wall-s": n / statistics.median(w for w, _ in spent[name]) / 1e6,
            }
        )  # fmt: skip
    verdicts = judge(rows)
    put(rows)
    click.echo("")
    put(verdicts)
    click.echo(str(save("chaos_rates", rows, summary=verdicts, spent=spent, repeats=repeats)))


Run = Callable[[int], tuple[float, float]]


def contestants(points: int, slow: int, stored: int, quality: int, threads: int) -> dict[str, tuple[str, int, Run]]:
    """For each name: kind, number of points, and a function from points to (wall, CPU) seconds; 0 points warm up."""
    fern = preset(FERN)
    out: dict[str, tuple[str, int, Run]] = {"numba, 1 thread": ("counts", points, on(1, lambda n: count(fern, n)))}
    if threads > 1:
        out[f"numba, {threads} threads"] = ("counts", points, on(threads, lambda n: count(fern, n)))
    out["eager torch, twin"] = ("counts", slow, on(1, lambda n: count(fern, n, engine="torch")))
    out["eager torch, usual loop"] = ("counts", slow, on(1, lambda n: usual_loop(fern, n)))
    if shutil.which("flam3-render"):
        out["flam3-render, 1 thread"] = ("counts and colour", quality * SIDE * SIDE, Flam3(fern, quality))
    for name in SPACE:
        out[f"numba, {name} stored"] = ("stored in space", stored, on(1, partial(sample, preset(name))))
    # the limits
    cells = pixels(fern, 1 << 22)
    walker = NumbaWalker(plan(fern, 0), np.dtype("float32"))
    out["random words only"] = ("limit", points, on(1, lambda n: random_words(n // CHAINS)))
    out["orbit only, nothing counted"] = ("limit", points, on(1, lambda n: walker.skip(n // CHAINS)))
    out["increments only"] = ("limit", points, on(1, lambda n: increments(cells, SIDE * SIDE, n)))
    out["12 bytes written per point"] = ("limit", stored, on(1, lambda n: fill(np.empty((n, 3), np.float32))))
    return out


def on(threads: int, work: Callable[[int], Any]) -> Run:
    """Make a function that times ``work(n)`` on the given number of threads."""

    def run(n: int) -> tuple[float, float]:
        numba.set_num_threads(threads)
        torch.set_num_threads(threads)
        with timed() as t:
            work(n or CHAINS)
        return t.wall, t.cpu

    return run


def count(code: AffineIFS, n: int, **options: Any) -> None:
    """Count n points on the grid and check that none lies outside."""
    low = torch.tensor(LOW, dtype=torch.float64)
    got = histogram(code, n, shape=(SIDE, SIDE), bounds=(low, low + WIDTH), **options)
    assert int(got.counts.sum()) == n, "points fell outside the grid"


def usual_loop(code: AffineIFS, n: int) -> Any:
    """The usual chaos game in eager torch: torch's random numbers, gathered maps, bincount."""
    matrices, offsets = code.matrices.float(), code.offsets.float()
    edges = code.probabilities.float().cumsum(0)[:-1]
    low, scale = torch.tensor(LOW), SIDE / WIDTH
    x = torch.zeros(CHAINS, 2)
    counts = torch.zeros(SIDE * SIDE, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    for step in range(n // CHAINS + BURN):
        k = torch.searchsorted(edges, torch.rand(CHAINS, generator=generator), right=True)
        x = torch.einsum("nij,nj->ni", matrices[k], x) + offsets[k]
        if step >= BURN:
            cell = ((x - low) * scale).long().clamp_(0, SIDE - 1)
            counts += torch.bincount(cell[:, 1] * SIDE + cell[:, 0], minlength=SIDE * SIDE)
    return counts


def pixels(code: AffineIFS, n: int) -> np.ndarray:
    """Pixel indices of n orbit points, in the order of the orbit: ``[n]`` int32."""
    x = sample(code, n).points.numpy()
    column, row = ((x - np.array(LOW, np.float32)) * np.float32(SIDE / WIDTH)).astype(np.int32).T
    return np.ascontiguousarray(row * np.int32(SIDE) + column)


class Flam3:
    """flam3-render on a flame of linear xforms, on one thread; a render at quality 1 is subtracted as start-up.

    Start-up includes filtering and tone mapping. The program also looks up a colour for every sample.
    """

    def __init__(self, code: AffineIFS, quality: int) -> None:
        self.code, self.quality = code, quality

    def __call__(self, n: int) -> tuple[float, float]:
        if not n:
            return self.render(1)
        wall, cpu = self.render(self.quality)
        wall0, cpu0 = self.render(1)
        share = self.quality / (self.quality - 1)  # the render at quality 1 takes samples too
        return (wall - wall0) * share, (cpu - cpu0) * share

    def render(self, quality: int) -> tuple[float, float]:
        """Render once: (wall, CPU) seconds."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "fern.flame"
            path.write_text(flame(self.code, quality))
            env = os.environ | {"nthreads": "1", "verbose": "0", "out": str(path.with_suffix(".png"))}
            with timed() as t, path.open() as source:
                done = subprocess.run(["flam3-render"], stdin=source, env=env, capture_output=True, text=True)
            if done.returncode or not path.with_suffix(".png").exists():
                raise DataError(f"flam3-render: failed ({done.stderr.strip() or done.returncode})")
        return t.wall, t.cpu


def flame(code: AffineIFS, quality: int) -> str:
    """Write the code as a flame of linear xforms, without density estimation; the y axis of flames points down."""
    centre = (LOW[0] + WIDTH / 2, -(LOW[1] + WIDTH / 2))
    lines = [
        f'<flame size="{SIDE} {SIDE}" center="{centre[0]} {centre[1]}" scale="{SIDE / WIDTH}" quality="{quality}"'
        ' oversample="1" filter="0.5" estimator_radius="0" background="0 0 0" palette="15">'
    ]
    for rows, t, p in zip(code.matrices.tolist(), code.offsets.tolist(), code.probabilities.tolist(), strict=True):
        (a, b), (c, d) = rows
        coefs = " ".join(f"{v:.9g}" for v in (a, -c, -b, d, t[0], -t[1]))
        lines.append(f'  <xform weight="{p:.9g}" color="0" linear="1" coefs="{coefs}"/>')
    return "\n".join([*lines, "</flame>", ""])


def judge(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare the rates with the targets and the limits."""
    rate = {r["name"]: r["M/CPU-s"] for r in rows}
    fast = rate["numba, 1 thread"]
    eager = max(v for k, v in rate.items() if k.startswith("eager"))
    out = [
        {"figure": "counts, M/s a core", "value": fast, "target": TARGETS["counts"]},
        {"figure": "counts over the faster eager torch", "value": fast / eager, "target": TARGETS["over eager torch"]},
    ]
    if "flam3-render, 1 thread" in rate:
        ratio = fast / rate["flam3-render, 1 thread"]
        out.append({"figure": "counts over flam3-render", "value": ratio, "target": TARGETS["over flam3"]})
    written = rate["12 bytes written per point"]
    for name in SPACE:
        stored = rate[f"numba, {name} stored"]
        out.append({"figure": f"{name} stored, M/s a core", "value": stored, "target": TARGETS["stored in space"]})
        out.append({"figure": f"{name} stored, share of plain writing", "value": stored / written, "target": ""})
    orbit, scattered = rate["orbit only, nothing counted"], rate["increments only"]
    out.append(
        {"figure": "counts, share of the slower half alone", "value": fast / min(orbit, scattered), "target": ""}
    )
    both = 1 / (1 / orbit + 1 / scattered)
    out.append({"figure": "counts, share of both halves in turn", "value": fast / both, "target": ""})
    return out


@main.command()
@click.option(
    "--points", "points_list", default="1e6,1e7,1e8", callback=whole, show_default=True, help="Points written to PLY."
)
@click.option("--counted", "counts_list", default="1e8,1e9,1e10", callback=whole, show_default=True)
@click.option("--source", default="fern-3d", show_default=True, help="Preset to write.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Folder for the PLY files, which are deleted afterwards."
)
def memory(points_list: list[int], counts_list: list[int], source: str, folder: Path | None) -> None:
    """Peak memory of writing PLY and of a histogram, by number of points."""
    rows = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for n in points_list:
            out = Path(place) / "points.ply"
            words = ["ifs", source, "--points", str(n), "-o", str(out), "--code", str(Path(place) / "code.json")]
            got = child(["-m", "fractalkit", *words, "--no-preview"])
            row = {"name": f"{source} to PLY", "points": n, "output MiB": out.stat().st_size / 2**20}
            rows.append(row | got | {"M/wall-s": n / got["wall s"] / 1e6})
            check_ply(out, n)
            out.unlink()
            put_progress(rows[-1])
    for n in counts_list:
        row = {"name": f"{FERN}, {SIDE} x {SIDE} counts", "points": n, "output MiB": SIDE * SIDE * 8 / 2**20}
        got = child(["-c", f"from recipes.benchmarks import chaos; chaos.count(chaos.preset('{FERN}'), {n})"])
        rows.append(row | got | {"M/wall-s": n / got["wall s"] / 1e6})
        put_progress(rows[-1])
    put(rows)
    click.echo(str(save("chaos_memory", rows)))


def check_ply(path: Path, n: int) -> None:
    """Check that the header's count fits the size of the file."""
    with path.open("rb") as file:
        head = file.read(4096).split(b"end_header\n")[0] + b"end_header\n"
    words = [line.split() for line in head.decode().splitlines()]
    sizes = {"float": 4, "double": 8, "uchar": 1}
    row = sum(sizes[w[1]] for w in words if w[0] == "property")
    assert ["element", "vertex", str(n)] in words and path.stat().st_size == len(head) + n * row, "a broken PLY file"


# A separate process starts the child, because a child's peak memory includes what it inherits from its parent.
_LAUNCH = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
wall = time.perf_counter() - start
use = resource.getrusage(resource.RUSAGE_CHILDREN)
peak = use.ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))
print(json.dumps({"code": code, "wall s": wall, "cpu s": use.ru_utime + use.ru_stime, "peak MiB": peak}))
"""


def child(words: list[str]) -> dict[str, float]:
    """Seconds and peak resident memory of ``python WORDS``."""
    done = subprocess.run([sys.executable, "-c", _LAUNCH, sys.executable, *words], stdout=subprocess.PIPE, text=True)
    got = json.loads(done.stdout)
    if got.pop("code"):
        raise DataError(f"{' '.join(words)}: failed; see the message above")
    return got


@main.command()
@click.option("--repeats", default=10, show_default=True)
def startup(repeats: int) -> None:
    """Wall seconds of fractalkit --help, and of Python alone."""
    script = Path(sys.executable).with_name("fractalkit")
    help_ = [str(script), "--help"] if script.exists() else [sys.executable, "-m", "fractalkit", "--help"]
    commands = {"fractalkit --help": help_, "python -c pass": [sys.executable, "-c", "pass"]}
    spent: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats + 1):
        for name, words in commands.items():
            start = time.perf_counter()
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            spent[name].append(time.perf_counter() - start)
    rows = []
    for name, seconds in spent.items():
        seconds = sorted(seconds[1:])  # the first run fills the caches
        rows.append({"name": name, "median s": statistics.median(seconds), "best": seconds[0], "worst": seconds[-1]})
    put(rows)
    click.echo(str(save("chaos_startup", rows, target=0.3)))


@main.command()
@click.option("--points", default="4e10", callback=whole, show_default=True, help="Points counted.")
@click.option("--stored", default="1e9", callback=whole, show_default=True, help="Points stored, 12 bytes each.")
@click.option("--repeats", default=5, show_default=True)
def cuda(points: int, stored: int, repeats: int) -> None:
    """The Triton engine on this machine's GPU: rates, relative to its atomic and bandwidth limits."""
    if not torch.cuda.is_available():
        click.echo("skipped: this machine has no usable CUDA device")
        return
    from recipes.benchmarks.limits_cuda import atomic_increments

    fern = preset(FERN)
    cells = torch.from_numpy(pixels(fern, 1 << 24)).cuda()
    runs: dict[str, tuple[int, Callable[[int], Any]]] = {
        "triton, counts": (points, lambda n: count(fern, n, engine="triton", device="cuda")),
        "atomic increments only": (points, lambda n: atomic_increments(cells, SIDE * SIDE, n)),
    }
    for name in SPACE:
        runs[f"triton, {name} stored"] = (stored, partial(sample, preset(name), engine="triton", device="cuda"))
    runs["12 bytes written per point"] = (stored, lambda n: torch.ones(n, 3, device="cuda"))
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, (n, work) in runs.items():
            torch.cuda.synchronize()
            start = time.perf_counter()
            work(n if turn else CHAINS)
            torch.cuda.synchronize()
            if turn:
                spent[name].append(time.perf_counter() - start)
    limit = {"triton, counts": "atomic increments only"}
    rate = {name: n / statistics.median(spent[name]) / 1e9 for name, (n, _) in runs.items()}
    rows = []
    for name, (n, _) in runs.items():
        share = rate[name] / rate[limit.get(name, "12 bytes written per point")]
        rows.append({"name": name, "points": n, "G/s": rate[name], "of the limit": share if "triton" in name else ""})
    put(rows)
    click.echo(str(save("chaos_cuda", rows, spent=spent)))


if __name__ == "__main__":
    main()
