"""All that a CUDA card can tell about FractalKit, in one run of some eight minutes.

    python -m recipes.benchmarks.cuda               on a card; whoever has one commits the result
    python -m recipes.benchmarks.cuda --dry         tiny and on the CPU: whether every part still runs
    python -m recipes.benchmarks.cuda --only flames,doctor

Parts are independent: one that fails is a row that says so, and one that would exceed the budget is left out. Each row
has what was found beside what is expected of an H100, which nobody has measured yet.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.codes.presets import preset
from fractalkit.orbit import histogram, sample
from fractalkit.orbit.flame import accumulate
from fractalkit.orbit.wgsl.trust import trial_flame
from fractalkit.render.flame import Exposure
from recipes.benchmarks.report import save

BUDGET = 440.0  # seconds


@dataclass
class Bench:
    """Where the parts run; ``dry``: tiny, on the CPU."""

    dry: bool

    @property
    def device(self) -> torch.device:
        """The card, or the CPU."""
        return torch.device("cpu" if self.dry else "cuda")

    def size(self, large: float, tiny: float) -> int:
        """The one on a card, the other in a dry run."""
        return int(tiny if self.dry else large)

    def rate(self, run: Callable[[], object], n: float, repeats: int = 3) -> float:
        """Of n things a second, the median; the first run does not count."""
        times = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            run()
            if not self.dry:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        return n / sorted(times[1:])[repeats // 2]

    def command(self, *words: str, seconds: float = 100) -> tuple[int, str]:
        """Run a module of Python: its exit code and what it prints."""
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=seconds)
        return done.returncode, (done.stdout if done.returncode == 0 else done.stderr).strip()


def limits(b: Bench) -> tuple[str, str]:
    """Memory and matrix products."""
    x = torch.zeros(b.size(2**31, 2**20), dtype=torch.uint8, device=b.device)
    y, n = torch.empty_like(x), b.size(8192, 128)
    m = torch.randn(n, n, device=b.device, dtype=torch.bfloat16)
    copy, flops = b.rate(lambda: y.copy_(x), 2 * len(x)), b.rate(lambda: m @ m, 2 * n**3, 5)
    return f"copy {copy / 1e12:.2f} TB/s, bf16 {flops / 1e12:.0f} TFLOP/s", "3.0 TB/s, 800 TFLOP/s"


def engines(b: Bench) -> tuple[str, str]:
    """The chaos game of all engines: the same addresses, points and counts."""
    found = []
    for name in ("barnsley-fern", "menger-sponge", "barnsley-fern by address"):
        plain, n = preset(name.split()[0]), b.size(200_000, 66_000)
        code: AffineIFS | CloudCollage = CloudCollage.of(plain) if "address" in name else plain
        want = sample(code, n, engine="numba", seed=7, depth=3)
        shape = (97, 61) if code.dim == 2 else (9, 8, 7)
        counts = histogram(code, n, shape=shape, engine="numba", seed=7).counts
        for engine in ("wgsl", "torch") if b.dry else ("wgsl", "torch", "triton"):
            device = "gpu" if engine == "wgsl" else b.device
            got = sample(code, n, engine=engine, device=device, seed=7, depth=3)
            assert got.addresses is not None and want.addresses is not None
            same = torch.equal(got.addresses.cpu().view(torch.int16), want.addresses.view(torch.int16))
            h = histogram(code, n, shape=shape, engine=engine, device=device, seed=7).counts
            off = float((got.points.cpu() - want.points).abs().max())
            found.append(f"{name} {engine}: {same}, {off:.0e}, {int((h - counts).abs().sum())} counts")
    return "; ".join(found), "True, below 1e-5, a few counts"


def far(b: Bench) -> tuple[str, str]:
    """Triton beyond step 2^31, where it used to read out of its table."""
    if b.dry:
        return "not in a dry run", ""
    from fractalkit.orbit.numba_cpu import NumbaWalker
    from fractalkit.orbit.streams import CHAINS, plan
    from fractalkit.orbit.triton_cuda import TritonWalker

    p = plan(preset("barnsley-fern"), 1)
    walkers: list[Any] = [NumbaWalker(p, np.dtype("float32")), TritonWalker(p, torch.float32, b.device)]
    points: list[Any] = [np.empty((3, CHAINS, 2), np.float32), torch.empty(3, CHAINS, 2, device=b.device)]
    for w, out in zip(walkers, points, strict=True):
        w.t = 2**31 - 1
        w.points(3, out, None)
    return f"differ by {np.abs(points[0] - points[1].cpu().numpy()).max():.0e}", "below 1e-5"


def counts(b: Bench) -> tuple[str, str]:
    """Counts of the fern by Triton and by WGSL, beside the limits."""
    n, code = b.size(4e9, 2e6), preset("barnsley-fern")
    found = []
    for engine in ("wgsl",) if b.dry else ("wgsl", "triton"):
        run = lambda e=engine: histogram(code, n, shape=(1000, 1000), engine=e)  # type: ignore[misc] # noqa: E731
        found.append(f"{engine} {b.rate(run, n, 1) / 1e9:.2f} G/s")
    if not b.dry:
        found.append(b.command("recipes.benchmarks.chaos", "cuda", "--points", "1e10", "--repeats", "3")[1][-300:])
    return "; ".join(found), "0.7 of atomic increments alone, which are 60 to 150 G/s"


def flames(b: Bench) -> tuple[str, str]:
    """A flame by Numba on all cores, by WGSL, and by plain torch; whether WGSL gives the same bits again."""
    flame = replace(trial_flame(), size=(1000, 1000), scale=250.0)
    n, found = b.size(4e8, 2e5), []
    for name, factor, options in (
        ("numba", 1, {"compiled": True}), ("wgsl", 10, {"device": "gpu"}),
        ("torch", 1, {"device": str(b.device), "plain": True}),
    ):  # fmt: skip
        m = n * (1 if b.dry else factor)
        run = lambda k=m, o=options: accumulate(flame, k, **o)  # type: ignore[misc, arg-type] # noqa: E731
        found.append(f"{name} {b.rate(run, m, 1) / 1e6:.0f} M/s")
    bits = {hashlib.sha256(accumulate(flame, n, device="gpu").tobytes()).hexdigest()[:8] for _ in range(2)}
    return f"{', '.join(found)}; bits {sorted(bits)}", "wgsl 3 to 20 G/s; one value of bits"


def tone(b: Bench) -> tuple[str, str]:
    """A still by WGSL, and the share of the CPU's tone map in its time: whether one on the card would pay."""
    side = b.size(1000, 100)
    flame = replace(trial_flame(), size=(side, side), scale=side / 4, oversample=2, estimator_radius=9.0)
    exposure, times = Exposure.empty(flame), []
    exposure.expose(1.0, device="gpu")
    for run in (partial(exposure.expose, b.size(400, 4), batches=4, device="gpu"), exposure.develop):
        exposure.develop()
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return (
        f"samples {times[0]:.3f} s, tone map {times[1]:.3f} s",
        "a tone map on the card pays if it is the larger part",
    )


def doctor(b: Bench) -> tuple[str, str]:
    """What the machine is, and the test of its GPU."""
    code, text = b.command("fractalkit", "doctor")
    return f"rc {code}: {text}", "right, and --device auto takes it"


def models(b: Bench) -> tuple[str, str]:
    """Samples of a model on the card and on the CPU, with and without TF32."""
    from fractalkit.models.pretrained import from_pretrained

    nets, found = [from_pretrained("vdvae_mnist", device=d) for d in ("cpu", b.device)], []
    for tf32 in (True, False):
        torch.backends.cudnn.allow_tf32 = tf32
        a, c = (net.features([torch.Generator().manual_seed(k) for k in range(4)]).cpu() for net in nets)
        one = nets[1].features([torch.Generator().manual_seed(2)]).cpu()
        found.append(
            f"tf32 {tf32}: differ by {float((a - c).abs().max()):.0e}, alone the same {torch.equal(c[2:3], one)}"
        )
    return "; ".join(found), "1e-3 with TF32, 1e-5 without; alone the same: perhaps not"


def training(b: Bench) -> tuple[str, str]:
    """Steps a second of the model of digits, in float32 and bfloat16, and of larger batches."""
    from fractalkit.data.image_sets import ImageSet
    from fractalkit.models.configs import CONFIGS
    from fractalkit.train.loop import train
    from fractalkit.train.ranks import Ranks

    config, found = CONFIGS["vdvae_mnist"], []
    images = np.random.default_rng(1).integers(0, 2, (600, 1, 28, 28)).astype(np.uint8)
    data = ImageSet(name="noise", split="train", images=images, levels=2, labels=np.arange(600, dtype=np.uint8) % 10)
    for batch, bf16 in ((64, False), (64, True), (512, True)):
        batch, steps = b.size(batch, 4), b.size(90, 3)
        times: dict[int, float] = {}
        torch.manual_seed(0)
        settings = replace(
            config.train, steps=steps, batch=batch, bf16=bf16 and not b.dry, valid_every=0, log_every=steps,
            save_minutes=0.0,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            note = lambda step, _, t=times: t.update({step: time.perf_counter()})  # type: ignore[misc] # noqa: E731
            train(config.build(), data, Path(folder), settings, ranks=Ranks(b.device), progress=note)
        first = max(2, steps // 3)
        found.append(f"batch {batch}{' bf16' if bf16 else ''}: {(steps - first) / (times[steps] - times[first]):.1f}")
    return "steps/s: " + "; ".join(found), "25 to 40, bound by launches, for batches of 512 too"


def compression(b: Bench) -> tuple[str, str]:
    """The search of the quadtree codec: the same bytes on both devices."""
    from fractalkit.fit.quadtree import encode

    g, side = np.random.default_rng(0), b.size(768, 64)
    waves = np.cumsum(np.cumsum(g.normal(0, 1, (side, side, 3)), 0), 1)
    picture, found = np.clip(128 + waves / 2, 0, 255).astype(np.uint8), []
    for device in ("cpu", str(b.device)):
        began = time.perf_counter()
        data = encode(picture, quality=50, device=device).to_bytes()
        found.append((hashlib.sha256(data).hexdigest()[:8], round(time.perf_counter() - began, 1)))
    return f"{found}", "the same bytes"


def commands(b: Bench) -> tuple[str, str]:
    """The commands with the card."""
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        given = [
            ("ifs", "barnsley-fern", "--points", "1e5", "--no-preview", "-o", f"{folder}/f.ply"),
            ("sample", "--model", "vdvae_mnist", "-n", "2", "--res", "240", "--grid", "-o", f"{folder}/d.png"),
            ("render", "barnsley-fern", "--res", "400x400", "--quality", "2", "-o", f"{folder}/r.png"),
            ("render", "menger-sponge", "--res", "200", "-o", f"{folder}/m.png"),
            ("zoom", "barnsley-fern", "--res", "96x54", "--frames", "3", "-o", f"{folder}/z"),
        ]
        for device, which in ((b.device.type, given[:4]), ("gpu", [given[0], *given[2:]])):
            for words in which:
                code, text = b.command("fractalkit", *words, "--device", device)
                found.append(f"{words[0]} {device} {code}{': ' + text[-120:] if code else ''}")
    return "; ".join(found), "0 each"


# seconds that each needs on a card; together less than the budget, so that none is left out
PARTS: dict[str, tuple[Callable[[Bench], tuple[str, str]], float]] = {
    "limits": (limits, 10), "engines": (engines, 40), "far": (far, 20), "counts": (counts, 65), "flames": (flames, 60),
    "tone": (tone, 10), "doctor": (doctor, 25), "models": (models, 30), "training": (training, 80),
    "compression": (compression, 40), "commands": (commands, 50),
}  # fmt: skip


@click.command()
@click.option("--dry", is_flag=True, help="Tiny, on the CPU.")
@click.option("--budget", default=BUDGET, show_default=True, help="Seconds for all parts.")
@click.option("--only", default="", help="Names of parts, separated by commas.")
def main(dry: bool, budget: float, only: str) -> None:
    """Run all parts and write cuda.json."""
    if not dry and not torch.cuda.is_available():
        raise click.ClickException("this machine has no usable CUDA device; --dry runs the parts on the CPU")
    bench, began, rows = Bench(dry), time.perf_counter(), []
    for name, (part, needs) in PARTS.items():
        if only and name not in only.split(","):
            continue
        start = time.perf_counter()
        if not dry and budget - (start - began) < needs:
            found, expected = "left out: no time", ""
        else:
            try:
                found, expected = part(bench)
            except Exception as error:  # the others are independent of it
                found, expected = f"failed: {type(error).__name__}: {str(error)[:200]}", ""
        seconds = round(time.perf_counter() - start, 1)
        rows.append({"part": name, "found": found, "expected": expected, "seconds": seconds})
        click.echo(f"{name} ({seconds} s): {found}\n    expected: {expected}")
        save("cuda_dry" if dry else "cuda", rows)


if __name__ == "__main__":
    main()
